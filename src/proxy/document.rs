//! Which responses are documents that load or run something of their own.
//!
//! Pages are, and so are the pieces of pages that scripts fetch and insert. An
//! SVG file is one where a browser opens or frames it; as a picture it can run
//! and load nothing, and leaves as it came. Everything else passes: data for
//! scripts (JSON, `text/x-component`) is nothing that runs, and what it makes
//! scripts load is held in the browser. Archives of pages (MHTML) and
//! `multipart/x-mixed-replace` pass, too: browsers save the one and show
//! pictures only out of the other.

use crate::proxy::variant::Destination;

use http::StatusCode;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::response::Parts;

/// Whether a response must be judged as a document.
pub(super) fn is_document(parts: &Parts, destination: Destination) -> bool {
    is_page(parts)
        || match essence(parts).unwrap_or_default().as_str() {
            "text/vnd.turbo-stream.html" => parts.status.is_success(),
            "image/svg+xml" => destination.may_be_page() && parts.status.is_success(),
            _ => false,
        }
}

/// Whether a partial response holds a part of such a document, or several parts
/// of which any may be one (RFC 9110, 14.6).
pub(super) fn is_in(parts: &Parts, destination: Destination) -> bool {
    let is_several = essence(parts).is_some_and(|essence| essence.starts_with("multipart/"));
    is_several || is_document(parts, destination)
}

/// Whether a response is a page. What does not say what it is may be taken for
/// one by a browser.
fn is_page(parts: &Parts) -> bool {
    let bodiless = matches!(
        parts.status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    if bodiless || parts.status.is_informational() {
        return false;
    }
    match essence(parts).as_deref() {
        None => !parts.headers.contains_key(X_CONTENT_TYPE_OPTIONS),
        Some(
            "text/html"
            | "application/xhtml+xml"
            | ""
            | "unknown/unknown"
            | "application/unknown"
            | "*/*",
        ) => true,
        Some(_) => false,
    }
}

/// Whether it is XML, to which no HTML can be added: browsers refuse the whole.
pub(super) fn is_xml(parts: &Parts) -> bool {
    essence(parts).is_some_and(|essence| essence.ends_with("+xml"))
}

/// What a response says it is, without parameters and in lower case. Of several
/// statements browsers believe the last that names a type.
fn essence(parts: &Parts) -> Option<String> {
    let field = parts.headers.get_all(CONTENT_TYPE).iter().next_back()?;
    let text = field.to_str().unwrap_or_default();
    let mut is_quoted = false;
    let mut is_escaped = false;
    let outside = |byte: char| {
        is_quoted ^= byte == '"' && !is_escaped;
        is_escaped = byte == '\\' && is_quoted && !is_escaped;
        byte == ',' && !is_quoted
    };
    let essence = |said: &str| {
        let essence = said.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    };
    let said: Vec<String> = text.split(outside).map(essence).collect();
    let named = said.iter().rfind(|said| said.contains('/') && *said != "*/*");
    named.or(said.last()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;

    #[test]
    fn the_type_is_found_among_several_and_beside_any_parameter() {
        for (field, expected) in [
            ("text/html", "text/html"),
            ("Text/HTML ; charset=utf-8", "text/html"),
            ("text/plain, text/html; charset=utf-8", "text/html"),
            ("image/svg+xml; x=\"a,b\"", "image/svg+xml"),
            ("image/svg+xml, */*", "image/svg+xml"),
            ("multipart/byteranges; boundary=\"a,b\"", "multipart/byteranges"),
            ("text/html; x=\"a\\\",text/plain\"", "text/html"),
            ("text/html; x=\"a", "text/html"),
            ("text/html; x=\"a\", text/css", "text/css"),
            ("*/*", "*/*"),
            ("", ""),
            ("html", "html"),
        ] {
            let response = Response::builder().header(CONTENT_TYPE, field).body(()).unwrap();
            assert_eq!(essence(&response.into_parts().0).as_deref(), Some(expected), "{field}");
        }
        assert_eq!(essence(&Response::new(()).into_parts().0), None);
    }
}
