//! Refusals by limits of tokens and money, written down once the answer is known.

use crate::algorithm::{Op, Outcome};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::request::CheckRequest;
use crate::engine::usage::Object;
use crate::limits::{NativeDomain, Number, Unit};
use crate::store::Store;

use super::about::about;
use super::plan::Plan;
use super::{Part, Settled};

/// Writes down that limits of tokens or money refused a call, if any did: whose the first descriptor is that met one,
/// and which ones refused.
#[cold]
#[inline(never)]
pub(super) fn write_down<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    request: &CheckRequest<'_>,
    plan: &Plan<'_>,
    at: Timestamp,
    outcomes: &[Outcome],
) {
    let mut refusing =
        plan.settled_by_descriptor(outcomes).map(|settled| refusals(settled, plan)).zip(&request.descriptors);
    let Some((by, descriptor)) = refusing.find(|(by, _)| !by.is_empty()) else { return };
    let mut line = Object::new();
    line.objects("refused_by", by);
    let about = about(domain, descriptor, engine.store.key_secret());
    engine.store.note_refusal(at, &about, &line.finish());
}

/// Those of `settled` that are limits of tokens or money and refuse.
fn refusals<'s>(settled: impl Iterator<Item = Settled<'s>>, plan: &Plan<'_>) -> Vec<Object> {
    let spent = settled.filter(|each| each.touch.limit.unit != Unit::Hits && each.refusal().is_some());
    let told = spent.map(|each| {
        let mut refusal = Object::new();
        refusal.text("limit", &each.touch.limit.name);
        refusal.text("reason", each.reason(plan));
        refusal
    });
    told.collect()
}

impl Settled<'_> {
    /// Why it refuses.
    fn reason(&self, plan: &Plan<'_>) -> &'static str {
        match (self.touch.part, self.touch.number) {
            (Part::Unnamed, _) => "missing_subject",
            (Part::Unpriced, _) => "unpriced_model",
            (Part::Guarded(_), _) => "breaker_open",
            (Part::Charged(_), Number::AtMost(0)) => "blocked_by_tier",
            (Part::Charged(index), Number::AtMost(most)) if exceeds(plan.charges[index].op, most) => {
                "too_large"
            }
            (Part::Charged(_), _) => "over_limit",
        }
    }
}

fn exceeds(op: Op, most: u64) -> bool {
    op.room().is_some_and(|room| room > most)
}
