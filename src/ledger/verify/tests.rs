use super::*;
use crate::ledger::checkpoint::Signer;
use crate::ledger::receipt::Layer;
use crate::ledger::retention::announcement;
use crate::ledger::tests::receipts::{notice, receipt};
use crate::ledger::tests::{TAKE_OUT_FORMAT_5, block, entry, stranger};
use crate::ledger::{Audit, Ledger, Settings};
use std::path::PathBuf;
use tempfile::TempDir;

/// A ledger with a few batches, closed.
pub(crate) struct Kept {
    pub(crate) dir: TempDir,
}

impl Kept {
    pub(crate) fn new() -> Self {
        let kept = Self { dir: TempDir::new().unwrap() };
        kept.store(0..30);
        kept
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("ledger.db")
    }

    /// Three batches of entries, each with a receipt.
    pub(crate) fn store(&self, times: std::ops::Range<u64>) {
        let settings = Settings { flush_ms: 60_000, ..Settings::new(self.path()) };
        let ledger = Ledger::open(settings).unwrap();
        ledger.flush().unwrap();
        let mut spool = ledger.spool(0).unwrap();
        spool.archive(&notice(Layer::First, 0, "<p>Ask</p>"));
        spool.archive(&notice(Layer::Choices, 0, "<p>Choose</p>"));
        let audit = Audit { who: "ana".to_owned(), act: "own".to_owned(), ..Audit::default() };
        for time in times {
            spool.append(&entry(time, &format!("/{}", time % 7), [block("a"), stranger("b")]));
            if time % 10 == 9 {
                ledger.audit(&Audit { time_ms: time, ..audit.clone() }).unwrap();
                spool.keep(&receipt(u8::try_from(time).unwrap(), time));
                ledger.flush().unwrap();
            }
        }
        drop(spool);
        ledger.close().unwrap();
    }

    pub(crate) fn tampers(&self, sql: &str) {
        let conn = Connection::open(self.path()).unwrap();
        conn.execute_batch(sql).unwrap();
    }

    pub(crate) fn verified(&self) -> Verified {
        verify(&self.path(), &[], None, |_, _| {}).unwrap()
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint::parse(&latest_checkpoint(&self.path()).unwrap().unwrap()).unwrap()
    }

    pub(crate) fn against(&self, checkpoint: &Checkpoint) -> Verified {
        verify(&self.path(), std::slice::from_ref(checkpoint), None, |_, _| {}).unwrap()
    }

    fn copy(&self) -> Self {
        let copy = Self { dir: TempDir::new().unwrap() };
        for file in ["ledger.db", "ledger.db.signing-key"] {
            std::fs::copy(self.dir.path().join(file), copy.dir.path().join(file)).unwrap();
        }
        copy
    }
}

#[track_caller]
pub(crate) fn first(found: &Verified, kind: &str, words: &str) {
    let fault = found.faults.first().unwrap_or_else(|| panic!("nothing found: {found:?}"));
    assert_eq!(fault.kind, kind, "{found:?}");
    assert!(fault.words.contains(words), "{words}: {found:?}");
}

#[test]
fn f3_an_untouched_ledger_verifies_and_goes_on_verifying() {
    let kept = Kept::new();
    let found = kept.verified();
    assert_eq!(found.faults, []);
    assert_eq!((found.seals, found.checkpoints, found.unsealed_before), (3, 1, 0));
    // One set, thirty entries, three receipts, three audit entries.
    assert_eq!(found.rows, 37);
    let checkpoint = kept.checkpoint();
    kept.store(30..60);
    let found = kept.against(&checkpoint);
    assert_eq!(found.faults, []);
    assert_eq!((found.seals, found.checkpoints), (6, 2));
}

