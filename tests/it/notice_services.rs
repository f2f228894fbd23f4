//! The choices page names who is behind a purpose, and each can be decided
//! about without a script.

use crate::driver::{Browser, is_here};
use crate::harness::{consentry, origin, visitor};

use serde_json::json;

const PAGE: &str = "<!doctype html><title>Shop</title><body>\
    <script src=//ads.acme.example/p.js></script><img src=//stats.acme.example/s.gif></body>";

#[tokio::test(flavor = "multi_thread")]
async fn e6_the_list_is_what_was_seen_on_the_site() {
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    visitor.opens("/").await;
    // The ledger is asked in the background, so it takes a moment.
    let mut choices = String::new();
    for _ in 0..100 {
        proxy.lines().await;
        choices = visitor.opens("/.consentry/choices").await.body;
        if choices.contains("<select") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for id in ["acme-ads", "acme-stats"] {
        assert!(choices.contains(&format!("value=\"refuse:{id}\"")), "{id}: {choices}");
    }
    assert_eq!(choices.matches("<select").count(), 2, "and nobody else: {choices}");
    assert!(
        choices.contains("_acme, _acme_*") && choices.contains("href=\"https://acme.example\"")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_a_visitor_without_scripts_refuses_one_vendor_of_a_purpose() {
    if !is_here() {
        return;
    }
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin).site("vendors = ['acme-ads', 'acme-stats']").start().await;
    let mut browser = Browser::open(false).await;
    browser.goes_to(&format!("http://{}/.consentry/choices", proxy.address)).await;
    for purpose in ["analytics", "marketing"] {
        browser.clicks(&format!("input[value={purpose}]")).await;
    }
    browser.clicks("div:has(> label > input[value=marketing]) summary").await;
    browser.clicks("option[value='refuse:acme-ads']").await;
    browser.clicks("button[value=some]").await;
    browser.goes_to(&format!("http://{}/.consentry/state", proxy.address)).await;
    let state = browser.runs("return JSON.parse(document.body.textContent)").await;
    assert_eq!(state["purposes"]["marketing"], "granted");
    assert_eq!(state["vendors"]["refused"], json!(["acme-ads"]));
    // Coming back, the switch stands where it was put.
    browser.goes_to(&format!("http://{}/.consentry/choices", proxy.address)).await;
    let chosen = browser
        .runs("return [...document.querySelectorAll('select')].map(({ value }) => value)")
        .await;
    assert_eq!(chosen, json!(["purposes:acme-stats", "refuse:acme-ads"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_a_vendor_that_was_refused_stays_so_until_everything_is_accepted() {
    if !is_here() {
        return;
    }
    let grants = "<p id=grants onclick=\"__consentry.choose({ functional: true, personalization: true }, \
        { reload: false }).then(() => { done = true })\">All purposes</p>";
    let page = PAGE.replace("</body>", &format!("{grants}</body>"));
    let origin = origin().page("/", &page).start().await;
    let proxy = consentry(&origin)
        .site("script_api = true\nvendors = ['acme-ads', 'acme-stats']")
        .start()
        .await;
    let mut browser = Browser::open(true).await;
    let at = |path: &str| format!("http://{}{path}", proxy.address);
    let state = async |browser: &Browser| {
        let read = "return fetch('/.consentry/state').then(answer => answer.json()) \
            .then(({ class: granted, vendors }) => [granted, vendors.refused])";
        browser.runs(read).await
    };
    browser.goes_to(&at("/.consentry/choices")).await;
    for purpose in ["analytics", "marketing"] {
        browser.clicks(&format!("input[value={purpose}]")).await;
    }
    browser.clicks("div:has(> label > input[value=marketing]) summary").await;
    browser.clicks("option[value='refuse:acme-ads']").await;
    browser.clicks("button[value=some]").await;
    assert_eq!(state(&browser).await, json!(["am", ["acme-ads"]]));

    browser.goes_to(&at("/.consentry/choices")).await;
    browser.clicks("button[value=some]").await;
    assert_eq!(state(&browser).await, json!(["am", ["acme-ads"]]), "the form was left alone");

    browser.goes_to(&at("/")).await;
    browser.waits_for("return window.__consentry && __consentry.state()").await;
    browser.clicks("#grants").await;
    browser.waits_for("return window.done").await;
    assert_eq!(state(&browser).await, json!(["fapm", ["acme-ads"]]), "nobody spoke of it");

    browser.goes_to(&at("/.consentry/choices")).await;
    browser.clicks("button[value=all]").await;
    assert_eq!(state(&browser).await, json!(["fapm", []]));
}
