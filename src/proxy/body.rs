//! The bodies that travel through the proxy.

use crate::proxy::Settings;
use crate::proxy::forward;
use crate::proxy::upstream::OriginBody;

use bytes::Bytes;
use http::Version;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Whatever a body's error is, hyper only cuts the connection.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body on its way to the visitor.
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is there as a whole.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Waits for a body's next piece, but not forever. The timer is armed only
/// when there is something to wait for, so a body that is already there costs
/// none.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    /// What is left of it.
    left: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    since: Option<Instant>,
}

impl Patience {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, left: limit, timer: None, since: None }
    }

    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Something arrived.
    pub(super) fn reset(&mut self) {
        self.since = None;
    }

    /// So much arrived: who sends a byte a second uses up his time all the
    /// same, only a little later.
    fn earn(&mut self, bytes: usize, per_second: u32) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        let earned = Duration::from_secs(bytes as u64) / per_second.max(1);
        self.left = self.left.saturating_add(earned).min(self.limit);
    }

    /// Ready when it has taken too long.
    pub(super) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let left = self.left;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
        if self.since.is_none() {
            let now = Instant::now();
            timer.as_mut().reset(now + left);
            self.since = Some(now);
        }
        timer.as_mut().poll(cx)
    }
}

/// An answer's body, as it comes from the origin or as it did before.
#[derive(Debug)]
pub(super) enum Source {
    /// From the origin.
    Origin(OriginBody),
    /// The origin said that it is still this; nothing when it was taken.
    Known(Option<Bytes>),
}

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Origin(body) => Pin::new(body).poll_frame(cx),
            Self::Known(body) => Poll::Ready(body.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Origin(body) => body.is_end_stream(),
            Self::Known(body) => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Origin(body) => body.size_hint(),
            Self::Known(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}

/// A body whose beginning was read already.
pub(super) struct Prefixed {
    first: VecDeque<Bytes>,
    rest: PassedBody,
}

impl Prefixed {
    pub(super) fn new(first: impl IntoIterator<Item = Bytes>, rest: PassedBody) -> Self {
        Self { first: first.into_iter().collect(), rest }
    }
}

impl http_body::Body for Prefixed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.first.pop_front() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}

/// What becomes of a request's body.
#[derive(Debug)]
pub(super) struct BodyFate {
    fate: AtomicU8,
    begun: Instant,
    /// When it last moved, in milliseconds since `begun`.
    moved_ms: AtomicU64,
    /// Whether the visitor is the one who is waited for.
    awaited: AtomicBool,
}

/// A request's body that went wrong on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing bad so far.
    Fine,
    /// It is larger than allowed.
    TooLarge,
    /// It stopped arriving.
    Stalled,
    /// The visitor broke off.
    Broken,
}

impl BodyFate {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            fate: AtomicU8::new(Fate::Fine as u8),
            begun: Instant::now(),
            moved_ms: AtomicU64::new(0),
            awaited: AtomicBool::new(false),
        })
    }

    /// When the origin has had `limit` for its answer. While the visitor still
    /// sends, that time has not begun: a slow upload is not the origin's fault.
    pub(super) fn deadline(&self, limit: Duration, patience: Duration) -> Instant {
        let moved = self.begun + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
        if self.awaited.load(Ordering::Relaxed) { moved + patience + limit } else { moved + limit }
    }

    fn moved(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(since, Ordering::Relaxed);
        self.awaited.store(false, Ordering::Relaxed);
    }

    fn awaited(&self) {
        self.awaited.store(true, Ordering::Relaxed);
    }

    fn set(&self, fate: Fate) {
        self.fate.store(fate as u8, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Fate {
        match self.fate.load(Ordering::Relaxed) {
            0 => Fate::Fine,
            1 => Fate::TooLarge,
            2 => Fate::Stalled,
            _ => Fate::Broken,
        }
    }
}

/// A request's body on its way to the origin, within its limits.
#[derive(Debug)]
pub(super) struct RequestBody {
    inner: Option<Incoming>,
    left: u64,
    patience: Patience,
    per_second: u32,
    is_http2: bool,
    fate: Arc<BodyFate>,
}

impl RequestBody {
    /// What comes after a head of `version`.
    pub(super) fn new(inner: Incoming, version: Version, settings: &Settings) -> Self {
        Self {
            inner: Some(inner),
            left: settings.limits.request_body_bytes,
            patience: Patience::new(settings.timeouts.request_body),
            per_second: settings.limits.request_body_bytes_per_second,
            is_http2: version == Version::HTTP_2,
            fate: BodyFate::new(),
        }
    }

    /// A request without a body.
    pub(super) fn none() -> Self {
        Self {
            inner: None,
            left: 0,
            patience: Patience::new(Duration::ZERO),
            per_second: 0,
            is_http2: false,
            fate: BodyFate::new(),
        }
    }

    pub(super) fn fate(&self) -> Arc<BodyFate> {
        Arc::clone(&self.fate)
    }

    fn fail(&self, fate: Fate) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.fate.set(fate);
        Poll::Ready(Some(Err(format!("request body: {fate:?}").into())))
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        match Pin::new(&mut *inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.patience.earn(frame.data_ref().map_or(0, Bytes::len), this.per_second);
                this.fate.moved();
                let Some(data) = frame.data_ref() else { return Poll::Ready(Some(Ok(frame))) };
                match this.left.checked_sub(data.len() as u64) {
                    Some(left) => this.left = left,
                    None => return this.fail(Fate::TooLarge),
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => this.fail(Fate::Broken),
            // hyper takes a stream that was reset with NO_ERROR for one that has
            // ended, which END_STREAM alone says (RFC 9113, 8.1).
            Poll::Ready(None) if this.is_http2 && !inner.is_end_stream() => this.fail(Fate::Broken),
            Poll::Ready(None) => {
                this.fate.moved();
                Poll::Ready(None)
            }
            Poll::Pending => match this.patience.poll_elapsed(cx) {
                Poll::Ready(()) => this.fail(Fate::Stalled),
                Poll::Pending => {
                    this.fate.awaited();
                    Poll::Pending
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

/// The origin's body, passed on frame by frame.
#[derive(Debug)]
pub(super) struct PassedBody {
    inner: Source,
    patience: Patience,
}

impl PassedBody {
    pub(super) fn new(inner: Source, patience: Duration) -> Self {
        Self { inner, patience: Patience::new(patience) }
    }
}

impl http_body::Body for PassedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.patience.reset();
                Poll::Ready(frame.map(|frame| match frame?.into_trailers() {
                    Ok(trailers) => Ok(Frame::trailers(forward::passed_trailers(trailers))),
                    Err(data) => Ok(data),
                }))
            }
            Poll::Pending => match self.patience.poll_elapsed(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err("the origin stopped sending".into()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
