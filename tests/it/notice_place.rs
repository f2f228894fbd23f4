//! Where the notice stands in a page: what a visitor meets first, without
//! moving anything of the site's.

use crate::harness::{consentry, origin, visitor};

const OPENING: &str = "<template id=\"csy-home\" shadowrootmode=\"open\">";

async fn page(html: &str) -> String {
    let origin = origin().page("/", html).start().await;
    let proxy = consentry(&origin).start().await;
    visitor(&proxy).opens("/").await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn e8_the_notice_is_the_first_thing_in_the_body() {
    for start in ["<body>", "<BODY class=shop>", "<body background=/sky.png>"] {
        let html = format!(
            "<!doctype html><title>Shop</title>{start}<main><a href=/x>Hello</a></main></body>"
        );
        let page = page(&html).await;
        let (head, rest) = page.split_once(OPENING).unwrap_or_else(|| panic!("{page}"));
        assert!(head.ends_with(start), "{head}");
        let (notice, rest) = rest.split_once("<slot></slot></template>").unwrap();
        assert!(notice.contains("id=\"csy-ask\""));
        assert!(rest.starts_with("<main><a href=/x>Hello</a></main></body>"), "{rest}");
        assert_eq!(page.matches("id=\"csy-ask\"").count(), 1);
        // The script is no part of it: nothing waits for it.
        assert!(!notice.contains("<script") && rest.contains("<script defer src="), "{rest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e8_a_page_that_does_not_say_where_its_body_begins_has_the_notice_at_its_end() {
    for html in [
        "<!doctype html><title>Shop</title><p>Hello</p>",
        "<p>Hello</p><iframe srcdoc='<body>x</body>'></iframe>",
    ] {
        let page = page(html).await;
        assert!(!page.contains(OPENING), "{page}");
        assert!(page.find("id=\"csy-ask\"").unwrap() > page.find("Hello").unwrap(), "{page}");
        assert_eq!(page.matches("id=\"csy-ask\"").count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_opens_its_body_twice_asks_once() {
    let page = page("<body><p>Hello</p><body class=again><p>Bye</p>").await;
    assert_eq!(page.matches("id=\"csy-ask\"").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_consent_tool_that_comes_late_leaves_one_question() {
    let tool = "<script src=https://consent.cookiebot.com/uc.js></script>";
    let early = page(&format!("<head>{tool}</head><body><p>Hello</p></body>")).await;
    assert!(!early.contains("csy-ask") && early.contains("csy-link"), "{early}");
    let late = page(&format!("<body><p>Hello</p>{tool}</body>")).await;
    assert!(late.contains("<style>:root{--csy-ask:none}</style>"), "{late}");
    assert!(late.contains("csy-link"), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_page_that_forbids_styles_is_not_pushed_down_by_a_notice_without_one() {
    for (policy, opens) in [("style-src 'self'", false), ("style-src 'nonce-abc'", true)] {
        let origin = origin()
            .answer("/", move |_| {
                http::Response::builder()
                    .header("content-type", "text/html")
                    .header("content-security-policy", policy)
                    .body(http_body_util::Full::from("<body><p>Hello</p></body>"))
                    .unwrap()
            })
            .start()
            .await;
        let proxy = consentry(&origin).start().await;
        let page = visitor(&proxy).opens("/").await;
        assert_eq!(page.body.contains(OPENING), opens, "{policy}: {}", page.body);
        assert_eq!(page.body.contains("<style nonce=\"abc\">"), opens, "{policy}: {}", page.body);
        assert_eq!(page.body.matches("id=\"csy-ask\"").count(), 1);
    }
}
