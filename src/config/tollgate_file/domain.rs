//! One domain.

use super::{
    At, Whole, WrittenDomain, WrittenLimit, WrittenTier, estimate, headers, limit, route, tier, value,
};
use crate::config::diagnostic::{Field, Fields, Report, shorten};
use crate::config::short_form;
use crate::limits::Headers;

/// The keys of a domain.
pub(super) const KEYS: [&str; 8] =
    ["per", "tier", "limits", "tiers", "routes", "headers", "ipv6_prefix", "estimate"];

/// The leading bits of an IPv6 address that make a subject, unless the domain says otherwise.
const IPV6_PREFIX: u8 = 64;

/// Reads one domain.
pub(super) fn read(field: Field<'_>, whole: Whole<'_>, report: &mut Report) -> Option<WrittenDomain> {
    let name = At { at: field.at, value: Box::from(field.name) };
    if field.name.is_empty() {
        report.error(field.at, "a domain has no name", "name it as requests do");
    }
    let what = format!("domain '{}'", shorten(field.name));
    let mut fields = Fields::of(field.value, what, report)?;
    let per = fields.take("per").and_then(|field| value::form(field, short_form::subjects, report));
    let choice = fields.take("tier").and_then(|field| tier::choice(field, report));
    let limits = match fields.take("limits") {
        Some(field) => limits(field, whole, report),
        None => {
            report.error(name.at, format!("{} has no limits", fields.what()), "write its 'limits'");
            Vec::new()
        }
    };
    let tiers = fields.take("tiers").map_or_else(Vec::new, |field| tiers(field, report));
    let routes = fields.take("routes").map_or_else(Vec::new, |field| route::all(field, report));
    let headers = fields.take("headers").map_or_else(Headers::default, |field| headers::read(field, report));
    let ipv6_prefix = fields
        .take("ipv6_prefix")
        .and_then(|field| value::small_number(field, 0, 128, report))
        .map_or(IPV6_PREFIX, |prefix| prefix.value);
    let estimate = fields.take("estimate").and_then(|field| estimate::read(field, report));
    fields.finish(report);
    let per = per.map(|per| per.value);
    let webhook = whole.alerts.and_then(|alerts| alerts.webhook.clone());
    let (zone, estimate) = (whole.zone.into(), estimate.unwrap_or_default());
    Some(WrittenDomain {
        name,
        per,
        choice,
        limits,
        tiers,
        routes,
        headers,
        ipv6_prefix,
        zone,
        webhook,
        estimate,
    })
}

fn limits(field: Field<'_>, whole: Whole<'_>, report: &mut Report) -> Vec<WrittenLimit> {
    let Some(fields) = Fields::of(field.value, "'limits'", report) else { return Vec::new() };
    let written = fields.rest();
    if written.is_empty() {
        report.error(field.value.at, "'limits' is empty", "write a limit such as 'login: 5/15m per ip'");
    }
    written.into_iter().map(|field| limit::read(field, whole, report)).collect()
}

fn tiers(field: Field<'_>, report: &mut Report) -> Vec<WrittenTier> {
    let Some(fields) = Fields::of(field.value, "'tiers'", report) else { return Vec::new() };
    fields.rest().into_iter().filter_map(|field| tier::read(field, report)).collect()
}
