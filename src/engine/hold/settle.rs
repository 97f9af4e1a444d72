//! Charging what a call came to.

use crate::clock::{Micros, Timestamp};
use crate::engine::native::about;
use crate::engine::{Enforcement, Engine};
use crate::limits::{Mode, NativeDomain, RuleSet, Unit};
use crate::money::NanoUsd;
use crate::prices::CostError;
use crate::store::{Before, Charge, Due, Part, Settle, Settled, Spent, Store, Then};

use super::amounts::{Amounts, cost};
use super::answer::{Done, LimitStanding, Reason, Ruling, SettleAnswer, Timing};
use super::estimate::teach;
use super::handle::{Handle, Kept};
use super::life::keep;
use super::name::{self, Purpose};
use super::request::{self, InvalidHold, LONGEST_TTL, Named, Progress, SettleRequest, SubjectOf, Usage};
use super::settled::{found_open, tell};
use super::told::Told;
use super::{HoldError, handle, native, refuse_unnamed, reserve};

/// The field of a request that says what was used.
const USED: &str = "used";

/// What was used, in the units of limits.
#[derive(Clone, Copy, Debug)]
struct Bill {
    spent: Spent,
    /// Why the money is not known.
    unpriced: Option<CostError>,
}

pub(super) async fn settle<S: Store>(
    engine: &Engine<S>,
    request: &SettleRequest<'_>,
) -> Result<SettleAnswer, HoldError> {
    let used = request.used.as_ref().map(|used| used.read(USED)).transpose()?;
    let rules = engine.limits.in_force();
    match &request.reserved {
        Named::Handle(text) => by_handle(engine, &rules, handle(text)?, used.as_ref(), request).await,
        Named::Key { subject, idempotency_key } => {
            let used = used.ok_or(InvalidHold::NoUsage)?;
            by_key(engine, &rules, subject, idempotency_key, &used, request).await
        }
    }
}

async fn by_handle<S: Store>(
    engine: &Engine<S>,
    rules: &RuleSet,
    handle: Handle,
    used: Option<&Usage<'_>>,
    request: &SettleRequest<'_>,
) -> Result<SettleAnswer, HoldError> {
    if handle.kept == Kept::Nothing {
        return Ok(SettleAnswer::untouched());
    }
    let at = request.used_at.unwrap_or(handle.began);
    let bill = match used {
        Some(used) => Bill::of(used, rules, at),
        None => Bill { spent: handle.unknown.spent(), unpriced: None },
    };
    let told = Told::of(handle.name, used, &rules.prices, at, Vec::new());
    let call = Settle {
        name: handle.name,
        spent: bill.spent,
        then: then(request.progress, handle.ttl),
        otherwise: &[],
        keep: keep(handle.kept, handle.ttl),
        report: Some(told.report()),
    };
    let settled = engine.store.settle(call).await.map_err(HoldError::Unavailable)?;
    if let Some(domain) = domain_of(rules, &settled) {
        tell(engine, domain, &settled).await;
    }
    match settled.before {
        Before::Unknown => Err(HoldError::UnknownReservation),
        _ => {
            learn(engine, &settled, used, request.progress);
            Ok(answer(engine, rules, &settled, bill, request.progress))
        }
    }
}

/// Settles what was reserved under a key, or charges what was not reserved at all.
async fn by_key<S: Store>(
    engine: &Engine<S>,
    rules: &RuleSet,
    subject: &SubjectOf<'_>,
    key: &[u8],
    used: &Usage<'_>,
    request: &SettleRequest<'_>,
) -> Result<SettleAnswer, HoldError> {
    let descriptor = subject.descriptor()?;
    let key = match request::idempotency_key(key)? {
        b"" => return Err(InvalidHold::NoIdempotencyKey.into()),
        key => key,
    };
    let domain = native(rules, subject.domain)?;
    let at = request.used_at.unwrap_or(engine.store.now());
    let bill = Bill::of(used, rules, at);
    let plan = reserve::plan(engine, domain, &descriptor, &Amounts::UNKNOWN);
    refuse_unnamed(&plan)?;
    let otherwise: Vec<Charge<'_>> =
        plan.charges.iter().filter(|charge| charge.unit != Unit::Hits).copied().collect();
    if let Some(error) = bill.unpriced.filter(|_| otherwise.iter().any(|charge| charge.unit == Unit::Money)) {
        return Err(HoldError::Unpriced(error));
    }
    let secret = engine.store.key_secret();
    let name = name::by_key(secret, Purpose::Reservation, &domain.name, &descriptor, key, &plan);
    let told = Told::of(name, Some(used), &rules.prices, at, about(domain, &descriptor, secret));
    let call = Settle {
        name,
        spent: bill.spent,
        then: then(request.progress, LONGEST_TTL),
        otherwise: &otherwise,
        keep: keep(Kept::ByKey, LONGEST_TTL),
        report: Some(told.report()),
    };
    let settled = engine.store.settle(call).await.map_err(HoldError::Unavailable)?;
    if let Some(domain) = domain_of(rules, &settled) {
        tell(engine, domain, &settled).await;
    }
    match settled.before {
        Before::Unknown => Ok(SettleAnswer::untouched()),
        _ => {
            learn(engine, &settled, Some(used), request.progress);
            Ok(answer(engine, rules, &settled, bill, request.progress))
        }
    }
}

