//! The keys of a file, at any depth: each is one that the reference knows, or an error.
//!
//! The reference takes every key that it knows anywhere, and ignores it where it means nothing: a warning. Below
//! `metadata` everything goes. Values are looked at only for what is an error under any key.

use super::value::{is_reported, quoted};
use crate::config::diagnostic::{Position, Report, suggestion};
use crate::config::tollgate_file;
use crate::config::yaml::{Kind, Node};

/// What a mapping of the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    Descriptor,
    RateLimit,
    Replaces,
    /// Below a key that has no effect where it stands.
    Nowhere,
}

/// What the reference knows.
const KNOWN: [&str; 16] = [
    "domain",
    "key",
    "value",
    "descriptors",
    "rate_limit",
    "unit",
    "requests_per_unit",
    "unlimited",
    "shadow_mode",
    "quota_mode",
    "name",
    "replaces",
    "detailed_metric",
    "value_to_metric",
    "share_threshold",
    "metadata",
];

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Root => "at the top of the file",
            Self::Descriptor => "in a descriptor",
            Self::RateLimit => "in 'rate_limit'",
            Self::Replaces => "in 'replaces'",
            Self::Nowhere => "here",
        }
    }

    /// The keys that mean something here.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Root => &["domain", "descriptors", "atomic"],
            Self::Descriptor => &[
                "key",
                "value",
                "rate_limit",
                "rate_limits",
                "descriptors",
                "shadow_mode",
                "quota_mode",
                "detailed_metric",
                "value_to_metric",
                "share_threshold",
                "metadata",
            ],
            Self::RateLimit => &[
                "unit",
                "requests_per_unit",
                "unlimited",
                "name",
                "replaces",
                "algorithm",
                "unit_multiplier",
            ],
            Self::Replaces => &["name"],
            Self::Nowhere => &[],
        }
    }

    /// What the mappings below `key` are.
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Root | Self::Descriptor, "descriptors") => Self::Descriptor,
            (Self::Descriptor, "rate_limit" | "rate_limits") => Self::RateLimit,
            (Self::RateLimit, "replaces") => Self::Replaces,
            _ => Self::Nowhere,
        }
    }
}

/// Reports what is wrong with the keys of `node` and of everything below it.
pub(super) fn check(node: &Node, place: Place, report: &mut Report) {
    for (key, value) in node.as_map().unwrap_or_default() {
        let Some(name) = key.literal().filter(|_| is_text(key)) else {
            let message = format!("a key is {}", key.describe());
            report.error(key.at, message, "write a plain word as the key");
            continue;
        };
        if !check_key(name, key.at, place, report) || name == "metadata" {
            continue;
        }
        check_value(name, value, place.below(name), report);
    }
}

/// Whether the key is known; a known one that means nothing where it stands is a warning.
fn check_key(name: &str, at: Position, place: Place, report: &mut Report) -> bool {
    if place.keys().contains(&name) {
        return true;
    }
    if !KNOWN.contains(&name) {
        let suggested = || suggestion(name, known_at(place).iter().copied());
        let fix = tollgate_file::home_of(name).filter(|_| place == Place::Root).unwrap_or_else(suggested);
        report.error(at, format!("unknown key {} {}", quoted(name), place.name()), fix);
        return false;
    }
    if place != Place::Nowhere {
        report.warning(at, format!("'{name}' has no effect {}", place.name()), home_of(name));
    }
    true
}

fn known_at(place: Place) -> &'static [&'static str] {
    if place == Place::Nowhere { &KNOWN } else { place.keys() }
}

/// Where a misplaced key belongs.
fn home_of(name: &str) -> &'static str {
    match name {
        "domain" => "move it to the top of the file",
        "unit" | "requests_per_unit" | "unlimited" | "name" | "replaces" => "move it into 'rate_limit'",
        _ => "move it to the descriptor, beside 'key'",
    }
}

fn check_value(name: &str, value: &Node, below: Place, report: &mut Report) {
    match &value.kind {
        Kind::Map(_) => check(value, below, report),
        Kind::List(items) => {
            for item in items {
                if item.as_map().is_none() {
                    let message = format!("an item of '{name}' is {}", item.describe());
                    report.error(item.at, message, "write a mapping of keys and values");
                }
                check(item, below, report);
            }
        }
        Kind::Scalar { .. } if is_reported(value) => {
            let message = format!("'{name}' is {}", value.describe());
            report.error(value.at, message, fix_of_number(name));
        }
        Kind::Scalar { .. } => {}
    }
}

fn fix_of_number(name: &str) -> &'static str {
    match name {
        "requests_per_unit" => "write a whole number from 0 to 4294967295",
        "unit_multiplier" => "write a whole number from 1",
        _ => "put it in quotes if it is a text",
    }
}

/// Whether a key is a text by YAML, and no number, truth value or null.
fn is_text(key: &Node) -> bool {
    !key.is_null() && key.as_bool().is_none() && key.as_integer().is_none() && !key.is_float()
}
