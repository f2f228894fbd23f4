//! The JSON Schema of the operator's file, so that an editor completes keys,
//! explains them and marks mistakes while somebody writes.
//!
//! Keys and kinds of values come from the types that read the file, words from
//! the sample that explains it. Nothing else knows them.

use crate::config::file::{File, defaults, list_defaults};
use crate::config::shape::Shape;

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The sample, with every key there is and what is to be said of it.
const SAMPLE: &str = include_str!("../../config/consentry.toml");

/// What a text may be that is checked after it was read: where, which words,
/// and whether it may be left empty.
const WORDS: [(&str, &[&str]); 12] = [
    ("access_log.address", &["none", "truncated"]),
    ("admin.token.role", &["officer", "operator"]),
    ("admin.user.role", &["officer", "operator"]),
    ("exception.verdict", &["allow", "block"]),
    ("lists.purpose", &["functional", "analytics", "personalization", "marketing"]),
    ("notice.position", &["bottom", "top", "corner"]),
    ("site.google_consent", &["auto", "always", "off"]),
    ("site.notice.position", &["bottom", "top", "corner"]),
    ("site.origin_http2", &["auto", "always", "never"]),
    ("site.other_cmp", &["auto", "ignore"]),
    ("site.route.mode", &["", "enforce", "observe", "safe"]),
    ("site.route.unlisted", &["", "allow", "observe", "block"]),
];

/// The schema, in the dialect 2020-12.
#[must_use]
pub fn schema() -> Value {
    let said = said(SAMPLE);
    let mut schema = object(&Shape::of::<File>(), "", &said);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        schema.insert("title".into(), "consentry.toml".into());
        let about = "The configuration of consentry, as `consentry config schema` prints it.";
        schema.insert("description".into(), about.into());
    }
    schema
}

/// The same, as it is printed.
#[must_use]
pub fn schema_text() -> String {
    format!("{:#}", schema())
}

/// The schema of what has that shape at that path.
fn of(shape: &Shape, path: &str, said: &BTreeMap<String, String>) -> Value {
    match shape {
        // The only ones that take anything are days.
        Shape::Anything => json!({ "type": "string", "format": "date" }),
        Shape::Text => match WORDS.iter().find(|(known, _)| *known == path) {
            Some((_, words)) => json!({ "type": "string", "enum": words }),
            None => json!({ "type": "string" }),
        },
        Shape::Truth => json!({ "type": "boolean" }),
        // What is larger than TOML can say is no limit.
        Shape::Whole(most) if i64::try_from(*most).is_err() => {
            json!({ "type": "integer", "minimum": 0 })
        }
        Shape::Whole(most) => json!({ "type": "integer", "minimum": 0, "maximum": most }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::List(member) => json!({ "type": "array", "items": of(member, path, said) }),
        Shape::Named(member) => {
            json!({ "type": "object", "additionalProperties": of(member, path, said) })
        }
        Shape::Table(_) => object(shape, path, said),
    }
}

fn object(shape: &Shape, path: &str, said: &BTreeMap<String, String>) -> Value {
    let mut properties = Map::new();
    for (key, shape) in shape.keys() {
        let path = if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") };
        let mut property = of(shape, &path, said);
        if let Some(property) = property.as_object_mut() {
            // What stands in [notice] is not said twice.
            let explained = said.get(&path).or_else(|| said.get(path.strip_prefix("site.")?));
            if let Some(words) = explained {
                property.insert("description".into(), words.as_str().into());
            }
            if let Some(default) = default_of(&path) {
                property.insert("default".into(), default);
            }
        }
        properties.insert((*key).to_owned(), property);
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// What holds where nobody writes the key.
fn default_of(path: &str) -> Option<Value> {
    let (table, key) = path.rsplit_once('.')?;
    let value = match table.rsplit_once('.') {
        None => defaults().get(table).or(list_defaults().get(table))?.get(key).cloned(),
        // Left out there, it is as for all sites.
        Some((_, "notice")) => None,
        Some((_, list)) => list_defaults().get(list)?.get(key).cloned(),
    };
    // Of an empty text nothing is to be learned.
    let value = value.filter(|value| value.as_str() != Some(""))?;
    serde_json::to_value(value).ok()
}

/// What the sample says of sections (`site.route`) and keys (`site.route.path`).
fn said(sample: &str) -> BTreeMap<String, String> {
    let (mut said, mut section, mut words) = (BTreeMap::new(), String::new(), Vec::new());
    for line in sample.lines() {
        if let Some(comment) = line.strip_prefix("# ").or((line == "#").then_some("")) {
            words.push(comment);
            continue;
        }
        let written = line.strip_prefix('#').unwrap_or(line);
        let header = written.trim_start_matches('[').split_once(']').map(|(name, _)| name);
        let name = match header.filter(|_| written.starts_with('[')) {
            Some(name) => {
                name.clone_into(&mut section);
                if let Some((parent, _)) = name.rsplit_once('.') {
                    // Names of the operator's own are explained where one begins.
                    said.entry(parent.to_owned()).or_insert_with(|| words.join(" "));
                }
                Some(section.clone())
            }
            None => written.split_once(" = ").map(|(key, _)| format!("{section}.{key}")),
        };
        if let Some(name) = name.filter(|_| !words.is_empty()) {
            said.insert(name, words.join(" ").trim().to_owned());
        }
        words.clear();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeyMode, Overrides, load};

    /// What is wrong when a key of that path is `word`, as far as it is about
    /// that key.
    fn mistakes(path: &str, word: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        let (section, key) = path.rsplit_once('.').unwrap();
        let header = match section {
            "exception" | "admin.user" | "admin.token" | "site.route" => format!("[[{section}]]"),
            // It is there already.
            "site" => String::new(),
            _ => format!("[{section}]"),
        };
        let text = format!("[[site]]\norigin = 'http://127.0.0.1:1'\n{header}\n{key} = '{word}'\n");
        std::fs::write(&file, text).unwrap();
        let flags = Overrides::default();
        let loaded = load(Some(&file), std::iter::empty(), &flags, KeyMode::CheckOnly);
        let found = loaded.err().unwrap_or_default();
        let here = found.iter().filter(|mistake| mistake.line == 4);
        here.map(ToString::to_string).collect()
    }

    #[test]
    fn h9_the_words_of_a_key_are_those_that_are_taken() {
        for (path, words) in WORDS {
            for word in words {
                assert!(
                    mistakes(path, word).is_empty(),
                    "{path} {word}: {:?}",
                    mistakes(path, word)
                );
            }
            assert!(!mistakes(path, "no-such-word").is_empty(), "{path}");
        }
    }

    #[test]
    fn h9_every_key_of_the_schema_is_explained() {
        fn each(schema: &Value, path: &str, bare: &mut Vec<String>) {
            let inner = schema.get("items").unwrap_or(schema);
            for (key, property) in inner["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{key}");
                if property.get("description").is_none() {
                    bare.push(path.clone());
                }
                each(property, &path, bare);
            }
        }
        let mut bare = Vec::new();
        each(&schema(), "", &mut bare);
        assert!(bare.is_empty(), "{bare:?}");
    }
}
