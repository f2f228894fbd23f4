//! An answer's body, and with it everything that the exchange holds.

use crate::proxy::upstream::pool::Lease;
use crate::site::Chosen;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of an origin's answer. When it has ended its connection can carry
/// the next request; when it is dropped before that, the connection is closed.
/// Until then the exchange counts as under way at its origin.
pub(in crate::proxy) struct OriginBody {
    inner: Incoming,
    held: Option<(Lease, Chosen)>,
    /// The same for what has no body.
    load: Option<Chosen>,
}

impl OriginBody {
    pub(super) fn new(inner: Incoming, lease: Lease, chosen: Chosen) -> Self {
        let mut body = Self { inner, held: Some((lease, chosen)), load: None };
        body.end_if_over();
        body
    }

    /// None: from here on the connection speaks something else.
    pub(super) const fn switched(inner: Incoming, chosen: Chosen) -> Self {
        Self { inner, held: None, load: Some(chosen) }
    }

    /// What counts the origin's other connection as under way there.
    pub(in crate::proxy) const fn take_load(&mut self) -> Option<Chosen> {
        self.load.take()
    }

    fn end_if_over(&mut self) {
        if self.inner.is_end_stream()
            && let Some((lease, _)) = self.held.take()
        {
            lease.end();
        }
    }
}

impl Drop for OriginBody {
    fn drop(&mut self) {
        // Whoever knows the length need not ask whether there is more.
        self.end_if_over();
    }
}

impl fmt::Debug for OriginBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OriginBody").field(&self.inner).finish()
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        match &frame {
            Poll::Ready(None) => {
                if let Some((lease, _)) = self.held.take() {
                    lease.end();
                }
            }
            Poll::Ready(Some(Err(_))) => self.held = None,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
