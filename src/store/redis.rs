//! The shared store: counters in one Redis or Valkey, 6.2 or later, charged by one script.
//!
//! A decision is part of one EVALSHA, alone or with others that waited at the same time, within one deadline.
//! Each thread that decides has a [`lane`] of its own. The script is a translation of [`crate::algorithm`] and of
//! the memory store's step. A store starts, and goes on, without its Redis: then it has no answers, at once. What
//! stands in for them is the business of [`super::fallback`]. No type of the `redis` crate leaves this room.

mod batch;
mod client;
mod errors;
mod health;
mod keys;
mod lane;
mod ledger;
mod lua;
mod offset;
mod opening;
mod overseen;
mod queue;
mod reservation;
mod script;
mod secret;
mod settings;
mod trails;
mod unanswered;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clock::{Clock, Micros, Timestamp};
use crate::limits::{CounterKey, KeySecret};

use self::client::{Dial, FirstTries};
use self::health::Unfinished;
use self::lane::{Lane, Plan, Tracks};
use self::offset::Offset;
use self::opening::{Shared, beat, open, step};
use self::script::Replied;
use self::trails::Trails;
use self::unanswered::Unanswered;
use super::{
    Answer, Call, Lanes, Mark, Marked, Note, Page, Place, Reserve, Reserved, Settle, Settled, Store,
    StoreError,
};

pub use health::Finding;
pub use ledger::RedisLedger;
pub use settings::{InvalidRedis, RedisSettings, Secret};

/// How often the Redis's own configuration is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// How soon it is looked at again after a look that broke off; each time twice as late, to that at most.
const RECHECK_AFTER: Duration = Duration::from_secs(1);
/// How often a call is asked that was too late, or whose calendar was that of another time.
const ASKS: usize = 3;

/// Counters in a Redis.
pub struct RedisStore {
    lane: Lane,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    trails: Trails,
    ledger: RedisLedger,
    checks: Arc<JoinSet<()>>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("op_timeout", &self.plan.patience).finish_non_exhaustive()
    }
}

impl RedisStore {
    /// A store over the Redis that `settings` name, which need not be there yet. Needs a Tokio runtime, on
    /// which its connections are kept until the store is dropped.
    ///
    /// Counters go by Redis's time. Only a [`Clock::Manual`], as tests have it, takes its place.
    pub fn start(settings: RedisSettings, clock: Clock) -> Result<Self, InvalidRedis> {
        let client = settings.client()?;
        let shared = Arc::new(Shared::new(settings.key_secret));
        let mut checks = JoinSet::new();
        let pool = pool(&client, settings.connect_timeout);
        let ledger = RedisLedger::new(pool.clone(), settings.connect_timeout);
        let (trails, scribe) = Trails::open(pool.clone(), settings.usage, settings.connect_timeout);
        checks.spawn(check(pool, shared.clone()));
        checks.spawn(scribe);
        let plan = Arc::new(Plan {
            dial: Dial {
                client,
                timeout: settings.connect_timeout,
                opening: step(&shared, open),
                heartbeat: step(&shared, beat),
                losses: Arc::default(),
            },
            connections: settings.connections,
            patience: settings.op_timeout,
            clock,
            offset: Offset::default(),
            tracks: Tracks::default(),
            first_tries: FirstTries::default(),
            unanswered: Unanswered::default(),
        });
        Ok(Self { lane: Lane::open(&plan), plan, shared, trails, ledger, checks: Arc::new(checks) })
    }

    /// What was found about the Redis's own configuration when it was last looked at.
    pub fn findings(&self) -> Arc<BTreeSet<Finding>> {
        self.shared.findings.load_full()
    }

    /// Where it is kept what admins do.
    pub fn ledger(&self) -> RedisLedger {
        self.ledger.clone()
    }

    /// How many calls it had no answer to; tells that as long as anybody asks.
    pub fn unanswered(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let plan = self.plan.clone();
        move || plan.unanswered.times()
    }

    /// Whether answers came too late within about a minute; tells that as long as anybody asks.
    pub fn lateness(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let plan = self.plan.clone();
        move || plan.unanswered.is_late(plan.clock.steady())
    }

    /// What was `said` to a call; that nothing was is counted.
    fn heard<T>(&self, said: Result<T, StoreError>) -> Result<T, StoreError> {
        let plan = &self.plan;
        said.inspect_err(|error| plan.unanswered.note(error, plan.patience, plan.clock.steady()))
    }

