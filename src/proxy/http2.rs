//! One visitor's connection over HTTP/2: many exchanges side by side.
//!
//! hyper speaks the protocol. What is ours is when such a connection ends: a
//! visitor who asks for nothing, who takes nothing, or who sends frames that
//! only make work, must not hold it. A WebSocket comes as an extended CONNECT
//! (RFC 8441) and goes to the origin as the upgrade that it knows.

use crate::observe::{Observe, VisitorLimited};
use crate::proxy::Settings;
use crate::proxy::body::{self, Body, BoxError};
use crate::proxy::frames::Frames;
use crate::proxy::head::Peer;
use crate::proxy::listener::told_to_stop;
use crate::proxy::synthetic::Carriers;
use crate::proxy::upgrade::{self, Handover};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

/// Exchanges side by side: the least that RFC 9113 (6.5.2) recommends.
const STREAMS: u32 = 100;
/// What a visitor may send on one stream before the origin took it, in bytes.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The same on all streams together.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What waits on one stream until the visitor takes it, in bytes.
const UNSENT: usize = 16 * 1024;
/// How many streams one connection may have broken by mistakes of its own.
const MISTAKES: usize = 100;
/// How often a visitor who is under way is asked whether he is still there.
const LOOK: Duration = Duration::from_secs(30);
/// How soon a connection is looked at again that has to be waited for.
const SOON: Duration = Duration::from_secs(1);
/// What is left to end in when a connection is told to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Carries all exchanges of one connection.
pub(super) async fn serve<S>(
    carriers: Arc<Carriers>,
    stream: S,
    peer: Peer,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Settings { limits, timeouts, .. } = &*carriers.visitors.settings;
    let mut http2 = http2::Builder::new(Streams { stall: timeouts.visitor_stall });
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(UNSENT)
        .max_local_error_reset_streams(MISTAKES)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(LOOK)
        .keep_alive_timeout(timeouts.visitor_stall)
        .enable_connect_protocol();
    let pace = Arc::new(Pace::new());
    let answering = Answering { carriers: Arc::clone(&carriers), peer, pace: Arc::clone(&pace) };
    let gate = Gate {
        stream,
        frames: Frames::new(limits.head_bytes),
        observe: Arc::clone(&carriers.visitors.observe),
    };
    let mut connection = pin!(http2.serve_connection(TokioIo::new(gate), answering));
    let mut ends_by = None;
    let mut place = pin!(None);
    loop {
        let look = ends_by.unwrap_or_else(|| match pace.is_unused() {
            true => pace.moved() + timeouts.request_head,
            false if pace.is_resting() => pace.moved() + timeouts.visitor_idle,
            false => (pace.moved() + timeouts.visitor_stall).max(Instant::now() + SOON),
        });
        let crowded_out = poll_fn(|cx| {
            let rests = pace.is_resting() && !pace.is_unused();
            carriers.room.poll_wanted(cx, place.as_mut(), rests)
        });
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = told_to_stop(&mut stopping), if ends_by.is_none() => {
                connection.as_mut().graceful_shutdown();
                // As long as the drain lasts.
                ends_by = Some(Instant::now() + timeouts.drain);
            }
            () = crowded_out, if ends_by.is_none() => {
                connection.as_mut().graceful_shutdown();
                ends_by = Some(Instant::now() + SOON);
            }
            () = tokio::time::sleep_until(look) => {
                if ends_by.is_some() {
                    return;
                }
                let now = Instant::now();
                let patience = if pace.is_unused() { timeouts.request_head } else { timeouts.visitor_idle };
                if pace.is_resting() && now >= pace.moved() + patience {
                    connection.as_mut().graceful_shutdown();
                    ends_by = Some(now + FAREWELL);
                } else if pace.is_stalled() && now >= pace.moved() + timeouts.visitor_stall {
                    tracing::debug!("a visitor took nothing any more");
                    return;
                }
            }
        }
    }
}

/// What is known of a connection's exchanges without asking hyper.
struct Pace {
    opened: Instant,
    begun: AtomicUsize,
    under_way: AtomicUsize,
    /// How many of them wait for something else than the visitor.
    elsewhere: AtomicUsize,
    /// When anything last moved, in milliseconds since it was opened.
    moved_ms: AtomicU64,
}

impl Pace {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            begun: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            elsewhere: AtomicUsize::new(0),
            moved_ms: AtomicU64::new(0),
        }
    }

    fn is_unused(&self) -> bool {
        self.begun.load(Ordering::Relaxed) == 0
    }

    fn is_resting(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// Whether everything that is left waits for the visitor.
    fn is_stalled(&self) -> bool {
        !self.is_resting() && self.elsewhere.load(Ordering::Relaxed) == 0
    }

    fn moved(&self) -> Instant {
        self.opened + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed))
    }

    fn moves(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(since, Ordering::Relaxed);
    }
}

tokio::task_local! {
    /// Whose turn it is on the stream that is being carried.
    static TURN: Arc<Turn>;
}

/// Since when a stream has waited for its visitor, if it does.
#[derive(Debug, Default)]
struct Turn(Mutex<Option<Instant>>);

