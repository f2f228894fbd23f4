//! Connections of visitors between two exchanges, when nothing but the socket
//! is kept of them.

use crate::harness::{Origin, Proxy, consentry, origin, raw_origin};
use crate::tls::Authority;
use crate::wire::{End, PATIENCE, Wire};

use rustls::pki_types::ServerName;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than a connection has to rest until it is parked.
async fn rests() {
    tokio::time::sleep(Duration::from_millis(1500)).await;
}

async fn shop() -> Origin {
    origin().page("/", "<p>Hello</p>").start().await
}

async fn patient(origin: &Origin, more: &str) -> Proxy {
    let config = format!("[timeouts]\nrequest_head_s = 1\nvisitor_idle_s = 8\n{more}");
    consentry(origin).config(&config).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_rested_goes_on_and_ends_in_its_time() {
    let origin = shop().await;
    let proxy = patient(&origin, "").await;
    let mut wire = Wire::to(proxy.address).await;
    for _ in 0..3 {
        assert_eq!(wire.asks("GET", "/", "").await.text().matches("<p>Hello</p>").count(), 1);
        rests().await;
    }
    assert_eq!(wire.end().await, End::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_rests_over_tls_too() {
    let authority = Authority::signing("shop.example");
    let origin = shop().await;
    let proxy = patient(&origin, &authority.listener()).await;
    let socket = TcpStream::connect(proxy.address).await.unwrap();
    let name = ServerName::try_from("shop.example").unwrap();
    let mut wire = Wire::over(authority.connector().connect(name, socket).await.unwrap());
    for _ in 0..3 {
        assert_eq!(wire.asks("GET", "/", "").await.status, 200);
        rests().await;
    }
    assert_eq!(wire.end().await, End::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_began_before_the_rest_is_whole() {
    let origin = shop().await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    assert_eq!(wire.asks("GET", "/", "").await.status, 200);
    wire.says("GET / HTTP/1.1\r\nho").await;
    rests().await;
    wire.says("st: shop.example\r\n\r\nGET /no HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
    assert_eq!(wire.answer("GET").await.status, 200);
    assert_eq!(wire.answer("GET").await.status, 404);
    rests().await;
    assert_eq!(wire.asks("GET", "/", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_stops_arriving_after_a_rest_is_not_waited_for_either() {
    let origin = shop().await;
    let times = "[timeouts]\nrequest_head_s = 1\nvisitor_idle_s = 300";
    let proxy = consentry(&origin).config(times).start().await;
    let mut wire = Wire::to(proxy.address).await;
    assert_eq!(wire.asks("GET", "/", "").await.status, 200);
    rests().await;
    let begun = std::time::Instant::now();
    wire.says("GET / HTTP/1.1\r\nho").await;
    wire.end().await;
    assert!(begun.elapsed() < 2 * PATIENCE, "it was given the time of a rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_body_is_never_a_request() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    // It answers without waiting for the body.
    let origin = raw_origin(move |mut socket, head| {
        let log = Arc::clone(&log);
        async move {
            log.lock().unwrap().push(head);
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
    })
    .await;
    for length in ["content-length: 64", "transfer-encoding: chunked"] {
        // Of its own: the origin says nothing more on a connection it answered on.
        let proxy = consentry(&origin).start().await;
        let mut wire = Wire::to(proxy.address).await;
        wire.says(format!("POST / HTTP/1.1\r\nhost: shop.example\r\n{length}\r\n\r\n")).await;
        assert_eq!(wire.answer("POST").await.status, 200);
        rests().await;
        // As long as the body that was announced.
        wire.says("GET /smuggled HTTP/1.1\r\nhost: shop.example\r\nx: 1234567890123\r\n\r\n").await;
        rests().await;
    }
    let heard = heard.lock().unwrap().join("\n");
    assert_eq!(heard.matches("POST / ").count(), 2, "{heard}");
    assert!(!heard.contains("/smuggled"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_websocket_begins_on_a_connection_that_rested() {
    let origin = raw_origin(|mut socket, head| async move {
        if !head.to_ascii_lowercase().contains("upgrade: websocket") {
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            let _ = socket.write_all(answer).await;
            return;
        }
        let switched = b"HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nhello";
        let _ = socket.write_all(switched).await;
        let mut buffer = [0; 64];
        while let Ok(length @ 1..) = socket.read(&mut buffer).await {
            let _ = socket.write_all(&buffer[..length].to_ascii_uppercase()).await;
        }
    })
    .await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    assert_eq!(wire.asks("GET", "/x.css", "").await.status, 200);
    rests().await;
    // What is said before the answer is there belongs to the WebSocket.
    wire.says(
        "GET /chat HTTP/1.1\r\nhost: shop.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n\r\nearly",
    )
    .await;
    assert_eq!(wire.answer("GET").await.status, 101);
    assert_eq!(wire.takes(10).await, b"helloEARLY");
    rests().await;
    wire.says("late").await;
    assert_eq!(wire.takes(4).await, b"LATE");
}
