//! Which field of a message makes no sense, where its JSON does not: whoever reads it says what is wrong, and not where.
//!
//! A field has two names, as in `dry_run` and `dryRun`. By both at once it stands twice: one of them would not count.

use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

/// Reads `fields` as a `shape`; or which of them is wrong, and what it has to be.
pub(super) fn read(shape: &MessageDescriptor, fields: Map<String, Value>) -> Result<DynamicMessage, String> {
    if let Some(name) = twice(shape, &fields) {
        return Err(format!("{name}: stands twice in one object, by both its names"));
    }
    let found = try_read(shape, fields.clone());
    found.map_err(|error| blamed(shape, &fields).unwrap_or(error))
}

/// A field that stands in `fields`, or in a message in them, by both its names. The keys of a map are no names.
fn twice(shape: &MessageDescriptor, fields: &Map<String, Value>) -> Option<String> {
    let within = |field: &FieldDescriptor, value: &Value| match (field.kind(), value) {
        _ if field.is_map() => None,
        (Kind::Message(shape), Value::Object(fields)) => twice(&shape, fields),
        (Kind::Message(shape), Value::Array(items)) => {
            items.iter().filter_map(Value::as_object).find_map(|fields| twice(&shape, fields))
        }
        _ => None,
    };
    shape.fields().find_map(|field| match (fields.get(field.name()), fields.get(field.json_name())) {
        (Some(_), Some(_)) if field.name() != field.json_name() => Some(field.json_name().to_owned()),
        (Some(value), _) | (None, Some(value)) => within(&field, value),
        (None, None) => None,
    })
}

fn try_read(shape: &MessageDescriptor, fields: Map<String, Value>) -> Result<DynamicMessage, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(shape.clone(), Value::Object(fields), &options)
        .map_err(|error| error.to_string())
}

/// The first field that is wrong by itself.
fn blamed(shape: &MessageDescriptor, fields: &Map<String, Value>) -> Option<String> {
    let alone = |name: &str, value: &Value| Map::from_iter([(name.to_owned(), value.clone())]);
    fields.iter().find_map(|(name, value)| {
        let error = try_read(shape, alone(name, value)).err()?;
        let field = shape.get_field_by_json_name(name).or_else(|| shape.get_field_by_name(name));
        let Some(field) = field else { return Some(format!("{name}: is not read here")) };
        let Value::Array(items) = value else {
            return Some(format!("{name}{}", within(&field, value, &error)));
        };
        let one = |(at, item): (usize, &Value)| {
            let error = try_read(shape, alone(name, &Value::from(vec![item.clone()]))).err()?;
            Some(format!("{name}[{at}]{}", within(&field, item, &error)))
        };
        items.iter().enumerate().find_map(one).or(Some(format!("{name}: {error}")))
    })
}

/// What is wrong with one value of `field`, or within it.
fn within(field: &FieldDescriptor, value: &Value, error: &str) -> String {
    let what = match (field.kind(), value) {
        _ if field.is_map() => "must be an object of texts",
        _ if field.is_list() && !value.is_object() && matches!(field.kind(), Kind::Message(_)) => {
            "must be a list of objects"
        }
        (Kind::Message(shape), _) if shape.full_name() == "google.protobuf.Timestamp" => {
            "must be a time such as 2026-12-01T00:00:00Z"
        }
        (Kind::Message(shape), Value::Object(fields)) => {
            return blamed(&shape, fields).map_or(format!(": {error}"), |inner| format!(".{inner}"));
        }
        (Kind::Uint32 | Kind::Fixed32, _) => "must be a whole number from 0 to 4294967295",
        (Kind::Uint64 | Kind::Fixed64, _) => "must be a whole number from 0",
        (Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64, _) => "must be a whole number",
        (Kind::Bool, _) => "must be true or false",
        (Kind::String, _) => "must be a text",
        _ => error,
    };
    format!(": {what}")
}
