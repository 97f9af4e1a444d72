//! The rule set as text, one line a limit or a price: what operators read at `/rlconfig`.
//!
//! Limits of reference domains are written as the reference service writes them, with what it does not know
//! behind that. Nothing here is parsed again, and no value of a request can appear.

use super::limit::{Limit, Mode};
use super::native::NativeDomain;
use super::number::Number;
use super::reference::{Node, ReferenceDomain, ReferenceLimit};
use super::window::{Unit, Window};
use super::{Domain, RuleSet};
use crate::calendar::in_utc;
use crate::clock::Timestamp;
use crate::prices::{Class, Model, PerMillion, PriceTable, Unknown};

/// Every limit of `rules`, one line each, sorted, so that equal sets read alike; then the prices.
pub fn describe(rules: &RuleSet) -> String {
    let mut lines: Vec<String> = rules.domains.values().flat_map(lines_of).collect();
    lines.sort_unstable();
    lines.extend(price_lines(&rules.prices));
    lines.concat()
}

fn price_lines(table: &PriceTable) -> Vec<String> {
    let unknown = match table.unknown() {
        Unknown::Deny => "deny",
        Unknown::Highest => "highest",
    };
    let line = |model: &Model, from: Timestamp, above: Option<u64>, prices: &PerMillion| {
        let priced = Class::ALL.into_iter().filter_map(|class| Some((class, prices.own(class)?)));
        let prices: Vec<String> = priced.map(|(class, price)| format!("{class}={price}")).collect();
        let from = match from {
            Timestamp(0) => String::new(),
            from => format!(", from: {}", in_utc(from)),
        };
        let above = above.map_or(String::new(), |tokens| format!(", above: {tokens} input tokens"));
        let (name, prices) = (&model.name, prices.join(" "));
        format!("price of {name}: {prices}, per: 1M tokens{from}{above}, unknown: {unknown}\n")
    };
    let all = table.models().iter().flat_map(Model::all_prices);
    all.map(|(model, version, above, prices)| line(model, version.from, above, prices)).collect()
}

fn lines_of(domain: &Domain) -> Vec<String> {
    match domain {
        Domain::Native(domain) => domain.limits.iter().map(|limit| native_line(domain, limit)).collect(),
        Domain::Reference(domain) => domain.limits().into_iter().map(reference_line).collect(),
    }
}

fn reference_line(limit: &ReferenceLimit) -> String {
    let number = match limit.number {
        Number::AtMost(most) => most,
        Number::Unlimited => 0,
    };
    let more = match &limit.window {
        Window::Sliding { .. } => ", algorithm: sliding_window",
        Window::TokenBucket { .. } => ", algorithm: token_bucket",
        _ => "",
    };
    let multiplier = match limit.multiplier {
        0 | 1 => String::new(),
        times => format!(", unit_multiplier: {times}"),
    };
    let ReferenceLimit { path, shadow, quota, unit, .. } = limit;
    format!(
        "{path}: unit={} requests_per_unit={number}, shadow_mode: {shadow}, quota_mode: {quota}{more}{multiplier}\n",
        unit.name()
    )
}

fn native_line(domain: &NativeDomain, limit: &Limit) -> String {
    let numbers: Vec<String> = domain
        .tiers
        .names
        .iter()
        .zip(&limit.numbers)
        .map(|(tier, number)| format!("{tier}={}", number_text(*number)))
        .collect();
    let mode = match limit.mode {
        Mode::Enforced => "enforced",
        Mode::Shadow => "shadow",
        Mode::Soft => "soft",
    };
    let breaker = limit.breaker.as_ref();
    let breaker =
        breaker.map_or_else(String::new, |breaker| format!(", on_limit: trip, {}", breaker.in_words()));
    let options: Vec<String> =
        limit.options_in_words().into_iter().map(|option| format!(", {option}")).collect();
    format!(
        "{}.{}: {}, unit: {}, window: {}, per: {}, mode: {mode}{breaker}{}\n",
        domain.name,
        limit.name,
        numbers.join(" "),
        unit_text(limit.unit),
        limit.window.in_words(),
        limit.subjects,
        options.concat(),
    )
}

fn number_text(number: Number) -> String {
    match number {
        Number::Unlimited => "unlimited".to_owned(),
        Number::AtMost(most) => most.to_string(),
    }
}

const fn unit_text(unit: Unit) -> &'static str {
    match unit {
        Unit::Hits => "hits",
        Unit::Tokens => "tokens",
        Unit::Money => "nano-USD",
    }
}

impl ReferenceDomain {
    /// Every limit of the domain, in no order.
    pub fn limits(&self) -> Vec<&ReferenceLimit> {
        let mut found = Vec::new();
        collect(&self.root, &mut found);
        found
    }
}

fn collect<'a>(node: &'a Node, found: &mut Vec<&'a ReferenceLimit>) {
    let exact = node.exact.values().flat_map(|values| values.values());
    let wildcards = node.wildcards.iter().map(|wildcard| &wildcard.rule);
    for rule in exact.chain(wildcards).chain(node.by_key.values()) {
        found.extend(&rule.limits);
        collect(&rule.below, found);
    }
}
