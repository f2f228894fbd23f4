//! Makes one connection to an origin: its name, its addresses, TLS, and which
//! HTTP is spoken. All of it together within `timeouts.connect_s`.

use crate::proxy::Settings;
use crate::proxy::body::RequestBody;
use crate::proxy::room::{Room, is_short_of_files};
use crate::proxy::upstream::names::Names;
use crate::proxy::upstream::pool::Sender;
use crate::proxy::upstream::sips::Sips;
use crate::site::{Failure, Http2, Origin};

use http::uri::Scheme;
use hyper::client::conn::{http1, http2};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// How long an address is tried alone before the next one is, too (RFC 8305,
/// section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How much of an answer waits here for a visitor who reads slowly, as much as
/// RFC 9113 (6.9.2) begins with: a large page is no reason for a large buffer.
const STREAM_WINDOW_BYTES: u32 = 65_535;

/// Streams of one connection. Its window has room for all of theirs, so that
/// visitors who read slowly never hold up the others.
pub(super) const STREAMS: usize = 100;

/// How often a connection with streams under way is asked whether it is alive.
const PING: Duration = Duration::from_secs(10);

/// How long visitors who are asked to go have for it.
const ROOM: Duration = Duration::from_millis(50);

/// Why there is no connection to an origin.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the name `{host}` cannot be looked up: {why}")]
    Name { host: String, why: io::Error },
    #[error("{address}: {why}")]
    Address { address: SocketAddr, why: io::Error },
    #[error("no connection within `timeouts.connect_s`")]
    Slow,
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("it does not offer HTTP/2, and `origin_http2` is `always`")]
    NoHttp2,
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

impl ConnectError {
    /// Whether nothing is wrong with the origin: we have too many files open.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Name { why, .. } | Self::Address { why, .. } => is_short_of_files(why),
            Self::Slow | Self::Tls(_) | Self::NoHttp2 | Self::Http(_) => false,
        }
    }

    pub(super) const fn failure(&self) -> Failure {
        match self {
            Self::Name { .. } => Failure::Name,
            Self::Address { .. } | Self::Slow | Self::Tls(_) | Self::NoHttp2 | Self::Http(_) => {
                Failure::Connect
            }
        }
    }
}

/// What TLS offers an origin to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Http1,
    Http2,
    Both,
}

impl Offer {
    /// WebSockets begin in HTTP/1.1 (RFC 6455), whatever the others speak.
    pub(super) const fn of(http2: Http2, websocket: bool) -> Self {
        match (http2, websocket) {
            (_, true) | (Http2::Never, false) => Self::Http1,
            (Http2::Always, false) => Self::Http2,
            (Http2::Auto, false) => Self::Both,
        }
    }
}

