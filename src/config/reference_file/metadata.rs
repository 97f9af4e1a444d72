//! The free mapping of a descriptor that answers carry in their dynamic metadata.

use std::collections::BTreeMap;

use super::value::Values;
use crate::config::diagnostic::Report;
use crate::config::yaml::{Kind, Node};
use crate::limits::Metadata;

type Fields = BTreeMap<Box<str>, Metadata>;

/// The metadata of a descriptor.
pub(super) fn read(values: Values<'_>, report: &mut Report) -> Fields {
    let Some(node) = values.get("metadata") else { return Fields::new() };
    if node.as_map().is_none() {
        let message = format!("'metadata' is {}", node.describe());
        report.error(node.at, message, "write a mapping of keys and values");
    }
    fields(node, top_key, report)
}

fn fields(node: &Node, name: fn(&Node) -> Option<Box<str>>, report: &mut Report) -> Fields {
    let mut fields = Fields::new();
    for (key, node) in node.as_map().unwrap_or_default() {
        match name(key) {
            Some(name) => {
                fields.insert(name, value(node, report));
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

fn value(node: &Node, report: &mut Report) -> Metadata {
    match &node.kind {
        Kind::Map(_) => Metadata::Map(fields(node, inner_key, report)),
        Kind::List(items) => Metadata::List(items.iter().map(|item| value(item, report)).collect()),
        Kind::Scalar { text, .. } => scalar(node, text),
    }
}

fn scalar(node: &Node, text: &str) -> Metadata {
    if node.is_null() {
        return Metadata::Null;
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers are doubles on the wire")]
    let integer = || node.as_integer().map(|number| number as f64);
    match (node.as_bool(), integer().or_else(|| node.as_float())) {
        (Some(truth), _) => Metadata::Bool(truth),
        (None, Some(number)) => Metadata::Number(number),
        (None, None) => Metadata::Text(text.into()),
    }
}
