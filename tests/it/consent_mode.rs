//! What Google's tags hear, and what they may say.

use crate::driver::{Browser, is_here};
use crate::harness::{Origin, consentry, origin, visitor};

use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};

/// The container passes although nobody agreed: the operator decided so.
const RECLASSIFIED: &str = "[[exception]]\nvendor = 'google-tag-manager'\nverdict = 'allow'\n\
    owner = 'Ana Lee'\nreason = 'loads the shop'\nexpires = 2099-12-31\n";

/// The tags' hits pass, too.
const ALL_RECLASSIFIED: &str = "[[exception]]\nvendor = 'google-analytics'\nverdict = 'allow'\n\
    owner = 'Ana Lee'\nreason = 'counts without cookies'\nexpires = 2099-12-31\n";

const TAG: &str = "http://www.googletagmanager.com/gtm.js?id=GTM-ABC123";
const PAGE: &str = "<!doctype html><html><head><title>Tea</title></head><body>\
    <p onclick=\"__consentry.choose({ marketing: true }, { reload: false })\">Ads, please</p>\
    <script src=\"http://www.googletagmanager.com/gtm.js?id=GTM-ABC123\"></script></body></html>";

/// What a tag makes of its commands (browsers ask most of Google's hosts by https alone, but not
/// this one): the signals in force, in the order of
/// Google's documentation, and a hit that says which storage it may use.
const STAND_IN: &str = "
    window.heard = [].slice.call(dataLayer).filter(c => c[0] === 'consent').map(c => [c[1], c[2]]);
    const force = {};
    for (const kind of ['default', 'update']) for (const [which, signals] of heard) if (which === kind) Object.assign(force, signals);
    const bit = (name) => force[name] === 'denied' ? 0 : 1;
    window.gcs = 'G1' + bit('ad_storage') + bit('analytics_storage');
    fetch('http://www.urchin.com/g/collect?v=2&tid=G-1&gcs=' + gcs, { mode: 'no-cors' })
      .then(() => { window.asked = true }, () => { window.asked = false });";

async fn google() -> Origin {
    let script = |text: &'static str| {
        move |_| {
            let answer = Response::builder().header("content-type", "text/javascript");
            answer.header("access-control-allow-origin", "*").body(Full::from(text)).unwrap()
        }
    };
    let hit = |_| Response::builder().status(204).body(Full::default()).unwrap();
    origin().answer("/gtm.js", script(STAND_IN)).answer("/g/collect", hit).start().await
}

async fn with_google(google: &Origin) -> Browser {
    let rules = format!(
        "--host-resolver-rules=MAP *.googletagmanager.com {0}, MAP *.urchin.com {0}",
        google.address
    );
    Browser::open_with(true, &[&rules]).await
}

fn hits(google: &Origin) -> Vec<String> {
    let seen = google.seen().into_iter().map(|seen| seen.target);
    seen.filter(|target| target.contains("/g/collect")).collect()
}

