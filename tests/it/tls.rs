//! TLS on both sides.

use crate::harness::{consentry, origin, visitor};
use crate::wire::Wire;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An authority of the operator's own, and a certificate it made.
pub(crate) struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn signing(name: &str) -> Self {
        Self::signing_what(CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    /// One whose certificate has ended.
    pub(crate) fn signing_too_long_ago(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        Self::signing_what(params)
    }

    fn signing_what(wanted: CertificateParams) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let certificate = wanted.signed_by(&key, &issuer).unwrap();
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
        self.acceptor_offering(&[])
    }

    /// One that offers to speak these protocols.
    pub(crate) fn acceptor_offering(&self, protocols: &[&str]) -> TlsAcceptor {
        let chain = vec![certificate(&self.file("cert.pem"))];
        let key = PrivateKeyDer::from_pem_file(self.file("key.pem")).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols =
            protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        self.connector_for(&[])
    }

    /// One that offers these protocols.
    pub(crate) fn connector_for(&self, protocols: &[&[u8]]) -> TlsConnector {
        let mut config = self.trusting(rustls::ALL_VERSIONS);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// One for a look at what is shown, whoever signed it.
    pub(crate) fn connector_that_believes_all(&self) -> TlsConnector {
        let mut config = self.trusting(rustls::ALL_VERSIONS);
        config.dangerous().set_certificate_verifier(Arc::new(Believing(provider())));
        TlsConnector::from(Arc::new(config))
    }

    /// What trusts this authority, to change something about it.
    pub(crate) fn trusting(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.file("ca.pem"))).unwrap();
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    pub(crate) fn listener(&self) -> String {
        format!(
            "[listener]\ntls_cert_file = {:?}\ntls_key_file = {:?}",
            self.file("cert.pem"),
            self.file("key.pem")
        )
    }
}

/// Believes every certificate whose key signs.
#[derive(Debug)]
struct Believing(Arc<CryptoProvider>);

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

fn provider() -> Arc<CryptoProvider> {
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
    let expired = Authority::signing_too_long_ago("127.0.0.1");
    for (acceptor, trusted) in [
        (expired.acceptor(), Some(&expired)),
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
async fn a_body_cut_within_tls_is_never_a_clean_end() {
    let authority = Authority::signing("127.0.0.1");
    let acceptor = authority.acceptor();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let asked = String::from_utf8(head[..length].to_vec()).unwrap();
            let kind = if asked.starts_with("GET /page") { "text/html" } else { "text/plain" };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n<p>begun");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.flush().await;
            if asked.contains("whole") {
                let _ = stream.shutdown().await;
            }
            // Otherwise the connection ends, and TLS does not.
        }
    });
    let unused = origin().start().await;
    let proxy = consentry(&unused)
        .origin(&format!("https://{address}"))
        .config(&format!("[origin]\nca_file = {:?}", authority.file("ca.pem")))
        .start()
        .await;
    for path in ["/page", "/text"] {
        let got = Wire::to(proxy.address).await.asks("GET", path, "").await;
        assert!(got.status == 502 || !got.complete, "{path}: {} {}", got.head, got.text());
        let got = Wire::to(proxy.address).await.asks("GET", &format!("{path}?whole"), "").await;
        assert!(got.complete && got.text().starts_with("<p>begun"), "{path}: {}", got.head);
    }
    serving.abort();
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
