//! HTTP: `/json`, the rate limit call as JSON, and `/healthcheck`, as the reference service serves them.
//!
//! `/json` answers 200 or 429 with the whole decision, 400 with what is wrong with the request, and 500 for a
//! decision that JSON has no words for. Where callers are asked who they are it answers 401 and 403, never 429, which is a
//! decision; `/healthcheck` is open to everybody. The headers of a decision stand in its body, for the caller to pass on.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::auth::{Domains, Gate, Pass, Refusal};
use crate::engine::{Check, Code};

use super::access::Access;
use super::credentials;
use super::grpc::json::{self, JsonError};
use super::health::{Health, Serving};
use super::listener::{self, ConnectionSettings, Listening, Peer};
use super::problem::Problem;

/// What a call may take beyond its timeout until its answer is written.
const SLACK: Duration = Duration::from_millis(250);

/// How the HTTP server treats calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// The largest body of a request, in bytes. Default 512 KiB.
    pub max_body_bytes: usize,
    /// The longest a call may take, its body included. Default 1 s.
    pub timeout: Duration,
    /// How connections are treated.
    pub connections: ConnectionSettings,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            max_body_bytes: 512 * 1024,
            timeout: Duration::from_secs(1),
            connections: ConnectionSettings::default(),
        }
    }
}

impl HttpSettings {
    /// As by default, but for so many connections.
    pub fn of_connections(max_connections: usize) -> Self {
        let connections = ConnectionSettings { max_connections, ..ConnectionSettings::default() };
        Self { connections, ..Self::default() }
    }
}

/// Serves those who have `access` to `listener` until `shutdown` resolves, and then until the calls in progress have ended. Connections that
/// have sent no whole request by the time the longest call is over are not waited for.
pub async fn serve(
    socket: TcpListener,
    check: impl Check,
    health: Health,
    settings: HttpSettings,
    access: Access,
    shutdown: impl Future<Output = ()>,
) {
    let longest_call = settings.timeout + SLACK;
    let connections = settings.connections;
    let Access { tls, callers } = access;
    let listening = Listening { socket, tls };
    let router = router(Data { check, settings, callers }, health);
    let (drain, draining) = oneshot::channel::<()>();
    let shutdown = async move {
        shutdown.await;
        drop(drain);
    };
    let too_long = async {
        _ = draining.await;
        tokio::time::sleep(longest_call).await;
    };
    tokio::select! {
        () = listener::serve(listening, router, connections, shutdown) => {}
        () = too_long => {}
    }
}

#[derive(Clone)]
struct Data<C> {
    check: C,
    settings: HttpSettings,
    callers: Option<Gate<Domains>>,
}

fn router<C: Check>(data: Data<C>, health: Health) -> Router {
    Router::new()
        .route("/json", any(rate_limit::<C>))
        .with_state(data)
        .route("/healthcheck", any(healthcheck))
        .with_state(health)
}

async fn healthcheck(State(health): State<Health>) -> (StatusCode, &'static str) {
    match health.get() {
        Serving::Wanted => (StatusCode::OK, "OK"),
        Serving::Unwanted => (StatusCode::INTERNAL_SERVER_ERROR, "not serving"),
    }
}

async fn rate_limit<C: Check>(
    State(data): State<Data<C>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let enter = |callers: &Gate<Domains>| credentials::enter(callers, &headers, &uri, &peer);
    let pass = match data.callers.as_ref().map(enter).transpose() {
        Ok(pass) => pass,
        Err(refusal) => return turn_away(refusal),
    };
    tokio::time::timeout(data.settings.timeout, decide(&data, pass, body))
        .await
        .unwrap_or_else(|_| refuse(StatusCode::REQUEST_TIMEOUT, "the call took too long"))
}

async fn decide<C: Check>(data: &Data<C>, pass: Option<Pass>, body: Body) -> Response {
    let Ok(body) = to_bytes(body, data.settings.max_body_bytes).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long or broke off");
    };
    let permit = |domain: &[u8]| pass.as_ref().map_or(Ok(()), |pass| pass.permit(domain));
    match json::answer(&data.check, &body, permit).await {
        Ok(answer) => in_json(status(answer.code), answer.body),
        Err(error @ JsonError::Answer(_)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a call was decided and not answered");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
        Err(error @ (JsonError::Form(_) | JsonError::Field(_))) => {
            refuse(StatusCode::BAD_REQUEST, &error.to_string())
        }
        Err(JsonError::Refused(refusal)) => turn_away(refusal),
    }
}

/// Says why a caller is not let in, or not to this domain.
fn turn_away(refusal: Refusal) -> Response {
    let Problem { kind, text } = refusal.into();
    let status = StatusCode::from_u16(kind.status()).expect("it is one");
    let answer = refuse(status, &text);
    match status {
        StatusCode::UNAUTHORIZED => ([(header::WWW_AUTHENTICATE, "Bearer")], answer).into_response(),
        _ => answer,
    }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::OverLimit => StatusCode::TOO_MANY_REQUESTS,
    }
}

fn refuse(status: StatusCode, reason: &str) -> Response {
    in_json(status, serde_json::json!({ "error": reason }).to_string().into_bytes())
}

fn in_json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
