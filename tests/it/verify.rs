//! Whether anybody can tell that a ledger was changed.

use crate::harness::{consentry, origin, visitor};

use consentry::cli::LedgerFile;
use consentry::cli::verify::{CheckpointArgs, VerifyArgs, run, run_checkpoint};
use std::path::{Path, PathBuf};

const PAGE: &str = "<script src=\"https://ads.acme.example/p.js\"></script>";

fn verified(ledger: &Path, checkpoint: &[PathBuf], json: bool) -> (i32, String) {
    let args = VerifyArgs {
        ledger: LedgerFile { path: ledger.to_owned() },
        checkpoint: checkpoint.to_vec(),
        key: None,
        json,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&args, &mut out, &mut err);
    (code, String::from_utf8([out, err].concat()).unwrap())
}

/// A pipe whose reader is gone.
struct NobodyReads;

impl std::io::Write for NobodyReads {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f3_a_changed_row_is_named_and_a_cut_tail_is_seen_against_a_checkpoint() {
    let origin = origin().page("/", PAGE).page("/shoes", PAGE).start().await;
    let proxy = consentry(&origin).start().await;
    let mut person = visitor(&proxy);
    for path in ["/", "/shoes", "/"] {
        person.opens(path).await;
    }
    person.chooses("all", &[]).await;
    let directory = proxy.stop().await;
    let ledger = directory.path().join("ledger.db");
    let (code, said) = verified(&ledger, &[], false);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("all as they were stored") && said.contains("Not checked"), "{said}");

    let (mut note, mut err) = (Vec::new(), Vec::new());
    let args = CheckpointArgs { ledger: LedgerFile { path: ledger.clone() } };
    assert_eq!(run_checkpoint(&args, &mut note, &mut err), 0);
    let kept = directory.path().join("kept.txt");
    std::fs::write(&kept, &note).unwrap();
    let (code, said) = verified(&ledger, std::slice::from_ref(&kept), false);
    assert_eq!((code, said.contains("Not checked")), (0, false), "{said}");

    let whole = std::fs::read(&ledger).unwrap();
    let tampered = |sql: &str| {
        std::fs::write(&ledger, &whole).unwrap();
        let sql = format!("PRAGMA foreign_keys = off; {sql}");
        rusqlite::Connection::open(&ledger).unwrap().execute_batch(&sql).unwrap();
    };
    tampered("UPDATE entry SET class = 31 WHERE id = 2");
    let (code, said) = verified(&ledger, &[], true);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["verified"]), (1, &serde_json::json!(false)));
    assert!(said["faults"][0]["words"].as_str().unwrap().starts_with("entry 2 is not what"));
    let unread = VerifyArgs {
        ledger: LedgerFile { path: ledger.clone() },
        checkpoint: vec![],
        key: None,
        json: false,
    };
    assert_eq!(run(&unread, &mut NobodyReads, &mut Vec::new()), 1, "`consentry verify | head -0`");
    tampered("UPDATE receipt SET granted = 1");
    let (code, said) = verified(&ledger, &[], false);
    assert!(code == 1 && said.contains("receipt in row 1 is not what was stored"), "{said}");
    tampered(
        "DELETE FROM entry; DELETE FROM receipt; DELETE FROM seal WHERE id > 0; DELETE FROM checkpoint;
         UPDATE tree SET size = 0, peaks = x''; DELETE FROM decision_set; UPDATE sqlite_sequence SET seq = 0",
    );
    let (code, said) = verified(&ledger, &[], false);
    assert_eq!(code, 0, "emptied by somebody who knows how, it proves nothing by itself: {said}");
    let (code, said) = verified(&ledger, &[kept], false);
    assert!(code == 1 && said.contains("entry 1 is the first that is missing"), "{said}");
}

#[test]
fn what_cannot_be_checked_is_said_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said) = verified(&directory.path().join("nothing.db"), &[], false);
    assert!(code == 74 && said.contains("there is no ledger at"), "{said}");
    let torn = directory.path().join("torn.txt");
    std::fs::write(&torn, "consentry-ledger-1\n7\n").unwrap();
    let (code, said) = verified(Path::new("ledger.db"), &[torn], false);
    assert!(code == 74 && said.contains("it has no signature"), "{said}");
}
