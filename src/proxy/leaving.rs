//! How far a proxy is on its way out.

use http::header::CONNECTION;
use http::{HeaderValue, Response, StatusCode, Version};
use std::sync::atomic::{AtomicBool, Ordering};

/// What all workers know about the end.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    begun: AtomicBool,
    successor: AtomicBool,
}

impl Leaving {
    /// Every visitor is asked from now on to connect anew for the next request.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Another consentry listens where we do.
    pub(super) fn has_successor(&self) -> bool {
        self.successor.load(Ordering::Relaxed)
    }

    pub(super) fn follow(&self) {
        self.successor.store(true, Ordering::Relaxed);
    }

    /// Says to whoever holds the connection that this answer is its last.
    /// HTTP/2 has frames for that.
    pub(super) fn tell<B>(&self, version: Version, response: &mut Response<B>) {
        let has_a_next = version < Version::HTTP_2 && !is_upgraded(response);
        if has_a_next && self.begun.load(Ordering::Relaxed) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

fn is_upgraded<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}
