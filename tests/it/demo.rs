//! `consentry demo`, the program itself: a shop full of trackers, of which a
//! visitor gets only what they agreed to.

use crate::harness::{Page, Visitor, visitor_at};
use crate::reading::{elements, without_guard};

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

const PAGES: [&str; 6] =
    ["/", "/product/first-light-sencha", "/checkout", "/stores", "/thanks", "/nowhere"];

/// The running program.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
    shop: SocketAddr,
    ledger: PathBuf,
}

impl Demo {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_consentry"))
            .args(["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut demo = Self {
            child,
            lines,
            heard: Vec::new(),
            shop: "127.0.0.1:0".parse().unwrap(),
            ledger: PathBuf::new(),
        };
        demo.hears("Ctrl-C ends the demo");
        let after = |words: &str| {
            let line = demo.heard.iter().find_map(|line| line.trim().strip_prefix(words)).unwrap();
            line.trim().to_owned()
        };
        let shop = after("the shop, through consentry");
        demo.ledger = PathBuf::from(after("the block log").rsplit(' ').next().unwrap());
        demo.shop = shop.strip_prefix("http://").unwrap().trim_end_matches('/').parse().unwrap();
        demo
    }

    /// Waits for a line with those words, and gives it.
    fn hears(&mut self, words: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| {
                panic!("no line with `{words}` in:\n{}", self.heard.join("\n"))
            });
            self.heard.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Sends a signal and waits for the end.
    fn stop(&mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        self.heard.extend(self.lines.iter());
        status
    }

