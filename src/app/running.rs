//! What runs, and in which order it ends: those who decide, then those who serve operators, then those who tell of both.
//!
//! Nobody of a later turn may end before the last of an earlier one: who turns calls away is seen by the probes of the
//! operators' listener, and what an operator's last call did is recorded and written down before the process is gone.

use std::time::Duration;

use futures_util::FutureExt;

use crate::alerts::Delivery;
use crate::audit::Journal;
use crate::auth::{Denials, Gate, Grant};

use super::audit;
use super::parts::Parts;
use super::stop::{Stop, Stopper};

/// How long calls may take that are in progress once new ones are turned away. With the longest drain delay before it, and
/// the last alerts and what is to be written down behind them all, the process is gone within 25 s of the signal.
const LONGEST_CALL: Duration = Duration::from_secs(13);
/// How long operators' may.
const LONGEST_OPERATION: Duration = Duration::from_secs(3);
/// How long telling may take; whoever tells ends in less.
const LONGEST_WORD: Duration = Duration::from_secs(3);

/// All that runs.
pub(super) struct Running {
    pub(super) deciding: Turn,
    pub(super) operating: Turn,
    /// Those who tell alerts and record refusals: calls that are let end may still bring some.
    telling: Turn,
    /// Those who end with the process.
    pub(super) beside: Parts,
}

/// Parts that end together, once they are told to.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) parts: Parts,
    stopper: Stopper,
}

impl Running {
    /// Nothing yet but those who tell alerts.
    pub(super) fn telling(delivery: Delivery) -> Self {
        let mut telling = Turn::new();
        telling.parts.add(delivery.run(telling.stop().asked()).map(Ok));
        Self { deciding: Turn::new(), operating: Turn::new(), telling, beside: Parts::default() }
    }

    /// Records who is refused at `gate`, also those of the last calls.
    pub(super) fn record_refusals<G: Grant>(&mut self, journal: &Journal, gate: &Gate<G>, denials: Denials) {
        let closing = self.telling.stop().asked();
        let recording = audit::record_denials(journal.clone(), gate.clone(), denials, closing);
        self.telling.parts.add(recording.map(Ok));
    }

    /// Waits for `stop`, or for the first that ends by itself.
    pub(super) async fn until(&mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::select! {
            () = stop => Ok(()),
            error = self.deciding.parts.early_end() => Err(error),
            error = self.operating.parts.early_end() => Err(error),
            error = self.telling.parts.early_end() => Err(error),
            error = self.beside.early_end() => Err(error),
        }
    }

    /// Goes on for `drain_delay`; then ends all in their turns, and says where the audit ends.
    pub(super) async fn end(self, drain_delay: Duration, journal: &Journal) -> anyhow::Result<()> {
        tracing::info!(?drain_delay, "stopping");
        tokio::time::sleep(drain_delay).await;
        let decided = self.deciding.end(LONGEST_CALL).await;
        let operated = self.operating.end(LONGEST_OPERATION).await;
        let told = self.telling.end(LONGEST_WORD).await;
        audit::tell(journal);
        decided.and(operated).and(told)
    }
}

impl Turn {
    fn new() -> Self {
        Self { parts: Parts::default(), stopper: Stopper::new() }
    }

    /// When these are to end.
    pub(super) fn stop(&self) -> Stop {
        self.stopper.stop()
    }

    /// Tells them to end, and waits for it for as long as `patience`.
    async fn end(self, patience: Duration) -> anyhow::Result<()> {
        self.stopper.ask();
        self.parts.drain(patience).await
    }
}
