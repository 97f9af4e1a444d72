//! Which of several limits an answer shows, and how the wire writes it.

use std::cmp::Ordering;

use crate::algorithm::{Retry, Verdict};
use crate::engine::decision::CurrentLimit;
use crate::engine::text::Text;
use crate::limits::{Mode, Number, Unit, WireWindow};
use crate::money::NANOS_PER_MICRO;

use super::Settled;

impl Settled<'_> {
    /// When the call may come back because of this limit; `None` if it let the call pass.
    pub(super) fn refusal(self) -> Option<Retry> {
        match self.outcome.verdict {
            Verdict::Refused(retry) if self.touch.limit.mode == Mode::Enforced => Some(retry),
            _ => None,
        }
    }

    /// How much the limit allows and how much is left, as the wire counts it; `None` if it is unlimited.
    pub(super) fn amounts(self) -> Option<(u64, u64)> {
        let Number::AtMost(most) = self.touch.number else {
            return None;
        };
        let remaining = self.outcome.standing.remaining;
        Some(match self.touch.limit.unit {
            Unit::Money => (most / NANOS_PER_MICRO, remaining / NANOS_PER_MICRO),
            Unit::Hits | Unit::Tokens => (most, remaining),
        })
    }

    /// The limit as the wire shows it; `None` if it is unlimited.
    pub(super) fn current_limit(self) -> Option<CurrentLimit> {
        let (most, _) = self.amounts()?;
        let limit = self.touch.limit;
        let WireWindow { unit, multiplier } = limit.wire;
        Some(CurrentLimit {
            name: Text::from(&limit.name),
            requests_per_unit: saturated(most),
            unit,
            multiplier,
        })
    }

    /// Room that is left, as the wire's `uint32`.
    pub(super) fn remaining(self) -> u32 {
        self.amounts().map_or(u32::MAX, |(_, left)| saturated(left))
    }

    /// Refused before passing; of those refused the one that waiting never helps, then the longest wait; of
    /// those passing the one with the smallest part left; then the order of the file.
    fn before(&self, other: &Self) -> Ordering {
        let by_verdict = match (self.refusal(), other.refusal()) {
            (Some(one), Some(other)) => other.cmp(&one),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.less_left(other),
        };
        by_verdict.then(self.touch.id.cmp(&other.touch.id))
    }

    fn less_left(&self, other: &Self) -> Ordering {
        let of = |settled: &Self| {
            settled.amounts().map(|(most, left)| (u128::from(left), u128::from(most.max(1))))
        };
        match (of(self), of(other)) {
            (Some((left, most)), Some((other_left, other_most))) => {
                (left * other_most).cmp(&(other_left * most))
            }
            (one, other) => other.is_some().cmp(&one.is_some()),
        }
    }
}

/// The one of `settled` that an answer shows.
pub(super) fn shown<'s>(settled: impl Iterator<Item = Settled<'s>>) -> Option<Settled<'s>> {
    settled.min_by(|one, other| one.before(other))
}

fn saturated(amount: u64) -> u32 {
    u32::try_from(amount).unwrap_or(u32::MAX)
}
