//! How a document looks, as a JSON schema (OpenAPI 3.1 takes JSON Schema
//! 2020-12 as it is).

use serde_json::{Map, Value, json};

/// An object with all of these and nothing else.
pub(super) fn object(fields: &[(&str, Value)]) -> Value {
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    json!({
        "type": "object",
        "properties": properties(fields),
        "required": names,
        "additionalProperties": false,
    })
}

/// An object that has to have some of these, and may have the others.
pub(super) fn form(required: &[(&str, Value)], optional: &[(&str, Value)]) -> Value {
    let names: Vec<_> = required.iter().map(|(name, _)| *name).collect();
    let mut all = properties(required);
    all.extend(properties(optional));
    json!({
        "type": "object",
        "properties": all,
        "required": names,
        "additionalProperties": false,
    })
}

fn properties(fields: &[(&str, Value)]) -> Map<String, Value> {
    fields.iter().map(|(name, shape)| ((*name).to_owned(), shape.clone())).collect()
}

/// Both objects' fields in one.
pub(super) fn and(mut object: Value, more: &Value) -> Value {
    for key in ["properties", "required"] {
        match (object.get_mut(key), more.get(key)) {
            (Some(Value::Object(all)), Some(Value::Object(more))) => all.extend(more.clone()),
            (Some(Value::Array(all)), Some(Value::Array(more))) => all.extend(more.clone()),
            _ => {}
        }
    }
    object
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

/// A text, and what is meant by it.
pub(super) fn said(meaning: &str) -> Value {
    json!({ "type": "string", "description": meaning })
}

/// One of these words.
pub(super) fn word(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// A day, such as 2026-03-31.
pub(super) fn day() -> Value {
    json!({ "type": "string", "format": "date" })
}

pub(super) fn number() -> Value {
    json!({ "type": "integer" })
}

pub(super) fn truth() -> Value {
    json!({ "type": "boolean" })
}

/// Anything at all.
pub(super) fn anything() -> Value {
    json!({})
}

pub(super) fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// The same, or null.
pub(super) fn maybe(mut shape: Value) -> Value {
    if let Some(kind) = shape.get_mut("type") {
        *kind = json!([kind.clone(), "null"]);
    }
    shape
}
