//! Documents that are not, or not quite, HTML pages.

use crate::harness::{consentry, origin, visitor};

use http::Response;
use http_body_util::Full;

/// What leaves when a browser asks for `body` of a type with these fields.
async fn passed(kind: &'static str, body: &'static str, fields: &[(&str, &str)]) -> String {
    let origin = origin()
        .answer("/x", move |_| {
            Response::builder().header("content-type", kind).body(Full::from(body)).unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    visitor(&proxy).asks("GET", "/x", fields, "").await.body
}

const TAG: &str = "<li>one</li><script src=\"https://ads.acme.example/p.js\"></script><li>two</li>";

#[tokio::test(flavor = "multi_thread")]
async fn a12_fragments_that_scripts_fetch_are_rewritten() {
    for (kind, field) in [
        ("text/html", ("hx-request", "true")),
        ("text/html; charset=utf-8", ("turbo-frame", "list")),
        ("text/html", ("x-pjax", "true")),
        ("text/html", ("x-up-version", "3.8")),
        ("text/vnd.turbo-stream.html; charset=utf-8", ("accept", "text/vnd.turbo-stream.html")),
    ] {
        let said = passed(kind, TAG, &[("sec-fetch-dest", "empty"), field]).await;
        assert!(!said.contains("ads.acme.example"), "{field:?}: {said}");
        assert!(said.starts_with("<li>one</li>"), "{said}");
        assert!(said.ends_with("<li>two</li>"), "nothing is added to a piece of a page: {said}");
    }
}

const SVG: &str = "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\">\
    <script href=\"https://ads.acme.example/a.js\"/><image xlink:href=\"https://ads.acme.example/b.gif\"/>\
    <script><![CDATA[acme('init', 1)]]></script><circle r=\"1\"/>\
    <foreignObject><iframe xmlns=\"http://www.w3.org/1999/xhtml\" src=\"https://ads.acme.example/c\"></iframe></foreignObject></svg>";

#[tokio::test(flavor = "multi_thread")]
async fn a12_an_svg_document_is_rewritten_and_a_picture_is_not() {
    for destination in ["document", "iframe", "object", "embed"] {
        let said = passed("image/svg+xml", SVG, &[("sec-fetch-dest", destination)]).await;
        assert!(!said.contains("ads.acme.example") && !said.contains("acme("), "{said}");
        assert!(said.starts_with("<?xml version=\"1.0\"?><svg "), "no guard: {said}");
        assert!(said.contains("<circle r=\"1\"/>") && said.ends_with("</svg>"), "{said}");
    }
    assert_eq!(passed("image/svg+xml", SVG, &[("sec-fetch-dest", "image")]).await, SVG);
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_nothing_is_added_behind_the_end_of_xml() {
    let page = "<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"><body><p>x</p></body></html>";
    let fields = [("sec-fetch-dest", "document"), ("accept", "text/html,*/*")];
    assert_eq!(passed("application/xhtml+xml", page, &fields).await, page);
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_data_for_scripts_passes_byte_for_byte() {
    for kind in [
        "text/x-component",
        "application/json",
        "text/plain; charset=utf-8",
        "multipart/x-mixed-replace; boundary=x",
        "message/rfc822",
    ] {
        assert_eq!(passed(kind, TAG, &[("sec-fetch-dest", "empty")]).await, TAG, "{kind}");
    }
}
