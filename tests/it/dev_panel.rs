//! The panel of `consentry dev` in a browser: what a developer does with it.

use crate::dev::Dev;
use crate::driver::{Browser, is_here};
use crate::harness::origin;

use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";

/// Waits until something is so in the panel's tree.
async fn until(browser: &Browser, condition: &str) {
    let script = format!(
        "const root = document.querySelector('consentry-panel')?.shadowRoot; return !!root && !!({condition})"
    );
    let since = Instant::now();
    while browser.runs(&script).await != true {
        if since.elapsed() > PATIENCE {
            let text = "return document.querySelector('consentry-panel')?.shadowRoot.textContent";
            panic!("never: {condition} at {}: {}", browser.at().await, browser.runs(text).await);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h4_the_panel_shows_what_was_held_and_switches_by_keyboard() {
    if !is_here() {
        return;
    }
    let page = "<!doctype html><html><head><title>Shop</title></head><body><h1>Shop</h1>\
        <script src=\"https://ads.acme.localhost/p.js\"></script></body></html>";
    let strict = |_| {
        http::Response::builder()
            .header("content-type", "text/html")
            .header(
                "content-security-policy",
                "default-src 'self'; style-src 'none'; require-trusted-types-for 'script'",
            )
            .body("<!doctype html><title>Strict</title><h1>Strict</h1>".into())
            .unwrap()
    };
    let shop = origin().page("/", page).answer("/strict", strict).start().await;
    let dev = Dev::start(&shop.url(), &[]);
    let at = |path: &str| format!("http://{}{path}", dev.address);
    let mut browser = Browser::open(true).await;
    browser.goes_to(&at("/")).await;
    until(&browser, "root.querySelector('.pill')?.textContent.includes('1 held')").await;
    browser
        .runs("document.querySelector('consentry-panel').shadowRoot.querySelector('.pill').focus()")
        .await;
    browser.presses(&[ENTER]).await;
    until(&browser, "root.textContent.includes('Held back on this page (1)')").await;
    until(&browser, "root.textContent.includes('ads.acme.localhost/p.js')").await;
    until(&browser, "/vendors.toml:\\d+/.test(root.textContent)").await;
    until(&browser, "root.querySelector('[data-state=undecided]').ariaPressed === 'true'").await;
    browser.presses(&[ESCAPE]).await;
    until(&browser, "root.activeElement === root.querySelector('.pill')").await;
    // It stays open where a state is switched.
    browser.presses(&[ENTER]).await;
    until(&browser, "root.querySelector('[data-state=all]')").await;
    browser.runs("document.querySelector('consentry-panel').shadowRoot.querySelector('[data-state=all]').focus()").await;
    browser.presses(&[ENTER]).await;
    until(&browser, "root.textContent.includes('everything granted (choice)')").await;
    until(&browser, "root.textContent.includes('Held back on this page (0)')").await;
    assert_eq!(browser.at().await, at("/"), "the address is the same");
    // A page with a policy of its own has it, too, and keeps it.
    browser.goes_to(&at("/strict")).await;
    until(&browser, "root.textContent.includes('everything granted (choice)')").await;
    let colour = "getComputedStyle(root.querySelector('.box')).borderRadius";
    until(&browser, &format!("{colour} === '12px'")).await;
}
