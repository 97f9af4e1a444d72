//! What ann asks of the limit service: a domain with limits of each kind, and calls of it.

use tollgate::engine::EngineSettings;
use tollgate::store::Store;
use tollgate::transport::grpc::proto::tollgate::v1::{
    ReleaseRequest, ReserveRequest, ReserveResponse, SettleRequest, Subject, Usage, release_request,
};

use super::bench::Bench;
use super::limit_calls::{standing, subject};
use super::serving::Service;

pub(crate) const APP: &str = "
domains:
  app:
    per: user
    tier: {from: tier, default: free}
    limits:
      calls:   10/1m
      words:   tokens/1h
      spend:   $5.00 total
      open:    {limit: 2, window: concurrent, lease: 60s, max_age: 30m}
      kits:    3 total
      day:     $1.00/day
      named:   {limit: $1.00/1h, per: session, on_missing: refuse}
      trial:   {limit: 10 tokens/1h, shadow: true}
      burst:   100 tokens/1m burst 150
      free:    tokens/1m per all
      brief:   {limit: 1M tokens/1h, max_ttl: 2m}
      leased:  {limit: 1M tokens/1h, lease: 1m}
    tiers:
      free: {words: 1000, free: -1}
      none: {words: 0, free: 0}
    routes:
      llm:    [calls, words]
      paid:   [calls, spend]
      both:   [words, spend]
      stream: [open, calls]
      kits:   kits
      day:    day
      named:  [named, words]
      trial:  [trial, words]
      burst:  burst
      free:   free
      brief:  [brief, calls]
      strict: [brief, leased]
  old:
    per: user
    limits: {api: 5/1m}
prices:
  models:
    gpt-realtime: {input: 100.00, output: 200.00}
    gpt-5:
      - {input: 10.00, output: 30.00}
      - {from: 2026-12-01, input: 1.25, output: 10.00}
";

impl Service {
    /// Over the store of `bench`, at noon.
    pub(crate) async fn start<S: Store>(bench: &Bench<S>) -> Self {
        Self::with(bench, APP, EngineSettings::default()).await
    }

    /// `[used, held, remaining]` of `limit`, for ann on `route`.
    pub(crate) async fn stands(&self, route: &str, limit: &str) -> [i64; 3] {
        let peek = ReserveRequest { subject: Some(ann(route)), ..ReserveRequest::default() };
        // Looked at under a call that cannot be, so that nothing is charged.
        let estimate = Some(Usage { hits: 1 << 52, ..Usage::default() });
        let answer = self.reserve(ReserveRequest { estimate, ..peek }).await.unwrap();
        let found = standing(&answer.standings, limit);
        [found.used, found.held, found.remaining]
    }
}

/// What ann asks on `route`.
pub(crate) fn ann(route: &str) -> Subject {
    subject("app", &[("route", route), ("user", "ann")])
}

/// What ann asks where no route goes.
pub(crate) fn nowhere() -> Subject {
    subject("app", &[("path", "/nowhere"), ("method", "POST"), ("user", "ann")])
}

pub(crate) fn reserve(route: &str, estimate: Usage) -> ReserveRequest {
    ReserveRequest { subject: Some(ann(route)), estimate: Some(estimate), ..ReserveRequest::default() }
}

pub(crate) fn less(request: ReserveRequest) -> ReserveRequest {
    ReserveRequest { accept_less: true, ..request }
}

pub(crate) fn keyed(request: ReserveRequest, key: &str) -> ReserveRequest {
    ReserveRequest { idempotency_key: key.to_owned().into(), ..request }
}

pub(crate) fn drop_of(held: &ReserveResponse) -> ReleaseRequest {
    ReleaseRequest { reservation: held.reservation.clone().into(), ..ReleaseRequest::default() }
}

pub(crate) fn give_back(limit: &str, hits: u64, key: &str) -> ReleaseRequest {
    ReleaseRequest {
        subject: Some(subject("app", &[("user", "ann")])),
        limit: limit.to_owned().into(),
        amount: Some(release_request::Amount::Hits(hits)),
        idempotency_key: key.to_owned().into(),
        ..ReleaseRequest::default()
    }
}

/// What `used` comes to for ann on `route`, under the key `k`.
pub(crate) fn by_key(route: &str, used: Usage) -> SettleRequest {
    SettleRequest {
        subject: Some(ann(route)),
        used: Some(used),
        idempotency_key: "k".into(),
        ..SettleRequest::default()
    }
}

pub(crate) fn of_model(model: &str, usage: Usage) -> Usage {
    Usage { model: model.to_owned().into(), ..usage }
}
