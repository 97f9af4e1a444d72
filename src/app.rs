//! Builds the service out of its settings and runs it until it is asked to stop.
//!
//! The only room that knows every other, and the only place that picks a store. It decides nothing about
//! calls.

mod asking;
mod audit;
mod callers;
mod check;
mod descriptors;
mod dial;
mod durable;
mod ending;
mod export;
mod import;
mod listen;
mod operators;
mod parts;
mod probes;
mod running;
mod stop;
mod token;
mod verify;
mod workers;

use std::cell::OnceCell;
use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::FutureExt;
use futures_util::future::join;
use tokio::net::TcpListener;

use crate::admin::Probe;
use crate::alerts::{AlertSettings, Delivery};
use crate::audit::Journal;
use crate::clock::{Clock, Micros};
use crate::config::reload::{self, Loaded, Reloader};
use crate::config::settings::{Settings, StoreSettings};
use crate::engine::{Check, Enforcement, Engine, Hold, Switch};
use crate::limits::LimitsHandle;
use crate::store::fallback::WithFallback;
use crate::store::memory::MemorySettings;
use crate::store::redis::{RedisSettings, RedisStore};
use crate::store::refusals::WithRefusals;
use crate::store::{Lanes, Ledger};
use crate::transport::accept::{self, Room, Worker};
use crate::transport::health::{Health, Serving};
use crate::transport::http::{self, HttpSettings};

pub use check::check;
pub use ending::exit_code;
pub use export::{export, export_audit};
pub use import::import;
pub use listen::NoListener;
pub use stop::signals;
pub use token::new_token;
pub use verify::verify;

use callers::{Callers, Files};
use descriptors::Shares;
use durable::{Embedded, Keeper};
use listen::{Addresses, Bound};
use operators::Operators;
use parts::Parts;
use running::Running;
use stop::Stop;
use token::Entrance;
use workers::{Checks, Desk, Thread};

/// When the process is gone, once it was asked to end: what is left of this, the last flush may take.
const LONGEST_END: Duration = Duration::from_secs(24);

/// Serves by `settings` until `stop` resolves and the calls in progress have ended.
///
/// Files that cannot be used end it before it begins, also with `RUNTIME_ROOT`: the reference starts without
/// limits there, and Envoy lets every call pass until somebody notices.
///
/// # Errors
///
/// [`Diagnostics`](crate::config::diagnostic::Diagnostics) of files that cannot be used, [`NoListener`] for an
/// address that is not to be had, [`DataError`](crate::store::durable::DataError) of a data directory that cannot be
/// used, and whatever ends a part of the service before its time.
pub async fn serve(settings: Settings, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    say_what_is_odd(&settings);
    let loaded = reload::load(&settings.inputs)?;
    match settings.store.clone() {
        StoreSettings::Memory(memory) => serve_embedded(memory, settings, loaded, stop).await,
        StoreSettings::Redis(redis, fallback) => {
            let redis = RedisSettings { usage: settings.usage, ..*redis };
            let store = RedisStore::start(redis, Clock::System)?;
            let probes = vec![probes::answers(&store)];
            let ledger = Arc::new(store.ledger());
            let store = WithRefusals::new(store, Clock::System);
            let store = WithFallback::new(store, fallback, Clock::System);
            App::build(settings, loaded, store, ledger).await?.run(stop, probes).await
        }
    }
}

/// Serves over the embedded store.
async fn serve_embedded(
    memory: MemorySettings,
    settings: Settings,
    loaded: Loaded,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    if settings.data.is_none() && loaded.compiled.rules.counts_usage() {
        tracing::warn!(
            "usage is noted in memory only and forgotten at the end: name a --data-dir or a Redis"
        );
    }
    let Embedded { store, keeper, ledger } = Keeper::begin(memory, &settings)?;
    let asked = OnceCell::new();
    let stop = async {
        stop.await;
        _ = asked.set(Clock::System.steady());
    };
    let probes = keeper.probe().into_iter().chain([probes::reservations(&store)]).collect();
    let app = App::build(settings, loaded, keeper.answering(store), ledger).await?;
    let ended = app.run(stop, probes).await;
    let now = Clock::System.steady().0;
    let passed = asked.get().map_or(0, |asked| now - asked.0);
    ended.and(keeper.end(LONGEST_END.saturating_sub(Micros(passed).into())).await)
}

fn say_what_is_odd(settings: &Settings) {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    if settings.engine.switch == Switch::Off {
        tracing::error!("RATE_LIMIT_ENABLED=false: every call passes and nothing is counted");
    } else if settings.engine.enforcement == Enforcement::Shadow {
        tracing::warn!("SHADOW_MODE=true: every call is counted and passes");
    }
}

/// The service, built and not yet running.
#[derive(Debug)]
struct App<S> {
    engine: Arc<Engine<S>>,
    journal: Journal,
    settings: Settings,
    reloader: Reloader,
    delivery: Delivery,
    entrance: Entrance,
    bound: Bound,
    health: Health,
}

