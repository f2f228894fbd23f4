//! After a choice the open page catches up, in the order in which it would
//! have loaded, or is loaded again.

use crate::driver::{Browser, is_here};
use crate::harness::{Origin, OriginBuilder, Proxy, Seen, consentry, origin, visitor};
use crate::reading::without_guard;

use base64::Engine;
use bytes::Bytes;
use consentry::enforce::browser::{REVIVE, served};
use http::Response;
use http_body_util::Full;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ACCEPT: &str = "#csy-ask button[value=all]";

/// Scripts of a vendor that every origin may load.
fn script(builder: OriginBuilder, path: &str, code: &str, slow: bool) -> OriginBuilder {
    let code = code.to_owned();
    builder.answer(path, move |_| {
        if slow {
            std::thread::sleep(Duration::from_millis(150));
        }
        Response::builder()
            .header("content-type", "text/javascript")
            .header("access-control-allow-origin", "*")
            .body(Full::<Bytes>::from(code.clone()))
            .unwrap()
    })
}

/// What a proxy makes of a page, before and after a "yes", without the guard:
/// with it a page keeps to what it was told at first, and is loaded again.
/// `{ads}` and `{stats}` in the page are the vendors' hosts.
pub(crate) struct Stage {
    pub(crate) origin: Origin,
    agreed: Arc<AtomicBool>,
}

impl Stage {
    pub(crate) async fn of(vendor: &Origin, page: &str) -> Self {
        let (_origin, proxy) = shop(vendor, page).await;
        let mut visitor = visitor(&proxy);
        let live = without_guard(&visitor.opens("/").await.body);
        visitor.chooses("all", &[]).await;
        let after = without_guard(&visitor.opens("/").await.body);
        let ours = [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-dest", "empty"),
            ("consentry-revive", "d"),
        ];
        let fresh = visitor.asks("GET", "/", &ours, "").await;
        assert_eq!(fresh.field("consentry-revive"), "d");
        let agreed = Arc::new(AtomicBool::new(false));
        let says = Arc::clone(&agreed);
        let answer = move |seen: Seen| {
            let html = |body: &str| {
                let answer = Response::builder().header("content-type", "text/html; charset=utf-8");
                answer
                    .header("consentry-revive", "d")
                    .body(Full::<Bytes>::from(body.to_owned()))
                    .unwrap()
            };
            match (seen.headers.contains_key("consentry-revive"), says.load(Ordering::Relaxed)) {
                (true, _) => html(&fresh.body),
                (false, true) => html(&after),
                (false, false) => html(&live),
            }
        };
        let origin = origin().answer("/", answer);
        let origin =
            origin.answer("/sent", |_| Response::new(Full::<Bytes>::default())).start().await;
        Self { origin, agreed }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.origin.address)
    }

    /// The visitor agrees to everything, and the page is brought up to date.
    pub(crate) async fn agrees(&self, browser: &Browser) {
        self.agreed.store(true, Ordering::Relaxed);
        browser.runs(&format!("{}\nsetTimeout(revive, 0, 'd')", served(REVIVE))).await;
    }
}

/// A page, and a proxy before it, with `{ads}` and `{stats}` the vendors' hosts.
async fn shop(vendor: &Origin, page: &str) -> (Origin, Proxy) {
    let ads = format!("http://ads.acme.localhost:{}", vendor.address.port());
    let stats = format!("http://stats.acme.localhost:{}", vendor.address.port());
    let page = page.replace("{ads}", &ads).replace("{stats}", &stats);
    let origin = origin().page("/", &page).start().await;
    let proxy = consentry(&origin).start().await;
    (origin, proxy)
}

