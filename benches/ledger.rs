//! What a page view costs in the ledger: bytes on disk, and the time of the one
//! thread that stores. Run with `cargo bench --bench ledger`.

use consentry::catalogue::{Kind, Vendor};
use consentry::consent::Source;
use consentry::ledger::{Entry, Ledger, Settings};
use consentry::policy::{Decision, Decisions, Grounds, Layer, Mode, Verdict};
use consentry::purpose::{Purpose, PurposeSet};

use std::error::Error;
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many page views, on how many pages, of which each has two sets.
const VIEWS: u64 = 500_000;
const PAGES: u64 = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("ledger.db");
    let ledger = Ledger::open(Settings::new(&path))?;
    ledger.flush()?;
    let empty = size(&path)?;
    // Nobody can store anything until all of it is in the spool.
    let lock = rusqlite::Connection::open(&path)?;
    lock.busy_timeout(Duration::from_secs(5))?;
    lock.execute_batch("BEGIN IMMEDIATE")?;
    let mut spool = ledger.spool(0)?;
    let pages: Vec<Entry> = (0..PAGES * 2).map(view).collect();
    let since = Instant::now();
    for (n, entry) in (0..VIEWS).zip(pages.iter().cycle()) {
        spool.append(&Entry { time_ms: 1_790_000_000_000 + n * 20, ..entry.clone() });
    }
    let spooled = since.elapsed();
    drop(spool);
    let before = on_cpu()?;
    lock.execute_batch("ROLLBACK")?;
    drop(lock);
    let since = Instant::now();
    while ledger.status().written_entries < VIEWS {
        std::thread::sleep(Duration::from_millis(2));
    }
    let (stored, stored_cpu) = (since.elapsed(), on_cpu()? - before);
    while ledger.flush().is_err() {}
    let all_cpu = on_cpu()? - before;
    ledger.close()?;
    let bytes = size(&path)? - empty;
    let rate = |time: Duration| VIEWS as f64 / time.as_secs_f64();
    let mut out = std::io::stdout();
    writeln!(out, "{} bytes a page view, seals, indexes and sums included", bytes / VIEWS)?;
    writeln!(out, "{:.0} entries/s into a spool", rate(spooled))?;
    writeln!(out, "{:.0} entries/s stored and sealed, by the clock", rate(stored))?;
    writeln!(out, "{:.0} entries/s stored and sealed, of one core", rate(stored_cpu))?;
    writeln!(out, "{:.0} entries/s stored, sealed and added up, of one core", rate(all_cpu))?;
    Ok(())
}

/// A page with a dozen decisions, for a visitor who agreed or did not.
fn view(n: u64) -> Entry {
    let class = if n.is_multiple_of(2) { PurposeSet::NECESSARY } else { PurposeSet::ALL };
    let mut decisions = Decisions::default();
    decisions.extend((0..12).map(|script| Decision {
        verdict: Verdict::Block(Grounds::NotGranted(Purpose::Marketing)),
        layer: Layer::Html,
        kind: Kind::Script,
        what: format!("ads-{}.example/{script}.js", (n / 2 + script) % 40),
        vendor: Some(vendor((n / 2 + script) % 40)),
        rule: None,
        via: None,
        exception: None,
    }));
    Entry {
        time_ms: 0,
        site: "shop".into(),
        page: format!("/page-{}", n / 2),
        class,
        undecided: n.is_multiple_of(2),
        signal: Source::Silence,
        policy_revision: "0123456789".into(),
        mode: Mode::Enforce,
        decisions,
    }
}

fn vendor(n: u64) -> Arc<Vendor> {
    Arc::new(Vendor {
        id: format!("vendor-{n}"),
        name: format!("Vendor {n}"),
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

fn size(path: &std::path::Path) -> std::io::Result<u64> {
    let wal = fs::metadata(path.with_extension("db-wal")).map_or(0, |wal| wal.len());
    Ok(fs::metadata(path)?.len() + wal)
}

/// How long the thread that stores has had a processor.
fn on_cpu() -> Result<Duration, Box<dyn Error>> {
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == "ledger" {
            let stat = fs::read_to_string(task.join("schedstat"))?;
            let nanos = stat.split_whitespace().next().ok_or("no schedstat")?.parse()?;
            return Ok(Duration::from_nanos(nanos));
        }
    }
    Err("the thread that stores is not there".into())
}
