//! What a list can say, and what comes of it.

use super::*;
use crate::purpose::Purpose;

const LIST: &str = "[Adblock Plus 2.0]\n! Title: Test list\n||beacon.example^$third-party\n/own-pixel.gif?\n\
                    @@||beacon.example/allowed.js\nshop.example##.banner\n||cdn.example/t.js$script,domain=shop.example\n";

fn list(place: &str, purpose: Purpose, text: &str) -> List {
    List { place: place.into(), name: String::new(), text: text.into(), purpose }
}

fn one(text: &str) -> Lists {
    Lists::compile(&[list("/etc/lists/test.txt", Purpose::Analytics, text)], 1)
}

fn meets(lists: &Lists, url: &str, kind: Kind) -> Option<(String, u32)> {
    let url = Url::parse(url).unwrap();
    let third_party = url.host_str() != Some("shop.example");
    lists
        .find(kind, &url, "shop.example", third_party)
        .map(|found| (found.rule.into_owned(), found.place.line))
}

#[test]
fn a_list_names_its_rule_and_where_it_stands() {
    let lists = one(LIST);
    assert_eq!(
        meets(&lists, "https://x.beacon.example/a.js", Kind::Script),
        Some(("||beacon.example^$third-party".to_owned(), 3))
    );
    assert_eq!(meets(&lists, "https://beacon.example/allowed.js", Kind::Script), None);
    assert!(meets(&lists, "https://shop.example/own-pixel.gif?x", Kind::Image).is_some());
    assert!(meets(&lists, "https://cdn.example/t.js", Kind::Script).is_some());
    assert_eq!(meets(&lists, "https://cdn.example/t.js", Kind::Image), None);
    assert_eq!(meets(&lists, "data:,x", Kind::Image), None);
}

#[test]
fn what_only_a_list_knows_belongs_to_the_list() {
    let lists = one(LIST);
    let url = Url::parse("https://beacon.example/a.js").unwrap();
    let found = lists.find(Kind::Script, &url, "shop.example", true).unwrap();
    assert_eq!(
        (found.vendor.id.as_str(), found.vendor.purpose),
        ("list:test.txt", Purpose::Analytics)
    );
    assert_eq!(found.vendor.name, "Test list (filter list)");
    assert_eq!(found.place.to_string(), "/etc/lists/test.txt:3");
}

/// One row an option: the rules, what is loaded, and whether it is withheld.
#[test]
fn every_option_does_what_it_says() {
    const A: &str = "https://a.example/x.js";
    const OWN: &str = "https://shop.example/x.js";
    for (rules, url, kind, withheld) in [
        ("||a.example^", A, Kind::Script, true),
        ("||a.example^", "https://b.a.example/x", Kind::Image, true),
        ("||a.example^", "https://nota.example/x", Kind::Image, false),
        ("|https://a.example/", A, Kind::Script, true),
        ("/x.js|", A, Kind::Script, true),
        ("/x.js|", "https://a.example/x.js?1", Kind::Script, false),
        ("/^https:\\/\\/a\\.example\\/x/", A, Kind::Script, true),
        ("/X.JS", A, Kind::Script, true),
        ("/akam/11/*", "https://shop.example/akam/11/pixel", Kind::Image, true),
        ("/akam/11/", "https://shop.example/akam/11/pixel", Kind::Image, true),
        ("/akam/11/*", "https://127.0.0.1/akam/11/pixel", Kind::Image, true),
        ("/\\/X\\.js/$match-case", A, Kind::Script, false),
        ("||a.example^\n@@||a.example/x.js", A, Kind::Script, false),
        ("||a.example^$important\n@@||a.example/x.js", A, Kind::Script, true),
        ("||a.example^\n||a.example^$badfilter", A, Kind::Script, false),
        ("||a.example^$domain=shop.example", A, Kind::Script, true),
        ("||a.example^$domain=other.example", A, Kind::Script, false),
        ("||a.example^$domain=~shop.example", A, Kind::Script, false),
        ("/x.js$third-party", A, Kind::Script, true),
        ("/x.js$third-party", OWN, Kind::Script, false),
        ("/x.js$3p", OWN, Kind::Script, false),
        ("/x.js$~third-party", OWN, Kind::Script, true),
        ("/x.js$1p", A, Kind::Script, false),
        ("/x.js$script", A, Kind::Script, true),
        ("/x.js$script", A, Kind::Image, false),
        ("/x.js$~script", A, Kind::Script, false),
        ("/x.js$~script", A, Kind::Image, true),
        ("/x.js$image", A, Kind::Image, true),
        ("/x.js$stylesheet", A, Kind::Style, true),
        ("/x.js$font", A, Kind::Font, true),
        ("/x.js$media", A, Kind::Media, true),
        ("/x.js$object", A, Kind::Object, true),
        ("/x.js$subdocument", A, Kind::Frame, true),
        ("/x.js$xmlhttprequest", A, Kind::Connect, true),
        ("/x.js$ping", A, Kind::Connect, true),
        ("/x.js$script", A, Kind::Hint, true),
        ("/x.js$image", A, Kind::Inline, true),
        ("/x$websocket", "wss://a.example/x", Kind::Connect, true),
        ("/x$websocket", "https://a.example/x", Kind::Connect, false),
        ("/x.js$document", A, Kind::Refresh, true),
        ("/x.js$document", A, Kind::Script, false),
        ("/x.js$all", A, Kind::Refresh, true),
        ("/x.js$method=post", A, Kind::Connect, false),
        ("/x.js$popup,script", A, Kind::Script, true),
        ("/x.js$redirect=noop.js", A, Kind::Script, true),
        ("/x.js$script,rewrite=abp-resource:blank-js", A, Kind::Script, true),
        ("/x.js$redirect-rule=noop.js", A, Kind::Script, false),
        ("||a.example^\n@@/x.js$redirect=noop.js", A, Kind::Script, true),
        ("||a.example^\n@@||a.example^$xmlhttprequest", A, Kind::Connect, false),
        ("||a.example^\n@@||shop.example^$document", A, Kind::Script, true),
        ("/x.js$unheard-of", A, Kind::Script, false),
        ("$removeparam=x", "https://a.example/x.js?x=1", Kind::Script, false),
        ("$csp=script-src 'none'", A, Kind::Refresh, false),
        ("||b\u{fc}cher.example^", "https://b\u{fc}cher.example/x", Kind::Script, true),
    ] {
        let is = meets(&one(rules), url, kind).is_some();
        assert_eq!(is, withheld, "{rules:?} on {url} as {}", kind.name());
    }
}

