//! What an operator can write about visitors' connections.

use crate::config::file::default;
use crate::proxy;

use serde::{Deserialize, Serialize};
use std::time::Duration;
use toml::Spanned;

/// Where visitors connect.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[listener]`")]
pub struct Listener {
    /// Address and port.
    pub address: Spanned<String>,
    /// Certificate chain, PEM; empty for plain http.
    pub tls_cert_file: Spanned<String>,
    /// Its private key, PEM.
    pub tls_key_file: Spanned<String>,
    /// More certificates, for other hosts.
    #[serde(skip_serializing)]
    pub certificate: Vec<Spanned<WrittenCertificate>>,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// Where plain http is answered with the way to https; empty for nowhere.
    pub redirect_address: Spanned<String>,
    /// How long browsers come over https only; 0 to tell them nothing.
    pub hsts_s: Spanned<u64>,
    /// Whether trusted peers say in front of each connection whose it is.
    pub proxy_protocol: bool,
    /// Worker threads; 0 for one a core.
    pub workers: Spanned<usize>,
    /// Peers whose `X-Forwarded-*` fields are believed.
    pub trusted_proxies: Vec<Spanned<String>>,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: default("127.0.0.1:8080".into()),
            tls_cert_file: default(String::new()),
            tls_key_file: default(String::new()),
            certificate: Vec::new(),
            http2: true,
            redirect_address: default(String::new()),
            hsts_s: default(0),
            proxy_protocol: false,
            workers: default(0),
            trusted_proxies: vec![default("127.0.0.0/8".into()), default("::1/128".into())],
        }
    }
}

/// A certificate for some of the hosts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a certificate, written `[[listener.certificate]]`"
)]
pub struct WrittenCertificate {
    /// The chain, PEM.
    pub cert_file: Spanned<String>,
    /// Its private key, PEM.
    pub key_file: Spanned<String>,
    /// What the authority says about it (OCSP, DER); empty for nothing.
    pub ocsp_file: Spanned<String>,
}

impl Default for WrittenCertificate {
    fn default() -> Self {
        let empty = || default(String::new());
        Self { cert_file: empty(), key_file: empty(), ocsp_file: empty() }
    }
}

/// How much of anything is taken; the keys are those of [`proxy::Limits`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[limits]`")]
#[expect(missing_docs, reason = "the same names are explained at `proxy::Limits`")]
pub struct Limits {
    pub head_bytes: Spanned<usize>,
    pub head_fields: Spanned<usize>,
    pub request_body_bytes: Spanned<u64>,
    pub request_body_bytes_per_second: Spanned<u32>,
    pub page_memory_bytes: Spanned<usize>,
    pub page_inflation: Spanned<u64>,
    pub memo_bytes: Spanned<u64>,
    pub connections: Spanned<usize>,
    pub requests_per_second: Spanned<u32>,
    pub request_burst: Spanned<u32>,
    pub counted_visitors: Spanned<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        let ours = proxy::Limits::default();
        Self {
            head_bytes: default(ours.head_bytes),
            head_fields: default(ours.head_fields),
            request_body_bytes: default(ours.request_body_bytes),
            request_body_bytes_per_second: default(ours.request_body_bytes_per_second),
            page_memory_bytes: default(ours.page_memory_bytes),
            page_inflation: default(ours.page_inflation),
            memo_bytes: default(ours.memo_bytes),
            connections: default(ours.connections),
            requests_per_second: default(ours.requests_per_second),
            request_burst: default(ours.request_burst),
            counted_visitors: default(ours.counted_visitors),
        }
    }
}

/// How long anything is waited for, in seconds; the keys are those of
/// [`proxy::Timeouts`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[timeouts]`")]
#[expect(missing_docs, reason = "the same names are explained at `proxy::Timeouts`")]
pub struct Timeouts {
    pub handshake_s: Spanned<f64>,
    pub request_head_s: Spanned<f64>,
    pub request_body_s: Spanned<f64>,
    pub visitor_idle_s: Spanned<f64>,
    pub visitor_stall_s: Spanned<f64>,
    pub connect_s: Spanned<f64>,
    pub response_head_s: Spanned<f64>,
    pub response_body_s: Spanned<f64>,
    pub origin_idle_s: Spanned<f64>,
    pub origin_connection_s: Spanned<f64>,
    pub drain_s: Spanned<f64>,
    pub drain_delay_s: Spanned<f64>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let ours = proxy::Timeouts::default();
        let seconds = |time: Duration| default(time.as_secs_f64());
        Self {
            handshake_s: seconds(ours.handshake),
            request_head_s: seconds(ours.request_head),
            request_body_s: seconds(ours.request_body),
            visitor_idle_s: seconds(ours.visitor_idle),
            visitor_stall_s: seconds(ours.visitor_stall),
            connect_s: seconds(ours.connect),
            response_head_s: seconds(ours.response_head),
            response_body_s: seconds(ours.response_body),
            origin_idle_s: seconds(ours.origin_idle),
            origin_connection_s: seconds(ours.origin_connection),
            drain_s: seconds(ours.drain),
            drain_delay_s: seconds(ours.drain_delay),
        }
    }
}
