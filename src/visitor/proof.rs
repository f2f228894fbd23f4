//! Whether a choice was sent by the visitor, from a page of this site.
//!
//! A consent that somebody else could send would be worth nothing, so a doubt
//! is a "no": the visitor is shown the choices once more.

use crate::visitor::{Refusal, Visit};

use http::HeaderMap;
use http::header::{ORIGIN, REFERER};

/// Checks that a request was meant: not sent by another site, not ahead of
/// time, not from inside a frame.
///
/// # Errors
/// Says what was wrong.
pub(super) fn check(headers: &HeaderMap, visit: &Visit<'_>) -> Result<(), Refusal> {
    if is_ahead_of_time(headers) {
        Err(Refusal::AheadOfTime)
    } else if is_framed(headers) {
        Err(Refusal::Framed)
    } else if !is_same_origin(headers, visit) {
        Err(Refusal::FromElsewhere)
    } else {
        Ok(())
    }
}

/// The same for what a placeholder asks, which stands in a frame of the page.
///
/// # Errors
/// Says what was wrong.
pub(super) fn check_in_frame(headers: &HeaderMap, visit: &Visit<'_>) -> Result<(), Refusal> {
    if is_ahead_of_time(headers) {
        Err(Refusal::AheadOfTime)
    } else if !is_same_origin(headers, visit) {
        Err(Refusal::FromElsewhere)
    } else {
        Ok(())
    }
}

fn is_ahead_of_time(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"]
        .into_iter()
        .flat_map(|name| headers.get_all(name))
        .map(|value| value.as_bytes().to_ascii_lowercase())
        .any(|value| {
            ["prefetch", "prerender", "preview"]
                .iter()
                .any(|word| memchr::memmem::find(&value, word.as_bytes()).is_some())
        })
}

/// A page around ours can move our buttons under any click.
fn is_framed(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-dest").iter().any(|value| {
        matches!(value.as_bytes(), b"iframe" | b"frame" | b"fencedframe" | b"embed" | b"object")
    })
}

/// `Sec-Fetch-Site` may only confirm. `Origin` proves when there is one; older
/// browsers leave it out, and then `Sec-Fetch-Site` or `Referer` must. On a page
/// with `Referrer-Policy: no-referrer` browsers write `null` instead of the
/// origin (Fetch, "append a request `Origin` header"), which proves nothing; then
/// `Sec-Fetch-Site`, which no script can set, must.
fn is_same_origin(headers: &HeaderMap, visit: &Visit<'_>) -> bool {
    let (Ok(fetch_site), Ok(origin), Ok(referer)) = (
        only(headers, "sec-fetch-site"),
        only(headers, ORIGIN.as_str()),
        only(headers, REFERER.as_str()),
    ) else {
        return false;
    };
    match (fetch_site, origin) {
        (Some(site), _) if site != "same-origin" => false,
        (Some(_), Some("null")) => true,
        (_, Some(origin)) => is_ours(origin, visit),
        (Some(_), None) => true,
        (None, None) => referer.is_some_and(|address| is_ours(origin_of(address), visit)),
    }
}

/// A field that decides and was sent twice, or not as text, decides nothing.
struct Doubtful;

fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Doubtful> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Doubtful),
        (Some(_), Some(_)) => Err(Doubtful),
    }
}

/// Whether an origin is the one the visitor sees. On https only https counts:
/// anybody on the way can write a page of `http://` the same host.
fn is_ours(origin: &str, visit: &Visit<'_>) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else if scheme.eq_ignore_ascii_case("http") && !visit.secure {
        ":80"
    } else {
        return false;
    };
    let bare = |text| str::strip_suffix(text, default_port).unwrap_or(text);
    !authority.is_empty() && bare(authority).eq_ignore_ascii_case(bare(visit.host))
}

