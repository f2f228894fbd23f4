//! What befalls a ledger, caused for real: no visitor notices, what is lost is
//! counted, readiness and metrics tell, and it recovers by itself.

use crate::harness::{Origin, consentry, origin};
use crate::program::{Program, Setup, consentry_command, runs};
use crate::wire::Wire;

use consentry::ledger::read::{Filter, Reader};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const HTML: &str = "<p>Hello</p><script src=\"https://ads.acme.example/p.js\"></script>";

const PAGES: usize = 40;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn shop() -> Origin {
    let mut origin = origin();
    for number in 0..PAGES {
        origin = origin.page(&page(number), HTML);
    }
    origin.start().await
}

/// Numbers in a path may be taken for ids.
fn page(number: usize) -> String {
    let letters = (number % PAGES).to_string();
    format!("/page-{}", letters.bytes().map(|b| char::from(b + b'a' - b'0')).collect::<String>())
}

/// How many entries there are, by page.
fn stored(ledger: &Path) -> BTreeMap<String, u64> {
    let mut pages = BTreeMap::new();
    let count = |line: consentry::ledger::read::Line| {
        *pages.entry(line.page).or_insert(0) += 1;
        true
    };
    Reader::open(ledger).unwrap().each_line(&Filter::default(), count).unwrap();
    pages
}

fn lost(ledger: &Path) -> u64 {
    let gaps = Reader::open(ledger).unwrap().gaps(&Filter::default()).unwrap();
    gaps.iter().map(|gap| gap.lost).sum()
}

/// Asks for so many pages, and says how long the slowest took.
async fn visits(address: SocketAddr, count: usize) -> Duration {
    let mut wire = Wire::to(address).await;
    let mut slowest = Duration::ZERO;
    for number in 0..count {
        let since = Instant::now();
        let answer = wire.asks("GET", &page(number), "").await;
        assert!(answer.status == 200 && answer.complete, "{}", answer.head);
        assert!(answer.text().contains("Hello") && !answer.text().contains("acme"));
        slowest = slowest.max(since.elapsed());
    }
    slowest
}

async fn readiness(admin: SocketAddr) -> Value {
    let answer = Wire::to(admin).await.asks("GET", "/readyz", "").await;
    assert_eq!(answer.status, 200, "a ledger in trouble takes no site down");
    serde_json::from_slice::<Value>(&answer.body).unwrap()["ledger"].clone()
}

