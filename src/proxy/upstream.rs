//! The connections to origins: one pool a worker.

use crate::enforce::Cleared;
use crate::proxy::body::{Fate, RequestBody};
use crate::proxy::error::Error;
use crate::proxy::{Settings, Timeouts};
use crate::site::Origin;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// Why the connections to origins cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The operator's certificate authorities cannot be read.
    #[error("certificate authorities in {path}: {why}", path = path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS library refuses its own defaults.
    #[error("TLS towards origins cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Everything needed to connect to an origin, or to another server of the
/// operator's choice, over TLS.
///
/// # Errors
/// When the authorities in `ca_file` cannot be read.
pub fn tls_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, UpstreamError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        let failed = |why: String| UpstreamError::Authorities { path: path.to_owned(), why };
        for certificate in
            CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?
        {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Sends cleared requests to origins.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, RequestBody>,
    timeouts: Timeouts,
}

impl Upstream {
    pub(super) fn new(settings: &Settings, tls: &Arc<ClientConfig>) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(settings.timeouts.connect));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((**tls).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.timeouts.origin_idle)
            .http1_max_buf_size(settings.limits.head_bytes.max(8192))
            .http1_max_headers(settings.limits.head_fields)
            .set_host(false)
            .build(connector);
        Self { client, timeouts: settings.timeouts }
    }

    /// Sends one request and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        request: Cleared<Parts>,
        body: RequestBody,
        origin: &Origin,
    ) -> Result<Response<Incoming>, Error> {
        let fate = body.fate();
        let request = address(request.into_inner(), origin, body)?;
        let mut answer = pin!(self.client.request(request));
        let deadline = || fate.deadline(self.timeouts.response_head, self.timeouts.request_body);
        let answer = loop {
            match timeout_at(deadline(), answer.as_mut()).await {
                Err(_) if deadline() > Instant::now() => {}
                answer => break answer,
            }
        };
        match answer {
            Ok(Ok(response)) => well_framed(response),
            Ok(Err(error)) => Err(match fate.get() {
                Fate::TooLarge => Error::BodyTooLarge,
                Fate::Stalled => Error::BodyTimeout,
                Fate::Broken => Error::BadRequest("the request's body broke off"),
                Fate::Fine if error.is_connect() => Error::Unreachable(chain(&error)),
                Fate::Fine => Error::OriginBroken(chain(&error)),
            }),
            Err(_) if fate.get() == Fate::Stalled => Err(Error::BodyTimeout),
            Err(_) => Err(Error::OriginTimeout),
        }
    }
}

/// Turns a visitor's request into one to the origin.
fn address(
    mut parts: Parts,
    origin: &Origin,
    body: RequestBody,
) -> Result<Request<RequestBody>, Error> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(origin.scheme.clone());
    uri.authority = Some(origin.authority.clone());
    let target = parts.uri.path_and_query().cloned();
    uri.path_and_query = target.or_else(|| "/".parse().ok());
    parts.uri =
        Uri::from_parts(uri).map_err(|_| Error::BadRequest("the request's target is not valid"))?;
    parts.version = Version::HTTP_11;
    let has_body_of_unknown_length = !body.is_end_stream() && body.size_hint().exact().is_none();
    if has_body_of_unknown_length && matches!(parts.method, Method::GET | Method::HEAD) {
        // Without being told, hyper sends no body with these methods.
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if let Some(host) = &origin.host
        && let Ok(value) = HeaderValue::from_str(host.as_str())
    {
        parts.headers.insert(HOST, value);
    }
    Ok(Request::from_parts(parts, body))
}

/// Takes an answer only if it is clear where its body ends (RFC 9112, 6.1 and
/// 6.3): chunks outweigh a length, and other transfer codings were not asked
/// for.
fn well_framed(mut response: Response<Incoming>) -> Result<Response<Incoming>, Error> {
    let mut codings = response.headers().get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(response),
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => {
            response.headers_mut().remove(CONTENT_LENGTH);
            Ok(response)
        }
        _ => Err(Error::OriginBroken("its transfer coding is not `chunked`".to_owned())),
    }
}

/// An error with everything that caused it: the cause is what an operator
/// needs.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
