//! HTTP/2 to origins.

use crate::harness::{consentry, origin, visitor};
use crate::tls::Authority;
use crate::wire::Wire;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A request as it reached the origin.
#[derive(Clone, Debug)]
struct Seen {
    version: Version,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Clone)]
struct Http2Origin {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Http2Origin {
    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// One whose connections are served by that script, which also learns how
    /// many came before.
    async fn serving<F, R>(serve: F) -> Self
    where
        F: Fn(TcpStream, usize, Self) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = Self { address, seen: Arc::default(), connections: Arc::default() };
        let own = origin.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let number = own.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(socket, number, own.clone()));
            }
        });
        origin
    }

    /// Well-behaved, and rather slow.
    async fn plain(streams: u32) -> Self {
        Self::serving(move |socket, _, origin| origin.answers(socket, streams)).await
    }

    /// The same over TLS, offering what is listed.
    async fn secure(authority: &Authority, offers: &'static [&'static str]) -> Self {
        let acceptor = authority.acceptor_offering(offers);
        Self::serving(move |socket, _, origin| {
            let acceptor: TlsAcceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(socket).await else { return };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    origin.answers(stream, 100).await;
                } else {
                    origin.switches(stream).await;
                }
            }
        })
        .await
    }

    async fn answers(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        streams: u32,
    ) {
        let service = service_fn(move |request: Request<Incoming>| {
            let log = Arc::clone(&self.seen);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let text = match parts.uri.path() {
                    "/large" => "x".repeat(5_000_000),
                    _ => "<p>Hello</p><script src=//ads.acme.example/p.js></script>".to_owned(),
                };
                let kind = if parts.uri.path() == "/large" { "text/plain" } else { "text/html" };
                let (version, uri, headers) = (parts.version, parts.uri, parts.headers);
                log.lock().unwrap().push(Seen { version, uri, headers, body });
                tokio::time::sleep(Duration::from_millis(100)).await;
                let response = Response::builder().header("content-type", kind);
                Ok::<_, Infallible>(response.body(Full::<Bytes>::from(text)).unwrap())
            }
        });
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(streams)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    /// Speaks HTTP/1.1, and agrees to WebSocket.
    async fn switches(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut head = Vec::new();
        let mut buffer = [0; 4096];
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => head.extend_from_slice(&buffer[..length]),
            }
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let answer = if head.contains("upgrade: websocket") {
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nover http/1.1"
        } else {
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 8\r\n\r\nhttp/1.1"
        };
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.read(&mut buffer).await;
    }
}

/// A proxy that asks that origin over https.
async fn before(origin: &Http2Origin, authority: &Authority, site: &str) -> crate::harness::Proxy {
    let other = crate::harness::origin().start().await;
    consentry(&other)
        .origin(&format!("https://{}", origin.address))
        .config(&format!(
            "[origin]\nca_file = {:?}\n[listener]\nworkers = 1",
            authority.file("ca.pem")
        ))
        .site(site)
        .start()
        .await
}

