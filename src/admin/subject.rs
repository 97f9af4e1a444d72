//! `GET /admin/rate-limits/usage/{user_id}` tells where the limits of somebody stand; `POST …/reset/{user_id}` has them begin
//! anew.
//!
//! The segment is a user, or with `?subject=email` whatever that says; other names in the query are more of who it is. With
//! `all?subject=all` it is nobody: what is asked is about the limits that all share.

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::audit::{Action, Actor};
use crate::calendar::in_utc;
use crate::engine::{Known, LimitStanding, Operate, ResetSubject, Tried, Who};
use crate::limits::{Entry, Number};
use crate::transport::grpc::admin::tier_source;
use crate::transport::problem::Problem;

use super::Data;
use super::answer::{self, Answer, NoAnswer, respond, to_the_end};
use super::body::{SMALL, object};
use super::limits::unit;
use super::query::{last_segment, pairs};

/// What the segment is unless the query says so.
const USER: &str = "user";
/// What the query, and then the segment too, says of what all share.
const ALL: &str = "all";

/// Whom a path and its query name.
struct Named {
    domain: Option<Vec<u8>>,
    /// What the segment is.
    key: String,
    /// The value in the segment first.
    entries: Vec<(String, Vec<u8>)>,
}

pub(super) async fn usage<I: Operate>(Shared(data): Shared<Data<I>>, uri: Uri) -> Response {
    let told = async { used(&data, &Named::of(&uri)?).await };
    respond(told.await)
}

async fn used<I: Operate>(data: &Data<I>, named: &Named) -> Answer {
    let usage = data.inspect.usage_of(named.who()).await?;
    let limits = usage.limits.iter().map(|limit| told(&limit.standing)).collect();
    let mut all = named.shown();
    all.insert("domain".to_owned(), (*usage.domain).into());
    all.insert("tier".to_owned(), (*usage.tier).into());
    all.insert("tier_source".to_owned(), tier_source(usage.tier_from).into());
    if let Some(tier) = usage.assigned {
        all.insert("assigned_tier".to_owned(), (*tier).into());
    }
    all.insert("limits".to_owned(), Value::Object(limits));
    Ok(all.into())
}

pub(super) async fn reset<I: Operate>(
    Shared(data): Shared<Data<I>>,
    Extension(actor): Extension<Actor>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let asked = async {
        let (limits, reason) = read(object(&headers, body, SMALL).await?)?;
        let named = Named::of(&uri)?;
        if named.who().is_all() {
            let tried = || data.inspect.attempt(&Tried { who: named.who(), ..Tried::default() });
            data.gate.permit_to(&actor, Action::ResetAll, tried)?;
        }
        to_the_end(async move { begun_anew(&data, &actor, &named, &limits, &reason).await }).await
    };
    respond(asked.await)
}

async fn begun_anew<I: Operate>(
    data: &Data<I>,
    actor: &Actor,
    named: &Named,
    limits: &[String],
    reason: &str,
) -> Result<Value, Problem> {
    let limits = limits.iter().map(String::as_bytes).collect();
    let reset = data.inspect.reset(actor, ResetSubject { who: named.who(), limits, reason }).await?;
    let before: Map<String, Value> = reset.before.iter().map(told).collect();
    let mut all = named.shown();
    all.extend([
        ("domain".to_owned(), (*reset.domain).into()),
        ("before".to_owned(), before.into()),
        ("kept".to_owned(), reset.kept.iter().map(|name| Value::from(&**name)).collect()),
        ("version".to_owned(), reset.version.into()),
    ]);
    for (name, limits) in [("breakers_closed", &reset.closed), ("breakers_open", &reset.open)] {
        if !limits.is_empty() {
            all.insert(name.to_owned(), limits.iter().map(|limit| Value::from(&**limit)).collect());
        }
    }
    Ok(all.into())
}

/// Which limits, and why.
fn read(mut fields: Map<String, Value>) -> Result<(Vec<String>, String), NoAnswer> {
    let wrong = || {
        NoAnswer::invalid(
            "limits: must be a list of names of limits; leave it out for all that time brings back",
        )
    };
    let limits = match fields.remove("limits") {
        None => Vec::new(),
        // A list that names none never stands for all.
        Some(Value::Array(names)) if !names.is_empty() => {
            let name = |name: Value| name.as_str().map(str::to_owned).ok_or_else(wrong);
            names.into_iter().map(name).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong()),
    };
    let reason = answer::text(&mut fields, "reason")?.unwrap_or_default();
    answer::no_more(&fields, "limits and reason")?;
    Ok((limits, reason))
}

impl Named {
    fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut more = pairs(uri.query().unwrap_or_default());
        let mut take =
            |name: &str| more.iter().position(|(given, _)| given == name).map(|at| more.remove(at).1);
        let (domain, key) = (take("domain"), take("subject"));
        let key = key.map_or_else(|| USER.to_owned(), |key| String::from_utf8_lossy(&key).into_owned());
        let value = last_segment(uri.path());
        if key != ALL {
            return Ok(Self {
                domain,
                entries: [(key.clone(), value)].into_iter().chain(more).collect(),
                key,
            });
        }
        match more.first() {
            None if value == ALL.as_bytes() => Ok(Self { domain, entries: Vec::new(), key }),
            None => {
                Err(Problem::invalid("subject: with subject=all the path ends with /all, and names nobody"))
            }
            Some((name, _)) => Err(Problem::invalid(format!("{name}: is not read beside subject=all"))),
        }
    }

    fn who(&self) -> Who<'_> {
        let entries = self.entries.iter().map(|(key, value)| Entry { key: key.as_bytes(), value });
        Who { domain: self.domain.as_deref(), entries: entries.collect() }
    }

    /// Who it is, as it was asked.
    fn shown(&self) -> Map<String, Value> {
        let value = self.entries.first().map(|(_, value)| String::from_utf8_lossy(value).into());
        value.map(|value| (self.key.clone(), value)).into_iter().collect()
    }
}

/// Where one limit stands, by its name.
fn told(standing: &LimitStanding) -> (String, Value) {
    let mut told = json!({
        "used": answer::amount(standing.unit, standing.used),
        "limit": answer::number(standing.unit, standing.most),
        "remaining": remaining(standing),
        "unit": unit(standing.unit),
        "resets_at": standing.resets_at.map(in_utc),
    });
    if standing.held > 0 {
        told["held"] = answer::amount(standing.unit, standing.held);
    }
    (standing.limit.to_string(), told)
}

fn remaining(standing: &LimitStanding) -> Value {
    match (standing.most, standing.known) {
        (Number::Unlimited, _) => (-1).into(),
        (Number::AtMost(_), Known::Nothing) => 0.into(),
        (Number::AtMost(most), Known::Amounts) => {
            answer::remaining(standing.unit, most, standing.used.saturating_add(standing.held))
        }
    }
}
