//! The guard in a real browser: what scripts add to a page later.
//!
//! The pages come straight from an origin with the guard's tag written in by
//! hand, so that what holds here is held by the guard and nothing else.

use crate::driver::{Browser, is_here};
use crate::harness::{Origin, origin};

use consentry::enforce::browser::{GuardFiles, OwnScript};
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const WAYS: &str = include_str!("guard/ways.txt");
const MANNERS: &str = include_str!("guard/manners.js");
const HOSTILE: &str = include_str!("guard/hostile.js");

/// A worker made of text has no hook in it: only the policy reaches it.
const BY_POLICY: &str = "worker-in-blob";

const NAMES: &str = r#"{"a":{"c":["_ga","_ga_*"],"s":["_hj*"]},"pm":{"c":["_fbp"],"s":["fb.id"]},"f":{"c":["chat"]}}"#;

/// Notes what goes wrong in the page.
const NOTES: &str = "var errors = [], log = [], keep = [];
addEventListener('error', (event) => event.message && errors.push(event.message));
addEventListener('unhandledrejection', (event) => errors.push('rejection ' + event.reason));";

/// Names and code of the ways.
fn ways() -> Vec<(&'static str, &'static str)> {
    let parts = WAYS.split("\n== ").skip(1);
    parts.map(|part| part.split_once('\n').unwrap()).collect()
}

fn html(text: &str) -> Response<Full<bytes::Bytes>> {
    let response = Response::builder().header("content-type", "text/html; charset=utf-8");
    response.body(Full::from(text.to_owned())).unwrap()
}

/// A vendor's server, one that may be asked, and the shop whose pages ask.
struct Stage {
    third: Origin,
    config: Value,
    pages: Vec<(&'static str, String, String)>,
}

impl Stage {
    async fn new() -> Self {
        let third = origin().start().await;
        let port = third.address.port();
        let policy = format!(
            "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: *.wide.example shop.example/path/ friend.localhost:{port}; \
             connect-src 'self' friend.localhost:*"
        );
        let config = json!({
            "policy": policy, "deny": "apm", "prefix": "/.consentry",
            "choices": "/.consentry/choices?return_to=%2F"
        });
        Self { third, config, pages: Vec::new() }
    }

    /// The address of somebody, who answers to every name.
    fn third(&self, name: &str) -> String {
        format!("http://{name}.localhost:{}", self.third.address.port())
    }

    /// The guard's tag as the proxy would write it.
    fn tag(&self) -> String {
        let config = self.config.to_string().replace('\'', "&#39;");
        let kept = json!({ "deny": self.config["deny"], "vendors": self.config["names"] });
        format!(
            "<script src=/.consentry/kept.js data-consentry-kept='{kept}'></script>\
             <script src=/.consentry/guard.js data-consentry='{config}'></script>"
        )
    }

    /// Adds a page: what comes before everything else, and the rest.
    fn page(mut self, path: &'static str, first: &str, rest: &str) -> Self {
        self.pages.push((
            path,
            format!(
                "<!doctype html><html><head><meta charset=utf-8><link rel=icon href='data:,'>{first}\
                 <script>{NOTES}</script></head><body>{rest}<script>var alive = true</script>"
            ),
            String::new(),
        ));
        self
    }

    /// Sends the policy with the page added last, too.
    fn under_policy(mut self) -> Self {
        let policy = self.config["policy"].as_str().unwrap().to_owned();
        if let Some(page) = self.pages.last_mut() {
            page.2 = policy;
        }
        self
    }

