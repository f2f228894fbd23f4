//! What holds in the browser whatever runs there: the page's own policy, and
//! what browsers report of it.

use crate::driver::{Browser, is_here};
use crate::harness::{Origin, Page, Proxy, consentry, origin, visitor};
use crate::reading::without_guard;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use std::time::{Duration, Instant};

const POLICY: &str = "content-security-policy";

fn ours(page: &Page) -> String {
    let ours: Vec<_> = page
        .all(POLICY)
        .into_iter()
        .filter(|policy| policy.contains("/.consentry/reports"))
        .collect();
    assert!(ours.len() <= 1, "{ours:?}");
    ours.first().cloned().unwrap_or_default()
}

fn html(body: &str, policies: &[&str]) -> Response<Full<Bytes>> {
    let mut response = Response::builder().header("content-type", "text/html; charset=utf-8");
    for policy in policies {
        response = response.header(POLICY, *policy);
    }
    response.body(Full::from(body.to_owned())).unwrap()
}

fn script(code: &str) -> Response<Full<Bytes>> {
    Response::builder()
        .header("content-type", "text/javascript")
        .body(Full::from(code.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn b1_a_page_says_what_may_load_and_no_tracker_is_among_it() {
    let origin = origin()
        .page(
            "/",
            "<!doctype html><title>x</title><script src=https://widget.example/w.js></script>\
             <script src=https://ads.acme.example/p.js></script>\
             <script>api = 'https:\\/\\/api.widget.example/v1'</script>\
             <a href=https://elsewhere.example/>x</a>",
        )
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut somebody = visitor(&proxy);
    let policy = ours(&somebody.opens("/").await);
    for host in ["widget.example", "api.widget.example"] {
        assert!(policy.contains(&format!(" {host}")), "{host}: {policy}");
    }
    for host in ["acme.example", "elsewhere.example"] {
        assert!(!policy.contains(host), "{host}: {policy}");
    }
    somebody.chooses("all", &[]).await;
    assert_eq!(ours(&somebody.opens("/").await), "", "who agreed to everything needs none");
}

/// Policies as sites have them (B2): nonces, hashes, `strict-dynamic`,
/// reports, report-only, several at once.
const SITES_OWN: [&[&str]; 12] = [
    &["default-src 'self'"],
    &["default-src 'none'; script-src 'nonce-r4nd0m' 'strict-dynamic'"],
    &["script-src 'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"],
    &["script-src 'self' 'unsafe-inline' https:; object-src 'none'"],
    &["upgrade-insecure-requests"],
    &["frame-ancestors 'none'; base-uri 'self'; form-action 'self'"],
    &["default-src *; report-uri /csp-reports; report-to main"],
    &["default-src 'self'", "img-src 'self' https://cdn.example"],
    &["sandbox allow-scripts allow-forms"],
    &["require-trusted-types-for 'script'; trusted-types default"],
    &["script-src 'self'; script-src-elem 'self' https://widget.example; script-src-attr 'none'"],
    &["default-src 'self';; ;script-src", "DEFAULT-SRC 'NONE'"],
];

#[tokio::test]
async fn b2_a_sites_own_policies_stay_as_they_are_beside_ours() {
    for policies in SITES_OWN {
        let origin = origin()
            .answer("/", move |_| {
                html("<script src=https://widget.example/w.js></script>", policies)
            })
            .start()
            .await;
        let proxy = consentry(&origin).start().await;
        let mut somebody = visitor(&proxy);
        let page = somebody.opens("/").await;
        assert!(!ours(&page).is_empty(), "{policies:?}");
        let theirs: Vec<_> =
            page.all(POLICY).into_iter().filter(|policy| *policy != ours(&page)).collect();
        assert_eq!(theirs, policies, "browsers enforce all policies, so none is loosened");
        somebody.chooses("all", &[]).await;
        assert_eq!(somebody.opens("/").await.all(POLICY), policies);
    }
}

#[tokio::test]
async fn b2_the_guard_carries_the_nonce_that_the_site_asks_of_its_scripts() {
    let origin = origin()
        .answer("/", |_| html("<script nonce=r4nd0m>x=1</script>", &["script-src 'nonce-r4nd0m'"]))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let page = visitor(&proxy).sending("sec-fetch-dest", "document").opens("/").await;
    assert!(page.body.contains(".js\" nonce=\"r4nd0m\" data-consentry="), "{}", page.body);
}

#[tokio::test]
async fn b9_the_guard_is_our_own_file_and_comes_before_every_script() {
    let origin = origin()
        .page(
            "/",
            "<!doctype html><html><head><script>first = 1</script></head><body></body></html>",
        )
        .page("/plain", "<!doctype html><p>nothing runs here")
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut somebody = visitor(&proxy).sending("sec-fetch-dest", "document");
    let page = somebody.opens("/").await;
    let (before, rest) = page.body.split_once("<script src=\"/.consentry/kept-").unwrap();
    assert_eq!(before, "<!doctype html><html><head>");
    // Nobody stands between it and the list that it takes.
    let (_, rest) = rest.split_once("></script><script src=\"/.consentry/guard-").unwrap();
    let (name, _) = rest.split_once('"').unwrap();
    let file = somebody.opens(&format!("/.consentry/guard-{name}")).await;
    assert_eq!(file.field("content-type"), "text/javascript; charset=utf-8");
    assert!(file.field("cache-control").contains("immutable"));
    assert!(file.body.contains("use strict"));
    let old = somebody.opens("/.consentry/guard-0123.js").await;
    assert_eq!(
        (old.bytes, old.headers["cache-control"].to_str().unwrap()),
        (file.bytes, "private, no-store")
    );
    let plain = somebody.opens("/plain").await;
    assert!(!plain.body.contains("guard-"), "nothing runs, so there is nothing to guard");
}

fn report(directive: &str, blocked: &str) -> String {
    format!(
        r#"{{"csp-report":{{"document-uri":"http://shop.example/tea?id=7","effective-directive":"{directive}",
            "blocked-uri":"{blocked}","source-file":"https://www.googletagmanager.com/gtm.js?id=GTM-ABC"}}}}"#
    )
}

