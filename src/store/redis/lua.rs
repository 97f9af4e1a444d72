//! The scripts' texts: their parts in their order, each of which goes on where the one before ends.
//!
//! What they say to each other stands at the head of `lua/head.lua` and of the parts. Tests read this file as one of
//! their own, so it uses nothing else.
//!
//! Functions are made anew whenever a script is called. Each name that they use of the function around them is searched
//! for and given a place of its own; names from farther out are only copied. So the later parts of a script stand in
//! functions of their own.

/// A script of parts: those in front, those in a function of their own, and those in one more inside it. All of them
/// know counters, holds and calls.
macro_rules! script {
    ([$($front:literal)*], [$($before:literal)*], [$($after:literal)*]) => {
        concat!(
            include_str!("lua/head.lua"),
            $("\n", include_str!(concat!("lua/", $front, ".lua")),)*
            "\nreturn (function()\n",
            include_str!("lua/cells.lua"),
            $("\n", include_str!(concat!("lua/", $before, ".lua")),)*
            "\n",
            include_str!("lua/counters.lua"),
            "\nreturn (function()\n",
            include_str!("lua/holds.lua"),
            "\n",
            include_str!("lua/call.lua"),
            $("\n", include_str!(concat!("lua/", $after, ".lua")),)*
            "\nend)()\nend)()"
        )
    };
}

/// The script that charges what several callers ask at once.
pub(super) const CHARGE: &str = script!(["sliding" "fixed"], ["steps"], ["charge"]);

/// The script that reserves.
pub(super) const RESERVE: &str = script!([], [], ["record" "reserve"]);

/// The script that settles.
pub(super) const SETTLE: &str = script!([], [], ["record" "usage" "settle"]);
