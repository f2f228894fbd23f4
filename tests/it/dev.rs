//! `consentry dev`, the program itself: who builds a site sees every decision
//! and switches what was chosen; and none of it is there in production.

use crate::harness::{CATALOGUE, Origin, Page, Visitor, consentry, origin, visitor, visitor_at};
use crate::program::{Setup, consentry_command, runs};
use crate::wire::Wire;

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const HELD: &str = "https://ads.acme.example/p.js";

/// The running program.
pub(crate) struct Dev {
    child: Child,
    lines: Receiver<String>,
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    /// Where it makes its directory.
    place: TempDir,
}

impl Dev {
    /// Starts it in front of an origin, with the tests' vendors.
    pub(crate) fn start(origin: &str, words: &[&str]) -> Self {
        let place = TempDir::new().unwrap();
        let vendors = place.path().join("vendors.toml");
        std::fs::write(&vendors, CATALOGUE).unwrap();
        let usual = ["dev", origin, "--listen", "127.0.0.1:0", "--json", "--catalogue"];
        let mut command = consentry_command(&usual);
        command.arg(&vendors).args(words);
        command.env("TMPDIR", place.path()).env("XDG_DATA_HOME", place.path());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut dev = Self {
            child,
            lines,
            url: String::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            place,
        };
        dev.url = dev.next_line()["listening"].as_str().unwrap().to_owned();
        let port = dev.url.rsplit(':').next().unwrap().parse().unwrap();
        dev.address.set_port(port);
        dev
    }

    fn next_line(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap()
    }

    /// Waits for the line about a page.
    fn tells_of(&self, page: &str) -> Value {
        loop {
            let line = self.next_line();
            if line["page"] == page {
                return line;
            }
        }
    }

    /// Somebody in front of a browser.
    pub(crate) fn person(&self) -> Visitor {
        visitor_at(self.address)
            .sending("sec-fetch-dest", "document")
            .sending("accept", "text/html,*/*;q=0.8")
    }

    /// What was decided about a page.
    async fn decisions(&self, page: &str) -> Value {
        let path = format!("/.consentry/decisions?page={page}");
        json(&visitor_at(self.address).opens(&path).await)
    }

