//! What is answered at `/.well-known/gpc.json`: that Global Privacy Control is
//! honoured here, unless the origin says so itself.

use crate::proxy::body::{self, Body, Source};
use crate::visitor;

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Response, StatusCode};

/// Whether a request asks for it.
pub(super) fn is_asked(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && path == "/.well-known/gpc.json"
}

/// Whether the origin makes a statement of its own about Global Privacy
/// Control. Many answer any path with their start page, which is none.
pub(super) fn is_stated(response: &Response<Source>) -> bool {
    let kind =
        response.headers().get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    matches!(response.status(), StatusCode::OK | StatusCode::NOT_MODIFIED)
        && kind.is_none_or(|kind| kind.to_ascii_lowercase().contains("json"))
}

/// Our own statement.
pub(super) fn answer(now_s: u64) -> Response<Body> {
    let date = jiff::Timestamp::from_second(i64::try_from(now_s).unwrap_or(0))
        .map_or_else(|_| "2026-01-01".to_owned(), |time| time.strftime("%Y-%m-%d").to_string());
    let bytes = visitor::gpc_support(&date);
    let mut response = Response::new(body::full(bytes.clone()));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    response
}
