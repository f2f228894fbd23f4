//! The synthetic visitor: a browser that keeps cookies and runs nothing.
//!
//! It speaks to the proxy over a connection like everybody's, and to nobody
//! else: what a page names is never loaded.

use crate::proxy::{Certificates, SYNTHETIC_FIELD, SyntheticKey};

use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

/// The longest page that is read.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a page may send its visitor on.
const REDIRECTS: usize = 3;

/// The way to the proxy's own public side.
#[derive(Clone, Debug)]
pub(super) struct Way {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// Whether it is said in front of each connection whose it is.
    announced: bool,
    key: SyntheticKey,
}

impl Way {
    /// To whoever listens at `listen`, with that certificate, if any.
    pub(super) fn new(
        listen: SocketAddr,
        certificates: Option<&Arc<Certificates>>,
        announced: bool,
        key: SyntheticKey,
    ) -> Result<Self, String> {
        let address = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let tls = certificates.map(trusting).transpose()?;
        Ok(Self { address: SocketAddr::new(address, listen.port()), tls, announced, key })
    }
}

/// Trusts the proxy's own certificates and no other, whoever signed it.
fn trusting(own: &Arc<Certificates>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        Arc::new(OwnCertificate { own: Arc::clone(own), provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct OwnCertificate {
    own: Arc<Certificates>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OwnCertificate {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.own.holds(shown) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("somebody else answers with another certificate".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The body, as far as it is text.
    pub(super) body: String,
    /// The page's address.
    pub(super) url: Url,
}

impl Answer {
    /// A field's value.
    pub(super) fn field(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether it is a page.
    pub(super) fn is_page(&self) -> bool {
        let kind = self.field("content-type").to_ascii_lowercase();
        kind.starts_with("text/html") || kind.starts_with("application/xhtml+xml")
    }

    /// Names of the cookies that it sets, without those that it takes away.
    pub(super) fn cookies(&self) -> Vec<String> {
        let set = set_cookies(&self.headers).into_iter();
        set.filter(|cookie| cookie.stays).map(|cookie| cookie.name).collect()
    }
}

struct SetCookie {
    name: String,
    value: String,
    stays: bool,
}

fn set_cookies(headers: &HeaderMap) -> Vec<SetCookie> {
    let fields = headers.get_all(SET_COOKIE).iter().filter_map(|field| field.to_str().ok());
    fields
        .filter_map(|field| {
            let (name, value) = field.split(';').next()?.split_once('=')?;
            let lower = field.to_ascii_lowercase();
            let gone = lower.contains("max-age=0")
                || lower.contains("max-age=-")
                || lower.contains("01 jan 1970");
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            Some(SetCookie { name, value, stays: !gone })
        })
        .collect()
}

/// Somebody with a browser.
pub(super) struct Stranger<'w> {
    way: &'w Way,
    host: String,
    secure: bool,
    gpc: bool,
    jar: BTreeMap<String, String>,
}

impl<'w> Stranger<'w> {
    /// Nobody was here before, and nothing is known of them.
    pub(super) fn new(way: &'w Way, host: &str, gpc: bool) -> Self {
        let secure = way.tls.is_some();
        Self { way, host: host.to_owned(), secure, gpc, jar: BTreeMap::new() }
    }

    /// Holds a cookie from now on.
    pub(super) fn hold(&mut self, name: &str) {
        self.jar.insert(name.to_owned(), "0".to_owned());
    }

    /// Opens a page, and goes where it sends its visitors, on this site.
    pub(super) async fn open(&mut self, path: &str) -> Result<Answer, String> {
        let mut path = path.to_owned();
        let mut left = REDIRECTS;
        loop {
            let answer = self.ask(Method::GET, &path, None).await?;
            let to = answer.field(LOCATION.as_str());
            let to = answer.url.join(to).ok().filter(|_| answer.status.is_redirection());
            match to {
                Some(to) if left > 0 && to.host_str() == Some(self.host.as_str()) => {
                    // Somebody in front of the proxy takes the visitors' https.
                    self.secure |= to.scheme() == "https";
                    path = to[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
                    left -= 1;
                }
                Some(_) | None => return Ok(answer),
            }
        }
    }

    /// Sends the form of the notice.
    pub(super) async fn choose(&mut self, prefix: &str, choice: &str) -> Result<Answer, String> {
        let form = format!("choice={choice}&return_to=%2F");
        self.ask(Method::POST, &format!("{prefix}/choices"), Some(form)).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        form: Option<String>,
    ) -> Result<Answer, String> {
        let asked = tokio::time::timeout(PATIENCE, self.exchange(method, path, form)).await;
        asked.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        form: Option<String>,
    ) -> Result<Answer, String> {
        let mut socket = TcpStream::connect(self.way.address).await.map_err(told)?;
        if self.way.announced {
            // Our own, and nobody's behind us.
            socket.write_all(b"PROXY UNKNOWN\r\n").await.map_err(told)?;
        }
        let request = self.request(method, path, form)?;
        let scheme = if self.secure { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{}{path}", self.host)).map_err(told)?;
        let answer = match &self.way.tls {
            None => exchange(socket, request, url).await?,
            Some(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(told)?;
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name, socket).await.map_err(told)?;
                exchange(stream, request, url).await?
            }
        };
        for cookie in set_cookies(&answer.headers) {
            if cookie.stays {
                self.jar.insert(cookie.name, cookie.value);
            } else {
                self.jar.remove(&cookie.name);
            }
        }
        Ok(answer)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        form: Option<String>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let scheme = if self.secure { "https" } else { "http" };
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header(HOST, &self.host)
            .header(SYNTHETIC_FIELD, self.way.key.shown())
            .header(USER_AGENT, concat!("consentry-self-check/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-mode", "navigate");
        if self.secure && self.way.tls.is_none() {
            request = request.header("x-forwarded-proto", "https");
        }
        if self.gpc {
            request = request.header("sec-gpc", "1");
        }
        if !self.jar.is_empty() {
            let pairs: Vec<_> =
                self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        request = if form.is_some() {
            request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(ORIGIN, format!("{scheme}://{}", self.host))
                .header("sec-fetch-site", "same-origin")
        } else {
            request.header("sec-fetch-site", "none")
        };
        request.body(Full::from(form.unwrap_or_default())).map_err(told)
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>, url: Url) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    let carried = tokio::spawn(connection);
    let answer = async {
        let (parts, body) = sender.send_request(request).await.map_err(told)?.into_parts();
        let body = Limited::new(body, PAGE_BYTES).collect().await;
        let body = body.map_err(|error| format!("the answer broke off: {error}"))?.to_bytes();
        // Addresses in a page are ASCII, whatever else is in it.
        let body = body.iter().map(|byte| char::from(*byte)).collect();
        Ok(Answer { status: parts.status, headers: parts.headers, body, url })
    };
    let answer = answer.await;
    carried.abort();
    answer
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
