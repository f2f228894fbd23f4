//! What a large ledger costs: to write it, to keep it, and to ask it.
//!
//! `CONSENTRY_ENTRIES=10000000 cargo bench --bench figures` makes a ledger of
//! that many page views (100,000 unless told) over 60 days, in a directory that
//! `CONSENTRY_LEDGER_DIR` names or a temporary one, and times every question a
//! privacy officer's page asks. A ledger that is there is asked, not made anew.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may fail loudly")]
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a bench may fail loudly")]
#![allow(clippy::allow_attributes, reason = "like the other benches")]

use consentry::catalogue::{Kind, Place, Vendor};
use consentry::consent::Source;
use consentry::ledger::figures::log::Wanted;
use consentry::ledger::figures::{Figures, Period};
use consentry::ledger::read::{Reader, VerdictWord};
use consentry::ledger::{Entry, Error, Ledger, Settings};
use consentry::policy::{Basis, Decision, Decisions, Grounds, Layer, Mode, Verdict};
use consentry::purpose::{Purpose, PurposeSet};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const DAYS: u64 = 60;
const DAY_MS: u64 = 86_400_000;
/// The last day of the ledger: 2026-11-22.
const UNTIL_MS: u64 = 20_779 * DAY_MS;
const PAGES: u64 = 1000;
const VENDORS: u64 = 80;
const SITES: [&str; 3] = ["shop", "blog", "help"];

fn main() {
    let entries = std::env::var("CONSENTRY_ENTRIES").ok().and_then(|text| text.parse().ok());
    let entries: u64 = entries.unwrap_or(100_000);
    let (_kept, directory) = match std::env::var_os("CONSENTRY_LEDGER_DIR") {
        Some(directory) => (None, PathBuf::from(directory)),
        None => {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().to_owned();
            (Some(directory), path)
        }
    };
    let path = directory.join("ledger.db");
    if !path.exists() {
        fill(&path, entries);
    }
    let there = Reader::open(&path).unwrap().entries().unwrap();
    let entries = there.map_or(1, |(first, last)| last.abs_diff(first) + 1);
    let size = std::fs::metadata(&path).unwrap().len();
    println!("{} bytes a page view, {} MiB in all", size / entries, size >> 20);
    ask(&path);
}

