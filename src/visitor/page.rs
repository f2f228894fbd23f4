//! What all our own pages share: the frame around the text, and the header
//! fields that keep them out of caches, frames and search engines.

use crate::visitor::Visit;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

/// Inline, so that a page is one answer. Nothing in it moves, so there is
/// nothing to slow down for visitors who prefer reduced motion.
pub(super) const STYLE: &str = include_str!("page.css");

fn security_policy(style: &str) -> HeaderValue {
    let hash = STANDARD.encode(Sha256::digest(style));
    value(&format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ))
}

/// A whole page.
pub(super) fn html(
    status: StatusCode,
    title: &str,
    main: &Markup,
    visit: &Visit<'_>,
) -> Response<Bytes> {
    let texts = visit.texts();
    let style = format!("{STYLE}{}", visit.site.notice.theme.page);
    let page = html! {
        (DOCTYPE)
        html lang=(texts.lang) dir=(texts.dir.name()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " \u{2013} " (visit.operator()) }
                style { (PreEscaped(&style)) }
            }
            body {
                main {
                    p.site { (visit.operator()) }
                    h1 { (title) }
                    (main)
                }
            }
        }
    };
    let mut response = filled(status, "text/html; charset=utf-8", page.into_string());
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, security_policy(&style));
    response
}

/// An answer with a body.
pub(super) fn filled(
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response<Bytes> {
    let mut response = empty(status);
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = Bytes::from(body);
    response
}

/// A script of ours. Under its own name it can be kept for ever; under an
/// older one, which an old copy of a page asks for, it is good for once.
pub(super) fn script(body: &Bytes, is_current: bool) -> Response<Bytes> {
    let mut response = empty(StatusCode::OK);
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if is_current {
        let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
        fields.insert(CACHE_CONTROL, kept);
    }
    *response.body_mut() = body.clone();
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    fields.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    fields.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    fields.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

/// A field value; what cannot be one becomes empty.
pub(super) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::trial::{self, Trial};

    #[test]
    fn pages_stay_out_of_caches_frames_and_search_engines() {
        let trial = Trial::new();
        for path in ["/.consentry/choices", "/.consentry/me", "/.consentry/nothing"] {
            let page = trial.get(path);
            for (name, expected) in [
                ("content-type", "text/html; charset=utf-8"),
                ("cache-control", "private, no-store"),
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "same-origin"),
                ("x-frame-options", "DENY"),
                ("x-robots-tag", "noindex"),
            ] {
                assert_eq!(page.headers()[name], expected, "{path}");
            }
        }
    }

    #[test]
    fn the_policy_lets_in_our_style_and_nothing_else() {
        let page = Trial::new().get("/.consentry/choices");
        let html = std::str::from_utf8(page.body()).unwrap();
        let (_, rest) = html.split_once("<style>").unwrap();
        let (style, rest) = rest.split_once("</style>").unwrap();
        let hash = STANDARD.encode(Sha256::digest(style));
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert_eq!(
            policy,
            format!(
                "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            )
        );
        assert!(!rest.contains("<style") && !rest.contains("style="));
        for word in ["<script", "<link", "<img", "<iframe", "onclick", "url(", "@import", "://"] {
            assert!(!html.contains(word), "{word}");
        }
    }

    #[test]
    fn every_text_can_be_read_in_the_light_and_in_the_dark() {
        trial::check_contrast(STYLE);
    }

    #[test]
    fn a_name_is_a_name_and_not_markup() {
        let mut trial = Trial::new();
        trial.site.notice.operator = "<script>alert(1)</script>&\"'".into();
        trial.site.notice.policy_url = "javascript:alert(1)".into();
        for path in ["/.consentry/choices?return_to=/%22%3E%3Cscript%3E", "/.consentry/me"] {
            let page = trial.get(path);
            assert!(trial::tags(page.body(), "script").is_empty());
            assert!(trial::text(&page).contains("<script>alert(1)</script>&\"'"));
            assert!(!std::str::from_utf8(page.body()).unwrap().contains("javascript:"));
        }
    }
}
