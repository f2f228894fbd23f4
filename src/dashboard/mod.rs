//! The admin listener: health and metrics for the operator. It never listens
//! where visitors do.

use crate::ledger::{Ledger, Status};
use crate::observe::Observe;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// What the admin listener answers from.
#[derive(Debug)]
pub struct Admin {
    /// Counters.
    pub observe: Arc<Observe>,
    /// The ledger's state.
    pub ledger: Arc<Ledger>,
    /// Whether the proxy has been told to stop.
    pub draining: Arc<AtomicBool>,
}

/// A running admin listener; it stops when dropped.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl AdminServer {
    /// Starts listening.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn start(address: SocketAddr, admin: Admin) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let admin = Arc::new(admin);
        let task = tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let admin = Arc::clone(&admin);
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let response = admin.answer(&request);
                        async move { Ok::<_, std::convert::Infallible>(response) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(Duration::from_secs(10))
                        .serve_connection(TokioIo::new(socket), service);
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "an admin connection ended early");
                    }
                });
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Admin {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
        }
        match request.uri().path() {
            "/" => {
                text(StatusCode::OK, "consentry admin listener: /livez /readyz /healthz /metrics\n")
            }
            "/livez" => text(StatusCode::OK, "alive\n"),
            "/readyz" | "/healthz" => self.ready(),
            "/metrics" => self.metrics(),
            _ => text(
                StatusCode::NOT_FOUND,
                "not found; try /livez, /readyz, /healthz or /metrics\n",
            ),
        }
    }

    /// Ready means: visitors may be sent here. A ledger in trouble does not
    /// make the proxy unready, since visitors are served and filtered all the
    /// same; it is said in the answer and in the metrics.
    fn ready(&self) -> Response<Full<Bytes>> {
        let status = self.ledger.status();
        let draining = self.draining.load(Ordering::Relaxed);
        let body = serde_json::json!({
            "ready": !draining,
            "draining": draining,
            "ledger": {
                "ok": status.last_error.is_none() && status.lost_entries == 0,
                "writer": status.writer,
                "spooled_bytes": status.queued_bytes,
                "written_entries": status.written_entries,
                "lost_entries": status.lost_entries,
                "last_error": status.last_error,
            },
        });
        let code = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let mut response = text(code, &format!("{body}\n"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let Status { queued_bytes, written_entries, lost_entries, .. } = self.ledger.status();
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let metrics = self.observe.metrics();
        metrics.spooled_bytes.set(gauge(queued_bytes));
        metrics.entries_written.set(gauge(written_entries));
        metrics.entries_lost.set(gauge(lost_entries));
        let mut response = text(StatusCode::OK, &self.observe.exposition());
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
        );
        response
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
