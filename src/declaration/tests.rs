use super::*;
use crate::catalogue::{Kind, SourceFile};
use crate::ledger::tests::{block, entry, stranger};
use crate::ledger::{Ledger, Settings};
use crate::policy::{Decision, Layer};

use tempfile::TempDir;

const NOW_MS: u64 = 1_790_000_000_000;

fn catalogue() -> Catalogue {
    let text = "
        [[vendor]]
        id = 'acme-ads'
        name = 'Acme Ads'
        owner = 'Acme'
        purposes = ['marketing']
        about = 'Shows ads.'
        source = 'https://acme.example'
        cookies = ['_acme', '_acme_*', '_acme_never']
    ";
    Catalogue::compile(&[SourceFile { name: "test".into(), text: text.into() }]).unwrap()
}

/// What is derived of decisions about one page view each.
fn declared(decisions: impl IntoIterator<Item = Decision>) -> Declaration {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = Ledger::open(Settings { flush_ms: 20, ..Settings::new(&path) }).unwrap();
    let mut spool = ledger.spool(0).unwrap();
    for (at, decision) in decisions.into_iter().enumerate() {
        spool.append(&entry(NOW_MS + at as u64, "/", [decision]));
    }
    drop(spool);
    ledger.flush().unwrap();
    let figures = Figures::open(&path).unwrap();
    let catalogue = catalogue();
    let period = Period::last(DAYS, NOW_MS);
    let found = Declaration::derive(&figures, &[&catalogue], period, Some("shop")).unwrap();
    let other = Declaration::derive(&figures, &[&catalogue], period, Some("other")).unwrap();
    assert!(other.services.is_empty() && other.cookies.is_empty() && other.unlisted.is_empty());
    found
}

fn of_kind(kind: Kind, layer: Layer, what: &str) -> Decision {
    Decision { kind, layer, ..block(what) }
}

fn names(told: &Told) -> Vec<&str> {
    told.services.iter().map(Service::name).collect()
}

#[test]
fn g11_what_the_site_sent_is_told_with_the_words_of_the_catalogue() {
    let found = declared([
        block("ads.example/p.js"),
        of_kind(Kind::Cookie, Layer::Response, "_acme_9f31-injected"),
        Decision { kind: Kind::Cookie, ..stranger("basket") },
        stranger("cdn.example/x.gif"),
    ]);
    let told = found.for_visitors(&[]);
    assert_eq!(names(&told), ["Acme Ads"]);
    let [service] = told.services.as_slice() else { panic!("{told:?}") };
    assert_eq!(service.vendor.as_ref().unwrap().about, "Shows ads.");
    assert_eq!(service.met.first_ms, Some(NOW_MS.cast_signed()));
    // Neither a name that somebody could have made up, nor one never met.
    assert_eq!(service.cookies, ["_acme_*"]);
    assert_eq!((told.cookies.as_slice(), told.unnamed), (&["basket".to_owned()][..], 1));
    assert_eq!(told.until.to_string(), "2026-09-21");
}

#[test]
fn g11_what_a_visitor_can_make_up_is_told_only_where_nobody_has_said_who_is_there() {
    for (kind, layer, expected) in [
        (Kind::Script, Layer::Html, [true, true, true]),
        (Kind::Cookie, Layer::Response, [true, true, true]),
        (Kind::Cookie, Layer::Request, [true, false, true]),
        (Kind::OwnPath, Layer::Request, [true, false, true]),
        (Kind::Script, Layer::Browser, [true, false, true]),
        (Kind::Parameter, Layer::Request, [false, false, false]),
        (Kind::RequestHeader, Layer::Request, [false, false, false]),
    ] {
        let found = declared([of_kind(kind, layer, "x")]);
        assert_eq!(found.services.len(), 1, "an officer sees it: {kind:?}");
        let declared = [vec![], vec!["other".to_owned()], vec!["acme-ads".to_owned()]];
        let told = declared.map(|ids| !found.clone().for_visitors(&ids).services.is_empty());
        assert_eq!(told, expected, "{kind:?} {layer:?}");
    }
}

#[test]
fn g11_a_service_that_is_not_in_the_catalogue_has_the_name_it_had() {
    let gone = Decision { vendor: block("x").vendor, ..block("ads.example/p.js") };
    let mut found = declared([gone]);
    found.services[0].vendor = None;
    let told = found.for_visitors(&[]);
    assert_eq!(names(&told), ["Acme Ads"]);
    assert_eq!(told.services[0].purpose(), Some(Purpose::Marketing));
}

#[test]
fn g11_the_list_has_an_end() {
    let found = declared([block("ads.example/p.js")]);
    let [service] = found.services.as_slice() else { panic!("{found:?}") };
    let services = vec![service.clone(); MOST_SERVICES + 3];
    let cookie = |n: usize| Seen { name: format!("cookie {n:03}"), ..Seen::default() };
    let cookies = (0..MOST_COOKIES + 5).map(cookie).collect();
    let told = Declaration { services, cookies, ..found }.for_visitors(&[]);
    assert_eq!((told.services.len(), told.more_services), (MOST_SERVICES, 3));
    assert_eq!((told.cookies.len(), told.more_cookies), (MOST_COOKIES, 5));
}
