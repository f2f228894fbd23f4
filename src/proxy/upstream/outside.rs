//! Asks other servers than origins, now and then: the receiver of alerts, a
//! collector, lists, an authority that makes certificates, a site to look at.

use crate::proxy::upstream::tls::{UpstreamError, tls_config};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::path::Path;
use std::time::Duration;

/// Whoever asks. What is sent is one piece for all of them: each kind of body
/// would be all of the client's code once more.
pub type Outside = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Somebody to ask with, over HTTP/1.1, with and without TLS, who waits so long
/// for a connection, keeps so many of each server's for the next question and
/// trusts the authorities in `ca_file`, too.
///
/// # Errors
/// When the authorities in `ca_file` cannot be read.
pub fn outside(
    ca_file: Option<&Path>,
    patience: Duration,
    kept: usize,
) -> Result<Outside, UpstreamError> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(patience));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config((*tls_config(ca_file)?).clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(kept).build(connector))
}
