//! The script and its two languages: what it is sent and what it replies, packed and read in one place.
//!
//! `lua/charge.lua` documents the form. Nothing here talks to Redis.

use crate::algorithm::{CELLS, Op, Outcome, Refill, Retry, Rule, Standing, Verdict};
use crate::clock::{Micros, Timestamp};
use crate::limits::{Number, Window};
use crate::store::{Admission, Answer, Binding, Call, Charge, Outcomes, StoreError};

/// The script as it is loaded.
pub(super) const SOURCE: &str =
    concat!(include_str!("lua/counters.lua"), "\n", include_str!("lua/charge.lua"));

/// How many numbers of the reply belong to a charge.
const REPLIED: usize = 4;

const ADMITTED: i64 = -2;
const NEVER: i64 = -1;
const ASTRAY: i64 = -3;

/// By which time a script goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Time {
    /// By Redis's own.
    Redis {
        /// After this instant nothing is done: whoever asked has gone.
        until: Option<Timestamp>,
    },
    /// By this one, whatever Redis thinks: for tests, which then also find states that Redis's own clock
    /// would have dropped.
    At(Timestamp),
}

/// What a reply says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    /// What became of the call.
    Answered(Answer),
    /// Nothing was done: it is too late, or the boundaries that were sent do not hold the store's time, which is
    /// this.
    Astray(Timestamp),
}

impl Reply {
    /// The store's time.
    pub(super) fn at(&self) -> Timestamp {
        match self {
            Self::Answered(answer) => answer.at,
            Self::Astray(at) => *at,
        }
    }
}

impl Time {
    /// How long Redis keeps what is as good as fresh: its clock counts in milliseconds, and a command's
    /// expiry runs from a moment before the script asks for the time.
    const GRACE: Micros = Micros::from_secs(1);
    const GRACE_OF_TESTS: Micros = Micros::from_secs(3600);

    /// The first argument.
    pub(super) fn pack(self) -> Vec<u8> {
        let (now, grace, until) = match self {
            Self::Redis { until } => (0, Self::GRACE, until),
            Self::At(now) => (now.0, Self::GRACE_OF_TESTS, None),
        };
        let mut packed = Vec::with_capacity(24);
        number(&mut packed, now);
        number(&mut packed, grace.0 / 1000);
        double(&mut packed, until.map_or(f64::INFINITY, |until| until.0 as f64));
        packed
    }
}

/// The argument of one call, whose caller believes that the store's clock shows `believed`.
pub(super) fn pack(call: &Call<'_>, believed: Timestamp) -> Vec<u8> {
    let mut packed = Vec::with_capacity(3 + 62 * call.charges.len());
    packed.push(match call.admission {
        Admission::AllOrNone => 0,
        Admission::Each => 1,
        Admission::EachUnlessOver => 2,
    });
    let count = u16::try_from(call.charges.len()).expect("a call's descriptors and their limits are bounded");
    packed.extend(count.to_le_bytes());
    for charge in call.charges {
        pack_charge(&mut packed, charge, believed);
    }
    packed
}

fn pack_charge(packed: &mut Vec<u8>, charge: &Charge<'_>, believed: Timestamp) {
    let (op, room, amount) = match charge.op {
        Op::Take { room, charge } => (0, room, charge),
        Op::GiveBack { units } => (1, 0, units),
    };
    let binding = match charge.binding {
        Binding::Enforced => -1,
        Binding::Counted => -2,
        Binding::Quota { group } => i32::from(group),
    };
    packed.extend([kind(charge.rule.window), op]);
    packed.extend(binding.to_le_bytes());
    number(packed, room);
    number(packed, amount);
    match charge.rule.most() {
        Number::Unlimited => double(packed, f64::INFINITY),
        Number::AtMost(most) => number(packed, most),
    }
    for parameter in parameters(charge.rule, believed) {
        double(packed, parameter);
    }
}

fn kind(window: &Window) -> u8 {
    match window {
        Window::Sliding { .. } => 1,
        Window::Concurrent { .. } => 2,
        Window::TokenBucket { .. } => 3,
        Window::Fixed { .. } => 4,
        Window::Calendar(_) => 5,
        Window::Total { .. } => 6,
        Window::Request => 7,
    }
}

