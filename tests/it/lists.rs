//! Filter lists of the operator's, for what the catalogue does not know.

use crate::harness::{Origin, Page, Proxy, consentry, origin, visitor, visitor_at};
use crate::program::runs;
use crate::tls::Authority;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Response;
use http_body_util::Full;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

const LIST: &str =
    "! Title: House list\n||beacon.example^\n/pixel-of-ours.gif?\n||cdn.example/track.js$script\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_list_knows_is_withheld_too_and_names_its_rule() {
    let html = "<script src=\"https://x.beacon.example/a.js\"></script>\
                <script>var s=document.createElement('script');s.src='https://cdn.example/track.js?x';document.body.append(s)</script>\
                <img src=\"/pixel-of-ours.gif?1\">\
                <script src=\"https://cdn.example/lib.js\"></script>\
                <script src=\"https://ads.acme.example/p.js\"></script>";
    let origin = origin().page("/", html).start().await;
    let builder = consentry(&origin);
    let file = builder.path("house.txt");
    std::fs::write(&file, LIST).unwrap();
    let proxy = builder
        .config(&format!("[lists]\nfiles = [{file:?}]\npurpose = \"analytics\""))
        .start()
        .await;
    let mut visitor = visitor(&proxy);
    let page = visitor.opens("/").await;
    for gone in ["beacon.example", "track.js", "pixel-of-ours", "ads.acme.example"] {
        assert!(!page.body.contains(gone), "{gone}: {}", page.body);
    }
    assert!(page.body.contains("<script src=\"https://cdn.example/lib.js\"></script>"));
    let mut ledger = proxy.ledger().await;
    ledger.sort();
    assert_eq!(
        ledger,
        [
            "allow - - script cdn.example/lib.js",
            "block analytics House list (filter list) image 127.0.0.1/pixel-of-ours.gif",
            "block analytics House list (filter list) inline ||cdn.example/track.js$script",
            "block analytics House list (filter list) script x.beacon.example/a.js",
            "block marketing Acme Ads script ads.acme.example/p.js",
        ]
    );
    let lines = proxy.lines().await;
    let beacon = lines.iter().find(|line| line.what.starts_with("x.beacon")).unwrap();
    let rule = beacon.rule.clone().unwrap();
    assert!(rule.ends_with("house.txt:2"), "{rule}");
    visitor.chooses("some", &["analytics"]).await;
    assert!(visitor.opens("/").await.body.contains("x.beacon.example/a.js"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_a_rule_is_refused() {
    let origin = origin().start().await;
    for (text, why) in [("! only a comment\n", "holds no rule"), ("", "holds no rule")] {
        let builder = consentry(&origin);
        let file = builder.path("empty.txt");
        std::fs::write(&file, text).unwrap();
        let refused = builder.config(&format!("[lists]\nfiles = [{file:?}]")).try_start().await;
        let message = refused.err().unwrap();
        assert!(message.contains(why) && message.contains("empty.txt"), "{message}");
    }
}

/// A server of lists, which can serve another text from one moment to the
/// next.
struct ListServer {
    authority: Authority,
    origin: Origin,
    text: Arc<Mutex<String>>,
}

impl ListServer {
    async fn serving(text: &str) -> Self {
        let text = Arc::new(Mutex::new(text.to_owned()));
        let authority = Authority::signing("127.0.0.1");
        let served = Arc::clone(&text);
        let origin = origin()
            .answer("/list.txt", move |seen| {
                let text = served.lock().unwrap().clone();
                let etag = format!("\"{}\"", text.len());
                let known = seen.headers.get("if-none-match").is_some_and(|tag| *tag == *etag);
                let (status, text) = if known { (304, String::new()) } else { (200, text) };
                let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
                packer.write_all(text.as_bytes()).unwrap();
                Response::builder()
                    .status(status)
                    .header("etag", etag)
                    .header("content-type", "text/plain")
                    .header("content-encoding", "gzip")
                    .body(Full::from(packer.finish().unwrap()))
                    .unwrap()
            })
            .answer("/moved.txt", |_| sent_on("/list.txt"))
            .answer("/insecure.txt", |seen| {
                sent_on(&format!("http://{}/list.txt", seen.headers["host"].to_str().unwrap()))
            })
            .answer("/circle.txt", |_| sent_on("/circle.txt"))
            .answer("/login.txt", |_| {
                Response::builder().body(Full::from("<!doctype html><p>Log in")).unwrap()
            })
            .start_tls(authority.acceptor())
            .await;
        Self { authority, origin, text }
    }

    fn serves(&self, text: &str) {
        text.clone_into(&mut self.text.lock().unwrap());
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.origin.address)
    }

    /// The `[lists]` section that names it.
    fn section(&self, path: &str, more: &str) -> String {
        format!(
            "[lists]\nca_file = {:?}\n[[lists.source]]\nname = \"house\"\nlocation = {:?}\n{more}\n",
            self.authority.file("ca.pem"),
            self.url(path)
        )
    }
}

fn sent_on(to: &str) -> Response<Full<Bytes>> {
    Response::builder().status(302).header("location", to).body(Full::default()).unwrap()
}

const PAGE: &str = "<script src=\"https://a.beacon.example/a.js\"></script>\
                    <script src=\"https://b.beacon.example/b.js\"></script>";

/// Which of the two scripts of `PAGE` a visitor gets.
async fn gets(proxy: &Proxy) -> (bool, bool) {
    let page = visitor(proxy).opens("/").await.body;
    (page.contains("a.beacon.example"), page.contains("b.beacon.example"))
}

async fn metrics(proxy: &Proxy) -> String {
    visitor_at(proxy.admin).opens("/metrics").await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_a_list_comes_over_https_before_the_first_visitor() {
    let server = ListServer::serving("! Title: House\n||a.beacon.example^\n").await;
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin).config(&server.section("/list.txt", "")).start().await;
    assert_eq!(gets(&proxy).await, (false, true));
    let lines = proxy.lines().await;
    let line = lines.iter().find(|line| line.what.starts_with("a.beacon")).unwrap();
    assert_eq!(line.rule.as_deref(), Some(format!("{}:2", server.url("/list.txt")).as_str()));
    assert_eq!(server.origin.seen().len(), 1, "it is asked for once");
    assert_eq!(server.origin.seen()[0].headers["accept-encoding"], "gzip");
    let metrics = metrics(&proxy).await;
    assert!(metrics.contains("consentry_list_missing{list=\"house\"} 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_a_refreshed_list_is_swapped_in_while_visitors_come_and_go() {
    let server = ListServer::serving("||a.beacon.example^\n").await;
    let later =
        "<script type=\"application/json\">{\"url\":\"https://b.beacon.example/b.js\"}</script>";
    let origin = origin().page("/", PAGE).page("/later", later).start().await;
    let proxy = consentry(&origin).config(&server.section("/list.txt", "")).start().await;
    let may_load = async |authority: &str| {
        let page = visitor(&proxy).opens("/later").await;
        page.field("content-security-policy").contains(authority)
    };
    assert!(may_load("b.beacon.example").await);
    let visits = {
        let visitor = visitor(&proxy);
        tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                let page = visitor.clone().opens("/").await;
                assert_eq!(page.status, 200);
                seen.push(page.body.contains("b.beacon.example"));
                if seen.last() == Some(&false) {
                    return seen;
                }
            }
        })
    };
    server.serves("||a.beacon.example^\n||b.beacon.example^\n");
    proxy.running().refresh_lists().await;
    let seen = visits.await.unwrap();
    assert!(seen.iter().rev().skip(1).all(|passed| *passed), "never back and forth");
    assert_eq!(gets(&proxy).await, (false, false));
    assert!(!may_load("b.beacon.example").await, "the browser is told, too");
    let revisions: HashSet<_> =
        proxy.lines().await.into_iter().map(|line| line.policy_revision).collect();
    assert_eq!(revisions.len(), 2, "the record tells the rules apart");

    proxy.running().refresh_lists().await;
    let last = server.origin.seen().pop().unwrap();
    assert!(last.headers.contains_key("if-none-match"), "only for what is newer");
    let metrics = metrics(&proxy).await;
    for result in ["changed\"} 2", "unchanged\"} 1"] {
        let line = format!("consentry_list_refreshes_total{{list=\"house\",result=\"{result}");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_without_network_the_last_good_copy_holds() {
    let server = ListServer::serving("||a.beacon.example^\n").await;
    let origin = origin().page("/", PAGE).start().await;
    let section = server.section("/list.txt", "");
    let proxy = consentry(&origin).config(&section).start().await;
    assert_eq!(gets(&proxy).await, (false, true));
    let directory = proxy.stop().await;
    drop(server.origin);
    let proxy = consentry(&origin).in_directory(directory).config(&section).start().await;
    assert_eq!(gets(&proxy).await, (false, true));
    proxy.running().refresh_lists().await;
    assert_eq!(gets(&proxy).await, (false, true));
    let metrics = metrics(&proxy).await;
    for line in [
        "consentry_list_missing{list=\"house\"} 0",
        "consentry_list_refreshes_total{list=\"house\",result=\"failed\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_was_never_seen_is_loud_and_stops_nobody() {
    let server = ListServer::serving("||a.beacon.example^\n").await;
    let origin = origin().page("/", PAGE).start().await;
    let section = server.section("/nowhere.txt", "");
    let proxy = consentry(&origin).config(&section).start().await;
    assert_eq!(gets(&proxy).await, (true, true));
    assert_eq!(visitor_at(proxy.admin).opens("/readyz").await.status, 200);
    let metrics = metrics(&proxy).await;
    assert!(metrics.contains("consentry_list_missing{list=\"house\"} 1"), "{metrics}");
    let config = proxy.directory().join("consentry.toml");
    let ledger = proxy.directory().join("ledger.db");
    let words =
        ["lists", "--config", config.to_str().unwrap(), "--ledger", ledger.to_str().unwrap()];
    let (code, said) = runs(&words);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("missing: what only it knows passes"), "{said}");
    assert!(said.contains("error     the server answers 404 Not Found"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_copy_that_looks_wrong_never_replaces_a_good_one() {
    let good = "||a.beacon.example^\n||x.example^\n||y.example^\n||z.example^\n";
    let server = ListServer::serving(good).await;
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin).config(&server.section("/list.txt", "")).start().await;
    for wrong in ["||b.beacon.example^\n", "! nothing at all\n", "<html>Sorry</html>\n"] {
        server.serves(wrong);
        proxy.running().refresh_lists().await;
        assert_eq!(gets(&proxy).await, (false, true), "{wrong}");
    }
    let config = proxy.directory().join("consentry.toml");
    let ledger = proxy.directory().join("ledger.db");
    let words = [
        "lists",
        "--json",
        "--config",
        config.to_str().unwrap(),
        "--ledger",
        ledger.to_str().unwrap(),
    ];
    let (code, said) = runs(&words);
    assert_eq!(code, 0, "{said}");
    let list = &serde_json::from_str::<serde_json::Value>(&said).unwrap()["lists"][0];
    assert_eq!((&list["name"], &list["rules"]), (&"house".into(), &4.into()), "{said}");
    assert_eq!(list["error"], "it is a web page, not a list");
    server.serves("||b.beacon.example^\n||x.example^\n");
    proxy.running().refresh_lists().await;
    assert_eq!(gets(&proxy).await, (true, false), "half is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_another_checksum_is_refused() {
    let text = "||a.beacon.example^\n";
    let right = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let server = ListServer::serving(text).await;
    let origin = origin().page("/", PAGE).start().await;
    for (checksum, passes) in [(right, false), ("0".repeat(64), true)] {
        let pinned = format!("sha256 = {checksum:?}");
        let proxy = consentry(&origin).config(&server.section("/list.txt", &pinned)).start().await;
        assert_eq!(gets(&proxy).await, (passes, true), "{checksum}");
        let builder = consentry(&origin);
        let file = builder.path("house.txt");
        std::fs::write(&file, text).unwrap();
        let section = format!("[[lists.source]]\nlocation = {file:?}\n{pinned}\n");
        match builder.config(&section).try_start().await {
            Ok(_) => assert!(!passes),
            Err(message) => {
                assert!(passes && message.contains("has another checksum"), "{message}");
                assert!(message.contains("consentry.toml:5:10"), "{message}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_follows_to_https_only() {
    let server = ListServer::serving("||a.beacon.example^\n").await;
    let origin = origin().page("/", PAGE).start().await;
    for (path, passes) in [
        ("/moved.txt", false),
        ("/insecure.txt", true),
        ("/circle.txt", true),
        ("/login.txt", true),
    ] {
        let proxy = consentry(&origin).config(&server.section(path, "")).start().await;
        assert_eq!(gets(&proxy).await, (passes, true), "{path}");
    }
    let stranger = format!("[lists]\nfiles = [{:?}]", server.url("/list.txt"));
    let proxy = consentry(&origin).config(&stranger).start().await;
    assert_eq!(gets(&proxy).await, (true, true), "nobody vouches for this server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_list_knows_on_the_own_host_never_reaches_the_origin() {
    let origin = origin()
        .page("/", "<p>Hello</p>")
        .page("/logjs.php", "<p>A page of that name</p>")
        .answer("/beat/11/pixel", |_| Response::new(Full::from("x")))
        .start()
        .await;
    let builder = consentry(&origin);
    let file = builder.path("house.txt");
    std::fs::write(&file, "/beat/11/*\n/logjs.php\n").unwrap();
    let proxy = builder.config(&format!("[lists]\nfiles = [{file:?}]")).start().await;
    for (destination, mode, path, reaches) in [
        ("image", "no-cors", "/beat/11/pixel", false),
        ("empty", "cors", "/beat/11/pixel?x=1", false),
        ("script", "no-cors", "/logjs.php", false),
        ("font", "cors", "/beat/11/pixel", false),
        ("iframe", "navigate", "/logjs.php", false),
        ("document", "navigate", "/logjs.php", true),
    ] {
        let before = origin.seen().len();
        visitor(&proxy)
            .sending("sec-fetch-dest", destination)
            .sending("sec-fetch-mode", mode)
            .opens(path)
            .await;
        assert_eq!(origin.seen().len() - before, usize::from(reaches), "{path} as {destination}");
    }
    let said = visitor(&proxy).opens("/logjs.php").await;
    assert_eq!(said.status, 200, "who does not say what it is for gets it");
    let mut visitor = visitor(&proxy).sending("sec-fetch-dest", "image");
    visitor.chooses("all", &[]).await;
    assert_eq!(visitor.opens("/beat/11/pixel").await.body, "x");
    let lines = proxy.lines().await;
    let line = lines.iter().find(|line| line.what.contains("/beat/11")).unwrap();
    assert!(line.rule.as_deref().unwrap().ends_with("house.txt:1"), "{line:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_what_a_list_removes_leaves_addresses_both_ways_until_granted() {
    let origin = origin()
        .page("/", "<p>Hello</p>")
        .answer("/go", |_| sent_on("/landing?listid=1&keep=a%20b#x"))
        .start()
        .await;
    let builder = consentry(&origin);
    let file = builder.path("house.txt");
    std::fs::write(&file, "! x\n$removeparam=listid\n@@/free$removeparam=listid\n").unwrap();
    let proxy = builder.config(&format!("[lists]\nfiles = [{file:?}]")).start().await;
    let mut visitor = visitor(&proxy);
    visitor.opens("/?listid=1&keep=a%20b&listidx=2").await;
    assert_eq!(origin.seen()[0].target, "/?keep=a%20b&listidx=2");
    visitor.opens("/free?listid=1").await;
    assert_eq!(origin.seen()[1].target, "/free?listid=1");
    let moved = visitor.opens("/go").await;
    assert_eq!(moved.field("location"), "/landing?keep=a%20b#x");
    let lines = proxy.lines().await;
    let line = lines.iter().find(|line| line.what == "listid").unwrap();
    assert!(line.rule.as_deref().unwrap().ends_with("house.txt:2"), "{line:?}");
    visitor.chooses("all", &[]).await;
    visitor.opens("/?listid=1").await;
    assert_eq!(origin.seen().last().unwrap().target, "/?listid=1");
    assert_eq!(visitor.opens("/go").await.field("location"), "/landing?listid=1&keep=a%20b#x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_a_list_comes_on_top_of_the_sites_own() {
    let origin = origin()
        .answer("/", |_| {
            Response::builder()
                .header("content-type", "text/html")
                .header("content-security-policy", "default-src *")
                .body(Full::from("<p>Hello</p>"))
                .unwrap()
        })
        .page("/other", "<p>Hello</p>")
        .start()
        .await;
    let builder = consentry(&origin);
    let file = builder.path("house.txt");
    std::fs::write(&file, "||127.0.0.1^$csp=worker-src 'none'\n@@/other$csp\n").unwrap();
    let proxy = builder.config(&format!("[lists]\nfiles = [{file:?}]")).start().await;
    let mut visitor = visitor(&proxy);
    let added =
        |page: &Page| page.all("content-security-policy").contains(&"worker-src 'none'".to_owned());
    let page = visitor.opens("/").await;
    assert!(added(&page), "{:?}", page.headers);
    assert!(page.field("content-security-policy").contains("default-src *"));
    assert!(!added(&visitor.opens("/other").await));
    let lines = proxy.lines().await;
    let line = lines.iter().find(|line| line.what.starts_with("content-security-policy")).unwrap();
    assert!(line.rule.as_deref().unwrap().ends_with("house.txt:1"), "{line:?}");
    visitor.chooses("all", &[]).await;
    assert!(!added(&visitor.opens("/").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_lists_say_where_and_what_to_do() {
    let origin = origin().start().await;
    for (sections, place, why, advice) in [
        (
            "[lists]\nfiles = ['http://lists.example/a.txt']",
            ":4:10",
            "over http",
            "write `https://`",
        ),
        ("[lists]\nfiles = ['ftp://lists.example/a.txt']", ":4:10", "no scheme", "https://"),
        ("[lists]\nfiles = ['https://u:p@lists.example/a']", ":4:10", "no user", ""),
        ("[lists]\nfiles = ['/nowhere/a.txt']", ":4:10", "cannot be read", ""),
        ("[lists]\npurpose = 'necessary'", ":4:11", "the purpose of lists is", ""),
        ("[[lists.source]]\nname = 'x'", ":3:1", "no location", "add its file"),
        (
            "[[lists.source]]\nlocation = 'https://a.example/x'\nsha256 = 'abc'",
            ":5:10",
            "not a SHA-256",
            "64 hexadecimal digits",
        ),
        (
            "[[lists.source]]\nlocation = 'https://a.example/x'\nrefresh_hours = 0",
            ":5:17",
            "out of range",
            "",
        ),
        (
            "[lists]\nfiles = ['https://a.example/x', 'https://b.example/x']",
            ":4:33",
            "a second list is called `x`",
            "give one of them a `name`",
        ),
        ("[[lists.source]]\nlocatoin = 'x'", ":4:1", "unknown field", "did you mean `location`?"),
    ] {
        let message = consentry(&origin).config(sections).try_start().await.err().unwrap();
        for part in [&format!("consentry.toml{place}: "), why, advice] {
            assert!(message.contains(part), "{sections}\n{message}\nwithout {part}");
        }
    }
}
