//! What `deploy/` holds must fit the program: nobody finds out at night that an
//! alert asks for a figure that there is not.

use crate::harness::{consentry, origin, visitor};
use crate::program::runs;
use crate::wire::Wire;

use consentry::config::{self, KeyMode, Overrides};
use consentry::observe::{
    AlertTold, ChoiceMade, ChoiceNotTaken, ConfigReloaded, ExchangeFailed, Fault, ListRefreshed,
    ListUsed, StateChecked,
};
use consentry::purpose::PurposeSet;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const DASHBOARD: &str = include_str!("../../deploy/grafana/dashboards/consentry.json");
const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yml");

/// What Prometheus adds to every figure, and what it makes of a histogram.
const ADDED_LABELS: [&str; 3] = ["instance", "job", "le"];

/// Every figure that a running proxy gives once everything has happened, with
/// its labels.
async fn figures() -> BTreeMap<String, BTreeSet<String>> {
    let origin =
        origin().page("/", "<script src=https://ads.acme.example/p.js></script>").start().await;
    let proxy = consentry(&origin).start().await;
    assert_eq!(visitor(&proxy).opens("/").await.status, 200);
    let observe = &proxy.running().observe;
    let (site, list) = ("shop", "easy");
    observe.emit(&ExchangeFailed { fault: Fault::Origin, reason: "x", detail: "", reference: "" });
    observe.emit(&ChoiceMade { site, granted: PurposeSet::EMPTY, gpc: false });
    observe.emit(&ChoiceNotTaken { site, status: 403 });
    observe.emit(&ConfigReloaded { cause: "file", failure: None });
    observe.emit(&ListRefreshed { list, rules: 1, changed: true });
    observe.emit(&ListUsed { list, has: true, checked_s: 1 });
    let state = "gpc";
    observe.emit(&StateChecked { site, state, ok: true, changed: true, findings: "" });
    let kind = "first_look";
    observe.emit(&AlertTold { kind, site, summary: "", is_over: false, logged: false });
    observe.metrics().certificates_expire(&[("a.pem".into(), 1)]);
    let text = Wire::to(proxy.admin).await.asks("GET", "/metrics", "").await.text().to_owned();
    let mut figures = BTreeMap::<String, BTreeSet<String>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = figures.entry(name.to_owned()).or_default();
        let inside = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        labels.extend(inside.into_iter().flat_map(selected));
    }
    figures
}

/// The labels in what stands between braces.
fn selected(inside: &str) -> Vec<String> {
    let ends = |part: &str| part.trim().split(['=', '!']).next().unwrap().to_owned();
    inside.split("\",").map(ends).collect()
}

/// What is wrong about an expression of Prometheus.
fn mistakes(expression: &str, figures: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        let (_, from) = rest.split_at(start);
        let (name, behind) = from.split_at(from.find(|c| !is_name(c)).unwrap_or(from.len()));
        rest = behind;
        if !name.starts_with("consentry_") && !name.starts_with("http_") {
            continue;
        }
        let Some(known) = figures.get(name) else {
            found.push(format!("/metrics has no `{name}`: {expression}"));
            continue;
        };
        if let Some(inside) = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()) {
            let strange = selected(inside)
                .into_iter()
                .filter(|label| !known.contains(label) && !ADDED_LABELS.contains(&label.as_str()));
            found.extend(strange.map(|label| format!("`{name}` has no label `{label}`")));
        }
    }
    let all: BTreeSet<&str> =
        figures.values().flatten().map(String::as_str).chain(ADDED_LABELS).collect();
    for by in expression.split("by (").skip(1) {
        let labels = by.split(')').next().unwrap().split(',').map(str::trim);
        let strange = labels.filter(|label| !all.contains(label));
        found.extend(strange.map(|label| format!("nothing has the label `{label}`: {expression}")));
    }
    found
}