fn all_denied() -> Value {
    json!({
        "ad_storage": "denied", "ad_user_data": "denied", "ad_personalization": "denied",
        "analytics_storage": "denied", "functionality_storage": "denied",
        "personalization_storage": "denied", "security_storage": "granted",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn d10_a_tag_hears_what_is_denied_before_it_runs_and_sends_nothing() {
    if !is_here() {
        return;
    }
    let google = google().await;
    let shop = origin().page("/", PAGE).start().await;
    for (exceptions, pings, gone) in [
        (RECLASSIFIED.to_owned(), false, 0),
        (format!("{RECLASSIFIED}{ALL_RECLASSIFIED}"), false, 0),
        (format!("{RECLASSIFIED}{ALL_RECLASSIFIED}"), true, 1),
    ] {
        google.forgets();
        let danger = format!("[danger]\ngoogle_pings = {pings}\n{exceptions}");
        let proxy = consentry(&shop).config(&danger).start().await;
        let browser = with_google(&google).await;
        browser.goes_to(&format!("http://{}/", proxy.address)).await;
        browser.waits_for("return window.asked !== undefined").await;
        let expected = json!([["default", all_denied()], ["update", all_denied()]]);
        assert_eq!(browser.runs("return heard").await, expected);
        assert_eq!(browser.runs("return gcs").await, "G100");
        assert_eq!(hits(&google).len(), gone, "{:?}", hits(&google));
        if exceptions.contains("counts without cookies") && !pings {
            browser.goes_to("about:blank").await;
            let line = "block analytics Google Analytics connect www.urchin.com/g/collect";
            for _ in 0..50 {
                if proxy.ledger().await.iter().any(|known| known == line) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            assert!(proxy.ledger().await.contains(&line.to_owned()), "{:?}", proxy.ledger().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d10_a_tag_that_some_of_it_was_granted_to_hears_just_that() {
    if !is_here() {
        return;
    }
    let google = google().await;
    let shop = origin().page("/", PAGE).start().await;
    let proxy = consentry(&shop).config(RECLASSIFIED).site("script_api = true").start().await;
    let mut browser = with_google(&google).await;
    let url = format!("http://{}/", proxy.address);
    browser.goes_to(&format!("{url}.consentry/choices")).await;
    browser.clicks("input[value=analytics]").await;
    browser.clicks("button[value=some]").await;
    browser.waits_for("return window.asked").await;
    let mut expected = all_denied();
    expected["analytics_storage"] = json!("granted");
    assert_eq!(browser.runs("return heard[0]").await, json!(["default", expected]));
    assert_eq!(hits(&google), ["/g/collect?v=2&tid=G-1&gcs=G101"]);

    // A change in the page that is open reaches a tag that is running.
    expected["ad_storage"] = json!("granted");
    expected["ad_user_data"] = json!("granted");
    browser.clicks("p").await;
    let last = "const last = dataLayer[dataLayer.length - 1]; return last[2].ad_storage === 'granted' && [last[0], last[1], last[2]]";
    assert_eq!(browser.waits_for(last).await, json!(["consent", "update", expected]));
}

#[tokio::test(flavor = "multi_thread")]
async fn d10_where_everything_is_granted_the_page_stays_as_it_is_unless_asked_for() {
    let shop = origin().page("/", PAGE).page("/none", "<p>No tag").start().await;
    let open = async |setting: &str, choice: &str, path: &str| {
        let proxy = consentry(&shop)
            .config(RECLASSIFIED)
            .site(&format!("google_consent = '{setting}'"))
            .start()
            .await;
        let mut somebody = visitor(&proxy);
        somebody.chooses(choice, &[]).await;
        let fetched = somebody.clone().opens(path).await;
        let shown = somebody.sending("sec-fetch-dest", "document").opens(path).await;
        (fetched.body, shown.body)
    };
    let tells = |page: &str| page.contains("data-consentry-google=");
    let (fetched, shown) = open("auto", "all", "/").await;
    assert_eq!(fetched, PAGE);
    assert!(shown.starts_with(PAGE), "only the link is added: {shown}");
    assert!(tells(&open("auto", "none", "/").await.1));
    assert!(!tells(&open("auto", "none", "/none").await.1));
    assert!(!tells(&open("off", "none", "/").await.1));

    let (_, shown) = open("always", "all", "/").await;
    let (head, rest) = shown.split_once("<script src=\"/.consentry/google-").unwrap();
    assert_eq!(head, "<!doctype html><html><head>", "before every other script");
    let (told, rest) = rest.split_once("></script>").unwrap();
    assert!(told.matches("granted").count() == 7 && !told.contains("denied"), "{told}");
    assert!(rest.contains(TAG));
    assert!(tells(&open("always", "none", "/").await.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn d10_a_ping_over_the_sites_own_host_goes_no_further() {
    let hit = |_| Response::builder().status(204).body(Full::default()).unwrap();
    let shop = origin().answer("/metrics/g/collect", hit).start().await;
    let asked = async |danger: &str, choice: &str, query: &str| {
        shop.forgets();
        let proxy = consentry(&shop).config(danger).start().await;
        let mut somebody = visitor(&proxy);
        somebody.chooses(choice, &[]).await;
        let path = format!("/metrics/g/collect?{query}");
        let answer = somebody.asks("POST", &path, &[("sec-fetch-dest", "empty")], "").await;
        assert_eq!(answer.status, 204);
        shop.seen().len()
    };
    assert_eq!(asked(ALL_RECLASSIFIED, "none", "v=2&gcs=G100").await, 0);
    assert_eq!(asked(ALL_RECLASSIFIED, "all", "v=2&gcs=G100").await, 1);
    let opted_in = format!("[danger]\ngoogle_pings = true\n{ALL_RECLASSIFIED}");
    assert_eq!(asked(&opted_in, "none", "v=2&gcs=G100").await, 1);
}
