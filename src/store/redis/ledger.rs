//! A ledger in Redis: a stream, whose entries have the ids that whoever adds them says.
//!
//! Redis takes no id that is not above the last it has ever given in that stream. That alone makes sure that of all who add
//! at one place one does: no script is needed, and what is asked twice is there once.

use std::fmt;
use std::time::Duration;

use deadpool_redis::Pool;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::{Cmd, FromRedisValue, RedisError};
use tokio::time::timeout;

use crate::store::StoreError;
use crate::store::ledger::{Ledger, LedgerError, Line, Placing};

use super::errors::classify;
use super::keys;

/// The field of an entry.
const FIELD: &str = "r";
/// What Redis says of an id that is not above the last.
const NOT_ABOVE: &str = "equal or smaller";

/// Lines in a stream.
#[derive(Clone)]
pub struct RedisLedger {
    pool: Pool,
    /// How long Redis may take.
    patience: Duration,
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
        Self { pool, patience }
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
        command.arg(keys::AUDIT).arg(id(place)).arg(FIELD).arg(line);
        match self.ask::<redis::Value>(command).await {
            Ok(_) => Ok(Placing::Done),
            Err(Failed::Error(error)) if error.detail().is_some_and(|told| told.contains(NOT_ABOVE)) => {
                Ok(Placing::Overtaken)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    async fn range(&self, from: u64, most: usize) -> Result<Vec<Line>, LedgerError> {
        let mut command = redis::cmd("XRANGE");
        command.arg(keys::AUDIT).arg(id(from)).arg("+").arg("COUNT").arg(most);
        let entries: Vec<(String, Vec<Vec<u8>>)> = self.ask(command).await?;
        let line = |(id, fields): (String, Vec<Vec<u8>>)| {
            let place = id.split_once('-')?.0.parse().ok()?;
            // What others have put there is no record, and shows as that.
            Some(Line { place, bytes: fields.into_iter().nth(1)?.into() })
        };
        Ok(entries.into_iter().filter_map(line).collect())
    }
}

impl Ledger for RedisLedger {
    fn append<'a>(&'a self, place: u64, line: &'a [u8]) -> BoxFuture<'a, Result<Placing, LedgerError>> {
        self.add(place, line).boxed()
    }

    fn read(&self, from: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        self.range(from, most).boxed()
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

fn id(place: u64) -> String {
    format!("{place}-0")
}
