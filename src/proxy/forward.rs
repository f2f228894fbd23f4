//! What a proxy must do to header fields, whatever the visitor agreed to.

use crate::enforce::codec::known_codings;
use crate::proxy::body::{self, Body};
use crate::proxy::head::{Head, Peer};

use http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST,
    MAX_FORWARDS, UPGRADE, VIA,
};
use http::request::Parts;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, response,
};
use std::net::IpAddr;

static SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
static SEC_WEBSOCKET_VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What a site may be asked.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Whether a request goes no further than here (RFC 9110, 7.6.2), and counts
/// this step if it does.
pub(super) fn ends_here(parts: &mut Parts) -> bool {
    if parts.method != Method::OPTIONS {
        return false;
    }
    let left = parts.headers.get(MAX_FORWARDS).and_then(|left| left.to_str().ok()?.parse().ok());
    match left {
        Some(0_u32) => true,
        Some(left) => {
            parts.headers.insert(MAX_FORWARDS, HeaderValue::from(left - 1));
            false
        }
        None => false,
    }
}

/// The answer to `OPTIONS` that goes no further.
pub(super) fn what_is_allowed() -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
    response
}

/// Whether the visitor asks to speak WebSocket from here on (RFC 6455, 4.1).
/// No other upgrade is passed: not h2c, which would take requests past us.
pub(super) fn wants_websocket<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    // RFC 9110, 7.8: HTTP/1.0 knows no upgrade.
    if request.method() != Method::GET || request.version() < Version::HTTP_11 {
        return false;
    }
    let key = headers.contains_key(&SEC_WEBSOCKET_KEY);
    let version = headers.get(&SEC_WEBSOCKET_VERSION).is_some_and(|value| value == "13");
    becomes_websocket(headers) && key && version
}

/// Whether these fields say that WebSocket is spoken from here on, and nothing
/// else.
pub(super) fn becomes_websocket(headers: &HeaderMap) -> bool {
    if !headers.contains_key(UPGRADE) {
        return false;
    }
    let connection = tokens(headers, &CONNECTION).any(|token| token == "upgrade");
    let mut upgrades = tokens(headers, &UPGRADE);
    let websocket = upgrades.next().as_deref() == Some("websocket") && upgrades.next().is_none();
    connection && websocket
}

/// Makes a visitor's request fit for the origin: hop-by-hop fields out, and
/// who asked, how and for which host in.
pub(super) fn prepare_request(
    parts: &mut Parts,
    head: &Head,
    peer: Peer,
    websocket: bool,
    via: bool,
) {
    let headers = &mut parts.headers;
    remove_hop_by_hop(headers, |name| is_kept_for_origin(name, head.from_trusted));
    remove_doubles(headers);
    if websocket {
        upgrade_to_websocket(headers);
    }
    if !head.from_trusted {
        for name in
            [&X_FORWARDED_FOR, &X_FORWARDED_PROTO, &X_FORWARDED_HOST, &FORWARDED, &X_REAL_IP]
        {
            headers.remove(name);
        }
    }
    if parts.version < Version::HTTP_11 {
        // RFC 9110, 10.1.1: who speaks HTTP/1.0 waits for nothing.
        headers.remove(EXPECT);
    }
    append_address(headers, peer);
    headers.insert(&X_FORWARDED_PROTO, HeaderValue::from_static(head.scheme()));
    if let Ok(host) = HeaderValue::from_str(head.authority.as_str()) {
        if !headers.contains_key(&X_FORWARDED_HOST) {
            headers.insert(&X_FORWARDED_HOST, host.clone());
        }
        headers.insert(HOST, host);
    }
    if via {
        headers.append(VIA, HeaderValue::from_static(received_by(parts.version)));
    }
    restrict_codings(headers);
    join_cookies(headers);
}

/// What stands in `Via`: the version that it came in, and who we are (RFC 9110,
/// 7.6.3).
const fn received_by(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2.0 consentry",
        Version::HTTP_10 => "1.0 consentry",
        _ => "1.1 consentry",
    }
}