    /// Until when whoever asks now waits, by the steady clock.
    fn until(&self) -> Micros {
        Micros(self.plan.clock.steady().0.saturating_add(Micros::of(self.plan.patience).0))
    }

    /// What the store's clock probably shows.
    fn believed(&self) -> Timestamp {
        let now = self.plan.clock.now();
        match self.plan.clock {
            Clock::Manual(_) => now,
            Clock::System => self.plan.offset.theirs(now),
        }
    }

    /// Charges; asks again what was not done, with the time that the reply has told.
    async fn ask_to_charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        if call.charges.is_empty() {
            return Ok(script::answer(&call, self.believed(), &[]));
        }
        let until = self.until();
        for _ in 0..ASKS {
            let packed = script::pack(&call, || self.believed(), self.trails.most());
            match self.lane.ask(packed, until).await? {
                (at, Replied::Charged(charged)) => return Ok(script::answer(&call, at, &charged)),
                (_, Replied::Unwritten(error)) => return Err(error),
                (_, Replied::Astray) => {}
            }
        }
        Err(StoreError::Timeout)
    }
}

impl Store for RedisStore {
    // No more waits than there have to be: each would make every waiting call larger.
    fn charge(&self, call: Call<'_>) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        self.ask_to_charge(call).map(|said| self.heard(said))
    }

    async fn reserve(&self, call: Reserve<'_>) -> Result<Reserved, StoreError> {
        self.heard(self.ask_to_reserve(call).await)
    }

    async fn settle(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        self.heard(self.ask_to_settle(call).await)
    }

    async fn oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> Result<(Answer, Option<Marked>), StoreError> {
        self.heard(self.ask_to_oversee(call, mark).await)
    }

    async fn mark(&self, marks: &[Mark]) -> Result<(), StoreError> {
        self.ask_to_mark(marks).await
    }

    fn note_refusal(&self, at: Timestamp, about: &[u8], line: &[u8]) {
        let (about, line) = (about.into(), line.into());
        self.trails.add(Note { place: Place::default(), at, spending: None, about, line });
    }

    async fn notes(&self, page: Page) -> Result<Vec<Note>, StoreError> {
        let now = match self.plan.clock {
            Clock::Manual(_) => None,
            Clock::System => Some(self.believed()),
        };
        self.trails.read(page, now).await
    }

    fn now(&self) -> Timestamp {
        self.believed()
    }

    fn key_secret(&self) -> KeySecret {
        self.shared.secret()
    }

    fn agreed_secret(&self) -> Option<KeySecret> {
        self.shared.agreed_secret()
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.lane.ready().await
    }
}

impl Lanes for RedisStore {
    fn lane(&self) -> Self {
        Self {
            lane: Lane::open(&self.plan),
            plan: self.plan.clone(),
            shared: self.shared.clone(),
            trails: self.trails.clone(),
            ledger: self.ledger.clone(),
            checks: self.checks.clone(),
        }
    }

    async fn tried(&self) {
        self.plan.first_tries.done().await;
    }
}

fn pool(client: &::redis::Client, patience: Duration) -> Pool {
    let manager =
        Manager::new(client.get_connection_info().clone()).expect("the client was made of the same");
    let builder = Pool::builder(manager).max_size(2).runtime(Runtime::Tokio1);
    let builder = builder.timeouts(deadpool_redis::Timeouts {
        wait: Some(patience),
        create: Some(patience),
        recycle: Some(patience),
    });
    builder.build().expect("a runtime is named, which timeouts want")
}

/// Looks at the Redis's configuration, at start and every minute; sooner after a look that broke off.
async fn check(pool: Pool, shared: Arc<Shared>) {
    let mut retry = RECHECK_AFTER;
    loop {
        let known = shared.findings.load_full();
        let (found, pause) = match health::examine(&pool).await {
            Ok(found) => {
                retry = RECHECK_AFTER;
                (found, CHECK_EVERY)
            }
            Err(Unfinished) => {
                let pause = retry;
                retry = (retry * 2).min(CHECK_EVERY);
                (known.iter().cloned().chain([Finding::Unfinished]).collect(), pause)
            }
        };
        for finding in found.difference(&known) {
            tracing::warn!("the store: {finding}");
        }
        shared.findings.store(Arc::new(found));
        sleep(pause).await;
    }
}
