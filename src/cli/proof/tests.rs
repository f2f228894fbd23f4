use super::*;
use crate::ledger::receipt::hash_of;
use crate::ledger::tests::receipts::{notice, receipt};

use clap::Parser;
use tempfile::TempDir;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: ProofArgs,
}

const TIME_MS: u64 = 1_790_000_000_000;

/// A ledger with a receipt of the number 0101..., and the notice it was given on.
fn ledger() -> TempDir {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(Settings::new(dir.path().join("ledger.db"))).unwrap();
    let mut spool = ledger.spool(0).unwrap();
    spool.archive(&notice(Layer::First, TIME_MS - 5000, "<p>Ask</p><button>No</button>"));
    let of = Receipt { notice: hash_of("<p>Ask</p><button>No</button>"), ..receipt(1, TIME_MS) };
    spool.keep(&of);
    spool.keep(&receipt(2, TIME_MS + 1000));
    drop(spool);
    ledger.close().unwrap();
    dir
}

fn runs(dir: &TempDir, words: &[&str]) -> (i32, String) {
    let path = dir.path().join("ledger.db");
    let start = ["proof", "--ledger", path.to_str().unwrap()];
    let args = Command::try_parse_from(start.iter().chain(words)).unwrap().args;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&args, &mut out, &mut err);
    (code, String::from_utf8([out, err].concat()).unwrap())
}

#[test]
fn f4_a_proof_in_words_has_the_choice_and_the_notice() {
    let dir = ledger();
    let (code, said) = runs(&dir, &[&"01".repeat(16)]);
    assert_eq!(code, 0);
    let expected = format!(
        "receipt  {}
site     shop
when     2026-09-21T14:13:20Z
what     partial: the visitor agreed to some of what was asked
where    choices: on the page of choices
GPC      the browser sent it
counts   for 180 days

purposes
  functional       refused
  analytics        agreed
  personalization  refused
  marketing        refused
  vendor acme-maps  agreed
  vendor acme-ads  refused
  vendor acme-stats  refused

notice
  revision 7, language de
  sha256 {}
  first there 2026-09-21T14:13:15Z

  | Ask
  | [No]

choices
  revision 7, language de
  sha256 {}
  not in the archive
",
        "01".repeat(16),
        ledger::receipt::hex(&hash_of("<p>Ask</p><button>No</button>")),
        ledger::receipt::hex(&hash_of("<p>Choose</p>")),
    );
    assert_eq!(said, expected);
}

#[test]
fn f4_the_html_is_written_byte_for_byte() {
    let dir = ledger();
    let file = dir.path().join("notice.html");
    let (number, name) = ("01".repeat(16), file.to_str().unwrap().to_owned());
    assert_eq!(runs(&dir, &[&number, "--html", &name]).0, 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "<p>Ask</p><button>No</button>");
    let (code, said) = runs(&dir, &[&number, "--choices-html", &name]);
    assert!(code == 1 && said.contains("not in the archive"), "{said}");
}

#[test]
fn f5_all_receipts_of_a_time_are_lines_of_json() {
    let dir = ledger();
    for (words, count) in [
        (&["--all", "--format", "27560"][..], 2),
        (&["--all", "--json"], 2),
        (&["--all", "--from", "2026-09-21T14:13:21Z"], 1),
        (&["--all", "--to", "2026-09-20"], 0),
    ] {
        let (code, said) = runs(&dir, words);
        assert_eq!((code, said.lines().count()), (0, count), "{words:?}: {said}");
        for line in said.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
    let (_, said) = runs(&dir, &[&"01".repeat(16), "--format", "27560"]);
    let record: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(record["header"]["record_id"], "01".repeat(16));
}

#[test]
fn f4_who_asks_for_nothing_that_is_there_is_told_so() {
    let dir = ledger();
    let (code, said) = runs(&dir, &[&"ff".repeat(16)]);
    assert!(code == 1 && said.starts_with("there is no receipt ffff"), "{said}");
    assert_eq!(runs(&TempDir::new().unwrap(), &[&"ff".repeat(16)]).0, 74);
    for words in [
        &["proof", "abc"][..],
        &["proof"],
        &["proof", "--all", "--erase"],
        &["proof", &"01".repeat(16), "--yes"],
        &["proof", &"01".repeat(16), "--format", "xml"],
        &["proof", &"01".repeat(16), "--from", "7d"],
    ] {
        let error = Command::try_parse_from(words).err().unwrap();
        assert_eq!(error.exit_code(), 2, "{error}");
    }
}

#[test]
fn f6_the_operator_erases_only_what_is_meant() {
    let dir = ledger();
    let number = "01".repeat(16);
    let (code, said) = runs(&dir, &[&number, "--erase"]);
    assert!(code == 2 && said.contains("--yes"), "{said}");
    assert_eq!(runs(&dir, &[&number]).0, 0);
    assert_eq!(runs(&dir, &[&number, "--erase", "--yes"]).0, 0);
    let (code, said) = runs(&dir, &[&number]);
    assert!(code == 1 && said.contains("was erased on 20"), "{said}");
    assert_eq!(runs(&dir, &[&number, "--erase", "--yes"]).0, 1);
    assert_eq!(runs(&dir, &[&"ff".repeat(16), "--erase", "--yes"]).0, 1);
    assert_eq!(runs(&dir, &[&"02".repeat(16)]).0, 0, "the others stay");
}
