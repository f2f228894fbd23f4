//! Which responses are documents that load or run something of their own.
//!
//! Pages are, and so are the pieces of pages that scripts fetch and insert. An
//! SVG file is one where a browser opens or frames it; as a picture it can run
//! and load nothing, and leaves as it came. Everything else passes: data for
//! scripts (JSON, `text/x-component`) is nothing that runs, and what it makes
//! scripts load is held in the browser. Archives of pages (MHTML) and
//! `multipart/x-mixed-replace` pass, too: browsers save the one and show
//! pictures only out of the other.

use crate::proxy::page;
use crate::proxy::variant::Destination;

use http::header::CONTENT_TYPE;
use http::response::Parts;

/// Whether a response must be judged as a document.
pub(super) fn is_document(parts: &Parts, destination: Destination) -> bool {
    page::is_page(parts)
        || match essence(parts).as_str() {
            "text/vnd.turbo-stream.html" => parts.status.is_success(),
            "image/svg+xml" => destination.may_be_page() && parts.status.is_success(),
            _ => false,
        }
}

/// Whether it is XML, to which no HTML can be added: browsers refuse the whole.
pub(super) fn is_xml(parts: &Parts) -> bool {
    essence(parts).ends_with("+xml")
}

fn essence(parts: &Parts) -> String {
    let field = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = field.and_then(|field| field.split(';').next()).unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}
