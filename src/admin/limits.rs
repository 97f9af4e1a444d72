//! `GET /admin/rate-limits` tells what every tier is allowed; `PUT /admin/rate-limits/{tier}/{limit}` changes it.
//!
//! Numbers are JSON numbers, -1 for unlimited, money in dollars; a limit with one number for all stands under `all`.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::audit::{Action, Actor};
use crate::calendar::{in_utc, instant};
use crate::clock::Timestamp;
use crate::engine::{
    Caution, Change, ChangeTerms, LimitChanged, LimitValue, Listing, Operate, Reach, UpdateLimit,
};
use crate::limits::{Domain, Entry, RuleSet, Unit};
use crate::transport::problem::Problem;

use super::Data;
use super::answer::{self, Answer, NoAnswer, respond, to_the_end};
use super::query::pairs;

/// What a body may say.
const FIELDS: &str = "value, version, reason, force, until, user and subject";

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

/// What a body asks for.
struct Wanted {
    to: Amount,
    version: Option<u64>,
    reason: String,
    caution: Caution,
    until: Option<Timestamp>,
    subject: Vec<(String, String)>,
}

/// A number as JSON has it.
enum Amount {
    /// Back to what the file says.
    File,
    /// Whole, also of money.
    Whole(i64),
    /// With a fraction: of money only.
    Dollars(String),
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
        let wanted = Wanted::read(answer::object(&headers, body).await?)?;
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
    data.gate.permit(actor, action)?;
    let is_money = counts_money(&data.inspect.rules(), domain, limit);
    let dollars;
    let to = match &wanted.to {
        Amount::File => Change::BackToFile,
        Amount::Whole(amount) if is_money && *amount > 0 => {
            dollars = amount.to_string();
            Change::Usd(dollars.as_bytes())
        }
        Amount::Whole(amount) => Change::Number(*amount),
        Amount::Dollars(amount) if is_money => Change::Usd(amount.as_bytes()),
        Amount::Dollars(_) => return Err(Problem::invalid("value: must be a whole number, or null")),
    };
    let terms = ChangeTerms { if_version: wanted.version, caution: wanted.caution, reason: &wanted.reason };
    let request = UpdateLimit { domain, limit: limit.as_bytes(), of, to, until: wanted.until, terms };
    Ok(changed(&data.inspect.update(actor, request).await?))
}

fn entries(subject: &[(String, String)]) -> Vec<Entry<'_>> {
    subject.iter().map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() }).collect()
}

/// Whether the limit counts money, as far as there is one.
fn counts_money(rules: &RuleSet, domain: Option<&[u8]>, limit: &str) -> bool {
    let domain = match domain {
        Some(name) => rules.domains.get(name),
        None => rules.domains.values().find(|domain| matches!(domain, Domain::Native(_))),
    };
    let Some(Domain::Native(domain)) = domain else { return false };
    domain.by_name.get(limit.as_bytes()).is_some_and(|id| domain.limit(*id).unit == Unit::Money)
}

fn changed(changed: &LimitChanged) -> Value {
    let told = |value: &LimitValue| answer::number(value.unit, value.number.number);
    let mut all = json!({
        "tier": changed.after.tier,
        "limit": &*changed.after.limit,
        "before": told(&changed.before),
        "value": told(&changed.after),
        "source": changed.after.number.source.name(),
        "version": changed.version,
        "reaches": changed.reaches,
    });
    if let Some(until) = changed.after.number.until {
        all["until"] = in_utc(until).into();
    }
    all
}

impl Wanted {
    fn read(mut fields: Map<String, Value>) -> Result<Self, NoAnswer> {
        let asked = fields.remove("value").ok_or_else(|| NoAnswer::invalid("value: must be given"))?;
        let wanted = Self {
            to: Amount::read(&asked)?,
            version: whole(&mut fields, "version")?,
            reason: answer::text(&mut fields, "reason")?.unwrap_or_default(),
            caution: caution(&mut fields)?,
            until: time(&mut fields, "until")?,
            subject: subject(&mut fields)?,
        };
        answer::no_more(&fields, FIELDS)?;
        Ok(wanted)
    }
}

impl Amount {
    fn read(value: &Value) -> Result<Self, NoAnswer> {
        let number = match value {
            Value::Null => return Ok(Self::File),
            Value::Number(number) => number,
            other => {
                return Err(NoAnswer::invalid(format!("value: must be a number or null, and is {other}")));
            }
        };
        match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Self::Whole(whole)),
            (None, Some(fraction)) if fraction.is_finite() && fraction.abs() < 1e15 => {
                Ok(Self::Dollars(fraction.to_string()))
            }
            _ => Err(NoAnswer::invalid(format!("value: {number} is larger than any number of a limit"))),
        }
    }
}

fn whole(fields: &mut Map<String, Value>, name: &str) -> Result<Option<u64>, NoAnswer> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(NoAnswer::invalid(format!("{name}: must be a whole number from 0, and is {value}"))),
        },
    }
}

fn caution(fields: &mut Map<String, Value>) -> Result<Caution, NoAnswer> {
    match fields.remove("force") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(Caution::Kept),
        Some(Value::Bool(true)) => Ok(Caution::Forced),
        Some(other) => Err(NoAnswer::invalid(format!("force: must be true or false, and is {other}"))),
    }
}

fn time(fields: &mut Map<String, Value>, name: &str) -> Result<Option<Timestamp>, NoAnswer> {
    let read = |text: String| {
        let wrong = || NoAnswer::invalid(format!("{name}: '{text}' is no time such as 2026-12-01T00:00:00Z"));
        instant(&text).ok_or_else(wrong)
    };
    answer::text(fields, name)?.map(read).transpose()
}

/// For whom alone, by the fields `user` and `subject`; nobody for a tier.
fn subject(fields: &mut Map<String, Value>) -> Result<Vec<(String, String)>, NoAnswer> {
    let user = answer::text(fields, "user")?.map(|user| ("user".to_owned(), user));
    let mut named: Vec<_> = user.into_iter().collect();
    match fields.remove("subject") {
        None | Some(Value::Null) => {}
        Some(Value::Object(_)) if !named.is_empty() => {
            return Err(NoAnswer::invalid("user: write one of user and subject"));
        }
        Some(Value::Object(mut entries)) => {
            let keys: Vec<String> = entries.keys().cloned().collect();
            for key in keys {
                let value = answer::text(&mut entries, &key)?;
                named.extend(value.map(|value| (key, value)));
            }
        }
        Some(other) => {
            let text = format!("subject: must be an object such as {{\"email\": \"…\"}}, and is {other}");
            return Err(NoAnswer::invalid(text));
        }
    }
    Ok(named)
}
