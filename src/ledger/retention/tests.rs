use super::*;
use crate::consent::ReceiptId;
use crate::ledger::read::{Filter, Reader};
use crate::ledger::store::Store;
use crate::ledger::tests::receipts::receipt;
use crate::ledger::tests::{block, entry};
use crate::ledger::verify::Pruned;
use crate::ledger::verify::tests::{Kept, first};
use crate::ledger::{Ledger, Settings, now_ms};

/// Three batches of ten entries and a receipt, and one of three of each.
fn kept() -> Kept {
    let kept = Kept::new();
    kept.store(30..33);
    kept
}

fn pruner(kept: &Kept, retention: Retention) -> Pruner {
    let key = kept.dir.path().join("ledger.db.signing-key");
    Pruner::new(retention, Signer::open(&key).unwrap())
}

/// Prunes as it would happen so many days from now.
fn prune_after(kept: &Kept, days: u64, retention: Retention) {
    let mut store = Store::open(&kept.path(), now_ms()).unwrap();
    let mut pruner = pruner(kept, retention);
    let now_ms = now_ms() + days * DAY_MS;
    while store.prune(&mut pruner, now_ms).unwrap() {}
}

const DAYS_30: Retention = Retention { keep_days: 30, keep_receipts_days: 0, max_bytes: 0 };

fn count(kept: &Kept, table: &str) -> i64 {
    let conn = Connection::open(kept.path()).unwrap();
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn f3_what_was_pruned_is_on_record_and_the_rest_verifies() {
    let kept = kept();
    let checkpoint = kept.checkpoint();
    prune_after(&kept, 29, DAYS_30);
    assert_eq!(count(&kept, "entry"), 33, "not yet");
    prune_after(&kept, 31, DAYS_30);
    assert_eq!((count(&kept, "entry"), count(&kept, "receipt")), (3, 3));
    let found = kept.against(&checkpoint);
    assert_eq!(found.faults, []);
    let told: Vec<_> = found.pruned.iter().map(Pruned::words).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("entries 1 to 30 were pruned by retention on 2"), "{told:?}");
    let audits = Reader::open(kept.path()).unwrap();
    let audits = audits.audits(&Default::default(), 9).unwrap();
    let said = &audits.last().unwrap().audit;
    assert_eq!((said.who.as_str(), said.about.as_str()), ("consentry", "entries 1 to 30"));
    assert_eq!(said.detail["rule"], "keep_days = 30");
    // It goes on, and another day the next ones go.
    kept.store(40..60);
    assert_eq!(kept.against(&checkpoint).faults, []);
    prune_after(&kept, 62, DAYS_30);
    let found = kept.against(&checkpoint);
    assert_eq!(found.faults, []);
    assert!(found.pruned[0].words().contains("entries 1 to 43 were"), "{found:?}");
    assert_eq!(count(&kept, "seal"), 1 + 3 + 1 + 1 + 2 + 1, "each seal stays");
}

#[test]
fn f3_pruning_twice_in_a_day_changes_nothing() {
    let kept = kept();
    prune_after(&kept, 31, DAYS_30);
    let (seals, audits) = (count(&kept, "seal"), count(&kept, "audit"));
    prune_after(&kept, 31, DAYS_30);
    assert_eq!((count(&kept, "seal"), count(&kept, "audit")), (seals, audits));
}

