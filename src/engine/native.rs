//! Calls of native domains: limits, tiers, routes, and one answer for all of them.
//!
//! A call is charged to every limit it touches in one step of the store, or to none. What a descriptor
//! touches is found by [`select`], and [`plan`] turns that into charges; [`answer`] makes a decision of the outcomes.

mod about;
mod address;
mod answer;
mod breaker;
mod effect;
mod headers;
mod kept;
mod plan;
mod reading;
mod refused;
mod sample;
mod select;
mod shown;
mod spent;
mod stream;
mod unchecked;

use std::sync::Arc;

use crate::algorithm::{Outcome, Retry, Standing, Verdict};
use crate::clock::Timestamp;
use crate::limits::{Limit, LimitId, Mode, NativeDomain, Number, RuleSet, Tallied, TierId};
use crate::store::{Admission, Answer, Call, Outcomes, Store};

use super::breaker::trip;
use super::decision::{Code, Decision};
use super::hold::Known;
use super::request::{CheckRequest, InvalidRequest};
use super::{Engine, watch};

pub(super) use about::{about, is_plausible, read_as, subject_in};
pub(super) use breaker::breaker_of;
pub(super) use effect::{Asked, op};
pub(super) use kept::{Kept, KeptFor};
pub(super) use plan::Plan;
pub(super) use refused::refused_by;
pub(super) use sample::sample;
pub(super) use select::{Misnamed, Reached, misnamed, route_named};
pub(super) use stream::Bill;

/// One limit that a descriptor touches.
pub(super) struct Touch<'a> {
    id: LimitId,
    pub(super) limit: &'a Limit,
    tier: TierId,
    /// How much it allows on that tier, or by the caller's own number.
    pub(super) number: Number,
    pub(super) part: Part,
}

/// What the call does to a limit it touches.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// The charge with this index.
    Charged(usize),
    /// It is refused, because its subject is missing.
    Unnamed,
    /// Nothing: it is looked at for its breaker, by the charge with this index.
    Looked(usize),
    /// The charge with this index. Its breaker is open and stops the call.
    Stopped(usize),
    /// It is refused, because what it counts has no price.
    Unpriced,
}

/// A touched limit and what came of it.
#[derive(Clone, Copy)]
pub(super) struct Settled<'s> {
    pub(super) touch: &'s Touch<'s>,
    pub(super) outcome: &'s Outcome,
}

/// What comes of a limit that refuses whatever its counter says.
const REFUSED: Outcome = Outcome {
    verdict: Verdict::Refused(Retry::Never),
    standing: Standing { used: 0, held: 0, remaining: 0, reset_after: None },
};

pub(super) async fn check<S: Store>(
    engine: &Arc<Engine<S>>,
    rules: &RuleSet,
    domain: &NativeDomain,
    request: &CheckRequest<'_>,
) -> Result<Decision, InvalidRequest> {
    for (index, descriptor) in request.descriptors.iter().enumerate() {
        descriptor.validate_native(index)?;
    }
    if request.descriptors.iter().any(stream::is_of_stream) {
        // Boxed: what few calls need would make every waiting call larger.
        return Ok(Box::pin(stream::check(engine, rules, domain, request)).await);
    }
    let mut plan = Plan::new(engine);
    for descriptor in &request.descriptors {
        let hits = request.hits_of(descriptor);
        plan.add(domain, descriptor, |limit, number, reached| {
            op(limit, number, reached, descriptor.direction, hits).map(Asked::Op)
        });
    }
    plan.enforce(engine.settings.enforcement);
    let mut answer = charge(engine, domain, request, &plan).await;
    let reached = plan.stop(domain, &mut answer);
    let (at, outcomes) = (answer.at, &answer.outcomes);
    let decision = answer::decide(domain, engine.settings.enforcement, &plan, &answer);
    note(engine, domain, request, &plan, &answer, decision.code);
    let crossings = watch::crossings(engine, plan.grown(decision.code, outcomes));
    if !crossings.is_empty() {
        Box::pin(watch::raise(engine, domain, at, &crossings)).await;
    }
    if !reached.is_empty() {
        // Boxed: a wait that is seldom needed would make every waiting call larger.
        Box::pin(trip(engine, domain, at, &reached)).await;
    }
    Ok(decision)
}

/// Counts what came of a call that came out as `code`, and writes it down where somebody may ask for it.
#[inline(always)]
fn note<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    request: &CheckRequest<'_>,
    plan: &Plan<'_>,
    answer: &Answer,
    code: Code,
) {
    plan.settled(&answer.outcomes).for_each(|each| each.tally(code, |each| each.room(plan), answer));
    if code == Code::OverLimit {
        refused::write_down(engine, domain, request, plan, answer, |_, _| {});
    }
    if engine.sampler.takes_this() {
        sample(engine, domain, request.asked(), answer.at);
    }
}

async fn charge<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    request: &CheckRequest<'_>,
    plan: &Plan<'_>,
) -> Answer {
    if plan.spends() {
        // Boxed: what few calls need would make every waiting call larger.
        return Box::pin(spent::charge(engine, domain, request, plan)).await;
    }
    if plan.charges.is_empty() {
        return Answer { at: Timestamp::default(), outcomes: Outcomes::new(), degraded: None };
    }
    let call = Call { charges: &plan.charges, admission: Admission::AllOrNone, expenses: &[] };
    super::failure::ask(&engine.store, call).await
}

impl Touch<'_> {
    /// Whether any counter says where its limit stands.
    pub(super) fn is_asked(&self) -> bool {
        !matches!(self.part, Part::Unnamed | Part::Unpriced)
    }

    /// Which limit it is.
    pub(super) const fn id(&self) -> LimitId {
        self.id
    }

    /// On which tier the call is.
    pub(super) const fn tier(&self) -> TierId {
        self.tier
    }

    /// Which charge is made to it, if one is.
    pub(super) fn charge(&self) -> Option<usize> {
        match self.part {
            Part::Charged(index) | Part::Stopped(index) => Some(index),
            Part::Unnamed | Part::Unpriced | Part::Looked(_) => None,
        }
    }
}

impl<'s> Settled<'s> {
    fn of(touch: &'s Touch<'_>, outcomes: &'s [Outcome]) -> Self {
        let outcome = match touch.part {
            Part::Charged(index) | Part::Looked(index) | Part::Stopped(index) => &outcomes[index],
            Part::Unnamed | Part::Unpriced => &REFUSED,
        };
        Self { touch, outcome }
    }

    /// Counts what came of the limit, which was asked for so much `room`, in a call that came out as `code` by `answer`.
    pub(super) fn tally(self, code: Code, room: impl FnOnce(&Self) -> Option<u64>, answer: &Answer) {
        let Touch { limit, tier, .. } = self.touch;
        limit.tallies[tier.0].count(match (self.outcome.verdict, code) {
            (Verdict::Admitted, _) => Tallied::Admitted,
            (Verdict::Refused(_), Code::OverLimit) if limit.mode == Mode::Enforced => {
                match self.known(room, answer) {
                    Known::Amounts => Tallied::Refused,
                    Known::Nothing => Tallied::Unchecked,
                }
            }
            (Verdict::Refused(_), _) => Tallied::Over,
        });
    }
}
