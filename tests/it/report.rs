//! G7, G8: a period in figures, the same whoever asks and whenever.

use crate::driver;
use crate::harness::CATALOGUE;
use crate::program::{consentry_command, runs};

use consentry::catalogue::{Catalogue, Kind, SourceFile};
use consentry::consent::{ReceiptId, Source};
use consentry::ledger::receipt::{hash_of, hex};
use consentry::ledger::{Act, Entry, Ledger, Method, Notice, Receipt, Settings};
use consentry::policy::{Basis, Decision, Decisions, Grounds, Layer, Mode, Verdict};
use consentry::purpose::{Purpose, PurposeSet};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

fn ms(time: &str) -> u64 {
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond().cast_unsigned()
}

fn decision(vendor: Option<&str>, what: &str) -> Decision {
    let file = SourceFile { name: "test".into(), text: CATALOGUE.into() };
    let catalogue = Catalogue::compile(&[file]).unwrap();
    let vendor = vendor.map(|id| Arc::clone(catalogue.vendor(id).unwrap()));
    Decision {
        verdict: match &vendor {
            Some(vendor) => Verdict::Block(Grounds::NotGranted(vendor.purpose)),
            None => Verdict::Allow(Basis::Unlisted),
        },
        layer: Layer::Html,
        kind: Kind::Script,
        what: what.to_owned(),
        vendor,
        rule: None,
        via: None,
        exception: None,
    }
}

fn entry(time: &str, page: &str, all: impl IntoIterator<Item = Decision>) -> Entry {
    let mut decisions = Decisions::default();
    decisions.extend(all);
    Entry {
        time_ms: ms(time),
        site: "shop".into(),
        page: page.to_owned(),
        class: PurposeSet::NECESSARY,
        undecided: true,
        signal: Source::Silence,
        policy_revision: "policy-1".into(),
        mode: Mode::Enforce,
        decisions,
    }
}

fn receipt(number: u8, time: &str, act: Act, revision: u32) -> Receipt {
    Receipt {
        number: ReceiptId::new([number; 16]),
        time_ms: ms(time),
        site: "shop".to_owned(),
        granted: PurposeSet::NECESSARY.with(Purpose::Analytics),
        asked: PurposeSet::ALL,
        vendors_allowed: Vec::new(),
        vendors_refused: Vec::new(),
        act,
        method: Method::Notice,
        gpc: false,
        notice_revision: revision,
        notice: hash_of("ask"),
        choices: hash_of("choose"),
        language: "en".to_owned(),
        valid_s: 1000,
    }
}

fn notice(revision: u32, layer: consentry::ledger::receipt::Layer, html: &str) -> Notice {
    Notice {
        time_ms: ms("2026-01-01T00:00:00Z"),
        site: "shop".to_owned(),
        revision,
        language: "en".to_owned(),
        layer,
        gpc: false,
        operator: "The Shop".to_owned(),
        policy_url: String::new(),
        choices_url: "https://shop.example/.consentry/choices".to_owned(),
        html: html.to_owned(),
    }
}

/// A ledger with a March in it, and a bit of February and April.
struct March {
    directory: TempDir,
}

