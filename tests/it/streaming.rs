//! Nothing waits for a whole body: not the origin, not the visitor, and no
//! memory of ours.

use crate::harness::{consentry, origin, raw_origin, visitor};
use crate::wire::{PATIENCE, Wire};

use consentry::enforce::codec::{Coding, Decoder, Encoder};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

async fn read_until(socket: &mut TcpStream, mut heard: String, text: &str) -> String {
    let mut buffer = [0; 4096];
    while !heard.contains(text) {
        match socket.read(&mut buffer).await {
            Ok(length @ 1..) => heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
            _ => break,
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_sees_the_first_bytes_before_the_last_are_sent() {
    let arrived = Arc::new(Notify::new());
    let told = Arc::clone(&arrived);
    let origin = raw_origin(move |mut socket, head| {
        let told = Arc::clone(&told);
        async move {
            let heard = read_until(&mut socket, head, "first").await;
            told.notify_one();
            read_until(&mut socket, heard, "last").await;
            let _ = socket
                .write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n\r\nhi",
                )
                .await;
        }
    })
    .await;
    let proxy = consentry(&origin).start().await;
    for (framing, first, last) in [
        ("content-length: 9", "first", "last"),
        ("transfer-encoding: chunked", "5\r\nfirst\r\n", "4\r\nlast\r\n0\r\n\r\n"),
    ] {
        let mut wire = Wire::to(proxy.address).await;
        wire.says(format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{first}")).await;
        tokio::time::timeout(PATIENCE, arrived.notified()).await.unwrap();
        wire.says(last).await;
        assert_eq!(wire.answer("POST").await.text(), "hi", "{framing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_is_not_the_origins_fault() {
    let origin = origin()
        .answer("/", |seen| {
            http::Response::new(http_body_util::Full::from(seen.body.len().to_string()))
        })
        .start()
        .await;
    let proxy = consentry(&origin)
        .config("[timeouts]\nresponse_head_s = 3\nrequest_body_s = 30")
        .start()
        .await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n").await;
    // Each pause is longer than the origin may take for its answer.
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(3500)).await;
        wire.says("x").await;
    }
    wire.says("xxx").await;
    let got = wire.answer("POST").await;
    assert_eq!((got.status, got.text().starts_with('5')), (200, true), "{}", got.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_stops_taking_an_upload_is_not_waited_for_forever() {
    let origin = raw_origin(|socket, _| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(socket);
    })
    .await;
    let proxy = consentry(&origin)
        .config("[timeouts]\nresponse_head_s = 0.3\nrequest_body_s = 0.5")
        .start()
        .await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 67000000\r\n\r\n").await;
    let upload = vec![b'x'; 64 * 1024];
    let _ = tokio::time::timeout(Duration::from_secs(2), async {
        loop {
            wire.says(&upload).await;
        }
    })
    .await;
    assert_eq!(wire.answer("POST").await.status, 504);
}

/// Sends a head and a first part, waits to be told, and sends the rest.
async fn in_two_parts(
    head: &'static str,
    first: Vec<u8>,
    rest: Vec<u8>,
) -> (crate::harness::Origin, Arc<Notify>, Arc<AtomicBool>) {
    let (go_on, finished) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (wait, end) = (Arc::clone(&go_on), Arc::clone(&finished));
    let origin = raw_origin(move |mut socket, _| {
        let (wait, end, first, rest) =
            (Arc::clone(&wait), Arc::clone(&end), first.clone(), rest.clone());
        async move {
            let _ = socket.write_all(head.as_bytes()).await;
            let _ = socket.write_all(&first).await;
            wait.notified().await;
            end.store(true, Ordering::SeqCst);
            let _ = socket.write_all(&rest).await;
        }
    })
    .await;
    (origin, go_on, finished)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_part_reaches_the_visitor_while_the_origin_holds_the_rest() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let (origin, go_on, finished) =
        in_two_parts(head, b"data: one\n\n".to_vec(), b"data: two\n\n".to_vec()).await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    wire.hears("data: one").await;
    assert!(!finished.load(Ordering::SeqCst));
    go_on.notify_one();
    assert_eq!(wire.answer("GET").await.text(), "data: one\n\ndata: two\n\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_rewritten_bytes_leave_before_the_origin_has_finished() {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close\r\n\r\n";
    let first = "<!doctype html><title>Shop</title><script src=\"https://ads.acme.example/p.js\"></script><p>first</p>";
    let (origin, go_on, finished) =
        in_two_parts(head, first.into(), b"<p>second</p>".to_vec()).await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    wire.hears("<p>first</p>").await;
    assert!(!finished.load(Ordering::SeqCst));
    go_on.notify_one();
    let page = wire.answer("GET").await;
    assert!(page.complete && page.text().contains("<p>second</p>"), "{}", page.text());
    assert!(!page.text().contains("ads.acme.example"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_a_page_that_says_its_charset_itself_streams_too() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n";
    for told in
        ["<!doctype html><meta charset=utf-8><title>Shop</title>", "\u{feff}<!doctype html>"]
    {
        let first = format!("{told}<p>first</p>");
        let (origin, go_on, finished) =
            in_two_parts(head, first.into(), "<p>caf\u{e9}</p>".into()).await;
        let proxy = consentry(&origin).start().await;
        let mut wire = Wire::to(proxy.address).await;
        wire.says("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        wire.hears("<p>first</p>").await;
        assert!(!finished.load(Ordering::SeqCst), "{told}");
        go_on.notify_one();
        let page = wire.answer("GET").await;
        assert!(page.complete && page.text().contains("<p>caf\u{e9}</p>"), "{}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_a_compressed_page_streams_too() {
    let first =
        b"<!doctype html><title>Shop</title><img src=https://ads.acme.example/i.gif><p>first</p>";
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd, Coding::Deflate] {
        let mut encoder = Encoder::new(coding).unwrap();
        encoder.write(first).unwrap();
        encoder.flush().unwrap();
        let begun = encoder.take();
        encoder.write(b"<p>second</p>").unwrap();
        let rest = encoder.finish().unwrap();
        let head = match coding {
            Coding::Gzip => {
                "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-encoding: gzip\r\n\r\n"
            }
            Coding::Brotli => {
                "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-encoding: br\r\n\r\n"
            }
            Coding::Zstd => {
                "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-encoding: zstd\r\n\r\n"
            }
            _ => {
                "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-encoding: deflate\r\n\r\n"
            }
        };
        let (origin, go_on, finished) = in_two_parts(head, begun, rest).await;
        let proxy = consentry(&origin).start().await;
        let mut wire = Wire::to(proxy.address).await;
        wire.says("GET / HTTP/1.0\r\nhost: a\r\naccept-encoding: gzip, br, zstd, deflate\r\n\r\n")
            .await;
        wire.hears("\r\n\r\n").await;
        let start = wire.heard().windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let mut decoder = Decoder::new(coding).unwrap();
        let (mut text, mut decoded) = (Vec::new(), start);
        while !text.windows(5).any(|window| window == b"first") {
            text.extend(decoder.write(&wire.heard()[decoded..]).unwrap());
            decoded = wire.heard().len();
            if !text.windows(5).any(|window| window == b"first") {
                wire.more().await;
            }
        }
        assert!(!finished.load(Ordering::SeqCst), "{coding:?}");
        go_on.notify_one();
        wire.end().await;
        text.extend(decoder.write(&wire.heard()[decoded..]).unwrap());
        text.extend(decoder.finish().unwrap());
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("<p>second</p>") && !text.contains("ads.acme.example"),
            "{coding:?} {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_a_visitor_who_does_not_read_stops_the_origin() {
    for kind in ["text/html; charset=utf-8", "application/octet-stream"] {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let origin = raw_origin(move |mut socket, _| {
            let count = Arc::clone(&count);
            async move {
                let _ = socket
                    .write_all(
                        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n").as_bytes(),
                    )
                    .await;
                let piece = "<p>more and more</p>".repeat(1000);
                while socket.write_all(piece.as_bytes()).await.is_ok() {
                    count.fetch_add(piece.len(), Ordering::SeqCst);
                }
            }
        })
        .await;
        let proxy = consentry(&origin).start().await;
        let mut wire = Wire::to(proxy.address).await;
        wire.says("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut before = usize::MAX;
        while before != sent.load(Ordering::SeqCst) || before == 0 {
            before = sent.load(Ordering::SeqCst);
            assert!(
                before < 100_000_000,
                "{kind}: {before} bytes were taken and nobody reads them"
            );
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_arrives_whole_in_both_directions() {
    let large: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 8).to_le_bytes())
        .collect();
    let origin = origin()
        .answer("/", |seen| {
            http::Response::builder()
                .header("content-type", "image/png")
                .body(http_body_util::Full::from(seen.body))
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    let head = format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", large.len());
    wire.says([head.as_bytes(), &large].concat()).await;
    let got = wire.answer("PUT").await;
    assert!(got.complete && got.body == large, "{} bytes", got.body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_leaves_halfway_is_still_on_record() {
    let left = Arc::new(Notify::new());
    let tell = Arc::clone(&left);
    let origin = raw_origin(move |mut socket, _| {
        let tell = Arc::clone(&tell);
        async move {
            let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\n\r\n<p>x</p><script src=//ads.acme.example/a.js></script><p>first</p>";
            let _ = socket.write_all(page.as_bytes()).await;
            // Until the proxy hangs up.
            let _ = socket.read(&mut [0; 16]).await;
            tell.notify_one();
        }
    })
    .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    wire.hears("<p>first</p>").await;
    drop(wire);
    tokio::time::timeout(PATIENCE, left.notified()).await.expect("the origin goes on for nobody");
    let mut ledger = proxy.ledger().await;
    for _ in 0..300 {
        if !ledger.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        ledger = proxy.ledger().await;
    }
    assert_eq!(ledger, ["block marketing Acme Ads script ads.acme.example/a.js"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_gets_the_next_page_after_a_slow_one() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let proxy = consentry(&origin).start().await;
    let mut slow = Wire::to(proxy.address).await;
    slow.says("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nx").await;
    // Somebody else's half request holds nobody up.
    assert_eq!(visitor(&proxy).opens("/").await.status, 200);
    slow.says("xxxx").await;
    assert_eq!(slow.answer("POST").await.status, 200);
}
