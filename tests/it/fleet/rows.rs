//! What gets into the shared ledger, and that nothing else does.

use super::postgres::Postgres;
use super::{
    all_sent, content, engine, entry, now_ms, one, open, own, place, status, together, two, until,
};

use consentry::ledger::engine::Engine;
use tempfile::TempDir;

#[test]
fn an_entry_is_in_the_shared_ledger_as_it_is_in_the_proxys_own() {
    let Some(postgres) = Postgres::start() else { return };
    let (directories, ledgers) = two(&postgres);
    for (number, ledger) in ledgers.iter().enumerate() {
        let mut spool = ledger.spool(0).unwrap();
        for time in 0..50 {
            // What both met is stored once, and each has something of its own.
            let what = if time % 2 == 0 { "both".to_owned() } else { format!("own{number}") };
            spool.append(&entry(now_ms(), "/shoes", &what));
        }
        all_sent(ledger);
    }
    let shared = content(&engine(&postgres));
    assert_eq!(shared.values().sum::<usize>(), 100);
    assert_eq!(shared, together(directories.each_ref().map(|directory| own(directory.path()))));
    assert_eq!(postgres.number("SELECT count(*) FROM decision"), 3);
    assert_eq!(postgres.number("SELECT sum(views) FROM hourly"), 100);
    assert_eq!(postgres.number("SELECT count(*) FROM entry_other"), 0);
}

#[test]
fn entries_of_which_each_has_decisions_of_its_own_are_added_up_like_any() {
    let Some(postgres) = Postgres::start() else { return };
    let (_directory, ledger) = one(&postgres);
    let mut spool = ledger.spool(0).unwrap();
    // The sums of more sets than are looked up at once, some met again.
    for number in 0..3_000_u64 {
        let what = format!("host{}.example/x.gif", number % 1_700);
        spool.append(&entry(now_ms(), "/", &what));
    }
    all_sent(&ledger);
    let sums = "SELECT (SELECT sum(views) FROM hourly), (SELECT sum(views) FROM combination),
        (SELECT sum(times) FROM daily_kind), (SELECT count(*) FROM seen), (SELECT sum(views) FROM seen)";
    assert_eq!(postgres.sql(sums), ["3000|3000|3000|1700|3000"]);
}

#[test]
fn no_text_of_a_stranger_keeps_the_others_back() {
    let Some(postgres) = Postgres::start() else { return };
    let (directory, ledger) = one(&postgres);
    let mut spool = ledger.spool(0).unwrap();
    let long: String =
        (0..20_000_u32).map(|number| char::from(b'!' + (number % 90) as u8)).collect();
    for page in ["/a\0b", "/\u{f0000}0", "/'; DROP TABLE entry; --", "/\u{202e}\u{1b}[2J", &long] {
        spool.append(&entry(now_ms(), page, "x"));
        spool.append(&entry(now_ms(), "/", page));
    }
    // Clocks that are wrong.
    for time in [0, 1, u64::MAX / 2, 253_402_300_800_000, now_ms() + 400 * 24 * 60 * 60 * 1000] {
        spool.append(&entry(time, "/clock", "x"));
    }
    all_sent(&ledger);
    assert_eq!(status(&ledger).last_error, None);
    assert_eq!(content(&engine(&postgres)), own(directory.path()));
}

