//! Reads a request's head: who asks, for which host, in which way.

use crate::consent::{self, Consent, Source};
use crate::enforce::network;
use crate::proxy::error::Error;

use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use url::Url;

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// The other end of the socket.
    pub(super) address: SocketAddr,
    /// Whether TLS ends here.
    pub(super) tls: bool,
}

/// What a request's head says.
#[derive(Debug)]
pub(super) struct Head {
    /// Host and port as the visitor wrote them, in lower case.
    pub(super) authority: Authority,
    /// The host alone, without port and trailing dot.
    pub(super) host: String,
    /// Whether the visitor came over https, here or at a trusted proxy.
    pub(super) secure: bool,
    /// The visitor's address, as far as it can be trusted; `None` when a
    /// trusted proxy does not say whose request it passes on.
    pub(super) client: Option<IpAddr>,
    /// Whether the peer may speak for others.
    pub(super) from_trusted: bool,
}

impl Head {
    /// Reads and checks a head.
    ///
    /// # Errors
    /// When the request must not be forwarded (RFC 9112, 3.2).
    pub(super) fn read(parts: &Parts, peer: Peer, trusted: &[IpNet]) -> Result<Self, Error> {
        if matches!(parts.method, Method::CONNECT | Method::TRACE) {
            return Err(Error::Method);
        }
        check_target(parts)?;
        if parts.version == Version::HTTP_2 {
            check_http2(parts)?;
        }
        let authority = authority(parts)?;
        let host = authority.host().trim_end_matches('.').to_owned();
        if host.is_empty() {
            return Err(Error::BadRequest("the Host field is empty"));
        }
        let is_trusted = |ip: &IpAddr| is_trusted(ip, trusted);
        let from_trusted = is_trusted(&peer.address.ip());
        let forwarded_https =
            from_trusted && last(&parts.headers, "x-forwarded-proto") == Some("https");
        let client = if from_trusted {
            forwarded_for(&parts.headers).into_iter().rev().find(|ip| !is_trusted(ip))
        } else {
            Some(peer.address.ip().to_canonical())
        };
        Ok(Self { authority, host, secure: peer.tls || forwarded_https, client, from_trusted })
    }

    /// The same from nobody in particular, who is neither counted nor drawn by
    /// lot.
    pub(super) fn of_nobody(self) -> Self {
        Self { client: None, ..self }
    }

    /// Where among a hundred this visitor stands today, for `enforce_share`.
    ///
    /// Nothing is kept for it: visitors from the same network have the same
    /// place all day, and another one tomorrow. Those that come first are
    /// protected, so who has no address is first, and so is whoever has said
    /// anything: it is carried out from then on, as long as it counts.
    pub(super) fn lot(&self, consent: &Consent, settings: &consent::Settings, now_s: u64) -> u8 {
        match self.client {
            Some(client) if is_silent(consent) => {
                settings.keys.lot(format!("{} {}", now_s / 86_400, network(client)).as_bytes())
            }
            Some(_) | None => 0,
        }
    }

    /// `https` or `http`.
    pub(super) const fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// The whole address that was asked for.
    pub(super) fn url(&self, parts: &Parts) -> Result<Url, Error> {
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        // Not joined to a base: a path of two slashes would be taken for a host.
        let slash = if target.starts_with('/') { "" } else { "/" };
        Url::parse(&format!("{}://{}{slash}{target}", self.scheme(), self.authority))
            .map_err(|_| Error::BadRequest("the request's target is not valid"))
    }
}

/// Whether a visitor has said nothing at all, about purposes or vendors.
fn is_silent(consent: &Consent) -> bool {
    matches!(consent.source(), Source::Silence | Source::Region)
        && consent.record().is_none()
        && consent.vendors().is_none()
        && !consent.is_doubtful()
}

/// Whether an address may speak for others.
pub(super) fn is_trusted(ip: &IpAddr, trusted: &[IpNet]) -> bool {
    let ip = ip.to_canonical();
    trusted.iter().any(|range| range.contains(&ip))
}

