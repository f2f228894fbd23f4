//! A visitor's word about a single vendor.

use crate::harness::{Page, Proxy, Visitor, consentry, origin, visitor};

const PAGE: &str = "<script>var own = 1</script><script src=\"https://ads.acme.example/p.js\"></script>\
                    <img src=\"https://stats.acme.example/i.gif\">\
                    <iframe src=\"https://maps.acme.example/embed\"></iframe>";
const ADS: &str = "ads.acme.example/p.js";
const STATS: &str = "stats.acme.example/i.gif";
const MAPS: &str = "maps.acme.example/embed";

async fn says(visitor: &mut Visitor, proxy: &Proxy, body: &str) -> Page {
    let origin = format!("http://{}", proxy.address);
    let fields =
        [("content-type", "application/x-www-form-urlencoded"), ("origin", origin.as_str())];
    visitor.asks("POST", "/.consentry/choices", &fields, body).await
}

fn loads(page: &Page) -> [bool; 3] {
    [ADS, STATS, MAPS].map(|address| page.body.contains(address))
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_one_vendor_may_and_another_may_not() {
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    assert_eq!(loads(&visitor.opens("/").await), [false; 3]);

    says(&mut visitor, &proxy, "choice=vendor&vendor=allow:acme-maps").await;
    let page = visitor.opens("/").await;
    assert_eq!(loads(&page), [false, false, true]);
    assert!(page.body.contains("id=\"csy-ask\""), "nothing was said about any purpose");
    let policy = page.field("content-security-policy");
    assert!(policy.contains("maps.acme.example") && !policy.contains("stats.acme"), "{policy}");

    let some = "choice=some&purpose=analytics&purpose=marketing&vendor=refuse:acme-ads";
    says(&mut visitor, &proxy, some).await;
    assert_eq!(loads(&visitor.opens("/").await), [false, true, false]);
    let state: serde_json::Value =
        serde_json::from_str(&visitor.opens("/.consentry/state").await.body).unwrap();
    assert_eq!(state["vendors"]["refused"], serde_json::json!(["acme-ads"]));
    let reasons: Vec<String> = proxy.lines().await.into_iter().map(|line| line.reason).collect();
    for reason in ["vendor allowed", "vendor refused"] {
        assert!(reasons.iter().any(|known| known == reason), "{reasons:?}");
    }

    says(&mut visitor, &proxy, "choice=all").await;
    assert_eq!(loads(&visitor.opens("/").await), [true; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_all_but_one_vendor_is_still_not_everything() {
    let origin = origin()
        .page("/", PAGE)
        .answer("/ads", |_| {
            http::Response::builder()
                .header("set-cookie", "_acme=1; Path=/")
                .header("set-cookie", "_stats=1; Path=/")
                .body(http_body_util::Full::default())
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy).sending("sec-fetch-dest", "document");
    let every = "choice=some&purpose=functional&purpose=analytics&purpose=personalization\
                 &purpose=marketing&vendor=refuse:acme-ads";
    says(&mut visitor, &proxy, every).await;
    let page = visitor.opens("/").await;
    assert_eq!(loads(&page), [false, true, true]);
    assert!(!page.body.contains("id=\"csy-ask\""));
    // The guard drops the vendor's names although its purposes are granted.
    assert!(
        page.body.contains("&quot;drop&quot;:{&quot;c&quot;:[&quot;_acme&quot;"),
        "{}",
        page.body
    );
    let mut visitor = visitor.sending("sec-fetch-dest", "image");
    assert_eq!(visitor.opens("/ads").await.all("set-cookie"), ["_stats=1; Path=/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_word_about_a_vendor_makes_another_variant() {
    let origin = origin()
        .answer("/", |_| {
            http::Response::builder()
                .header("content-type", "text/html; charset=utf-8")
                .header("etag", "\"1\"")
                .body(http_body_util::Full::from(PAGE))
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    let before = visitor.opens("/").await.field("etag");
    says(&mut visitor, &proxy, "choice=vendor&vendor=allow:acme-maps").await;
    let after = visitor.opens("/").await.field("etag");
    assert_ne!(before, after);
    assert!(!after.contains("acme"), "{after}");
}
