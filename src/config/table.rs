//! What `tollgate check` prints of a rule set: every limit of every tier, as a table a person can compare with
//! what was meant; and the prices. It reads the compiled rules, so it shows what will be enforced and not what was
//! written.

mod prices;

use crate::clock::Timestamp;
use crate::limits::{
    Domain, Limit, Mode, NativeDomain, Number, OnMissing, Percent, ReferenceDomain, RuleSet, Subjects, Unit,
    Window,
};

/// Every domain of `rules` as a table, by name; then the prices, and what limits of money buy at `at`.
pub fn table(rules: &RuleSet, at: Timestamp) -> String {
    let mut domains: Vec<(&[u8], &Domain)> =
        rules.domains.iter().map(|(name, domain)| (&**name, domain)).collect();
    domains.sort_unstable_by_key(|(name, _)| *name);
    let text = |(_, domain): &(&[u8], &Domain)| match domain {
        Domain::Native(domain) => {
            let rows = aligned(&native_rows(domain));
            format!("{}\n{rows}{}{}{}", domain.name, optional(domain), alerting(domain), shared(domain))
        }
        Domain::Reference(domain) => format!("{}\n{}", domain.name, aligned(&reference_rows(domain))),
    };
    let native = domains.iter().filter_map(|(_, domain)| match domain {
        Domain::Native(domain) => Some(&**domain),
        Domain::Reference(_) => None,
    });
    let prices = prices::text(&rules.prices, native, at);
    domains.iter().map(text).chain(prices).collect::<Vec<_>>().join("\n")
}

fn native_rows(domain: &NativeDomain) -> Vec<Vec<String>> {
    let mut head: Vec<String> = ["limit", "per", "window"].map(str::to_owned).into();
    head.extend(domain.tiers.names.iter().map(ToString::to_string));
    let row = |limit: &Limit| {
        let mut row = vec![limit.name.to_string(), limit.subjects.to_string(), window(limit)];
        row.extend(limit.numbers.iter().map(|number| amount(*number, limit.unit)));
        row
    };
    std::iter::once(head).chain(domain.limits.iter().map(row)).collect()
}

/// Which limits count all calls together that do not say whose they are; nothing where none does.
fn shared(domain: &NativeDomain) -> String {
    let shares = |limit: &&Limit| limit.on_missing == OnMissing::Share && *limit.subjects != Subjects::ALL;
    let names: Vec<&str> = domain.limits.iter().filter(shares).map(|limit| &*limit.name).collect();
    if names.is_empty() {
        return String::new();
    }
    const SHOWN: usize = 6;
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names = names[..names.len().min(SHOWN)].join(", ");
    format!("  calls without the subject share one counter (on_missing: share): {names}{more}\n")
}

/// What limits say of debt and holds otherwise than most do; one line for those that say the same.
fn optional(domain: &NativeDomain) -> String {
    let mut alike: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
    for limit in &domain.limits {
        let options = limit.options_in_words();
        match alike.iter_mut().find(|(others, _)| *others == options) {
            _ if options.is_empty() => {}
            Some((_, names)) => names.push(&limit.name),
            None => alike.push((options, vec![&limit.name])),
        }
    }
    let line = |(options, names): (Vec<String>, Vec<&str>)| {
        format!("  with {{{}}}: {}\n", options.join(", "), names.join(", "))
    };
    alike.into_iter().map(line).collect()
}

/// Which limits alert at what, and whether anybody but the log is told; one line for those that alert alike.
fn alerting(domain: &NativeDomain) -> String {
    let mut alike: Vec<(&[Percent], Vec<&str>)> = Vec::new();
    for limit in domain.limits.iter().filter(|limit| !limit.thresholds.is_empty()) {
        match alike.iter_mut().find(|(thresholds, _)| *thresholds == &*limit.thresholds) {
            Some((_, names)) => names.push(&limit.name),
            None => alike.push((&limit.thresholds, vec![&limit.name])),
        }
    }
    let told = if domain.webhook.is_some() { "log and webhook" } else { "log" };
    let line = |(thresholds, names): (&[Percent], Vec<&str>)| {
        let shares: Vec<String> = thresholds.iter().map(ToString::to_string).collect();
        format!("  alerts at {} ({told}): {}\n", shares.join(", "), names.join(", "))
    };
    alike.into_iter().map(line).collect()
}

fn reference_rows(domain: &ReferenceDomain) -> Vec<Vec<String>> {
    let mut limits = domain.limits();
    limits.sort_unstable_by_key(|limit| &limit.path);
    let head = ["path", "requests", "unit", ""].map(str::to_owned).into();
    let rows = limits.into_iter().map(|limit| {
        let unit = match limit.multiplier {
            0 | 1 => limit.unit.name().to_lowercase(),
            times => format!("{times} {}", limit.unit.name().to_lowercase()),
        };
        let modes = [(limit.shadow, "shadow"), (limit.quota, "quota")];
        let modes: Vec<&str> = modes.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        vec![limit.path.to_string(), amount(limit.number, Unit::Hits), unit, modes.join(" ")]
    });
    std::iter::once(head).chain(rows).collect()
}

/// The window as a file writes it, with what changes its meaning.
fn window(limit: &Limit) -> String {
    let mode = match limit.mode {
        Mode::Enforced => "",
        Mode::Shadow => " (shadow)",
        Mode::Soft => " (soft)",
    };
    let window = match &limit.window {
        Window::Sliding { length } => length.in_short(),
        Window::Fixed { length, .. } => format!("{} fixed", length.in_short()),
        Window::TokenBucket { length, burst } => {
            format!("{} burst {}", length.in_short(), amount(Number::AtMost(*burst), limit.unit))
        }
        Window::Calendar(calendar, _) => {
            format!("{} ({})", calendar.in_words(), calendar.zone_name())
        }
        Window::Concurrent { .. } => "concurrent".to_owned(),
        Window::Total { .. } => "total".to_owned(),
        Window::Request => "request".to_owned(),
    };
    let breaker = limit.breaker.as_ref();
    let trips =
        breaker.map_or_else(String::new, |breaker| format!(" (on_limit: trip, {})", breaker.in_words()));
    window + mode + &trips
}

fn amount(number: Number, unit: Unit) -> String {
    match number {
        Number::Unlimited => "unlimited".to_owned(),
        Number::AtMost(0) => "blocked".to_owned(),
        Number::AtMost(most) => unit.in_words(most),
    }
}

/// Rows with every column as wide as its widest cell, indented under their title.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
