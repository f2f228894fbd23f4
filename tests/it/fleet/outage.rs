//! Whatever is wrong with the shared database, no visitor notices, and nothing
//! is lost or stored twice.

use super::postgres::Postgres;
use super::{asked, content, engine, fleet_of, own, proxy, together, until};
use crate::harness::{Origin, origin, visitor_at};
use crate::program::{Program, Setup, runs};

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const HTML: &str = "<p>Hello</p><script src=\"https://ads.acme.example/p.js?visitor=7\"></script>\
    <img src=https://stats.acme.example/i.gif>";

async fn shop() -> Origin {
    origin().page("/", HTML).page("/shoes", HTML).page("/socks", HTML).start().await
}

/// Visitors who come and go until they are told to stop.
struct Crowd {
    over: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    slowest: Arc<std::sync::Mutex<Duration>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    fn at(addresses: &[SocketAddr]) -> Self {
        let mut crowd = Self {
            over: Arc::default(),
            served: Arc::default(),
            slowest: Arc::default(),
            tasks: Vec::new(),
        };
        for address in addresses.iter().copied() {
            let (over, served) = (Arc::clone(&crowd.over), Arc::clone(&crowd.served));
            let slowest = Arc::clone(&crowd.slowest);
            crowd.tasks.push(tokio::spawn(async move {
                let mut person = visitor_at(address);
                while !over.load(Ordering::Relaxed) {
                    for path in ["/", "/shoes", "/socks"] {
                        let since = Instant::now();
                        let page = person.opens(path).await;
                        assert_eq!(page.status, 200);
                        assert!(!page.body.contains("acme.example"), "{}", page.body);
                        served.fetch_add(1, Ordering::Relaxed);
                        let mut slowest = slowest.lock().unwrap();
                        *slowest = slowest.max(since.elapsed());
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }));
        }
        crowd
    }

    /// Sends them home: how many pages they got, and the longest anybody waited.
    async fn leaves(self) -> (usize, Duration) {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let slowest = *self.slowest.lock().unwrap();
        (self.served.load(Ordering::Relaxed), slowest)
    }
}

async fn waits(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < super::PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn all_sent(program: &Program) {
    waits("not everything is sent", async || {
        let fleet = fleet_of(program).await;
        fleet["connected"] == true && fleet["behind_entries"] == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_proxies_lose_nothing_and_send_nothing_twice_while_the_database_comes_and_goes() {
    let origin = shop().await;
    let Some(postgres) = Postgres::start() else { return };
    let setups = [0, 1].map(|_| proxy(origin.address, &postgres.url()));
    let mut programs = setups.each_ref().map(Setup::start);
    let addresses = programs.each_ref().map(|program| program.address);
    let crowd = Crowd::at(&addresses);
    let some = || tokio::time::sleep(Duration::from_millis(2500));
    some().await;
    postgres.down("fast");
    for program in &mut programs {
        program.says("nothing is sent to the shared ledger");
    }
    waits("nobody says what waits", async || {
        let fleet = fleet_of(&programs[0]).await;
        fleet["connected"] == false && fleet["behind_entries"].as_u64().unwrap() > 0
    })
    .await;
    let metrics = asked(&programs[0], "/metrics").await;
    assert!(metrics.contains("consentry_ledger_fleet_connected 0"), "{metrics}");
    postgres.up();
    some().await;
    // In the middle of whatever it is doing, three times.
    for _ in 0..3 {
        postgres.kill();
        postgres.up();
        some().await;
    }
    postgres.down("immediate");
    some().await;
    postgres.up();
    let (served, slowest) = crowd.leaves().await;
    assert!(slowest < Duration::from_secs(20), "somebody waited for {slowest:?}");
    for program in &mut programs {
        all_sent(program).await;
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0));
    }
    let shared = content(&engine(&postgres));
    let own = together(setups.each_ref().map(|setup| own(&setup.file("data"))));
    assert!(shared == own, "{} rows are shared, {} were stored", shared.len(), own.len());
    assert_eq!(postgres.number("SELECT count(*) FROM entry"), served as i64);
    assert_eq!(postgres.number("SELECT sum(views) FROM hourly"), served as i64);
    for program in &programs {
        let log = program.log();
        let told = log.iter().filter(|line| line.contains("nothing is sent")).count();
        // Once for each time it went away, not once for each attempt.
        assert!((1..=8).contains(&told), "{log:?}");
        assert!(!log.iter().any(|line| line.contains("s3cret")), "{log:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_killed_while_it_sends_sends_the_rest_once() {
    let origin = shop().await;
    let Some(postgres) = Postgres::start() else { return };
    let setup = proxy(origin.address, &postgres.url());
    let mut served = 0;
    for pause in [2050, 2300, 4100] {
        let mut program = setup.start();
        let crowd = Crowd::at(&[program.address; 4]);
        // It sends every two seconds, and at once what waited.
        tokio::time::sleep(Duration::from_millis(pause)).await;
        served += crowd.leaves().await.0;
        program.signal("KILL");
        program.ends();
    }
    let mut program = setup.start();
    waits("not everything is stored", async || {
        all_sent(&program).await;
        postgres.number("SELECT count(*) FROM entry") >= served as i64
    })
    .await;
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));
    assert_eq!(postgres.number("SELECT count(*) FROM entry"), served as i64);
    assert_eq!(content(&engine(&postgres)), own(&setup.file("data")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_delays_no_visitor_and_no_stop() {
    let origin = shop().await;
    let Some(postgres) = Postgres::start() else { return };
    let setup = proxy(origin.address, &postgres.url());
    let mut program = setup.start();
    waits("it does not connect", async || fleet_of(&program).await["connected"] == true).await;
    postgres.signal("STOP");
    let crowd = Crowd::at(&[program.address]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    waits("nobody says what waits", async || {
        fleet_of(&program).await["behind_entries"].as_u64().unwrap() > 0
    })
    .await;
    let (served, slowest) = crowd.leaves().await;
    assert!(slowest < Duration::from_secs(20), "somebody waited for {slowest:?}");
    let since = Instant::now();
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(40), "{:?}", since.elapsed());
    postgres.signal("CONT");
    let program = setup.start();
    all_sent(&program).await;
    until("not everything is there", || {
        postgres.number("SELECT count(*) FROM entry") == served as i64
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_got_over() {
    let origin = shop().await;
    let Some(postgres) = Postgres::start() else { return };
    let setup = proxy(origin.address, &postgres.url());
    let program = setup.start();
    visitor_at(program.address).opens("/").await;
    waits("nothing is sent", async || {
        fleet_of(&program).await["connected"] == true
            && postgres.sql("SELECT to_regclass('shipment')") == ["shipment"]
            && postgres.number("SELECT count(*) FROM entry") == 1
    })
    .await;
    // What the server says when it cannot make a file longer.
    postgres.sql(
        "CREATE FUNCTION is_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'could not extend file: No space left on device'
                 USING ERRCODE = '53100';
         END $$;
         CREATE TRIGGER is_full BEFORE INSERT ON shipment EXECUTE FUNCTION is_full()",
    );
    visitor_at(program.address).opens("/shoes").await;
    waits("it is not told", async || {
        let fleet = fleet_of(&program).await;
        fleet["last_error"].as_str().is_some_and(|why| why.contains("No space left on device"))
            && fleet["behind_entries"] == 1
    })
    .await;
    postgres.sql("DROP TRIGGER is_full ON shipment");
    all_sent(&program).await;
    assert_eq!(fleet_of(&program).await["last_error"], serde_json::Value::Null);
    assert_eq!(postgres.number("SELECT count(*) FROM entry"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_never_shown() {
    let origin = shop().await;
    let Some(postgres) = Postgres::start() else { return };
    let url = postgres.url_of("consentry", "hush-hush");
    let ledger = format!("[ledger]\nkeep_days = 30\npostgres_url = {url:?}");
    let setup = Setup::new(origin.address, &ledger);
    let mut program = setup.start();
    // Whoever set keep_days may think that it holds there, too.
    program.says("`keep_days` is about this proxy's own ledger; the shared one keeps everything");
    program.says("does not let us in");
    assert_eq!(visitor_at(program.address).opens("/").await.status, 200);
    let config = setup.file("consentry.toml");
    let check = runs(&["check", "--config", config.to_str().unwrap()]);
    assert_eq!(check.0, 0, "{check:?}");
    let ready = asked(&program, "/readyz").await;
    assert!(ready.contains("password authentication failed"), "{ready}");
    assert!(ready.contains("\"connected\":false"), "{ready}");
    let metrics = asked(&program, "/metrics").await;
    for said in [ready, metrics, check.1, program.log().join("\n")] {
        assert!(!said.contains("hush"), "{said}");
    }
    // A line of the file with a mistake in it is shown without it, too.
    for wrong in ["postgres://me:hush-hush@/x", "postgres://me:hush@hush@db/x", "hush-hush"] {
        setup.configure(origin.address, &format!("[ledger]\npostgres_url = {wrong:?}"));
        let (code, said) = runs(&["check", "--config", config.to_str().unwrap()]);
        assert_eq!(code, 78, "{said}");
        assert!(said.contains("consentry.toml:4:") && said.contains("shared ledger"), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
}