async fn sends(proxy: &Proxy, site: &str, body: &str) {
    let page = visitor(proxy)
        .at_host("shop.example")
        .asks(
            "POST",
            "/.consentry/reports",
            &[("sec-fetch-site", site), ("content-type", "application/csp-report")],
            body,
        )
        .await;
    assert_eq!(page.status, 204);
}

#[tokio::test]
async fn b11_what_a_browser_held_is_on_record_with_the_script_that_asked() {
    let origin = origin().start().await;
    let proxy = consentry(&origin).start().await;
    sends(&proxy, "same-origin", &report("script-src-elem", "https://ads.acme.example/x.js?uid=1"))
        .await;
    let lines = proxy.lines().await;
    let line = &lines[0];
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (line.verdict.as_str(), line.layer.as_str(), line.what.as_str(), line.page.as_str()),
        ("block", "browser", "ads.acme.example/x.js", "/tea")
    );
    assert_eq!(line.via.as_deref(), Some("www.googletagmanager.com/gtm.js?id=GTM-ABC"));
}

#[tokio::test]
async fn a_forged_report_is_worth_nothing() {
    let origin = origin().page("/", "<script src=/a.js></script>").start().await;
    let proxy = consentry(&origin).start().await;
    for site in ["cross-site", "same-site", "none"] {
        sends(&proxy, site, &report("script-src-elem", "https://ads.acme.example/x.js")).await;
        sends(&proxy, site, &report("script-src-elem", "https://stranger.example/x.js")).await;
    }
    // From a page of ours it says only what is denied anyway.
    sends(&proxy, "same-origin", &report("img-src", "http://shop.example/own.gif")).await;
    sends(&proxy, "same-origin", "{\"csp-report\":").await;
    assert_eq!(proxy.ledger().await, [] as [&str; 0]);
    let policy = ours(&visitor(&proxy).at_host("shop.example").opens("/").await);
    assert!(!policy.contains("stranger.example") && !policy.contains("acme"), "{policy}");
}

#[tokio::test]
async fn a9_a_host_that_only_a_script_knows_passes_from_the_second_page_on() {
    for (unlisted, passes) in [("observe", true), ("allow", true), ("block", false)] {
        let origin = origin().page("/", "<script src=/a.js></script>").start().await;
        let proxy = consentry(&origin).site(&format!("unlisted = \"{unlisted}\"")).start().await;
        let mut somebody = visitor(&proxy).at_host("shop.example");
        assert!(!ours(&somebody.opens("/").await).contains("stranger.example"));
        let reported = report("connect-src", "https://api.stranger.example/v1");
        sends(&proxy, "same-origin", &reported).await;
        let lines = proxy.lines().await;
        assert_eq!((lines[0].verdict.as_str(), lines[0].reason.as_str()), ("block", "unlisted"));
        let policy = ours(&somebody.opens("/").await);
        assert_eq!(policy.contains("api.stranger.example"), passes, "{unlisted}: {policy}");
    }
}

