//! Reservations as the tests write them: limits of every window, what is held of them, and what is settled.

use std::num::NonZeroU64;

use tollgate::algorithm::{Op, Rule, Standing};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::Micros;
use tollgate::limits::{CounterKey, Debt, Number, OnError, Unit, Window};
use tollgate::store::{
    Admission, Binding, Call, Charge, Due, FreedBy, Hold, Life, Reserve, Reserved, Settle, Settled, Spent,
    Store, Then,
};

use super::bench::Bench;

/// Five minutes, an hour, a day.
pub(crate) const LIFE: Life =
    Life { ttl: Micros::from_secs(300), max_age: Micros::from_secs(3600), keep: KEEP };
pub(crate) const KEEP: Micros = Micros::from_secs(86_400);

const DAY: Micros = Micros::from_secs(86_400);

/// A limit.
#[derive(Clone, Debug)]
pub(crate) struct Limited {
    pub(crate) window: Window,
    pub(crate) number: Number,
}

impl Limited {
    pub(crate) fn new(window: Window, most: u64) -> Self {
        Self { window, number: Number::AtMost(most) }
    }

    /// One of every window of which tokens or money can be held, each with room for `most`. None of them forgets
    /// anything in the first 47 minutes of a bench's time.
    pub(crate) fn of_every_window(most: u64) -> Vec<Self> {
        let berlin = Calendar::new(Period::Day, "Europe/Berlin", 1).unwrap();
        let a_year = Micros::from_secs(366 * 86_400);
        vec![
            Self::new(Window::Sliding { length: DAY }, most),
            Self::new(Window::Fixed { length: DAY, debt: Debt::Forgiven }, most),
            // Refilled by 1 a year.
            Self::new(Window::TokenBucket { length: a_year, burst: most }, 1),
            Self::new(Window::Calendar(berlin, Debt::Forgiven), most),
            Self::new(Window::Total { forget: None }, most),
            Self::new(Window::Total { forget: Some(DAY) }, most),
        ]
    }

    fn charge(&self, id: u128, op: Op, unit: Unit, freed_by: FreedBy) -> Charge<'_> {
        let key = CounterKey { tag: 1, id };
        Charge {
            key,
            overflow: key.id,
            rule: Rule { window: &self.window, number: self.number },
            op,
            binding: Binding::Enforced,
            on_error: OnError::Deny,
            freed_by,
            unit,
            memo: 0,
        }
    }

    /// Holds `units` of the tokens of counter `id`.
    pub(crate) fn hold(&self, id: u128, units: u64) -> Charge<'_> {
        self.hold_flexibly(id, units, 0)
    }

    /// Holds `fixed` of the tokens of counter `id`, and `flexible` more if there are as many.
    pub(crate) fn hold_flexibly(&self, id: u128, fixed: u64, flexible: u64) -> Charge<'_> {
        self.charge(id, Op::Hold { fixed, flexible }, Unit::Tokens, FreedBy::Holders)
    }

    /// Holds one of the slots of counter `id`.
    pub(crate) fn slot(&self, id: u128) -> Charge<'_> {
        self.charge(id, Op::Hold { fixed: 1, flexible: 0 }, Unit::Hits, FreedBy::Holders)
    }

    /// Takes `hits` of counter `id`, which can be given back.
    pub(crate) fn take(&self, id: u128, hits: u64) -> Charge<'_> {
        self.charge(id, Op::Take { room: hits, charge: hits }, Unit::Hits, FreedBy::Hand)
    }

    /// Spends `units` of the tokens of counter `id` at once.
    pub(crate) fn spend(&self, id: u128, units: u64) -> Charge<'_> {
        self.charge(id, Op::Take { room: units, charge: units }, Unit::Tokens, FreedBy::Holders)
    }
}

/// The name of a reservation.
pub(crate) fn name(number: u128) -> CounterKey {
    CounterKey { tag: 1, id: (1 << 64) | number }
}

/// So many tokens, and no money.
pub(crate) fn tokens(tokens: u64) -> Spent {
    Spent { tokens: Due::Exactly(tokens), money: Due::Exactly(0) }
}

/// How it was, however much was granted.
pub(crate) fn is_taken(reserved: &Reserved) -> bool {
    matches!(reserved.hold, Hold::Taken(_))
}

/// What was charged, is paid in all, is used and is held, of the first part.
pub(crate) fn part(settled: &Settled) -> (u64, u64, u64, u64) {
    let part = settled.parts[0];
    (part.charged, part.paid, part.outcome.standing.used, part.outcome.standing.held)
}

impl<S: Store> Bench<S> {
    /// Reserves `charges` under a name.
    pub(crate) async fn reserve(&self, number: u128, charges: &[Charge<'_>]) -> Reserved {
        let call = Reserve {
            name: name(number),
            body: 1,
            charges,
            accepts_less: None,
            about: &[],
            expenses: &[],
            life: LIFE,
        };
        self.store.reserve(call).await.unwrap()
    }

    /// Reserves `charges` under a name, and accepts less than all `units`, but one at least.
    pub(crate) async fn reserve_some(&self, number: u128, charges: &[Charge<'_>], units: u64) -> Reserved {
        let accepts_less = NonZeroU64::new(units);
        let call = Reserve {
            name: name(number),
            body: 1,
            charges,
            accepts_less,
            about: &[],
            expenses: &[],
            life: LIFE,
        };
        self.store.reserve(call).await.unwrap()
    }

    /// Settles what was reserved under a name.
    pub(crate) async fn settle(&self, number: u128, spent: Spent, then: Then) -> Settled {
        let call = Settle { name: name(number), spent, then, otherwise: &[], report: None, keep: KEEP };
        self.store.settle(call).await.unwrap()
    }

    /// Does `charges` at once, all or none.
    pub(crate) async fn charge(&self, charges: &[Charge<'_>]) -> Vec<bool> {
        let call = Call { charges, admission: Admission::AllOrNone, expenses: &[] };
        let answer = self.store.charge(call).await.unwrap();
        answer.outcomes.iter().map(|outcome| outcome.is_admitted()).collect()
    }

    /// Where the counter of `charge` is.
    pub(crate) async fn standing(&self, charge: Charge<'_>) -> Standing {
        let look = Charge { op: Op::Take { room: 0, charge: 0 }, binding: Binding::Counted, ..charge };
        let call = Call { charges: &[look], admission: Admission::AllOrNone, expenses: &[] };
        self.store.charge(call).await.unwrap().outcomes[0].standing
    }

    /// What is used and what is held of the counter of `charge`.
    pub(crate) async fn used_and_held(&self, charge: Charge<'_>) -> (u64, u64) {
        let standing = self.standing(charge).await;
        (standing.used, standing.held)
    }
}
