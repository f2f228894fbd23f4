//! What the README and the guides say of the program must be so.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const COMMANDS: [&str; 17] = [
    "audit",
    "record",
    "replay",
    "serve",
    "demo",
    "log",
    "report",
    "proof",
    "verify",
    "checkpoint",
    "explain",
    "export",
    "lists",
    "check",
    "dashboard",
    "hash-password",
    "health",
];
const README: &str = include_str!("../../README.md");
const OPERATING: &str = include_str!("../../docs/operating.md");

/// Pages with commands in them.
const GUIDES: [&str; 8] = [
    README,
    OPERATING,
    include_str!("../../docs/deploy.md"),
    include_str!("../../docs/privacy.md"),
    include_str!("../../docs/ledger.md"),
    include_str!("../../docs/proof.md"),
    include_str!("../../docs/dashboard.md"),
    include_str!("../../docs/audit.md"),
];

/// Flags in the README that belong to other programs.
const OF_OTHERS: [&str; 1] = ["--release"];

fn help(command: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_consentry")).args([command, "--help"]).output().unwrap();
    assert!(output.status.success(), "the README names `consentry {command}`");
    String::from_utf8(output.stdout).unwrap()
}

fn flags(text: &str) -> BTreeSet<&str> {
    let is_flag = |c: char| c.is_ascii_lowercase() || c == '-';
    text.split(|c| !is_flag(c)).filter(|word| word.starts_with("--") && word.len() > 3).collect()
}

#[test]
fn every_command_in_the_guides_has_the_flags_it_is_shown_with() {
    let mut shown = 0;
    for line in GUIDES.iter().flat_map(|guide| guide.lines()) {
        // In a code block, or in the middle of a sentence.
        for said in line.split("consentry ").skip(1) {
            let said = said.split('`').next().unwrap();
            let command = said.split_whitespace().next().unwrap_or_default();
            if !COMMANDS.contains(&command) {
                continue;
            }
            shown += 1;
            let known = help(command);
            for flag in flags(said) {
                assert!(
                    flags(&known).contains(flag),
                    "`consentry {command}` has no {flag}: {line}"
                );
            }
        }
    }
    assert!(shown > 6, "{shown}");
}

#[test]
fn every_flag_in_the_readme_exists() {
    let known: String = COMMANDS.map(help).concat();
    for flag in flags(README) {
        assert!(flags(&known).contains(flag) || OF_OTHERS.contains(&flag), "no command has {flag}");
    }
}

/// The sources under a directory of ours.
fn sources(directory: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            all.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
    all
}

/// What stands in quotes in a piece of code.
fn quoted(code: &str) -> impl Iterator<Item = &str> {
    code.split('"').skip(1).step_by(2)
}

#[test]
fn k5_whatever_is_logged_or_counted_stands_in_the_operating_guide() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = sources(&root.join("src"));
    let mut known = BTreeSet::new();
    let events = std::fs::read_to_string(root.join("src/observe/events.rs")).unwrap();
    for event in events.split("impl Event for ").skip(1) {
        known.insert(event.split(['<', ' ']).next().unwrap().to_owned());
    }
    let metrics = std::fs::read_to_string(root.join("src/observe/metrics.rs")).unwrap();
    let is_metric = |name: &&str| name.starts_with("consentry_") || name.starts_with("http_");
    known.extend(quoted(&metrics).filter(is_metric).map(str::to_owned));
    let alerts = std::fs::read_to_string(root.join("deploy/prometheus/alerts.yml")).unwrap();
    known.extend(
        alerts.split("alert: ").skip(1).map(|rest| rest.lines().next().unwrap().to_owned()),
    );
    assert!(known.len() > 60, "{}", known.len());
    let mut missing: Vec<String> =
        known.into_iter().filter(|name| !OPERATING.contains(&format!("`{name}`"))).collect();
    // Whatever an operator is warned of is one sentence, the last of its call.
    let guide = OPERATING.replace('`', "");
    for start in ["tracing::warn!(", "tracing::error!("] {
        for call in code.split(start).skip(1) {
            let ends = [");", "),\n", ")\n"].into_iter().filter_map(|end| call.find(end));
            let (call, _) = call.split_at(ends.min().unwrap_or(call.len()));
            let said = quoted(call).last().unwrap_or_default();
            if !said.contains('{') && !guide.contains(&said.replace('`', "")) {
                missing.push(said.to_owned());
            }
        }
    }
    assert!(
        missing.is_empty(),
        "docs/operating.md does not say what these mean and what to do about them: {missing:#?}"
    );
}
