//! HTTP: `/json`, the rate limit call as JSON, and `/healthcheck`, as the reference service serves them.
//!
//! `/json` answers 200 or 429 with the whole decision, 400 with what is wrong with the request, and 500 for a
//! decision that JSON has no words for. The headers of a decision stand in its body, for the caller to pass on.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::engine::{Check, Code};

use super::grpc::json::{self, JsonError};
use super::health::{Health, Serving};
use super::listener::{self, ConnectionSettings};

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

/// Serves `listener` until `shutdown` resolves, and then until the calls in progress have ended. Connections that
/// have sent no whole request by the time the longest call is over are not waited for.
pub async fn serve(
    listener: TcpListener,
    check: impl Check,
    health: Health,
    settings: HttpSettings,
    shutdown: impl Future<Output = ()>,
) {
    let longest_call = settings.timeout + SLACK;
    let connections = settings.connections;
    let router = router(check, health, settings);
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
        () = listener::serve(listener, router, connections, shutdown) => {}
        () = too_long => {}
    }
}

#[derive(Clone)]
struct Data<C> {
    check: C,
    settings: HttpSettings,
}

fn router<C: Check>(check: C, health: Health, settings: HttpSettings) -> Router {
    Router::new()
        .route("/json", any(rate_limit::<C>))
        .with_state(Data { check, settings })
        .route("/healthcheck", any(healthcheck))
        .with_state(health)
}

async fn healthcheck(State(health): State<Health>) -> (StatusCode, &'static str) {
    match health.get() {
        Serving::Wanted => (StatusCode::OK, "OK"),
        Serving::Unwanted => (StatusCode::INTERNAL_SERVER_ERROR, "not serving"),
    }
}

async fn rate_limit<C: Check>(State(data): State<Data<C>>, body: Body) -> Response {
    tokio::time::timeout(data.settings.timeout, decide(&data, body))
        .await
        .unwrap_or_else(|_| refuse(StatusCode::REQUEST_TIMEOUT, "the call took too long"))
}

async fn decide<C: Check>(data: &Data<C>, body: Body) -> Response {
    let Ok(body) = to_bytes(body, data.settings.max_body_bytes).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long or broke off");
    };
    match json::answer(&data.check, &body).await {
        Ok(answer) => in_json(status(answer.code), answer.body),
        Err(error @ JsonError::Answer(_)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a call was decided and not answered");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
        Err(error @ (JsonError::Form(_) | JsonError::Field(_))) => {
            refuse(StatusCode::BAD_REQUEST, &error.to_string())
        }
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
