//! The shared store: counters in one Redis or Valkey, 6.2 or later, charged by one script.
//!
//! A decision is one EVALSHA over one of a few multiplexed connections, within one deadline. The script is a
//! translation of [`crate::algorithm`] and of the memory store's step. A store starts, and goes on, without
//! its Redis: then it has no answers, at once. What stands in for them is the business of
//! [`super::fallback`]. No type of the `redis` crate leaves this room.

mod client;
mod errors;
mod health;
mod keys;
mod offset;
mod script;
mod secret;
mod settings;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{RedisResult, Script};
use arc_swap::ArcSwap;
use deadpool_redis::{Manager, Pool, Runtime};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clock::{Clock, Micros, Timestamp};
use crate::limits::KeySecret;

use self::client::{Connections, Dial, Open, Step};
use self::errors::{Remedy, classify};
use self::offset::Offset;
use self::script::{Reply, Time};
use super::{Answer, Call, Outcomes, Store, StoreError};

pub use health::Finding;
pub use settings::{InvalidRedis, RedisSettings, Secret};

/// How long after its caller has given up a decision may still be made: for clocks that are not quite the same.
const SLACK: Duration = Duration::from_millis(5);
/// How often the Redis's own configuration is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// How soon it is looked at again when it could not be.
const RECHECK_AFTER: Duration = Duration::from_secs(1);

/// Counters in a Redis.
pub struct RedisStore {
    connections: Connections,
    script: Script,
    op_timeout: Duration,
    shared: Arc<Shared>,
    clock: Clock,
    offset: Offset,
    _checks: JoinSet<()>,
}

/// What connections find out for everyone.
struct Shared {
    secret: ArcSwap<KeySecret>,
    given: bool,
    findings: ArcSwap<BTreeSet<Finding>>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("op_timeout", &self.op_timeout).finish_non_exhaustive()
    }
}

impl RedisStore {
    /// A store over the Redis that `settings` name, which need not be there yet. Needs a Tokio runtime, on
    /// which its connections are kept until the store is dropped.
    ///
    /// Counters go by Redis's time. Only a [`Clock::Manual`], as tests have it, takes its place.
    pub fn start(settings: RedisSettings, clock: Clock) -> Result<Self, InvalidRedis> {
        let client = settings.client()?;
        let shared = Arc::new(Shared {
            secret: ArcSwap::from_pointee(settings.key_secret.unwrap_or_else(KeySecret::random)),
            given: settings.key_secret.is_some(),
            findings: ArcSwap::default(),
        });
        let dial = Dial {
            client: client.clone(),
            timeout: settings.connect_timeout,
            opening: step(&shared, open),
            heartbeat: step(&shared, beat),
        };
        let mut checks = JoinSet::new();
        checks.spawn(check(pool(&client, settings.connect_timeout), shared.clone()));
        Ok(Self {
            connections: Connections::keep(settings.connections, &dial),
            script: Script::new(script::SOURCE),
            op_timeout: settings.op_timeout,
            shared,
            clock,
            offset: Offset::default(),
            _checks: checks,
        })
    }

    /// What was found about the Redis's own configuration when it was last looked at.
    pub fn findings(&self) -> Arc<BTreeSet<Finding>> {
        self.shared.findings.load_full()
    }

    /// Runs `work` on an open connection, within the deadline, and draws the consequences of its failure.
    async fn within_deadline<T, F>(&self, work: impl FnOnce(Arc<Open>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let open = self.connections.pick().ok_or(StoreError::Unavailable)?;
        match timeout(self.op_timeout, work(open.clone())).await {
            Ok(Ok(answer)) => {
                self.connections.answered(&open);
                Ok(answer)
            }
            Ok(Err(Failure { error, remedy })) => {
                if remedy == Remedy::Reconnect {
                    self.connections.close(&open);
                }
                Err(error)
            }
            Err(_) => {
                self.connections.silent(&open);
                Err(StoreError::Timeout)
            }
        }
    }

    /// Asks for what `call` comes to; again if the script has to be loaded, or if the time was not known. What
    /// Redis comes to only after this has been given up, it leaves undone.
    async fn ask(&self, open: Arc<Open>, call: Call<'_>) -> Result<Answer, Failure> {
        let mut connection = open.connection();
        let until = self.clock.now().plus(Micros::of(self.op_timeout + SLACK));
        for _ in 0..3 {
            let asked = self.clock.now();
            let reply = match self.command(&call, until).query_async::<Vec<i64>>(&mut connection).await {
                Err(error) if classify(&error).1 == Remedy::Load => {
                    self.script.load_async(&mut connection).await?;
                    continue;
                }
                reply => reply?,
            };
            let reply = script::read(&call, &reply)?;
            self.offset.learn(asked, reply.at(), self.clock.now());
            if let Reply::Answered(answer) = reply {
                return Ok(answer);
            }
        }
        Err(StoreError::Timeout.into())
    }

    /// The command that charges `call`, unless it is later than `until` by our clock.
    fn command(&self, call: &Call<'_>, until: Timestamp) -> ::redis::Cmd {
        let (time, believed) = self.time(until);
        let mut command = ::redis::cmd("EVALSHA");
        command.arg(self.script.get_hash()).arg(call.charges.len());
        for charge in call.charges {
            command.arg(keys::counter(charge.key));
        }
        command.arg(time.pack()).arg(script::pack(call, believed));
        command
    }

    /// By which time the script goes, with `until` put into it, and what that time probably is.
    fn time(&self, until: Timestamp) -> (Time, Timestamp) {
        let now = self.clock.now();
        match self.clock {
            Clock::Manual(_) => (Time::At(now), now),
            Clock::System => {
                (Time::Redis { until: Some(self.offset.theirs(until)) }, self.offset.theirs(now))
            }
        }
    }
}

impl Store for RedisStore {
    async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        if call.charges.is_empty() {
            return Ok(Answer {
                at: self.time(Timestamp::default()).1,
                outcomes: Outcomes::new(),
                degraded: None,
            });
        }
        self.within_deadline(|open| self.ask(open, call)).await
    }

