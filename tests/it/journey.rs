//! What a visitor lives through, from the first page to the withdrawal.

use crate::driver::{Browser, is_here};
use crate::harness::{Origin, Proxy, consentry, origin, visitor};

use consentry::consent::{Keys, Record};
use std::time::{Duration, Instant};

const DAY_S: u64 = 24 * 60 * 60;
const NOTICE: &str = "#csy-ask";
const LINK: &str = "#csy-link a";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_tracker_arrives_until_the_visitor_agrees() {
    let html = "<p>Hello</p><script src=\"https://ads.acme.example/p.js\"></script>";
    let origin = origin().page("/", html).start().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    let page = visitor.opens("/").await;
    assert!(!page.body.contains("ads.acme.example"), "{}", page.body);
    assert!(page.body.contains("<p>Hello</p><script"));
    assert_eq!(proxy.ledger().await, ["block marketing Acme Ads script ads.acme.example/p.js"]);
    assert_eq!(visitor.chooses("all", &[]).await.status, 303);
    assert_eq!(visitor.opens("/").await.body, html);
    assert_eq!(visitor.chooses("none", &[]).await.status, 303);
    assert!(!visitor.opens("/").await.body.contains("ads.acme.example"));
}

/// Checks who loaded something from a vendor since the last time, once those
/// have come who are expected, and nothing more comes.
async fn loaded(vendor: &Origin, expected: &[&str]) {
    let since = Instant::now();
    let came = |host: &&str| {
        vendor.seen().iter().any(|seen| seen.headers["host"].to_str().unwrap().starts_with(*host))
    };
    while !expected.iter().all(came) {
        assert!(since.elapsed() < Duration::from_secs(60), "{expected:?}: {:?}", vendor.seen());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut count = usize::MAX;
    while count != vendor.seen().len() {
        count = vendor.seen().len();
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let mut hosts: Vec<String> = vendor
        .seen()
        .iter()
        .map(|seen| seen.headers["host"].to_str().unwrap().split('.').next().unwrap().to_owned())
        .collect();
    hosts.sort();
    hosts.dedup();
    vendor.forgets();
    assert_eq!(hosts, expected, "exactly what was agreed to");
}

/// Lets a month go by: the choice in the browser is a month older.
async fn a_month_later(browser: &Browser, proxy: &Proxy) -> Record {
    let file = proxy.directory().join("ledger.db.keys");
    let keys = Keys::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    let value = browser.cookie("consentry").await;
    let scope = proxy.address.ip().to_string();
    let record = keys.verify(&scope, value.as_bytes()).expect("a choice for this host");
    let older = Record { time_s: record.time_s - 31 * DAY_S, ..record };
    browser.keeps("consentry", &keys.sign(&scope, &older)).await;
    older
}

#[tokio::test(flavor = "multi_thread")]
async fn arrive_refuse_come_back_after_a_month_accept_analytics_withdraw() {
    if !is_here() {
        return;
    }
    let vendors = origin().page("/t.js", "window.ran = (window.ran || 0) + 1").start().await;
    let port = vendors.address.port();
    let tag = |host: &str| format!("<script src=\"http://{host}.localhost:{port}/t.js\"></script>");
    let page = format!(
        "<!doctype html><title>Shop</title><h1>Shop</h1>{}{}<iframe width=300 height=200 src=\"http://maps.acme.localhost:{port}/m\"></iframe>",
        tag("ads.acme"),
        tag("stats.acme"),
    );
    let shop = origin().page("/", &page).page("/shoes", &page).start().await;
    let proxy = consentry(&shop).start().await;
    let at = |path: &str| format!("http://{}{path}", proxy.address);
    let mut browser = Browser::open(true).await;

    browser.goes_to(&at("/")).await;
    assert!(browser.sees(NOTICE).await);
    assert_eq!(browser.cookies().await, [] as [&str; 0], "nothing is stored before a choice");
    browser.clicks("#csy-ask button[value=none]").await;
    browser.goes_to(&at("/shoes")).await;
    assert!(!browser.sees(NOTICE).await);
    loaded(&vendors, &[]).await;

    let refused = a_month_later(&browser, &proxy).await;
    assert!(refused.granted.iter().count() == 1, "only what is necessary");
    browser.goes_to(&at("/")).await;
    assert!(!browser.sees(NOTICE).await, "who refused is not asked again");
    loaded(&vendors, &[]).await;

    browser.clicks(LINK).await;
    browser.clicks("input[value=analytics]").await;
    browser.clicks("button[value=some]").await;
    assert_eq!(browser.at().await, at("/"));
    loaded(&vendors, &["stats"]).await;
    browser.goes_to(&at("/shoes")).await;
    loaded(&vendors, &["stats"]).await;

    browser.clicks(LINK).await;
    browser.clicks("button[value=none]").await;
    loaded(&vendors, &[]).await;
    browser.goes_to(&at("/")).await;
    loaded(&vendors, &[]).await;
    assert!(!browser.sees(NOTICE).await);
    assert_eq!(browser.cookies().await, ["consentry"]);
}
