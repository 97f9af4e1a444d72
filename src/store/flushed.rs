//! What operators change is on the disk before they are told: a store whose counters are written down later, and at once where
//! somebody waits for that. Decisions never do.

use crate::limits::CounterKey;

use super::durable::Flushes;
use super::{Answer, Call, Lanes, Layer, Store, StoreError};

/// A store that is written down.
#[derive(Debug)]
pub struct WithFlushes<S> {
    store: S,
    /// `None` where nothing is kept beyond the process.
    flushes: Option<Flushes>,
}

impl<S: Store> WithFlushes<S> {
    /// `store`, of which `flushes` write down what has changed.
    pub fn new(store: S, flushes: Option<Flushes>) -> Self {
        Self { store, flushes }
    }
}

impl<S: Store> Layer for WithFlushes<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.store
    }

    async fn oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> Result<(Answer, Option<u32>), StoreError> {
        let answer = self.store.oversee(call, mark).await?;
        let changes = call.charges.iter().any(|charge| charge.op.changes());
        if let Some(flushes) = self.flushes.as_ref().filter(|_| changes) {
            flushes.flush().await.map_err(StoreError::Unkept)?;
        }
        Ok(answer)
    }
}

impl<S: Lanes> Lanes for WithFlushes<S> {
    fn lane(&self) -> Self {
        Self { store: self.store.lane(), flushes: self.flushes.clone() }
    }

    async fn tried(&self) {
        self.store.tried().await;
    }
}