#[test]
fn two_processes_with_one_ledger_send_everything_once() {
    let Some(postgres) = Postgres::start() else { return };
    let directory = TempDir::new().unwrap();
    let ledgers = [0, 1, 2].map(|_| open(directory.path(), &postgres.url()));
    for round in 0..20 {
        for (worker, ledger) in ledgers.iter().enumerate() {
            let mut spool = ledger.spool(worker).unwrap();
            for number in 0..25 {
                spool.append(&entry(now_ms(), &format!("/{round}"), &format!("{number}")));
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    for ledger in &ledgers {
        all_sent(ledger);
    }
    assert_eq!(postgres.number("SELECT count(*) FROM entry"), 20 * 25 * 3);
    assert_eq!(postgres.number("SELECT count(*) FROM node"), 1);
    assert_eq!(content(&engine(&postgres)), own(directory.path()));
    // Every row can be followed to the node's own.
    assert_eq!(
        postgres.number(
            "SELECT count(*) FROM entry e JOIN shipment s ON e.id BETWEEN s.first_id AND s.last_id
             WHERE e.id - s.first_id + s.first_local BETWEEN 1 AND 1500"
        ),
        20 * 25 * 3
    );
}

#[test]
fn a_newer_format_is_refused_in_words_and_waited_for() {
    let Some(postgres) = Postgres::start() else { return };
    let (directory, ledger) = one(&postgres);
    all_sent(&ledger);
    drop(ledger);
    postgres.sql("UPDATE meta SET schema = 99");
    let ledger = open(directory.path(), &postgres.url());
    ledger.spool(0).unwrap().append(&entry(now_ms(), "/", "x"));
    until("it is not said", || {
        status(&ledger)
            .last_error
            .is_some_and(|why| why.contains("format 99") && why.contains("update it"))
    });
    ledger.flush().unwrap();
    until("nobody knows what waits", || status(&ledger).behind_entries == 1);
    let refused = Engine::connect(&place(&postgres.url())).unwrap_err().to_string();
    assert!(refused.contains("format 99"), "{refused}");
    postgres.sql("UPDATE meta SET schema = 1");
    all_sent(&ledger);
    assert_eq!(postgres.number("SELECT count(*) FROM entry"), 1);
}

#[test]
fn a_ledger_that_was_put_back_to_an_older_state_is_not_mixed_with_the_old_one() {
    let Some(postgres) = Postgres::start() else { return };
    let directory = TempDir::new().unwrap();
    let fill = |ledger: &consentry::ledger::Ledger, page: &str| {
        ledger.spool(0).unwrap().append(&entry(now_ms(), page, "x"));
        all_sent(ledger);
    };
    let ledger = open(directory.path(), &postgres.url());
    fill(&ledger, "/first");
    ledger.close().unwrap();
    let file = directory.path().join("ledger.db");
    let backup = std::fs::read(&file).unwrap();
    let ledger = open(directory.path(), &postgres.url());
    fill(&ledger, "/second");
    ledger.close().unwrap();
    for rest in ["ledger.db-wal", "ledger.db-shm"] {
        std::fs::remove_file(directory.path().join(rest)).ok();
    }
    std::fs::write(&file, backup).unwrap();
    let ledger = open(directory.path(), &postgres.url());
    ledger.spool(0).unwrap().append(&entry(now_ms(), "/third", "x"));
    ledger.flush().unwrap();
    until("it is not said", || {
        status(&ledger).last_error.is_some_and(|why| why.contains("restored from a backup"))
    });
    drop(ledger);
    // With another ledger, of the same key, it goes on.
    std::fs::remove_file(&file).unwrap();
    let ledger = open(directory.path(), &postgres.url());
    fill(&ledger, "/fourth");
    let pages =
        postgres.sql("SELECT page.text FROM entry e JOIN page ON page.id = e.page ORDER BY e.id");
    assert_eq!(pages, ["/first", "/second", "/fourth"]);
    assert_eq!(postgres.number("SELECT count(DISTINCT name) FROM node"), 1);
}

#[test]
fn a_ledger_that_is_begun_anew_is_sent_from_then_on() {
    let Some(postgres) = Postgres::start() else { return };
    let (directory, ledger) = one(&postgres);
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(now_ms(), "/before", "x"));
    all_sent(&ledger);
    std::fs::rename(ledger.path(), directory.path().join("aside.db")).unwrap();
    spool.append(&entry(now_ms(), "/after", "x"));
    let after = "SELECT count(*) FROM entry e JOIN page ON page.id = e.page WHERE text = '/after'";
    until("what came after it is not sent", || postgres.number(after) == 1);
    assert_eq!(postgres.number("SELECT count(*) FROM node"), 2);
    until("it is not well again", || status(&ledger).connected);
}

#[test]
fn whoever_reads_cannot_change_anything() {
    let Some(postgres) = Postgres::start() else { return };
    let (_directory, ledger) = one(&postgres);
    all_sent(&ledger);
    let engine = engine(&postgres);
    assert!(engine.rows("DELETE FROM node", &[]).is_err());
    let values =
        [(-7).into(), "ü\0?1".into(), vec![0, 255].into(), consentry::ledger::engine::Value::Null];
    let rows = engine
        .rows(
            "SELECT ?1, ?2, ?3, ?4, '?9', 1 = 1, CAST(sum(n) AS BIGINT)
             FROM (SELECT 3 AS n UNION ALL SELECT 4) x",
            &values,
        )
        .unwrap();
    assert_eq!((rows[0].int(0).unwrap(), rows[0].text(1).unwrap()), (-7, "ü\0?1"));
    assert_eq!(rows[0].bytes(2).unwrap(), [0, 255]);
    assert!(rows[0].text(3).unwrap_err().to_string().contains("nothing"));
    assert_eq!((rows[0].text(4).unwrap(), rows[0].int(5).unwrap()), ("?9", 1));
    assert_eq!(rows[0].int(6).unwrap(), 7);
    // The server is started anew: nobody who reads has to be.
    postgres.down("fast");
    let said = engine.rows("SELECT 1", &[]).unwrap_err().to_string();
    assert!(said.contains("cannot be reached") && !said.contains("s3cret"), "{said}");
    postgres.up();
    assert_eq!(engine.rows("SELECT 1", &[]).unwrap().len(), 1);
    postgres.down("immediate");
    postgres.up();
    assert_eq!(engine.rows("SELECT 1", &[]).unwrap().len(), 1);
}

/// `cargo test --test it how_fast -- --ignored --nocapture` prints it.
#[test]
#[ignore = "it measures"]
fn how_fast_entries_are_sent_and_how_large_they_are() {
    const ENTRIES: u64 = 300_000;
    let Some(postgres) = Postgres::start() else { return };
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = consentry::ledger::Ledger::open(consentry::ledger::Settings::new(&path)).unwrap();
    let mut spool = ledger.spool(0).unwrap();
    let start = now_ms() - ENTRIES * 50;
    for number in 0..ENTRIES {
        let page = format!("/shop/{}", number * 7919 % 400);
        let what = format!("cdn{}.example/lib.js", number * 104_729 % 60);
        spool.append(&entry(start + number * 50, &page, &what));
        if number % 50_000 == 0 {
            ledger.flush().unwrap();
        }
    }
    drop(spool);
    ledger.flush().unwrap();
    drop(ledger);
    let since = std::time::Instant::now();
    let ledger = open(directory.path(), &postgres.url());
    until("not everything is sent", || {
        ledger.shipped().unwrap().entries >= ENTRIES as i64 && status(&ledger).connected
    });
    let took = since.elapsed();
    let parts = "(SELECT inhrelid FROM pg_inherits WHERE inhparent = 'entry'::regclass)";
    let sizes = postgres.sql(&format!(
        "SELECT sum(pg_relation_size(inhrelid)), sum(pg_indexes_size(inhrelid)) FROM {parts} p"
    ));
    let all = postgres.number("SELECT pg_database_size(current_database())");
    println!(
        "{ENTRIES} entries in {took:.1?}, {:.0} a second; heap and indexes of entries: {sizes:?} bytes; database {all}",
        ENTRIES as f64 / took.as_secs_f64()
    );
}
