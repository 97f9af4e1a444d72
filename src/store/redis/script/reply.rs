//! What the script says: of each charge what came of it, and of it all the answer to a call.
//!
//! Whatever is not of the form that `lua/head.lua` tells is [`StoreError::Corrupt`]. Nothing here knows how a call
//! was asked.

use redis::Value;
use smallvec::SmallVec;

use crate::algorithm::{Outcome, Retry, Share, Span, Standing, Verdict, boundary_near, carried_every};
use crate::clock::{Micros, Timestamp};
use crate::limits::{Number, Window};
use crate::store::{Answer, Call, Charge, Outcomes, StoreError};

/// Waiting does not help, or time alone never makes a counter whole.
const NEVER: i64 = -1;
/// Nothing was done to a call: its calendar does not reach to now.
pub(super) const ASTRAY: i64 = -(1 << 54);
/// Nothing was done of a call: Redis takes nothing of it.
const UNWRITTEN: i64 = -(1 << 56);
/// What is held follows, before the rest.
const HELD: i64 = -(1 << 55);

/// What the script said of a charge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::store::redis) struct Charged {
    /// Used, or held by nobody who has a name.
    spent: u64,
    /// Held beside that.
    held: u64,
    verdict: Verdict,
    reset_after: Option<Micros>,
}

/// What the script said of a call.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store::redis) enum Replied {
    /// What became of its charges.
    Charged(SmallVec<[Charged; 1]>),
    /// Nothing was done: it is too late, or the boundaries that were sent do not hold the store's time.
    Astray,
    /// Nothing was done: Redis refuses what would have to be written.
    Unwritten(StoreError),
}

/// Takes apart what the script of charges replied: its numbers, and what Redis said of what it refused to write, if it did.
pub(in crate::store::redis) fn take_apart(reply: Value) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
    let both = match reply {
        Value::BulkString(numbers) => return Ok((numbers, None)),
        Value::Array(both) => <[Value; 2]>::try_from(both).map_err(|_| StoreError::Corrupt)?,
        _ => return Err(StoreError::Corrupt),
    };
    match both {
        [Value::BulkString(numbers), Value::BulkString(refusal)] => Ok((numbers, Some(refusal))),
        _ => Err(StoreError::Corrupt),
    }
}

/// The numbers that the script says: doubles, one after the other.
pub(in crate::store::redis) fn numbers(reply: &[u8]) -> Result<Vec<i64>, StoreError> {
    let (doubles, rest) = reply.as_chunks();
    if !rest.is_empty() {
        return Err(StoreError::Corrupt);
    }
    doubles.iter().map(|double| whole(f64::from_le_bytes(*double))).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "what is truncated is found out")]
fn whole(double: f64) -> Result<i64, StoreError> {
    let whole = double as i64;
    if whole as f64 == double { Ok(whole) } else { Err(StoreError::Corrupt) }
}

/// Reads off the front of `reply` what was said of a call of so many charges; `refusal` is what is told to those of whom
/// Redis takes nothing.
pub(in crate::store::redis) fn read_call(
    reply: &mut &[i64],
    charges: usize,
    refusal: Option<&StoreError>,
) -> Result<Replied, StoreError> {
    let undone = match reply.first() {
        Some(&ASTRAY) => Some(Replied::Astray),
        Some(&UNWRITTEN) => Some(Replied::Unwritten(refusal.ok_or(StoreError::Corrupt)?.clone())),
        _ => None,
    };
    if let Some(undone) = undone {
        *reply = &reply[1..];
        return Ok(undone);
    }
    (0..charges).map(|_| read_charge(reply)).collect::<Result<_, _>>().map(Replied::Charged)
}

/// Reads off the front of `reply` what was said of a charge.
pub(in crate::store::redis) fn read_charge(reply: &mut &[i64]) -> Result<Charged, StoreError> {
    let held = match **reply {
        [HELD, held, ref rest @ ..] => {
            *reply = rest;
            amount(held)?
        }
        _ => 0,
    };
    let (spent, verdict, reset, rest) = match **reply {
        [spent @ 0..=i64::MAX, reset, ref rest @ ..] => (spent, Verdict::Admitted, reset, rest),
        [refused, wait, reset, ref rest @ ..] => {
            let retry = after(wait)?.map_or(Retry::Never, Retry::After);
            (!refused, Verdict::Refused(retry), reset, rest)
        }
        _ => return Err(StoreError::Corrupt),
    };
    *reply = rest;
    Ok(Charged { spent: amount(spent)?, held, verdict, reset_after: after(reset)? })
}

