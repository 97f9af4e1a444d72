//! A ledger in Redis: a stream, whose entries have the ids that whoever adds them says.
//!
//! Redis takes no id that is not above the last it has ever given in that stream. That alone makes sure that of all who add
//! at one place one does: no script is needed, and what is asked twice is there once.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_redis::Pool;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult};
use tokio::time::timeout;

use crate::store::StoreError;
use crate::store::ledger::{Ledger, LedgerError, Line, Placing};

use super::errors::classify;
use super::keys;

/// The field of an entry.
const FIELD: &str = "r";
/// What Redis says of an id that is not above the last, and of one that never is.
const NOT_ABOVE: [&str; 2] = ["equal or smaller", "must be greater than 0-0"];

/// Lines in a stream.
#[derive(Clone)]
pub struct RedisLedger {
    pool: Pool,
    /// How long Redis may take.
    patience: Duration,
    /// Whether it was told that there is what no instance has put there.
    has_told: Arc<AtomicBool>,
}

/// An entry as Redis has it: its id, fields and values.
type Entry = (String, Vec<Vec<u8>>);

/// The id of an entry. Instances put all theirs at 0 beside the place.
#[derive(Clone, Copy)]
struct Id {
    place: u64,
    beside: u64,
}

/// In which order entries are read.
#[derive(Clone, Copy)]
enum Order {
    Upwards,
    Downwards,
}

/// Why there is no answer.
enum Failed {
    /// Redis said so.
    Error(RedisError),
    /// It said nothing.
    Silent(StoreError),
}

impl fmt::Debug for RedisLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLedger").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl RedisLedger {
    /// The ledger in the Redis behind `pool`.
    pub(super) fn new(pool: Pool, patience: Duration) -> Self {
        Self { pool, patience, has_told: Arc::default() }
    }

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, Failed> {
        let asking = async {
            let connection = self.pool.get().await;
            let mut connection = connection.map_err(|_| Failed::Silent(StoreError::Unavailable))?;
            command.query_async(&mut connection).await.map_err(Failed::Error)
        };
        timeout(self.patience, asking).await.unwrap_or(Err(Failed::Silent(StoreError::Timeout)))
    }

    async fn add(&self, place: u64, line: &[u8]) -> Result<Placing, LedgerError> {
        let mut command = redis::cmd("XADD");
        command.arg(keys::AUDIT).arg(Id::of(place).to_string()).arg(FIELD).arg(line);
        match self.ask::<redis::Value>(command).await {
            Ok(_) => Ok(Placing::Done),
            Err(Failed::Error(error)) if is_overtaken(&error) => Ok(Placing::Overtaken),
            Err(failed) => Err(failed.into()),
        }
    }

    /// At most so many lines, from the id `start` on.
    async fn range(&self, order: Order, start: Id, most: usize) -> Result<Vec<Line>, LedgerError> {
        let (mut next, mut lines) = (Some(start), Vec::new());
        while let Some(start) = next.filter(|_| lines.len() < most) {
            let wanted = most - lines.len();
            let entries: Vec<Entry> = self.ask(order.command(start, wanted)).await?;
            let last = entries.last().and_then(|(id, _)| Id::read(id));
            // Those that are passed over are not all that there is.
            next = last.filter(|_| entries.len() == wanted).and_then(|last| order.behind(last));
            lines.extend(entries.into_iter().filter_map(|entry| self.line(entry)));
        }
        Ok(lines)
    }

    fn line(&self, (id, fields): Entry) -> Option<Line> {
        match Id::read(&id)? {
            // What others have put there is no record, and shows as that.
            Id { place, beside: 0 } => Some(Line { place, bytes: fields.into_iter().nth(1)?.into() }),
            Id { .. } => {
                if !self.has_told.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        id,
                        "the stream of the audit holds what no instance has put there: it is passed over"
                    );
                }
                None
            }
        }
    }
}

/// Whether `error` says that there is no such place any more: it comes last, of whoever may write where that can be done.
fn is_overtaken(error: &RedisError) -> bool {
    error.detail().is_some_and(|told| NOT_ABOVE.iter().any(|words| told.contains(words)))
}

/// Reads both ways, as ledgers do. To append takes no more than is rehearsed of trails.
pub(super) async fn rehearse(connection: &mut impl ConnectionLike) -> RedisResult<()> {
    for order in [Order::Upwards, Order::Downwards] {
        order.command(Id::of(0), 1).query_async::<redis::Value>(connection).await?;
    }
    Ok(())
}

impl Order {
    fn command(self, start: Id, most: usize) -> Cmd {
        let (name, end) = match self {
            Self::Upwards => ("XRANGE", "+"),
            Self::Downwards => ("XREVRANGE", "-"),
        };
        let mut command = redis::cmd(name);
        command.arg(keys::AUDIT).arg(start.to_string()).arg(end).arg("COUNT").arg(most);
        command
    }

    /// The id next to `id`.
    fn behind(self, id: Id) -> Option<Id> {
        let Id { place, beside } = id;
        match self {
            Self::Upwards if beside < u64::MAX => Some(Id { place, beside: beside + 1 }),
            Self::Upwards => place.checked_add(1).map(Id::of),
            Self::Downwards if beside > 0 => Some(Id { place, beside: beside - 1 }),
            Self::Downwards => place.checked_sub(1).map(|place| Id { place, beside: u64::MAX }),
        }
    }
}

impl Id {
    /// That of the line at `place`.
    const fn of(place: u64) -> Self {
        Self { place, beside: 0 }
    }

    fn read(id: &str) -> Option<Self> {
        let (place, beside) = id.split_once('-')?;
        Some(Self { place: place.parse().ok()?, beside: beside.parse().ok()? })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.place, self.beside)
    }
}

impl Ledger for RedisLedger {
    fn append<'a>(&'a self, place: u64, line: &'a [u8]) -> BoxFuture<'a, Result<Placing, LedgerError>> {
        self.add(place, line).boxed()
    }

    fn read(&self, from: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        self.range(Order::Upwards, Id::of(from), most).boxed()
    }

    fn read_back(&self, before: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        match Order::Downwards.behind(Id::of(before)) {
            Some(start) => self.range(Order::Downwards, start, most).boxed(),
            None => ready(Ok(Vec::new())).boxed(),
        }
    }

    fn last_place(&self) -> BoxFuture<'_, Result<u64, LedgerError>> {
        let mut command = redis::cmd("XINFO");
        command.arg("STREAM").arg(keys::AUDIT);
        let told = async move {
            let told: HashMap<String, redis::Value> = self.ask(command).await?;
            let last = told.get("last-generated-id").cloned().map(redis::from_redis_value::<String>);
            let last = last.and_then(Result::ok).and_then(|id| Id::read(&id));
            Ok(last.map_or(0, |id| id.place))
        };
        told.boxed()
    }

    fn takes_lines(&self) -> BoxFuture<'_, bool> {
        self.add(0, b"").map(|added| added == Ok(Placing::Overtaken)).boxed()
    }
}

impl From<Failed> for LedgerError {
    fn from(failed: Failed) -> Self {
        Self::Store(match failed {
            Failed::Error(error) => classify(&error).0,
            Failed::Silent(error) => error,
        })
    }
}
