//! Shares of a limit that are worth an alert, and which of them a charge has crossed.
//!
//! Integers only: a share of a number is rounded up, so it is never said to be reached before it is.

use std::fmt;

use super::number::Number;

/// A share of a limit's number, in percent. Above 100 it is for limits that may be passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(pub u16);

impl Percent {
    /// The largest share.
    pub const MAX: Self = Self(1_000);

    /// The least amount that is this share of `whole` or more.
    pub const fn of(self, whole: u64) -> u64 {
        // An amount and the largest share are far from what 64 bits hold.
        whole.saturating_mul(self.0 as u64).div_ceil(100)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Which of `thresholds` are crossed when what counts against `number` grows from `before` to `after`, in their
/// order. Nothing is a share of 0 or of no number at all.
pub fn crossed(
    thresholds: &[Percent],
    number: Number,
    before: u64,
    after: u64,
) -> impl Iterator<Item = Percent> {
    let whole = match number {
        Number::AtMost(most @ 1..) => Some(most),
        Number::AtMost(0) | Number::Unlimited => None,
    };
    let is_crossed = move |threshold: &Percent| {
        let reached = |whole| threshold.of(whole);
        whole.map(reached).is_some_and(|reached| before < reached && reached <= after)
    };
    thresholds.iter().copied().filter(is_crossed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_AMOUNT;

    const SHARES: [Percent; 4] = [Percent(50), Percent(80), Percent(100), Percent(1_000)];

    fn crossing(number: Number, before: u64, after: u64) -> Vec<u16> {
        crossed(&SHARES, number, before, after).map(|threshold| threshold.0).collect()
    }

    #[test]
    fn a_share_is_crossed_by_the_charge_that_reaches_it() {
        for (most, before, after, expected) in [
            (10, 0, 4, &[][..]),
            (10, 4, 5, &[50]),
            (10, 5, 5, &[]),
            (10, 5, 7, &[]),
            (10, 4, 8, &[50, 80]),
            (10, 0, 10, &[50, 80, 100]),
            (10, 10, 11, &[]),
            (10, 99, 100, &[1_000]),
            (10, 8, 3, &[]),
            (1, 0, 1, &[50, 80, 100]),
            (MAX_AMOUNT, MAX_AMOUNT - 1, MAX_AMOUNT, &[100]),
        ] {
            assert_eq!(
                crossing(Number::AtMost(most), before, after),
                expected,
                "{most}: {before} to {after}"
            );
        }
    }

    #[test]
    fn a_share_that_is_no_whole_number_is_rounded_up() {
        assert_eq!(Percent(80).of(7), 6);
        assert_eq!(crossing(Number::AtMost(7), 3, 5), [50]);
        assert_eq!(crossing(Number::AtMost(7), 5, 6), [80]);
        assert_eq!(Percent::MAX.of(MAX_AMOUNT), MAX_AMOUNT * 10);
    }

    #[test]
    fn one_walk_crosses_every_share_once() {
        for most in 1..300 {
            let steps = (0..most * 10).flat_map(|used| crossing(Number::AtMost(most), used, used + 1));
            assert_eq!(steps.collect::<Vec<_>>(), [50, 80, 100, 1_000], "{most}");
        }
    }

    #[test]
    fn nothing_is_a_share_of_nothing() {
        assert!(crossing(Number::Unlimited, 0, u64::MAX - 1).is_empty());
        assert!(crossing(Number::AtMost(0), 0, 10).is_empty());
    }
}