/// Every string under `key`, however deep.
fn strings<'v>(value: &'v serde_json::Value, key: &str, found: &mut Vec<&'v str>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                if name == key {
                    found.extend(value.as_str());
                }
                strings(value, key, found);
            }
        }
        serde_json::Value::Array(members) => {
            members.iter().for_each(|member| strings(member, key, found));
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_the_dashboard_and_the_alerts_ask_for_figures_that_there_are() {
    let figures = figures().await;
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut asked = Vec::new();
    strings(&dashboard, "expr", &mut asked);
    strings(&dashboard, "definition", &mut asked);
    assert!(asked.len() > 30, "{}", asked.len());
    let alerts: Vec<_> = ALERTS.lines().filter(|line| line.contains("consentry_")).collect();
    assert!(alerts.len() > 15, "{}", alerts.len());
    asked.extend(alerts);
    let found: Vec<_> = asked.iter().flat_map(|text| mistakes(text, &figures)).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    for wrong in ["rate(consentry_exchange_total[5m])", "consentry_alerts_total{sort=\"x\"}"] {
        assert_eq!(mistakes(wrong, &figures).len(), 1, "{wrong}");
    }
    // A figure that nobody can see is as good as none.
    let shown = asked.concat();
    let unseen: Vec<_> = figures
        .keys()
        .filter(|name| !name.ends_with("_sum") && !name.ends_with("_count"))
        .filter(|name| !name.ends_with("_created") && !shown.contains(name.as_str()))
        .collect();
    assert!(unseen.is_empty(), "neither the dashboard nor an alert shows {unseen:?}");
}

#[test]
fn k4_the_configurations_to_deploy_are_right() {
    let map = include_str!("../../deploy/kubernetes/configmap.yaml");
    let (_, map) = map.split_once("consentry.toml: |\n").unwrap();
    let inside: Vec<_> =
        map.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    let compose = include_str!("../../deploy/compose/consentry.toml");
    for text in [compose, inside.join("\n").as_str()] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("consentry.toml");
        std::fs::write(&file, text).unwrap();
        let flags = Overrides::default();
        let loaded = config::load(Some(&file), std::iter::empty(), &flags, KeyMode::CheckOnly);
        assert!(loaded.is_ok(), "{:?}\n{text}", loaded.err());
    }
}

/// What systemd itself says about the unit, where it is here.
#[test]
fn k4_systemd_takes_the_unit_and_finds_it_well_locked_up() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        let required = std::env::var_os("CONSENTRY_REQUIRE").is_some_and(|what| what == "all");
        assert!(!required, "systemd-analyze is missing; apt-get install systemd");
        println!("skipped: systemd-analyze not found; apt-get install systemd");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd");
    for name in ["consentry.service", "consentry.socket"] {
        let unit = std::fs::read_to_string(folder.join(name)).unwrap();
        let unit = unit
            .replace("/usr/local/bin/consentry", env!("CARGO_BIN_EXE_consentry"))
            .replace("Documentation=man:consentry(1)\n", "");
        std::fs::write(directory.path().join(name), unit).unwrap();
    }
    let (service, socket) =
        (directory.path().join("consentry.service"), directory.path().join("consentry.socket"));
    let verified = Command::new("systemd-analyze").arg("verify").args([&service, &socket]).output();
    let said = String::from_utf8(verified.unwrap().stderr).unwrap();
    let about_us: Vec<_> = said.lines().filter(|line| line.contains("consentry.")).collect();
    assert!(about_us.is_empty(), "{about_us:#?}");
    let scored = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--threshold=15", "--no-pager"])
        .arg(&service)
        .output()
        .unwrap();
    let said = String::from_utf8(scored.stdout).unwrap();
    // Versions that score a file at all say so in their last line.
    if let Some(line) = said.lines().find(|line| line.contains("exposure level")) {
        assert!(scored.status.success(), "{line}");
    }
}

#[test]
fn k4_every_command_has_a_manual_page_and_is_completed() {
    let (code, help) = runs(&["--help"]);
    assert_eq!(code, 0);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands: Vec<_> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() > 12 && commands.contains(&"serve"), "{commands:?}");
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("man/man1");
    assert_eq!(runs(&["man", folder.to_str().unwrap()]), (0, String::new()));
    let page = |name: String| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(page("consentry.1".to_owned()).contains("consentry\\-serve(1)"));
    for command in &commands {
        let page = page(format!("consentry-{command}.1"));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{command}: {page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let (code, script) = runs(&["completions", shell]);
        let missing: Vec<_> = commands.iter().filter(|name| !script.contains(**name)).collect();
        assert!(code == 0 && missing.is_empty(), "{shell} completes no {missing:?}");
    }
    assert_eq!(runs(&["completions", "no-shell"]).0, 2);
    let taken = directory.path().join("file");
    std::fs::write(&taken, "").unwrap();
    assert_eq!(runs(&["man", taken.to_str().unwrap()]).0, 74);
}
