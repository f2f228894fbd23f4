//! What a visitor lives through in a real browser, on the demo's shop.
//!
//! What scripts inject in the browser is not judged in this version, so the
//! promises here end where a granted script begins.

use crate::driver::{Browser, is_here};

use consentry::cli::demo::{Demo, DemoArgs};
use std::collections::BTreeSet;
use std::time::Duration;

const PAGES: [&str; 6] =
    ["/", "/product/first-light-sencha", "/checkout", "/stores", "/thanks", "/nowhere"];

const NOTICE: &str = "#csy-ask";
const LINK: &str = "#csy-link a";
const REFUSE: &str = "button[value=none]";
const ACCEPT: &str = "button[value=all]";

/// Everybody an analytics tag of the shop talks to.
const ANALYTICS: [&str; 8] = [
    "cdn.optimizely.com",
    "in.hotjar.com",
    "logx.optimizely.com",
    "static.hotjar.com",
    "www.clarity.ms",
    "www.google-analytics.com",
    "www.googletagmanager.com",
    "z.clarity.ms",
];

async fn demo() -> Demo {
    let anywhere = "127.0.0.1:0".parse().unwrap();
    Demo::open(&DemoArgs { listen: anywhere, admin: anywhere }, |_| {}).await.unwrap()
}

/// An address of the shop behind consentry.
fn shop(demo: &Demo, path: &str) -> String {
    format!("http://{}{path}", demo.running.server.address())
}

/// How many requests reached vendors, once that number has come to rest.
async fn hits(demo: &Demo) -> u64 {
    let mut last = demo.stand_ins.total();
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = demo.stand_ins.total();
        if now == last {
            break;
        }
        last = now;
    }
    last
}

