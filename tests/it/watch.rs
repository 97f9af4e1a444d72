//! What follows when limits fill up: alerts once a share is crossed, and breakers that a settlement opens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tollgate::alerts::{AlertSettings, Delivery};
use tollgate::clock::{Clock, Micros};
use tollgate::engine::{
    BreakerError, BreakerOf, Check, CheckRequest, Code, Descriptor, Engine, EngineSettings, Hold, Named,
    Operate, Progress, ReserveRequest, Ruling, SetBreaker, Setting, SettleRequest, SubjectOf, UsageOf,
};
use tollgate::limits::{Alerted, BreakerState, Entry, KeySecret, LimitsHandle};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{self, Note, Page, Place, Settle, Settled, Store, StoreError, Trail};

use crate::support::admins::{ann, journal};
use crate::support::embedded::{Ask, NOON, rules};

const SPENDING: &str = "
alerts: {at: [50%, 80%, 100%]}
prices: {models: {m: {input: 1.00, output: 10.00}}}
domains:
  shop:
    per: user
    limits:
      budget: $10.00/month
      hour:   $100.00/1h
      quota:  10/month
      rate:   10/1m
      stop:   {limit: $20.00, window: 1d, per: all, on_limit: trip, reset: manual}
      over:   {limit: $1.00, window: total, soft: true}
    routes:
      llm:   [budget]
      hours: [hour]
      stops: [stop]
      other: [hour]
      soft:  [over]
      make:  [quota, rate]
";

struct Bench {
    engine: Arc<Engine<Lossy>>,
    limits: LimitsHandle,
    delivery: Delivery,
    clock: Clock,
}

impl Bench {
    fn new() -> Self {
        Self::with(SPENDING)
    }

    fn with(document: &str) -> Self {
        let limits = LimitsHandle::new(rules(document));
        let delivery = Delivery::new(limits.clone(), AlertSettings::default());
        let clock = Clock::manual(NOON);
        let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16]));
        let store = Lossy(store, AtomicBool::new(false));
        let engine = Engine::new(limits.clone(), store, EngineSettings::default());
        let engine = engine.telling(delivery.alerts()).recording(journal());
        Self { engine: Arc::new(engine), limits, delivery, clock }
    }

    /// Has the next answer to a settlement get lost.
    fn lose_one(&self) {
        self.engine.store().1.store(true, Ordering::Relaxed);
    }

    /// Charges `usd` of `user` on `route` after the fact; what is said to who goes on.
    async fn spend(&self, route: &str, user: &str, key: &str, usd: &str) -> Ruling {
        let entries = [("route", route), ("user", user)];
        let entries =
            entries.iter().map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
        let subject = SubjectOf { domain: b"shop", entries: entries.collect() };
        let request = SettleRequest {
            reserved: Named::Key { subject, idempotency_key: key.as_bytes() },
            used: Some(UsageOf { usd: usd.as_bytes(), ..UsageOf::default() }),
            progress: Progress::Done,
            used_at: None,
        };
        self.engine.settle(request).await.unwrap().ruling
    }

    async fn check(&self, route: &str) -> Code {
        let entries = [("route", route), ("user", "u")];
        let entries =
            entries.iter().map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
        let descriptor = Descriptor { entries: entries.collect(), ..Descriptor::default() };
        let request =
            CheckRequest { domain: b"shop", descriptors: [descriptor].into_iter().collect(), hits: 0 };
        self.engine.check(request).await.unwrap().code
    }

    /// How many alerts each limit raised.
    async fn told(self) -> Vec<(String, u64)> {
        self.delivery.run(std::future::ready(())).await;
        let rules = self.limits.load();
        let tallies = rules.alert_tallies();
        let told = tallies.iter().map(|(_, limit, tally)| ((*limit).to_owned(), tally.of(Alerted::Logged)));
        told.filter(|(_, count)| *count > 0).collect()
    }
}

#[tokio::test]
async fn each_share_is_told_of_once_and_rates_are_not() {
    let bench = Bench::new();
    for (key, usd) in
        [("a", "4.99"), ("b", "0.01"), ("b", "0.01"), ("c", "2.99"), ("d", "0.02"), ("e", "5.00")]
    {
        bench.spend("llm", "u", key, usd).await;
    }
    for _ in 0..12 {
        bench.check("make").await;
    }
    bench.spend("soft", "u", "s", "7.50").await;
    let told = [("budget".to_owned(), 3), ("over".to_owned(), 3), ("quota".to_owned(), 3)];
    assert_eq!(bench.told().await, told);
}

#[tokio::test]
async fn a_share_that_is_crossed_again_within_the_window_is_no_news() {
    let bench = Bench::new();
    // Half of it is crossed three times, twice of them within one hour; the first two charges are forgotten meanwhile.
    for (key, usd, then) in [
        ("a", "49.00", 3_500),
        ("b", "2.00", 200),
        ("c", "60.00", 3_600),
        ("d", "1.00", 3_700),
        ("e", "50.00", 0),
    ] {
        bench.spend("hours", "u", key, usd).await;
        bench.clock.advance(Micros::from_secs(then));
    }
    assert_eq!(bench.told().await, [("hour".to_owned(), 2)]);
}

