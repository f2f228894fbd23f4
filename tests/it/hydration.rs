//! Pages that a framework rendered on the server are taken over in the browser
//! although trackers in them are withheld.
//!
//! The shops are in `tests/hydration`, written once for each framework and
//! built by `npm ci && npm run build` there.

use crate::driver::{Browser, is_here};
use crate::harness::{Origin, Proxy, consentry, origin};
use crate::tls::Authority;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ADS: &str = "ads.acme.example";
const STATS: &str = "stats.acme.example";
const VIDEO: &str = "www.youtube-nocookie.com";

/// What a visitor may have said, and whom the shop may talk to then.
const STATES: [(&str, &[&str], &[&str]); 4] = [
    ("", &[], &[]),
    ("none", &[], &[]),
    ("some", &["analytics"], &[STATS]),
    ("all", &[], &[ADS, STATS, VIDEO]),
];

/// The oldest Node.js that can build and run the shops.
const NODE: (u32, u32) = (20, 19);

#[tokio::test(flavor = "multi_thread")]
async fn i6_next_js_takes_over_what_it_rendered() {
    takes_over("next", ".next/BUILD_ID").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_nuxt_takes_over_what_it_rendered() {
    takes_over("nuxt", ".output/server/index.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_sveltekit_takes_over_what_it_rendered() {
    takes_over("sveltekit", "build/handler.js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_react_router_takes_over_what_it_rendered() {
    takes_over("react-router", "build/server/index.js").await;
}

async fn takes_over(name: &str, built: &str) {
    let Some(shop) = Shop::open(name, built) else { return };
    let visit = Visit::of(shop).await;
    for (choice, purposes, granted) in STATES {
        visit.chooses(choice, purposes).await;
        visit.sees_the_shop_taken_over(&format!("{name}, {choice:?}")).await;
        visit.goes_on_without_a_reload().await;
        let expected = granted.iter().map(|host| (*host).to_owned()).collect();
        assert_eq!(visit.contacted(&expected).await, expected, "{name}, {choice:?}");
    }
    visit.notices_a_page_that_does_not_match().await;
}

/// A shop that runs; it stops when dropped.
struct Shop {
    program: Child,
    address: SocketAddr,
}

impl Shop {
    /// Starts one, or says what is missing, which is an error where everything
    /// is required and it could be there.
    fn open(name: &str, built: &str) -> Option<Self> {
        if !is_here() {
            return None;
        }
        if !node_is_here() {
            let (major, minor) = NODE;
            println!("skipped: there is no Node.js {major}.{minor} or later to run {name}");
            return None;
        }
        let directory = directory();
        if !directory.join(name).join(built).exists() {
            let missing = format!(
                "the shop in {name} is not built: npm ci && npm run build in tests/hydration"
            );
            let required = std::env::var_os("CONSENTRY_REQUIRE").is_some_and(|what| what == "all");
            assert!(!required, "{missing}");
            println!("skipped: {missing}");
            return None;
        }
        let mut program = Command::new("node")
            .args(["serve.mjs", name])
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let port: u16 =
            lines.find_map(|line| line.unwrap().strip_prefix("PORT ")?.parse().ok()).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { program, address: SocketAddr::from(([127, 0, 0, 1], port)) })
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hydration")
}

fn node_is_here() -> bool {
    let Ok(output) = Command::new("node").arg("--version").output() else { return false };
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.trim().trim_start_matches('v').split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return false };
    (major, minor) >= NODE
}

/// Somebody with a browser in a shop behind consentry.
struct Visit {
    browser: Browser,
    trackers: Origin,
    proxy: Proxy,
    shop: Shop,
}

impl Visit {
    async fn of(shop: Shop) -> Self {
        let trackers = trackers().await;
        let proxy = consentry(&trackers).origin(&format!("http://{}", shop.address)).start().await;
        let rules: Vec<_> = [ADS, STATS, VIDEO]
            .map(|host| format!("MAP {host} {}", trackers.address))
            .into_iter()
            .collect();
        let rules = format!("--host-resolver-rules={}", rules.join(","));
        let browser = Browser::open_with(true, &[&rules, "--ignore-certificate-errors"]).await;
        Self { browser, trackers, proxy, shop }
    }

    fn url(&self, path: &str) -> String {
        format!("http://shop.localhost:{}{path}", self.proxy.address.port())
    }

    /// Makes a choice, or none.
    async fn chooses(&self, choice: &str, purposes: &[&str]) {
        self.browser.goes_to(&self.url("/second")).await;
        self.browser.forgets().await;
        if choice.is_empty() {
            return;
        }
        let mut form = format!("choice={choice}&return_to=%2F");
        for purpose in purposes {
            form.push_str("&purpose=");
            form.push_str(purpose);
        }
        let sent = self
            .browser
            .runs(&format!(
                "return fetch('/.consentry/choices', {{ method: 'POST', redirect: 'manual', body: new URLSearchParams({form:?}) }}).then(() => 'sent')"
            ))
            .await;
        assert_eq!(sent, "sent");
    }

    /// The page works, nothing complained, and every node is where it was.
    async fn sees_the_shop_taken_over(&self, case: &str) {
        self.browser.console().await;
        self.trackers.forgets();
        self.browser.goes_to(&self.url("/")).await;
        self.counts(case).await;
        let said = complaints(self.browser.console().await);
        assert!(said.is_empty(), "{case}: {said:#?}");
        assert_eq!(
            self.browser
                .runs("return [...document.querySelector('main').children].map((node) => node.localName)")
                .await,
            json!(["h1", "img", "iframe", "p", "a"]),
            "{case}"
        );
        let gone = self.browser.runs(GONE).await;
        assert_eq!(gone, json!([]), "{case}: held nodes that are gone");
    }

    /// The counter counts, so the framework has taken over.
    async fn counts(&self, case: &str) {
        let counted = "document.querySelector('#counter').click(); \
            return /Bought [1-9]\\d* times/.test(document.querySelector('#counter').textContent)";
        for _ in 0..200 {
            if self.browser.runs(counted).await == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{case}: the counter does not count: {:#?}", self.browser.console().await)
    }

    async fn goes_on_without_a_reload(&self) {
        self.browser.runs("window.stayed = 1; document.querySelector('#onwards').click()").await;
        let there = "return document.querySelector('#second') !== null";
        until("the second page", async || self.browser.runs(there).await == true).await;
        assert_eq!(self.browser.runs("return window.stayed").await, 1, "it was a reload");
        let said = complaints(self.browser.console().await);
        assert!(said.is_empty(), "{said:#?}");
    }

    /// Who was contacted; waits for those who are expected to be.
    async fn contacted(&self, expected: &BTreeSet<String>) -> BTreeSet<String> {
        let hosts = || {
            let host = |field: &http::HeaderValue| field.to_str().unwrap().to_owned();
            self.trackers
                .seen()
                .iter()
                .filter_map(|seen| seen.headers.get("host").map(host))
                .collect()
        };
        until("trackers that may be contacted are", async || {
            let hosts: BTreeSet<String> = hosts();
            hosts.is_superset(expected)
        })
        .await;
        // What would still come is on its way by now.
        tokio::time::sleep(Duration::from_millis(500)).await;
        hosts()
    }

    /// What the other checks rest on: a mismatch is seen when there is one.
    async fn notices_a_page_that_does_not_match(&self) {
        self.browser.runs_first(MISMATCH).await;
        self.browser.goes_to(&format!("http://shop.localhost:{}/", self.shop.address.port())).await;
        until("a mismatch is seen", async || !complaints(self.browser.console().await).is_empty())
            .await;
    }
}

/// The numbers of held nodes that the server sent and that are not in the page.
const GONE: &str = r#"
    const held = (root) => [...root.querySelectorAll('[data-consentry-held]')]
        .map((node) => node.localName + node.dataset.consentryHeld);
    const now = held(document);
    return fetch('/', { headers: { accept: 'text/html' } })
        .then((response) => response.text())
        .then((text) => held(new DOMParser().parseFromString(text, 'text/html')).filter((one) => !now.includes(one)));
"#;

/// Takes the title out of the shop before its framework comes to it.
const MISMATCH: &str = r#"
    new MutationObserver((_, observer) => {
        const title = document.querySelector('main > h1');
        if (title) { title.remove(); observer.disconnect(); }
    }).observe(document, { childList: true, subtree: true });
"#;

/// What a browser says of its own about what is withheld; everything else in a
/// console is a complaint.
const SAID_BY_THE_BROWSER: [&str; 4] = [
    "Content Security Policy",
    "net::ERR_",
    "<link rel=preload> has an invalid `href` value",
    "Error with Permissions-Policy header",
];

fn complaints(mut said: Vec<String>) -> Vec<String> {
    said.retain(|line| !SAID_BY_THE_BROWSER.iter().any(|known| line.contains(known)));
    said
}

/// Everybody the shop talks to, at one address.
async fn trackers() -> Origin {
    let typed = |kind: &'static str, body: &'static str| {
        move |_| -> Response<Full<Bytes>> {
            Response::builder().header("content-type", kind).body(Full::from(body)).unwrap()
        }
    };
    let authority = Authority::signing(ADS);
    origin()
        .answer("/p.js", typed("text/javascript", "window.ads = 1"))
        .answer("/s.js", typed("text/javascript", "window.stats = 1"))
        .answer("/pixel.gif", typed("image/gif", ""))
        .answer("/second.gif", typed("image/gif", ""))
        .answer("/embed/aqz-KE-bpKQ", typed("text/html", "<title>Film</title>"))
        .start_tls(authority.acceptor())
        .await
}

/// Waits for what is bound to happen, for twenty seconds at most.
async fn until(what: &str, happened: impl AsyncFn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !happened().await {
        assert!(Instant::now() < patience, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