    fn person(&self) -> Visitor {
        visitor_at(self.shop)
            .sending("sec-fetch-dest", "document")
            .sending("accept", "text/html,*/*;q=0.8")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything at a vendor's that a browser would load from the page as it
/// stands, scripts apart that are not run here.
fn loads(html: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for element in elements(html, false) {
        for (name, value) in &element.attributes {
            let addresses: Vec<&str> = match (element.name.as_str(), name.as_str()) {
                ("link", "href") | (_, "src" | "data" | "poster" | "background") => vec![value],
                (_, "srcset" | "imagesrcset") => value
                    .split(',')
                    .filter_map(|candidate| candidate.split_whitespace().next())
                    .collect(),
                _ => continue,
            };
            found.extend(
                addresses
                    .into_iter()
                    .filter(|address| address.contains(".localhost"))
                    .map(str::to_owned),
            );
        }
    }
    found
}

/// Asks the vendors' stand-ins for all of it, as a browser would.
async fn load_all(page: &Page) -> usize {
    let addresses = loads(&page.body);
    let base = url::Url::parse("http://127.0.0.1/").unwrap();
    for address in &addresses {
        let url = base.join(address).unwrap();
        let stand_ins: SocketAddr = format!("127.0.0.1:{}", url.port().unwrap()).parse().unwrap();
        let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let answer =
            visitor_at(stand_ins).at_host(&host).opens(&url[url::Position::BeforePath..]).await;
        assert_eq!(answer.status, 200, "{address}");
    }
    addresses.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_reaches_a_vendor_while_the_visitor_does_not_agree() {
    let mut demo = Demo::start();
    let directory = demo.ledger.parent().unwrap().to_owned();
    assert!(demo.ledger.exists());
    let silent = demo.person();
    let mut refused = demo.person();
    refused.chooses("none", &[]).await;
    for mut person in [silent, refused, demo.person().sending("sec-gpc", "1")] {
        for path in PAGES {
            let page = person.opens(path).await;
            assert_eq!(page.status, if path == "/nowhere" { 404 } else { 200 });
            let body = without_guard(&page.body);
            // Not a byte of a vendor's address is left: not in what loads, not
            // in what would run, not in a field of the head.
            assert!(!body.contains(".localhost"), "{path}: {body}");
            assert!(
                !format!("{:?}", page.headers).contains(".localhost"),
                "{path}: {:?}",
                page.headers
            );
            for code in [
                "fbq(",
                "gtag(",
                "_hjSettings",
                "clarity",
                "ttq",
                "pintrk",
                "uetq",
                "lintrk",
                "Intercom",
            ] {
                // What writes the receipt is the shop's, too: it stays, and
                // what it calls is a stand-in.
                let is_shops = path == "/thanks" && ["fbq(", "gtag("].contains(&code);
                assert_eq!(body.contains(code), is_shops, "{path}: {code}");
            }
            assert!(!page.body.contains("Welcome back!"));
            assert_eq!(load_all(&page).await, 0);
        }
        assert!(
            !person.cookies.keys().any(|name| name.starts_with("_ga") || name == "_fbp"),
            "{:?}",
            person.cookies
        );
    }

    // Each decision came in a line that says who, what for, what and why.
    demo.hears("/nowhere   visitor: d (gpc)");
    for (purpose, vendor, what) in [
        ("marketing", "Meta Pixel", "fbq('init'"),
        ("analytics", "Google Analytics", "www.googletagmanager.com/gtag/js"),
        ("analytics", "Hotjar", "_hjSessionUser_1"),
        ("functional", "YouTube", "www.youtube.com/embed/kettleleaf1"),
        ("personalization", "Visitor segments", "x-segment"),
    ] {
        let line =
            demo.heard.iter().find(|line| line.contains(vendor) && line.contains(what)).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[..2], ["block", purpose], "{line}");
        assert!(line.ends_with("not granted"), "{line}");
    }
    let cart = demo.heard.iter().find(|line| line.contains("  cart  ")).unwrap();
    assert!(cart.trim().starts_with("allow  necessary") && cart.ends_with("  necessary"), "{cart}");

    // The lines that the README shows were really said.
    let said: BTreeSet<Vec<&str>> =
        demo.heard.iter().map(|line| line.split_whitespace().collect()).collect();
    let readme = include_str!("../../README.md").lines();
    let shown: Vec<_> = readme
        .filter(|line| line.starts_with("    block ") || line.starts_with("    allow "))
        .collect();
    assert_eq!(shown.len(), 4);
    for line in shown {
        assert!(said.contains(&line.split_whitespace().collect::<Vec<_>>()), "README.md: {line}");
    }

    assert_eq!(demo.stop("INT").code(), Some(0));
    assert_eq!(demo.heard.last().unwrap(), "The demo has ended; 0 requests reached vendors.");
    assert!(!directory.exists(), "it leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_visitor_agreed_to_comes_and_the_shop_personalizes() {
    let mut demo = Demo::start();
    let directory = demo.ledger.parent().unwrap().to_owned();
    let mut person = demo.person();
    let page = person.opens("/").await;
    assert!(page.body.contains("Our most popular teas") && !page.body.contains("Welcome back!"));

    person.chooses("some", &["analytics"]).await;
    let page = person.opens("/").await;
    let asked = loads(&page.body);
    assert!(asked.iter().any(|address| address.contains("/gtag/js")), "{asked:?}");
    // The guard is told which names to stand in for; everything else is gone.
    let rest = without_guard(&page.body);
    assert!(rest != page.body && !rest.contains("facebook") && !rest.contains("criteo"));
    assert!(!page.body.contains("Welcome back!"), "that is another purpose");
    let mut hits = load_all(&page).await;
    assert!(person.cookies.contains_key("_ga") && !person.cookies.contains_key("_fbp"));

    person.chooses("all", &[]).await;
    for path in PAGES {
        let page = person.opens(path).await;
        let reached = load_all(&page).await;
        assert!(reached > 8, "{path}: {reached}");
        hits += reached;
        assert_eq!(page.body.contains("Welcome back!"), path == "/", "{path}");
    }
    assert!(person.cookies.contains_key("_fbp"));
    demo.hears(&format!("{hits} in all"));

    // Taken back: the very next page is the plain one again.
    person.chooses("none", &[]).await;
    let page = person.opens("/").await;
    assert!(loads(&page.body).is_empty() && !page.body.contains("Welcome back!"));
    assert!(!person.cookies.contains_key("_fbp") && person.cookies.contains_key("sid"));

    assert_eq!(demo.stop("TERM").code(), Some(0));
    assert_eq!(
        demo.heard.last().unwrap(),
        &format!("The demo has ended; {hits} requests reached vendors.")
    );
    assert!(!directory.exists());

    // The number of vendors it boasts of is the number it withheld.
    let told =
        demo.heard[0].split_whitespace().find_map(|word| word.parse::<usize>().ok()).unwrap();
    let first =
        demo.heard.iter().skip_while(|line| !line.starts_with("/   visitor: d (silence)")).skip(1);
    let vendors: BTreeSet<_> = first
        .take_while(|line| line.starts_with("  "))
        .map(|line| {
            line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect::<Vec<_>>()
        })
        .filter(|cells| !matches!(cells[3], "cookie" | "request-header" | "response-header"))
        .map(|cells| cells[2].to_owned())
        .collect();
    assert_eq!(told, vendors.len(), "{vendors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_stands_still_does_not_stop_the_shop() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_consentry"))
        .args(["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("through consentry") {
        line.clear();
        out.read_line(&mut line).unwrap();
    }
    let shop = line.trim().rsplit("http://").next().unwrap().trim_end_matches('/').parse().unwrap();
    // Some four kilobytes are said of each page, and a pipe holds 64.
    for _ in 0..40 {
        assert_eq!(visitor_at(shop).opens("/").await.status, 200);
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    out.lines().for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_taken_port_is_no_reason_not_to_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_consentry"))
        .args(["demo", "--listen", &address, "--admin", &address])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = out
        .find_map(|line| Some(line.unwrap()).filter(|line| line.contains("through consentry")))
        .unwrap();
    assert!(!line.contains(&address), "{line}");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    // Read on, or it could not say goodbye.
    out.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
