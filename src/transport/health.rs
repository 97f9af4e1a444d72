//! Whether this instance wants calls.
//!
//! One handle, held by whoever knows and read by every wire: `grpc.health.v1`, `/healthcheck`. It says
//! nothing about a single limit: a store that is down is answered for by each limit's own policy.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether calls are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// They are.
    Wanted,
    /// They are not: not yet, or no longer. Calls that come all the same are answered.
    Unwanted,
}

/// A handle on whether calls are wanted; clones share it.
#[derive(Clone, Debug)]
pub struct Health(Arc<watch::Sender<Serving>>);

impl Health {
    /// A handle that starts as `serving`.
    pub fn new(serving: Serving) -> Self {
        Self(Arc::new(watch::Sender::new(serving)))
    }

    /// Tells every wire.
    pub fn set(&self, serving: Serving) {
        self.0.send_replace(serving);
    }

    /// What holds now.
    pub fn get(&self) -> Serving {
        *self.0.borrow()
    }

    /// What holds now and each change of it.
    pub fn watch(&self) -> watch::Receiver<Serving> {
        self.0.subscribe()
    }
}
