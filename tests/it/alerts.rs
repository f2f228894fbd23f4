//! G3, G4, G6: what people have to know reaches them, once.

use crate::harness::{Origin, Proxy, consentry, origin, visitor};

use bytes::Bytes;
use consentry::catalogue::Kind as Sort;
use consentry::consent::{ReceiptId, Source};
use consentry::ledger::receipt::hash_of;
use consentry::ledger::{Act, Entry, Method, Receipt};
use consentry::observe::ListUsed;
use consentry::policy::{Basis, Decision, Decisions, Layer, Mode, Verdict};
use consentry::purpose::PurposeSet;
use consentry::watch::Desk;
use consentry::watch::alerts::{Alert, Kind, Phase, Rounds, Settings};
use hmac::{Hmac, KeyInit, Mac};
use http::Response;
use http_body_util::Full;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TAG: &str = "<!doctype html><script src=\"https://stats.acme.example/s.js\"></script>";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn sections(receiver: SocketAddr, proxy: &crate::harness::ProxyBuilder) -> String {
    let secret = proxy.path("secret");
    std::fs::write(&secret, SECRET).unwrap();
    format!(
        "[alerts]\nwebhook_url = 'http://{receiver}/hook'\nwebhook_secret_file = {secret:?}\n\
         batch_s = 1\nrepeat_s = 0\nlearning_s = 0\n"
    )
}

fn receiver() -> crate::harness::OriginBuilder {
    origin().answer("/hook", |_| Response::new(Full::default()))
}

/// What a receiver was told, in order; each post is signed.
fn told(receiver: &Origin) -> Vec<Alert> {
    let posts = receiver.seen().into_iter();
    posts
        .flat_map(|post| {
            let signature = post.headers["consentry-signature"].to_str().unwrap();
            let (time, mark) = signature.split_once(",v1=").unwrap();
            let time = time.strip_prefix("t=").unwrap();
            let mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
            let mac = mac.chain_update(time).chain_update(".").chain_update(&post.body);
            let digits: String =
                mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(mark, digits);
            let body: serde_json::Value = serde_json::from_slice(&post.body).unwrap();
            serde_json::from_value::<Vec<Alert>>(body["alerts"].clone()).unwrap()
        })
        .collect()
}

