//! Carries verdicts out: on requests, responses and pages.
//!
//! Only this room can make a `Cleared`, and only what is cleared goes to the
//! origin. Nothing here does I/O or reads a clock.

pub mod browser;
pub mod html;
pub mod codec;
mod charset;
mod expiry;
mod fields;
mod pipeline;
mod report_uri;
mod request;
mod response;
mod referrer;
mod statement;

pub use charset::charset_of;
pub use expiry::{CookiePlaces, Expiry};
pub use pipeline::{Pipeline, PipelineError, Start};
pub use request::{RequestContext, RequestOutcome, clear_request, network};
pub use response::{ResponseContext, ResponseOutcome, clear_response};
pub use statement::{STATEMENT, StatementKey};

/// Something that has been through enforcement.
///
/// Only this room can make one, and the upstream pool takes nothing else, so
/// the compiler refuses to forward a request nobody has looked at.
#[derive(Debug)]
pub struct Cleared<T>(T);

impl<T> Cleared<T> {
    /// What was cleared.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// A look at what was cleared.
    pub const fn get(&self) -> &T {
        &self.0
    }
}

impl Cleared<http::request::Parts> {
    /// A second copy of a cleared request, without some of its fields: what
    /// was cleared stays cleared when less is sent.
    #[must_use]
    pub fn copy_without(&self, names: &[http::HeaderName]) -> Self {
        let mut request = self.0.clone();
        for name in names {
            request.headers.remove(name);
        }
        Self(request)
    }

    /// Asks whether what it is for is still what it was under that validator.
    pub fn ask_whether(&mut self, tag: http::HeaderValue) {
        self.0.headers.insert(http::header::IF_NONE_MATCH, tag);
    }
}