#[tokio::test]
async fn what_was_reserved_before_a_number_is_raised_is_told_of_by_the_larger_one() {
    let bench = Bench::new();
    let entries = [("route", "llm"), ("user", "u")];
    let entries = entries.iter().map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
    let request = ReserveRequest {
        subject: SubjectOf { domain: b"shop", entries: entries.collect() },
        estimate: UsageOf { usd: b"6.00", ..UsageOf::default() },
        ..ReserveRequest::default()
    };
    let handle = bench.engine.reserve(request).await.unwrap().handle.unwrap().to_string();
    bench.limits.swap(rules(&SPENDING.replace("budget: $10.00", "budget: $100.00")));
    let settle = SettleRequest {
        reserved: Named::Handle(handle.as_bytes()),
        used: Some(UsageOf { usd: b"9.00", ..UsageOf::default() }),
        progress: Progress::Done,
        used_at: None,
    };
    bench.engine.settle(settle).await.unwrap();
    assert_eq!(bench.told().await, []);
}

#[tokio::test]
async fn what_is_owed_longer_is_no_news_of_its_period() {
    let bench = Bench::new();
    // What the second charge adds to the debt takes a month more to pay; the first is settled again.
    for (key, usd) in [("a", "30.00"), ("b", "4.00"), ("a", "30.00")] {
        bench.spend("llm", "u", key, usd).await;
    }
    assert_eq!(bench.told().await, [("budget".to_owned(), 3)]);
}

#[tokio::test]
async fn what_is_settled_up_to_the_number_opens_the_breaker_and_stops_who_goes_on() {
    let bench = Bench::new();
    let request = ReserveRequest {
        subject: SubjectOf {
            domain: b"shop",
            entries: [Entry { key: b"route", value: b"other" }, Entry { key: b"user", value: b"v" }]
                .into_iter()
                .collect(),
        },
        estimate: UsageOf { usd: b"1.00", ..UsageOf::default() },
        ..ReserveRequest::default()
    };
    let handle = bench.engine.reserve(request).await.unwrap().handle.unwrap().to_string();
    let go_on = async |usd: &'static [u8]| {
        let request = SettleRequest {
            reserved: Named::Handle(handle.as_bytes()),
            used: Some(UsageOf { usd, ..UsageOf::default() }),
            progress: Progress::More,
            used_at: None,
        };
        bench.engine.settle(request).await.unwrap()
    };
    assert_eq!(go_on(b"0.10").await.ruling, Ruling::Allow);
    assert_eq!(bench.spend("stops", "u", "a", "19.99").await, Ruling::Allow);
    assert_eq!((bench.check("other").await, go_on(b"0.20").await.ruling), (Code::Ok, Ruling::Allow));
    assert_eq!(bench.spend("stops", "u", "b", "0.01").await, Ruling::Allow, "up to its number exactly");
    assert_eq!(bench.check("other").await, Code::OverLimit);
    let stopped = go_on(b"0.30").await;
    assert_eq!(stopped.ruling, Ruling::Deny);
    let reasons = stopped.standings.iter().filter_map(|standing| standing.reason.map(|reason| reason.name()));
    assert_eq!(reasons.collect::<Vec<_>>(), ["breaker_open"]);
    assert_eq!(bench.check("make").await, Code::Ok, "what costs nothing goes on");
}

const BY_USER: &str = "
domains:
  shop:
    per: user
    limits: {spend: {limit: $1.00/1h, on_limit: trip, reset: manual, on_missing: refuse}}
    routes: {llm: spend}
";

#[tokio::test]
async fn a_breaker_is_set_by_hand_for_one_subject() {
    let bench = Bench::with(BY_USER);
    let set = async |user: Option<&'static [u8]>, to: Setting| {
        let subject = user.map(|value| Entry { key: b"user", value }).into_iter().collect();
        let which = BreakerOf { domain: None, limit: b"spend", subject };
        let request = SetBreaker { which, to, reason: "a test" };
        bench.engine.set_breaker(&ann(), request).await.map(|set| set.before.breaker.state)
    };
    assert_eq!(set(Some(b"v"), Setting::Open).await, Ok(BreakerState::Closed));
    assert_eq!(bench.check("llm").await, Code::Ok, "it is another's");
    assert_eq!(set(Some(b"u"), Setting::Open).await, Ok(BreakerState::Closed));
    assert_eq!(bench.check("llm").await, Code::OverLimit);
    assert_eq!(set(Some(b"u"), Setting::Closed).await, Ok(BreakerState::Open));
    assert_eq!(bench.check("llm").await, Code::Ok);
    let nobody = BreakerError::NoSubject("user".to_owned());
    assert_eq!(set(None, Setting::Closed).await, Err(nobody));
}

