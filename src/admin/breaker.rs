//! `/admin/rate-limits/breaker/{limit}` tells how a breaker is, and opens or closes it by hand; `…/breakers` tells of all
//! that are the same for all callers.
//!
//! What is asked stands in the body, as JSON; which domain and whose breaker it is, in the query. Answers are JSON: times
//! as RFC 3339, money in dollars as text, and nothing where there is nothing to tell.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::audit::Actor;
use crate::calendar::in_utc;
use crate::engine::{BreakerError, BreakerOf, BreakerSet, BreakerStatus, Operate, SetBreaker, Setting};
use crate::limits::{BreakerState, Entry, Number, Unit};
use crate::money::NanoUsd;
use crate::transport::grpc::admin::warning;
use crate::transport::problem::Problem;

use super::Data;
use super::answer::{self, NoAnswer, respond, to_the_end};
use super::body::{SMALL, object};
use super::query::pairs;

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
    body: Body,
) -> Response {
    let asked = async {
        let (to, reason) = read(object(&headers, body, SMALL).await?)?;
        to_the_end(async move {
            let query = Query::of(&uri);
            let request = SetBreaker { which: query.breaker(&limit), to, reason: &reason };
            data.inspect.set_breaker(&actor, request).await.map(|set| was(&set, to)).map_err(problem)
        })
        .await
    };
    respond(asked.await)
}

pub(super) async fn get<I: Operate>(
    Shared(data): Shared<Data<I>>,
    Path(limit): Path<String>,
    uri: Uri,
) -> Response {
    let query = Query::of(&uri);
    let told = data.inspect.breaker(query.breaker(&limit)).await;
    respond(told.map(|status| is(&status)).map_err(|error| problem(error).into()))
}

pub(super) async fn list<I: Operate>(Shared(data): Shared<Data<I>>, uri: Uri) -> Response {
    let query = Query::of(&uri);
    if let Some((name, _)) = query.subject.first() {
        return respond(Err(NoAnswer::invalid(format!("{name}: only domain is read here"))));
    }
    let told = data.inspect.breakers(query.domain.as_deref()).await;
    let told = told.map(|all| json!({"breakers": all.iter().map(is).collect::<Vec<_>>()}));
    respond(told.map_err(|error| problem(error).into()))
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
fn read(mut fields: Map<String, Value>) -> Result<(Setting, String), NoAnswer> {
    let open = flag(&mut fields, "open")?.ok_or_else(|| NoAnswer::invalid("open: must be given"))?;
    let clear = flag(&mut fields, "clear")?.unwrap_or_default();
    let reason = answer::text(&mut fields, "reason")?.unwrap_or_default();
    answer::no_more(&fields, "open, clear and reason")?;
    let to = match (open, clear) {
        (true, false) => Setting::Open,
        (false, false) => Setting::Closed,
        (false, true) => Setting::Cleared,
        (true, true) => return Err(NoAnswer::invalid("clear: only a breaker that is closed is cleared")),
    };
    Ok((to, reason))
}

fn flag(fields: &mut Map<String, Value>, name: &str) -> Result<Option<bool>, NoAnswer> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(other) => Err(NoAnswer::invalid(format!("{name}: must be true or false, and is {other}"))),
    }
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

/// What is wrong, and where in the request it is put right.
fn problem(error: BreakerError) -> Problem {
    let BreakerError::NoSubject(subjects) = &error else { return error.into() };
    // Of alternatives, such as `user|ip`, the first.
    let pair = |part: &str| format!("{}=…", part.split('|').next().unwrap_or(part));
    let pairs: Vec<String> = subjects.split('+').map(pair).collect();
    Problem::invalid(format!("{error}, as in ?{}", pairs.join("&")))
}
