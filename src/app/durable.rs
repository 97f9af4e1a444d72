//! The embedded store and its data directory: read before anybody is served, written to beside that, and a last time
//! when the last call was answered.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::admin::{Probe, State};
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::limits::KeySecret;
use crate::store::Ledger;
use crate::store::durable::{DataFile, FlushStatus, Flusher};
use crate::store::flushed::WithFlushes;
use crate::store::ledger::FileLedger;
use crate::store::ledger::noted::NotedLine;
use crate::store::memory::{MemorySettings, MemoryStore};

use super::audit;

/// Writes down what the embedded store counts, where that is wanted.
#[derive(Debug)]
pub(super) struct Keeper(Option<Flusher>);

/// The embedded store, and what there is beside it.
pub(super) struct Embedded {
    pub(super) store: Arc<MemoryStore>,
    pub(super) keeper: Keeper,
    pub(super) ledger: Arc<dyn Ledger>,
}

impl Keeper {
    /// The embedded store with all that its data directory holds, who goes on writing there, and the ledger.
    pub(super) fn begin(memory: MemorySettings, settings: &Settings) -> anyhow::Result<Embedded> {
        let store =
            |secret| Arc::new(MemoryStore::new(memory, Clock::System, secret).keeping(settings.usage));
        let given = settings.key_secret;
        let Some(data) = &settings.data else {
            let store = store(given.unwrap_or_else(KeySecret::random));
            return Ok(Embedded { store, keeper: Self(None), ledger: audit::homeless() });
        };
        let (mut file, secret) = DataFile::open(data, given)?;
        let store = store(secret);
        let (mut kinds, noted) = (store.kept(), Arc::<NotedLine>::default());
        kinds.push(noted.clone());
        file.load(&kinds)?;
        // The data file is held by this process, and so is all that is beside it.
        let ledger = Arc::new(FileLedger::noting(&data.dir, noted)?);
        let flusher = Flusher::start(file, kinds, data.flush_interval, Clock::System);
        let keeper = Self(Some(flusher.context("cannot start the thread that writes")?));
        Ok(Embedded { store, keeper, ledger })
    }

    /// `store`, which answers operators once what they have changed is written down.
    pub(super) fn answering(&self, store: Arc<MemoryStore>) -> WithFlushes<Arc<MemoryStore>> {
        WithFlushes::new(store, self.0.as_ref().map(Flusher::flushes))
    }

    /// How the data directory is, for operators.
    pub(super) fn probe(&self) -> Option<Probe> {
        self.0.as_ref().map(|flusher| probe(&flusher.status()))
    }

    /// Writes down what has changed until now, for as long as `patience` lasts. Nothing may change any more.
    pub(super) async fn end(self, patience: Duration) -> anyhow::Result<()> {
        let Some(flusher) = self.0 else { return Ok(()) };
        let ended = tokio::time::timeout(patience, flusher.end()).await;
        let problem = match ended {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => problem,
            Err(_) => format!("the disk takes longer than {patience:?}"),
        };
        Err(anyhow!("what was counted last is lost: it cannot be written to the data directory: {problem}"))
    }
}

fn probe(status: &Arc<FlushStatus>) -> Probe {
    let look = status.clone();
    let count = |count: fn(&FlushStatus) -> u64| {
        let status = status.clone();
        move || count(&status)
    };
    Probe::new("data", move || match look.problem() {
        None => State::Ready,
        Some(problem) => State::Degraded(format!("cannot be written, trying again: {problem}")),
    })
    .counting("flushes", "How often changes were written to the data directory", count(FlushStatus::flushes))
    .counting("flush_failures", "How often they could not be, and were kept", count(FlushStatus::failures))
    .counting("flushed_changes", "How many changes were written", count(FlushStatus::written))
}