impl Bill {
    /// For what was `used`, by the prices of `at`.
    fn of(used: &Usage<'_>, rules: &RuleSet, at: Timestamp) -> Self {
        let cost = cost(used, &rules.prices, at);
        let (tokens, money) = (Due::Exactly(used.tokens.total()), cost.map_or(Due::AsHeld, Due::Exactly));
        Self { spent: Spent { tokens, money }, unpriced: cost.err() }
    }
}

/// Learns what such a call uses, once it has come to its end.
fn learn<S: Store>(engine: &Engine<S>, settled: &Settled, used: Option<&Usage<'_>>, progress: Progress) {
    if let (Some(used), Progress::Done, true) = (used, progress, settled.before != Before::Settled) {
        teach(&mut engine.estimates.lock(), used.model, &used.tokens);
    }
}

fn then(progress: Progress, ttl: Micros) -> Then {
    match progress {
        Progress::More => Then::More { ttl },
        Progress::Done => Then::Done,
    }
}

fn answer<S: Store>(
    engine: &Engine<S>,
    rules: &RuleSet,
    settled: &Settled,
    bill: Bill,
    progress: Progress,
) -> SettleAnswer {
    let enforcement = engine.settings.enforcement;
    let done = if settled.before == Before::Settled { Done::Before } else { Done::Now };
    let mut standings = self::standings(rules, settled, enforcement);
    let charged = settled.parts.iter().filter(|part| part.unit == Unit::Money).map(|part| part.paid).max();
    if let Some(error) = bill.unpriced.filter(|_| charged.is_some() && done == Done::Now) {
        tracing::warn!(%error, "what was used has no price: what was held is charged");
        let money = standings.iter_mut().filter(|standing| standing.unit == Unit::Money);
        money.for_each(|standing| standing.reason = Some(Reason::UnpricedModel));
    }
    let mut ruling = Ruling::of(&standings);
    if progress == Progress::More {
        let open = open_breakers(rules, settled, enforcement);
        ruling = ruling.max(Ruling::of(&open));
        standings.retain(|standing| open.iter().all(|open| open.limit != standing.limit));
        standings.extend(open);
        if settled.until.is_none() {
            ruling = ruling.max(Ruling::without_room(Mode::Enforced, enforcement));
        }
    }
    SettleAnswer {
        ruling,
        charged: charged.map(NanoUsd),
        standings,
        until: settled.until,
        done,
        timing: if settled.before == Before::Late { Timing::Late } else { Timing::InTime },
    }
}

/// The domain of the limits that were settled; `None` if the rules no longer have it.
fn domain_of<'r>(rules: &'r RuleSet, settled: &Settled) -> Option<&'r NativeDomain> {
    settled.parts.iter().find_map(|part| rules.domain_of(part.limit))
}

/// Where the limits stand that were settled. Those that the rules no longer have are left out.
pub(in crate::engine) fn standings(
    rules: &RuleSet,
    settled: &Settled,
    enforcement: Enforcement,
) -> Vec<LimitStanding> {
    let domain = domain_of(rules, settled);
    let standing = |part: &Part, domain: &NativeDomain| {
        let limit = domain.of_identity(part.limit)?;
        Some(LimitStanding::new(limit, part.number, &part.outcome, settled.at, enforcement))
    };
    settled.parts.iter().filter_map(|part| standing(part, domain?)).collect()
}

/// The limits that stop all spending, of those whose breakers the reservation looked at.
fn open_breakers(rules: &RuleSet, settled: &Settled, enforcement: Enforcement) -> Vec<LimitStanding> {
    let Some(domain) = domain_of(rules, settled) else { return Vec::new() };
    let stop = |part: &Part| {
        let limit = found_open(domain, part)?;
        let own = settled
            .parts
            .iter()
            .find(|own| domain.of_identity(own.limit).is_some_and(|own| std::ptr::eq(own, limit)));
        let part = own.unwrap_or(part);
        Some(
            LimitStanding::new(limit, part.number, &part.outcome, settled.at, enforcement)
                .stopped(limit, enforcement),
        )
    };
    settled.parts.iter().filter_map(stop).collect()
}

impl SettleAnswer {
    /// Where no limit is touched.
    pub(super) fn untouched() -> Self {
        Self {
            ruling: Ruling::Allow,
            charged: None,
            standings: Vec::new(),
            until: None,
            done: Done::Now,
            timing: Timing::InTime,
        }
    }
}
