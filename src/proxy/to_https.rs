//! Answers plain http with the way to https, and authorities that make
//! certificates: one thread, for what comes here is a visitor's first step and
//! nothing else.

use crate::observe::Observe;
use crate::proxy::Settings;
use crate::proxy::acme::{Acme, Challenges};
use crate::proxy::body::{self, Body};
use crate::proxy::connection::Slot;
use crate::proxy::error::Error;
use crate::proxy::exchange::now_ms;
use crate::proxy::head::{Head, Peer};
use crate::proxy::leaving::Leaving;
use crate::proxy::listener::{admit_the_last, told_to_stop};
use crate::proxy::tls::Certificates;
use crate::site::Sites;

use arc_swap::ArcSwap;
use http::header::{CONNECTION, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const HTTPS: u16 = 443;

/// What the answers are made of.
#[derive(Clone)]
pub(super) struct ToHttps {
    pub(super) sites: Arc<ArcSwap<Sites>>,
    pub(super) settings: Arc<Settings>,
    pub(super) observe: Arc<Observe>,
    /// Where https is.
    pub(super) port: u16,
    /// Connections that are open, here and there.
    pub(super) open: Arc<AtomicUsize>,
    /// What an authority is told that makes certificates.
    pub(super) challenges: Arc<Challenges>,
    pub(super) certificates: Option<Arc<Certificates>>,
    /// When nobody new is taken any more, and when nobody is answered.
    pub(super) closing: watch::Receiver<bool>,
    pub(super) stopping: watch::Receiver<bool>,
    /// Sockets at which somebody is still taken.
    pub(super) accepting: Arc<AtomicUsize>,
    pub(super) leaving: Arc<Leaving>,
    /// Whether nobody listens there when we close it.
    pub(super) is_ours: bool,
}

impl ToHttps {
    /// Answers until told to stop.
    pub(super) fn run(self, listener: StdListener) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "plain http has no runtime"),
        };
        runtime.block_on(self.serve(listener));
    }

    async fn serve(self, listener: StdListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "plain http cannot be listened for"),
        };
        if let (Some(settings), Some(certificates)) = (&self.settings.acme, &self.certificates) {
            let acme = Acme {
                settings: settings.clone(),
                challenges: Arc::clone(&self.challenges),
                certificates: Arc::clone(certificates),
            };
            tokio::spawn(acme.run());
        }
        let limits = self.settings.limits;
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.timeouts.request_head)
            .max_buf_size(limits.head_bytes.max(8192))
            .keep_alive(false);
        let admit = |socket: TcpStream, address: SocketAddr| {
            let Some(slot) = Slot::take(&self.open, limits.connections, &self.observe) else {
                return;
            };
            let this = self.clone();
            let answering = service_fn(move |request: Request<Incoming>| {
                let answer = this.answer(request, address);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1.serve_connection(TokioIo::new(socket), answering);
            let patience = self.settings.timeouts.request_head * 2;
            tokio::spawn(async move {
                let _ = tokio::time::timeout(patience, connection).await;
                drop(slot);
            });
        };
        let (mut closing, mut stopping) = (self.closing.clone(), self.stopping.clone());
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = told_to_stop(&mut closing) => break,
            };
            let (socket, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            admit(socket, address);
        }
        // As at the listener for https: nobody who connected is left without.
        if let Ok(listener) = listener.into_std()
            && self.is_ours
        {
            admit_the_last(&listener, self.leaving.has_successor(), admit).await;
        }
        self.accepting.fetch_sub(1, Ordering::Relaxed);
        told_to_stop(&mut stopping).await;
    }

    fn answer(&self, request: Request<Incoming>, address: SocketAddr) -> Response<Body> {
        let (parts, _) = request.into_parts();
        let peer = Peer { address, tls: false };
        if let Some(answer) = self.challenges.answer(parts.uri.path()) {
            return Response::new(body::full(answer));
        }
        let mut response = match self.way(&parts, peer) {
            Ok(location) => {
                let mut response = Response::new(body::empty());
                *response.status_mut() = match parts.method {
                    Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
                    // What was sent is to be sent again (RFC 9110, 15.4.9).
                    _ => StatusCode::PERMANENT_REDIRECT,
                };
                response.headers_mut().insert(LOCATION, location);
                response
            }
            Err(error) => {
                error.response(&parts.headers, &format!("{:08x}", now_ms() & 0xffff_ffff))
            }
        };
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// Only to hosts that are served here, so that nobody is sent elsewhere.
    fn way(&self, parts: &http::request::Parts, peer: Peer) -> Result<HeaderValue, Error> {
        const INVALID: Error = Error::BadRequest("the request's target is not valid");
        let head = Head::read(parts, peer, &[])?;
        if self.sites.load().find(&head.host).is_none() {
            return Err(Error::UnknownHost(head.host));
        }
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        if !path.starts_with('/') {
            return Err(INVALID);
        }
        let port = if self.port == HTTPS { String::new() } else { format!(":{}", self.port) };
        HeaderValue::try_from(format!("https://{}{port}{path}", head.host)).map_err(|_| INVALID)
    }
}
