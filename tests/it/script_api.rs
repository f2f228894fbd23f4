//! What a site's own scripts can ask and do, and what other software on a page
//! is told and tells. That software is played by stand-ins of ours.

use crate::driver::{Browser, is_here};
use crate::harness::{Origin, Proxy, consentry, origin, visitor};
use crate::proof::{number_on, proof};

use serde_json::{Value, json};

/// What runs in every page here: scripts of the site wait until the page is
/// read, when the API is there.
fn page(script: &str) -> String {
    format!(
        "<!doctype html><html><head><title>Tea</title><link rel=icon href='data:,'></head><body>
         <p id=yes onclick=\"act({{ analytics: true }})\">Yes</p><p id=no onclick=\"act({{ analytics: false }})\">No</p>
         <p id=open onclick=\"__consentry.open()\">Open</p><p id=other onclick=\"other()\">Other</p>
         <script>var events = [], seen = [], calls = [], outcome;
         var act = (purposes, how) => __consentry.choose(purposes, how || {{ reload: false }})
           .then(state => outcome = state.purposes.analytics, error => outcome = error.message);
         document.addEventListener('consentry:change', event => events.push(event.detail.purposes.analytics));
         addEventListener('DOMContentLoaded', () => {{ {script} }});</script></body></html>"
    )
}

async fn shop(pages: &[(&str, &str)]) -> Origin {
    let origin =
        pages.iter().fold(origin(), |origin, (path, script)| origin.page(path, &page(script)));
    origin.start().await
}

fn url(proxy: &Proxy, path: &str) -> String {
    format!("http://{}{path}", proxy.address)
}

/// The purposes as the server has them.
async fn chosen(browser: &Browser) -> Value {
    let script = "return fetch('/.consentry/state').then(answer => answer.json())
        .then(state => Object.entries(state.purposes).filter(([, word]) => word === 'granted').map(([name]) => name))";
    browser.runs(script).await
}

