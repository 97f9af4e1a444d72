//! Why: which rules a call would touch, and why a past one was refused. Nothing is charged by asking.

use std::sync::Arc;

use crate::algorithm::Op;
use crate::clock::{Micros, Timestamp};
use crate::engine::Engine;
use crate::engine::hold::{LimitStanding, Reason, Ruling, SubjectOf};
use crate::engine::native::{Asked, KeptFor, Misnamed, Plan, misnamed, op, route_named};
use crate::engine::request::{Descriptor, Direction};
use crate::limits::{MAX_AMOUNT, NativeDomain, Number, Unit};
use crate::store::{Answer, Outcomes, Store};

use super::ask::ask;
use super::error::{Near, OperateError};
use super::number::InForce;
use super::tier::TierFrom;
use super::who::{Who, domain};

/// Which rules would this call touch?
#[derive(Clone, Debug, Default)]
pub struct ExplainCall<'a> {
    /// The entries of its descriptor, and in which domain.
    pub who: Who<'a>,
    /// Its weight; `None` means 1.
    pub hits: Option<u64>,
}

/// What would come of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The domain.
    pub domain: Box<str>,
    /// The route that it takes, as written; `None` if it names its limit, or takes none.
    pub route: Option<Box<str>>,
    /// By whose numbers.
    pub tier: Box<str>,
    /// How that is known.
    pub tier_from: TierFrom,
    /// Whether it would pass.
    pub verdict: Foreseen,
    /// Every limit that it would touch, in the order of its descriptor.
    pub limits: Vec<RuleTouched>,
}

/// Whether a call would pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreseen {
    /// It would.
    Passes,
    /// It would not.
    Refused,
}

/// A limit that a call would touch.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTouched {
    /// Where it stands before the call, and what it says of the call.
    pub standing: LimitStanding,
    /// How much it allows, and who says so.
    pub number: InForce,
    /// What the call asks of it: units.
    pub asks: u64,
}

/// A call that was refused, as far as it is remembered: nothing of its caller but what was asked by.
#[derive(Clone, Debug, PartialEq)]
pub struct PastRefusal {
    /// When.
    pub at: Timestamp,
    /// In which domain.
    pub domain: Box<str>,
    /// On which tier.
    pub tier: Box<str>,
    /// Every limit that refused it.
    pub limits: Vec<RefusedBy>,
}

/// A limit that refused a call.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedBy {
    /// Its name.
    pub limit: Arc<str>,
    /// What it counts.
    pub unit: Unit,
    /// Why.
    pub reason: Reason,
    /// How much it allowed.
    pub number: Number,
    /// How much was used.
    pub used: u64,
    /// How much was held.
    pub held: u64,
    /// When to come back, from then on; `None` if waiting did not help.
    pub retry_after: Option<Micros>,
}

pub(super) async fn explain<S: Store>(
    engine: &Engine<S>,
    request: &ExplainCall<'_>,
) -> Result<Explanation, OperateError> {
    let rules = engine.limits.load();
    let domain = domain(&rules, request.who.domain)?;
    let descriptor = descriptor(domain, &request.who)?;
    let hits = request.hits.unwrap_or(1);
    if hits > MAX_AMOUNT {
        return Err(OperateError::TooManyHits(hits));
    }
    let mut plan = Plan::new(engine).imagined();
    plan.add(domain, &descriptor, |limit, number, reached| {
        op(limit, number, reached, Direction::Charge, hits).map(Asked::Op)
    });
    plan.enforce(engine.settings.enforcement);
    let asks: Vec<u64> = plan.charges.iter().map(|charge| units(charge.op)).collect();
    plan.charges.iter_mut().for_each(|charge| charge.op = charge.op.peek());
    let mut answer = match plan.charges.as_slice() {
        [] => Answer { at: engine.store.now(), outcomes: Outcomes::new(), degraded: None },
        charges => ask(engine, charges).await?,
    };
    // Nothing was charged, so no breaker opens by it.
    _ = plan.stop(domain, &mut answer);
    let limits = touched(engine, domain, &plan, &asks, &answer);
    let is_refused = limits.iter().any(|limit| limit.standing.ruling == Ruling::Deny);
    let kept = KeptFor::new(domain, &descriptor, engine.store.key_secret());
    Ok(Explanation {
        domain: domain.name.clone(),
        route: route_named(domain, &descriptor).map(Into::into),
        tier: domain.tiers.names[kept.tier().0].clone(),
        tier_from: decided_by(domain, &kept),
        verdict: if is_refused { Foreseen::Refused } else { Foreseen::Passes },
        limits,
    })
}

/// The descriptor of such a call, if what it names is there.
fn descriptor<'a>(domain: &'a NativeDomain, who: &Who<'a>) -> Result<Descriptor<'a>, OperateError> {
    let entries = who.entries.iter().copied().collect();
    let descriptor = SubjectOf { domain: domain.name.as_bytes(), entries }.descriptor()?;
    match misnamed(domain, &descriptor) {
        None => Ok(descriptor),
        Some(Misnamed::Limit(name)) => {
            let names = domain.limits.iter().map(|limit| &*limit.name);
            Err(OperateError::UnknownLimit(Near::of(name, names)))
        }
        Some(Misnamed::Route(name)) => Err(OperateError::UnknownRoute(Near::of(name, domain.routes.names()))),
    }
}

/// What `op` charges.
fn units(op: Op) -> u64 {
    match op {
        Op::Take { charge, .. } => charge,
        Op::GiveBack { .. } | Op::Set { .. } | Op::Clear | Op::Hold { .. } => 0,
    }
}

/// What every limit that `plan` touches says, and of what it was asked: `asks` by charge.
fn touched<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    plan: &Plan<'_>,
    asks: &[u64],
    answer: &Answer,
) -> Vec<RuleTouched> {
    let enforcement = engine.settings.enforcement;
    let touched = plan.settled(&answer.outcomes).map(|settled| {
        let touch = settled.touch;
        let charge = touch.charge().map(|index| &plan.charges[index]);
        let number = match charge {
            Some(charge) => InForce::of(domain, touch.id(), touch.tier(), (charge.key, charge.overflow)),
            None => InForce::given(domain.given(touch.tier(), touch.id())),
        };
        let room = charge.and_then(|charge| charge.op.room());
        let standing = LimitStanding::of_asked(settled, room, answer, enforcement);
        RuleTouched { standing, number, asks: touch.charge().map_or(0, |index| asks[index]) }
    });
    touched.collect()
}

/// How it is known on which tier such a call is decided.
fn decided_by(domain: &NativeDomain, kept: &KeptFor<'_, '_>) -> TierFrom {
    let given = kept.value_of(&domain.tiers.from).and_then(|name| domain.tiers.by_name(name));
    match (given, kept.value_of(&domain.tiers.from), kept.assigned_tier()) {
        (Some(_), ..) if domain.has_tiers() => TierFrom::Given,
        (_, None, Some(_)) => TierFrom::Assigned,
        _ => TierFrom::Default,
    }
}
