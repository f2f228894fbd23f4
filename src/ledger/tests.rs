//! Promises of the whole room.

mod audits;
pub(crate) mod receipts;
mod rollup;
mod trouble;
mod withheld;

use super::read::{Filter, Line, Reader, VerdictWord};
use super::*;
use crate::catalogue::{Kind, Place, Vendor};
use crate::consent::Source;
use crate::policy::{Basis, Decision, Decisions, Grounds, Layer, Mode, Verdict};
use crate::purpose::{Purpose, PurposeSet};

use rusqlite::Connection;
use tempfile::TempDir;

fn vendor(name: &str) -> Arc<Vendor> {
    Arc::new(Vendor {
        id: name.to_lowercase().replace(' ', "-"),
        name: name.to_owned(),
        owner: "Acme".to_owned(),
        purposes: PurposeSet::EMPTY.with(Purpose::Marketing),
        purpose: Purpose::Marketing,
        about: String::new(),
        source: String::new(),
        reason: String::new(),
        cookies: Vec::new(),
        storage: Vec::new(),
        databases: Vec::new(),
        caches: Vec::new(),
        workers: Vec::new(),
        iab: None,
    })
}

/// Makes a ledger of today one from before its fifth format.
pub(crate) const TAKE_OUT_FORMAT_5: &str = "
    DROP TABLE hourly; DROP TABLE daily_purpose; DROP TABLE daily_kind; DROP TABLE daily_vendor; DROP TABLE daily_page; DROP TABLE daily_choice;
    DROP TABLE combination; DROP TABLE seen; DROP TABLE rolled; DROP INDEX entry_set;
    DROP INDEX set_member_decision; DROP TABLE audit; ALTER TABLE seal DROP COLUMN audits;
    ALTER TABLE seal DROP COLUMN cover; DROP TABLE pruned; DROP INDEX erased_receipt_place;";

/// A script of Acme Ads that is withheld.
pub(crate) fn block(what: &str) -> Decision {
    Decision {
        verdict: Verdict::Block(Grounds::NotGranted(Purpose::Marketing)),
        layer: Layer::Html,
        kind: Kind::Script,
        what: what.to_owned(),
        vendor: Some(vendor("Acme Ads")),
        rule: Some(Place { file: "acme.toml".into(), line: 3 }),
        via: None,
        exception: None,
    }
}

/// An image of somebody unknown that passes.
pub(crate) fn stranger(what: &str) -> Decision {
    Decision {
        verdict: Verdict::Allow(Basis::Unlisted),
        layer: Layer::Html,
        kind: Kind::Image,
        what: what.to_owned(),
        vendor: None,
        rule: None,
        via: None,
        exception: None,
    }
}

pub(crate) fn entry(
    time_ms: u64,
    page: &str,
    decided: impl IntoIterator<Item = Decision>,
) -> Entry {
    let mut decisions = Decisions::default();
    decisions.extend(decided);
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

fn settings(dir: &TempDir) -> Settings {
    Settings { flush_ms: 20, ..Settings::new(dir.path().join("ledger.db")) }
}

fn open(dir: &TempDir) -> Ledger {
    Ledger::open(settings(dir)).unwrap()
}

fn log(dir: &TempDir, filter: &Filter) -> Vec<Line> {
    Reader::open(settings(dir).path).unwrap().block_log(filter, usize::MAX).unwrap()
}

/// The times of all entries, in the order they are stored.
fn times(dir: &TempDir) -> Vec<u64> {
    log(dir, &Filter::default()).iter().map(|line| line.time_ms).collect()
}

fn spool_files(dir: &TempDir) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.path().join("ledger.db.spool")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn g1_a_line_says_what_whose_why_and_where_and_never_who() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    let scripts = (0..12).map(|n| block(&format!("ads.acme.example/{n}.js")));
    spool.append(&entry(1_790_000_000_000, "/cart", scripts));
    spool.append(&entry(1_790_000_000_001, "/quiet", []));
    drop(spool);
    ledger.close().unwrap();
    let lines = log(&dir, &Filter::default());
    assert_eq!(lines.len(), 12);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        lines[0],
        Line {
            entry: 1,
            time_ms: 1_790_000_000_000,
            site: "shop".into(),
            page: "/cart".into(),
            class: "d".into(),
            undecided: true,
            signal: "silence".into(),
            verdict: "block".into(),
            reason: "not granted".into(),
            layer: "html".into(),
            kind: "script".into(),
            what: "ads.acme.example/0.js".into(),
            vendor: text("Acme Ads"),
            vendor_id: text("acme-ads"),
            purpose: text("marketing"),
            rule: text("acme.toml:3"),
            via: None,
            mode: "enforce".into(),
            policy_revision: "0123456789".into(),
        }
    );
    // There is no column in which a visitor could be kept.
    let conn = Connection::open(settings(&dir).path).unwrap();
    let columns = |table: &str| {
        let mut query =
            conn.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
        let names = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
        names.map(Result::unwrap).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(columns("entry"), "id time_ms site page class undecided signal policy mode set_id");
    assert_eq!(
        columns("decision"),
        "id verdict reason layer kind what vendor_id vendor purpose rule via"
    );
    assert_eq!(columns("set_member"), "set_id decision_id");
    assert_eq!(columns("decision_set"), "id hash dropped");
    let mut query =
        conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    let tables = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(
        tables.map(Result::unwrap).collect::<Vec<_>>().join(" "),
        "audit checkpoint combination daily_choice daily_kind daily_page daily_purpose daily_vendor \
         decision decision_set entry erased_receipt \
         gap hourly meta notice page pruned receipt revision rolled seal seen set_member site spool \
         sqlite_sequence tree word"
    );
}

