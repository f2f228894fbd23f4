//! Visitors who send nonsense, too much, too slowly or too often: they get a
//! clear answer or none, nobody else notices, and the origin never sees it.

use crate::harness::{Origin, Proxy, consentry, origin, raw_origin, visitor};
use crate::wire::{End, PATIENCE, Wire};

use http::Response;
use http_body_util::Full;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

async fn plain() -> Origin {
    let answer = |_| {
        Response::builder().header("content-type", "text/plain").body(Full::from("fine")).unwrap()
    };
    origin().answer("/", answer).answer("/smuggled", answer).start().await
}

/// The statuses of everything that comes back until the connection ends.
async fn statuses(proxy: &Proxy, bytes: &[u8]) -> Vec<u16> {
    let mut wire = Wire::to(proxy.address).await;
    wire.says(bytes).await;
    wire.hangs_up().await;
    wire.end().await;
    let heard = String::from_utf8(wire.heard().to_vec()).unwrap();
    heard.split("HTTP/1.").skip(1).filter_map(|answer| answer.get(2..5)?.parse().ok()).collect()
}

async fn answers_others(proxy: &Proxy) {
    let got = Wire::to(proxy.address).await.asks("GET", "/", "").await;
    assert_eq!((got.status, got.text()), (200, "fine"));
}

