//! A shared ledger that strangers wrote into, or that is not as we made it.

use super::postgres::{self, Postgres};
use super::{all_sent, entry, now_ms, open};

use consentry::ledger::Entry;
use consentry::policy::{Decisions, Layer};
use tempfile::TempDir;

/// The same, as a browser reports it, which anybody can make up.
fn reported(time_ms: u64, host: &str) -> Entry {
    let entry = entry(time_ms, "/", &format!("{host}/x.gif"));
    let mut decisions = Decisions::default();
    let all = entry.decisions.iter().cloned();
    decisions.extend(all.map(|mut decision| {
        decision.layer = Layer::Browser;
        decision
    }));
    Entry { decisions, ..entry }
}

#[test]
fn g3_made_up_reports_do_not_keep_what_is_real_from_being_seen_by_anybody() {
    if !postgres::is_here() {
        return;
    }
    let postgres = Postgres::start();
    let directory = TempDir::new().unwrap();
    let ledger = open(directory.path(), &postgres.url());
    let mut spool = ledger.spool(0).unwrap();
    let start = now_ms() - 60_000;
    spool.append(&reported(start + 1, "real.example"));
    spool.append(&reported(start + 2, "real.example"));
    (0..2500)
        .for_each(|n| spool.append(&reported(start + 10 + n, &format!("made-up-{n}.example"))));
    all_sent(&ledger);
    let rumours = "SELECT count(*) FROM seen WHERE reported = 1";
    assert_eq!(postgres.number(rumours), 2000);
    spool.append(&reported(start + 9000, "late.example"));
    spool.append(&entry(start + 9001, "/", "on-page.example/x.gif"));
    all_sent(&ledger);
    assert_eq!(postgres.number(rumours), 2000);
    for host in ["real", "late", "on-page"] {
        let found = format!("SELECT count(*) FROM seen WHERE name = '{host}.example'");
        assert_eq!(postgres.number(&found), 1, "{host}");
    }
    // What stands on a page is no longer a rumour.
    spool.append(&entry(start + 9002, "/", "late.example/x.gif"));
    all_sent(&ledger);
    let late = "SELECT reported FROM seen WHERE name = 'late.example'";
    assert_eq!(postgres.number(late), 0);
}
