//! A shared ledger that strangers wrote into, or that is not as we made it.

use super::postgres::Postgres;
use super::{all_sent, entry, now_ms, one, open, status, until};

use consentry::ledger::Entry;
use consentry::ledger::engine::Engine;
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
    let Some(postgres) = Postgres::start() else { return };
    let (_directory, ledger) = one(&postgres);
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

#[test]
fn tables_that_somebody_changed_are_not_blamed_on_the_proxys_own_ledger() {
    let Some(postgres) = Postgres::start() else { return };
    let (_directory, ledger) = one(&postgres);
    let mut spool = ledger.spool(0).unwrap();
    all_sent(&ledger);
    postgres.sql(
        "CREATE FUNCTION swallow() RETURNS TRIGGER LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER swallow BEFORE INSERT ON site FOR EACH ROW EXECUTE FUNCTION swallow()",
    );
    spool.append(&entry(now_ms(), "/", "x"));
    let says = |words: &str| {
        until(words, || status(&ledger).last_error.is_some_and(|why| why.contains(words)));
        let said = status(&ledger).last_error.unwrap_or_default();
        assert!(!said.contains("own ledger"), "{said}");
    };
    says("answers otherwise than it can (a row of `site` is missing)");
    postgres.sql("DROP TRIGGER swallow ON site");
    postgres.sql("ALTER TABLE shipped ALTER last_id TYPE DOUBLE PRECISION");
    says("answers otherwise than it can (");
    postgres.sql("ALTER TABLE shipped ALTER last_id TYPE BIGINT");
    all_sent(&ledger);
    assert_eq!(postgres.number("SELECT count(*) FROM entry"), 1);
}

#[test]
fn two_proxies_may_make_the_partition_of_a_month_at_once() {
    let Some(postgres) = Postgres::start() else { return };
    let directory = TempDir::new().unwrap();
    all_sent(&open(directory.path(), &postgres.url()));
    let make = "SELECT make_partition(1900000000000)";
    std::thread::scope(|scope| {
        let first = scope.spawn(|| postgres.sql(&format!("{make}; SELECT pg_sleep(3)")));
        until("it is not made", || {
            postgres.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
                == 1
        });
        postgres.sql(make);
        first.join().unwrap();
    });
    let made = "SELECT count(*) FROM pg_class WHERE relname = 'entry_2030_03'";
    assert_eq!(postgres.number(made), 1);
}

#[test]
fn f3_a_ledger_whose_last_sent_seal_is_gone_is_not_sent() {
    let Some(postgres) = Postgres::start() else { return };
    let directory = TempDir::new().unwrap();
    let fill = |ledger: &consentry::ledger::Ledger, page: &str| {
        ledger.spool(0).unwrap().append(&entry(now_ms(), page, "x"));
        ledger.flush().unwrap();
    };
    let ledger = open(directory.path(), &postgres.url());
    fill(&ledger, "/first");
    all_sent(&ledger);
    let sent = postgres.number("SELECT max(id) FROM seal");
    postgres.down("fast");
    fill(&ledger, "/second");
    let path = ledger.path().to_owned();
    ledger.close().unwrap();
    let own = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(own.execute("DELETE FROM seal WHERE id = ?1", [sent]).unwrap(), 1);
    drop(own);
    postgres.up();
    let newest = Engine::open(&path).unwrap().rows("SELECT max(id) FROM seal", &[]).unwrap();
    assert!(newest[0].int(0).unwrap() > sent);
    let ledger = open(directory.path(), &postgres.url());
    until("it is not said", || {
        status(&ledger).last_error.is_some_and(|why| why.contains("differs or is gone"))
    });
    assert_eq!(postgres.number("SELECT count(*) FROM entry"), 1);
}
