//! How every page looks, and the header fields that keep strangers out of it.

use crate::dashboard::routes::navigation;
use crate::dashboard::session::Session;

use axum::body::{Body, to_bytes};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use maud::{DOCTYPE, Markup, html};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use url::form_urlencoded;

const STYLE: &str = include_str!("office.css");

/// The media type of problem details (RFC 9457).
pub(super) const PROBLEM: &str = "application/problem+json";

/// What a browser may do with our pages: show them, with our style sheet. No
/// page has a script, so none runs, whatever the ledger holds.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The longest plain answer that is put in our words.
const PLAIN_BYTES: usize = 4096;

/// Where the style sheet is. The name changes with its content, so that a
/// browser may keep it.
pub(super) fn style_path() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| {
        let hash: String =
            Sha256::digest(STYLE).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("/static/office-{hash}.css")
    });
    &PATH
}

/// The style sheet.
pub(super) async fn style() -> Response {
    let mut response = answer(StatusCode::OK, "text/css; charset=utf-8", STYLE.to_owned());
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(CACHE_CONTROL, kept);
    response
}

/// A page for somebody who is signed in. `current` is the address in the
/// navigation that it belongs to.
#[must_use]
pub fn page(session: &Session, title: &str, current: &str, body: &Markup) -> Response {
    let frame = html! {
        a.skip href="#content" { "Skip to the content" }
        header {
            p.brand { a href="/" { "consentry" } }
            nav aria-label="Dashboard" {
                ul {
                    @for (path, label) in navigation() {
                        li { a href=(path) aria-current=[(*path == current).then_some("page")] { (label) } }
                    }
                }
            }
            form.leave method="post" action="/sign-out" {
                (csrf(session))
                span.quiet { (session.name) " (" (session.role.name()) ")" }
                button.plain { "Sign out" }
            }
        }
        main #content tabindex="-1" {
            h1 { (title) }
            (body)
        }
    };
    whole(StatusCode::OK, title, &frame)
}

/// A page for somebody who is not signed in, or who went wrong.
pub(super) fn bare(status: StatusCode, title: &str, body: &Markup) -> Response {
    let frame = html! {
        main.alone #content {
            p.brand { "consentry" }
            h1 { (title) }
            (body)
        }
    };
    whole(status, title, &frame)
}

/// The address of a page that is asked for something.
pub(super) fn address(path: &str, asked: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(asked);
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The hidden field that every form needs; see [`Session::csrf`].
#[must_use]
pub fn csrf(session: &Session) -> Markup {
    html! { input type="hidden" name="csrf" value=(session.csrf); }
}

/// Says why something is not done, to a person or to a program.
pub(super) fn refusal(api: bool, status: StatusCode, title: &str, detail: &str) -> Response {
    if api {
        let problem = json!({
            "type": "about:blank",
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
        });
        return answer(status, PROBLEM, problem.to_string());
    }
    let body = html! {
        p { (detail) }
        p { a href="/" { "To the dashboard" } }
    };
    bare(status, title, &body)
}

fn whole(status: StatusCode, title: &str, frame: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " \u{2013} consentry" }
                link rel="stylesheet" href=(style_path());
                link rel="icon" href="data:,";
            }
            body { (frame) }
        }
    };
    answer(status, "text/html; charset=utf-8", page.into_string())
}

/// An answer with a body.
pub(super) fn answer(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// An error that was made elsewhere, as one of our pages or problems.
pub(super) async fn in_our_words(api: bool, response: Response) -> Response {
    let status = response.status();
    let ours = response.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.starts_with("text/html") || kind == PROBLEM)
    });
    if ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let detail = to_bytes(body, PLAIN_BYTES).await.unwrap_or_default();
    let detail = String::from_utf8(detail.to_vec()).unwrap_or_default();
    let title = status.canonical_reason().unwrap_or("This did not work");
    let said = refusal(api, status, title, &detail);
    let (said, body) = said.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.extend(said.headers);
    Response::from_parts(parts, body)
}

/// The header fields that every answer has.
///
/// The referrer is our own business, and stays on our own pages; without any
/// (`no-referrer`) browsers would send `Origin: null` with our own forms
/// (<https://fetch.spec.whatwg.org/#append-a-request-origin-header>).
pub(super) fn sealed(mut response: Response) -> Response {
    let fields = response.headers_mut();
    fields.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::session::Way;
    use crate::dashboard::users::Role;

    #[tokio::test]
    async fn hostile_text_is_text() {
        let session = Session {
            name: "<script>alert(1)</script>".into(),
            role: Role::Officer,
            csrf: "\"><script>".into(),
            way: Way::Password,
        };
        let body = html! { p { "</main><script>" } };
        let page = page(&session, "<img src=x onerror=alert(1)>", "/", &body);
        let page = to_bytes(page.into_body(), usize::MAX).await.unwrap();
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    }

    #[test]
    fn nothing_is_asked_of_another_host_and_nothing_is_styled_inline() {
        for word in ["://", "@import", "url("] {
            assert!(!STYLE.contains(word), "{word}");
        }
        assert!(POLICY.split("; ").all(|part| !part.starts_with("script-src")));
    }
}
