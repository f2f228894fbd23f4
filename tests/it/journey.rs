//! What a visitor lives through, from the first page to the withdrawal.

use crate::harness::{consentry, origin, visitor};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_tracker_arrives_until_the_visitor_agrees() {
    let html = "<p>Hello</p><script src=\"https://ads.acme.example/p.js\"></script>";
    let origin = origin().page("/", html).start().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    let page = visitor.opens("/").await;
    assert!(!page.body.contains("ads.acme.example"), "{}", page.body);
    assert!(page.body.contains("<p>Hello</p><script"));
    assert_eq!(proxy.ledger().await, ["block marketing Acme Ads script ads.acme.example/p.js"]);
    assert_eq!(visitor.chooses("all", &[]).await.status, 303);
    assert_eq!(visitor.opens("/").await.body, html);
    assert_eq!(visitor.chooses("none", &[]).await.status, 303);
    assert!(!visitor.opens("/").await.body.contains("ads.acme.example"));
}
