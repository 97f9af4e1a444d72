//! `/admin/rate-limits/breaker/{limit}` tells how a breaker is, and opens or closes it by hand; `…/breakers` tells of all
//! that are the same for all callers.
//!
//! What is asked stands in the body, as JSON; which domain and whose breaker it is, in the query. Answers are JSON: times
//! as RFC 3339, money in dollars as text, and nothing where there is nothing to tell.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::audit::Actor;
use crate::calendar::in_utc;
use crate::engine::{BreakerError, BreakerOf, BreakerSet, BreakerStatus, Operate, SetBreaker, Setting};
use crate::limits::{BreakerState, Entry, Number, Unit};
use crate::money::NanoUsd;
use crate::transport::grpc::admin::warning;

use super::Data;
use super::query::pairs;

const JSON: &str = "application/json";

/// What a body has to look like.
const SHAPE: &str = "the body must be {\"open\": true or false, \"reason\": \"...\"}, \
    and beside false may say \"clear\": true to forget what is used of the limit";

/// Which breaker a query means, beside the name of its limit.
struct Query {
    domain: Option<Vec<u8>>,
    subject: Vec<(String, Vec<u8>)>,
}

pub(super) async fn set<I: Operate>(
    Shared(data): Shared<Data<I>>,
    Extension(actor): Extension<Actor>,
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
    let query = Query::of(&uri);
    // What is on the record is also done, even if its caller does not wait for it.
    let set = tokio::spawn(async move {
        let request = SetBreaker { which: query.breaker(&limit), to, reason: &reason };
        data.inspect.set_breaker(&actor, request).await
    });
    match set.await {
        Ok(set) => answer(set.map(|set| was(&set, to))),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the call broke off"),
    }
}

pub(super) async fn get<I: Operate>(
    Shared(data): Shared<Data<I>>,
    Path(limit): Path<String>,
    uri: Uri,
) -> Response {
    let query = Query::of(&uri);
    answer(data.inspect.breaker(query.breaker(&limit)).await.map(|status| is(&status)))
}

pub(super) async fn list<I: Operate>(Shared(data): Shared<Data<I>>, uri: Uri) -> Response {
    let query = Query::of(&uri);
    if let Some((name, _)) = query.subject.first() {
        return problem(StatusCode::BAD_REQUEST, &format!("{name}: only domain is read here"));
    }
    let told = data.inspect.breakers(query.domain.as_deref()).await;
    answer(told.map(|all| json!({"breakers": all.iter().map(is).collect::<Vec<_>>()})))
}

impl Query {
    fn of(uri: &Uri) -> Self {
        let mut subject = pairs(uri.query().unwrap_or_default());
        let domain = subject.iter().position(|(name, _)| name == "domain").map(|at| subject.remove(at).1);
        Self { domain, subject }
    }

    fn breaker<'a>(&'a self, limit: &'a str) -> BreakerOf<'a> {
        let entries = self.subject.iter().map(|(key, value)| Entry { key: key.as_bytes(), value });
        BreakerOf { domain: self.domain.as_deref(), limit: limit.as_bytes(), subject: entries.collect() }
    }
}

/// What the breaker is to be, and why.
fn read(body: &[u8]) -> Option<(Setting, String)> {
    let mut asked: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let (open, reason) = (asked.remove("open")?.as_bool()?, asked.remove("reason")?);
    let clear = asked.remove("clear").map_or(Some(false), |clear| clear.as_bool())?;
    let to = match (open, clear) {
        (true, false) => Setting::Open,
        (false, false) => Setting::Closed,
        (false, true) => Setting::Cleared,
        (true, true) => return None,
    };
    asked.is_empty().then_some(())?;
    Some((to, reason.as_str()?.to_owned()))
}

/// How a breaker is.
fn is(status: &BreakerStatus) -> Value {
    let mut told = Map::new();
    told.insert("domain".into(), (*status.domain).into());
    told.insert("limit".into(), (*status.standing.limit).into());
    told.insert("state".into(), status.breaker.state.name().into());
    let times = [
        ("since", status.breaker.since),
        ("half_open_at", status.breaker.half_open_at),
        ("closes_at", status.breaker.closes_at),
    ];
    told.extend(times.into_iter().filter_map(|(name, at)| Some((name.to_owned(), in_utc(at?).into()))));
    tell_standing(status, &mut told);
    told.into()
}

/// How a breaker was that is now as `to` says, and what its limit will make of that.
fn was(set: &BreakerSet, to: Setting) -> Value {
    let (before, mut told) = (&set.before, Map::new());
    told.insert("was_open".into(), (before.breaker.state != BreakerState::Closed).into());
    tell_standing(before, &mut told);
    if let Some(why) = warning(before, to) {
        told.insert("warning".into(), why.into());
    }
    told.insert("version".into(), set.version.into());
    told.into()
}

fn tell_standing(status: &BreakerStatus, told: &mut Map<String, Value>) {
    let standing = &status.standing;
    let amount = |amount| match standing.unit {
        Unit::Hits | Unit::Tokens => Value::from(amount),
        Unit::Money => NanoUsd(amount).to_decimal().into(),
    };
    told.insert("unit".into(), standing.unit.name().into());
    told.insert("used".into(), amount(standing.used));
    told.insert("held".into(), amount(standing.held));
    if let Number::AtMost(most) = standing.most {
        told.insert("max".into(), amount(most));
    }
    if let Some(at) = standing.resets_at {
        told.insert("resets_at".into(), in_utc(at).into());
    }
}

fn answer(told: Result<Value, BreakerError>) -> Response {
    match told {
        Ok(told) => ([(CONTENT_TYPE, JSON)], format!("{told}\n")).into_response(),
        Err(error) => problem(status(&error), &in_words(&error)),
    }
}

/// What is wrong, and where in the request it is put right.
fn in_words(error: &BreakerError) -> String {
    let BreakerError::NoSubject(subjects) = error else { return error.to_string() };
    // Of alternatives, such as `user|ip`, the first.
    let pair = |part: &str| format!("{}=…", part.split('|').next().unwrap_or(part));
    let pairs: Vec<String> = subjects.split('+').map(pair).collect();
    format!("{error}, as in ?{}", pairs.join("&"))
}

fn status(error: &BreakerError) -> StatusCode {
    match error {
        BreakerError::UnknownDomain(_) | BreakerError::UnknownLimit(_) => StatusCode::NOT_FOUND,
        BreakerError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn problem(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}