    async fn start(self) -> (Origin, Origin) {
        let script = |text: String| {
            move |_| {
                let response = Response::builder().header("content-type", "text/javascript");
                response.body(Full::from(text.clone())).unwrap()
            }
        };
        let files = GuardFiles::with(NAMES);
        let text = |file: &OwnScript| String::from_utf8(file.body().to_vec()).unwrap();
        let tag = "const i = new Image(); i.src = TRACKER + '/by-tag?visitor=1#2';".to_owned();
        let mut shop = origin()
            .answer("/.consentry/kept.js", script(text(files.kept())))
            .answer("/.consentry/guard.js", script(text(files.guard())))
            .answer("/.consentry/broken.js", script("throw 1".to_owned()))
            .answer("/.consentry/reports", |_| {
                Response::builder().status(204).body(Full::default()).unwrap()
            })
            .answer("/tag.js", script(tag))
            .answer("/allowed", |_| html("allowed"));
        for (path, text, policy) in self.pages {
            shop = shop.answer(path, move |_| {
                let mut response = html(&text);
                if !policy.is_empty() {
                    response
                        .headers_mut()
                        .insert("content-security-policy", policy.parse().unwrap());
                }
                response
            });
        }
        (shop.start().await, self.third)
    }
}

/// Every way, one script each, to `target`.
fn every_way(target: &str, denied: bool, without: &[&str]) -> String {
    let chosen = ways().into_iter().filter(|(name, _)| !without.contains(name));
    let scripts = chosen.map(|(name, code)| {
        format!(
            "<script>try {{ (() => {{ const to = '{target}/{name}', denied = {denied}; {} }})() }} \
             catch (error) {{ errors.push('{name}: ' + error) }}</script>\n",
            code.replace("</script", "<\\/script")
        )
    });
    scripts.collect()
}

fn at(shop: &Origin, path: &str) -> String {
    format!("http://shop.localhost:{}{path}", shop.address.port())
}

/// Which ways led to `host`, once nothing more comes.
async fn reached(third: &Origin, host: &str) -> BTreeSet<String> {
    let mut last = usize::MAX;
    for _ in 0..60 {
        let now = third.seen().len();
        if now == last {
            break;
        }
        last = now;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    let seen = third.seen();
    let asked = |field: &str| field.starts_with(&format!("{host}.localhost"));
    seen.iter()
        .filter(|seen| seen.headers["host"].to_str().is_ok_and(asked))
        .map(|seen| {
            seen.target.trim_start_matches('/').split(['/', '?']).next().unwrap().to_owned()
        })
        .collect()
}

fn names(without: &[&str]) -> BTreeSet<String> {
    let all = ways().into_iter().map(|(name, _)| name);
    all.filter(|name| !without.contains(name)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn b3_b4_no_way_reaches_what_is_denied_and_every_way_what_is_allowed() {
    if !is_here() {
        return;
    }
    let stage = Stage::new().await;
    let (tag, friend) = (stage.tag(), stage.third("friend"));
    let (hidden, vendor) = (stage.third("denied"), stage.third("vendor"));
    let hostile = stage.third("hostile");
    let free = [BY_POLICY];
    let (shop, third) = stage
        .page("/denied", &tag, &every_way(&hidden, true, &free))
        .page(
            "/hostile",
            &format!("{tag}<script>{HOSTILE}</script>"),
            &every_way(&hostile, true, &free),
        )
        .page("/allowed-ways", &tag, &every_way(&friend, false, &[]))
        .page("/unguarded", "", &every_way(&vendor, false, &[]))
        .start()
        .await;
    let browser = Browser::open(true).await;
    for (path, host) in [("/denied", "denied"), ("/hostile", "hostile")] {
        browser.goes_to(&at(&shop, path)).await;
        assert_eq!(reached(&third, host).await, BTreeSet::new(), "{path}");
        // And the page went on as if nothing had been.
        let log = browser.runs("return log.sort()").await;
        let calm = ["", "fetch", "object", "xhr load 204", "xhr state 1", "xhr state 4"];
        assert_eq!(log, json!(calm), "{path}");
        let after = browser.runs("return [alive, errors, window.abused || []]").await;
        assert_eq!(after, json!([true, [], []]), "{path}");
        let left =
            "return document.querySelectorAll('[data-consentry],[src*=guard],[src*=kept]').length";
        assert_eq!(browser.runs(left).await, 0);
    }
    for (path, host) in [("/allowed-ways", "friend"), ("/unguarded", "vendor")] {
        browser.goes_to(&at(&shop, path)).await;
        let missing: Vec<_> =
            names(&[]).difference(&reached(&third, host).await).cloned().collect();
        assert_eq!(missing, [] as [String; 0], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b5_b10_workers_and_what_a_broken_guard_lets_go_are_held_by_the_policy() {
    if !is_here() {
        return;
    }
    let stage = Stage::new().await;
    let broken = "<script src=/.consentry/broken.js></script>";
    let (tag, hidden, bare) = (stage.tag(), stage.third("denied"), stage.third("bare"));
    // No policy governs what a browser may prefetch by rule.
    let beyond = ["speculation-rules"];
    let (shop, third) = stage
        .page("/guarded", &tag, &every_way(&hidden, true, &[]))
        .under_policy()
        .page("/broken", broken, &every_way(&bare, false, &beyond))
        .under_policy()
        .start()
        .await;
    let browser = Browser::open(true).await;
    for (path, host) in [("/guarded", "denied"), ("/broken", "bare")] {
        browser.goes_to(&at(&shop, path)).await;
        assert_eq!(reached(&third, host).await, BTreeSet::new(), "{path}");
        assert_eq!(browser.runs("return alive").await, true, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_page_notices_as_little_as_there_is_to_notice() {
    if !is_here() {
        return;
    }
    let stage = Stage::new().await;
    let (tag, tracker) = (stage.tag(), stage.third("denied"));
    let globals = "<script>var before = Object.getOwnPropertyNames(window).length</script>";
    let (shop, third) = stage
        .page("/", &format!("{globals}{tag}"), "<p>Hello</p>")
        .page("/plain", globals, "<p>Hello</p>")
        .start()
        .await;
    let browser = Browser::open(true).await;
    browser.goes_to(&at(&shop, "/")).await;
    let script = MANNERS.replace("TRACKER", &format!("\"{tracker}\""));
    assert_eq!(browser.runs(&script).await, json!([]));
    assert_eq!(browser.runs("return errors").await, json!([]));
    assert_eq!(reached(&third, "denied").await, BTreeSet::new());
    let count = "return Object.getOwnPropertyNames(window).length";
    browser.goes_to(&at(&shop, "/")).await;
    let guarded = browser.runs(count).await;
    browser.goes_to(&at(&shop, "/plain")).await;
    assert_eq!(guarded, browser.runs(count).await, "no global of ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_b7_scripts_keep_only_names_that_were_agreed_to() {
    if !is_here() {
        return;
    }
    let stage = Stage::new().await;
    let tag = stage.tag();
    let (shop, _third) = stage.page("/plain", "", "").page("/", &tag, "").start().await;
    let browser = Browser::open(true).await;
    // What was kept in better days.
    browser.goes_to(&at(&shop, "/plain")).await;
    browser.runs("localStorage._hjSession = 1; localStorage.cart = 2; document.cookie = '_ga=old; path=/'").await;
    browser.goes_to(&at(&shop, "/")).await;
    let kept = "return [document.cookie.split('; ').sort().join(), Object.keys(localStorage).sort().join(), \
                Object.keys(sessionStorage).sort().join()]";
    assert_eq!(browser.runs(kept).await, json!(["_ga=old", "cart", ""]));
    browser
        .runs(
            "document.cookie = '_ga=; max-age=0; path=/';
             document.cookie = '_ga=GA1.1.1.1; path=/; max-age=3600';
             document.cookie = ' _ga_ABC = x';
             document.cookie = '_fbp=fb.1.1.1; expires=' + new Date(Date.now() + 1e6).toUTCString();
             document.cookie = '_gat=1';
             document.cookie = 'chat=1';
             document.cookie = 'sid=1; path=/';
             localStorage.setItem('_hjUser', '1');
             localStorage.setItem('wishlist', '1');
             sessionStorage.setItem('fb.id', '1');
             sessionStorage.setItem('step', '1');
             const frame = document.body.appendChild(document.createElement('iframe'));
             frame.contentDocument.cookie = '_ga=2';
             frame.contentWindow.localStorage.setItem('_hjFrame', '1');",
        )
        .await;
    // Only the letters that are denied count, and only whole names.
    let expected = json!(["_gat=1,chat=1,sid=1", "cart,wishlist", "step"]);
    assert_eq!(browser.runs(kept).await, expected);
    browser.runs("return cookieStore.set('_ga', '3').then(() => cookieStore.set({ name: 'lang', value: 'de' }))").await;
    browser.runs("localStorage._hjByProperty = '1'; dispatchEvent(new Event('pagehide'))").await;
    assert_eq!(
        browser.runs(kept).await,
        json!(["_gat=1,chat=1,lang=de,sid=1", "cart,wishlist", "step"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_what_was_said_about_a_vendor_outweighs_its_purposes() {
    if !is_here() {
        return;
    }
    let mut stage = Stage::new().await;
    stage.config["deny"] = json!("a");
    stage.config["names"] =
        json!({ "keep": { "c": ["_ga*"] }, "drop": { "c": ["_fbp"], "s": ["fb.*"] } });
    let tag = stage.tag();
    let (shop, _third) = stage.page("/", &tag, "").start().await;
    let browser = Browser::open(true).await;
    browser.goes_to(&at(&shop, "/")).await;
    browser
        .runs(
            "for (const name of ['_ga', '_ga_X', '_fbp', 'sid']) document.cookie = name + '=1';
             for (const name of ['fb.id', '_hjUser', 'cart']) localStorage.setItem(name, '1');",
        )
        .await;
    let kept = "return [document.cookie.split('; ').sort().join(), Object.keys(localStorage).sort().join()]";
    assert_eq!(browser.runs(kept).await, json!(["_ga=1,_ga_X=1,sid=1", "cart"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn b8_an_embed_that_comes_later_gets_a_placeholder_if_somebody_would_see_it() {
    if !is_here() {
        return;
    }
    let stage = Stage::new().await;
    let (tag, tracker) = (stage.tag(), stage.third("denied"));
    let (shop, third) = stage.page("/", &tag, "<main></main>").start().await;
    let browser = Browser::open(true).await;
    browser.goes_to(&at(&shop, "/")).await;
    browser
        .runs(&format!(
            "history.pushState({{}}, '', '/videos');
             const add = (size) => {{
               const frame = document.createElement('iframe');
               frame.width = frame.height = size;
               frame.src = '{tracker}/embed?id=1';
               document.querySelector('main').append(frame);
             }};
             add(300); add(1);
             document.querySelector('main').insertAdjacentHTML('beforeend', '<iframe src=\"{tracker}/embed\">');"
        ))
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let shown = "return [...document.querySelectorAll('iframe')].map((frame) => {
        const link = frame.contentDocument.querySelector('a');
        return link ? frame.contentDocument.body.innerText.includes('agreement') + ' ' + link.getAttribute('href') + ' ' + link.target : null;
    })";
    let words = "true /.consentry/choices?return_to=%2F _top";
    assert_eq!(browser.runs(shown).await, json!([words, null, words]));
    assert_eq!(reached(&third, "denied").await, BTreeSet::new());
    // The page thinks better of it.
    browser.runs("document.querySelector('iframe').src = '/allowed'").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let text = "return document.querySelector('iframe').contentDocument.body.innerText";
    assert_eq!(browser.runs(text).await, "allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn b11_a_report_says_what_was_held_and_whose_doing_it_was() {
    if !is_here() {
        return;
    }
    let stage = Stage::new().await;
    let (tag, tracker) = (stage.tag(), stage.third("denied"));
    let rest = format!(
        "<script>var TRACKER = '{tracker}'</script><script src='/tag.js?id=GTM-ABC123&user=7'></script>
         <script>navigator.sendBeacon('{tracker}/inline?who=7#x'); new Image().src = '{tracker}/by-tag?visitor=2';
         document.cookie = '_ga=1'; localStorage.setItem('_hjUser', 'secret');
         for (let i = 0; i < 80; i++) new Image().src = '{tracker}/many/' + i;</script>"
    );
    let (shop, _third) = stage.page("/", &tag, &rest).start().await;
    let browser = Browser::open(true).await;
    browser.goes_to(&at(&shop, "/")).await;
    let reports = || {
        let seen = shop.seen();
        seen.into_iter().filter(|seen| seen.target == "/.consentry/reports").collect::<Vec<_>>()
    };
    for _ in 0..600 {
        if !reports().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let [report] = &reports()[..] else { panic!("{} reports", reports().len()) };
    assert_eq!(
        (report.method.as_str(), &report.headers["content-type"]),
        ("POST", &"application/json".parse().unwrap())
    );
    let body: Value = serde_json::from_slice(&report.body).unwrap();
    let held = body["held"].as_array().unwrap();
    assert_eq!(held.len(), 50, "no more for one page");
    let tag = format!("{}?id=GTM-ABC123", at(&shop, "/tag.js"));
    let line = |kind: &str, url: &str, via: &str| json!({ "kind": kind, "url": url, "via": via });
    assert_eq!(
        held[..4],
        [
            line("img", &format!("{tracker}/by-tag"), &tag),
            line("connect", &format!("{tracker}/inline"), "inline"),
            line("cookie", "_ga", "inline"),
            line("storage", "_hjUser", "inline"),
        ]
    );
    // What comes late is told when the page goes, but not beyond the fifty.
    browser.goes_to(&at(&shop, "/allowed")).await;
    assert_eq!(reports().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn b3_the_guard_reads_the_policy_as_the_browser_does() {
    if !is_here() {
        return;
    }
    let mut stage = Stage::new().await;
    stage.config["policy"] = json!(
        "default-src 'self' data: shop.example *.wide.example ported.example:8443 any.example:* \
         paths.example/widgets/ paths.example/One.js https://secure.example; script-src 'self' code.example 'nonce-abc'; \
         img-src *; font-src 'none'; frame-src 'self' *.frames.example; worker-src 'self'"
    );
    stage.config["block"] =
        json!(["script,media code.example/bad", "* wide.example/pixel", "* shop.localhost/gtg/"]);
    let tag = stage.tag();
    let (shop, _third) = stage.page("/", &tag, "").start().await;
    let browser = Browser::open(true).await;
    browser.goes_to(&at(&shop, "/")).await;
    let port = shop.address.port();
    for (kind, address, held) in [
        ("video", "/film.mp4", false),
        ("video", "data:,x", false),
        ("video", "http://shop.example/film.mp4", false),
        ("video", "https://shop.example/film.mp4", false),
        ("video", "https://SHOP.example./film.mp4", true),
        ("video", "https://shop.example:8443/film.mp4", true),
        ("video", "https://shop.example@stranger.example/", true),
        ("video", "https://www.shop.example/", true),
        ("video", "//a.b.wide.example/", false),
        ("video", "//wide.example/", true),
        ("video", "//a.wide.example/pixel/1", true),
        ("video", "https://ported.example:8443/", false),
        ("video", "https://ported.example/", true),
        ("video", "https://any.example:1/", false),
        ("video", "https://paths.example/widgets/a/b", false),
        ("video", "https://paths.example/One.js", false),
        ("video", "https://paths.example/One.js/x", true),
        ("video", "https://paths.example/", true),
        ("video", "https://secure.example/", false),
        ("video", "http://secure.example/", true),
        ("video", "https:shop.example/film.mp4", false),
        ("video", "\\\\stranger.example/", true),
        ("video", "/\t/stranger.example/", true),
        ("video", " \n//stranger.example/", true),
        ("video", "/gtg/film.mp4", true),
        ("video", "gtg/film.mp4", true),
        ("video", "mailto:a@b.example", false),
        ("video", "http://[broken", false),
        ("script", "https://code.example/good.js", false),
        ("script", "https://code.example/bad/x.js", true),
        ("script", "https://shop.example/a.js", true),
        ("img", "https://stranger.example/", false),
        ("img", "https://stranger.example:99/", false),
        ("iframe", "https://x.frames.example/", false),
        ("iframe", "https://shop.example/", true),
        ("object", "https://shop.example/", false),
    ] {
        let key = if kind == "object" { "data" } else { "src" };
        let script = format!(
            "const element = document.createElement('{kind}'); element.preload = 'none'; element.{key} = {}; \
             return element.hasAttribute('data-consentry-held')",
            json!(address)
        );
        assert_eq!(browser.runs(&script).await, held, "{kind} {address} at {port}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b9_what_the_guard_costs() {
    if !is_here() {
        return;
    }
    let stage = Stage::new().await;
    let (tag, friend) = (stage.tag(), stage.third("friend"));
    let (shop, _third) = stage.page("/guarded", &tag, "").page("/plain", "", "").start().await;
    let browser = Browser::open(true).await;
    // Pictures that nobody sees load nothing, so that the time is the scripts'.
    let work = "const median = (work) => {
          const times = [];
          for (let round = 0; round < 3; round++) {
            const parent = document.createElement('div');
            parent.hidden = true;
            document.body.appendChild(parent);
            const start = performance.now();
            work(parent);
            times.push(performance.now() - start);
            parent.remove();
          }
          return Math.round(times.sort((a, b) => a - b)[1]);
        };
        const pictures = (address) => (parent) => {
          for (let i = 0; i < 10000; i++) {
            const image = document.createElement('img');
            image.loading = 'lazy';
            image.src = address + i;
            image.className = 'picture';
            parent.appendChild(image);
          }
        };
        return {
          own: median(pictures('/allowed?')),
          friend: median(pictures('FRIEND/picture?')),
          styles: median((parent) => { for (let i = 0; i < 10000; i++) parent.style.width = i + 'px'; }),
          markup: median((parent) => { parent.innerHTML = '<p><a href=\"https://a.example/\">x</a></p>'.repeat(10000); }),
        }"
    .replace("FRIEND", &friend);
    for path in ["/plain", "/guarded"] {
        browser.goes_to(&at(&shop, path)).await;
        println!("milliseconds for 10,000 at {path}: {}", browser.runs(&work).await);
    }
}
