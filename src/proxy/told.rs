//! Follows one exchange to its last byte for whoever wants to know of it: the
//! access log, and traces. Where nobody does, none of this is there.

use crate::observe::{ExchangeRecord, Outlets, TraceContext};
use crate::proxy::body::{Body, BoxError};
use crate::proxy::error::Error;
use crate::proxy::exchange::now_ms;
use crate::proxy::head::Head;
use crate::purpose::PurposeSet;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

/// What is known of an exchange so far. It is passed on when the last who may
/// add to it is gone.
#[derive(Clone)]
pub(super) struct Told(Arc<Known>);

struct Known {
    outlets: Arc<Outlets>,
    begun: Instant,
    record: Mutex<ExchangeRecord>,
}

impl Drop for Known {
    fn drop(&mut self) {
        let record = self.record.get_mut().unwrap_or_else(PoisonError::into_inner);
        record.took = self.begun.elapsed();
        self.outlets.take(record.clone());
    }
}

impl Told {
    /// Begins with a request, and a trace of its own where exchanges are traced.
    pub(super) fn begin<B>(outlets: &Arc<Outlets>, request: &Request<B>) -> Self {
        let traces = outlets.traces.as_ref();
        let record = ExchangeRecord {
            begun_ms: now_ms(),
            to_head: Default::default(),
            took: Default::default(),
            origin: None,
            site: None,
            method: ExchangeRecord::method_name(request.method()),
            path: request.uri().path().to_owned(),
            protocol: ExchangeRecord::protocol_name(request.version()),
            status: 0,
            bytes: 0,
            is_complete: false,
            class: None,
            withheld: 0,
            failure: None,
            client: None,
            trace: traces.and_then(|traces| TraceContext::begin(traces.share)),
        };
        let (outlets, begun) = (Arc::clone(outlets), Instant::now());
        Self(Arc::new(Known { outlets, begun, record: Mutex::new(record) }))
    }

    fn record(&self) -> MutexGuard<'_, ExchangeRecord> {
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who asks, and in which trace if they say so. Only a trusted peer is
    /// believed; anybody else's number could be the visitor's own.
    pub(super) fn asked_by(&self, head: &Head, headers: &HeaderMap) {
        let theirs = head.from_trusted.then(|| TraceContext::follow(headers)).flatten();
        let mut record = self.record();
        record.client = head.client;
        record.trace = theirs.or(record.trace);
    }

    /// Whose site it is about, and what the visitor granted there.
    pub(super) fn about(&self, site: &Arc<str>, class: PurposeSet) {
        let mut record = self.record();
        record.site = Some(Arc::clone(site));
        record.class = Some(class);
    }

    /// Tells the origin of the trace, where the operator traces at all.
    pub(super) fn put_in(&self, headers: &mut HeaderMap) {
        let is_tracing = self.0.outlets.traces.as_ref().is_some_and(|traces| traces.share > 0.0);
        if let Some(trace) = self.record().trace.filter(|_| is_tracing) {
            trace.put_in(headers);
        }
    }

    /// The origin is asked from now on, until what comes of this is dropped.
    pub(super) fn asks_origin(&self) -> Asking {
        Asking { told: self.clone(), since: Instant::now() }
    }

    /// So much was withheld.
    pub(super) fn withheld(&self, count: usize) {
        self.record().withheld = count;
    }

    /// It failed.
    pub(super) fn failed(&self, error: &Error, reference: &str) {
        self.record().failure = Some((error.reason(), reference.to_owned()));
    }

    /// The answer is ready: what leaves of its body is counted.
    pub(super) fn answered(self, response: Response<Body>) -> Response<Body> {
        {
            let mut record = self.record();
            record.status = response.status().as_u16();
            record.to_head = self.0.begun.elapsed();
            record.is_complete = response.body().is_end_stream();
        }
        response.map(|inner| CountedBody { inner, told: self, bytes: 0 }.boxed_unsync())
    }
}

/// A question to the origin that is under way.
pub(super) struct Asking {
    told: Told,
    since: Instant,
}

impl Drop for Asking {
    fn drop(&mut self) {
        let begun = self.since.saturating_duration_since(self.told.0.begun);
        self.told.record().origin = Some((begun, self.since.elapsed()));
    }
}

/// A body of which what leaves is counted.
struct CountedBody {
    inner: Body,
    told: Told,
    bytes: u64,
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        let is_complete = self.inner.is_end_stream();
        let mut record = self.told.record();
        record.bytes = self.bytes;
        record.is_complete |= is_complete;
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Poll::Ready(None) => self.told.record().is_complete = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
