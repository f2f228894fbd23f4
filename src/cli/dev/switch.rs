//! `?__consent=`: what counts as chosen, switched by an address.
//!
//! A choice is made by the very form that visitors send, so a developer sees
//! what a visitor would: the same cookie, the same receipt, the same end of
//! what was allowed before.

use crate::purpose::{Purpose, PurposeSet};
use crate::visitor::Visit;

use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HeaderName, LOCATION, ORIGIN, REFERER, SET_COOKIE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use bytes::Bytes;

/// The parameter.
const PARAMETER: &str = "__consent";

/// The cookie that says that this browser is to be taken for one with Global
/// Privacy Control. Only `consentry dev` sets or reads it.
const COOKIE_NAME: &str = "consentry-dev";

/// What can be switched to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    /// As if nobody had ever been asked.
    Undecided,
    /// A browser that sends `Sec-GPC: 1`, and nothing chosen.
    Gpc,
    /// A choice.
    Choice(PurposeSet),
}

impl Switch {
    /// Reads `undecided`, `refuse`, `all`, `gpc` or purposes.
    pub(super) fn read(text: &str) -> Option<Self> {
        match text {
            "undecided" => Some(Self::Undecided),
            "gpc" => Some(Self::Gpc),
            "all" | "accept" => Some(Self::Choice(PurposeSet::ALL)),
            "refuse" | "deny" | "none" => Some(Self::Choice(PurposeSet::NECESSARY)),
            _ => {
                let purposes: Option<PurposeSet> =
                    text.split(',').map(Purpose::from_name).collect();
                purposes.map(|purposes| Self::Choice(purposes.with(Purpose::Necessary)))
            }
        }
    }

    /// The form that chooses it, if a choice is what it takes.
    pub(super) fn form(self, return_to: &str) -> Option<String> {
        let Self::Choice(granted) = self else { return None };
        let choice = match granted {
            PurposeSet::ALL => "choice=all".to_owned(),
            PurposeSet::NECESSARY => "choice=none".to_owned(),
            some => some
                .iter()
                .filter(|purpose| *purpose != Purpose::Necessary)
                .fold("choice=some".to_owned(), |form, purpose| {
                    format!("{form}&purpose={}", purpose.name())
                }),
        };
        let return_to = utf8_percent_encode(return_to, NON_ALPHANUMERIC);
        Some(format!("{choice}&return_to={return_to}"))
    }

    /// The cookies that go along with it.
    pub(super) fn cookies(self, visit: &Visit<'_>) -> Vec<String> {
        let mark = match self {
            Self::Gpc => format!("{COOKIE_NAME}=gpc; Path=/; SameSite=Lax"),
            Self::Undecided | Self::Choice(_) => format!("{COOKIE_NAME}=; Path=/; Max-Age=0"),
        };
        let mut cookies = vec![mark];
        if !matches!(self, Self::Choice(_)) {
            cookies.extend(visit.cookie.forgetting());
        }
        cookies
    }
}

/// What an address asks for.
pub(super) enum Asked {
    /// Nothing.
    Nothing,
    /// This, and then the address without it.
    For(Switch, String),
    /// Something, by a browser that only looks ahead.
    TooEarly,
    /// Nothing that is known.
    Unknown(String),
}

/// Reads the parameter.
pub(super) fn asked(uri: &Uri) -> Asked {
    let query = uri.query().unwrap_or_default();
    let is_ours = |part: &&str| {
        part.strip_prefix(PARAMETER).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let Some(ours) = query.split('&').rfind(is_ours) else { return Asked::Nothing };
    let rest: Vec<_> = query.split('&').filter(|part| !is_ours(part)).collect();
    let without = match rest.as_slice() {
        [] => uri.path().to_owned(),
        rest => format!("{}?{}", uri.path(), rest.join("&")),
    };
    let value = ours.split_once('=').map_or("", |(_, value)| value);
    let value = percent_decode_str(value).decode_utf8().unwrap_or_default();
    match Switch::read(&value) {
        Some(switch) => Asked::For(switch, without),
        None => Asked::Unknown(value.into_owned()),
    }
}

/// Takes our mark out of a request, whoever it goes to; says whether it was there.
pub(super) fn take_mark(headers: &mut HeaderMap) -> bool {
    let mut found = false;
    let mut kept: Vec<HeaderValue> = Vec::new();
    for field in headers.get_all(COOKIE) {
        // Other cookies may be of bytes that are no text.
        let pairs = || field.as_bytes().split(|byte| *byte == b';');
        let name = |pair: &[u8]| {
            pair.trim_ascii().split(|byte| *byte == b'=').next() == Some(COOKIE_NAME.as_bytes())
        };
        if !pairs().any(name) {
            kept.push(field.clone());
            continue;
        }
        let gpc = format!("{COOKIE_NAME}=gpc");
        found |= pairs().any(|pair| pair.trim_ascii() == gpc.as_bytes());
        let rest = pairs().filter(|pair| !name(pair)).collect::<Vec<_>>().join(&b';');
        let rest = HeaderValue::from_bytes(rest.trim_ascii()).ok();
        kept.extend(rest.filter(|rest| !rest.is_empty()));
    }
    headers.remove(COOKIE);
    for field in kept {
        headers.append(COOKIE, field);
    }
    found
}

/// Whether a browser fetches what nobody may ever look at: a word that is still
/// being typed switches nothing.
pub(super) fn is_ahead_of_time(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-moz"].iter().flat_map(|name| headers.get_all(*name)).any(
        |value| {
            let value = value.as_bytes().to_ascii_lowercase();
            [&b"prefetch"[..], b"prerender", b"preview"]
                .iter()
                .any(|word| memchr::memmem::find(&value, word).is_some())
        },
    )
}

