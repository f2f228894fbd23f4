//! Trackers that look like the site's own: behind names and paths of the own
//! domain, and in scripts that the own host serves.

use crate::harness::{Page, Proxy, Visitor, consentry, origin, visitor};
use crate::name_server::name_server;

use std::time::Duration;

/// Opens a page until what it looks like holds: a name is looked up in the
/// background, and nobody waits for that.
async fn opens_until(visitor: &mut Visitor, path: &str, holds: impl Fn(&Page) -> bool) -> Page {
    for _ in 0..200 {
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
    for _ in 0..200 {
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
    let proxy = consentry(&origin).config(&names.section()).start().await;
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
    let proxy = consentry(&origin).config(&section).start().await;
    let opens = async { shopper(&proxy).opens("/").await };
    let page = tokio::time::timeout(Duration::from_secs(2), opens).await.unwrap();
    assert!(page.body.contains("metrics.shop.test"), "unknown names count as the site's own");

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
