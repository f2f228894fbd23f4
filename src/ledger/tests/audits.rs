//! Audit entries: what people did is on record before it counts as done.

use super::*;
use crate::ledger::audit::{AuditFilter, Audited};

use serde_json::json;

fn audit(time_ms: u64, who: &str, act: &str, about: &str) -> Audit {
    Audit {
        time_ms,
        who: who.to_owned(),
        role: "officer".to_owned(),
        act: act.to_owned(),
        about: about.to_owned(),
        detail: json!({ "before": null, "after": "marketing \u{1b}[2J" }),
    }
}

fn audits(dir: &TempDir, filter: &AuditFilter) -> Vec<Audited> {
    Reader::open(settings(dir).path).unwrap().audits(filter, usize::MAX).unwrap()
}

#[test]
fn g5_what_somebody_did_comes_back_as_it_was_told() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let told = audit(10, "ana", "classify", "ads.example");
    ledger.audit(&told).unwrap();
    ledger.flush().unwrap();
    assert_eq!(audits(&dir, &AuditFilter::default()), [Audited { id: 1, audit: told }]);
    let status = ledger.status();
    assert_eq!((status.written_entries, status.lost_entries), (0, 0));
    ledger.close().unwrap();
    assert_eq!(spool_files(&dir), [] as [PathBuf; 0], "nothing is left behind");
}

#[test]
fn g5_each_filter_finds_its_own_and_pages_can_be_turned() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    for (time_ms, who, act, about) in [
        (10, "ana", "classify", "ads.example"),
        (20, "ben", "classify", "maps.example"),
        (30, "ana", "own", "ads.example"),
    ] {
        ledger.audit(&audit(time_ms, who, act, about)).unwrap();
    }
    ledger.flush().unwrap();
    let text = |text: &str| Some(text.to_owned());
    let none = AuditFilter::default();
    for (filter, expected) in [
        (none.clone(), &[1, 2, 3][..]),
        (AuditFilter { since_ms: Some(20), ..none.clone() }, &[2, 3]),
        (AuditFilter { until_ms: Some(20), ..none.clone() }, &[1]),
        (AuditFilter { who: text("ana"), ..none.clone() }, &[1, 3]),
        (AuditFilter { who: text("ana"), act: text("own"), ..none.clone() }, &[3]),
        (AuditFilter { about: text("maps.example"), ..none.clone() }, &[2]),
        (AuditFilter { about: text("maps"), ..none.clone() }, &[]),
        (AuditFilter { after_id: Some(1), before_id: Some(3), ..none.clone() }, &[2]),
    ] {
        let found: Vec<_> = audits(&dir, &filter).iter().map(|found| found.id).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let newest = Reader::open(settings(&dir).path).unwrap().audits(&none, 2).unwrap();
    assert_eq!(newest.iter().map(|found| found.id).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn g5_any_thread_may_tell_and_nothing_is_lost() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                for n in 0..25 {
                    ledger.audit(&audit(thread * 25 + n, "ana", "own", "x")).unwrap();
                }
            });
        }
    });
    ledger.close().unwrap();
    let mut times: Vec<_> =
        audits(&dir, &AuditFilter::default()).iter().map(|found| found.audit.time_ms).collect();
    times.sort_unstable();
    assert_eq!(times, (0..100).collect::<Vec<_>>());
}

#[test]
fn g5_a_killed_process_has_kept_what_it_acknowledged() {
    let dir = TempDir::new().unwrap();
    let other = Connection::open(settings(&dir).path);
    let ledger = open(&dir);
    // Nobody can store it, and still it is on disk.
    let lock = other.unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    ledger.audit(&audit(10, "ana", "own", "x")).unwrap();
    let spooled: Vec<u8> = spool_files(&dir).iter().flat_map(|f| fs::read(f).unwrap()).collect();
    assert!(memchr::memmem::find(&spooled, b"{\"audit\":{\"t\":10,").is_some());
    drop(ledger);
    drop(lock);
    open(&dir).close().unwrap();
    assert_eq!(audits(&dir, &AuditFilter::default()).len(), 1);
}

#[test]
fn g5_what_cannot_be_put_on_record_is_refused() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let long = audit(10, &"x".repeat(65 * 1024), "own", "x");
    let error = ledger.audit(&long).unwrap_err().to_string();
    assert!(error.contains("longer than 65536 bytes") && error.contains("was not done"), "{error}");
    let mut spool = ledger.spool(7).unwrap();
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    spool.replace_sink(Some(Box::new(full)));
    *ledger.audits.lock().unwrap() = Some(spool);
    let error = ledger.audit(&audit(10, "ana", "own", "x")).unwrap_err().to_string();
    assert!(error.contains("No space left"), "{error}");
    assert_eq!(ledger.status().lost_entries, 0, "nobody was told that it was done");
}