impl Turn {
    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// Carries a connection's streams, each only as long as its visitor takes what
/// it brings: hyper asks for nothing more of a stream that is not read, however
/// long, and it would hold its origin's connection while the others go on.
#[derive(Clone)]
struct Streams {
    stall: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (stall, turn) = (self.stall, Arc::<Turn>::default());
        tokio::spawn(TURN.scope(Arc::clone(&turn), async move {
            let mut stream = pin!(stream);
            loop {
                let end = turn.since().unwrap_or_else(Instant::now) + stall;
                tokio::select! {
                    biased;
                    () = stream.as_mut() => return,
                    () = tokio::time::sleep_until(end) => {}
                }
                if turn.since().is_some_and(|since| since.elapsed() >= stall) {
                    return tracing::debug!("a visitor took nothing of a stream any more");
                }
            }
        }));
    }
}

/// One exchange under way.
struct Ticket {
    pace: Arc<Pace>,
    /// Its stream's.
    turn: Arc<Turn>,
    elsewhere: bool,
}

impl Ticket {
    /// An exchange begins with the origin's turn.
    fn new(pace: &Arc<Pace>) -> Self {
        pace.moves();
        pace.begun.fetch_add(1, Ordering::Relaxed);
        pace.under_way.fetch_add(1, Ordering::Relaxed);
        pace.elsewhere.fetch_add(1, Ordering::Relaxed);
        Self { pace: Arc::clone(pace), turn: Arc::default(), elsewhere: true }
    }

    /// It is carried from here on.
    fn begins(&mut self) {
        self.turn = TURN.try_with(Arc::clone).unwrap_or_default();
    }

    /// Whose turn it is.
    fn waits(&mut self, elsewhere: bool) {
        self.pace.moves();
        self.turn.set((!elsewhere).then(Instant::now));
        if elsewhere != self.elsewhere {
            self.elsewhere = elsewhere;
            match elsewhere {
                true => self.pace.elsewhere.fetch_add(1, Ordering::Relaxed),
                false => self.pace.elsewhere.fetch_sub(1, Ordering::Relaxed),
            };
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waits(false);
        self.pace.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers the requests of one connection.
struct Answering {
    carriers: Arc<Carriers>,
    peer: Peer,
    pace: Arc<Pace>,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response<Counted>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let mut ticket = Ticket::new(&self.pace);
        let (carriers, peer) = (Arc::clone(&self.carriers), self.peer);
        let websocket = WebSocket::asked(&mut request);
        Box::pin(async move {
            ticket.begins();
            let mut response = carriers.answer(request, peer).await;
            // What ends an HTTP/1.1 connection has no meaning here.
            response.headers_mut().remove(CONNECTION);
            Ok(match websocket {
                Some(websocket) => websocket.answer(response, ticket),
                None => response.map(|body| Counted { body, ticket: Some(ticket) }),
            })
        })
    }
}

/// A WebSocket that a visitor asks for by an extended CONNECT.
struct WebSocket {
    visitor: OnUpgrade,
    handover: Handover,
    key: String,
}

impl WebSocket {
    /// Makes of such a request the upgrade that HTTP/1.1 has for it.
    fn asked(request: &mut Request<Incoming>) -> Option<Self> {
        let protocol = request.extensions_mut().remove::<Protocol>()?;
        if request.method() != Method::CONNECT || protocol.as_str() != "websocket" {
            return None;
        }
        let mut key = [0; 16];
        getrandom::fill(&mut key).ok()?;
        let key = STANDARD.encode(key);
        let visitor = hyper::upgrade::on(&mut *request);
        let handover = Handover::default();
        request.extensions_mut().insert(handover.clone());
        *request.method_mut() = Method::GET;
        let headers = request.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::try_from(&key).ok()?);
        Some(Self { visitor, handover, key })
    }

    /// What RFC 6455 (4.2.2) has an origin prove that it understood.
    fn accept(&self) -> String {
        const MEANT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
        let text = format!("{}{MEANT}", self.key);
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        STANDARD.encode(digest)
    }

    fn answer(self, mut response: Response<Body>, mut ticket: Ticket) -> Response<Counted> {
        let Some(origin) = self.handover.take() else {
            return response.map(|body| Counted { body, ticket: Some(ticket) });
        };
        let agreed = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if agreed.is_none_or(|agreed| *agreed != *self.accept()) {
            let mut refused = Response::new(Counted { body: body::empty(), ticket: Some(ticket) });
            *refused.status_mut() = StatusCode::BAD_GATEWAY;
            return refused;
        }
        *response.status_mut() = StatusCode::OK;
        for field in [SEC_WEBSOCKET_ACCEPT, CONNECTION, UPGRADE] {
            response.headers_mut().remove(field);
        }
        // Neither side has to say anything.
        ticket.waits(true);
        tokio::spawn(async move {
            match self.visitor.await {
                Ok(visitor) => {
                    upgrade::pass(TokioIo::new(visitor), Bytes::new(), origin).await;
                }
                Err(error) => tracing::debug!(%error, "websocket not established"),
            }
            drop(ticket);
        });
        response.map(|body| Counted { body, ticket: None })
    }
}

/// A body whose end is the exchange's.
struct Counted {
    body: Body,
    /// Nothing where the exchange goes on after its answer.
    ticket: Option<Ticket>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(ticket) = &mut self.ticket {
            ticket.waits(next.is_pending());
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection's bytes on their way to hyper, counted by frames.
struct Gate<S> {
    stream: S,
    frames: Frames,
    observe: Arc<Observe>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        let new = into.filled().get(before..).unwrap_or_default();
        if self.frames.pass(new) {
            return read;
        }
        self.observe.emit(&VisitorLimited);
        Poll::Ready(Err(io::Error::other("too many frames that bring nothing")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
