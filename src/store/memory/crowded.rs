//! Counters of a shard of which many holds are open.
//!
//! What has lapsed of a counter is let go by whoever asks for it. Few holds need no more: they take little, and go with
//! their counter. Of many, what lapsed long ago is let go when anyone asks for any counter: nothing large is left behind
//! for long, and time that runs back a little finds what lapsed unseen as it was.

use std::collections::BTreeSet;

use crate::algorithm::Holds;
use crate::clock::Timestamp;

/// When the holds of counters that have many are looked through. Some may have few by then, or be gone.
#[derive(Debug, Default)]
pub(super) struct Crowded(BTreeSet<(Timestamp, u128)>);

impl Crowded {
    /// The counter `id` has come to have many `holds`.
    pub(super) fn note(&mut self, id: u128, holds: &Holds) {
        let lapse = holds.last_lapse().unwrap_or(Timestamp(0));
        self.0.insert((lapse, id));
    }

    /// The next counter that is to be looked through, if that is so by `then`. It is not noted any more.
    pub(super) fn take_next(&mut self, then: Timestamp) -> Option<u128> {
        self.0.first().filter(|(at, _)| *at <= then)?;
        self.0.pop_first().map(|(_, id)| id)
    }
}
