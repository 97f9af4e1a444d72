//! What operators are told: engine → wire.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::audit::Record;
use crate::engine::{
    AssignedTier, AuditPage, BreakerSet, BreakerStatus, Consumer, Explanation, Foreseen, Imported, InForce,
    LimitChanged, LimitStanding, LimitValue, Listing, OperateError, OwnNumber, PastRefusal, PriceChanged,
    PricePlaced, Reason, RefusedBy, RowImported, Setting, Source, Stray, SubjectPart, SubjectReset,
    SubjectUsage, TierChanged, TierFrom, TopConsumers,
};
use crate::limits::{BreakerState, Number, SubjectId};
use crate::prices::{Class, PerMillion};

use super::super::proto::tollgate::v1 as wire;
use super::super::standing::{self, standing, time};

pub(super) fn listing(listing: &Listing) -> wire::ListLimitsResponse {
    let own = |own: &OwnNumber| wire::LimitValue { subject: subject(&own.subject), ..value(&own.value) };
    wire::ListLimitsResponse {
        limits: listing.limits.iter().map(value).chain(listing.own.iter().map(own)).collect(),
        version: listing.version,
        domain: listing.domain.to_string(),
        tiers: listing.assigned.iter().map(assigned).collect(),
        prices: listing.prices.iter().map(placed).collect(),
        unlisted: u64::try_from(listing.unlisted).unwrap_or(u64::MAX),
        strays: listing.strays.iter().map(stray).collect(),
        stray_tiers: listing.stray_tiers.iter().map(assigned).collect(),
    }
}

fn stray(stray: &Stray) -> wire::LimitValue {
    let subject = stray.subject.as_ref().map(subject).unwrap_or_default();
    wire::LimitValue { subject, ..value(&stray.value) }
}

/// A subject without its value.
fn subject(subject: &SubjectId) -> HashMap<String, String> {
    HashMap::from([(subject.key.to_string(), format!("{:032x}", subject.hash))])
}

fn assigned(tier: &AssignedTier) -> wire::SubjectTier {
    wire::SubjectTier {
        subject: subject(&tier.subject),
        tier: tier.tier.to_string(),
        version: tier.version,
        until: tier.until.map(time),
    }
}

fn placed(price: &PricePlaced) -> wire::ModelPrice {
    wire::ModelPrice {
        model: price.model.to_string(),
        usd_per_million: dollars(&price.prices),
        effective_from: Some(time(price.from)),
        version: price.version,
    }
}

fn value(value: &LimitValue) -> wire::LimitValue {
    wire::LimitValue {
        tier: value.tier.to_string(),
        limit: value.limit.to_string(),
        max: number(value.number.number),
        window: value.window.clone(),
        per: value.per.clone(),
        unit: standing::unit(value.unit).into(),
        source: value.number.source.name().to_owned(),
        version: value.number.version,
        until: value.number.until.map(time),
        ..wire::LimitValue::default()
    }
}

/// How much is allowed, as the wire has it.
fn number(number: Number) -> i64 {
    match number {
        Number::Unlimited => -1,
        Number::AtMost(most) => i64::try_from(most).unwrap_or(i64::MAX),
    }
}

