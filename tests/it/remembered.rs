//! What became of a page is remembered, and nobody can tell but by the time it
//! takes: the origin is asked every time, and every visitor gets their own.

use crate::harness::{CATALOGUE, Origin, Page, Proxy, Seen, Visitor, consentry, origin, visitor};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Response;
use http_body_util::Full;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

const OFF: &str = "[limits]\nmemo_bytes = 0";

/// Pages that differ by what the request says they are to be: `x-version`
/// changes the text, `x-as` what goes along with it.
fn page(seen: &Seen) -> Response<Full<Bytes>> {
    let field =
        |name: &str| seen.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let (version, kind) = (field("x-version"), field("x-as"));
    let tag = format!("\"v{version}-{kind}\"");
    let html = format!(
        "<!doctype html><html><head><title>Tea {version}</title>\
         <script src=\"https://ads.acme.example/p{version}.js\"></script>\
         <script nonce=n{version}>acme('init', {version})</script></head><body>\
         <img src=//stats.acme.example/{version}.gif><img src=https://new{version}.example/a.png>\
         <iframe src=\"https://maps.acme.example/?at={}\" width=400 height=300></iframe>\
         <p>{}</p></body></html>",
        seen.target,
        "Leaves. ".repeat(200)
    );
    let plain = "<p>Nothing that anybody would withhold.</p>".to_owned();
    let html = if kind == "plain" { plain } else { html };
    let mut response = Response::builder()
        .header("etag", &tag)
        .header("set-cookie", format!("sid={version}; Path=/"))
        .header("set-cookie", "_acme=1; Path=/");
    response = match kind.as_str() {
        "latin" => response.header("content-type", "text/html; charset=iso-8859-1"),
        "wide" => response.header("content-type", "text/html; charset=utf-16le"),
        "untold" => response,
        _ => response.header("content-type", "text/html; charset=utf-8"),
    };
    if kind == "nonce" {
        let policy = format!("script-src 'nonce-n{version}'; style-src 'self'");
        response = response.header("content-security-policy", policy);
    }
    if seen.method == "GET" && field("if-none-match") == tag {
        return response.status(304).body(Full::default()).unwrap();
    }
    let bytes = match kind.as_str() {
        "wide" => html.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        _ => html.into_bytes(),
    };
    if kind != "gzip" {
        return response.body(Full::from(bytes)).unwrap();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bytes).unwrap();
    let body = Full::from(encoder.finish().unwrap());
    response.header("content-encoding", "gzip").body(body).unwrap()
}

/// How often the origin was asked, and how often it had to send the page.
fn sent(origin: &Origin) -> [usize; 2] {
    let seen = origin.seen();
    let asked = seen.iter().filter(|seen| seen.headers.contains_key("if-none-match")).count();
    [seen.len(), seen.len() - asked]
}

async fn teashop() -> Origin {
    let mut builder = origin();
    for path in ["/", "/tea", "/help/shipping"] {
        builder = builder.answer(path, |seen| page(&seen));
    }
    builder.start().await
}

/// Everything of an answer that does not depend on when it was given.
fn told(page: &Page) -> (u16, Vec<(String, String)>, Bytes) {
    let mut fields: Vec<(String, String)> = page
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    fields.sort();
    (page.status.as_u16(), fields, page.bytes.clone())
}