    fn key_secret(&self) -> KeySecret {
        **self.shared.secret.load()
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.within_deadline(async |open: Arc<Open>| {
            let ping = ::redis::cmd("PING");
            ping.query_async::<::redis::Value>(&mut open.connection()).await?;
            Ok(())
        })
        .await
    }
}

/// Why there is no answer, and what is to be done about it.
struct Failure {
    error: StoreError,
    remedy: Remedy,
}

impl From<::redis::RedisError> for Failure {
    fn from(error: ::redis::RedisError) -> Self {
        let (error, remedy) = classify(&error);
        Self { error, remedy }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, remedy: Remedy::Keep }
    }
}

impl Shared {
    /// Makes sure that all instances name counters under one secret.
    async fn agree(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let ours = **self.secret.load();
        if self.given {
            return Ok(());
        }
        let agreed = secret::agree(connection, ours).await?;
        if agreed != ours {
            self.secret.store(Arc::new(agreed));
        }
        Ok(())
    }
}

/// What is done on a new connection: the script is there, the secret is agreed on, and writing was tried, so
/// that a replica or a server that is still loading is left again before anyone asks it.
async fn open(shared: Arc<Shared>, mut connection: MultiplexedConnection) -> RedisResult<()> {
    Script::new(script::SOURCE).load_async(&mut connection).await?;
    shared.agree(&mut connection).await?;
    let mut probe = ::redis::cmd("SET");
    probe.arg(keys::PROBE).arg("").arg("PX").arg(1000);
    match probe
        .query_async::<::redis::Value>(&mut connection)
        .await
        .map_err(|error| (classify(&error), error))
    {
        Err(((_, Remedy::Reconnect), error)) => Err(error),
        Err(((refused, _), _)) => {
            tracing::warn!(reason = refused.to_string(), "the store cannot be written to");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// What is done on a connection while nobody complains about it. A Redis that has lost its data is given the
/// secret again before long, or else instances that start from then on would count under another.
async fn beat(shared: Arc<Shared>, mut connection: MultiplexedConnection) -> RedisResult<()> {
    if shared.given {
        return ::redis::cmd("PING").query_async(&mut connection).await;
    }
    shared.agree(&mut connection).await
}

/// `work` with its own hold of what all connections share.
fn step<F>(shared: &Arc<Shared>, work: fn(Arc<Shared>, MultiplexedConnection) -> F) -> Step
where
    F: Future<Output = RedisResult<()>> + Send + 'static,
{
    let shared = shared.clone();
    Arc::new(move |connection| Box::pin(work(shared.clone(), connection)))
}

fn pool(client: &::redis::Client, patience: Duration) -> Pool {
    let manager =
        Manager::new(client.get_connection_info().clone()).expect("the client was made of the same");
    let builder = Pool::builder(manager).max_size(1).runtime(Runtime::Tokio1);
    let builder = builder.timeouts(deadpool_redis::Timeouts {
        wait: Some(patience),
        create: Some(patience),
        recycle: Some(patience),
    });
    builder.build().expect("a runtime is named, which timeouts want")
}

/// Looks at the Redis's configuration, at start and every minute.
async fn check(pool: Pool, shared: Arc<Shared>) {
    loop {
        let found = health::examine(&pool).await;
        for finding in found.difference(&shared.findings.load()) {
            tracing::warn!("the store: {finding}");
        }
        let checked = !found.contains(&Finding::Unchecked);
        shared.findings.store(Arc::new(found));
        sleep(if checked { CHECK_EVERY } else { RECHECK_AFTER }).await;
    }
}
