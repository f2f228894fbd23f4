//! A visitor who agreed takes it back: nothing of those who are denied now
//! stays behind, and nothing of anybody else goes.
//!
//! The vendors keep something in every way a browser offers. So does the shop.

use crate::driver::{Browser, is_here};
use crate::harness::{Origin, Proxy, Visitor, consentry, origin, visitor};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};

const LINK: &str = "#csy-link a";
const REFUSE: &str = "button[value=none]";

/// What is on the device, apart from cookies.
const KEPT: &str = "
  const names = (list) => list.map(one => one.name).filter(name => /acme|shop/.test(name)).sort();
  return (async () => ({
    local: Object.keys(localStorage).sort(), session: Object.keys(sessionStorage).sort(),
    databases: names(await indexedDB.databases()), caches: (await caches.keys()).sort(),
    workers: (await navigator.serviceWorker.getRegistrations())
      .map(one => (one.active || one.waiting || one.installing).scriptURL.split('/').pop()).sort(),
  }))()";

/// Keeps something under `name` in a database.
const KEEPS: &str = "var keeps = name => new Promise(done => {
    const open = indexedDB.open(name, 1);
    open.onupgradeneeded = () => open.result.createObjectStore('x');
    open.onsuccess = () => { open.result.close(); done() };
  });";

fn script(text: &str) -> Response<Full<Bytes>> {
    Response::builder()
        .header("content-type", "text/javascript")
        .body(Full::from(text.to_owned()))
        .unwrap()
}

/// The vendors' server: each tag keeps what that vendor keeps.
async fn vendors() -> Origin {
    let ads = format!(
        "{KEEPS}
         document.cookie = '_acme_script=1; path=/; max-age=9999; domain=shop.localhost';
         document.cookie = '_acme_deep=1; path=/account; max-age=9999';
         localStorage['acme.id'] = 1; sessionStorage.setItem('acme.step', 1);
         Promise.all([keeps('acme-ads'), caches.open('acme-v1'), navigator.serviceWorker.register('/push/acme-worker.js')])
           .then(() => {{ document.title += ' ads' }});"
    );
    let stats = format!(
        "{KEEPS}
         document.cookie = '_stats=1; path=/; max-age=9999'; localStorage['stats.id'] = 1;
         keeps('acme-stats').then(() => {{ document.title += ' stats' }});"
    );
    let tag = move |text: String| move |_| script(&text);
    origin().answer("/ads.js", tag(ads)).answer("/stats.js", tag(stats)).start().await
}

/// A shop that sets cookies of its own and, from the server, a vendor's.
async fn shop(vendors: &Origin) -> Origin {
    let port = vendors.address.port();
    let page = format!(
        "<!doctype html><html><head><title>shop</title><link rel=icon href='data:,'></head><body><p>Tea</p><script>{KEEPS}
         localStorage.cart = 2; sessionStorage.step = 1; document.cookie = 'lang=de; path=/';
         Promise.all([keeps('shop'), caches.open('shop-v1'), navigator.serviceWorker.register('/own/shop-worker.js')])
           .then(() => {{ document.title += ' own' }})</script>
         <script src=http://ads.acme.localhost:{port}/ads.js></script>
         <script src=http://stats.acme.localhost:{port}/stats.js></script></body></html>"
    );
    let html = move |text: String| {
        move |_| {
            let mut answer = Response::builder().header("content-type", "text/html; charset=utf-8");
            for cookie in [
                "_acme_wide=1; Path=/; Domain=shop.localhost; HttpOnly; Max-Age=9999",
                "_acme=1; Path=/; HttpOnly; Max-Age=9999",
                "_acme_account=1; Path=/account; HttpOnly; Max-Age=9999",
                "cart=2; Path=/; HttpOnly; Max-Age=9999",
            ] {
                answer = answer.header("set-cookie", cookie);
            }
            answer.body(Full::<Bytes>::from(text.clone())).unwrap()
        }
    };
    origin()
        .answer("/", html(page.clone()))
        .answer("/account/orders", html(page))
        .answer("/own/shop-worker.js", |_| script("onmessage = () => {}"))
        .answer("/push/acme-worker.js", |_| script("onpush = () => {}"))
        .start()
        .await
}