/// Makes of a request for a page the one with which a visitor chooses there.
pub(super) fn become_choice(request: &mut Parts, visit: &Visit<'_>) -> Option<()> {
    let uri: Uri = format!("{}/choices", visit.site.own_prefix).parse().ok()?;
    let scheme = if visit.secure { "https" } else { "http" };
    let origin = HeaderValue::from_str(&format!("{scheme}://{}", visit.host)).ok()?;
    (request.method, request.uri) = (Method::POST, uri);
    let fields = &mut request.headers;
    fields.remove("sec-fetch-dest");
    for name in [CONTENT_ENCODING, REFERER] {
        fields.remove(name);
    }
    let site = HeaderName::from_static("sec-fetch-site");
    fields.insert(site, HeaderValue::from_static("same-origin"));
    fields.insert(ORIGIN, origin);
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    fields.insert(CONTENT_TYPE, form);
    Some(())
}

/// Sends the browser on to `path`.
pub(super) fn on_to(path: &str, cookies: &[String]) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let fields = response.headers_mut();
    // Two slashes at the beginning would be another host.
    let path = if path.starts_with("//") { "/" } else { path };
    if let Ok(path) = HeaderValue::from_str(path) {
        fields.insert(LOCATION, path);
    }
    fields.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies.iter().filter_map(|cookie| HeaderValue::from_str(cookie).ok()) {
        fields.append(SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h3_every_state_has_a_word_and_nothing_else_is_taken() {
        let analytics = PurposeSet::NECESSARY.with(Purpose::Analytics);
        for (text, expected) in [
            ("undecided", Some(Switch::Undecided)),
            ("gpc", Some(Switch::Gpc)),
            ("all", Some(Switch::Choice(PurposeSet::ALL))),
            ("refuse", Some(Switch::Choice(PurposeSet::NECESSARY))),
            ("deny", Some(Switch::Choice(PurposeSet::NECESSARY))),
            ("analytics", Some(Switch::Choice(analytics))),
            ("functional,analytics", Some(Switch::Choice(analytics.with(Purpose::Functional)))),
            ("", None),
            ("ALL", None),
            ("everything", None),
            ("analytics,", None),
        ] {
            assert_eq!(Switch::read(text), expected, "{text}");
        }
    }

    #[test]
    fn h3_the_address_stays_the_same_without_the_parameter() {
        for (uri, expected) in [
            ("/?__consent=all", Some("/")),
            ("/a/b?x=1&__consent=refuse&y=%20", Some("/a/b?x=1&y=%20")),
            ("/?__consent=gpc&__consent=all", Some("/")),
            ("/?__consent=functional%2Canalytics&", Some("/?")),
            ("/?__consents=all", None),
            ("/?q=__consent=all", None),
            ("/", None),
        ] {
            let found = match asked(&uri.parse().unwrap()) {
                Asked::For(_, without) => Some(without),
                Asked::Nothing | Asked::TooEarly => None,
                Asked::Unknown(value) => panic!("{uri}: {value}"),
            };
            assert_eq!(found.as_deref(), expected, "{uri}");
        }
        let unknown = "/?__consent=perhaps".parse().unwrap();
        assert!(matches!(asked(&unknown), Asked::Unknown(value) if value == "perhaps"));
    }

    #[test]
    fn h3_our_mark_never_goes_on() {
        for (sent, found, kept) in [
            (&["a=1; consentry-dev=gpc; b=2"][..], true, &["a=1; b=2"][..]),
            (&["consentry-dev=gpc"], true, &[]),
            (&["consentry-dev=x; a=1", "c=3"], false, &["a=1", "c=3"]),
            (&["consentry-devil=gpc"], false, &["consentry-devil=gpc"]),
        ] {
            let mut headers = HeaderMap::new();
            for field in sent {
                headers.append(COOKIE, field.parse().unwrap());
            }
            assert_eq!(take_mark(&mut headers), found, "{sent:?}");
            let left: Vec<_> =
                headers.get_all(COOKIE).iter().map(|field| field.to_str().unwrap()).collect();
            assert_eq!(left, kept, "{sent:?}");
        }
        let mut headers = HeaderMap::new();
        let beside = "name=Zo\u{eb}; consentry-dev=gpc".as_bytes();
        headers.append(COOKIE, HeaderValue::from_bytes(beside).unwrap());
        assert!(take_mark(&mut headers));
        assert_eq!(headers[COOKIE].as_bytes(), "name=Zo\u{eb}".as_bytes());
    }
}