/// Each of these is refused, or the connection closed, and nobody is harmed.
async fn check_refused(requests: &[&[u8]]) {
    let origin = plain().await;
    let proxy = consentry(&origin).start().await;
    for (number, request) in requests.iter().enumerate() {
        let statuses = statuses(&proxy, request).await;
        let shown = String::from_utf8(
            request.iter().take(200).flat_map(|byte| byte.escape_ascii()).collect(),
        )
        .unwrap();
        assert!(
            statuses.len() <= 1 && statuses.iter().all(|status| (400..=505).contains(status)),
            "{shown}: {statuses:?}"
        );
        assert_eq!(origin.seen().len(), number, "{shown} reached the origin");
        answers_others(&proxy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbled_http_is_refused() {
    check_refused(&[
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello, TLS \r\n\r\n",
        b"\x00\x00\x00\x00\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: a\r\n\r\n",
        b"GET / HTP/1.1\r\nhost: a\r\n\r\n",
        b"G\0T / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx\0: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n: b\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET shop.example:80 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nhost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_none_is_refused() {
    let hosts = [
        "",
        " ",
        "a b",
        "a, b",
        "a/b",
        "user@a",
        "a?b",
        "a#b",
        "[::1",
        "::1",
        "<script>",
        "a\"",
        "a:x",
        "a:99999",
        "a:80:80",
        ".",
        "http://a",
        "a\\b",
        "a%00b",
        "a\r\nhost: b",
    ];
    let requests: Vec<_> =
        hosts.iter().map(|host| format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).collect();
    let mut requests: Vec<&[u8]> = requests.iter().map(String::as_bytes).collect();
    requests.push(b"GET / HTTP/1.1\r\n\r\n");
    requests.push(b"GET / HTTP/1.0\r\n\r\n");
    requests.push(b"GET / HTTP/1.1\r\nhost: \xff\xfe\r\n\r\n");
    requests.push(b"GET http:///x HTTP/1.1\r\nhost: a\r\n\r\n");
    requests.push(b"GET http://user:secret@a/ HTTP/1.1\r\nhost: a\r\n\r\n");
    requests.push(b"GET http://b/ HTTP/1.1\r\nhost: a b\r\n\r\n");
    check_refused(&requests).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_smuggled_behind_an_unclear_body() {
    const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let framings = [
        ("content-length: 5\r\ncontent-length: 6\r\n", "hello"),
        ("content-length: 5, 6\r\n", "hello"),
        ("content-length: 5, 5\r\n", "hello"),
        ("content-length: +5\r\n", "hello"),
        ("content-length: -1\r\n", ""),
        ("content-length: 0x5\r\n", "hello"),
        ("content-length: 5 5\r\n", "hello"),
        ("content-length: five\r\n", "hello"),
        ("content-length:\r\n", ""),
        ("content-length: 99999999999999999999\r\n", "hello"),
        ("transfer-encoding: xchunked\r\n", "0\r\n\r\n"),
        ("transfer-encoding: identity\r\n", ""),
        ("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", "0\r\n\r\n"),
        ("transfer-encoding: \x0bchunked\r\n", "0\r\n\r\n"),
        ("transfer-encoding : chunked\r\n", "0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "-5\r\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "5 5\r\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "\r\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "5\r\nhello!!0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "5;\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "5\nhello\n0\n\n"),
        // Well-formed by one of two rules: nobody behind us may see the other.
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
        ("transfer-encoding: chunked\r\ncontent-length: 50\r\n", "0\r\n\r\n"),
        ("content-length: 50\r\ntransfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ];
    let origin = plain().await;
    let proxy = consentry(&origin)
        .config("[timeouts]\nrequest_body_s = 1\n[listener]\nworkers = 1")
        .start()
        .await;
    for (framing, body) in framings {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n{body}{HIDDEN}");
        let statuses = statuses(&proxy, request.as_bytes()).await;
        assert!(statuses.len() <= 1, "{framing:?} {body:?}: {statuses:?}");
        answers_others(&proxy).await;
        for seen in origin.seen() {
            assert_eq!(seen.target, "/", "{framing:?} {body:?}");
            let both = seen.headers.contains_key("content-length")
                && seen.headers.contains_key("transfer-encoding");
            assert!(!both, "{framing:?} {body:?}: {:?}", seen.headers);
        }
    }
    // As a body, it is a body.
    let inside =
        format!("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{HIDDEN}", HIDDEN.len());
    let mut wire = Wire::to(proxy.address).await;
    wire.says(inside).await;
    assert_eq!(wire.answer("GET").await.status, 200);
    let seen = origin.seen().pop().unwrap();
    assert_eq!((seen.target.as_str(), &seen.body[..]), ("/", HIDDEN.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_a_head_is_refused() {
    let origin = plain().await;
    let proxy = consentry(&origin).start().await;
    let long = "x".repeat(80_000);
    for (request, expected) in [
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx-long: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(300)), 431),
        (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nhost: {long}\r\n\r\n"), 431),
        (
            format!(
                "GET / HTTP/1.1\r\nhost: a\r\n{}\r\n",
                format!("x: {}\r\n", "y".repeat(9000)).repeat(100)
            ),
            431,
        ),
    ] {
        let mut wire = Wire::to(proxy.address).await;
        wire.says(&request).await;
        wire.end().await;
        let heard = String::from_utf8(wire.heard().to_vec()).unwrap();
        assert!(
            heard.is_empty() || heard.starts_with(&format!("HTTP/1.1 {expected}")),
            "{}: {heard}",
            request.get(..40).unwrap()
        );
        answers_others(&proxy).await;
    }
    assert_eq!(origin.seen().len(), 5);
    // What real sites send passes.
    let usual = format!("cookie: {}\r\n{}", "c=1; ".repeat(1600), "x: y\r\n".repeat(80));
    assert_eq!(Wire::to(proxy.address).await.asks("GET", "/", &usual).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_no_site_needs_are_refused() {
    let origin = plain().await;
    let proxy = consentry(&origin).start().await;
    for request in [
        "CONNECT shop.example:443 HTTP/1.1\r\nhost: shop.example:443\r\n\r\n",
        "CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: a\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: a\r\ncookie: secret\r\n\r\n",
    ] {
        let mut wire = Wire::to(proxy.address).await;
        wire.says(request).await;
        let got = wire.answer("GET").await;
        assert_eq!(got.status, 405, "{request}");
        assert!(got.field("allow").unwrap().contains("get") && !got.text().contains("secret"));
        answers_others(&proxy).await;
    }
    assert!(origin.seen().iter().all(|seen| seen.method == "GET"));
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_values_in_every_field_we_read_harm_nobody() {
    let origin = plain().await;
    let proxy = consentry(&origin).start().await;
    let names = [
        "cookie",
        "accept",
        "accept-encoding",
        "accept-language",
        "connection",
        "upgrade",
        "origin",
        "referer",
        "range",
        "if-none-match",
        "if-modified-since",
        "if-range",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "sec-gpc",
        "sec-fetch-dest",
        "sec-fetch-site",
        "te",
        "expect",
        "content-type",
        "via",
    ];
    let long = "a,".repeat(2000);
    let values: [&[u8]; 10] = [
        b"",
        b"\xff\xfe\x80",
        b",,, ,",
        b";;=;==; =",
        b"\"",
        b"W/\"",
        b"<>\"'&",
        b"consentry=v1.",
        b"\xe2\x80\xae=\xf0\x9f\x98\x80",
        long.as_bytes(),
    ];
    for path in ["/", "/.consentry/choices", "/.consentry/me", "/?\"=&&=&%&%zz=%00"] {
        if path.contains('"') {
            continue;
        }
        let mut wire = Wire::to(proxy.address).await;
        for name in names {
            for value in values {
                let request = [
                    format!("GET {path} HTTP/1.1\r\nhost: a\r\n{name}: ").as_bytes(),
                    value,
                    b"\r\n\r\n",
                ]
                .concat();
                wire.says(request).await;
                let got = wire.answer("GET").await;
                assert!(got.status < 500, "{path} {name} {value:?}: {} {}", got.status, got.text());
                if got.field("connection").is_some_and(|said| said.contains("close"))
                    || got.status >= 400
                {
                    wire = Wire::to(proxy.address).await;
                }
            }
        }
    }
    answers_others(&proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_refused() {
    let origin = plain().await;
    let proxy = consentry(&origin).config("[limits]\nrequest_body_bytes = 1000").start().await;
    let chunked = |size: usize| {
        format!("transfer-encoding: chunked\r\n\r\n{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size))
    };
    let sized = |size: usize| format!("content-length: {size}\r\n\r\n{}", "x".repeat(size));
    for (rest, expected) in [
        (sized(1000), 200),
        (chunked(1000), 200),
        (sized(1001), 413),
        (chunked(1001), 413),
        (sized(3_000_000), 413),
    ] {
        let mut wire = Wire::to(proxy.address).await;
        wire.says(format!("POST / HTTP/1.1\r\nhost: a\r\n{rest}")).await;
        let got = wire.answer("POST").await;
        assert_eq!(got.status, expected, "{}", got.text());
        assert!(expected == 200 || got.text().contains("fault: visitor"));
        answers_others(&proxy).await;
    }
    let whole = origin
        .seen()
        .iter()
        .filter(|seen| seen.method == "POST" && seen.body.len() == 1000)
        .count();
    assert_eq!(whole, 2, "what is too large does not look whole to the origin");
    let form = format!("POST /.consentry/choices HTTP/1.1\r\nhost: a\r\n{}", sized(1_000_000));
    let mut wire = Wire::to(proxy.address).await;
    wire.says(form).await;
    assert_eq!(wire.answer("POST").await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_arriving_is_not_waited_for_forever() {
    let origin = plain().await;
    let proxy = consentry(&origin)
        .config("[timeouts]\nrequest_body_s = 0.5\nresponse_head_s = 5")
        .start()
        .await;
    for path in ["/", "/.consentry/choices"] {
        for begun in [
            "content-length: 10\r\n\r\nhalf",
            "content-length: 10\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nha",
        ] {
            let mut wire = Wire::to(proxy.address).await;
            wire.says(format!("POST {path} HTTP/1.1\r\nhost: a\r\n{begun}")).await;
            let got = wire.answer("POST").await;
            assert_eq!(got.status, 408, "{path} {begun:?}: {}", got.text());
            assert!(got.text().contains("fault: visitor"), "{}", got.text());
            assert_eq!(wire.end().await, End::Closed, "{path} {begun:?}");
        }
    }
    answers_others(&proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_stops_arriving_is_not_waited_for_forever() {
    let origin = plain().await;
    let proxy = consentry(&origin).config("[timeouts]\nrequest_head_s = 2").start().await;
    for begun in ["", "GET / HTTP/1.1\r\nhos", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        let mut wire = Wire::to(proxy.address).await;
        wire.says(begun).await;
        wire.end().await;
        assert!(!String::from_utf8(wire.heard().to_vec()).unwrap().contains(" 200 "));
    }
    answers_others(&proxy).await;
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_never_looks_whole_to_the_origin() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let origin = raw_origin(move |mut socket, head| {
        let log = Arc::clone(&log);
        async move {
            let mut all = head.into_bytes();
            let mut piece = [0; 1024];
            log.lock().unwrap().push((String::new(), false));
            loop {
                let text = std::str::from_utf8(&all).unwrap();
                let body = text.split_once("\r\n\r\n").unwrap().1.to_owned();
                log.lock().unwrap().last_mut().unwrap().0 = body;
                match socket.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(length) => all.extend_from_slice(&piece[..length]),
                }
            }
            log.lock().unwrap().last_mut().unwrap().1 = true;
        }
    })
    .await;
    let proxy = consentry(&origin).start().await;
    for begun in
        ["content-length: 10\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
    {
        let mut wire = Wire::to(proxy.address).await;
        wire.says(format!("POST / HTTP/1.1\r\nhost: a\r\n{begun}")).await;
        let until = async |holds: &dyn Fn(&(String, bool)) -> bool| {
            let since = Instant::now();
            while !heard.lock().unwrap().last().is_some_and(holds) {
                assert!(since.elapsed() < PATIENCE, "{:?}", heard.lock().unwrap());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        until(&|(body, ended)| body.contains("half") && !ended).await;
        drop(wire);
        until(&|(_, ended)| *ended).await;
        let said = heard.lock().unwrap().last().unwrap().0.clone();
        assert!(matches!(said.as_str(), "half" | "4\r\nhalf\r\n"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_asks_too_often_waits_and_others_do_not() {
    let origin = plain().await;
    let limits = "[limits]\nrequests_per_second = 1\nrequest_burst = 5\n";
    let proxy = consentry(&origin).config(limits).start().await;
    let from = |address: &str| format!("x-forwarded-for: {address}\r\n");
    let mut wire = Wire::to(proxy.address).await;
    let mut answered = 0;
    let mut refused = 0;
    // One request a second is let through, whatever the machine has to do.
    for others in 0.. {
        let got = wire.asks("GET", "/", &from("203.0.113.1")).await;
        match got.status {
            200 => answered += 1,
            _ => {
                assert_eq!(
                    (got.status, got.field("retry-after").as_deref()),
                    (429, Some("1")),
                    "{}",
                    got.text()
                );
                assert!(got.text().contains("fault: visitor"));
                refused += 1;
            }
        }
        let other = from(&format!("203.0.{}.7", 114 + others));
        assert_eq!(Wire::to(proxy.address).await.asks("HEAD", "/", &other).await.status, 200);
        if refused == 3 {
            break;
        }
        assert!(others < 120, "nobody is refused");
    }
    assert!(answered >= 5, "{answered}");
    // The one in front who speaks for nobody is not counted.
    assert_eq!(wire.asks("GET", "/", "").await.status, 200);
    assert_eq!(origin.seen().iter().filter(|seen| seen.method == "GET").count(), answered + 1);

    let proxy = consentry(&origin)
        .config(&format!("{limits}[listener]\ntrusted_proxies = []"))
        .start()
        .await;
    let mut refused = 0;
    for last in 0..120 {
        // Without a trusted proxy, a made-up address is no way out.
        let got = Wire::to(proxy.address)
            .await
            .asks("GET", "/", &from(&format!("203.0.113.{last}")))
            .await;
        refused += usize::from(got.status == 429);
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    answers_others(&proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_are_closed() {
    let origin = plain().await;
    let proxy = consentry(&origin).config("[limits]\nconnections = 2").start().await;
    // Who rested would give way.
    let (mut one, mut two) = (Wire::to(proxy.address).await, Wire::to(proxy.address).await);
    for wire in [&mut one, &mut two] {
        wire.says("GET / HTTP/1.1\r\nhost: a\r\n").await;
    }
    let begun = Instant::now();
    while proxy.metric("consentry_connections ").await != Some(2.0) {
        assert!(begun.elapsed() < PATIENCE, "they are not counted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut third = Wire::to(proxy.address).await;
    third.end().await;
    assert!(third.heard().is_empty());
    one.says("\r\n").await;
    assert_eq!(one.answer("GET").await.status, 200);
    drop((one, two));
    for attempt in 0.. {
        let mut wire = Wire::to(proxy.address).await;
        wire.says("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        wire.end().await;
        if wire.heard().starts_with(b"HTTP/1.1 200") {
            break;
        }
        assert!(attempt < 300, "a connection that ended is still counted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_gets_no_site() {
    let origin = plain().await;
    let proxy = consentry(&origin).site("hosts = [\"shop.example\"]").start().await;
    let page = visitor(&proxy).at_host("other.example").opens("/").await;
    assert_eq!(page.status, 421);
    assert!(page.body.contains("fault: visitor"), "{}", page.body);
    assert!(origin.seen().is_empty());
    assert_eq!(visitor(&proxy).at_host("SHOP.example.:80").opens("/").await.status, 200);
}
