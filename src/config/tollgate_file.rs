//! Tollgate files as written: domains with limits, tiers, routes and headers; prices, alerts, a time zone.
//!
//! The first of three steps: every value is checked on its own and keeps its place. Names are resolved across
//! a domain, and domains are built, by [`super::native_domain`]. What is not built yet is read, checked, and
//! said to be so.

mod alerts;
mod breaker;
mod domain;
mod estimate;
mod headers;
mod limit;
mod prices;
mod route;
mod secret;
mod tier;
mod value;
mod window;

use super::diagnostic::{Field, Fields, Position, Report};
use super::settings::keys;
use super::short_form::Quantity;
use super::source::Environment;
use super::yaml::{Document, Node};
use crate::clock::Micros;
use crate::limits::{
    Estimate, Headers, Mode, Number, OnError, OnMissing, OnUnknown, Percent, Subjects, Unit, Webhook, Window,
};
use crate::prices::{Unknown, Version};
use alerts::FileAlerts;

/// The keys at the top of a Tollgate file.
pub(super) const TOP_KEYS: [&str; 4] = ["domains", "prices", "alerts", "timezone"];

/// Where `key` is written if it is one of a domain, or of the settings.
pub(super) fn home_of(key: &str) -> Option<String> {
    if domain::KEYS.contains(&key) {
        return Some(format!("it belongs to a domain: write 'domains: {{NAME: {{{key}: …}}}}'"));
    }
    let is_setting = keys::ALL.iter().any(|setting| setting.path.split('.').next() == Some(key));
    is_setting.then(|| "it is a setting: write it into another file, and name that by --settings".to_owned())
}

/// One file, each part checked on its own.
#[derive(Clone, Debug)]
pub(super) struct TollgateFile {
    pub(super) domains: Vec<WrittenDomain>,
    pub(super) prices: Option<WrittenPrices>,
}

/// What holds for all of a file.
#[derive(Clone, Copy, Debug)]
struct Whole<'n> {
    zone: &'n str,
    alerts: Option<&'n FileAlerts>,
}

/// Something that is named or written at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) at: Position,
    pub(super) value: T,
}

/// A name at its place.
pub(super) type Named = At<Box<str>>;

/// A domain as written.
#[derive(Clone, Debug)]
pub(super) struct WrittenDomain {
    pub(super) name: Named,
    /// Whose the counters of limits are that do not say so.
    pub(super) per: Option<Subjects>,
    pub(super) choice: Option<TierChoice>,
    pub(super) limits: Vec<WrittenLimit>,
    pub(super) tiers: Vec<WrittenTier>,
    pub(super) routes: Vec<WrittenRoute>,
    pub(super) headers: Headers,
    pub(super) ipv6_prefix: u8,
    /// The time zone of its file.
    pub(super) zone: Box<str>,
    pub(super) webhook: Option<Webhook>,
    /// How long answers are thought to be, for limits that do not say so.
    pub(super) estimate: Estimate,
}

/// How a call finds its tier.
#[derive(Clone, Debug)]
pub(super) struct TierChoice {
    pub(super) at: Position,
    /// The key of the entry that names the tier.
    pub(super) from: Option<Box<str>>,
    pub(super) default: Option<Named>,
    pub(super) anonymous: Option<Named>,
}

/// A limit as written.
#[derive(Clone, Debug)]
pub(super) struct WrittenLimit {
    pub(super) name: Named,
    /// `None` where it has been reported as wrong: the name still exists.
    pub(super) meaning: Option<Meaning>,
}

/// What a limit says.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) unit: Unit,
    pub(super) number: Option<Number>,
    pub(super) window: Window,
    pub(super) subjects: Option<Subjects>,
    pub(super) on_missing: OnMissing,
    pub(super) on_error: OnError,
    pub(super) on_limit: OnLimit,
    pub(super) mode: Mode,
    pub(super) refundable: bool,
    pub(super) on_unknown: OnUnknown,
    pub(super) estimate: Estimate,
    pub(super) lease: Option<Micros>,
    pub(super) max_ttl: Option<Micros>,
    pub(super) max_age: Option<Micros>,
    /// The shares of its number that are alerted on, from the least.
    pub(super) thresholds: Vec<Percent>,
}

