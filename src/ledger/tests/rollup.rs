//! What is added up is what was stored.

use super::*;
use crate::ledger::tests::receipts::receipt;

const DAY: u64 = 86_400_000;

fn asked(dir: &TempDir, query: &str) -> Vec<String> {
    let conn = Connection::open(settings(dir).path).unwrap();
    let mut query = conn.prepare(query).unwrap();
    let columns = query.column_count();
    let rows = query.query_map([], |row| {
        let texts: Vec<String> = (0..columns)
            .map(|at| match row.get::<_, rusqlite::types::Value>(at).unwrap() {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            })
            .collect();
        Ok(texts.join(" "))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// The same sums, made the slow way.
const VENDORS: &str = "
    SELECT e.time_ms / 86400000, site.text, d.vendor_id, d.kind,
           CASE WHEN d.verdict = 'block' AND mode.text = 'observe' THEN 'would block' ELSE d.verdict END AS v,
           count(*)
    FROM entry e JOIN site ON site.id = e.site JOIN word AS mode ON mode.id = e.mode
    JOIN set_member m ON m.set_id = e.set_id JOIN decision d ON d.id = m.decision_id
    WHERE d.reason <> 'first party' GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5";

#[test]
fn g5_sums_are_what_counting_every_entry_gives() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    for n in 0..3000_u64 {
        let decided = (0..n % 4).map(|k| block(&format!("ads{k}.acme.example/p.js")));
        let strangers = (0..n % 3).map(|k| stranger(&format!("cdn{k}.example/i.gif")));
        spool.append(&Entry {
            time_ms: n * DAY / 1000,
            page: format!("/page-{}", n % 7),
            site: if n % 5 == 0 { "other".into() } else { "shop".into() },
            mode: if n % 11 == 0 { Mode::Observe } else { Mode::Enforce },
            signal: if n % 2 == 0 { Source::Gpc } else { Source::Silence },
            ..entry(0, "/", decided.chain(strangers))
        });
        if n % 500 == 0 {
            ledger.flush().unwrap();
        }
    }
    ledger.flush().unwrap();
    let rolled = "SELECT day, site.text, vendor_id, kind, verdict, times FROM daily_kind
                  JOIN site ON site.id = site ORDER BY 1, 2, 3, 4, 5";
    let direct = asked(&dir, VENDORS);
    assert!(direct.len() > 10);
    assert_eq!(asked(&dir, rolled), direct);
    for table in ["daily_vendor", "daily_purpose"] {
        let sum = format!("SELECT verdict, sum(times) FROM {table} GROUP BY 1 ORDER BY 1");
        let kinds = "SELECT verdict, sum(times) FROM daily_kind GROUP BY 1 ORDER BY 1";
        assert_eq!(asked(&dir, &sum), asked(&dir, kinds));
    }
    assert_eq!(
        asked(&dir, "SELECT sum(views) FROM hourly"),
        asked(&dir, "SELECT count(*) FROM entry")
    );
    assert_eq!(
        asked(&dir, "SELECT set_id, site, page, views, last_ms FROM combination ORDER BY 1, 2, 3"),
        asked(
            &dir,
            "SELECT set_id, site, page, count(*), max(time_ms) FROM entry GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
    );
    // A page on which a vendor has three scripts was seen once, not thrice.
    assert_eq!(
        asked(&dir, "SELECT sum(views) FROM daily_page WHERE vendor_id = 'acme-ads'"),
        asked(
            &dir,
            "SELECT count(DISTINCT e.id) FROM entry e JOIN set_member m ON m.set_id = e.set_id
             JOIN decision d ON d.id = m.decision_id WHERE d.vendor_id = 'acme-ads'"
        )
    );
}

#[test]
fn h6_what_passed_of_an_observed_vendor_is_counted_as_what_would_be_withheld() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let observed = Decision {
        verdict: Verdict::Allow(Basis::Observed(Purpose::Marketing)),
        ..block("ads.example/p.js")
    };
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(
        1,
        "/",
        [observed, block("ads.example/q.js"), stranger("cdn.example/i.gif")],
    ));
    ledger.flush().unwrap();
    assert_eq!(
        asked(&dir, "SELECT verdict, purpose, times FROM daily_purpose ORDER BY 1"),
        ["allow  1", "block marketing 1", "would block marketing 1"]
    );
}

#[test]
fn g3_what_is_new_is_known_with_its_first_page_and_script() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(5, "/a", [stranger("cdn.example/x.js")]));
    ledger.flush().unwrap();
    let by_script =
        Decision { via: Some("shop.example/tags.js".into()), ..block("ads.example/p.js") };
    let cookie = Decision { kind: Kind::Cookie, ..block("_acme") };
    spool.append(&entry(7, "/b", [stranger("cdn.example/y.js"), by_script]));
    spool.append(&entry(9, "/c", [block("ads.example/q.js"), cookie, stranger("data:")]));
    ledger.flush().unwrap();
    let seen = asked(
        &dir,
        "SELECT sort, name, first_ms, last_ms, views, page.text, what, via, vendor_id
         FROM seen JOIN page ON page.id = page ORDER BY seen.id",
    );
    assert_eq!(
        seen,
        [
            "host cdn.example 5 7 2 /a cdn.example/x.js  ",
            "host ads.example 7 9 2 /b ads.example/p.js shop.example/tags.js acme-ads",
            "vendor acme-ads 7 9 2 /b ads.example/p.js shop.example/tags.js acme-ads",
            "cookie _acme 9 9 1 /c _acme  acme-ads",
        ]
    );
}

