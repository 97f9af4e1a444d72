//! What operators change is on the disk before they are told: a store whose counters are written down later, and at once where
//! somebody waits for that. Decisions never do.

use super::durable::Flushes;
use super::{Lanes, Layer, Store};

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

    async fn flush(&self) -> Result<(), String> {
        match &self.flushes {
            Some(flushes) => flushes.flush().await,
            None => Ok(()),
        }
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