/// What RFC 9113 calls malformed (8.1.1, 8.2.1 and 8.3.1) and hyper lets pass:
/// in HTTP/1.1 it would mean something else, or two things.
fn check_http2(parts: &Parts) -> Result<(), Error> {
    let written = parts.uri.path_and_query();
    let target = written.map_or("", PathAndQuery::as_str);
    let is_whole_server = parts.method == Method::OPTIONS && target == "*";
    // Shown as `/` and sent as nothing: all of it was a fragment.
    let is_empty =
        written.is_some_and(|path| path.as_str() == "/" && *path != PathAndQuery::from_static("/"));
    if is_empty || (!is_whole_server && !target.starts_with('/')) {
        return Err(Error::BadRequest("the `:path` is not a path"));
    }
    // The one character that `http` takes for part of a name and RFC 9110 (5.6.2)
    // does not.
    if parts.headers.keys().any(|name| name.as_str().contains('"')) {
        return Err(Error::BadRequest("a field's name holds a quote"));
    }
    let is_padded = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        bytes.trim_ascii().len() != bytes.len()
    };
    if parts.headers.values().any(is_padded) {
        return Err(Error::BadRequest("a field's value begins or ends with a space"));
    }
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let is_number =
        |value: &HeaderValue| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    if let Some(length) = lengths.next()
        && (lengths.next().is_some() || !is_number(length))
    {
        return Err(Error::BadRequest("the Content-Length is not one number"));
    }
    match (parts.uri.authority(), parts.headers.get(HOST)) {
        (Some(authority), Some(host))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            Err(Error::BadRequest("the Host field is not the `:authority`"))
        }
        _ => Ok(()),
    }
}

/// Refuses a head that has more fields than it may, since hyper counts them in
/// HTTP/1.1 alone. Cookies that come in pieces are one field (RFC 9113, 8.2.3).
pub(super) fn check_count(parts: &Parts, most: usize) -> Result<(), Error> {
    let pieces = parts.headers.get_all(COOKIE).iter().count();
    let fields = parts.headers.len() - pieces.saturating_sub(1);
    if fields > most { Err(Error::TooManyFields) } else { Ok(()) }
}

/// Looks at what `http::Uri` lets pass: a target that is no path (RFC 9112,
/// 3.2), and what no browser sends and servers read in two ways.
fn check_target(parts: &Parts) -> Result<(), Error> {
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if target == "*" && parts.method != Method::OPTIONS {
        return Err(Error::BadRequest("the target `*` is for OPTIONS"));
    }
    let is_path = target.starts_with('/') || target == "*" || parts.uri.scheme().is_some();
    if !is_path || !target.is_ascii() || parts.uri.path().contains('\\') {
        return Err(Error::BadRequest("the request's target is not valid"));
    }
    Ok(())
}

/// Makes `OPTIONS http://host` what it is for a server (RFC 9112, 3.2.4).
pub(super) fn ask_whole_server<B>(request: &mut Request<B>) {
    let uri = request.uri();
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if let Some(host) = host.filter(|_| is_http) {
        request.headers_mut().insert(HOST, host);
        *request.uri_mut() = Uri::from_static("*");
    }
}

/// The authority a request is for: the target's when it is in absolute form,
/// the `Host` field's otherwise.
fn authority(parts: &Parts) -> Result<Authority, Error> {
    let mut fields = parts.headers.get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(field), None) => Some(read_authority(field.as_bytes())?),
        (Some(_), Some(_)) => return Err(Error::BadRequest("there is more than one Host field")),
        (None, _) => None,
    };
    if let Some(target) = parts.uri.authority() {
        if field.is_none() && parts.version == Version::HTTP_11 {
            // RFC 9112, 3.2: needed all the same.
            return Err(Error::BadRequest("the Host field is missing"));
        }
        if !matches!(parts.uri.scheme_str(), Some("http" | "https")) {
            return Err(Error::BadRequest("the target's scheme is not http or https"));
        }
        return read_authority(target.as_str().as_bytes());
    }
    match field {
        Some(authority) => Ok(authority),
        None if parts.version < Version::HTTP_11 => {
            Err(Error::BadRequest("a Host field is needed here"))
        }
        None => Err(Error::BadRequest("the Host field is missing")),
    }
}

fn read_authority(bytes: &[u8]) -> Result<Authority, Error> {
    const INVALID: Error = Error::BadRequest("the Host field is not a host name");
    let text = std::str::from_utf8(bytes).map_err(|_| INVALID)?.to_ascii_lowercase();
    let valid = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
    };
    if text.is_empty() || !text.bytes().all(valid) {
        return Err(INVALID);
    }
    let authority: Authority = text.parse().map_err(|_| INVALID)?;
    let port = text.strip_prefix(authority.host()).ok_or(INVALID)?;
    let port_fits = port.is_empty()
        || port.strip_prefix(':').is_some_and(|p| p.is_empty() || p.parse::<u16>().is_ok());
    // Whatever else stands in brackets, some take for a name.
    let host = authority.host();
    let host_fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(['[', ']', ':']),
    };
    if !host_fits || !port_fits {
        return Err(INVALID);
    }
    // `shop.example:` means the default port.
    text.trim_end_matches(':').parse().map_err(|_| INVALID)
}

