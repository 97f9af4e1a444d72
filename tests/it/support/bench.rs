//! A store of a test's own, in memory or on a Redis that nobody else knows, under a clock that is set by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::KeySecret;
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::redis::RedisStore;

use super::redis::{RedisServer, until_looked};
use super::tools::Tool;

/// 2023-11-14 22:13:00 UTC: here begins a cell or a window of every whole minute, and of most lengths below.
pub(crate) const START: Timestamp = Timestamp(1_699_999_980_000_000);

/// A store and the time it goes by, which begins at [`START`].
pub(crate) struct Bench<S> {
    pub(crate) store: Arc<S>,
    pub(crate) clock: Clock,
    server: Option<RedisServer>,
}

impl Bench<MemoryStore> {
    pub(crate) async fn memory() -> Self {
        let clock = Clock::manual(START);
        let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16]));
        Self { store: Arc::new(store), clock, server: None }
    }
}

impl Bench<RedisStore> {
    pub(crate) async fn on(tool: Tool) -> Self {
        let server = RedisServer::start(tool);
        let clock = Clock::manual(START);
        let store = server.store(clock.clone()).await;
        // What it asks by itself is among no counts of a test.
        until_looked(&store).await;
        Self { store: Arc::new(store), clock, server: Some(server) }
    }

    pub(crate) async fn redis() -> Self {
        Self::on(Tool::Redis).await
    }

    pub(crate) async fn valkey() -> Self {
        Self::on(Tool::Valkey).await
    }

    /// How many keys there are that look like `pattern`.
    pub(crate) fn keys_like(&self, pattern: &str) -> usize {
        let server = self.server.as_ref().expect("it was started on one");
        let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query(&mut server.connection()).unwrap();
        keys.len()
    }
}

impl Bench<RedisStore> {
    /// How often the server was sent each command, so far.
    pub(crate) fn commands(&self) -> BTreeMap<String, u64> {
        let server = self.server.as_ref().expect("it was started on one");
        let told: String = redis::cmd("INFO").arg("commandstats").query(&mut server.connection()).unwrap();
        let calls = |line: &str| {
            let (command, counts) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((command.to_owned(), counts.split(',').next()?.parse().ok()?))
        };
        told.lines().filter_map(calls).collect()
    }
}

impl Bench<RedisStore> {
    /// How many keys the server has looked up so far, whether there or not.
    pub(crate) fn looked_up(&self) -> u64 {
        let server = self.server.as_ref().expect("it was started on one");
        let told: String = redis::cmd("INFO").arg("stats").query(&mut server.connection()).unwrap();
        let counts = ["keyspace_hits:", "keyspace_misses:"];
        let count = |line: &str| counts.iter().find_map(|name| line.strip_prefix(name)?.parse::<u64>().ok());
        told.lines().filter_map(count).sum()
    }

    /// Fills the server with as many counters of others, each named and valued as one of a sliding window is.
    pub(crate) fn fill(&self, others: u64) {
        const AT_ONCE: u64 = 50_000;
        let server = self.server.as_ref().expect("it was started on one");
        let script = "for user = tonumber(ARGV[1]), tonumber(ARGV[2]) do
            local name = string.format('%08x%08x', user * 2654435761 % 4294967296, user)
            redis.call('SET', 'tollgate:{' .. name .. '}:' .. name .. name, string.rep('c', 21))
        end";
        let mut connection = server.connection();
        for first in (0..others).step_by(usize::try_from(AT_ONCE).expect("it is small")) {
            let fill = redis::cmd("EVAL").arg(script).arg(0).arg(first).arg(first + AT_ONCE - 1).to_owned();
            fill.exec(&mut connection).unwrap();
        }
        let size: u64 = redis::cmd("DBSIZE").query(&mut connection).unwrap();
        assert!(size >= others, "{size}");
    }
}

impl<S> Bench<S> {
    /// Lets so much time go by.
    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Micros::from_secs(seconds));
    }
}

/// Asks what is promised of each of the stores that are named, every promise on a bench of its own.
macro_rules! promises {
    (of [$($store:ident),*]: $promises:tt) => {
        $($crate::support::bench::promises!(in $store: $promises);)*
    };
    (in $store:ident: { $($promise:ident),* $(,)? }) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise($crate::support::bench::Bench::$store().await).await;
                }
            )*
        }
    };
}
pub(crate) use promises;
