//! Everything that can go wrong with an exchange, and the page a visitor gets
//! then. Only this file turns an error into a response.

use crate::observe::Fault;
use crate::proxy::body::{self, Body};
use crate::proxy::forward::METHODS;

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use maud::{DOCTYPE, html};
use std::sync::Arc;

/// Why an exchange could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The request is no well-formed HTTP for a proxy.
    #[error("{0}")]
    BadRequest(&'static str),
    /// A method a site never needs.
    #[error("the method is not served here")]
    Method,
    /// No site has this host.
    #[error("no site is configured for the host `{0}`")]
    UnknownHost(String),
    /// The request's head has more fields than allowed.
    #[error("the request's head has more than `limits.head_fields` fields")]
    TooManyFields,
    /// The request's body is larger than allowed.
    #[error("the request's body is larger than `limits.request_body_bytes`")]
    BodyTooLarge,
    /// The request's body did not arrive.
    #[error("the request's body stopped arriving")]
    BodyTimeout,
    /// One visitor asks too often.
    #[error("this visitor makes more than `limits.requests_per_second` requests")]
    TooMany,
    /// We can open no connection at all.
    #[error("too many files are open to connect to the origin: {0}")]
    NoRoom(String),
    /// The origin cannot be reached.
    #[error("no connection to the origin: {0}")]
    Unreachable(String),
    /// The origin did not answer in time.
    #[error("the origin did not answer within `timeouts.response_head_s`: {0}")]
    OriginTimeout(Arc<str>),
    /// The origin's answer is no well-formed HTTP.
    #[error("the origin's answer is broken: {0}")]
    OriginBroken(String),
    /// The page cannot be filtered, so it is not shown.
    #[error("the page cannot be filtered: {0}")]
    Unfilterable(String),
}

impl Error {
    /// Whose fault it is: the first question on call.
    pub(super) const fn fault(&self) -> Fault {
        match self {
            Self::BadRequest(_)
            | Self::Method
            | Self::TooManyFields
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::TooMany => Fault::Visitor,
            Self::UnknownHost(_) => Fault::Visitor,
            Self::NoRoom(_) => Fault::Consentry,
            Self::Unreachable(_)
            | Self::OriginTimeout(_)
            | Self::OriginBroken(_)
            | Self::Unfilterable(_) => Fault::Origin,
        }
    }

    /// One of a few words, for metrics.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::Method => "method",
            Self::UnknownHost(_) => "unknown_host",
            Self::TooManyFields => "too_many_fields",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::TooMany => "too_many",
            Self::NoRoom(_) => "no_room",
            Self::Unreachable(_) => "unreachable",
            Self::OriginTimeout(_) => "timeout",
            Self::OriginBroken(_) => "broken",
            Self::Unfilterable(_) => "unfilterable",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnknownHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::NoRoom(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreachable(_) | Self::OriginBroken(_) | Self::Unfilterable(_) => {
                StatusCode::BAD_GATEWAY
            }
            Self::OriginTimeout(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    const fn explanation(&self) -> (&'static str, &'static str) {
        match self {
            Self::BadRequest(_) => (
                "This request cannot be understood",
                "Something between you and the site sent a request that is not valid HTTP.",
            ),
            Self::Method => ("This cannot be done here", "The request's method is not served."),
            Self::UnknownHost(_) => {
                ("Nobody is at home under this name", "No site with this name is served here.")
            }
            Self::TooManyFields => (
                "This is too much at once",
                "What was sent has more header fields than the site accepts.",
            ),
            Self::BodyTooLarge => {
                ("This is too large", "What was sent is larger than the site accepts.")
            }
            Self::BodyTimeout => (
                "This took too long to arrive",
                "The request was not complete in time. Please try again.",
            ),
            Self::TooMany => (
                "Too many requests",
                "There were too many requests from your address. Please wait a moment and try again.",
            ),
            Self::NoRoom(_) => (
                "Too many visitors at once",
                "The privacy proxy in front of the site cannot take more right now. Please try again in a moment.",
            ),
            Self::Unreachable(_) => (
                "The site's server cannot be reached",
                "The privacy proxy in front of it is running; the server behind it does not answer.",
            ),
            Self::OriginTimeout(_) => (
                "The site's server takes too long",
                "The privacy proxy in front of it is running; the server behind it did not answer in time.",
            ),
            Self::OriginBroken(_) => (
                "The site's server sent something broken",
                "The privacy proxy in front of it is running; the answer of the server behind it was not valid.",
            ),
            Self::Unfilterable(_) => (
                "This page cannot be shown safely",
                "The site's server sent a page that cannot be checked for trackers, so it was not passed on.",
            ),
        }
    }

    /// The answer a visitor gets.
    pub(super) fn response(&self, request: &HeaderMap, reference: &str) -> Response<Body> {
        let (title, explanation) = self.explanation();
        let status = self.status();
        let wants_page = request
            .get(http::header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
        let detail = match self {
            Self::BadRequest(why) => *why,
            _ => explanation,
        };
        let (kind, text) = if wants_page {
            ("text/html; charset=utf-8", page(status, title, explanation, self.fault(), reference))
        } else {
            let fault = self.fault().name();
            let text = format!(
                "{} {title}\n{detail}\nfault: {fault}\nreference: {reference}\n",
                status.as_u16()
            );
            ("text/plain; charset=utf-8", text)
        };
        let mut response = Response::new(body::full(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        headers.insert(
            "content-security-policy",
            HeaderValue::from_static(
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            ),
        );
        match self {
            Self::TooMany | Self::NoRoom(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Method => {
                // What follows a CONNECT may be meant for somebody else.
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
                headers.insert(http::header::ALLOW, HeaderValue::from_static(METHODS));
            }
            // The rest of the body is not read, so the connection cannot go on.
            Self::BadRequest(_) | Self::BodyTooLarge | Self::BodyTimeout => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::UnknownHost(_)
            | Self::TooManyFields
            | Self::Unreachable(_)
            | Self::OriginTimeout(_)
            | Self::OriginBroken(_)
            | Self::Unfilterable(_) => {}
        }
        response
    }
}

fn page(
    status: StatusCode,
    title: &str,
    explanation: &str,
    fault: Fault,
    reference: &str,
) -> String {
    let blame = match fault {
        Fault::Origin => "The fault lies with the site's server, not with you.",
        Fault::Consentry => "The fault lies with the privacy proxy, not with you.",
        Fault::Visitor => "Nothing is wrong with the site's server.",
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta name="robots" content="noindex";
                title { (title) }
                style { "body{font:18px/1.6 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em;color:#1d2b2a;background:#fff}h1{line-height:1.2}small{color:#4a5a59}@media(prefers-color-scheme:dark){body{color:#e4eceb;background:#14201f}small{color:#a9b8b6}}" }
            }
            body {
                main {
                    h1 { (title) }
                    p { (explanation) }
                    p { (blame) }
                    p { small { "Error " (status.as_u16()) " \u{b7} reference " (reference) } }
                }
            }
        }
    }
    .into_string()
}
