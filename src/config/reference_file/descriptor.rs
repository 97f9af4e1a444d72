//! One descriptor of a file, with all below it.

use super::value::{Values, quoted};
use super::{Written, WrittenLimit, limit, metadata};
use crate::config::diagnostic::Report;
use crate::config::yaml::Node;
use crate::limits::{MOST_LIMITS, Number};

/// The keys about metrics that are taken without effect.
const METRICS: [&str; 2] = ["detailed_metric", "value_to_metric"];

/// Warns once of each key about metrics that stands somewhere in `descriptors`.
pub(super) fn warn_of_metrics(descriptors: &[Written], report: &mut Report) {
    let mut places = METRICS.map(|_| Vec::new());
    let mut left: Vec<&Written> = descriptors.iter().collect();
    while let Some(written) = left.pop() {
        for (places, at) in places.iter_mut().zip(written.metrics) {
            places.extend(at);
        }
        left.extend(&written.below);
    }
    for (name, places) in METRICS.into_iter().zip(places) {
        let Some(first) = places.iter().min() else { continue };
        let times =
            if places.len() > 1 { format!(" ({} times in this file)", places.len()) } else { String::new() };
        report.warning(*first, format!("'{name}' has no effect yet{times}"), "");
    }
}

/// The descriptors of a mapping.
pub(super) fn list(values: &Values<'_>, report: &mut Report) -> Vec<Written> {
    let nodes = values.mappings("descriptors", report);
    nodes.into_iter().filter_map(|node| read(node, report)).collect()
}

fn read(node: &Node, report: &mut Report) -> Option<Written> {
    let values = Values::of(node);
    let key = values.text("key", report);
    let value = values.text("value", report);
    let limits = limits(values, report);
    let share = values.flag("share_threshold", report);
    if share && !key.contains('*') && !value.contains('*') {
        let message = format!("'share_threshold' stands at {}, which has no '*'", shown(key, value));
        let at = values.at("share_threshold").unwrap_or(node.at);
        report.error(at, message, "remove it, or write a value with a '*'");
    }
    let written = Written {
        at: node.at,
        key: key.into(),
        value: value.into(),
        limits,
        shadow: values.flag("shadow_mode", report),
        quota: values.flag("quota_mode", report),
        share,
        metadata: metadata::read(values, report),
        metrics: METRICS.map(|name| values.flag(name, report).then(|| values.at(name).unwrap_or(node.at))),
        below: list(&values, report),
    };
    if key.is_empty() {
        report.error(node.at, "the descriptor has no key", "write 'key: NAME'");
        return None;
    }
    Some(written)
}

/// The limit of `rate_limit`, or the limits of `rate_limits`.
fn limits(values: Values<'_>, report: &mut Report) -> Vec<WrittenLimit> {
    let one = values.get("rate_limit").and_then(|node| limit::read(node, report));
    let several = values.mappings("rate_limits", report);
    if let (Some(at), true) = (values.at("rate_limits"), values.get("rate_limit").is_some()) {
        report.error(at, "'rate_limits' stands beside 'rate_limit'", "put all limits into 'rate_limits'");
    }
    if let (Some(at), true) = (values.at("rate_limits"), several.len() > MOST_LIMITS) {
        report.error(
            at,
            format!("the list holds {} limits", several.len()),
            format!("list {MOST_LIMITS} at most"),
        );
        return Vec::new();
    }
    let mut limits: Vec<WrittenLimit> = one.into_iter().collect();
    for node in several {
        let Some(limit) = limit::read(node, report) else { continue };
        if limits.iter().any(|earlier| earlier.window.identity() == limit.window.identity()) {
            report.error(node.at, "two limits of the list have the same window", "keep the smaller one");
        } else if limits.iter().chain([&limit]).any(|each| each.number == Number::Unlimited)
            && !limits.is_empty()
        {
            report.error(node.at, "an unlimited limit stands beside others", "remove it, or the others");
        }
        limits.push(limit);
    }
    limits
}

fn shown(key: &str, value: &str) -> String {
    if value.is_empty() { quoted(key) } else { format!("{} = {}", quoted(key), quoted(value)) }
}