#[test]
fn f3_sums_stay_when_their_entries_go() {
    let kept = kept();
    let views = || {
        let conn = Connection::open(kept.path()).unwrap();
        conn.query_row("SELECT sum(views) FROM hourly", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let ledger = Ledger::open(Settings::new(kept.path())).unwrap();
    ledger.flush().unwrap();
    drop(ledger);
    assert_eq!(views(), 33);
    prune_after(&kept, 31, DAYS_30);
    assert_eq!((views(), count(&kept, "entry")), (33, 3));
}

#[test]
fn f3_sums_of_pages_go_with_the_entries_of_their_day() {
    let kept = kept();
    let ledger = Ledger::open(Settings::new(kept.path())).unwrap();
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(40 * DAY_MS, "/", [block("a")]));
    ledger.flush().unwrap();
    drop(spool);
    ledger.close().unwrap();
    let days = || {
        let conn = Connection::open(kept.path()).unwrap();
        let asked = "SELECT min(day), max(day), (SELECT min(hour) FROM hourly) FROM daily_page";
        conn.query_row(asked, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
    };
    assert_eq!(days(), (0, 40, 0));
    prune_after(&kept, 31, DAYS_30);
    assert_eq!(count(&kept, "entry"), 1);
    assert_eq!(days(), (40, 40, 0), "the others stay");
    assert_eq!(kept.verified().faults, []);
}

#[test]
fn f3_entries_do_not_go_for_what_is_not_theirs() {
    let kept = kept();
    kept.tampers(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
         INSERT INTO page (text) SELECT '/made-up/' || n FROM n",
    );
    let mut store = Store::open(&kept.path(), now_ms()).unwrap();
    let mut pruner = pruner(&kept, Retention { max_bytes: 400_000, ..Retention::default() });
    while store.prune(&mut pruner, now_ms()).unwrap() {}
    assert!(pruner.is_full && pruner.bytes > 400_000, "{pruner:?}");
    assert_eq!(count(&kept, "entry"), 33);
}

#[test]
fn f3_entries_that_no_sum_has_yet_stay() {
    let kept = kept();
    kept.tampers("UPDATE rolled SET entries = 20");
    prune_after(&kept, 31, DAYS_30);
    assert_eq!(count(&kept, "entry"), 13);
}

#[test]
fn f3_what_is_still_to_be_sent_on_stays() {
    let kept = kept();
    let mut store = Store::open(&kept.path(), now_ms()).unwrap();
    let mut pruner = pruner(&kept, DAYS_30);
    pruner.sent_seals = 2;
    while store.prune(&mut pruner, now_ms() + 31 * DAY_MS).unwrap() {}
    assert_eq!(count(&kept, "entry"), 13);
    assert_eq!(kept.verified().faults, []);
}

#[test]
fn f3_receipts_have_a_time_of_their_own() {
    let kept = kept();
    let both = Retention { keep_receipts_days: 60, ..DAYS_30 };
    prune_after(&kept, 31, both);
    assert_eq!((count(&kept, "entry"), count(&kept, "receipt")), (3, 3));
    prune_after(&kept, 61, both);
    assert_eq!((count(&kept, "entry"), count(&kept, "receipt")), (3, 0));
    let found = kept.verified();
    assert_eq!(found.faults, []);
    let told: Vec<_> = found.pruned.iter().map(|pruned| (pruned.rows, pruned.last)).collect();
    assert_eq!(told, [("entries", 30), ("receipts", 3)]);
    // Numbers are not given out twice.
    kept.store(33..40);
    assert_eq!(kept.verified().faults, []);
}

#[test]
fn f3_receipts_go_when_it_is_time_though_the_newest_was_erased_before() {
    let kept = Kept::new();
    let ledger = Ledger::open(Settings { flush_ms: 60_000, ..Settings::new(kept.path()) }).unwrap();
    let mut spool = ledger.spool(0).unwrap();
    (91..=93).for_each(|number| spool.keep(&receipt(number, 7)));
    ledger.flush().unwrap();
    spool.erase(ReceiptId::new([93; 16]), 9);
    spool.append(&entry(9, "/", [block("a")]));
    drop(spool);
    ledger.flush().unwrap();
    ledger.close().unwrap();
    assert_eq!(count(&kept, "receipt"), 5);
    prune_after(&kept, 61, Retention { keep_receipts_days: 60, ..Retention::default() });
    assert_eq!(count(&kept, "receipt"), 0);
}

#[test]
fn f3_whoever_takes_rows_away_is_still_found_out() {
    for (sql, kind, words) in [
        ("DELETE FROM receipt WHERE id = 2", "gone", "receipt in row 2 is gone"),
        ("UPDATE receipt SET granted = 31 WHERE id = 2", "changed", "receipt in row 2 is not"),
        ("DELETE FROM entry WHERE id = 32", "gone", "entry 32 is gone"),
        (
            "INSERT INTO entry SELECT 7, time_ms, site, page, class, undecided, signal, policy, mode, set_id
             FROM entry WHERE id = 33",
            "added",
            "entry 7 stands where a row was pruned",
        ),
        ("UPDATE seal SET cover = x'' WHERE id = 2", "added", "receipt in row 2 stands"),
        ("UPDATE seal SET cover = NULL WHERE id = 2", "gone", "entry 11 is gone"),
        ("UPDATE seal SET cover = zeroblob(length(cover)) WHERE id = 2", "gone", "entry 12 is gone"),
        ("DELETE FROM audit WHERE act = 'prune'", "gone", "entry 1 is gone"),
        // Somebody who knows how rows are pruned, and takes more.
        (
            "DELETE FROM entry WHERE id > 30; UPDATE seal SET cover = x'' WHERE id = 4",
            "gone",
            "entry 31 is gone",
        ),
        (
            "DELETE FROM entry WHERE id = 31; UPDATE audit SET detail = json_set(detail, '$.entries', 33)
             WHERE act = 'prune'; UPDATE seal SET cover = x'' WHERE id = 4",
            "gone",
            "entry 1 is gone",
        ),
        (
            "DELETE FROM entry WHERE id > 30; UPDATE seal SET cover = x'' WHERE id = 4;
             UPDATE audit SET detail = json_set(detail, '$.entries', 33) WHERE act = 'prune'",
            "gone",
            "entry 1 is gone",
        ),
    ] {
        let kept = kept();
        prune_after(&kept, 31, DAYS_30);
        assert_eq!(kept.verified().faults, []);
        kept.tampers(sql);
        first(&kept.verified(), kind, words);
    }
}

#[test]
fn f3_what_was_changed_before_is_not_pruned_away() {
    let kept = kept();
    kept.tampers("UPDATE entry SET class = class + 2 WHERE id = 17");
    prune_after(&kept, 31, DAYS_30);
    assert_eq!(count(&kept, "entry"), 3 + 10);
    first(&kept.verified(), "changed", "entry 17 is not what");
}

#[test]
fn f3_sets_that_no_entry_names_go_and_come_again() {
    let kept = Kept::new();
    let settings = Settings { flush_ms: 60_000, ..Settings::new(kept.path()) };
    let ledger = Ledger::open(settings.clone()).unwrap();
    // Its owner lives on, and never stores anything itself.
    let mut spool = ledger.spool(0).unwrap();
    // A, B and C in one seal.
    for (time, what) in [(100, "x"), (101, "y"), (102, "z")] {
        spool.append(&entry(time, "/", [block(what), block("shared")]));
    }
    ledger.flush().unwrap();
    for (time, what) in [(200, "y"), (201, "w")] {
        spool.append(&entry(time, "/", [block(what), block("shared")]));
    }
    ledger.flush().unwrap();
    assert_eq!((count(&kept, "decision_set"), count(&kept, "decision")), (5, 7));
    drop(ledger);
    let checkpoint = kept.checkpoint();
    prune_after(&kept, 31, DAYS_30);
    // Of the first ones, and A and C; B is named by what is left.
    assert_eq!((count(&kept, "decision_set"), count(&kept, "decision")), (2, 3));
    assert_eq!(count(&kept, "combination"), 2);
    let found = kept.against(&checkpoint);
    assert_eq!(found.faults, []);
    let told: Vec<_> = found.pruned.iter().map(Pruned::words).collect();
    assert!(told[0].starts_with("3 of the sets of decisions 1 to 4 were pruned"), "{told:?}");
    // The worker believes that A is in the ledger.
    let ledger = Ledger::open(settings).unwrap();
    spool.append(&entry(300, "/", [block("x"), block("shared")]));
    ledger.flush().unwrap();
    let lines = Reader::open(kept.path()).unwrap().block_log(&Filter::default(), 99).unwrap();
    assert!(lines.iter().any(|line| line.what == "x" && line.time_ms == 300), "{lines:?}");
    assert_eq!(ledger.status().lost_entries, 0);
    drop(spool);
    ledger.close().unwrap();
    assert_eq!(kept.against(&checkpoint).faults, []);
    kept.tampers(
        "PRAGMA foreign_keys = off; DELETE FROM decision_set WHERE id = 3; UPDATE seal SET cover = x'' WHERE id = 4",
    );
    first(&kept.verified(), "gone", "set of decisions 3 is gone, and entry 34 still names it");
}

#[test]
fn f3_a_ledger_that_is_too_large_loses_its_oldest_entries_and_its_file_shrinks() {
    let kept = Kept::new();
    let room = Settings { flush_ms: 60_000, ..Settings::new(kept.path()) };
    let ledger = Ledger::open(room.clone()).unwrap();
    let mut spool = ledger.spool(0).unwrap();
    for batch in 0..40 {
        for n in 0..500 {
            spool.append(&entry(1000 + batch * 500 + n, "/", [block("a")]));
        }
        ledger.flush().unwrap();
    }
    drop(spool);
    ledger.close().unwrap();
    let length = || std::fs::metadata(kept.path()).unwrap().len();
    let (checkpoint, before, all) = (kept.checkpoint(), length(), count(&kept, "entry"));
    let max_bytes = before * 2 / 3;
    let retention = Retention { max_bytes, ..Retention::default() };
    let ledger = Ledger::open(Settings { retention, flush_ms: 5, ..room }).unwrap();
    let since = std::time::Instant::now();
    while ledger.status().database_bytes > max_bytes || ledger.status().database_bytes == 0 {
        assert!(since.elapsed().as_secs() < 20, "{:?}", ledger.status());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(!ledger.status().is_full);
    ledger.close().unwrap();
    assert!(length() <= max_bytes, "{} of {before}", length());
    let left = count(&kept, "entry");
    assert!(left > all / 3 && left < all, "{left} of {all}");
    let found = kept.against(&checkpoint);
    assert_eq!(found.faults, []);
    let lines = Reader::open(kept.path()).unwrap().block_log(&Filter::default(), 1).unwrap();
    assert_eq!(lines[0].time_ms, 1000 + 40 * 500 - 1, "the newest stay");
}

#[test]
fn a_ledger_in_which_nothing_may_go_says_that_it_is_too_large() {
    let kept = kept();
    let retention = Retention { max_bytes: 4096, ..Retention::default() };
    let ledger = Ledger::open(Settings { retention, ..Settings::new(kept.path()) }).unwrap();
    let since = std::time::Instant::now();
    while !ledger.status().is_full {
        assert!(since.elapsed().as_secs() < 20, "{:?}", ledger.status());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(99, "/", [block("a")]));
    drop(spool);
    ledger.close().unwrap();
    let lines = Reader::open(kept.path()).unwrap().block_log(&Filter::default(), 1).unwrap();
    assert_eq!(lines[0].time_ms, 99, "and still takes what comes");
}
