//! What an officer finds on the dashboard, and how many clicks it takes.

use crate::dashboard::{PASSWORD, people, signed_in};
use crate::driver::{Browser, is_here};
use crate::harness::{Origin, Proxy, consentry, origin, visitor};

const TAGS: &str = "<!doctype html><title>Shop</title>\
    <script src=\"https://ads.acme.example/p.js\"></script>\
    <img src=https://stats.acme.example/i.gif><img src=\"https://cdn.stranger.example/x.gif\">";

const HELP: &str = r#"
[[exception]]
vendor = "acme-stats"
on_path = "/help"
verdict = "allow"
owner = "Ana <ana@shop.example>"
reason = "We find out what people look for & cannot find"
expires = 2099-01-31
"#;

async fn shop() -> (Origin, Proxy) {
    let origin =
        origin().page("/", TAGS).page("/help", TAGS).page("/quiet", "<p>Hello").start().await;
    let proxy = consentry(&origin).config(&format!("{HELP}{}", people())).start().await;
    for path in ["/", "/", "/help", "/quiet"] {
        assert_eq!(visitor(&proxy).opens(path).await.status, 200);
    }
    let mut granting = visitor(&proxy);
    granting.chooses("all", &[]).await;
    granting.opens("/").await;
    proxy.ledger().await;
    (origin, proxy)
}

