//! Verdicts that an operator decided differently: with an owner, a reason and
//! an end.

use crate::harness::{consentry, origin, visitor};

const EXCEPTION: &str = "[[exception]]\nhost = 'ads.acme.example'\nverdict = 'allow'\n\
    owner = 'Ana Lee'\nreason = 'fraud check of the bank'\nexpires = 2099-12-31\n";

const PAGE: &str = "<script src=\"https://ads.acme.example/p.js\"></script>\
    <script src=\"https://stats.acme.example/s.js\"></script><script>acme('init')</script>";

#[tokio::test(flavor = "multi_thread")]
async fn g6_an_exception_without_owner_reason_or_expiry_is_refused_where_it_stands() {
    let origin = origin().page("/", PAGE).start().await;
    for (line, instead, expected) in [
        ("owner = 'Ana Lee'\n", "", "an exception without `owner`"),
        ("owner = 'Ana Lee'", "owner = ' '", "an exception without `owner`"),
        ("reason = 'fraud check of the bank'\n", "", "an exception without `reason`"),
        ("expires = 2099-12-31\n", "", "an exception without `expires`"),
        ("expires = 2099-12-31", "expires = 'soon'", "`soon` is not a day"),
        ("expires = 2099-12-31", "expires = 2099-12-31T10:00:00Z", "is not a day"),
        ("verdict = 'allow'\n", "", "an exception without `verdict`"),
        ("'allow'", "'perhaps'", "a verdict is `allow` or `block`"),
        ("host = 'ads.acme.example'\n", "kind = 'script'\n", "an exception for everything"),
        ("host = 'ads.acme.example'\n", "path = '/*'\n", "an exception for everything"),
        ("host = 'ads.acme.example'\n", "cookie = '*'\n", "an exception for everything"),
        ("'ads.acme.example'", "'co.uk'", "`co.uk` is not one company's"),
        ("host = 'ads.acme.example'", "vendor = 'acme-ad'", "did you mean `acme-ads`?"),
        ("verdict", "site = 'nowhere'\nverdict", "no site is called `nowhere`"),
        ("verdict", "kind = 'scirpt'\nverdict", "unknown kind `scirpt`"),
        ("verdict", "on_path = 'checkout'\nverdict", "`checkout` is not a path"),
        ("verdict", "selector = 'p'\nverdict", "unknown field `selector`"),
    ] {
        let written = EXCEPTION.replace(line, instead);
        assert_ne!(written, EXCEPTION);
        let said = consentry(&origin).config(&written).try_start().await.err().unwrap();
        assert!(said.contains(expected), "{written}says:\n{said}");
        let place = said.split("consentry.toml:").nth(1).unwrap();
        let number: usize = place.split(':').next().unwrap().parse().unwrap();
        assert!((3..=12).contains(&number), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn j3_an_exception_lets_pass_what_it_names_and_its_owner_is_on_record() {
    let origin = origin().page("/", PAGE).page("/other", PAGE).start().await;
    let narrow = EXCEPTION.replace("verdict", "on_path = '/other'\nkind = 'script'\nverdict");
    let proxy = consentry(&origin).config(&narrow).start().await;
    let mut visitor = visitor(&proxy);
    let page = visitor.opens("/").await;
    assert!(!page.body.contains("acme"), "{}", page.body);
    let page = visitor.opens("/other").await;
    assert!(page.body.contains("<script src=\"https://ads.acme.example/p.js\"></script>"));
    assert!(!page.body.contains("stats.acme") && !page.body.contains("acme("), "{}", page.body);
    let lines = proxy.lines().await;
    let line = lines.iter().find(|line| line.verdict == "allow").unwrap();
    assert_eq!(line.reason, "exception of Ana Lee until 2099-12-31");
    assert_eq!((line.vendor.as_deref(), line.page.as_str()), (Some("Acme Ads"), "/other"));
    assert!(line.rule.as_deref().unwrap().contains("consentry.toml:"), "{:?}", line.rule);
}

#[tokio::test(flavor = "multi_thread")]
async fn j3_a_vendor_is_let_pass_in_every_form() {
    let origin = origin()
        .answer("/", |seen| {
            let sent = seen.headers.get("cookie").map_or("", |field| field.to_str().unwrap());
            assert!(sent.is_empty() || sent == "_acme=1", "{sent}");
            http::Response::builder()
                .header("content-type", "text/html")
                .header("set-cookie", "_acme=2")
                .body(http_body_util::Full::from(PAGE))
                .unwrap()
        })
        .start()
        .await;
    let vendor = EXCEPTION.replace("host = 'ads.acme.example'", "vendor = 'acme-ads'");
    let proxy = consentry(&origin).config(&vendor).start().await;
    let mut visitor = visitor(&proxy).holding("_acme", "1").holding("_stats", "1");
    let page = visitor.opens("/").await;
    assert!(page.body.contains("acme('init')") && page.body.contains("ads.acme.example"));
    assert!(!page.body.contains("stats.acme.example"));
    assert!(page.all("set-cookie").contains(&"_acme=2".to_owned()), "{:?}", page.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_an_expired_exception_blocks_again_and_is_told() {
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin).config(&EXCEPTION.replace("2099", "2020")).start().await;
    let page = visitor(&proxy).opens("/").await;
    assert!(!page.body.contains("acme"), "{}", page.body);
    let count = || {
        let text = proxy.running().observe.exposition();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix("consentry_exceptions_expired_total "));
        value.unwrap().to_owned()
    };
    assert_eq!(count(), "1");
    proxy.running().tell_expired("2026-01-01".parse().unwrap());
    assert_eq!(count(), "1", "once is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_an_exception_that_expires_while_running_is_told() {
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin).config(EXCEPTION).start().await;
    let told = || {
        let text = proxy.running().observe.exposition();
        text.contains("consentry_exceptions_expired_total 1")
    };
    proxy.running().tell_expired("2099-12-31".parse().unwrap());
    assert!(!told(), "it holds on its last day");
    proxy.running().tell_expired("2100-01-01".parse().unwrap());
    assert!(told());
}

#[tokio::test(flavor = "multi_thread")]
async fn j3_an_exception_withholds_from_those_who_agreed_too() {
    let html = "<script src=/own.js></script><script src=\"https://cdn.stranger.example/x.js\"></script>\
                <script src=\"https://ads.acme.example/p.js\"></script><script src=/collect/x.js></script>";
    let origin = origin().page("/", html).page("/collect/x.js", "no").start().await;
    let block = |scope: &str| {
        EXCEPTION.replace("'allow'", "'block'").replace("host = 'ads.acme.example'", scope)
    };
    let exceptions = [
        block("host = 'stranger.example'"),
        block("vendor = 'acme-ads'"),
        block("path = '/collect'"),
    ];
    let proxy = consentry(&origin).config(&exceptions.concat()).start().await;
    let mut visitor = visitor(&proxy);
    visitor.chooses("all", &[]).await;
    let page = visitor.opens("/").await;
    for gone in ["stranger.example", "acme.example", "/collect"] {
        assert!(!page.body.contains(gone), "{gone}: {}", page.body);
    }
    assert!(page.body.contains("<script src=/own.js></script>"));
    let instead = visitor.opens("/collect/x.js").await;
    assert_eq!((instead.status.as_u16(), instead.body.as_str()), (200, ""), "an empty script");
    assert_eq!(visitor.opens("/own.js").await.status, 404, "it reached the origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_names_the_exception_its_owner_and_its_end() {
    let origin = origin().start().await;
    let proxy = consentry(&origin)
        .config(&EXCEPTION.replace("verdict", "on_path = '/pay'\nverdict"))
        .start()
        .await;
    let file = proxy.directory().join("consentry.toml");
    let explained = |page: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_consentry"))
            .args(["explain", "https://ads.acme.example/p.js", "--page", page, "--config"])
            .arg(&file)
            .env_clear()
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said = explained("/pay/card");
    for expected in [
        "verdict   allow",
        "why       an exception says so",
        "exception fraud check of the bank at ",
        "owner     Ana Lee",
        "expires   2099-12-31",
        "vendor    Acme Ads",
    ] {
        assert!(said.contains(expected), "{said}\nwithout: {expected}");
    }
    assert!(explained("/").contains("verdict   block"));
}
