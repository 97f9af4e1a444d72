//! The breakers that a reset meets: those of limits that are cleared are closed in the same step, or whoever is let in again
//! would be stopped all the same. Those that all share are looked at, and stay as they are.

use std::sync::Arc;

use crate::algorithm::Outcome;
use crate::clock::Timestamp;
use crate::engine::breaker::{Guarded, Looked};
use crate::engine::native::{Kept, KeptFor};
use crate::limits::{BreakerStanding, NativeDomain};
use crate::store::Charge;

/// The breakers of limits that are cleared, and others that all share.
pub(super) struct Breakers<'a> {
    own: Vec<Guarded<'a>>,
    others: Vec<Guarded<'a>>,
}

impl<'a> Breakers<'a> {
    /// Those that clearing these limits meets, which are `kept_for` a subject.
    pub(super) fn of(kept_for: &KeptFor<'a, '_>, cleared: &[Kept<'a>]) -> Self {
        let own: Vec<_> = cleared.iter().filter_map(|kept| Guarded::of(kept.limit, kept.whose)).collect();
        let is_other = |guarded: &Guarded<'_>| own.iter().all(|own| own.key != guarded.key);
        let others = kept_for.breakers_of_all().filter(is_other).collect();
        Self { own, others }
    }

    /// A look at each.
    pub(super) fn looks(&self) -> impl Iterator<Item = Charge<'a>> {
        self.own.iter().chain(&self.others).map(|guarded| guarded.look_only())
    }

    /// What closes those of the limits that are cleared.
    pub(super) fn closing(&self) -> impl Iterator<Item = Charge<'a>> {
        self.own.iter().map(|guarded| guarded.close())
    }

    /// Of which limits they were open at `at`, by what came of the looks: of those that are cleared, and of the others.
    pub(super) fn open(&self, looked: &[Outcome], at: Timestamp) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let (own, others) = looked.split_at(self.own.len());
        let open = |breakers: &[Guarded<'_>], looked: &[Outcome]| {
            let stop = breakers
                .iter()
                .zip(looked)
                .filter(|(guarded, outcome)| matches!(guarded.looked(outcome, at), Looked::Stopped(_)));
            stop.map(|(guarded, _)| guarded.limit.name.clone()).collect()
        };
        (open(&self.own, own), open(&self.others, others))
    }

    /// Those of the limits that are cleared are closed at `at`, of which these were open.
    pub(super) fn closed(&self, domain: &NativeDomain, open: &[Arc<str>], reason: &str, at: Timestamp) {
        for guarded in &self.own {
            guarded.see(BreakerStanding::CLOSED, at);
            let limit = &*guarded.limit.name;
            if open.iter().any(|name| **name == *limit) {
                let (domain, subject) = (&*domain.name, guarded.subject());
                tracing::warn!(
                    domain,
                    limit,
                    subject,
                    reason,
                    "a breaker was closed with what is used of its limit"
                );
            }
        }
    }
}
