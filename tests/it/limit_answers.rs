//! What the limit service answers where callers leave much open, go away, or come back to rules that have changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic::Code;

use tollgate::clock::Clock;
use tollgate::engine::{Engine, EngineSettings};
use tollgate::limits::LimitsHandle;
use tollgate::store::memory::MemoryStore;
use tollgate::store::{self, Answer, Call, Reserve, Reserved, Settle, Settled, Store, StoreError};
use tollgate::transport::grpc::proto::tollgate::v1::{
    Decision, ReleaseRequest, ReserveRequest, SettleRequest, Subject, Usage,
};

use crate::support::bench::{Bench, promises};
use crate::support::embedded::rules;
use crate::support::limit_calls::{DOLLAR, amounts, done, standing, subject, tokens, usd};
use crate::support::serving::Service;

const APP: &str = "
domains:
  app:
    per: user
    limits:
      words:  500 tokens/1h
      many:   1M tokens/1h
      cents:  $0.05/1h
      crumbs: $0.0001/1h
      each:   {limit: 300 tokens/request, on_error: deny}
      budget: {limit: $1.00/1h, per: all, on_limit: trip, reset: manual}
      slots:  {limit: 3, window: concurrent}
      kits:   3 total
    routes:
      words:  words
      many:   many
      cents:  [many, cents]
      crumbs: crumbs
      each:   each
      budget: budget
      slots:  slots
      kits:   [kits, words]
  other:
    limits: {words: 10 tokens/1h}
prices:
  models:
    gpt-realtime: {input: 100.00, output: 200.00}
";

/// What `user` asks on `route`.
fn of(user: &str, route: &str) -> Subject {
    subject("app", &[("route", route), ("user", user)])
}

fn reserve(user: &str, route: &str, estimate: Usage) -> ReserveRequest {
    ReserveRequest { subject: Some(of(user, route)), estimate: Some(estimate), ..ReserveRequest::default() }
}

/// Of what a call of the model is expected to use.
fn expected(user: &str, route: &str) -> ReserveRequest {
    reserve(user, route, tokens(&[]))
}

promises!(of [memory, redis]: {
    no_more_is_expected_than_limits_allow_at_all,
    what_one_caller_uses_is_not_expected_of_others,
    what_was_reserved_is_settled_whatever_the_rules_have_become,
    a_handle_is_its_reservation_whatever_stands_beside_it,
    hits_are_taken_whole_or_not_at_all,
});

async fn no_more_is_expected_than_limits_allow_at_all<S: Store>(bench: Bench<S>) {
    let service = Service::with(&bench, APP, EngineSettings::default()).await;
    for (route, limit, output, held) in
        [("words", "words", 500, 500), ("cents", "cents", 250, DOLLAR / 20), ("each", "each", 300, 0)]
    {
        let answer = service.held(expected("ann", route)).await;
        assert_eq!(answer.granted.unwrap().tokens, tokens(&[("output", output)]).tokens, "{route}");
        assert_eq!(standing(&answer.standings, limit).held, held, "{route}");
    }
    let full = service.reserve(expected("ann", "words")).await.unwrap();
    let words = standing(&full.standings, "words");
    assert_eq!((full.decision(), words.reason.as_str()), (Decision::Deny, "over_limit"), "nothing is left");
    service.held(reserve("bob", "words", tokens(&[("output", 400)]))).await;
    let less = ReserveRequest { accept_less: true, ..expected("bob", "words") };
    assert_eq!(service.held(less).await.granted.unwrap().tokens["output"], 100);
    let said = service.reserve(reserve("ann", "each", tokens(&[("output", 301)]))).await.unwrap();
    assert_eq!(standing(&said.standings, "each").reason, "too_large", "so the caller says itself");

    // Not a token can be paid of it: nothing is held, and the call begins if a unit is left.
    let crumbs = service.held(expected("ann", "crumbs")).await;
    assert_eq!(amounts(&crumbs.standings, "crumbs"), [0, 0, 100_000]);
    service.settle(done(&crumbs, tokens(&[("output", 1)]))).await.unwrap();
    assert_eq!(service.reserve(expected("ann", "crumbs")).await.unwrap().decision(), Decision::Deny);
    service.stop().await;
}

