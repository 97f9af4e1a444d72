//! Calls of native domains: limits, tiers, routes, and one answer for all of them.
//!
//! A call is charged to every limit it touches in one step of the store, or to none. What a descriptor
//! touches is found by [`select`]; this module turns that into charges and the outcomes into
//! a decision.

mod answer;
mod headers;
mod plan;
mod select;
mod shown;
mod words;

use crate::algorithm::{Outcome, Retry, Standing, Verdict};
use crate::clock::Timestamp;
use crate::limits::{Limit, LimitId, Mode, NativeDomain, Number, Tallied, TierId};
use crate::store::{Admission, Call, Outcomes, Store};

use super::decision::{Code, Decision};
use super::request::{CheckRequest, InvalidRequest};
use super::{Enforcement, Engine};

/// One limit that a descriptor touches.
struct Touch<'a> {
    id: LimitId,
    limit: &'a Limit,
    tier: TierId,
    /// How much it allows on that tier, or by the caller's own number.
    number: Number,
    part: Part,
}

/// What the call does to a limit it touches.
#[derive(Clone, Copy)]
enum Part {
    /// The charge with this index.
    Charged(usize),
    /// It is refused, because its subject is missing.
    Unnamed,
}

/// A touched limit and what came of it.
struct Settled<'a> {
    touch: &'a Touch<'a>,
    outcome: Outcome,
}

pub(super) async fn check<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    request: &CheckRequest<'_>,
) -> Result<Decision, InvalidRequest> {
    for (index, descriptor) in request.descriptors.iter().enumerate() {
        descriptor.validate_native(index)?;
    }
    let addresses = select::addresses(request, domain.ipv6_prefix);
    let mut plan = plan::Plan::new(engine.store.key_secret());
    for (descriptor, address) in request.descriptors.iter().zip(&addresses) {
        plan.add(domain, request, descriptor, address.as_deref());
    }
    match engine.settings.enforcement {
        Enforcement::Enforced => plan.spare_the_unnamed(),
        Enforcement::Shadow => plan.unbind(),
    }
    let (at, outcomes) = charge(engine, &plan).await;
    let settled: Vec<Vec<Settled<'_>>> = plan
        .touched
        .iter()
        .map(|touched| touched.iter().map(|touch| settle(touch, &outcomes)).collect())
        .collect();
    let decision = answer::decide(domain, engine.settings.enforcement, at, &settled);
    settled.iter().flatten().for_each(|each| each.tally(decision.code));
    Ok(decision)
}

async fn charge<S: Store>(engine: &Engine<S>, plan: &plan::Plan<'_>) -> (Timestamp, Outcomes) {
    if plan.charges.is_empty() {
        return (Timestamp::default(), Outcomes::new());
    }
    let call = Call { charges: &plan.charges, admission: Admission::AllOrNone };
    super::failure::ask(&engine.store, call).await
}

impl Settled<'_> {
    /// Counts what came of the limit in a call that came out as `code`.
    fn tally(&self, code: Code) {
        let Touch { limit, tier, .. } = self.touch;
        limit.tallies[tier.0].count(match (self.outcome.verdict, code) {
            (Verdict::Admitted, _) => Tallied::Admitted,
            (Verdict::Refused(_), Code::OverLimit) if limit.mode == Mode::Enforced => Tallied::Refused,
            (Verdict::Refused(_), _) => Tallied::Over,
        });
    }
}

fn settle<'a>(touch: &'a Touch<'a>, outcomes: &[Outcome]) -> Settled<'a> {
    let outcome = match touch.part {
        Part::Charged(index) => outcomes[index],
        Part::Unnamed => Outcome {
            verdict: Verdict::Refused(Retry::Never),
            standing: Standing { used: 0, held: 0, remaining: 0, reset_after: None },
        },
    };
    Settled { touch, outcome }
}
