//! Builds the service out of its settings and runs it until it is asked to stop.
//!
//! The only room that knows every other, and the only place that picks a store. It decides nothing about
//! calls.

mod check;
mod ending;
mod listen;
mod parts;
mod rules;
mod stop;
mod workers;

use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::config::settings::{Settings, StoreSettings};
use crate::engine::{Check, Engine, Switch};
use crate::limits::{KeySecret, LimitsHandle};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::transport::accept::{self, Worker};
use crate::transport::grpc::GrpcSettings;
use crate::transport::health::{Health, Serving};
use crate::transport::http::{self, HttpSettings};

pub use check::check;
pub use ending::exit_code;
pub use listen::NoListener;
pub use stop::signals;

use listen::Bound;
use parts::Parts;
use stop::{Stop, Stopper};
use workers::{Desk, Thread};

/// Serves by `settings` until `stop` resolves and the calls in progress have ended.
///
/// # Errors
///
/// [`Diagnostics`](crate::config::diagnostic::Diagnostics) of files that cannot be used, [`NoListener`] for an
/// address that is not to be had, and whatever ends a part of the service before its time.
pub async fn serve(settings: Settings, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    say_what_is_odd(&settings);
    let limits = rules::load(&settings.inputs)?;
    match &settings.store {
        StoreSettings::Memory(memory) => {
            let secret = settings.key_secret.unwrap_or_else(KeySecret::random);
            let store = MemoryStore::new(*memory, Clock::System, secret);
            App::build(settings, limits, store).await?.run(stop).await
        }
        StoreSettings::Redis(_) => Err(anyhow!("no Redis yet")),
    }
}

fn say_what_is_odd(settings: &Settings) {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    if settings.engine.switch == Switch::Off {
        tracing::error!("RATE_LIMIT_ENABLED=false: every call passes and nothing is counted");
    }
}

/// The service, built and not yet running.
#[derive(Debug)]
struct App<S> {
    engine: Arc<Engine<S>>,
    settings: Settings,
    bound: Bound,
    health: Health,
}

impl<S: Store> App<S> {
    /// Takes the addresses to listen on. Nobody is served yet.
    async fn build(settings: Settings, limits: LimitsHandle, store: S) -> anyhow::Result<Self> {
        let bound = Bound::take(&settings.listeners).await?;
        let engine = Arc::new(Engine::new(limits, store, settings.engine.clone()));
        Ok(Self { engine, settings, bound, health: Health::new(Serving::Unwanted) })
    }

    /// Serves until `stop` resolves; then says so to whoever watches the health, still takes calls for the
    /// drain delay, turns new ones away and lets those in progress end.
    async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { engine, settings, bound, health } = self;
        let (stopper, stopping) = Stopper::new();
        let addresses = bound.addresses()?;
        let mut parts = Parts::default();
        let desk = Desk {
            check: engine.clone(),
            health: health.clone(),
            settings: GrpcSettings::default(),
            stop: stopping.clone(),
        };
        let inboxes = staff(settings.threads, &desk, &mut parts)?;
        parts.add(accept(bound.grpc, inboxes, stopping.clone()));
        let http = http::serve(bound.http, engine, health.clone(), HttpSettings::default(), stopping.asked());
        parts.add(async { http.await.context("the HTTP server failed") });

        health.set(Serving::Wanted);
        addresses.announce();
        let early = tokio::select! {
            () = stop => Ok(()),
            error = parts.early_end() => Err(error),
        };
        health.set(Serving::Unwanted);
        tracing::info!(drain_delay = ?settings.drain_delay, "stopping");
        tokio::time::sleep(settings.drain_delay).await;
        stopper.stop();
        early.and(parts.drain().await)
    }
}

/// Starts the threads that decide; each is a part. Answers where connections are dealt to.
fn staff(count: NonZeroUsize, desk: &Desk<impl Check>, parts: &mut Parts) -> anyhow::Result<Vec<Worker>> {
    let threads = workers::start(count, desk).context("cannot start the threads that decide")?;
    let mut inboxes = Vec::with_capacity(threads.len());
    for Thread { inbox, end } in threads {
        inboxes.push(inbox);
        parts.add(async { Ok(end.await.context("a thread that decides is gone")??) });
    }
    Ok(inboxes)
}

/// Deals connections out until it is told to end; then no more are taken.
async fn accept(listener: TcpListener, inboxes: Vec<Worker>, stop: Stop) -> anyhow::Result<()> {
    tokio::select! {
        () = accept::accept(listener, inboxes) => Err(anyhow!("nobody takes connections any more")),
        () = stop.asked() => Ok(()),
    }
}
