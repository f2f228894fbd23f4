//! What `consentry explain` and `consentry log` tell, asked of the program
//! itself, and that the ledger is complete and says nothing about the visitor.

use crate::harness::{Proxy, consentry, origin, visitor};

use http::Response;
use http_body_util::Full;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The program, in a directory of its own and without our environment.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consentry"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn explained(arguments: &[&str]) -> String {
    let output = program(&[&["explain"], arguments].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    text(&output).to_owned()
}

/// Checks that an explanation has those lines, and that the rule it names
/// really stands at that place of our catalogue.
fn check_explained(said: &str, subject: &str, verdict: &str, vendor: &str, purpose: &str) {
    let part = said
        .split("\n\n")
        .find(|part| part.contains(subject))
        .unwrap_or_else(|| panic!("nothing about {subject}:\n{said}"));
    let line = |key: &str| {
        let lines = part.lines().filter_map(|line| line.strip_prefix(key));
        lines.map(str::trim).next().unwrap_or_else(|| panic!("no {key}:\n{part}"))
    };
    assert_eq!(line("verdict "), verdict, "{part}");
    assert!(line("vendor ").starts_with(vendor), "{part}");
    assert_eq!(line("purpose "), purpose, "{part}");
    assert!(line("what for ").len() > 20, "{part}");
    assert!(line("change ").contains("catalogue"), "how to change it:\n{part}");
    let rule = line("rule ");
    let place = rule.rsplit(" at ").next().unwrap();
    let (file, number) = place.rsplit_once(':').unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file);
    let catalogue =
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{place}: {error}"));
    let there = catalogue.lines().nth(number.parse::<usize>().unwrap() - 1).unwrap();
    let written = rule.strip_suffix(place).unwrap().trim_end_matches(" at ");
    assert!(
        there.to_lowercase().contains(&written.to_lowercase()),
        "{rule}, but there stands {there}"
    );
}

#[test]
fn h2_everything_a_page_can_hold_is_explained() {
    for (subject, about, vendor, purpose) in [
        (
            "https://connect.facebook.net/en_US/fbevents.js",
            "the address",
            "Meta Pixel (Meta",
            "marketing",
        ),
        (
            "//www.googletagmanager.com/gtag/js?id=G-1",
            "the address",
            "Google Analytics",
            "analytics",
        ),
        ("static.hotjar.com/c/hotjar-1.js", "the address", "Hotjar", "analytics"),
        ("_ga", "the cookie _ga", "Google Analytics", "analytics"),
        ("_ga_ABC123", "the cookie _ga_ABC123", "Google Analytics", "analytics"),
        (
            "X-Client-Data",
            "the request header X-Client-Data",
            "Advertising interfaces",
            "marketing",
        ),
        ("Accept-CH", "the response header Accept-CH", "High-entropy", "personalization"),
        ("gclid", "the URL parameter gclid", "Google Ads", "marketing"),
        ("https://shop.example/?fbclid=1", "the URL parameter fbclid", "Meta Pixel", "marketing"),
        ("<script>fbq('init', '1')</script>", "inline script", "Meta Pixel", "marketing"),
        (
            "<script src=\"https://static.hotjar.com/c/hotjar-1.js\"></script>",
            "the script",
            "Hotjar",
            "analytics",
        ),
        (
            "<p>x</p><img src=\"//www.facebook.com/tr?id=1\">",
            "the image",
            "Meta Pixel",
            "marketing",
        ),
        (
            "<iframe src=\"https://www.youtube.com/embed/x\"></iframe>",
            "the frame",
            "YouTube",
            "functional",
        ),
    ] {
        check_explained(&explained(&[subject]), about, "block", vendor, purpose);
    }
    for (subject, about, vendor, purpose) in [
        ("_ga", "the cookie _ga", "Google Analytics", "analytics"),
        ("<script>fbq('init', '1')</script>", "inline script", "Meta Pixel", "marketing"),
    ] {
        let granted =
            explained(&["--granted", "functional,analytics,personalization,marketing", subject]);
        check_explained(&granted, about, "allow", vendor, purpose);
    }
}

