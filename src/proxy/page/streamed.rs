//! A page that leaves while its origin still sends it.

use crate::enforce::Pipeline;
use crate::observe::PageCut;
use crate::proxy::body::{BoxError, Patience, Source};
use crate::proxy::exchange::Exchange;
use crate::proxy::page::STEPS;
use crate::proxy::page::held::{PIECE_BYTES, Share};

use bytes::Bytes;
use http_body::Frame;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::task::yield_now;

/// What is sent at once, in bytes: a little less than is read at once at first,
/// so that what becomes of that need not wait for more.
const SEND_BYTES: usize = 6 * 1024;

pub(super) enum State {
    /// The origin still sends.
    Flowing,
    /// Everything is in `out`.
    Ended,
    /// It is cut for this as soon as what left before is on its way: hyper
    /// drops what it has not sent when a body fails.
    Cutting(String),
    /// Nothing more may be sent.
    Cut,
}

/// A page that is rewritten while it streams.
pub(super) struct RewrittenBody {
    pub(super) source: Source,
    /// What came from it already.
    pub(super) arrived: VecDeque<Bytes>,
    pub(super) pipeline: Pipeline,
    pub(super) out: Vec<u8>,
    /// What is to leave before that, and what it counts for.
    pub(super) ready: Bytes,
    pub(super) share: Option<Share>,
    pub(super) exchange: Exchange,
    pub(super) patience: Patience,
    pub(super) state: State,
    /// How many steps were taken since others had a turn.
    pub(super) steps: usize,
    /// Whether something was written since the last flush. A flush is not
    /// free: it ends a block of the coding.
    pub(super) dirty: bool,
}

impl RewrittenBody {
    fn cut(
        &mut self,
        detail: &str,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.state = State::Cutting(detail.to_owned());
        let event = PageCut { site: &self.exchange.site.name, path: &self.exchange.path, detail };
        self.exchange.observe().emit(&event);
        self.exchange.decisions.extend(self.pipeline.take_decisions().iter().cloned());
        self.exchange.file();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn send(&mut self) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(std::mem::take(&mut self.out))))))
    }
}

impl http_body::Body for RewrittenBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if !this.ready.is_empty() {
            let piece = this.ready.split_to(PIECE_BYTES.min(this.ready.len()));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if this.arrived.is_empty() {
            this.share = None;
        }
        loop {
            match &mut this.state {
                State::Cut => return Poll::Ready(None),
                State::Cutting(why) => {
                    let why = std::mem::take(why);
                    this.state = State::Cut;
                    return Poll::Ready(Some(Err(why.into())));
                }
                State::Ended if this.out.is_empty() => return Poll::Ready(None),
                State::Ended => return this.send(),
                State::Flowing => {}
            }
            if this.out.len() >= SEND_BYTES {
                return this.send();
            }
            if this.pipeline.is_busy() {
                if this.steps == STEPS {
                    this.steps = 0;
                    // Not woken before whatever came for others was looked at.
                    if pin!(yield_now()).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                this.steps += 1;
                this.dirty = true;
                match this.pipeline.step() {
                    Ok(out) => {
                        if this.out.is_empty() {
                            this.out = out;
                        } else {
                            this.out.extend(out);
                        }
                        if let Some(why) = this.pipeline.take_failure() {
                            this.exchange.passed_unfiltered(&why);
                        }
                    }
                    Err(error) => return this.cut(&error.to_string(), cx),
                }
                continue;
            }
            if let Some(data) = this.arrived.pop_front() {
                this.pipeline.push(data);
                continue;
            }
            match Pin::new(&mut this.source).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.patience.reset();
                    if let Ok(data) = frame.into_data() {
                        this.pipeline.push(data);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return this.cut(&format!("the origin's body broke off: {error}"), cx);
                }
                Poll::Ready(None) => match this.pipeline.finish() {
                    Ok(out) => {
                        this.out.extend(out);
                        if let Some(why) = this.pipeline.take_failure() {
                            this.exchange.passed_unfiltered(&why);
                        }
                        this.exchange
                            .decisions
                            .extend(this.pipeline.take_decisions().iter().cloned());
                        this.exchange.file();
                        this.state = State::Ended;
                    }
                    Err(error) => return this.cut(&error.to_string(), cx),
                },
                Poll::Pending => {
                    if std::mem::take(&mut this.dirty) {
                        match this.pipeline.flush() {
                            Ok(out) => this.out.extend(out),
                            Err(error) => return this.cut(&error.to_string(), cx),
                        }
                    }
                    if !this.out.is_empty() {
                        return this.send();
                    }
                    return match this.patience.poll_elapsed(cx) {
                        Poll::Ready(()) => this.cut("the origin stopped sending", cx),
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
    }
}

impl Drop for RewrittenBody {
    fn drop(&mut self) {
        if matches!(self.state, State::Flowing) {
            self.exchange.decisions.extend(self.pipeline.take_decisions().iter().cloned());
        }
    }
}
