//! `consentry lists`: which filter lists there are, how old, and what of them
//! is used.

use crate::catalogue::{ListReport, Skipped};
use crate::cli::check::counted;
use crate::cli::{CONFIGURATION, FINDINGS, FINE};
use crate::config::{self, FilterLists, KeyMode, ListSource, Location, Overrides, Record};
use crate::ledger::plain;

use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A list that its server was not heard about for so many intervals is stale.
const STALE_INTERVALS: u64 = 4;

/// What `consentry lists` is told.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ListsArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A filter list in adblock syntax; may be given several times
    #[arg(long, value_name = "PATH|URL")]
    pub lists: Vec<PathBuf>,
    /// The ledger's database file, beside which copies of lists are kept
    #[arg(long, value_name = "PATH")]
    pub ledger: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// Shows the lists; the exit code says whether one is missing or stale. Asks
/// nobody: what the running proxy was told stands beside its copies.
///
/// # Errors
/// When writing fails.
pub fn run(args: &ListsArgs, out: &mut dyn Write) -> io::Result<i32> {
    let overrides = Overrides {
        lists: args.lists.clone(),
        ledger: args.ledger.clone(),
        // Lists can be looked at without a site to use them on.
        origin: args.config.is_none().then(|| "http://127.0.0.1:3000".to_owned()),
        ..Overrides::default()
    };
    let file = args.config.as_deref();
    let compiled = match config::load(file, config::environment(), &overrides, KeyMode::CheckOnly) {
        Ok(compiled) => compiled,
        Err(mistakes) => {
            for mistake in mistakes {
                writeln!(out, "{mistake}")?;
            }
            return Ok(CONFIGURATION);
        }
    };
    let lists = &compiled.lists;
    let now_s = seconds(SystemTime::now());
    let found: Vec<Found<'_>> = lists
        .reports(compiled.catalogue.lists().map(|lists| &**lists))
        .into_iter()
        .map(|(source, report)| Found::new(lists, source, report, now_s))
        .collect();
    if args.json {
        let all: Vec<Value> = found.iter().map(Found::json).collect();
        let document = format!("{:#}", json!({ "lists": all }));
        writeln!(out, "{}", json_lines(&document))?;
    } else if found.is_empty() {
        writeln!(out, "no filter lists: name some under [lists] `files`, or with --lists")?;
    } else {
        for (index, list) in found.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            list.show(out)?;
        }
    }
    let fine = found.iter().all(|list| list.state == State::Fine);
    Ok(if fine { FINE } else { FINDINGS })
}

/// Whether a list can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fine,
    /// Nobody has said for long that it is the newest.
    Stale,
    /// There is no copy: what only it knows passes.
    Missing,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Stale => "stale",
            Self::Missing => "missing",
        }
    }
}

struct Found<'l> {
    source: &'l ListSource,
    report: Option<ListReport>,
    /// Of a list that has an address.
    record: Option<Record>,
    /// When a file was written.
    written_s: Option<u64>,
    state: State,
    now_s: u64,
}

impl<'l> Found<'l> {
    fn new(
        lists: &FilterLists,
        source: &'l ListSource,
        report: Option<ListReport>,
        now_s: u64,
    ) -> Self {
        let (record, written_s) = match &source.location {
            Location::Web(url) => (Some(lists.cache.read(url).0), None),
            Location::File(path) => (None, written(path)),
        };
        let state = match (&report, &record) {
            (None, _) => State::Missing,
            (Some(_), Some(record)) if is_stale(record, source, now_s) => State::Stale,
            (Some(_), _) => State::Fine,
        };
        Self { source, report, record, written_s, state, now_s }
    }

    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { source, report, .. } = self;
        let title = report.as_ref().and_then(|report| report.title.as_deref());
        writeln!(out, "{}", plain::text(&source.name))?;
        let mut line = |name: &str, text: &str| writeln!(out, "  {name:<9} {}", plain::text(text));
        if let Some(title) = title {
            line("title", title)?;
        }
        line("from", &source.place())?;
        line("purpose", source.purpose.name())?;
        line("state", &self.condition())?;
        if let Some(report) = report {
            line("used", &used(report))?;
            line("revision", &self.revision(report))?;
            if let Some(expires) = &report.expires {
                line("expires", expires)?;
            }
        }
        line("age", &self.age())?;
        if let Some(record) = &self.record {
            line("next", &self.next(record))?;
            if let Some(error) = &record.error {
                line("error", error)?;
            }
        }
        for skipped in report.iter().flat_map(|report| &report.skipped) {
            self.show_skipped(skipped, out)?;
        }
        Ok(())
    }

    fn show_skipped(&self, skipped: &Skipped, out: &mut dyn Write) -> io::Result<()> {
        let count = counted(skipped.count, "rule");
        writeln!(out, "  {:<9} {count}: {}", "not used", plain::text(&skipped.reason))?;
        for (number, text) in &skipped.examples {
            writeln!(out, "            {number:>6} | {}", plain::text(text))?;
        }
        Ok(())
    }

    fn condition(&self) -> String {
        match self.state {
            State::Fine => "fine".to_owned(),
            State::Stale => "stale: its server has not been heard for long".to_owned(),
            State::Missing => "missing: what only it knows passes".to_owned(),
        }
    }

    fn age(&self) -> String {
        let ago = |then: u64| format!("{} ago", span(self.now_s.saturating_sub(then)));
        match (&self.record, self.written_s) {
            (Some(record), _) if record.taken_s == 0 => "never seen".to_owned(),
            (Some(record), _) => format!(
                "came {}, known to be the newest {}",
                ago(record.taken_s),
                ago(record.checked_s)
            ),
            (None, Some(written)) => format!("a file, written {}", ago(written)),
            (None, None) => "a file".to_owned(),
        }
    }

    fn next(&self, record: &Record) -> String {
        let every = span(self.source.refresh.as_secs());
        match record.next_s.checked_sub(self.now_s) {
            _ if record.tried_s == 0 => format!("at the start, then every {every}"),
            Some(left) => format!("in {}, every {every}", span(left)),
            None => format!("as soon as the proxy runs, then every {every}"),
        }
    }

    /// The version in the list's own words, and what cannot be mistaken.
    fn revision(&self, report: &ListReport) -> String {
        let checksum = self.record.as_ref().map(|record| record.sha256.chars().take(12).collect());
        let checksum: Option<String> = checksum.filter(|text: &String| !text.is_empty());
        let parts = [report.version.clone(), checksum.map(|sum| format!("sha256 {sum}"))];
        let said: Vec<String> = parts.into_iter().flatten().collect();
        if said.is_empty() { "it names none".to_owned() } else { said.join(", ") }
    }

    fn json(&self) -> Value {
        let record = self.record.as_ref();
        let report = self.report.as_ref();
        let skipped: Vec<Value> = report
            .iter()
            .flat_map(|report| &report.skipped)
            .map(|skipped| {
                let examples: Vec<Value> = skipped
                    .examples
                    .iter()
                    .map(|(line, text)| json!({ "line": line, "text": text }))
                    .collect();
                json!({ "reason": skipped.reason, "count": skipped.count, "examples": examples })
            })
            .collect();
        let since = |then: Option<u64>| then.filter(|then| *then > 0);
        json!({
            "name": self.source.name,
            "title": report.and_then(|report| report.title.as_deref()),
            "location": self.source.place(),
            "purpose": self.source.purpose.name(),
            "state": self.state.name(),
            "rules": report.map_or(0, |report| report.rules),
            "stand_ins_withheld": report.map_or(0, |report| report.stand_ins),
            "not_used": skipped,
            "version": report.and_then(|report| report.version.as_deref()),
            "expires": report.and_then(|report| report.expires.as_deref()),
            "sha256": record.map(|record| record.sha256.as_str()).filter(|sum| !sum.is_empty()),
            "refresh_hours": record.map(|_| self.source.refresh.as_secs() / 3600),
            "taken_s": since(record.map(|record| record.taken_s).or(self.written_s)),
            "checked_s": since(record.map(|record| record.checked_s)),
            "next_s": since(record.map(|record| record.next_s)),
            "error": record.and_then(|record| record.error.as_deref()),
        })
    }
}