/// How the choice was made, as its receipt says.
async fn method(browser: &Browser, proxy: &Proxy) -> Value {
    let own = browser.runs("return fetch('/.consentry/me').then(answer => answer.text())").await;
    let number = number_on(own.as_str().unwrap()).unwrap();
    proxy.running().ledger.flush().unwrap();
    proof(&proxy.directory().join("ledger.db"), &number)["method"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_the_sites_scripts_ask_hear_and_choose_when_the_visitor_acts() {
    if !is_here() {
        return;
    }
    let listens = "stop = __consentry.onChange(state => seen.push(state.purposes.analytics));";
    let shop = shop(&[
        ("/", listens),
        ("/grants", "act({ analytics: true })"),
        ("/nothing", "act({})"),
        ("/refuses-one", "act({ analytics: false })"),
        ("/refuses", "act({ functional: false, analytics: false, personalization: false, marketing: false })"),
        ("/mistakes", "act({ ads: true }).then(() => { first = outcome; return act({ analytics: 'yes' }) }).then(() => { second = outcome })"),
    ])
    .await;
    let proxy = consentry(&shop).site("script_api = true").start().await;
    let mut browser = Browser::open(true).await;

    // A script alone grants nothing and closes no question; it may refuse all.
    for path in ["/grants", "/nothing", "/refuses-one"] {
        browser.goes_to(&url(&proxy, path)).await;
        let told = browser.waits_for("return outcome").await;
        assert!(told.as_str().unwrap().contains("only the visitor chooses"), "{path}: {told}");
        assert_eq!(browser.runs("return __consentry.state().undecided").await, true, "{path}");
    }
    browser.goes_to(&url(&proxy, "/mistakes")).await;
    browser.waits_for("return window.second").await;
    assert_eq!(
        browser.runs("return [first, second]").await,
        json!([
            "consentry: there is no purpose \"ads\"",
            "consentry: \"analytics\" is true or false"
        ])
    );

    browser.goes_to(&url(&proxy, "/")).await;
    browser.waits_for("return __consentry.state()").await;
    browser.clicks("#yes").await;
    browser.waits_for("return outcome === 'granted'").await;
    assert_eq!(chosen(&browser).await, json!(["analytics", "necessary"]));
    let heard =
        "return [seen, events, __consentry.state().source, __consentry.state().purposes.marketing]";
    assert_eq!(browser.runs(heard).await, json!([["granted"], ["granted"], "choice", "denied"]));

    assert_eq!(method(&browser, &proxy).await, "script");

    // An event that somebody made up is asked about, and changes nothing.
    let forged = "document.dispatchEvent(new CustomEvent('consentry:change', { detail: { purposes: { marketing: 'granted' } } }));
        __consentry.state().purposes.marketing = 'granted';
        return new Promise(done => setTimeout(() => done([seen.length, __consentry.state().purposes.marketing]), 300))";
    assert_eq!(browser.runs(forged).await, json!([1, "denied"]));

    browser.runs("stop()").await;
    browser.clicks("#no").await;
    browser.waits_for("return outcome === 'denied'").await;
    assert_eq!(browser.runs("return seen.length").await, 1, "nobody listens any more");
    assert_eq!(chosen(&browser).await, json!(["necessary"]));

    // What was said about a single vendor stays said.
    let says = async |form: &str| {
        let script = format!(
            "return fetch('/.consentry/choices', {{ method: 'POST', redirect: 'manual', body: new URLSearchParams('{form}') }}).then(() => outcome = '')"
        );
        browser.runs(&script).await
    };
    says("choice=some&purpose=marketing&vendor=refuse:acme-ads&vendor=allow:acme-maps").await;
    let vendors = "return [outcome, __consentry.state().vendors.refused, __consentry.state().vendors.allowed, __consentry.state().purposes.marketing]";
    for (act, word, allowed) in
        [("#yes", "granted", json!(["acme-maps"])), ("#no", "denied", json!([]))]
    {
        browser.clicks(act).await;
        browser.waits_for(&format!("return outcome === '{word}'")).await;
        assert_eq!(browser.runs(vendors).await, json!([word, ["acme-ads"], allowed, "granted"]));
    }

    browser.clicks("#open").await;
    browser.waits_for("return location.pathname === '/.consentry/choices'").await;
    assert!(browser.at().await.ends_with("?return_to=%2F"), "{}", browser.at().await);

    browser.forgets().await;
    browser.goes_to(&url(&proxy, "/refuses")).await;
    browser.waits_for("return outcome === 'denied'").await;
    assert_eq!(browser.runs("return __consentry.state().undecided").await, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_a_page_has_no_script_of_ours_that_nobody_asked_for() {
    let shop = shop(&[("/", "")]).await;
    let proxy = consentry(&shop).start().await;
    let mut somebody = visitor(&proxy).sending("sec-fetch-dest", "document");
    assert!(!somebody.opens("/").await.body.contains("/.consentry/api"));
    let script = somebody.opens("/.consentry/api.js").await;
    assert_eq!(script.field("cache-control"), "public, max-age=300");
    assert!(script.body.contains("const BRIDGES = [];"), "and no bridge is open");
    for method in ["POST", "PUT"] {
        assert_eq!(somebody.asks(method, "/.consentry/api.js", &[], "").await.status, 405);
    }
    let wrong = consentry(&shop).site("bridges = ['shopfy']").try_start().await.err().unwrap();
    assert!(wrong.contains("did you mean `shopify`?"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_a_script_agrees_to_nothing_that_others_granted() {
    if !is_here() {
        return;
    }
    let more = "document.getElementById('other').onclick = () => act({ functional: true });";
    let shop = shop(&[("/", more)]).await;
    // Another tool's word, and silence where it is taken for a "yes".
    let elsewhere = consentry(&shop).site("script_api = true").start().await;
    let mut browser = Browser::open(true).await;
    browser.goes_to(&url(&elsewhere, "/")).await;
    let tool = r#"{"categories":["necessary","analytics"],"revision":0}"#;
    browser.keeps("cc_cookie", &tool.replace('"', "%22").replace(',', "%2C")).await;
    let silent = consentry(&shop).site("script_api = true").config(OPT_OUT).start().await;
    for (proxy, country) in [(&elsewhere, None), (&silent, Some("US"))] {
        if let Some(country) = country {
            browser.forgets().await;
            browser.commands("Network.enable", json!({})).await;
            let fields = json!({ "headers": { "X-Country": country } });
            browser.commands("Network.setExtraHTTPHeaders", fields).await;
        }
        browser.goes_to(&url(proxy, "/")).await;
        browser.waits_for("return __consentry.state()").await;
        let granted = chosen(&browser).await;
        assert!(granted.as_array().unwrap().contains(&json!("analytics")), "{granted}");
        browser.clicks("#other").await;
        browser.waits_for("return __consentry.state().source === 'choice'").await;
        assert_eq!(chosen(&browser).await, json!(["functional", "necessary"]));
    }
}

/// A visitor of a country where silence is taken for a "yes".
const OPT_OUT: &str = "[regions]\ncountry_header = 'x-country'\nopt_out = ['US']";

/// Stand-ins that remember, as the tools do.
const TOOLS: &str = "var jar = JSON.parse(localStorage.jar || '{}');
    var keep = (name, word) => { jar[name] = word; localStorage.jar = JSON.stringify(jar) };
    wp_has_consent = category => jar[category] === 'allow';
    wp_set_consent = (category, word) => { calls.push(category + ' ' + word); keep(category, word) };
    const customerPrivacy = {
      currentVisitorConsent: () => ({ analytics: '', marketing: '', preferences: '', sale_of_data: '', ...jar.shopify }),
      setTrackingConsent: (consent, done) => {
        calls.push(consent);
        keep('shopify', Object.fromEntries(Object.entries(consent).map(([name, yes]) => [name, yes ? 'yes' : 'no'])));
        done();
      },
    };
    Shopify = LATE;
    document.addEventListener('wp_consent_type_defined', () => calls.push('type ' + wp_consent_type));";

const BRIDGES: &str = "script_api = true\nbridges = ['shopify', 'wordpress']";

fn tools(late: bool) -> String {
    let shopify = if late {
        "{ loadFeatures(features, done) { calls.push(features[0].name); Shopify.customerPrivacy = customerPrivacy; done() } }"
    } else {
        "{ customerPrivacy }"
    };
    format!("}});</script><script>{} void (() => {{", TOOLS.replace("LATE", shopify))
}

/// What the tools were told on the page, once nothing more can come.
async fn told(browser: &Browser) -> Value {
    browser.waits_for("return __consentry.state()").await;
    browser.runs("return new Promise(done => setTimeout(() => done(calls), 300))").await
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_shopify_and_wordpress_hear_what_was_chosen_and_nothing_before() {
    if !is_here() {
        return;
    }
    let shop = shop(&[("/", &tools(false)), ("/late", &tools(true))]).await;
    let proxy = consentry(&shop).site(BRIDGES).start().await;
    let mut browser = Browser::open(true).await;
    let consent = json!({ "analytics": true, "marketing": false, "preferences": false, "sale_of_data": false });
    let words =
        ["preferences deny", "statistics allow", "statistics-anonymous allow", "marketing deny"];
    for path in ["/", "/late"] {
        browser.goes_to(&url(&proxy, path)).await;
        browser.forgets().await;
        browser.runs("localStorage.clear()").await;
        browser.goes_to(&url(&proxy, path)).await;
        assert_eq!(told(&browser).await, json!(["type optin"]), "{path}");
        browser.clicks("#yes").await;
        browser.waits_for("return calls.some(one => one === 'marketing deny')").await;
        let mut expected = vec![json!("type optin")];
        if path == "/late" {
            expected.push(json!("consent-tracking-api"));
        }
        expected.push(consent.clone());
        expected.extend(words.map(Value::from));
        assert_eq!(told(&browser).await, json!(expected), "{path}");
        // On the next page they hear it again.
        browser.reloads().await;
        assert_eq!(told(&browser).await, json!(expected), "{path}");
        // When the choice does not count any more, neither does what they keep of it; and where
        // there is nothing to take back, nothing is said in the visitor's name.
        if path == "/" {
            browser.forgets().await;
            browser.reloads().await;
            let taken_back = json!(["type optin", { "analytics": false }, "statistics deny", "statistics-anonymous deny"]);
            assert_eq!(told(&browser).await, taken_back);
            browser.reloads().await;
            assert_eq!(told(&browser).await, json!(["type optin"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_silence_is_told_to_nobody_as_an_agreement() {
    if !is_here() {
        return;
    }
    let shop = shop(&[("/", &tools(false))]).await;
    let proxy = consentry(&shop).site(BRIDGES).config(OPT_OUT).start().await;
    let mut browser = Browser::open(true).await;
    browser.commands("Network.enable", json!({})).await;
    let fields = json!({ "headers": { "X-Country": "US" } });
    browser.commands("Network.setExtraHTTPHeaders", fields).await;
    browser.goes_to(&url(&proxy, "/")).await;
    assert_eq!(told(&browser).await, json!(["type optin"]));
    assert_eq!(browser.runs("return __consentry.state().purposes.marketing").await, "granted");
    browser.clicks("#yes").await;
    browser.waits_for("return calls.includes('statistics allow')").await;
}

/// A tool of the framework: `says(event, purposes)` tells its listeners.
const TCF_TOOL: &str = "}); var hears = [];
    __tcfapi = (command, version, callback) => {
      if (command === 'addEventListener') { hears.push(callback); says('tcloaded', [1, 2, 3, 4, 7, 8]) }
    };
    var says = (eventStatus, purposes) => hears.forEach(callback => callback({ eventStatus, tcString: 'x',
      purpose: { consents: Object.fromEntries(purposes.map(one => [one, true])) } }, true));
    FORGED
    var other = () => says('useractioncomplete', [1, 8]); void (() => {";

#[tokio::test(flavor = "multi_thread")]
async fn d12_what_is_chosen_in_another_tool_is_chosen_here_when_the_visitor_chose_it() {
    if !is_here() {
        return;
    }
    let tool = TCF_TOOL.replace("FORGED", "");
    let forged = TCF_TOOL.replace(
        "FORGED",
        "addEventListener('load', () => setTimeout(() => says('useractioncomplete', [1, 2, 3, 4, 7, 8]), 100));",
    );
    let shop = shop(&[("/", &tool), ("/forged", &forged)]).await;
    let proxy = consentry(&shop).site("script_api = true\nbridges = ['tcf']").start().await;
    let mut browser = Browser::open(true).await;
    browser.goes_to(&url(&proxy, "/")).await;
    browser.waits_for("return hears.length && __consentry.state()").await;
    assert_eq!(chosen(&browser).await, json!(["necessary"]), "what was chosen once is no act");
    browser.clicks("#other").await;
    for _ in 0..1200 {
        if chosen(&browser).await == json!(["analytics", "necessary"]) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(chosen(&browser).await, json!(["analytics", "necessary"]));

    assert_eq!(method(&browser, &proxy).await, "bridge");

    // A click that nobody made is no choice, neither yes nor no.
    browser.forgets().await;
    browser.goes_to(&url(&proxy, "/forged")).await;
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(chosen(&browser).await, json!(["necessary"]));
    assert_eq!(browser.runs("return __consentry.state().undecided").await, true);

    // Without the bridge the tool speaks for itself alone.
    let apart = consentry(&shop).site("script_api = true").start().await;
    browser.goes_to(&url(&apart, "/")).await;
    browser.waits_for("return __consentry.state()").await;
    browser.clicks("#other").await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(chosen(&browser).await, json!(["necessary"]));
    assert_eq!(browser.runs("return hears.length").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_usercentrics_tells_by_its_event_what_every_service_of_a_purpose_got() {
    if !is_here() {
        return;
    }
    let tool = "}); var services = [['essential', true], ['functional', true], ['statistics', true],
          ['marketing', true], ['marketing', false], ['unheard-of', true]];
        UC_UI = { getServicesBaseInfo: () => services.map(([categorySlug, status]) => ({ categorySlug, consent: { status } })) };
        var other = () => dispatchEvent(new CustomEvent('UC_UI_CMP_EVENT', { detail: { type: 'SAVE' } })); void (() => {";
    let shop = shop(&[("/", tool)]).await;
    let proxy =
        consentry(&shop).site("script_api = true\nbridges = ['usercentrics']").start().await;
    let mut browser = Browser::open(true).await;
    browser.goes_to(&url(&proxy, "/")).await;
    browser.waits_for("return __consentry.state()").await;
    browser
        .runs(
            "dispatchEvent(new CustomEvent('UC_UI_CMP_EVENT', { detail: { type: 'CMP_SHOWN' } }))",
        )
        .await;
    assert_eq!(chosen(&browser).await, json!(["necessary"]));
    browser.clicks("#other").await;
    let expected = json!(["analytics", "functional", "necessary"]);
    for _ in 0..1200 {
        if chosen(&browser).await == expected {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(chosen(&browser).await, expected, "one service of two is no purpose");
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_where_no_tool_is_we_answer_truly_and_make_up_no_string() {
    if !is_here() {
        return;
    }
    let later = "}); addEventListener('load', () => setTimeout(() => { __tcfapi = () => 'theirs' }, 300)); void (() => {";
    let shop = shop(&[("/", ""), ("/later", later)]).await;
    let proxy = consentry(&shop).site("script_api = true\nbridges = ['tcf', 'gpp']").start().await;
    let mut browser = Browser::open(true).await;
    browser.goes_to(&url(&proxy, "/")).await;
    browser.waits_for("return __consentry.state() && typeof __tcfapi === 'function'").await;
    let asks = "return new Promise(done => __tcfapi('getTCData', 2, (data, ok) => done([ok, data.tcString, data.vendor.consents,
        Object.keys(data.purpose.consents).filter(one => data.purpose.consents[one]).join(), data.cmpStatus])))";
    assert_eq!(browser.runs(asks).await, json!([true, "", {}, "", "stub"]));
    browser
        .runs(
            "__tcfapi('addEventListener', 2, (data, ok) => { calls.push(data.eventStatus); id = data.listenerId });
             __tcfapi('nonsense', 2, (data, ok) => calls.push(String(ok)));
             __gpp('addEventListener', (event) => calls.push(event.eventName + ' ' + event.pingData.consentry.analytics));
             return new Promise(done => setTimeout(done, 100))",
        )
        .await;
    browser.clicks("#yes").await;
    browser.waits_for("return calls.includes('useractioncomplete')").await;
    assert_eq!(
        browser.runs("return calls").await,
        json!([
            "false",
            "listenerRegistered undecided",
            "cmpuishown",
            "useractioncomplete",
            "sectionChange granted"
        ])
    );
    assert_eq!(browser.runs(asks).await, json!([true, "", {}, "1,8,9,10", "stub"]));
    let ping = "return new Promise(done => __gpp('ping', (ping, ok) => done([ok, ping.gppString, ping.sectionList, ping.signalStatus])))";
    assert_eq!(browser.runs(ping).await, json!([true, "", [], "not ready"]));
    let gone = "return new Promise(done => __tcfapi('removeEventListener', 2, done, id))";
    assert_eq!(browser.runs(gone).await, true);

    browser.goes_to(&url(&proxy, "/later")).await;
    browser.waits_for("return typeof __tcfapi === 'function' && __tcfapi() === 'theirs'").await;
}
