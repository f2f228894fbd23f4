use super::log::{Cursor, Wanted};
use super::vendors::stored;
use super::*;
use crate::consent::Source;
use crate::ledger::read::{Line, VerdictWord};
use crate::ledger::tests::receipts::receipt;
use crate::ledger::tests::{block, entry, stranger};
use crate::ledger::{Entry, Ledger, Settings};
use crate::policy::{Decision, Mode};
use crate::purpose::{Purpose, PurposeSet};

use tempfile::TempDir;

const DAY: u64 = 86_400_000;
const NOON: u64 = DAY / 2;

struct Kept {
    _dir: TempDir,
    ledger: Ledger,
    figures: Figures,
}

fn kept(fill: impl FnOnce(&mut crate::ledger::Spool)) -> Kept {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = Ledger::open(Settings { flush_ms: 20, ..Settings::new(&path) }).unwrap();
    let mut spool = ledger.spool(0).unwrap();
    fill(&mut spool);
    drop(spool);
    ledger.flush().unwrap();
    let figures = Figures::open(&path).unwrap();
    Kept { _dir: dir, ledger, figures }
}

fn day(number: i64) -> Period {
    Period { from_day: number, until_day: number + 1 }
}

/// Two days: Acme on every page, a stranger on one, another site on the second.
fn two_days() -> Kept {
    kept(|spool| {
        for n in 0..10 {
            spool.append(&entry(
                NOON + n,
                "/a",
                [block("ads.example/p.js"), block("ads.example/q.gif")],
            ));
        }
        spool.append(&Entry {
            class: PurposeSet::ALL,
            undecided: false,
            signal: Source::Gpc,
            ..entry(NOON + 50, "/b", [stranger("cdn.example/x.js")])
        });
        let observed = Entry {
            site: "other".into(),
            mode: Mode::Observe,
            ..entry(DAY + NOON, "/b", [block("ads.example/p.js")])
        };
        spool.append(&observed);
        (0..3).for_each(|n| spool.keep(&receipt(n, NOON)));
    })
}

#[test]
fn g5_an_overview_says_what_was_held_back_from_whom_and_when() {
    let kept = two_days();
    let first = kept.figures.overview(day(0), None).unwrap();
    assert_eq!((first.views.all, first.views.undecided, first.views.gpc), (11, 10, 1));
    assert_eq!((first.views.granted_nothing, first.views.granted_everything), (10, 1));
    assert_eq!((first.parts.withheld, first.parts.let_through), (20, 1));
    assert_eq!(first.parts.requests_spared, 20);
    let purposes: Vec<_> =
        first.by_purpose.iter().map(|of| (&*of.purpose, of.parts.withheld)).collect();
    assert_eq!(purposes, [("marketing", 20), ("", 0)]);
    let both = Period { from_day: 0, until_day: 3 };
    let all = kept.figures.overview(both, None).unwrap();
    let days: Vec<_> =
        all.by_day.iter().map(|of| (&*of.day, of.views, of.parts.withheld)).collect();
    assert_eq!(days, [("1970-01-01", 11, 20), ("1970-01-02", 1, 0), ("1970-01-03", 0, 0)]);
    assert_eq!((all.parts.would_withhold, all.views.observed), (1, 1));
    let other = kept.figures.overview(both, Some("other")).unwrap();
    assert_eq!((other.views.all, other.parts.withheld, other.parts.would_withhold), (1, 0, 1));
    assert_eq!(kept.figures.overview(both, Some("nobody's")).unwrap().views.all, 0);
    kept.ledger.close().unwrap();
}