async fn what_one_caller_uses_is_not_expected_of_others<S: Store>(bench: Bench<S>) {
    let service = Service::with(&bench, APP, EngineSettings::default()).await;
    let use_of = |user: &str, output| SettleRequest {
        subject: Some(of(user, "many")),
        idempotency_key: format!("{user}{output}").into(),
        used: Some(tokens(&[("input", 10), ("output", output)])),
        ..SettleRequest::default()
    };
    for output in 500_000..500_040 {
        service.settle(use_of("mallory", output)).await.unwrap();
    }
    for user in 0..20 {
        service.settle(use_of(&user.to_string(), 100)).await.unwrap();
    }
    let granted = service.held(expected("ann", "many")).await.granted.unwrap();
    assert_eq!(granted.tokens, tokens(&[("input", 10), ("output", 103)]).tokens, "the step that 100 is in");
    service.stop().await;
}

async fn what_was_reserved_is_settled_whatever_the_rules_have_become<S: Store>(bench: Bench<S>) {
    let limits = LimitsHandle::new(rules(APP));
    let engine = Engine::new(limits.clone(), bench.store.clone(), EngineSettings::default());
    let service = Service::of(engine, bench.clock.clone()).await;
    let call =
        ReserveRequest { idempotency_key: "k".into(), ..reserve("ann", "words", tokens(&[("output", 9)])) };
    service.held(call).await;
    limits.swap(rules(&APP.replace("      words:  words\n", "")));
    let settle = |key: &'static str| SettleRequest {
        subject: Some(of("ann", "words")),
        idempotency_key: key.into(),
        used: Some(tokens(&[("output", 7)])),
        ..SettleRequest::default()
    };
    let settled = service.settle(settle("k")).await.unwrap();
    assert_eq!((settled.charged_tokens, amounts(&settled.standings, "words")), (7, [7, 0, 493]));
    let error = service.settle(settle("of nothing")).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().starts_with("subject.entries.route: "), "{error}");
    service.stop().await;
}

async fn a_handle_is_its_reservation_whatever_stands_beside_it<S: Store>(bench: Bench<S>) {
    let service = Service::with(&bench, APP, EngineSettings::default()).await;
    let held = service.held(reserve("ann", "words", tokens(&[("output", 9)]))).await;
    let elsewhere = subject("other", &[("limit", "words"), ("user", "ann")]);
    let beside = SettleRequest { subject: Some(elsewhere.clone()), ..done(&held, tokens(&[("output", 7)])) };
    let settled = service.settle(beside).await.unwrap();
    assert_eq!(amounts(&settled.standings, "words"), [7, 0, 493]);
    let untouched = ReserveRequest { subject: Some(elsewhere), ..ReserveRequest::default() };
    assert_eq!(amounts(&service.held(untouched).await.standings, "words"), [0, 0, 10]);
    service.stop().await;
}

async fn hits_are_taken_whole_or_not_at_all<S: Store>(bench: Bench<S>) {
    let service = Service::with(&bench, APP, EngineSettings::default()).await;
    let kits = |hits, output| {
        let estimate = Usage { hits, ..tokens(&[("output", output)]) };
        ReserveRequest { accept_less: true, ..reserve("ann", "kits", estimate) }
    };
    let held = service.held(kits(2, 900)).await;
    let granted = held.granted.unwrap();
    assert_eq!((granted.hits, granted.tokens["output"]), (2, 500), "only tokens are less");
    for (hits, reason) in [(2, "over_limit"), (4, "too_large")] {
        let refused = service.reserve(kits(hits, 0)).await.unwrap();
        let kits = standing(&refused.standings, "kits");
        assert_eq!((refused.decision(), kits.reason.as_str(), kits.used), (Decision::Deny, reason, 2));
        assert_eq!(kits.retry_after, None, "no time brings them back");
    }
    service.stop().await;
}

