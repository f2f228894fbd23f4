//! What an operator can set about listening, limits and waiting.

use crate::proxy::tls::TlsError;

use http::HeaderValue;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything the proxy needs besides the sites.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where visitors connect.
    pub listen: SocketAddr,
    /// Certificates and keys in PEM files, the one for unknown hosts first;
    /// plain http without.
    pub tls: Vec<TlsFiles>,
    /// The hosts that an authority makes certificates for, if any.
    pub acme: Option<AcmeSettings>,
    /// Whether HTTP/2 is offered where TLS ends here.
    pub http2: bool,
    /// Where plain http is answered with the way to https, if anywhere.
    pub redirect: Option<SocketAddr>,
    /// What browsers are told about coming over https only, if anything.
    pub hsts: Option<HeaderValue>,
    /// Whether trusted peers say in front of each connection whose it is.
    pub proxy_protocol: bool,
    /// Worker threads, each with its own runtime; 0 for one a core.
    pub workers: usize,
    /// Peers whose `X-Forwarded-*` fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether origins are told by `Via` that a proxy asks.
    pub origin_via: bool,
    /// More certificate authorities for origins over https, a PEM file.
    pub origin_ca_file: Option<PathBuf>,
    /// Which name server knows the origins; `None` for the system's.
    pub origin_name_server: Option<SocketAddr>,
    /// Which name server is asked about aliases; `None` for the system's.
    pub name_server: Option<SocketAddr>,
    /// How much of anything is taken.
    pub limits: Limits,
    /// How long anything is waited for.
    pub timeouts: Timeouts,
}

/// Certificate chain and private key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
    /// What the authority says about the certificate (OCSP, DER), if it is kept.
    pub ocsp: Option<PathBuf>,
}

/// Whose certificates are made by which authority (ACME, RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The hosts; each has a certificate of its own.
    pub hosts: Vec<String>,
    /// Where the authority says what it can do.
    pub directory_url: String,
    /// Where it writes to, as `mailto:` addresses.
    pub contact: Vec<String>,
    /// Where certificates, keys and the account are kept.
    pub directory: PathBuf,
    /// More authorities that the authority's own certificate may be signed by.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// All certificates that visitors may be shown: the operator's, and those
    /// that are made.
    ///
    /// # Errors
    /// When there is no place to keep the latter.
    pub fn all_tls(&self) -> Result<Vec<TlsFiles>, TlsError> {
        let mut all = self.tls.clone();
        if let Some(acme) = &self.acme {
            all.extend(acme.files()?);
        }
        Ok(all)
    }
}

/// How much of anything is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A request's or response's head, in bytes.
    pub head_bytes: usize,
    /// Header fields in a head.
    pub head_fields: usize,
    /// A request's body, in bytes.
    pub request_body_bytes: u64,
    /// How fast a request's body must arrive in the long run, in bytes a second.
    pub request_body_bytes_per_second: u32,
    /// Memory for rewriting one page, in bytes.
    pub page_memory_bytes: usize,
    /// How many times larger than its compressed form a page may be.
    pub page_inflation: u64,
    /// Memory for pages and what became of them, in bytes; 0 for none.
    pub memo_bytes: u64,
    /// Open connections of visitors.
    pub connections: usize,
    /// Requests a second one visitor may make; 0 for no limit.
    pub requests_per_second: u32,
    /// Requests one visitor may make at once before that counts.
    pub request_burst: u32,
    /// Visitors counted at the same time; newcomers beyond are refused.
    pub counted_visitors: usize,
}

/// How many fields hyper has room for without allocating.
const USUAL_FIELDS: usize = 100;

impl Limits {
    /// The number of fields as hyper wants to be told.
    pub(super) fn unusual_fields(&self) -> Option<usize> {
        Some(self.head_fields).filter(|fields| *fields != USUAL_FIELDS)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            head_fields: USUAL_FIELDS,
            request_body_bytes: 64 * 1024 * 1024,
            request_body_bytes_per_second: 200,
            page_memory_bytes: 8 * 1024 * 1024,
            page_inflation: 200,
            memo_bytes: 64 * 1024 * 1024,
            connections: 16_384,
            requests_per_second: 200,
            request_burst: 1000,
            counted_visitors: 200_000,
        }
    }
}

/// How long anything is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A TLS handshake.
    pub handshake: Duration,
    /// A request's head.
    pub request_head: Duration,
    /// The next piece of a request's body.
    pub request_body: Duration,
    /// The next request of a connection.
    pub visitor_idle: Duration,
    /// A visitor who takes nothing of what is ready for him.
    pub visitor_stall: Duration,
    /// A connection to the origin.
    pub connect: Duration,
    /// The head of the origin's answer.
    pub response_head: Duration,
    /// The next piece of the origin's body.
    pub response_body: Duration,
    /// A connection to the origin that nobody uses.
    pub origin_idle: Duration,
    /// A connection to the origin that is used all the time.
    pub origin_connection: Duration,
    /// Exchanges under way when the proxy is told to stop.
    pub drain: Duration,
    /// How long visitors are still taken then, for whoever sends them to notice
    /// that no more are wanted.
    pub drain_delay: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(10),
            request_body: Duration::from_secs(30),
            visitor_idle: Duration::from_secs(75),
            visitor_stall: Duration::from_secs(30),
            connect: Duration::from_secs(5),
            response_head: Duration::from_secs(60),
            response_body: Duration::from_secs(60),
            origin_idle: Duration::from_secs(30),
            origin_connection: Duration::from_secs(300),
            drain: Duration::from_secs(20),
            drain_delay: Duration::ZERO,
        }
    }
}
