//! The configuration is taken when a file of it changes, without a signal and
//! without a pause, and a wrong one not at all.

use crate::harness::{Origin, origin};
use crate::program::{PATIENCE, Program, Setup};
use crate::wire::Wire;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

async fn saying(text: &str) -> Origin {
    origin().page("/", &format!("<p>{text}</p>")).start().await
}

/// Asks until the page says something, for as long as that takes on a busy
/// machine.
async fn until_it_says(program: &Program, text: &str) {
    let since = Instant::now();
    let mut page = String::new();
    while since.elapsed() < PATIENCE {
        page = Wire::to(program.address).await.asks("GET", "/", "").await.text().to_owned();
        if page.contains(text) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("`{text}` is not said, but {page}: {:?}", program.log());
}

/// As careful editors and `ConfigMap`s do it.
fn put_in_place(file: &Path, text: &str) {
    let fresh = file.with_extension("fresh");
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(fresh, file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn k1_a_file_that_changes_is_taken_by_itself_and_a_wrong_one_is_refused_once() {
    let (one, two, three) = (saying("one").await, saying("two").await, saying("three").await);
    let setup = Setup::new(one.address, "");
    let mut program = setup.start();
    until_it_says(&program, "one").await;
    setup.configure(two.address, "");
    until_it_says(&program, "two").await;
    setup.configure(three.address, "[listner]\naddress = 'x'");
    let refused = program.says("configuration not reloaded");
    assert!(refused.contains("consentry.toml:3:2") && refused.contains("listner"), "{refused}");
    // Longer than it takes to look again.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(program.times("configuration not reloaded"), 1, "{:?}", program.log());
    until_it_says(&program, "two").await;
    setup.configure(three.address, "");
    until_it_says(&program, "three").await;
    // It is said when it is done, which is a moment later.
    program.says_times("configuration reloaded", 2);
    assert_eq!(program.times("configuration reloaded"), 2, "{:?}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn k1_every_file_that_the_configuration_names_is_watched() {
    let origin = origin().page("/", "<script src=//px.acme.example/p.js></script>").start().await;
    let setup = Setup::new(origin.address, "");
    let texts = setup.file("texts.toml");
    std::fs::write(&texts, "lang = 'en'\naccept_all = 'Yes to all'\n").unwrap();
    let list = setup.file("list.txt");
    std::fs::write(&list, "||ads.example^\n").unwrap();
    let key = setup.file("statement.key");
    std::fs::write(&key, format!("{:064x}\n", 1)).unwrap();
    setup.configure(
        origin.address,
        &format!("[notice]\ntexts = [{texts:?}]\n[lists]\nfiles = [{list:?}]\n[origin]\nstatement_key_file = {key:?}"),
    );
    let mut program = setup.start();
    let catalogue = setup.file("vendors.toml");
    let more = std::fs::read_to_string(&catalogue).unwrap().replace("Acme Ads", "Acme Adverts");
    let consent_keys = setup.file("data/ledger.db.keys");
    let keys = std::fs::read_to_string(&consent_keys).unwrap();
    let changes = [
        (&texts, "lang = 'en'\naccept_all = 'Yes, to all of it'\n".to_owned()),
        (&list, "||ads.example^\n||more.example^\n".to_owned()),
        (&key, format!("{:064x}\n", 2)),
        (&catalogue, more),
        (&consent_keys, format!("{}{keys}", format_args!("{:064x}\n", 3))),
    ];
    for (done, (file, text)) in changes.iter().enumerate() {
        put_in_place(file, text);
        program.says_times("configuration reloaded", done + 1);
    }
    put_in_place(&texts, "lang = 'en'\nno_such_text = 'x'\n");
    let refused = program.says("configuration not reloaded");
    assert!(refused.contains("texts.toml:2:1"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k1_what_needs_a_restart_is_said_in_one_line_and_who_turns_watching_off_is_left_alone() {
    let (one, two) = (saying("one").await, saying("two").await);
    let setup = Setup::new(one.address, "[reload]\nwatch = false");
    let mut program = setup.start();
    setup.configure(two.address, "[limits]\nconnections = 77\n[timeouts]\ndrain_s = 3");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(program.times("configuration reloaded"), 0);
    program.reloads();
    until_it_says(&program, "two").await;
    let said = program.says("needs a restart");
    assert!(said.contains("limits.connections, timeouts.drain_s"), "{said}");
    assert!(!said.contains("listener"), "what did not change is not named: {said}");
    assert_eq!(program.times("needs a restart"), 1);
}

/// A visitor whose browser keeps its connection and asks again and again.
async fn asks_on(address: std::net::SocketAddr, over: Arc<AtomicBool>, asked: Arc<AtomicUsize>) {
    let mut wire = Wire::to(address).await;
    while !over.load(Ordering::Relaxed) {
        let page = wire.asks("GET", "/", "").await;
        assert!(page.status == 200 && page.complete, "{} {}", page.status, page.text());
        assert!(page.text().contains("<p>"), "{}", page.text());
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k1_no_request_fails_over_twelve_reloads_with_twelve_bad_ones_between() {
    const VISITORS: usize = 8;
    let (one, two) = (saying("one").await, saying("two").await);
    let setup =
        Setup::new(one.address, "[reload]\nwatch = false\n[limits]\nrequests_per_second = 0");
    let mut program = setup.start();
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let visitors: Vec<_> = (0..VISITORS)
        .map(|_| tokio::spawn(asks_on(program.address, Arc::clone(&over), Arc::clone(&asked))))
        .collect();
    let none = "[reload]\nwatch = false\n[limits]\nrequests_per_second = 0";
    for round in 0..12 {
        let wanted = 300 * (round + 1);
        let since = Instant::now();
        while asked.load(Ordering::Relaxed) < wanted && since.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        setup.configure(if round % 2 == 0 { two.address } else { one.address }, none);
        program.reloads();
        setup.configure(one.address, &format!("{none}\nno_such_key_{round} = 1"));
        let refused = program.refuses_to_reload();
        assert!(refused.contains(&format!("no_such_key_{round}")), "{refused}");
    }
    over.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.await.unwrap();
    }
    let (asked, refused) =
        (asked.load(Ordering::Relaxed), program.times("configuration not reloaded"));
    assert!(asked >= 3_000, "only {asked} requests were made");
    assert_eq!((program.times("configuration reloaded"), refused), (12, 12));
    println!("{asked} requests on {VISITORS} connections, none failed");
}
