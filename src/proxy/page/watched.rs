//! A page that leaves as it came, and is judged for the record.

use crate::enforce::codec::Coding;
use crate::enforce::html::PageContext;
use crate::enforce::{Pipeline, Start};
use crate::policy::Decisions;
use crate::proxy::body::{Body, BoxError, Patience, Source};
use crate::proxy::exchange::Exchange;
use crate::proxy::memo::{Left, Remembered};
use crate::proxy::page::{Plan, Recall, joined};
use crate::proxy::revisit::ToKeep;
use crate::proxy::{Limits, Timeouts};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// How much of a page is held while it passes, so that it can be remembered:
/// a visitor who reads slowly holds it for long.
const MOST_SEEN: usize = 512 * 1024;

/// Judges a page without changing a byte of it.
pub(in crate::proxy) fn watch<F: FnOnce(&HeaderMap) -> PageContext>(
    parts: Parts,
    source: Source,
    plan: Plan<F>,
    exchange: Exchange,
    limits: &Limits,
    timeouts: &Timeouts,
) -> Response<Body> {
    let recall = plan.recall.map(|recall| recall.about(&parts.headers, Coding::Identity));
    let witness = Witness {
        context: Some(Arc::new((plan.draft)(&parts.headers))),
        fields: parts.headers.clone(),
        inflation: limits.page_inflation,
        known: recall.as_ref().and_then(Recall::find),
        pipeline: None,
        seen: Vec::new(),
        size: 0,
        recall,
        to_keep: plan.to_keep,
        told: Decisions::default(),
        ended: false,
    };
    let patience = Patience::new(timeouts.response_body);
    Response::from_parts(parts, WatchedBody { source, witness, exchange, patience }.boxed_unsync())
}

/// A page that passes as it is while a copy of it is judged.
struct WatchedBody {
    source: Source,
    witness: Witness,
    exchange: Exchange,
    patience: Patience,
}

/// Who looks at the copy: whoever remembers the page, as long as it is the
/// same, and a rewriter otherwise.
struct Witness {
    /// What it is judged by, until there is a pipeline.
    context: Option<Arc<PageContext>>,
    fields: HeaderMap,
    inflation: u64,
    /// The same page as it was, as long as this one is the same.
    known: Option<Arc<Remembered>>,
    pipeline: Option<Pipeline>,
    /// What passed, as long as it may be remembered.
    seen: Vec<Bytes>,
    size: usize,
    recall: Option<Recall>,
    /// Where it is kept as it came, to ask about it the next time.
    to_keep: Option<ToKeep>,
    /// What it had said when it gave up.
    told: Decisions,
    ended: bool,
}

impl Witness {
    /// Has a pipeline judge from now on, if none did so far.
    fn begin(&mut self) {
        let Some(context) = self.context.take() else { return };
        let applied: Vec<&str> = self
            .fields
            .get_all(CONTENT_ENCODING)
            .iter()
            .filter_map(|field| field.to_str().ok())
            .collect();
        let kind = self.fields.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let Ok(codings) = Coding::parse_list(&applied.join(",")) else { return };
        let start = Start {
            context,
            codings,
            send: Coding::Identity,
            content_type: kind.map(str::to_owned),
            inflation: self.inflation,
            append_only: false,
            pass_unfilterable: false,
        };
        self.pipeline = Pipeline::new(start).ok();
    }

    fn look(&mut self, data: &Bytes) {
        let at = self.size;
        self.size += data.len();
        if let Some(known) = self.known.take() {
            if known.goes_on(at, data) {
                self.known = Some(known);
                return;
            }
            let before = known.original.slice(..at.min(known.original.len()));
            self.feed(&before);
        }
        self.feed(data);
    }

    fn feed(&mut self, data: &Bytes) {
        self.begin();
        let may = self.pipeline.is_some() && self.size <= MOST_SEEN;
        if self.recall.as_ref().is_some_and(|recall| may && recall.memo.takes(self.size)) {
            self.seen.push(data.clone());
        } else {
            self.seen = Vec::new();
        }
        let Some(pipeline) = &mut self.pipeline else { return };
        pipeline.push(data.clone());
        while pipeline.is_busy() {
            if pipeline.step().is_err() {
                // What can be told of the page has been.
                self.told = pipeline.take_decisions();
                self.pipeline = None;
                return;
            }
        }
    }

    /// The page has ended, or whoever asked for it has gone.
    fn end(&mut self, exchange: &mut Exchange, whole: bool) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(known) = self.known.take() {
            if known.original.len() == self.size {
                if let Some(to_keep) = self.to_keep.take().filter(|_| whole) {
                    to_keep.whole(&known.original);
                }
                exchange.recalled(true);
                return exchange.decisions.repeat(&known.decisions);
            }
            let before = known.original.slice(..self.size.min(known.original.len()));
            self.feed(&before);
        }
        let recall = self.recall.take();
        if recall.is_some() {
            exchange.recalled(false);
        }
        let Some(mut pipeline) = self.pipeline.take() else {
            return exchange.decisions.extend(self.told.iter().cloned());
        };
        let finished = whole && pipeline.finish().is_ok();
        let decisions = pipeline.take_decisions();
        exchange.decisions.extend(decisions.iter().cloned());
        if let Some(recall) = recall.filter(|_| finished) {
            let original = joined(&std::mem::take(&mut self.seen));
            if original.len() == self.size {
                if let Some(to_keep) = self.to_keep.take() {
                    to_keep.whole(&original);
                }
                let left = Left { policy: None, bytes: None, transcoded: false };
                recall.keep(&original, &left, decisions, exchange);
            }
        }
    }
}

impl WatchedBody {
    fn end(&mut self, whole: bool) {
        self.witness.end(&mut self.exchange, whole);
        self.exchange.file();
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.end(false);
    }
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.source).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.patience.reset();
                if let Some(data) = frame.data_ref() {
                    self.witness.look(data);
                }
                if self.source.is_end_stream() {
                    self.end(true);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.end(false);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.end(true);
                Poll::Ready(None)
            }
            Poll::Pending => match self.patience.poll_elapsed(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err("the origin stopped sending".into()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.source.size_hint()
    }
}
