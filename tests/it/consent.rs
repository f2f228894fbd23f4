//! What counts as consent, and what does not: the cookie, the signal, silence.

use crate::harness::{Origin, Page, Proxy, Visitor, consentry, origin, visitor};

use consentry::consent::{Keys, ReceiptId, Record, VendorChoices};
use consentry::purpose::PurposeSet;
use http::Response;
use http_body_util::Full;
use std::time::{SystemTime, UNIX_EPOCH};

const PAGE: &str = "<p>Hello</p><script src=\"https://ads.acme.example/p.js\"></script>";
const PIXEL: &str = "ads.acme.example/p.js";
const NOTICE: &str = "id=\"csy-ask\"";

async fn shop() -> Origin {
    origin().page("/", PAGE).start().await
}

/// What `/.consentry/state` says of a visitor.
async fn state(visitor: &Visitor) -> serde_json::Value {
    let page = visitor.clone().opens("/.consentry/state").await;
    serde_json::from_slice(&page.bytes).unwrap()
}

/// The keys that sign choices, as the proxy keeps them.
fn keys(proxy: &Proxy) -> Keys {
    let file = proxy.directory().join("ledger.db.keys");
    Keys::parse(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Everything granted, just now.
fn record() -> Record {
    Record {
        granted: PurposeSet::ALL,
        decided: PurposeSet::ALL,
        made_under_gpc: false,
        after_doubt: false,
        notice_revision: 1,
        time_s: now_s(),
        receipt: ReceiptId::new([7; 16]),
        vendors: VendorChoices::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c10_nothing_is_stored_before_a_choice() {
    let origin = origin()
        .page("/", PAGE)
        .answer("/a.css", |_| {
            Response::builder().header("content-type", "text/css").body(Full::from("p{}")).unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let unreachable = consentry(&origin).origin("http://127.0.0.1:9").start().await;
    let paths = [
        "/",
        "/?gclid=1",
        "/a.css",
        "/nowhere",
        "/.consentry/choices",
        "/.consentry/state",
        "/.consentry/me",
        "/.consentry/nothing",
        "/.well-known/gpc.json",
    ];
    for sent in [("accept", "text/html"), ("sec-gpc", "1"), ("cookie", "consentry=x; sid=1")] {
        for path in paths {
            let mut visitor = visitor(&proxy).sending(sent.0, sent.1);
            let page = visitor.opens(path).await;
            assert_eq!(page.all("set-cookie"), [] as [&str; 0], "{path} {sent:?}");
            // Nor does anything on the page put something into storage.
            assert!(!page.body.contains("Storage") && !page.body.contains("document.cookie"));
            // The notice's own script keeps nothing either.
            assert_eq!(
                page.body.matches("<script").count(),
                page.body.matches("<script type=\"text/plain\"").count()
                    + page.body.matches("<script defer src=\"//127.0.0.1:").count()
            );
        }
        let mut visitor = visitor(&unreachable).sending(sent.0, sent.1);
        let page = visitor.opens("/").await;
        assert_eq!((page.status.as_u16(), page.all("set-cookie").len()), (502, 0));
    }
    let page = visitor(&proxy).asks("POST", "/.consentry/choices", &[], "choice=perhaps").await;
    assert!(page.status.is_client_error());
    assert_eq!(page.all("set-cookie"), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_no_forged_or_outdated_choice_is_believed() {
    let origin = shop().await;
    let proxy = consentry(&origin)
        .config("[consent]\nlifetime_days = 30\n[[site]]\nname = \"other\"\nhosts = [\"other.example\"]\norigin = \"http://127.0.0.1:9\"")
        .site("name = \"shop\"\nhosts = [\"shop.example\"]")
        .start()
        .await;
    let keys = keys(&proxy);
    let good = keys.sign("shop", &record());
    let day_s = 24 * 60 * 60;
    let flipped = |at: usize| {
        let mut value = good.clone().into_bytes();
        value[at] = if value[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(value).unwrap()
    };
    let (payload, mac) = good.rsplit_once('.').unwrap();
    let refused = keys.sign("shop", &Record { granted: PurposeSet::NECESSARY, ..record() });
    let (_, refused_mac) = refused.rsplit_once('.').unwrap();
    let stranger = Keys::from_secret([9; 32]).sign("shop", &record());
    for (what, value) in [
        ("nothing", String::new()),
        ("a word", "all".to_owned()),
        ("json", "{\"marketing\":true}".to_owned()),
        ("another version", good.replacen("v1", "v2", 1)),
        ("a changed payload", flipped(6)),
        ("a changed signature", flipped(good.len() - 10)),
        ("a cut signature", good.split_at(good.len() - 1).0.to_owned()),
        ("a longer signature", format!("{good}A")),
        ("no signature", payload.to_owned()),
        ("an empty signature", format!("{payload}.")),
        ("the signature of a refusal", format!("{payload}.{refused_mac}")),
        ("a signature alone", mac.to_owned()),
        ("quotes around it", format!("\"{good}\"")),
        ("another's key", stranger),
        ("another site's choice", keys.sign("other", &record())),
        ("a host's choice", keys.sign("shop.example", &record())),
        (
            "an expired choice",
            keys.sign("shop", &Record { time_s: now_s() - 31 * day_s, ..record() }),
        ),
        (
            "a choice from tomorrow",
            keys.sign("shop", &Record { time_s: now_s() + day_s, ..record() }),
        ),
        (
            "a choice on another notice",
            keys.sign("shop", &Record { notice_revision: 2, ..record() }),
        ),
    ] {
        let mut visitor = visitor(&proxy).at_host("shop.example").holding("consentry", &value);
        assert_eq!(state(&visitor).await["undecided"], true, "{what}");
        let page = visitor.opens("/").await;
        assert!(!page.body.contains(PIXEL) && page.body.contains(NOTICE), "{what}: {}", page.body);
    }
    let aged = keys.sign("shop", &Record { time_s: now_s() - 29 * day_s, ..record() });
    for value in [good.clone(), aged.clone()] {
        let mut visitor = visitor(&proxy).at_host("shop.example").holding("consentry", &value);
        assert!(visitor.opens("/").await.body.contains(PIXEL));
    }
    // A forged one beside a good one takes nothing away, and of two good ones the later counts.
    let newer = keys.sign("shop", &Record { granted: PurposeSet::NECESSARY, ..record() });
    for (cookies, granted) in [
        (format!("consentry=forged; consentry={good}"), true),
        (format!("consentry={good}; consentry=forged"), true),
        (format!("consentry={aged}; consentry={newer}"), false),
        (format!("consentry={newer}; consentry={aged}"), false),
        (format!("consentry2={good}; Consentry={good}"), false),
    ] {
        let mut visitor = visitor(&proxy).at_host("shop.example").sending("cookie", &cookies);
        assert_eq!(visitor.opens("/").await.body.contains(PIXEL), granted, "{cookies}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_a_site_for_any_host_binds_a_choice_to_the_host_it_was_made_on() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let mut here = visitor(&proxy).at_host("tenant-a.example");
    here.chooses("all", &[]).await;
    assert!(here.opens("/").await.body.contains(PIXEL));
    for host in ["tenant-b.example", "www.tenant-a.example", "tenant-a.example.evil.example"] {
        let mut elsewhere = here.clone().at_host(host);
        assert!(!elsewhere.opens("/").await.body.contains(PIXEL), "{host}");
        assert_eq!(state(&elsewhere).await["undecided"], true, "{host}");
    }
    // A port and the case of letters make no other host.
    for host in ["tenant-a.example:8080", "Tenant-A.example", "tenant-a.example."] {
        assert!(here.clone().at_host(host).opens("/").await.body.contains(PIXEL), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_the_cookie_is_set_by_the_server_for_this_host_and_for_no_script() {
    let origin = shop().await;
    let proxy = consentry(&origin).config("[consent]\nlifetime_days = 90").start().await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let max_age = format!("Max-Age={}", 90 * 24 * 60 * 60);
    for (host, sent, name, attributes) in [
        ("shop.example", None, "consentry", vec!["Path=/", &max_age, "HttpOnly", "SameSite=Lax"]),
        (
            "shop.example",
            Some(("x-forwarded-proto", "https")),
            "__Host-consentry",
            vec!["Path=/", &max_age, "HttpOnly", "SameSite=Lax", "Secure"],
        ),
        ("127.0.0.1:8080", None, "consentry", vec!["Path=/", &max_age, "HttpOnly", "SameSite=Lax"]),
    ] {
        let scheme = if sent.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://{host}");
        let fields: Vec<_> = [form, ("origin", origin.as_str())].into_iter().chain(sent).collect();
        let mut visitor = visitor(&proxy).at_host(host);
        let page = visitor.asks("POST", "/.consentry/choices", &fields, "choice=all").await;
        let set = page.all("set-cookie");
        assert_eq!(set.len(), 1, "{set:?}");
        let (pair, rest) = set[0].split_once("; ").unwrap();
        assert_eq!(pair.split('=').next(), Some(name));
        assert_eq!(rest.split("; ").collect::<Vec<_>>(), attributes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_on_https_only_the_cookie_that_no_other_host_can_set_counts() {
    let origin = shop().await;
    let proxy =
        consentry(&origin).site("name = \"shop\"\nhosts = [\"shop.example\"]").start().await;
    let value = keys(&proxy).sign("shop", &record());
    for (scheme, name, granted) in [
        ("https", "__Host-consentry", true),
        ("https", "consentry", false),
        ("https", "__Secure-consentry", false),
        ("http", "consentry", true),
        ("http", "__Host-consentry", false),
    ] {
        let mut visitor = visitor(&proxy)
            .at_host("shop.example")
            .sending("x-forwarded-proto", scheme)
            .holding(name, &value);
        assert_eq!(visitor.opens("/").await.body.contains(PIXEL), granted, "{scheme} {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_undecided_denied_and_granted_are_three_states() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let said = |state: &serde_json::Value| {
        ["functional", "analytics", "personalization", "marketing"]
            .map(|purpose| state["purposes"][purpose].as_str().unwrap().to_owned())
    };
    let mut silent = visitor(&proxy);
    let mut refused = visitor(&proxy);
    refused.chooses("none", &[]).await;
    let mut partly = visitor(&proxy);
    partly.chooses("some", &["analytics"]).await;
    let signalled = visitor(&proxy).sending("sec-gpc", "1");

    assert_eq!(said(&state(&silent).await), ["undecided"; 4]);
    assert_eq!(said(&state(&refused).await), ["denied"; 4]);
    assert_eq!(said(&state(&partly).await), ["denied", "granted", "denied", "denied"]);
    assert_eq!(said(&state(&signalled).await), ["undecided", "undecided", "denied", "denied"]);

    let pages = [silent.opens("/").await, refused.opens("/").await];
    assert!(pages.iter().all(|page| !page.body.contains(PIXEL)), "undecided blocks like denied");
    let asks = |page: &Page| page.body.contains(NOTICE);
    assert!(asks(&pages[0]) && !asks(&pages[1]), "but only the undecided are asked");
    let counted: Vec<_> =
        proxy.lines().await.iter().map(|line| (line.undecided, line.signal.clone())).collect();
    assert_eq!(
        counted,
        [(true, "silence".to_owned()), (false, "choice".to_owned())],
        "and counted apart"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_the_signal_is_honoured_from_the_first_request_and_passed_on() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    for (values, honoured) in [
        (&["1"][..], true),
        (&["0"], false),
        (&["true"], false),
        (&["11"], false),
        (&["1, 1"], false),
        (&["1;x"], false),
        (&["\"1\""], false),
        (&[""], false),
        (&["0", "1"], true),
        (&["1", "0"], true),
        (&["x", "1", "y"], true),
        (&["0", "0"], false),
    ] {
        let mut visitor = visitor(&proxy);
        for value in values {
            visitor = visitor.sending("sec-gpc", value);
        }
        let page = visitor.opens("/").await;
        assert!(!page.body.contains(PIXEL), "{values:?}");
        assert_eq!(page.body.contains("Global Privacy Control"), honoured, "{values:?}");
        let seen = origin.seen().pop().unwrap();
        let passed: Vec<_> =
            seen.headers.get_all("sec-gpc").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(passed, values, "it is never removed");
        let state = state(&visitor).await;
        assert_eq!(
            (&state["gpc"], &state["source"]),
            (&honoured.into(), &(if honoured { "gpc" } else { "silence" }).into())
        );
        let marketing = if honoured { "denied" } else { "undecided" };
        assert_eq!(state["purposes"]["marketing"], marketing, "{values:?}");
    }
    // White space around a value is not part of it (RFC 9110, 5.5), so ` 1` on the wire is `1`.
    let request = format!(
        "GET /.consentry/state HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nSec-GPC:   1  \r\n\r\n",
        proxy.address
    );
    let answer = String::from_utf8(proxy.raw(request.as_bytes()).await).unwrap();
    assert!(answer.contains("\"gpc\":true"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_a_signal_outweighs_an_older_yes_and_yields_to_one_given_under_it() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let mut before = visitor(&proxy);
    before.chooses("all", &[]).await;
    let mut later = before.sending("sec-gpc", "1");
    assert!(!later.opens("/").await.body.contains(PIXEL));
    let state_now = state(&later).await;
    assert_eq!(
        (&state_now["purposes"]["analytics"], &state_now["purposes"]["marketing"]),
        (&"granted".into(), &"denied".into())
    );
    later.chooses("all", &[]).await;
    assert!(later.opens("/").await.body.contains(PIXEL), "a yes under the signal is a yes");
    later.chooses("none", &[]).await;
    assert!(!later.opens("/").await.body.contains(PIXEL));
}

#[tokio::test(flavor = "multi_thread")]
async fn d4_the_support_statement_is_served_unless_the_origin_has_its_own() {
    const PATH: &str = "/.well-known/gpc.json";
    let check = |page: &Page| {
        assert_eq!(
            (page.status.as_u16(), page.field("content-type").as_str()),
            (200, "application/json")
        );
        let statement: serde_json::Value = serde_json::from_slice(&page.bytes).unwrap();
        assert_eq!(statement["gpc"], true);
        let date: jiff::civil::Date = statement["lastUpdate"].as_str().unwrap().parse().unwrap();
        assert!(date.year() >= 2026);
    };
    let without = shop().await;
    let proxy = consentry(&without).start().await;
    check(&visitor(&proxy).opens(PATH).await);
    let head = visitor(&proxy).asks("HEAD", PATH, &[], "").await;
    assert_eq!(
        (head.status.as_u16(), head.field("content-type").as_str()),
        (200, "application/json")
    );

    let own = "{\"gpc\": false, \"lastUpdate\": \"2020-01-01\"}";
    let with = origin()
        .answer(PATH, move |_| {
            Response::builder()
                .header("content-type", "application/json")
                .body(Full::from(own))
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&with).start().await;
    assert_eq!(visitor(&proxy).opens(PATH).await.body, own);

    // An application that answers every path with its start page states nothing.
    let single_page = origin().page(PATH, "<p>Loading").start().await;
    let proxy = consentry(&single_page).start().await;
    check(&visitor(&proxy).opens(PATH).await);
}
