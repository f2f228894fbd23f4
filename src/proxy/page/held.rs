//! How much of large pages waits in memory for visitors to take it.

use crate::proxy::body::{self, Body};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// What all of them together may have, in bytes.
pub(super) const MOST_BYTES: usize = 128 * 1024 * 1024;

/// What each may have besides, in bytes: most pages are no larger.
pub(super) const ALWAYS_BYTES: usize = 64 * 1024;

/// How much of such a page leaves at once, in bytes.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// What large pages hold at the moment, of all workers.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Held(AtomicUsize);

impl Held {
    /// Whether another large page may be held back as a whole.
    pub(super) fn has_room(&self) -> bool {
        self.0.load(Ordering::Relaxed) < MOST_BYTES
    }

    /// The share of a page that has nothing yet.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { held: Arc::clone(self), bytes: 0 }
    }

    /// A page that is there as a whole. A large one leaves in pieces, so that
    /// it is known for how long it is held.
    pub(super) fn body(self: &Arc<Self>, page: Bytes) -> Body {
        if page.len() <= ALWAYS_BYTES {
            return body::full(page);
        }
        let mut share = self.share();
        share.set(page.len());
        let pieces = Pieces { rest: page, _share: share };
        pieces.map_err(|never| match never {}).boxed_unsync()
    }
}

/// What one page has of it, above what each may have.
#[derive(Debug)]
pub(super) struct Share {
    held: Arc<Held>,
    bytes: usize,
}

impl Share {
    /// Counts so many bytes that the page has now.
    pub(super) fn set(&mut self, bytes: usize) {
        let bytes = bytes.saturating_sub(ALWAYS_BYTES);
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.held.0.fetch_add(more, Ordering::Relaxed),
            None => self.held.0.fetch_sub(self.bytes - bytes, Ordering::Relaxed),
        };
        self.bytes = bytes;
    }

    /// Whether the page may have more.
    pub(super) fn may_grow(&self, bytes: usize) -> bool {
        bytes < ALWAYS_BYTES || self.held.has_room()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Pieces {
    rest: Bytes,
    _share: Share,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let size = PIECE_BYTES.min(self.rest.len());
        let piece = self.rest.split_to(size);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;

    #[tokio::test]
    async fn a_large_page_counts_until_its_last_piece_has_left() {
        let held = Arc::new(Held::default());
        let counted = || held.0.load(Ordering::Relaxed);
        let page = Bytes::from(vec![b'x'; 2_000_000]);
        let small = held.body(page.slice(..ALWAYS_BYTES - 1));
        assert_eq!(counted(), 0);
        drop(small);
        let mut body = held.body(page.clone());
        assert_eq!(counted(), page.len() - ALWAYS_BYTES);
        assert_eq!(body.size_hint().exact(), Some(2_000_000));
        let mut left = Vec::new();
        while let Some(frame) = body.frame().await {
            assert!(counted() > 0);
            left.extend(frame.unwrap().into_data().unwrap());
        }
        assert_eq!(left, page);
        drop(body);
        assert_eq!(counted(), 0);
        let mut shares: Vec<_> = (0..80).map(|_| held.share()).collect();
        for share in &mut shares {
            assert!(share.may_grow(ALWAYS_BYTES - 1));
            share.set(2_000_000);
        }
        assert!(!held.has_room(), "{} are held", counted());
        let mut another = held.share();
        assert!(another.may_grow(ALWAYS_BYTES - 1) && !another.may_grow(ALWAYS_BYTES));
        another.set(ALWAYS_BYTES);
        for share in &mut shares {
            share.set(100_000);
        }
        assert_eq!(counted(), shares.len() * (100_000 - ALWAYS_BYTES));
        drop(shares);
        assert_eq!(counted(), 0);
    }
}