async fn told_once(receiver: &Origin, wanted: impl Fn(&Alert) -> bool) -> Alert {
    let since = Instant::now();
    loop {
        let told = told(receiver);
        if let Some(alert) = told.iter().find(|alert| wanted(alert)) {
            return alert.clone();
        }
        assert!(since.elapsed() < PATIENCE, "{told:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_about(vendor: &str) -> impl Fn(&Alert) -> bool {
    move |alert| alert.things.iter().any(|thing| thing.vendor == vendor)
}

/// What a browser reports that a tag manager wanted to load.
async fn reports(proxy: &Proxy, page: &str, blocked: &str) {
    let mut visitor = visitor(proxy);
    let host = proxy.address;
    let body = format!(
        r#"{{"csp-report":{{"document-uri":"http://{host}{page}?mail=a@b.example","effective-directive":"script-src-elem",
            "blocked-uri":"{blocked}","source-file":"https://www.googletagmanager.com/gtm.js?id=GTM-ABC"}}}}"#
    );
    let origin = format!("http://{host}");
    let fields = [("content-type", "application/csp-report"), ("origin", origin.as_str())];
    assert_eq!(visitor.asks("POST", "/.consentry/reports", &fields, &body).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_deploy_that_adds_a_tag_is_exactly_one_alert_also_after_a_restart() {
    let receiver = receiver().start().await;
    let origin = origin().page("/", TAG).start().await;
    let proxy = consentry(&origin);
    let config = sections(receiver.address, &proxy);
    let proxy = proxy.config(&config).start().await;
    visitor(&proxy).opens("/").await;
    told_once(&receiver, is_about("Acme Stats")).await;

    // Somebody adds a tag to a container; nobody deploys the site.
    reports(&proxy, "/sale", "https://ads.acme.example/p.js").await;
    let alert = told_once(&receiver, is_about("Acme Ads")).await;
    assert_eq!((alert.kind, alert.phase), (Kind::NewVendor, Phase::Happened));
    assert_eq!(
        alert.summary,
        "default: new vendor Acme Ads, first on /sale, asked for by \
         www.googletagmanager.com/gtm.js?id=GTM-ABC; it is withheld until visitors agree"
    );
    let thing = &alert.things[0];
    assert_eq!((thing.page.as_str(), thing.purpose.as_str()), ("/sale", "marketing"));
    assert!(alert.things.iter().any(|thing| thing.name == "ads.acme.example"), "{alert:#?}");

    // What is on its way when a proxy ends is brought again, under the same id.
    nothing_waits(&proxy).await;
    let directory = proxy.stop().await;
    let proxy = consentry(&origin).in_directory(directory).config(&config).start().await;
    for _ in 0..3 {
        reports(&proxy, "/sale", "https://ads.acme.example/p.js").await;
        visitor(&proxy).opens("/").await;
    }
    reports(&proxy, "/", "https://maps.acme.example/m.js").await;
    told_once(&receiver, is_about("Acme Maps")).await;
    let all = told(&receiver);
    for vendor in ["Acme Stats", "Acme Ads", "Acme Maps"] {
        let about = all.iter().filter(|alert| is_about(vendor)(alert));
        assert_eq!(about.count(), 1, "{vendor}: {all:#?}");
    }
    let everything: String =
        receiver.seen().iter().map(|post| format!("{:?}", post.body)).collect();
    assert!(!everything.contains("a@b.example") && !everything.contains("127.0.0.1"));
}

/// Returns when it is on record that the receiver has everything.
async fn nothing_waits(proxy: &Proxy) {
    let since = Instant::now();
    while !proxy.running().observe.exposition().contains("consentry_alerts_waiting 0\n") {
        assert!(since.elapsed() < PATIENCE, "{}", proxy.running().observe.exposition());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_receiver_that_was_down_or_failed_gets_it_later() {
    let nobody = receiver().start().await;
    let address = nobody.address;
    drop(nobody);
    let origin = origin().page("/", TAG).start().await;
    let proxy = consentry(&origin);
    let config = sections(address, &proxy);
    let proxy = proxy.config(&config).start().await;
    visitor(&proxy).opens("/").await;
    let since = Instant::now();
    while !proxy.running().observe.exposition().contains("consentry_alerts_waiting 1\n") {
        assert!(since.elapsed() < PATIENCE, "{}", proxy.running().observe.exposition());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let directory = proxy.stop().await;

    let failing = crate::harness::origin()
        .answer("/hook", |_| {
            Response::builder().status(500).body(Full::<Bytes>::default()).unwrap()
        })
        .start_at(address)
        .await;
    let proxy = consentry(&origin).in_directory(directory).config(&config).start().await;
    let since = Instant::now();
    while failing.seen().len() < 2 {
        assert!(since.elapsed() < PATIENCE, "it tries again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let first = told(&failing)[0].clone();
    drop(failing);
    let working = receiver().start_at(address).await;
    let alert = told_once(&working, is_about("Acme Stats")).await;
    assert_eq!(alert, first, "the same alert has the same number");
    let since = Instant::now();
    while proxy.running().desk.told().waiting > 0 {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(proxy.running().desk.told().recent.len(), 1);
}

/// The alerts of a proxy, with a clock of our own.
struct Watch {
    proxy: Proxy,
    rounds: Rounds,
    settings: Settings,
}

async fn watch(config: &str, settings: Settings) -> Watch {
    let origin = origin().page("/", TAG).start().await;
    let proxy = consentry(&origin).config(config).start().await;
    let rounds = rounds(&proxy, &settings);
    Watch { proxy, rounds, settings }
}

fn rounds(proxy: &Proxy, settings: &Settings) -> Rounds {
    let running = proxy.running();
    let beside = proxy.directory().join("watched.db");
    Rounds::new(
        Arc::new(Desk::open(&beside, settings.clone(), Arc::clone(&running.observe))),
        Arc::clone(&running.ledger),
        Arc::new(arc_swap::ArcSwap::new(running.sites())),
        Arc::clone(&running.observe),
        Arc::clone(&running.self_check),
    )
}

impl Watch {
    /// Another process goes on.
    fn restarts(&mut self) {
        self.rounds = rounds(&self.proxy, &self.settings);
    }

    /// What is told in a round at that time.
    fn goes(&self, now_ms: u64) -> Vec<(Kind, Phase, String)> {
        let before = self.rounds.desk.told().recent;
        self.rounds.go(now_ms);
        let mut recent = self.rounds.desk.told().recent;
        recent.retain(|alert| before.iter().all(|known| known.id != alert.id));
        recent.reverse();
        recent.into_iter().map(|alert| (alert.kind, alert.phase, alert.summary)).collect()
    }

    fn kinds(&self, now_ms: u64) -> Vec<(Kind, Phase)> {
        self.goes(now_ms).into_iter().map(|(kind, phase, _)| (kind, phase)).collect()
    }

    fn fills(&self, fill: impl FnOnce(&mut consentry::ledger::Spool)) {
        let ledger = &self.proxy.running().ledger;
        let mut spool = ledger.spool(77).unwrap();
        fill(&mut spool);
        drop(spool);
        ledger.flush().unwrap();
    }
}

fn view(time_ms: u64, host: &str, gpc: bool) -> Entry {
    let mut decisions = Decisions::default();
    decisions.push(Decision {
        verdict: Verdict::Allow(Basis::Unlisted),
        layer: Layer::Html,
        kind: Sort::Script,
        what: format!("{host}/s.js"),
        vendor: None,
        rule: None,
        via: None,
        exception: None,
    });
    Entry {
        time_ms,
        site: "default".into(),
        page: "/".to_owned(),
        class: PurposeSet::NECESSARY,
        undecided: !gpc,
        signal: if gpc { Source::Gpc } else { Source::Silence },
        policy_revision: "r1".into(),
        mode: Mode::Enforce,
        decisions,
    }
}

fn refusal(number: u64, time_ms: u64) -> Receipt {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Receipt {
        number: ReceiptId::new(bytes),
        time_ms,
        site: "default".to_owned(),
        granted: PurposeSet::NECESSARY,
        asked: PurposeSet::ALL,
        vendors_allowed: Vec::new(),
        vendors_refused: Vec::new(),
        act: if number.is_multiple_of(2) { Act::Refuse } else { Act::Accept },
        method: Method::Form,
        gpc: false,
        notice_revision: 1,
        notice: hash_of("ask"),
        choices: hash_of("choose"),
        language: "en".to_owned(),
        valid_s: 1000,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_notice_that_nobody_sees_is_told_within_a_day_and_not_after_40() {
    let mut watch = watch("", Settings::default()).await;
    let start = 20_000 * DAY;
    // Ten undecided views an hour and two choices, for four weeks; then the
    // notice is broken, and the pages are served as before.
    let broken = start + 28 * DAY;
    let mended = broken + 40 * DAY;
    watch.fills(|spool| {
        for hour in 0..69 * 24 {
            let time = start + hour * HOUR;
            (0..10).for_each(|n| spool.append(&view(time + n, "cdn.example", false)));
            if !(broken..mended).contains(&time) {
                (0..2).for_each(|n| spool.keep(&refusal(hour * 2 + n, time + n)));
            }
        }
    });
    let quiet = |told: Vec<(Kind, Phase, String)>| {
        told.into_iter()
            .filter(|(kind, ..)| matches!(kind, Kind::NoChoices | Kind::NoRefusals | Kind::NoGpc))
            .collect::<Vec<_>>()
    };
    for hour in 24..=28 * 24 {
        assert_eq!(quiet(watch.goes(start + hour * HOUR)), [], "{hour}");
    }
    let first = (1..960).find_map(|hour| {
        let told = quiet(watch.goes(broken + hour * HOUR));
        (!told.is_empty()).then_some((hour, told))
    });
    let (hour, told) = first.unwrap();
    assert!(hour <= 24, "{hour}");
    assert_eq!(
        told,
        [(
            Kind::NoChoices,
            Phase::Begun,
            "default: no choices for 12 hours, where about 24 were to be expected".to_owned()
        )]
    );
    watch.restarts();
    for day in 2..=40 {
        assert_eq!(quiet(watch.goes(broken + day * DAY)), [], "it is told once");
    }
    assert_eq!(watch.rounds.desk.told().open.len(), 1, "and still so");
    let told = quiet(watch.goes(mended + 2 * HOUR));
    assert_eq!((told[0].0, told[0].1), (Kind::NoChoices, Phase::Over));
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_what_was_there_before_is_one_sentence_and_what_comes_later_is_not() {
    let now = 20_000 * DAY;
    let mut watch = watch("", Settings::default()).await;
    watch.fills(|spool| {
        (0..300).for_each(|n| spool.append(&view(now - DAY, &format!("h{n}.example"), false)));
    });
    assert_eq!(watch.goes(now), []);
    watch.fills(|spool| spool.append(&view(now + HOUR / 2, "later.example", false)));
    assert_eq!(watch.goes(now + HOUR / 2 + 1), [], "in the first hour all is known");
    watch.restarts();
    let told = watch.goes(now + HOUR);
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].2,
        "default: watched from now on; known so far: 0 vendors, 301 hosts, 0 cookies"
    );
    watch.fills(|spool| spool.append(&view(now + 2 * HOUR, "new.example", false)));
    let told = watch.goes(now + 2 * HOUR);
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].2,
        "default: new host new.example, first on /; nobody in the catalogue claims it, and it passes"
    );
    watch.restarts();
    assert_eq!(watch.goes(now + 3 * HOUR), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_made_up_hosts_by_the_thousand_are_one_alert_and_what_is_real_stands_beside_it() {
    let settings = Settings { learning: Duration::ZERO, ..Settings::default() };
    let watch = watch("", settings).await;
    let now = 20_000 * DAY;
    assert_eq!(watch.goes(now), []);
    watch.fills(|spool| {
        (0..2000).for_each(|n| spool.append(&view(now, &format!("h{n}.example"), false)));
    });
    reports(&watch.proxy, "/sale", "https://ads.acme.example/p.js").await;
    watch.fills(|_| ());
    let since = Instant::now();
    let mut told = watch.goes(now + 1);
    while told.len() < 2 {
        assert!(since.elapsed() < PATIENCE, "{told:?}");
        watch.fills(|_| ());
        told.extend(watch.goes(now + 2));
    }
    assert_eq!(told.len(), 2, "{told:?}");
    let summary = |kind| &told.iter().find(|told| told.0 == kind).unwrap().2;
    assert!(summary(Kind::NewVendor).starts_with("default: new vendor Acme Ads, first on /sale"));
    assert!(summary(Kind::NewHost).starts_with(
        "default: 2000 new hosts at once, the first h0.example on /; see the page New"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_an_expired_exception_is_told_once_with_who_answers_for_it() {
    let exception = "[[exception]]\nhost = 'ads.acme.example'\nverdict = 'allow'\n\
        owner = 'Ana Lee'\nreason = 'fraud check of the bank'\nexpires = 2026-03-31\n";
    let mut watch = watch(exception, Settings::default()).await;
    let day = |text: &str| {
        let time: jiff::Timestamp = format!("{text}T12:00:00Z").parse().unwrap();
        time.as_millisecond().cast_unsigned()
    };
    assert_eq!(watch.goes(day("2026-03-31")), []);
    let told = watch.goes(day("2026-04-01"));
    assert_eq!((told.len(), told[0].0), (1, Kind::ExceptionExpired));
    assert!(told[0].2.starts_with("the exception of Ana Lee until 2026-03-31 ("), "{told:?}");
    watch.restarts();
    assert_eq!(watch.goes(day("2026-04-02")), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_an_owner_who_was_to_look_again_is_told_of_once() {
    let ownership = "[[ownership]]\nvendor = 'acme-ads'\nowner = 'Ana Lee'\n\
        reason = 'the summer campaign'\nreview = 2026-03-31\n";
    let mut watch = watch(ownership, Settings::default()).await;
    let time: jiff::Timestamp = "2026-03-31T12:00:00Z".parse().unwrap();
    let now = time.as_millisecond().cast_unsigned();
    assert_eq!(watch.goes(now), []);
    let told = watch.goes(now + DAY);
    assert_eq!((told.len(), told[0].0), (1, Kind::OwnershipDue));
    let summary = "Ana Lee answers for acme-ads, and was to look at it again by 2026-03-31 (";
    assert!(told[0].2.starts_with(summary), "{told:?}");
    watch.restarts();
    assert_eq!(watch.goes(now + 2 * DAY), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_list_that_is_missing_or_old_is_told_until_it_is_there() {
    let watch = watch("", Settings::default()).await;
    let observe = &watch.proxy.running().observe;
    let now = 20_000 * DAY;
    let used = |has, checked_s| observe.emit(&ListUsed { list: "easy", has, checked_s });
    used(false, 0);
    assert_eq!(watch.kinds(now), [(Kind::ListMissing, Phase::Begun)]);
    assert_eq!(watch.kinds(now + HOUR), []);
    used(true, now / 1000);
    assert_eq!(watch.kinds(now + 2 * HOUR), [(Kind::ListMissing, Phase::Over)]);
    assert_eq!(watch.kinds(now + 7 * DAY), []);
    assert_eq!(watch.kinds(now + 8 * DAY), [(Kind::ListStale, Phase::Begun)]);
    used(true, (now + 8 * DAY) / 1000);
    assert_eq!(watch.kinds(now + 8 * DAY + HOUR), [(Kind::ListStale, Phase::Over)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_ledger_that_cannot_be_written_and_what_it_lost_is_told() {
    let watch = watch("", Settings::default()).await;
    let now = 20_000 * DAY;
    assert_eq!(watch.kinds(now), []);
    let path = watch.proxy.directory().join("ledger.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    visitor(&watch.proxy).opens("/").await;
    let trouble = |wanted: bool| {
        let since = Instant::now();
        while watch.proxy.running().ledger.status().last_error.is_some() != wanted {
            assert!(since.elapsed() < PATIENCE, "{wanted}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    trouble(true);
    assert_eq!(watch.kinds(now + 1), [(Kind::LedgerTrouble, Phase::Begun)]);
    other.execute_batch("ROLLBACK").unwrap();
    trouble(false);
    assert_eq!(watch.kinds(now + 2), [(Kind::LedgerTrouble, Phase::Over)]);

    // What a process left that died while it wrote.
    std::fs::write(watch.proxy.directory().join("ledger.db.spool/1-2-3-4.jsonl"), "{\"x\n")
        .unwrap();
    let since = Instant::now();
    let told = loop {
        watch.proxy.running().ledger.flush().unwrap();
        let told = watch.goes(now + HOUR);
        if !told.is_empty() {
            break told;
        }
        assert!(since.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((told.len(), told[0].0), (1, Kind::EntriesLost));
    assert_eq!(told[0].2, "1 entries of the ledger are lost; the log says so itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_loss_that_is_stored_late_is_told_all_the_same() {
    let mut watch = watch("", Settings::default()).await;
    let now = 20_000 * DAY;
    let other = rusqlite::Connection::open(watch.proxy.directory().join("ledger.db")).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    let lost = |time_ms: u64, lost: i64| {
        let sql = "INSERT INTO gap (time_ms, since_ms, lost, why) VALUES (?1, ?1, ?2, 'a test')";
        other.execute(sql, (time_ms.cast_signed(), lost)).unwrap();
    };
    lost(now - DAY, 1);
    assert_eq!(watch.goes(now), [], "what was lost before anybody watched is known");
    lost(now + 1000, 2);
    assert_eq!(watch.kinds(now + 2000), [(Kind::EntriesLost, Phase::Happened)]);
    // A spool that could not be read for an hour, and one more of that moment.
    lost(now - HOUR, 3);
    lost(now + 1000, 4);
    watch.restarts();
    let told = watch.goes(now + 3000);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].2, "7 entries of the ledger are lost; the log says so itself");
    assert_eq!(watch.goes(now + 4000), []);
    // Another ledger begins to count anew.
    other.execute("DELETE FROM gap", []).unwrap();
    assert_eq!(watch.goes(now + 5000), []);
    lost(now + 1000, 4);
    assert_eq!(watch.kinds(now + 6000), [(Kind::EntriesLost, Phase::Happened)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_choices_that_are_sent_and_not_taken_are_told() {
    let watch = watch("", Settings::default()).await;
    let now = 20_000 * DAY;
    let mut working = visitor(&watch.proxy);
    assert_eq!(working.chooses("none", &[]).await.status, 303);
    // A server in front sends another host than the visitor sees.
    let origin = [
        ("origin", "https://www.shop.example"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    for _ in 0..19 {
        let page = working.asks("POST", "/.consentry/choices", &origin, "choice=none").await;
        assert_eq!(page.status, 403);
    }
    assert_eq!(watch.goes(now), []);
    working.asks("POST", "/.consentry/choices", &origin, "choice=none").await;
    let told = watch.goes(now + 60_000);
    assert_eq!((told[0].0, told[0].1), (Kind::ChoicesNotTaken, Phase::Begun));
    assert!(
        told[0].2.contains("20 choices of visitors were not taken within the hour, and 1 were")
    );
    assert_eq!(watch.kinds(now + HOUR - 1), []);
    assert_eq!(
        watch.kinds(now + 2 * HOUR + 60_000),
        [(Kind::ChoicesNotTaken, Phase::Over)],
        "an hour without"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn k5_a_red_self_check_is_an_alert_and_so_is_green_again() {
    let receiver = receiver().start().await;
    let origin = origin().page("/", TAG).start().await;
    let proxy = consentry(&origin);
    let config = sections(receiver.address, &proxy);
    let config = format!("{config}[self_check]\ninterval_s = 1\nhost = 'shop.example'\n");
    let proxy = proxy.config(&config).start().await;
    let sites = proxy.running().sites();
    let empty = Arc::new(consentry::catalogue::Catalogue::compile(&[]).unwrap());
    let mut broken = consentry::site::Sites::default();
    for site in sites.iter() {
        let policy = site.policy.with_catalogue(Arc::clone(&empty));
        broken.insert(consentry::site::Site { policy: policy.into(), ..(**site).clone() }).unwrap();
    }
    proxy.running().replace_sites(broken);
    let is = |phase| move |alert: &Alert| (alert.kind, alert.phase) == (Kind::SelfCheckRed, phase);
    let red = told_once(&receiver, is(Phase::Begun)).await;
    assert_eq!(red.site.as_deref(), Some("default"));
    assert!(red.details.iter().any(|line| line.contains("fbevents.js")), "{red:#?}");
    proxy.running().replace_sites((*sites).clone());
    told_once(&receiver, is(Phase::Over)).await;
}