/// The vendors' hosts that were contacted since the last time.
async fn contacted(demo: &Demo) -> BTreeSet<String> {
    hits(demo).await;
    let hosts = demo.stand_ins.hits().into_iter().map(|hit| hit.host).collect();
    demo.stand_ins.reset();
    hosts
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_without_consent_no_browser_contacts_a_vendor_with_scripts_or_without() {
    if !is_here() {
        return;
    }
    let demo = demo().await;
    for scripts in [true, false] {
        let browser = Browser::open(scripts).await;
        for path in PAGES {
            browser.goes_to(&shop(&demo, path)).await;
        }
        assert_eq!(hits(&demo).await, 0, "scripts {scripts}: {:?}", demo.stand_ins.hits());
        let held = browser.finds("[data-consentry-held]").await;
        assert!(held.len() > 10);
        // The same browser on the shop as it is: the tags do work.
        browser.goes_to(&format!("http://{}/", demo.shop.address)).await;
        let reached = contacted(&demo).await;
        assert!(reached.len() > if scripts { 15 } else { 5 }, "scripts {scripts}: {reached:?}");
    }
    demo.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_refuses_then_agrees_bit_by_bit_then_takes_it_all_back() {
    if !is_here() {
        return;
    }
    let demo = demo().await;
    let mut browser = Browser::open(true).await;
    let home = shop(&demo, "/?from=mail");
    browser.goes_to(&home).await;
    assert!(browser.sees(NOTICE).await);

    browser.clicks(REFUSE).await;
    assert_eq!(browser.at().await, home, "back where the visitor was");
    assert!(!browser.sees(NOTICE).await && browser.sees(LINK).await);
    for path in ["/product/harbour-smoke", "/stores", "/"] {
        browser.goes_to(&shop(&demo, path)).await;
        assert!(!browser.sees(NOTICE).await && browser.sees(LINK).await, "{path}");
    }
    assert_eq!(contacted(&demo).await, BTreeSet::new());
    assert_eq!(browser.cookies().await, ["cart", "consentry", "sid"]);

    browser.clicks(LINK).await;
    browser.clicks("input[value=analytics]").await;
    browser.clicks("button[value=some]").await;
    assert_eq!(browser.at().await, shop(&demo, "/"));
    let reached = contacted(&demo).await;
    assert!(reached.contains("www.google-analytics.com"), "{reached:?}");
    let others: Vec<_> =
        reached.iter().filter(|host| !ANALYTICS.contains(&host.as_str())).collect();
    assert_eq!(others, [] as [&String; 0], "analytics alone was agreed to");
    assert!(!browser.sees("#personal").await);

    browser.clicks(LINK).await;
    browser.clicks(ACCEPT).await;
    let reached = contacted(&demo).await;
    assert!(reached.len() > 15 && reached.contains("www.facebook.com"), "{reached:?}");
    assert!(browser.sees("#personal").await, "and the shop personalizes");
    let cookies = browser.cookies().await;
    for name in ["_ga", "_fbp", "_clck", "cto_bundle", "li_fat_id"] {
        assert!(cookies.iter().any(|cookie| cookie == name), "{name}: {cookies:?}");
    }

    browser.clicks(LINK).await;
    demo.stand_ins.reset();
    browser.clicks(REFUSE).await;
    assert!(!browser.sees("#personal").await);
    assert_eq!(contacted(&demo).await, BTreeSet::new(), "from the very next page on");
    assert_eq!(browser.cookies().await, ["cart", "consentry", "sid"], "and the cookies are gone");
    assert_eq!(
        browser
            .runs("return document.cookie.split('; ').map(c => c.split('=')[0]).sort().join()")
            .await,
        "cart"
    );
    drop(browser);
    demo.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2_yes_and_no_look_alike_and_cost_the_same() {
    if !is_here() {
        return;
    }
    let demo = demo().await;
    let mut browser = Browser::open(true).await;
    let home = shop(&demo, "/");
    let choices = shop(&demo, "/.consentry/choices");
    for page in [&home, &choices] {
        browser.goes_to(page).await;
        let ([refuse_x, refuse_y, ..], [accept_x, accept_y, ..]) =
            (browser.rect(REFUSE).await, browser.rect(ACCEPT).await);
        assert_eq!(browser.rect(REFUSE).await[2..], browser.rect(ACCEPT).await[2..], "one size");
        assert!((refuse_y - accept_y).abs() < 1.0 && refuse_x < accept_x, "side by side");
        for property in [
            "color",
            "background-color",
            "border-color",
            "font-size",
            "font-weight",
            "opacity",
            "text-decoration",
        ] {
            assert_eq!(
                browser.style(REFUSE, property).await,
                browser.style(ACCEPT, property).await,
                "{property}"
            );
        }
    }
    let mut cost = Vec::new();
    for answer in [REFUSE, ACCEPT] {
        let opposite = if answer == REFUSE { ACCEPT } else { REFUSE };
        browser.goes_to(&home).await;
        browser.forgets().await;
        browser.goes_to(&home).await;
        browser.clicks = 0;
        browser.clicks(answer).await;
        let first = browser.clicks;
        browser.clicks(LINK).await;
        browser.clicks(opposite).await;
        cost.push((first, browser.clicks - first));
    }
    assert_eq!(cost, [(1, 2), (1, 2)], "clicks to answer, and to change one's mind");
    drop(browser);
    demo.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e3_scrolling_reloading_and_closing_are_no_answer() {
    if !is_here() {
        return;
    }
    let demo = demo().await;
    let mut browser = Browser::open(true).await;
    let home = shop(&demo, "/");
    browser.goes_to(&home).await;
    browser.runs("window.scrollTo(0, document.body.scrollHeight)").await;
    browser.runs("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))").await;
    assert!(browser.sees(NOTICE).await, "it stays where the visitor is");
    browser.reloads().await;
    // The page works with the notice left alone.
    browser.clicks("nav a[href='/stores']").await;
    assert_eq!(browser.at().await, shop(&demo, "/stores"));
    assert!(browser.sees(NOTICE).await);
    browser.closes_and_returns().await;
    browser.goes_to(&home).await;
    assert!(browser.sees(NOTICE).await);
    browser.goes_to(&shop(&demo, "/.consentry/state")).await;
    let state = browser.runs("return JSON.parse(document.body.textContent)").await;
    assert_eq!((&state["undecided"], &state["source"]), (&true.into(), &"silence".into()));
    assert_eq!(browser.cookies().await, ["cart", "sid"]);
    assert_eq!(contacted(&demo).await, BTreeSet::new());
    drop(browser);
    demo.close().await.unwrap();
}
