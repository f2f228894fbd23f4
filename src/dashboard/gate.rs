//! Lets through who may pass: the names we answer to, the session, the role,
//! and whether a change was really asked for on one of our own pages.

use crate::dashboard::layout;
use crate::dashboard::office::{Office, Peer};
use crate::dashboard::routes::Access;
use crate::dashboard::session::{Session, Way, hash, same};
use crate::dashboard::settings::Settings;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, WWW_AUTHENTICATE,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// The longest form or document that is read.
const BODY_BYTES: usize = 64 * 1024;

/// How long it may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

/// What guards one route.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) office: Arc<Office>,
    pub(super) access: Access,
}

/// Guards the whole dashboard: refuses what is not meant for us, and sees to
/// it that whatever is answered looks like ours.
pub(super) async fn front(
    State(office): State<Arc<Office>>,
    request: Request,
    next: Next,
) -> Response {
    let api = is_api(request.uri());
    let settings = office.settings.load_full();
    let peer = request.extensions().get::<Peer>().copied();
    let known = authority(&request)
        .zip(peer)
        .is_some_and(|(name, peer)| settings.answers_to(&name, peer.local));
    let refused = if !known {
        Some(layout::refusal(
            api,
            StatusCode::MISDIRECTED_REQUEST,
            "This is not an address of the dashboard",
            "If it should be, add the name to `hosts` under [admin] in the configuration.",
        ))
    } else if !office.has_door() {
        Some(layout::refusal(
            api,
            StatusCode::FORBIDDEN,
            "Nobody can sign in yet",
            "Other machines can reach this address, and there are no users. Run `consentry hash-password`, add what it prints to the configuration as an [[admin.user]], and reload it.",
        ))
    } else {
        None
    };
    let response = match refused {
        Some(refused) => refused,
        None => match whole(request, BODY_PATIENCE).await {
            Ok(request) => layout::in_our_words(api, next.run(request).await).await,
            Err(unread) => unread.refusal(api),
        },
    };
    layout::sealed(response)
}

/// Guards one route.
pub(super) async fn gate(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let api = is_api(request.uri());
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let settings = gate.office.settings.load_full();
    let role = match gate.access {
        Access::Anyone => {
            if changes && !from_our_page(request.headers()) {
                return from_elsewhere(api);
            }
            return next.run(request).await;
        }
        Access::Only(role) => role,
    };
    let Some(session) = session(&gate.office, &settings, request.headers()) else {
        return sign_in_first(api, changes, request.uri());
    };
    if session.role < role {
        return layout::refusal(
            api,
            StatusCode::FORBIDDEN,
            "Only an operator may do this",
            &format!(
                "You are signed in as {}, with the role `{}`.",
                session.name,
                session.role.name()
            ),
        );
    }
    let mut request = request;
    if changes && session.way != Way::Token {
        if !from_our_page(request.headers()) {
            return from_elsewhere(api);
        }
        request = match with_token(request, &session).await {
            Some(request) => request,
            None => return from_elsewhere(api),
        };
    }
    request.extensions_mut().insert(session);
    next.run(request).await
}

fn is_api(uri: &Uri) -> bool {
    uri.path().starts_with("/api/")
}

/// The name that was asked for.
fn authority(request: &Request) -> Option<Authority> {
    let mut fields = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (fields.next(), fields.next()) else { return None };
    host.to_str().ok()?.parse().ok()
}

/// Who asks: somebody with a session's cookie, or a program with a token.
fn session(office: &Office, settings: &Settings, headers: &HeaderMap) -> Option<Session> {
    if let Some(token) = bearer(headers) {
        let found = hash(token);
        let token = settings.tokens.iter().find(|token| token.sha256 == found)?;
        return Some(Session {
            name: token.name.clone(),
            role: token.role,
            csrf: String::new(),
            way: Way::Token,
        });
    }
    office.sessions.find(session_id(headers)?, settings, Instant::now())
}

/// The token that is shown, if one is. A proxy in front may ask for a password
/// of its own; browsers then send that along everywhere.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let field = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = field.split_once(' ').unwrap_or((field, ""));
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The name of the session's cookie. A browser takes a name that begins so
/// from nobody but this very host, over https.
pub(super) const fn cookie_name(https: bool) -> &'static str {
    if https { "__Host-consentry-office" } else { "consentry-office" }
}

/// The id in the session's cookie.
pub(super) fn session_id(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs: Vec<_> = pairs
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .collect();
    [true, false].into_iter().find_map(|https| {
        let name = cookie_name(https);
        pairs.iter().find(|(found, _)| *found == name).map(|(_, id)| *id)
    })
}

/// Whether browsers on the other side of a proxy of the operator speak https.
pub(super) fn is_https(headers: &HeaderMap, peer: Peer, settings: &Settings) -> bool {
    is_trusted(peer, settings) && last(headers, "x-forwarded-proto") == Some("https")
}