#[test]
fn f3_each_way_to_change_a_row_is_found_and_named() {
    for (sql, kind, words) in [
        ("DELETE FROM entry WHERE id = 17", "gone", "entry 17 is gone"),
        ("UPDATE entry SET class = class + 2 WHERE id = 17", "changed", "entry 17 is not what"),
        ("UPDATE entry SET time_ms = 1 WHERE id = 30", "changed", "entry 30 is not what"),
        ("UPDATE page SET text = '/other' WHERE text = '/3'", "changed", "entry 4 is not what"),
        (
            "UPDATE entry SET id = -1 WHERE id = 12; UPDATE entry SET id = 12 WHERE id = 25;
             UPDATE entry SET id = 25 WHERE id = -1",
            "changed",
            "entry 12 is not what",
        ),
        (
            "INSERT INTO entry SELECT 31, time_ms, site, page, class, undecided, signal, policy, mode, set_id
             FROM entry WHERE id = 30",
            "added",
            "1 row is under no seal, the first of them entry 31",
        ),
        ("UPDATE decision SET verdict = 'allow' WHERE verdict = 'block'", "changed", "set of decisions 1 is not"),
        ("DELETE FROM set_member WHERE decision_id = 1", "changed", "set of decisions 1 is not"),
        ("UPDATE receipt SET granted = 31 WHERE id = 2", "changed", "receipt in row 2 is not"),
        ("DELETE FROM receipt WHERE id = 1", "gone", "receipt in row 1 is gone"),
        ("UPDATE audit SET who = 'ben' WHERE id = 2", "changed", "audit entry 2 is not"),
        ("DELETE FROM audit WHERE id = 1", "gone", "audit entry 1 is gone"),
        (
            "INSERT INTO audit SELECT 4, time_ms, who, role, act, about, detail FROM audit WHERE id = 1",
            "added",
            "the first of them audit entry 4",
        ),
        ("UPDATE seal SET audits = 0 WHERE id = 1", "seal", "seal 1 does not fit"),
        ("DELETE FROM notice WHERE layer = 'choices'", "notice", "receipt in row 1 names, and 2 others"),
        ("UPDATE notice SET site = 'other'", "notice", "the notice that the receipt in row 1"),
        ("UPDATE notice SET html = x'00'", "notice", "the words of notice 1 are not"),
        ("DELETE FROM seal WHERE id = 2", "seal", "seal 2 is gone"),
        ("UPDATE seal SET root = zeroblob(32) WHERE id = 2", "seal", "seal 2 does not fit"),
        ("UPDATE seal SET time_ms = 5 WHERE id = 3", "fork", "somewhere under seal 3; entry 21"),
        ("UPDATE checkpoint SET note = replace(note, 'time 1', 'time 2')", "checkpoint", "signature is wrong"),
    ] {
        let kept = Kept::new();
        kept.tampers(sql);
        first(&kept.verified(), kind, words);
    }
}

#[test]
fn f3_an_inserted_row_shifts_nothing_unseen() {
    let kept = Kept::new();
    kept.tampers(
        "UPDATE entry SET id = id + 1000 WHERE id >= 20; UPDATE entry SET id = id - 999 WHERE id >= 1000;
         INSERT INTO entry SELECT 20, 5, site, page, class, undecided, signal, policy, mode, set_id FROM entry WHERE id = 3",
    );
    first(&kept.verified(), "changed", "entry 20 is not what");
}

#[test]
fn f3_an_announcement_of_pruning_that_the_ledger_did_not_sign_is_not_believed() {
    let stranger = TempDir::new().unwrap();
    let stranger = Signer::open(&stranger.path().join("key")).unwrap();
    for is_signed in [false, true] {
        let kept = Kept::new();
        kept.store(30..33);
        let conn = Connection::open(kept.path()).unwrap();
        let mut detail = serde_json::json!({ "rule": "keep_days = 1", "seals": 4, "entries": 33 });
        if is_signed {
            announcement::sign(&conn, &stranger, 5, &mut detail).unwrap();
        }
        conn.execute(
            "INSERT INTO audit (time_ms, who, role, act, about, detail)
             VALUES (5, 'consentry', 'system', 'prune', 'entries 1 to 33', ?1)",
            [detail.to_string()],
        )
        .unwrap();
        // The writer seals it with what it stores next, and signs that.
        kept.store(40..43);
        let checkpoint = kept.checkpoint();
        kept.tampers(
            "DELETE FROM entry WHERE id BETWEEN 31 AND 33;
             UPDATE seal SET cover = x'', marks = x'' WHERE id = 4",
        );
        for found in [kept.verified(), kept.against(&checkpoint)] {
            first(&found, "gone", "entry 31 is gone");
            let last = found.faults.last().unwrap();
            assert!(last.words.starts_with("audit entry 4 says that rows were pruned, and is not"));
        }
    }
}

#[test]
fn f3_a_row_with_a_number_from_nowhere_is_reported_and_stops_nothing() {
    for (sql, words) in [
        (
            "INSERT INTO gap VALUES (9000000000000000000, 1, 1, 1, 'x')",
            "9000000000000000000 rows are under no seal, the first of them gap 1",
        ),
        (
            "INSERT INTO audit SELECT 9223372036854775806, time_ms, who, role, act, about, detail FROM audit
             WHERE id = 1",
            "the first of them audit entry 4",
        ),
        (
            "UPDATE sqlite_sequence SET seq = 9000000000000000000 WHERE name = 'receipt'",
            "the first of them receipt in row 4",
        ),
    ] {
        let kept = Kept::new();
        kept.tampers(sql);
        first(&kept.verified(), "added", words);
        // The writer goes on, and seals what it stores.
        kept.store(30..40);
        let found = kept.verified();
        assert_eq!(found.seals, 4);
        assert_eq!(found.faults.len(), 1, "{found:?}");
        assert_eq!(found.faults[0].kind, "added", "{found:?}");
    }
    let kept = Kept::new();
    kept.tampers("UPDATE seal SET gaps = 9000000000000000000 WHERE id = 2");
    first(&kept.verified(), "seal", "seal 2 is over more gaps than are ever stored together");
}