impl March {
    fn new() -> Self {
        let march = Self { directory: TempDir::new().unwrap() };
        let ledger = Ledger::open(Settings::new(march.file("ledger.db"))).unwrap();
        let mut spool = ledger.spool(0).unwrap();
        // What the receipts name is in the archive, as it is on every site.
        for (revision, layer, html) in [
            (1, consentry::ledger::receipt::Layer::First, "ask"),
            (1, consentry::ledger::receipt::Layer::Choices, "choose"),
        ] {
            spool.archive(&notice(revision, layer, html));
        }
        let ads = || decision(Some("acme-ads"), "ads.acme.example/p.js");
        let stats = || decision(Some("acme-stats"), "stats.acme.example/s.js");
        spool.append(&entry("2026-02-28T23:59:59Z", "/old", [stats()]));
        spool.append(&entry("2026-03-01T00:00:00Z", "/", [ads(), stats()]));
        spool.append(&entry("2026-03-31T23:59:59Z", "/sale", [ads()]));
        spool.append(&entry(
            "2026-03-15T12:00:00Z",
            "/=cmd|'/C calc'!A0",
            [decision(None, "<script>.example/x.js")],
        ));
        spool.append(&entry("2026-04-01T00:00:00Z", "/new", [ads()]));
        for (number, time, act, revision) in [
            (1, "2026-03-02T10:00:00Z", Act::Accept, 1),
            (2, "2026-03-03T10:00:00Z", Act::Refuse, 1),
            (3, "2026-03-20T10:00:00Z", Act::Refuse, 2),
            (4, "2026-04-02T10:00:00Z", Act::Accept, 2),
        ] {
            spool.keep(&receipt(number, time, act, revision));
        }
        drop(spool);
        ledger.flush().unwrap();
        ledger.close().unwrap();
        std::fs::write(march.file("vendors.toml"), CATALOGUE).unwrap();
        let vendors = march.file("vendors.toml");
        let config = format!(
            "[catalogue]\nfiles = [{vendors:?}]\n[[site]]\nname = 'shop'\norigin = 'http://127.0.0.1:1'\n\
             [[ownership]]\nvendor = 'acme-ads'\nowner = 'Ana Lee'\nreason = 'spring campaign'\nreview = 2099-01-01\n\
             [[exception]]\nhost = 'ads.acme.example'\non_path = '/sale'\nverdict = 'allow'\nowner = 'Bo Chu'\nreason = 'the bank'\nexpires = 2099-12-31\n"
        );
        std::fs::write(march.file("consentry.toml"), config).unwrap();
        march
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the command and gives its exit code, the file and what it says.
    fn reports(&self, file: &str, more: &[&str]) -> (i32, String, String) {
        let (ledger, output) = (self.file("ledger.db"), self.file(file));
        let mut words = vec!["report", "--ledger", ledger.to_str().unwrap()];
        words.extend(["--output", output.to_str().unwrap()]);
        words.extend(more);
        let (code, said) = runs(&words);
        (code, std::fs::read_to_string(output).unwrap_or_default(), said)
    }

    fn config(&self) -> String {
        self.file("consentry.toml").to_str().unwrap().to_owned()
    }
}

fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

#[test]
fn g7_a_month_says_what_was_chosen_withheld_changed_and_owned() {
    let march = March::new();
    let config = march.config();
    let (code, text, said) =
        march.reports("march.json", &["--month", "2026-03", "--config", &config]);
    assert_eq!(code, 0, "{said}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&report["first_day"], &report["last_day"]),
        (&"2026-03-01".into(), &"2026-03-31".into())
    );
    assert_eq!(report["overview"]["views"]["all"], 3);

    let choices = report["choices"].as_array().unwrap();
    let of = |row: &serde_json::Value| {
        ["notice_revision", "all", "accept", "refuse"].map(|key| row[key].as_i64().unwrap())
    };
    assert_eq!(choices.iter().map(of).collect::<Vec<_>>(), [[1, 2, 1, 1], [2, 1, 0, 1]], "g8");

    let vendors = report["vendors"].as_array().unwrap();
    let vendor = |id: &str| vendors.iter().find(|vendor| vendor["id"] == id).unwrap();
    let ads = vendor("acme-ads");
    assert_eq!((&ads["withheld"], &ads["owner"]), (&2.into(), &"Ana Lee".into()));
    assert_eq!(ads["pages"].as_array().unwrap().len(), 2);
    assert!(vendor("acme-stats")["owner"].is_null(), "nobody owns it");
    assert_eq!(vendor("")["let_through"], 1);

    let new = report["newcomers"].as_array().unwrap();
    let names: Vec<_> = new.iter().map(|new| new["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"ads.acme.example"), "{names:?}");
    assert!(!names.contains(&"stats.acme.example"), "it was there in February: {names:?}");
    assert_eq!(report["policies"][0]["revision"], "policy-1");
    let exception = &report["exceptions"][0];
    assert_eq!(exception["owner"], "Bo Chu");
    assert_eq!(exception["what"], "lets pass: host ads.acme.example, on pages /sale");
    assert_eq!(report["rests_on"]["holds"], true);
    assert_eq!(report["rests_on"]["covers_all"], true, "it was signed when the ledger closed");
    assert!(report["rests_on"]["checkpoint"].as_str().unwrap().contains("consentry"), "{text}");
}

#[test]
fn g7_the_same_period_is_the_same_bytes_and_the_hash_is_theirs() {
    let march = March::new();
    let config = march.config();
    let json = march
        .reports("a.json", &["--from", "2026-03-01", "--to", "2026-03-31", "--config", &config])
        .1;
    for name in ["a.html", "a.json", "a.csv"] {
        let days = ["--from", "2026-03-01", "--to", "2026-03-31", "--config", &config];
        let (code, first, said) = march.reports(name, &days);
        assert_eq!(code, 0, "{said}");
        let path = march.file(name);
        assert_eq!(said.trim_end(), format!("{}  {}", sha256(&first), path.display()));
        let (_, again, _) = march.reports(name, &["--month", "2026-03", "--config", &config]);
        assert_eq!(first, again, "{name}");
        assert!(name.ends_with("json") || first.contains(&sha256(&json)), "{name}");
        let (_, other, _) = march.reports(name, &["--month", "2026-04", "--config", &config]);
        assert_ne!(first, other);
    }
}

#[test]
fn g7_a_report_with_a_configuration_reads_the_ledger_that_it_names() {
    let march = March::new();
    let config = march.config();
    let ledger = march.file("ledger.db");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("[ledger]\nfile = {ledger:?}\n{text}")).unwrap();
    let said = |words: &[&str]| {
        let output = consentry_command(words).current_dir(march.directory.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let named = said(&["report", "--month", "2026-03", "--config", &config]);
    let ledger = ledger.to_str().unwrap();
    let given = ["report", "--month", "2026-03", "--config", &config, "--ledger", ledger];
    assert!(!named.is_empty() && named == said(&given));
}

#[test]
fn g7_nothing_in_a_report_runs_and_nothing_is_from_elsewhere() {
    let march = March::new();
    let (_, page, _) = march.reports("march.html", &["--month", "2026-03"]);
    assert!(page.contains("&lt;script&gt;.example"), "{page}");
    for sign in ["<script", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(sign), "{sign}");
    }
    assert!(page.contains("does not know who owns what"));
    let (_, table, _) = march.reports("march.csv", &["--month", "2026-03"]);
    for record in csv::Reader::from_reader(table.as_bytes()).records() {
        for cell in record.unwrap().iter() {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t']), "{cell}");
        }
    }
    assert!(table.contains("withheld on /"), "{table}");
}

#[test]
fn g7_a_report_says_what_it_does_not_name() {
    let march = March::new();
    rusqlite::Connection::open(march.file("ledger.db"))
        .unwrap()
        .execute_batch(
            "INSERT INTO seen (sort, site, name, first_ms, last_ms, views, page, kind, what, via,
                 vendor_id, vendor, purpose, verdict, reported)
             WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 2100)
             SELECT 'host', site, 'h' || n || '.example', first_ms, last_ms, 1, page, kind, what,
                 via, '', '', '', 'block', 0
             FROM up, (SELECT * FROM seen WHERE name = 'ads.acme.example');
             INSERT INTO audit (time_ms, who, role, act, about, detail)
             WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 2005)
             SELECT first_ms, 'ana', 'officer', 'classify', 'h.example', 'null'
             FROM up, (SELECT * FROM seen WHERE name = 'ads.acme.example')",
        )
        .unwrap();
    let (_, text, said) = march.reports("march.json", &["--month", "2026-03"]);
    let report: serde_json::Value = serde_json::from_str(&text).expect(&said);
    let left_out = report["newcomers_left_out"].as_u64().unwrap();
    assert!(left_out > 100, "{left_out}");
    assert_eq!(report["newcomers"].as_array().unwrap().len(), 2000);
    assert_eq!(report["audits_left_out"], 5);
    let (_, page, _) = march.reports("march.html", &["--month", "2026-03"]);
    let (_, table, _) = march.reports("march.csv", &["--month", "2026-03"]);
    for (count, row) in [(left_out, "change,,new"), (5, "change,,by people")] {
        assert!(page.contains(&format!("{count} more are not named here")), "{count}");
        assert!(table.contains(&format!("{row},not named here,{count}\n")), "{count}");
    }
}

