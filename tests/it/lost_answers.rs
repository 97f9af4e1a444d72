//! What becomes of a step that the store has done when nobody hears of that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tollgate::clock::{Clock, Micros};
use tollgate::engine::{
    Check, Code, Done, Engine, EngineSettings, Hold, HoldEnd, HoldError, Inspect, Named, Odd, Progress,
    ReleaseRequest, ReserveAnswer, ReserveRequest, Ruling, SettleRequest, SubjectOf, Unclaimed, UsageOf,
};
use tollgate::limits::{Entry, KeySecret, LimitsHandle, Metadata};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{self, Reserve, Reserved, Settle, Settled, Store, StoreError};

use crate::support::embedded::{Ask, NOON, rules};

const FILE: &str = "
domains:
  llm:
    per: user
    headers: {standings: true}
    limits:
      strict:  {limit: 10k tokens/1h, on_error: deny}
      lenient: {limit: 10k tokens/1h, on_error: allow}
      budget:  $5.00/1h
    routes:
      strict:  strict
      lenient: lenient
      paid:    budget
prices:
  models:
    plain: {input: 1.00, output: 2.00}
    fresh:
      - {from: 2026-01-01, input: 1.00, output: 2.00}
      - {from: 2026-11-21, input: 2.00, output: 4.00}
";

/// A store that does all that it is asked, and whose next answers are lost on their way.
struct Mute {
    store: MemoryStore,
    lost: AtomicU32,
    /// How many settles it is asked for at this moment, and were asked for at once at most.
    settling: AtomicU32,
    most: AtomicU32,
    /// How many settles it was asked for.
    settles: AtomicU32,
}

impl Mute {
    fn tell<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let is_lost =
            self.lost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lost| lost.checked_sub(1));
        if is_lost.is_ok() { Err(StoreError::Timeout) } else { done }
    }
}

impl store::Layer for Mute {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn reserve(&self, call: Reserve<'_>) -> Result<Reserved, StoreError> {
        self.tell(self.store.reserve_now(call))
    }

    async fn settle(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        self.most.fetch_max(self.settling.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.settling.fetch_sub(1, Ordering::Relaxed);
        self.settles.fetch_add(1, Ordering::Relaxed);
        self.tell(self.store.settle(call).await)
    }
}

struct Service(Arc<Engine<Arc<Mute>>>, Clock);

impl Service {
    fn new() -> Self {
        Self::with(MemorySettings::default())
    }

    fn with(settings: MemorySettings) -> Self {
        let clock = Clock::manual(NOON);
        let store = MemoryStore::new(settings, clock.clone(), KeySecret([7; 16]));
        let [lost, settling, most, settles] = [const { AtomicU32::new(0) }; 4];
        let mute = Arc::new(Mute { store, lost, settling, most, settles });
        let limits = LimitsHandle::new(rules(FILE));
        Self(Arc::new(Engine::new(limits, mute, EngineSettings::default())), clock)
    }

    /// Has so many of the next answers get lost.
    fn lose(&self, answers: u32) {
        self.0.store().lost.store(answers, Ordering::Relaxed);
    }

    /// What `limit` has used and holds of ada.
    async fn books(&self, limit: &str) -> (u64, u64) {
        let look = Ask::new("llm", &format!("user=ada limit={limit}")).hits(0);
        let metadata = self.0.check(look.request()).await.unwrap().metadata.expect("standings");
        let Metadata::Map(standings) = &metadata["standings"] else { panic!("{metadata:?}") };
        let Metadata::Map(standing) = &standings[limit] else { panic!("{metadata:?}") };
        let number = |name: &str| match standing[name] {
            Metadata::Number(number) => number.to_string().parse().expect("a whole number"),
            ref other => panic!("{other:?} is no number"),
        };
        (number("used"), number("held"))
    }

    /// Reserves 600 tokens of `route`: what is answered.
    async fn reserve(&self, route: &str, idempotency_key: &str) -> Ruling {
        self.held("ada", route, idempotency_key).await.ruling
    }

