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

#[tokio::test(flavor = "multi_thread")]
async fn a_route_with_a_mistake_is_refused() {
    let origin = origin().start().await;
    for (route, expected) in [
        ("mode = 'safe'", "a route without `path`"),
        ("path = 'x'", "`x` is not a path"),
        ("path = '/x'\nmode = 'off'", "a mode is `enforce`, `observe` or `safe`"),
        ("path = '/x'\nunlisted = 'off'", "unlisted is `allow`, `observe` or `block`"),
        ("path = '/x'\nenforce_share = 101", "101 is out of range"),
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
