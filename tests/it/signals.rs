//! Choices that a visitor made elsewhere, and places where silence is no "no".

use crate::harness::{Origin, Visitor, consentry, origin, visitor};

use serde_json::{Value, json};

const PAGE: &str = "<title>Shop</title><p>Hello</p>\
    <script src=\"https://ads.acme.example/p.js\"></script>\
    <script src=\"https://stats.acme.example/s.js\"></script>";
const ADS: &str = "ads.acme.example/p.js";
const STATS: &str = "stats.acme.example/s.js";
const NOTICE: &str = "id=\"csy-ask\"";
const LINK: &str = "id=\"csy-link\"";

async fn shop() -> Origin {
    origin().page("/", PAGE).start().await
}

async fn state(visitor: &Visitor) -> Value {
    let page = visitor.clone().opens("/.consentry/state").await;
    serde_json::from_slice(&page.bytes).unwrap()
}

/// Cookiebot's cookie of somebody who just chose.
fn cookiebot(preferences: bool, statistics: bool, marketing: bool) -> String {
    let now_ms =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    format!(
        "{{stamp:'x',necessary:true,preferences:{preferences},statistics:{statistics},marketing:{marketing},method:'explicit',ver:1,utc:{now_ms},region:'fr'}}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn d9_a_choice_in_another_tools_cookie_decides_what_loads_and_the_winner_is_named() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let mut refused = visitor(&proxy).holding("CookieConsent", &cookiebot(false, false, false));
    let page = refused.opens("/").await;
    assert!(!page.body.contains(ADS) && !page.body.contains(STATS), "{}", page.body);
    assert!(!page.body.contains(NOTICE), "nobody is asked twice");

    let mut some = visitor(&proxy).holding("CookieConsent", &cookiebot(false, true, false));
    let page = some.opens("/").await;
    assert!(!page.body.contains(ADS) && page.body.contains(STATS), "{}", page.body);
    // About personalization, that tool did not ask.
    assert!(page.body.contains(NOTICE));
    let said = state(&some).await;
    assert_eq!(said["source"], "cookiebot");
    assert_eq!(
        said["sources"],
        json!({"functional": "cookiebot", "analytics": "cookiebot", "personalization": "silence", "marketing": "cookiebot"})
    );
    let lines = proxy.lines().await;
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|line| line.signal == "cookiebot"), "{lines:?}");

    // What they choose here is the weightier word.
    some.chooses("all", &[]).await;
    let page = some.opens("/").await;
    assert!(page.body.contains(ADS), "{}", page.body);
    assert_eq!(state(&some).await["source"], "choice");
}

