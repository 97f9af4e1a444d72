//! The dynamic metadata of an answer: the request as it came, and what the passing limits say of themselves.

use std::collections::BTreeMap;

use crate::engine::request::{CheckRequest, Descriptor};
use crate::limits::Metadata;

use super::Settled;

type Fields = BTreeMap<Box<str>, Metadata>;

/// The metadata of an answer to `request`.
pub(super) fn of<'s>(request: &CheckRequest<'_>, passed: impl Iterator<Item = Settled<'s>>) -> Fields {
    let descriptors = request.descriptors.iter().map(descriptor).collect();
    let mut fields = Fields::from([
        ("domain".into(), text(request.domain)),
        ("descriptors".into(), Metadata::List(descriptors)),
    ]);
    if request.hits != 0 {
        fields.insert("hitsAddend".into(), Metadata::Number(f64::from(request.hits)));
    }
    let mut merged = Fields::new();
    for limit in passed.filter_map(|settled| settled.limit.configured()) {
        merge(&mut merged, &limit.metadata);
    }
    if !merged.is_empty() {
        fields.insert("metadata".into(), Metadata::Map(merged));
    }
    fields
}

fn descriptor(descriptor: &Descriptor<'_>) -> Metadata {
    let entry = |key: &[u8], value: &[u8]| text(&[key, b"=", value].concat());
    let entries = descriptor.entries.iter().map(|sent| entry(sent.key, sent.value)).collect();
    let mut fields = Fields::from([("entries".into(), Metadata::List(entries))]);
    if let Some(own) = &descriptor.number {
        let unit = own.unit.name();
        // In protobuf text a field that is 0 is not there.
        let shown = match own.requests_per_unit {
            0 => format!("unit:{unit}"),
            number => format!("requests_per_unit:{number} unit:{unit}"),
        };
        fields.insert("limit".into(), Metadata::Text(shown.into()));
    }
    #[expect(clippy::cast_precision_loss, reason = "hits are below 2^53, which a double holds")]
    if let Some(hits) = descriptor.hits {
        fields.insert("hitsAddend".into(), Metadata::Number(hits as f64));
    }
    Metadata::Map(fields)
}

/// Bytes that are not UTF-8 cannot stand in metadata; they are replaced, never an error.
fn text(bytes: &[u8]) -> Metadata {
    Metadata::Text(String::from_utf8_lossy(bytes).into())
}

/// Adds what is not there yet; mappings are merged into each other.
fn merge(into: &mut Fields, from: &Fields) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Metadata::Map(into)), Metadata::Map(from)) => merge(into, from),
            (Some(_), _) => {}
            (None, value) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}