fn forwarded_for(headers: &HeaderMap) -> Vec<IpAddr> {
    headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .filter_map(|item| item.trim().trim_matches(['[', ']']).parse::<IpAddr>().ok())
        .map(|ip| ip.to_canonical())
        .collect()
}

fn last<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let field = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    field.rsplit(',').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, fields: &[(&'static str, &str)], peer: &str) -> Result<Head, Error> {
        let mut parts = Request::builder().uri(uri).body(()).unwrap().into_parts().0;
        for (name, value) in fields {
            parts.headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let peer = Peer { address: SocketAddr::new(peer.parse().unwrap(), 1), tls: false };
        Head::read(&parts, peer, &["127.0.0.0/8".parse().unwrap()])
    }

    #[test]
    fn exactly_one_valid_host_is_taken() {
        for host in [
            "",
            "a b",
            "a,b",
            "a/b",
            "u@a",
            "a?b",
            "a#b",
            "[::1",
            "<script>",
            "a\"",
            "a:x",
            "a:99999",
            "a:80:80",
            "\u{fc}.de",
            ".",
            "http://a",
            "[a]",
            "[::1]a",
            "a[::1]",
            "::1",
        ] {
            assert!(read("/", &[("host", host)], "10.0.0.1").is_err(), "{host}");
        }
        assert!(read("/", &[], "10.0.0.1").is_err());
        assert!(read("/", &[("host", "a"), ("host", "a")], "10.0.0.1").is_err());
        for (host, expected) in [
            ("Shop.Example:8080", "shop.example"),
            ("a.", "a"),
            ("[::1]:80", "[::1]"),
            ("a_b.c", "a_b.c"),
            ("a:", "a"),
        ] {
            assert_eq!(read("/", &[("host", host)], "10.0.0.1").unwrap().host, expected);
        }
    }

    #[test]
    fn the_target_outweighs_the_host_field() {
        let head = read("http://b.example/x", &[("host", "a.example")], "10.0.0.1").unwrap();
        assert_eq!(head.host, "b.example");
        assert!(read("ftp://b.example/x", &[("host", "a.example")], "10.0.0.1").is_err());
    }

    #[test]
    fn h6_of_two_thousand_networks_a_share_comes_first_and_each_keeps_its_place_for_a_day() {
        let settings = consent::Settings {
            keys: consent::Keys::from_secret([7; 32]),
            lifetime_s: 1000,
            notice_revision: 1,
            same_as: Vec::new(),
            signals: consent::Signals::default(),
            regions: consent::Regions::default(),
        };
        let silent = Consent::silent();
        let lot = |client: &str, now_s: u64| {
            let head = read("/", &[("host", "a")], client).unwrap();
            head.lot(&silent, &settings, now_s)
        };
        const DAY_S: u64 = 86_400;
        let now_s = 20_000 * DAY_S;
        let lots: Vec<u8> =
            (0..2000).map(|n| lot(&format!("10.{}.{}.9", n / 256, n % 256), now_s)).collect();
        for share in [5_u8, 30, 70] {
            let found = lots.iter().filter(|lot| **lot < share).count() as f64;
            let expected = 20.0 * f64::from(share);
            let deviation = (expected * (1.0 - f64::from(share) / 100.0)).sqrt();
            assert!((found - expected).abs() < 5.0 * deviation, "{found} for {share}");
        }
        for (one, other) in [("10.1.2.3", "10.1.2.200"), ("2001:db8:1::1", "2001:db8:1:2::3")] {
            for second in (0..DAY_S).step_by(1800) {
                assert_eq!(lot(one, now_s + second), lot(other, now_s), "one network, one day");
            }
        }
        let moved = (0..200).filter(|n| {
            let client = format!("10.0.{n}.9");
            lot(&client, now_s) != lot(&client, now_s + DAY_S)
        });
        assert!(moved.count() > 150, "another day, another place");
    }

    #[test]
    fn only_a_trusted_peer_speaks_for_others() {
        let fields = [
            ("host", "a"),
            ("x-forwarded-for", "1.2.3.4, 5.6.7.8, 127.0.0.3"),
            ("x-forwarded-proto", "https"),
        ];
        let head = read("/", &fields, "127.0.0.1").unwrap();
        assert_eq!((head.client, head.secure), (Some("5.6.7.8".parse().unwrap()), true));
        let head = read("/", &fields, "10.0.0.1").unwrap();
        assert_eq!((head.client, head.secure), (Some("10.0.0.1".parse().unwrap()), false));
        assert_eq!(read("/", &[("host", "a")], "127.0.0.1").unwrap().client, None);
    }
}
