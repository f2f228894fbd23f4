//! A real nginx and a real Varnish in front, as `config/caches` sets them up
//! and `docs/caches.md` shows them: what one visitor was made is never
//! another's.

mod fronts;

use crate::harness::{Origin, Page, Visitor, consentry, origin, visitor_at};

use fronts::Front;
use http::Response;
use http_body_util::Full;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What the origin, like many, says of its pages, too.
const KEPT: &str = "public, max-age=600, s-maxage=600";
/// One third party for each purpose that the visitors decide about.
const TAGS: [(&str, &str); 3] = [
    ("marketing", "ads.acme.example"),
    ("analytics", "stats.acme.example"),
    ("functional", "maps.acme.example"),
];
/// Who comes, and in which language they read.
const VISITORS: [(&str, &str); 4] = [("ana", "en"), ("ben", "de"), ("cleo", "fr"), ("dina", "es")];
const REQUESTS: usize = 200;

/// What a visitor has said, and what may be loaded for them then.
const STATES: [(&str, &[&str]); 6] = [
    ("undecided", &[]),
    ("refused", &[]),
    ("all", &["marketing", "analytics", "functional"]),
    ("analytics only", &["analytics"]),
    ("gpc", &[]),
    ("withdrawn", &[]),
];

/// What is asked for in turn. All of it is for everybody, as far as the origin
/// is concerned, and only the last two really are.
const PATHS: [&str; 8] = [
    "/",
    "/page.css",
    "/vendor.js",
    "/labelled.png",
    "/acme/collect",
    "/told.json",
    "/style.css",
    "/style.css?v=2",
];

async fn shop() -> Origin {
    let kept = |kind: &str, body: String| {
        Response::builder()
            .header("content-type", kind)
            .header("cache-control", KEPT)
            .header("etag", "\"v1\"")
            .header("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT")
            .body(Full::from(body))
            .unwrap()
    };
    let page = move |seen: crate::harness::Seen| {
        let name = cookie(&seen, "name").unwrap_or_default();
        let tags = TAGS.map(|(_, host)| format!("<script src=https://{host}/t.js></script>"));
        kept("text/html", format!("<body><p>Hello {name}</p>{}</body>", tags.concat()))
    };
    let told = move |seen: crate::harness::Seen| {
        let said = seen.headers["consentry-consent"].to_str().unwrap().to_owned();
        let mut response = kept("application/json", format!("{{\"told\": \"{said}\"}}"));
        response.headers_mut().insert("vary", "Consentry-Consent".parse().unwrap());
        response
    };
    let script = "var acme={};acme.version='7.2';acme._release='x';";
    origin()
        .answer("/", page)
        .answer("/page.css", page)
        .answer("/vendor.js", move |_| kept("text/javascript", script.to_owned()))
        .answer("/labelled.png", move |_| {
            let mut response = kept("image/png", "a picture".to_owned());
            response.headers_mut().insert("x-acme-segment", "vip".parse().unwrap());
            response
        })
        .answer("/acme/collect", move |_| kept("text/javascript", "collect()".to_owned()))
        .answer("/told.json", told)
        .answer("/style.css", move |_| kept("text/css", "body{color:red}".to_owned()))
        .start()
        .await
}

fn cookie(seen: &crate::harness::Seen, name: &str) -> Option<String> {
    let fields = seen.headers.get_all("cookie").iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split("; ")).filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
}

/// A visitor in a state, who decides through the cache like everybody.
async fn somebody(front: SocketAddr, name: &str, language: &str, state: &str) -> Visitor {
    let mut visitor = visitor_at(front)
        .at_host("shop.example")
        .holding("name", name)
        .sending("accept-language", language);
    let choices: &[(&str, &[&str])] = match state {
        "refused" => &[("none", &[])],
        "all" => &[("all", &[])],
        "analytics only" => &[("some", &["analytics"])],
        "withdrawn" => &[("all", &[]), ("none", &[])],
        _ => &[],
    };
    if state == "gpc" {
        visitor = visitor.sending("sec-gpc", "1");
    }
    for (choice, purposes) in choices {
        // A page that was made for the last state and might be kept.
        visitor.opens("/").await;
        assert_eq!(visitor.chooses(choice, purposes).await.status, 303, "{state}");
    }
    visitor
}