#[test]
fn g5_the_pages_on_which_a_vendor_was_met_are_named() {
    let kept = two_days();
    let both = Period { from_day: 0, until_day: 2 };
    let pages = kept.figures.vendor_pages("acme-ads", both, None, 10).unwrap();
    let told: Vec<_> =
        pages.iter().map(|of| (&*of.site, &*of.page, of.withheld, of.would_withhold)).collect();
    assert_eq!(told, [("shop", "/a", 10, 0), ("other", "/b", 0, 1)]);
    let pages = kept.figures.pages(both, None, 10).unwrap();
    let told: Vec<_> =
        pages.iter().map(|of| (&*of.site, &*of.page, of.withheld, of.let_through)).collect();
    assert_eq!(told, [("shop", "/a", 10, 0), ("other", "/b", 0, 0), ("shop", "/b", 0, 1)]);
    let unknown = kept.figures.vendor_pages(NOBODY, both, None, 10).unwrap();
    assert_eq!((unknown.len(), unknown[0].let_through), (1, 1));
    let vendors = kept.figures.vendors(both, None).unwrap();
    let told: Vec<_> =
        vendors.iter().map(|of| (&*of.vendor, of.parts.withheld, of.first_ms)).collect();
    assert_eq!(told, [("Acme Ads", 20, Some(NOON.cast_signed())), ("", 0, None)]);
    let kinds = kept.figures.vendor_kinds("acme-ads", both, None).unwrap();
    assert_eq!((kinds.len(), &*kinds[0].kind, kinds[0].withheld), (1, "script", 20));
    let sites = kept.figures.sites(both).unwrap();
    let told: Vec<_> = sites.iter().map(|of| (&*of.site, of.views)).collect();
    assert_eq!(told, [("other", 1), ("shop", 11)]);
}

#[test]
fn g5_what_is_new_and_what_nobody_claims_is_told() {
    let kept = two_days();
    let names = |seen: Vec<newcomers::Seen>| -> Vec<String> {
        seen.iter().map(|each| format!("{} {} {}", each.sort, each.site, each.name)).collect()
    };
    let new = kept.figures.newcomers(Period { from_day: 1, until_day: 9 }, None, 10).unwrap();
    assert_eq!(names(new), ["vendor other acme-ads", "host other ads.example"]);
    // A time that is over has the newcomers of that time, whatever came later.
    assert_eq!(kept.figures.newcomers(day(0), None, 10).unwrap().len(), 3);
    assert_eq!(kept.figures.newcomers(day(2), None, 10).unwrap().len(), 0);
    let waiting = kept.figures.unlisted(None, 10, |_| true).unwrap();
    assert_eq!(names(waiting), ["host shop cdn.example"]);
    let all = kept.figures.seen_after(0, 100).unwrap();
    assert_eq!(all.len(), 5);
    let last = kept.figures.seen_after(all[3].id, 100).unwrap();
    assert_eq!(last.as_slice(), &all[4..]);
    assert_eq!(kept.figures.seen("host", "ads.example").unwrap().len(), 2);
}

#[test]
fn what_waits_no_more_makes_room_for_older_ones() {
    let kept = kept(|spool| {
        for n in 0..4_u64 {
            let host = |name| stranger(&format!("{name}{n}.example/x.js"));
            spool.append(&entry(NOON + n, "/", [host("a"), host("b")]));
        }
    });
    let waiting = |limit, wait: &dyn Fn(&str) -> bool| -> Vec<String> {
        let found = kept.figures.unlisted(Some("shop"), limit, |seen| wait(&seen.name)).unwrap();
        found.into_iter().map(|seen| seen.name).collect()
    };
    let all = waiting(100, &|_| true);
    assert_eq!(all.len(), 8);
    assert!(all[0].ends_with("3.example") && all[7].ends_with("0.example"), "{all:?}");
    for limit in 1..=4_usize {
        let few = u32::try_from(limit).unwrap();
        assert_eq!(waiting(few, &|_| true), all[..limit]);
        let odd: Vec<_> = all.iter().filter(|name| name.starts_with('b')).cloned().collect();
        assert_eq!(waiting(few, &|name| name.starts_with('b')), odd[..limit]);
        assert_eq!(waiting(few, &|name| name == all[7]), all[7..]);
        assert!(waiting(few, &|_| false).is_empty());
    }
    assert!(waiting(0, &|_| true).is_empty());
}

#[test]
fn g8_shares_are_by_revision_of_the_notice() {
    let kept = two_days();
    let choices = kept.figures.choices(day(0), None).unwrap();
    let made = receipt(0, NOON);
    let [of] = choices.as_slice() else { panic!("{choices:?}") };
    assert_eq!((of.all, of.notice_revision), (3, i64::from(made.notice_revision)));
    assert_eq!(of.accept + of.refuse + of.partial + of.withdraw + of.vendor, 3);
    assert!(kept.figures.choices(day(1), None).unwrap().is_empty());
    assert!(kept.figures.choices(day(0), Some("other")).unwrap().is_empty());
}