#[test]
fn g8_choices_are_counted_by_revision_of_the_notice() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    for n in 0..5 {
        spool.keep(&receipt(n, DAY * u64::from(n % 2)));
    }
    ledger.flush().unwrap();
    let sums = "SELECT day, site, act, times FROM daily_choice ORDER BY 1, 2, 3";
    let direct = "SELECT time_ms / 86400000, site, act, count(*) FROM receipt GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    assert_eq!(asked(&dir, sums), asked(&dir, direct));
    assert_eq!(asked(&dir, "SELECT sum(times) FROM daily_choice"), ["5"]);
}

#[test]
fn entries_from_before_there_were_sums_are_added_up() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    (0..50).for_each(|n| spool.append(&entry(n, "/", [block("ads.example/p.js")])));
    drop(spool);
    ledger.close().unwrap();
    let conn = Connection::open(settings(&dir).path).unwrap();
    conn.execute_batch(&format!("{TAKE_OUT_FORMAT_5} UPDATE meta SET schema = 4;")).unwrap();
    drop(conn);
    let ledger = open(&dir);
    ledger.flush().unwrap();
    assert_eq!(asked(&dir, "SELECT sum(views) FROM hourly"), ["50"]);
    assert_eq!(asked(&dir, "SELECT times, vendor FROM daily_vendor"), ["50 Acme Ads"]);
}

/// Reports of browsers that nobody can check.
fn reported(n: u64, host: &str) -> Entry {
    let decision = Decision { layer: Layer::Browser, ..stranger(&format!("{host}/x.js")) };
    entry(n, "/", [decision])
}

#[test]
fn g3_made_up_reports_do_not_keep_what_is_real_from_being_seen() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&reported(1, "real.example"));
    spool.append(&reported(2, "real.example"));
    (0..2500).for_each(|n| spool.append(&reported(10 + n, &format!("made-up-{n}.example"))));
    spool.append(&reported(9000, "late.example"));
    spool.append(&entry(9001, "/", [stranger("on-page.example/x.js")]));
    ledger.flush().unwrap();
    assert_eq!(asked(&dir, "SELECT count(*) FROM seen WHERE reported = 1"), ["2000"]);
    for host in ["real", "late", "on-page"] {
        let found = format!("SELECT count(*) FROM seen WHERE name = '{host}.example'");
        assert_eq!(asked(&dir, &found), ["1"], "{host}");
    }
    // What stands on a page is no longer a rumour.
    spool.append(&entry(9002, "/", [stranger("late.example/x.js")]));
    ledger.flush().unwrap();
    assert_eq!(asked(&dir, "SELECT reported FROM seen WHERE name = 'late.example'"), ["0"]);
}

#[test]
fn f3_an_entry_with_a_number_from_nowhere_stops_no_sum() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(1, "/", [block("ads.example/p.js")]));
    ledger.flush().unwrap();
    let conn = Connection::open(settings(&dir).path).unwrap();
    conn.busy_timeout(Duration::from_secs(5)).unwrap();
    conn.execute_batch(
        "INSERT INTO entry SELECT 4000000000000000000, time_ms, site, page, class, undecided,
             signal, policy, mode, set_id FROM entry",
    )
    .unwrap();
    ledger.flush().unwrap();
    assert_eq!(asked(&dir, "SELECT sum(views) FROM hourly"), ["2"]);
}
