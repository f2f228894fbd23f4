//! One visitor's connection: its exchanges, and the time between them.
//!
//! Between exchanges a connection is parked: hyper's buffers are given back,
//! and nothing is kept but the socket until the next request's first byte is
//! there. Thousands of browsers hold connections open that they may never use
//! again; twenty kilobytes for each would be an invitation.

use crate::observe::{ConnectionRefused, Observe};
use crate::proxy::body::{Body, BoxError, Patience};
use crate::proxy::framing::{Framing, Signs};
use crate::proxy::head::{self, Peer};
use crate::proxy::http2;
use crate::proxy::listener::told_to_stop;
use crate::proxy::proxy_protocol;
use crate::proxy::synthetic::Carriers;
use crate::proxy::tls;
use crate::proxy::upgrade::{self, Handover, OriginSide};
use crate::proxy::{Settings, Timeouts};

use bytes::{Buf, Bytes};
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a connection rests before it is parked: browsers ask for a page's
/// assets at once.
const REST: Duration = Duration::from_millis(100);

/// How long a visitor who had just connected when we were told to stop may take
/// to say what for. Nobody sends a first request again of themselves.
const FIRST_WORDS: Duration = Duration::from_secs(2);

/// How much the system takes that it cannot send yet, in bytes.
const UNSENT: u32 = 64 * 1024;

/// The same for what is encrypted, in bytes: one record.
const UNSENT_TLS: usize = 16 * 1024;

/// How much of an answer hyper is given before it has to send some, in bytes. Of
/// itself it gathers as much as a head may have, for a visitor who takes none.
const AT_ONCE: usize = 16 * 1024;

/// One open connection, counted.
pub(super) struct Slot(Arc<AtomicUsize>, Arc<Observe>);

