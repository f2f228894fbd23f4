//! Checks what is set about listening, limits, waiting and consent.

use crate::config::acme;
use crate::config::file::{Consent, File};
use crate::config::findings::Findings;
use crate::config::signals::{self, WrittenRegions};
use crate::config::written_listener::{Limits, Listener, Timeouts, WrittenCertificate};
use crate::consent::{self, Keys};
use crate::proxy::{self, Settings, TlsFiles};

use http::HeaderValue;
use ipnet::IpNet;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

const DAY_S: u64 = 24 * 60 * 60;

pub(super) fn proxy(file: &File, ledger_file: &Path, findings: &mut Findings<'_>) -> Settings {
    let ca_file = &file.origin.ca_file;
    let listen = address(&file.listener.address, findings);
    let tls = tls(&file.listener, findings);
    let acme = acme::settings(&file.acme, &file.listener, ledger_file, findings);
    Settings {
        listen,
        redirect: redirect(&file.listener, listen, !tls.is_empty() || acme.is_some(), findings),
        tls,
        acme,
        http2: file.listener.http2,
        hsts: hsts(&file.listener.hsts_s, findings),
        proxy_protocol: file.listener.proxy_protocol,
        workers: findings.number(&file.listener.workers, 0..=1024),
        trusted_proxies: trusted(&file.listener.trusted_proxies, findings),
        origin_via: file.origin.via,
        origin_ca_file: (!ca_file.get_ref().is_empty())
            .then(|| pem(ca_file, Pem::Certificate, findings)),
        origin_name_server: name_server(&file.origin.name_server, findings),
        name_server: name_server(&file.dns.server, findings),
        limits: limits(&file.limits, findings),
        timeouts: timeouts(&file.timeouts, findings),
    }
}

pub(super) fn admin(file: &File, proxy: &Settings, findings: &mut Findings<'_>) -> SocketAddr {
    let admin = address(&file.admin.address, findings);
    // Port 0 asks the system for any free port, twice if need be.
    if admin == proxy.listen && admin.port() != 0 {
        findings.wrong_with_advice(
            &file.admin.address,
            "visitors connect to this address",
            "give the operator another one: it must not be public",
        );
    }
    admin
}

pub(super) fn consent(
    file: &Consent,
    regions: &WrittenRegions,
    keys: Keys,
    findings: &mut Findings<'_>,
) -> consent::Settings {
    consent::Settings {
        keys,
        // Browsers drop a cookie after 400 days, and regulators ask for
        // a new question after 6 to 13 months.
        lifetime_s: findings.number(&file.lifetime_days, 1..=395).saturating_mul(DAY_S),
        notice_revision: findings.number(&file.notice_revision, 1..=u32::MAX),
        same_as: file.same_as.clone(),
        // Each site has its own.
        signals: consent::Signals::default(),
        regions: signals::regions(regions, findings),
    }
}

fn address(written: &Spanned<String>, findings: &mut Findings<'_>) -> SocketAddr {
    let text = written.get_ref();
    if let Ok(address) = text.parse() {
        return address;
    }
    let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    let advice = match (text.parse::<IpAddr>(), port) {
        (Ok(ip), _) => format!("add a port: `{}`", SocketAddr::new(ip, 8080)),
        (Err(_), Some(port)) if text.starts_with("localhost") => {
            format!("write `127.0.0.1:{port}`")
        }
        (Err(_), Some(port)) => {
            format!(
                "write `0.0.0.0:{port}` to listen everywhere, or `127.0.0.1:{port}` for this machine alone"
            )
        }
        (Err(_), None) => "write it like `127.0.0.1:8080`".to_owned(),
    };
    findings.wrong_with_advice(
        written,
        format!("`{text}` is not an IP address with a port"),
        advice,
    );
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

/// `None` for those of the system.
fn name_server(written: &Spanned<String>, findings: &mut Findings<'_>) -> Option<SocketAddr> {
    const PORT: u16 = 53;
    let text = written.get_ref().as_str();
    if text.is_empty() {
        return None;
    }
    let server = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| (ip, PORT).into()));
    if server.is_err() {
        findings.wrong_with_advice(
            written,
            format!("`{text}` is not a name server"),
            "write its IP address like `192.0.2.53` or `192.0.2.53:5353`; empty for the system's",
        );
    }
    server.ok()
}