/// A store that tells nobody what came of a step before it is let.
#[derive(Clone)]
struct Halting {
    store: Arc<MemoryStore>,
    /// One permit for each step that may be told of, but for those of looks.
    lets: Arc<Semaphore>,
    /// One for each that was done.
    did: Arc<Semaphore>,
}

impl Halting {
    async fn tell<T>(&self, done: T) -> T {
        self.did.add_permits(1);
        self.lets.acquire().await.unwrap().forget();
        done
    }
}

impl store::Layer for Halting {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        let done = self.inner().charge(call).await;
        self.tell(done).await
    }

    async fn reserve(&self, call: Reserve<'_>) -> Result<Reserved, StoreError> {
        let done = self.inner().reserve(call).await;
        self.tell(done).await
    }

    async fn settle(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        let done = self.inner().settle(call).await;
        self.tell(done).await
    }
}

/// A service over a halting store.
async fn halting() -> (Service, Halting) {
    let bench = Bench::memory().await;
    let (lets, did) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let store = Halting { store: bench.store.clone(), lets, did };
    let engine = Engine::new(LimitsHandle::new(rules(APP)), store.clone(), EngineSettings::default());
    let clock: Clock = bench.clock.clone();
    (Service::of(engine, clock).await, store)
}

impl Halting {
    /// Waits until so many more steps are done, none of which may be told of.
    async fn has_done(&self, steps: u32) {
        let done = tokio::time::timeout(Duration::from_secs(60), self.did.acquire_many(steps)).await;
        done.expect("the steps are made").unwrap().forget();
    }
}

/// Has the caller that makes `call` go, and the service hear of it: what came after that on their connection is answered.
async fn gone<T>(service: &Service, call: JoinHandle<T>) {
    call.abort();
    assert!(call.await.is_err(), "it is not answered");
    assert!(service.release(ReleaseRequest::default()).await.is_err(), "it says nothing");
}

#[tokio::test]
async fn whoever_goes_before_it_is_told_of_its_hold_holds_nothing() {
    let (service, store) = halting().await;
    let mut client = service.client.clone();
    let call = tokio::spawn(async move { client.reserve(expected("ann", "slots")).await });
    store.has_done(1).await;
    gone(&service, call).await;
    // What gives it back is the next step, and then somebody looks.
    store.lets.add_permits(1);
    store.has_done(1).await;
    store.lets.add_permits(100);
    let held = service.held(expected("ann", "slots")).await;
    assert_eq!(amounts(&held.standings, "slots"), [0, 1, 2]);
    assert_eq!(
        amounts(&service.held(expected("ann", "slots")).await.standings, "slots"),
        [0, 2, 1],
        "it was told"
    );
    service.stop().await;
}

#[tokio::test]
async fn what_a_settle_trips_is_opened_even_if_its_caller_has_gone() {
    let (service, store) = halting().await;
    let mut client = service.client.clone();
    let settle = SettleRequest {
        subject: Some(of("ann", "budget")),
        idempotency_key: "k".into(),
        used: Some(usd("2.00")),
        used_at: Some(prost_types::Timestamp { seconds: 1_795_262_400, nanos: 0 }),
        ..SettleRequest::default()
    };
    let call = tokio::spawn(async move { client.settle(settle).await });
    store.has_done(1).await;
    gone(&service, call).await;
    store.lets.add_permits(1);
    store.has_done(1).await;
    store.lets.add_permits(100);
    let stopped = service.reserve(reserve("bob", "cents", usd("0.01"))).await.unwrap();
    assert_eq!(standing(&stopped.standings, "budget").reason, "breaker_open");
    service.stop().await;
}
