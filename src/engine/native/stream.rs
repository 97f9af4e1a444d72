//! Calls that hold what they may use when they begin and settle it when they end, by nothing but descriptors: Envoy asks
//! once before a call and once after it.
//!
//! | entry | what it says |
//! |---|---|
//! | `reserve` | before a call: hold so many tokens, so much money, or what such a call is expected to use |
//! | `hold` | at its end: which hold it is, as the answer to the first call named it |
//! | `usage` | at its end: which class of tokens the hits are |
//! | `model` | of which model they are |
//! | `idempotency_key` | beside `usage` without a hold: what is told again under it is charged once |
//!
//! All descriptors of a call with `reserve` are one reservation, together with all else that the call charges. All of one
//! hold are one settle, priced once, and a second one changes nothing. Callers wrote part of what is read here, so none of
//! it is ever an error, and nothing that was used is free because it was told in a way that cannot be read.

mod begin;
mod bill;
mod end;
mod role;

use std::sync::Arc;

use smallvec::SmallVec;

use crate::algorithm::Outcome;
use crate::clock::Timestamp;
use crate::engine::breaker::{Guarded, trip};
use crate::engine::decision::{Code, Decision};
use crate::engine::hold::Handle;
use crate::engine::request::{CheckRequest, Descriptor};
use crate::engine::{Engine, Settling, watch};
use crate::limits::{NativeDomain, RuleSet};
use crate::store::Store;

use super::plan::Plan;
use super::sample::sample;
pub(in crate::engine) use bill::Bill;
use role::Role;

/// Whether `descriptor` has to do with holds.
pub(super) fn is_of_stream(descriptor: &Descriptor<'_>) -> bool {
    descriptor.entries.iter().any(|entry| matches!(entry.key, b"reserve" | b"hold" | b"usage"))
}

/// Decides a call with such descriptors. What ends is settled first, so that what begins finds its room.
pub(super) async fn check<S: Store>(
    engine: &Arc<Engine<S>>,
    rules: &RuleSet,
    domain: &NativeDomain,
    request: &CheckRequest<'_>,
) -> Decision {
    let settles = |hold: &Handle| match engine.settings.settling {
        Settling::Any => true,
        Settling::OfOwnDomain => hold.is_of(engine.store.key_secret(), domain.name.as_bytes()),
    };
    let role = |descriptor| Role::of(domain, descriptor, settles, &engine.oddities);
    let roles: SmallVec<[Role<'_>; 4]> = request.descriptors.iter().map(role).collect();
    let over = end::end(engine, rules, domain, request, &roles).await;
    let mut decision = begin::begin(engine, rules, domain, request, &roles).await;
    end::tell(&mut decision, &over);
    if engine.sampler.takes_this() {
        let asked = request.asked().zip(&roles);
        let begins = asked.filter_map(|(asked, role)| (!matches!(role, Role::Ends { .. })).then_some(asked));
        sample(engine, domain, begins, engine.store.now());
    }
    decision
}

/// Tells of what a call crossed that came out as `code`, and opens the breakers whose limits it `reached`.
async fn follow<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    plan: &Plan<'_>,
    code: Code,
    (at, outcomes): (Timestamp, &[Outcome]),
    reached: &[Guarded<'_>],
) {
    let crossings = watch::crossings(engine, plan.grown(code, outcomes));
    watch::raise(engine, domain, at, &crossings).await;
    trip(engine, domain, at, reached).await;
}
