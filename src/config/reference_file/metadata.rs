//! The free mapping of a descriptor that answers carry in their dynamic metadata.

use std::collections::BTreeMap;

use super::value::Values;
use crate::config::diagnostic::Report;
use crate::config::yaml::{Kind, Node};
use crate::limits::Metadata;

type Fields = BTreeMap<Box<str>, Metadata>;

/// How many mappings and lists may stand inside each other. On the wire each takes up to three messages, and callers
/// decode no more than 100 inside each other.
const DEEPEST: usize = 16;

/// The metadata of a descriptor.
pub(super) fn read(values: Values<'_>, report: &mut Report) -> Fields {
    let Some(node) = values.get("metadata") else { return Fields::new() };
    if node.as_map().is_none() {
        let message = format!("'metadata' is {}", node.describe());
        report.error(node.at, message, "write a mapping of keys and values");
    }
    fields(node, 1, top_key, report)
}

/// The fields of a mapping inside of `depth` mappings and lists, itself counted.
fn fields(node: &Node, depth: usize, name: fn(&Node) -> Option<Box<str>>, report: &mut Report) -> Fields {
    let mut fields = Fields::new();
    for (key, node) in node.as_map().unwrap_or_default() {
        match name(key) {
            Some(name) => {
                fields.insert(name, value(node, depth, report));
            }
            None => {
                let message = format!("a key of 'metadata' is {}", key.describe());
                report.error(key.at, message, "write a plain word as the key");
            }
        }
    }
    fields
}

/// A key right below `metadata` is the text it was written as.
fn top_key(key: &Node) -> Option<Box<str>> {
    if key.is_null() { Some("".into()) } else { key.literal().map(Into::into) }
}

/// A key further down is what the scalar stands for.
fn inner_key(key: &Node) -> Option<Box<str>> {
    if key.is_null() {
        return Some("<nil>".into());
    }
    let of_truth = key.as_bool().map(|truth| truth.to_string());
    let of_integer = || key.as_integer().map(|number| number.to_string());
    let of_fraction = || key.as_float().map(|number| number.to_string());
    match of_truth.or_else(of_integer).or_else(of_fraction) {
        Some(text) => Some(text.into()),
        None => key.literal().map(Into::into),
    }
}

/// A value inside of `depth` mappings and lists.
fn value(node: &Node, depth: usize, report: &mut Report) -> Metadata {
    match &node.kind {
        Kind::Scalar { text, .. } => scalar(node, text, report),
        _ if depth >= DEEPEST => {
            let message = format!("more than {DEEPEST} levels of 'metadata' stand inside each other");
            report.error(node.at, message, "nest less: callers could not read the answer");
            Metadata::Null
        }
        Kind::Map(_) => Metadata::Map(fields(node, depth + 1, inner_key, report)),
        Kind::List(items) => {
            Metadata::List(items.iter().map(|item| value(item, depth + 1, report)).collect())
        }
    }
}

fn scalar(node: &Node, text: &str, report: &mut Report) -> Metadata {
    if node.is_null() {
        return Metadata::Null;
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers are doubles on the wire")]
    let integer = || node.as_integer().map(|number| number as f64);
    match (node.as_bool(), integer().or_else(|| node.as_float())) {
        (Some(truth), _) => Metadata::Bool(truth),
        (None, Some(number)) => {
            if !number.is_finite() {
                let message = format!("a number of 'metadata' is {}", node.describe());
                report.error(node.at, message, "write a finite number, or put it in quotes if it is a text");
            }
            Metadata::Number(number)
        }
        (None, None) => Metadata::Text(text.into()),
    }
}