/// Numbers that look like chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn vendor(number: u64) -> Arc<Vendor> {
    let purpose = Purpose::OPTIONAL[(number % 4) as usize];
    Arc::new(Vendor {
        id: format!("vendor-{number}"),
        name: format!("Vendor {number}"),
        owner: "Acme".to_owned(),
        purposes: PurposeSet::EMPTY.with(purpose),
        purpose,
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

/// What a page decides in a class: a dozen things, one of them its own.
fn decisions(page: u64, class: PurposeSet, vendors: &[Arc<Vendor>]) -> Decisions {
    let mut chance = Chance(page * 7919 + 1);
    let mut decisions = Decisions::default();
    decisions.extend((0..10 + chance.below(6)).map(|n| {
        // Few vendors are on most pages, many on few.
        let at = chance.below(VENDORS).min(chance.below(VENDORS));
        let vendor = &vendors[at as usize];
        let kind = [Kind::Script, Kind::Image, Kind::Cookie, Kind::Frame][(n % 4) as usize];
        let verdict = if class.contains(vendor.purpose) {
            Verdict::Allow(Basis::Granted(vendor.purpose))
        } else {
            Verdict::Block(Grounds::NotGranted(vendor.purpose))
        };
        Decision {
            verdict,
            layer: Layer::Html,
            kind,
            what: match kind {
                Kind::Cookie => format!("_v{at}"),
                _ => format!("cdn{at}.vendor.example/{}.js", n % 3),
            },
            vendor: Some(Arc::clone(vendor)),
            rule: Some(Place { file: "vendors.toml".into(), line: at as u32 }),
            via: None,
            exception: None,
        }
    }));
    decisions.extend(page.is_multiple_of(20).then(|| Decision {
        verdict: Verdict::Allow(Basis::Unlisted),
        layer: Layer::Html,
        kind: Kind::Image,
        what: format!("host{page}.stranger.example/i.gif"),
        vendor: None,
        rule: None,
        via: None,
        exception: None,
    }));
    decisions
}

fn fill(path: &Path, entries: u64) {
    let vendors: Vec<_> = (0..VENDORS).map(vendor).collect();
    let classes = [
        PurposeSet::NECESSARY,
        PurposeSet::ALL,
        PurposeSet::NECESSARY.with(Purpose::Analytics),
        PurposeSet::NECESSARY.with(Purpose::Functional),
    ];
    let views: Vec<Entry> = (0..PAGES)
        .flat_map(|page| classes.map(|class| (page, class)))
        .map(|(page, class)| Entry {
            time_ms: 0,
            site: SITES[(page % 3) as usize].into(),
            page: format!("/section-{}/page-{}", page % 17, page),
            class,
            undecided: class == PurposeSet::NECESSARY,
            signal: if page % 9 == 0 { Source::Gpc } else { Source::Silence },
            policy_revision: "0123456789abcdef".into(),
            mode: Mode::Enforce,
            decisions: decisions(page, class, &vendors),
        })
        .collect();
    let ledger = Ledger::open(Settings::new(path)).unwrap();
    let mut spool = ledger.spool(0).unwrap();
    let begun = Instant::now();
    let mut chance = Chance(42);
    for n in 0..entries {
        // Popular pages are popular, and most visitors are undecided.
        let page = chance.below(PAGES).min(chance.below(PAGES)).min(chance.below(PAGES));
        let class = chance.below(4).min(chance.below(4));
        let view = &views[(page * 4 + class) as usize];
        let time_ms = UNTIL_MS - DAYS * DAY_MS + n * DAYS * DAY_MS / entries;
        spool.append(&Entry { time_ms, ..view.clone() });
        if n % 1_000_000 == 999_999 {
            let queued = ledger.status().queued_bytes >> 20;
            println!(
                "{} million spooled after {:?}, {queued} MiB wait",
                n / 1_000_000 + 1,
                begun.elapsed()
            );
        }
        // The disk of a small machine is not what is measured.
        while n % 10_000 == 0 && ledger.status().queued_bytes > 256 << 20 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    drop(spool);
    println!("spooled after {:?}", begun.elapsed());
    while ledger.status().queued_bytes > 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = begun.elapsed();
    println!(
        "{entries} entries stored and sealed in {took:?}: {:.0} a second",
        entries as f64 / took.as_secs_f64()
    );
    while ledger.flush().is_err() {}
    println!("added up after {:?}", begun.elapsed());
    ledger.close().unwrap();
}

fn ask(path: &Path) {
    let figures = Figures::open(path).unwrap();
    let all = Period::last(DAYS as u32, UNTIL_MS - 1);
    let week = Period::last(7, UNTIL_MS - 1);
    let text = |text: &str| Some(text.to_owned());
    let wanted = |period| Wanted { verdict: Some(VerdictWord::Block), ..Wanted::all(period) };
    let log = |wanted: &Wanted| figures.block_log(wanted, None, 50).map(|page| page.lines.len());
    let time = |name: &str, ask: &dyn Fn() -> Result<usize, Error>| {
        let mut took = [Duration::ZERO; 5];
        let mut rows = 0;
        for took in &mut took {
            let begun = Instant::now();
            rows = ask().unwrap();
            *took = begun.elapsed();
        }
        let first = took[0];
        took.sort_unstable();
        println!("{name:42} {rows:6} rows  first {first:>10.1?}  median {:>10.1?}", took[2]);
    };
    time("overview, 60 days", &|| figures.overview(all, None).map(|of| of.by_day.len()));
    time("overview, a week of one site", &|| {
        figures.overview(week, Some("shop")).map(|of| of.by_day.len())
    });
    time("vendors, 60 days", &|| figures.vendors(all, None).map(|of| of.len()));
    time("pages of a frequent vendor, 60 days", &|| {
        figures.vendor_pages("vendor-1", all, None, 100).map(|of| of.len())
    });
    time("pages of a vendor, a week", &|| {
        figures.vendor_pages("vendor-7", week, None, 100).map(|of| of.len())
    });
    time("newcomers", &|| figures.newcomers(week, None, 500).map(|of| of.len()));
    time("what nobody claims", &|| figures.unlisted(None, 500, |_| true).map(|of| of.len()));
    time("choices", &|| figures.choices(all, None).map(|of| of.len()));
    time("sites", &|| figures.sites(all).map(|of| of.len()));
    time("block log, newest", &|| log(&wanted(all)));
    time("block log, a frequent vendor", &|| {
        log(&Wanted { vendor: text("vendor-1"), ..wanted(all) })
    });
    time("block log, a rare vendor", &|| log(&Wanted { vendor: text("vendor-79"), ..wanted(all) }));
    time("block log, a page", &|| log(&Wanted { page: text("/section-0/page-17"), ..wanted(all) }));
    time("block log, a rare page", &|| {
        log(&Wanted { page: text("/section-13/page-999"), ..wanted(all) })
    });
    time("block log, part of a name", &|| log(&Wanted { what: text("cdn42."), ..wanted(all) }));
    time("block log, a vendor on a page of a site", &|| {
        let site = text("blog");
        let page = text("/section-1/page-1");
        log(&Wanted { vendor: text("vendor-3"), site, page, ..wanted(all) })
    });
    time("block log, what is not there", &|| log(&Wanted { what: text("nowhere"), ..wanted(all) }));
    time("block log, 60 days ago", &|| {
        log(&Wanted { vendor: text("vendor-1"), ..wanted(Period::days(all.first(), all.first())) })
    });
    time("block log, what nobody claims", &|| {
        log(&Wanted { vendor: text("?"), verdict: None, ..wanted(all) })
    });
}
