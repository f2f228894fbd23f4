//! What a visitor lives through with the notice in a real browser, beside what
//! `browser.rs` and `accessibility.rs` hold.

use crate::driver::{Browser, is_here};
use crate::harness::{consentry, origin};

use serde_json::json;

const PAGE: &str =
    "<!doctype html><html lang=en><title>Shop</title><body><h1>Tea</h1></body></html>";
const NOTICE: &str = "#csy-ask";

#[tokio::test(flavor = "multi_thread")]
async fn e12_a_hundred_pages_after_a_refusal_ask_nothing() {
    if !is_here() {
        return;
    }
    let origin = origin().page("/", PAGE).page("/tea", PAGE).start().await;
    let proxy = consentry(&origin).start().await;
    let mut browser = Browser::open(true).await;
    let at = |path: &str| format!("http://{}{path}", proxy.address);
    browser.goes_to(&at("/")).await;
    assert!(browser.sees(NOTICE).await);
    browser.clicks("button[value=none]").await;
    let mut asked = 0;
    for view in 0..100 {
        browser.goes_to(&at(if view % 2 == 0 { "/tea" } else { "/" })).await;
        asked += browser.finds(NOTICE).await.len();
    }
    assert_eq!(asked, 0);
    assert!(browser.sees("#csy-link a").await, "but the way back stays open");
}

#[tokio::test(flavor = "multi_thread")]
async fn d6_a_visitor_with_the_signal_reads_that_it_is_honoured() {
    if !is_here() {
        return;
    }
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin).start().await;
    let mut browser = Browser::open(true).await;
    browser.commands("Network.enable", json!({})).await;
    let fields = json!({ "headers": { "Sec-GPC": "1", "Accept-Language": "de" } });
    browser.commands("Network.setExtraHTTPHeaders", fields).await;
    let honoured = "wir befolgen es: Marketing und Personalisierung sind aus.";
    browser.goes_to(&format!("http://{}/", proxy.address)).await;
    let seen = "return document.body.shadowRoot.querySelector('#csy-ask').innerText";
    let notice = browser.runs(seen).await;
    assert!(notice.as_str().unwrap().contains(honoured), "{notice}");
    // And after a refusal it still stands on the choices page.
    browser.clicks("button[value=none]").await;
    browser.goes_to(&format!("http://{}/.consentry/choices", proxy.address)).await;
    let choices = browser.runs("return document.querySelector('.status').innerText").await;
    assert!(choices.as_str().unwrap().contains(honoured), "{choices}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e8_no_style_or_script_of_the_page_gets_at_the_notice_by_chance() {
    if !is_here() {
        return;
    }
    let hostile = "<!doctype html><title>Shop</title><style>\
        section,button,form,p,a,* { display: none !important; opacity: 0 !important; font-size: 1px !important }\
        body > :first-child { outline: 5px solid red }\
        button[value=none] { color: #eee !important; background: #eee !important }</style>\
        <body><h1>Tea</h1><script>document.querySelectorAll('section, button').forEach((node) => node.remove())</script></body>";
    let origin = origin().page("/", hostile).start().await;
    let proxy = consentry(&origin).start().await;
    let browser = Browser::open(true).await;
    browser.goes_to(&format!("http://{}/", proxy.address)).await;
    // The page hides all it has, the body included; what it cannot reach is the notice's own style.
    let looks = "const root = document.body.shadowRoot; \
        return ['none', 'all'].map((value) => { const s = getComputedStyle(root.querySelector(`button[value=${value}]`)); \
            return [s.color, s.backgroundColor, s.fontSize, s.display] })";
    let looks = browser.runs(looks).await;
    assert_eq!(looks[0], looks[1]);
    assert_eq!(looks[0], json!(["rgb(255, 255, 255)", "rgb(31, 58, 95)", "16px", "block"]));
    let first = "return getComputedStyle(document.body.firstElementChild).outlineStyle + document.body.firstElementChild.localName";
    assert_eq!(browser.runs(first).await, "solidh1", "the site's first element is still the first");
}
