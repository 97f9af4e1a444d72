//! Refusals by limits of tokens and money, written down once the answer is known.

use crate::engine::Engine;
use crate::engine::hold::Reason;
use crate::engine::request::CheckRequest;
use crate::engine::usage::Object;
use crate::limits::{NativeDomain, Unit};
use crate::store::{Answer, Store};

use super::about::about;
use super::plan::Plan;
use super::sample::remember;
use super::{Part, Settled};

impl Settled<'_> {
    /// How much room its limit was asked for by `plan`.
    pub(super) fn room(&self, plan: &Plan<'_>) -> Option<u64> {
        match self.touch.part {
            Part::Charged(index) => plan.charges[index].op.room(),
            Part::Unnamed | Part::Unpriced | Part::Looked(_) | Part::Stopped(_) => None,
        }
    }

    /// Why its limit refuses, by `answer` to `plan`.
    pub(super) fn reason(&self, plan: &Plan<'_>, answer: &Answer) -> Reason {
        Reason::of(self, self.room(plan), answer)
    }
}

/// Writes down that limits of tokens or money refused a call, if any did, and remembers why it was refused: whose the first descriptor is that met one,
/// and which ones refused. `asked` adds what the descriptor at that place asked for.
#[cold]
#[inline(never)]
pub(super) fn write_down<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    request: &CheckRequest<'_>,
    plan: &Plan<'_>,
    answer: &Answer,
    asked: impl FnOnce(usize, &mut Object),
) {
    remember(engine, domain, request, plan, answer);
    let room = |settled: &Settled<'_>| settled.room(plan);
    let refusing =
        plan.settled_by_descriptor(&answer.outcomes).map(|settled| refused_by(settled, room, answer));
    let Some((place, by)) = refusing.enumerate().find(|(_, by)| !by.is_empty()) else { return };
    let mut line = Object::new();
    line.objects("refused_by", by);
    asked(place, &mut line);
    let about = about(domain, &request.descriptors[place], engine.store.key_secret(), None);
    engine.store.note_refusal(answer.at, &about, &line.finish());
}

/// Those of `settled` that are limits of tokens or money and refuse by `answer`, and why: each was asked for so much
/// `room`.
pub(in crate::engine) fn refused_by<'s>(
    settled: impl Iterator<Item = Settled<'s>>,
    room: impl Fn(&Settled<'s>) -> Option<u64>,
    answer: &Answer,
) -> Vec<Object> {
    let spent = settled.filter(|each| each.touch.limit.unit != Unit::Hits && each.refusal().is_some());
    let told = spent.map(|each| {
        let mut refusal = Object::new();
        refusal.text("limit", &each.touch.limit.name);
        refusal.text("reason", Reason::of(&each, room(&each), answer).name());
        refusal
    });
    told.collect()
}
