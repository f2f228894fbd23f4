//! `consentry audit --browser`: what scripts really do, and what another
//! consent tool lets through.

use crate::driver;
use crate::harness::{CATALOGUE, Origin, OriginBuilder, consentry, origin};
use crate::program::consentry_command;

use serde_json::Value;
use tempfile::TempDir;

/// A consent tool that takes counting visits for granted, does not wait with
/// ads for an answer, and with maps does as it should.
const LEAKY: &str = r"
    const kept = localStorage.getItem('leaky-choice')
        || (document.cookie.match(/leaky-choice=(\w+)/) || [])[1];
    const load = src => {
        const script = document.createElement('script');
        script.src = src;
        document.head.append(script);
    };
    load('http://stats.acme.localhost:PORT/count.js');
    if (kept !== 'none') load('http://ads.acme.localhost:PORT/ads.js');
    if (kept === 'all') load('http://maps.acme.localhost:PORT/maps.js');
";

const COUNT: &str = r"
    document.cookie = '_stats=1';
    localStorage.setItem('stats.id', '1');
    localStorage.setItem('basket', '[]');
    new Image().src = 'http://stats.acme.localhost:PORT/hit.gif?id=1';
";

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>Shop</title>\
    <script src=\"http://cdn.stranger.localhost:PORT/lib.js\"></script>\
    <script src=\"/leaky.js\"></script><p>Hello</p>";

fn scripts(builder: OriginBuilder, files: Vec<(&str, String)>) -> OriginBuilder {
    files.into_iter().fold(builder, |builder, (path, code)| {
        builder.answer(path, move |_| {
            let answer = http::Response::builder().header("content-type", "text/javascript");
            answer.body(code.clone().into()).unwrap()
        })
    })
}

/// The shop, and somebody who stands in for everybody else.
async fn leaky_shop() -> (Origin, Origin) {
    let port =
        |text: &str, others: &Origin| text.replace("PORT", &others.address.port().to_string());
    // The others name each other by their own port, which is known afterwards.
    let others = scripts(
        origin(),
        vec![
            ("/ads.js", "document.cookie = '_acme=1'".to_owned()),
            ("/maps.js", "document.cookie = 'map=1'".to_owned()),
            ("/lib.js", "window.lib = 1".to_owned()),
        ],
    );
    let others = others.answer("/count.js", |seen| {
        let host = seen.headers["host"].to_str().unwrap();
        let code = COUNT.replace("PORT", host.rsplit(':').next().unwrap());
        let answer = http::Response::builder().header("content-type", "text/javascript");
        answer.body(code.into()).unwrap()
    });
    let others = others.answer("/hit.gif", |_| {
        let answer = http::Response::builder().header("content-type", "image/gif");
        answer.body("GIF89a".into()).unwrap()
    });
    let others = others.start().await;
    let shop = origin().page("/", &port(PAGE, &others));
    let shop = scripts(shop, vec![("/leaky.js", port(LEAKY, &others))]);
    (shop.start().await, others)
}

/// Audits in the browser: the exit code, the document, and what was said
/// besides.
async fn looks(url: &str, more: &[&str]) -> (i32, Value, String) {
    let directory = TempDir::new().unwrap();
    let vendors = directory.path().join("vendors.toml");
    std::fs::write(&vendors, CATALOGUE).unwrap();
    let room = directory.path().join("tmp");
    std::fs::create_dir(&room).unwrap();
    let mut words = vec!["audit", url, "--browser", "--max-pages", "1", "--timeout-s", "120"];
    words.extend(["--format", "json", "--catalogue", vendors.to_str().unwrap()]);
    words.extend(more);
    let mut command = consentry_command(&words);
    command.env("TMPDIR", &room);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    // It takes the browser's profile along, and the browser.
    let left: Vec<_> =
        std::fs::read_dir(&room).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}: {said}");
    (output.status.code().unwrap_or(-1), document, said)
}

