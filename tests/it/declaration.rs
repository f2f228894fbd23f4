//! Visitors are told whom the site was met with, on a page that a privacy
//! policy can link to.

use crate::accessibility::{axe, prefers, violations};
use crate::driver::{Browser, is_here};
use crate::harness::{Origin, Proxy, consentry, origin, visitor};

use http::{Response, StatusCode};
use serde_json::json;

const PAGE: &str = "<!doctype html><title>Shop</title><body>\
    <script src=//ads.acme.example/p.js></script><img src=//stats.acme.example/s.gif>\
    <img src=\"https://stranger.example/<b>x</b>.gif\"></body>";

const DECLARATION: &str = "/.consentry/declaration";

/// A shop whose page sets cookies, one of them with a name that is markup.
async fn shop(site: &str) -> (Origin, Proxy) {
    let page = |_| {
        Response::builder()
            .header("content-type", "text/html")
            .header("set-cookie", "_acme_a1b2c3d4e5f6=1")
            .header("set-cookie", "basket=1")
            .header("set-cookie", "<img/src=x>=1")
            .body(PAGE.into())
            .unwrap()
    };
    let origin = origin().answer("/", page).start().await;
    let proxy = consentry(&origin).site(site).start().await;
    (origin, proxy)
}

/// Everything so far is in the ledger and the ledger was asked.
async fn renewed(proxy: &Proxy) {
    proxy.lines().await;
    proxy.running().renew_declarations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_visitors_find_what_was_met_with_its_purpose_and_where_to_read_on() {
    let (_origin, proxy) = shop("operator = 'Kettle & Leaf'\npolicy_url = '/privacy'").await;
    let mut visitor = visitor(&proxy);
    visitor.opens("/?acmeid=5").await;
    renewed(&proxy).await;
    let choices = visitor.opens("/.consentry/choices?return_to=/tea").await.body;
    let link = format!("href=\"{DECLARATION}?return_to=/tea\"");
    assert!(choices.contains(&link), "{choices}");

    let page = visitor.opens(&format!("{DECLARATION}?return_to=/tea")).await;
    let body = &page.body;
    assert_eq!(page.status, StatusCode::OK);
    for expected in [
        "<h2>Marketing</h2>",
        "<strong>Acme Ads</strong> (Acme): Shows ads.",
        "<h2>Analytics</h2>",
        "<strong>Acme Stats</strong> (Acme): Counts visits.",
        "<a href=\"https://acme.example\" rel=\"noreferrer nofollow\">More about Acme Ads</a>",
        "<bdi dir=\"ltr\">_acme_*</bdi>",
        "Held back until you agree.",
        "Seen on this site since <time",
        "<bdi dir=\"ltr\">consentry</bdi> \u{2013} keeps your choice for 180 days",
        "<bdi dir=\"ltr\">basket</bdi>",
        "<bdi dir=\"ltr\">&lt;img/src</bdi>",
        "nobody has named yet: 1.",
        "Kettle &amp; Leaf",
        "href=\"/privacy\"",
        "href=\"/tea\"",
        "href=\"/.consentry/choices?return_to=/tea\"",
    ] {
        assert!(body.contains(expected), "{expected}: {body}");
    }
    assert!(body.find("<h2>Analytics").unwrap() < body.find("<h2>Marketing").unwrap());
    for hostile in ["Acme Maps", "a1b2", "stranger.example", "<b>x", "<img", "<script", "acmeid"] {
        assert!(!body.contains(hostile), "{hostile}: {body}");
    }

    // Everybody reads the same, whatever they chose, and nothing is kept of it.
    let other = visitor.opens(&format!("{DECLARATION}?return_to=/tea")).await;
    assert_eq!(other.body, page.body);
    visitor.chooses("all", &[]).await;
    assert_eq!(visitor.opens(&format!("{DECLARATION}?return_to=/tea")).await.body, page.body);
    assert!(page.field("content-security-policy").starts_with("default-src 'none'; style-src"));
    for field in ["cache-control", "x-content-type-options", "referrer-policy", "x-robots-tag"] {
        let choices = visitor.opens("/.consentry/choices").await;
        assert_eq!(page.all(field), choices.all(field), "{field}");
    }
    assert!(page.all("set-cookie").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_head_is_answered_and_a_post_is_not() {
    let (_origin, proxy) = shop("").await;
    let mut visitor = visitor(&proxy);
    // What was seen on the site comes in its own time, perhaps in between.
    let mut before = visitor.opens(DECLARATION).await;
    let head = loop {
        let head = visitor.asks("HEAD", DECLARATION, &[], "").await;
        let after = visitor.opens(DECLARATION).await;
        if before.bytes.len() == after.bytes.len() {
            break head;
        }
        before = after;
    };
    assert_eq!((head.status, head.bytes.len()), (StatusCode::OK, 0));
    assert_eq!(head.field("content-length"), before.bytes.len().to_string());
    let post = visitor.asks("POST", DECLARATION, &[], "x=1").await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post.field("allow"), "GET, HEAD");
    let below = visitor.opens("/.consentry/declaration/x").await;
    assert_eq!(below.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_the_page_speaks_the_visitors_language_and_shows_what_was_there_soon() {
    let (_origin, proxy) = shop("").await;
    let mut german = visitor(&proxy).sending("accept-language", "de-AT");
    german.opens("/").await;
    // Nobody asks for it: the task finds it in its own time.
    let mut body = String::new();
    for _ in 0..600 {
        body = german.opens(DECLARATION).await.body;
        if body.contains("Acme Ads") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for expected in [
        "<html lang=\"de\" dir=\"ltr\">",
        "Dienste und Cookies auf dieser Website",
        "<bdi lang=\"en\"><strong>Acme Ads</strong>",
        "Wird zurückgehalten, bis Sie zustimmen.",
        "Mehr über Acme Ads",
    ] {
        assert!(body.contains(expected), "{expected}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_ledger_that_cannot_be_read_leaves_what_was_told() {
    let (_origin, proxy) = shop("").await;
    let mut visitor = visitor(&proxy);
    visitor.opens("/").await;
    renewed(&proxy).await;
    let before = visitor.opens(DECLARATION).await.body;
    assert!(before.contains("Acme Ads"), "{before}");
    let ledger = proxy.directory().join("ledger.db");
    let away = proxy.directory().join("away.db");
    std::fs::rename(&ledger, &away).unwrap();
    proxy.running().renew_declarations().await;
    assert_eq!(visitor.opens(DECLARATION).await.body, before);
    std::fs::rename(&away, &ledger).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_nobody_can_put_a_service_there_that_the_operator_did_not_name() {
    for (site, expected) in [("", true), ("vendors = ['acme-ads']", false)] {
        let (_origin, proxy) = shop(site).await;
        let mut visitor = visitor(&proxy).sending("x-acme-id", "7").holding("_stats", "1");
        visitor.opens("/nothing?acmeid=7").await;
        renewed(&proxy).await;
        let body = visitor.opens(DECLARATION).await.body;
        assert!(!body.contains("Acme Ads"), "a link and a header say nothing: {body}");
        assert_eq!(body.contains("Acme Stats"), expected, "a cookie that was sent: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_the_page_needs_no_script_and_everybody_can_read_it() {
    if !is_here() {
        return;
    }
    let (_origin, proxy) = shop("").await;
    let at = |path: &str| format!("http://{}{path}", proxy.address);
    visitor(&proxy).opens("/").await;
    renewed(&proxy).await;

    let mut browser = Browser::open(false).await;
    browser.goes_to(&at("/.consentry/choices")).await;
    browser.clicks("a[href^='/.consentry/declaration']").await;
    assert!(browser.at().await.starts_with(&at(DECLARATION)));
    let words = browser.runs("return document.querySelector('main').innerText").await;
    assert!(words.as_str().unwrap().contains("Acme Stats (Acme): Counts visits."), "{words}");
    assert_eq!(browser.cookies().await, [] as [String; 0]);

    let Some(axe) = axe() else { return };
    let browser = Browser::open(true).await;
    for (scheme, language) in [("light", "en"), ("dark", "de"), ("light", "ar")] {
        prefers(&browser, scheme, language).await;
        browser.goes_to(&at(DECLARATION)).await;
        let found = violations(&browser, &axe, "document").await;
        assert_eq!(found, [] as [String; 0], "{scheme} {language}");
    }
    let phone = json!({ "width": 320, "height": 568, "deviceScaleFactor": 1, "mobile": true });
    browser.commands("Emulation.setDeviceMetricsOverride", phone).await;
    browser.goes_to(&at(DECLARATION)).await;
    let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.runs(wide).await, json!(0), "it has to be moved sideways");
    let said = browser.console().await;
    let refused = said.iter().find(|line| line.contains("Content Security Policy"));
    assert_eq!(refused, None);
}
