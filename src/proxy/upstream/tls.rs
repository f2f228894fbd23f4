//! TLS towards origins and other servers of the operator's choice.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
pub(in crate::proxy) fn tls_config(
    ca_file: Option<&Path>,
) -> Result<Arc<ClientConfig>, UpstreamError> {
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