/// What a limit does when its number is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnLimit {
    /// It refuses what is beyond.
    Deny,
    /// It opens a breaker.
    Trip {
        /// For how long the breaker is open before it tries to close by itself, and with which share of the calls;
        /// `None` until somebody closes it.
        reset: Option<(Micros, Percent)>,
    },
}

/// A tier as written.
#[derive(Clone, Debug)]
pub(super) struct WrittenTier {
    pub(super) name: Named,
    pub(super) extends: Option<Named>,
    /// For limits that have no number otherwise.
    pub(super) others: Option<At<Quantity>>,
    pub(super) numbers: Vec<(Named, At<Quantity>)>,
}

/// A route as written.
#[derive(Clone, Debug)]
pub(super) struct WrittenRoute {
    pub(super) pattern: Named,
    pub(super) limits: Vec<Named>,
}

/// Prices as written.
#[derive(Clone, Debug)]
pub(super) struct WrittenPrices {
    /// Where the word stands.
    pub(super) at: Position,
    pub(super) unknown: Unknown,
    /// Each with the model that it means.
    pub(super) aliases: Vec<(Named, Named)>,
    pub(super) models: Vec<WrittenModel>,
}

/// A model as written.
#[derive(Clone, Debug)]
pub(super) struct WrittenModel {
    pub(super) name: Named,
    /// By the day from which they hold. Days that are wrong have been reported.
    pub(super) versions: Vec<Version>,
}

/// Reads one file, and reports what is wrong with it.
pub(super) fn read(
    document: &Document,
    root: &Node,
    environment: Environment<'_>,
    report: &mut Report,
) -> Option<TollgateFile> {
    if document.documents > 1 {
        let message = format!("the file holds {} YAML documents", document.documents);
        report.error(Position::START, message, "put each document into a file of its own");
    }
    let mut fields = Fields::of(root, "the file", report)?;
    let zone = fields.take("timezone").and_then(|field| value::zone(field, report));
    let alerts = fields.take("alerts").map(|field| alerts::of_file(field, environment, report));
    let whole = Whole { zone: zone.unwrap_or("UTC"), alerts: alerts.as_ref() };
    let prices = fields.take("prices");
    refuse_duplicates(document, prices, report);
    let prices = prices.and_then(|field| prices::read(field, whole.zone, report));
    let domains = match fields.take("domains") {
        Some(field) => domains(field, whole, report),
        None => Vec::new(),
    };
    fields.finish_but(home_of, report);
    if domains.is_empty() && prices.is_none() && !report.has_errors() {
        report.error(root.at, "the file has no domains", "write 'domains: {NAME: {limits: …}}'");
    }
    Some(TollgateFile { domains, prices })
}

/// Refuses keys that stand twice. Of the file's `prices` those may be of the same decimals.
fn refuse_duplicates(document: &Document, prices: Option<Field<'_>>, report: &mut Report) {
    if document.duplicates.is_empty() {
        return;
    }
    let numbers = prices::Numbers::below(prices.map(|field| field.value));
    for duplicate in &document.duplicates {
        if !numbers.refuse(duplicate, report) {
            let message = format!("'{}' stands twice, first at {}", duplicate.key, duplicate.first);
            report.error(duplicate.again, message, "keep one of them");
        }
    }
}

fn domains(field: Field<'_>, whole: Whole<'_>, report: &mut Report) -> Vec<WrittenDomain> {
    let Some(fields) = Fields::of(field.value, "'domains'", report) else { return Vec::new() };
    fields.rest().into_iter().filter_map(|field| domain::read(field, whole, report)).collect()
}
