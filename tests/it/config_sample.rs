//! `config/consentry.toml` is the reference, so it must be whole and true.

mod reference;

use crate::tls::Authority;

use consentry::config::{self, KeyMode, Overrides};

use std::path::Path;
use toml::{Table, Value};

const SAMPLE: &str = include_str!("../../config/consentry.toml");

/// The sample, with its one site as a table, as `config::defaults` has it.
fn sample() -> Option<Table> {
    let mut sample: Table = SAMPLE.parse().ok()?;
    let site = sample.get("site")?.get(0)?.clone();
    sample.insert("site".to_owned(), site);
    Some(sample)
}

#[test]
fn the_sample_loads() {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config/consentry.toml"));
    let compiled =
        config::load(Some(file), std::iter::empty(), &Overrides::default(), KeyMode::CheckOnly);
    let compiled = compiled.unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
    assert_eq!(&*compiled.sites.find("www.shop.example").unwrap().name, "shop");
}

#[test]
fn every_key_stands_in_the_sample() {
    let sample = sample().unwrap();
    for (section, keys) in &config::defaults() {
        for key in keys.as_table().unwrap().keys() {
            let found = sample.get(section).and_then(|keys| keys.get(key));
            assert!(
                found.is_some(),
                "config/consentry.toml does not mention `{key}` of [{section}]"
            );
        }
    }
}

#[test]
fn the_sample_shows_the_defaults() {
    const EXAMPLES: [&str; 3] = ["name", "hosts", "origin"];
    let defaults = config::defaults();
    for (section, keys) in &sample().unwrap() {
        for (key, shown) in keys.as_table().unwrap() {
            if section == "site" && EXAMPLES.contains(&key.as_str()) {
                continue;
            }
            let is = &defaults[section][key];
            assert!(
                same(shown, is),
                "[{section}] {key} is {shown} in the sample, and {is} by default"
            );
        }
    }
}

/// People write `10` where the default is `10.0`.
fn same(shown: &Value, is: &Value) -> bool {
    match (shown, is) {
        (Value::Integer(shown), Value::Float(is)) => *shown as f64 == *is,
        (shown, is) => shown == is,
    }
}

#[test]
fn every_key_is_explained_in_the_sample() {
    let lines: Vec<&str> = SAMPLE.lines().collect();
    for pair in lines.windows(2) {
        if pair[1].contains(" = ") && !pair[1].starts_with('#') {
            assert!(pair[0].starts_with("# "), "`{}` stands in the sample without a word", pair[1]);
        }
    }
}

/// The sample with everything in use that is commented out in it.
fn sample_in_full() -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|first: char| !matches!(first, ' ' | ':')) => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    SAMPLE.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_commented_out_in_the_sample_is_whole_and_loads() {
    let text = sample_in_full();
    let table: Table = text.parse().unwrap();
    let shown = |name: &str| match name {
        "route" => table["site"][0]["route"][0].as_table().unwrap().clone(),
        "source" => table["lists"]["source"][0].as_table().unwrap().clone(),
        "certificate" => table["listener"][name][0].as_table().unwrap().clone(),
        "health" => table["site"][0]["health"].as_table().unwrap().clone(),
        "user" | "token" => table["admin"][name][0].as_table().unwrap().clone(),
        name => table[name][0].as_table().unwrap().clone(),
    };
    for (name, keys) in &config::list_defaults() {
        let keys: Vec<_> = keys.as_table().unwrap().keys().collect();
        assert_eq!(keys, shown(name).keys().collect::<Vec<_>>(), "{name}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("consentry.toml");
    let authority = Authority::signing("other.example");
    let own = |name: &str| authority.file(name).display().to_string();
    let text = text
        .replace("/etc/consentry/other.example.pem", &own("cert.pem"))
        .replace("/etc/consentry/other.example.key", &own("key.pem"));
    std::fs::write(&file, text).unwrap();
    let compiled =
        config::load(Some(&file), std::iter::empty(), &Overrides::default(), KeyMode::CheckOnly);
    let compiled = compiled.unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
    assert_eq!(compiled.proxy.tls.len(), 1);
    let site = compiled.sites.find("shop.example").unwrap();
    assert_eq!((site.routes.len(), site.policy.exceptions().len()), (1, 1));
}