/// One that asks it over plain http.
async fn before_plain(origin: &Http2Origin, config: &str) -> crate::harness::Proxy {
    let other = crate::harness::origin().start().await;
    consentry(&other)
        .origin(&format!("http://{}", origin.address))
        .config(&format!("[listener]\nworkers = 1\n{config}"))
        .site("origin_http2 = \"always\"")
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_3_an_origin_that_offers_http2_is_asked_over_it() {
    let authority = Authority::signing("127.0.0.1");
    let origin = Http2Origin::secure(&authority, &["h2", "http/1.1"]).await;
    let proxy = before(&origin, &authority, "").await;
    let mut wire = Wire::to(proxy.address).await;
    let fields = "connection: keep-alive, x-private\r\nx-private: 1\r\nte: trailers\r\nkeep-alive: 1\r\ncookie: a=1\r\n";
    let page = wire.asks("GET", "/page?x=1", fields).await;
    assert!(page.status == 200 && page.text().starts_with("<p>Hello</p>"), "{}", page.text());
    assert!(!page.text().contains("ads.acme.example"));
    let sent = visitor(&proxy).asks("POST", "/buy", &[], "x=1").await;
    assert_eq!(sent.status, 200);
    let seen = origin.seen();
    assert_eq!(seen[0].version, Version::HTTP_2);
    assert_eq!(seen[0].uri, "https://shop.example/page?x=1", "scheme, authority, path");
    for gone in ["host", "connection", "x-private", "te", "keep-alive", "transfer-encoding"] {
        assert!(!seen[0].headers.contains_key(gone), "8.2.2: {gone}");
    }
    assert_eq!(seen[0].headers["cookie"], "a=1");
    assert_eq!(seen[0].headers["x-forwarded-host"], "shop.example");
    assert_eq!(seen[1].body, "x=1");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_3_1_another_host_for_the_origin_stands_in_authority() {
    let origin = Http2Origin::plain(100).await;
    let other = crate::harness::origin().start().await;
    let proxy = consentry(&other)
        .origin(&format!("http://{}", origin.address))
        .site("origin_http2 = \"always\"\norigin_host = \"shop.internal:81\"")
        .start()
        .await;
    assert_eq!(visitor(&proxy).opens("/").await.status, 200);
    assert_eq!(origin.seen()[0].uri, "http://shop.internal:81/");
    assert!(!origin.seen()[0].headers.contains_key("host"));
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_many_exchanges_share_one_http2_connection() {
    let authority = Authority::signing("127.0.0.1");
    let origin = Http2Origin::secure(&authority, &["h2", "http/1.1"]).await;
    let proxy = before(&origin, &authority, "").await;
    assert_eq!(visitor(&proxy).opens("/").await.status, 200);
    let mut visits = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut visitor = visitor(&proxy);
        visits.spawn(async move { visitor.opens("/").await.status.as_u16() });
    }
    while let Some(status) = visits.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!((origin.connections(), origin.seen().len()), (1, 51));
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_5_1_2_an_origin_that_allows_few_streams_gets_more_connections() {
    let origin = Http2Origin::plain(2).await;
    let proxy = before_plain(&origin, "").await;
    for _ in 0..2 {
        assert_eq!(visitor(&proxy).opens("/").await.status, 200);
    }
    let mut visits = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let mut visitor = visitor(&proxy);
        visits.spawn(async move { visitor.opens("/").await.status.as_u16() });
    }
    while let Some(status) = visits.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    // Another one more where a request came while one was being made.
    assert!((3..=6).contains(&origin.connections()), "{}", origin.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_http2_is_spoken_as_the_operator_says() {
    let authority = Authority::signing("127.0.0.1");
    for (offers, http2, expected) in [
        (&["h2", "http/1.1"][..], "never", Some("http/1.1")),
        (&["http/1.1"], "auto", Some("http/1.1")),
        (&["http/1.1"], "always", None),
        (&["h2"], "always", Some("<p>Hello</p>")),
    ] {
        let origin = Http2Origin::secure(&authority, offers).await;
        let site = format!("origin_http2 = {http2:?}");
        let proxy = before(&origin, &authority, &site).await;
        let page = visitor(&proxy).opens("/").await;
        match expected {
            Some(expected) => assert!(page.body.starts_with(expected), "{http2}: {}", page.body),
            None => assert_eq!(page.status, 502, "{http2}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc6455_a_websocket_goes_to_an_http2_origin_over_http1() {
    let authority = Authority::signing("127.0.0.1");
    let origin = Http2Origin::secure(&authority, &["h2", "http/1.1"]).await;
    let proxy = before(&origin, &authority, "").await;
    assert_eq!(visitor(&proxy).opens("/").await.status, 200);
    let mut wire = Wire::to(proxy.address).await;
    let fields = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";
    assert_eq!(wire.asks("GET", "/socket", fields).await.status, 101);
    wire.hears("over http/1.1").await;
    assert_eq!(visitor(&proxy).opens("/").await.status, 200);
    assert_eq!(origin.connections(), 2, "one for each");
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_a_large_answer_arrives_whole_over_http2() {
    let origin = Http2Origin::plain(100).await;
    let proxy = before_plain(&origin, "").await;
    let page = visitor(&proxy).opens("/large").await;
    assert_eq!((page.status.as_u16(), page.bytes.len()), (200, 5_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_6_5_trailers_of_the_origin_reach_the_visitor() {
    let origin = framing(|_, _, _, (_, mut respond)| {
        let head = Response::builder().header("content-type", "text/plain").body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        body.send_data(Bytes::from_static(b"hi"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "abc".parse().unwrap());
        for (name, value) in [("set-cookie", "_acme=1"), ("location", "/"), ("content-length", "9")]
        {
            trailers.insert(name, value.parse().unwrap());
        }
        body.send_trailers(trailers).unwrap();
        true
    })
    .await;
    let authority = Authority::signing("shop.example");
    let other = crate::harness::origin().start().await;
    let proxy = consentry(&other)
        .origin(&format!("http://{}", origin.address))
        .config(&authority.listener())
        .site("origin_http2 = \"always\"")
        .start()
        .await;
    let mut browser = crate::http2::browser(&authority, &proxy).await;
    let request = Request::get("https://shop.example/").body(Full::default()).unwrap();
    let response = browser.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().unwrap();
    assert_eq!(trailers["x-checksum"], "abc");
    assert_eq!(trailers.len(), 1, "rfc9110 6.5.1, c1: nobody has judged them: {trailers:?}");
    assert_eq!(body.to_bytes(), "hi");
}

type Stream = (Request<h2::RecvStream>, h2::server::SendResponse<Bytes>);

fn hi(respond: &mut h2::server::SendResponse<Bytes>) {
    let head = Response::builder().header("content-type", "text/plain").body(()).unwrap();
    let mut body = respond.send_response(head, false).unwrap();
    body.send_data(Bytes::from_static(b"hi"), true).unwrap();
}

/// An origin that speaks HTTP/2 frame by frame: for each connection, what it
/// does with the first, the second and later streams.
async fn framing<F>(act: F) -> Http2Origin
where
    F: Fn(usize, usize, &mut h2::server::Connection<TcpStream, Bytes>, Stream) -> bool
        + Send
        + Sync
        + 'static,
{
    let act = Arc::new(act);
    Http2Origin::serving(move |socket, number, origin| {
        let act = Arc::clone(&act);
        async move {
            let mut connection = h2::server::handshake(socket).await.unwrap();
            let mut streams = 0;
            while let Some(Ok(stream)) = connection.accept().await {
                let asked = &stream.0;
                let (version, uri) = (asked.version(), asked.uri().clone());
                let (headers, body) = (asked.headers().clone(), Bytes::new());
                origin.seen.lock().unwrap().push(Seen { version, uri, headers, body });
                let goes_on = act(number, streams, &mut connection, stream);
                streams += 1;
                if !goes_on {
                    break;
                }
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_7_a_refused_stream_is_asked_for_once_more() {
    let origin = framing(|_, stream, _, (_, mut respond)| {
        // Every second one, the first of a connection included.
        if stream % 2 == 0 && stream < 2 {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        } else {
            hi(&mut respond);
        }
        true
    })
    .await;
    let proxy = before_plain(&origin, "").await;
    // Both times a new connection refuses: one retry is all there is.
    assert_eq!(visitor(&proxy).opens("/").await.status, 502);
    assert_eq!(origin.seen().len(), 2);
    let page = visitor(&proxy).opens("/").await;
    assert_eq!((page.status.as_u16(), page.body.as_str()), (200, "hi"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_7_a_refused_post_is_not_sent_again() {
    let origin = framing(|_, _, _, (_, mut respond)| {
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        true
    })
    .await;
    let proxy = before_plain(&origin, "").await;
    let page = visitor(&proxy).asks("POST", "/buy", &[], "x=1").await;
    assert_eq!((page.status.as_u16(), origin.seen().len()), (502, 1));
    assert!(page.body.contains("fault: origin"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_6_8_no_request_is_lost_when_a_connection_goes_away() {
    let origin = framing(|_, stream, connection, (_, mut respond)| {
        hi(&mut respond);
        if stream == 1 {
            connection.graceful_shutdown();
        }
        true
    })
    .await;
    let proxy = before_plain(&origin, "").await;
    for _ in 0..20 {
        assert_eq!(visitor(&proxy).opens("/").await.status, 200);
    }
    assert!((5..=10).contains(&origin.connections()), "{}", origin.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_6_8_a_request_that_came_too_late_is_asked_again_elsewhere() {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // Nothing was done, not even with the first stream.
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let origin = Http2Origin::serving(|mut socket, number, _| async move {
        if number == 0 {
            let mut buffer = [0; 4096];
            // The preface, and then the request.
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(&SETTINGS).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            let _ = socket.write_all(&GOAWAY).await;
            while let Ok(1..) = socket.read(&mut buffer).await {}
            return;
        }
        let mut connection = h2::server::handshake(socket).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            hi(&mut respond);
        }
    })
    .await;
    let proxy = before_plain(&origin, "").await;
    let page = visitor(&proxy).opens("/").await;
    assert_eq!((page.status.as_u16(), page.body.as_str()), (200, "hi"));
    assert_eq!(origin.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_1_a_stream_that_is_reset_in_its_body_is_no_clean_end() {
    for kind in ["text/plain", "text/html"] {
        let origin = framing(move |_, _, _, (_, mut respond)| {
            let head = Response::builder().header("content-type", kind).body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data(Bytes::from_static(b"<p>begun"), false).unwrap();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                body.send_reset(h2::Reason::INTERNAL_ERROR);
            });
            true
        })
        .await;
        let proxy = before_plain(&origin, "").await;
        let got = Wire::to(proxy.address).await.asks("GET", "/", "").await;
        let refused = got.status == 502 && got.text().contains("fault: origin");
        assert!(refused || !got.complete, "{kind}: {} {}", got.head, got.text());
        assert_eq!(origin.seen().len(), 1, "{kind}: what has begun is not asked again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_nothing_new_goes_to_an_http2_connection_on_which_nothing_comes_back() {
    let origin = framing(|number, _, _, (_, mut respond)| {
        if number == 0 {
            // Kept, and never answered.
            std::mem::forget(respond);
        } else {
            hi(&mut respond);
        }
        true
    })
    .await;
    let proxy = before_plain(&origin, "[timeouts]\nresponse_head_s = 2").await;
    assert_eq!(visitor(&proxy).opens("/").await.status, 504);
    assert_eq!(visitor(&proxy).opens("/").await.status, 200);
    assert_eq!(origin.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_an_origin_that_does_not_speak_http2_is_broken() {
    let other = origin().page("/", "<p>Hello</p>").start().await;
    let proxy = consentry(&other).site("origin_http2 = \"always\"").start().await;
    let page = visitor(&proxy).opens("/").await;
    assert_eq!(page.status, 502);
    assert!(page.body.contains("fault: origin"), "{}", page.body);
}