/// Waits until readiness says what is wanted.
async fn until(admin: SocketAddr, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let since = Instant::now();
    loop {
        let ledger = readiness(admin).await;
        if is_so(&ledger) {
            return ledger;
        }
        assert!(since.elapsed() < PATIENCE, "not {what}: {ledger}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn metric(admin: SocketAddr, name: &str) -> u64 {
    let answer = Wire::to(admin).await.asks("GET", "/metrics", "").await;
    let line = answer.text().lines().find(|line| line.starts_with(&format!("{name} ")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_a_program_that_is_killed_under_load_has_every_complete_answer_on_record() {
    let origin = shop().await;
    let setup = Setup::new(origin.address, "");
    let (asked, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for round in 1..=2 {
        let mut program = setup.start();
        let address = program.address;
        let mut visitors = Vec::new();
        for visitor in 0..8 {
            let (asked, answered) = (Arc::clone(&asked), Arc::clone(&answered));
            visitors.push(tokio::spawn(async move {
                let mut wire = Wire::to(address).await;
                for number in visitor.. {
                    asked.fetch_add(1, Ordering::SeqCst);
                    if wire.asks_while_it_lives(&page(number)).await.is_none() {
                        return;
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }));
        }
        while answered.load(Ordering::SeqCst) < round * 400 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // In the middle of it.
        program.signal("KILL");
        assert_eq!(program.ends().code(), None);
        for visitor in visitors {
            visitor.await.unwrap();
        }
    }
    let mut program = setup.start();
    until(program.admin, "stored", |ledger| ledger["spooled_bytes"] == 0).await;
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));
    let entries: u64 = stored(&setup.ledger()).values().sum();
    let (asked, answered) = (asked.load(Ordering::SeqCst), answered.load(Ordering::SeqCst));
    assert!(
        (answered..=asked).contains(&entries),
        "{entries} entries for {answered} complete answers to {asked} requests"
    );
    assert_eq!(lost(&setup.ledger()), 0);
    let ledger = setup.ledger();
    let (code, said) = runs(&["verify", "--ledger", ledger.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
}

/// A program whose ledger is on a disk of its own, with so many bytes.
fn on_a_small_disk(setup: &Setup, bytes: u64) -> Option<Program> {
    let data = setup.file("data");
    std::fs::create_dir(&data).unwrap();
    let mount = format!("mount -t tmpfs -o size={bytes} tmpfs {}", data.display());
    let try_it = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output();
    if !try_it.is_ok_and(|tried| tried.status.success()) {
        println!("skipped: this machine lets nobody mount a small disk of their own");
        return None;
    }
    let program = env!("CARGO_BIN_EXE_consentry");
    let mut command = consentry_command(&[]);
    let plain = std::mem::replace(&mut command, Command::new("unshare"));
    for (name, _) in plain.get_envs() {
        command.env_remove(name);
    }
    command.args(["-rm", "sh", "-c", &format!("{mount} && exec \"$@\""), "sh", program]);
    command.args(setup.words()).current_dir(setup.directory.path());
    Some(Program::start(&mut command))
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_a_full_disk_costs_entries_that_are_counted_and_no_visitor_notices() {
    let origin = shop().await;
    let setup = Setup::new(origin.address, "[listener]\nworkers = 1");
    let Some(mut program) = on_a_small_disk(&setup, 16 << 20) else { return };
    let disk = PathBuf::from(format!("/proc/{}/root", program.id()));
    let disk = disk.join(setup.file("data").strip_prefix("/").unwrap());
    visits(program.address, PAGES).await;
    until(program.admin, "stored", |ledger| ledger["spooled_bytes"] == 0).await;
    let filling = disk.join("filling");
    std::fs::write(&filling, vec![0; 32 << 20]).unwrap_err();
    let slowest = visits(program.address, 400).await;
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
    let told = until(program.admin, "in trouble", |ledger| {
        ledger["last_error"].is_string() && ledger["lost_entries"].as_u64() > Some(0)
    });
    let told = told.await;
    assert_eq!(told["ok"], false, "{told}");
    let counted = told["lost_entries"].as_u64().unwrap();
    assert_eq!(metric(program.admin, "consentry_entries_lost").await, counted);
    // Room again, and nobody does anything else about it.
    std::fs::remove_file(&filling).unwrap();
    visits(program.address, PAGES).await;
    let all = (PAGES + 400 + PAGES) as u64;
    until(program.admin, "well again", |ledger| {
        let count = |name: &str| ledger[name].as_u64().unwrap_or(0);
        ledger["last_error"].is_null() && count("written_entries") + count("lost_entries") >= all
    })
    .await;
    // SQLite does not find its way to the disk; its files do.
    let ledger = setup.file("copy.db");
    for (from, to) in [("ledger.db", "copy.db"), ("ledger.db-wal", "copy.db-wal")] {
        std::fs::copy(disk.join(from), setup.file(to)).unwrap();
    }
    let entries: u64 = stored(&ledger).values().sum();
    let lost = lost(&ledger);
    // A worker puts its gap on record with the next entry it writes.
    assert!(entries <= all && lost > 0, "{entries} and {lost} lost");
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_rubbish_in_the_ledgers_place_is_not_written_to_and_costs_nothing() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let ledger = proxy.directory().join("ledger.db");
    let aside = proxy.directory().join("aside.db");
    visits(proxy.address, PAGES).await;
    proxy.running().ledger.flush().unwrap();
    let conn = rusqlite::Connection::open(&ledger).unwrap();
    conn.execute("VACUUM INTO ?1", [aside.to_str().unwrap()]).unwrap();
    drop(conn);
    let rubbish = proxy.directory().join("rubbish");
    std::fs::write(&rubbish, "Dear diary, ".repeat(1000)).unwrap();
    std::fs::rename(&rubbish, &ledger).unwrap();
    visits(proxy.address, 2 * PAGES).await;
    let told = until(proxy.admin, "in trouble", |ledger| ledger["last_error"].is_string()).await;
    let said = told["last_error"].as_str().unwrap();
    assert!(said.contains("is not a consentry ledger"), "{told}");
    assert!(told["spooled_bytes"].as_u64() > Some(0), "{told}");
    assert!(std::fs::read(&ledger).unwrap().starts_with(b"Dear diary"));
    std::fs::rename(&aside, &ledger).unwrap();
    let told = until(proxy.admin, "well again", |ledger| ledger["last_error"].is_null()).await;
    assert_eq!(told["lost_entries"], 0, "{told}");
    proxy.running().ledger.flush().unwrap();
    let entries: u64 = stored(&ledger).values().sum();
    assert_eq!((entries, lost(&ledger)), (3 * PAGES as u64, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_a_ledger_that_is_taken_away_is_begun_anew() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let ledger = proxy.directory().join("ledger.db");
    visits(proxy.address, PAGES).await;
    proxy.running().ledger.flush().unwrap();
    let aside = proxy.directory().join("aside.db");
    std::fs::rename(&ledger, &aside).unwrap();
    visits(proxy.address, PAGES).await;
    proxy.running().ledger.flush().unwrap();
    until(proxy.admin, "well", |ledger| ledger["last_error"].is_null()).await;
    let entries: u64 = stored(&ledger).values().sum();
    assert_eq!(entries, PAGES as u64, "and nothing twice");
    assert_eq!(lost(&ledger), 0);
    assert_eq!(stored(&aside).len(), PAGES, "and the old one is whole");
}

#[test]
fn a_ledger_that_may_only_be_read_is_refused_in_words_at_the_start() {
    let setup = Setup::new(SocketAddr::from(([127, 0, 0, 1], 1)), "");
    let data = setup.file("data");
    std::fs::create_dir(&data).unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(setup.directory.path(), 0o755);
    mode(&data, 0o555);
    // Root may write anywhere.
    let words = setup.words();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.arg(env!("CARGO_BIN_EXE_consentry")).args(&words);
    let is_root = std::fs::write(data.join("probe"), "").is_ok();
    let ended = if is_root {
        std::fs::remove_file(data.join("probe")).unwrap();
        command.output()
    } else {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        consentry_command(&words).output()
    };
    let Ok(ended) = ended else {
        println!("skipped: there is no setpriv here, and root may write anywhere");
        return;
    };
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(matches!(ended.status.code(), Some(74 | 78)), "{:?} {said}", ended.status);
    assert!(said.contains("data"), "{said}");
    mode(&data, 0o755);
}