fn origin_of(address: &str) -> &str {
    let authority = address.find("://").map_or(0, |at| at + 3);
    let rest = address.get(authority..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    address.get(..authority + end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::trial::{Trial, headers};

    const OURS: (&str, &str) = ("origin", "http://shop.example");
    const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");

    fn taken(trial: &Trial, fields: &[(&str, &str)]) -> bool {
        check(&headers(fields), &trial.visit()).is_ok()
    }

    #[test]
    fn e1_a_choice_from_one_of_our_pages_is_taken() {
        for fields in [
            &[OURS][..],
            &[OURS, SAME],
            &[("origin", "HTTP://Shop.Example")],
            &[("origin", "http://shop.example:80")],
            &[("origin", "https://shop.example")],
            &[("origin", "https://shop.example:443"), SAME],
            &[SAME],
            &[("origin", "null"), SAME],
            &[("referer", "http://shop.example/shoes?x=//evil")],
            &[("referer", "http://shop.example")],
            &[OURS, ("referer", "https://evil.example/")],
            &[OURS, ("sec-purpose", "")],
            &[OURS, ("sec-fetch-dest", "document")],
        ] {
            assert!(taken(&Trial::new(), fields), "{fields:?}");
        }
    }

    #[test]
    fn e1_nobody_else_chooses_for_the_visitor() {
        for fields in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            &[("origin", "null"), ("sec-fetch-site", "same-site")],
            &[("origin", "null"), ("referer", "http://shop.example/")],
            &[("origin", "null"), SAME, ("origin", "null")],
            &[("origin", "null"), SAME, SAME],
            &[("origin", "Null"), SAME],
            &[("origin", "")],
            &[("origin", "http://")],
            &[("origin", "shop.example")],
            &[("origin", "https://evil.example")],
            &[("origin", "https://evil.example"), SAME],
            &[("origin", "https://sub.shop.example"), ("sec-fetch-site", "same-site")],
            &[("origin", "https://sub.shop.example")],
            &[("origin", "https://shop.example.evil.example")],
            &[("origin", "https://evilshop.example")],
            &[("origin", "https://shop.example.")],
            &[("origin", "https://shop.example:8443")],
            &[("origin", "https://shop.example:80")],
            &[("origin", "https://shop.example@evil.example")],
            &[("origin", "https://shop.example/")],
            &[("origin", "https://shop.example https://evil.example")],
            &[("origin", "ftp://shop.example")],
            &[("origin", "chrome-extension://shop.example")],
            &[OURS, OURS],
            &[OURS, ("origin", "https://evil.example")],
            &[OURS, ("sec-fetch-site", "cross-site")],
            &[OURS, ("sec-fetch-site", "same-site")],
            &[OURS, ("sec-fetch-site", "none")],
            &[OURS, ("sec-fetch-site", "")],
            &[OURS, SAME, ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "cross-site"), ("referer", "http://shop.example/")],
            &[("referer", "https://evil.example/http://shop.example/")],
            &[("referer", "http://shop.example.evil.example/")],
            &[("referer", "http://shop.example@evil.example/")],
            &[("referer", "http://shop.example\\.evil.example/")],
            &[("referer", "about:blank")],
            &[("referer", "http://shop.example/"), ("referer", "https://evil.example/")],
        ] {
            assert!(!taken(&Trial::new(), fields), "{fields:?}");
        }
    }

    #[test]
    fn software_that_loads_ahead_and_frames_do_not_choose() {
        for field in [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("sec-purpose", "Prefetch;anonymous-client-ip"),
            ("purpose", "prefetch"),
            ("purpose", "preview"),
            ("x-purpose", "preview"),
            ("x-moz", "prefetch"),
            ("sec-fetch-dest", "iframe"),
            ("sec-fetch-dest", "object"),
        ] {
            assert!(!taken(&Trial::new(), &[OURS, SAME, field]), "{field:?}");
        }
    }

    #[test]
    fn on_https_an_unencrypted_page_of_the_same_host_is_somebody_else() {
        let trial = Trial { secure: true, ..Trial::new() };
        assert!(!taken(&trial, &[OURS]));
        assert!(taken(&trial, &[("origin", "https://shop.example")]));
    }

    #[test]
    fn a_port_belongs_to_the_origin() {
        let trial = Trial { host: "[::1]:8080", ..Trial::new() };
        assert!(taken(&trial, &[("origin", "http://[::1]:8080")]));
        assert!(!taken(&trial, &[("origin", "http://[::1]")]));
        let trial = Trial { host: "shop.example:80", ..Trial::new() };
        assert!(taken(&trial, &[OURS]));
    }
}
