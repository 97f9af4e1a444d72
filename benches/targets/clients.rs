//! Clients of one Redis in this process, on one thread, so that the thread's CPU time is theirs: Tollgate's store, and the
//! plain way, one EVALSHA for each decision over a multiplexed connection of the `redis` crate.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tollgate::clock::{Clock, Micros};
use tollgate::limits::Window;
use tollgate::store::Store;
use tollgate::store::redis::{RedisSettings, RedisStore};

use crate::cpu;
use crate::hit;
use crate::load::Ran;
use crate::redis::{Redis, Spent};

const COUNTERS: usize = 10_000;
const WINDOW: Window = Window::Sliding { length: Micros::from_secs(60) };
const MOST: u64 = 1_000;
/// So long that no busy machine makes a decision fail.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a decision came to.
#[derive(Clone, Debug)]
pub(crate) struct Driven {
    /// When decisions came.
    pub(crate) ran: Ran,
    /// CPU time of the client for each, in microseconds.
    pub(crate) cpu: f64,
    /// What Redis spent on each.
    pub(crate) redis: Spent,
}

/// Who decides.
trait Decide {
    /// Charges one hit to the counter `number`.
    fn decide(&self, number: usize) -> impl Future<Output = ()>;
}

/// One EVALSHA a decision.
pub(crate) struct Multiplexed {
    connection: MultiplexedConnection,
    script: String,
}

/// The approximate script for so many counters at once.
struct Batches {
    by: Multiplexed,
    size: usize,
}

/// No decision: the least that a Redis can be asked.
struct Ping(Multiplexed);

impl Multiplexed {
    /// Connects, and loads the script of one decision.
    pub(crate) async fn connect(client: &Client) -> Self {
        Self::load(client, include_str!("two_buckets.lua")).await
    }

    async fn load(client: &Client, script: &str) -> Self {
        let settings = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let connection = client.get_multiplexed_async_connection_with_config(&settings);
        let mut connection = connection.await.expect("Redis takes connections");
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(script);
        let script = load.query_async(&mut connection).await.expect("a script");
        Self { connection, script }
    }

    /// Charges one hit to the counter `key`.
    pub(crate) async fn charge(&self, key: &[u8]) {
        let mut command = Cmd::with_capacity(7, 128);
        command.arg("EVALSHA").arg(&self.script).arg(1).arg(key).arg("60000").arg(MOST).arg("120000");
        let left: i64 = command.query_async(&mut self.connection.clone()).await.expect("Redis answers");
        assert!(left >= -1);
    }
}

impl Decide for Multiplexed {
    async fn decide(&self, number: usize) {
        self.charge(format!("bench:{number}").as_bytes()).await;
    }
}

impl Decide for Batches {
    async fn decide(&self, number: usize) {
        let keys = (0..self.size).map(|key| format!("bench:{}", (number * self.size + key) % COUNTERS));
        let mut command = Cmd::with_capacity(self.size + 6, self.size * 16 + 128);
        command.arg("EVALSHA").arg(&self.by.script).arg(self.size).arg(keys.collect::<Vec<_>>());
        command.arg("60000").arg(MOST).arg("120000");
        let left: Vec<i64> =
            command.query_async(&mut self.by.connection.clone()).await.expect("Redis answers");
        assert_eq!(left.len(), self.size);
    }
}

impl Decide for Ping {
    async fn decide(&self, _: usize) {
        let pong: String =
            redis::cmd("PING").query_async(&mut self.0.connection.clone()).await.expect("Redis answers");
        assert_eq!(pong, "PONG");
    }
}

impl Decide for RedisStore {
    async fn decide(&self, number: usize) {
        let charges = [hit::charge(&WINDOW, MOST, hit::key(number))];
        let answer = self.charge(hit::call(&charges)).await;
        assert!(answer.expect("Redis answers").degraded.is_none());
    }
}

/// Drives the plain way with `callers` at once.
pub(crate) fn multiplexed(redis: &Redis, callers: usize, count: usize) -> Driven {
    let runtime = runtime();
    let who = runtime.block_on(Multiplexed::connect(redis.client()));
    drive(&runtime, who, redis, callers, count)
}

/// What Redis spends on each of `count` decisions by the approximate script in batches of `size`, so many of them at once.
pub(crate) fn batches(redis: &Redis, at_once: usize, size: usize, count: usize) -> f64 {
    let runtime = runtime();
    let many = include_str!("many_buckets.lua");
    let by = runtime.block_on(Multiplexed::load(redis.client(), many));
    drive(&runtime, Batches { by, size }, redis, at_once, count / size).redis.cpu / size as f64
}

/// What Redis spends on a PING, asked alone.
pub(crate) fn ping(redis: &Redis, count: usize) -> f64 {
    let runtime = runtime();
    let who = runtime.block_on(Multiplexed::connect(redis.client()));
    drive(&runtime, Ping(who), redis, 1, count).redis.cpu
}

/// Drives Tollgate's store with `callers` at once.
pub(crate) fn store(redis: &Redis, callers: usize, count: usize) -> Driven {
    let runtime = runtime();
    let store = runtime.block_on(async {
        let mut settings = RedisSettings::new(redis.url());
        (settings.op_timeout, settings.connect_timeout) = (PATIENCE, PATIENCE);
        let store = RedisStore::start(settings, Clock::System).expect("a URL");
        while store.ready().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        store
    });
    drive(&runtime, store, redis, callers, count)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn drive(
    runtime: &Runtime,
    who: impl Decide + 'static,
    redis: &Redis,
    callers: usize,
    count: usize,
) -> Driven {
    let who = Rc::new(who);
    run(runtime, &who, callers, count / 2);
    let (spent, cpu) = (redis.spent(), cpu::of_thread());
    let ran = run(runtime, &who, callers, count);
    let cpu = (cpu::of_thread() - cpu) / 1e3 / count as f64;
    Driven { ran, cpu, redis: redis.spent().each(spent, count) }
}

fn run(runtime: &Runtime, who: &Rc<impl Decide + 'static>, callers: usize, count: usize) -> Ran {
    let left = Rc::new(Cell::new(count));
    let latencies = Rc::new(RefCell::new(Vec::with_capacity(count)));
    let tasks = LocalSet::new();
    for _ in 0..callers {
        let (who, left, latencies) = (who.clone(), left.clone(), latencies.clone());
        tasks.spawn_local(async move {
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                let start = now();
                who.decide(rest % COUNTERS).await;
                let taken = u64::try_from((now() - start).as_nanos()).expect("less than centuries");
                latencies.borrow_mut().push(taken);
            }
        });
    }
    let start = now();
    runtime.block_on(tasks);
    Ran::new(now() - start, latencies.take())
}

#[expect(clippy::disallowed_methods, reason = "latencies and decisions a second are of wall time")]
fn now() -> Instant {
    Instant::now()
}
