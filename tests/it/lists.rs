//! Filter lists of the operator's, for what the catalogue does not know.

use crate::harness::{consentry, origin, visitor};

const LIST: &str =
    "! Title: House list\n||beacon.example^\n/pixel-of-ours.gif?\n||cdn.example/track.js$script\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_list_knows_is_withheld_too_and_names_its_rule() {
    let html = "<script src=\"https://x.beacon.example/a.js\"></script>\
                <script>var s=document.createElement('script');s.src='https://cdn.example/track.js?x';document.body.append(s)</script>\
                <img src=\"/pixel-of-ours.gif?1\">\
                <script src=\"https://cdn.example/lib.js\"></script>\
                <script src=\"https://ads.acme.example/p.js\"></script>";
    let origin = origin().page("/", html).start().await;
    let builder = consentry(&origin);
    let file = builder.path("house.txt");
    std::fs::write(&file, LIST).unwrap();
    let proxy = builder
        .config(&format!("[lists]\nfiles = [{file:?}]\npurpose = \"analytics\""))
        .start()
        .await;
    let mut visitor = visitor(&proxy);
    let page = visitor.opens("/").await;
    for gone in ["beacon.example", "track.js", "pixel-of-ours", "ads.acme.example"] {
        assert!(!page.body.contains(gone), "{gone}: {}", page.body);
    }
    assert!(page.body.contains("<script src=\"https://cdn.example/lib.js\"></script>"));
    let mut ledger = proxy.ledger().await;
    ledger.sort();
    assert_eq!(
        ledger,
        [
            "allow - - script cdn.example/lib.js",
            "block analytics House list (filter list) image 127.0.0.1/pixel-of-ours.gif",
            "block analytics House list (filter list) inline ||cdn.example/track.js$script",
            "block analytics House list (filter list) script x.beacon.example/a.js",
            "block marketing Acme Ads script ads.acme.example/p.js",
        ]
    );
    let lines = proxy.lines().await;
    let beacon = lines.iter().find(|line| line.what.starts_with("x.beacon")).unwrap();
    let rule = beacon.rule.clone().unwrap();
    assert!(rule.ends_with("house.txt:2"), "{rule}");
    visitor.chooses("some", &["analytics"]).await;
    assert!(visitor.opens("/").await.body.contains("x.beacon.example/a.js"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_a_rule_is_refused() {
    let origin = origin().start().await;
    for (text, why) in [("! only a comment\n", "holds no rule"), ("", "holds no rule")] {
        let builder = consentry(&origin);
        let file = builder.path("empty.txt");
        std::fs::write(&file, text).unwrap();
        let refused = builder.config(&format!("[lists]\nfiles = [{file:?}]")).try_start().await;
        let message = refused.err().unwrap();
        assert!(message.contains(why) && message.contains("empty.txt"), "{message}");
    }
}