/// One field with all cookies: HTTP/2 may send each in a field of its own (RFC
/// 9113, 8.2.3), and origins read the first one (RFC 6265, 5.4).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let fields: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&fields.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Makes an origin's answer fit for the visitor.
pub(super) fn prepare_response(parts: &mut response::Parts) {
    let received = received_by(parts.version);
    // A version belongs to one hop, too: without HTTP/1.1 there would be no
    // chunks, and a body that is cut would look complete.
    parts.version = Version::HTTP_11;
    remove_hop_by_hop(&mut parts.headers, is_kept_for_visitor);
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        upgrade_to_websocket(&mut parts.headers);
    }
    if parts.status == StatusCode::NO_CONTENT {
        // RFC 9110, 8.6: there is none, and no length of it.
        parts.headers.remove(CONTENT_LENGTH);
    }
    parts.headers.append(VIA, HeaderValue::from_static(received));
}

fn upgrade_to_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// RFC 9110, 7.6.1: the fields that belong to one connection, and those that
/// `Connection` names, except where naming one would be an attack.
fn remove_hop_by_hop(headers: &mut HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) {
    let named = tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| !is_kept(name));
    let mut gone: Vec<HeaderName> = named.collect();
    gone.extend(headers.keys().filter(|name| is_hop_by_hop(name)).cloned());
    for name in gone {
        headers.remove(name);
    }
}

/// Whether a field belongs to one connection without being named.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// What may come behind a body: not what means something in a head alone (RFC
/// 9110, 6.5.1), where it would have been judged.
pub(super) fn passed_trailers(mut trailers: HeaderMap) -> HeaderMap {
    remove_hop_by_hop(&mut trailers, |_| false);
    let late: Vec<HeaderName> = trailers.keys().filter(|name| is_of_head(name)).cloned().collect();
    for name in late {
        trailers.remove(name);
    }
    trailers
}

/// Whether a field says how an answer is framed, kept, shown or remembered.
fn is_of_head(name: &HeaderName) -> bool {
    let name = name.as_str();
    let is_of_content = name.starts_with("content-") && !name.ends_with("digest");
    is_of_content
        || name.starts_with("set-cookie")
        || matches!(
            name,
            "age"
                | "alt-svc"
                | "authorization"
                | "cache-control"
                | "clear-site-data"
                | "cookie"
                | "date"
                | "expires"
                | "host"
                | "link"
                | "location"
                | "nel"
                | "pragma"
                | "refresh"
                | "report-to"
                | "reporting-endpoints"
                | "retry-after"
                | "strict-transport-security"
                | "vary"
                | "via"
                | "warning"
                | "www-authenticate"
        )
}

/// Removes fields that many servers take for another one: where names become
/// variables, as in CGI (RFC 3875, 4.1.18), `_` and `-` are the same.
fn remove_doubles(headers: &mut HeaderMap) {
    let doubles: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
        .filter(|name| {
            let meant = name.as_str().replace('_', "-");
            let is_ours = meant.starts_with("consentry-") || meant.starts_with("x-forwarded-");
            let named = HeaderName::from_bytes(meant.as_bytes());
            let means = |named: &HeaderName| is_protected(named) || is_hop_by_hop(named);
            is_ours || meant == "x-real-ip" || named.is_ok_and(|named| means(&named))
        })
        .cloned()
        .collect();
    for name in doubles {
        headers.remove(name);
    }
}

/// What nobody takes away from the origin by naming it: what a trusted proxy
/// says of the visitor, and the visitor's "no".
fn is_kept_for_origin(name: &HeaderName, from_trusted: bool) -> bool {
    match name.as_str() {
        "host" | "content-length" | "sec-gpc" => true,
        "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-real-ip"
        | "forwarded" => from_trusted,
        _ => false,
    }
}

/// What an answer cannot lose without being taken for something else than what
/// was filtered.
fn is_kept_for_visitor(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "content-length" | "content-type" | "content-encoding" | "cache-control" | "set-cookie"
    )
}

