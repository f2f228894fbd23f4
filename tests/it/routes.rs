//! Pages for which something else holds, and third parties that nobody knows.

use crate::harness::{Proxy, consentry, origin, visitor};

const PAGE: &str = "<script src=\"https://x.beacon.example/a.js\"></script>\
    <script src=\"https://cdn.stranger.example/x.js\"></script>\
    <script src=\"https://ads.acme.example/p.js\"></script>";

fn metric(proxy: &Proxy, name: &str) -> u32 {
    let text = proxy.running().observe.exposition();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}_total ")));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn j3_a_checkout_in_safe_mode_loses_only_known_trackers() {
    let origin =
        origin().page("/", PAGE).page("/checkout/pay", PAGE).page("/checkouts", PAGE).start().await;
    let builder = consentry(&origin);
    let list = builder.path("house.txt");
    std::fs::write(&list, "! Title: House list\n||beacon.example^\n").unwrap();
    let proxy = builder
        .config(&format!("[lists]\nfiles = [{list:?}]"))
        .site("unlisted = 'block'\n[[site.route]]\npath = '/checkout'\nmode = 'safe'")
        .start()
        .await;
    let mut visitor = visitor(&proxy);
    for path in ["/", "/checkouts"] {
        let page = visitor.opens(path).await;
        for gone in ["beacon.example", "stranger.example", "acme.example"] {
            assert!(!page.body.contains(gone), "{path} {gone}: {}", page.body);
        }
    }
    let page = visitor.opens("/checkout/pay").await;
    assert!(
        page.body.contains("x.beacon.example/a.js\"")
            && page.body.contains("stranger.example/x.js\"")
    );
    assert!(!page.body.contains("acme.example"), "{}", page.body);
    let lines = proxy.lines().await;
    let mut safe: Vec<_> = lines
        .iter()
        .filter(|line| line.page == "/checkout/pay")
        .map(|line| format!("{} {} {} {}", line.mode, line.verdict, line.what, line.reason))
        .collect();
    safe.sort();
    assert_eq!(
        safe,
        [
            "safe allow cdn.stranger.example/x.js unlisted",
            "safe allow x.beacon.example/a.js safe mode",
            "safe block ads.acme.example/p.js not granted",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_an_observed_route_passes_byte_for_byte_with_a_full_ledger() {
    let origin = origin().page("/", PAGE).page("/new/shop", PAGE).start().await;
    let site = "[[site.route]]\npath = '/new'\nmode = 'observe'\n[[site.route]]\npath = '/*'\nunlisted = 'block'";
    let proxy = consentry(&origin).site(site).start().await;
    let mut visitor = visitor(&proxy);
    let page = visitor.opens("/new/shop").await;
    assert_eq!((page.body.as_str(), page.field("etag")), (PAGE, "\"v1\"".to_owned()));
    let page = visitor.opens("/").await;
    assert!(!page.body.contains("acme.example") && !page.body.contains("stranger.example"));
    let lines = proxy.lines().await;
    let observed: Vec<_> = lines.iter().filter(|line| line.page == "/new/shop").collect();
    assert_eq!(observed.len(), 3);
    assert!(observed.iter().all(|line| line.mode == "observe"));
    assert_eq!(observed.iter().filter(|line| line.verdict == "block").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_enforcement_begins_with_a_share_of_visitors_and_never_flips_for_one() {
    let origin = origin().page("/", PAGE).page("/all", PAGE).page("/none", PAGE).start().await;
    let route = |path: &str, share: u8| {
        format!("[[site.route]]\npath = '{path}'\nenforce_share = {share}\n")
    };
    let site = route("/all", 100) + &route("/none", 0) + &route("/", 30);
    let proxy = consentry(&origin).site(&site).start().await;
    let mut enforced = 0;
    for number in 0..200 {
        let mut visitor = visitor(&proxy).sending("x-forwarded-for", &format!("198.51.{number}.7"));
        let page = visitor.opens("/").await;
        let withheld = !page.body.contains("acme.example");
        enforced += u32::from(withheld);
        assert!(page.field("cache-control").contains("private"), "{:?}", page.headers);
        if number % 20 == 0 {
            for _ in 0..3 {
                let again = visitor.opens("/").await;
                assert_eq!(withheld, !again.body.contains("acme.example"), "{number}");
            }
            assert!(!visitor.opens("/all").await.body.contains("acme.example"));
            assert_eq!(visitor.opens("/none").await.body, PAGE);
        }
    }
    // Thirty in a hundred, give or take five standard deviations.
    assert!((28..=92).contains(&enforced), "{enforced}");
}

/// How many of so many visitors from networks of their own get the page as it
/// came, by what became of each.
async fn spared(proxy: &Proxy, visitors: u32) -> Vec<bool> {
    let mut spared = Vec::new();
    for number in 0..visitors {
        let address = format!("198.{}.{}.7", 18 + number / 256, number % 256);
        let page = visitor(proxy).sending("x-forwarded-for", &address).opens("/").await;
        spared.push(page.body == PAGE);
        assert_eq!(page.body.contains("acme.example"), page.body == PAGE, "all or nothing");
    }
    spared
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_a_site_begins_with_none_a_share_or_all_and_a_larger_share_only_adds() {
    // With these keys, the outcome is the same on every machine, until the day ends.
    let origin = origin().page("/", PAGE).start().await;
    let start = async |share: u8| {
        let builder = consentry(&origin);
        let keys = builder.path("keys");
        std::fs::write(&keys, format!("{:064x}\n", 7)).unwrap();
        let sections =
            format!("[consent]\nkeys_file = {keys:?}\n[limits]\nrequests_per_second = 0");
        builder.config(&sections).site(&format!("enforce_share = {share}")).start().await
    };
    let proxies = [start(0).await, start(10).await, start(60).await, start(100).await];
    // Midnight (UTC) may come in between, so all are asked again if it did.
    let day = || jiff::Timestamp::now().as_second() / 86_400;
    let (mut begun, mut all) = (-1, Vec::new());
    while begun != day() {
        begun = day();
        all.clear();
        for proxy in &proxies {
            all.push(spared(proxy, 200).await);
        }
    }
    let count = |of: &[bool]| of.iter().filter(|spared| **spared).count();
    assert_eq!((count(&all[0]), count(&all[3])), (200, 0));
    for pair in all.windows(2) {
        let back = pair[0].iter().zip(&pair[1]).filter(|(before, after)| !**before && **after);
        assert_eq!(back.count(), 0, "raising the share spares nobody who was not");
    }
    // Ninety and forty in a hundred, give or take five standard deviations.
    assert!((159..=200).contains(&count(&all[1])), "{}", count(&all[1]));
    assert!((46..=114).contains(&count(&all[2])), "{}", count(&all[2]));
    let lines = proxies[2].lines().await;
    let seen = |mode: &str| lines.iter().filter(|line| line.mode == mode).count();
    assert!(seen("observe") > 0 && seen("enforce") > 0, "the record tells the sides apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_whoever_has_said_something_is_never_spared() {
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin).site("enforce_share = 1").start().await;
    let (mut number, mut spared) = (0, String::new());
    while spared.is_empty() {
        let address = format!("203.0.{number}.7");
        let page = visitor(&proxy).sending("x-forwarded-for", &address).opens("/").await;
        if page.body == PAGE {
            spared = address;
        }
        number += 1;
    }
    let from_there = || visitor(&proxy).sending("x-forwarded-for", &spared);
    let with_gpc = from_there().sending("sec-gpc", "1").opens("/").await;
    assert!(!with_gpc.body.contains("acme.example"), "{}", with_gpc.body);
    let mut refusing = from_there();
    refusing.chooses("none", &[]).await;
    for _ in 0..3 {
        let page = refusing.opens("/").await;
        assert!(!page.body.contains("acme.example"), "{}", page.body);
    }
    assert_eq!(from_there().opens("/").await.body, PAGE, "the others there are spared");
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_a_route_has_a_share_of_its_own_or_that_of_the_site() {
    let origin = origin().page("/", PAGE).page("/all", PAGE).page("/as", PAGE).start().await;
    let site = "enforce_share = 0\n[[site.route]]\npath = '/all'\nenforce_share = 100\n\
                [[site.route]]\npath = '/as'\nunlisted = 'block'";
    let proxy = consentry(&origin).site(site).start().await;
    let mut visitor = visitor(&proxy);
    assert_eq!(visitor.opens("/").await.body, PAGE);
    assert_eq!(visitor.opens("/as").await.body, PAGE);
    assert!(!visitor.opens("/all").await.body.contains("acme.example"));
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_no_shared_cache_keeps_what_a_share_of_visitors_gets_on_either_side() {
    let public = |kind: &str, body: &'static str| {
        let kind = kind.to_owned();
        move |_| {
            http::Response::builder()
                .header("content-type", &kind)
                .header("cache-control", "public, max-age=600")
                .header("etag", "\"v1\"")
                .body(http_body_util::Full::from(body))
                .unwrap()
        }
    };
    let origin = origin()
        .answer("/", public("text/html; charset=utf-8", PAGE))
        .answer("/acme/collect", public("image/gif", "GIF89a"))
        .answer("/style.css", public("text/css", "p{}"))
        .answer("/own.js", public("text/javascript", "acme.version=1;acme._release=2"))
        .start()
        .await;
    let proxy = consentry(&origin).site("enforce_share = 50").start().await;
    let (mut number, mut sides) = (0, [0, 0]);
    // Both sides, several times each, so that what is remembered of one is there when
    // the other asks.
    while sides.iter().any(|met| *met < 5) {
        let mut visitor = visitor(&proxy).sending("x-forwarded-for", &format!("203.0.{number}.7"));
        number += 1;
        let page = visitor.opens("/").await;
        let observed = page.body == PAGE;
        assert_eq!(page.body.contains("acme.example"), observed, "{}", page.body);
        sides[usize::from(observed)] += 1;
        let hit = visitor.opens("/acme/collect").await;
        assert_eq!(hit.status.as_u16(), if observed { 200 } else { 204 });
        for answer in [&page, &hit] {
            let said = answer.field("cache-control");
            assert!(said.contains("private") && !said.contains("public"), "{observed}: {said}");
        }
        // Whose it is stands in the file, so it is found out late.
        let script = visitor.opens("/own.js").await;
        assert!(!script.field("cache-control").contains("public"), "{observed}");
        if observed {
            // After a "no" nothing may be told to be still right.
            assert_eq!((page.field("etag"), script.field("etag")), Default::default());
        }
        let style = visitor.opens("/style.css").await;
        assert_eq!(style.field("cache-control"), "public, max-age=600", "what is for all stays");
    }
}

const TWO_VENDORS: &str = "<script src=\"https://ads.acme.example/p.js\"></script>\
    <script src=\"https://stats.acme.example/s.js\"></script>";

#[tokio::test(flavor = "multi_thread")]
async fn h6_one_vendor_is_observed_while_the_others_are_enforced_and_the_other_way_round() {
    let origin = origin().page("/", TWO_VENDORS).start().await;
    for (site, passes, withheld) in [
        ("observe_vendors = ['acme-ads']", "ads.acme.example/p.js", "stats.acme.example/s.js"),
        ("enforce_vendors = ['acme-ads']", "stats.acme.example/s.js", "ads.acme.example/p.js"),
    ] {
        let proxy = consentry(&origin).site(site).start().await;
        let page = visitor(&proxy).opens("/").await;
        assert!(page.body.contains(&format!("src=\"https://{passes}\"")), "{site}: {}", page.body);
        assert!(!page.body.contains(withheld), "{site}: {}", page.body);
        assert!(page.field("cache-control").contains("private"));
        let mut refusing = visitor(&proxy);
        refusing.chooses("none", &[]).await;
        let page = refusing.opens("/").await;
        assert!(!page.body.contains("acme.example"), "{site}: a no is a no: {}", page.body);
        let mut lines: Vec<_> = proxy.lines().await;
        lines.retain(|line| line.page == "/");
        let said = |what: &str, verdict: &str, reason: &str| {
            let of = |line: &&consentry::ledger::read::Line| {
                line.what == what && line.verdict == verdict && line.reason == reason
            };
            lines.iter().filter(of).count()
        };
        assert_eq!(said(passes, "allow", "observed"), 1, "{site}");
        assert_eq!(said(passes, "block", "not granted"), 1, "{site}");
        assert_eq!(said(withheld, "block", "not granted"), 2, "{site}");
        assert!(lines.iter().all(|line| line.mode == "enforce"), "{site}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_vendors_that_nobody_knows_or_that_contradict_are_refused() {
    let origin = origin().start().await;
    for (site, expected) in [
        ("observe_vendors = ['acme-add']", "did you mean `acme-ads`?"),
        ("enforce_vendors = ['nobody-at-all']", "no vendor in the catalogue has the id"),
        (
            "observe_vendors = ['acme-ads']\nenforce_vendors = ['acme-stats']",
            "leave out `observe_vendors`, or `enforce_vendors`",
        ),
        ("enforce_share = 101", "101 is out of range"),
    ] {
        let said = consentry(&origin).site(site).try_start().await.err().unwrap();
        assert!(said.contains(expected) && said.contains("consentry.toml:"), "{site}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_with_a_mistake_is_refused() {
    let origin = origin().start().await;
    for (route, expected) in [
        ("mode = 'safe'", "a route without `path`"),
        ("path = 'x'", "`x` is not a path"),
        ("path = '/x'\nmode = 'off'", "a mode is `enforce`, `observe` or `safe`"),
        ("path = '/x'\nunlisted = 'off'", "unlisted is `allow`, `observe` or `block`"),
        ("path = '/x'\nenforce_share = 101", "101 is out of range"),
        ("path = '/x'\nenforce_share = '25%'", "expected u8"),
    ] {
        let site = format!("[[site.route]]\n{route}");
        let said = consentry(&origin).site(&site).try_start().await.err().unwrap();
        assert!(said.contains(expected) && said.contains("consentry.toml:"), "{route}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_third_party_that_nobody_knows_is_allowed_observed_or_blocked_and_raised_once() {
    for (unlisted, passes, raised) in
        [("allow", true, 0), ("observe", true, 2), ("block", false, 2)]
    {
        let html = "<script src=\"https://cdn.stranger.example/x.js\"></script>\
                    <img src=\"https://cdn.stranger.example/y.png\">\
                    <img src=\"https://other.stranger.example/z.png\">";
        let origin = origin().page("/", html).page("/2", html).start().await;
        let proxy = consentry(&origin).site(&format!("unlisted = '{unlisted}'")).start().await;
        let mut visitor = visitor(&proxy);
        let page = visitor.opens("/").await;
        visitor.opens("/2").await;
        assert_eq!(page.body.contains("stranger.example"), passes, "{unlisted}");
        let lines = proxy.lines().await;
        let word = if passes { "allow" } else { "block" };
        assert_eq!(lines.len(), 6, "{unlisted}");
        assert!(lines.iter().all(|line| line.verdict == word && line.reason == "unlisted"));
        assert_eq!(metric(&proxy, "consentry_unlisted_hosts"), raised, "{unlisted}");
    }
}
