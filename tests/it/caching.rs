//! No cache ever shows one visitor what was made for another.

use crate::harness::{Visitor, consentry, origin, visitor};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

const HTML: &str = "<p>Hello</p><script src=https://ads.acme.example/p.js></script>";
const FETCHED: (&str, &str) = ("sec-fetch-dest", "empty");

/// A page, a page without third parties, and a style sheet, each with a
/// validator and for shared caches; and what knows conditional requests.
async fn cacheable() -> crate::harness::Origin {
    let serve = |kind: &'static str, body: &'static str| {
        move |seen: crate::harness::Seen| {
            let response = Response::builder()
                .header("etag", "\"v1\"")
                .header("cache-control", "public, max-age=600, s-maxage=900, no-transform")
                .header("expires", "Thu, 01 Jan 2099 00:00:00 GMT")
                .header("accept-ranges", "bytes");
            let known = seen
                .headers
                .get_all("if-none-match")
                .iter()
                .any(|tags| tags.to_str().unwrap().contains("\"v1\""));
            if known {
                return response.status(304).body(Full::default()).unwrap();
            }
            let response = response
                .header("content-type", kind)
                .header("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT");
            match seen.headers.contains_key("range") {
                false => response.body(Full::from(body)).unwrap(),
                true => response
                    .status(206)
                    .header("content-range", format!("bytes 0-4/{}", body.len()))
                    .body(Full::from(Bytes::from_static(&body.as_bytes()[..5])))
                    .unwrap(),
            }
        }
    };
    origin()
        .answer("/", serve("text/html; charset=utf-8", HTML))
        .answer("/plain", serve("text/html; charset=utf-8", "<p>Nothing here</p>"))
        .answer("/style.css", serve("text/css", "body{color:red}"))
        .answer("/page.json", serve("text/html", HTML))
        .answer("/image.iso", serve("application/octet-stream", "bytes and more of them"))
        .start()
        .await
}

