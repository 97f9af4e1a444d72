//! `GET /admin/rate-limits` tells what every tier is allowed; `PUT /admin/rate-limits/{tier}/{limit}` changes it.
//!
//! Numbers are JSON numbers, -1 for unlimited, money in dollars; a limit with one number for all stands under `all`.

mod form;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::audit::{Action, Actor};
use crate::calendar::in_utc;
use crate::engine::{
    Change, ChangeTerms, LimitChanged, LimitValue, Listing, Operate, Reach, Tried, UpdateLimit, Who,
};
use crate::limits::{Domain, Entry, RuleSet, Unit};
use crate::transport::problem::Problem;

use super::Data;
use super::answer::{self, Answer, NoAnswer, respond, to_the_end};
use super::body::{SMALL, object};
use super::query::pairs;
use form::{Sent, Wanted};

/// Beside the tiers.
const DETAILS: &str = "details";

pub(super) async fn list<I: Operate>(Shared(data): Shared<Data<I>>, uri: Uri) -> Response {
    respond(listed(&data, &uri))
}

fn listed<I: Operate>(data: &Data<I>, uri: &Uri) -> Answer {
    let domain = only_domain(uri)?;
    let listing = data.inspect.list(domain.as_deref())?;
    Ok(written(&listing))
}

/// The domain that a query names, which names nothing else.
fn only_domain(uri: &Uri) -> Result<Option<Vec<u8>>, NoAnswer> {
    let mut asked = pairs(uri.query().unwrap_or_default()).into_iter();
    match (asked.next(), asked.next()) {
        (None, _) => Ok(None),
        (Some((name, domain)), None) if name == "domain" => Ok(Some(domain)),
        (Some((name, _)), None) | (_, Some((name, _))) => {
            Err(NoAnswer::invalid(format!("{name}: only domain is read here, once")))
        }
    }
}

fn written(listing: &Listing) -> Value {
    let (mut tiers, mut details) = (Map::new(), Map::new());
    for value in &listing.limits {
        place(&mut tiers, value, answer::number(value.unit, value.number.number));
        place(&mut details, value, detail(value));
    }
    for stray in listing.strays.iter().filter(|stray| stray.subject.is_none()) {
        place_stray(&mut details, &stray.value);
    }
    tiers.insert(DETAILS.to_owned(), details.into());
    tiers.into()
}

/// Writes `told` down under the tier and the limit of `value`.
fn place(tiers: &mut Map<String, Value>, value: &LimitValue, told: Value) {
    let tier = tiers.entry(&*value.tier).or_insert_with(|| Map::new().into());
    if let Value::Object(limits) = tier {
        limits.insert(value.limit.to_string(), told);
    }
}

/// Writes down in `details` what is set over something that the files do not have, beside what they do have by its name.
fn place_stray(details: &mut Map<String, Value>, value: &LimitValue) {
    let told = &mut details.entry(&*value.tier).or_insert_with(|| json!({}))[&*value.limit];
    if told.is_null() {
        *told = detail(value);
    }
    let number = &value.number;
    let mut stray = json!({
        "value": answer::number(value.unit, number.number),
        "unit": unit(value.unit),
        "version": number.version,
    });
    if let Some(until) = number.until {
        stray["until"] = in_utc(until).into();
    }
    told["stray"] = stray;
}

fn detail(value: &LimitValue) -> Value {
    let number = &value.number;
    let mut told = json!({
        "unit": unit(value.unit),
        "window": value.window,
        "per": value.per,
        "source": number.source.name(),
        "version": number.version,
    });
    if let Some(until) = number.until {
        told["until"] = in_utc(until).into();
    }
    told
}

/// A unit in a word.
pub(super) const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Hits => "hits",
        Unit::Tokens => "tokens",
        Unit::Money => "USD",
    }
}

pub(super) async fn update<I: Operate>(
    Shared(data): Shared<Data<I>>,
    Extension(actor): Extension<Actor>,
    Path((tier, limit)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let asked = async {
        let domain = only_domain(&uri)?;
        let wanted = Wanted::read(object(&headers, body, SMALL).await?)?;
        to_the_end(async move { updated(&data, &actor, domain.as_deref(), &tier, &limit, &wanted).await })
            .await
    };
    respond(asked.await)
}

async fn updated<I: Operate>(
    data: &Data<I>,
    actor: &Actor,
    domain: Option<&[u8]>,
    tier: &str,
    limit: &str,
    wanted: &Wanted,
) -> Result<Value, Problem> {
    let (of, action) = match wanted.subject.as_slice() {
        [] => (Reach::Tier(tier.as_bytes()), Action::UpdateLimit),
        subject => (Reach::Subject(entries(subject)), Action::UpdateLimitOfSubject),
    };
    let tried = || Tried {
        who: Who { domain, entries: entries(&wanted.subject) },
        tier: wanted.subject.is_empty().then_some(tier.as_bytes()),
        limit: Some(limit.as_bytes()),
        ..Tried::default()
    };
    data.gate.permit_to(actor, action, || data.inspect.attempt(&tried()))?;
    let sent = wanted.to.of(unit_of(&data.inspect.rules(), domain, limit))?;
    let to = match &sent {
        Sent::File => Change::BackToFile,
        Sent::Units(units) => Change::Number(*units),
        Sent::Dollars(dollars) => Change::Usd(dollars.as_bytes()),
    };
    let terms = ChangeTerms { if_version: wanted.version, caution: wanted.caution, reason: &wanted.reason };
    let request = UpdateLimit { domain, limit: limit.as_bytes(), of, to, until: wanted.until, terms };
    let updated = data.inspect.update(actor, request).await;
    updated.map(|updated| changed(&updated)).map_err(|error| named_here(error.into()))
}

fn entries(subject: &[(String, String)]) -> Vec<Entry<'_>> {
    subject.iter().map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() }).collect()
}

/// What the limit counts, as far as there is one.
fn unit_of(rules: &RuleSet, domain: Option<&[u8]>, limit: &str) -> Option<Unit> {
    let domain = match domain {
        Some(name) => rules.domains.get(name),
        None => rules.domains.values().find(|domain| matches!(domain, Domain::Native(_))),
    };
    let Some(Domain::Native(domain)) = domain else { return None };
    domain.limit_named(limit).map(|id| domain.limit(id).unit)
}

/// What is wrong by the names that the fields have here.
fn named_here(problem: Problem) -> Problem {
    let names =
        [("max", "value"), ("usd", "value"), ("if_version", "version"), ("subject.entries", "subject")];
    names.into_iter().fold(problem, |problem, (field, name)| problem.renamed(field, name))
}

fn changed(changed: &LimitChanged) -> Value {
    let told = |value: &LimitValue| answer::number(value.unit, value.number.number);
    let (before, after) = (&changed.before, changed.after.as_ref());
    let mut all = json!({
        "tier": before.tier,
        "limit": &*before.limit,
        "before": told(before),
        "value": after.map(told),
        "source": after.unwrap_or(before).number.source.name(),
        "version": changed.version,
        "reaches": changed.reaches,
    });
    if let Some(until) = after.and_then(|after| after.number.until) {
        all["until"] = in_utc(until).into();
    }
    all
}