#[test]
fn a_rule_in_another_form_is_shown_as_it_is_written() {
    let lists = one("! x\n||a.example^$script,redirect=noop.js\n");
    assert_eq!(
        meets(&lists, "https://a.example/x.js", Kind::Script),
        Some(("||a.example^$script,redirect=noop.js".to_owned(), 2))
    );
}

#[test]
fn two_lists_that_know_an_address_need_both_purposes() {
    let lists = Lists::compile(
        &[
            list("one.txt", Purpose::Analytics, "||a.example^\n||c.example^\n"),
            list(
                "two.txt",
                Purpose::Marketing,
                "! x\n||b.example^\n||a.example^\n@@||c.example^\n",
            ),
        ],
        2,
    );
    let purposes = |url: &str| {
        let url = Url::parse(url).unwrap();
        lists.find(Kind::Script, &url, "shop.example", true).map(|found| found.vendor.purposes)
    };
    let analytics = PurposeSet::EMPTY.with(Purpose::Analytics);
    assert_eq!(purposes("https://a.example/"), Some(analytics.with(Purpose::Marketing)));
    assert_eq!(purposes("https://b.example/"), Some(PurposeSet::EMPTY.with(Purpose::Marketing)));
    assert_eq!(purposes("https://c.example/"), None, "an exception holds for every list");
}

#[test]
fn c6_a_list_takes_parameters_out_of_addresses() {
    let lists = one(
        "$removeparam=fbx\n||shop.example/a$removeparam=only-a\n@@||shop.example/keep$removeparam=fbx\n\
         $removeparam=xhr,xmlhttprequest\n",
    );
    for (name, url, kind, line) in [
        ("fbx", "https://shop.example/?fbx=1", Kind::Refresh, Some(1)),
        ("fbx", "https://shop.example/keep?fbx=1", Kind::Refresh, None),
        ("fbx", "https://shop.example/?fbx=1", Kind::Image, None),
        ("only-a", "https://shop.example/a?only-a=1", Kind::Refresh, Some(2)),
        ("only-a", "https://shop.example/b?only-a=1", Kind::Refresh, None),
        ("xhr", "https://shop.example/?xhr=1", Kind::Refresh, None),
        ("xhr", "https://shop.example/?xhr=1", Kind::Connect, Some(4)),
        ("other", "https://shop.example/?other=1", Kind::Refresh, None),
    ] {
        let url = Url::parse(url).unwrap();
        let found = lists.parameter(name, kind, &url, "shop.example", false);
        assert_eq!(found.map(|found| found.place.line), line, "{name} in {url}");
    }
}

#[test]
fn a_list_adds_policies_to_pages() {
    let lists =
        one("||shop.example^$csp=script-src 'self'\n||shop.example/a$csp=worker-src 'none'\n\
         @@||shop.example/free$csp\n@@||shop.example/loose$csp=script-src 'self'\n");
    for (url, policies) in [
        ("https://shop.example/", &["script-src 'self'"][..]),
        ("https://shop.example/a", &["script-src 'self'", "worker-src 'none'"]),
        ("https://shop.example/free", &[]),
        ("https://shop.example/loose", &[]),
        ("https://other.example/", &[]),
    ] {
        let url = Url::parse(url).unwrap();
        let host = url.host_str().unwrap();
        let added: Vec<_> = lists.csp_for(&url, host).map(|(policy, _)| policy).collect();
        assert_eq!(added, policies, "{url}");
    }
}

#[test]
fn lists_that_differ_have_another_revision() {
    let revisions = [
        one("||a.example^"),
        one("||b.example^"),
        Lists::compile(&[list("/etc/lists/test.txt", Purpose::Marketing, "||a.example^")], 1),
    ];
    let names: std::collections::HashSet<_> = revisions.iter().map(Lists::revision).collect();
    assert_eq!(names.len(), 3);
    assert_eq!(one("||a.example^").revision(), revisions[0].revision());
}