/// A span; `None` for never.
fn after(replied: i64) -> Result<Option<Micros>, StoreError> {
    if replied == NEVER { Ok(None) } else { amount(replied).map(|span| Some(Micros(span))) }
}

pub(in crate::store::redis) fn amount(replied: i64) -> Result<u64, StoreError> {
    u64::try_from(replied).map_err(|_| StoreError::Corrupt)
}

/// The answer to `call`, of whose charges this was said.
pub(in crate::store::redis) fn answer(call: &Call<'_>, at: Timestamp, charged: &[Charged]) -> Answer {
    let mut outcomes: Outcomes =
        call.charges.iter().zip(charged).map(|(charge, charged)| outcome(charge, charged, at)).collect();
    call.settle(&mut outcomes, Share::WHOLE);
    Answer { at, outcomes, degraded: None }
}

fn outcome(charge: &Charge<'_>, charged: &Charged, at: Timestamp) -> Outcome {
    let charged = charged.at_boundary(charge.rule.window, at);
    charged.outcome(matches!(charge.rule.window, Window::Concurrent { .. }), charge.rule.most())
}

impl Charged {
    /// The same, to a counter of `window`: the script tells of boundaries beyond this period as if all were as long as they
    /// usually are. What else is waited for, such as the lapse of a hold, it tells as it is.
    pub(super) fn at_boundary(self, window: &Window, at: Timestamp) -> Self {
        let (Window::Calendar(..), Some(usual)) = (window, carried_every(window)) else {
            return self;
        };
        let moved = |span| boundary_near(window, at.plus(span)).since(at);
        let verdict = match self.verdict {
            Verdict::Refused(Retry::After(wait)) => {
                let is_usual = |whole: Micros| whole.0.abs_diff(wait.0).is_multiple_of(usual.0);
                // Where it is never whole: the period is that of now, or the next, if time ran back over a boundary.
                let is_boundary = self.reset_after.map_or_else(
                    || {
                        let end = Span::holding(window, at).end;
                        [end, Span::holding(window, end).end].iter().any(|end| is_usual(end.since(at)))
                    },
                    is_usual,
                );
                // No boundary that is waited for is past.
                let boundary = Some(wait).filter(|_| is_boundary).map(moved).filter(|moved| moved.0 > 0);
                Verdict::Refused(Retry::After(boundary.unwrap_or(wait)))
            }
            verdict => verdict,
        };
        Self { verdict, reset_after: self.reset_after.map(moved), ..self }
    }

