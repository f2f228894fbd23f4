//! As much of JSON Schema (2020-12) as our own schema uses; a keyword beyond
//! that is a fault in the schema.

use serde_json::Value;

/// The schema of our consent records.
pub(crate) fn ours() -> Value {
    serde_json::from_str(include_str!("../../../docs/consent-record.schema.json")).unwrap()
}

/// What is wrong with `value`, each with its place.
pub(crate) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

fn check(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let fits = match keyword.as_str() {
            "$schema" | "$id" | "title" | "description" => true,
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is_a(value, name)),
                name => is_a(value, name),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minLength" => length(value).is_none_or(|length| length >= rule.as_u64().unwrap()),
            "maxLength" => length(value).is_none_or(|length| length <= rule.as_u64().unwrap()),
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|key| value.get(key.as_str().unwrap()).is_some()),
            "minItems" => {
                value.as_array().is_none_or(|all| all.len() as u64 >= rule.as_u64().unwrap())
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, item, &format!("{at}/{index}"), found);
                }
                true
            }
            "properties" => {
                for (key, rule) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        check(rule, value, &format!("{at}/{key}"), found);
                    }
                }
                true
            }
            "additionalProperties" => match rule {
                Value::Bool(false) => value.as_object().is_none_or(|all| {
                    all.keys().all(|key| schema["properties"].get(key).is_some())
                }),
                rule => {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        if schema["properties"].get(key).is_none() {
                            check(rule, value, &format!("{at}/{key}"), found);
                        }
                    }
                    true
                }
            },
            unknown => panic!("the schema uses `{unknown}`, which is not checked here"),
        };
        if !fits {
            found.push(format!("{at}: {keyword} {rule}, but {value}"));
        }
    }
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type `{other}`"),
    }
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}
