//! Trackers that look like the site's own: behind names and paths of the own
//! domain, and in scripts that the own host serves.

use crate::harness::{Page, Proxy, Visitor, consentry, origin, visitor};
use crate::name_server::name_server;

use std::time::{Duration, Instant};

/// Opens a page until what it looks like holds: a name is looked up in the
/// background, and nobody waits for that.
async fn opens_until(visitor: &mut Visitor, path: &str, holds: impl Fn(&Page) -> bool) -> Page {
    for _ in 0..1200 {
        let page = visitor.opens(path).await;
        if holds(&page) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{path} never became what it should be: {}", visitor.opens(path).await.body);
}

fn shopper(proxy: &Proxy) -> Visitor {
    visitor(proxy).at_host("www.shop.test")
}

const CLOAKED: &str = "<p>Shop</p><script src=\"https://metrics.shop.test/t.js\"></script>\
    <script>var s=document.createElement('script');s.src='//m2.shop.test/t.js';document.head.append(s)</script>\
    <img src=\"https://img.shop.test/a.png\"><script src=\"https://www.shop.test/own.js\"></script>";

#[tokio::test(flavor = "multi_thread")]
async fn b13_a_tracker_behind_an_alias_is_withheld() {
    let names = name_server(&[
        ("metrics.shop.test", "shop.collect.cdn.test"),
        ("shop.collect.cdn.test", "eu.ads.acme.example"),
        ("m2.shop.test", "x.stats.acme.example"),
        ("img.shop.test", "shop.cdn.test"),
        ("www.shop.test", "www.ads.acme.example"),
    ])
    .await;
    let origin = origin().page("/", CLOAKED).start().await;
    let proxy = consentry(&origin).config(&names.section()).start().await;
    let mut visitor = shopper(&proxy);
    let page = opens_until(&mut visitor, "/", |page| {
        !page.body.contains("metrics.shop.test") && !page.body.contains("m2.shop.test")
    })
    .await;
    assert!(page.body.contains("<img src=\"https://img.shop.test/a.png\">"), "{}", page.body);
    assert!(page.body.contains("<script src=\"https://www.shop.test/own.js\"></script>"));
    let ledger = proxy.ledger().await;
    for line in [
        "block marketing Acme Ads script metrics.shop.test/t.js",
        "block analytics Acme Stats inline stats.acme.example (m2.shop.test is x.stats.acme.example)",
    ] {
        assert!(ledger.contains(&line.to_owned()), "{ledger:?}");
    }
    visitor.chooses("all", &[]).await;
    let page = visitor.opens("/").await;
    assert!(page.body.contains("metrics.shop.test") && page.body.contains("m2.shop.test"));
    let asked = names.asked();
    assert!(!asked.contains(&"www.shop.test".to_owned()), "the page's own host is no disguise");
    for name in ["metrics.shop.test", "m2.shop.test", "img.shop.test"] {
        assert_eq!(asked.iter().filter(|asked| *asked == name).count(), 1, "{name}: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_an_expected_alias_is_known_before_the_first_visitor() {
    let names = name_server(&[("metrics.shop.test", "x.ads.acme.example")]).await;
    let origin = origin().page("/", CLOAKED).start().await;
    let proxy = consentry(&origin)
        .config(&names.section())
        .site("aliases = [\"metrics.shop.test\"]")
        .start()
        .await;
    for _ in 0..1200 {
        if names.asked().contains(&"metrics.shop.test".to_owned()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let sites = proxy.running().sites();
    let aliases = sites.aliases().unwrap();
    while !aliases.knows("metrics.shop.test") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let page = shopper(&proxy).opens("/").await;
    assert!(!page.body.contains("metrics.shop.test"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_a_page_kept_from_before_the_answer_is_not_reused() {
    let names = name_server(&[]).await;
    let html = "<p>x</p><script src=\"https://metrics.shop.test/t.js\"></script>";
    let origin = origin().page("/", html).start().await;
    // What we ask for ourselves would look like what the browser asks.
    let alone = consentry(&origin).site("remember_pages = false");
    let proxy = alone.config(&names.section()).start().await;
    let mut visitor = shopper(&proxy);
    visitor.opens("/").await;
    let sites = proxy.running().sites();
    let aliases = sites.aliases().unwrap();
    while !aliases.knows("metrics.shop.test") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = visitor.opens("/").await;
    assert!(before.body.contains("metrics.shop.test"));
    names.alias("metrics.shop.test", "x.ads.acme.example");
    aliases.learn("metrics.shop.test", vec!["x.ads.acme.example".to_owned()]);
    let tag = before.field("etag");
    let after = visitor.asks("GET", "/", &[("if-none-match", &tag)], "").await;
    assert_eq!(after.status, 200);
    assert!(!after.body.contains("metrics.shop.test") && after.field("etag") != tag);
    let sent = origin.seen().pop().unwrap().headers;
    assert!(!sent.contains_key("if-none-match"), "the origin must not say that nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_nobody_waits_for_a_name_server_that_is_silent_or_may_not_be_asked() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let origin = origin().page("/", CLOAKED).start().await;
    let section = format!("[dns]\nserver = \"{}\"", silent.local_addr().unwrap());
    // An answer is given up after ten seconds: on a machine that is too busy to
    // tell, it is tried again.
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let proxy = consentry(&origin).config(&section).start().await;
        let begun = Instant::now();
        let page = shopper(&proxy).opens("/").await;
        assert!(page.body.contains("metrics.shop.test"), "unknown names count as the site's own");
        quickest = quickest.min(begun.elapsed());
        if quickest < Duration::from_secs(2) {
            break;
        }
    }
    assert!(quickest < Duration::from_secs(2), "{quickest:?}");

    let names = name_server(&[("metrics.shop.test", "x.ads.acme.example")]).await;
    let section = format!("{}\naliases = false", names.section());
    let proxy = consentry(&origin).config(&section).start().await;
    assert!(shopper(&proxy).opens("/").await.body.contains("metrics.shop.test"));
    assert!(names.asked().is_empty() && proxy.running().sites().aliases().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_what_is_no_name_server_and_no_name_is_refused() {
    let origin = origin().start().await;
    for (section, site, why) in [
        ("[dns]\nserver = \"nowhere\"", "", "`nowhere` is not a name server"),
        ("", "aliases = [\"https://metrics.shop.test\"]", "https://metrics.shop.test"),
    ] {
        let refused = consentry(&origin).config(section).site(site).try_start().await;
        let message = refused.err().unwrap();
        assert!(message.contains(why) && message.contains("consentry.toml:"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_a_reload_forgets_no_alias() {
    let names = name_server(&[("metrics.shop.test", "x.ads.acme.example")]).await;
    let origin = origin().page("/", CLOAKED).start().await;
    let proxy = consentry(&origin).config(&names.section()).start().await;
    let mut visitor = shopper(&proxy);
    let is_clean = |page: &Page| !page.body.contains("metrics.shop.test");
    opens_until(&mut visitor, "/", is_clean).await;
    let compiled = consentry::config::load(
        Some(&proxy.directory().join("consentry.toml")),
        std::iter::empty(),
        &consentry::config::Overrides::default(),
        consentry::config::KeyMode::CheckOnly,
    )
    .unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
    proxy.running().replace_sites(compiled.sites);
    assert!(is_clean(&visitor.opens("/").await));
}

/// Requests that vendors' scripts make of the site's own host.
const DISGUISED: [(&str, &str, &str); 26] = [
    ("script", "/gtm.js?id=GTM-ABC123", "Google Tag Manager"),
    ("script", "/metrics/gtm.js?id=GTM-ABC123", "Google Tag Manager"),
    ("script", "/a7f/?l=dataLayer&id=GTM-ABC123", "Google Tag Manager"),
    ("script", "/gtg/js?id=G-ABCDE12345", "Google Analytics"),
    ("script", "/shop/gtag/js?id=G-ABCDE12345", "Google Analytics"),
    ("script", "/gtg/?id=GT-ABCDE12", "Google tag gateway"),
    ("script", "/gtg/?id=AW-123456789", "Google Ads"),
    ("empty", "/gtg/g/collect?v=2&tid=G-ABCDE12345&en=page_view", "Google Analytics"),
    ("empty", "/x9?v=2&en=page_view&tid=G-ABCDE12345", "Google Analytics"),
    ("empty", "/gtg/ccm/collect?en=page_view", "Google Ads"),
    ("empty", "/_/set_cookie?val=x", "Google tag gateway"),
    ("image", "/b/ss/shop/1/JS-2.22/s1?AQB=1", "Adobe Analytics"),
    ("image", "/m/s?AQB=1&ndh=1&pf=1", "Adobe Analytics"),
    ("empty", "/ee/v1/interact?configId=a&requestId=b", "Adobe Experience Platform"),
    ("empty", "/edge?configId=a&requestId=b", "Adobe Experience Platform"),
    ("image", "/stat/matomo.php?idsite=1&rec=1", "Matomo"),
    ("empty", "/hello?action_name=x&idsite=1&rec=1", "Matomo"),
    ("empty", "/.well-known/shopify/monorail/v1/produce", "Shopify Analytics"),
    ("script", "/cdn/wpm/b1a2.js", "Shopify Analytics"),
    ("script", "/cdn-cgi/zaraz/s.js?z=1", "Cloudflare Zaraz"),
    ("empty", "/ingest/e/?ip=1&_=2&ver=1.2", "PostHog"),
    ("empty", "/ph/e/?ip=1&_=2&ver=1.2", "PostHog"),
    ("empty", "/sp/com.snowplowanalytics.snowplow/tp2", "Snowplow"),
    ("image", "/i?e=pv&tv=js-3.5&tna=sp", "Snowplow"),
    ("image", "/fb/tr/?id=1234&ev=PageView", "Meta Pixel"),
    ("empty", "/amp/2/httpapi", "Amplitude"),
];

#[tokio::test(flavor = "multi_thread")]
async fn b13_vendors_on_paths_of_the_own_host_are_withheld_by_what_is_asked_of_them() {
    let origin = origin().start().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    for (destination, target, vendor) in DISGUISED {
        let page = visitor.asks("GET", target, &[("sec-fetch-dest", destination)], "").await;
        let expected = match destination {
            "script" => (200, "text/javascript"),
            "image" => (200, "image/gif"),
            _ => (204, ""),
        };
        let got = (page.status.as_u16(), page.field("content-type"));
        assert_eq!(got, (expected.0, expected.1.to_owned()), "{target}");
        let page = visitor.asks("POST", target, &[("sec-fetch-dest", "empty")], "hit").await;
        assert_eq!((page.status.as_u16(), page.bytes.len()), (204, 0), "{target}");
        let lines = proxy.lines().await;
        let path = target.split('?').next().unwrap();
        let known = lines.iter().any(|line| {
            line.vendor.as_deref().is_some_and(|name| name.starts_with(vendor))
                && line.kind == "own-path"
                && line.layer == "request"
        });
        assert!(known, "{path} is {vendor}'s: {:?}", proxy.ledger().await);
    }
    assert!(origin.seen().is_empty(), "{:?}", origin.seen());
    visitor.chooses("all", &[]).await;
    for (destination, target, _) in DISGUISED {
        visitor.asks("GET", target, &[("sec-fetch-dest", destination)], "").await;
    }
    let seen: Vec<_> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(seen.len(), DISGUISED.len(), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_requests_that_only_look_alike_reach_the_origin() {
    let origin = origin().page("/product", "<p>x</p>").start().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    let targets = [
        ("empty", "/api/product?id=G-12"),
        ("empty", "/api/product?id=GTM-x"),
        ("empty", "/api/search?v=2&q=G-ABCDE12345"),
        ("empty", "/api/collection?id=12"),
        ("empty", "/contact?id=1&rec=1"),
        ("image", "/trees?id=1&ev=2"),
        ("empty", "/api/configuration?configId=a"),
        // A visitor who goes there wants the page, whatever its address.
        ("document", "/product?id=GTM-ABC123"),
        ("document", "/gtag/js"),
    ];
    for (destination, target) in targets {
        visitor.asks("GET", target, &[("sec-fetch-dest", destination)], "").await;
    }
    let seen: Vec<_> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(seen, targets.map(|(_, target)| target.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_what_a_list_knows_of_the_own_host_is_withheld_from_scripts_too() {
    let origin = origin().start().await;
    let builder = consentry(&origin);
    let file = builder.path("house.txt");
    std::fs::write(&file, "/pixel-of-ours.gif?\n/beacon-of-ours$script\n").unwrap();
    let proxy = builder.config(&format!("[lists]\nfiles = [{file:?}]")).start().await;
    let mut visitor = visitor(&proxy);
    for (destination, target, reaches) in [
        ("image", "/pixel-of-ours.gif?1", false),
        ("script", "/beacon-of-ours", false),
        ("image", "/beacon-of-ours", true),
        ("document", "/pixel-of-ours.gif?1", true),
    ] {
        let before = origin.seen().len();
        visitor.asks("GET", target, &[("sec-fetch-dest", destination)], "").await;
        assert_eq!(origin.seen().len() > before, reaches, "{destination} {target}");
    }
}
