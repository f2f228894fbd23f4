//! What RFC 9110, 9112, 6265 and 7239 ask of everybody in the middle. Each
//! test is named by its section.

use crate::harness::{Origin, Proxy, Seen, consentry, origin, raw_origin, visitor};
use crate::wire::{End, Wire};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PLAIN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n";

fn plain(body: &str) -> Response<Full<Bytes>> {
    let response = Response::builder().header("content-type", "text/plain");
    response.body(Full::from(body.to_owned())).unwrap()
}

/// An origin for plain answers, and a proxy in front of it.
async fn pair() -> (Origin, Proxy) {
    let origin = origin().answer("/", |_| plain("hi")).answer("*", |_| plain("all")).start().await;
    let proxy = consentry(&origin).site("address_truncated = false").start().await;
    (origin, proxy)
}

/// What the origin sees of a request in raw bytes.
async fn seen(origin: &Origin, proxy: &Proxy, request: &str) -> Seen {
    let mut wire = Wire::to(proxy.address).await;
    wire.says(request).await;
    let got = wire.answer(request.split(' ').next().unwrap_or_default()).await;
    assert_eq!(got.status, 200, "{request}: {} {}", got.head, got.text());
    origin.seen().pop().unwrap()
}

fn all(seen: &Seen, name: &str) -> Vec<String> {
    let values = seen.headers.get_all(name).iter();
    values.map(|value| value.as_bytes().escape_ascii().to_string()).collect()
}