/// A document of several lines, harmless to show.
fn json_lines(document: &str) -> String {
    document.lines().map(plain::json).collect::<Vec<_>>().join("\n")
}

fn is_stale(record: &Record, source: &ListSource, now_s: u64) -> bool {
    let patience = source.refresh.as_secs().saturating_mul(STALE_INTERVALS);
    now_s.saturating_sub(record.checked_s) > patience
}

fn used(report: &ListReport) -> String {
    let mut text = counted(report.rules, "rule");
    if report.stand_ins > 0 {
        let stand_ins = counted(report.stand_ins, "rule");
        text.push_str(&format!(
            "; {stand_ins} would load something else instead: what they match is withheld"
        ));
    }
    text
}

fn written(path: &Path) -> Option<u64> {
    Some(seconds(std::fs::metadata(path).ok()?.modified().ok()?))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// `3 hours`, `1 day`: as exact as anybody wants to know.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7199 => (seconds / 60, "minute"),
        7200..=172_799 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    counted(usize::try_from(count).unwrap_or(usize::MAX), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_can_be_read() {
        for (seconds, text) in
            [(1, "1 second"), (90, "90 seconds"), (7200, "2 hours"), (86_400 * 3, "3 days")]
        {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_file_and_what_of_it_is_used_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("house.txt");
        std::fs::write(
            &file,
            "! Title: House\u{1b}[2J list\n! Version: 7\n! Expires: 4 days\n||a.example^\n\
             ||b.example^$popup\nx##y\nz##y\n||c.example/x.js$redirect=noop.js\n",
        )
        .unwrap();
        let args = ListsArgs {
            lists: vec![file],
            ledger: Some(directory.path().join("ledger.db")),
            ..ListsArgs::default()
        };
        let said = |args: &ListsArgs| {
            let mut out = Vec::new();
            let code = run(args, &mut out).unwrap();
            (code, String::from_utf8(out).unwrap())
        };
        let (code, text) = said(&args);
        assert_eq!(code, 0, "{text}");
        for part in [
            "house.txt\n",
            "title     House",
            "purpose   marketing",
            "used      2 rules; 1 rule would load something else instead",
            "revision  7",
            "expires   4 days",
            "age       a file, written ",
            "2 rules: hides elements",
            "     6 | x##y",
            "1 rule: the option `popup`",
            "     5 | ||b.example^$popup",
        ] {
            assert!(text.contains(part), "{part}\nin\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "a list cannot speak to the terminal");
        let (_, json) = said(&ListsArgs { json: true, ..args });
        let json: Value = serde_json::from_str(&json).unwrap();
        let list = &json["lists"][0];
        assert_eq!((&list["rules"], &list["state"]), (&json!(2), &json!("fine")));
        assert_eq!(list["not_used"][0]["examples"][0], json!({ "line": 6, "text": "x##y" }));
    }

    #[test]
    fn a_list_that_never_came_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let args = ListsArgs {
            lists: vec!["https://lists.example/a.txt".into()],
            ledger: Some(directory.path().join("ledger.db")),
            ..ListsArgs::default()
        };
        let mut out = Vec::new();
        let code = run(&args, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("missing: what only it knows passes"), "{text}");
        assert!(text.contains("never seen"), "{text}");
    }
}