fn parameters(rule: Rule<'_>, believed: Timestamp) -> [f64; 4] {
    let one = |parameter: f64| [parameter, 0.0, 0.0, 0.0];
    match rule.window {
        Window::Sliding { length } | Window::Concurrent { max_age: length } => {
            one((length.0 / CELLS).max(1) as f64)
        }
        Window::TokenBucket { .. } => {
            let refill = Refill::of(rule.window, rule.number);
            [refill.units, refill.length, 0.0, 0.0]
        }
        Window::Fixed { length } => one(length.0 as f64),
        Window::Calendar(calendar) => calendar.boundaries(believed).map(|start| start.0 as f64),
        Window::Total { forget } => one(forget.map_or(f64::INFINITY, |span| span.0 as f64)),
        Window::Request => one(0.0),
    }
}

fn number(packed: &mut Vec<u8>, number: u64) {
    double(packed, number as f64);
}

fn double(packed: &mut Vec<u8>, double: f64) {
    packed.extend(double.to_le_bytes());
}

/// What the script replied to `call`.
pub(super) fn read(call: &Call<'_>, reply: &[i64]) -> Result<Reply, StoreError> {
    let (now, rest) = reply.split_first().ok_or(StoreError::Corrupt)?;
    let at = Timestamp(amount(*now)?);
    if rest.len() != call.charges.len() * REPLIED {
        return Err(StoreError::Corrupt);
    }
    if rest.iter().skip(2).step_by(REPLIED).any(|wait| *wait == ASTRAY) {
        return Ok(Reply::Astray(at));
    }
    let replied = call.charges.iter().zip(rest.chunks_exact(REPLIED));
    let mut outcomes =
        replied.map(|(charge, replied)| outcome(charge, replied)).collect::<Result<Outcomes, _>>()?;
    call.settle(&mut outcomes);
    Ok(Reply::Answered(Answer { at, outcomes, degraded: None }))
}

fn outcome(charge: &Charge<'_>, replied: &[i64]) -> Result<Outcome, StoreError> {
    let &[used, held, wait, reset] = replied else {
        return Err(StoreError::Corrupt);
    };
    let verdict = match wait {
        ADMITTED => Verdict::Admitted,
        NEVER => Verdict::Refused(Retry::Never),
        wait => Verdict::Refused(Retry::After(Micros(amount(wait)?))),
    };
    let reset_after = if reset == NEVER { None } else { Some(Micros(amount(reset)?)) };
    let (used, held) = (amount(used)?, amount(held)?);
    let remaining = charge.rule.left_after(used.saturating_add(held));
    Ok(Outcome { verdict, standing: Standing { used, held, remaining, reset_after } })
}

fn amount(replied: i64) -> Result<u64, StoreError> {
    u64::try_from(replied).map_err(|_| StoreError::Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{CounterKey, OnError};
    use crate::store::FreedBy;

    const WINDOW: Window = Window::Sliding { length: Micros::from_secs(60) };

    fn charge() -> Charge<'static> {
        let key = CounterKey { tag: 1, id: 2 };
        Charge {
            key,
            overflow: key.id,
            rule: Rule { window: &WINDOW, number: Number::AtMost(5) },
            op: Op::Take { room: 1, charge: 1 },
            binding: Binding::Enforced,
            on_error: OnError::Local,
            freed_by: FreedBy::Time,
        }
    }

    #[test]
    fn packs_as_many_bytes_as_the_script_reads() {
        let charges = [charge(), charge()];
        let call = Call { charges: &charges, admission: Admission::AllOrNone };
        assert_eq!(pack(&call, Timestamp(0)).len(), 3 + 2 * 62);
        assert!(SOURCE.contains("local HEAD, RECORD = 3, 62"));
    }

    #[test]
    fn reads_what_the_script_replies() {
        let charges = [charge()];
        let call = Call { charges: &charges, admission: Admission::AllOrNone };
        let read = |reply: &[i64]| super::read(&call, reply);
        let Ok(Reply::Answered(answer)) = read(&[7, 2, 0, ADMITTED, 9]) else {
            panic!("an answer");
        };
        assert_eq!(answer.at, Timestamp(7));
        let standing = Standing { used: 2, held: 0, remaining: 3, reset_after: Some(Micros(9)) };
        assert_eq!(answer.outcomes.as_slice(), [Outcome { verdict: Verdict::Admitted, standing }]);
        assert_eq!(read(&[7, 0, 0, ASTRAY, 0]), Ok(Reply::Astray(Timestamp(7))));
        for nonsense in [&[][..], &[7], &[7, 1, 2, 3], &[7, -1, 0, ADMITTED, 9], &[7, 1, 0, -9, 9]] {
            assert_eq!(read(nonsense), Err(StoreError::Corrupt), "{nonsense:?}");
        }
    }
}