/// A mixed ledger, and the filters that somebody could have.
fn mixed(entries: u64) -> Kept {
    kept(|spool| {
        for n in 0..entries {
            let what = format!("ads{}.example/p.js", n % 5);
            let rare = (n % 97 == 0).then(|| Decision { ..block("Rare_Thing.example/p.js") });
            let strangers = (n % 3 == 0).then(|| stranger("cdn.example/x.js"));
            let decided = [block(&what)].into_iter().chain(rare).chain(strangers);
            spool.append(&Entry {
                site: if n % 7 == 0 { "other".into() } else { "shop".into() },
                ..entry(n * DAY / 100, &format!("/page{}", n % 11), decided)
            });
        }
    })
}

fn filters(period: Period) -> Vec<Wanted> {
    let all = Wanted::all(period);
    let text = |text: &str| Some(text.to_owned());
    vec![
        all.clone(),
        Wanted { site: text("other"), ..all.clone() },
        Wanted { vendor: text("acme-ads"), ..all.clone() },
        Wanted { vendor: text(NOBODY), ..all.clone() },
        Wanted { page: text("/page3"), ..all.clone() },
        Wanted { what: text("rare_thing"), ..all.clone() },
        Wanted { what: text("_"), ..all.clone() },
        Wanted { what: text("%"), ..all.clone() },
        Wanted { kind: text("image"), page: text("/page1"), site: text("shop"), ..all.clone() },
        Wanted {
            purpose: Some(Purpose::Marketing),
            verdict: Some(VerdictWord::Allow),
            ..all.clone()
        },
        Wanted { verdict: Some(VerdictWord::Block), what: text("ads4"), ..all },
    ]
}

/// All pages of the log.
fn read_on(figures: &Figures, wanted: &Wanted, entries: u32) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut after = None;
    loop {
        let page = figures.block_log(wanted, after, entries).unwrap();
        assert_eq!(page.left_out, 0);
        lines.extend(page.lines);
        after = page.next;
        let Some(cursor) = after else { return lines };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
    }
}

#[test]
fn g5_every_filter_finds_what_reading_every_line_finds() {
    let kept = mixed(700);
    let every = read_on(&kept.figures, &Wanted::all(Period { from_day: 0, until_day: 99 }), 1000);
    assert!(every.len() > 900);
    let period = Period { from_day: 1, until_day: 5 };
    for wanted in filters(period) {
        let fits = |line: &&Line| {
            let same =
                |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
            let nobody = stored(wanted.vendor.as_deref().unwrap_or("x")).is_empty();
            let at = line.time_ms.cast_signed();
            (period.from_ms()..period.until_ms()).contains(&at)
                && same(&wanted.site, &line.site)
                && same(&wanted.page, &line.page)
                && same(&wanted.kind, &line.kind)
                && (nobody && line.vendor_id.is_none()
                    || !nobody
                        && same(&wanted.vendor, line.vendor_id.as_deref().unwrap_or_default()))
                && wanted.purpose.is_none_or(|p| line.purpose.as_deref() == Some(p.name()))
                && wanted.verdict.is_none_or(|v| line.verdict == v.name())
                && wanted.what.as_deref().is_none_or(|w| line.what.to_lowercase().contains(w))
        };
        let expected: Vec<_> = every.iter().filter(fits).cloned().collect();
        let found = read_on(&kept.figures, &wanted, 7);
        assert_eq!(found, expected, "{wanted:?}");
    }
}

#[test]
fn an_entry_is_shown_with_all_its_decisions() {
    let kept = mixed(98);
    let lines = kept.figures.entry(1).unwrap();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().any(|line| line.rule.as_deref() == Some("acme.toml:3")));
    assert!(kept.figures.entry(99).unwrap().is_empty());
    assert!(kept.figures.entry(-1).unwrap().is_empty());
}

#[test]
fn a_period_is_whole_days() {
    let date = |text: &str| text.parse::<Date>().unwrap();
    let march = Period::days(date("2026-03-01"), date("2026-03-31"));
    assert_eq!((march.len(), march.is_empty()), (31, false));
    assert_eq!((march.first(), march.last_day()), (date("2026-03-01"), date("2026-03-31")));
    assert_eq!(march.until_ms() - march.from_ms(), 31 * DAY.cast_signed());
    assert_eq!(march.before().last_day(), date("2026-02-28"));
    let last = Period::last(7, 1_790_000_000_000);
    assert_eq!((last.len(), last.last_day().to_string()), (7, "2026-09-21".to_owned()));
    assert_eq!(Period::days(date("2026-03-31"), date("2026-03-01")), march);
}
