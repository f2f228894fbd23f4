//! TLS towards visitors: which certificate a visitor is shown, and until when
//! it is good.

use crate::proxy::TlsFiles;

use arc_swap::ArcSwap;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, crypto::CryptoProvider};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use webpki::EndEntityCert;

/// How HTTP/2 is named in a handshake (RFC 9113, 3.1).
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Handshakes that a visitor with TLS 1.2 may take up again without tickets.
const SESSIONS: usize = 4096;

/// Why the certificate files were not taken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file holds no certificate.
    #[error("{path}: no certificate can be read: {why}; it must hold the chain in PEM form, the server's own first", path = path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key file holds no key.
    #[error("{path}: no private key can be read: {why}; it must hold one key in PEM form", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The answer of the authority cannot be read.
    #[error("{path}: cannot be read: {why}", path = path.display())]
    Ocsp {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// There is no place for certificates that are made.
    #[error("{path}: no certificates can be kept there: {why}", path = path.display())]
    Place {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// They do not belong together.
    #[error("{cert} and {key}: certificate and key do not fit together: {why}", cert = .files.cert.display(), key = .files.key.display())]
    Mismatch {
        /// The files.
        files: Box<TlsFiles>,
        /// What the TLS library said.
        why: rustls::Error,
    },
    /// The TLS library refuses its own defaults.
    #[error("TLS towards visitors cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The certificates that visitors are shown; others take their place while
/// connections go on.
#[derive(Debug)]
pub struct Certificates(ArcSwap<Shown>);

#[derive(Debug)]
struct Shown {
    files: Vec<TlsFiles>,
    /// For who names no host, or one that no certificate is for.
    first: Arc<CertifiedKey>,
    /// By the names in the certificates, some of them like `*.shop.example`.
    /// Several for one name differ in what a visitor must understand.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// When each is no longer good, in seconds since 1970.
    expiries: BTreeMap<PathBuf, u64>,
}

impl Certificates {
    /// Reads them; `None` where there are none, and visitors come over plain
    /// http.
    ///
    /// # Errors
    /// When a file cannot be read, or two do not fit together.
    pub fn read(all: &[TlsFiles]) -> Result<Option<Arc<Self>>, TlsError> {
        let shown = Shown::read(all)?;
        Ok(shown.map(|shown| Arc::new(Self(ArcSwap::from_pointee(shown)))))
    }

    /// Shows others from the next handshake on.
    ///
    /// # Errors
    /// As for [`Certificates::read`]; then the old ones stay.
    pub fn replace(&self, all: &[TlsFiles]) -> Result<(), TlsError> {
        if let Some(shown) = Shown::read(all)? {
            self.0.store(Arc::new(shown));
        }
        Ok(())
    }

    /// Shows what stands in the same files by now.
    pub(super) fn read_again(&self) -> Result<(), TlsError> {
        let files = self.0.load().files.clone();
        self.replace(&files)
    }

    /// Whether one of them is this one.
    #[must_use]
    pub fn holds(&self, certificate: &CertificateDer<'_>) -> bool {
        let shown = self.0.load();
        let is_it = |key: &Arc<CertifiedKey>| key.end_entity_cert().ok() == Some(certificate);
        is_it(&shown.first) || shown.by_name.values().flatten().any(is_it)
    }

    /// When each file's certificate is no longer good, in seconds since 1970.
    #[must_use]
    pub fn expiries(&self) -> Vec<(PathBuf, u64)> {
        let shown = self.0.load();
        shown.expiries.iter().map(|(path, expiry)| (path.clone(), *expiry)).collect()
    }

    /// What takes handshakes with them.
    pub(super) fn acceptor(self: &Arc<Self>, http2: bool) -> Result<TlsAcceptor, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols =
            [HTTP2, HTTP1].iter().skip(usize::from(!http2)).map(|name| name.to_vec()).collect();
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        config.ticketer = Ticketer::new()?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.load();
        let candidates = hello.server_name().map_or(&[][..], |name| shown.for_name(name));
        let understood = candidates
            .iter()
            .find(|key| key.key.choose_scheme(hello.signature_schemes()).is_some());
        Some(Arc::clone(understood.unwrap_or(&shown.first)))
    }
}

impl Shown {
    fn read(all: &[TlsFiles]) -> Result<Option<Self>, TlsError> {
        let mut first = None;
        let mut by_name: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        let mut expiries = BTreeMap::new();
        for files in all {
            let key = Arc::new(certified(files)?);
            if let Some(certificate) = key.cert.first() {
                for name in names(certificate) {
                    by_name.entry(name).or_default().push(Arc::clone(&key));
                }
                if let Some(expiry) = expiry(certificate) {
                    expiries.insert(files.cert.clone(), expiry);
                }
            }
            first.get_or_insert(key);
        }
        let files = all.to_vec();
        Ok(first.map(|first| Self { files, first, by_name, expiries }))
    }

    /// Those for a host; for a name one level above, if it has none of its own
    /// (RFC 9525, 6.3).
    fn for_name(&self, host: &str) -> &[Arc<CertifiedKey>] {
        let host = host.to_ascii_lowercase();
        let above = || {
            let (_, domain) = host.split_once('.')?;
            self.by_name.get(&format!("*.{domain}"))
        };
        self.by_name.get(&host).or_else(above).map_or(&[], Vec::as_slice)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A chain with its key, and with what the authority says about it, if that is
/// there.
fn certified(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let certificate = |why: String| TlsError::Certificate { path: files.cert.clone(), why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(certificate("it holds none".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| TlsError::Key { path: files.key.clone(), why: error.to_string() })?;
    let mut certified = CertifiedKey::from_der(chain, key, &provider())
        .map_err(|why| TlsError::Mismatch { files: Box::new(files.clone()), why })?;
    certified.ocsp = files.ocsp.as_deref().map(read_ocsp).transpose()?;
    Ok(certified)
}

fn read_ocsp(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|why| TlsError::Ocsp { path: path.to_owned(), why })
}

/// The hosts that a certificate is for, in lower case.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    EndEntityCert::try_from(certificate)
        .map(|parsed| parsed.valid_dns_names().map(str::to_ascii_lowercase).collect())
        .unwrap_or_default()
}

/// When a certificate is no longer good, in seconds since 1970.
///
/// Nothing else of it is of interest here, so no parser is brought along: asked
/// whether it is good at the end of time, the TLS library says until when it was.
fn expiry(certificate: &CertificateDer<'_>) -> Option<u64> {
    const END: Duration = Duration::from_secs(200_000_000_000);
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    let refused = parsed.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[],
        &[],
        UnixTime::since_unix_epoch(END),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    );
    match refused.err()? {
        webpki::Error::CertExpired { not_after, .. } => Some(not_after.as_secs()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn files(at: &Path, file: &str, hosts: &[&str], year: i32) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let cert = at.join(format!("{file}.pem"));
        let path = at.join(format!("{file}.key"));
        std::fs::write(&cert, certificate.pem()).unwrap();
        std::fs::write(&path, key.serialize_pem()).unwrap();
        TlsFiles { cert, key: path, ocsp: None }
    }

    #[test]
    fn k3_every_host_has_its_own_certificate() {
        let at = tempfile::tempdir().unwrap();
        let all = [
            files(at.path(), "one", &["shop.example", "www.shop.example"], 2040),
            files(at.path(), "two", &["*.Other.example"], 2041),
            files(at.path(), "three", &["exact.other.example"], 2042),
        ];
        let shown = Shown::read(&all).unwrap().unwrap();
        let own = |files: &TlsFiles| CertificateDer::from_pem_file(&files.cert).unwrap();
        for (host, expected) in [
            ("shop.example", Some(0)),
            ("WWW.shop.example", Some(0)),
            ("a.other.example", Some(1)),
            ("exact.other.example", Some(2)),
            ("a.b.other.example", None),
            ("other.example", None),
            ("unknown", None),
        ] {
            let found = shown.for_name(host).first();
            let found = found.and_then(|key| key.cert.first().cloned());
            assert_eq!(found, expected.map(|index: usize| own(&all[index])), "{host}");
        }
        let expiries: Vec<u64> = shown.expiries.values().copied().collect();
        assert_eq!(expiries, [2_208_988_800, 2_272_147_200, 2_240_611_200]);
    }
}
