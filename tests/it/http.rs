//! What any proxy owes HTTP, before it has an opinion of its own.

use crate::harness::{consentry, origin, raw_origin, visitor};
use crate::wire::{End, Wire};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(Full::from(body.to_owned())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_an_answer_to_head_has_fields_and_no_body() {
    let origin = origin()
        .page("/", "<p>Hello</p>")
        .answer("/data", |_| answer(200, &[("content-type", "application/json")], "{\"a\":1}"))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    let head = wire.asks("HEAD", "/data", "").await;
    assert_eq!((head.status, head.field("content-length").as_deref()), (200, Some("7")));
    // A stray body would be read as the next answer's head.
    assert_eq!(wire.asks("GET", "/data", "").await.text(), "{\"a\":1}");
    assert_eq!(wire.asks("HEAD", "/missing", "").await.status, 404);
    assert_eq!(wire.asks("HEAD", "/", "accept: text/html\r\n").await.status, 200);
    assert_eq!(wire.asks("GET", "/data", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_head_never_promises_another_length_than_get_has() {
    let origin = origin()
        .page("/", "<p>Hello</p>")
        .page("/ads", "<script src=//ads.acme.example/p.js></script>")
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    for choice in ["", "none", "all"] {
        let mut visitor = visitor(&proxy);
        if !choice.is_empty() {
            visitor.chooses(choice, &[]).await;
        }
        for path in ["/", "/ads"] {
            for accept in ["text/html", "*/*"] {
                let head = visitor.asks("HEAD", path, &[("accept", accept)], "").await;
                let page = visitor.asks("GET", path, &[("accept", accept)], "").await;
                assert_eq!(head.status, page.status);
                assert_eq!(head.field("content-type"), page.field("content-type"));
                assert_eq!(head.field("cache-control"), page.field("cache-control"));
                let promised = head.field("content-length");
                assert!(
                    promised.is_empty() || promised == page.bytes.len().to_string(),
                    "{choice} {path} {accept}: {promised}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_204_and_304_carry_no_body() {
    let origin = origin()
        .answer("/204", |_| answer(204, &[("x-mark", "a")], ""))
        .answer("/304", |_| answer(304, &[("etag", "\"v1\"")], ""))
        .answer("/205", |_| answer(205, &[], ""))
        .answer("/json", |_| answer(200, &[("content-type", "application/json")], "[]"))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    for status in [204, 304, 205] {
        let got = wire.asks("GET", &format!("/{status}"), "").await;
        assert_eq!((got.status, got.body.len()), (status, 0), "{}", got.head);
        assert!(status == 205 || got.field("transfer-encoding").is_none(), "{}", got.head);
        assert_eq!(wire.asks("GET", "/json", "").await.text(), "[]");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_hop_by_hop_fields_end_at_each_hop() {
    let origin = raw_origin(|mut socket, _| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\
            connection: close, X-Private\r\nx-private: 1\r\nkeep-alive: timeout=5\r\nupgrade: h2c\r\n\
            proxy-authenticate: Basic\r\ntrailer: x-late\r\nproxy-connection: close\r\nx-public: 1\r\n\r\nhi";
        let _ = socket.write_all(head.as_bytes()).await;
    })
    .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    for _ in 0..2 {
        let got = wire.asks("GET", "/", "").await;
        assert_eq!(got.text(), "hi");
        for gone in [
            "connection",
            "x-private",
            "keep-alive",
            "upgrade",
            "proxy-authenticate",
            "trailer",
            "proxy-connection",
        ] {
            assert_eq!(got.field(gone), None, "{gone}");
        }
        assert_eq!(got.field("x-public").as_deref(), Some("1"));
        assert_eq!(got.field("via").as_deref(), Some("1.1 consentry"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_learns_who_asked_and_how() {
    let origin = origin()
        .answer("/", |_| answer(200, &[("content-type", "text/plain")], "hi"))
        .start()
        .await;
    let sent = "x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\nx-forwarded-host: www.shop.example\r\n\
        forwarded: for=203.0.113.9\r\nvia: 1.0 cdn\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nte: trailers\r\n\
        proxy-authorization: Basic eA==\r\nauthorization: Basic eQ==\r\n";
    for (trusted, expected) in [
        ("[]", ["127.0.0.1", "http", "shop.example", "1.0 cdn, 1.1 consentry", ""]),
        (
            "['127.0.0.1']",
            [
                "203.0.113.9, 127.0.0.1",
                "https",
                "www.shop.example",
                "1.0 cdn, 1.1 consentry",
                "for=203.0.113.9, for=127.0.0.1",
            ],
        ),
    ] {
        let proxy = consentry(&origin)
            .site("address_truncated = false")
            .config(&format!("[listener]\ntrusted_proxies = {trusted}"))
            .start()
            .await;
        assert_eq!(Wire::to(proxy.address).await.asks("GET", "/", sent).await.status, 200);
        let seen = origin.seen().pop().unwrap().headers;
        let all = |name: &str| {
            seen.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>().join(", ")
        };
        let names =
            ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via", "forwarded"];
        assert_eq!(names.map(all), expected, "{trusted}");
        for gone in ["x-hop", "te", "proxy-authorization"] {
            assert!(!seen.contains_key(gone), "{gone}");
        }
        assert_eq!(
            (all("host").as_str(), all("authorization").as_str()),
            ("shop.example", "Basic eQ==")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_the_origin_gets_no_whole_address_before_consent() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy).sending("x-forwarded-for", "203.0.113.77");
    visitor.opens("/").await;
    assert_eq!(origin.seen()[0].headers["x-forwarded-for"], "203.0.113.0, 127.0.0.0");
    visitor.chooses("all", &[]).await;
    visitor.opens("/").await;
    assert_eq!(origin.seen()[1].headers["x-forwarded-for"], "203.0.113.77, 127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_c3_a_denied_cookie_reaches_nobody_and_goes() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy).holding("_acme", "1").holding("sid", "2");
    let page = visitor.opens("/").await;
    assert_eq!(origin.seen()[0].headers["cookie"], "sid=2");
    let expired = page.all("set-cookie");
    assert!(
        expired.iter().any(|field| field.starts_with("_acme=; Path=/; Max-Age=0")),
        "{expired:?}"
    );
    assert!(visitor.cookies.contains_key("sid") && !visitor.cookies.contains_key("_acme"));
    visitor.chooses("all", &[]).await;
    visitor.holding("_acme", "1").opens("/").await;
    assert_eq!(origin.seen()[1].headers["cookie"], "_acme=1; sid=2", "c10: and never our own");
}

const WEBSOCKET: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_websocket_passes_both_ways() {
    let origin = raw_origin(|mut socket, head| async move {
        assert!(head.to_ascii_lowercase().contains("upgrade: websocket"), "{head}");
        let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-accept: x\r\nset-cookie: sid=1\r\nset-cookie: _acme=2\r\n\r\nhello";
        let _ = socket.write_all(switched.as_bytes()).await;
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = socket.read(&mut buffer).await {
            let _ = socket.write_all(&buffer[..length].to_ascii_uppercase()).await;
        }
    })
    .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    let got = wire.asks("GET", "/chat", WEBSOCKET).await;
    assert_eq!(got.status, 101, "{}", got.head);
    assert_eq!(got.field("upgrade").as_deref(), Some("websocket"));
    assert_eq!(got.field("connection").as_deref(), Some("upgrade"));
    assert_eq!(got.field("sec-websocket-accept").as_deref(), Some("x"));
    assert_eq!(
        got.field("set-cookie").as_deref(),
        Some("sid=1"),
        "c1: each cookie is judged, on any status"
    );
    assert_eq!(wire.takes(5).await, b"hello");
    for word in ["one", "three"] {
        wire.says(word).await;
        assert_eq!(wire.takes(word.len()).await, word.to_ascii_uppercase().as_bytes());
    }
    let ledger = proxy.ledger().await;
    assert!(ledger.contains(&"block marketing Acme Ads cookie _acme".to_owned()), "{ledger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_ends_with_either_side() {
    let origin = raw_origin(|mut socket, _| async move {
        let _ = socket
            .write_all(b"HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nbye")
            .await;
    })
    .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    assert_eq!(wire.asks("GET", "/chat", WEBSOCKET).await.status, 101);
    assert_eq!(wire.end().await, End::Closed);
    assert_eq!(wire.heard(), b"bye");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_upgrade_is_passed() {
    let origin = origin()
        .answer("/", |_| answer(200, &[("content-type", "text/plain")], "hi"))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    for fields in [
        "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "connection: Upgrade\r\nupgrade: websocket, h2c\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n",
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 777\r\nsec-websocket-key: x\r\n",
        "connection: Upgrade\r\nupgrade: tls/1.0\r\n",
        "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n",
    ] {
        let mut wire = Wire::to(proxy.address).await;
        let got = wire.asks("GET", "/", fields).await;
        assert_eq!((got.status, got.text()), (200, "hi"), "{fields}");
        let seen = origin.seen().pop().unwrap().headers;
        for gone in ["upgrade", "connection", "http2-settings"] {
            assert!(!seen.contains_key(gone), "{gone} of {fields}");
        }
        assert_eq!(wire.asks("GET", "/", "").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_the_origin_are_kept() {
    let origin = origin()
        .page("/", "<p>Hello</p>")
        .answer("/data", |_| answer(200, &[("content-type", "application/json")], "[]"))
        .start()
        .await;
    let proxy = consentry(&origin).config("[listener]\nworkers = 1").start().await;
    for _ in 0..10 {
        let mut wire = Wire::to(proxy.address).await;
        assert_eq!(wire.asks("GET", "/", "").await.status, 200);
        assert_eq!(wire.asks("GET", "/data", "").await.status, 200);
        assert_eq!(wire.asks("HEAD", "/", "").await.status, 200);
        assert_eq!(wire.asks("GET", "/none", "").await.status, 404);
    }
    assert_eq!((origin.seen().len(), origin.connections()), (40, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let origin = origin()
        .answer("/slow", |_| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            answer(200, &[("content-type", "text/plain")], "slow")
        })
        .answer("/quick", |_| answer(200, &[("content-type", "text/plain")], "quick"))
        .page("/page", "<p>page</p>")
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let post = "POST /quick HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody";
    wire.says(format!("{}{}{post}{}", ask("/slow"), ask("/page"), ask("/missing"))).await;
    assert_eq!(wire.answer("GET").await.text(), "slow");
    assert!(wire.answer("GET").await.text().contains("<p>page</p>"));
    assert_eq!(wire.answer("POST").await.text(), "quick");
    assert_eq!(wire.answer("GET").await.status, 404);
    let seen = origin.seen();
    let targets: Vec<_> = seen.iter().map(|seen| seen.target.as_str()).collect();
    assert_eq!(targets, ["/slow", "/page", "/quick", "/missing"]);
    assert_eq!(seen[2].body, "body");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_in_absolute_form_names_the_host() {
    let origin = origin()
        .answer("/x", |_| answer(200, &[("content-type", "text/plain")], "hi"))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET http://www.shop.example/x?a=1 HTTP/1.1\r\nhost: other.example\r\n\r\n").await;
    assert_eq!(wire.answer("GET").await.text(), "hi");
    let seen = &origin.seen()[0];
    assert_eq!(
        (seen.target.as_str(), seen.headers["host"].to_str().unwrap()),
        ("/x?a=1", "www.shop.example")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_arrives_byte_for_byte() {
    let origin = origin().start().await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    for target in [
        "//twice/x",
        "/a/../b/./c",
        "/%2e%2e/%00?",
        "/a?b=%zz&&c",
        "/?x='{}|^`[]\\",
        "/a;b=c,d",
        "/?",
    ] {
        assert_eq!(wire.asks("GET", target, "").await.status, 404, "{target}");
        assert_eq!(origin.seen().pop().unwrap().target, target);
    }
    assert_eq!(wire.asks("OPTIONS", "*", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_a_path_with_two_slashes_is_no_host() {
    let html = "<script src=p.js></script>";
    let origin = origin().page("//ads.acme.example/x", html).start().await;
    let proxy = consentry(&origin).start().await;
    let page = visitor(&proxy).opens("//ads.acme.example/x").await;
    assert!(page.body.starts_with(html), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_and_body_reaches_the_origin() {
    let origin = origin()
        .answer("/", |_| answer(200, &[("content-type", "text/plain")], "hi"))
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "PROPFIND"] {
        for (framing, body) in [
            ("content-length: 5\r\n", "hello"),
            ("transfer-encoding: chunked\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        ] {
            let mut wire = Wire::to(proxy.address).await;
            wire.says(format!("{method} / HTTP/1.1\r\nhost: a\r\n{framing}\r\n{body}")).await;
            assert_eq!(wire.answer(method).await.text(), "hi");
            let seen = origin.seen().pop().unwrap();
            assert_eq!(
                (seen.method.as_str(), &seen.body[..]),
                (method, &b"hello"[..]),
                "{framing}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_touched_arrives_as_it_was() {
    let origin = raw_origin(|mut socket, _| async move {
        let head = b"HTTP/1.1 299 Quite Fine\r\nContent-Type: text/plain\r\nset-cookie: b=2\r\nset-cookie: a=1\r\n\
            x-name: M\xfcller\r\nserver: shop\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\ncontent-length: 3\r\n\r\n\x00\xff\x01";
        let _ = socket.write_all(head).await;
    })
    .await;
    let proxy = consentry(&origin).start().await;
    let page = visitor(&proxy).opens("/").await;
    assert_eq!((page.status.as_u16(), &page.bytes[..]), (299, &b"\x00\xff\x01"[..]));
    assert_eq!(page.all("set-cookie"), ["b=2", "a=1"]);
    assert_eq!(page.headers["x-name"].as_bytes(), b"M\xfcller");
    assert_eq!(
        (page.field("server").as_str(), page.field("date").as_str()),
        ("shop", "Mon, 01 Jan 2024 00:00:00 GMT")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_origin_does_not_make_the_visitor_old() {
    // Without chunks or a length, a page that is cut would look complete.
    let origin = raw_origin(|mut socket, head| async move {
        let kind = if head.starts_with("GET /page") { "text/html" } else { "text/plain" };
        let _ = socket
            .write_all(
                format!("HTTP/1.0 200 OK\r\ncontent-type: {kind}\r\n\r\n<p>old</p>").as_bytes(),
            )
            .await;
    })
    .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    for path in ["/page", "/text", "/page"] {
        let got = wire.asks("GET", path, "").await;
        assert!(got.head.starts_with("http/1.1 200 "), "{}", got.head);
        assert!(got.complete && got.text().starts_with("<p>old</p>"), "{}", got.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_visitor_is_understood() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET / HTTP/1.0\r\nhost: shop.example\r\n\r\n").await;
    let got = wire.answer("GET").await;
    assert_eq!((got.status, got.field("transfer-encoding")), (200, None));
    assert!(got.complete && got.text().starts_with("<p>Hello</p>"));
    assert_eq!(wire.end().await, End::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_asks_before_sending_is_told_to_go_on() {
    let origin = origin()
        .answer("/", |seen| {
            answer(200, &[("content-type", "text/plain")], std::str::from_utf8(&seen.body).unwrap())
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        .await;
    wire.hears("100 Continue\r\n\r\n").await;
    wire.says("hello").await;
    assert_eq!(wire.answer("POST").await.text(), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn d4_gpc_support_is_declared_unless_the_site_does_so_itself() {
    const PATH: &str = "/.well-known/gpc.json";
    let silent = origin().start().await;
    let proxy = consentry(&silent).start().await;
    let page = visitor(&proxy).opens(PATH).await;
    assert_eq!(
        (page.status.as_u16(), page.field("content-type").as_str()),
        (200, "application/json")
    );
    let said: serde_json::Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!(said["gpc"], true);
    let date = said["lastUpdate"].as_str().unwrap();
    assert!(
        date.parse::<jiff::civil::Date>().is_ok() || date.parse::<jiff::Timestamp>().is_ok(),
        "{date}"
    );

    let own = "{\"gpc\":false,\"lastUpdate\":\"2020-01-01\"}";
    let origin = origin()
        .answer(PATH, move |seen| match seen.headers.contains_key("if-none-match") {
            true => answer(304, &[("etag", "\"g\"")], ""),
            false => answer(200, &[("content-type", "application/json"), ("etag", "\"g\"")], own),
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor(&proxy);
    assert_eq!(visitor.opens(PATH).await.body, own);
    let again = visitor.asks("GET", PATH, &[("if-none-match", "\"g\"")], "").await;
    assert_eq!(again.status, 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_spares_proxies_its_compression_need_not_know_of_one() {
    let origin = origin().page("/", "<p>x</p>").start().await;
    let proxy = consentry(&origin).config("[origin]\nvia = false").start().await;
    let page = visitor(&proxy).opens("/").await;
    assert_eq!(page.status, 200);
    assert!(origin.seen().iter().all(|seen| !seen.headers.contains_key("via")));
}
