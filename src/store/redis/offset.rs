//! How far Redis's clock is ahead of ours, learned from its replies.
//!
//! A reply tells Redis's time of some moment between the question and the answer, so the offset lies between
//! two bounds that are a round trip apart. What is believed already is kept while it lies there, and moved no
//! further than it must be otherwise: one slow answer does not spoil what quicker ones have told. Nothing here
//! asks for the time.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Timestamp;

/// How far Redis's clock is ahead of ours, in microseconds; before any reply, not at all.
#[derive(Debug, Default)]
pub(super) struct Offset(AtomicI64);

impl Offset {
    /// What Redis's clock probably shows when ours shows `ours`.
    pub(super) fn theirs(&self, ours: Timestamp) -> Timestamp {
        Timestamp(ours.0.saturating_add_signed(self.0.load(Ordering::Relaxed)))
    }

    /// Learns from a reply that tells `theirs` to a question asked at `asked` and answered at `answered`.
    pub(super) fn learn(&self, asked: Timestamp, theirs: Timestamp, answered: Timestamp) {
        let most = ahead(theirs, asked);
        // Our own clock may have been set back in between.
        let least = ahead(theirs, answered).min(most);
        let believed = self.0.load(Ordering::Relaxed);
        let learned = believed.clamp(least, most);
        if learned != believed {
            self.0.store(learned, Ordering::Relaxed);
        }
    }
}

fn ahead(theirs: Timestamp, ours: Timestamp) -> i64 {
    let micros = |time: Timestamp| i64::try_from(time.0).unwrap_or(i64::MAX);
    micros(theirs) - micros(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;
    const HOUR: u64 = 3_600_000_000;

    fn learn(offset: &Offset, asked: u64, theirs: u64, answered: u64) -> u64 {
        offset.learn(Timestamp(asked), Timestamp(theirs), Timestamp(answered));
        offset.theirs(Timestamp(NOW)).0
    }

    #[test]
    fn one_reply_tells_it_within_a_round_trip() {
        for theirs in [NOW + HOUR, NOW - HOUR, HOUR] {
            let believed = learn(&Offset::default(), NOW, theirs + 400, NOW + 1000);
            assert!(believed.abs_diff(theirs) <= 1000, "{theirs}: {believed}");
        }
    }

    #[test]
    fn a_slow_reply_changes_nothing_that_it_does_not_contradict() {
        let offset = Offset::default();
        let quick = learn(&offset, NOW, NOW + HOUR, NOW + 10);
        assert_eq!(learn(&offset, NOW, NOW + HOUR + 5, NOW + 1_000_000), quick);
        assert_eq!(learn(&offset, NOW, NOW + HOUR + 900_000, NOW + 1_000_000), quick);
        assert_eq!(learn(&offset, NOW, NOW + 7, NOW + 20), NOW + 7, "a clock was set");
    }

    #[test]
    fn a_clock_of_ours_that_is_set_back_meanwhile_does_no_harm() {
        let offset = Offset::default();
        assert_eq!(learn(&offset, NOW + HOUR, NOW, NOW), NOW - HOUR);
        assert_eq!(learn(&offset, NOW, NOW, NOW + 10), NOW - 10);
    }
}
