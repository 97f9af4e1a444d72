//! What operators see of the engine: what is in force, and whether its store is there.

use std::sync::Arc;

use crate::limits::RuleSet;
use crate::store::{Store, StoreError};

use super::Engine;

/// What operators see of the engine.
pub trait Inspect: Clone + Send + Sync + 'static {
    /// The rules in force.
    fn rules(&self) -> Arc<RuleSet>;

    /// Whether the store answers now. If it does not, each limit is decided by its own policy.
    fn store_ready(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl<S: Store> Inspect for Arc<Engine<S>> {
    fn rules(&self) -> Arc<RuleSet> {
        self.limits().load()
    }

    async fn store_ready(&self) -> Result<(), StoreError> {
        self.store().ready().await
    }
}
