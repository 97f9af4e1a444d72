//! The script's text: its parts in their order, each of which goes on where the one before ends.
//!
//! What they say to each other stands at the head of `lua/sliding.lua`. Tests read this file as one of their own, so
//! it uses nothing else.

/// The script as it is loaded.
pub(super) const SOURCE: &str = concat!(
    include_str!("lua/sliding.lua"),
    "\n",
    include_str!("lua/fixed.lua"),
    "\n",
    include_str!("lua/cells.lua"),
    "\n",
    include_str!("lua/steps.lua"),
    "\n",
    include_str!("lua/counters.lua"),
    "\n",
    include_str!("lua/charge.lua")
);
