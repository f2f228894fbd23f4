//! A page that leaves as it came, and is judged for the record.

use crate::enforce::codec::Coding;
use crate::enforce::{Pipeline, Start};
use crate::proxy::body::{Body, BoxError, Patience};
use crate::proxy::exchange::Exchange;
use crate::proxy::page::{FEED_COMPRESSED_BYTES, Plan};
use crate::proxy::{Limits, Timeouts};

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::response::Parts;
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Judges a page without changing a byte of it.
pub(in crate::proxy) fn watch(
    parts: Parts,
    source: Incoming,
    plan: Plan,
    exchange: Exchange,
    limits: &Limits,
    timeouts: &Timeouts,
) -> Response<Body> {
    let applied: Vec<&str> = parts
        .headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .collect();
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let pipeline = Coding::parse_list(&applied.join(",")).ok().and_then(|codings| {
        Pipeline::new(Start {
            context: plan.context,
            codings,
            send: Coding::Identity,
            content_type,
            inflation: limits.page_inflation,
            append_only: false,
            pass_unfilterable: false,
        })
        .ok()
    });
    let body =
        WatchedBody { source, pipeline, exchange, patience: Patience::new(timeouts.response_body) };
    Response::from_parts(parts, body.boxed_unsync())
}

/// A page that passes as it is while a copy of it is judged.
struct WatchedBody {
    source: Incoming,
    pipeline: Option<Pipeline>,
    exchange: Exchange,
    patience: Patience,
}

impl WatchedBody {
    fn look(&mut self, data: &[u8]) {
        let Some(pipeline) = &mut self.pipeline else { return };
        let failed = data.chunks(FEED_COMPRESSED_BYTES).any(|piece| pipeline.write(piece).is_err());
        self.exchange.decisions.extend(pipeline.take_decisions().iter().cloned());
        if failed {
            self.pipeline = None;
        }
    }

    fn end(&mut self) {
        if let Some(mut pipeline) = self.pipeline.take() {
            let _ = pipeline.finish();
            self.exchange.decisions.extend(pipeline.take_decisions().iter().cloned());
        }
        self.exchange.file();
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
                    self.look(data);
                }
                if self.source.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.end();
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.end();
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
