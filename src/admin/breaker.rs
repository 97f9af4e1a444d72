//! `POST /admin/rate-limits/breaker/{limit}`: opens or closes a breaker by hand.
//!
//! What is asked stands in the body, as JSON; which domain and whose breaker it is, in the query.

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::engine::{BreakerState, Operate, SetBreaker, SetBreakerError};
use crate::limits::Entry;

use super::Data;
use super::usage::pairs;

const JSON: &str = "application/json";

/// What a body has to look like.
const SHAPE: &str = "the body must be {\"open\": false, \"reason\": \"...\"}";

pub(super) async fn set<I: Operate>(
    Shared(data): Shared<Data<I>>,
    Path(limit): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // Without this, any page in the operator's browser could send it.
    if headers.get(CONTENT_TYPE).is_none_or(|sent| !sent.as_bytes().starts_with(JSON.as_bytes())) {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("content-type: must be {JSON}"));
    }
    let Some((to, reason)) = read(&body) else { return problem(StatusCode::BAD_REQUEST, SHAPE) };
    let mut subject = pairs(uri.query().unwrap_or_default());
    let domain = subject.iter().position(|(name, _)| name == "domain").map(|at| subject.remove(at).1);
    let entries = subject.iter().map(|(key, value)| Entry { key: key.as_bytes(), value });
    let request = SetBreaker {
        domain: domain.as_deref(),
        limit: limit.as_bytes(),
        subject: entries.collect(),
        to,
        reason: &reason,
    };
    match data.inspect.set_breaker(request).await {
        Ok(before) => {
            let was_open = before == BreakerState::Open;
            ([(CONTENT_TYPE, JSON)], format!("{{\"was_open\":{was_open}}}\n")).into_response()
        }
        Err(error) => problem(status(&error), &error.to_string()),
    }
}

/// What the breaker is to be, and why.
fn read(body: &[u8]) -> Option<(BreakerState, String)> {
    let asked: serde_json::Map<String, Value> = serde_json::from_slice(body).ok()?;
    let [Value::Bool(open), Value::String(reason)] = [asked.get("open")?, asked.get("reason")?] else {
        return None;
    };
    let to = if *open { BreakerState::Open } else { BreakerState::Closed };
    (asked.len() == 2).then(|| (to, reason.clone()))
}

fn status(error: &SetBreakerError) -> StatusCode {
    match error {
        SetBreakerError::UnknownDomain(_) | SetBreakerError::UnknownLimit(_) => StatusCode::NOT_FOUND,
        SetBreakerError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn problem(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}
