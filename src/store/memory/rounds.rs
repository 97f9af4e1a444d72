//! Rounds: between two of them lies the line up to which everything is told that is to be written down.
//!
//! A step belongs to one round with all that it changes: it looks which one once it has locked all that it will change,
//! and has each of them enter that round. Whoever tells what has changed ends the round first and then comes to one part
//! of the store after the other. A part that it has come to, or that a step of the new round has changed, is in the new
//! round by then; so a step that has a lock on one of those sees the new round too. A step of the old round has all its
//! locks before that, and is done when the teller comes to them. So no step is told by half, and nobody ever waits for
//! more than one part.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Round(u64);

/// The round that it is now.
#[derive(Debug, Default)]
pub(super) struct Rounds(AtomicU64);

impl Rounds {
    /// The round that it is. The locks that are held order this: no two need be one after the other without them.
    pub(super) fn now(&self) -> Round {
        Round(self.0.load(Ordering::Relaxed))
    }

    /// Ends the round, and begins the next.
    pub(super) fn end(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Round {
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