/// Makes connections.
pub(super) struct Connector {
    names: Names,
    room: Arc<Room>,
    limit: Duration,
    tls_http1: TlsConnector,
    tls_http2: TlsConnector,
    tls_both: TlsConnector,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Connector {
    pub(super) fn new(settings: &Settings, tls: &ClientConfig, room: &Arc<Room>) -> Self {
        let offering = |protocols: &[&[u8]]| {
            let mut tls = tls.clone();
            tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            TlsConnector::from(Arc::new(tls))
        };
        let head_bytes = settings.limits.head_bytes;
        let mut http1 = http1::Builder::new();
        http1.max_buf_size(head_bytes.max(8192));
        if let Some(fields) = settings.limits.unusual_fields() {
            http1.max_headers(fields);
        }
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        let streams = u32::try_from(STREAMS).unwrap_or(u32::MAX);
        http2
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(STREAM_WINDOW_BYTES.saturating_mul(streams))
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        Self {
            names: Names::new(settings.origin_name_server),
            room: Arc::clone(room),
            limit: settings.timeouts.connect,
            tls_http1: offering(&[b"http/1.1"]),
            tls_http2: offering(&[b"h2"]),
            tls_both: offering(&[b"h2", b"http/1.1"]),
            http1,
            http2,
        }
    }

    /// A connection on which a request can be sent. Where too many files are
    /// open, visitors who rest are asked to go first.
    pub(super) async fn connect(
        &self,
        origin: &Origin,
        offer: Offer,
    ) -> Result<Sender, ConnectError> {
        let mut short = None;
        let opening = async {
            loop {
                match self.open(origin, offer).await {
                    // Some visitor who rests has to go first.
                    Err(error) if error.is_ours() => short = Some(error),
                    opened => return opened,
                }
                self.room.ask_some();
                sleep(ROOM).await;
            }
        };
        let opened = timeout(self.limit, opening).await;
        opened.unwrap_or_else(|_| Err(short.unwrap_or(ConnectError::Slow)))
    }

    async fn open(&self, origin: &Origin, offer: Offer) -> Result<Sender, ConnectError> {
        let is_https = origin.scheme == Scheme::HTTPS;
        let port = origin.authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let host = origin.authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = self
            .names
            .addresses(host, port)
            .await
            .map_err(|why| ConnectError::Name { host: host.to_owned(), why })?;
        let socket = dial(addresses, host).await?;
        let _ = socket.set_nodelay(true);
        let socket = TokioIo::new(socket);
        if !is_https {
            return self.speak(socket.into(), offer == Offer::Http2).await;
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
        let tls = match offer {
            Offer::Http1 => &self.tls_http1,
            Offer::Http2 => &self.tls_http2,
            Offer::Both => &self.tls_both,
        };
        let stream = tls.connect(name, TokioIo::new(socket)).await.map_err(ConnectError::Tls)?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if offer == Offer::Http2 && !is_http2 {
            return Err(ConnectError::NoHttp2);
        }
        self.speak(stream.into(), is_http2).await
    }

    async fn speak(
        &self,
        stream: MaybeHttpsStream<TokioIo<TcpStream>>,
        is_http2: bool,
    ) -> Result<Sender, ConnectError> {
        if is_http2 {
            let (sender, mut connection) = self.http2.handshake::<_, RequestBody>(stream).await?;
            let room = Arc::new(AtomicUsize::new(STREAMS));
            let told = Arc::clone(&room);
            tokio::spawn(async move {
                let ended = poll_fn(|cx| {
                    let ended = Pin::new(&mut connection).poll(cx);
                    told.store(connection.current_max_send_streams(), Relaxed);
                    ended
                });
                if let Err(error) = ended.await {
                    tracing::debug!(%error, "connection to an origin ended");
                }
            });
            return Ok(Sender::Http2(sender, room));
        }
        let sips = TokioIo::new(Sips::new(TokioIo::new(stream)));
        let (sender, connection) = self.http1.handshake::<_, RequestBody>(sips).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to an origin ended");
            }
        });
        Ok(Sender::Http1(sender))
    }
}

/// A connection to one of the addresses, whichever is there first: each is
/// tried as soon as the one before it failed or let it wait.
async fn dial(addresses: Vec<SocketAddr>, host: &str) -> Result<TcpStream, ConnectError> {
    let failed = |address, why| ConnectError::Address { address, why };
    if let [address] = addresses.as_slice() {
        return TcpStream::connect(address).await.map_err(|why| failed(*address, why));
    }
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut last =
        ConnectError::Name { host: host.to_owned(), why: io::Error::other("it has no address") };
    loop {
        match waiting.next() {
            Some(address) => {
                attempts.spawn(async move { (address, TcpStream::connect(address).await) });
            }
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let patience = if waiting.len() == 0 { Duration::MAX } else { HEAD_START };
        match timeout(patience, attempts.join_next()).await {
            Ok(Some(Ok((_, Ok(socket))))) => return Ok(socket),
            Ok(Some(Ok((address, Err(why))))) => last = failed(address, why),
            Ok(Some(Err(_)) | None) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn k3_the_next_address_is_tried_when_one_refuses_or_is_silent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let refusing: SocketAddr = "127.0.0.1:1".parse().unwrap();
        // Nobody answers there (RFC 5737).
        let silent: SocketAddr = "192.0.2.1:9".parse().unwrap();
        for addresses in [vec![refusing, there], vec![silent, there], vec![silent, refusing, there]]
        {
            let socket = timeout(Duration::from_secs(5), dial(addresses, "x")).await;
            assert_eq!(socket.unwrap().unwrap().peer_addr().unwrap(), there);
        }
        let error = dial(vec![refusing, refusing], "x").await.unwrap_err();
        assert!(error.to_string().starts_with("127.0.0.1:1: "), "{error}");
        let error = dial(Vec::new(), "shop.example").await.unwrap_err();
        assert!(error.to_string().contains("`shop.example`"), "{error}");
    }
}