fn at(proxy: &Proxy, path: &str) -> String {
    format!("http://www.shop.localhost:{}{path}", proxy.address.port())
}

/// Names of all cookies but ours, with their paths.
async fn cookies(browser: &Browser) -> Vec<String> {
    let all = browser.all_cookies().await.into_iter();
    all.filter(|cookie| !cookie.starts_with("consentry "))
        .map(|cookie| {
            let mut parts = cookie.split(' ');
            format!("{}{}", parts.next().unwrap(), parts.nth(1).unwrap())
        })
        .collect()
}

async fn agrees(browser: &mut Browser, proxy: &Proxy) {
    browser.goes_to(&at(proxy, "/.consentry/choices")).await;
    browser.clicks("button[value=all]").await;
}

/// Waits until what is kept is `expected`: databases and workers go in their
/// own time.
async fn comes_to_keep(browser: &Browser, expected: &Value) {
    let mut kept = Value::Null;
    for _ in 0..100 {
        kept = browser.runs(KEPT).await;
        if kept == *expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(kept, *expected);
}

fn only_the_shops() -> Value {
    json!({ "local": ["cart"], "session": ["step"], "databases": ["shop"], "caches": ["shop-v1"], "workers": ["shop-worker.js"] })
}

#[tokio::test(flavor = "multi_thread")]
async fn e4_b7_c3_who_takes_it_back_keeps_the_cart_and_nothing_of_the_vendors() {
    if !is_here() {
        return;
    }
    let vendors = vendors().await;
    let shop = shop(&vendors).await;
    let proxy = consentry(&shop).start().await;
    let mut browser = Browser::open(true).await;
    agrees(&mut browser, &proxy).await;
    browser.goes_to(&at(&proxy, "/")).await;
    browser
        .waits_for("return ['own', 'ads', 'stats'].every(one => document.title.includes(one))")
        .await;
    assert_eq!(
        browser.runs(KEPT).await,
        json!({
            "local": ["acme.id", "cart", "stats.id"], "session": ["acme.step", "step"],
            "databases": ["acme-ads", "acme-stats", "shop"], "caches": ["acme-v1", "shop-v1"],
            "workers": ["acme-worker.js", "shop-worker.js"],
        })
    );
    let all = [
        "_acme/",
        "_acme_account/account",
        "_acme_deep/account",
        "_acme_script/",
        "_acme_wide/",
        "_stats/",
        "cart/",
        "lang/",
    ];
    assert_eq!(cookies(&browser).await, all);

    // The ads go; counting stays.
    browser.clicks(LINK).await;
    browser.clicks("input[value=marketing]").await;
    let held = vendors.seen().len();
    browser.clicks("button[value=some]").await;
    comes_to_keep(
        &browser,
        &json!({
            "local": ["cart", "stats.id"], "session": ["step"], "databases": ["acme-stats", "shop"],
            "caches": ["shop-v1"], "workers": ["shop-worker.js"],
        }),
    )
    .await;
    assert_eq!(cookies(&browser).await, ["_acme_deep/account", "_stats/", "cart/", "lang/"]);
    assert_eq!(vendors.seen()[held..].iter().filter(|seen| seen.target == "/ads.js").count(), 0);

    // Then the rest, on the very next response.
    browser.clicks(LINK).await;
    let held = vendors.seen().len();
    browser.clicks(REFUSE).await;
    assert_eq!(cookies(&browser).await, ["_acme_deep/account", "cart/", "lang/"]);
    comes_to_keep(&browser, &only_the_shops()).await;
    assert_eq!(vendors.seen().len(), held, "no vendor hears of it");

    // A script's cookie for another part of the site is known to nobody before
    // the visitor comes there.
    shop.forgets();
    browser.goes_to(&at(&proxy, "/account/orders")).await;
    assert_eq!(cookies(&browser).await, ["cart/", "lang/"]);
    let told = |name: &str| {
        shop.seen().iter().any(|seen| {
            seen.headers.get("cookie").is_some_and(|field| field.to_str().unwrap().contains(name))
        })
    };
    assert!(told("cart=2") && !told("_acme"), "nor does the origin hear of it");

    // What a script puts back: what can be withheld never comes, the rest goes.
    browser
        .runs(&format!(
            "{KEEPS} document.cookie = '_acme=again; path=/'; localStorage['acme.id'] = 3; localStorage.setItem('acme.x', 1);
             keeps('acme-ads'); caches.open('acme-v2'); navigator.serviceWorker.register('/push/acme-worker.js');
             return new Promise(done => setTimeout(done, 300))"
        ))
        .await;
    let kept = browser.runs(KEPT).await;
    assert_eq!((&kept["databases"], &kept["caches"]), (&json!(["shop"]), &json!(["shop-v1"])));
    assert_eq!(
        (&kept["workers"], &kept["local"]),
        (&json!(["shop-worker.js"]), &json!(["acme.id", "cart"]))
    );
    browser.reloads().await;
    comes_to_keep(&browser, &only_the_shops()).await;
    assert_eq!(cookies(&browser).await, ["cart/", "lang/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn e4_c3_without_scripts_the_cookies_go_just_the_same() {
    if !is_here() {
        return;
    }
    let vendors = vendors().await;
    let shop = shop(&vendors).await;
    let proxy = consentry(&shop).start().await;
    let mut browser = Browser::open(false).await;
    agrees(&mut browser, &proxy).await;
    browser.goes_to(&at(&proxy, "/")).await;
    let set = ["_acme/", "_acme_account/account", "_acme_wide/", "cart/"];
    assert_eq!(cookies(&browser).await, set);
    for page in ["choices", "me"] {
        agrees(&mut browser, &proxy).await;
        browser.goes_to(&at(&proxy, "/account/orders")).await;
        assert_eq!(cookies(&browser).await, set, "{page}");
        browser.goes_to(&at(&proxy, &format!("/.consentry/{page}?return_to=/"))).await;
        browser.clicks(REFUSE).await;
        assert_eq!(cookies(&browser).await, ["cart/"], "{page}: the one for /account, too");
        // The shop's server sets them with every page; they do not come back.
        browser.goes_to(&at(&proxy, "/account/orders")).await;
        assert_eq!(cookies(&browser).await, ["cart/"], "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_a_browser_that_asks_for_a_withdrawn_worker_gets_one_that_goes() {
    let shop = shop(&vendors().await).await;
    let proxy = consentry(&shop).start().await;
    let mut somebody = visitor(&proxy);
    let fields = [("sec-fetch-dest", "serviceworker"), ("service-worker", "script")];
    let worker = async |somebody: &mut Visitor, file: &str| {
        somebody.asks("GET", file, &fields, "").await.body
    };
    assert!(
        worker(&mut somebody, "/push/acme-worker.js").await.contains("registration.unregister()")
    );
    assert_eq!(worker(&mut somebody, "/own/shop-worker.js").await, "onmessage = () => {}");
    somebody.chooses("all", &[]).await;
    assert_eq!(worker(&mut somebody, "/push/acme-worker.js").await, "onpush = () => {}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_the_answer_to_the_choice_deletes_partitioned_cookies_and_those_of_other_paths() {
    let origin = origin()
        .answer("/account/x", |_| {
            Response::builder()
                .header("content-type", "text/html")
                .header("set-cookie", "_acme=1; Path=/account; Secure; SameSite=None; Partitioned")
                .header("set-cookie", "_stats=1; Path=/account")
                .header("set-cookie", "_acme_me=1; Path=/u/4711")
                .header("set-cookie", "sid=1; Path=/account")
                .body(Full::<Bytes>::from("<p>Hello"))
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let host = "www.shop.example";
    let mut somebody = visitor(&proxy).at_host(host).sending("x-forwarded-proto", "https");
    let origin_field = format!("https://{host}");
    let form =
        [("content-type", "application/x-www-form-urlencoded"), ("origin", origin_field.as_str())];
    somebody.asks("POST", "/.consentry/choices", &form, "choice=all").await;
    assert_eq!(somebody.opens("/account/x").await.all("set-cookie").len(), 4, "all passed");
    // A browser keeps the cookies of /account to itself here.
    somebody.cookies.retain(|name, _| name.contains("consentry"));
    let some = "choice=some&purpose=analytics";
    let answer = somebody.asks("POST", "/.consentry/choices", &form, some).await;
    let mut deleted = answer.all("set-cookie");
    deleted.retain(|field| !field.contains("__Host-consentry"));
    assert_eq!(deleted, ["_acme=; Path=/account; Max-Age=0; Secure; Partitioned"]);

    // One that was sent may be partitioned, whoever set it.
    let mut script = somebody.clone().holding("_acme", "1");
    let page = script.asks("POST", "/.consentry/choices", &form, "choice=none").await;
    let field = "_acme=; Path=/; Domain=shop.example; Max-Age=0; Secure; Partitioned";
    assert!(page.all("set-cookie").contains(&field.to_owned()), "{:?}", page.all("set-cookie"));
}

const AD: &str = "script[src*=acme]";

/// A page that can be told from its like, and says when it comes back as it was left.
const LEFT: &str = "<!doctype html><title>shop</title><link rel=icon href='data:,'><p>Tea</p>\
    <script src=//ads.acme.localhost:1/ads.js></script>\
    <script>here = Math.random();\
    addEventListener('pageshow', event => { if (event.persisted) sessionStorage.back = 1 })</script>";

#[tokio::test(flavor = "multi_thread")]
async fn e4_the_way_back_leads_to_no_page_of_before_the_withdrawal() {
    if !is_here() {
        return;
    }
    let shop = origin().page("/", LEFT).page("/other", "<title>other</title>").start().await;
    let proxy = consentry(&shop).start().await;
    let mut browser = Browser::open_with(true, &["--enable-features=BackForwardCache"]).await;
    agrees(&mut browser, &proxy).await;
    browser.goes_to(&at(&proxy, "/")).await;
    let goes_back = async |browser: &Browser, steps: i32| {
        browser.runs("delete sessionStorage.back").await;
        browser.runs(&format!("history.go({steps})")).await;
        browser.waits_for("return location.pathname === '/' && document.title === 'shop'").await;
        browser.waits_for("return sessionStorage.back").await;
    };
    let here = browser.runs("return here").await;
    // Nothing was taken back: the page is the one that was left.
    browser.goes_to(&at(&proxy, "/other")).await;
    goes_back(&browser, -1).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(browser.runs("return here").await, here);
    assert_eq!(browser.finds(AD).await.len(), 1);

    browser.goes_to(&at(&proxy, "/.consentry/choices?return_to=/other")).await;
    browser.clicks(REFUSE).await;
    goes_back(&browser, -2).await;
    browser.waits_for(&format!("return here !== {here}")).await;
    assert!(browser.finds(AD).await.is_empty());

    // Nor is anybody asked again what they have answered.
    browser.forgets().await;
    browser.goes_to(&at(&proxy, "/")).await;
    browser.find("#csy-ask").await;
    browser.goes_to(&at(&proxy, "/.consentry/choices?return_to=/other")).await;
    browser.clicks(REFUSE).await;
    goes_back(&browser, -2).await;
    browser.waits_for("return document.getElementById('csy-link') !== null").await;
    assert!(browser.finds("#csy-ask").await.is_empty());
}
