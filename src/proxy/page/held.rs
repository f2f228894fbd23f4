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
const MOST_BYTES: usize = 128 * 1024 * 1024;

/// What each may have besides, in bytes: hardly a page is larger.
pub(super) const ALWAYS_BYTES: usize = 256 * 1024;

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

    /// Counts what a page has above what each may have, if anything.
    pub(super) fn share(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let bytes = bytes.checked_sub(ALWAYS_BYTES)?;
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Some(Share { held: Arc::clone(self), bytes })
    }

    /// A page that is there as a whole. A large one leaves in pieces, so that
    /// it is known for how long it is held.
    pub(super) fn body(self: &Arc<Self>, page: Bytes) -> Body {
        match self.share(page.len()) {
            None => body::full(page),
            Some(share) => {
                let pieces = Pieces { rest: page, _share: share };
                pieces.map_err(|never| match never {}).boxed_unsync()
            }
        }
    }
}

/// What one page has of it.
#[derive(Debug)]
pub(super) struct Share {
    held: Arc<Held>,
    bytes: usize,
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
        let shares: Vec<_> = (0..80).map(|_| held.share(2_000_000)).collect();
        assert!(!held.has_room(), "{} are held", counted());
        drop(shares);
        assert!(held.has_room());
    }
}