fn trusted(written: &[Spanned<String>], findings: &mut Findings<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for network in written {
        let text = network.get_ref();
        match text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(network) => networks.push(network),
            Err(_) => findings.wrong_with_advice(
                network,
                format!("`{text}` is not a network"),
                "write it like `10.0.0.0/8`, or a single address like `10.1.2.3`",
            ),
        }
    }
    networks
}

/// The certificate for hosts that no other is for comes first.
fn tls(listener: &Listener, findings: &mut Findings<'_>) -> Vec<TlsFiles> {
    let (cert, key) = (&listener.tls_cert_file, &listener.tls_key_file);
    let mut all = Vec::new();
    match (cert.get_ref().is_empty(), key.get_ref().is_empty()) {
        (true, true) => {}
        (false, false) => all.push(TlsFiles {
            cert: pem(cert, Pem::Certificate, findings),
            key: pem(key, Pem::Key, findings),
            ocsp: None,
        }),
        (false, true) => findings.wrong_with_advice(
            cert,
            "a certificate without its key",
            "set `tls_key_file`, too",
        ),
        (true, false) => findings.wrong_with_advice(
            key,
            "a key without its certificate",
            "set `tls_cert_file`, too",
        ),
    }
    for entry in &listener.certificate {
        let WrittenCertificate { cert_file, key_file, ocsp_file } = entry.get_ref();
        if cert_file.get_ref().is_empty() || key_file.get_ref().is_empty() {
            findings.wrong_with_advice(
                entry,
                "a certificate without one of its files",
                "set `cert_file` and `key_file`",
            );
            continue;
        }
        all.push(TlsFiles {
            cert: pem(cert_file, Pem::Certificate, findings),
            key: pem(key_file, Pem::Key, findings),
            ocsp: (!ocsp_file.get_ref().is_empty()).then(|| readable(ocsp_file, findings)),
        });
    }
    all
}

/// A file of which only the TLS library knows what it should hold.
fn readable(path: &Spanned<String>, findings: &mut Findings<'_>) -> PathBuf {
    findings.stamps.look_at(Path::new(path.get_ref()));
    if let Err(error) = std::fs::read(path.get_ref()) {
        findings.unreadable(path, &error);
    }
    PathBuf::from(path.get_ref())
}

/// Where plain http is sent on to https, which there must be.
fn redirect(
    listener: &Listener,
    listen: SocketAddr,
    has_tls: bool,
    findings: &mut Findings<'_>,
) -> Option<SocketAddr> {
    let written = &listener.redirect_address;
    if written.get_ref().is_empty() {
        return None;
    }
    let redirect = address(written, findings);
    if !has_tls {
        findings.wrong_with_advice(
            written,
            "there is no https to send visitors to",
            "set `tls_cert_file` and `tls_key_file`, or leave this out",
        );
    } else if redirect == listen && redirect.port() != 0 {
        findings.wrong_with_advice(
            written,
            "visitors connect to this address over https",
            "give plain http a port of its own, such as 80",
        );
    }
    Some(redirect)
}

