//! What stands where a frame was withheld.

use crate::harness::{consentry, origin, visitor};
use crate::reading::tags;

const MAP: &str = "src=\"https://maps.acme.example/embed?q=1\"";

#[tokio::test(flavor = "multi_thread")]
async fn e7_a_withheld_frame_says_whose_it_is_and_leads_to_the_choices_and_back() {
    let origin = origin()
        .page("/stores", &format!("<iframe {MAP} title=Map width=400></iframe>"))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let page = visitor(&proxy).opens("/stores?city=a%26b").await;
    let frame = tags(&page.body, "iframe").pop().unwrap();
    assert_eq!(
        (frame.value("title"), frame.value("width"), frame.get("src")),
        ("Map", "400", None)
    );
    let inside = frame.value("srcdoc");
    let words: String = ["p", "b", "a"]
        .iter()
        .flat_map(|name| tags(inside, name))
        .map(|element| element.text)
        .collect();
    for said in ["Acme Maps", "Functional", "Privacy choices"] {
        assert!(words.contains(said), "{said}: {inside}");
    }
    let link = tags(inside, "a").pop().unwrap();
    // In a frame: without `_top` the choices would open inside it, and be refused.
    assert_eq!(link.value("target"), "_top");
    let choices =
        format!("//{}/.consentry/choices?return_to=/stores%3Fcity%3Da%2526b", proxy.address);
    assert!(link.value("href").starts_with(&format!("{choices}&seen=")), "{link:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_nobody_would_see_gets_no_placeholder() {
    for (attributes, seen) in [
        ("", true),
        ("width=0 height=0", false),
        ("width=\"1\" height=\"1\"", false),
        ("width=1px height=1px", false),
        ("width=100% height=400", true),
        ("style=\"display: none\"", false),
        ("style=\"border:0;VISIBILITY:hidden !important\"", false),
        ("style=\"width:0;height:0\"", false),
        ("style=\"width:10px; min-width: 0\"", true),
        ("hidden", false),
    ] {
        let origin =
            origin().page("/", &format!("<iframe {attributes} {MAP}></iframe>")).start().await;
        let proxy = consentry(&origin).start().await;
        let page = visitor(&proxy).opens("/").await;
        let frame = tags(&page.body, "iframe").pop().unwrap();
        assert_eq!(frame.get("srcdoc").is_some(), seen, "{attributes}");
        assert!(frame.get("src").is_none() && frame.get("data-consentry-held").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_agreeing_would_not_help_nobody_is_asked_to() {
    let html = "<iframe src=\"https://frame.stranger.example/\"></iframe>";
    let origin = origin().page("/", html).start().await;
    let proxy = consentry(&origin).site("unlisted = \"block\"").start().await;
    let page = visitor(&proxy).opens("/").await;
    let frame = tags(&page.body, "iframe").pop().unwrap();
    let inside = frame.value("srcdoc");
    assert!(
        inside.contains("is not loaded on this site") && tags(inside, "a").is_empty(),
        "{inside}"
    );
}
