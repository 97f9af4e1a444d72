//! Puts changed files in force without a restart.
//!
//! The state of the files is looked at several times a second, whatever the way in which they change: written,
//! renamed over, removed, or swapped behind a link as Kubernetes does. A change is read once it has come to
//! rest, so a file half written is not taken for a whole one. A set with errors is never put in force: the last
//! good one stays, and what is wrong is logged and kept for those who ask.

mod repriced;
mod restarted;
mod strays;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::diagnostic::{Diagnostics, Severity};
use super::files::{self, Fingerprint};
use super::settings::{InputPlace, Inputs};
use super::source::{Compiled, SameDomain, compile};
use crate::limits::{LimitsHandle, Overlay, RuleSet};

pub use strays::log_strays;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// What became of the latest change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadStatus {
    /// How many sets have been put in force since the start; 1 is the first.
    pub generation: u64,
    /// How many sets were not put in force, because they were wrong.
    pub refused: u64,
    /// What is wrong with the files as they are now; `None` when they are in force.
    pub last_error: Option<Diagnostics>,
}

/// Watches the files and swaps the rule set.
#[derive(Debug)]
pub struct Reloader {
    inputs: Inputs,
    limits: LimitsHandle,
    seen: State,
    status: watch::Sender<ReloadStatus>,
}

/// The state of the files, or what keeps it from being told.
type State = Result<Fingerprint, Diagnostics>;

/// A rule set, and the state of the files it was made of.
#[derive(Debug)]
pub struct Loaded {
    /// The rule set and the warnings about it.
    pub compiled: Compiled,
    state: State,
}

/// Reads and compiles the files of `inputs`.
///
/// # Errors
///
/// All that is wrong with them.
pub fn load(inputs: &Inputs) -> Result<Loaded, Diagnostics> {
    let state = files::fingerprint(&inputs.place);
    let sources = files::read(&inputs.place)?;
    let same_domain = if inputs.merge_domains { SameDomain::Merge } else { SameDomain::Refuse };
    Ok(Loaded { compiled: compile(&sources, same_domain)?, state })
}

impl Reloader {
    /// A watcher of `inputs`, of which `loaded` came, for the set in `limits`. Puts `loaded` in force.
    pub fn new(inputs: Inputs, loaded: Loaded, limits: LimitsHandle) -> Self {
        let Loaded { compiled: Compiled { rules, warnings }, state } = loaded;
        log(&warnings);
        limits.swap(rules);
        let (status, _) = watch::channel(ReloadStatus { generation: 1, ..ReloadStatus::default() });
        Self { inputs, limits, seen: state, status }
    }

    /// What became of the latest change, now and from now on.
    pub fn status(&self) -> watch::Receiver<ReloadStatus> {
        self.status.subscribe()
    }

    /// Watches until `shutdown` ends.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        let mut before = self.seen.clone();
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => {}
            }
            let Some(now) = state_of(&self.inputs.place).await else { continue };
            if now == before && now != self.seen {
                self.reload().await;
                self.seen = now.clone();
            }
            before = now;
        }
    }

    /// Reads the files again and puts them in force, or says why not.
    async fn reload(&self) {
        let inputs = self.inputs.clone();
        // Reading and compiling may take long; calls are decided meanwhile.
        let Ok(loaded) = tokio::task::spawn_blocking(move || load(&inputs)).await else { return };
        match loaded {
            Ok(Loaded { compiled, .. }) => self.put_in_force(compiled),
            Err(found) => {
                log(&found);
                tracing::error!("the limits were not reloaded; the last good ones stay in force");
                self.status.send_modify(|status| {
                    status.refused += 1;
                    status.last_error = Some(found);
                });
            }
        }
    }

    fn put_in_force(&self, Compiled { rules, warnings }: Compiled) {
        log(&warnings);
        log_changes(&self.limits.files(), &rules, &self.limits.overlay());
        let (domains, strays) = (rules.domains.len(), self.limits.strays());
        self.limits.swap(rules);
        log_strays(&self.limits);
        strays::log_returned(&strays, &self.limits);
        self.status.send_modify(|status| {
            status.generation += 1;
            status.last_error = None;
        });
        tracing::info!(domains, generation = self.status.borrow().generation, "the limits were reloaded");
    }
}

/// The state of the files, looked at off the threads that decide.
async fn state_of(place: &InputPlace) -> Option<State> {
    let place = place.clone();
    tokio::task::spawn_blocking(move || files::fingerprint(&place)).await.ok()
}

fn log(found: &Diagnostics) {
    for diagnostic in found.iter() {
        match diagnostic.severity {
            Severity::Error => tracing::error!("{diagnostic}"),
            Severity::Warning => tracing::warn!("{diagnostic}"),
        }
    }
}

fn log_changes(before: &RuleSet, after: &RuleSet, over: &Overlay) {
    let restarted = restarted::between(before, after);
    for limit in &restarted {
        tracing::warn!(limit, "the limit has another window, unit or subject: its counters start empty");
    }
    strays::log_kept(over, after, &restarted);
    for model in repriced::between(&before.prices, &after.prices) {
        tracing::warn!(
            model,
            "past prices of the model are gone or others: add new ones behind them, with 'from'"
        );
    }
}
