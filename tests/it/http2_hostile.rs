//! HTTP/2 from visitors who mean no good: what would become something else in
//! HTTP/1.1, what breaks the protocol, and what only makes work.

use crate::harness::{Origin, Proxy, consentry, origin, raw_origin, visitor_at};
use crate::http2_wire::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Outcome, PING,
    PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, fields, frame, get,
};
use crate::tls::Authority;

use http::Response;
use http_body_util::Full;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(30);

type Field = (&'static [u8], &'static [u8]);

/// Everything that an origin read, one text a connection.
struct Heard(Arc<Mutex<Vec<Vec<u8>>>>);

/// An origin that answers everything and keeps every byte.
async fn listening() -> (Origin, Heard) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let origin = raw_origin(move |mut socket, head| {
        let log = Arc::clone(&log);
        async move {
            let index = {
                let mut log = log.lock().unwrap();
                log.push(head.into_bytes());
                log.len() - 1
            };
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let _ = socket.write_all(answer).await;
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(length @ 1..) = socket.read(&mut buffer).await {
                if let Some(heard) = log.lock().unwrap().get_mut(index) {
                    heard.extend_from_slice(&buffer[..length]);
                }
                let _ = socket.write_all(answer).await;
            }
        }
    })
    .await;
    (origin, Heard(heard))
}

impl Heard {
    fn text(&self) -> String {
        let heard = self.0.lock().unwrap();
        heard.iter().map(|bytes| bytes.escape_ascii().to_string()).collect::<Vec<_>>().join("\n")
    }
}

async fn shop(authority: &Authority, more: &str) -> (Origin, Heard, Proxy) {
    let (origin, heard) = listening().await;
    let proxy = consentry(&origin).config(&authority.listener()).config(more).start().await;
    (origin, heard, proxy)
}

const METHOD: Field = (b":method", b"GET");
const SCHEME: Field = (b":scheme", b"https");
const PATH: Field = (b":path", b"/x.css");
const AUTHORITY: Field = (b":authority", b"shop.example");

/// A GET with these fields behind its pseudo-fields.
fn with(more: &[Field]) -> Vec<Field> {
    [&[METHOD, SCHEME, PATH, AUTHORITY], more].concat()
}

/// A GET in which one pseudo-field is another one.
fn but(name: &'static [u8], value: &'static [u8]) -> Vec<Field> {
    [METHOD, SCHEME, PATH, AUTHORITY]
        .map(|field| if field.0 == name { (name, value) } else { field })
        .to_vec()
}

/// A GET without one pseudo-field.
fn without(name: &'static [u8]) -> Vec<Field> {
    [METHOD, SCHEME, PATH, AUTHORITY].into_iter().filter(|field| field.0 != name).collect()
}

