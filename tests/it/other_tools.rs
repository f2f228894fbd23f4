//! Pages that were written for somebody else's consent tool, and pages that
//! still have one.

use crate::harness::{consentry, origin, visitor};

/// Each line is parked in another tool's way, and is for analytics.
const PARKED: [&str; 9] = [
    "<script type=\"text/plain\" data-category=\"analytics\" src=\"https://stats.acme.example/1.js\"></script>",
    "<script type=\"text/plain\" data-cookieconsent=\"statistics\" data-src=\"https://stats.acme.example/2.js\"></script>",
    "<script type=\"text/plain\" class=\"optanon-category-C0002\" src=\"/own/3.js\"></script>",
    "<script type=\"text/plain\" data-type=\"module\" data-name=\"acme-stats\" data-src=\"/own/4.js\"></script>",
    "<script type=\"text/plain\" data-cookieyes=\"cookieyes-analytics\">own(5)</script>",
    "<script type=\"text/plain\" data-usercentrics=\"Acme Stats\">own(6)</script>",
    "<script type=\"text/plain\" data-iub-purposes=\"4\" suppressedsrc=\"https://stats.acme.example/7.js\"></script>",
    "<iframe data-cookieblock-src=\"https://stats.acme.example/8\" data-cookieconsent=\"statistics\"></iframe>",
    "<img data-src=\"https://stats.acme.example/9.gif\" data-category=\"performance\">",
];

const STAYS: [&str; 4] = [
    "<script type=\"text/plain\" data-category=\"sundries\" src=\"/own/a.js\"></script>",
    "<script type=\"text/plain\" data-cookieconsent=\"statistics, marketing\" src=\"/own/b.js\"></script>",
    "<script type=\"text/plain\" data-category=\"\">own('c')</script>",
    "<script type=\"text/template\" data-category=\"analytics\">own('d')</script>",
];

