//! What an operator can set about listening, limits and waiting.

use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything the proxy needs besides the sites.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where visitors connect.
    pub listen: SocketAddr,
    /// Certificate and key in PEM files; plain http without.
    pub tls: Option<TlsFiles>,
    /// Worker threads, each with its own runtime; 0 for one a core.
    pub workers: usize,
    /// Peers whose `X-Forwarded-*` fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether origins are told by `Via` that a proxy asks.
    pub origin_via: bool,
    /// More certificate authorities for origins over https, a PEM file.
    pub origin_ca_file: Option<PathBuf>,
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            head_fields: 200,
            request_body_bytes: 64 * 1024 * 1024,
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
    /// A connection to the origin.
    pub connect: Duration,
    /// The head of the origin's answer.
    pub response_head: Duration,
    /// The next piece of the origin's body.
    pub response_body: Duration,
    /// A connection to the origin that nobody uses.
    pub origin_idle: Duration,
    /// Exchanges under way when the proxy is told to stop.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(10),
            request_body: Duration::from_secs(30),
            connect: Duration::from_secs(5),
            response_head: Duration::from_secs(60),
            response_body: Duration::from_secs(60),
            origin_idle: Duration::from_secs(30),
            drain: Duration::from_secs(20),
        }
    }
}
