//! What other programs read of the ledger.

use crate::program::runs;

use consentry::catalogue::Kind;
use consentry::consent::{ReceiptId, Source};
use consentry::ledger::receipt::{Act, Method, hash_of};
use consentry::ledger::{Audit, Entry, Ledger, Receipt, Settings};
use consentry::policy::{Basis, Decision, Decisions, Grounds, Layer, Mode, Verdict};
use consentry::purpose::{Purpose, PurposeSet};
use std::path::Path;
use tempfile::TempDir;

const TIME_MS: u64 = 1_790_000_000_000;

fn decision(verdict: Verdict, what: &str) -> Decision {
    Decision {
        verdict,
        layer: Layer::Html,
        kind: Kind::Script,
        what: what.to_owned(),
        vendor: None,
        rule: None,
        via: None,
        exception: None,
    }
}

fn entry(time_ms: u64, site: &str) -> Entry {
    let mut decisions = Decisions::default();
    decisions.extend([
        decision(Verdict::Block(Grounds::NotGranted(Purpose::Marketing)), "=ads.example/p.js"),
        decision(Verdict::Allow(Basis::Unlisted), "cdn.example/\u{1b}[2Jx.js"),
    ]);
    Entry {
        time_ms,
        site: site.into(),
        page: "/".to_owned(),
        class: PurposeSet::NECESSARY,
        undecided: true,
        signal: Source::Silence,
        policy_revision: "0123456789".into(),
        mode: Mode::Enforce,
        decisions,
    }
}

fn kept() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(Settings::new(directory.path().join("ledger.db"))).unwrap();
    let mut spool = ledger.spool(0).unwrap();
    for n in 0..20 {
        spool.append(&entry(TIME_MS + n, if n < 5 { "shop" } else { "blog" }));
    }
    spool.keep(&Receipt {
        number: ReceiptId::new([7; 16]),
        time_ms: TIME_MS,
        site: "shop".to_owned(),
        granted: PurposeSet::NECESSARY,
        asked: PurposeSet::ALL,
        vendors_allowed: vec![],
        vendors_refused: vec![],
        act: Act::Refuse,
        method: Method::Notice,
        gpc: false,
        notice_revision: 1,
        notice: hash_of("a"),
        choices: hash_of("b"),
        language: "en".to_owned(),
        valid_s: 60,
    });
    ledger.audit(&Audit { who: "-ana".to_owned(), ..Audit::default() }).unwrap();
    drop(spool);
    ledger.close().unwrap();
    directory
}

fn exports(directory: &TempDir, words: &[&str]) -> (i32, String) {
    let ledger = directory.path().join("ledger.db");
    let mut all = vec!["export", "--ledger", ledger.to_str().unwrap()];
    all.extend(words);
    runs(&all)
}

fn files(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("ledger.db"));
    names.sort();
    names
}

#[test]
fn g7_an_export_says_what_it_is_and_what_it_rests_on() {
    let directory = kept();
    let path = directory.path().join("block.csv");
    let words = ["--site", "shop", "--verdict", "block", "--output", path.to_str().unwrap()];
    let (code, said) = exports(&directory, &words);
    assert!(code == 0 && said.starts_with("5 rows in `"), "{said}");
    assert_eq!(files(directory.path()), ["block.csv", "block.csv.manifest.json"]);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    let what = csv.headers().unwrap().iter().position(|name| name == "what").unwrap();
    let rows: Vec<_> = csv.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| &row[what] == "'=ads.example/p.js"));
    let manifest = directory.path().join("block.csv.manifest.json");
    let manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(manifest).unwrap()).unwrap();
    assert_eq!((&manifest["rows"], &manifest["what"]), (&5.into(), &"decisions".into()));
    assert_eq!(manifest["filter"]["site"], "shop");
    assert_eq!(manifest["filter"]["verdict"], "block");
    let hash: String = hash_of(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(manifest["sha256"], hash);
    assert!(said.contains(&hash), "{said}");
    assert_eq!(manifest["checkpoint"]["covers_entries_up_to"], 20);
    let note = manifest["checkpoint"]["note"].as_str().unwrap();
    assert!(consentry::ledger::Checkpoint::parse(note).is_ok());
    // The same question, the same bytes.
    assert_eq!(exports(&directory, &words), (0, said));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn g7_everything_can_be_taken_out_in_every_format() {
    let directory = kept();
    for (what, rows) in [("decisions", 40), ("receipts", 1), ("audits", 1), ("gaps", 0)] {
        for format in ["csv", "jsonl", "parquet"] {
            let path = directory.path().join(format!("{what}.{format}"));
            let (code, said) =
                exports(&directory, &["--what", what, "--output", path.to_str().unwrap()]);
            assert!(code == 0 && said.starts_with(&format!("{rows} row")), "{said}");
            let bytes = std::fs::read(&path).unwrap();
            let found = match format {
                "csv" => csv::Reader::from_reader(bytes.as_slice()).records().count(),
                "jsonl" => {
                    let text = String::from_utf8(bytes).unwrap();
                    assert!(!text.contains('\u{1b}'));
                    text.lines()
                        .filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
                        .count()
                }
                _ => {
                    use parquet::file::reader::{FileReader, SerializedFileReader};
                    let file = std::fs::File::open(&path).unwrap();
                    let reader = SerializedFileReader::new(file).unwrap();
                    reader.get_row_iter(None).unwrap().map(Result::unwrap).count()
                }
            };
            assert_eq!(found, rows, "{what} as {format}");
        }
    }
    let (_, said) = exports(&directory, &["--what", "receipts", "--format", "jsonl"]);
    assert!(said.contains(&"07".repeat(16)) && said.contains("\"act\":\"refuse\""), "{said}");
    let (_, said) = exports(&directory, &["--what", "audits"]);
    assert!(said.contains(",'-ana,"), "{said}");
    let (_, said) = exports(&directory, &["--from", "2026-09-22"]);
    assert!(said.contains("0 rows, SHA-256"), "{said}");
}

#[test]
fn g7_what_cannot_be_exported_is_said_and_leaves_nothing_behind() {
    let directory = kept();
    let inside = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for (words, code, expected) in [
        (vec!["--format", "parquet"], 2, "name a file with --output"),
        (vec!["--what", "gaps", "--site", "shop"], 2, "belong to no site"),
        (vec!["--what", "receipts", "--vendor", "acme"], 2, "choose among decisions"),
        (vec!["--purpose", "everything"], 2, "expected one of"),
        (vec!["--output", &inside("none/x.csv")], 74, "cannot write `"),
        (vec!["--output", &inside("")], 74, "cannot write `"),
        (vec!["--output", "/dev/null"], 74, "not a regular file"),
        (vec!["--ledger", "postgres://db.internal/consentry"], 2, "run it for each proxy"),
        (vec!["--ledger", &inside("none.db")], 74, "there is no ledger at"),
    ] {
        let (found, said) = match words.as_slice() {
            ["--ledger", path] => runs(&["export", "--ledger", path]),
            words => exports(&directory, words),
        };
        assert!(found == code && said.contains(expected), "{words:?}: {found} {said}");
        assert_eq!(files(directory.path()), [] as [&str; 0], "{words:?}");
    }
}
