//! What a visitor is shown of the ledger.

use super::*;
use crate::consent::VendorChoices;
use crate::ledger::withheld::{Chosen, Held};

fn written(entries: &[Entry]) -> (TempDir, Reader) {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    entries.iter().for_each(|entry| spool.append(entry));
    drop(spool);
    ledger.close().unwrap();
    let reader = Reader::open(settings(&dir).path).unwrap();
    (dir, reader)
}

/// Somebody who agreed to nothing.
fn nobody() -> Chosen {
    Chosen { class: PurposeSet::NECESSARY, vendors: VendorChoices::default() }
}

#[test]
fn e11_the_newest_answer_for_that_page_and_choice_is_found_whole() {
    let reported = Decision { layer: Layer::Browser, ..block("later.example/x") };
    let (_dir, reader) = written(&[
        entry(10, "/cart", [block("old.example/1")]),
        entry(20, "/cart", [stranger("b.example/2"), block("a.example/1"), block("c.example/3")]),
        Entry { class: PurposeSet::ALL, ..entry(30, "/cart", [block("other.example/1")]) },
        Entry { site: "other".into(), ..entry(40, "/cart", [block("other.example/2")]) },
        entry(50, "/hats", [block("hats.example/1")]),
        entry(60, "/cart", [reported]),
    ]);
    let found = reader.newest_on_page("shop", "/cart", &nobody(), 200).unwrap().unwrap();
    let whats: Vec<_> = found.lines.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(whats, ["a.example/1", "c.example/3", "b.example/2"], "held back first");
    assert_eq!((found.time_ms, found.more), (20, 0));
    let short = reader.newest_on_page("shop", "/cart", &nobody(), 1).unwrap().unwrap();
    assert_eq!((short.lines.len(), short.more), (1, 2));
    for (site, page) in [("shop", "/none"), ("none", "/cart")] {
        assert_eq!(reader.newest_on_page(site, page, &nobody(), 200).unwrap(), None);
    }
    let (_dir, empty) = written(&[]);
    assert_eq!(empty.newest_on_page("shop", "/", &nobody(), 200).unwrap(), None);
}

#[test]
fn e11_each_vendor_that_was_held_back_is_named_once() {
    let beta = |what| Decision { vendor: Some(vendor("Beta")), ..block(what) };
    let (_dir, reader) = written(&[
        entry(10, "/", [beta("long.ago")]),
        entry(20, "/", [block("a.example/1"), stranger("b.example/2")]),
        entry(30, "/hats", [block("a.example/2")]),
        Entry { mode: Mode::Observe, ..entry(40, "/", [beta("only.recorded")]) },
        Entry { class: PurposeSet::ALL, ..entry(50, "/", [beta("others.choice")]) },
    ]);
    let acme = Held {
        vendor: "Acme Ads".to_owned(),
        vendor_id: "acme-ads".to_owned(),
        purpose: Some(Purpose::Marketing),
    };
    assert_eq!(reader.held_back("shop", &nobody(), 20, 10).unwrap(), (vec![acme], 0));
    let (held, more) = reader.held_back("shop", &nobody(), 0, 1).unwrap();
    assert_eq!((held.len(), more), (1, 1));
    let seen = reader.vendors_seen("shop").unwrap();
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), ["acme-ads", "beta"]);
    assert!(reader.vendors_seen("other").unwrap().is_empty());
}

#[test]
fn e11_what_others_decided_about_a_single_vendor_is_not_said_of_oneself() {
    let refused = |what| Decision {
        verdict: Verdict::Block(Grounds::VendorRefused(Purpose::Marketing)),
        ..block(what)
    };
    let allowed = |what| Decision { verdict: Verdict::Allow(Basis::VendorAllowed), ..block(what) };
    let (_dir, reader) = written(&[
        entry(10, "/", [block("mine.example/1")]),
        entry(20, "/", [refused("theirs.example/1")]),
        entry(30, "/", [allowed("theirs.example/2")]),
    ]);
    let none = VendorChoices::default;
    for (vendors, time_ms, held) in [
        (none(), 10, 1),
        (none().with_refused("acme-ads").unwrap(), 20, 1),
        (none().with_allowed("acme-ads"), 30, 0),
    ] {
        let chosen = Chosen { vendors, ..nobody() };
        let found = reader.newest_on_page("shop", "/", &chosen, 9).unwrap().unwrap();
        assert_eq!(found.time_ms, time_ms, "{chosen:?}");
        assert_eq!(reader.held_back("shop", &chosen, 0, 9).unwrap().0.len(), held, "{chosen:?}");
    }
}
