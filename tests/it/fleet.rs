//! One ledger for many proxies: nothing lost, nothing twice, and nobody waits.

pub(crate) mod postgres;
mod erasing;
mod odd;
mod outage;
mod reading;
mod rows;

use crate::program::{Program, Setup};
use postgres::Postgres;

use consentry::catalogue::Kind;
use consentry::consent::Source;
use consentry::ledger::engine::Engine;
use consentry::ledger::fleet::{Place, Status};
use consentry::ledger::{Entry, Ledger, Settings};
use consentry::policy::{Basis, Decision, Decisions, Layer, Mode, Verdict};
use consentry::purpose::PurposeSet;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn place(url: &str) -> Place {
    Place::parse(url, None).unwrap()
}

fn engine(postgres: &Postgres) -> Engine {
    Engine::connect(&place(&postgres.url())).unwrap()
}

/// A proxy's own ledger, in a directory, that sends what it has.
fn open(directory: &Path, url: &str) -> Ledger {
    let settings = Settings {
        fleet: Some(place(url)),
        flush_ms: 20,
        ..Settings::new(directory.join("ledger.db"))
    };
    Ledger::open(settings).unwrap()
}

/// A proxy's own ledger, in a directory of its own, that sends what it has.
fn one(postgres: &Postgres) -> (TempDir, Ledger) {
    let directory = TempDir::new().unwrap();
    let ledger = open(directory.path(), &postgres.url());
    (directory, ledger)
}

/// The ledgers of two proxies.
fn two(postgres: &Postgres) -> ([TempDir; 2], [Ledger; 2]) {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let ledgers = directories.each_ref().map(|directory| open(directory.path(), &postgres.url()));
    (directories, ledgers)
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn status(ledger: &Ledger) -> Status {
    ledger.status().fleet.unwrap()
}

/// Waits until everything that was appended is in the shared ledger.
fn all_sent(ledger: &Ledger) {
    ledger.flush().unwrap();
    let entries = Engine::open(ledger.path())
        .and_then(|engine| engine.rows("SELECT coalesce(max(id), 0) FROM entry", &[]))
        .and_then(|rows| rows[0].int(0))
        .unwrap();
    until("not everything is sent", || {
        let status = status(ledger);
        status.connected
            && ledger.shipped().unwrap().entries >= entries
            && status.behind_entries == 0
    });
}

/// An image that nobody knows, let through on a page.
fn entry(time_ms: u64, page: &str, what: &str) -> Entry {
    let mut decisions = Decisions::default();
    decisions.extend([Decision {
        verdict: Verdict::Allow(Basis::Unlisted),
        layer: Layer::Html,
        kind: Kind::Image,
        what: what.to_owned(),
        vendor: None,
        rule: None,
        via: None,
        exception: None,
    }]);
    Entry {
        time_ms,
        site: "shop".into(),
        page: page.to_owned(),
        class: PurposeSet::NECESSARY,
        undecided: true,
        signal: Source::Silence,
        policy_revision: "0123456789".into(),
        mode: Mode::Enforce,
        decisions,
    }
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A program that sends its entries there.
fn proxy(origin: SocketAddr, url: &str) -> Setup {
    Setup::new(origin, &format!("[ledger]\npostgres_url = {url:?}"))
}

/// What the admin listener says.
async fn asked(program: &Program, path: &str) -> String {
    crate::harness::visitor_at(program.admin).opens(path).await.body
}

async fn fleet_of(program: &Program) -> serde_json::Value {
    let ready: serde_json::Value = serde_json::from_str(&asked(program, "/readyz").await).unwrap();
    ready["ledger"]["fleet"].clone()
}

/// Every entry of a database with all that is known of it, and how often it is
/// there. Numbers mean nothing: each database has its own.
fn content(engine: &Engine) -> BTreeMap<String, usize> {
    let rows = engine
        .rows(
            "SELECT e.time_ms, site.text, page.text, e.class, e.undecided, s.text, m.text,
                 revision.text, d.what, d.verdict, d.reason, d.vendor
             FROM entry e JOIN site ON site.id = e.site JOIN page ON page.id = e.page
             JOIN word s ON s.id = e.signal JOIN word m ON m.id = e.mode
             JOIN revision ON revision.id = e.policy
             JOIN set_member ON set_member.set_id = e.set_id
             JOIN decision d ON d.id = set_member.decision_id",
            &[],
        )
        .unwrap();
    let mut content = BTreeMap::new();
    for row in rows {
        *content.entry(format!("{row:?}")).or_insert(0) += 1;
    }
    content
}

fn own(directory: &Path) -> BTreeMap<String, usize> {
    content(&Engine::open(&directory.join("ledger.db")).unwrap())
}

/// What several databases have together.
fn together(all: impl IntoIterator<Item = BTreeMap<String, usize>>) -> BTreeMap<String, usize> {
    let mut sum = BTreeMap::new();
    for content in all {
        for (row, times) in content {
            *sum.entry(row).or_insert(0) += times;
        }
    }
    sum
}

#[test]
fn ten_proxies_that_start_at_once_make_the_tables_once() {
    let Some(postgres) = Postgres::start() else { return };
    let directories: Vec<TempDir> = (0..10).map(|_| TempDir::new().unwrap()).collect();
    let ledgers: Vec<Ledger> =
        directories.iter().map(|directory| open(directory.path(), &postgres.url())).collect();
    for ledger in &ledgers {
        until("not all connect", || {
            assert_eq!(status(ledger).last_error, None);
            status(ledger).connected
        });
    }
    assert_eq!(postgres.sql("SELECT schema FROM meta"), ["1"]);
    assert_eq!(postgres.number("SELECT count(*) FROM node"), 10);
}

#[test]
fn a_proxy_that_meets_another_one_halfway_through_making_the_tables_waits_for_it() {
    let Some(postgres) = Postgres::start() else { return };
    // Whoever makes them has this lock, and somebody else may see some of them
    // and not the others.
    let halfway = format!(
        "BEGIN; SELECT pg_advisory_lock({}); CREATE TABLE meta (); COMMIT; SELECT pg_sleep(120)",
        0x636f_6e73_656e_7472_i64
    );
    std::thread::scope(|scope| {
        scope.spawn(|| postgres.may("consentry", "s3cret-word", &halfway));
        until("there is no table", || {
            postgres.sql("SELECT relname FROM pg_class WHERE relname = 'meta'") == ["meta"]
        });
        let (_directory, ledger) = one(&postgres);
        until("it does not wait", || {
            assert_eq!(status(&ledger).last_error, None);
            postgres.number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 2
        });
        postgres.sql("DROP TABLE meta");
        postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks
             WHERE locktype = 'advisory' AND granted",
        );
        until("it does not connect", || {
            assert_eq!(status(&ledger).last_error, None);
            status(&ledger).connected
        });
    });
    assert_eq!(postgres.sql("SELECT schema FROM meta"), ["1"]);
}