/// Somebody who knows how seals are made, and has not the key.
const CUT: &str = "DELETE FROM entry WHERE id > 20; DELETE FROM receipt WHERE id > 2;
    UPDATE sqlite_sequence SET seq = 2 WHERE name = 'receipt'; DELETE FROM seal WHERE id > 2;
    DELETE FROM checkpoint;";

#[test]
fn f3_a_tail_that_was_cut_off_is_found_against_a_kept_checkpoint() {
    let kept = Kept::new();
    let checkpoint = kept.checkpoint();
    kept.tampers(CUT);
    let found = kept.against(&checkpoint);
    first(&found, "cut", "entry 21 is the first that is missing");
    assert!(found.faults[0].words.contains("30 entries; the ledger has 2 seals and 20 entries"));
}

#[test]
fn f3_an_older_copy_is_found_against_a_kept_checkpoint() {
    let kept = Kept::new();
    let older = kept.copy();
    kept.store(30..60);
    let checkpoint = kept.checkpoint();
    assert_eq!(older.verified().faults, [], "alone, an older copy is what it was");
    first(&older.against(&checkpoint), "cut", "entry 31 is the first that is missing");
}

#[test]
fn f3_a_fork_is_found_against_a_kept_checkpoint() {
    let kept = Kept::new();
    let (fork, before) = (kept.copy(), kept.checkpoint());
    kept.store(30..60);
    fork.store(40..70);
    assert_eq!(fork.verified().faults, []);
    let found = fork.against(&kept.checkpoint());
    first(&found, "fork", "under seals 1 to 4; entry 1 is the first that may not be");
    // An older one that fits tells how far all is well.
    let both = [before, kept.checkpoint()];
    let found = verify(&fork.path(), &both, None, |_, _| {}).unwrap();
    first(&found, "fork", "the checkpoint you kept");
    first(&found, "fork", "under seal 4; entry 31 is the first that may not be");
}

#[test]
fn f3_another_key_is_not_the_ledgers() {
    let (kept, other) = (Kept::new(), Kept::new());
    let key = kept.checkpoint().key;
    assert_eq!(verify(&kept.path(), &[], Some(&key), |_, _| {}).unwrap().faults, []);
    let found = verify(&other.path(), &[], Some(&key), |_, _| {}).unwrap();
    first(&found, "checkpoint", "signed with another key");
}

#[test]
fn f3_erasing_a_receipt_keeps_the_rest_verifiable() {
    let kept = Kept::new();
    let ledger = Ledger::open(Settings::new(kept.path())).unwrap();
    let mut spool = ledger.spool(0).unwrap();
    spool.erase(receipt(9, 9).number, 100);
    drop(spool);
    ledger.close().unwrap();
    let found = kept.verified();
    assert_eq!((found.faults, found.erased), (vec![], 1));
}

#[test]
fn what_was_there_before_seals_is_told_to_be_unproved() {
    let kept = Kept::new();
    kept.tampers(&format!(
        "{TAKE_OUT_FORMAT_5} DROP TABLE seal; DROP TABLE tree; DROP TABLE checkpoint;
         UPDATE meta SET schema = 3;"
    ));
    kept.store(30..40);
    let found = kept.verified();
    assert_eq!((found.faults, found.unsealed_before, found.seals), (vec![], 34, 1));
}

#[test]
fn f3_seals_and_checkpoints_of_format_4_go_on_verifying() {
    let dir = TempDir::new().unwrap();
    let old = Connection::open(dir.path().join("ledger.db")).unwrap();
    old.execute_batch(include_str!("../../../tests/ledgers/format-4.sql")).unwrap();
    drop(old);
    let note = include_str!("../../../tests/ledgers/format-4.checkpoint");
    let old = Checkpoint::parse(note).unwrap();
    let kept = Kept { dir };
    kept.store(30..60);
    let found = kept.against(&old);
    assert_eq!((found.faults, found.seals), (vec![], 6));
    kept.tampers("UPDATE entry SET class = class + 2 WHERE id = 17");
    first(&kept.verified(), "changed", "entry 17 is not what");
}