async fn remembered(proxy: &Proxy) -> [u64; 2] {
    let metrics = crate::harness::visitor_at(proxy.admin).opens("/metrics").await.body;
    ["hit", "miss"].map(|result| {
        let line = metrics.lines().find(|line| {
            line.starts_with("consentry_pages_remembered_total") && line.contains(result)
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    })
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(self.0 >> 33).unwrap() % all.len();
        &all[at]
    }
}

/// The same visitors on two proxies: what they chose, or what their browsers
/// say.
async fn visitors(proxy: &Proxy) -> Vec<Visitor> {
    let somebody = || visitor(proxy).at_host("shop.example");
    let mut all = vec![
        somebody(),
        somebody().sending("sec-gpc", "1"),
        somebody().sending("accept-language", "de"),
    ];
    for (choice, purposes) in
        [("none", &[][..]), ("all", &[]), ("some", &["analytics"]), ("some", &["marketing"])]
    {
        let mut visitor = somebody();
        assert_eq!(visitor.chooses(choice, purposes).await.status, 303);
        all.push(visitor);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_nobody_can_tell_whether_a_page_was_remembered() {
    for mode in ["", "mode = 'observe'", "unlisted = 'block'"] {
        let origin = teashop().await;
        let directory = TempDir::new().unwrap();
        let keys = format!("[consent]\nkeys_file = {:?}", directory.path().join("keys"));
        let remembering = consentry(&origin).site(mode).config(&keys).start().await;
        let forgetting = consentry(&origin).site(mode).config(&keys).config(OFF).start().await;
        let mut at_one = visitors(&remembering).await;
        let mut at_other = visitors(&forgetting).await;
        let mut dice = Dice(7);
        for step in 0..400 {
            let who = *dice.of(&[0, 1, 2, 3, 4, 5, 6]);
            let path = *dice.of(&["/", "/tea", "/tea?size=2", "/help/shipping"]);
            let fields = [
                ("x-version", *dice.of(&["1", "1", "1", "2"])),
                (
                    "x-as",
                    *dice
                        .of(&["", "", "gzip", "gzip", "latin", "wide", "nonce", "plain", "untold"]),
                ),
                ("accept-encoding", *dice.of(&["gzip", "identity", "gzip;q=0, br"])),
                ("accept", *dice.of(&["text/html", "*/*"])),
                ("sec-fetch-dest", *dice.of(&["document", "iframe", "empty"])),
            ];
            let method = *dice.of(&["GET", "GET", "GET", "HEAD", "POST"]);
            let one = at_one[who].asks(method, path, &fields, "").await;
            let other = at_other[who].asks(method, path, &fields, "").await;
            assert_eq!(
                told(&one),
                told(&other),
                "step {step}: {method} {path} {fields:?} by {who}"
            );
        }
        assert_eq!(sorted(&remembering).await, sorted(&forgetting).await, "{mode}");
        let [hits, misses] = remembered(&remembering).await;
        assert!(hits > 30 && misses > 40, "{mode}: {hits} found and {misses} not");
        assert_eq!(remembered(&forgetting).await, [0, 0]);
    }
}

async fn sorted(proxy: &Proxy) -> Vec<String> {
    let lines = proxy.lines().await.into_iter();
    let mut lines: Vec<String> = lines
        .map(|line| {
            format!(
                "{} {} {} {} {:?} {} {}",
                line.site, line.page, line.class, line.verdict, line.vendor, line.kind, line.what
            )
        })
        .collect();
    assert!(lines.len() > 200 && lines.len() < 10_000, "{}", lines.len());
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_page_is_as_fresh_as_the_origins() {
    let origin = teashop().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    for (version, times) in [("1", 3), ("2", 2), ("1", 1)] {
        for _ in 0..times {
            let page = visitor.asks("GET", "/", &[("x-version", version)], "").await;
            assert!(page.body.contains(&format!("<title>Tea {version}</title>")), "{}", page.body);
            assert!(!page.body.contains("ads.acme.example"));
        }
    }
    assert_eq!(origin.seen().len(), 6, "it is asked every time");
    // It gives out cookies, and may have another page for whoever holds them.
    assert_eq!(sent(&origin), [6, 5], "and about the page that it sent to such a request");
    assert_eq!(remembered(&proxy).await, [3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_taught_is_in_the_next_page_remembered_or_not() {
    let origin = teashop().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy).sending("accept", "text/html");
    let policy =
        async |visitor: &mut Visitor| visitor.opens("/").await.field("content-security-policy");
    assert!(!policy(&mut visitor).await.contains("cdn.late.example"));
    assert!(!policy(&mut visitor).await.contains("cdn.late.example"));
    let report = r#"{"csp-report":{"blocked-uri":"https://cdn.late.example/a.js","effective-directive":"script-src-elem","document-uri":"http://x/"}}"#;
    let fields = [("content-type", "application/csp-report"), ("sec-fetch-site", "same-origin")];
    visitor.asks("POST", "/.consentry/reports", &fields, report).await;
    assert!(policy(&mut visitor).await.contains("cdn.late.example"));
    assert_eq!(remembered(&proxy).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_forgets_what_was_decided_before() {
    let origin = teashop().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    for _ in 0..2 {
        assert!(visitor.opens("/").await.body.contains("https://new.example/a.png"));
    }
    let vendor = "[[vendor]]\nid = 'new'\nname = 'New'\nowner = 'New'\npurposes = ['marketing']\n\
        about = 'x'\nsource = 'x'\nhosts = ['new.example']\n";
    let file = proxy.directory().join("vendors.toml");
    std::fs::write(file, format!("{CATALOGUE}\n{vendor}")).unwrap();
    let compiled = consentry::config::load(
        Some(&proxy.directory().join("consentry.toml")),
        std::iter::empty(),
        &consentry::config::Overrides::default(),
        consentry::config::KeyMode::CheckOnly,
    )
    .unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
    proxy.running().replace_sites(compiled.sites);
    let page = visitor.opens("/").await;
    assert!(!page.body.contains("https://new.example/a.png"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_can_do_without() {
    let origin = teashop().await;
    let proxy = consentry(&origin).site("remember_pages = false").start().await;
    let mut visitor = visitor(&proxy);
    for _ in 0..3 {
        assert_eq!(visitor.opens("/").await.status, 200);
    }
    assert_eq!(remembered(&proxy).await, [0, 0]);
}

/// An origin whose answers are made by what was asked: the body, and fields.
async fn origin_of(fields: &'static [(&'static str, &'static str)]) -> Origin {
    let count = AtomicUsize::new(0);
    let answer = move |seen: Seen| {
        let number = count.fetch_add(1, Ordering::Relaxed).to_string();
        let mut response = Response::builder().header("etag", "\"v1\"");
        for (name, value) in fields {
            response = response.header(*name, value.replace("{n}", &number));
        }
        if seen.headers.contains_key("if-none-match") {
            return response.status(304).body(Full::default()).unwrap();
        }
        let said = |name: &str| seen.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let (cookie, agent) = (said("cookie"), said("user-agent"));
        let html = format!("<p>Hello {cookie} {agent} {number}</p>");
        response.header("content-type", "text/html").body(Full::from(html)).unwrap()
    };
    origin().answer("/", answer).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_still_the_same_is_not_sent_again() {
    let origin = origin_of(&[("cache-control", "max-age=60"), ("x-at", "{n}")]).await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    for number in 0..3 {
        let page = visitor.opens("/").await;
        assert!(page.body.contains("Hello   0"), "{}", page.body);
        assert_eq!(page.status, 200);
        assert_eq!(page.field("x-at"), number.to_string(), "what is said about it is new");
        assert_eq!(page.all("via").len(), 1);
    }
    assert_eq!(sent(&origin), [3, 1]);
    // Whoever asks for it anew gets it anew.
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("pragma", "no-cache"),
        ("cache-control", "no-store"),
        ("authorization", "Basic x"),
    ] {
        let page = visitor.asks("GET", "/", &[(name, value)], "").await;
        assert!(!page.body.contains("Hello   0"), "{name}: {}", page.body);
    }
    assert_eq!(sent(&origin), [7, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_not_modified_is_believed_only_of_the_same_page() {
    for (fields, believed) in [
        (&[("set-cookie", "theme=dark; Path=/; Expires={n}")][..], true),
        (&[("set-cookie", "sid={n}; Path=/")], false),
        (&[("content-security-policy", "script-src 'nonce-{n}'")], false),
        (&[("content-security-policy", "script-src 'nonce-always'")], false),
        (&[("content-security-policy", "img-src 'self' https://{n}.example")], false),
        (&[("cache-control", "private")], false),
        (&[("cache-control", "no-store")], false),
        (&[("vary", "*")], false),
        (&[("vary", "x-{n}")], false),
    ] {
        let origin = origin_of(fields).await;
        let proxy = consentry(&origin).start().await;
        for number in 0..4 {
            let page = visitor(&proxy).opens("/").await;
            assert_eq!(page.status, 200);
            let old = page.body.contains("Hello   0");
            assert_eq!(old, believed || number == 0, "{fields:?}: {}", page.body);
        }
        // What was asked in vain is not asked again.
        let asked = origin.seen().len() - sent(&origin)[1];
        assert!(believed || asked <= 1, "{fields:?}: {asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_nobody_gets_what_was_sent_to_somebody_else() {
    let origin = origin_of(&[("vary", "User-Agent")]).await;
    let proxy = consentry(&origin).start().await;
    let somebody = || visitor(&proxy).sending("user-agent", "Netscape");
    assert!(somebody().opens("/").await.body.contains("Hello  Netscape 0"));
    assert!(somebody().opens("/").await.body.contains("Hello  Netscape 0"));
    let mut logged_in = somebody().holding("sid", "ana");
    assert!(logged_in.opens("/").await.body.contains("Hello sid=ana Netscape 2"));
    let mut other = visitor(&proxy).sending("user-agent", "Lynx");
    assert!(other.opens("/").await.body.contains("Hello  Lynx 3"));
    assert!(!somebody().at_host("other.example").opens("/").await.body.contains("Netscape 0"));
    let mut german = somebody().sending("accept-language", "de");
    assert!(!german.opens("/").await.body.contains("Netscape 0"));
    let mut agreed = somebody();
    agreed.chooses("all", &[]).await;
    assert!(!agreed.opens("/").await.body.contains("Netscape 0"), "the origin hears of consent");
}
