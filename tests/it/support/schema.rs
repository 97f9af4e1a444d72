//! A checker of JSON against the few words of JSON Schema that the description of the admin listener uses.

use serde_json::Value;

/// What is wrong with `value` by `schema`, whose references lead into `document`. A word that this does not know panics, so
/// that no schema says more than is checked.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(document, schema, value, "", &mut found);
    found
}

/// What `reference` leads to, or itself where it is none.
pub(crate) fn resolved<'d>(document: &'d Value, reference: &'d Value) -> &'d Value {
    match reference.get("$ref").and_then(Value::as_str) {
        Some(path) => {
            let path = path.strip_prefix('#').expect("a reference within the document");
            document.pointer(path).unwrap_or_else(|| panic!("nothing is at {path}"))
        }
        None => reference,
    }
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = resolved(document, schema).as_object().expect("a schema is an object");
    for (word, said) in schema {
        match word.as_str() {
            "description" | "format" => {}
            "type" if is_of(said, value) => {}
            "enum" if said.as_array().expect("a list").contains(value) => {}
            "pattern" => digits(said, value, at, found),
            "required" => {
                for name in said.as_array().expect("a list").iter().filter_map(Value::as_str) {
                    if value.get(name).is_none() {
                        found.push(format!("{at}: has no {name}"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in said.as_object().expect("an object") {
                    if let Some(value) = value.get(name) {
                        check(document, schema, value, &format!("{at}/{name}"), found);
                    }
                }
            }
            "additionalProperties" => more(document, schema, said, value, at, found),
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, said, value, &format!("{at}/{index}"), found);
                }
            }
            "minItems" | "minLength" | "minProperties" if has_as_many(said, value) => {}
            "type" | "enum" | "minItems" | "minLength" | "minProperties" => {
                found.push(format!("{at}: {value} is not {said}"))
            }
            other => panic!("{at}: the word {other} is not checked"),
        }
    }
}

/// Properties that are not named.
fn more(
    document: &Value,
    schema: &serde_json::Map<String, Value>,
    said: &Value,
    value: &Value,
    at: &str,
    found: &mut Vec<String>,
) {
    let named = |name: &str| schema.get("properties").is_some_and(|named| named.get(name).is_some());
    for (name, value) in value.as_object().into_iter().flatten().filter(|(name, _)| !named(name)) {
        match said {
            Value::Bool(true) => {}
            Value::Bool(false) => found.push(format!("{at}: {name} is not documented")),
            schema => check(document, schema, value, &format!("{at}/{name}"), found),
        }
    }
}

/// The patterns that there are: digits, with or without a sign.
fn digits(pattern: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let text = value.as_str().unwrap_or_default();
    let text = match pattern.as_str().expect("a pattern") {
        "^-?[0-9]+$" => text.strip_prefix('-').unwrap_or(text),
        "^[0-9]+$" => text,
        other => panic!("{at}: the pattern {other} is not checked"),
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        found.push(format!("{at}: {value} is not {pattern}"));
    }
}

/// Whether `value` has at least so many parts, if it has any.
fn has_as_many(said: &Value, value: &Value) -> bool {
    let parts = match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::String(text) => text.chars().count(),
        _ => return true,
    };
    Some(parts as u64) >= said.as_u64()
}

fn is_of(said: &Value, value: &Value) -> bool {
    match said {
        Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
        kind => match kind.as_str().expect("a type") {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("the type {other} is not checked"),
        },
    }
}

#[test]
fn it_finds_what_is_wrong() {
    use serde_json::json;
    let document = json!({"s": {"type": "string", "enum": ["a"]}});
    let schema = json!({
        "type": "object",
        "properties": {"a": {"$ref": "#/s"}, "n": {"type": ["integer", "null"]}, "d": {"pattern": "^[0-9]+$"},
            "l": {"type": "array", "minItems": 1, "items": {"type": "number"}}},
        "required": ["a"],
        "additionalProperties": {"type": "boolean"},
    });
    let fine = json!({"a": "a", "n": null, "d": "12", "l": [1, 2.5], "x": true});
    assert_eq!(faults(&document, &schema, &fine), Vec::<String>::new());
    for (wrong, count) in [
        (json!({}), 1),
        (json!([]), 2),
        (json!({"a": "b"}), 1),
        (json!({"a": 1}), 2),
        (json!({"a": "a", "l": []}), 1),
        (json!({"a": "a", "n": 1.5, "d": "1x"}), 2),
        (json!({"a": "a", "l": [1, "2"], "x": 1}), 2),
    ] {
        assert_eq!(faults(&document, &schema, &wrong).len(), count, "{wrong}");
    }
}
