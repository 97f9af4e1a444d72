//! The breakers that a reset meets: those that the limits which are cleared have opened are closed in the same step, or whoever
//! is let in again would be stopped all the same. Those that all share are looked at, and stay as they are; so do those that
//! somebody opened by hand, which is no matter of what is used.

use std::sync::Arc;

use crate::algorithm::Outcome;
use crate::clock::Timestamp;
use crate::engine::breaker::{Guarded, Looked};
use crate::engine::native::{Kept, KeptFor};
use crate::limits::{BreakerStanding, CounterKey, NativeDomain};
use crate::store::Charge;

/// The breakers of limits that are cleared, and others that all share.
pub(super) struct Breakers<'a> {
    own: Vec<Guarded<'a>>,
    others: Vec<Guarded<'a>>,
    /// Of limits that are cleared, those that stay as they are.
    kept: Vec<CounterKey>,
}

impl<'a> Breakers<'a> {
    /// Those that clearing these limits meets, which are `kept_for` a subject.
    pub(super) fn of(kept_for: &KeptFor<'a, '_>, cleared: &[Kept<'a>]) -> Self {
        let own: Vec<_> = cleared.iter().filter_map(|kept| Guarded::of(kept.limit, kept.whose)).collect();
        let is_other = |guarded: &Guarded<'_>| own.iter().all(|own| own.key != guarded.key);
        let others = kept_for.breakers_of_all().filter(is_other).collect();
        Self { own, others, kept: Vec::new() }
    }

    /// The same, but those stay as they are that were opened by hand, by what came of the looks.
    pub(super) fn keeping_those_by_hand(self, looked: &[Outcome]) -> Self {
        let by_hand = self.own.iter().zip(looked).filter(|(_, outcome)| Guarded::is_open_by_hand(outcome));
        let kept = by_hand.map(|(guarded, _)| guarded.key).collect();
        Self { kept, ..self }
    }

    fn is_kept(&self, guarded: &Guarded<'_>) -> bool {
        self.kept.contains(&guarded.key)
    }

    /// A look at each.
    pub(super) fn looks(&self) -> impl Iterator<Item = Charge<'a>> {
        self.own.iter().chain(&self.others).map(|guarded| guarded.look_only())
    }

    /// What closes those that do not stay as they are.
    pub(super) fn closing(&self) -> impl Iterator<Item = Charge<'a>> {
        self.own.iter().filter(|own| !self.is_kept(own)).map(|guarded| guarded.close())
    }

    /// Of which limits they were open at `at`, by what came of the looks: those that are closed, and those that stay so.
    pub(super) fn open(&self, looked: &[Outcome], at: Timestamp) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let (own, others) = looked.split_at(self.own.len());
        let own =
            self.own.iter().zip(own).map(|(guarded, outcome)| (self.is_kept(guarded), guarded, outcome));
        let others = self.others.iter().zip(others).map(|(guarded, outcome)| (true, guarded, outcome));
        let stop = own
            .chain(others)
            .filter(|(_, guarded, outcome)| matches!(guarded.looked(outcome, at), Looked::Stopped(_)));
        let (stay, closed): (Vec<_>, Vec<_>) = stop.partition(|(stays, ..)| *stays);
        let names = |all: Vec<(_, &Guarded<'_>, _)>| {
            all.into_iter().map(|(_, guarded, _): (bool, _, &Outcome)| guarded.limit.name.clone()).collect()
        };
        (names(closed), names(stay))
    }

    /// All that do not stay as they are, are closed at `at`, of which these were open.
    pub(super) fn closed(&self, domain: &NativeDomain, open: &[Arc<str>], reason: &str, at: Timestamp) {
        for guarded in self.own.iter().filter(|own| !self.is_kept(own)) {
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