#[tokio::test(flavor = "multi_thread")]
async fn d9_ids_of_the_site_count_as_the_operator_explains_them_and_no_notice_asks_again() {
    let origin = shop().await;
    let cookie = "groups=1%3A1%2C2%3A1%2CBG71%3A0&AwaitingReconsent=false";
    let plain = consentry(&origin).start().await;
    let explained = consentry(&origin)
        .site(
            "[site.signal_ids.onetrust]\n1 = [\"necessary\"]\n2 = [\"analytics\", \"functional\"]\nBG71 = [\"marketing\", \"personalization\"]",
        )
        .start()
        .await;
    for (proxy, counts) in [(&plain, false), (&explained, true)] {
        let mut visitor = visitor(proxy)
            .holding("OptanonConsent", cookie)
            .holding("OptanonAlertBoxClosed", "2026-01-01");
        let page = visitor.opens("/").await;
        assert_eq!(page.body.contains(STATS), counts, "{}", page.body);
        assert_eq!(page.body.contains(NOTICE), !counts);
        assert!(!page.body.contains(ADS));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d9_an_operator_decides_which_signals_count() {
    let origin = shop().await;
    for (site, counts) in [
        ("signals = []", false),
        ("signals = [\"auto\", \"-cookiebot\"]", false),
        ("signals = [\"onetrust\", \"tcf\"]", false),
        ("signals = [\"cookiebot\"]", true),
        ("signals = [\"auto\"]", true),
    ] {
        let proxy = consentry(&origin).site(site).start().await;
        let mut visitor = visitor(&proxy).holding("CookieConsent", &cookiebot(true, true, true));
        assert_eq!(visitor.opens("/").await.body.contains(STATS), counts, "{site}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_gpc_is_honoured_on_the_first_request_and_passed_on() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    // Weightier than a "yes" in another tool's cookie.
    let mut signalled = visitor(&proxy)
        .holding("CookieConsent", &cookiebot(true, true, true))
        .sending("sec-gpc", "1");
    let page = signalled.opens("/").await;
    assert!(!page.body.contains(ADS) && page.body.contains(STATS), "{}", page.body);
    assert!(!page.body.contains(NOTICE), "nothing is left to ask");
    let said = state(&signalled).await;
    assert_eq!(
        (&said["source"], &said["sources"]["analytics"]),
        (&json!("gpc"), &json!("cookiebot"))
    );
    assert_eq!(said["sources"]["marketing"], "gpc");
    assert!(proxy.lines().await.iter().all(|line| line.signal == "gpc"));
    for values in [&["1"][..], &["0"], &["0", "1"], &["true"]] {
        origin.forgets();
        let mut visitor = visitor(&proxy);
        let fields: Vec<_> = values.iter().map(|value| ("sec-gpc", *value)).collect();
        visitor.asks("GET", "/", &fields, "").await;
        let seen = origin.seen().pop().unwrap();
        let sent: Vec<_> = seen.headers.get_all("sec-gpc").iter().collect();
        assert_eq!(sent.iter().any(|value| *value == "1"), values.contains(&"1"), "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d7_a_tc_string_and_d8_an_opt_out_count_in_whole_exchanges() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    // A refusal of everything from 2025-09-17 is older than a choice may be;
    // an opt-out has no date.
    for (name, value, source, marketing) in [
        ("usprivacy", "1YYN", "us-privacy", "denied"),
        ("usprivacy", "1YNN", "silence", "undecided"),
        ("IABGPP_HDR_GppString", "DBABJg~BVVVVVg.YA", "gpp", "denied"),
        ("IABGPP_HDR_GppString", "DBABJg~BVVV", "silence", "undecided"),
        ("euconsent-v2", "CPpLj8APpLj8A", "silence", "undecided"),
    ] {
        let visitor = visitor(&proxy).holding(name, value);
        let said = state(&visitor).await;
        assert_eq!(
            (&said["source"], &said["purposes"]["marketing"]),
            (&json!(source), &json!(marketing)),
            "{value}"
        );
        assert!(!visitor.clone().opens("/").await.body.contains("acme.example"));
    }
}

const REGIONS: &str =
    "[regions]\ncountry_header = \"x-country\"\nregion_header = \"x-region\"\noff = [\"JP\"]";

#[tokio::test(flavor = "multi_thread")]
async fn d13_where_a_visitor_may_opt_out_silence_is_yes_and_every_no_counts() {
    let origin = shop().await;
    let proxy = consentry(&origin).config(REGIONS).start().await;
    let html = ("accept", "text/html");
    let from = |country: &str, region: &str| {
        visitor(&proxy)
            .sending(html.0, html.1)
            .sending("sec-fetch-dest", "document")
            .sending("x-country", country)
            .sending("x-region", region)
    };
    let page = from("US", "CA").opens("/").await;
    assert!(page.body.contains(ADS) && page.body.contains(STATS), "{}", page.body);
    assert!(!page.body.contains(NOTICE) && page.body.contains(LINK), "{}", page.body);
    let said = state(&from("US", "CA")).await;
    assert_eq!((&said["source"], &said["undecided"]), (&json!("region"), &json!(false)));
    let page = from("JP", "13").opens("/").await;
    assert!(page.body.contains(ADS) && !page.body.contains("csy-"), "{}", page.body);

    for (country, region) in
        [("DE", "BY"), ("US", "NY"), ("US", ""), ("XX", "CA"), ("", "CA"), ("US,US", "CA")]
    {
        let page = from(country, region).opens("/").await;
        assert!(
            !page.body.contains("acme.example") && page.body.contains(NOTICE),
            "{country}-{region}"
        );
    }
    let page = from("US", "CA").sending("x-country", "DE").opens("/").await;
    assert!(!page.body.contains("acme.example"), "two countries are none");

    let page = from("US", "CA").sending("sec-gpc", "1").opens("/").await;
    assert!(!page.body.contains(ADS) && page.body.contains(STATS), "{}", page.body);
    for (name, value) in [("usprivacy", "1YYN"), ("IABGPP_HDR_GppString", "DBABJg~BVVVVVg")] {
        let page = from("US", "CA").holding(name, value).opens("/").await;
        assert!(!page.body.contains(ADS) && page.body.contains(STATS), "{name}: {}", page.body);
    }
    // It may have been an opt-out.
    let page = from("US", "CA").holding("IABGPP_HDR_GppString", "DBABJg~BVV").opens("/").await;
    assert!(!page.body.contains("acme.example") && page.body.contains(NOTICE), "{}", page.body);
    let mut chooser = from("US", "CA");
    chooser.chooses("none", &[]).await;
    assert!(!chooser.opens("/").await.body.contains("acme.example"));

    for line in proxy.lines().await {
        let text = format!("{line:?}");
        assert!(
            !text.contains("US-CA") && !text.contains("\"CA\"") && !text.contains("x-country"),
            "{text}"
        );
    }
    assert!(proxy.lines().await.iter().any(|line| line.signal == "region"));
}

#[tokio::test(flavor = "multi_thread")]
async fn d13_nobody_but_a_trusted_proxy_says_where_a_visitor_is_and_by_default_nobody_does() {
    let origin = shop().await;
    let untrusting = format!("[listener]\ntrusted_proxies = [\"10.0.0.0/8\"]\n{REGIONS}");
    for config in [untrusting.as_str(), ""] {
        let proxy = consentry(&origin).config(config).start().await;
        let mut visitor = visitor(&proxy)
            .sending("x-country", "US")
            .sending("x-region", "CA")
            .sending("cf-ipcountry", "JP");
        let page = visitor.opens("/").await;
        assert!(!page.body.contains("acme.example") && page.body.contains(NOTICE), "{}", page.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d15_who_measures_a_page_gets_what_a_visitor_gets() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let mut pages = Vec::new();
    for agent in [
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Mozilla/5.0 (Linux; Android 11; moto g power (2022)) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36 Chrome-Lighthouse",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
        "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
        "curl/8.5.0",
    ] {
        let mut visitor =
            visitor(&proxy).sending("accept", "text/html,*/*").sending("user-agent", agent);
        let page = visitor.opens("/").await;
        assert!(page.body.contains(NOTICE), "{agent}");
        assert_eq!(page.all("set-cookie"), [] as [&str; 0], "{agent}");
        pages.push((agent, page));
    }
    let (_, first) = &pages[0];
    for (agent, page) in &pages {
        assert_eq!(page.bytes, first.bytes, "{agent}");
        for name in ["etag", "vary", "cache-control", "content-security-policy", "content-type"] {
            assert_eq!(page.field(name), first.field(name), "{agent}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d15_looking_ahead_chooses_nothing() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
    ] {
        let mut visitor = visitor(&proxy).sending(name, value);
        let page = visitor.opens("/").await;
        assert!(!page.body.contains("acme.example"), "{name}: {value}");
        assert_eq!(page.all("set-cookie"), [] as [&str; 0]);
        let chosen = visitor.chooses("all", &[]).await;
        assert!(
            !chosen.status.is_success() && chosen.all("set-cookie").is_empty(),
            "{name}: {value}: {}",
            chosen.status
        );
        assert!(visitor.opens("/").await.body.contains(NOTICE));
    }
}

/// What `consentry explain` says of these fields, with this in the site.
fn explained(site: &str, arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("consentry.toml");
    let text = format!(
        "[ledger]\nfile = {:?}\n{REGIONS}\n[[site]]\norigin = \"http://127.0.0.1:1\"\n{site}",
        directory.path().join("ledger.db")
    );
    std::fs::write(&file, text).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_consentry"))
        .args(["explain", "--config"])
        .arg(&file)
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn d5_explain_says_which_signal_won_and_why_one_was_not_believed() {
    let onetrust = "Cookie: OptanonConsent=groups=C0002:1&AwaitingReconsent=true; OptanonAlertBoxClosed=x; usprivacy=1YYN";
    let said = explained(
        "",
        &[
            "--header",
            onetrust,
            "--header",
            "Sec-GPC: 1",
            "--header",
            "Cookie: cookie-agreed=2; cookie-agreed-categories=[\"analytics\"]",
        ],
    );
    for line in [
        "signal    Sec-GPC (gpc): denies personalization, marketing",
        "signal    OptanonConsent (onetrust): AwaitingReconsent=true: the tool asks again: undecided",
        "signal    cookie-agreed (drupal): grants analytics; denies functional, marketing",
        "signal    usprivacy (us-privacy): denies marketing",
        "region    opt_in: silence is undecided",
        "functional       denied, by drupal",
        "analytics        granted, by drupal",
        "personalization  denied, by gpc",
        "marketing        denied, by gpc",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}:\n{said}");
    }
    let said = explained(
        "signals = [\"tcf\"]",
        &[
            "--header",
            onetrust,
            "--header",
            "x-country: US",
            "--header",
            "x-region: CA",
            "--header",
            "Sec-GPC: yes",
        ],
    );
    for line in [
        "signal    Sec-GPC (gpc): its value is not exactly `1`: ignored",
        "signal    usprivacy (us-privacy): the site does not listen to it (site.signals)",
        "region    opt_out: silence is yes, except where a signal cannot be read",
        "marketing        granted, by region",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}:\n{said}");
    }
    let said = explained("", &["--header", "Cookie: euconsent-v2=CPtorn; consentry=forged", "_ga"]);
    for line in [
        "signal    our own cookie (choice): not signed for this site by our keys, outdated, or made on another notice: undecided",
        "signal    euconsent-v2 (tcf): it is no whole TC string: undecided",
        "analytics        undecided, no signal decides, so the notice asks",
        "verdict   block",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}:\n{said}");
    }
}
