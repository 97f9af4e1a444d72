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
use tollgate::engine::{
    BreakerOf, Engine, EngineSettings, Hold, Operate, ReserveRequest, ResetSubject, SubjectOf, Unclaimed, Who,
};
use tollgate::limits::{BreakerState, CounterKey, KeySecret, LimitsHandle};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{self, Answer, Call, Store, StoreError};

use crate::durable::{close, open};
use crate::operate_usage::entries;
use crate::support::admins::{self, ann, journal};
use crate::support::embedded::rules;

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
    ) -> Result<(Answer, Option<u32>), StoreError> {
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

type Shop<S> = Arc<Engine<S>>;

fn shop<S: Store>(store: S) -> Shop<S> {
    let engine = Engine::new(LimitsHandle::new(rules(STREAMS)), store, EngineSettings::default());
    Arc::new(engine.recording(journal()))
}

async fn hold<S: Store>(shop: &Shop<S>) {
    let subject = SubjectOf { domain: b"shop", entries: entries("limit=streams user=u").collect() };
    let held = shop.reserve(ReserveRequest { subject, ..ReserveRequest::default() }).await.unwrap();
    held.unclaimed.iter().for_each(Unclaimed::claim);
}

fn u() -> Who<'static> {
    Who { domain: None, entries: entries("user=u").collect() }
}

async fn held<S: Store>(shop: &Shop<S>) -> u64 {
    shop.usage_of(u()).await.unwrap().limits[0].standing.held
}

#[test]
fn holds_that_were_cleared_do_not_come_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(Timestamp(1_795_262_400_000_000)));
    // Held before the restart in which they are cleared, and in it.
    for before in [0, 2] {
        clock.advance(Micros::from_secs(1));
        let (store, flusher) = open(dir.path(), &clock, 1_000);
        let engine = shop(store.clone());
        runtime.block_on(async {
            for _ in 0..before {
                hold(&engine).await;
            }
        });
        drop((engine, store));
        close(flusher);
        let (store, flusher) = open(dir.path(), &clock, 1_000);
        let engine = shop(store.clone());
        runtime.block_on(async {
            assert_eq!(held(&engine).await, before);
            hold(&engine).await;
            let request = ResetSubject { who: u(), limits: vec![b"streams"], reason: "" };
            let reset = engine.reset(&ann(), request).await.unwrap();
            assert_eq!((reset.before[0].held, held(&engine).await), (before + 1, 0));
        });
        drop((engine, store));
        close(flusher);
        let (store, flusher) = open(dir.path(), &clock, 1_000);
        assert_eq!(runtime.block_on(held(&shop(store.clone()))), 0, "{before} before");
        drop(store);
        close(flusher);
    }
}