#[tokio::test]
async fn b5_a_worker_has_the_sites_policy() {
    let origin = origin()
        .page("/", "<script src=https://widget.example/w.js></script>")
        .answer("/worker.js", |_| script("fetch('https://ads.acme.example/')"))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut somebody = visitor(&proxy);
    somebody.opens("/").await;
    for dest in ["worker", "sharedworker", "serviceworker"] {
        let worker = somebody.asks("GET", "/worker.js", &[("sec-fetch-dest", dest)], "").await;
        assert!(ours(&worker).contains("widget.example"), "{dest}: {:?}", worker.headers);
        assert_eq!(worker.body, "fetch('https://ads.acme.example/')");
    }
    let plain = somebody.asks("GET", "/worker.js", &[("sec-fetch-dest", "script")], "").await;
    assert_eq!(ours(&plain), "", "a page's script has the page's policy");
}

/// Waits for what is bound to happen.
async fn wait_for(happened: impl AsyncFn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !happened().await {
        assert!(Instant::now() < patience, "it did not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A shop whose own bundle calls a tracker in every way that a script can
/// without an element, and one that counts what gets there.
async fn shop_and_tracker() -> (Origin, Origin) {
    let tracker = origin()
        .answer("/t.js", |_| script("window.tracked = 1"))
        .answer("/t.gif", |_| Response::new(Full::default()))
        .start()
        .await;
    let port = tracker.address.port();
    let at = format!("http://ads.acme.localhost:{port}");
    let bundle = format!(
        "new Image().src = '{at}/t.gif'; fetch('{at}/t.gif', {{mode: 'no-cors'}}).catch(() => 0);\
         import('{at}/t.js').catch(() => 0); navigator.sendBeacon('{at}/t.gif');\
         var s = document.createElement('script'); s.src = '{at}/t.js'; document.head.append(s);\
         new Worker(URL.createObjectURL(new Blob([\"importScripts('{at}/t.js')\"])));\
         new Worker('/worker.js'); window.done = 1;"
    );
    let worker = format!("importScripts('{at}/t.js')");
    let shop = origin()
        .page("/", "<!doctype html><html><head><title>Shop</title></head><body><script src=/app.js></script></body></html>")
        .answer("/app.js", move |_| script(&bundle))
        .answer("/worker.js", move |_| script(&worker))
        .start()
        .await;
    (shop, tracker)
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_b10_without_the_guard_the_policy_alone_keeps_every_tracker_out() {
    if !is_here() {
        return;
    }
    let (shop, tracker) = shop_and_tracker().await;
    let browser = Browser::open(true).await;
    browser.goes_to(&format!("http://shop.localhost:{}/", shop.address.port())).await;
    wait_for(async || tracker.seen().len() >= 7).await;
    let unprotected = tracker.seen().len();

    let proxy = consentry(&shop).start().await;
    let page = visitor(&proxy).sending("sec-fetch-dest", "document").opens("/").await;
    let (unguarded, policy) = (without_guard(&page.body), ours(&page));
    assert_ne!(unguarded, page.body);
    let bundle = visitor(&proxy).opens("/app.js").await.body;
    let worker =
        visitor(&proxy).asks("GET", "/worker.js", &[("sec-fetch-dest", "worker")], "").await;
    let worker_policy = ours(&worker);
    let stripped = origin()
        .answer("/", move |_| html(&unguarded, &[&policy]))
        .answer("/app.js", move |_| script(&bundle))
        .answer("/worker.js", move |_| {
            let mut response = script(&worker.body);
            response.headers_mut().insert(POLICY, worker_policy.parse().unwrap());
            response
        })
        .start()
        .await;
    browser.goes_to(&format!("http://shop.localhost:{}/", stripped.address.port())).await;
    wait_for(async || browser.runs("return window.done").await == 1).await;
    // What would still come is on its way by now.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(tracker.seen().len(), unprotected, "{:?}", tracker.seen());
}
