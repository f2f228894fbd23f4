//! HTTP/2 towards visitors: what a browser does with it.

use crate::harness::{Proxy, consentry, origin, raw_origin};
use crate::http2_wire::{
    DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Outcome, connect, fields, frame, get,
};
use crate::tls::Authority;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

const PATIENCE: Duration = Duration::from_secs(30);

/// A browser's side of a connection.
pub(crate) async fn browser(authority: &Authority, proxy: &Proxy) -> SendRequest<Full<Bytes>> {
    let stream = connect(authority, proxy.address).await;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

fn asks(path: &str) -> http::request::Builder {
    Request::builder().uri(format!("https://shop.example{path}"))
}

/// RFC 6455, 4.2.2.
fn accepts(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    STANDARD.encode(digest)
}

async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_browser_gets_its_pages_over_http2() {
    let authority = Authority::signing("shop.example");
    let origin = origin()
        .page("/", "<p>Hello</p><script src=//ads.acme.example/a.js></script>")
        .start()
        .await;
    let proxy = consentry(&origin).config(&authority.listener()).start().await;
    let mut browser = browser(&authority, &proxy).await;
    let request = asks("/?q=1")
        .header("cookie", "sid=1")
        .header("cookie", "cart=2")
        .body(Full::default())
        .unwrap();
    let response = browser.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(
        response.headers().contains_key("date") && response.headers()["via"] == "1.1 consentry"
    );
    let page = text(response).await;
    assert!(page.starts_with("<p>Hello</p>") && !page.contains("ads.acme.example"), "{page}");

    let seen = &origin.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/?q=1"));
    assert_eq!(seen.headers["via"], "2.0 consentry", "rfc9110 7.6.3");
    assert_eq!(seen.headers["x-forwarded-proto"], "https");
    let all = |name: &str| -> Vec<&str> {
        seen.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    };
    assert_eq!(all("host"), ["shop.example"], "rfc9113 8.3.1");
    assert_eq!(all("cookie"), ["sid=1; cart=2"], "rfc9113 8.2.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_a_choice_made_over_http2_counts() {
    let authority = Authority::signing("shop.example");
    let page = "<p>Hello</p><script src=//ads.acme.example/a.js></script>";
    let origin = origin().page("/", page).start().await;
    let proxy = consentry(&origin).config(&authority.listener()).start().await;
    let mut browser = browser(&authority, &proxy).await;
    let request = asks("/.consentry/choices")
        .method(Method::POST)
        .header("origin", "https://shop.example")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from("choice=all&return_to=%2F"))
        .unwrap();
    let chosen = browser.send_request(request).await.unwrap();
    assert_eq!(chosen.status(), StatusCode::SEE_OTHER);
    let cookie = chosen.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let request = asks("/").header("cookie", cookie).body(Full::default()).unwrap();
    let granted = text(browser.send_request(request).await.unwrap()).await;
    assert!(granted.contains("ads.acme.example/a.js"), "{granted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_exchanges_go_side_by_side_and_none_gets_anothers_answer() {
    let authority = Authority::signing("shop.example");
    let origin = (0..60)
        .fold(origin(), |origin, number| {
            origin.answer(&format!("/{number}.css"), move |_| {
                Response::builder()
                    .header("content-type", "text/css")
                    .body(Full::from(format!("/* {number} */").repeat(5000)))
                    .unwrap()
            })
        })
        .start()
        .await;
    let proxy = consentry(&origin).config(&authority.listener()).start().await;
    let mut browser = browser(&authority, &proxy).await;
    let mut under_way = Vec::new();
    for number in 0..300 {
        let request = asks(&format!("/{}.css", number % 60)).body(Full::default()).unwrap();
        browser.ready().await.unwrap();
        under_way.push((number % 60, tokio::spawn(browser.send_request(request))));
    }
    for (number, answer) in under_way {
        let answer = text(answer.await.unwrap().unwrap()).await;
        assert_eq!(answer, format!("/* {number} */").repeat(5000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_websocket_passes_over_http2() {
    let authority = Authority::signing("shop.example");
    let origin = raw_origin(|mut socket, head| async move {
        let key = head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with("sec-websocket-key"))
            .and_then(|line| line.split_once(": "))
            .map_or("", |(_, key)| key);
        let accept = accepts(key);
        let upgrades = head.starts_with("GET /chat ")
            && head.to_ascii_lowercase().contains("upgrade: websocket");
        let answer = match upgrades {
            true => format!(
                "HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\nhello"
            ),
            false => "HTTP/1.1 404 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
        };
        let _ = socket.write_all(answer.as_bytes()).await;
        let mut buffer = [0; 64];
        while let Ok(length @ 1..) = socket.read(&mut buffer).await {
            let _ = socket.write_all(&buffer[..length].to_ascii_uppercase()).await;
        }
    })
    .await;
    let proxy = consentry(&origin).config(&authority.listener()).start().await;
    let stream = connect(&authority, proxy.address).await;
    let (mut browser, connection) = hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(
        TokioExecutor::new(),
        TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    // The settings that allow it (RFC 8441, 3) come before the first answer.
    let first = browser.send_request(asks("/").body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(first.status(), 404);
    let request = |path: &str| {
        asks(path)
            .method(Method::CONNECT)
            .header("sec-websocket-version", "13")
            .extension(Protocol::from_static("websocket"))
            .body(Empty::new())
            .unwrap()
    };
    let refused = browser.send_request(request("/other")).await.unwrap();
    assert_eq!(refused.status(), 404);
    let mut agreed = browser.send_request(request("/chat")).await.unwrap();
    assert_eq!(agreed.status(), 200, "rfc8441 5");
    assert!(!agreed.headers().contains_key("sec-websocket-accept"));
    let socket = hyper::upgrade::on(&mut agreed).await.unwrap();
    let mut socket = TokioIo::new(socket);
    let mut heard = [0; 5];
    socket.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
    socket.write_all(b"there").await.unwrap();
    socket.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"THERE");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_never_looks_whole_to_the_visitor_or_the_origin() {
    let authority = Authority::signing("shop.example");
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&bodies);
    let origin = raw_origin(move |mut socket, head| {
        let log = Arc::clone(&log);
        async move {
            if head.starts_with("GET") {
                let half =
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/css\r\ncontent-length: 100\r\n\r\nhalf";
                let _ = socket.write_all(half).await;
                return;
            }
            let mut body = head.into_bytes();
            let _ = socket.read_to_end(&mut body).await;
            log.lock().unwrap().push(String::from_utf8(body).unwrap());
        }
    })
    .await;
    let proxy = consentry(&origin).config(&authority.listener()).start().await;
    let mut browser = browser(&authority, &proxy).await;
    let response =
        browser.send_request(asks("/x.css").body(Full::default()).unwrap()).await.unwrap();
    assert!(response.into_body().collect().await.is_err(), "a cut body ends like a whole one");

    for (fields, end) in [(&b"5"[..], END_STREAM), (b"50", 0)] {
        let mut frames = Frames::to(&authority, &proxy).await;
        let post: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", b"/"),
            (b":authority", b"shop.example"),
            (b"content-length", fields),
        ];
        let head = frame(HEADERS, END_HEADERS, 1, &crate::http2_wire::fields(&post));
        let posted = || origin.seen().iter().filter(|seen| seen.method == "POST").count();
        let before = posted();
        frames.says(&head).await;
        frames.says(&frame(DATA, end, 1, b"abc")).await;
        if end == 0 {
            let since = Instant::now();
            while posted() == before {
                assert!(since.elapsed() < PATIENCE, "the origin is not asked");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            drop(frames);
        } else {
            let outcome = frames.outcome(1, PATIENCE).await;
            assert_ne!(outcome, Outcome::Status(200));
        }
    }
    let since = Instant::now();
    while bodies.lock().unwrap().is_empty() {
        assert!(since.elapsed() < PATIENCE, "the origin never saw the half body");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for body in bodies.lock().unwrap().iter() {
        let (head, body) = body.split_once("\r\n\r\n").unwrap();
        let whole = body.ends_with("0\r\n\r\n")
            || head.contains(&format!("content-length: {}", body.len()));
        assert!(!whole, "{head} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_finishes_what_is_under_way_over_http2_too() {
    let authority = Authority::signing("shop.example");
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tells, waits) = (Arc::clone(&begun), Arc::clone(&go_on));
    let origin = raw_origin(move |mut socket, _| {
        let (tells, waits) = (Arc::clone(&tells), Arc::clone(&waits));
        async move {
            tells.notify_one();
            waits.notified().await;
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let proxy = consentry(&origin).config(&authority.listener()).start().await;
    let mut frames = Frames::to(&authority, &proxy).await;
    frames.says(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/a.css", &[]))).await;
    begun.notified().await;
    let stopping = tokio::spawn(proxy.stop());
    let mut farewell = false;
    let mut answered = false;
    while let Some(frame) = frames.next().await {
        farewell |= frame.kind == GOAWAY;
        if farewell {
            go_on.notify_one();
        }
        answered |= frame.kind == DATA && frame.payload == b"ok";
    }
    assert!(farewell && answered);
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_asks_nothing_is_ended() {
    let authority = Authority::signing("shop.example");
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let proxy = consentry(&origin)
        .config(&authority.listener())
        .config("[timeouts]\nrequest_head_s = 1\nvisitor_idle_s = 2")
        .start()
        .await;
    let mut silent = Frames::silent(&authority, &proxy).await;
    let mut polite = Frames::to(&authority, &proxy).await;
    let mut used = Frames::to(&authority, &proxy).await;
    used.says(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/", &[]))).await;
    assert_eq!(used.outcome(1, PATIENCE).await, Outcome::Status(200));
    // A head that never ends.
    let mut slow = Frames::to(&authority, &proxy).await;
    slow.says(&frame(HEADERS, END_STREAM, 1, &fields(&[(b":method", b"GET")]))).await;
    for (frames, name) in
        [(&mut silent, "silent"), (&mut polite, "polite"), (&mut used, "used"), (&mut slow, "slow")]
    {
        assert!(frames.ends(PATIENCE).await, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_rests_over_http2_makes_room_for_others() {
    const MOST: usize = 16;
    let authority = Authority::signing("shop.example");
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    // Over an eighth of the room is kept for those who come.
    let config = format!("[limits]\nconnections = {MOST}\n{}\nworkers = 1", authority.listener());
    let proxy = consentry(&origin).config(&config).start().await;
    let mut hoard = Vec::new();
    for number in 0..3 * MOST {
        let mut visitor = browser(&authority, &proxy).await;
        let response = visitor.send_request(asks("/").body(Full::default()).unwrap()).await;
        assert!(text(response.unwrap()).await.starts_with("<p>Hello</p>"), "visitor {number}");
        hoard.push(visitor);
        let begun = Instant::now();
        let open = |hoard: &[SendRequest<_>]| hoard.iter().filter(|one| !one.is_closed()).count();
        while open(&hoard) > MOST - MOST / 8 {
            assert!(begun.elapsed() < PATIENCE, "{} are open", open(&hoard));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