/// A store whose next answer to a settlement may be lost: done, and not told.
struct Lossy(MemoryStore, AtomicBool);

impl store::Layer for Lossy {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn settle(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        let settled = self.0.settle_now(call);
        if self.1.swap(false, Ordering::Relaxed) {
            return Err(StoreError::Timeout);
        }
        settled
    }
}

#[tokio::test]
async fn a_lost_answer_loses_no_alert_and_no_breaker() {
    let bench = Bench::new();
    let subject = || SubjectOf {
        domain: b"shop",
        entries: [Entry { key: b"route", value: b"stops" }, Entry { key: b"user", value: b"v" }]
            .into_iter()
            .collect(),
    };
    let settle = || SettleRequest {
        reserved: Named::Key { subject: subject(), idempotency_key: b"k" },
        used: Some(UsageOf { usd: b"20.00", ..UsageOf::default() }),
        progress: Progress::Done,
        used_at: None,
    };
    bench.lose_one();
    assert!(bench.engine.settle(settle()).await.is_err());
    assert_eq!(bench.engine.settle(settle()).await.unwrap().charged.unwrap().0, 20_000_000_000);
    // A day later the sliding window has forgotten; a breaker that opened stays open until it is reset.
    bench.clock.advance(Micros::from_secs(2 * 86_400));
    let other = ReserveRequest {
        subject: SubjectOf {
            domain: b"shop",
            entries: [Entry { key: b"route", value: b"llm" }, Entry { key: b"user", value: b"v" }]
                .into_iter()
                .collect(),
        },
        estimate: UsageOf { usd: b"1.00", ..UsageOf::default() },
        ..ReserveRequest::default()
    };
    let Bench { engine, limits, delivery, .. } = bench;
    let ruling = engine.reserve(other).await.unwrap().ruling;
    delivery.run(std::future::ready(())).await;
    let rules = limits.load();
    let told: u64 = rules.alert_tallies().iter().map(|(_, _, tally)| tally.of(Alerted::Logged)).sum();
    assert_eq!((ruling, told), (Ruling::Deny, 3), "the breaker and its alerts");
}

#[tokio::test]
async fn usage_without_a_price_is_written_down_and_told_of_once_a_minute() {
    let bench = Bench::new();
    for _ in 0..3 {
        let entries = [Entry { key: b"route", value: b"llm" }, Entry { key: b"user", value: b"u" }];
        let subject = SubjectOf { domain: b"shop", entries: entries.into_iter().collect() };
        let tokens = [(&b"output"[..], 5)].into_iter().collect();
        let request = SettleRequest {
            reserved: Named::Key { subject, idempotency_key: b"k" },
            used: Some(UsageOf { model: b"else", tokens, ..UsageOf::default() }),
            progress: Progress::Done,
            used_at: None,
        };
        let refused = bench.engine.settle(request).await.unwrap_err();
        assert!(refused.to_string().starts_with("used.model: "), "{refused}");
    }
    let page = Page { trail: Trail::Refused, from: Place::default(), most: 10 };
    let notes = bench.engine.store().notes(page).await.unwrap();
    let told = |note: &Note| String::from_utf8_lossy(&note.line).contains(r#""reason":"unpriced_model""#);
    assert_eq!((notes.len(), notes.iter().all(told)), (3, true), "{notes:?}");
    assert_eq!(bench.told().await, [("budget".to_owned(), 1)]);
}

#[tokio::test]
async fn usage_without_a_price_that_envoy_tells_is_told_of_beside_what_has_one() {
    let bench = Bench::new();
    for _ in 0..2 {
        let call = Ask::new("shop", "route=llm user=u usage=output model=m").hits(5);
        let call = call.and("route=llm user=u usage=output model=else").hits(7);
        bench.engine.check(call.request()).await.unwrap();
    }
    let page = |trail| Page { trail, from: Place::default(), most: 10 };
    let spent = bench.engine.store().notes(page(Trail::Spent)).await.unwrap();
    let spent: Vec<_> = spent.iter().map(|note| note.spending.as_ref().unwrap()).collect();
    assert!(spent.iter().all(|spent| (spent.tokens, spent.money) == (12, 50_000)), "{spent:?}");
    assert_eq!(spent.len(), 2);
    assert_eq!(bench.engine.store().notes(page(Trail::Refused)).await.unwrap(), []);
    assert_eq!(bench.told().await, [("budget".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn usage_without_a_price_is_told_of_though_an_answer_is_lost() {
    let bench = Bench::new();
    bench.lose_one();
    let call = Ask::new("shop", "route=llm user=u usage=output model=else").hits(7);
    bench.engine.check(call.request()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.told().await, [("budget".to_owned(), 1)]);
}
