//! TLS on both sides.

use crate::harness::{consentry, origin, visitor};
use crate::wire::Wire;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An authority of the operator's own, and a certificate it made.
pub(crate) struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn signing(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("ca.pem", authority.pem()),
            ("cert.pem", certificate.pem()),
            ("key.pem", key.serialize_pem()),
        ] {
            std::fs::write(directory.path().join(file), text).unwrap();
        }
        Self { directory }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let chain = vec![certificate(&self.file("cert.pem"))];
        let key = PrivateKeyDer::from_pem_file(self.file("key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.file("ca.pem"))).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    pub(crate) fn listener(&self) -> String {
        format!(
            "[listener]\ntls_cert_file = {:?}\ntls_key_file = {:?}",
            self.file("cert.pem"),
            self.file("key.pem")
        )
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_over_https_is_reached_with_the_operators_authority() {
    let authority = Authority::signing("127.0.0.1");
    let origin = origin()
        .page("/", "<p>Hello</p><script src=//ads.acme.example/a.js></script>")
        .start_tls(authority.acceptor())
        .await;
    let proxy = consentry(&origin)
        .origin(&format!("https://{}", origin.address))
        .config(&format!(
            "[origin]\nca_file = {:?}\n[listener]\nworkers = 1",
            authority.file("ca.pem")
        ))
        .start()
        .await;
    for _ in 0..3 {
        let page = visitor(&proxy).opens("/").await;
        assert!(
            page.body.starts_with("<p>Hello</p>") && !page.body.contains("ads.acme.example"),
            "{}",
            page.body
        );
    }
    assert_eq!(origin.connections(), 1, "the handshake is made once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_nobody_vouches_for_is_not_talked_to() {
    let (authority, other) = (Authority::signing("127.0.0.1"), Authority::signing("127.0.0.1"));
    let wrong_name = Authority::signing("other.example");
    for (acceptor, trusted) in [
        (authority.acceptor(), None),
        (authority.acceptor(), Some(&other)),
        (wrong_name.acceptor(), Some(&wrong_name)),
    ] {
        let origin = origin().page("/", "<p>secret</p>").start_tls(acceptor).await;
        let mut proxy = consentry(&origin).origin(&format!("https://{}", origin.address));
        if let Some(trusted) = trusted {
            proxy = proxy.config(&format!("[origin]\nca_file = {:?}", trusted.file("ca.pem")));
        }
        let proxy = proxy.start().await;
        let page = visitor(&proxy).sending("cookie", "sid=1").opens("/").await;
        assert_eq!(page.status, 502);
        assert!(page.body.contains("fault: origin"), "{}", page.body);
        assert!(origin.seen().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_speaks_no_tls_is_said_to_be_at_fault() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let proxy = consentry(&origin).origin(&format!("https://{}", origin.address)).start().await;
    let page = visitor(&proxy).opens("/").await;
    assert_eq!(page.status, 502);
    assert!(page.body.contains("fault: origin"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_come_over_https() {
    let authority = Authority::signing("shop.example");
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let proxy = consentry(&origin).config(&authority.listener()).start().await;
    let socket = TcpStream::connect(proxy.address).await.unwrap();
    let name = ServerName::try_from("shop.example").unwrap();
    let mut wire = Wire::over(authority.connector().connect(name, socket).await.unwrap());
    assert!(wire.asks("GET", "/", "").await.text().starts_with("<p>Hello</p>"));
    assert_eq!(origin.seen()[0].headers["x-forwarded-proto"], "https");

    let form = "choice=all&return_to=%2F";
    let fields = format!(
        "origin: https://shop.example\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    wire.says(format!("POST /.consentry/choices HTTP/1.1\r\nhost: shop.example\r\n{fields}")).await;
    let chosen = wire.answer("POST").await;
    assert_eq!(chosen.status, 303, "{}", chosen.text());
    let cookie = chosen.field("set-cookie").unwrap();
    assert!(cookie.starts_with("__host-") && cookie.contains("; secure"), "d1: {cookie}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_at_a_tls_listener_harms_nobody() {
    let authority = Authority::signing("shop.example");
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let proxy = consentry(&origin).config(&authority.listener()).start().await;
    let got = proxy.raw(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
    assert!(!got.starts_with(b"HTTP/"));
    let silent = TcpStream::connect(proxy.address).await.unwrap();
    let socket = TcpStream::connect(proxy.address).await.unwrap();
    let name = ServerName::try_from("shop.example").unwrap();
    let mut wire = Wire::over(authority.connector().connect(name, socket).await.unwrap());
    assert_eq!(wire.asks("GET", "/", "").await.status, 200);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_fit_is_found_at_the_start() {
    let (one, other) = (Authority::signing("shop.example"), Authority::signing("shop.example"));
    let origin = origin().start().await;
    let listener = format!(
        "[listener]\ntls_cert_file = {:?}\ntls_key_file = {:?}",
        one.file("cert.pem"),
        other.file("key.pem")
    );
    let failed = consentry(&origin).config(&listener).try_start().await.err().unwrap();
    assert!(failed.contains("do not fit together"), "{failed}");
}