/// What is wrong about an answer to somebody.
fn leaks(path: &str, page: &Page, name: &str, language: &str, granted: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut held = |what: &str, is: bool, should: bool| {
        if is != should {
            found.push(format!("{path}: {what} is {is}: {} {:?}", page.status, page.body));
        }
    };
    let marketing = granted.contains(&"marketing");
    match path {
        "/" | "/page.css" => {
            for (purpose, host) in TAGS {
                held(
                    host,
                    page.body.contains(&format!("src=https://{host}")),
                    granted.contains(&purpose),
                );
            }
            held("the name", page.body.contains(&format!("Hello {name}<")), true);
        }
        "/vendor.js" => held("the script", page.body.contains("acme._release"), marketing),
        "/labelled.png" => {
            held("the label", page.headers.contains_key("x-acme-segment"), marketing)
        }
        "/acme/collect" => held("the script", page.body.contains("collect"), marketing),
        "/told.json" => {
            for (purpose, _) in TAGS {
                held(
                    purpose,
                    page.body.contains(&format!("{purpose}=1")),
                    granted.contains(&purpose),
                );
            }
        }
        _ => held("the style", page.body == "body{color:red}", true),
    }
    if path == "/" {
        // The notice and its link are in the visitor's language.
        let ours = page.field("etag");
        held(&format!("{language} in {ours}"), ours.contains(&format!(".{language}-")), true);
    }
    found
}

/// Everybody in every state, at once, each over and over.
async fn nobody_gets_what_is_anothers(start: impl FnOnce(SocketAddr) -> Option<Front>) {
    let origin = shop().await;
    // All of them come from this machine.
    let proxy = consentry(&origin).config("[limits]\nrequests_per_second = 0").start().await;
    let Some(front) = start(proxy.address) else { return };
    front.is_up().await;
    let mut all = Vec::new();
    for (name, language) in VISITORS {
        for (state, granted) in STATES {
            let mut visitor = somebody(front.address, name, language, state).await;
            all.push(tokio::spawn(async move {
                let (mut found, mut hits) = (Vec::new(), BTreeMap::<&str, usize>::new());
                let offset = name.len() + state.len();
                for turn in 0..REQUESTS {
                    let path = PATHS[(turn + offset) % PATHS.len()];
                    let page = visitor.opens(path).await;
                    let about = leaks(path, &page, name, language, granted);
                    found.extend(about.into_iter().map(|leak| format!("{name} {state} {leak}")));
                    *hits.entry(path).or_default() += usize::from(page.field("x-cache") == "HIT");
                }
                (found, hits)
            }));
        }
    }
    let (mut found, mut hits) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for one in all {
        let (more, kept) = one.await.unwrap();
        found.extend(more);
        kept.into_iter().for_each(|(path, times)| *hits.entry(path).or_default() += times);
    }
    let each = VISITORS.len() * STATES.len() * REQUESTS / PATHS.len();
    println!(
        "{}: {} of {} leaked; of {each} each from the cache: {hits:?}",
        front.name,
        found.len(),
        each * PATHS.len()
    );
    assert!(found.is_empty(), "{} leaks, such as {:#?}", found.len(), &found[..found.len().min(3)]);
    for (path, times) in &hits {
        match path.starts_with("/style.css") {
            true => assert!(*times > each * 9 / 10, "{path} is not cached: {hits:?}"),
            false => assert_eq!(*times, 0, "{path} is cached: {hits:?}"),
        }
    }
    let asked = origin.seen().iter().filter(|seen| seen.target.starts_with("/style.css")).count();
    assert!(asked <= each / 10, "the origin was asked {asked} times for what is cached");
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_nginx_in_front_gives_nobody_what_is_anothers() {
    nobody_gets_what_is_anothers(Front::nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_varnish_in_front_gives_nobody_what_is_anothers() {
    nobody_gets_what_is_anothers(Front::varnish).await;
}

#[test]
fn i2_the_guide_shows_what_was_tested() {
    let guide = include_str!("../../docs/caches.md");
    for (name, text) in [("nginx.conf", fronts::NGINX), ("default.vcl", fronts::VARNISH)] {
        assert!(
            guide.contains(&format!("\n{text}```\n")),
            "docs/caches.md does not show config/caches/{name} as it is"
        );
    }
}
