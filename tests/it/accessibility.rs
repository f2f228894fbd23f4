//! Who cannot see or point is asked like everybody else.
//!
//! axe-core comes from `tests/accessibility`, by `npm ci` there.

use crate::driver::{Browser, is_here};
use crate::harness::{Origin, Proxy, consentry, origin};

use serde_json::{Value, json};
use std::path::Path;

const SHOP: &str = "<!doctype html><html lang=en><title>Shop</title><body><main><h1>Tea</h1>\
    <a href=/x id=first>First</a><p>Hello</p></main></body></html>";

/// axe-core, or a word about what is missing, which is an error where
/// everything is required.
pub(crate) fn axe() -> Option<String> {
    if !is_here() {
        return None;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/accessibility/node_modules/axe-core/axe.min.js");
    if let Ok(source) = std::fs::read_to_string(file) {
        return Some(source);
    }
    let missing = "axe-core is not installed: npm ci in tests/accessibility";
    let required = std::env::var_os("CONSENTRY_REQUIRE").is_some_and(|what| what == "all");
    assert!(!required, "{missing}");
    println!("skipped: {missing}");
    None
}

async fn shop() -> (Origin, Proxy) {
    let origin = origin().page("/", SHOP).start().await;
    let proxy = consentry(&origin).site("operator = 'Kettle & Leaf'").start().await;
    (origin, proxy)
}

/// A browser of somebody who likes it light or dark, and reads a language.
pub(crate) async fn prefers(browser: &Browser, scheme: &str, language: &str) {
    let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    browser.commands("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    browser.commands("Network.enable", json!({})).await;
    let headers = json!({ "headers": { "Accept-Language": language } });
    browser.commands("Network.setExtraHTTPHeaders", headers).await;
}

/// What axe-core finds wrong, in a few words.
pub(crate) async fn violations(browser: &Browser, axe: &str, context: &str) -> Vec<String> {
    browser.runs(axe).await;
    let found = browser
        .runs(&format!("return axe.run({context}).then(({{violations}}) => violations)"))
        .await;
    let found = found.as_array().unwrap().iter();
    found.map(|rule| format!("{}: {}", rule["id"], rule["nodes"][0]["html"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn e8_axe_finds_nothing_wrong_in_what_we_show() {
    let Some(axe) = axe() else { return };
    let (_origin, proxy) = shop().await;
    let mut browser = Browser::open(true).await;
    let at = |path: &str| format!("http://{}{path}", proxy.address);
    for scheme in ["light", "dark"] {
        for language in ["en", "de", "ar"] {
            let case = format!("{scheme} {language}");
            prefers(&browser, scheme, language).await;
            browser.goes_to(&at("/")).await;
            assert!(browser.sees("#csy-ask").await, "{case}");
            let shown = "return [document.body.shadowRoot.querySelector('#csy-ask').lang, \
                matchMedia('(prefers-color-scheme: dark)').matches]";
            assert_eq!(browser.runs(shown).await, json!([language, scheme == "dark"]));
            let notice = "{ include: { fromShadowDom: ['body', '#csy-ask'] } }";
            let found = violations(&browser, &axe, notice).await;
            assert_eq!(found, [] as [String; 0], "the notice, {case}");
            // With the page around it: it takes nothing away.
            let found = violations(&browser, &axe, "document").await;
            assert_eq!(found, [] as [String; 0], "the page with the notice, {case}");
            let pages = ["choices", "me", "declaration", "nothing"];
            for path in pages.map(|page| format!("/.consentry/{page}")) {
                browser.goes_to(&at(&path)).await;
                let found = violations(&browser, &axe, "document").await;
                assert_eq!(found, [] as [String; 0], "{path}, {case}");
            }
            browser.goes_to(&at("/.consentry/choices")).await;
            browser.runs("document.querySelector('button').value = 'perhaps'").await;
            browser.clicks("button[value=perhaps]").await;
            let refused = browser.runs("return document.querySelectorAll('.answer').length").await;
            assert_eq!(refused, 2, "a choice that was not taken is asked for again, {case}");
            let found = violations(&browser, &axe, "document").await;
            assert_eq!(found, [] as [String; 0], "the page that refuses, {case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e8_axe_would_find_a_mistake() {
    let Some(axe) = axe() else { return };
    let (_origin, proxy) = shop().await;
    let browser = Browser::open(true).await;
    browser.goes_to(&format!("http://{}/", proxy.address)).await;
    browser
        .runs(
            "const [button] = document.body.shadowRoot.querySelectorAll('#csy-ask button'); \
               button.textContent = ''; button.style.setProperty('color', '#234', 'important')",
        )
        .await;
    let notice = "{ include: { fromShadowDom: ['body', '#csy-ask'] } }";
    let found = violations(&browser, &axe, notice).await;
    assert!(found.iter().any(|rule| rule.contains("button-name")), "{found:?}");
}

/// Where the focus is: in the notice, the value of its button or the address
/// of its link; else an id or a tag of the page.
const FOCUSED: &str = "const shadow = document.body.shadowRoot; \
    const at = shadow && shadow.activeElement || document.activeElement; \
    return at.value || at.id || at.localName";

#[tokio::test(flavor = "multi_thread")]
async fn e8_the_keyboard_meets_the_notice_first_and_goes_on_to_the_page() {
    if !is_here() {
        return;
    }
    let (_origin, proxy) = shop().await;
    for scripts in [true, false] {
        let mut browser = Browser::open(scripts).await;
        browser.goes_to(&format!("http://{}/", proxy.address)).await;
        let mut met = Vec::new();
        for _ in 0..4 {
            browser.presses(&[TAB]).await;
            met.push(browser.runs(FOCUSED).await.as_str().unwrap().to_owned());
        }
        assert_eq!(met, ["none", "all", "a", "first"], "scripts {scripts}");
        // Nobody is caught in it, in either direction.
        browser.presses_with(SHIFT, TAB).await;
        assert_eq!(browser.runs(FOCUSED).await, "a", "scripts {scripts}");
    }
}

const TAB: &str = "\u{e004}";
const SHIFT: &str = "\u{e008}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

#[tokio::test(flavor = "multi_thread")]
async fn e2_a_no_takes_no_more_keys_than_a_yes() {
    if !is_here() {
        return;
    }
    let (_origin, proxy) = shop().await;
    let mut cost = Vec::new();
    for answer in ["none", "all"] {
        let mut browser = Browser::open(true).await;
        let home = format!("http://{}/", proxy.address);
        browser.goes_to(&home).await;
        while browser.runs(FOCUSED).await != answer {
            browser.presses(&[TAB]).await;
        }
        browser.presses(&[ENTER]).await;
        browser.waits_for("return document.getElementById('csy-link') !== null").await;
        cost.push(browser.keys);
        let granted = state(&browser, &home).await["purposes"]["marketing"].clone();
        assert_eq!(granted, if answer == "all" { "granted" } else { "denied" });
    }
    // They stand beside each other; the "no" comes first.
    assert_eq!(cost, [2, 3], "key presses to refuse, and to accept");
}

async fn state(browser: &Browser, home: &str) -> Value {
    browser.goes_to(&format!("{home}.consentry/state")).await;
    browser.runs("return JSON.parse(document.body.textContent)").await
}

#[tokio::test(flavor = "multi_thread")]
async fn e3_escape_answers_nothing_and_hides_nothing() {
    if !is_here() {
        return;
    }
    let (_origin, proxy) = shop().await;
    let home = format!("http://{}/", proxy.address);
    let mut browser = Browser::open(true).await;
    browser.goes_to(&home).await;
    browser.presses(&[ESCAPE, TAB, ESCAPE]).await;
    assert_eq!(browser.runs(FOCUSED).await, "none", "the focus stays where it was");
    assert!(browser.sees("#csy-ask").await);
    assert_eq!(state(&browser, &home).await["undecided"], true);
}

/// Controls of the notice that cannot be brought onto the screen, or are cut
/// off at its side; and whether the page has become wider than the screen.
const CUT_OFF: &str = "const lost = []; \
    const root = document.body.shadowRoot || document; \
    for (const node of root.querySelectorAll('#csy-ask button, #csy-ask a, #csy-ask p, button, input:not([type=hidden]), main a, summary')) { \
        node.scrollIntoView({ block: 'nearest' }); \
        const { left, right, top, bottom, width } = node.getBoundingClientRect(); \
        if (!width || left < 0 || right > innerWidth || top < 0 && bottom > innerHeight) lost.push(node.outerHTML.slice(0, 80)); \
    } \
    if (document.documentElement.scrollWidth > innerWidth) lost.push('the page is wider than the screen'); \
    return lost";

#[tokio::test(flavor = "multi_thread")]
async fn e8_nothing_is_lost_at_400_percent_or_on_the_smallest_phone() {
    if !is_here() {
        return;
    }
    let (_origin, proxy) = shop().await;
    let browser = Browser::open(true).await;
    // 1280 by 1024 at 200 % and at 400 % (WCAG 2.2, 1.4.4 and 1.4.10), and a small phone.
    for (width, height) in [(640, 512), (320, 256), (320, 568)] {
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        browser.commands("Emulation.setDeviceMetricsOverride", screen).await;
        for language in ["en", "de", "fr", "pl", "ar"] {
            prefers(&browser, "light", language).await;
            for path in ["/", "/.consentry/choices", "/.consentry/me"] {
                browser.goes_to(&format!("http://{}{path}", proxy.address)).await;
                let lost = browser.runs(CUT_OFF).await;
                assert_eq!(lost, json!([]), "{path} in {language} at {width} by {height}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e8_the_buttons_have_an_edge_when_the_system_sets_the_colours() {
    if !is_here() {
        return;
    }
    let (_origin, proxy) = shop().await;
    let browser = Browser::open(true).await;
    let features = json!([{ "name": "forced-colors", "value": "active" }, { "name": "prefers-reduced-motion", "value": "reduce" }]);
    browser.commands("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    for path in ["/", "/.consentry/choices"] {
        browser.goes_to(&format!("http://{}{path}", proxy.address)).await;
        assert_eq!(
            browser.runs("return matchMedia('(forced-colors: active)').matches").await,
            true
        );
        let looks = "const root = document.body.shadowRoot || document; \
            return [...root.querySelectorAll('button')].map((button) => { const s = getComputedStyle(button); \
            const behind = getComputedStyle(button.closest('section, div, main')).backgroundColor; \
            return [s.borderTopStyle, parseFloat(s.borderTopWidth) >= 2, s.borderTopColor !== behind, s.color !== s.backgroundColor, \
                s.animationName, s.transitionDuration] })";
        for button in browser.runs(looks).await.as_array().unwrap() {
            assert_eq!(button, &json!(["solid", true, true, true, "none", "0s"]), "{path}");
        }
    }
}

const SHIFTS: &str = "window.shifts = 0; new PerformanceObserver((list) => { \
    for (const entry of list.getEntries()) window.shifts += entry.value; \
    }).observe({ type: 'layout-shift', buffered: true })";

#[tokio::test(flavor = "multi_thread")]
async fn e5_the_notice_moves_nothing_and_nothing_waits_for_it() {
    if !is_here() {
        return;
    }
    let (_origin, proxy) = shop().await;
    let browser = Browser::open(true).await;
    browser.runs_first(SHIFTS).await;
    browser.goes_to(&format!("http://{}/", proxy.address)).await;
    assert!(browser.sees("#csy-ask").await);
    // A shift is told with the next frame.
    let frames = "return new Promise((done) => { let left = 20; \
        const next = () => left-- ? requestAnimationFrame(next) : done(window.shifts); next() })";
    assert_eq!(browser.runs(frames).await, 0);
    // That it would be told: something pushes the page down.
    browser.runs("document.querySelector('main').style.marginTop = '200px'").await;
    assert_ne!(browser.runs(frames).await, 0);

    let ours = "return performance.getEntriesByType('resource').filter(({ name }) => name.includes('/.consentry/choose-')) \
        .map(({ renderBlockingStatus }) => renderBlockingStatus)";
    assert_eq!(browser.runs(ours).await, json!(["non-blocking"]));
    let strangers = "return performance.getEntriesByType('resource').filter(({ name }) => new URL(name).host !== location.host).length";
    assert_eq!(browser.runs(strangers).await, 0);
}