fn leaks(document: &Value) -> Vec<String> {
    let word = |leak: &Value, name: &str| leak[name].as_str().unwrap_or("-").to_owned();
    let leaks = document["leaks"].as_array().unwrap_or_else(|| panic!("{document:#}")).iter();
    let mut leaks: Vec<_> = leaks
        .map(|leak| {
            let vendor = leak["vendor"]["id"].as_str().unwrap_or("-");
            format!("{vendor} {} {}", word(leak, "kind"), word(leak, "what"))
        })
        .collect();
    leaks.sort_unstable();
    leaks
}

const STATS: [&str; 4] = [
    "acme-stats cookie _stats",
    "acme-stats image stats.acme.localhost/hit.gif",
    "acme-stats script stats.acme.localhost/count.js",
    "acme-stats storage stats.id",
];
const ADS: [&str; 2] = ["acme-ads cookie _acme", "acme-ads script ads.acme.localhost/ads.js"];

#[tokio::test(flavor = "multi_thread")]
async fn k6_the_report_lists_exactly_what_another_consent_tool_lets_through() {
    if !driver::is_here() {
        return;
    }
    let (shop, _others) = leaky_shop().await;
    let url = format!("http://{}/", shop.address);
    let (code, document, said) = looks(&url, &["--fail-on", "leak"]).await;
    assert_eq!(leaks(&document), [ADS.as_slice(), &STATS].concat(), "{said}{document:#}");
    assert_eq!(code, 1);
    let count = document["leaks"].as_array().unwrap().iter().find(|leak| leak["kind"] == "image");
    assert_eq!(count.unwrap()["via"], "stats.acme.localhost/count.js");
    assert_eq!(count.unwrap()["purposes"][0], "analytics");

    // It asks about what is unknown, too, which is no leak.
    let findings = looks(&url, &[]).await.1["findings"].to_string();
    assert!(findings.contains("cdn.stranger.localhost/lib.js"), "{findings}");
    assert!(!findings.contains("acme"), "{findings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_a_choice_in_storage_or_in_a_cookie_is_there_before_the_page() {
    if !driver::is_here() {
        return;
    }
    let (shop, _others) = leaky_shop().await;
    let url = format!("http://{}/", shop.address);
    for refused in [["--local-storage", "leaky-choice=none"], ["--cookie", "leaky-choice=none"]] {
        let more = [&refused[..], &["--as", "refused", "--fail-on", "leak"]].concat();
        let (code, document, said) = looks(&url, &more).await;
        assert_eq!(leaks(&document), STATS, "{said}");
        assert_eq!(code, 1);
    }
    let agreed = ["--local-storage", "leaky-choice=all", "--as", "all", "--fail-on", "leak"];
    let (code, document, said) = looks(&url, &agreed).await;
    assert!(leaks(&document).is_empty(), "{said}");
    assert_eq!(code, 0);
    assert!(document["pages"].to_string().contains("maps.acme.localhost/maps.js"), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k6_behind_consentry_the_same_site_leaks_nothing() {
    if !driver::is_here() {
        return;
    }
    let (shop, _others) = leaky_shop().await;
    let proxy = consentry(&shop).start().await;
    let url = format!("http://{}/", proxy.address);
    let (code, document, said) = looks(&url, &["--fail-on", "leak"]).await;
    assert!(leaks(&document).is_empty(), "{said}{document:#}");
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_browser_that_is_not_there_or_ends_is_said() {
    let shop = origin().page("/", "<p>Hello</p>").start().await;
    let url = format!("http://{}/", shop.address);
    let (code, _, said) = looks(&url, &["--browser-path", "/no/such/browser"]).await;
    assert_eq!(code, 2);
    assert!(said.contains("no browser at /no/such/browser"), "{said}");
    let (code, _, said) = looks(&url, &["--browser-path", "/bin/true"]).await;
    assert_eq!(code, 2);
    assert!(said.contains("the browser"), "{said}");
}