#[test]
fn g2_what_was_allowed_is_there_too_with_its_reason() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(5, "/", [block("a.example/x"), stranger("b.example/y")]));
    ledger.flush().unwrap();
    let told = |filter: &Filter| -> Vec<String> {
        let lines = log(&dir, filter);
        lines.iter().map(|l| format!("{} {} {}", l.verdict, l.what, l.reason)).collect()
    };
    let all = told(&Filter::default());
    assert_eq!(all.len(), 2);
    let blocked = Filter { verdict: Some(VerdictWord::Block), ..Filter::default() };
    assert_eq!(told(&blocked), ["block a.example/x not granted"]);
    let allowed = Filter { verdict: Some(VerdictWord::Allow), ..Filter::default() };
    assert_eq!(told(&allowed), ["allow b.example/y unlisted"]);
}

#[test]
fn each_filter_finds_its_own() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    for (time_ms, page) in [(10, "/shop/shoes"), (20, "/shop/hats"), (30, "/about")] {
        spool.append(&entry(time_ms, page, [block("a"), stranger("b")]));
    }
    ledger.flush().unwrap();
    let text = |text: &str| Some(text.to_owned());
    let none = Filter::default();
    for (filter, expected) in [
        (Filter { since_ms: Some(20), ..none.clone() }, &[20, 20, 30, 30][..]),
        (Filter { until_ms: Some(20), ..none.clone() }, &[10, 10]),
        (Filter { site: text("shop"), since_ms: Some(30), ..none.clone() }, &[30, 30]),
        (Filter { site: text("other"), ..none.clone() }, &[]),
        (Filter { vendor: text("ACME ads"), ..none.clone() }, &[10, 20, 30]),
        (Filter { vendor: text("acme-"), ..none.clone() }, &[10, 20, 30]),
        (Filter { vendor: text("%"), ..none.clone() }, &[]),
        (Filter { purpose: Some(Purpose::Marketing), ..none.clone() }, &[10, 20, 30]),
        (Filter { purpose: Some(Purpose::Analytics), ..none.clone() }, &[]),
        (Filter { page: text("/shop"), ..none.clone() }, &[10, 10, 20, 20]),
        (Filter { page: text("bout"), ..none.clone() }, &[30, 30]),
        (Filter { after_id: Some(2), ..none.clone() }, &[30, 30]),
    ] {
        let found: Vec<_> = log(&dir, &filter).iter().map(|line| line.time_ms).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let newest = Reader::open(settings(&dir).path).unwrap().block_log(&none, 3).unwrap();
    assert_eq!(newest.iter().map(|line| line.time_ms).collect::<Vec<_>>(), [20, 30, 30]);
}

#[test]
fn a_page_view_costs_less_than_100_bytes() {
    const VIEWS: u64 = 1000;
    let dir = TempDir::new().unwrap();
    let size = || fs::metadata(settings(&dir).path).unwrap().len();
    open(&dir).close().unwrap();
    let empty = size();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    let page = entry(0, "/", (0..40).map(|n| block(&format!("ads.acme.example/{n}.js"))));
    for n in 0..VIEWS {
        spool.append(&Entry { time_ms: 1_790_000_000_000 + n * 50, ..page.clone() });
    }
    let spooled: u64 = spool_files(&dir).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    drop(spool);
    ledger.close().unwrap();
    assert_eq!(times(&dir).len(), 40 * 1000);
    let each = (size() - empty) / VIEWS;
    println!("{each} bytes a page view at rest, {} in the spool", spooled / VIEWS);
    assert!(each < 100, "{each} bytes");
}

#[test]
fn a_spool_file_is_followed_by_another_and_removed_when_stored() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(Settings { spool_bytes: 2000, ..settings(&dir) }).unwrap();
    let mut spool = ledger.spool(3).unwrap();
    for n in 0..100 {
        spool.append(&entry(n, "/", [block("a")]));
    }
    ledger.flush().unwrap();
    assert_eq!(spool_files(&dir).len(), 1);
    assert_eq!(times(&dir), (0..100).collect::<Vec<_>>());
    drop(spool);
    ledger.close().unwrap();
    let conn = Connection::open(settings(&dir).path).unwrap();
    let rows: i64 = conn.query_row("SELECT count(*) FROM spool", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

#[test]
fn a_tap_sees_what_is_written_down() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let (seen, told) = mpsc::channel();
    ledger.tap(Box::new(move |entry| seen.send(entry.time_ms).unwrap()));
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(1, "/", [block("a")]));
    spool.append(&entry(2, "/", []));
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [1]);
}
