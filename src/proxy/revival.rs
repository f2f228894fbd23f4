//! Lets a page that was loaded before a choice catch up with it: its script
//! asks for the page again and says for which consent class the live one was
//! made.

use crate::consent::Consent;
use crate::purpose::PurposeSet;

use http::header::{CACHE_CONTROL, ETAG};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Names that class, in the request and, when it is honoured, in the answer.
static FIELD: HeaderName = HeaderName::from_static("consentry-revive");

/// Takes the question out of a request, which never goes on to the origin.
///
/// It is honoured only for a script of the same origin, and only when nothing
/// was withdrawn: what runs cannot be taken back in a live page.
pub(super) fn asked(parts: &mut Parts, consent: &Consent) -> Option<Consent> {
    let mut fields = parts.headers.get_all(&FIELD).iter();
    let class = match (fields.next(), fields.next()) {
        (Some(class), None) => class.to_str().ok().and_then(PurposeSet::from_class),
        _ => None,
    };
    parts.headers.remove(&FIELD);
    let is = |name: &str, value: &str| parts.headers.get(name).is_some_and(|field| field == value);
    let by_own_script = is("sec-fetch-site", "same-origin") && is("sec-fetch-dest", "empty");
    class
        .filter(|before| {
            by_own_script && parts.method == Method::GET && consent.granted().contains_all(*before)
        })
        .map(Consent::chosen)
}

/// Says that the question was honoured, and keeps the answer out of every
/// cache: it is no page that anybody looks at.
pub(super) fn mark(headers: &mut HeaderMap, before: &Consent) {
    headers.insert(FIELD.clone(), HeaderValue::from_static(before.granted().class()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.remove(ETAG);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purpose::Purpose;
    use http::Request;

    #[test]
    fn j6_only_the_pages_own_script_asks_and_only_for_more() {
        let ours = [("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "empty")];
        let analytics = Consent::chosen(PurposeSet::EMPTY.with(Purpose::Analytics));
        for (method, consent, fields, expected) in [
            ("GET", &analytics, vec![("consentry-revive", "d")], Some("d")),
            ("GET", &analytics, vec![("consentry-revive", "a")], Some("a")),
            ("GET", &analytics, vec![("consentry-revive", "am")], None),
            ("GET", &analytics, vec![("consentry-revive", "D")], None),
            ("GET", &analytics, vec![("consentry-revive", "d"); 2], None),
            ("GET", &analytics, vec![], None),
            ("POST", &analytics, vec![("consentry-revive", "d")], None),
            ("GET", &Consent::silent(), vec![("consentry-revive", "a")], None),
        ] {
            let request = |more: &[(&str, &str)]| {
                let mut request = Request::builder().method(method).uri("/");
                for (name, value) in fields.iter().chain(more) {
                    request = request.header(*name, *value);
                }
                request.body(()).unwrap().into_parts().0
            };
            let mut parts = request(&ours);
            let before = asked(&mut parts, consent);
            assert_eq!(before.map(|b| b.granted().class()), expected, "{fields:?}");
            assert!(!parts.headers.contains_key("consentry-revive"));
            for others in [&ours[..1], &ours[1..], &[("sec-fetch-site", "cross-site"), ours[1]]] {
                let mut parts = request(others);
                assert_eq!(asked(&mut parts, consent), None, "{others:?}");
                assert!(!parts.headers.contains_key("consentry-revive"));
            }
        }
    }
}
