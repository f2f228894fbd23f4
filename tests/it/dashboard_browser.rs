//! The dashboard in a real browser, without a script of its own: signing in,
//! finding one's way by keyboard, classifying a host, signing out.

use crate::accessibility::{axe, prefers, violations};
use crate::dashboard::{PASSWORD, people};
use crate::driver::{Browser, is_here};
use crate::harness::{Origin, origin, visitor_at};
use crate::program::{Program, Setup};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use consentry::ledger::figures::Figures;
use serde_json::{Value, json};
use std::time::Duration;

const HOST: &str = "px.newcomer.example";
const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";

async fn opened() -> (Origin, Setup, Program) {
    let page = format!(
        "<p>Tea</p><script src=\"https://{HOST}/p.js\"></script><script src=\"https://ads.acme.example/a.js\"></script>"
    );
    let origin = origin().page("/", &page).page("/tea", &page).start().await;
    let setup = Setup::new(origin.address, &people());
    let program = setup.start();
    for path in ["/", "/tea", "/"] {
        visitor_at(program.address).opens(path).await;
    }
    // Until it can be read: the dashboard shows what is stored.
    for _ in 0..200 {
        let seen = Figures::open(&setup.ledger()).and_then(|figures| figures.seen("host", HOST));
        if seen.is_ok_and(|seen| !seen.is_empty()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (origin, setup, program)
}

async fn types(browser: &mut Browser, text: &str) {
    for letter in text.chars() {
        browser.presses(&[letter.to_string().as_str()]).await;
    }
}

/// Goes on with the tabulator until the focus is on what the script says.
async fn tabs_to(browser: &mut Browser, wanted: &str) {
    for _ in 0..80 {
        browser.presses(&[TAB]).await;
        let focused = browser
            .runs(&format!("const at = document.activeElement; return Boolean({wanted})"))
            .await;
        if focused == true {
            return;
        }
    }
    panic!("the tabulator never gets to {wanted} at {}", browser.at().await);
}

/// Waits until the browser is at an address that begins so.
async fn is_at(browser: &Browser, start: &str) {
    for _ in 0..100 {
        if browser.at().await.starts_with(start) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("at {} and not at {start}", browser.at().await);
}

/// Signs in with keys alone.
async fn signs_in(browser: &mut Browser, dashboard: &str, name: &str) {
    browser.goes_to(&format!("{dashboard}/")).await;
    is_at(browser, &format!("{dashboard}/sign-in")).await;
    types(browser, name).await;
    browser.presses(&[TAB]).await;
    types(browser, PASSWORD).await;
    browser.presses(&[ENTER]).await;
    browser.find("nav a[href='/account']").await;
}

/// Keeps a picture where somebody wants to look at it.
async fn pictured(browser: &Browser, name: &str) {
    let Some(directory) = std::env::var_os("CONSENTRY_PICTURES") else { return };
    let size = browser
        .runs(
            "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]",
        )
        .await;
    let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
    let taken = browser
        .commands("Page.captureScreenshot", json!({ "clip": clip, "captureBeyondViewport": true }))
        .await;
    let picture = STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
    std::fs::write(std::path::Path::new(&directory).join(format!("{name}.png")), picture).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_an_officer_signs_in_classifies_and_leaves_by_keyboard_without_scripts() {
    if !is_here() {
        return;
    }
    let (_origin, _setup, program) = opened().await;
    let dashboard = format!("http://{}", program.admin);
    let mut browser = Browser::open(false).await;
    signs_in(&mut browser, &dashboard, "ana").await;
    assert_eq!(browser.runs("return document.cookie").await, "", "no script sees the session");

    // The first key leads past the navigation, and every key shows where one is.
    browser.presses(&[TAB]).await;
    assert!(browser.sees(".skip:focus").await);
    assert_ne!(browser.style(".skip", "outline-style").await, "none");
    tabs_to(&mut browser, "at.textContent === 'New'").await;
    browser.presses(&[ENTER]).await;
    is_at(&browser, &format!("{dashboard}/new")).await;
    let link = format!("at.href?.includes('/classify') && at.href.includes('{HOST}')");
    tabs_to(&mut browser, &link).await;
    browser.presses(&[ENTER]).await;
    is_at(&browser, &format!("{dashboard}/classify")).await;
    pictured(&browser, "classify").await;

    for (field, text) in [("name", "Newcomer Pixels"), ("company", "Newcomer Ltd.")] {
        tabs_to(&mut browser, &format!("at.id === '{field}'")).await;
        types(&mut browser, text).await;
    }
    tabs_to(&mut browser, "at.name === 'purpose' && at.value === 'marketing'").await;
    browser.presses(&[" "]).await;
    for (field, text) in [
        ("about", "Follows visitors."),
        ("source", "https://newcomer.example/"),
        ("owner", "Cleo, marketing"),
        ("reason", "the spring campaign"),
    ] {
        tabs_to(&mut browser, &format!("at.id === '{field}'")).await;
        types(&mut browser, text).await;
    }
    browser.presses(&[ENTER]).await;
    browser.find("form[action='/classify/take-back']").await;
    assert!(browser.at().await.contains(HOST));
    pictured(&browser, "classified").await;
    let page = visitor_at(program.address).opens("/").await;
    assert!(!page.body.contains(HOST), "the next page view goes by it: {}", page.body);

    let asked = "return performance.getEntries().map((entry) => entry.name).filter((name) => name.startsWith('http') && !name.startsWith(location.origin))";
    assert_eq!(browser.runs(asked).await, json!([]), "somebody else was asked");
    tabs_to(&mut browser, "at.closest('form')?.action.endsWith('/sign-out')").await;
    browser.presses(&[ENTER]).await;
    is_at(&browser, &format!("{dashboard}/sign-in")).await;
    browser.goes_to(&format!("{dashboard}/audit")).await;
    is_at(&browser, &format!("{dashboard}/sign-in")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_dashboard_can_be_used_by_everybody() {
    if !is_here() {
        return;
    }
    let (_origin, setup, program) = opened().await;
    let dashboard = format!("http://{}", program.admin);
    let mut browser = Browser::open(true).await;
    browser.goes_to(&format!("{dashboard}/sign-in")).await;
    pictured(&browser, "sign-in").await;
    signs_in(&mut browser, &dashboard, "ben").await;
    let pages = [
        "/",
        "/log",
        "/vendors",
        "/vendor?id=acme-ads",
        "/new",
        "/sites",
        "/alerts",
        "/declaration",
        "/account",
        "/classify?host=px.newcomer.example",
        "/classify",
        "/ownership",
        "/exceptions",
        "/audit",
    ];
    let axe = axe();
    for scheme in ["light", "dark"] {
        prefers(&browser, scheme, "en").await;
        for path in pages {
            browser.goes_to(&format!("{dashboard}{path}")).await;
            let name = path.trim_start_matches('/').split('?').next().unwrap_or_default();
            pictured(
                &browser,
                &format!("{scheme}-{}", if name.is_empty() { "overview" } else { name }),
            )
            .await;
            let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(browser.runs(wide).await, json!(0), "{path} has to be moved sideways");
            if let Some(axe) = &axe {
                let found = violations(&browser, axe, "document").await;
                assert_eq!(found, [] as [String; 0], "{path}, {scheme}");
            }
        }
    }
    // On a telephone, too.
    let phone = json!({ "width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": true });
    browser.commands("Emulation.setDeviceMetricsOverride", phone).await;
    for path in pages {
        browser.goes_to(&format!("{dashboard}{path}")).await;
        let wide =
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.runs(wide).await, json!(0), "{path} is too wide for a telephone");
    }
    pictured(&browser, "phone-audit").await;
    let said = browser.console().await;
    let said: Vec<_> =
        said.iter().filter(|line| line.contains("Content Security Policy")).collect();
    assert_eq!(said, Vec::<&String>::new());
    assert_ne!(browser.runs("return location.href").await, Value::Null);
    drop(setup);
}