/// The text of a page, with the blanks of a browser.
fn text(body: &str) -> String {
    let mut out = String::new();
    for piece in body.split('<') {
        out.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
        out.push(' ');
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_the_overview_says_in_plain_words_what_was_held_back() {
    let (_origin, proxy) = shop().await;
    let mut ana = signed_in(proxy.admin, "ana").await;
    let page = text(&ana.opens("/").await.body);
    // Two on each of two views of the first page, one on the help page.
    for words in [
        "4 requests to the site, pages above all, were put on record",
        "5 things were held back",
        "a browser would have fetched 5 from other companies at once",
        "In the same time before that, nothing was.",
        "Waiting for classification 1 third parties",
        "marketing 3 0 1",
        "analytics 2 0 2",
        "Acme Ads 3 0 1",
        "default 1 1 1 (100 %)",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let other = text(&ana.opens("/?from=2026-01-01&to=2026-01-31").await.body);
    assert!(
        other.contains("Nothing was put on record from 1 January 2026 to 31 January 2026"),
        "{other}"
    );
    let odd = text(&ana.opens("/?from=yesterday&days=-3").await.body);
    assert!(
        odd.contains("“yesterday” (from) is not a day")
            && odd.contains("“-3” is not a number of days"),
        "{odd}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_the_block_log_is_filtered_by_its_address_down_to_the_rule() {
    let (_origin, proxy) = shop().await;
    let mut ana = signed_in(proxy.admin, "ana").await;
    let rows =
        |body: &str| body.split_once("<tbody>").map_or(0, |(_, rest)| rest.matches("<tr>").count());
    for (query, expected) in [
        ("", 12),
        ("verdict=block", 5),
        ("verdict=block&vendor=acme-ads", 3),
        ("vendor=acme-ads&page=/help", 1),
        ("vendor=%3F", 4),
        ("kind=image&purpose=analytics&verdict=allow", 2),
        ("what=STRANGER", 4),
        ("what=%25", 0),
        ("page=/nowhere", 0),
        ("site=default&verdict=allow", 7),
        ("site=other", 0),
    ] {
        let page = ana.opens(&format!("/log?{query}")).await;
        assert_eq!(
            (page.status.as_u16(), rows(&page.body)),
            (200, expected),
            "{query}: {}",
            text(&page.body)
        );
    }
    let odd = text(&ana.opens("/log?verdict=maybe&purpose=fun&after=x").await.body);
    for word in ["“maybe” is no verdict", "“fun” is no purpose", "“x” is no place in the log"]
    {
        assert!(odd.contains(word), "{odd}");
    }
    let page = ana.opens("/log?verdict=block&vendor=acme-ads&page=/help").await.body;
    let entry =
        page.split("href=\"/entry?id=").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let entry = text(&ana.opens(&format!("/entry?id={entry}")).await.body);
    for words in [
        "/help on default",
        "Agreed to nothing beyond the necessary (still undecided about something)",
        "silence is “no”",
        "Held back 1 of 3",
        "held back ads.acme.example/p.js script Acme Ads marketing not granted",
        "let through stats.acme.example/i.gif image Acme Stats analytics exception",
    ] {
        assert!(entry.contains(words), "{words}: {entry}");
    }
    assert_eq!(ana.opens("/entry?id=99999").await.status, 404);
    assert_eq!(ana.opens("/entry?id=x").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_a_vendor_is_nobodys_until_somebody_answers_for_it_whatever_exceptions_name_it() {
    let origin = origin().page("/", TAGS).start().await;
    let owned = |vendor: &str| {
        format!(
            "[[ownership]]\nvendor = '{vendor}'\nowner = 'Ana'\nreason = 'ads'\nreview = 2099-01-31\n"
        )
    };
    for (owners, expected) in [
        (String::new(), Some("Nobody answers for 2 vendors here.")),
        (owned("acme-ads"), Some("Nobody answers for one vendor here.")),
        (owned("acme-ads") + &owned("acme-stats"), None),
    ] {
        let sections = format!("{HELP}{owners}{}", people());
        let proxy = consentry(&origin).config(&sections).start().await;
        visitor(&proxy).opens("/").await;
        proxy.ledger().await;
        let mut ana = signed_in(proxy.admin, "ana").await;
        let page = ana.opens("/vendors").await.body;
        assert!(text(&page).contains("Acme Ads") && text(&page).contains("Acme Stats"), "{page}");
        match expected {
            Some(words) => assert!(text(&page).contains(words), "{words}: {page}"),
            None => assert!(!page.contains("Nobody answers"), "{page}"),
        }
        let link = "href=\"/ownership?vendor=acme-stats&amp;site=\"";
        assert_eq!(page.contains(link), !owners.contains("acme-stats"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_hostile_names_are_text_on_every_page() {
    let hostile = "<script src=\"https://ads.acme.example/%3Cscript%3Ealert(1)%3C/script%3E\u{202e}.js\"></script>\
        <img src=\"https://evil.example/'%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E\">";
    let origin =
        origin().page("/<script>alert(1)</script>", hostile).page("/", hostile).start().await;
    let proxy = consentry(&origin).config(&people()).start().await;
    visitor(&proxy).opens("/").await;
    visitor(&proxy).opens("/%3Cscript%3Ealert(1)%3C/script%3E").await;
    proxy.ledger().await;
    let mut ana = signed_in(proxy.admin, "ana").await;
    let query = "site=%3Cscript%3E&vendor=%22%3E%3Cscript%3E&what=%3Cscript%3E&page=%3Cscript%3E&kind=%3Cscript%3E&id=%3Cscript%3E&from=%3Cscript%3E&after=%3Cscript%3E";
    for path in [
        "/",
        "/log",
        "/vendors",
        "/vendor?id=acme-ads",
        "/new",
        "/sites",
        "/alerts",
        "/declaration",
        "/entry?id=1",
    ] {
        let joined =
            if path.contains('?') { format!("{path}&{query}") } else { format!("{path}?{query}") };
        for path in [path.to_owned(), joined] {
            let page = ana.opens(&path).await;
            let body = page.body.to_lowercase();
            assert!(!body.contains("<script") && !body.contains("<img"), "{path}: {body}");
            assert!(!body.contains('\u{202e}'), "{path}");
            assert!(
                page.field("content-security-policy").starts_with("default-src 'none'"),
                "{path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_the_declaration_lists_what_was_met_and_nothing_else() {
    let origin = origin()
        .answer("/", |_| {
            http::Response::builder()
                .header("content-type", "text/html")
                .header("set-cookie", "_acme=1")
                .header("set-cookie", "basket=1")
                .body(TAGS.into())
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).config(&people()).start().await;
    visitor(&proxy).opens("/").await;
    proxy.ledger().await;
    let mut ana = signed_in(proxy.admin, "ana").await;
    let page = text(&ana.opens("/declaration").await.body);
    for words in [
        "In the 30 days up to",
        "Acme Ads Acme marketing Shows ads. only after you agree",
        "Acme Stats Acme analytics Counts visits. only after you agree",
        "_acme Acme Ads marketing",
        "basket",
        "cdn.stranger.example",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("Acme Maps"), "it was never met: {page}");
    assert!(!page.contains("can make up"), "the site sent all of it: {page}");
    assert!(page.contains("Visitors read this about the last 30 days"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_the_declaration_promises_only_what_exceptions_and_settings_leave_true() {
    const PROMISE: &str = "Nothing that needs your agreement is loaded or set before you agree.";
    let origin = origin().page("/", TAGS).start().await;
    let routed = "unlisted = 'block'\n[[site.route]]\npath = '/checkout'\n";
    let site = |rest: &str| format!("unlisted = 'block'\n{rest}");
    for (site, sections, gap) in [
        (site(""), "", None),
        (
            site(""),
            HELP,
            Some(
                "lets through acme-stats on pages /help : We find out what people look for &amp; cannot find (Ana &lt;ana@shop.example&gt;, until 2099-01-31).",
            ),
        ),
        (site(""), &*HELP.replace("\"allow\"", "\"block\""), None),
        (
            String::new(),
            "",
            Some("default: third parties that nobody has classified are let through."),
        ),
        (format!("{routed}mode = 'safe'"), "", Some("nobody has classified are let through.")),
        (format!("{routed}unlisted = 'allow'"), "", Some("nobody has classified are let through.")),
        (
            format!("{routed}enforce_share = 50"),
            "",
            Some("verdicts are only recorded on some pages"),
        ),
        (
            site(""),
            "[regions]\ncountry_header = 'x-country'",
            Some("in some regions, silence is taken"),
        ),
        (site(""), "[regions]\ncountry_header = 'x-country'\nopt_out = []", None),
        (site(""), "[danger]\ngoogle_pings = true", Some("hits of Google's tags pass")),
        (site(""), "[danger]\npass_unfilterable = ['/old/*']", Some("some pages are passed on")),
    ] {
        let sections = format!("{sections}\n{}", people());
        let proxy = consentry(&origin).site(&site).config(&sections).start().await;
        visitor(&proxy).opens("/").await;
        proxy.ledger().await;
        let mut ana = signed_in(proxy.admin, "ana").await;
        let page = text(&ana.opens("/declaration").await.body);
        assert_eq!(page.contains(PROMISE), gap.is_none(), "{site} {sections}: {page}");
        assert_eq!(page.contains("Do not publish"), gap.is_some(), "{site} {sections}: {page}");
        assert!(page.contains(gap.unwrap_or_default()), "{gap:?}: {page}");
        assert!(page.contains("Acme Ads Acme marketing Shows ads. only after you agree"), "{page}");
        let excepted = "Acme Stats Acme analytics Counts visits. by an exception, before you agree";
        let is_excepted = gap.is_some_and(|gap| gap.contains("acme-stats"));
        assert_eq!(page.contains(excepted), is_excepted, "{page}");
        let gone = text(&ana.opens("/declaration?site=gone").await.body);
        assert!(!gone.contains(PROMISE) && gone.contains("is not served now"), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_an_officer_sees_how_sure_it_is_that_a_service_is_there() {
    let origin = origin().page("/", "<p>Tea</p>").start().await;
    let proxy = consentry(&origin).config(&people()).start().await;
    visitor(&proxy).holding("_stats", "1").opens("/?acmeid=1").await;
    proxy.ledger().await;
    let mut ana = signed_in(proxy.admin, "ana").await;
    let page = text(&ana.opens("/declaration").await.body);
    for words in [
        "Counts visits. Only browsers say so, which anybody can make up.",
        "Shows ads. Visitors brought it along, with a link or a browser;",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_shares_are_figures_without_a_way_to_push_them() {
    let (_origin, proxy) = shop().await;
    let mut ana = signed_in(proxy.admin, "ana").await;
    let page = ana.opens("/").await.body;
    assert!(
        text(&page).contains(
            "Plain figures: they say what visitors chose, not which notice “works better”"
        )
    );
    for word in ["variant", "A/B", "optimi", "uplift", "conversion"] {
        assert!(!page.contains(word), "{word}");
    }
}

/// What is said at `/vendor` about who answers and why.
async fn signs_in(browser: &mut Browser, proxy: &Proxy) {
    browser.goes_to(&format!("http://{}/sign-in", proxy.admin)).await;
    browser
        .runs(&format!(
            "document.querySelector('[name=name]').value = 'ana';
         document.querySelector('[name=password]').value = '{PASSWORD}'"
        ))
        .await;
    browser.clicks("main button").await;
    browser.clicks = 0;
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_an_officers_questions_take_three_clicks_at_most() {
    if !is_here() {
        return;
    }
    let (_origin, proxy) = shop().await;
    let mut browser = Browser::open(false).await;
    signs_in(&mut browser, &proxy).await;

    // "Which pages tried to load Acme Ads before consent last week?"
    browser.clicks("nav a[href='/vendors']").await;
    browser.clicks("a[href='/vendor?id=acme-ads']").await;
    assert!(browser.clicks <= 3, "{}", browser.clicks);
    let page = browser.runs("return document.querySelector('main').innerText").await;
    let page = page.as_str().unwrap().replace('\t', " ");
    assert!(page.contains("/ default 2 0 1") && page.contains("/help default 1 0 0"), "{page}");
    assert!(!page.contains("/quiet"), "{page}");

    // "Who owns Acme Stats and why is it allowed on /help?"
    browser.clicks = 0;
    browser.clicks("nav a[href='/vendors']").await;
    browser.clicks("a[href='/vendor?id=acme-stats']").await;
    let page = browser.runs("return document.querySelector('main').innerText").await;
    let page = page.as_str().unwrap();
    for words in [
        "Ana <ana@shop.example>",
        "what people look for & cannot find",
        "pages /help",
        "2099-01-31",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }

    // From a figure to its entries, to the element and the rule.
    browser.clicks = 0;
    browser.clicks("nav a[href='/']").await;
    browser.clicks("a.figure, .figure a[href*='verdict=block']").await;
    browser.clicks("tbody tr:first-child td:first-child a").await;
    assert!(browser.clicks <= 3);
    let page = browser.runs("return document.querySelector('main').innerText").await;
    assert!(page.as_str().unwrap().contains(":4"), "the rule's place: {page}");

    // The filters can be used without any script, and stay in the address.
    browser.clicks("nav a[href='/log']").await;
    browser.runs("document.querySelector('#vendor').value = 'acme-stats'").await;
    browser.clicks("form.filters button").await;
    assert!(browser.at().await.contains("vendor=acme-stats"), "{}", browser.at().await);
    let rows = browser.runs("return document.querySelectorAll('tbody tr').length").await;
    assert_eq!(rows, 4);
    browser.clicks("form.filters + p a[href*='days=30']").await;
    assert!(browser.at().await.contains("vendor=acme-stats"), "{}", browser.at().await);
}
