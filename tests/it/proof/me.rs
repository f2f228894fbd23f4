//! The visitor's own page.

use super::{number_on, proves, receipt, schema, sends};
use crate::driver::{self, Browser};
use crate::harness::{Page, Proxy, Visitor, consentry, origin, visitor};
use crate::program::files_under;

use serde_json::Value;
use std::collections::BTreeSet;

const CART: &str = "<p>Cart</p><script src=\"https://ads.acme.example/p.js?visitor=7\"></script>\
    <img src=https://stats.acme.example/i.gif><iframe src=https://maps.acme.example/m></iframe>\
    <script src=https://cdn.stranger.example/lib.js></script>";

async fn shop() -> Proxy {
    let origin = origin().page("/cart", CART).page("/", "<p>Hello</p>").start().await;
    let proxy = consentry(&origin).start().await;
    // The origin goes on as long as the test does.
    std::mem::forget(origin);
    proxy
}

async fn deletes(visitor: &mut Visitor, from: &str) -> Page {
    let fields = [("content-type", "application/x-www-form-urlencoded"), ("origin", from)];
    visitor.asks("POST", "/.consentry/receipt", &fields, "delete=yes").await
}

/// The codes of what is listed as held back or let through, in order.
fn listed(html: &str) -> Vec<String> {
    let lists: Vec<_> = html.split("<ul class=\"held\">").skip(1).collect();
    let mut whats = Vec::new();
    for list in lists {
        let list = list.split("</ul>").next().unwrap();
        for item in list.split("<code dir=\"ltr\">").skip(1) {
            whats.push(item.split("</code>").next().unwrap().to_owned());
        }
    }
    whats
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_the_page_shows_exactly_the_ledger_rows_of_that_response() {
    let proxy = shop().await;
    let host = proxy.address.to_string();
    let mut somebody = visitor(&proxy).sending("sec-fetch-dest", "document");
    sends(&mut somebody, &host, "choice=some&purpose=analytics&by=choices").await;
    let cart = somebody.opens("/cart?id=7").await.body;
    // Our link on the page proves that the visitor was there.
    let links = crate::reading::tags(&cart, "a");
    let link = links.iter().find(|link| link.value("href").contains("&seen=")).unwrap();
    let (_, seen) = link.value("href").split_once("&seen=").unwrap();
    // What others were shown with another choice is not shown to them.
    let mut other = visitor(&proxy);
    sends(&mut other, &host, "choice=all&by=notice").await;
    other.opens("/cart").await;
    let lines = proxy.lines().await;
    let class = "a";
    let newest = lines
        .iter()
        .filter(|line| line.page == "/cart" && line.class == class)
        .map(|line| line.entry)
        .max()
        .unwrap();
    let of = |verdict: &str| -> Vec<_> {
        let mine = lines.iter().filter(|line| line.entry == newest && line.verdict == verdict);
        mine.map(|line| line.what.clone()).collect()
    };
    let expected: BTreeSet<String> = [of("block"), of("allow")].concat().into_iter().collect();
    for stranger in ["", "&seen=", "&seen=AAAAAAAAAAAAAAAA"] {
        let page = somebody.opens(&format!("/.consentry/me?return_to=/cart{stranger}")).await;
        assert_eq!(listed(&page.body), [] as [&str; 0], "a page that may be behind a login");
    }
    let elsewhere = somebody.opens(&format!("/.consentry/me?return_to=/x&seen={seen}")).await;
    assert_eq!(listed(&elsewhere.body), [] as [&str; 0]);
    let address = format!("/.consentry/me?return_to=/cart%3Fid%3D7&seen={seen}");
    let page = somebody.opens(&address).await;
    assert_eq!(page.status, 200);
    let shown = listed(&page.body);
    assert_eq!(shown.len(), expected.len(), "{shown:?}");
    assert_eq!(shown.into_iter().collect::<BTreeSet<_>>(), expected);
    let (blocked, allowed) = (of("block"), of("allow"));
    assert!(blocked.iter().any(|what| what.starts_with("ads.acme.example/p.js")), "{blocked:?}");
    assert!(allowed.iter().any(|what| what.starts_with("stats.acme.example")), "{allowed:?}");
    let through = allowed.iter().collect::<BTreeSet<_>>().len();
    assert!(page.body.contains(&format!("Let through ({through})")), "{}", page.body);
    // The site as a whole, without what others were refused.
    let site = page.body.split("On this site during the last day").nth(1).unwrap();
    assert!(site.contains("Acme Ads") && site.contains("Acme Maps"), "{site}");
    assert!(!site.contains("Acme Stats"), "{site}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_a_record_that_cannot_be_read_is_said_and_stops_nothing() {
    let proxy = shop().await;
    let host = proxy.address.to_string();
    let mut visitor = visitor(&proxy);
    sends(&mut visitor, &host, "choice=some&purpose=analytics&by=choices").await;
    visitor.opens("/cart").await;
    let there = proxy.directory().join("ledger.db");
    std::fs::rename(&there, proxy.directory().join("elsewhere.db")).unwrap();
    let page = visitor.opens("/.consentry/me?return_to=/cart").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("The record cannot be read at the moment."), "{}", page.body);
    assert_eq!(visitor.opens("/.consentry/choices").await.status, 200);
    let number = receipt(&mut visitor).await;
    let download = visitor.opens("/.consentry/receipt").await;
    let record: Value = serde_json::from_str(&download.body).unwrap();
    assert_eq!(schema::faults(&schema::ours(), &record), [] as [String; 0]);
    assert_eq!(record["header"]["record_id"], number);
    assert_eq!(record["header"]["source"], "cookie");
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_the_visitor_takes_the_receipt_along() {
    let proxy = shop().await;
    let mut visitor = visitor(&proxy);
    assert_eq!(visitor.opens("/.consentry/receipt").await.status, 303);
    sends(&mut visitor, &proxy.address.to_string(), "choice=all&by=notice").await;
    proxy.running().ledger.flush().unwrap();
    let download = visitor.opens("/.consentry/receipt").await;
    assert!(download.field("content-disposition").starts_with("attachment; filename="));
    assert_eq!(download.field("cache-control"), "private, no-store");
    let record: Value = serde_json::from_str(&download.body).unwrap();
    assert_eq!(schema::faults(&schema::ours(), &record), [] as [String; 0]);
    assert_eq!(record["header"]["source"], "ledger");
    assert_eq!(record["event"]["method"], "notice");
    // The operator shows the same.
    let number = receipt(&mut visitor).await;
    let ledger = proxy.directory().join("ledger.db");
    let (_, said) = proves(&ledger, &[&number, "--format", "27560"]);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), record);
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_a_visitor_deletes_the_record_and_nothing_is_left_of_it() {
    let proxy = shop().await;
    let host = proxy.address.to_string();
    let mut visitor = visitor(&proxy).holding("_acme", "7");
    visitor.opens("/cart").await;
    sends(&mut visitor, &host, "choice=all&by=notice").await;
    let number = receipt(&mut visitor).await;
    visitor = visitor.holding("_acme", "7");
    proxy.running().ledger.flush().unwrap();
    let ledger = proxy.directory().join("ledger.db");
    let before = proxy.lines().await.len();
    assert_eq!(proves(&ledger, &[&number]).0, 0);
    // Nobody else does it.
    let refused = deletes(&mut visitor, "https://evil.example").await;
    assert_eq!(refused.status, 403);
    assert_eq!(proves(&ledger, &[&number]).0, 0);

    let deleted = deletes(&mut visitor, &format!("http://{host}")).await;
    assert_eq!(
        (deleted.status.as_u16(), deleted.field("location").as_str()),
        (303, "/.consentry/me")
    );
    assert!(!visitor.cookies.contains_key("consentry"), "{:?}", visitor.cookies);
    assert!(!visitor.cookies.contains_key("_acme"), "what was agreed to goes, too");
    let state: Value =
        serde_json::from_str(&visitor.opens("/.consentry/state").await.body).unwrap();
    assert_eq!(state["undecided"], true);
    let own = visitor.opens("/.consentry/me").await.body;
    assert_eq!(number_on(&own), None);
    proxy.running().ledger.flush().unwrap();
    let (code, said) = proves(&ledger, &[&number]);
    assert!(code == 1 && said.contains("was erased on"), "{said}");
    let bytes: Vec<u8> = number
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    for (path, content) in files_under(proxy.directory()) {
        let holds = |text: &[u8]| content.windows(text.len()).any(|window| window == text);
        assert!(!holds(number.as_bytes()) && !holds(&bytes), "{}", path.display());
    }
    assert_eq!(proxy.lines().await.len(), before, "the rest stays readable");
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_one_click_each_to_look_take_back_and_delete() {
    if !driver::is_here() {
        return;
    }
    for scripts in [true, false] {
        let proxy = shop().await;
        let mut browser = Browser::open(scripts).await;
        let at = |path: &str| format!("http://{}{path}", proxy.address);
        browser.goes_to(&at("/.consentry/choices?return_to=/cart")).await;
        browser.clicks("button[value=all]").await;
        assert_eq!(browser.at().await, at("/cart"), "scripts {scripts}");
        proxy.running().ledger.flush().unwrap();
        browser.clicks("#csy-link a").await;
        browser.clicks("a[href^='/.consentry/me']").await;
        assert!(browser.at().await.starts_with(&at("/.consentry/me?return_to=/cart&seen=")));
        let clicks = browser.clicks;
        browser.clicks("button[value=none]").await;
        assert_eq!((browser.clicks - clicks, browser.at().await), (1, at("/cart")));
        proxy.running().ledger.flush().unwrap();
        browser.clicks("#csy-link a").await;
        browser.clicks("a[href^='/.consentry/me']").await;
        assert!(!browser.finds(".held li").await.is_empty(), "what is held back now is listed");
        browser.clicks("button[name=delete]").await;
        assert_eq!(browser.at().await, at("/.consentry/me"));
        assert!(browser.finds("button[name=delete]").await.is_empty(), "there is nothing left");
        // What was refused stays so: that is all the browser keeps.
        let page = browser.runs("return document.body.innerText").await.to_string();
        assert!(page.contains("There is no receipt any more"), "{page}");
    }
}
