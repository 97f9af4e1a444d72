//! The trails of usage in Redis: streams, of which the oldest entries go first.
//!
//! What is spent is added by the script that charges it. Refusals are added here, many at once, away from decisions;
//! when there are more than can be, or Redis takes none, they are dropped and counted. Streams are cut by their length
//! whenever something is added, and by age every minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_redis::Pool;
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Value};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::clock::Timestamp;
use crate::store::{Note, Page, Place, Retention, StoreError, Trail};

use super::errors::classify;
use super::keys;

/// How many refusals wait at most.
const WAITING: usize = 1024;
/// How many are added at once.
const AT_ONCE: usize = 128;
/// How often what is too old is cut off, and what was dropped is told.
const ROUND: Duration = Duration::from_secs(60);
/// The field of an entry.
const FIELD: &str = "e";

/// The way to the trails.
#[derive(Clone)]
pub(super) struct Trails {
    pool: Pool,
    retention: Retention,
    refusals: Sender<Note>,
    /// Of refusals.
    dropped: Arc<AtomicU64>,
    /// How long Redis may take.
    patience: Duration,
}

impl Trails {
    /// The way over `pool`, and the task that has to run beside it.
    pub(super) fn open(
        pool: Pool,
        retention: Retention,
        patience: Duration,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (refusals, waiting) = channel(WAITING);
        let dropped = Arc::<AtomicU64>::default();
        let scribe = Scribe { pool: pool.clone(), retention, patience, dropped: dropped.clone() };
        let trails = Self { pool, retention, refusals, dropped, patience };
        (trails, scribe.write(waiting))
    }

    /// How many entries each keeps.
    pub(super) fn most(&self) -> usize {
        self.retention.most
    }

    /// Has `refusal` added, if there is room for it.
    pub(super) fn add(&self, refusal: Note) {
        if self.refusals.try_send(refusal).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The entries of `page`; none that was too old at `now`, by Redis's clock, where that is known.
    pub(super) async fn read(&self, page: Page, now: Option<Timestamp>) -> Result<Vec<Note>, StoreError> {
        let oldest = now.map(|now| oldest(now, self.retention)).unwrap_or_default();
        let from = page.from.max(oldest);
        let mut range = redis::cmd("XRANGE");
        range.arg(keys::trail(page.trail)).arg(id(from)).arg("+").arg("COUNT").arg(page.most);
        let entries: Vec<(String, (String, Vec<u8>))> = ask(&self.pool, self.patience, &range).await?;
        let note = |(id, (_, bytes)): (String, (String, Vec<u8>))| Note::of_bytes(place(&id)?, &bytes);
        // What cannot be read is of another version, which knows how to.
        Ok(entries.into_iter().filter_map(note).collect())
    }
}

/// One who adds refusals and cuts off what is too old.
struct Scribe {
    pool: Pool,
    retention: Retention,
    patience: Duration,
    dropped: Arc<AtomicU64>,
}

impl Scribe {
    /// Writes down who is waiting, until nobody can come any more.
    async fn write(self, mut waiting: Receiver<Note>) {
        let mut refusals = Vec::with_capacity(AT_ONCE);
        let mut round = interval(ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                taken = waiting.recv_many(&mut refusals, AT_ONCE) => {
                    if taken == 0 {
                        return;
                    }
                    if self.add(&refusals).await.is_err() {
                        self.dropped.fetch_add(taken as u64, Ordering::Relaxed);
                    }
                    refusals.clear();
                }
                _ = round.tick() => {
                    let dropped = self.dropped.swap(0, Ordering::Relaxed);
                    if dropped > 0 {
                        tracing::warn!(dropped, "refusals were not noted: too many, or Redis took none");
                    }
                    // What stays this time goes the next.
                    _ = self.cut().await;
                }
            }
        }
    }

    async fn add(&self, refusals: &[Note]) -> Result<(), StoreError> {
        let mut pipeline = redis::pipe();
        for refusal in refusals {
            let added = pipeline.cmd("XADD").arg(keys::trail(Trail::Refused));
            added.arg("MAXLEN").arg("~").arg(self.retention.most).arg("*");
            added.arg(FIELD).arg(refusal.to_bytes());
        }
        let adding = async {
            let mut connection = self.pool.get().await.map_err(|_| StoreError::Unavailable)?;
            let added = pipeline.query_async::<Vec<String>>(&mut connection).await;
            added.map(|_| ()).map_err(|error| classify(&error).0)
        };
        timeout(self.patience, adding).await.unwrap_or(Err(StoreError::Timeout))
    }

    /// Cuts off what is too old by Redis's own clock.
    async fn cut(&self) -> Result<(), StoreError> {
        let (seconds, micros): (u64, u64) = ask(&self.pool, self.patience, &redis::cmd("TIME")).await?;
        let oldest =
            oldest(Timestamp(seconds.saturating_mul(1_000_000).saturating_add(micros)), self.retention);
        for trail in [Trail::Spent, Trail::Refused] {
            let mut trim = redis::cmd("XTRIM");
            trim.arg(keys::trail(trail)).arg("MINID").arg("~").arg(id(oldest));
            ask::<u64>(&self.pool, self.patience, &trim).await?;
        }
        Ok(())
    }
}

/// Does all that trails do, on one that nobody reads, and leaves nothing behind, whichever of it is refused.
pub(super) async fn rehearse(connection: &mut impl ConnectionLike) -> RedisResult<()> {
    let nothing = id(Place::default());
    let after_the_name: [(&str, &[&str]); 4] = [
        ("XADD", &["MAXLEN", "~", "1", "*", FIELD, ""]),
        ("XRANGE", &["-", "+", "COUNT", "1"]),
        ("XTRIM", &["MINID", "~", &nothing]),
        ("DEL", &[]),
    ];
    let mut commands = Pipeline::new();
    commands.ignore_errors();
    for (command, arguments) in after_the_name {
        commands.cmd(command).arg(keys::TRAIL_PROBE).arg(arguments);
    }
    let answers: Vec<RedisResult<Value>> = commands.query_async(connection).await?;
    answers.into_iter().collect::<RedisResult<Vec<_>>>().map(drop)
}

/// Asks Redis, away from decisions.
async fn ask<T: FromRedisValue>(pool: &Pool, patience: Duration, command: &Cmd) -> Result<T, StoreError> {
    let asking = async {
        let mut connection = pool.get().await.map_err(|_| StoreError::Unavailable)?;
        command.query_async(&mut connection).await.map_err(|error| classify(&error).0)
    };
    timeout(patience, asking).await.unwrap_or(Err(StoreError::Timeout))
}

/// The first place of what is kept at `now`.
fn oldest(now: Timestamp, retention: Retention) -> Place {
    Place::of(Timestamp(now.0.saturating_sub(retention.age.0)))
}

/// A place as Redis writes it.
fn id(place: Place) -> String {
    format!("{}-{}", place.millis, place.number)
}

fn place(id: &str) -> Option<Place> {
    let (millis, number) = id.split_once('-')?;
    Some(Place { millis: millis.parse().ok()?, number: number.parse().ok()? })
}