impl Slot {
    pub(super) fn take(
        open: &Arc<AtomicUsize>,
        limit: usize,
        observe: &Arc<Observe>,
    ) -> Option<Self> {
        if open.fetch_add(1, Ordering::Relaxed) >= limit {
            open.fetch_sub(1, Ordering::Relaxed);
            observe.emit(&ConnectionRefused);
            return None;
        }
        observe.metrics().connections.inc();
        Some(Self(Arc::clone(open), Arc::clone(observe)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.metrics().connections.dec();
    }
}

/// What carries a visitor's bytes.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket under it.
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Carries all exchanges of one connection.
pub(super) async fn carry(
    carriers: Arc<Carriers>,
    mut socket: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    stopping: watch::Receiver<bool>,
) {
    let _ = socket.set_nodelay(true);
    // What a visitor does not take waits here, where it is bounded, and not in
    // the system, where it would look as if it moved.
    let _ = SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT);
    let mut peer = Peer { address, tls: false };
    if carriers.visitors.settings.proxy_protocol {
        match Box::pin(announced(&carriers, &mut socket, peer)).await {
            Some(announced) => peer = announced,
            None => return,
        }
    }
    // A visitor who is not encrypted holds no room for what is.
    match acceptor {
        None => serve(carriers, socket, peer, stopping).await,
        Some(acceptor) => {
            Box::pin(serve_encrypted(carriers, socket, peer, acceptor, stopping)).await;
        }
    }
}

async fn serve_encrypted(
    carriers: Arc<Carriers>,
    socket: TcpStream,
    peer: Peer,
    acceptor: TlsAcceptor,
    stopping: watch::Receiver<bool>,
) {
    let patience = carriers.visitors.settings.timeouts.handshake;
    // What a handshake needs is given back after it.
    let handshake = Box::pin(tokio::time::timeout(patience, acceptor.accept(socket))).await;
    match handshake {
        Ok(Ok(mut stream)) => {
            stream.get_mut().1.set_buffer_limit(Some(UNSENT_TLS));
            let peer = Peer { tls: true, ..peer };
            match stream.get_ref().1.alpn_protocol() {
                Some(tls::HTTP2) => {
                    Box::pin(http2::serve(carriers, stream, peer, stopping)).await;
                }
                Some(_) | None => serve(carriers, stream, peer, stopping).await,
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "no TLS handshake"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// Whose connection it is, as a trusted peer says in front of it; `None` when
/// it is not to be taken.
async fn announced(carriers: &Carriers, socket: &mut TcpStream, peer: Peer) -> Option<Peer> {
    let settings = &carriers.visitors.settings;
    let address = peer.address;
    if !head::is_trusted(&address.ip(), &settings.trusted_proxies) {
        tracing::debug!(%address, "a connection from outside `trusted_proxies` is not taken");
        return None;
    }
    let header = proxy_protocol::read(socket, address);
    match tokio::time::timeout(settings.timeouts.handshake, header).await {
        Ok(Ok(peer)) => Some(peer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection is not taken");
            None
        }
        Err(_) => {
            tracing::debug!("a PROXY header took too long");
            None
        }
    }
}

async fn serve<S: Stream>(
    carriers: Arc<Carriers>,
    stream: S,
    peer: Peer,
    mut stopping: watch::Receiver<bool>,
) {
    let Timeouts { visitor_idle: idle, visitor_stall, .. } = carriers.visitors.settings.timeouts;
    let mut line = Line::new(stream, visitor_stall);
    loop {
        let gives_way;
        match Box::pin(exchanges(&carriers, line, peer, &mut stopping)).await {
            Pause::Rests(resting) => (line, gives_way) = (resting, false),
            Pause::GivesWay(resting) => (line, gives_way) = (resting, true),
            Pause::Switched(stream, said, origin) => {
                upgrade::watch_over(stream.socket());
                tokio::select! {
                    () = Box::pin(upgrade::pass(stream, said, origin)) => {}
                    () = told_to_stop(&mut stopping) => {}
                }
                return;
            }
            Pause::Ended => return,
        }
        if line.first.is_empty() {
            // What is heard already is answered, whatever else happens.
            let heard = tokio::select! {
                biased;
                heard = line.stream.socket().readable() => heard.is_ok(),
                () = std::future::ready(()), if gives_way => false,
                () = told_to_stop(&mut stopping) => false,
                () = carriers.room.wanted() => false,
                () = tokio::time::sleep(idle) => false,
            };
            if !heard {
                line.hang_up().await;
                return;
            }
        }
        if gives_way {
            // Then somebody else has to.
            carriers.room.ask_one();
        }
    }
}

/// Why a connection's exchanges are not carried any further.
enum Pause<S> {
    /// There is no connection any more.
    Ended,
    /// It has become a WebSocket; with what was said there already.
    Switched(S, Bytes, OriginSide),
    /// It has rested for a while and can be parked.
    Rests(Line<S>),
    /// It rests, and others need the room.
    GivesWay(Line<S>),
}

/// Carries exchanges until the connection ends, or rests and can be parked.
async fn exchanges<S: Stream>(
    carriers: &Arc<Carriers>,
    line: Line<S>,
    peer: Peer,
    stopping: &mut watch::Receiver<bool>,
) -> Pause<S> {
    let Settings { limits, timeouts, .. } = &*carriers.visitors.settings;
    let mut http1 = http1::Builder::new();
    if let Some(fields) = limits.unusual_fields() {
        http1.max_headers(fields);
    }
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.request_head)
        .max_buf_size(limits.head_bytes.max(8192))
        // The buffer may have grown beyond when a head comes in one piece.
        .max_header_size(limits.head_bytes);
    let pace = Arc::clone(&line.pace);
    let handover = Handover::default();
    let answering = Answering {
        carriers: Arc::clone(carriers),
        peer,
        pace: Arc::clone(&pace),
        handover: handover.clone(),
    };
    let mut connection = http1.serve_connection(TokioIo::new(line), answering);
    let mut told = pin!(async {
        told_to_stop(stopping).await;
        if pace.begun.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(FIRST_WORDS).await;
        }
    });
    let mut stops = false;
    let mut rest: Option<(Pin<Box<Sleep>>, usize)> = None;
    let mut crowded = pin!(None);
    let mut gives_way = false;
    let ended = poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
                return Poll::Ready(Some(result));
            }
            if stops {
                return Poll::Pending;
            }
            if told.as_mut().poll(cx).is_pending() {
                break;
            }
            stops = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        let rests = pace.is_resting();
        gives_way = carriers.room.poll_wanted(cx, crowded.as_mut(), rests).is_ready();
        if gives_way {
            return Poll::Ready(None);
        }
        if !rests {
            return Poll::Pending;
        }
        let begun = pace.begun.load(Ordering::Relaxed);
        let (timer, since) =
            rest.get_or_insert_with(|| (Box::pin(tokio::time::sleep(REST)), begun));
        while timer.as_mut().poll(cx).is_ready() {
            if *since == begun {
                return Poll::Ready(None);
            }
            *since = begun;
            timer.as_mut().reset(Instant::now() + REST);
        }
        Poll::Pending
    })
    .await;
    let http1::Parts { io, read_buf, .. } = connection.into_parts();
    let mut line = io.into_inner();
    match ended {
        None => {
            line.first = read_buf;
            line.pace.heard.store(false, Ordering::Relaxed);
            return if gives_way { Pause::GivesWay(line) } else { Pause::Rests(line) };
        }
        Some(Ok(())) => match handover.take() {
            Some(origin) => return Pause::Switched(line.stream, read_buf, origin),
            None => line.hang_up().await,
        },
        Some(Err(error)) => {
            tracing::debug!(%error, "a connection ended early");
            if line.pace.cut.load(Ordering::Relaxed) {
                let _ = SockRef::from(line.stream.socket()).set_linger(Some(Duration::ZERO));
            }
        }
    }
    Pause::Ended
}

