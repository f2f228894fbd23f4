//! An origin that is down, hangs, breaks off or speaks nonsense: the visitor
//! learns whose fault it is, and never takes half an answer for a whole one.

use crate::harness::{Origin, Proxy, consentry, origin, raw_origin, visitor};
use crate::wire::{Answer, End, Wire};

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What an origin does after it has said its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Close,
    Reset,
    Hang,
}

/// An origin that answers every request with these bytes.
async fn saying(bytes: impl Into<Vec<u8>>, then: Then) -> Origin {
    saying_each(vec![(bytes.into(), then)]).await
}

/// An origin that answers `/0`, `/1` and so on, and `/` like `/0`.
async fn saying_each(answers: Vec<(Vec<u8>, Then)>) -> Origin {
    raw_origin(move |mut socket, head| {
        let number =
            head.split(['/', ' ']).nth(2).and_then(|number| number.parse().ok()).unwrap_or(0);
        let (bytes, then): (Vec<u8>, Then) = answers[number].clone();
        async move {
            let _ = socket.write_all(&bytes).await;
            end(socket, then).await;
        }
    })
    .await
}

async fn end(mut socket: TcpStream, then: Then) {
    match then {
        Then::Close => {
            let _ = socket.shutdown().await;
        }
        Then::Reset => {
            // What was written arrives first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
        Then::Hang => {
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
    }
}

const IMPATIENT: &str = "[timeouts]\nresponse_head_s = 2\nresponse_body_s = 2";

async fn proxy(origin: &Origin) -> Proxy {
    consentry(origin).config(IMPATIENT).start().await
}

/// What a visitor gets who asks for `/` in raw bytes.
async fn got(origin: &Origin) -> Answer {
    let proxy = proxy(origin).await;
    Wire::to(proxy.address).await.asks("GET", "/", "").await
}

async fn check_refused(answers: &[impl AsRef<[u8]>], then: Then, status: u16) {
    let origin =
        saying_each(answers.iter().map(|answer| (answer.as_ref().to_vec(), then)).collect()).await;
    let proxy = proxy(&origin).await;
    for (number, answer) in answers.iter().enumerate() {
        let shown = String::from_utf8(answer.as_ref().to_vec()).unwrap_or_default();
        let got = Wire::to(proxy.address).await.asks("GET", &format!("/{number}"), "").await;
        assert_eq!(got.status, status, "{shown:?}: {}", got.text());
        assert!(got.complete && got.text().contains("fault: origin"), "{shown:?}: {}", got.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_down_is_said_to_be() {
    let gone = origin().start_apart().await;
    let proxy = proxy(&gone).await;
    drop(gone);
    let mut visitor = visitor(&proxy);
    for (accept, expected) in [
        ("application/json", "fault: origin"),
        ("text/html,application/xhtml+xml", "The fault lies with the site's server, not with you."),
    ] {
        let page = visitor.asks("GET", "/", &[("accept", accept)], "").await;
        assert_eq!(page.status, 502);
        assert!(page.body.contains(expected), "{}", page.body);
        assert_eq!(page.field("cache-control"), "no-store");
        assert_eq!(
            page.field("content-type").starts_with("text/html"),
            accept.starts_with("text/html")
        );
    }
    let head = visitor.asks("HEAD", "/", &[], "").await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (502, 0));
    // Our own pages need no origin.
    assert_eq!(visitor.opens("/.consentry/choices").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_comes_back_is_used_again() {
    let first = origin().page("/", "<p>Hello</p>").start_apart().await;
    let proxy = proxy(&first).await;
    let address = first.address;
    assert_eq!(visitor(&proxy).opens("/").await.status, 200);
    drop(first);
    let again = origin().page("/", "<p>Back</p>").start_at(address).await;
    let page = visitor(&proxy).opens("/").await;
    assert_eq!(page.status, 200, "{}", page.body);
    drop(again);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_hangs_is_not_waited_for_forever() {
    check_refused(&["", "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n"], Then::Hang, 504).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_closes_without_a_word_is_broken() {
    for then in [Then::Close, Then::Reset] {
        check_refused(&["", "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n"], then, 502).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_never_a_clean_end() {
    let long = "<p>a paragraph of some length</p>".repeat(4000);
    let mut answers = Vec::new();
    for kind in ["text/html; charset=utf-8", "application/pdf"] {
        for (framing, body) in [
            ("content-length: 900000", long.clone()),
            ("content-length: 1000", "<p>begun".to_owned()),
            ("transfer-encoding: chunked", "8\r\n<p>begun\r\n".to_owned()),
            ("transfer-encoding: chunked", "ff\r\n<p>begun".to_owned()),
            ("transfer-encoding: chunked", "8\r\n<p>begun\r\nnonsense\r\n".to_owned()),
            ("transfer-encoding: chunked", format!("{:x}\r\n{long}\r\n", long.len())),
        ] {
            for then in [Then::Close, Then::Reset, Then::Hang] {
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{framing}\r\n\r\n{body}");
                answers.push((answer.into_bytes(), then));
            }
        }
    }
    let origin = saying_each(answers.clone()).await;
    let proxy = proxy(&origin).await;
    for (number, (answer, then)) in answers.into_iter().enumerate() {
        let got = Wire::to(proxy.address).await.asks("GET", &format!("/{number}"), "").await;
        let refused = got.status == 502 && got.text().contains("fault: origin");
        let asked = String::from_utf8(answer.into_iter().take(120).collect()).unwrap();
        let case = format!("{asked:?} {then:?}: {} {:?}", got.head, got.text().get(..80));
        assert!(refused || (got.status == 200 && !got.complete), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_no_chunks_sees_that_a_body_broke_off_too() {
    for kind in ["text/html; charset=utf-8", "application/octet-stream"] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n");
        for (body, then) in [
            ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", Then::Close),
            ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", Then::Reset),
            ("connection: close\r\n\r\nhello", Then::Reset),
        ] {
            let origin = saying(format!("{head}{body}"), then).await;
            let proxy = proxy(&origin).await;
            let mut wire = Wire::to(proxy.address).await;
            wire.says("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
            let end = wire.end().await;
            let got = wire.heard().escape_ascii().to_string();
            let is_error = got.starts_with("HTTP/1.0 502");
            assert!(is_error || end == End::Reset, "{kind} {body:?}: {end:?} {got}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_page_that_breaks_off_is_no_clean_end_either() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n8\r\n<p>begun\r\n";
    let origin = saying(answer, Then::Close).await;
    let proxy = proxy(&origin).await;
    let mut visitor = visitor(&proxy);
    visitor.chooses("all", &[]).await;
    let cookie: Vec<_> =
        visitor.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    for accept in ["text/html", "*/*"] {
        let fields = format!("cookie: {}\r\naccept: {accept}\r\n", cookie.join("; "));
        let host = format!("GET / HTTP/1.1\r\nhost: {}\r\n{fields}\r\n", proxy.address);
        let mut wire = Wire::to(proxy.address).await;
        wire.says(host).await;
        let got = wire.answer("GET").await;
        assert!(got.status == 502 || !got.complete, "{accept}: {} {}", got.head, got.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_an_observed_page_that_breaks_off_is_no_clean_end_either() {
    let answer =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 900\r\n\r\n<p>begun";
    let origin = saying(answer, Then::Close).await;
    let proxy = consentry(&origin).site("mode = \"observe\"").start().await;
    let got = Wire::to(proxy.address).await.asks("GET", "/", "").await;
    assert!(
        (got.status, got.complete) == (200, false) && got.text() == "<p>begun",
        "{} {}",
        got.head,
        got.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_the_end_is_no_part_of_the_answer() {
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nevil";
    for kind in ["text/html; charset=utf-8", "text/plain"] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: 11\r\n\r\n<p>fine</p>{smuggled}"
        );
        let origin = saying(answer, Then::Hang).await;
        let proxy = consentry(&origin).config("[listener]\nworkers = 1").start().await;
        let mut wire = Wire::to(proxy.address).await;
        for _ in 0..2 {
            let got = wire.asks("GET", "/", "").await;
            assert!(
                got.complete
                    && got.text().starts_with("<p>fine</p>")
                    && !got.text().contains("evil"),
                "{}",
                got.text()
            );
        }
    }
    for status in ["204 No Content", "304 Not Modified"] {
        let origin = saying(
            format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\n\r\nevil{smuggled}"),
            Then::Hang,
        )
        .await;
        let proxy = consentry(&origin).config("[listener]\nworkers = 1").start().await;
        let mut wire = Wire::to(proxy.address).await;
        for _ in 0..2 {
            let got = wire.asks("GET", "/", "").await;
            assert_eq!(
                (status.starts_with(&got.status.to_string()), got.body.len()),
                (true, 0),
                "{}",
                got.head
            );
        }
        assert!(wire.heard().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_whose_end_is_unclear_is_not_passed_on() {
    let framings = [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: -5",
        "content-length: five",
        "content-length: +5",
        "content-length: 99999999999999999999",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked, identity",
    ];
    let answers = framings.map(|framing| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n{framing}\r\n\r\nhello!")
    });
    check_refused(&answers, Then::Close, 502).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_outweigh_a_length() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let got = got(&saying(answer, Then::Close).await).await;
    assert_eq!((got.status, got.text(), got.complete), (200, "hello", true), "{}", got.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_does_not_speak_http_is_broken() {
    let answers = [
        &b"SSH-2.0-OpenSSH_9.9\r\n"[..],
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"<html><p>No head at all</p></html>\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\r\n folded\r\n\r\n",
    ];
    check_refused(&answers, Then::Close, 502).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_is_not_read_without_end() {
    for line in ["x-more: and more of it\r\n", "x"] {
        let origin = raw_origin(move |mut socket, _| async move {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while socket.write_all(line.repeat(500).as_bytes()).await.is_ok() {}
        })
        .await;
        let got =
            Wire::to(consentry(&origin).start().await.address).await.asks("GET", "/", "").await;
        assert_eq!(got.status, 502, "{line:?}");
        assert!(got.text().contains("fault: origin"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_without_end_end() {
    let origin = raw_origin(move |mut socket, _| async move {
        while socket.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(got(&origin).await.status, 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_announcements_before_an_answer_do_no_harm() {
    let mut answer = "HTTP/1.1 103 Early Hints\r\nlink: <https://ads.acme.example/p.js>; rel=preload; as=script\r\n\r\n".to_owned();
    answer.push_str(&"HTTP/1.1 102 Processing\r\n\r\n".repeat(100));
    answer.push_str(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 12\r\n\r\n<p>Hello</p>",
    );
    let origin = saying(answer, Then::Hang).await;
    let proxy = proxy(&origin).await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    wire.hears("<p>Hello</p>").await;
    let heard = std::str::from_utf8(wire.heard()).unwrap();
    assert!(!heard.contains("ads.acme.example"), "a5: {heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_switches_protocols_unasked_is_broken() {
    let switched =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\nraw bytes";
    check_refused(&[switched], Then::Hang, 502).await;
    // Nor may it switch to something else than was asked for.
    for fields in
        ["connection: upgrade\r\nupgrade: h2c", "connection: upgrade", "upgrade: websocket"]
    {
        let origin = saying(format!("HTTP/1.1 101 x\r\n{fields}\r\n\r\n"), Then::Hang).await;
        let proxy = proxy(&origin).await;
        let asks = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
            sec-websocket-key: eA==\r\n";
        let got = Wire::to(proxy.address).await.asks("GET", "/", asks).await;
        assert_eq!(got.status, 502, "{fields:?}: {}", got.head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_twice_that_might_have_been_done() {
    for served in [0, 1] {
        let origin = raw_origin(move |mut socket, _| async move {
            for _ in 0..served {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi").await;
                let _ = socket.read(&mut [0; 4096]).await;
            }
        })
        .await;
        let proxy = consentry(&origin).config("[listener]\nworkers = 1").start().await;
        let mut wire = Wire::to(proxy.address).await;
        for _ in 0..served {
            assert_eq!(wire.asks("GET", "/", "").await.status, 200);
        }
        wire.says("POST /buy HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nx=1").await;
        let got = wire.answer("POST").await;
        assert_eq!(got.status, 502, "{served}");
        assert!(got.text().contains("fault: origin"));
        // Each connection is counted with its first request; the origin of the
        // second round took the purchase on a connection that was open before.
        assert_eq!(origin.connections(), 1, "{served}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_origin_is_on_the_operators_screen() {
    let origin = saying("HTTP/1.1 abc\r\n\r\n", Then::Close).await;
    let proxy = proxy(&origin).await;
    assert_eq!(visitor(&proxy).opens("/").await.status, 502);
    let metrics = crate::harness::raw(
        proxy.admin,
        b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(
        metrics.contains("consentry_exchange_failures_total{fault=\"origin\",reason=\"broken\"} 1"),
        "{metrics}"
    );
}