/// `max-age` alone: what holds for subdomains is more than this site's business.
fn hsts(written: &Spanned<u64>, findings: &mut Findings<'_>) -> Option<HeaderValue> {
    let seconds: u64 = findings.number(written, 0..=100 * 365 * DAY_S);
    (seconds > 0).then(|| HeaderValue::try_from(format!("max-age={seconds}")).ok()).flatten()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pem {
    Certificate,
    Key,
}

impl Pem {
    fn is_in(self, text: &[u8]) -> bool {
        match self {
            Self::Certificate => CertificateDer::from_pem_slice(text).is_ok(),
            Self::Key => PrivateKeyDer::from_pem_slice(text).is_ok(),
        }
    }
}

/// A file of certificate authorities.
pub(super) fn certificates(path: &Spanned<String>, findings: &mut Findings<'_>) -> PathBuf {
    pem(path, Pem::Certificate, findings)
}

/// A PEM file that holds what it should. Whether key and certificate belong
/// together is for the listener to find out, which has to read them anyway.
fn pem(path: &Spanned<String>, wanted: Pem, findings: &mut Findings<'_>) -> PathBuf {
    findings.stamps.look_at(Path::new(path.get_ref()));
    match std::fs::read(path.get_ref()) {
        Err(error) => findings.unreadable(path, &error),
        Ok(text) if wanted.is_in(&text) => {}
        Ok(text) => {
            let (name, other) = match wanted {
                Pem::Certificate => ("certificate", Pem::Key),
                Pem::Key => ("private key", Pem::Certificate),
            };
            let advice = if other.is_in(&text) {
                "certificate and key look swapped"
            } else if wanted == Pem::Key {
                "it begins with `-----BEGIN PRIVATE KEY-----` and is not encrypted"
            } else {
                "it begins with `-----BEGIN CERTIFICATE-----`"
            };
            findings.wrong_with_advice(
                path,
                format!("`{}` holds no {name} in PEM form", path.get_ref()),
                advice,
            );
        }
    }
    PathBuf::from(path.get_ref())
}

fn limits(written: &Limits, findings: &mut Findings<'_>) -> proxy::Limits {
    const GIB: usize = 1 << 30;
    proxy::Limits {
        // Hyper does not take a smaller buffer for a head.
        head_bytes: findings.number(&written.head_bytes, 8192..=16 << 20),
        head_fields: findings.number(&written.head_fields, 10..=10_000),
        request_body_bytes: findings.number(&written.request_body_bytes, 1..=1 << 40),
        request_body_bytes_per_second: findings
            .number(&written.request_body_bytes_per_second, 1..=1 << 30),
        page_memory_bytes: findings.number(&written.page_memory_bytes, 1024..=GIB),
        page_inflation: findings.number(&written.page_inflation, 1..=100_000),
        memo_bytes: findings.number(&written.memo_bytes, 0..=1 << 40),
        connections: findings.number(&written.connections, 1..=10_000_000),
        requests_per_second: findings.number(&written.requests_per_second, 0..=1_000_000),
        request_burst: findings.number(&written.request_burst, 1..=10_000_000),
        counted_visitors: findings.number(&written.counted_visitors, 1..=100_000_000),
    }
}

fn timeouts(written: &Timeouts, findings: &mut Findings<'_>) -> proxy::Timeouts {
    const DAY_S: f64 = 86_400.0;
    let mut seconds = |value: &Spanned<f64>, least: f64| {
        Duration::try_from_secs_f64(findings.number(value, least..=DAY_S)).unwrap_or_default()
    };
    proxy::Timeouts {
        handshake: seconds(&written.handshake_s, 0.01),
        request_head: seconds(&written.request_head_s, 0.01),
        request_body: seconds(&written.request_body_s, 0.01),
        visitor_idle: seconds(&written.visitor_idle_s, 0.01),
        visitor_stall: seconds(&written.visitor_stall_s, 0.01),
        connect: seconds(&written.connect_s, 0.01),
        response_head: seconds(&written.response_head_s, 0.01),
        response_body: seconds(&written.response_body_s, 0.01),
        origin_idle: seconds(&written.origin_idle_s, 0.01),
        origin_connection: seconds(&written.origin_connection_s, 0.01),
        drain: seconds(&written.drain_s, 0.0),
        drain_delay: seconds(&written.drain_delay_s, 0.0),
    }
}
