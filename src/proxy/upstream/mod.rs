//! Sends cleared requests to origins, each worker over connections of its own.
//!
//! A request is sent a second time only where that can do no harm: nothing of
//! it had been sent; the origin said that it did nothing with it; or it has no
//! body, its method is safe, and the connection, which had rested, was closed
//! before an answer came. Anything else is sent once.

mod body;
mod connect;
mod looks;
mod names;
mod outside;
mod pool;
mod sips;
mod tls;

pub(super) use body::OriginBody;
pub use looks::{Looking, look_at_origins};
pub use outside::{Outside, outside};
pub use tls::UpstreamError;
pub(super) use tls::tls_config;

use crate::enforce::Cleared;
use crate::observe::{Observe, OriginChanged, OriginFailed, OriginRetried, chain};
use crate::proxy::body::{BodyFate, Fate, RequestBody};
use crate::proxy::error::Error;
use crate::proxy::room::Room;
use crate::proxy::{Settings, Timeouts};
use crate::site::{Change, Chosen, Failure, Origin, OriginSet, Origins};
use connect::{ConnectError, Connector, Offer};
use pool::{Connection, Lease, Pool, Sender, Slot};

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};
use http_body::Body as _;
use hyper::body::Incoming;
use rustls::ClientConfig;
use std::error::Error as _;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// How many servers of a site one exchange tries to connect to.
const MOST_SERVERS: usize = 3;

/// An origin that says how long it keeps a resting connection may count from a
/// moment before we do.
const KEEP_MARGIN: Duration = Duration::from_secs(1);

/// Sends cleared requests to origins.
#[derive(Clone)]
pub(super) struct Upstream {
    connector: Arc<Connector>,
    pool: Arc<Pool>,
    timeouts: Timeouts,
    observe: Arc<Observe>,
}

/// A request that a server did not take.
struct Untaken {
    error: Error,
    failure: Failure,
    /// The request, if nothing of it was sent.
    request: Option<Request<RequestBody>>,
}

impl Upstream {
    pub(super) fn new(
        settings: &Settings,
        tls: &Arc<ClientConfig>,
        observe: &Arc<Observe>,
        room: &Arc<Room>,
    ) -> Self {
        Self {
            connector: Arc::new(Connector::new(settings, tls, room)),
            pool: Pool::new(settings.timeouts),
            timeouts: settings.timeouts,
            observe: Arc::clone(observe),
        }
    }

