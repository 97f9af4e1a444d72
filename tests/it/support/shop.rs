//! An engine over a store of a test's own, with limits of a domain `shop`, and what its callers and its operators ask.

use std::sync::Arc;

use tollgate::audit::{Journal, Record};
use tollgate::clock::Clock;
use tollgate::engine::{
    AuditQuery, Check, CheckRequest, Code, Descriptor, Engine, EngineSettings, Hold, Operate, OperateError,
    ReserveAnswer, ReserveRequest, ResetSubject, SubjectOf, SubjectReset, SubjectUsage, Unclaimed, UsageOf,
    Who,
};
use tollgate::limits::{Entry, LimitsHandle};
use tollgate::store::Store;

use super::admins::ann;
use super::bench::START;
use super::embedded::rules;

/// A journal of a test's own, which sets over `limits` what operators set.
pub(crate) fn journal(limits: &LimitsHandle, clock: &Clock) -> Journal {
    let limits = limits.clone();
    Journal::in_memory(clock.clone(), move |overlay, now| limits.set_over(overlay, now))
}

pub(crate) struct Shop<S>(pub(crate) Arc<Engine<S>>);

/// The entries of `key=value key=value`.
pub(crate) fn entries<'a>(pairs: &'a str) -> impl Iterator<Item = Entry<'a>> {
    let pair = |pair: &'a str| pair.split_once('=').expect("key=value");
    pairs
        .split_whitespace()
        .map(pair)
        .map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() })
}

/// Somebody, in the only domain that there is.
pub(crate) fn who(pairs: &str) -> Who<'_> {
    Who { domain: None, entries: entries(pairs).collect() }
}

/// A call of `shop` by one descriptor.
pub(crate) fn call(pairs: &str) -> CheckRequest<'_> {
    let descriptor = Descriptor { entries: entries(pairs).collect(), ..Descriptor::default() };
    CheckRequest { domain: b"shop", descriptors: [descriptor].into_iter().collect(), hits: 0 }
}

impl<S: Store> Shop<S> {
    /// By the limits in `file`, with a record of what operators do.
    pub(crate) fn over(store: S, file: &str) -> Self {
        let limits = LimitsHandle::new(rules(file));
        let journal = journal(&limits, &Clock::manual(START));
        Self(Arc::new(Engine::new(limits, store, EngineSettings::default()).recording(journal)))
    }

    pub(crate) async fn code(&self, pairs: &str) -> Code {
        self.0.check(call(pairs)).await.unwrap().code
    }

    pub(crate) async fn passes(&self, pairs: &str) -> bool {
        self.code(pairs).await == Code::Ok
    }

    /// Reserves what may be used; whoever asked has the answer.
    pub(crate) async fn reserve<'a>(&self, pairs: &'a str, estimate: UsageOf<'a>) -> ReserveAnswer {
        let subject = SubjectOf { domain: b"shop", entries: entries(pairs).collect() };
        let request = ReserveRequest { subject, estimate, ..ReserveRequest::default() };
        let answer = self.0.reserve(request).await.unwrap();
        answer.unclaimed.iter().for_each(Unclaimed::claim);
        answer
    }

    pub(crate) async fn usage(&self, pairs: &str) -> SubjectUsage {
        self.0.usage_of(who(pairs)).await.unwrap()
    }

    /// What is used and held of `limit`.
    pub(crate) async fn stands(&self, pairs: &str, limit: &str) -> (u64, u64) {
        let usage = self.usage(pairs).await;
        let found = usage.limits.iter().find(|told| &*told.standing.limit == limit).expect("it is told");
        (found.standing.used, found.standing.held)
    }

    pub(crate) async fn used(&self, pairs: &str, limit: &str) -> u64 {
        self.stands(pairs, limit).await.0
    }

    pub(crate) async fn try_reset(&self, pairs: &str, limits: &[&str]) -> Result<SubjectReset, OperateError> {
        let limits = limits.iter().map(|limit| limit.as_bytes()).collect();
        self.0.reset(&ann(), ResetSubject { who: who(pairs), limits, reason: "a test" }).await
    }

    pub(crate) async fn reset(&self, pairs: &str, limits: &[&str]) -> SubjectReset {
        self.try_reset(pairs, limits).await.unwrap()
    }

    /// What operators did, the latest first.
    pub(crate) async fn records(&self) -> Vec<Record> {
        self.0.audit(AuditQuery::default()).await.unwrap().records
    }
}