/// What is known of a connection's exchanges without asking hyper.
#[derive(Debug, Default)]
struct Pace {
    /// How many have begun.
    begun: AtomicUsize,
    /// How many of them have not ended.
    under_way: AtomicUsize,
    /// Whether the last one's request was its head alone: what is left of a body
    /// must never be taken for a request.
    bodiless: AtomicBool,
    /// Whether something came since.
    heard: AtomicBool,
    /// Whether hyper waits for more.
    waiting: AtomicBool,
    /// Whether the visitor has not taken all yet.
    unsent: AtomicBool,
    /// How much hyper was given since he took something, in bytes.
    given: AtomicUsize,
    /// Whether an answer broke off whose end is the connection's: ended in order,
    /// it would look whole.
    cut: AtomicBool,
    signs: Signs,
}

impl Pace {
    fn is_resting(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
            && self.bodiless.load(Ordering::Relaxed)
            && self.waiting.load(Ordering::Relaxed)
            && !self.heard.load(Ordering::Relaxed)
            && !self.unsent.load(Ordering::Relaxed)
    }
}

/// A connection's bytes on their way to and from hyper.
struct Line<S> {
    stream: S,
    /// What was read before, and looked at.
    first: Bytes,
    framing: Framing,
    /// For the visitor to take something.
    patience: Patience,
    pace: Arc<Pace>,
}

impl<S: Stream> Line<S> {
    fn new(stream: S, stall: Duration) -> Self {
        Self {
            stream,
            first: Bytes::new(),
            framing: Framing::new(),
            patience: Patience::new(stall),
            pace: Arc::default(),
        }
    }

    /// Ends in order, as far as the visitor takes it.
    async fn hang_up(&mut self) {
        let patience = self.patience.limit();
        let _ = tokio::time::timeout(patience, self.stream.shutdown()).await;
    }

    fn sent<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.pace.unsent.store(sent.is_pending(), Ordering::Relaxed);
        if sent.is_ready() {
            self.pace.given.store(0, Ordering::Relaxed);
            self.patience.reset();
        } else if self.patience.poll_elapsed(cx).is_ready() {
            // Nor does the system keep what he did not take.
            let _ = SockRef::from(self.stream.socket()).set_linger(Some(Duration::ZERO));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        sent
    }
}

impl<S: Stream> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            let before = into.filled().len();
            if self.framing.has_refused(into) {
                return Poll::Ready(Ok(()));
            }
            let read = Pin::new(&mut self.stream).poll_read(cx, into);
            self.pace.waiting.store(read.is_pending(), Ordering::Relaxed);
            if into.filled().len() > before {
                self.pace.heard.store(true, Ordering::Relaxed);
                let Self { framing, pace, .. } = &mut *self;
                framing.read(into, before, &pace.signs);
            }
            return read;
        }
        let part = self.first.len().min(into.remaining());
        into.put_slice(self.first.get(..part).unwrap_or_default());
        self.first.advance(part);
        self.pace.heard.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Line<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sent(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.sent(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_flush(cx);
        self.sent(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Answers the requests of one connection.
struct Answering {
    carriers: Arc<Carriers>,
    peer: Peer,
    pace: Arc<Pace>,
    handover: Handover,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response<Counted>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let number = self.pace.begun.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if request.method() == Method::OPTIONS && self.pace.signs.is_server_wide(number) {
            head::ask_whole_server(&mut request);
        }
        self.pace.bodiless.store(request.body().is_end_stream(), Ordering::Relaxed);
        let ticket = Ticket::new(&self.pace);
        let ends_with_connection = request.version() < Version::HTTP_11;
        request.extensions_mut().insert(self.handover.clone());
        let (carriers, peer, pace) =
            (Arc::clone(&self.carriers), self.peer, Arc::clone(&self.pace));
        Box::pin(async move {
            let mut response = carriers.answer(request, peer).await;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS && pace.signs.stays() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Counted { body, ticket, ends_with_connection }))
        })
    }
}

/// One exchange under way.
struct Ticket(Arc<Pace>);

impl Ticket {
    fn new(pace: &Arc<Pace>) -> Self {
        pace.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(pace))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.heard.store(false, Ordering::Relaxed);
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body whose end is the exchange's.
struct Counted {
    body: Body,
    ticket: Ticket,
    ends_with_connection: bool,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // What the visitor does not take must not gather here: the socket wakes
        // us, and hyper asks again once it has sent what it has.
        let Self { body, ticket, ends_with_connection } = &mut *self;
        let pace = &*ticket.0;
        if pace.unsent.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        if pace.given.load(Ordering::Relaxed) >= AT_ONCE {
            // It sends when there is no more for now, and is to come back then.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            pace.given.fetch_add(bytes, Ordering::Relaxed);
        }
        if *ends_with_connection && matches!(frame, Poll::Ready(Some(Err(_)))) {
            pace.cut.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of<F, A, B, C, D, E>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// Every visitor has one for as long as he is connected.
    #[test]
    fn a_connection_in_the_clear_holds_no_room_for_tls() {
        let plain = bytes_of(carry);
        assert!(plain < 3 * 1024, "{plain} bytes");
        let encrypted = bytes_of(serve_encrypted);
        assert!(plain < encrypted, "{plain} of {encrypted} bytes");
    }
}