/// How often a path was asked for.
fn asked(origin: &Origin, path: &str) -> usize {
    origin.seen().iter().filter(|seen| seen.target == path).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn j6_twelve_scripts_run_in_the_order_of_an_unprotected_page() {
    if !is_here() {
        return;
    }
    let mut vendor = origin();
    for (number, slow) in [(2, true), (4, false), (5, true), (6, false), (7, false), (11, false)] {
        let path = format!("/{number}.js");
        vendor = script(vendor, &path, &format!("order.push('{number}')"), slow);
    }
    let nine = "order.push('9')";
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(nine));
    vendor = script(vendor, "/9.js", nine, true);
    let ten =
        "order.push('10 ' + document.currentScript.dataset.key + document.currentScript.nonce)";
    let vendor = script(vendor, "/10.js", ten, false).start().await;
    let page = format!(
        "<!doctype html><script>window.order = []; window.acme = () => {{}};</script>
         <script>acme('init'); order.push('1');</script>
         <script src='{{ads}}/2.js'></script>
         <script>acme('init'); order.push('3');</script>
         <script async src='{{ads}}/4.js'></script>
         <script defer src='{{ads}}/5.js'></script>
         <script type=module src='{{ads}}/6.js'></script>
         <script nomodule src='{{ads}}/7.js'></script>
         <script type=module>acme('init'); order.push('8');</script>
         <script src='{{ads}}/9.js' integrity='sha256-{hash}' crossorigin onload=\"order.push('loaded 9')\"></script>
         <script src='{{ads}}/10.js' data-key=k nonce=n></script>
         <script defer src='{{ads}}/11.js'></script>
         <script id=last>acme('init'); order.push('12');</script>
         <p>Hello</p>"
    );
    let stage = Stage::of(&vendor, &page).await;
    let ads = format!("http://ads.acme.localhost:{}", vendor.address.port());
    let plain = origin().page("/", &page.replace("{ads}", &ads)).start().await;
    let browser = Browser::open(true).await;
    let order = "return order.length > 11 ? order.filter(entry => entry !== '4') : null";

    browser.goes_to(&format!("http://{}/", plain.address)).await;
    let unprotected = browser.waits_for(order).await;
    let expected = ["1", "2", "3", "9", "loaded 9", "10 kn", "12", "5", "6", "8", "11"];
    assert_eq!(unprotected, serde_json::json!(expected));

    let loads = asked(&vendor, "/2.js");
    browser.goes_to(&stage.url()).await;
    assert_eq!(browser.runs("return order.length").await, 0);
    assert_eq!(asked(&vendor, "/2.js"), loads);
    browser.runs("window.same = true").await;
    stage.agrees(&browser).await;
    assert_eq!(browser.waits_for(order).await, unprotected);
    assert_eq!(browser.runs("return window.same").await, true, "it was not loaded again");
    assert_eq!(asked(&vendor, "/2.js"), loads + 1, "each file is asked for once");
    assert_eq!(asked(&vendor, "/7.js"), 0);
    assert!(browser.finds("[data-consentry-held]").await.is_empty());
    browser.waits_for("return document.getElementById('csy-link') !== null").await;
    assert_eq!(
        browser.runs("return document.getElementById('last').textContent.length > 9").await,
        true
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn j6_frames_and_pictures_come_back_where_they_were() {
    if !is_here() {
        return;
    }
    let page = |text: &'static str| {
        move |_| {
            Response::builder()
                .header("content-type", "text/html")
                .body(Full::<Bytes>::from(text))
                .unwrap()
        }
    };
    let vendor = origin().answer("/map", page("<p>map</p>")).answer("/p.gif", page("")).start();
    let vendor = vendor.await;
    let stage = Stage::of(
        &vendor,
        "<script>addEventListener('load', () => { window.loads = (window.loads || 0) + 1 })</script>
         <iframe id=map src='{ads}/map' width=300 height=200 data-x=y></iframe>
         <img id=pixel src='{stats}/p.gif' class=c>
         <noscript><img src='{stats}/noscript.gif'></noscript>",
    )
    .await;
    let browser = Browser::open(true).await;
    browser.goes_to(&stage.url()).await;
    browser.runs("window.frame = document.getElementById('map')").await;
    assert!(browser.runs("return frame.srcdoc").await.as_str().unwrap().contains("not loaded"));
    stage.agrees(&browser).await;
    browser.waits_for("return document.getElementById('pixel').src !== ''").await;
    for (what, expected) in [
        ("frame === document.getElementById('map')", serde_json::json!(true)),
        ("frame.getAttribute('srcdoc')", serde_json::Value::Null),
        ("new URL(frame.src).pathname", "/map".into()),
        ("frame.dataset.x", "y".into()),
        ("document.querySelectorAll('[data-consentry-held]').length", 0.into()),
        ("loads", 1.into()),
    ] {
        assert_eq!(browser.runs(&format!("return {what}")).await, expected, "{what}");
    }
    for path in ["/map", "/p.gif"] {
        for _ in 0..1200 {
            if asked(&vendor, path) > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(asked(&vendor, path), 1, "{path}");
    }
    assert_eq!(asked(&vendor, "/noscript.gif"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn j6_what_cannot_be_revived_faithfully_is_loaded_again() {
    if !is_here() {
        return;
    }
    let vendor =
        script(origin(), "/a.js", "window.ran = (window.ran || 0) + 1", false).start().await;
    let browser = Browser::open(true).await;
    for (why, page, before) in [
        (
            "a node is gone",
            "<script id=gone src='{ads}/a.js'></script>",
            "document.getElementById('gone').remove()",
        ),
        (
            "a copy was made",
            "<i></i><script id=one src='{ads}/a.js'></script>",
            "document.body.append(document.getElementById('one').cloneNode())",
        ),
        (
            "a script held later",
            "<i></i><script src='{ads}/a.js'></script>",
            "const s = document.createElement('script'); s.setAttribute('data-consentry-held', ''); document.body.append(s)",
        ),
        (
            "a file is missing",
            "<i></i><script src='{ads}/a.js'></script><script src='{ads}/none.js'></script>",
            "",
        ),
        (
            "the policy in force",
            "<i></i><script src='{ads}/a.js'></script>",
            "document.head.insertAdjacentHTML('beforeend', '<meta http-equiv=content-security-policy content=\"script-src * \\'unsafe-eval\\' \\'unsafe-inline\\'; script-src-elem \\'self\\'\">')",
        ),
        (
            "it writes to the page",
            "<i></i><script>acme('init'); document.write('<b id=written></b>'); window.ran = 1</script>",
            "",
        ),
        (
            "a style was changed",
            "<style>p { background: url({ads}/p.gif) }</style><script src='{ads}/a.js'></script>",
            "",
        ),
        (
            "a template has it",
            "<i></i><template><img src='{ads}/p.gif'></template><script src='{ads}/a.js'></script>",
            "",
        ),
        (
            "an import map",
            "<script type=importmap>{\"imports\": {\"x\": \"{ads}/x.js\"}}</script><script src='{ads}/a.js'></script>",
            "",
        ),
    ] {
        let page =
            format!("<!doctype html><body><script>window.acme = () => {{}}</script>{page}<p>x</p>");
        let stage = Stage::of(&vendor, &page).await;
        browser.goes_to(&stage.url()).await;
        assert_eq!(browser.runs("return window.ran || 0").await, 0, "{why}");
        browser.runs(&format!("window.same = true; {before}")).await;
        stage.agrees(&browser).await;
        browser.waits_for("return !window.same && document.readyState === 'complete'").await;
        assert_eq!(browser.runs("return window.ran").await, 1, "{why}");
        assert!(
            browser.finds("[data-consentry-held], [data-consentry-revive]").await.is_empty(),
            "{why}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_a_file_with_the_wrong_integrity_breaks_nothing_else() {
    if !is_here() {
        return;
    }
    let vendor = script(origin(), "/a.js", "window.bad = 1", false);
    let vendor = script(vendor, "/b.js", "window.good = 1", false).start().await;
    let stage = Stage::of(
        &vendor,
        "<script src='{ads}/a.js' crossorigin integrity='sha256-AAAA' onerror='window.failed = 1'></script>
         <script src='{ads}/b.js'></script><p>x</p>",
    )
    .await;
    let browser = Browser::open(true).await;
    browser.goes_to(&stage.url()).await;
    stage.agrees(&browser).await;
    browser.waits_for("return window.good === 1 && window.failed === 1").await;
    assert_eq!(browser.runs("return window.bad").await, serde_json::Value::Null);
}

#[tokio::test]
async fn j6_the_fresh_page_says_what_the_live_one_held() {
    let page = "<script src=//ads.acme.example/a.js></script><img src=//stats.acme.example/b.gif>\
        <iframe srcdoc='<script src=//ads.acme.example/c.js></script><img src=//stats.acme.example/c.gif>'></iframe>\
        <script src=//ads.acme.example/d.js></script><script src=//stats.acme.example/e.js async></script>\
        <p style='background:url(//stats.acme.example/f.gif)'>x</p><i>y</i>\
        <b onclick=\"new Image().src='//stats.acme.example/g.gif'\">z</b>";
    let origin = origin().page("/", page).start().await;
    let proxy = consentry(&origin).site("browser_policy = false").start().await;
    let ours =
        [("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "empty"), ("consentry-revive", "d")];
    let mut visitor = visitor(&proxy);
    let live = visitor.opens("/").await.body;
    for number in ["1", "2", "5", "6", "7"] {
        assert!(live.contains(&format!("data-consentry-held=\"{number}\"")), "{number}: {live}");
    }
    visitor.chooses("some", &["analytics"]).await;
    let fresh = visitor.asks("GET", "/", &ours, "").await;
    assert_eq!(fresh.field("consentry-revive"), "d");
    assert_eq!(fresh.field("cache-control"), "private, no-store");
    assert_eq!(fresh.field("etag"), "");
    for whole in [
        "<img src=//stats.acme.example/b.gif data-consentry-revive=\"2\">",
        "<script src=//stats.acme.example/e.js async data-consentry-revive=\"6\"></script>",
        "<p style='background:url(//stats.acme.example/f.gif)' data-consentry-revive=\"none\">",
        "/g.gif'\" data-consentry-revive=\"7\">z</b>",
        "data-consentry-held=\"1\"",
        "data-consentry-held=\"5\"",
    ] {
        assert!(fresh.body.contains(whole), "{whole}: {}", fresh.body);
    }
    assert!(!fresh.body.contains("ads.acme.example"), "{}", fresh.body);
    assert!(fresh.body.contains("csy-link") && !fresh.body.contains("csy-ask"));
    // Whoever merely opens the page gets it as ever.
    let plain = visitor.opens("/").await;
    assert!(!plain.body.contains("data-consentry-revive"), "{}", plain.body);
    // With everything granted the marks are there, too.
    visitor.chooses("all", &[]).await;
    let fresh = visitor.asks("GET", "/", &ours, "").await;
    for number in ["1", "2", "5", "6", "none", "7"] {
        assert!(
            fresh.body.contains(&format!("data-consentry-revive=\"{number}\"")),
            "{}",
            fresh.body
        );
    }
    assert!(!fresh.body.contains("data-consentry-held"));
    // What was withdrawn needs a fresh page.
    visitor.chooses("none", &[]).await;
    let from_all = [ours[0], ours[1], ("consentry-revive", "fapm")];
    let fresh = visitor.asks("GET", "/", &from_all, "").await;
    assert_eq!(fresh.field("consentry-revive"), "");
    assert!(!fresh.body.contains("data-consentry-revive"));
    assert!(origin.seen().iter().all(|seen| !seen.headers.contains_key("consentry-revive")));
}

#[tokio::test(flavor = "multi_thread")]
async fn j6_under_a_policy_of_ours_a_yes_leads_to_another_page_and_a_no_does_not() {
    if !is_here() {
        return;
    }
    let vendor = script(origin(), "/a.js", "window.ran = 1", false).start().await;
    let page = format!(
        "<script src='http://ads.acme.localhost:{}/a.js'></script><p>x</p>",
        vendor.address.port()
    );
    let origin = origin().page("/", &page).start().await;
    let proxy = consentry(&origin).start().await;
    let mut browser = Browser::open(true).await;
    for (button, same, ran) in [("none", true, 0), ("all", false, 1)] {
        browser.goes_to(&format!("http://{}/", proxy.address)).await;
        browser.forgets().await;
        browser.goes_to(&format!("http://{}/", proxy.address)).await;
        browser.runs("window.same = true").await;
        browser.clicks(&format!("#csy-ask button[value={button}]")).await;
        browser.waits_for("return document.getElementById('csy-link') !== null").await;
        browser.waits_for("return document.readyState === 'complete'").await;
        assert_eq!(browser.runs("return window.same === true").await, same, "{button}");
        assert_eq!(browser.runs("return window.ran || 0").await, ran, "{button}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e1_without_scripts_the_choice_is_a_form_as_ever() {
    if !is_here() {
        return;
    }
    let vendor = origin().start().await;
    let (_origin, proxy) = shop(&vendor, "<script src='{ads}/a.js'></script><p>x</p>").await;
    let mut browser = Browser::open(false).await;
    browser.goes_to(&format!("http://{}/", proxy.address)).await;
    browser.clicks(ACCEPT).await;
    assert_eq!(browser.at().await, format!("http://{}/", proxy.address));
    assert!(browser.sees("#csy-link a").await && !browser.sees("#csy-ask").await);
}
