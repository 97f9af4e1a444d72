//! Giving back: what a reservation holds, or units of one limit.

use crate::algorithm::Op;
use crate::clock::Micros;
use crate::engine::Engine;
use crate::engine::native::{Asked, Plan, op};
use crate::engine::request::{Descriptor, Direction};
use crate::limits::{CounterKey, Entry, MAX_AMOUNT, NativeDomain};
use crate::store::{
    Admission, Answer, Before, Call, Due, Hold, Life, Reserve, Reserved, Settle, Spent, Store, StoreError,
    Then,
};

use super::answer::{Done, LimitStanding, ReleaseAnswer};
use super::handle::{Handle, Kept};
use super::life::{KEPT_SETTLED, keep};
use super::name::{self, Purpose};
use super::request::{self, Amount, InvalidHold, ReleaseRequest, SubjectOf};
use super::settle::standings;
use super::settlements::{count, make};
use super::{HoldError, handle, native, refuse_unnamed};

/// How long something lives that holds nothing.
const MOMENT: Micros = Micros(1);

pub(super) async fn release<S: Store>(
    engine: &Engine<S>,
    request: &ReleaseRequest<'_>,
) -> Result<ReleaseAnswer, HoldError> {
    match request {
        ReleaseRequest::Held(text) => held(engine, handle(text)?).await,
        ReleaseRequest::Units { subject, limit, amount, idempotency_key } => {
            units(engine, subject, limit, *amount, idempotency_key).await
        }
    }
}

/// Ends a hold.
async fn held<S: Store>(engine: &Engine<S>, handle: Handle) -> Result<ReleaseAnswer, HoldError> {
    if handle.kept == Kept::Nothing {
        return Ok(ReleaseAnswer::untouched());
    }
    let call = Settle {
        name: handle.name,
        spent: Spent { tokens: Due::AsHeld, money: Due::AsHeld },
        then: Then::Released,
        otherwise: &[],
        keep: KEPT_SETTLED,
        report: None,
    };
    let settled = make(engine, call).await.map_err(HoldError::Unavailable)?;
    let done = match settled.before {
        Before::Unknown => return Err(HoldError::UnknownReservation),
        Before::Settled => Done::Before,
        Before::Held | Before::Late | Before::Unheld => Done::Now,
    };
    let rules = engine.limits.in_force();
    count(engine, &rules, (handle.name, &settled, Then::Released), &[], settled.at);
    Ok(ReleaseAnswer { standings: standings(&rules, &settled, engine.settings.enforcement), done })
}

/// Gives units of one limit back.
async fn units<'a, S: Store>(
    engine: &Engine<S>,
    subject: &SubjectOf<'a>,
    limit: &'a [u8],
    amount: Amount,
    key: &[u8],
) -> Result<ReleaseAnswer, HoldError> {
    let mut descriptor = subject.descriptor()?;
    let key = request::idempotency_key(key)?;
    if limit.is_empty() {
        return Err(InvalidHold::NoLimit.into());
    }
    if descriptor.entries.iter().any(|entry| entry.key == b"limit") {
        return Err(InvalidHold::LimitTwice.into());
    }
    descriptor.entries.push(Entry { key: b"limit", value: limit });
    descriptor.direction = Direction::GiveBack;
    let rules = engine.limits.in_force();
    let domain = native(&rules, subject.domain)?;
    let plan = plan(engine, domain, limit, &descriptor, amount)?;
    if plan.charges.is_empty() {
        return Ok(ReleaseAnswer::untouched());
    }
    let call = Call { charges: &plan.charges, admission: Admission::AllOrNone, expenses: &[] };
    let unanswered = unanswered(key, amount);
    let (answer, done) = match key {
        b"" => (engine.store.charge(call).await.map_err(unanswered)?, Done::Now),
        key => {
            let secret = engine.store.key_secret();
            let name = name::by_key(secret, Purpose::GiveBack, &domain.name, &descriptor, key);
            once(engine, name, amount, &plan).await?
        }
    };
    if let Some(error) = answer.degraded {
        return Err(unanswered(error));
    }
    let enforcement = engine.settings.enforcement;
    let standing = |each| LimitStanding::of_asked(each, None, &answer, enforcement);
    Ok(ReleaseAnswer { standings: plan.settled(&answer.outcomes).map(standing).collect(), done })
}

/// What is said where the store does not answer whether it has given `amount` back, under `key` if that is not empty.
const fn unanswered(key: &[u8], amount: Amount) -> fn(StoreError) -> HoldError {
    match amount {
        Amount::Hits(_) if key.is_empty() => HoldError::Unsure,
        // Whoever says how many are left may say so twice.
        Amount::Hits(_) | Amount::AllBut(_) => HoldError::Unavailable,
    }
}

/// What gives `amount` back to the limit called `name`.
fn plan<'a, S: Store>(
    engine: &'a Engine<S>,
    domain: &'a NativeDomain,
    name: &[u8],
    descriptor: &Descriptor<'_>,
    amount: Amount,
) -> Result<Plan<'a>, HoldError> {
    let (Amount::Hits(units) | Amount::AllBut(units)) = amount;
    if units > MAX_AMOUNT {
        return Err(InvalidHold::TooManyUnits { field: amount.field(), units }.into());
    }
    let id = domain.by_name.get(name).ok_or_else(|| unknown(name))?;
    if !domain.limit(*id).takes_back() {
        return Err(HoldError::NotRefundable(request::repeated(name)));
    }
    let mut plan = Plan::new(engine);
    plan.add(domain, descriptor, |limit, number, reached| {
        match (op(limit, number, reached, Direction::GiveBack, units)?, amount) {
            (Op::GiveBack { units }, Amount::AllBut(_)) => Some(Asked::Op(Op::Set { units })),
            (op, _) => Some(Asked::Op(op)),
        }
    });
    refuse_unnamed(&plan)?;
    Ok(plan)
}

fn unknown(name: &[u8]) -> HoldError {
    HoldError::UnknownLimit { field: "limit", name: request::repeated(name) }
}

/// Does what `plan` says under `name`, unless that was done before.
async fn once<S: Store>(
    engine: &Engine<S>,
    name: CounterKey,
    amount: Amount,
    plan: &Plan<'_>,
) -> Result<(Answer, Done), HoldError> {
    let body = match amount {
        Amount::Hits(units) => units,
        Amount::AllBut(units) => !units,
    };
    let life = Life { ttl: MOMENT, max_age: MOMENT, keep: keep(MOMENT) };
    let call =
        Reserve { name, body, charges: &plan.charges, accepts_less: None, life, about: &[], expenses: &[] };
    let Reserved { answer, hold } = engine.store.reserve(call).await.map_err(HoldError::Unavailable)?;
    match hold {
        Hold::Conflict => Err(HoldError::Conflict),
        Hold::Replayed(_) => Ok((answer, Done::Before)),
        Hold::Taken(_) | Hold::Refused | Hold::Unheld => Ok((answer, Done::Now)),
    }
}

impl ReleaseAnswer {
    /// Where no limit is touched.
    pub(super) fn untouched() -> Self {
        Self { standings: Vec::new(), done: Done::Now }
    }
}
