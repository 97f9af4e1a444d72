//! What is on the record is also done: whether or not somebody waits for it, and over restarts.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use tollgate::admin;
use tollgate::algorithm::Op;
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::engine::{BreakerOf, Engine, EngineSettings, Operate, UsageOf};
use tollgate::limits::{BreakerState, CounterKey, KeySecret, LimitsHandle};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{self, Answer, Call, Marked, Store, StoreError};

use crate::durable::{close, open};
use crate::support::admins::{self, journal};
use crate::support::embedded::rules;
use crate::support::shop::Shop;

/// Waits before it sets anything, until it is let.
struct Halting {
    store: MemoryStore,
    began: Arc<Semaphore>,
    lets: Arc<Semaphore>,
}

impl store::Layer for Halting {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> Result<(Answer, Option<Marked>), StoreError> {
        if call.charges.iter().any(|charge| matches!(charge.op, Op::Set { .. })) {
            self.began.add_permits(1);
            self.lets.acquire().await.unwrap().forget();
        }
        self.store.oversee(call, mark).await
    }
}

#[tokio::test]
async fn a_breaker_is_set_although_nobody_waits_for_it() {
    let file = "domains: {shop: {limits: {stop: {limit: $9.00/day per all, on_limit: trip}}}}";
    let (began, lets) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let store = MemoryStore::new(MemorySettings::default(), Clock::System, KeySecret([7; 16]));
    let store = Halting { store, began: began.clone(), lets: lets.clone() };
    let engine = Engine::new(LimitsHandle::new(rules(file)), store, EngineSettings::default());
    let engine = Arc::new(engine.recording(journal()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let never = std::future::pending();
    let gate = admins::gate();
    tokio::spawn(admin::serve(listener, engine.clone(), gate, vec![], admin::connections(), never));
    let caller = tokio::task::spawn_blocking(move || {
        let body = r#"{"open": true, "reason": "a test"}"#;
        let mut caller = TcpStream::connect(address).unwrap();
        let head = "POST /admin/rate-limits/breaker/stop HTTP/1.1\r\nhost: tollgate\r\n";
        let kind = "content-type: application/json\r\n";
        let (length, token) = (body.len(), admins::AUTHORIZATION);
        write!(caller, "{head}{kind}content-length: {length}\r\nauthorization: {token}\r\n\r\n{body}")
            .unwrap();
        caller
    });
    let caller = caller.await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), began.acquire()).await.unwrap().unwrap().forget();
    drop(caller);
    // As long as the service may take to see that.
    tokio::time::sleep(Duration::from_millis(300)).await;
    lets.add_permits(1);
    let which = || BreakerOf { domain: None, limit: b"stop", subject: Vec::new() };
    for _ in 0..600 {
        if engine.breaker(which()).await.unwrap().breaker.state == BreakerState::Open {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is on the record, and was never set");
}

const STREAMS: &str =
    "domains: {shop: {per: user, limits: {streams: 9 concurrent, tokens: 1000 tokens/day}}}";

async fn held<S: Store>(shop: &Shop<S>) -> u64 {
    shop.stands("user=u", "streams").await.1
}

#[test]
fn holds_that_were_cleared_do_not_come_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(Timestamp(1_795_262_400_000_000)));
    // Held before the restart in which they are cleared, and in it.
    for before in [0, 2] {
        clock.advance(Micros::from_secs(1));
        let (store, flusher) = open(dir.path(), &clock, 1_000);
        let shop = Shop::over(store.clone(), STREAMS);
        runtime.block_on(async {
            for _ in 0..before {
                shop.reserve("limit=streams user=u", UsageOf::default()).await;
            }
        });
        drop((shop, store));
        close(flusher);
        let (store, flusher) = open(dir.path(), &clock, 1_000);
        let shop = Shop::over(store.clone(), STREAMS);
        runtime.block_on(async {
            assert_eq!(held(&shop).await, before);
            shop.reserve("limit=streams user=u", UsageOf::default()).await;
            let reset = shop.reset("user=u", &["streams"]).await;
            assert_eq!((reset.before[0].held, held(&shop).await), (before + 1, 0));
        });
        drop((shop, store));
        close(flusher);
        let (store, flusher) = open(dir.path(), &clock, 1_000);
        assert_eq!(runtime.block_on(held(&Shop::over(store.clone(), STREAMS))), 0, "{before} before");
        drop(store);
        close(flusher);
    }
}