    /// Sends one request and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        request: Cleared<Parts>,
        body: RequestBody,
        origins: &Arc<Origins>,
    ) -> Result<Response<OriginBody>, Error> {
        let fate = body.fate();
        let mut request = Request::from_parts(request.into_inner(), body);
        let repeatable = is_repeatable(&request);
        let mut tried = OriginSet::default();
        let mut failed = None;
        for _ in 0..MOST_SERVERS {
            let Some(chosen) = origins.choose(tried, repeatable) else { break };
            let Some(origin) = chosen.origin() else { break };
            if let Some((_, failure)) = &failed {
                let reason = Failure::name(*failure);
                self.observe.emit(&OriginRetried { site: &origins.site, reason });
            }
            match self.ask(request, origins, &chosen, origin, &fate).await {
                Ok((response, lease)) => {
                    self.tell(origins, origin, chosen.answered(), None);
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                        return Ok(response.map(|body| OriginBody::switched(body, chosen)));
                    }
                    return Ok(response.map(|body| OriginBody::new(body, lease, chosen)));
                }
                Err(Untaken { error, failure, request: unsent }) => {
                    if is_origins_fault(&error) {
                        let change = chosen.failed(failure);
                        self.tell(origins, origin, change, Some((failure, &error)));
                    }
                    let Some(unsent) = unsent else { return Err(error) };
                    request = unsent;
                    tried.add(&chosen);
                    failed = Some((error, failure));
                }
            }
        }
        Err(failed.map_or_else(|| all_aside(origins), |(error, _)| error))
    }

    /// Asks one server.
    async fn ask(
        &self,
        mut request: Request<RequestBody>,
        origins: &Origins,
        chosen: &Chosen,
        origin: &Origin,
        fate: &BodyFate,
    ) -> Result<(Response<Incoming>, Lease), Untaken> {
        let slot = self.pool.slot(&origin.url);
        slot.save();
        let offer = Offer::of(origins.http2, request.headers().contains_key(UPGRADE));
        let mut is_second = false;
        loop {
            let mut connection = match self.connection(&slot, origin, offer, is_second).await {
                Ok(connection) => connection,
                Err(error) => {
                    let failure = error.failure();
                    let told = format!("{}: {error}", origin.url);
                    if error.is_ours() {
                        // Nor can we connect to another server.
                        return Err(Untaken { error: Error::NoRoom(told), failure, request: None });
                    }
                    let error = Error::Unreachable(told);
                    return Err(Untaken { error, failure, request: Some(request) });
                }
            };
            chosen.connected();
            if let Err(error) = address(&mut request, origins, origin, connection.is_http2()) {
                return Err(Untaken { error, failure: Failure::Broken, request: None });
            }
            let copy = copy(&request, &connection);
            let answer = self.head_of(connection.send(request), fate).await;
            let mut error = match answer {
                Some(Ok(response)) => {
                    let response = well_framed(response, origin).map_err(|error| Untaken {
                        error,
                        failure: Failure::Broken,
                        request: None,
                    })?;
                    if let Some(keep) = kept_for(response.headers()) {
                        connection.keep_for(keep);
                    }
                    return Ok((response, Lease::new(connection, slot)));
                }
                Some(Err(error)) => error,
                None => {
                    slot.give_up(&connection);
                    let error = match fate.get() {
                        Fate::Stalled => Error::BodyTimeout,
                        Fate::Fine | Fate::TooLarge | Fate::Broken => {
                            Error::OriginTimeout(Arc::clone(&origin.url))
                        }
                    };
                    return Err(Untaken { error, failure: Failure::Silent, request: None });
                }
            };
            let unsent = error.take_message();
            let why = error.into_error();
            let again = match unsent {
                // It was closed before anything was sent.
                Some(unsent) if !is_second => Some(unsent),
                Some(unsent) => {
                    let error = broken(&why, fate, origin);
                    let request = Some(unsent);
                    return Err(Untaken { error, failure: Failure::Broken, request });
                }
                None if is_second || !may_repeat(&why, &connection) => None,
                None => copy.filter(|_| slot.pay_retry()),
            };
            let Some(again) = again else {
                let error = broken(&why, fate, origin);
                return Err(Untaken { error, failure: Failure::Broken, request: None });
            };
            self.observe.emit(&OriginRetried { site: &origins.site, reason: "closed" });
            request = again;
            is_second = true;
        }
    }

    /// A connection to a server: one that is there, unless that would be the
    /// second try, or a new one.
    async fn connection(
        &self,
        slot: &Arc<Slot>,
        origin: &Origin,
        offer: Offer,
        is_second: bool,
    ) -> Result<Connection, ConnectError> {
        let take = || slot.take(offer != Offer::Http2, offer != Offer::Http1);
        if !is_second && let Some(connection) = take() {
            return Ok(connection);
        }
        let shares = offer == Offer::Http2 || slot.chose_http2.load(Relaxed);
        let _turn;
        if shares && offer != Offer::Http1 && !is_second {
            let turn = tokio::time::timeout(self.timeouts.connect, slot.connecting.lock());
            _turn = turn.await.map_err(|_| ConnectError::Slow)?;
            if let Some(connection) = take() {
                return Ok(connection);
            }
        }
        let sender = self.connector.connect(origin, offer).await?;
        self.pool.keep_swept();
        if offer == Offer::Both {
            slot.chose_http2.store(matches!(sender, Sender::Http2(..)), Relaxed);
        }
        Ok(slot.begin(sender))
    }

    /// Waits for an answer as long as the operator allows, which begins anew
    /// with everything that the visitor sends. `None` when it took longer.
    async fn head_of<T>(&self, answer: impl Future<Output = T>, fate: &BodyFate) -> Option<T> {
        let mut answer = pin!(answer);
        let deadline = || fate.deadline(self.timeouts.response_head, self.timeouts.request_body);
        loop {
            match timeout_at(deadline(), answer.as_mut()).await {
                Err(_) if deadline() > Instant::now() => {}
                answer => return answer.ok(),
            }
        }
    }

    fn tell(
        &self,
        origins: &Origins,
        origin: &Origin,
        change: Option<Change>,
        failed: Option<(Failure, &Error)>,
    ) {
        let (site, url) = (&*origins.site, &*origin.url);
        if let Some((failure, _)) = failed {
            let reason = failure.name();
            self.observe.emit(&OriginFailed { site, origin: url, reason });
        }
        if let Some(change) = change {
            let why = failed.map_or_else(String::new, |(_, error)| error.to_string());
            let is_up = change == Change::Back;
            self.observe.emit(&OriginChanged { site, origin: url, is_up, why: &why });
        }
    }
}

/// Whether asking a second time changes nothing that asking once does not
/// (RFC 9110, 9.2.2), and there is nothing that was sent along and is gone.
fn is_repeatable(request: &Request<RequestBody>) -> bool {
    request.body().is_end_stream()
        && matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
}

/// What a second try would send. None is ever made of a request on a new
/// connection: if an origin answers nothing there, it is the request's doing
/// or the origin's, and it would be no different the second time.
fn copy(request: &Request<RequestBody>, connection: &Connection) -> Option<Request<RequestBody>> {
    if !is_repeatable(request) || !(connection.is_reused || connection.is_http2()) {
        return None;
    }
    let mut copy = Request::new(RequestBody::none());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// Whether the request whose copy is there may be sent again after this.
fn may_repeat(error: &hyper::Error, connection: &Connection) -> bool {
    if let Some(error) = cause::<h2::Error>(error) {
        // RFC 9113, 8.7: then the origin did nothing with it.
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        let went_away = error.is_go_away();
        return refused || went_away || (error.is_io() && connection.is_reused);
    }
    let was_closed = || {
        cause::<io::Error>(error).is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::UnexpectedEof
            )
        })
    };
    connection.is_reused && (error.is_incomplete_message() || error.is_closed() || was_closed())
}

