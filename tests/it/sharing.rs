//! Several hosts, one choice: those of a site or group, and never others.

use crate::harness::{Proxy, Visitor, consentry, origin, visitor};

const PAGE: &str = "<script src=\"https://ads.acme.example/p.js\"></script>";
const ADS: &str = "ads.acme.example/p.js";

/// Two hosts of one shop, a third that is its owner's under another domain, and
/// a tenant of the same domain with a site of its own.
async fn shops(more: &str, tenant: &str) -> (crate::harness::Origin, Proxy) {
    let origin = origin().page("/", PAGE).start().await;
    let address = format!("http://{}", origin.address);
    let proxy = consentry(&origin)
        .site(&format!(
            "name = \"shop\"\nhosts = [\"shop.example\", \"www.shop.example\", \"shop.test\"]\n{more}"
        ))
        .config(&format!(
            "[[site]]\nname = \"tenant\"\nhosts = [\"tenant.shop.example\"]\norigin = \"{address}\"\n{tenant}"
        ))
        .start()
        .await;
    (origin, proxy)
}

async fn agrees(visitor: &mut Visitor, host: &str) -> String {
    let origin = format!("http://{host}");
    let fields =
        [("content-type", "application/x-www-form-urlencoded"), ("origin", origin.as_str())];
    let page = visitor.asks("POST", "/.consentry/choices", &fields, "choice=all").await;
    page.all("set-cookie").last().cloned().unwrap_or_default()
}

/// Whether what is kept under `cookie` counts on `host`. That a browser would
/// send it there is the browser's part: here, somebody carries it.
async fn counts(proxy: &Proxy, cookie: &str, host: &str) -> bool {
    let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
    let mut visitor = visitor(proxy).at_host(host).holding(name, value);
    visitor.opens("/").await.body.contains(ADS)
}

#[tokio::test(flavor = "multi_thread")]
async fn d14_the_hosts_of_a_site_share_a_choice_and_nobody_else_does() {
    let (_origin, proxy) = shops("", "").await;
    let mut www = visitor(&proxy).at_host("www.shop.example");
    let cookie = agrees(&mut www, "www.shop.example").await;
    assert!(cookie.contains("; Domain=shop.example;"), "{cookie}");
    assert!(www.at_host("shop.example").opens("/").await.body.contains(ADS));
    assert!(counts(&proxy, &cookie, "shop.example").await);
    // The browser sends it to the tenant, too; there it is worth nothing.
    assert!(!counts(&proxy, &cookie, "tenant.shop.example").await);
    // A host that no cookie could reach gets one of its own.
    let cookie = agrees(&mut visitor(&proxy).at_host("shop.test"), "shop.test").await;
    assert!(!cookie.contains("Domain"), "{cookie}");
}

#[tokio::test(flavor = "multi_thread")]
async fn d14_withdrawing_on_one_host_counts_on_the_other() {
    let (_origin, proxy) = shops("", "").await;
    let mut person = visitor(&proxy).at_host("shop.example");
    agrees(&mut person, "shop.example").await;
    let mut person = person.at_host("www.shop.example");
    assert!(person.opens("/").await.body.contains(ADS));
    let fields = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", "http://www.shop.example"),
    ];
    person.asks("POST", "/.consentry/choices", &fields, "choice=none").await;
    assert!(!person.at_host("shop.example").opens("/").await.body.contains(ADS));
}

#[tokio::test(flavor = "multi_thread")]
async fn d14_hosts_can_stay_apart() {
    let (_origin, proxy) = shops("share_choice = false", "").await;
    let cookie = agrees(&mut visitor(&proxy).at_host("www.shop.example"), "www.shop.example").await;
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert!(counts(&proxy, &cookie, "www.shop.example").await);
    assert!(!counts(&proxy, &cookie, "shop.example").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn d14_sites_of_a_group_share_a_choice() {
    let group = "choice_group = \"acme\"";
    let (_origin, proxy) = shops(group, group).await;
    let mut tenant = visitor(&proxy).at_host("tenant.shop.example");
    let cookie = agrees(&mut tenant, "tenant.shop.example").await;
    assert!(cookie.contains("; Domain=shop.example;"), "{cookie}");
    assert!(counts(&proxy, &cookie, "www.shop.example").await);
    let (_origin, proxy) = shops(group, "choice_group = \"other\"").await;
    let mut tenant = visitor(&proxy).at_host("tenant.shop.example");
    let cookie = agrees(&mut tenant, "tenant.shop.example").await;
    assert!(!counts(&proxy, &cookie, "www.shop.example").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn d14_a_group_without_hosts_is_a_mistake() {
    let origin = origin().start().await;
    for wrong in [
        "choice_group = \"a\"",
        "hosts = [\"a.example\"]\nshare_choice = false\nchoice_group = \"a\"",
    ] {
        let error = consentry(&origin).site(wrong).try_start().await.err().unwrap();
        assert!(error.contains("the group `a` is to share choices"), "{error}");
    }
}
