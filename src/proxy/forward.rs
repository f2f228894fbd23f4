//! What a proxy must do to header fields, whatever the visitor agreed to.

use crate::enforce::codec::known_codings;
use crate::proxy::head::{Head, Peer};

use http::header::{
    ACCEPT_ENCODING, CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, response};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Whether the visitor asks to speak WebSocket from here on (RFC 6455, 4.1).
/// No other upgrade is passed: not h2c, which would take requests past us.
pub(super) fn wants_websocket(method: &Method, headers: &HeaderMap) -> bool {
    let connection = tokens(headers, &CONNECTION).any(|token| token == "upgrade");
    let mut upgrades = tokens(headers, &UPGRADE);
    let websocket = upgrades.next().as_deref() == Some("websocket") && upgrades.next().is_none();
    let key = headers.contains_key("sec-websocket-key");
    let version = headers.get("sec-websocket-version").is_some_and(|value| value == "13");
    method == Method::GET && connection && websocket && key && version
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
    remove_hop_by_hop(headers);
    remove_doubles(headers);
    if websocket {
        upgrade_to_websocket(headers);
    }
    if !head.from_trusted {
        for name in
            ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-real-ip"]
        {
            headers.remove(name);
        }
    }
    append_address(headers, peer);
    set(headers, "x-forwarded-proto", head.scheme());
    if !headers.contains_key("x-forwarded-host") {
        set(headers, "x-forwarded-host", head.authority.as_str());
    }
    if let Ok(value) = HeaderValue::from_str(head.authority.as_str()) {
        headers.insert(HOST, value);
    }
    if via {
        add_via(headers);
    }
    restrict_codings(headers);
}

/// Makes an origin's answer fit for the visitor.
pub(super) fn prepare_response(parts: &mut response::Parts) {
    // A version belongs to one hop, too: without HTTP/1.1 there would be no
    // chunks, and a body that is cut would look complete.
    parts.version = Version::HTTP_11;
    remove_hop_by_hop(&mut parts.headers);
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        upgrade_to_websocket(&mut parts.headers);
    }
    add_via(&mut parts.headers);
}

fn upgrade_to_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// RFC 9110, 7.6.1: the fields that belong to one connection, and those that
/// `Connection` names, except where naming one would be an attack.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| !is_protected(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        &CONNECTION,
        &KEEP_ALIVE,
        &PROXY_CONNECTION,
        &PROXY_AUTHENTICATE,
        &PROXY_AUTHORIZATION,
        &TE,
        &TRAILER,
        &TRANSFER_ENCODING,
        &UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.remove("http2-settings");
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
            is_ours || meant == "x-real-ip" || named.is_ok_and(|named| is_protected(&named))
        })
        .cloned()
        .collect();
    for name in doubles {
        headers.remove(name);
    }
}

/// A client that lists these wants the origin to miss something.
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
            | "set-cookie"
            | "content-type"
            | "content-encoding"
            | "cache-control"
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
        headers.get_all("x-forwarded-for").iter().filter_map(|field| field.to_str().ok()).collect();
    let chain =
        if earlier.is_empty() { address } else { format!("{}, {address}", earlier.join(", ")) };
    set(headers, "x-forwarded-for", &chain);
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn add_via(headers: &mut HeaderMap) {
    headers.append(VIA, HeaderValue::from_static("1.1 consentry"));
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
        if !known.is_empty() {
            set(headers, "accept-encoding", &known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn prepared(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut parts = Request::builder().uri("/").body(()).unwrap().into_parts().0;
        parts.headers.insert(HOST, HeaderValue::from_static("a.example"));
        for (name, value) in fields {
            parts.headers.append(*name, HeaderValue::from_static(value));
        }
        let peer = Peer { address: ([203, 0, 113, 7], 1).into(), tls: false };
        let head = Head::read(&parts, peer, &[]).unwrap();
        let websocket = wants_websocket(&parts.method, &parts.headers);
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
        assert_eq!(headers["cookie"], "sid=1");
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