/// What no field of another name may be taken for.
fn is_protected(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "host"
            | "content-length"
            | "cookie"
            | "authorization"
            | "sec-gpc"
            | "x-forwarded-for"
            | "x-forwarded-proto"
            | "x-forwarded-host"
    )
}

fn tokens<'h>(headers: &'h HeaderMap, name: &'h HeaderName) -> impl Iterator<Item = String> + 'h {
    headers
        .get_all(name)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .map(|token| token.trim().to_ascii_lowercase())
        .filter(|token| !token.is_empty())
}

fn append_address(headers: &mut HeaderMap, peer: Peer) {
    let address = peer.address.ip().to_canonical().to_string();
    let earlier: Vec<&str> =
        headers.get_all(&X_FORWARDED_FOR).iter().filter_map(|field| field.to_str().ok()).collect();
    let chain =
        if earlier.is_empty() { address } else { format!("{}, {address}", earlier.join(", ")) };
    if let Ok(chain) = HeaderValue::from_str(&chain) {
        headers.insert(&X_FORWARDED_FOR, chain);
    }
    if headers.contains_key(FORWARDED) {
        // RFC 7239, 4: whoever reads the one must not be told less.
        let node = match peer.address.ip().to_canonical() {
            IpAddr::V4(ip) => format!("for={ip}"),
            IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
        };
        if let Ok(node) = HeaderValue::from_str(&node) {
            headers.append(FORWARDED, node);
        }
    }
}

/// The origin may only use codings that we can undo.
fn restrict_codings(headers: &mut HeaderMap) {
    let accept: Vec<&str> =
        headers.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok()).collect();
    if accept.is_empty() {
        return;
    }
    let all = accept.join(", ");
    let known = known_codings(&all);
    if known != all {
        headers.remove(ACCEPT_ENCODING);
        if let Ok(known) = HeaderValue::from_str(&known)
            && !known.is_empty()
        {
            headers.insert(ACCEPT_ENCODING, known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut request = Request::builder().uri("/").body(()).unwrap();
        request.headers_mut().insert(HOST, HeaderValue::from_static("a.example"));
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        let websocket = wants_websocket(&request);
        let mut parts = request.into_parts().0;
        let peer = Peer { address: ([203, 0, 113, 7], 1).into(), tls: false };
        let head = Head::read(&parts, peer, &[]).unwrap();
        prepare_request(&mut parts, &head, peer, websocket, true);
        parts.headers
    }

    #[test]
    fn i4_hop_by_hop_fields_stay_here() {
        let headers = prepared(&[
            ("connection", "close, X-Private, Cookie, x-forwarded-for"),
            ("x-private", "1"),
            ("cookie", "sid=1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("x_forwarded_for", "6.6.6.6"),
            ("sec_gpc", "0"),
            ("x_own", "kept"),
            ("x-forwarded-for", "6.6.6.6"),
            ("accept-encoding", "gzip, dcb"),
        ]);
        for gone in ["connection", "x-private", "te", "upgrade", "http2-settings"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert!(!headers.contains_key("cookie"), "who names it does not want it passed on");
        assert_eq!(
            headers["x-forwarded-for"], "203.0.113.7",
            "an untrusted peer speaks for itself only"
        );
        assert!(!headers.contains_key("x_forwarded_for") && !headers.contains_key("sec_gpc"));
        assert_eq!(headers["x_own"], "kept");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "a.example");
        assert_eq!(headers["via"], "1.1 consentry");
        assert_eq!(headers["accept-encoding"], "gzip");
    }

    #[test]
    fn only_a_real_websocket_is_upgraded() {
        let asks = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-key", "x"),
            ("sec-websocket-version", "13"),
        ];
        assert_eq!(prepared(&asks)["upgrade"], "websocket");
        let mut odd = asks;
        odd[3].1 = "777";
        assert!(!prepared(&odd).contains_key("upgrade"));
    }
}
