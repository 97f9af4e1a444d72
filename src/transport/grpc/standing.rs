//! Where limits stand, and when: engine → wire, alike for callers and operators.

use prost_types::{Duration, Timestamp as WireTime};

use crate::clock::{Micros, Timestamp};
use crate::engine::{Known, LimitStanding, Reason, Ruling};
use crate::limits::{Number, Unit};

use super::proto::tollgate::v1 as wire;

/// The last second of the year 9999, which is the last that the wire has.
const LAST_SECOND: u64 = 253_402_300_799;

pub(super) fn standing(standing: &LimitStanding) -> wire::Standing {
    let amount = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    let (used, held) = (amount(standing.used), amount(standing.held));
    let (max, remaining) = match (standing.most, standing.known) {
        (Number::Unlimited, _) => (-1, -1),
        (Number::AtMost(most), Known::Nothing) => (amount(most), 0),
        (Number::AtMost(most), Known::Amounts) => {
            (amount(most), amount(most).saturating_sub(used).saturating_sub(held))
        }
    };
    wire::Standing {
        limit: standing.limit.to_string(),
        decision: decision(standing.ruling).into(),
        max,
        used,
        held,
        remaining,
        unit: unit(standing.unit).into(),
        resets_at: standing.resets_at.map(time),
        retry_after: standing.retry_after.map(duration),
        reason: standing.reason.map(Reason::name).unwrap_or_default().to_owned(),
    }
}

pub(super) fn decision(ruling: Ruling) -> wire::Decision {
    match ruling {
        Ruling::Allow => wire::Decision::Allow,
        Ruling::Deny => wire::Decision::Deny,
        Ruling::ShadowDeny => wire::Decision::ShadowDeny,
    }
}

pub(super) fn unit(unit: Unit) -> wire::Unit {
    match unit {
        Unit::Hits => wire::Unit::Hits,
        Unit::Tokens => wire::Unit::Tokens,
        Unit::Money => wire::Unit::NanoUsd,
    }
}

/// An instant from 1970 on, if it is one that the wire has.
pub(super) fn instant(time: &WireTime) -> Option<Timestamp> {
    let seconds = u64::try_from(time.seconds).ok().filter(|seconds| *seconds <= LAST_SECOND)?;
    let nanos = u64::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Timestamp(seconds * 1_000_000 + nanos / 1_000))
}

pub(super) fn time(instant: Timestamp) -> WireTime {
    let (seconds, nanos) = parts(instant.0);
    WireTime { seconds, nanos }
}

pub(super) fn duration(span: Micros) -> Duration {
    let (seconds, nanos) = parts(span.0);
    Duration { seconds, nanos }
}

/// Seconds and nanoseconds of so many microseconds.
fn parts(micros: u64) -> (i64, i32) {
    let seconds = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
    (seconds, i32::try_from(micros % 1_000_000 * 1_000).unwrap_or_default())
}