/// A proxy in front of an origin that says these bytes and closes.
async fn in_front_of(answer: String) -> (Origin, Proxy) {
    let origin = raw_origin(move |mut socket, _| {
        let answer = answer.clone();
        async move {
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    })
    .await;
    let proxy = consentry(&origin).start().await;
    (origin, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_6_1_fields_named_by_connection_go() {
    let (origin, proxy) = pair().await;
    let named = "GET / HTTP/1.1\r\nhost: a\r\nconnection: x-one, Authorization\r\nconnection: x-two,close\r\n\
        x-one: 1\r\nX-Two: 2\r\nauthorization: Basic eA==\r\nx-three: 3\r\n\r\n";
    let seen = seen(&origin, &proxy, named).await;
    for gone in ["connection", "x-one", "x-two", "authorization", "close"] {
        assert_eq!(all(&seen, gone), Vec::<String>::new(), "{gone}");
    }
    assert_eq!(all(&seen, "x-three"), ["3"]);
    let (_origin, proxy) =
        in_front_of(format!("{PLAIN}connection: close, X-One\r\nx-one: 1\r\nx-two: 2\r\n\r\nhi"))
            .await;
    let got = Wire::to(proxy.address).await.asks("GET", "/", "").await;
    assert_eq!((got.field("x-one"), got.field("connection")), (None, None), "{}", got.head);
    assert_eq!(got.field("x-two").as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_6_1_the_usual_fields_of_a_connection_go() {
    let (origin, proxy) = pair().await;
    let usual = "GET / HTTP/1.1\r\nhost: a\r\nkeep-alive: max=1\r\nproxy-connection: keep-alive\r\nte: gzip\r\n\
        trailer: x\r\nupgrade: h2c\r\nproxy-authorization: Basic eA==\r\n\r\n";
    let seen = seen(&origin, &proxy, usual).await;
    for gone in
        ["keep-alive", "proxy-connection", "te", "trailer", "upgrade", "proxy-authorization"]
    {
        assert_eq!(all(&seen, gone), Vec::<String>::new(), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_6_2_max_forwards_is_counted() {
    let (origin, proxy) = pair().await;
    let asks = |method: &str, left: &str| {
        format!("{method} / HTTP/1.1\r\nhost: a\r\nmax-forwards: {left}\r\n\r\n")
    };
    for (left, expected) in [("5", "4"), ("1", "0"), ("nonsense", "nonsense")] {
        let seen = seen(&origin, &proxy, &asks("OPTIONS", left)).await;
        assert_eq!(all(&seen, "max-forwards"), [expected]);
    }
    let before = origin.seen().len();
    for method in ["OPTIONS", "TRACE"] {
        let mut wire = Wire::to(proxy.address).await;
        wire.says(asks(method, "0")).await;
        let got = wire.answer(method).await;
        assert!(got.field("allow").unwrap().contains("options"), "{}", got.head);
        assert!(matches!(got.status, 200 | 204 | 405), "{method}: {}", got.head);
    }
    assert_eq!(origin.seen().len(), before, "what ends here does not get there");
    let seen = seen(&origin, &proxy, &asks("GET", "0")).await;
    assert_eq!(all(&seen, "max-forwards"), ["0"], "for other methods it means nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_6_3_via_is_added_in_both_directions() {
    let (origin, proxy) = pair().await;
    let with = |version: &str, via: &str| format!("GET / HTTP/{version}\r\nhost: a\r\n{via}\r\n");
    let one = seen(&origin, &proxy, &with("1.1", "via: 1.0 fred, 1.1 p.example\r\n")).await;
    assert_eq!(all(&one, "via").join(", "), "1.0 fred, 1.1 p.example, 1.1 consentry");
    let old = seen(&origin, &proxy, &with("1.0", "")).await;
    assert_eq!(all(&old, "via"), ["1.0 consentry"]);
    let (_origin, proxy) = in_front_of(
        "HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\nvia: 1.1 b\r\n\r\nhi".to_owned(),
    )
    .await;
    let got = Wire::to(proxy.address).await.asks("GET", "/", "").await;
    assert_eq!(got.field("via").as_deref(), Some("1.1 b, 1.0 consentry"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_8_an_upgrade_nobody_knows_gets_no_further() {
    let (origin, proxy) = pair().await;
    let asks = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: unheard/2\r\n\r\n";
    let seen = seen(&origin, &proxy, asks).await;
    assert!(all(&seen, "upgrade").is_empty() && all(&seen, "connection").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_2_5_and_6_2_the_version_is_that_of_this_hop() {
    let (origin, proxy) = pair().await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let got = wire.answer("GET").await;
    assert_eq!((got.status, wire.end().await), (200, End::Closed));
    assert_eq!(origin.seen().len(), 1);
    let lines = raw_origin(|mut socket, head| async move {
        let line = head.lines().next().unwrap_or_default().to_owned();
        let answer = format!("HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n{line}");
        let _ = socket.write_all(answer.as_bytes()).await;
    })
    .await;
    let proxy = consentry(&lines).start().await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET /x HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert_eq!(wire.answer("GET").await.text(), "GET /x HTTP/1.1");
    let got = Wire::to(proxy.address).await.asks("GET", "/x", "").await;
    assert!(got.head.starts_with("http/1.1 200"), "{}", got.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_5_1_and_5_3_unknown_fields_pass_in_their_order() {
    let (origin, proxy) = pair().await;
    let asks = "GET / HTTP/1.1\r\nhost: a\r\nx-new: 1\r\nx-other: a\r\nx-new: 2\r\nX-New: 3\r\naccept: a\r\naccept: b\r\n\r\n";
    let seen = seen(&origin, &proxy, asks).await;
    assert_eq!(
        (all(&seen, "x-new").join(","), all(&seen, "accept").join(",")),
        ("1,2,3".into(), "a,b".into())
    );
    let (_origin, proxy) = in_front_of(format!(
        "{PLAIN}x-new: 1\r\nx-other: a\r\nx-new: 2\r\nwarning: 1\r\nx-new: 3\r\n\r\nhi"
    ))
    .await;
    let got = Wire::to(proxy.address).await.asks("GET", "/", "").await;
    assert_eq!(got.field("x-new").as_deref(), Some("1, 2, 3"), "{}", got.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_6_6_1_an_answer_without_a_date_gets_one() {
    let (_origin, proxy) = in_front_of(format!("{PLAIN}\r\nhi")).await;
    let got = Wire::to(proxy.address).await.asks("GET", "/", "").await;
    let date = got.field("date").unwrap();
    assert!(date.ends_with(" gmt") && date.len() == 29, "{date}");
    const DATE: &str = "mon, 01 jan 2024 00:00:00 gmt";
    let (_origin, proxy) = in_front_of(format!("{PLAIN}date: {DATE}\r\n\r\nhi")).await;
    let got = Wire::to(proxy.address).await.asks("GET", "/", "").await;
    assert_eq!(got.field("date").as_deref(), Some(DATE));
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_9_1_methods_nobody_knows_pass() {
    let (origin, proxy) = pair().await;
    for method in ["PURGE", "PROPFIND", "M-SEARCH", "QUERY", "x-lower", "FOO"] {
        let seen = seen(&origin, &proxy, &format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(seen.method, method);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_9_3_2_head_is_answered_without_a_body() {
    let (_origin, proxy) = in_front_of(format!("{PLAIN}\r\nhi")).await;
    let mut wire = Wire::to(proxy.address).await;
    let got = wire.asks("HEAD", "/", "").await;
    assert_eq!((got.status, got.field("content-length").as_deref()), (200, Some("2")));
    assert_eq!(wire.asks("GET", "/", "").await.text(), "hi");
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_10_1_1_who_expects_is_told_and_who_is_old_is_not() {
    let echo = |seen: Seen| plain(std::str::from_utf8(&seen.body).unwrap());
    let origin = origin().answer("/", echo).start().await;
    let proxy = consentry(&origin).start().await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        .await;
    wire.hears("100 Continue\r\n\r\n").await;
    wire.says("hi").await;
    assert_eq!(wire.answer("POST").await.text(), "hi");
    assert_eq!(all(&origin.seen()[0], "expect"), ["100-continue"]);
    let mut old = Wire::to(proxy.address).await;
    old.says("POST / HTTP/1.0\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi")
        .await;
    let got = old.answer("POST").await;
    assert!(got.status == 200 && got.text() == "hi" && !got.head.contains("100"), "{}", got.head);
    assert_eq!(all(&origin.seen()[1], "expect"), Vec::<String>::new());
    // RFC 9110, 15.5.18: the origin's own answer comes through.
    let (_origin, proxy) =
        in_front_of("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n".to_owned())
            .await;
    let got = Wire::to(proxy.address)
        .await
        .asks("POST", "/", "expect: a-lot\r\ncontent-length: 0\r\n")
        .await;
    assert_eq!(got.status, 417);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_15_2_announcements_do_not_reach_who_is_old() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let (_origin, proxy) = in_front_of(format!("{hints}{PLAIN}\r\nhi")).await;
    let mut old = Wire::to(proxy.address).await;
    old.says("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert_eq!(old.end().await, End::Closed);
    let heard = String::from_utf8(old.heard().to_vec()).unwrap();
    assert!(
        heard.contains(" 200 OK") && !heard.contains("103") && !heard.contains("100 "),
        "{heard}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_6_5_1_trailers_never_become_fields() {
    let (origin, proxy) = pair().await;
    let asks = "POST / HTTP/1.1\r\nhost: a\r\ntrailer: authorization\r\ntransfer-encoding: chunked\r\n\r\n\
        2\r\nhi\r\n0\r\nauthorization: Basic eA==\r\ncontent-length: 9\r\nhost: b\r\nx-late: 1\r\n\r\n";
    let seen = seen(&origin, &proxy, asks).await;
    assert!(all(&seen, "authorization").is_empty() && all(&seen, "x-late").is_empty());
    assert_eq!((all(&seen, "host"), &seen.body[..]), (vec!["a".to_owned()], &b"hi"[..]));
    let chunks = "2\r\nhi\r\n0\r\nset-cookie: a=b\r\nx-late: 1\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    let (_origin, proxy) = in_front_of(format!("{head}{chunks}")).await;
    let got = Wire::to(proxy.address).await.asks("GET", "/", "").await;
    assert_eq!((got.text(), got.field("set-cookie"), got.field("x-late")), ("hi", None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_3_2_2_the_target_names_the_host() {
    let (origin, proxy) = pair().await;
    for (line, host, target) in [
        ("GET http://b.example:81/?x HTTP/1.1", "b.example:81", "/?x"),
        ("GET http://b.example HTTP/1.1", "b.example", "/"),
        ("GET http://b.example?x HTTP/1.1", "b.example", "/?x"),
    ] {
        let seen = seen(&origin, &proxy, &format!("{line}\r\nhost: a\r\n\r\n")).await;
        assert_eq!((all(&seen, "host"), seen.target.as_str()), (vec![host.to_owned()], target));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_3_2_a_request_without_host_is_none_even_where_its_target_names_one() {
    let (origin, proxy) = pair().await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET http://a/ HTTP/1.1\r\n\r\n").await;
    assert_eq!(wire.answer("GET").await.status, 400);
    let seen = seen(&origin, &proxy, "GET http://b.example/ HTTP/1.0\r\n\r\n").await;
    assert_eq!(all(&seen, "host"), ["b.example"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_8_who_speaks_http_1_0_switches_to_nothing() {
    let (origin, proxy) = pair().await;
    let asks = "GET / HTTP/1.0\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n\r\n";
    let seen = seen(&origin, &proxy, asks).await;
    assert!(all(&seen, "upgrade").is_empty() && all(&seen, "connection").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_3_2_4_options_for_a_host_alone_becomes_an_asterisk() {
    let (origin, proxy) = pair().await;
    for (line, target, host) in [
        ("OPTIONS http://b.example:8001 HTTP/1.1", "*", "b.example:8001"),
        ("OPTIONS * HTTP/1.1", "*", "a"),
        ("OPTIONS http://b.example/ HTTP/1.1", "/", "b.example"),
        ("OPTIONS / HTTP/1.1", "/", "a"),
    ] {
        let seen = seen(&origin, &proxy, &format!("{line}\r\nhost: a\r\n\r\n")).await;
        assert_eq!((seen.target.as_str(), all(&seen, "host")), (target, vec![host.to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_6_1_and_7_1_chunks_end_here() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    let (_origin, proxy) = in_front_of(format!("{head}2\r\nhi\r\n0\r\n\r\n")).await;
    let mut old = Wire::to(proxy.address).await;
    old.says("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let got = old.answer("GET").await;
    assert_eq!((got.text(), got.field("transfer-encoding")), ("hi", None), "{}", got.head);
    let got = Wire::to(proxy.address).await.asks("GET", "/", "").await;
    assert_eq!((got.text(), got.complete), ("hi", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_9_3_and_9_6_a_connection_ends_when_asked_to() {
    let (_origin, proxy) = pair().await;
    let mut wire = Wire::to(proxy.address).await;
    let got = wire.asks("GET", "/", "connection: close\r\n").await;
    assert_eq!(
        (got.status, got.field("connection").as_deref()),
        (200, Some("close")),
        "{}",
        got.head
    );
    assert_eq!(wire.end().await, End::Closed);
    let mut old = Wire::to(proxy.address).await;
    for _ in 0..2 {
        old.says("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n").await;
        let got = old.answer("GET").await;
        assert_eq!((got.text(), got.field("connection").as_deref()), ("hi", Some("keep-alive")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc6265_3_and_5_4_cookies_are_folded_where_they_may_be_and_nowhere_else() {
    let (origin, proxy) = pair().await;
    let asks = "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1; b=2\r\ncookie: c=3\r\n\r\n";
    assert_eq!(all(&seen(&origin, &proxy, asks).await, "cookie"), ["a=1; b=2; c=3"]);
    let (_origin, proxy) = in_front_of(format!(
        "{PLAIN}set-cookie: a=1; expires=Thu, 01 Jan 2099 00:00:00 GMT\r\nset-cookie: b=2\r\nset-cookie: a=3\r\n\r\nhi"
    ))
    .await;
    let page = visitor(&proxy).opens("/").await;
    let expected = ["a=1; expires=Thu, 01 Jan 2099 00:00:00 GMT", "b=2", "a=3"];
    assert_eq!(page.all("set-cookie"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc7239_4_who_is_told_by_forwarded_is_told_all() {
    let (origin, proxy) = pair().await;
    let asks = "GET / HTTP/1.1\r\nhost: a\r\nforwarded: for=203.0.113.9;proto=https\r\n\r\n";
    let told = all(&seen(&origin, &proxy, asks).await, "forwarded").join(", ");
    assert_eq!(told, "for=203.0.113.9;proto=https, for=127.0.0.1");
    let unknown = consentry(&origin)
        .site("address_truncated = false")
        .config("[listener]\ntrusted_proxies = []")
        .start()
        .await;
    let told = all(&seen(&origin, &unknown, asks).await, "forwarded");
    assert_eq!(told, Vec::<String>::new(), "a stranger speaks for nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_6_a_body_arrives_as_it_was_sent() {
    let (origin, proxy) = pair().await;
    let (_, body) = ("", "x".repeat(100_000));
    let sized =
        format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let one = seen(&origin, &proxy, &sized).await;
    assert_eq!((one.body.len(), all(&one, "content-length")), (100_000, vec!["100000".to_owned()]));
    let mut socket = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    let head =
        "PUT / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    for piece in body.as_bytes().chunks(7777) {
        let size = format!("{:x}\r\n", piece.len());
        socket.write_all(&[size.as_bytes(), piece, b"\r\n"].concat()).await.unwrap();
    }
    socket.write_all(b"0\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    socket.read_to_end(&mut heard).await.unwrap();
    assert!(heard.starts_with(b"HTTP/1.1 200 "));
    let two = origin.seen().pop().unwrap();
    assert_eq!((two.body.len(), all(&two, "content-length")), (100_000, Vec::new()));
}
