//! The scripts' texts: their parts in their order, each of which goes on where the one before ends.
//!
//! What they say to each other stands at the head of `lua/head.lua` and of the parts. Tests read this file as one of
//! their own, so it uses nothing of this crate.
//!
//! Functions are made anew whenever a script is called. Each name that they use of the function around them is searched
//! for and given a place of its own; names from farther out are only copied. So the later parts of a script stand in
//! functions of their own. And constants are written out: a name costs at every call, a number nothing.

use std::collections::HashMap;
use std::sync::LazyLock;

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
pub(super) static CHARGE: LazyLock<String> =
    LazyLock::new(|| written_out(script!(["sliding" "fixed"], ["steps"], ["all" "charge"])));

/// The script that reserves.
pub(super) static RESERVE: LazyLock<String> =
    LazyLock::new(|| written_out(script!([], [], ["all" "record" "reserve"])));

/// The script that settles.
pub(super) static SETTLE: LazyLock<String> =
    LazyLock::new(|| written_out(script!([], [], ["record" "usage" "settle"])));

/// `text` with each constant in place of its name. The lines that define them are left empty, so that errors name the
/// lines of `text`.
fn written_out(text: &str) -> String {
    let mut constants = HashMap::new();
    let mut all = String::with_capacity(text.len());
    for line in text.lines() {
        match constants_of(line) {
            Some(defined) => constants.extend(defined),
            None => write_out(line, &constants, &mut all),
        }
        all.push('\n');
    }
    all
}

/// What a line defines, if its names are those of constants: `local SOME, OTHERS = 1, 2`.
fn constants_of(line: &str) -> Option<impl Iterator<Item = (&str, &str)>> {
    let (names, values) = line.strip_prefix("local ")?.split_once(" = ")?;
    let letters = |name: &str| name.bytes().all(|letter| letter.is_ascii_uppercase() || letter == b'_');
    names.split(", ").all(letters).then(|| names.split(", ").zip(values.split(", ")))
}

/// Adds `line` to `all`. What is quoted is no name.
fn write_out(line: &str, constants: &HashMap<&str, &str>, all: &mut String) {
    for piece in line.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
        let word = piece.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        match constants.get(word).filter(|_| !all.ends_with('\'')) {
            Some(constant) => all.extend(["(", constant, ")", &piece[word.len()..]]),
            None => all.push_str(piece),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::written_out;

    #[test]
    fn constants_stand_where_their_names_stood() {
        let text = "local SET, FAR = 2, -2 ^ 54\nlocal set = op == SET and FAR\ncall('SET', SET_OF[SET])\n";
        let expected = "\nlocal set = op == (2) and (-2 ^ 54)\ncall('SET', SET_OF[(2)])\n";
        assert_eq!(written_out(text), expected);
    }
}