    /// What came of a charge to a counter of which at most so much may be used and held, or only held.
    pub(super) fn outcome(self, only_held: bool, most: Number) -> Outcome {
        let Self { spent, held, verdict, reset_after } = self;
        let remaining = most.left_after(spent + held);
        let (used, held) = if only_held { (0, spent + held) } else { (spent, held) };
        Outcome { verdict, standing: Standing { used, held, remaining, reset_after } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{Calendar, Period};
    use crate::limits::Debt;

    #[test]
    fn reads_whole_numbers_only() {
        let bytes =
            |doubles: &[f64]| -> Vec<u8> { doubles.iter().flat_map(|double| double.to_le_bytes()).collect() };
        assert_eq!(numbers(&bytes(&[7.0, -3.0, ASTRAY as f64])), Ok(vec![7, -3, ASTRAY]));
        assert_eq!(numbers(&[]), Ok(vec![]));
        for nonsense in [0.5, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(numbers(&bytes(&[7.0, nonsense])), Err(StoreError::Corrupt), "{nonsense}");
        }
        assert_eq!(numbers(&bytes(&[7.0, 9.0])[..15]), Err(StoreError::Corrupt));
    }

    #[test]
    fn only_what_is_told_by_the_usual_length_of_periods_is_moved_to_a_boundary() {
        let calendar = Calendar::new(Period::Month, "UTC", 1).unwrap();
        let usual = calendar.period().usual_length().0;
        let window = Window::Calendar(calendar, Debt::Carried);
        // The 10th of November 2026: 21 days are left, and 31 are in December.
        let (at, day) = (Timestamp(1_794_268_800_000_000), 86_400_000_000);
        let left = Some(Micros(21 * day));
        let moved = |window: &Window, wait, reset_after| {
            let verdict = Verdict::Refused(Retry::After(Micros(wait)));
            Charged { spent: 9, held: 0, verdict, reset_after }.at_boundary(window, at)
        };
        let waits = |window: &Window, wait| match moved(window, wait, left).verdict {
            Verdict::Refused(Retry::After(wait)) => wait.0,
            other => panic!("{other:?}"),
        };
        assert_eq!(waits(&window, 21 * day + usual), 52 * day, "the end of December");
        assert_eq!(waits(&window, 21 * day), 21 * day, "the end of this month");
        assert_eq!(waits(&window, 21 * day + 7), 21 * day + 7, "a hold lapses");
        let owed = moved(&window, 21 * day + usual, Some(Micros(21 * day + 2 * usual)));
        assert_eq!(owed.reset_after, Some(Micros((52 + 31) * day)), "whole at the end of January");
        let verdict = Verdict::Refused(Retry::After(Micros(52 * day)));
        assert_eq!(owed.verdict, verdict, "with room at the end of December");
        assert_eq!(moved(&window, 21 * day + usual, None).verdict, verdict, "whole in no lifetime");
        let verdict = Verdict::Refused(Retry::After(Micros((52 + 31) * day)));
        assert_eq!(moved(&window, 52 * day + usual, None).verdict, verdict, "in the next period already");
        let days = Window::Calendar(Calendar::new(Period::Day, "Europe/Berlin", 1).unwrap(), Debt::Carried);
        // Half an hour into the 25th of October 2026, which has 25 hours: what lapses an hour into it.
        let lapse = Charged {
            spent: 9,
            held: 0,
            verdict: Verdict::Refused(Retry::After(Micros(day / 48))),
            reset_after: Some(Micros(day / 48 + day)),
        };
        assert_eq!(lapse.at_boundary(&days, Timestamp(1_792_881_000_000_000)), lapse, "no boundary is past");
        let fixed = Window::Fixed { length: Micros(usual), debt: Debt::Carried };
        assert_eq!(waits(&fixed, 21 * day + usual), 21 * day + usual, "all are as long");
    }

    #[test]
    fn reads_what_the_script_replies() {
        let charged = |spent, verdict, reset_after| Charged { spent, held: 0, verdict, reset_after };
        let beside = Charged { held: 3, ..charged(2, Verdict::Admitted, None) };
        let replies: [(&[i64], _); 5] = [
            (&[HELD, 3, 2, NEVER], beside),
            (&[2, 9], charged(2, Verdict::Admitted, Some(Micros(9)))),
            (&[2, NEVER], charged(2, Verdict::Admitted, None)),
            (&[-3, 8, 9], charged(2, Verdict::Refused(Retry::After(Micros(8))), Some(Micros(9)))),
            (&[-1, NEVER, 0], charged(0, Verdict::Refused(Retry::Never), Some(Micros(0)))),
        ];
        for (reply, charged) in replies {
            let mut rest = reply;
            assert_eq!(read_call(&mut rest, 1, None), Ok(Replied::Charged([charged].into_iter().collect())));
            assert!(rest.is_empty(), "{reply:?}");
        }
        let mut both = &[2, 9, ASTRAY][..];
        assert!(matches!(read_call(&mut both, 1, None), Ok(Replied::Charged(_))));
        assert_eq!(read_call(&mut both, 7, None), Ok(Replied::Astray));
        let full = StoreError::Refused { code: "OOM".to_owned() };
        let unwritten = Ok(Replied::Unwritten(full.clone()));
        assert_eq!(read_call(&mut &[UNWRITTEN][..], 7, Some(&full)), unwritten);
        for nonsense in [
            &[][..],
            &[7],
            &[7, -2],
            &[-7, 1],
            &[-7, -2, 1],
            &[-7, 1, -2],
            &[HELD, 1, 7],
            &[HELD, -1, 7, 1],
            &[UNWRITTEN],
        ] {
            assert_eq!(read_call(&mut &*nonsense, 1, None), Err(StoreError::Corrupt), "{nonsense:?}");
        }
    }
}
