//! Asks servers of the operator's choice: the receiver of alerts, a collector.

use crate::proxy::outside_tls;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::path::Path;
use std::time::Duration;

/// Whoever asks.
pub(super) type Outside = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Somebody to ask with, who trusts the authorities in `ca_file`, too.
pub(super) fn client(ca_file: Option<&Path>, patience: Duration) -> Result<Outside, String> {
    let tls = outside_tls(ca_file).map_err(|error| error.to_string())?;
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(patience));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config((*tls).clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    // They are asked so seldom that a kept connection would be gone as often as not.
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
}
