//! Embeds that are not loaded, and loaded when a visitor asks, in a real browser.

use crate::driver::{Browser, is_here};
use crate::harness::{Origin, Proxy, consentry, origin};
use crate::reading::tags;

const ONCE: &str = "form:nth-of-type(1) button";
const ALWAYS: &str = "form:nth-of-type(2) button";

/// A shop with two maps on a page and a vendor's server.
async fn stage(more: &str) -> (Origin, Origin, Proxy) {
    let maps = origin().page("/embed", "<p id=map>A map</p>").start().await;
    let embed = format!("http://maps.acme.localhost:{}/embed", maps.address.port());
    let shop = origin()
        .page(
            "/stores",
            &format!(
                "<!doctype html><title>Stores</title><script>var own = 1</script>\
                 <iframe id=one src=\"{embed}?1\" width=400 height=300 title=Map allow=geolocation {more}></iframe>\
                 <iframe id=two src=\"{embed}?2\" width=400 height=300></iframe>"
            ),
        )
        .start()
        .await;
    let proxy = consentry(&shop).start().await;
    (maps, shop, proxy)
}

fn at(proxy: &Proxy) -> String {
    format!("http://shop.localhost:{}/stores", proxy.address.port())
}

fn asked(maps: &Origin) -> Vec<String> {
    maps.seen()
        .into_iter()
        .map(|seen| seen.target)
        .filter(|target| target.contains("embed"))
        .collect()
}

/// Whether the map can be seen in the frame.
async fn shows_map(browser: &Browser, frame: &str) -> bool {
    browser.enters(None).await;
    browser.enters(Some(frame)).await;
    browser.enters(Some("iframe")).await;
    let shown = browser.sees("#map").await;
    browser.enters(None).await;
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn e7_one_click_loads_one_embed_and_stores_nothing() {
    if !is_here() {
        return;
    }
    for scripts in [true, false] {
        let (maps, _shop, proxy) = stage("").await;
        let browser = Browser::open(scripts).await;
        browser.goes_to(&at(&proxy)).await;
        assert!(asked(&maps).is_empty());
        let size = browser.rect("#one").await;
        browser.enters(Some("#one")).await;
        browser.taps(ONCE).await;
        assert!(shows_map(&browser, "#one").await, "scripts {scripts}");
        assert_eq!(asked(&maps), ["/embed?1"]);
        assert_eq!(browser.rect("#one").await, size);
        assert!(browser.cookies().await.is_empty(), "nothing is stored");
        let ledger = proxy.lines().await;
        let line = ledger.iter().find(|line| line.reason == "asked for once").unwrap();
        assert_eq!(
            (line.what.as_str(), line.vendor.as_deref()),
            ("maps.acme.localhost/embed", Some("Acme Maps"))
        );
        // The next page asks again.
        browser.goes_to(&at(&proxy)).await;
        browser.enters(Some("#one")).await;
        assert_eq!(browser.finds(ONCE).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e7_a_vendor_can_be_loaded_from_now_on() {
    if !is_here() {
        return;
    }
    for scripts in [true, false] {
        let (maps, _shop, proxy) = stage("").await;
        let browser = Browser::open(scripts).await;
        browser.goes_to(&at(&proxy)).await;
        browser.enters(Some("#two")).await;
        browser.taps(ALWAYS).await;
        browser.enters(None).await;
        browser.find("iframe[src*=\"embed?1\"]").await;
        for frame in ["#one", "#two"] {
            browser.enters(Some(frame)).await;
            browser.find("#map").await;
            browser.enters(None).await;
        }
        let mut seen = asked(&maps);
        seen.sort();
        assert_eq!(seen, ["/embed?1", "/embed?2"], "scripts {scripts}");
        assert_eq!(browser.at().await, at(&proxy));
        assert_eq!(browser.cookies().await, ["consentry"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e7_a_frame_keeps_how_its_content_may_behave() {
    if !is_here() {
        return;
    }
    let sandbox = "sandbox=\"allow-scripts allow-forms allow-same-origin\" loading=lazy";
    let (maps, _shop, proxy) = stage(sandbox).await;
    let browser = Browser::open(true).await;
    browser.goes_to(&at(&proxy)).await;
    browser.enters(Some("#one")).await;
    browser.taps(ONCE).await;
    assert!(shows_map(&browser, "#one").await);
    browser.enters(Some("#one")).await;
    let inner = browser
        .runs("const f = document.querySelector('iframe'); return [f.title, f.allow, f.getAttribute('sandbox')]")
        .await;
    assert_eq!(
        inner,
        serde_json::json!(["Map", "geolocation", "allow-scripts allow-forms allow-same-origin"])
    );
    assert_eq!(asked(&maps), ["/embed?1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn e7_a_frame_in_which_forms_do_nothing_offers_none() {
    let (_maps, _shop, proxy) = stage("sandbox=allow-scripts").await;
    let page = crate::harness::visitor(&proxy).opens("/stores").await;
    let frames = tags(&page.body, "iframe");
    let forms = |frame: usize| tags(frames[frame].value("srcdoc"), "form").len();
    assert_eq!((forms(0), forms(1)), (0, 3));
    assert!(frames.iter().all(|frame| !frame.value("srcdoc").contains("maps.acme")));
}

#[tokio::test(flavor = "multi_thread")]
async fn e7_what_the_operator_withholds_from_everybody_no_click_loads() {
    let (_maps, shop, proxy) = stage("").await;
    let sealed = |page: &str| -> Option<String> {
        let frame = tags(page, "iframe").remove(0);
        let input = tags(frame.value("srcdoc"), "input").into_iter().next()?;
        Some(input.value("value").to_owned())
    };
    let mut person = crate::harness::visitor(&proxy);
    let token = sealed(&person.opens("/stores").await.body).unwrap();
    let directory = proxy.stop().await;
    let blocked = "[[exception]]\nvendor = \"acme-maps\"\nverdict = \"block\"\nowner = \"Ana\"\n\
                   reason = \"contract ended\"\nexpires = 2099-12-31";
    let proxy = consentry(&shop).in_directory(directory).config(blocked).start().await;
    let mut person = crate::harness::visitor(&proxy);
    let page = person.opens("/stores").await;
    assert_eq!(sealed(&page.body), None);
    assert!(page.body.contains("is not loaded on this site"), "{}", page.body);
    let origin = format!("http://{}", proxy.address);
    let fields =
        [("content-type", "application/x-www-form-urlencoded"), ("origin", origin.as_str())];
    let body =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("embed", &token).finish();
    let answer = person.asks("POST", "/.consentry/embed", &fields, &body).await;
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert!(
        !answer.body.contains("maps.acme") && answer.body.contains("is not loaded on this site")
    );
}
