//! The operator's listener: is it alive, is it ready, what is in force, what came of it, and what is set by hand.
//!
//! HTTP and gRPC say the same on one port: the admin service and its twins. Whatever changes something is left to the
//! engine, which records it. Liveness depends on nothing at all; readiness says for each component in one
//! line how it is. A store that is down leaves the service ready, because every limit has a policy for that.

mod answer;
mod audit;
mod body;
mod breaker;
mod door;
mod limits;
mod metrics;
mod query;
mod subject;
mod tried;
mod twins;
mod usage;

pub(crate) use body::repeated_key;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post, put};
use axum::{Extension, Router};

use crate::audit::Action;
use crate::auth::Gate;
use crate::engine::{Inspect, Operate};
use crate::limits::describe;
use crate::transport::grpc;
use crate::transport::grpc::admin::{AdminCalls, Twin};
use crate::transport::listener::{self, ConnectionSettings, Listening};

/// How long the store may take to say that it is there.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many connections operators may hold: a few of them, and what probes for them.
const MAX_CONNECTIONS: usize = 64;
/// How many of them one address may hold: nobody who asks from elsewhere, and no probe, is shut out by one.
const MAX_OF_ADDRESS: usize = 16;

/// What the listener answers at `/`. Who asks for more than the first three sends a token.
const PATHS: &str = "\
/livez     200 while the process is alive
/readyz    200 while calls can be decided, else 503; one line for each component
/metrics   what came of asking each limit, for Prometheus
/openapi.json  every route of HTTP, described for programs
For what follows, send the header 'Authorization: Bearer TOKEN'; gRPC has it as tollgate.v1.AdminService:
/rlconfig  the limits and the prices in force, one line each
/usage     what was spent and refused, one line of JSON each; ?from= to= domain= subject= after= limit= sum=
/audit/lines  the records of what admins did, one line of JSON each, as 'tollgate audit verify' reads them; ?from=
/admin/rate-limits               what every tier is allowed; ?domain= here and below, where there are several
/admin/rate-limits/list          the same as gRPC tells it: with what is set for subjects, prices, and what is set over nothing
/admin/rate-limits/TIER/LIMIT    PUT {\"value\": 5} changes it; null goes back to the file
/admin/rate-limits/usage/USER    where the limits of somebody are; ?subject=email reads USER as an email
/admin/rate-limits/reset/USER    POST {\"reason\": \"...\"} has them begin anew
/admin/rate-limits/tier          POST puts a subject on a tier
/admin/rate-limits/prices/MODEL  PUT says what its tokens cost
/admin/rate-limits/explain       POST tells which limits a call would touch, or why one was refused
/admin/rate-limits/top           who asks a limit the most; ?limit=
/admin/rate-limits/audit         who has done what, the latest first
/admin/rate-limits/import        POST takes over what was used elsewhere
/admin/rate-limits/breakers       how the breakers are that are the same for all; ?domain=
/admin/rate-limits/breaker/LIMIT  how one is; POST {\"open\": false, \"reason\": \"...\"} closes it; ?domain= user= ...
";

/// What can be asked by HTTP, for programs that read such descriptions.
const OPENAPI: &str = include_str!("admin/openapi.json");

/// How a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does its work.
    Ready,
    /// It does its work, and there is this to say of it.
    Telling(String),
    /// It does not, and the service is ready without it.
    Degraded(String),
    /// It does not, and the service is not ready.
    Failed(String),
}

/// A component that tells how it is when it is looked at.
#[derive(Clone)]
pub struct Probe {
    name: &'static str,
    look: Arc<dyn Fn() -> State + Send + Sync>,
    counts: Vec<Count>,
}

/// What a component counts.
#[derive(Clone)]
struct Count {
    kind: Counting,
    name: &'static str,
    help: &'static str,
    look: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// What a count is a count of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    /// What has happened since the start of the process.
    Events,
    /// What there is now.
    Things,
}

impl Probe {
    /// The component `name`, which is as `look` says. `look` must not block.
    pub fn new(name: &'static str, look: impl Fn() -> State + Send + Sync + 'static) -> Self {
        Self { name, look: Arc::new(look), counts: Vec::new() }
    }

    /// The same, which counts `help` too: `look` tells how many, and must not block. Its metric is called `name`.
    #[must_use]
    pub fn counting(
        self,
        name: &'static str,
        help: &'static str,
        look: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.with(Count { kind: Counting::Events, name, help, look: Arc::new(look) })
    }

    /// The same, which tells how many of `help` there are now, as [`counting`](Self::counting) tells how often.
    #[must_use]
    pub fn having(
        self,
        name: &'static str,
        help: &'static str,
        look: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.with(Count { kind: Counting::Things, name, help, look: Arc::new(look) })
    }

    fn with(mut self, count: Count) -> Self {
        self.counts.push(count);
        self
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Probe").field(&self.name).finish()
    }
}

/// How connections of operators are treated.
pub fn connections() -> ConnectionSettings {
    ConnectionSettings {
        max_connections: MAX_CONNECTIONS,
        max_of_address: Some(MAX_OF_ADDRESS),
        ..ConnectionSettings::default()
    }
}

/// Serves `listener` until `shutdown` resolves, and then until the calls in progress have ended. `/readyz` tells
/// of the rules, the store and `probes`, `/metrics` of what they count; what else there is, to those whom `gate` lets in.
pub async fn serve(
    listener: impl Into<Listening>,
    inspect: impl Operate,
    gate: Gate,
    probes: Vec<Probe>,
    connections: ConnectionSettings,
    shutdown: impl Future<Output = ()>,
) {
    listener::serve(listener, router(Data { inspect, gate, probes }), connections, shutdown).await;
}

#[derive(Clone)]
struct Data<I> {
    inspect: I,
    gate: Gate,
    probes: Vec<Probe>,
}

fn router<I: Operate>(data: Data<I>) -> Router {
    let gate = data.gate.clone();
    let calls = AdminCalls { operate: data.inspect.clone(), gate: gate.clone() };
    let reading = tried::reading(&data.inspect);
    let guard = |action| door::Guard { gate: gate.clone(), action, reading: reading.clone() };
    let may = |action, routes| door::guarded(guard(action), routes);
    let breaker = may(Action::GetBreaker, get(breaker::get::<I>));
    let routes = Router::new()
        .route("/", get(PATHS))
        .route("/livez", get("alive\n"))
        .route("/readyz", get(readyz::<I>))
        .route("/metrics", get(metrics::<I>))
        .route("/openapi.json", get(openapi))
        .route("/rlconfig", may(Action::ShowRules, get(rlconfig::<I>)))
        .route("/usage", may(Action::ReadUsage, get(usage::usage::<I>)))
        .route("/audit/lines", may(Action::ListAudit, get(audit::lines::<I>)))
        .route("/admin/rate-limits", may(Action::ListLimits, get(limits::list::<I>)))
        .route("/admin/rate-limits/{tier}/{limit_key}", may(Action::UpdateLimit, put(limits::update::<I>)))
        .route("/admin/rate-limits/usage/{user_id}", may(Action::GetUsage, get(subject::usage::<I>)))
        .route("/admin/rate-limits/reset/{user_id}", may(Action::ResetUser, post(subject::reset::<I>)))
        .route("/admin/rate-limits/breakers", may(Action::GetBreaker, get(breaker::list::<I>)))
        .route(
            "/admin/rate-limits/breaker/{limit_key}",
            breaker.merge(may(Action::SetBreaker, post(breaker::set::<I>))),
        )
        .merge(twins(may))
        .with_state(data)
        .merge(door::known(&gate, grpc::admin::service(calls)))
        .merge(grpc::admin::open());
    door::closed_to_strangers(&gate, routes)
}

/// What gRPC says in the same words. Who `may` do it is asked of each.
fn twins<I: Operate>(
    may: impl Fn(Action, MethodRouter<Data<I>>) -> MethodRouter<Data<I>>,
) -> Router<Data<I>> {
    let twin = |twin, action, routes: MethodRouter<Data<I>>| may(action, routes.route_layer(Extension(twin)));
    Router::new()
        .route("/admin/rate-limits/list", twin(Twin::ListLimits, Action::ListLimits, get(twins::read::<I>)))
        .route("/admin/rate-limits/tier", twin(Twin::SetTier, Action::SetTier, post(twins::write::<I>)))
        .route(
            "/admin/rate-limits/prices/{model}",
            twin(Twin::SetPrice, Action::SetPrice, put(twins::write::<I>)),
        )
        .route("/admin/rate-limits/audit", twin(Twin::ListAudit, Action::ListAudit, get(twins::read::<I>)))
        .route("/admin/rate-limits/explain", twin(Twin::Explain, Action::Explain, post(twins::write::<I>)))
        .route(
            "/admin/rate-limits/top",
            twin(Twin::TopConsumers, Action::TopConsumers, get(twins::read::<I>)),
        )
        .route(
            "/admin/rate-limits/import",
            twin(Twin::ImportUsage, Action::ImportUsage, post(twins::write::<I>)),
        )
}

async fn readyz<I: Inspect>(Shared(data): Shared<Data<I>>) -> (StatusCode, String) {
    let mut components = vec![("rules", rules(&data.inspect)), ("store", store(&data.inspect).await)];
    components.extend(data.probes.iter().map(|probe| (probe.name, (probe.look)())));
    let failed = components.iter().any(|(_, state)| matches!(state, State::Failed(_)));
    let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, components.iter().map(|(name, state)| format!("{name}: {state}\n")).collect())
}

fn rules(inspect: &impl Inspect) -> State {
    if inspect.rules().domains.is_empty() { State::Failed("none loaded".to_owned()) } else { State::Ready }
}

async fn store(inspect: &impl Inspect) -> State {
    match tokio::time::timeout(PATIENCE, inspect.store_ready()).await {
        Ok(Ok(())) => State::Ready,
        Ok(Err(error)) => State::Degraded(format!("down, answering by policy: {error}")),
        Err(_) => State::Degraded("down, answering by policy: it does not answer".to_owned()),
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Telling(text) | Self::Degraded(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

async fn metrics<I: Inspect>(Shared(data): Shared<Data<I>>) -> Result<impl IntoResponse, StatusCode> {
    let counts = data.probes.iter().flat_map(|probe| &probe.counts);
    let text = metrics::text_of(&data.inspect, counts).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, answer::JSON)], OPENAPI)
}

async fn rlconfig<I: Inspect>(Shared(data): Shared<Data<I>>) -> String {
    describe(&data.inspect.rules())
}