#[test]
fn h2_the_necessary_comes_with_its_reason() {
    for name in ["PHPSESSID", "rack.session", "OptanonConsent"] {
        let said = explained(&[name]);
        check_explained(&said, &format!("the cookie {name}"), "allow", "", "necessary");
        assert!(said.contains("\nreason "), "{said}");
    }
}

#[test]
fn h2_a_stranger_is_said_to_be_one() {
    for (subject, why) in [
        ("https://cdn.stranger.example/x.js", "the site lets unlisted third parties pass"),
        ("some_cookie", "nobody in the catalogue claims it"),
        ("<script>let a = 1</script>", "it passes byte for byte"),
        (
            "<img src=https://cdn.stranger.example/x.png>",
            "the site lets unlisted third parties pass",
        ),
    ] {
        let said = explained(&[subject]);
        assert!(said.contains(why), "{said}");
        assert!(!said.contains("block"), "{said}");
    }
}

#[test]
fn h2_the_operators_own_file_and_settings_count() {
    let directory = tempfile::tempdir().unwrap();
    let vendors = directory.path().join("mine.toml");
    std::fs::write(&vendors, crate::harness::CATALOGUE).unwrap();
    let vendors = vendors.to_str().unwrap();
    let said = explained(&["--catalogue", vendors, "https://ads.acme.example/p.js"]);
    assert!(said.contains("Acme Ads") && said.contains("mine.toml:9"), "{said}");

    let config = directory.path().join("consentry.toml");
    let site = "[[site]]\nhosts = [\"shop.example\"]\norigin = \"http://127.0.0.1:1\"\nunlisted = \"block\"\n";
    std::fs::write(&config, format!("[catalogue]\nfiles = [{vendors:?}]\n{site}")).unwrap();
    let config = config.to_str().unwrap();
    let said = explained(&["--config", config, "https://cdn.stranger.example/x.js"]);
    assert!(said.contains("verdict   block") && said.contains("withholds unlisted"), "{said}");
    let own = explained(&["--config", config, "https://static.shop.example/x.js"]);
    assert!(own.contains("verdict   allow") && own.contains("belongs to the site itself"), "{own}");
    assert!(explained(&["--config", config, "_acme"]).contains("Acme Ads"));
}

