//! The period that was asked for last: nearly all instants that are asked for are in one period, and working out its
//! boundaries costs more than all else that is done to a counter.
//!
//! Only saves work: what it tells is what would be worked out. It must not decide which period holds an instant.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Timestamp;

const SECOND: u64 = 1_000_000;

/// A period. One word holds both boundaries, so nobody reads halves of two: in seconds, the first
/// in the upper half; 0 before anything is known.
#[derive(Debug, Default)]
pub(super) struct LastPeriod(AtomicU64);

impl LastPeriod {
    /// The starts of the period and of the next, if it holds `at`.
    pub(super) fn holding(&self, at: Timestamp) -> Option<[Timestamp; 2]> {
        let known = self.0.load(Ordering::Relaxed);
        let [start, end] =
            [known >> 32, known & u64::from(u32::MAX)].map(|second| Timestamp(second * SECOND));
        (start <= at && at < end).then_some([start, end])
    }

    /// Has this period be the last. One that is not of whole seconds, or after 2106, is not remembered.
    pub(super) fn keep(&self, [start, end]: [Timestamp; 2]) {
        let second =
            |at: Timestamp| u32::try_from(at.0 / SECOND).ok().filter(|_| at.0.is_multiple_of(SECOND));
        if let (Some(start), Some(end)) = (second(start), second(end)) {
            self.0.store(u64::from(start) << 32 | u64::from(end), Ordering::Relaxed);
        }
    }
}

/// What was asked for last makes no calendar another.
impl PartialEq for LastPeriod {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{Calendar, Period, instant};

    #[test]
    fn a_period_is_known_from_its_first_instant_to_the_last() {
        let last = LastPeriod::default();
        assert_eq!(last.holding(Timestamp(0)), None);
        let period = [3, 5].map(|second| Timestamp(second * SECOND));
        last.keep(period);
        let known = [period[0].0 - 1, period[0].0, period[1].0 - 1, period[1].0]
            .map(|at| last.holding(Timestamp(at)));
        assert_eq!(known, [None, Some(period), Some(period), None]);
    }

    #[test]
    fn what_one_word_does_not_hold_is_not_remembered() {
        let last = LastPeriod::default();
        last.keep([Timestamp(1), Timestamp(SECOND)]);
        last.keep([Timestamp(SECOND), Timestamp((1 << 32) * SECOND)]);
        last.keep([Timestamp(SECOND), Timestamp(u64::MAX)]);
        assert_eq!([1, SECOND].map(|at| last.holding(Timestamp(at))), [None; 2]);
    }

    #[test]
    fn the_period_that_was_asked_for_last_changes_nothing() {
        let zones = ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu"];
        let zones = zones.map(|zone| Calendar::new(Period::Day, zone, 31).unwrap());
        let periods = [Period::Day, Period::Week, Period::Month, Period::Year];
        let all = zones.iter().flat_map(|days| periods.map(|period| (period, days.zone_name())));
        for (period, zone) in all {
            let calendar = || Calendar::new(period, zone, 31).unwrap();
            let (asked, begins) = (calendar(), instant("2011-12-28T00:00:00Z").unwrap());
            for step in 0..600 {
                // Back and forth over the boundaries, by steps that are no divisor of a day.
                let now = Timestamp(begins.0 + (step * 7 % 600) * 18_000_000_017);
                let starts = calendar().boundaries(now);
                assert_eq!(asked.period_of(now), [starts[1], starts[2]], "{period:?} {zone} {now:?}");
            }
        }
    }
}
