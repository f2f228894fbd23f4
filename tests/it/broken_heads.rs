//! Origins whose answers are no HTTP, or two kinds of it at once: a clear 502,
//! bounded memory, and never a second line made of one value.

use crate::harness::{Origin, consentry, raw_origin};
use crate::wire::{Answer, Wire};

use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An origin that answers `/0`, `/1` and so on with these bytes, and closes.
async fn saying(answers: Vec<Vec<u8>>) -> Origin {
    raw_origin(move |mut socket, head| {
        let number = head.split(['/', ' ']).nth(2).and_then(|number| number.parse().ok());
        let bytes = answers[number.unwrap_or(0)].clone();
        async move {
            let _ = socket.write_all(&bytes).await;
            let _ = socket.shutdown().await;
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
    })
    .await
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().take(90).flat_map(|byte| byte.escape_ascii()).map(char::from).collect()
}

/// What visitors get of each answer, on a connection of their own.
async fn check(answers: Vec<Vec<u8>>, method: &str, right: impl Fn(&Answer) -> bool) {
    let origin = saying(answers.clone()).await;
    let config = "[timeouts]\nresponse_head_s = 2\n[listener]\nworkers = 1";
    let proxy = consentry(&origin).config(config).start().await;
    let mut failures = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        let begun = Instant::now();
        let got = Wire::to(proxy.address).await.asks(method, &format!("/{number}"), "").await;
        if !right(&got) || begun.elapsed() > Duration::from_secs(20) {
            let took = begun.elapsed();
            failures.push(format!("{}: {took:?} {} {}", shown(answer), got.head, got.text()));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        answers.len(),
        failures.join("\n")
    );
}

fn refused(got: &Answer) -> bool {
    got.status == 502 && got.complete && got.text().contains("fault: origin")
}

fn with_fields(fields: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n", fields, b"\r\n\r\nhello"].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_none_is_refused() {
    let mut answers: Vec<Vec<u8>> = [
        "2000", "abc", "20", "000", "-20", "20x", "x00", "2 0", "+200", "2e2", "099", "00200", "",
        " ", "200\0",
    ]
    .iter()
    .map(|status| format!("HTTP/1.1 {status} OK\r\ncontent-length: 2\r\n\r\nhi").into_bytes())
    .collect();
    for line in [
        "HTTP/2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/11 200 OK",
        "HTTP/0.9 200 OK",
        "HTTPS/1.1 200 OK",
        "http/1.1 200 OK",
        "HTTP 200 OK",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "200 OK",
    ] {
        answers.push(format!("{line}\r\ncontent-length: 2\r\n\r\nhi").into_bytes());
    }
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.9\r\n"[..],
        b"220 mail.example ESMTP\r\n",
        b"+OK ready\r\n",
        b"* OK IMAP\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"<html><p>HTTP/0.9</p></html>",
        b"<html>\r\n\r\n",
        b"\0\0\0\0",
        b"\r\n",
        b"",
        b"H",
        b"HTTP/1.1",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
    ] {
        answers.push(bytes.to_vec());
    }
    check(answers, "GET", refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_6_3_an_answer_of_two_lengths_is_refused() {
    let answers: Vec<Vec<u8>> = [
        &b"content-length: 5\r\ncontent-length: 6"[..],
        b"content-length: 6\r\ncontent-length: 5",
        b"content-length: 5\r\ncontent-length: 5",
        b"content-length: 5, 6",
        b"content-length: 5, 5",
        b"content-length: 5,",
        b"content-length: -5",
        b"content-length: +5",
        b"content-length: five",
        b"content-length: 0x5",
        b"content-length: 5.0",
        b"content-length: 5 5",
        b"content-length: \"5\"",
        b"content-length: 100000000000000000000000",
        b"content-length: 18446744073709551616",
        b"content-length: 5;",
        b"content-length: \xa05",
        b"content-length: 5\0",
        b"content-length : 5",
        b"transfer-encoding: gzip",
        b"transfer-encoding: gzip, chunked",
        b"transfer-encoding: chunked, chunked",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        b"transfer-encoding: identity",
        b"transfer-encoding: xchunked",
        b"transfer-encoding: \"chunked\"",
        b"transfer-encoding: ",
        b"transfer-encoding: chunked, identity",
        b"transfer-encoding: \x0bchunked",
    ]
    .iter()
    .map(|fields| with_fields(fields))
    .collect();
    check(answers, "GET", refused).await;
    let heads =
        ["content-length: five", "content-length: 5, 6", "content-length: 5\r\ncontent-length: 6"];
    check(heads.iter().map(|fields| with_fields(fields.as_bytes())).collect(), "HEAD", |got| {
        got.status == 502
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_none_is_refused() {
    let mut answers = Vec::new();
    for value in [
        &b"a\0b"[..],
        b"a\rb",
        b"a\x1bb",
        b"a\x01b",
        b"a\x7fb",
        b"a\x0bb",
        b"\x1b[31m",
        b"a\r\n folded",
        b"a\r\n\tfolded",
    ] {
        answers.push(with_fields(&[b"x: ", value].concat()));
    }
    for name in [
        &b"bad name"[..],
        b"x\0",
        b"x ",
        b"x\t",
        b" x",
        b"x(",
        b"x\"",
        b"x/",
        b"x@",
        b"x\xef",
        b"",
        b"x\r",
    ] {
        answers.push(with_fields(&[name, b": y"].concat()));
    }
    answers.push(with_fields(b"no colon"));
    check(answers, "GET", refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_odd_comes_through_clean() {
    let answers: Vec<Vec<u8>> = [
        &b"HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 5\n\nhello"[..],
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\nx: y\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 \r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 \xfcber\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello",
        b"\r\nHTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello and more",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: ChunKED\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello",
    ]
    .iter()
    .map(|bytes| bytes.to_vec())
    .collect();
    check(answers, "GET", |got| {
        got.status == 200 && got.complete && got.text() == "hello" && got.field("date").is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_with_too_much_of_anything_is_refused() {
    let long = "x".repeat(1_000_000);
    check(
        vec![
            with_fields(format!("x: {long}").as_bytes()),
            with_fields(format!("{long}: y").as_bytes()),
            with_fields("x: y\r\n".repeat(20_000).as_bytes()),
            format!("HTTP/1.1 200 {long}\r\n\r\n").into_bytes(),
            long.into_bytes(),
        ],
        "GET",
        refused,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_by_the_thousand_harm_nobody() {
    let flood = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n".repeat(100_000);
    let last = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello";
    let few = "HTTP/1.1 102 Processing\r\n\r\n".repeat(20);
    let origin = saying(vec![(flood + last).into_bytes(), (few + last).into_bytes()]).await;
    let proxy = consentry(&origin).start().await;
    for path in ["/0", "/1"] {
        let got = Wire::to(proxy.address).await.asks("GET", path, "").await;
        assert_eq!((got.status, got.text()), (200, "hello"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc6265_3_many_cookies_stay_apart_and_each_is_judged() {
    let mut fields = String::new();
    for number in 0..80 {
        let name = if number % 4 == 0 { format!("_acme_{number}") } else { format!("c{number}") };
        fields
            .push_str(&format!("set-cookie: {name}=1; expires=Thu, 01 Jan 2099 00:00:00 GMT\r\n"));
    }
    let chunks = "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nset-cookie: _acme_late=1\r\nset-cookie: late=1\r\n\r\n";
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n{fields}{chunks}");
    let origin = saying(vec![answer.into_bytes()]).await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET /0 HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close, te\r\n\r\n").await;
    wire.end().await;
    let heard = String::from_utf8(wire.heard().to_vec()).unwrap();
    let lines: Vec<_> = heard.lines().filter(|line| line.starts_with("set-cookie: ")).collect();
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("set-cookie: c")).count(),
        60,
        "{heard}"
    );
    assert!(!heard.contains("late") && !heard.contains("_acme_"), "{heard}");
    assert!(heard.ends_with("0\r\n\r\n"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_8_6_what_has_no_body_needs_no_length() {
    let next = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nevil";
    for (method, head, length) in [
        ("GET", "HTTP/1.1 204 No Content\r\ncontent-length: 5", None),
        ("GET", "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: \"a\"", Some("5")),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5", Some("5")),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked", None),
    ] {
        let origin = saying(vec![format!("{head}\r\n\r\nhello{next}").into_bytes()]).await;
        let proxy = consentry(&origin).config("[listener]\nworkers = 1").start().await;
        let mut wire = Wire::to(proxy.address).await;
        for _ in 0..2 {
            let got = wire.asks(method, "/0", "").await;
            assert!(head.contains(&format!(" {} ", got.status)), "{head}: {}", got.head);
            assert!(
                got.field("content-length").as_deref().is_none_or(|said| Some(said) == length),
                "{head}: {}",
                got.head
            );
            assert!(got.status != 204 || got.field("transfer-encoding").is_none(), "{}", got.head);
            assert!(wire.heard().is_empty(), "{head}");
        }
    }
}