impl<S: Lanes> App<S> {
    /// Puts what is limited in force and takes the addresses to listen on. Nobody is served yet.
    async fn build(
        settings: Settings,
        loaded: Loaded,
        store: S,
        ledger: Arc<dyn Ledger>,
    ) -> anyhow::Result<Self> {
        let bound = Bound::take(&settings.listeners).await?;
        let limits = LimitsHandle::default();
        let reloader = Reloader::new(settings.inputs.clone(), loaded, limits.clone());
        let entrance = Entrance::open(&settings.auth)?;
        let delivery = Delivery::new(limits.clone(), AlertSettings::default());
        let journal = audit::open(ledger, limits.clone());
        let engine = Engine::new(limits, store, settings.engine.clone()).telling(delivery.alerts());
        let engine = Arc::new(engine.recording(journal.clone()));
        let health = Health::new(Serving::Unwanted);
        Ok(Self { engine, journal, settings, reloader, delivery, entrance, bound, health })
    }

    /// Serves until `stop` resolves; then says so to whoever watches the health, still takes calls for the
    /// drain delay, turns new ones away and lets those in progress end. Operators are served until then, and told of
    /// `more` as well.
    async fn run(self, stop: impl Future<Output = ()>, more: Vec<Probe>) -> anyhow::Result<()> {
        let Self { engine, journal, settings, reloader, delivery, entrance, bound, health } = self;
        let mut running = Running::telling(delivery);
        let (stop, stopping, addresses) = (stop.shared(), running.deciding.stop(), bound.addresses()?);
        let files = Files { limits: engine.limits().clone(), reloads: reloader.status() };
        let callers = Callers::admit(settings.calls, &journal, files, &mut running);
        let whole = engine.clone();
        let desk = Desk {
            check: move || Arc::new(whole.lane()),
            health: health.clone(),
            settings: settings.grpc,
            access: callers.grpc,
            stop: stopping.clone(),
        };
        let inboxes = staff(settings.threads, &desk, &mut running.deciding.parts)?;
        let shares = Shares::of_all(settings.threads);
        let room = Arc::new(Room::of(&inboxes, shares.grpc));
        let mut probes = vec![probes::health(health.clone()), probes::files(reloader.status())];
        probes.extend(more);
        probes.extend([audit::probe(&journal), descriptors::probe(room.clone())]);
        let (socket, address, auth) = (bound.admin, addresses.admin(), settings.auth);
        let operators = Operators { socket, address, tls: settings.admin_tls, auth, entrance };
        operators.serve(engine.clone(), &journal, probes, &mut running)?;
        let reloads = audit::record_reloads(journal.clone(), reloader.status());
        running.beside.add(reloader.run(pending()).map(Ok));
        found(engine.store(), &journal, stop.clone()).await;
        running.beside.add(audit::follow(journal.clone(), engine.limits().clone()).map(Ok));
        running.beside.add(reloads.map(Ok));
        running.beside.add(engine.clone().keep_writing_tiers().map(|never| match never {}));
        running.deciding.parts.add(accept(bound.grpc, inboxes, room, stopping.clone()));
        let (http, told) = (HttpSettings::of_connections(shares.http), health.clone());
        let http = http::serve(bound.http, engine.clone(), told, http, callers.http, stopping.asked());
        running.deciding.parts.add(http.map(Ok));
        health.set(Serving::Wanted);
        announce(settings.store.name(), settings.threads, &addresses);
        let early = running.until(stop).await;
        health.set(Serving::Unwanted);
        let ended = running.end(settings.drain_delay, &journal).await;
        // What the last calls have named.
        engine.write_tiers(usize::MAX).await;
        early.and(ended)
    }
}

/// Says that calls are taken, by how many `threads` over which `store`, and where.
fn announce(store: &str, threads: NonZeroUsize, addresses: &Addresses) {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), store, threads = threads.get(), "serving");
    addresses.announce();
}

/// Waits until the store has answered, and what was set over the files is in force: who was served before would be answered
/// by policy, or by the files alone. It waits for neither for ever, and not once the service is to `stop`.
async fn found(store: &impl Lanes, journal: &Journal, stop: impl Future<Output = ()>) {
    tokio::select! {
        _ = join(store.tried(), audit::catch_up(journal)) => {}
        () = stop => {}
    }
    audit::tell(journal);
}

/// Starts the threads that decide; each is a part. Answers where connections are dealt to.
fn staff<C: Check + Hold>(
    count: NonZeroUsize,
    desk: &Desk<impl Checks<C>>,
    parts: &mut Parts,
) -> anyhow::Result<Vec<Worker>> {
    let threads = workers::start(count, desk).context("cannot start the threads that decide")?;
    let mut inboxes = Vec::with_capacity(threads.len());
    for Thread { inbox, end } in threads {
        inboxes.push(inbox);
        parts.add(async { end.await.context("a thread that decides is gone") });
    }
    Ok(inboxes)
}

/// Deals connections out, as many as there is room for, until it is told to end; then no more are taken.
async fn accept(
    listener: TcpListener,
    inboxes: Vec<Worker>,
    room: Arc<Room>,
    stop: Stop,
) -> anyhow::Result<()> {
    tokio::select! {
        () = accept::accept_within(listener, inboxes, &room) => Err(anyhow!("nobody takes connections any more")),
        () = stop.asked() => Ok(()),
    }
}
