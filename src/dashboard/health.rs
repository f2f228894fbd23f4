//! How the proxy is, for balancers and for Prometheus. Needs no session.

use crate::dashboard::office::Office;
use crate::watch::gauges;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Where it is asked for.
pub(super) const PATHS: [&str; 4] = ["/livez", "/readyz", "/healthz", "/metrics"];

pub(super) fn router() -> Router<Arc<Office>> {
    Router::new()
        .route("/livez", get(|| async { text(StatusCode::OK, "alive\n".to_owned()) }))
        .route("/readyz", get(ready))
        .route("/healthz", get(ready))
        .route("/metrics", get(metrics))
}

/// Ready means: visitors may be sent here. A ledger in trouble does not
/// make the proxy unready, since visitors are served and filtered all the
/// same; it is said in the answer and in the metrics.
async fn ready(State(office): State<Arc<Office>>) -> Response {
    let status = office.ledger.status();
    let draining = office.draining.load(Ordering::Relaxed);
    let seen = office.self_check.status();
    let mut body = serde_json::json!({
        "ready": !draining,
        "draining": draining,
        "ledger": {
            "ok": status.last_error.is_none() && status.lost_entries == 0 && !status.is_full,
            "writer": status.writer,
            "spooled_bytes": status.queued_bytes,
            "written_entries": status.written_entries,
            "lost_entries": status.lost_entries,
            "database_bytes": status.database_bytes,
            "full": status.is_full,
            "last_error": status.last_error,
        },
        "self_check": {
            "ok": seen.is_green(),
            "last_run_ms": seen.last_run_ms,
            "sites": seen.sites,
        },
    });
    if let (Some(fleet), Some(ledger)) = (status.fleet, body.get_mut("ledger")) {
        ledger["fleet"] = serde_json::json!({
            "connected": fleet.connected,
            "behind_entries": fleet.behind_entries,
            "last_error": fleet.last_error,
        });
    }
    let code = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let mut response = text(code, format!("{body}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn metrics(State(office): State<Arc<Office>>) -> Response {
    gauges::set(office.observe.metrics(), &office.ledger.status());
    let mut response = text(StatusCode::OK, office.observe.exposition());
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    );
    response
}

fn text(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
