//! The JSON Schema that editors are given says what the program takes: no key
//! more, none less.

use consentry::config::{self, KeyMode, Overrides};

use crate::program::runs;

use serde_json::Value;
use std::path::{Path, PathBuf};

const FILE: &str = "config/consentry.schema.json";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// What is wrong with a value by a schema, as far as ours goes: it uses no
/// other words of the specification, which is checked, too.
fn wrong(value: &Value, schema: &Value, path: &str) -> Vec<String> {
    const KNOWN: [&str; 12] = [
        "$schema",
        "title",
        "description",
        "default",
        "format",
        "type",
        "enum",
        "minimum",
        "maximum",
        "items",
        "properties",
        "additionalProperties",
    ];
    let words = schema.as_object().unwrap();
    let mut found: Vec<String> = words
        .keys()
        .filter(|word| !KNOWN.contains(&word.as_str()))
        .map(|word| format!("{path}: the schema says `{word}`, which is not checked here"))
        .collect();
    let fits = match schema["type"].as_str().unwrap() {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    };
    if !fits {
        found.push(format!("{path}: {value} is no {}", schema["type"]));
        return found;
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{path}: {value} is none of {}", schema["enum"]));
    }
    let limit = |word: &str| schema[word].as_f64();
    let is_less = |number: f64| limit("minimum").is_some_and(|least| number < least);
    let is_more = |number: f64| limit("maximum").is_some_and(|most| number > most);
    if value.as_f64().is_some_and(|number| is_less(number) || is_more(number)) {
        found.push(format!("{path}: {value} is out of range"));
    }
    for member in value.as_array().into_iter().flatten() {
        found.extend(wrong(member, &schema["items"], path));
    }
    for (key, member) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(schema), _) => found.extend(wrong(member, schema, &path)),
            (None, Value::Bool(false)) => found.push(format!("{path}: no such key")),
            (None, schema) => found.extend(wrong(member, schema, &path)),
        }
    }
    found
}

/// TOML as an editor's checker sees it: a day is a text.
fn as_json(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(day) => Value::String(day.to_string()),
        toml::Value::Array(members) => members.into_iter().map(as_json).collect(),
        toml::Value::Table(keys) => {
            keys.into_iter().map(|(key, value)| (key, as_json(value))).collect()
        }
        other => serde_json::to_value(other).unwrap(),
    }
}

fn wrong_in(text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().unwrap();
    wrong(&as_json(table.into()), &config::schema(), "")
}

#[test]
fn h9_the_schema_in_the_repository_is_what_the_program_prints() {
    let (code, printed) = runs(&["config", "schema"]);
    assert_eq!(code, 0);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(root().join(FILE), &printed).unwrap();
    }
    let kept = std::fs::read_to_string(root().join(FILE)).unwrap_or_default();
    assert!(
        kept == printed,
        "{FILE} is out of date; `UPDATE=1 cargo test --test it config_schema` makes it anew"
    );
    assert_eq!(config::schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let first = text("config/consentry.toml").lines().next().unwrap().to_owned();
    assert_eq!(first, "#:schema ./consentry.schema.json", "editors look for it there");
}

/// The blocks of TOML in a page of Markdown that are parts of our file.
fn blocks(page: &str) -> Vec<String> {
    let parts = page.split("```toml\n").skip(1);
    parts.filter_map(|rest| rest.split_once("```").map(|(block, _)| block.to_owned())).collect()
}

