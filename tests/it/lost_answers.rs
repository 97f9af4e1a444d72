//! What becomes of a step that the store has done when nobody hears of that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tollgate::clock::{Clock, Timestamp};
use tollgate::engine::{
    Check, Engine, EngineSettings, Hold, ReserveRequest, Ruling, SubjectOf, Unclaimed, UsageOf,
};
use tollgate::limits::{Entry, KeySecret, LimitsHandle, Metadata};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{Answer, Call, Note, Page, Reserve, Reserved, Settle, Settled, Store, StoreError};

use crate::support::embedded::{Ask, NOON, rules};

const FILE: &str = "
domains:
  llm:
    per: user
    headers: {standings: true}
    limits:
      strict:  {limit: 10k tokens/1h, on_error: deny}
      lenient: {limit: 10k tokens/1h, on_error: allow}
    routes:
      strict:  strict
      lenient: lenient
";

/// A store that does all that it is asked, and whose next answers are lost on their way.
struct Mute {
    store: MemoryStore,
    lost: AtomicU32,
    /// How many settles it is asked for at this moment, and were asked for at once at most.
    settling: AtomicU32,
    most: AtomicU32,
}

impl Mute {
    fn tell<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let is_lost =
            self.lost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lost| lost.checked_sub(1));
        if is_lost.is_ok() { Err(StoreError::Timeout) } else { done }
    }
}

impl Store for Mute {
    async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        self.store.charge(call).await
    }

    async fn reserve(&self, call: Reserve<'_>) -> Result<Reserved, StoreError> {
        self.tell(self.store.reserve_now(call))
    }

    async fn settle(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        self.most.fetch_max(self.settling.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.settling.fetch_sub(1, Ordering::Relaxed);
        self.store.settle(call).await
    }

    fn note_refusal(&self, at: Timestamp, about: &[u8], line: &[u8]) {
        self.store.note_refusal(at, about, line);
    }

    async fn notes(&self, page: Page) -> Result<Vec<Note>, StoreError> {
        self.store.notes(page).await
    }

    fn now(&self) -> Timestamp {
        self.store.now()
    }

    fn key_secret(&self) -> KeySecret {
        self.store.key_secret()
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.store.ready().await
    }
}

struct Service(Arc<Engine<Mute>>);

impl Service {
    fn new() -> Self {
        let store = MemoryStore::new(MemorySettings::default(), Clock::manual(NOON), KeySecret([7; 16]));
        let [lost, settling, most] = [const { AtomicU32::new(0) }; 3];
        let mute = Mute { store, lost, settling, most };
        let limits = LimitsHandle::new(rules(FILE));
        Self(Arc::new(Engine::new(limits, mute, EngineSettings::default())))
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
        let entries = [("user", "ada"), ("route", route)];
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
        answer.ruling
    }
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