/// Heads that must never be answered as if they were well-formed (RFC 9113,
/// 8.1 to 8.5).
fn malformed() -> Vec<(String, Vec<Field>)> {
    let mut all = Vec::new();
    for value in [
        &b"a\r\nx: 1"[..],
        b"a\nx: 1",
        b"a\rb",
        b"a\0b",
        b"\0",
        b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: shop.example\r\n\r\n",
        b" a",
        b"a ",
        b"\ta",
        b"a\t",
        b"\x7f",
        b"a\x1bb",
    ] {
        all.push((format!("value {value:?}"), with(&[(b"x-own", value)])));
    }
    for name in [
        &b"X-Own"[..],
        b"",
        b":",
        b":own",
        b"x own",
        b"x:own",
        b"x-own ",
        b" x-own",
        b"x\r\ny",
        b"x\ny",
        b"x\0y",
        b"x\xe4",
        b"x(",
        b"x/y",
        b"x\"",
        b"x\x7f",
    ] {
        all.push((format!("name {name:?}"), with(&[(name, b"1")])));
    }
    for (name, value) in [
        (&b"transfer-encoding"[..], &b"chunked"[..]),
        (b"transfer-encoding", b"identity"),
        (b"connection", b"close"),
        (b"connection", b"x-own"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"keep-alive"),
        (b"upgrade", b"h2c"),
        (b"upgrade", b"websocket"),
        (b"te", b"chunked"),
        (b"te", b"trailers, chunked"),
        (b"content-length", b"5"),
        (b"content-length", b""),
        (b"content-length", b"-1"),
        (b"content-length", b"+0"),
        (b"content-length", b"0x0"),
        (b"content-length", b"a"),
        (b"content-length", b"0, 0"),
        (b"content-length", b"18446744073709551616"),
        (b"host", b"other.example"),
        (b"host", b"shop.example:1"),
        (b"host", b""),
        (b":path", b"/late"),
        (b":authority", b"late.example"),
        (b":method", b"POST"),
        (b":status", b"200"),
        (b":unknown", b"1"),
    ] {
        let case = format!("{} {}", name.escape_ascii(), value.escape_ascii());
        all.push((case, with(&[(name, value)])));
    }
    all.push(("two lengths".into(), with(&[(b"content-length", b"0"), (b"content-length", b"0")])));
    all.push(("two hosts".into(), with(&[(b"host", b"shop.example"), (b"host", b"a.example")])));
    for path in [
        &b""[..],
        b"x.css",
        b"*",
        b"/a b",
        b"/a\r\nx: 1",
        b"/ HTTP/1.1\r\nhost: a.example\r\n\r\nGET /smuggled HTTP/1.1\r\nx: y",
        b"/a\0",
        b"/a\tb",
        b"http://other.example/",
        b"https://shop.example/x.css",
        b"?a",
        b"#",
        b"#/admin",
        b"# HTTP/1.1",
        b"shop.example:443",
        b"/a\x7fb",
    ] {
        all.push((format!("path {}", path.escape_ascii()), but(b":path", path)));
    }
    for method in [
        &b""[..],
        b"GET /smuggled HTTP/1.1\r\nx: y",
        b"GE T",
        b"G\0T",
        b"GET\r\n",
        b"(GET)",
        b"CONNECT",
        b"TRACE",
    ] {
        all.push((format!("method {}", method.escape_ascii()), but(b":method", method)));
    }
    for authority in [
        &b""[..],
        b"shop.example\r\nx: 1",
        b"shop.example x",
        b"shop.example/x",
        b"user@shop.example",
        b"user:pass@shop.example",
        b"shop.example?x",
        b"shop.example#x",
        b"shop.example:port",
        b"shop.example:99999",
        b"a.example,b.example",
        b"[::1",
        b"shop.example\0",
        b"<script>",
        b"http://shop.example",
        b"\xc3\xbc.example",
    ] {
        all.push((
            format!("authority {}", authority.escape_ascii()),
            but(b":authority", authority),
        ));
    }
    for scheme in
        [&b""[..], b"https\r\nx: 1", b"https://shop.example/?", b"ht tp", b"ftp", b"javascript"]
    {
        all.push((format!("scheme {}", scheme.escape_ascii()), but(b":scheme", scheme)));
    }
    for name in [&b":method"[..], b":scheme", b":path", b":authority"] {
        all.push((format!("no {}", name.escape_ascii()), without(name)));
        let twice = [&with(&[])[..], &[(name, b"https")]].concat();
        all.push((format!("{} late", name.escape_ascii()), twice));
        let doubled = [METHOD, SCHEME, PATH, AUTHORITY]
            .into_iter()
            .flat_map(|field| if field.0 == name { vec![field, field] } else { vec![field] })
            .collect();
        all.push((format!("{} twice", name.escape_ascii()), doubled));
    }
    let connect = |more: &[Field]| [&[(&b":method"[..], &b"CONNECT"[..])], more].concat();
    all.push(("connect".into(), connect(&[AUTHORITY])));
    all.push(("connect with a path".into(), connect(&[SCHEME, PATH, AUTHORITY])));
    for protocol in [&b"unknown"[..], b"h2c", b"connect-udp", b""] {
        let case = format!("connect for {}", protocol.escape_ascii());
        all.push((case, connect(&[(b":protocol", protocol), SCHEME, PATH, AUTHORITY])));
    }
    all.push(("protocol without connect".into(), with(&[(b":protocol", b"websocket")])));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_what_is_malformed_is_refused_and_no_origin_sees_it() {
    let authority = Authority::signing("shop.example");
    let (_origin, heard, proxy) = shop(&authority, "").await;
    let cases = malformed();
    assert!(cases.len() >= 108, "{}", cases.len());
    let mut failures = Vec::new();
    for (name, head) in cases {
        let mut frames = Frames::to(&authority, &proxy).await;
        frames.says(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&head))).await;
        let outcome = frames.outcome(1, PATIENCE).await;
        let refused = match outcome {
            Outcome::Refused => true,
            Outcome::Status(status) => matches!(status, 400 | 405 | 421 | 501),
            Outcome::Silence => false,
        };
        if !refused || !heard.text().is_empty() {
            failures.push(format!("{name}: {outcome:?}, the origin heard {:?}", heard.text()));
            heard.0.lock().unwrap().clear();
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let mut frames = Frames::to(&authority, &proxy).await;
    frames.says(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/x.css", &[]))).await;
    assert_eq!(frames.outcome(1, PATIENCE).await, Outcome::Status(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_1_trailers_never_become_fields_of_the_request() {
    let authority = Authority::signing("shop.example");
    let post: Vec<Field> = vec![(b":method", b"POST"), SCHEME, PATH, AUTHORITY];
    for trailer in [
        (&b":path"[..], &b"/smuggled"[..]),
        (b"x-own", b"a\r\nx-smuggled: 1"),
        (b"content-length", b"3"),
        (b"transfer-encoding", b"chunked"),
        (b"host", b"smuggled.example"),
        (b"authorization", b"smuggled"),
        (b"cookie", b"smuggled=1"),
    ] {
        let (_origin, heard, proxy) = shop(&authority, "").await;
        let mut frames = Frames::to(&authority, &proxy).await;
        frames.says(&frame(HEADERS, END_HEADERS, 1, &fields(&post))).await;
        frames.says(&frame(DATA, 0, 1, b"abc")).await;
        let last = fields(&[trailer]);
        frames.says(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &last)).await;
        let _ = frames.outcome(1, PATIENCE).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let text = heard.text();
        let name = trailer.0.escape_ascii().to_string();
        assert!(!text.contains("smuggled"), "{name}: {text}");
        assert!(text.matches(r" HTTP/1.1\r\n").count() <= 1, "{name}: {text}");
        let framing = text.matches("content-length:").count()
            + text.to_ascii_lowercase().matches("transfer-encoding:").count();
        assert!(framing <= 1, "{name}: {text}");
    }
}

/// Sends a flood; it may end early, since the connection may.
async fn floods(frames: &mut Frames, piece: Vec<u8>, times: usize) {
    // In larger writes, as a flood comes.
    let batch = 50.min(times);
    let bytes = piece.repeat(batch);
    for _ in 0..times / batch {
        if !frames.says(&bytes).await {
            return;
        }
    }
}

fn opens(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/x.css", &[]))
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_end_the_connection_and_harm_nobody_else() {
    let authority = Authority::signing("shop.example");
    let (_origin, heard, proxy) = shop(&authority, "[limits]\nrequests_per_second = 0").await;
    let data_stream = [frame(HEADERS, END_HEADERS, 1, &fields(&with(&[]))), frame(DATA, 0, 1, b"")];
    let endless_head = frame(HEADERS, 0, 1, &fields(&with(&[])));
    let cases: Vec<(&str, Vec<u8>, Vec<u8>, usize)> = vec![
        ("settings", vec![], frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]), 20_000),
        ("empty settings", vec![], frame(SETTINGS, 0, 0, b""), 20_000),
        ("ping", vec![], frame(PING, 0, 0, &[0; 8]), 20_000),
        ("ping answers", vec![], frame(PING, ACK, 0, &[0; 8]), 20_000),
        ("priority", vec![], frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]), 20_000),
        ("unknown frames", vec![], frame(0xbe, 0, 0, b"x"), 20_000),
        ("empty data", data_stream[0].clone(), data_stream[1].clone(), 20_000),
        ("continuation", endless_head.clone(), frame(CONTINUATION, 0, 1, b""), 20_000),
        (
            "long continuation",
            endless_head,
            frame(CONTINUATION, 0, 1, &fields(&[(b"x-own", &[b'x'; 4000])])),
            5_000,
        ),
        ("goaway", vec![], frame(GOAWAY, 0, 0, &[0; 8]), 20_000),
    ];
    for (name, first, piece, times) in cases {
        let mut frames = Frames::to(&authority, &proxy).await;
        frames.says(&first).await;
        floods(&mut frames, piece, times).await;
        assert!(frames.ends(PATIENCE).await, "{name}: the connection goes on");
        others_are_served(&authority, &proxy, name).await;
    }
    heard.0.lock().unwrap().clear();
    for name in ["rapid reset", "made you reset"] {
        let mut frames = Frames::to(&authority, &proxy).await;
        for number in 0..20_000_u32 {
            let stream = number * 2 + 1;
            let reset = match name {
                "rapid reset" => frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
                _ => frame(WINDOW_UPDATE, 0, stream, &[0; 4]),
            };
            if !frames.says(&[opens(stream), reset].concat()).await {
                break;
            }
        }
        assert!(frames.ends(PATIENCE).await, "{name}: the connection goes on");
        others_are_served(&authority, &proxy, name).await;
        let asked = heard.text().matches("GET /x.css").count();
        assert!(asked < 2500, "{name}: the origin was asked {asked} times");
        heard.0.lock().unwrap().clear();
    }
}

async fn others_are_served(authority: &Authority, proxy: &Proxy, name: &str) {
    let begun = Instant::now();
    let mut frames = Frames::to(authority, proxy).await;
    frames.says(&opens(1)).await;
    assert_eq!(frames.outcome(1, PATIENCE).await, Outcome::Status(200), "after {name}");
    assert!(begun.elapsed() < PATIENCE, "after {name}: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_5_what_breaks_the_protocol_ends_the_connection() {
    let authority = Authority::signing("shop.example");
    let (_origin, heard, proxy) = shop(&authority, "").await;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a frame that is too long", frame(DATA, 0, 1, &[0; 16_385])),
        ("an even stream", opens(2)),
        ("a stream behind the last", [opens(5), opens(3)].concat()),
        ("a push from a client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
        ("a reset of nothing", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("data of nothing", frame(DATA, END_STREAM, 1, b"x")),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("settings on a stream", frame(SETTINGS, 0, 1, b"")),
        ("settings of odd length", frame(SETTINGS, 0, 0, b"x")),
        ("an acknowledgement with settings", frame(SETTINGS, ACK, 0, &[0, 4, 0, 0, 255, 255])),
        ("a window beyond what there is", frame(SETTINGS, 0, 0, &[0, 4, 255, 255, 255, 255])),
        ("a frame size below the least", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])),
        ("push that is neither on nor off", frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])),
        ("a ping on a stream", frame(PING, 0, 1, &[0; 8])),
        ("a ping of odd length", frame(PING, 0, 0, &[0; 7])),
        ("a goaway on a stream", frame(GOAWAY, 0, 1, &[0; 8])),
        ("a window of the connection that is full", {
            frame(WINDOW_UPDATE, 0, 0, &[127, 255, 255, 255])
        }),
        ("an update by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, b"")),
        ("something within a head", {
            [frame(HEADERS, 0, 1, &fields(&with(&[]))), frame(PING, 0, 0, &[0; 8])].concat()
        }),
        ("data on the connection", frame(DATA, 0, 0, b"x")),
        ("a head on the connection", frame(HEADERS, END_HEADERS, 0, &fields(&with(&[])))),
        ("fields that are none", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 20])),
        ("padding beyond the frame", frame(DATA, 8, 0, &[255, 0])),
    ];
    let mut failures = Vec::new();
    for (name, bytes) in cases {
        let mut frames = Frames::to(&authority, &proxy).await;
        frames.says(&bytes).await;
        if !frames.ends(PATIENCE).await {
            failures.push(name);
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
    let mut frames = Frames::silent(&authority, &proxy).await;
    frames.says(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
    assert!(frames.ends(PATIENCE).await, "a preface that is none");
    let asked = heard.text().matches("GET /x.css").count();
    assert!(asked <= 1, "only the stream before the backward one is a request, not {asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_streams_than_are_announced_reach_the_origin() {
    let authority = Authority::signing("shop.example");
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let origin = raw_origin(move |socket, _| {
        *count.lock().unwrap() += 1;
        async move {
            std::future::pending::<()>().await;
            drop(socket);
        }
    })
    .await;
    let proxy = consentry(&origin).config(&authority.listener()).start().await;
    let mut frames = Frames::to(&authority, &proxy).await;
    for number in 0..3000 {
        frames.says(&opens(number * 2 + 1)).await;
    }
    assert_eq!(frames.outcome(2001, PATIENCE).await, Outcome::Refused);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = *asked.lock().unwrap();
    assert!(asked <= 110, "{asked} exchanges at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_not_spoken_where_it_was_not_agreed() {
    let (origin, heard) = listening().await;
    let proxy = consentry(&origin).start().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let got = crate::harness::raw(proxy.address, preface).await;
    assert!(got.is_empty() || got.starts_with(b"HTTP/1.1 4") || got.starts_with(b"HTTP/1.1 505"));
    assert!(heard.text().is_empty(), "{}", heard.text());
    assert_eq!(visitor_at(proxy.address).opens("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_1_only_its_end_ends_a_body() {
    let authority = Authority::signing("shop.example");
    let (_origin, heard, proxy) = shop(&authority, "").await;
    let mut frames = Frames::to(&authority, &proxy).await;
    let post: Vec<Field> = vec![(b":method", b"POST"), SCHEME, PATH, AUTHORITY];
    for stream in (1..20).step_by(4) {
        frames.says(&frame(HEADERS, END_HEADERS, stream, &fields(&post))).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        // NO_ERROR: some take it for an end.
        let rest = [frame(DATA, 0, stream, b"half"), frame(RST_STREAM, 0, stream, &[0; 4])];
        frames.says(&rest.concat()).await;
        let next = stream + 2;
        let head = get("/x.css", &[]);
        frames.says(&frame(HEADERS, END_HEADERS | END_STREAM, next, &head)).await;
        assert_eq!(frames.outcome(next, PATIENCE).await, Outcome::Status(200));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let text = heard.text();
    assert!(text.contains("POST /x.css") && !text.contains(r"\r\n0\r\n\r\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_fields_holds_over_http2_and_cookies_are_one() {
    let authority = Authority::signing("shop.example");
    let (_origin, _heard, proxy) = shop(&authority, "").await;
    let many = |field: Field, count: usize| with(&vec![field; count]);
    for (name, head, expected) in [
        ("many fields", many((b"x-own", b"1"), 120), 431),
        ("a cookie in many pieces", many((b"cookie", b"a=1"), 120), 200),
        ("some fields", many((b"x-own", b"1"), 90), 200),
    ] {
        let mut frames = Frames::to(&authority, &proxy).await;
        frames.says(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&head))).await;
        assert_eq!(frames.outcome(1, PATIENCE).await, Outcome::Status(expected), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_heads_may_come_again_and_again() {
    let authority = Authority::signing("shop.example");
    let (_origin, _heard, proxy) = shop(&authority, "").await;
    let long = "x".repeat(39_000);
    let head = get("/x.css", &[(b"x-own", long.as_bytes())]);
    let parts: Vec<&[u8]> = head.chunks(16_384).collect();
    let mut frames = Frames::to(&authority, &proxy).await;
    for number in 0..70 {
        let stream = number * 2 + 1;
        for (index, part) in parts.iter().enumerate() {
            let kind = if index == 0 { HEADERS } else { CONTINUATION };
            let end = if index + 1 == parts.len() { END_HEADERS } else { 0 };
            let ends = if index == 0 { end | END_STREAM } else { end };
            frames.says(&frame(kind, ends, stream, part)).await;
        }
        assert_eq!(frames.outcome(stream, PATIENCE).await, Outcome::Status(200), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_taken_is_let_go_while_others_go_on() {
    let authority = Authority::signing("shop.example");
    let large = |_| Response::new(Full::from("x".repeat(1_000_000)));
    let small = |_| Response::new(Full::from("ok"));
    let origin = origin().answer("/large", large).answer("/x.css", small).start().await;
    let config = format!("{}\n[timeouts]\nvisitor_stall_s = 2", authority.listener());
    let proxy = consentry(&origin).config(&config).start().await;
    let begun = Instant::now();
    while !lets_go_of_one(&authority, &proxy).await {
        assert!(begun.elapsed() < PATIENCE, "only whole connections end");
    }
}

/// Whether a stream is reset that is not taken, while others on its connection
/// are answered. A test that is kept waiting for a second takes nothing at all.
async fn lets_go_of_one(authority: &Authority, proxy: &Proxy) -> bool {
    let mut frames = Frames::to(authority, proxy).await;
    // Nothing of any answer's body is taken.
    frames.says(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    let head = get("/large", &[]);
    frames.says(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
    let ask = fields(&[(b":method", b"HEAD"), SCHEME, PATH, AUTHORITY]);
    let begun = Instant::now();
    let (mut stream, mut answered, mut is_reset) = (1, 0, false);
    while !(is_reset && answered > 2) {
        assert!(begun.elapsed() < PATIENCE, "answered: {answered}, reset: {is_reset}");
        stream += 2;
        frames.says(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &ask)).await;
        let listen = async {
            while let Some(frame) = frames.next().await {
                is_reset |= frame.kind == RST_STREAM && frame.stream == 1;
                answered += usize::from(frame.kind == HEADERS && frame.stream > 1);
            }
        };
        if tokio::time::timeout(Duration::from_millis(100), listen).await.is_ok() {
            return false;
        }
    }
    true
}