#[test]
fn h9_every_configuration_that_we_show_fits_the_schema() {
    let sample = text("config/consentry.toml");
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|first: char| !matches!(first, ' ' | ':')) => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    let in_full = sample.lines().map(uncomment).collect::<Vec<_>>().join("\n");
    let mut all =
        vec![("the sample".to_owned(), sample), ("the sample in full".to_owned(), in_full)];
    let pages = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let is_ours = |block: &String| {
        let table: Result<toml::Table, _> = block.parse();
        // Catalogue files and texts are shown in this form, too.
        table.is_ok_and(|table| !table.contains_key("vendor") && !table.contains_key("lang"))
    };
    for page in pages.chain([root().join("README.md")]) {
        let text = std::fs::read_to_string(&page).unwrap();
        let shown = page.display().to_string();
        all.extend(blocks(&text).into_iter().filter(is_ours).map(|block| (shown.clone(), block)));
    }
    for folder in ["deploy", "examples"] {
        let files = files(&root().join(folder));
        all.extend(
            files
                .into_iter()
                .filter(|file| file.ends_with("consentry.toml"))
                .map(|file| (file.display().to_string(), std::fs::read_to_string(&file).unwrap())),
        );
    }
    for (name, text) in all {
        assert_eq!(wrong_in(&text), [""; 0], "{name}:\n{text}");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn h9_what_the_program_refuses_the_schema_refuses() {
    for text in [
        "[listner]\naddress = 'x'",
        "[listener]\nadress = 'x'",
        "[listener]\naddress = 1",
        "[limits]\nconnections = 'many'",
        "[limits]\nconnections = -1",
        "[lists]\nfiles = 'x'",
        "[lists]\nfiles = [1]",
        "[[site]]\nmode = 'off'",
        "[[site]]\norigin = 'http://a:1'\nenforce_share = 300",
        "[[site.route]]\npath = '/'\nmode = 'off'",
        "[site]\norigin = 'http://a:1'",
    ] {
        assert_ne!(wrong_in(text), [""; 0], "{text}");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("consentry.toml");
        std::fs::write(&file, text).unwrap();
        let flags = Overrides::default();
        let loaded = config::load(Some(&file), std::iter::empty(), &flags, KeyMode::CheckOnly);
        assert!(loaded.is_err(), "{text}");
    }
}

/// A value that fits a schema, as it is written in TOML.
fn written(schema: &Value) -> String {
    match (schema["type"].as_str().unwrap(), &schema["enum"]) {
        ("string", Value::Array(words)) => words.last().unwrap().to_string(),
        ("string", _) if schema["format"] == "date" => "2099-12-31".to_owned(),
        ("string", _) => "'x'".to_owned(),
        ("boolean", _) => "true".to_owned(),
        ("integer" | "number", _) => "1".to_owned(),
        ("array", _) => format!("[{}]", written(&schema["items"])),
        ("object", _) => "{}".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Every section of a schema: how its header is written, and its keys.
fn sections(schema: &Value, path: &str, header: &str, all: &mut Vec<(String, Value)>) {
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let (inner, brackets) = match schema["type"].as_str() {
            Some("array") => (&schema["items"], ("[[", "]]")),
            _ => (schema, ("[", "]")),
        };
        if inner["properties"].is_object() {
            let header = format!("{header}{}{path}{}\n", brackets.0, brackets.1);
            all.push((header.clone(), inner["properties"].clone()));
            sections(inner, &path, &header, all);
        }
    }
}

#[test]
fn h9_every_key_of_the_schema_is_one_that_the_program_knows() {
    let mut all = Vec::new();
    sections(&config::schema(), "", "", &mut all);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("consentry.toml");
    let mut keys = 0;
    for (header, properties) in all {
        for (key, schema) in properties.as_object().unwrap() {
            let text = format!("{header}{key} = {}\n", written(schema));
            std::fs::write(&file, &text).unwrap();
            let found = config::effective(Some(&file), std::iter::empty(), &Overrides::default());
            assert!(found.is_ok(), "{text}{found:?}");
            let said = config::understood(&text);
            assert!(said.is_ok(), "{text}{}", said.unwrap_err());
            keys += 1;
        }
        assert!(config::understood(&format!("{header}no_such_key = 1\n")).is_err(), "{header}");
    }
    assert!(keys > 180, "{keys}");
}