#[test]
fn h2_a_wrong_question_is_answered_with_what_would_do() {
    for (arguments, told) in [
        (&["--granted", "everything", "_ga"][..], "the purposes are functional, analytics"),
        (&["--kind", "banana", "x.example/a"], "an address is loaded as script, frame, image"),
        (&["--config", "/nowhere.toml", "_ga"], "nowhere.toml"),
    ] {
        let output = program(&[&["explain"], arguments].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        assert!(text(&output).contains(told), "{output:?}");
    }
    assert_eq!(program(&["explain"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn h2_explaining_needs_no_network() {
    // A network namespace of its own has not even a loopback interface that is up.
    let alone = |program: &str, arguments: &[&str]| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", program])
            .args(arguments)
            .output()
    };
    if !alone("true", &[]).is_ok_and(|output| output.status.success()) {
        println!("skipped: no network namespace can be made here");
        return;
    }
    let output = alone(env!("CARGO_BIN_EXE_consentry"), &["explain", "_ga"]).unwrap();
    assert!(output.status.success() && text(&output).contains("Google Analytics"), "{output:?}");
}

/// Twelve trackers, four strangers, and things of the site itself.
const TRACKERS: [(&str, &str); 12] = [
    (
        "<script src=\"https://www.googletagmanager.com/gtag/js?id=G-1\"></script>",
        "www.googletagmanager.com/gtag/js",
    ),
    ("<script>window.dataLayer=[];gtag('config', 'G-1')</script>", "gtag('config',"),
    (
        "<script src=https://connect.facebook.net/en_US/fbevents.js async></script>",
        "connect.facebook.net/en_US/fbevents.js",
    ),
    (
        "<noscript><img src=\"https://www.facebook.com/tr?id=1&amp;ev=PageView\"></noscript>",
        "www.facebook.com/tr",
    ),
    ("<script>fbq('init','1')</script>", "fbq('init'"),
    (
        "<script src=\"//static.hotjar.com/c/hotjar-1.js\"></script>",
        "static.hotjar.com/c/hotjar-1.js",
    ),
    ("<iframe src=\"https://www.youtube.com/embed/abc\"></iframe>", "www.youtube.com/embed/abc"),
    (
        "<link rel=preconnect href=\"https://www.google-analytics.com\">",
        "www.google-analytics.com/",
    ),
    (
        "<img srcset=\"https://pixel.quantserve.com/pixel/p.gif 1x\">",
        "pixel.quantserve.com/pixel/p.gif",
    ),
    ("<script src=\"https://ads.acme.example/p.js\"></script>", "ads.acme.example/p.js"),
    ("<img src=\"https://stats.acme.example/i.gif\">", "stats.acme.example/i.gif"),
    (
        "<link rel=stylesheet href=\"https://fonts.googleapis.com/css2?family=X\">",
        "fonts.googleapis.com/css2",
    ),
];

const STRANGERS: [(&str, &str); 4] = [
    (
        "<script src=\"https://cdn.stranger.example/lib.js\"></script>",
        "cdn.stranger.example/lib.js",
    ),
    ("<img src=\"https://img.stranger.example/a.png\">", "img.stranger.example/a.png"),
    ("<iframe src=\"https://frame.stranger.example/\"></iframe>", "frame.stranger.example/"),
    (
        "<link rel=stylesheet href=\"https://css.stranger.example/a.css\">",
        "css.stranger.example/a.css",
    ),
];

fn page_of_all() -> String {
    let own = "<script src=\"/app.js\"></script><img src=\"logo.png\"><link rel=stylesheet href=/a.css><script>let a = 1</script>";
    let others = TRACKERS.iter().chain(&STRANGERS).map(|(html, _)| *html);
    format!("<!doctype html><p>Hello</p>{own}{}", others.collect::<String>())
}

async fn shop() -> (crate::harness::Origin, Proxy) {
    let origin =
        origin().page("/", &page_of_all()).page("/shop/sale", &page_of_all()).start().await;
    let proxy =
        consentry(&origin).site("name = \"shop\"\nhosts = [\"shop.example\"]").start().await;
    (origin, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_a_page_with_twelve_trackers_has_twelve_rows() {
    let (_origin, proxy) = shop().await;
    visitor(&proxy).at_host("shop.example").opens("/").await;
    let lines = proxy.lines().await;
    let blocked: BTreeSet<_> = lines
        .iter()
        .filter(|line| line.verdict == "block")
        .map(|line| line.what.as_str())
        .collect();
    assert_eq!(blocked, TRACKERS.iter().map(|(_, what)| *what).collect());
    assert_eq!(lines.iter().filter(|line| line.verdict == "block").count(), 12);
    for line in &lines {
        assert_eq!(
            (line.site.as_str(), line.page.as_str(), line.class.as_str()),
            ("shop", "/", "d")
        );
        assert!(
            !line.kind.is_empty() && !line.reason.is_empty() && !line.policy_revision.is_empty()
        );
        if line.verdict == "block" {
            assert!(line.vendor.is_some() && line.purpose.is_some(), "{line:?}");
            assert!(line.rule.as_ref().is_some_and(|rule| rule.contains(".toml:")), "{line:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_what_was_allowed_is_on_record_too_with_its_reason() {
    let (_origin, proxy) = shop().await;
    let everything: BTreeSet<_> =
        TRACKERS.iter().chain(&STRANGERS).map(|(_, what)| *what).collect();
    for (choice, purposes, accept, blocked) in [
        ("none", &[][..], "*/*", 12),
        ("some", &["analytics"], "*/*", 7),
        ("some", &["marketing"], "*/*", 8),
        // A page that passes as it is, and one that gets the link to the choices.
        ("all", &[], "*/*", 0),
        ("all", &[], "text/html", 0),
    ] {
        let mut visitor = visitor(&proxy).at_host("shop.example").sending("accept", accept);
        visitor.chooses(choice, purposes).await;
        let page = visitor.opens("/").await;
        if blocked == 0 {
            assert!(page.body.starts_with(&page_of_all()));
        }
        let lines = proxy.lines().await;
        let newest = lines.iter().map(|line| line.entry).max().unwrap();
        let lines: Vec<_> = lines.into_iter().filter(|line| line.entry == newest).collect();
        let recorded: BTreeSet<_> = lines.iter().map(|line| line.what.as_str()).collect();
        assert_eq!(recorded, everything, "{choice} {purposes:?}");
        assert_eq!(lines.len(), everything.len(), "each of them once");
        let count = lines.iter().filter(|line| line.verdict == "block").count();
        assert_eq!(count, blocked, "{choice} {purposes:?}: {lines:#?}");
        for line in lines {
            let expected = match (line.verdict.as_str(), line.what.contains("stranger")) {
                ("block", _) => "not granted",
                (_, true) => "unlisted",
                (_, false) => "granted",
            };
            assert_eq!(line.reason, expected, "{line:?}");
            assert_eq!(line.signal, "choice");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withheld_until_classified_stays_so_when_everything_is_granted() {
    let origin = origin().page("/", &page_of_all()).start().await;
    let proxy = consentry(&origin).site("unlisted = \"block\"").start().await;
    for accept in ["*/*", "text/html"] {
        let mut visitor = visitor(&proxy).sending("accept", accept);
        visitor.chooses("all", &[]).await;
        let page = visitor.opens("/").await;
        assert!(!page.body.contains("stranger.example") && page.body.contains("ads.acme.example"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_nothing_in_the_ledger_says_who_the_visitor_is() {
    let page = "<script src=\"https://ads.acme.example/p.js?uid=qsecret1\"></script>\
                <img src=\"https://ads.acme.example/u/jane.doe@example.org/9f86d081884c7d659a2feaa0c55ad015.gif\">";
    let origin = origin()
        .answer("/orders/1002003004", move |_| {
            Response::builder()
                .header("content-type", "text/html")
                .header("set-cookie", "_acme=csecret2; Path=/")
                .header("x-acme-segment", "hsecret3")
                .body(Full::from(page))
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy)
        .sending("user-agent", "Uasecret4/1.0")
        .sending("x-forwarded-for", "203.0.113.77")
        .sending("referer", "https://mail.example/rsecret5")
        .sending("x-acme-id", "isecret6")
        .sending("accept-language", "pt-lsecret7")
        .holding("_acme", "ksecret8")
        .holding("sid", "ssecret9");
    visitor.opens("/orders/1002003004?gclid=gsecret10&email=jane.doe@example.org#fsecret").await;
    visitor.chooses("all", &[]).await;
    visitor.opens("/orders/1002003004?token=tsecret11").await;
    let receipt = crate::proof::receipt(&mut visitor).await;
    assert!(proxy.lines().await.len() >= 8);
    let directory = proxy.stop().await;
    let mut read = 0;
    let mut folders = vec![directory.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            read +=
                usize::from(path.file_name().unwrap().to_str().unwrap().starts_with("ledger.db"));
            for secret in [
                "secret",
                "203.0.113",
                "127.0.0.1:",
                "jane",
                "1002003004",
                "9f86d081884c7d65",
                "gclid=",
                receipt.as_str(),
            ] {
                let written_by_us = path.ends_with("consentry.toml") && secret == "127.0.0.1:";
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found || written_by_us, "{} holds {secret}", path.display());
            }
        }
    }
    assert!(read >= 1);
}

/// The log of a proxy's ledger, as the program shows it.
fn log(proxy: &Proxy, arguments: &[&str]) -> String {
    let ledger = proxy.directory().join("ledger.db");
    let arguments = [&["log", "--ledger", ledger.to_str().unwrap()], arguments].concat();
    let output = program(&arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_shows_what_the_proxy_withheld_in_every_shape() {
    let (_origin, proxy) = shop().await;
    let mut visitor = visitor(&proxy).at_host("shop.example");
    visitor.opens("/").await;
    visitor.opens("/shop/sale?utm_source=x").await;
    proxy.lines().await;

    let table = log(&proxy, &[]);
    let mut lines = table.lines();
    let heading: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        heading,
        ["time", "site", "page", "verdict", "purpose", "vendor", "kind", "what", "reason"]
    );
    assert_eq!(lines.count(), 24);
    assert!(
        table.contains("block    marketing   Acme Ads") && table.contains("ads.acme.example/p.js"),
        "{table}"
    );

    let json: Vec<serde_json::Value> =
        log(&proxy, &["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json.len(), 24);
    assert!(json.iter().all(|line| line["verdict"] == "block" && line["site"] == "shop"));
    let csv = log(&proxy, &["--csv"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let what = reader.headers().unwrap().iter().position(|name| name == "what").unwrap();
    let rows: Vec<_> = reader.records().map(|row| row.unwrap()[what].to_owned()).collect();
    assert_eq!(rows.len(), 24);
    assert!(rows.iter().any(|what| what == "fbq('init'"));

    for (arguments, expected) in [
        (&["--all"][..], 32),
        (&["--page", "/shop"], 12),
        (&["--vendor", "acme-ads"], 2),
        (&["--vendor", "ACME"], 4),
        (&["--purpose", "functional"], 4),
        (&["--purpose", "marketing", "--page", "/shop"], 4),
        (&["--site", "shop"], 24),
        (&["--site", "another"], 0),
        (&["--since", "1h"], 24),
        (&["--until", "1h"], 0),
        (&["--since", "2020-01-01", "--until", "2020-12-31"], 0),
        (&["--limit", "5"], 5),
    ] {
        let shown = log(&proxy, &[arguments, &["--json"]].concat());
        assert_eq!(shown.lines().count(), expected, "{arguments:?}");
    }
    assert!(log(&proxy, &["--site", "another"]).starts_with("Nothing of that kind was withheld"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_follows_a_running_proxy() {
    let (_origin, proxy) = shop().await;
    let mut visitor = visitor(&proxy).at_host("shop.example");
    visitor.opens("/").await;
    proxy.lines().await;
    let ledger = proxy.directory().join("ledger.db");
    let mut child = program(&[
        "log",
        "--ledger",
        ledger.to_str().unwrap(),
        "--follow",
        "--json",
        "--vendor",
        "acme-ads",
    ])
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let (sender, lines) = mpsc::channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let next = || {
        let line = lines.recv_timeout(Duration::from_secs(20)).expect("a line in time");
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["page"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(next(), "/", "what was there already comes first");
    visitor.opens("/shop/sale").await;
    proxy.lines().await;
    assert_eq!(next(), "/shop/sale", "then what comes");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(lines.recv_timeout(Duration::from_secs(20)).ok(), None, "each line once");
}

#[test]
fn a_ledger_that_is_not_there_is_said_to_be_missing() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("nothing.db");
    let output = program(&["log", "--ledger", ledger.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    let said = std::str::from_utf8(&output.stderr).unwrap();
    assert!(said.contains("nothing.db"), "{said}");
    assert!(!ledger.exists(), "looking makes no ledger");
}