pub(super) fn limit_changed(changed: &LimitChanged) -> wire::UpdateLimitResponse {
    wire::UpdateLimitResponse {
        before: Some(value(&changed.before)),
        after: changed.after.as_ref().map(value),
        version: changed.version,
        reaches: changed.reaches.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn usage(usage: &SubjectUsage) -> wire::GetUsageResponse {
    wire::GetUsageResponse {
        tier: usage.tier.to_string(),
        standings: usage.limits.iter().map(|limit| standing(&limit.standing)).collect(),
        tier_source: tier_source(usage.tier_from).to_owned(),
        domain: usage.domain.to_string(),
        numbers: usage.limits.iter().filter_map(|limit| source(&limit.standing, &limit.number)).collect(),
        assigned_tier: usage.assigned.as_deref().unwrap_or_default().to_owned(),
    }
}

/// Where a tier is from, in a word.
pub(crate) const fn tier_source(from: TierFrom) -> &'static str {
    match from {
        TierFrom::Given => "given",
        TierFrom::Assigned => "assigned",
        TierFrom::Seen => "seen",
        TierFrom::Default => "default",
    }
}

/// Where a number is from that is not from the file.
fn source(standing: &LimitStanding, number: &InForce) -> Option<wire::NumberSource> {
    (number.source != Source::File).then(|| wire::NumberSource {
        limit: standing.limit.to_string(),
        source: number.source.name().to_owned(),
        version: number.version,
        until: number.until.map(time),
    })
}

pub(super) fn reset(reset: &SubjectReset) -> wire::ResetUserResponse {
    let names = |limits: &[Arc<str>]| limits.iter().map(ToString::to_string).collect();
    wire::ResetUserResponse {
        before: reset.before.iter().map(standing).collect(),
        version: reset.version,
        kept: names(&reset.kept),
        breakers_closed: names(&reset.closed),
        breakers_open: names(&reset.open),
    }
}

pub(super) fn tier_changed(changed: &TierChanged) -> wire::SetTierResponse {
    let name = |tier: &Option<Box<str>>| tier.as_deref().unwrap_or_default().to_owned();
    wire::SetTierResponse {
        before: name(&changed.before),
        after: name(&changed.after),
        version: changed.version,
        until: changed.until.map(time),
        warning: changed.named.as_deref().map(named_by_calls).unwrap_or_default(),
    }
}

/// What is said of a tier that calls name themselves.
fn named_by_calls(tier: &str) -> String {
    format!(
        "calls of the last hour name a tier themselves and are decided by '{tier}', the default where none is called so: what is set holds for calls that name none"
    )
}

pub(super) fn price_changed(changed: &PriceChanged) -> wire::SetPriceResponse {
    wire::SetPriceResponse {
        version: changed.version,
        before: changed.before.as_ref().map(dollars).unwrap_or_default(),
        after: changed.after.as_ref().map(dollars).unwrap_or_default(),
        effective_from: Some(time(changed.from)),
        model: changed.model.to_string(),
    }
}

/// What a million tokens cost, by class.
fn dollars(prices: &PerMillion) -> HashMap<String, String> {
    let own = |class: Class| Some((class.name().to_owned(), prices.own(class)?.to_decimal()));
    Class::ALL.into_iter().filter_map(own).collect()
}

pub(super) fn explanation(told: &Explanation) -> wire::ExplainResponse {
    let decision = match told.verdict {
        Foreseen::Passes => wire::Decision::Allow,
        Foreseen::Refused => wire::Decision::Deny,
    };
    wire::ExplainResponse {
        decision: decision.into(),
        route: told.route.as_deref().unwrap_or_default().to_owned(),
        tier: told.tier.to_string(),
        tier_source: tier_source(told.tier_from).to_owned(),
        standings: told.limits.iter().map(|limit| standing(&limit.standing)).collect(),
        asks: told.limits.iter().map(|limit| limit.asks).collect(),
        domain: told.domain.to_string(),
        at: None,
        numbers: told.limits.iter().filter_map(|limit| source(&limit.standing, &limit.number)).collect(),
    }
}

pub(super) fn past(refusal: &PastRefusal) -> wire::ExplainResponse {
    wire::ExplainResponse {
        decision: wire::Decision::Deny.into(),
        tier: refusal.tier.to_string(),
        standings: refusal.limits.iter().map(refused).collect(),
        domain: refusal.domain.to_string(),
        at: Some(time(refusal.at)),
        ..wire::ExplainResponse::default()
    }
}

/// A limit that has refused a call, as it stood then.
fn refused(by: &RefusedBy) -> wire::Standing {
    let amount = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    let (max, used, held) = (number(by.number), amount(by.used), amount(by.held));
    wire::Standing {
        limit: by.limit.to_string(),
        decision: wire::Decision::Deny.into(),
        max,
        used,
        held,
        remaining: if by.number == Number::Unlimited { -1 } else { max - used - held },
        retry_after: by.retry_after.map(standing::duration),
        reason: by.reason.name().to_owned(),
        ..wire::Standing::default()
    }
}

pub(super) fn top(top: &TopConsumers) -> wire::TopConsumersResponse {
    wire::TopConsumersResponse {
        consumers: top.consumers.iter().map(consumer).collect(),
        since: top.since.map(time),
        one_in: top.one_in,
        domain: top.domain.to_string(),
        limit: top.limit.to_string(),
    }
}

fn consumer(consumer: &Consumer) -> wire::Consumer {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let part = |part: &SubjectPart| (text(&part.key), text(&part.value));
    wire::Consumer {
        subject: consumer.subject.iter().map(part).collect(),
        hits: consumer.hits,
        too_many_by: consumer.over_by,
    }
}

pub(super) fn imported(imported: &Imported) -> wire::ImportUsageResponse {
    wire::ImportUsageResponse {
        rows: imported.rows.iter().map(row).collect(),
        version: imported.version.unwrap_or_default(),
    }
}

fn row(row: &Result<RowImported, OperateError>) -> wire::ImportedRow {
    match row {
        Ok(row) => wire::ImportedRow {
            before: row.before,
            after: row.after,
            counter: format!("{:032x}", row.counter.id),
            error: String::new(),
        },
        Err(error) => wire::ImportedRow { error: error.to_string(), ..wire::ImportedRow::default() },
    }
}

pub(super) fn audit(page: &AuditPage) -> wire::ListAuditResponse {
    wire::ListAuditResponse {
        entries: page.records.iter().map(record).collect(),
        next_page: page.next.clone().unwrap_or_default(),
        head: page.head.number,
        head_hash: page.head.hash.to_string(),
    }
}

fn record(record: &Record) -> wire::AuditEntry {
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let json = |json: &Json| if json.is_null() { String::new() } else { json.to_string() };
    wire::AuditEntry {
        id: record.number.to_string(),
        at: Some(time(record.at)),
        actor: record.who.to_string(),
        action: record.action.to_string(),
        target: json(&record.target),
        before: json(&record.before),
        after: json(&record.after),
        reason: record.reason.to_string(),
        previous_hash: record.prev.to_string(),
        role: record.role.to_string(),
        from: text(&record.from),
        outcome: record.outcome.to_string(),
        domain: text(&record.domain),
        hash: record.hash.to_string(),
    }
}

/// What is said of a limit that would open its breaker again.
const NO_ROOM: &str = "the limit has no room: the next call that asks it opens the breaker again, \
    unless \"clear\": true was sent, its number is raised, or time brings room back";
/// The same, where nothing is used and all of it is held.
const ALL_HELD: &str = "the limit has no room, since what is left of it is held: \
    the next call that asks it opens the breaker again, unless holds end before";

/// What the limit of a breaker will make of it that is now as `to` says.
pub(crate) fn warning(before: &BreakerStatus, to: Setting) -> Option<&'static str> {
    let has_no_room = to != Setting::Open && before.standing.reason == Some(Reason::OverLimit);
    has_no_room.then_some(if before.standing.used == 0 { ALL_HELD } else { NO_ROOM })
}

pub(super) fn breaker_set(set: &BreakerSet, to: Setting) -> wire::SetBreakerResponse {
    let before = &set.before;
    wire::SetBreakerResponse {
        was_open: before.breaker.state != BreakerState::Closed,
        standing: Some(standing(&before.standing)),
        warning: warning(before, to).unwrap_or_default().to_owned(),
        version: set.version,
    }
}
