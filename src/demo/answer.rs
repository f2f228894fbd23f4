//! Turns content into a response, the way a well-kept origin does: with an
//! ETag, compressed where the client takes it, and 304 where it has it.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use std::io::Write;

/// Something to send, before it is known how.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) status: StatusCode,
    pub(super) media_type: &'static str,
    pub(super) body: Bytes,
}

impl Content {
    /// An HTML page.
    pub(super) fn page(status: StatusCode, html: String) -> Self {
        Self { status, media_type: "text/html; charset=utf-8", body: html.into() }
    }

    /// A file.
    pub(super) fn file(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, media_type, body: body.into() }
    }

    /// The response to a request with those headers.
    pub(super) fn answer(self, request: &HeaderMap) -> Response<Full<Bytes>> {
        let gzip = accepts_gzip(request).then(|| compressed(&self.body)).flatten();
        let etag = etag(&self.body, gzip.is_some());
        let known = self.status == StatusCode::OK && has(request, &etag);
        let encoded = gzip.is_some();
        let body = if known { Bytes::new() } else { gzip.unwrap_or(self.body) };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = if known { StatusCode::NOT_MODIFIED } else { self.status };
        let headers = response.headers_mut();
        put(headers, ETAG, &etag);
        put(headers, VARY, "Accept-Encoding, Consentry-Consent");
        if !known {
            put(headers, CONTENT_TYPE, self.media_type);
            if encoded {
                put(headers, CONTENT_ENCODING, "gzip");
            }
        }
        response
    }
}

/// Adds a header; what cannot stand in one is left out.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    let fields = request.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn compressed(body: &[u8]) -> Option<Bytes> {
    let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::default());
    gzip.write_all(body).ok()?;
    gzip.finish().ok().map(Bytes::from)
}

/// A strong tag names one sequence of bytes, so each coding has its own.
fn etag(body: &[u8], gzip: bool) -> String {
    let digest = Sha256::digest(body);
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    if gzip { format!("\"{hex}-gzip\"") } else { format!("\"{hex}\"") }
}

fn has(request: &HeaderMap, etag: &str) -> bool {
    let fields = request.get_all(IF_NONE_MATCH).iter().filter_map(|field| field.to_str().ok());
    fields
        .flat_map(|field| field.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("br", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            assert_eq!(accepts_gzip(&headers), expected, "{accepted}");
        }
    }

    #[test]
    fn a_page_the_client_has_is_not_sent_again() {
        let page = || Content::page(StatusCode::OK, "<p>Hello".into());
        let tag = page().answer(&HeaderMap::new()).headers()[ETAG].clone();
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, tag);
        assert_eq!(page().answer(&headers).status(), StatusCode::NOT_MODIFIED);
    }
}
