//! Nothing that was decided is lost, and nothing about the visitor is kept.

use crate::harness::{Origin, consentry, origin, visitor};
use crate::program::{Setup, files_under};
use crate::wire::Wire;

use consentry::ledger::read::{Filter, Line, Reader};
use std::path::Path;
use std::time::{Duration, Instant};

const HTML: &str = "<p>Hello</p><script src=\"https://ads.acme.example/p.js?visitor=7\"></script>\
    <img src=https://stats.acme.example/i.gif><iframe src=https://maps.acme.example/m></iframe>";

fn lines(ledger: &Path) -> Vec<Line> {
    Reader::open(ledger).unwrap().block_log(&Filter::default(), 100_000).unwrap()
}

async fn shop() -> Origin {
    let mut origin = origin().page("/", HTML);
    for number in 0..50 {
        origin = origin.page(&format!("/page-{}", letters(number)), HTML);
    }
    origin.start().await
}

/// Numbers in a path may be taken for ids.
fn letters(number: usize) -> String {
    number.to_string().bytes().map(|digit| char::from(digit + b'a' - b'0')).collect()
}

/// How often each page is on record.
fn entries(lines: &[Line]) -> std::collections::BTreeMap<String, usize> {
    let mut entries: Vec<_> = lines.iter().map(|line| (line.entry, line.page.clone())).collect();
    entries.dedup();
    let mut pages = std::collections::BTreeMap::new();
    for (_, page) in entries {
        *pages.entry(page).or_insert(0) += 1;
    }
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_has_lost_nothing_that_was_answered() {
    let origin = shop().await;
    let setup = Setup::new(origin.address, "");
    let mut answered = 0;
    for round in 0..2 {
        let mut program = setup.start();
        let mut wire = Wire::to(program.address).await;
        for number in 0..25 {
            let page =
                wire.asks("GET", &format!("/page-{}", letters(round * 25 + number)), "").await;
            assert!(page.status == 200 && page.complete);
            answered += 1;
        }
        // Not a moment to store anything.
        program.signal("KILL");
        assert_eq!(program.ends().code(), None);
    }
    let mut program = setup.start();
    let since = Instant::now();
    while entries(&lines(&setup.ledger())).len() < answered
        && since.elapsed() < Duration::from_secs(60)
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));
    let lines = lines(&setup.ledger());
    let pages = entries(&lines);
    assert_eq!((pages.len(), lines.len()), (answered, answered * 3), "{pages:?}");
    assert!(pages.values().all(|times| *times == 1), "each exactly once: {pages:?}");
    assert!(Reader::open(setup.ledger()).unwrap().gaps(&Filter::default()).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_ledger_delays_nobody_and_loses_nothing() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let path = proxy.directory().join("ledger.db");
    let mut wire = Wire::to(proxy.address).await;
    assert_eq!(wire.asks("GET", "/", "").await.status, 200);
    proxy.running().ledger.flush().unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.busy_timeout(Duration::from_secs(60)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let since = Instant::now();
    for number in 0..50 {
        assert_eq!(wire.asks("GET", &format!("/page-{}", letters(number)), "").await.status, 200);
    }
    let took = since.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    std::thread::sleep(Duration::from_millis(1200));
    let status = proxy.running().ledger.status();
    assert!(status.queued_bytes > 0, "{status:?}");
    other.execute_batch("COMMIT").unwrap();
    drop(other);
    proxy.running().ledger.flush().unwrap();
    let pages = entries(&lines(&path));
    assert_eq!((pages.len(), pages.values().sum::<usize>()), (51, 51));
    // What the site can ask is archived meanwhile, and takes the same way.
    let since = Instant::now();
    let status = loop {
        let status = proxy.running().ledger.status();
        if status.queued_bytes == 0 {
            break status;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{status:?}");
        proxy.running().ledger.flush().unwrap();
    };
    assert_eq!((status.lost_entries, status.last_error), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_proxy_has_everything_in_its_database() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let mut visitors = Vec::new();
    for worker in 0..5 {
        let mut visitor = visitor(&proxy);
        visitors.push(tokio::spawn(async move {
            for number in 0..10 {
                visitor.opens(&format!("/page-{}", letters(worker * 10 + number))).await;
            }
        }));
    }
    for visitor in visitors {
        visitor.await.unwrap();
    }
    let directory = proxy.stop().await;
    let pages = entries(&lines(&directory.path().join("ledger.db")));
    assert_eq!((pages.len(), pages.values().sum::<usize>()), (50, 50));
    let spooled: usize = files_under(&directory.path().join("ledger.db.spool"))
        .iter()
        .map(|(_, bytes)| bytes.len())
        .sum();
    assert_eq!(spooled, 0, "nothing is left to take in");
}

/// What a visitor sends about themselves.
const PRIVATE: [&str; 12] = [
    "Secretive/9.7",
    "203.0.113.77",
    "203.0.113",
    "2001:db8:5ec:7e7",
    "sessionvalue",
    "acmevalue",
    "tokenvalue",
    "came-from-here",
    "de-AT-xprivate",
    "jane.doe",
    "visitor=7",
    "basicsecret",
];

#[tokio::test(flavor = "multi_thread")]
async fn g1_nothing_about_the_visitor_is_kept_anywhere() {
    let origin = shop().await;
    let setup = Setup::new(origin.address, "[log]\nlevel = 'debug'");
    let mut program = setup.start();
    let fields = "user-agent: Secretive/9.7\r\nx-forwarded-for: 203.0.113.77, 2001:db8:5ec:7e7::1\r\n\
        cookie: sid=sessionvalue; _acme=acmevalue\r\nreferer: https://other.example/came-from-here?x=1\r\n\
        accept-language: de-AT-xprivate\r\nx-acme-id: acmevalue\r\nauthorization: Basic basicsecret\r\n";
    let mut wire = Wire::to(program.address).await;
    for path in [
        "/?q=tokenvalue&acmeid=tokenvalue",
        "/page-b?email=jane.doe@mail.example",
        "/users/jane.doe@mail.example/4711471147114711",
    ] {
        let page = wire.asks("GET", path, fields).await;
        assert!(page.complete && page.status < 500);
    }
    let form = "choice=some&purpose=analytics&return_to=%2F%3Fq%3Dtokenvalue";
    let host = program.address;
    let post = format!(
        "origin: http://{host}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n",
        form.len()
    );
    wire.says(format!(
        "POST /.consentry/choices HTTP/1.1\r\nhost: {host}\r\n{fields}{post}\r\n{form}"
    ))
    .await;
    let chosen = wire.answer("POST").await;
    assert_eq!(chosen.status, 303, "{}", chosen.text());
    let cookie = chosen.field("set-cookie").unwrap();
    let receipt = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
    wire.says("BAD nonsense acmevalue\r\n\r\n").await;
    wire.end().await;

    let check = |when: &str| {
        let mut searched = false;
        for (path, bytes) in files_under(setup.directory.path()) {
            let lower = bytes.to_ascii_lowercase();
            let holds =
                |word: &str| lower.windows(word.len()).any(|window| window == word.as_bytes());
            searched |= !path.ends_with("vendors.toml") && holds("ads.acme.example/p.js");
            for private in PRIVATE.iter().copied().chain([receipt.as_str(), "127.0.0.1:"]) {
                // Our own address stands where we are configured, in what is kept of that,
                // and where we are found.
                let ours = path.ends_with("consentry.toml")
                    || path.parent().is_some_and(|within| within.ends_with("ledger.db.configs"))
                    || path.ends_with("ledger.db.dashboard-link");
                assert!(
                    ours || !holds(&private.to_ascii_lowercase()),
                    "{when}: {private} is in {}",
                    path.display()
                );
            }
        }
        assert!(searched, "{when}: what was withheld is on record, in the clear");
    };
    // While some of it is in the spool, and when all of it is in the database.
    check("at once");
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));
    check("after the end");
    for line in program.log() {
        for private in PRIVATE.iter().copied().chain([receipt.as_str()]) {
            assert!(
                !line.to_ascii_lowercase().contains(&private.to_ascii_lowercase()),
                "{private} is in the log: {line}"
            );
        }
    }
    let lines = lines(&setup.ledger());
    let what: Vec<_> =
        lines.iter().map(|line| format!("{} {} {}", line.page, line.kind, line.what)).collect();
    for expected in [
        "/ script ads.acme.example/p.js",
        "/ cookie _acme",
        "/ parameter acmeid",
        "/page-b image stats.acme.example/i.gif",
    ] {
        assert!(what.iter().any(|line| line == expected), "{expected} is not in {what:?}");
    }
}