async fn deciding(visitor: &mut Visitor, choice: &str) {
    if !choice.is_empty() {
        assert_eq!(visitor.chooses(choice, &[]).await.status, 303);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_no_shared_cache_keeps_a_page() {
    let origin = cacheable().await;
    let proxy = consentry(&origin).start().await;
    for choice in ["", "none", "all"] {
        let mut visitor = visitor(&proxy);
        deciding(&mut visitor, choice).await;
        for path in ["/", "/plain", "/page.json"] {
            for fields in [&[][..], &[FETCHED], &[("accept", "text/html")]] {
                let page = visitor.asks("GET", path, fields, "").await;
                let said = page.field("cache-control");
                assert!(
                    said.contains("private")
                        && said.contains("no-cache")
                        && said.contains("no-transform"),
                    "{choice} {path} {said}"
                );
                assert!(
                    !said.contains("max-age")
                        && !said.contains("public")
                        && !said.contains("s-maxage"),
                    "{said}"
                );
                assert_eq!(
                    (page.field("expires"), page.field("accept-ranges")),
                    (String::new(), String::new())
                );
                let vary = page.field("vary");
                assert!(vary.contains("Cookie") && vary.contains("Sec-GPC"), "{vary}");
            }
        }
        let style = visitor.opens("/style.css").await;
        assert_eq!(style.field("cache-control"), "public, max-age=600, s-maxage=900, no-transform");
        assert_eq!((style.field("etag").as_str(), style.field("vary").as_str()), ("\"v1\"", ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_page_is_asked_for_again_only_within_its_variant() {
    let origin = cacheable().await;
    let proxy = consentry(&origin).start().await;
    for path in ["/", "/page.json"] {
        for fetched in [false, true] {
            for (before, after) in [("", "all"), ("none", "all"), ("all", "none"), ("", "none")] {
                let mut visitor = visitor(&proxy);
                let mut fields =
                    if fetched { vec![FETCHED] } else { vec![("sec-fetch-dest", "document")] };
                deciding(&mut visitor, before).await;
                let first = visitor.asks("GET", path, &fields, "").await;
                assert_eq!(first.body.contains("ads.acme.example"), before == "all");
                let tag = first.field("etag");
                fields.push(("if-none-match", &tag));
                let case = format!("{path} fetched: {fetched} {before} -> {after} {tag}");
                let again = visitor.asks("GET", path, &fields, "").await;
                assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0), "{case}");
                // A browser takes these fields over for what it keeps.
                assert_eq!(again.field("etag"), tag, "{case}");
                let said = again.field("cache-control");
                assert!(said.contains("private") && !said.contains("max-age"), "{case}: {said}");
                assert_eq!(again.field("expires"), "", "{case}");
                assert!(again.field("vary").contains("Cookie"), "{case}");

                deciding(&mut visitor, after).await;
                fields.push(("if-modified-since", "Mon, 01 Jan 2024 00:00:00 GMT"));
                let changed = visitor.asks("GET", path, &fields, "").await;
                assert_eq!(changed.status, 200, "{case}");
                assert_eq!(changed.body.contains("ads.acme.example"), after == "all", "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_gpc_makes_a_variant_of_its_own() {
    let origin = cacheable().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    let tag = visitor.opens("/").await.field("etag");
    let with_gpc = visitor.asks("GET", "/", &[("if-none-match", &tag), ("sec-gpc", "1")], "").await;
    assert_eq!(with_gpc.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asset_is_cached_as_its_origin_says() {
    let origin = cacheable().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    let again = visitor.asks("GET", "/style.css", &[("if-none-match", "\"v1\"")], "").await;
    assert_eq!((again.status.as_u16(), again.field("etag").as_str()), (304, "\"v1\""));
    assert_eq!(again.field("cache-control"), "public, max-age=600, s-maxage=900, no-transform");
    let part = visitor.asks("GET", "/style.css", &[("range", "bytes=0-4")], "").await;
    assert_eq!((part.status.as_u16(), part.body.as_str()), (206, "body{"));
    assert!(part.field("content-range").starts_with("bytes 0-4/"));
    // Who resumes a download does not say what for, nor does its name.
    let part = visitor.asks("GET", "/image.iso", &[("range", "bytes=0-4")], "").await;
    assert_eq!((part.status.as_u16(), part.body.as_str()), (206, "bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_several_parts_of_a_page_are_answered_with_the_whole() {
    let serve = |seen: crate::harness::Seen| {
        let response = Response::builder();
        if !seen.headers.contains_key("range") {
            return response.header("content-type", "text/html").body(Full::from(HTML)).unwrap();
        }
        let part = format!("--x\r\ncontent-type: text/html\r\n\r\n{HTML}\r\n--x--\r\n");
        let kind = "Multipart/byteranges; boundary=x";
        response.status(206).header("content-type", kind).body(Full::from(part)).unwrap()
    };
    let origin = origin().answer("/logo.png", serve).start().await;
    let proxy = consentry(&origin).start().await;
    let asks = [("range", "bytes=0-,0-1"), ("sec-fetch-dest", "image")];
    let got = visitor(&proxy).asks("GET", "/logo.png", &asks, "").await;
    assert!(!got.body.contains("ads.acme.example"), "{} {}", got.status, got.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_part_of_a_page_is_answered_with_the_whole() {
    let origin = cacheable().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    for (path, fields) in [
        ("/", &[][..]),
        ("/", &[FETCHED]),
        ("/", &[("if-range", "\"v1\"")]),
        // Named like an asset, so that only the answer shows that it is a page.
        ("/page.json", &[]),
        ("/page.json", &[FETCHED]),
    ] {
        let fields = [fields, &[("range", "bytes=0-4")]].concat();
        let page = visitor.asks("GET", path, &fields, "").await;
        assert_eq!(
            (page.status.as_u16(), page.field("content-range").as_str()),
            (200, ""),
            "{path} {fields:?}"
        );
        assert!(
            page.body.contains("<p>Hello</p>") && !page.body.contains("ads.acme.example"),
            "{}",
            page.body
        );
    }
}

/// A browser runs an SVG file that it opens, though not one that it shows.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_part_of_a_document_that_is_no_page_is_answered_with_the_whole() {
    const SVG: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\"><title>Hello</title>\
        <script href=\"https://ads.acme.example/t.js\"/></svg>";
    let serve = |kind: &'static str| {
        move |seen: crate::harness::Seen| {
            let response = Response::builder().header("content-type", kind);
            match seen.headers.contains_key("range") {
                true => response
                    .status(206)
                    .header("content-range", format!("bytes 0-{}/9999", SVG.len() - 1))
                    .body(Full::from(SVG))
                    .unwrap(),
                false => response.body(Full::from(SVG)).unwrap(),
            }
        }
    };
    let origin = origin()
        .answer("/chart", serve("image/svg+xml"))
        .answer("/stream", serve("text/vnd.turbo-stream.html"))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    let range = ("range", "bytes=0-");
    for (path, fields) in [
        ("/chart", &[range][..]),
        ("/chart", &[range, ("sec-fetch-dest", "document")]),
        ("/stream", &[range]),
        ("/stream", &[range, FETCHED]),
    ] {
        let got = visitor.asks("GET", path, fields, "").await;
        let case = format!("{path} {fields:?}: {}", got.body);
        assert_eq!((got.status.as_u16(), got.field("content-range").as_str()), (200, ""), "{case}");
        assert!(got.body.contains("<title>Hello") && !got.body.contains("ads.acme"), "{case}");
    }
    let picture = visitor.asks("GET", "/chart", &[range, ("sec-fetch-dest", "image")], "").await;
    assert_eq!((picture.status.as_u16(), picture.body.as_str()), (206, SVG));
}

/// An origin that waited for a body that never comes would take it out of the
/// next visitor's request.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_page_that_is_asked_for_again_promises_no_body() {
    let origin = cacheable().await;
    let proxy = consentry(&origin).start().await;
    let fields = [FETCHED, ("range", "bytes=0-4")];
    let page = visitor(&proxy).asks("GET", "/", &fields, "five!").await;
    assert!(page.body.contains("<p>Hello</p>"), "{}", page.body);
    let seen = origin.seen();
    let [first, second] = &seen[..] else { panic!("{}", seen.len()) };
    assert_eq!(
        (&first.body[..], first.headers["content-length"].to_str().unwrap()),
        (&b"five!"[..], "5")
    );
    assert!(!second.headers.contains_key("content-length") && second.body.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_digests_of_another_body_go() {
    let names = ["content-md5", "digest", "repr-digest", "content-digest"];
    let origin = origin()
        .answer("/", move |_| {
            let mut response = Response::builder().header("content-type", "text/html");
            for name in names {
                response = response.header(name, "x");
            }
            response.body(Full::from(HTML)).unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    let page = visitor.opens("/").await;
    assert_eq!(names.map(|name| page.field(name)), [""; 4]);
    visitor.chooses("all", &[]).await;
    let page = visitor.opens("/").await;
    assert_eq!(
        (page.body.as_str(), names.map(|name| page.field(name))),
        (HTML, ["x", "x", "x", "x"].map(str::to_owned))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_observing_leaves_caches_alone() {
    let origin = cacheable().await;
    let proxy = consentry(&origin).site("mode = \"observe\"").start().await;
    let mut visitor = visitor(&proxy);
    let page = visitor.opens("/").await;
    assert_eq!((page.body.as_str(), page.field("etag").as_str()), (HTML, "\"v1\""));
    assert_eq!(page.field("cache-control"), "public, max-age=600, s-maxage=900, no-transform");
    assert_eq!(page.field("content-length"), HTML.len().to_string());
    let again = visitor.asks("GET", "/", &[("if-none-match", "\"v1\"")], "").await;
    assert_eq!(again.status, 304);
    let part = visitor.asks("GET", "/", &[("range", "bytes=0-4")], "").await;
    assert_eq!(part.status, 206);
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_page_that_scripts_fetch_is_another_one_after_a_withdrawal() {
    let origin = origin()
        .answer("/", |request| {
            let same = request.headers.get("if-none-match").is_some_and(|tag| tag == "\"1\"")
                || request.headers.contains_key("if-modified-since");
            let response = Response::builder()
                .header("content-type", "text/html; charset=utf-8")
                .header("etag", "\"1\"")
                .header("last-modified", "Sat, 21 Nov 2026 10:00:00 GMT");
            let page = "<img src=https://stats.acme.example/i.gif>";
            if same {
                response.status(304).body(Full::default()).unwrap()
            } else {
                response.body(Full::from(page)).unwrap()
            }
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut page = visitor(&proxy).sending("sec-fetch-dest", "empty");
    for choice in [("some", &["analytics"][..]), ("all", &[])] {
        page.chooses(choice.0, choice.1).await;
        let granted = page.opens("/").await;
        assert!(granted.body.contains("stats.acme"));
        assert!(granted.all("last-modified").is_empty(), "a date cannot name a variant");
        let tag = granted.field("etag");
        page.chooses("none", &[]).await;
        for field in [("if-none-match", tag.as_str()), ("if-none-match", &tag.replace("W/", ""))] {
            let after = page.asks("GET", "/", &[field], "").await;
            assert_eq!(
                (after.status.as_u16(), after.body.contains("stats.acme")),
                (200, false),
                "{field:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_what_is_no_page_and_depends_on_a_choice_is_private() {
    let kept = |fields: &'static [(&'static str, &'static str)]| {
        move |_| {
            let mut response = Response::builder()
                .header("content-type", "image/png")
                .header("cache-control", "public, max-age=600");
            for (name, value) in fields {
                response = response.header(*name, *value);
            }
            response.body(Full::from("a picture")).unwrap()
        }
    };
    let origin = origin()
        .answer("/labelled.png", kept(&[("x-acme-segment", "vip")]))
        .answer("/cookie.png", kept(&[("set-cookie", "_acme=1")]))
        .answer("/told.png", kept(&[("vary", "Accept-Encoding, consentry-consent")]))
        .answer("/acme/collect", kept(&[]))
        .answer("/plain.png", kept(&[("vary", "Accept-Encoding"), ("set-cookie", "cart=1")]))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    for choice in ["", "all"] {
        deciding(&mut visitor, choice).await;
        let paths = ["/labelled.png", "/cookie.png", "/told.png", "/acme/collect"];
        for path in paths.into_iter().chain(["/plain.png?acmeid=7"]) {
            let said = visitor.opens(path).await.field("cache-control");
            assert!(said.contains("private"), "{path} after `{choice}`: {said}");
        }
        let plain = visitor.opens("/plain.png").await;
        assert_eq!(plain.field("cache-control"), "public, max-age=600", "after `{choice}`");
    }
}
