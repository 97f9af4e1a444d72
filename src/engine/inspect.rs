//! What operators see of the engine: what is in force, and whether its store is there.

use std::sync::Arc;

use crate::audit::Attempt;
use crate::limits::RuleSet;
use crate::store::ledger::Line;
use crate::store::{LedgerError, Store, StoreError};

use super::operate::{Tried, attempt};
use super::usage::{InvalidUsageQuery, UnreadUsage, UsagePage, UsageQuery};
use super::{Counts, Engine, Odd};

/// What operators see of the engine.
pub trait Inspect: Clone + Send + Sync + 'static {
    /// The rules in force.
    fn rules(&self) -> Arc<RuleSet>;

    /// How often callers told of a hold what could not be taken as it was told.
    fn times(&self, odd: Odd) -> u64;

    /// What came of holds, and what was used of models.
    fn settlements(&self) -> Counts;

    /// How many settles were given up that nobody waited for and that were to charge something: the store had no answer, or
    /// too many waited for one.
    fn settles_given_up(&self) -> u64;

    /// Whether the store answers now. If it does not, each limit is decided by its own policy.
    fn store_ready(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The lines of the audit from a place on, as they are; none behind the last.
    fn audit_lines(&self, from: u64) -> impl Future<Output = Result<Vec<Line>, LedgerError>> + Send;

    /// What somebody would do who may not, as records tell it.
    fn attempt(&self, tried: &Tried<'_>) -> Attempt;

    /// Which usage events are asked for by these names and values.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    fn usage(&self, asked: &[(String, Vec<u8>)]) -> Result<UsageQuery, InvalidUsageQuery>;

    /// Reads some of them; `None` once all are read.
    ///
    /// # Errors
    ///
    /// That the store did not answer, or that there are none by a key which may be a slip.
    fn read_usage(
        &self,
        query: UsageQuery,
    ) -> impl Future<Output = Result<Option<UsagePage>, UnreadUsage>> + Send;
}

impl<S: Store> Inspect for Arc<Engine<S>> {
    fn rules(&self) -> Arc<RuleSet> {
        self.limits().load()
    }

    fn times(&self, odd: Odd) -> u64 {
        self.oddities.times(odd)
    }

    fn settlements(&self) -> Counts {
        self.settlements.counts()
    }

    fn settles_given_up(&self) -> u64 {
        self.insisted.given_up()
    }

    async fn store_ready(&self) -> Result<(), StoreError> {
        self.store().ready().await
    }

    async fn audit_lines(&self, from: u64) -> Result<Vec<Line>, LedgerError> {
        match self.journal() {
            Some(journal) => journal.lines(from).await,
            None => Ok(Vec::new()),
        }
    }

    fn attempt(&self, tried: &Tried<'_>) -> Attempt {
        attempt(self, tried)
    }

    fn usage(&self, asked: &[(String, Vec<u8>)]) -> Result<UsageQuery, InvalidUsageQuery> {
        UsageQuery::read(asked, &self.rules(), self.store().key_secret())
    }

    async fn read_usage(&self, query: UsageQuery) -> Result<Option<UsagePage>, UnreadUsage> {
        query.next(self.store(), &self.rules()).await
    }
}