fn cause<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}

/// Turns a visitor's request into one to the origin, in the words of the
/// version that is spoken there.
fn address(
    request: &mut Request<RequestBody>,
    origins: &Origins,
    origin: &Origin,
    is_http2: bool,
) -> Result<(), Error> {
    let body = request.body();
    let is_length_unknown = !body.is_end_stream() && body.size_hint().exact().is_none();
    let mut uri = http::uri::Parts::default();
    let target = request.uri().path_and_query().cloned();
    uri.path_and_query = target.or_else(|| Some(PathAndQuery::from_static("/")));
    if let Some(host) = &origins.host
        && let Ok(value) = HeaderValue::from_str(host.as_str())
    {
        request.headers_mut().insert(HOST, value);
    }
    if is_http2 {
        // RFC 9113, 8.3.1: the authority stands there and not in `Host`.
        let host = request.headers_mut().remove(HOST);
        let host = host.and_then(|host| host.as_bytes().try_into().ok());
        uri.scheme = Some(origin.scheme.clone());
        uri.authority = Some(host.unwrap_or_else(|| origin.authority.clone()));
        *request.version_mut() = Version::HTTP_2;
    } else {
        let authority = request.uri().authority().cloned();
        if let Some(authority) = authority.filter(|_| !request.headers().contains_key(HOST))
            && let Ok(value) = HeaderValue::from_str(authority.as_str())
        {
            request.headers_mut().insert(HOST, value);
        }
        *request.version_mut() = Version::HTTP_11;
        if is_length_unknown && matches!(*request.method(), Method::GET | Method::HEAD) {
            // Without being told, hyper sends no body with these methods.
            let chunked = HeaderValue::from_static("chunked");
            request.headers_mut().insert(TRANSFER_ENCODING, chunked);
        }
    }
    *request.uri_mut() =
        Uri::from_parts(uri).map_err(|_| Error::BadRequest("the request's target is not valid"))?;
    Ok(())
}

/// Takes an answer only if it is clear where its body ends (RFC 9112, 6.1 and
/// 6.3): chunks outweigh a length, and other transfer codings were not asked
/// for. What hyper makes of a list of equal lengths, the visitor could not.
fn well_framed(
    mut response: Response<Incoming>,
    origin: &Origin,
) -> Result<Response<Incoming>, Error> {
    let url = &origin.url;
    let mut lengths = response.headers().get_all(CONTENT_LENGTH).iter();
    let is_number = |length: &HeaderValue| length.as_bytes().iter().all(u8::is_ascii_digit);
    if lengths.next().is_some_and(|length| !is_number(length)) || lengths.next().is_some() {
        return Err(Error::OriginBroken(format!("{url}: its length is not one number")));
    }
    let mut codings = response.headers().get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(response),
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => {
            response.headers_mut().remove(CONTENT_LENGTH);
            Ok(response)
        }
        _ => Err(Error::OriginBroken(format!("{url}: its transfer coding is not `chunked`"))),
    }
}

/// How long an origin keeps a resting connection, if it says so, as many do
/// (`Keep-Alive: timeout=5`): a request sent later would be lost.
fn kept_for(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(&KEEP_ALIVE)?.to_str().ok()?;
    let seconds = text.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().parse().ok())?
    })?;
    Some(Duration::from_secs(seconds).saturating_sub(KEEP_MARGIN))
}

/// Why no answer came, by whoever is at fault.
fn broken(error: &hyper::Error, fate: &BodyFate, origin: &Origin) -> Error {
    match fate.get() {
        Fate::TooLarge => Error::BodyTooLarge,
        Fate::Stalled => Error::BodyTimeout,
        Fate::Broken => Error::BadRequest("the request's body broke off"),
        Fate::Fine => Error::OriginBroken(format!("{}: {}", origin.url, chain(error))),
    }
}

const fn is_origins_fault(error: &Error) -> bool {
    matches!(error, Error::Unreachable(_) | Error::OriginBroken(_) | Error::OriginTimeout(_))
}

fn all_aside(origins: &Origins) -> Error {
    let all: Vec<&str> = origins.iter().map(|origin| &*origin.url).collect();
    Error::Unreachable(format!(
        "{}: set aside because no connection could be made, and being tried again",
        all.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k3_an_origin_that_says_how_long_it_keeps_a_connection_is_believed() {
        for (field, expected) in [
            ("timeout=5", Some(4)),
            ("timeout=5, max=1000", Some(4)),
            ("max=3, Timeout = 72", Some(71)),
            ("timeout=0", Some(0)),
            ("timeout=x", None),
            ("max=3", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(&KEEP_ALIVE, HeaderValue::from_static(field));
            assert_eq!(kept_for(&headers), expected.map(Duration::from_secs), "{field}");
        }
    }
}