    fn stops(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn json(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|error| panic!("{error}: {}", page.body))
}

async fn shop() -> Origin {
    let page = format!(
        "<!doctype html><html><head><title>Shop</title></head><body><h1>Shop</h1>\
         <script src=\"{HELD}\"></script><script src=\"https://stats.acme.example/s.js\"></script>\
         </body></html>"
    );
    origin().page("/", &page).page("/plain", "<!doctype html><p>Nothing to hold").start().await
}

fn names(dev: &Value, verdict: &str) -> Vec<String> {
    let all = dev["decisions"].as_array().unwrap().iter();
    all.filter(|one| one["verdict"] == verdict && one["layer"] == "html")
        .map(|one| one["what"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn h3_every_state_is_one_address_away() {
    let shop = shop().await;
    let dev = Dev::start(&shop.url(), &[]);
    let mut person = dev.person();
    let (ads, stats) = ("ads.acme.example/p.js", "stats.acme.example/s.js");
    for (state, class, undecided, signal, held) in [
        ("all", "fapm", false, "choice", &[][..]),
        ("refuse", "d", false, "choice", &[ads, stats]),
        ("functional,analytics", "fa", false, "choice", &[ads]),
        ("undecided", "d", true, "silence", &[ads, stats]),
        ("gpc", "d", true, "gpc", &[ads, stats]),
        ("all", "fapm", false, "choice", &[]),
        ("deny", "d", false, "choice", &[ads, stats]),
    ] {
        let answer = person.opens(&format!("/?__consent={state}&q=1")).await;
        assert_eq!(answer.status, 303, "{state}: {}", answer.body);
        assert_eq!(answer.field("location"), "/?q=1", "{state}");
        for cookie in answer.all("set-cookie") {
            assert!(!cookie.to_ascii_lowercase().contains("domain="), "{cookie}");
            assert!(!cookie.contains("Secure"), "{cookie}");
        }
        let page = person.opens("/?q=1").await;
        assert_eq!(page.status, 200, "{state}");
        let told = dev.decisions("/%3Fq=1").await;
        assert_eq!(told["class"], class, "{state}: {told}");
        assert_eq!(told["signal"], signal, "{state}: {told}");
        if state != "gpc" {
            assert_eq!(told["undecided"], undecided, "{state}: {told}");
        }
        assert_eq!(names(&told, "block"), held, "{state}");
        assert_eq!(page.body.contains(HELD), !held.contains(&ads), "{state}: {}", page.body);
        assert_eq!(page.field("x-consentry-class"), class);
    }
    // The parameter never reaches the site, and neither does our own mark.
    person.opens("/?__consent=gpc").await;
    person.opens("/plain").await;
    for seen in shop.seen() {
        assert!(!seen.target.contains("__consent"), "{}", seen.target);
        assert!(!format!("{:?}", seen.headers.get("cookie")).contains("consentry"), "{seen:?}");
    }
    let last = shop.seen().pop().unwrap();
    assert_eq!(last.headers["sec-gpc"], "1", "the site sees what it would see of such a browser");
}

#[tokio::test]
async fn h3_what_is_no_state_is_told_what_is() {
    let shop = shop().await;
    let dev = Dev::start(&shop.url(), &[]);
    let answer = dev.person().opens("/?__consent=perhaps").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("`perhaps` is no state"), "{}", answer.body);
    assert!(answer.body.contains("undecided, refuse, all, gpc"), "{}", answer.body);
    // A browser that looks ahead while somebody types switches nothing.
    for state in ["all", "undecided", "gpc"] {
        let ahead = [("sec-purpose", "prefetch;prerender")];
        let page = format!("/?__consent={state}");
        let answer = dev.person().asks("GET", &page, &ahead, "").await;
        assert_eq!(answer.status, 503, "{state}");
        assert!(answer.all("set-cookie").is_empty(), "{state}");
    }
    assert!(shop.seen().is_empty());
    // Only an address switches: whoever sends something keeps what they sent.
    let posted = dev.person().asks("POST", "/plain?__consent=all", &[], "").await;
    assert_eq!(posted.status, 200);
    assert!(posted.all("set-cookie").is_empty());
    assert_eq!(shop.seen().last().unwrap().target, "/plain?__consent=all");
}

#[tokio::test]
async fn h7_a_test_asks_what_was_decided() {
    let shop = shop().await;
    let dev = Dev::start(&shop.url(), &[]);
    let page = dev.person().opens("/").await;
    let number = page.field("x-consentry-exchange");
    let asked = format!("/.consentry/decisions?exchange={number}");
    let one = json(&visitor_at(dev.address).opens(&asked).await);
    assert_eq!(one, dev.decisions("/").await);
    assert_eq!((&one["status"], &one["complete"]), (&200.into(), &true.into()));
    assert_eq!(one["held"], 2, "{one}");
    let ads = &one["decisions"].as_array().unwrap().iter().find(|it| it["vendor"] == "acme-ads");
    let ads = ads.unwrap();
    for (key, expected) in [
        ("verdict", "block"),
        ("reason", "not granted"),
        ("what", "ads.acme.example/p.js"),
        ("kind", "script"),
        ("name", "Acme Ads"),
        ("purpose", "marketing"),
        ("change", "passes where the visitor granted it: ?__consent=marketing"),
    ] {
        assert_eq!(ads[key], expected, "{ads}");
    }
    assert!(ads["rule"]["file"].as_str().unwrap().ends_with("vendors.toml"), "{ads}");
    assert!(ads["rule"]["line"].as_u64().unwrap() > 1, "{ads}");
    // All of them, the newest first; our own pages are none.
    dev.person().opens("/plain").await;
    let all = json(&visitor_at(dev.address).opens("/.consentry/decisions").await);
    let pages: Vec<_> = all["exchanges"].as_array().unwrap().iter().map(|it| &it["page"]).collect();
    assert_eq!(pages, ["/plain", "/"]);
    let nobody = visitor_at(dev.address).opens("/.consentry/decisions?page=/nowhere").await;
    assert_eq!(nobody.status, 404);
    assert!(json(&nobody)["error"].as_str().unwrap().contains("no answer for /nowhere"));
    let line = dev.tells_of("/");
    assert_eq!((&line["held"], &line["method"]), (&2.into(), &"GET".into()));
}

#[tokio::test]
async fn h4_an_answer_says_what_was_made_of_it() {
    let shop = shop().await;
    let dev = Dev::start(&shop.url(), &[]);
    let page = dev.person().opens("/").await;
    assert_eq!(page.field("x-consentry-held"), "2");
    assert_eq!(page.field("x-consentry-mode"), "enforce");
    let timing = page.field("server-timing");
    assert!(timing.starts_with("consentry;dur="), "{timing}");
    assert!(timing.ends_with(";desc=\"class d; 2 held\""), "{timing}");
    let panel = |page: &Page| {
        let tag = page.body.split("<script defer src=\"").find(|part| part.contains("/dev/panel-"));
        tag.map(|tag| {
            format!(
                "/.consentry{}",
                tag.split(['"']).next().unwrap().split("/.consentry").nth(1).unwrap()
            )
        })
    };
    // The panel is there in every state, and where nothing is held, too.
    let path = panel(&page).expect("a panel on the page");
    let script = dev.person().opens(&path).await;
    assert_eq!(script.field("content-type"), "text/javascript; charset=utf-8");
    assert!(script.body.contains("consentry-panel"));
    let mut person = dev.person();
    for state in ["all", "refuse"] {
        person.opens(&format!("/?__consent={state}")).await;
        for page in ["/", "/plain"] {
            assert!(panel(&person.opens(page).await).is_some(), "{state} {page}");
        }
    }
    // What a script fetches is left alone, and what is asked for as data is.
    let fetched = visitor_at(dev.address).sending("sec-fetch-dest", "empty").opens("/plain").await;
    assert_eq!(fetched.body, "<!doctype html><p>Nothing to hold");
    // The pages behind it are there.
    let list = dev.person().opens("/.consentry/dev/").await;
    assert!(list.body.contains("GET /plain"), "{}", list.body);
    let number = page.field("x-consentry-exchange");
    let one = dev.person().opens(&format!("/.consentry/dev/?exchange={number}")).await;
    assert!(one.body.contains("ads.acme.example/p.js") && one.body.contains("vendors.toml:"));
}

#[tokio::test]
async fn h4_the_panel_has_the_nonce_that_a_page_asks_of_scripts() {
    let origin = origin().answer("/", |_| {
        http::Response::builder()
            .header("content-type", "text/html")
            .header("content-security-policy", "script-src 'nonce-abc' 'strict-dynamic'")
            .body("<!doctype html><body><p>Strict".into())
            .unwrap()
    });
    let origin = origin.start().await;
    let dev = Dev::start(&origin.url(), &[]);
    let page = dev.person().opens("/").await;
    let tag = page.body.split("<script ").find(|tag| tag.contains("/dev/panel-")).unwrap();
    assert!(tag.starts_with("nonce=\"abc\" defer src="), "{tag}");
}

#[tokio::test]
async fn h3_an_origin_that_is_not_up_yet_is_waited_for() {
    let place = origin().start_apart().await.address;
    let dev = Dev::start(&format!("http://{place}"), &[]);
    let page = dev.person().opens("/").await;
    assert_eq!((page.status.as_u16(), page.field("x-consentry-origin").as_str()), (502, "down"));
    assert!(page.body.contains("Nobody answers at"), "{}", page.body);
    assert!(page.body.contains(&format!("http://{place}")), "{}", page.body);
    assert!(page.body.contains("location.reload()"));
    // Who asks for something else is told in words, and no page.
    let text = visitor_at(dev.address).opens("/api").await;
    assert!(!text.body.contains("<html"), "{}", text.body);
    // What that page asks again and again is not listed.
    let asked = dev.person().asks("HEAD", "/", &[("x-consentry-waiting", "1")], "").await;
    assert_eq!(asked.field("x-consentry-origin"), "down");
    let all = json(&visitor_at(dev.address).opens("/.consentry/decisions").await);
    let methods: Vec<_> =
        all["exchanges"].as_array().unwrap().iter().map(|it| &it["method"]).collect();
    assert_eq!(methods, ["GET", "GET"]);
    let _there = origin().page("/", "<p>There").start_at(place).await;
    let since = Instant::now();
    loop {
        let page = dev.person().opens("/").await;
        if page.status == 200 {
            assert!(page.body.contains("There"));
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{}", page.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn h3_what_a_hot_reload_needs_goes_through_untouched() {
    let origin = crate::harness::raw_origin(|mut socket, head| async move {
        if head.starts_with("GET /hmr ") {
            let switched = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-protocol: vite-hmr\r\n\r\nhello";
            socket.write_all(switched).await.unwrap();
            let mut heard = [0; 4];
            socket.read_exact(&mut heard).await.unwrap();
            socket.write_all(&heard).await.unwrap();
        } else {
            let begun = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: one\n\n";
            socket.write_all(begun).await.unwrap();
            // It says no more, and stays.
            let _ = socket.read(&mut [0; 1]).await;
        }
    })
    .await;
    let dev = Dev::start(&origin.url(), &[]);
    let mut wire = Wire::to(dev.address).await;
    let fields = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                  sec-websocket-key: eA==\r\nsec-websocket-protocol: vite-hmr\r\n";
    let got = wire.asks("GET", "/hmr", fields).await;
    assert_eq!(got.status, 101);
    assert_eq!(got.field("sec-websocket-protocol").as_deref(), Some("vite-hmr"));
    wire.hears("hello").await;
    wire.says("ping").await;
    wire.hears("ping").await;
    let mut stream = Wire::to(dev.address).await;
    stream
        .says("GET /events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")
        .await;
    stream.hears("data: one").await;
}

#[tokio::test]
async fn h3_only_this_machine_is_served_and_nothing_is_left() {
    for listen in ["0.0.0.0:8080", "[::]:0", "192.0.2.1:80"] {
        let (code, said) = runs(&["dev", "3000", "--listen", listen]);
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains("listens on loopback only") && said.contains("consentry serve"),
            "{said}"
        );
    }
    let (code, said) = runs(&["dev"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("consentry dev http://localhost:3000"), "{said}");
    let shop = shop().await;
    let mut dev = Dev::start(&shop.url(), &[]);
    dev.person().opens("/?__consent=all").await;
    let there = |dev: &Dev| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dev.place.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
    };
    assert_eq!(there(&dev).len(), 1, "the ledger is somewhere");
    assert!(dev.stops().success());
    assert_eq!(there(&dev), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn h3_a_configuration_is_tried_under_any_host() {
    let shop = shop().await;
    let setup = Setup::new(shop.address, "[listener]\naddress = \"0.0.0.0:443\"");
    let text = std::fs::read_to_string(setup.file("consentry.toml")).unwrap();
    let text = format!("{text}hosts = [\"shop.example\"]\nunlisted = \"block\"\n");
    std::fs::write(setup.file("consentry.toml"), text).unwrap();
    let place = TempDir::new().unwrap();
    let config = setup.file("consentry.toml");
    let words = ["dev", "--json", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()];
    let mut child = consentry_command(&words)
        .env("TMPDIR", place.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url: Value = serde_json::from_str(&line).unwrap();
    let port: u16 = url["listening"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    let mut seen = Vec::new();
    for host in ["shop.example", "localhost", "my.machine.test"] {
        let mut visitor = visitor_at(([127, 0, 0, 1], port).into()).at_host(host);
        seen.push((host, visitor.opens("/").await.status.as_u16()));
    }
    // A name that a stranger may have led here reads nothing of what was decided.
    let mut read = Vec::new();
    for host in ["shop.example", "localhost", "my.machine.test", "rebound.example"] {
        let mut visitor = visitor_at(([127, 0, 0, 1], port).into()).at_host(host);
        let page = visitor.opens("/").await;
        let answers = visitor.opens("/.consentry/decisions").await.status.as_u16();
        read.push((page.status.as_u16(), answers));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(read, [(200, 200), (200, 200), (200, 200), (200, 404)]);
    assert_eq!(seen, [("shop.example", 200), ("localhost", 200), ("my.machine.test", 200)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn h3_https_is_trusted_through_an_authority_of_this_machine() {
    let shop = shop().await;
    let dev =
        Dev::start(&shop.url(), &["--tls", "--host", "shop.test", "--host", "shop.localhost"]);
    assert!(dev.url.starts_with("https://localhost:"), "{}", dev.url);
    let authority = dev.place.path().join("consentry/dev-ca.pem");
    for host in ["localhost", "shop.localhost", "shop.test", "127.0.0.1"] {
        let at = format!("{host}:{}:127.0.0.1", dev.address.port());
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "30", "--cacert"])
            .arg(&authority)
            .args(["--resolve", &at, "-o", "/dev/null", "-w", "%{http_code}"])
            .arg(format!("https://{host}:{}/", dev.address.port()));
        let curl = tokio::task::spawn_blocking(move || curl.output()).await.unwrap();
        let Ok(curl) = curl else { return println!("skipped: curl is not here") };
        let said = String::from_utf8([curl.stdout, curl.stderr].concat()).unwrap();
        assert_eq!(said, "200", "{host}");
    }
    let mut trust = consentry_command(&["dev", "trust", "--print"]);
    let printed = trust.env("XDG_DATA_HOME", dev.place.path()).output().unwrap();
    assert_eq!(printed.stdout, std::fs::read(&authority).unwrap());
    let mut trust = consentry_command(&["dev", "trust"]);
    let said = trust.env("XDG_DATA_HOME", dev.place.path()).output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    for system in ["Debian", "Fedora", "macOS", "Windows", "Chromium", "Firefox"] {
        assert!(said.contains(system), "{said}");
    }
    assert!(said.contains(authority.to_str().unwrap()), "{said}");
}

#[tokio::test]
async fn h3_none_of_it_is_there_in_production() {
    let shop = shop().await;
    let proxy = consentry(&shop).start().await;
    let person = || {
        visitor(&proxy)
            .sending("sec-fetch-dest", "document")
            .sending("accept", "text/html,*/*;q=0.8")
            .holding("consentry-dev", "gpc")
    };
    for path in ["decisions", "decisions?page=/", "dev", "dev/", "dev/panel.js", "dev/events"] {
        let page = person().opens(&format!("/.consentry/{path}")).await;
        assert_eq!(page.status, 404, "{path}");
    }
    let mut somebody = person();
    for state in ["all", "refuse", "undecided", "gpc", "marketing", "nonsense"] {
        let page = somebody.opens(&format!("/?__consent={state}")).await;
        assert_eq!(page.status, 200, "{state}");
        assert!(page.all("set-cookie").iter().all(|it| !it.contains("consentry")), "{state}");
        assert!(!page.body.contains(HELD), "{state}");
        assert!(!page.body.contains("/dev/panel-"), "{state}");
        let ours = |name: &&http::HeaderName| {
            name.as_str().starts_with("x-consentry") || *name == "server-timing"
        };
        assert_eq!(page.headers.keys().find(ours), None, "{state}");
        let seen = shop.seen().pop().unwrap();
        assert_eq!(seen.target, format!("/?__consent={state}"), "the site's own business");
        assert!(!seen.headers.contains_key("sec-gpc"), "{state}");
    }
    assert_eq!(proxy.lines().await.iter().filter(|line| line.verdict == "allow").count(), 0);
}

#[test]
fn h3_no_flag_variable_or_key_of_production_leads_there() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("consentry.toml");
    for (section, key) in
        [("dev", "enabled"), ("debug", "panel"), ("danger", "dev"), ("site", "dev")]
    {
        let header = if section == "site" { "[[site]]".to_owned() } else { format!("[{section}]") };
        std::fs::write(&file, format!("{header}\n{key} = true\n")).unwrap();
        let (code, said) = runs(&["check", "--config", file.to_str().unwrap()]);
        assert_eq!(code, 78, "{section}.{key}: {said}");
    }
    for flag in ["--dev", "--panel", "--json", "--open", "--debug"] {
        let (code, said) = runs(&["serve", "--origin", "http://127.0.0.1:9", flag]);
        assert_eq!(code, 2, "{flag}: {said}");
    }
    for variable in ["CONSENTRY_DEV", "CONSENTRY_DEV__ENABLED", "CONSENTRY_DEBUG__PANEL"] {
        let mut command = consentry_command(&["serve", "--origin", "http://127.0.0.1:9"]);
        let output = command.env(variable, "true").current_dir(directory.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{variable}");
    }
}
