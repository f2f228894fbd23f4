//! K5: a synthetic visitor looks at the site from outside, and nobody counts
//! it.

use crate::dashboard::{people, signed_in};
use crate::harness::{Proxy, consentry, origin, visitor};
use crate::program::Setup;
use crate::tls::Authority;

use consentry::catalogue::Catalogue;
use consentry::ledger::read::Reader;
use consentry::policy::{Effect, Exception, Policy, Scope};
use consentry::site::{Site, Sites};
use consentry::watch::self_check::{State, Status};
use http::Response;
use http_body_util::Full;
use std::sync::Arc;
use std::time::{Duration, Instant};

const EVERY_SECOND: &str = "[self_check]\ninterval_s = 1\nhost = 'shop.example'\n";

const PAGE: &str = "<!doctype html><body><script src=\"https://ads.acme.example/p.js\"></script>\
    <script src=\"https://cdn.stranger.example/s.js\"></script><script>acme('init')</script>\
    <a href=\"https://ads.acme.example/\">ads</a></body>";

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known once it is as `wanted`.
async fn status_once(proxy: &Proxy, wanted: impl Fn(&Status) -> bool) -> Status {
    let since = Instant::now();
    loop {
        let status = proxy.running().self_check.status();
        if wanted(&status) {
            return status;
        }
        assert!(since.elapsed() < PATIENCE, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_green(status: &Status) -> bool {
    status.is_green() == Some(true)
}

fn is_red(status: &Status) -> bool {
    status.is_green() == Some(false)
}

fn findings(status: &Status, state: State) -> Vec<String> {
    let states = status.sites.iter().flat_map(|site| &site.states);
    let found = states.filter(|found| found.state == state).flat_map(|found| &found.findings);
    found.map(ToString::to_string).collect()
}

/// The same sites with something changed about each.
fn changed(sites: &Sites, change: impl Fn(&Site) -> Site) -> Sites {
    let mut all = Sites::default();
    sites.iter().for_each(|site| all.insert(change(site)).unwrap());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn k5_a_site_that_keeps_its_promise_is_green_and_the_visitor_is_in_no_figure() {
    let vendor = origin().start().await;
    let tag = format!("<script src=\"http://ads.acme.localhost:{}/p.js\">", vendor.address.port());
    let origin = origin().page("/", &format!("{PAGE}{tag}</script>")).start().await;
    let proxy = consentry(&origin).config(EVERY_SECOND).start().await;
    let first = status_once(&proxy, |status| status.last_run_ms.is_some()).await;
    let later = status_once(&proxy, |status| status.last_run_ms > first.last_run_ms).await;
    assert!(is_green(&later), "{later:#?}");
    let site = &later.sites[0];
    assert_eq!((site.site.as_str(), site.skipped.as_deref()), ("default", None));
    assert_eq!(site.states.iter().map(|found| found.state).collect::<Vec<_>>(), State::ALL);
    assert!(site.states.iter().all(|found| found.unseen.is_none()), "{site:#?}");

    let mut admin = crate::harness::visitor_at(proxy.admin);
    let metrics = admin.opens("/metrics").await.body;
    for state in State::ALL {
        let line =
            format!("consentry_self_check_ok{{site=\"default\",state=\"{}\"}} 1\n", state.name());
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    for counted in [
        "consentry_decisions_total{",
        "consentry_exchanges_total{",
        "consentry_choices_total{",
        "consentry_failures_total{",
    ] {
        assert!(!metrics.contains(counted), "{counted}\n{metrics}");
    }
    assert!(metrics.contains("consentry_unlisted_hosts_total 0\n"), "{metrics}");
    assert!(metrics.contains("http_server_request_duration_seconds_count 0\n"), "{metrics}");
    let ready: serde_json::Value =
        serde_json::from_str(&admin.opens("/readyz").await.body).unwrap();
    assert_eq!((&ready["ready"], &ready["self_check"]["ok"]), (&true.into(), &true.into()));

    assert_eq!(proxy.ledger().await, Vec::<String>::new());
    let ledger = Reader::open(proxy.directory().join("ledger.db")).unwrap();
    ledger.receipts(None, None, |receipt| panic!("{receipt:?}")).unwrap();
    assert_eq!(vendor.connections(), 0, "what a page names is never loaded");
    assert!(!origin.seen().is_empty());
    for seen in origin.seen() {
        assert!(!seen.headers.contains_key("consentry-self-check"), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k5_a_catalogue_that_lost_its_rules_is_red_and_green_again_when_it_has_them() {
    // Nothing on this page would tell.
    let origin = origin().page("/", "<!doctype html><p>Hello</p>").start().await;
    let proxy = consentry(&origin).config(EVERY_SECOND).start().await;
    status_once(&proxy, is_green).await;
    let sites = proxy.running().sites();
    let empty = Arc::new(Catalogue::compile(&[]).unwrap());
    proxy.running().replace_sites(changed(&sites, |site| Site {
        policy: site.policy.with_catalogue(Arc::clone(&empty)).into(),
        ..site.clone()
    }));
    let red = status_once(&proxy, is_red).await;
    for state in [State::Undecided, State::Gpc, State::Refused, State::Withdrawn] {
        let found = findings(&red, state);
        for part in ["fbevents.js", "cookie _fbp", "parameter fbclid", "inline fbq(", "youtube"] {
            assert!(found.iter().any(|found| found.contains(part)), "{part}: {found:#?}");
        }
        assert!(found[0].contains("passed although nobody agreed to it"), "{found:#?}");
    }
    assert_eq!(findings(&red, State::Accepted), Vec::<String>::new());
    let mut admin = crate::harness::visitor_at(proxy.admin);
    let metrics = admin.opens("/metrics").await.body;
    assert!(metrics.contains("self_check_ok{site=\"default\",state=\"gpc\"} 0\n"), "{metrics}");
    let ready = admin.opens("/readyz").await;
    assert_eq!(ready.status, 200, "visitors are served all the same");
    assert!(ready.body.contains("fbevents.js"), "{}", ready.body);

    proxy.running().replace_sites((*sites).clone());
    status_once(&proxy, is_green).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k5_an_exception_for_everything_is_red_and_one_that_names_a_vendor_is_not() {
    let origin = origin().page("/", "<!doctype html><p>Hello</p>").start().await;
    let proxy = consentry(&origin).config(&format!("{EVERY_SECOND}{}", people())).start().await;
    status_once(&proxy, is_green).await;
    let sites = proxy.running().sites();
    let allowing = |scope: Scope| {
        let exception = Arc::new(Exception {
            scope,
            effect: Effect::Allow,
            owner: "Ana Lee".to_owned(),
            reason: "a test".to_owned(),
            expires: "2099-12-31".parse().unwrap(),
            place: consentry::catalogue::Place { file: "c.toml".into(), line: 1 },
        });
        changed(&sites, move |site| Site {
            policy: Policy::clone(&site.policy).with_exceptions([Arc::clone(&exception)]).into(),
            ..site.clone()
        })
    };
    proxy.running().replace_sites(allowing(Scope::default()));
    let red = status_once(&proxy, is_red).await;
    assert!(!findings(&red, State::Refused).is_empty(), "{red:#?}");
    let mut ana = signed_in(proxy.admin, "ana").await;
    let page = ana.opens("/").await.body;
    assert!(page.contains("The self-check is red"), "{page}");
    let page = ana.opens("/alerts").await.body;
    assert!(page.contains(">red<") && page.contains("passed although nobody agreed"), "{page}");

    let vendor = Some("meta-pixel".to_owned());
    proxy.running().replace_sites(allowing(Scope { vendor, ..Scope::default() }));
    status_once(&proxy, is_green).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k5_a_tracker_that_passes_on_the_sites_own_page_is_named() {
    // Nobody knows this coding, and the operator lets such pages pass.
    let origin = origin()
        .answer("/", |_| {
            Response::builder()
                .header("content-type", "text/html")
                .header("content-encoding", "sdch")
                .body(Full::from(PAGE))
                .unwrap()
        })
        .start()
        .await;
    let config = format!("{EVERY_SECOND}[danger]\npass_unfilterable = ['/']\n");
    let proxy = consentry(&origin).config(&config).start().await;
    let red = status_once(&proxy, is_red).await;
    let found = findings(&red, State::Undecided);
    assert!(
        found.contains(
            &"/: script ads.acme.example/p.js (Acme Ads) passed although nobody agreed to it"
                .to_owned()
        ),
        "{found:#?}"
    );
    assert!(found.iter().any(|found| found.contains("the notice is not in the page")), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k5_the_canary_is_for_nobody_else_and_a_guessed_key_opens_nothing() {
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin).config(EVERY_SECOND).start().await;
    status_once(&proxy, is_green).await;
    let mut guesser = visitor(&proxy).sending("consentry-self-check", &"0".repeat(64));
    origin.forgets();
    assert_eq!(guesser.opens("/.consentry/canary").await.status, 404);
    guesser.opens("/").await;
    assert!(proxy.ledger().await.iter().any(|line| line.contains("ads.acme.example")));
    let shown = |seen: &crate::harness::Seen| seen.headers.contains_key("consentry-self-check");
    assert!(!origin.seen().iter().any(shown));
}

#[tokio::test(flavor = "multi_thread")]
async fn k5_what_stands_on_the_canary_opens_nothing_for_visitors() {
    let widget = "<!doctype html><body><script src=\"https://maps.acme.example/m.js\"></script>";
    let script = |_| {
        let answer = Response::builder().header("content-type", "text/javascript");
        answer.body(Full::from("1")).unwrap()
    };
    let origin = origin().page("/", PAGE).page("/map", widget);
    let origin = origin.answer("/worker.js", script).start().await;
    // So that some of what stands there passes before anybody agrees.
    let except = |vendor: &str| {
        format!(
            "[[exception]]\nvendor = '{vendor}'\nverdict = 'allow'\nowner = 'Ana Lee'\n\
             reason = 'a test'\nexpires = 2099-12-31\n"
        )
    };
    let config = format!("{EVERY_SECOND}{}{}", except("youtube"), except("acme-maps"));
    let proxy = consentry(&origin).config(&config).start().await;
    let first = status_once(&proxy, is_green).await;
    status_once(&proxy, |status| status.last_run_ms > first.last_run_ms).await;
    let mut somebody = visitor(&proxy).at_host("shop.example");
    somebody.opens("/map").await;
    let page = somebody.asks("GET", "/worker.js", &[("sec-fetch-dest", "worker")], "").await;
    let policies = page.all("content-security-policy").join(" ");
    assert!(policies.contains("maps.acme.example"), "{policies}");
    assert!(!policies.contains("youtube"), "{policies}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k5_nobody_looks_where_nothing_is_withheld_or_no_host_is_known() {
    let origin = origin().page("/", PAGE).start().await;
    for (config, site, why) in [
        ("[self_check]\ninterval_s = 1\n", "", "it answers to any host"),
        (EVERY_SECOND, "mode = 'observe'", "nothing is withheld there"),
    ] {
        let config = format!("{config}{}", people());
        let proxy = consentry(&origin).config(&config).site(site).start().await;
        let status = status_once(&proxy, |status| status.last_run_ms.is_some()).await;
        assert!(status.sites[0].skipped.as_ref().unwrap().starts_with(why), "{status:#?}");
        assert!(status.sites[0].states.is_empty());
        assert_eq!(status.is_green(), None, "nothing was looked at");
        let mut ana = signed_in(proxy.admin, "ana").await;
        let page = ana.opens("/").await.body;
        for part in ["has not looked at any site", "1 site is not looked at: default", why] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("all is well"), "{page}");
    }
    let proxy = consentry(&origin).config("[self_check]\ninterval_s = 0\n").start().await;
    assert_eq!(proxy.running().self_check.status(), Status::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn k5_a_reload_says_where_to_look_from_then_on() {
    let origin = origin().page("/", PAGE).page("/sale", PAGE).start().await;
    let setup = Setup::new(origin.address, EVERY_SECOND);
    let mut program = setup.start();
    let elsewhere = EVERY_SECOND.replace("= 1", "= 2").replace("shop", "www.shop");
    setup.configure(origin.address, &format!("{elsewhere}path = '/sale'\n"));
    program.reloads();
    let told = program.says("needs a restart");
    assert!(told.contains("self_check.interval_s"), "{told}");
    let (mut admin, since) = (crate::harness::visitor_at(program.admin), Instant::now());
    loop {
        let ready: serde_json::Value =
            serde_json::from_str(&admin.opens("/readyz").await.body).unwrap();
        let site = &ready["self_check"]["sites"][0];
        if site["path"] == "/sale" && site["host"] == "www.shop.example" {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{ready:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k5_a_site_that_is_gone_has_no_figure_any_more() {
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin).config(EVERY_SECOND).start().await;
    status_once(&proxy, is_green).await;
    let figures = || proxy.running().observe.exposition().contains("self_check_ok{");
    assert!(figures());
    proxy.running().replace_sites(Sites::default());
    status_once(&proxy, |status| status.sites.is_empty()).await;
    assert!(!figures());
}

#[tokio::test(flavor = "multi_thread")]
async fn k5_a_site_over_https_is_looked_at_over_https_here_or_in_front() {
    let authority = Authority::signing("shop.example");
    let page = |seen: crate::harness::Seen| match seen.headers["x-forwarded-proto"].as_bytes() {
        b"https" => Response::builder()
            .header("content-type", "text/html")
            .body(Full::from("<!doctype html><p>Hello</p>"))
            .unwrap(),
        _ => Response::builder()
            .status(301)
            .header("location", "https://shop.example/")
            .body(Full::default())
            .unwrap(),
    };
    for config in [authority.listener(), String::new()] {
        let origin = origin().answer("/", page).start().await;
        let proxy = consentry(&origin).config(&format!("{EVERY_SECOND}{config}")).start().await;
        let status = status_once(&proxy, is_green).await;
        let states = &status.sites[0].states;
        assert!(states.iter().all(|state| state.unseen.is_none()), "{status:#?}");
        assert_eq!(origin.seen().last().unwrap().headers["x-forwarded-proto"], "https");
    }
}
