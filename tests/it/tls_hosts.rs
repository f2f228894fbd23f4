//! TLS for many hosts, renewals, the way from plain http, and balancers that
//! pass on connections.

use crate::harness::{Proxy, consentry, origin, raw, visitor_at};
use crate::program::Setup;
use crate::tls::Authority;
use crate::wire::Wire;

use rustls::HandshakeKind;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

async fn over_tls(
    authority: &Authority,
    address: SocketAddr,
    host: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    authority.connector().connect(name, socket).await
}

fn further(authority: &Authority) -> String {
    format!(
        "[[listener.certificate]]\ncert_file = {:?}\nkey_file = {:?}\n",
        authority.file("cert.pem"),
        authority.file("key.pem")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_every_host_is_shown_its_own_certificate() {
    let (shop, blog) = (Authority::signing("shop.example"), Authority::signing("*.blog.example"));
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let config = format!("{}\n{}", shop.listener(), further(&blog));
    let proxy = consentry(&origin).config(&config).start().await;
    for (authority, host) in [(&shop, "shop.example"), (&blog, "a.blog.example")] {
        let stream = over_tls(authority, proxy.address, host).await.unwrap();
        assert_eq!(Wire::over(stream).asks("GET", "/", "").await.status, 200, "{host}");
    }
    // For anybody else there is the first one, which is not theirs.
    assert!(over_tls(&shop, proxy.address, "other.example").await.is_err());
    assert!(over_tls(&blog, proxy.address, "shop.example").await.is_err());
    let metrics = visitor_at(proxy.admin).opens("/metrics").await.body;
    for authority in [&shop, &blog] {
        let file = authority.file("cert.pem").display().to_string();
        let line = metrics.lines().find(|line| {
            line.starts_with("consentry_certificate_expires_timestamp_seconds")
                && line.contains(&file)
        });
        // The year 4096, which is rcgen's default.
        assert!(line.is_some_and(|line| line.ends_with(" 67090118400")), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_tls_are_spoken_and_handshakes_taken_up_again() {
    let authority = Authority::signing("shop.example");
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let config = format!("{}\nworkers = 2", authority.listener());
    let proxy = consentry(&origin).config(&config).start().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let connector = TlsConnector::from(Arc::new(authority.trusting(&[version])));
        let mut kinds = Vec::new();
        for _ in 0..6 {
            let socket = TcpStream::connect(proxy.address).await.unwrap();
            let name = ServerName::try_from("shop.example").unwrap();
            let stream = connector.connect(name, socket).await.unwrap();
            let kind = stream.get_ref().1.handshake_kind().unwrap();
            let mut wire = Wire::over(stream);
            assert_eq!(wire.asks("GET", "/", "").await.status, 200);
            kinds.push(kind);
        }
        assert_eq!(kinds[0], HandshakeKind::Full);
        assert!(
            kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed),
            "{version:?} {kinds:?}: on whichever worker it arrives"
        );
    }
    let mut plain = authority.trusting(rustls::ALL_VERSIONS);
    plain.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(plain));
    for (more, expected) in [("", &b"h2"[..]), ("http2 = false", b"http/1.1")] {
        let config = format!("{}\n{more}", authority.listener());
        let proxy = consentry(&origin).config(&config).start().await;
        let socket = TcpStream::connect(proxy.address).await.unwrap();
        let name = ServerName::try_from("shop.example").unwrap();
        let stream = connector.connect(name, socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k1_a_renewed_certificate_is_shown_without_a_restart_and_a_bad_one_is_not() {
    let (old, new) = (Authority::signing("shop.example"), Authority::signing("shop.example"));
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let setup = Setup::new(origin.address, &old.listener());
    let mut program = setup.start();
    let mut kept = Wire::over(over_tls(&old, program.address, "shop.example").await.unwrap());
    assert_eq!(kept.asks("GET", "/", "").await.status, 200);
    // A key that does not fit: what renews certificates writes one file first.
    std::fs::copy(new.file("key.pem"), old.file("key.pem")).unwrap();
    let refused = program.says("configuration not reloaded");
    assert!(refused.contains("do not fit together") && refused.contains("key.pem"), "{refused}");
    assert!(over_tls(&old, program.address, "shop.example").await.is_ok(), "the old one stays");
    std::fs::copy(new.file("cert.pem"), old.file("cert.pem")).unwrap();
    program.says("configuration reloaded");
    let since = Instant::now();
    let own = CertificateDer::from_pem_file(new.file("cert.pem")).unwrap();
    while since.elapsed() < Duration::from_secs(60) {
        if over_tls(&new, program.address, "shop.example").await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stream = over_tls(&new, program.address, "shop.example").await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], own);
    assert_eq!(kept.asks("GET", "/", "").await.status, 200, "what was open goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_shown_the_way_to_https() {
    let authority = Authority::signing("shop.example");
    let origin = origin()
        .page("/", "<p>Hello</p>")
        .answer("/own", |_| {
            http::Response::builder()
                .header("strict-transport-security", "max-age=1; includeSubDomains")
                .body(http_body_util::Full::default())
                .unwrap()
        })
        .start()
        .await;
    let listener =
        format!("{}\nredirect_address = '127.0.0.1:0'\nhsts_s = 3600", authority.listener());
    let proxy = consentry(&origin).config(&listener).site("hosts = ['shop.example']").start().await;
    let plain = proxy.running().server.redirect_address().unwrap();
    let port = proxy.address.port();
    for (request, status, location) in [
        (
            "GET /a?b=c HTTP/1.1\r\nhost: Shop.example",
            301,
            format!("https://shop.example:{port}/a?b=c"),
        ),
        ("HEAD / HTTP/1.1\r\nhost: shop.example:80", 301, format!("https://shop.example:{port}/")),
        (
            "POST /a HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 1",
            308,
            format!("https://shop.example:{port}/a"),
        ),
        (
            "GET //evil.example/ HTTP/1.1\r\nhost: shop.example",
            301,
            format!("https://shop.example:{port}//evil.example/"),
        ),
        ("GET / HTTP/1.1\r\nhost: evil.example", 421, String::new()),
        ("GET / HTTP/1.1\r\nhost: shop.example@evil.example", 400, String::new()),
        ("GET / HTTP/1.1\r\nhost: shop.example\r\nhost: evil.example", 400, String::new()),
        ("CONNECT shop.example:443 HTTP/1.1\r\nhost: shop.example", 405, String::new()),
    ] {
        let mut wire = Wire::to(plain).await;
        wire.says(format!("{request}\r\n\r\n")).await;
        let answer = wire.answer("HEAD").await;
        assert_eq!(answer.status, status, "{request}: {}", answer.head);
        assert_eq!(
            answer.field("location").unwrap_or_default(),
            location.to_lowercase(),
            "{request}"
        );
    }
    assert!(origin.seen().is_empty());
    let mut wire = Wire::over(over_tls(&authority, proxy.address, "shop.example").await.unwrap());
    for (path, expected) in [
        ("/", "max-age=3600"),
        ("/.consentry/choices", "max-age=3600"),
        ("/own", "max-age=1; includesubdomains"),
    ] {
        let answer = wire.asks("GET", path, "").await;
        assert_eq!(answer.field("strict-transport-security").as_deref(), Some(expected), "{path}");
    }
    let failed = consentry(&origin)
        .config("[listener]\nredirect_address = '127.0.0.1:0'")
        .try_start()
        .await
        .err()
        .unwrap();
    assert!(failed.contains("there is no https to send visitors to"), "{failed}");
}

async fn announced(proxy: &Proxy, header: &[u8]) -> Vec<u8> {
    let request = b"GET / HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-for: 6.6.6.6\r\nconnection: close\r\n\r\n";
    raw(proxy.address, &[header, request].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_says_whose_connection_it_is() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let site = "address_truncated = false";
    let look = "[self_check]\ninterval_s = 1\nhost = 'shop.example'";
    let config = format!("[listener]\nproxy_protocol = true\n{look}");
    let proxy = consentry(&origin).config(&config).site(site).start().await;
    let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14\xcb\0\x71\x08\x0a\0\0\x01\x30\x39\x01\xbb\x20\0\x05\x01\0\0\0\0";
    for (header, expected, scheme) in [
        (&b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 443\r\n"[..], "203.0.113.7", "http"),
        (b"PROXY TCP6 2001:db8::7 ::1 12345 443\r\n", "2001:db8::7", "http"),
        (binary, "203.0.113.8", "https"),
    ] {
        origin.forgets();
        let got = announced(&proxy, header).await;
        assert!(got.starts_with(b"HTTP/1.1 200"), "{}", got.escape_ascii());
        let seen = origin.seen();
        let seen = seen.iter().find(|seen| !seen.headers["x-forwarded-for"].is_empty()).unwrap();
        assert_eq!(seen.headers["x-forwarded-for"], expected, "the visitor speaks for nobody else");
        assert_eq!(seen.headers["x-forwarded-proto"], scheme);
    }
    origin.forgets();
    for header in [&b""[..], b"PROXY TCP4 1.2.3.4\r\n", b"PROXY ", &[b'x'; 200]] {
        let got = announced(&proxy, header).await;
        assert!(got.is_empty(), "{}: {}", header.escape_ascii(), got.escape_ascii());
    }
    let since = Instant::now();
    while proxy.running().self_check.status().is_green() != Some(true) {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "{:?}",
            proxy.running().self_check.status()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let strict = "[listener]\nproxy_protocol = true\ntrusted_proxies = ['192.0.2.0/24']\n[timeouts]\nhandshake_s = 1";
    let proxy = consentry(&origin).config(strict).start().await;
    let got = announced(&proxy, b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 443\r\n").await;
    assert!(got.is_empty(), "whoever is not trusted cannot connect");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancers_word_counts_under_tls_and_is_not_waited_for_forever() {
    let authority = Authority::signing("shop.example");
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let config =
        format!("{}\nproxy_protocol = true\n[timeouts]\nhandshake_s = 1", authority.listener());
    let proxy = consentry(&origin).config(&config).site("address_truncated = false").start().await;
    let mut socket = TcpStream::connect(proxy.address).await.unwrap();
    socket.write_all(b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 443\r\n").await.unwrap();
    let name = ServerName::try_from("shop.example").unwrap();
    let mut wire = Wire::over(authority.connector().connect(name, socket).await.unwrap());
    assert_eq!(wire.asks("GET", "/", "").await.status, 200);
    assert_eq!(origin.seen()[0].headers["x-forwarded-for"], "203.0.113.7");
    assert_eq!(origin.seen()[0].headers["x-forwarded-proto"], "https");
    let mut silent = Wire::to(proxy.address).await;
    silent.says("PROXY TC").await;
    let since = Instant::now();
    silent.end().await;
    assert!(since.elapsed() < Duration::from_secs(29));
}