#[test]
fn g7_a_report_is_replaced_whole_and_nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let march = March::new();
    std::fs::write(march.file("march.html"), "an older one").unwrap();
    let older = std::fs::File::open(march.file("march.html")).unwrap();
    let (code, page, said) = march.reports("march.html", &["--month", "2026-03"]);
    assert!(code == 0 && page.starts_with("<!DOCTYPE html>"), "{said}");
    assert_eq!(std::io::read_to_string(older).unwrap(), "an older one");
    let mode = std::fs::metadata(march.file("march.html")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn g7_a_ledger_that_was_changed_is_not_reported_on_as_if_it_were_not() {
    let march = March::new();
    rusqlite::Connection::open(march.file("ledger.db"))
        .unwrap()
        .execute_batch("UPDATE entry SET time_ms = time_ms + 1 WHERE id = 2")
        .unwrap();
    let (code, page, said) = march.reports("march.html", &["--month", "2026-03"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("the ledger does not verify"), "{said}");
    assert!(page.contains("is not as it was stored:"), "{page}");
}

#[test]
fn g7_a_period_that_is_none_is_refused() {
    let march = March::new();
    for (words, code, expected) in [
        (&["--from", "2026-03-31", "--to", "2026-03-01"][..], 2, "ends before it begins"),
        (&["--month", "March"], 2, "a month is written like 2026-03"),
        (&["--from", "2026-03-01"], 2, "--to"),
        (&["--month", "2026-03", "--config", "/nowhere.toml"], 78, "cannot be read"),
    ] {
        let (found, _, said) = march.reports("x.html", words);
        assert!(found == code && said.contains(expected), "{words:?} {found} {said}");
    }
}

#[test]
fn g7_a_report_prints_to_pdf() {
    let march = March::new();
    let config = march.config();
    let (code, _, said) = march.reports("march.html", &["--month", "2026-03", "--config", &config]);
    assert_eq!(code, 0, "{said}");
    if !driver::is_here() {
        return;
    }
    let browser = driver::BROWSER;
    let (page, printed) = (march.file("march.html"), march.file("march.pdf"));
    let done = std::process::Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"])
        .arg(format!("--user-data-dir={}", march.file("profile").display()))
        .arg(format!("--print-to-pdf={}", printed.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let bytes = std::fs::read(&printed).unwrap_or_else(|error| panic!("{error} {done:?}"));
    assert!(bytes.starts_with(b"%PDF-") && bytes.len() > 5_000, "{}", bytes.len());
}