    /// The same for `user`: all that is answered.
    async fn held(&self, user: &str, route: &str, idempotency_key: &str) -> ReserveAnswer {
        let entries = [("user", user), ("route", route)];
        let entry =
            |(key, value): (&'static str, _)| Entry { key: key.as_bytes(), value: str::as_bytes(value) };
        let request = ReserveRequest {
            subject: SubjectOf { domain: b"llm", entries: entries.map(entry).into_iter().collect() },
            estimate: UsageOf { tokens: [(&b"output"[..], 600)].into_iter().collect(), ..UsageOf::default() },
            idempotency_key: idempotency_key.as_bytes(),
            ..ReserveRequest::default()
        };
        let answer = self.0.reserve(request).await.unwrap();
        answer.unclaimed.iter().for_each(Unclaimed::claim);
        answer
    }

    /// What was spent on model `plain`.
    fn spent(&self) -> u128 {
        self.0.settlements().spending["llm"]["plain"].nanos
    }
}

/// What a settle of ada's under `key` is that ends with so much `used`.
fn settle<'a>(key: &'a str, used: UsageOf<'a>) -> SettleRequest<'a> {
    let entry =
        |(key, value): (&'static str, &'static str)| Entry { key: key.as_bytes(), value: value.as_bytes() };
    let entries = [("user", "ada"), ("route", "paid")].into_iter().map(entry).collect();
    let subject = SubjectOf { domain: b"llm", entries };
    let reserved = Named::Key { subject, idempotency_key: key.as_bytes() };
    SettleRequest { reserved, used: Some(used), progress: Progress::Done, used_at: None }
}

fn output(model: &str, count: u64) -> UsageOf<'_> {
    let tokens = [(&b"output"[..], count)].into_iter().collect();
    UsageOf { model: model.as_bytes(), tokens, ..UsageOf::default() }
}

/// Lets all be asked again that is.
async fn wait() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_hears_of_and_nobody_can_settle_is_let_go() {
    let service = Service::new();
    for (route, ruling) in [("strict", Ruling::Deny), ("lenient", Ruling::Allow)] {
        service.lose(1);
        assert_eq!(service.reserve(route, "").await, ruling);
        wait().await;
        assert_eq!(service.books(route).await, (0, 0), "{route}");
        assert_eq!(service.reserve(route, "").await, Ruling::Allow);
        wait().await;
        assert_eq!(service.books(route).await, (0, 600), "who hears of it has it, {route}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_let_go_that_a_full_store_has_refused() {
    let service = Service::with(MemorySettings { max_keys: 8 });
    let mut refused = 0;
    for number in 0..200 {
        let user = format!("user-{number}");
        refused += u32::from(service.held(&user, "strict", "").await.ruling == Ruling::Deny);
        let ask = Ask::new("llm", &format!("user={user} route=strict model=plain reserve=600"));
        let decision = service.0.check(ask.request()).await.unwrap();
        decision.unclaimed.iter().for_each(Unclaimed::claim);
        refused += u32::from(decision.code == Code::OverLimit);
    }
    assert!(refused > 200, "{refused} had no place");
    wait().await;
    assert_eq!(service.0.store().settles.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_asked_for_again_is_held() {
    let service = Service::new();
    service.lose(1);
    assert_eq!(service.reserve("strict", "k").await, Ruling::Deny);
    wait().await;
    assert_eq!(service.books("strict").await, (0, 600));
    assert_eq!(service.reserve("strict", "k").await, Ruling::Allow);
    assert_eq!(service.books("strict").await, (0, 600));
}

#[tokio::test(start_paused = true)]
async fn many_that_are_asked_for_again_do_not_crowd_the_store() {
    let service = Service::new();
    service.lose(500);
    for _ in 0..500 {
        assert_eq!(service.reserve("lenient", "").await, Ruling::Allow);
    }
    wait().await;
    assert_eq!(service.books("lenient").await, (0, 0));
    let most = service.0.store().most.load(Ordering::Relaxed);
    assert!((2..=64).contains(&most), "{most}");
}

#[tokio::test(start_paused = true)]
async fn only_a_price_that_may_have_been_another_is_looked_up_first() {
    let service = Service::new();
    for (key, used, asked) in [
        ("a", output("plain", 100), 1),
        ("b", output("fresh", 100), 2),
        ("c", UsageOf { usd: b"0.01", ..output("fresh", 100) }, 1),
    ] {
        service.0.store().settles.store(0, Ordering::Relaxed);
        service.0.settle(settle(key, used)).await.unwrap();
        assert_eq!(service.0.store().settles.load(Ordering::Relaxed), asked, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_done_and_not_heard_of_is_counted_once() {
    let service = Service::new();
    let used = || output("plain", 100);
    service.0.settle(settle("another", used())).await.unwrap();
    service.lose(2);
    for _ in 0..2 {
        let lost = service.0.settle(settle("k", used())).await;
        assert!(matches!(lost, Err(HoldError::Unavailable(_))), "{lost:?}");
    }
    for _ in 0..2 {
        assert_eq!(service.0.settle(settle("k", used())).await.unwrap().done, Done::Before);
        assert_eq!(service.spent(), 2 * 200_000, "once each");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_is_not_counted_again_when_a_later_answer_is_lost() {
    let service = Service::new();
    let used = || output("plain", 100);
    let told = service.held("ada", "strict", "").await.handle.expect("it is held").to_string();
    let let_go = || service.0.release(ReleaseRequest::Held(told.as_bytes()));
    service.0.settle(settle("k", used())).await.unwrap();
    let_go().await.unwrap();
    for silence in 1..=3 {
        service.lose(2);
        service.0.settle(settle("k", used())).await.unwrap_err();
        let_go().await.unwrap_err();
        assert_eq!(service.0.settle(settle("k", used())).await.unwrap().done, Done::Before);
        assert_eq!(let_go().await.unwrap().done, Done::Before);
        let released = service.0.settlements().ended["llm"]["strict"].of(HoldEnd::Released);
        assert_eq!((service.spent(), released), (200_000, 1), "silence {silence}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_elsewhere_is_not_counted_again_when_a_later_answer_is_lost() {
    let service = Service::new();
    let elsewhere = Arc::new(Engine::new(
        LimitsHandle::new(rules(FILE)),
        service.0.store().clone(),
        EngineSettings::default(),
    ));
    let used = || output("plain", 100);
    elsewhere.settle(settle("k", used())).await.unwrap();
    assert_eq!(service.0.settle(settle("k", used())).await.unwrap().done, Done::Before);
    service.lose(1);
    service.0.settle(settle("k", used())).await.unwrap_err();
    assert_eq!(service.0.settle(settle("k", used())).await.unwrap().done, Done::Before);
    assert!(service.0.settlements().spending.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_not_counted_as_its_end_when_its_answer_is_lost() {
    let service = Service::new();
    let elsewhere = Arc::new(Engine::new(
        LimitsHandle::new(rules(FILE)),
        service.0.store().clone(),
        EngineSettings::default(),
    ));
    let more = || SettleRequest { progress: Progress::More, ..settle("k", output("plain", 50)) };
    service.reserve("paid", "k").await;
    service.lose(1);
    service.0.settle(more()).await.unwrap_err();
    elsewhere.settle(settle("k", output("plain", 100))).await.unwrap();
    service.0.settle(settle("k", output("plain", 100))).await.unwrap();
    assert!(service.0.settlements().spending.is_empty(), "who ended it has counted it");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_not_heard_of_is_counted_whatever_is_asked_between() {
    let service = Service::new();
    let more = || SettleRequest { progress: Progress::More, ..settle("k", output("plain", 50)) };
    service.reserve("paid", "k").await;
    service.lose(1);
    service.0.settle(settle("k", output("plain", 100))).await.unwrap_err();
    service.0.settle(more()).await.unwrap();
    service.0.settle(settle("k", output("plain", 100))).await.unwrap();
    assert_eq!(service.spent(), 200_000);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_again_for_envoy_is_counted_once() {
    let service = Service::new();
    let begun = Ask::new("llm", "user=ada route=paid model=plain reserve=100");
    let begun = service.0.check(begun.request()).await.unwrap();
    begun.unclaimed.iter().for_each(Unclaimed::claim);
    let Some(Metadata::Text(hold)) = begun.metadata.as_ref().and_then(|all| all.get("hold")) else {
        panic!("{begun:?}")
    };
    let ends = format!("user=ada route=paid model=plain usage=output hold={hold}");
    service.lose(2);
    service.0.check(Ask::new("llm", &ends).hits(70).request()).await.unwrap();
    wait().await;
    service.0.check(Ask::new("llm", &ends).hits(70).request()).await.unwrap();
    let counts = service.0.settlements();
    assert_eq!(counts.spending["llm"]["plain"].nanos, 140_000);
    assert_eq!(counts.ended["llm"]["budget"].of(HoldEnd::Settled), 1);
    assert_eq!(counts.ratios["plain"].counts.iter().sum::<u64>(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_heard_of_is_learned_from_once_it_is_asked_again() {
    let told = || Ask::new("llm", "user=ada route=paid model=plain usage=output").hits(100);
    let by_key = async |service: &Service, key: &str| {
        service.0.settle(settle(key, output("plain", 100))).await.unwrap_err();
        service.0.settle(settle(key, output("plain", 100))).await.unwrap();
    };
    let by_envoy = async |service: &Service| {
        service.0.check(told().request()).await.unwrap();
        wait().await;
    };
    for is_envoy in [false, true] {
        let service = Service::new();
        for call in 0..20 {
            service.lose(1);
            if is_envoy {
                by_envoy(&service).await;
            } else {
                by_key(&service, &call.to_string()).await;
            }
            service.1.advance(Micros::from_secs(60));
        }
        let begun = Ask::new("llm", "user=ada route=strict model=plain reserve=auto");
        let begun = service.0.check(begun.request()).await.unwrap();
        begun.unclaimed.iter().for_each(Unclaimed::claim);
        assert_eq!(service.books("strict").await, (0, 103), "the end of the step that 100 is in");
    }
}

#[tokio::test(start_paused = true)]
async fn a_settle_that_is_refused_for_want_of_a_price_is_not_counted_as_odd() {
    let service = Service::new();
    service.0.settle(settle("k", output("unknown", 100))).await.unwrap_err();
    assert_eq!(service.0.times(Odd::Model), 0);
}
