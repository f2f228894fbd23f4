//! Stand-ins for withheld globals: site code that calls them goes on.

use crate::driver::{Browser, is_here};
use crate::harness::{Origin, OriginBuilder, Proxy, consentry, origin, visitor};
use crate::revive::Stage;

use bytes::Bytes;
use consentry::enforce::browser::{STUBS, served};
use http::Response;
use http_body_util::Full;
use serde_json::json;

/// A page that begins as the guard does: with stand-ins for `names`.
fn page(names: &[&str], rest: &str) -> String {
    format!(
        "<!doctype html><script>{}; stubs({})</script>{rest}<p>x</p>",
        served(STUBS),
        json!(names)
    )
}

fn with_page(builder: OriginBuilder, path: &str, names: &[&str], rest: &str) -> OriginBuilder {
    builder.page(path, &page(names, rest))
}

fn url(proxy: &Proxy, path: &str) -> String {
    format!("http://{}{path}", proxy.address)
}

fn asked(origin: &Origin, target: &str) -> usize {
    origin.seen().iter().filter(|seen| seen.target == target).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn j1_a_checkout_that_waits_for_the_tag_completes_with_everything_withheld() {
    if !is_here() {
        return;
    }
    // The tag's own code is withheld, and its names with it; the shop's is not.
    let checkout = "<!doctype html><title>x</title>
        <script>window.dataLayer = window.dataLayer || []; function gtag(){dataLayer.push(arguments)}
            gtag('js', new Date()); gtag('config', 'G-1'); var shopStats = {};</script>
        <script async src=https://www.googletagmanager.com/gtag/js?id=G-1></script>
        <button id=pay onclick=\"pay()\">Pay</button><script>
        function gaplugins() { return 'ours' }
        function pay() {
            shopStats.paid();
            gtag('event', 'purchase', {value: 1, event_callback: () => { location.href = '/thanks' }, event_timeout: 2000});
        }</script>";
    let origin = origin().page("/", checkout).page("/thanks", "<p>Thanks</p>").start().await;
    let proxy = consentry(&origin).start().await;
    let browser = Browser::open(true).await;
    browser.goes_to(&url(&proxy, "/")).await;
    assert!(!browser.finds("script[data-consentry-held]").await.is_empty());
    assert_eq!(browser.runs("return gaplugins()").await, "ours");
    // Names that withheld code declared have a stand-in, too.
    assert_eq!(
        browser.runs("return typeof shopStats + typeof dataLayer.push").await,
        "functionfunction"
    );
    browser.runs("document.getElementById('pay').click()").await;
    browser.waits_for("return location.pathname === '/thanks'").await;
    // Without stand-ins the visitor is stuck, so the above can fail.
    browser.goes_to(&url(&proxy, "/")).await;
    browser.runs("delete window.gtag; window.failed = 0; onerror = () => { failed += 1 }; document.getElementById('pay').click()").await;
    browser.waits_for("return failed === 1").await;
    assert_eq!(browser.at().await, url(&proxy, "/"));
}

#[tokio::test]
async fn j1_a_page_is_told_the_names_it_lacks_and_no_others() {
    let told = |page: &str| {
        let Some((_, rest)) = page.split_once("data-consentry-stubs=\"") else { return Vec::new() };
        let json = rest.split('"').next().unwrap().replace("&quot;", "\"");
        let names: Vec<String> = serde_json::from_str(&json.replace("&amp;", "&")).unwrap();
        names
    };
    let origin = origin()
        .page("/vendor", "<script src=//ads.acme.example/p.js></script><script>x()</script>")
        .page("/declared", "<script>acme('init'); var acmeShop = 1, other = 2; window.late = []; window.flag = true</script><script>var other = 5</script>")
        .page("/kept", "<script src=//ads.acme.example/p.js></script><script>function acme() {}</script>")
        .page("/module", "<script type=module>acme('init'); var inside = 1</script><script>x()</script>")
        .page("/nothing", "<script>var acmeShop = 1</script>")
        .page("/pixel", "<img src=//ads.acme.example/p.gif><script>x()</script>")
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    for (path, names) in [
        ("/vendor", &["acme"][..]),
        ("/declared", &["acme", "acmeShop", "late"]),
        ("/kept", &[]),
        ("/module", &["acme"]),
        ("/nothing", &[]),
        ("/pixel", &[]),
    ] {
        let page = visitor(&proxy).sending("sec-fetch-dest", "document").opens(path).await;
        assert_eq!(told(&page.body), names, "{path}");
    }
}

/// What a site calls, and the answer it gets; `hit(text)` is what it waits with.
const CALLS: &[(&str, &str)] = &[
    ("gtag('event', 'x', {event_callback: () => hit('a')})", "a"),
    ("gtag('get', 'G-1', 'client_id', id => hit('a' + id))", "aundefined"),
    (
        "(function() { dataLayer.push(arguments) })('event', 'x', {event_callback: () => hit('a')})",
        "a",
    ),
    ("dataLayer.push({event: 'x', eventCallback: () => hit('a'), eventTimeout: 9})", "a"),
    ("dataLayer.push(function() { hit('a' + this.get('x')) })", "a"),
    ("dataLayer.hide = {end: () => hit('shown')}", "shown"),
    ("ga(tracker => hit('a' + tracker.get('clientId')))", "a"),
    ("ga('send', 'event', {hitCallback: () => hit('a')})", "a"),
    ("ga.getAll()[0].send('event', {hitCallback: () => hit('a')})", "a"),
    ("ga.create('UA-1').send('pageview', {hitCallback: () => hit(typeof ga.loaded)})", "boolean"),
    ("_gaq.push(['_set', 'hitCallback', () => hit('a')])", "a"),
    ("_gaq.push(() => hit('a'))", "a"),
    ("_paq.push([function() { hit('a') }])", "a"),
    ("_hsq.push(() => hit('a'))", "a"),
    (
        "googletag.cmd.push(() => { googletag.defineSlot('/x', [1, 1], 'd').addService(googletag.pubads()); hit('a') })",
        "a",
    ),
    ("googletag.cmd.push(() => hit('' + googletag.pubads().getSlots().length))", "0"),
    (
        "pbjs.que.push(() => pbjs.requestBids({bidsBackHandler: bids => hit(typeof bids)}))",
        "object",
    ),
    ("apstag.fetchBids({}, bids => hit('' + bids.length))", "0"),
    ("FB.getLoginStatus(answer => hit(answer.status))", "unknown"),
    ("FB.login(answer => hit('' + answer.authResponse))", "null"),
    ("twttr.ready(() => hit('a'))", "a"),
    ("twttr.widgets.createTweet('1').then(() => hit('a'))", "a"),
    ("analytics.ready(() => hit('a'))", "a"),
    ("analytics.identify('1', {}, () => hit('a'))", "a"),
    ("analytics.track('x', {}, {}, () => hit('a'))", "a"),
    ("mixpanel.track('x', {}, () => hit('a'))", "a"),
    ("mixpanel.people.set({}, () => hit('a'))", "a"),
    ("amplitude.track('x').promise.then(() => hit('a'))", "a"),
    ("amplitude.getInstance().logEvent('x', {}, () => hit('a'))", "a"),
    ("utag.link({}, () => hit('a'))", "a"),
    ("pintrk('track', 'x', {}, () => hit('a'))", "a"),
    ("plausible('x', {callback: () => hit('a')})", "a"),
    (
        "const l = new google.ima.AdsLoader(); l.addEventListener(google.ima.AdErrorEvent.Type.AD_ERROR, e => hit(e.type), false); l.requestAds(new google.ima.AdsRequest())",
        "adError",
    ),
    ("Sentry.startSpan({}, () => hit('a'))", "a"),
    ("Sentry.wrap(() => hit('a'))()", "a"),
    (
        "fbq('track', 'x'); ttq.track('x'); lintrk('track'); twq('event'); snaptr('track'); uetq.push('event'); hj('event'); clarity('set'); Intercom('boot'); _satellite.track('x'); heap.track('x'); kwaiq.page(); Tawk_API.maximize(); criteo_q.push({}); _qevents.push({}); hit('a')",
        "a",
    ),
    (
        "hit(`${optimizely.get('state').getVariationMap()}|${Object.keys(optimizely.get('data').experiments).length}`)",
        "|0",
    ),
    ("(async () => { await Zed; await Zed.load(); hit('a') })()", "a"),
    (
        "hit(JSON.stringify([typeof Zed, +Zed.x, [...Zed.list], {a: Zed}, new Zed.Thing() instanceof Zed.Thing]))",
        "[\"function\",0,[],{},true]",
    ),
    (
        "class Mine extends Zed.Base { own() { return this.theirs() && 'a' } } hit(new Mine().own())",
        "a",
    ),
    ("Zed.mine = 5; hit('' + Zed.mine)", "5"),
    ("(utag_data.page = 'x'); hit(JSON.stringify(utag_data))", "{\"page\":\"x\"}"),
    ("hit(window.kept + document.title)", "mine"),
];

/// What is not to be answered: the vendor never comes.
const SILENT: &[&str] = &[
    "YT.ready(() => hit('no'))",
    "window.onYouTubeIframeAPIReady = () => hit('no')",
    "FB.Event.subscribe('x', () => hit('no'))",
    "analytics.on('track', () => hit('no'))",
    "Intercom('onShow', () => hit('no'))",
    "new YT.Player('x', {events: {onReady: () => hit('no')}})",
    "Zed.on(() => hit('no'))",
    "gtag('set', {callback: () => hit('no')})",
];

#[tokio::test(flavor = "multi_thread")]
async fn j1_every_known_global_calls_back_and_none_throws() {
    if !is_here() {
        return;
    }
    let names = [
        "gtag",
        "dataLayer",
        "ga",
        "_gaq",
        "_paq",
        "_hsq",
        "googletag",
        "pbjs",
        "apstag",
        "FB",
        "twttr",
        "analytics",
        "mixpanel",
        "amplitude",
        "utag",
        "utag_data",
        "pintrk",
        "plausible",
        "google.ima",
        "Sentry",
        "fbq",
        "ttq",
        "lintrk",
        "twq",
        "snaptr",
        "uetq",
        "hj",
        "clarity",
        "Intercom",
        "_satellite",
        "heap",
        "kwaiq",
        "Tawk_API",
        "criteo_q",
        "_qevents",
        "optimizely",
        "YT",
        "Zed",
        "kept",
        "document",
        "location",
    ];
    let page = page(&names, "")
        .replace("<!doctype html>", "<!doctype html><script>window.kept = 'mine'</script>");
    let origin = origin().page("/", &page).start().await;
    let browser = Browser::open(true).await;
    browser.goes_to(&format!("http://{}/", origin.address)).await;
    let calls: Vec<&str> =
        CALLS.iter().map(|(call, _)| *call).chain(SILENT.iter().copied()).collect();
    let script = format!(
        "window.hits = {{}}; const calls = {}; calls.forEach((call, at) => {{
            const hit = text => {{ (hits[at] = hits[at] || []).push(String(text)) }};
            try {{ new Function('hit', call)(hit) }} catch (error) {{ hits[at] = ['threw ' + error] }} }})",
        json!(calls)
    );
    browser.runs(&script).await;
    let all = format!("return Object.keys(hits).length >= {} ? hits : null", CALLS.len());
    browser.waits_for(&all).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let hits = browser.runs("return hits").await;
    for (at, (call, expected)) in CALLS.iter().enumerate() {
        assert_eq!(hits[at.to_string()], json!([expected]), "{call}: once, and with this");
    }
    for (at, call) in SILENT.iter().enumerate() {
        assert_eq!(hits[(CALLS.len() + at).to_string()], json!(null), "{call}");
    }
    assert_eq!(browser.runs("return localStorage.length + sessionStorage.length").await, 0);
    assert_eq!(origin.seen().iter().filter(|seen| seen.target != "/favicon.ico").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn j1_the_real_one_takes_its_name() {
    if !is_here() {
        return;
    }
    let real = "<script>function aaa() { return 1 } var bbb = () => 2; let ccc = () => 3; const ddd = () => 4;
        window.eee = () => 5; fff = () => 6; window.ggg = window.ggg || []; ggg.push(1);
        google.maps = {}; window.sum = [aaa(), bbb(), ccc(), ddd(), eee(), fff(), ggg.length].join()</script>";
    let names = ["aaa", "bbb", "ccc", "ddd", "eee", "fff", "google.ima"];
    let origin = with_page(origin(), "/", &names, real).start().await;
    let browser = Browser::open(true).await;
    browser.goes_to(&format!("http://{}/", origin.address)).await;
    assert_eq!(browser.runs("return sum").await, "1,2,3,4,5,6,1");
}

#[tokio::test(flavor = "multi_thread")]
async fn b12_a_container_that_may_run_takes_the_queue_over() {
    if !is_here() {
        return;
    }
    // As containers do: read what is there, then wrap `push`.
    let container = "<script>window.calls = 0; dataLayer.push({event: 'early', eventCallback: () => { calls += 1 }});
        </script><script>window.read = dataLayer.map(item => item.event);
        const handed = item => { if (item.eventCallback) setTimeout(item.eventCallback, 0); read.push(item.event) };
        const push = dataLayer.push;
        dataLayer.push = (...items) => { items.forEach(handed); return push.apply(dataLayer, items) };
        dataLayer.push({event: 'late', eventCallback: () => { calls += 1 }});</script>";
    let origin = with_page(origin(), "/", &["dataLayer", "gtag"], container).start().await;
    let browser = Browser::open(true).await;
    browser.goes_to(&format!("http://{}/", origin.address)).await;
    browser.waits_for("return calls >= 2").await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(browser.runs("return calls").await, 2, "once each");
    assert_eq!(browser.runs("return read.join()").await, "early,late");
    assert_eq!(browser.runs("return typeof dataLayer[1].eventCallback").await, "function");
}

/// A shop whose own code calls `acme` and pushes to `acme_q`, before the
/// vendor is there; `{ads}` is the vendor's host.
const SHOP: &str = "<!doctype html>
    <script>if (window.acme) acme('init'); window.acme_q = window.acme_q || []; var acme_other;</script>
    <script>window.called = 0; acme('page', 'view');
        acme_q.push({event: 'cart', eventCallback: () => { called += 1 }});
        for (let i = 0; i < 300; i += 1) window.acme_other('x' + i);</script>
    <script src='{ads}/lib.js'></script><p>x</p>";

async fn vendor() -> Origin {
    let code = "window.acme = (...args) => fetch('/sent?' + args.join('-'));
        acme_q.forEach(item => acme('queued', item.event, typeof item.eventCallback));";
    let answer = move |_| {
        Response::builder()
            .header("content-type", "text/javascript")
            .body(Full::<Bytes>::from(code))
            .unwrap()
    };
    origin().answer("/lib.js", answer).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn j2_after_a_yes_what_was_called_before_is_sent_once() {
    if !is_here() {
        return;
    }
    let vendor = vendor().await;
    let names = json!(["acme", "acme_q", "acme_other"]);
    let stubs = format!("<script>{}; if (!window.acme) stubs({names})</script>", served(STUBS));
    let stage =
        Stage::of(&vendor, &SHOP.replacen("<script>", &format!("{stubs}<script>"), 1)).await;
    let browser = Browser::open(true).await;
    browser.goes_to(&stage.url()).await;
    browser.waits_for("return called === 1").await;
    browser.runs("window.same = true; window.early = acme").await;
    stage.agrees(&browser).await;
    let sent = async |target: &str| {
        for _ in 0..1200 {
            if asked(&stage.origin, target) > 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    sent("/sent?page-view").await;
    assert_eq!(browser.runs("return window.same").await, true);
    // Somebody kept the stand-in: it leads to the real one now.
    browser.runs("early('later')").await;
    sent("/sent?later").await;
    for target in ["/sent?page-view", "/sent?queued-cart-undefined", "/sent?later"] {
        assert_eq!(asked(&stage.origin, target), 1, "{target}");
    }
    assert_eq!(asked(&vendor, "/lib.js"), 1);
    assert_eq!(browser.runs("return called").await, 1, "and nobody is called back twice");
    // At most a hundred calls were kept.
    browser.runs("window.others = []; window.acme_other = x => others.push(x)").await;
    browser.waits_for("return others.length > 0").await;
    assert_eq!(browser.runs("return others.length + others.at(-1)").await, "100x99");
}

#[tokio::test(flavor = "multi_thread")]
async fn j2_after_a_no_nothing_is_left() {
    if !is_here() {
        return;
    }
    let vendor = vendor().await;
    let ads = format!("http://ads.acme.localhost:{}", vendor.address.port());
    let origin = origin().page("/", &SHOP.replace("{ads}", &ads)).start().await;
    let proxy = consentry(&origin).start().await;
    let mut browser = Browser::open(true).await;
    browser.goes_to(&url(&proxy, "/")).await;
    browser.runs("window.same = true").await;
    assert_eq!(browser.runs("return acme_q.length").await, 1);
    browser.clicks("#csy-ask button[value=none]").await;
    browser.waits_for("return document.getElementById('csy-link') !== null").await;
    assert_eq!(browser.runs("return window.same").await, true);
    assert_eq!(browser.runs("return acme_q.length").await, 0);
    // The site goes on, and nothing piles up.
    browser
        .runs("window.again = 0; acme_q.push({event: 'x', eventCallback: () => { again += 1 }})")
        .await;
    browser.waits_for("return again === 1").await;
    assert_eq!(browser.runs("return acme_q.length").await, 0);
    browser.runs("window.late = []; window.acme = (...args) => late.push(args)").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(browser.runs("return late.length").await, 0);
    assert_eq!(browser.runs("return localStorage.length + sessionStorage.length").await, 0);
    assert_eq!(asked(&vendor, "/lib.js"), 0);
    assert!(origin.seen().iter().all(|seen| !seen.target.starts_with("/sent")));
    assert_eq!(browser.cookies().await, ["consentry"]);
}