#[tokio::test(flavor = "multi_thread")]
async fn a10_markup_parked_for_a_consent_tool_is_made_live_for_those_who_agreed() {
    let page = PARKED.concat() + &STAYS.concat();
    let origin = origin().page("/", &page).start().await;
    let proxy = consentry(&origin).site("cmp_markup = true").start().await;
    // In a frame there is no notice, and nobody may choose there.
    let mut chooser = visitor(&proxy);
    let mut visitor = visitor(&proxy).sending("sec-fetch-dest", "iframe");
    let refused = visitor.opens("/").await;
    assert!(!refused.body.contains("acme.example"), "{}", refused.body);
    for inert in ["own(5)", "own(6)", "src=\"/own/3.js\""] {
        assert!(refused.body.contains(inert), "{inert}: {}", refused.body);
    }
    assert!(!refused.body.contains("data-consentry-live"), "{}", refused.body);
    chooser.chooses("some", &["analytics"]).await;
    visitor.cookies.clone_from(&chooser.cookies);
    let agreed = visitor.opens("/").await;
    for live in [
        " src=\"https://stats.acme.example/1.js\"",
        " src=\"https://stats.acme.example/2.js\"",
        " src=\"/own/3.js\"",
        " src=\"/own/4.js\"",
        ">own(5)<",
        ">own(6)<",
        " src=\"https://stats.acme.example/7.js\"",
        " src=\"https://stats.acme.example/8\"",
        " src=\"https://stats.acme.example/9.gif\"",
    ] {
        let tag = agreed.body.split('<').find(|tag| format!("{tag}<").contains(live));
        let tag = tag.unwrap_or_else(|| panic!("{live}: {}", agreed.body));
        assert!(!tag.contains("text/plain"), "{tag}");
    }
    assert!(agreed.body.contains("type=\"module\""), "{}", agreed.body);
    for inert in STAYS {
        assert!(agreed.body.contains(inert), "{inert}: {}", agreed.body);
    }
    chooser.chooses("all", &[]).await;
    visitor.cookies.clone_from(&chooser.cookies);
    let all = visitor.opens("/").await;
    assert!(!all.body.contains("/own/b.js\" type=") && all.body.contains(STAYS[0]), "{}", all.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_what_the_category_hides_is_still_judged_by_its_vendor() {
    let html = "<script type=text/plain data-category=analytics src=https://ads.acme.example/p.js></script>\
                <script type=text/plain data-category=analytics>acme('init')</script>";
    let origin = origin().page("/", html).start().await;
    let proxy = consentry(&origin).site("cmp_markup = true").start().await;
    let mut visitor = visitor(&proxy);
    visitor.chooses("some", &["analytics"]).await;
    let page = visitor.opens("/").await;
    assert!(
        !page.body.contains("acme") && page.body.contains("data-consentry-held"),
        "{}",
        page.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_parked_markup_is_left_alone_by_default_and_beside_its_own_tool() {
    let html = format!("<script src=https://consent.cookiebot.com/uc.js></script>{}", PARKED[2]);
    let origin = origin().page("/", PARKED[2]).page("/tool", &html).start().await;
    for (site, path) in [("", "/"), ("cmp_markup = true", "/tool")] {
        let proxy = consentry(&origin).site(site).start().await;
        let mut visitor = visitor(&proxy);
        visitor.chooses("all", &[]).await;
        let page = visitor.opens(path).await;
        assert!(page.body.contains(PARKED[2]), "{}", page.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn j7_beside_another_consent_tool_there_is_one_question_and_our_link() {
    let tools = [
        "https://consent.cookiebot.com/uc.js",
        "https://cdn.cookielaw.org/scripttemplates/otSDKStub.js",
        "https://cdn.kiprotect.com/klaro/v0.7/klaro.js",
        "https://app.usercentrics.eu/browser-ui/latest/loader.js",
        "https://sdk.privacy-center.org/loader.js",
        "https://cdn-cookieyes.com/client_data/1/script.js",
        "https://consent.trustarc.com/notice",
        "https://fundingchoicesmessages.google.com/i/pub-1",
    ];
    let mut builder = origin().page("/", "<p>none</p>");
    for (number, tool) in tools.iter().enumerate() {
        let html = format!("<title>Shop</title><script src=\"{tool}\"></script><p>words</p>");
        builder = builder.page(&format!("/{number}"), &html);
    }
    let origin = builder.start().await;
    for (site, notices) in [("", false), ("other_cmp = 'ignore'", true)] {
        let proxy = consentry(&origin).site(site).start().await;
        let mut visitor = visitor(&proxy).holding("CookieConsent", "{stamp:1}");
        for (number, tool) in tools.iter().enumerate() {
            let page = visitor.opens(&format!("/{number}")).await;
            assert!(page.body.contains(&format!("<script src=\"{tool}\"></script>")), "{tool}");
            assert_eq!(page.body.contains("id=\"csy-ask\""), notices, "{tool}");
            assert_eq!(page.body.contains("id=\"csy-link\""), !notices, "{tool}");
        }
        let page = visitor.opens("/").await;
        assert!(page.body.contains("id=\"csy-ask\""), "{}", page.body);
        let sent = origin.seen().into_iter().last().unwrap();
        let cookies = sent.headers.get("cookie").unwrap().to_str().unwrap().to_owned();
        assert!(cookies.contains("CookieConsent={stamp:1}"), "{cookies}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_a_handler_that_loads_a_tracker_is_withheld_and_one_that_calls_it_stays() {
    let stay = [
        "<button onclick=\"fbq('track','Lead');buy()\">",
        "<a href=\"javascript:void(0)\" onclick=\"acme('event')\">",
        "<a href=\"https://ads.acme.example/about\" onclick=\"window.open('https://ads.acme.example/x')\">",
        "<img src=/a.png onerror=\"this.src='/b.png'\">",
        "<body onload=\"start()\">",
    ];
    let go = [
        ("<img src=/a.png onerror=\"this.src='https://ads.acme.example/p.gif'\">", "onerror"),
        (
            "<div onclick=\"var s=document.createElement('script');s.src='//ads.acme.example/x.js';document.head.appendChild(s)\">",
            "onclick",
        ),
        (
            "<p onmouseover=\"new Image().src=&quot;https://ads.acme.example/p.gif&quot;\">",
            "onmouseover",
        ),
        ("<a href=\" JavaScript:fetch('https://stats.acme.example/x')\">", "href"),
    ];
    let tags: String = go.iter().map(|(tag, _)| *tag).collect();
    let origin = origin().page("/", &(stay.concat() + &tags)).start().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    let page = visitor.opens("/").await;
    for tag in stay {
        assert!(page.body.contains(tag), "{tag}: {}", page.body);
    }
    let rest = page.body.split(stay[4]).nth(1).unwrap();
    assert!(!rest.contains("acme"), "{rest}");
    for (tag, name) in go {
        let begins = tag.split(name).next().unwrap();
        assert!(rest.contains(begins.trim_end()), "{begins}: {rest}");
    }
    assert_eq!(rest.matches("data-consentry-held").count(), go.len(), "{rest}");
    visitor.chooses("all", &[]).await;
    assert!(visitor.opens("/").await.body.contains(&tags));
}