/// Who asks, as far as addresses say so.
pub(super) fn client(headers: &HeaderMap, peer: Peer, settings: &Settings) -> IpAddr {
    let told = || last(headers, "x-forwarded-for")?.parse().ok();
    if is_trusted(peer, settings) { told().unwrap_or(peer.address) } else { peer.address }
}

fn is_trusted(peer: Peer, settings: &Settings) -> bool {
    settings.trusted_proxies.iter().any(|network| network.contains(&peer.address.to_canonical()))
}

/// What the peer itself added to a list.
fn last<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let field = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    field.rsplit(',').next().map(str::trim)
}

/// Whether a browser says that one of our own pages sends this; what is no
/// browser says neither.
fn from_our_page(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let ours = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
        // The scheme is that of a proxy in front, which we may not know.
        origin.is_some_and(|origin| same_authority(&origin, host))
    };
    headers.get(ORIGIN).is_none_or(ours)
        && headers.get(FETCH_SITE).is_none_or(|site| site == "same-origin")
}

fn same_authority(origin: &Url, host: &str) -> bool {
    let with = |scheme: &str| Url::parse(&format!("{scheme}://{host}/")).ok();
    with(origin.scheme())
        .is_some_and(|ours| ours.origin() == origin.origin() && ours.origin().is_tuple())
}

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
enum Unread {
    TooLong,
    TooSlow,
}

impl Unread {
    fn refusal(&self, api: bool) -> Response {
        let (status, title, message) = match self {
            Self::TooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "That is too much at once",
                "A form may have 64 KB.",
            ),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "That took too long",
                "What was announced did not arrive. Nothing was changed.",
            ),
        };
        layout::refusal(api, status, title, message)
    }
}

/// The request again, with its body read. Nobody has to be signed in to send
/// one, so none may keep a connection for long.
async fn whole(request: Request, patience: Duration) -> Result<Request, Unread> {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(patience, to_bytes(body, BODY_BYTES)).await {
        Ok(Ok(body)) => Ok(Request::from_parts(parts, Body::from(body))),
        Ok(Err(_)) => Err(Unread::TooLong),
        Err(_) => Err(Unread::TooSlow),
    }
}

/// The request again, when the session's token is in its form or, for
/// programs, in its header.
async fn with_token(request: Request, session: &Session) -> Option<Request> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES).await.ok()?;
    let is_form = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
    });
    let in_form = url::form_urlencoded::parse(&body)
        .find(|(name, _)| is_form && name == "csrf")
        .is_some_and(|(_, token)| same(&token, &session.csrf));
    let in_header = parts
        .headers
        .get(CSRF)
        .is_some_and(|token| token.to_str().is_ok_and(|token| same(token, &session.csrf)));
    (in_form || in_header).then(|| Request::from_parts(parts, Body::from(body)))
}

fn from_elsewhere(api: bool) -> Response {
    layout::refusal(
        api,
        StatusCode::FORBIDDEN,
        "This did not come from the dashboard",
        "Nothing was changed. Open the page again and repeat it there.",
    )
}

fn sign_in_first(api: bool, changes: bool, uri: &Uri) -> Response {
    if api || changes {
        let mut response = layout::refusal(
            api,
            StatusCode::UNAUTHORIZED,
            "Sign in first",
            "Your session has ended, or there was none. Nothing was changed.",
        );
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    let wanted = uri.path_and_query().map_or("/", |wanted| wanted.as_str());
    let place = if wanted == "/" {
        "/sign-in".to_owned()
    } else {
        format!("/sign-in?next={}", utf8_percent_encode(wanted, NON_ALPHANUMERIC))
    };
    see_other(&place)
}

/// Sends a browser on to a page of ours.
pub(super) fn see_other(place: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let place = HeaderValue::from_str(place).unwrap_or_else(|_| HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, place);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    use axum::body::{Bytes, HttpBody};
    use http_body::Frame;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    struct Never;

    impl HttpBody for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[test]
    fn a_password_for_a_proxy_in_front_is_no_token() {
        for (field, token) in [
            ("Basic YW5hOnNlY3JldA==", None),
            ("Bearer", Some("")),
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(field));
            assert_eq!(bearer(&headers), token, "{field}");
        }
    }

    #[tokio::test]
    async fn a_body_that_never_comes_is_not_waited_for() {
        let never = Body::new(Never);
        let found = whole(Request::new(never), Duration::from_millis(1)).await;
        assert_eq!(found.unwrap_err(), Unread::TooSlow);
        let long = Body::from(vec![b'a'; BODY_BYTES + 1]);
        assert_eq!(whole(Request::new(long), BODY_PATIENCE).await.unwrap_err(), Unread::TooLong);
        let form = whole(Request::new(Body::from("a=b")), BODY_PATIENCE).await.unwrap();
        assert_eq!(to_bytes(form.into_body(), 10).await.unwrap(), "a=b");
    }
}
