//! Lets a page that was loaded before a choice catch up with it: its script
//! asks for the page again and says for which consent the live one was made.

use crate::consent::Consent;
use crate::purpose::PurposeSet;

use http::header::{CACHE_CONTROL, ETAG};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Names that consent (`Consent::made_for`), in the request and, when it is honoured, in the answer.
static FIELD: HeaderName = HeaderName::from_static("consentry-revive");

/// Takes the question out of a request, which never goes on to the origin.
///
/// It is honoured only for a script of the same origin, and only when nothing
/// was withdrawn, from a purpose or from a single vendor: what runs cannot be
/// taken back in a live page. The same holds for what ran because a site only
/// observes its vendor.
pub(super) fn asked(parts: &mut Parts, consent: &Consent, observes: bool) -> Option<Consent> {
    let mut fields = parts.headers.get_all(&FIELD).iter();
    let before = match (fields.next(), fields.next()) {
        (Some(before), None) => before.to_str().ok().and_then(|text| read(text, consent)),
        _ => None,
    };
    parts.headers.remove(&FIELD);
    let is = |name: &str, value: &str| parts.headers.get(name).is_some_and(|field| field == value);
    let by_own_script = is("sec-fetch-site", "same-origin") && is("sec-fetch-dest", "empty");
    before.filter(|before| {
        by_own_script
            && !observes
            && parts.method == Method::GET
            && consent.granted().contains_all(before.granted())
    })
}

/// The consent that the live page was made for, where no vendor is refused and
/// the word about each is the one of then.
fn read(made_for: &str, consent: &Consent) -> Option<Consent> {
    let (class, _) = made_for.split_once('-').unwrap_or((made_for, ""));
    let vendors = consent.vendors().cloned().unwrap_or_default();
    let before = Consent::chosen(PurposeSet::from_class(class)?).with_vendors(vendors.clone());
    (vendors.refused().is_empty() && before.made_for() == made_for).then_some(before)
}

/// Says that the question was honoured, and keeps the answer out of every
/// cache: it is no page that anybody looks at.
pub(super) fn mark(headers: &mut HeaderMap, before: &Consent) {
    if let Ok(made_for) = HeaderValue::from_str(&before.made_for()) {
        headers.insert(FIELD.clone(), made_for);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.remove(ETAG);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::VendorChoices;
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
            assert_eq!(asked(&mut request(&ours), consent, true), None, "{fields:?}");
            let mut parts = request(&ours);
            let before = asked(&mut parts, consent, false);
            assert_eq!(before.map(|b| b.granted().class()), expected, "{fields:?}");
            assert!(!parts.headers.contains_key("consentry-revive"));
            for others in [&ours[..1], &ours[1..], &[("sec-fetch-site", "cross-site"), ours[1]]] {
                let mut parts = request(others);
                assert_eq!(asked(&mut parts, consent, false), None, "{others:?}");
                assert!(!parts.headers.contains_key("consentry-revive"));
            }
        }
    }

    #[test]
    fn j6_nobody_is_revived_once_a_vendor_was_refused_or_is_not_allowed_any_more() {
        let none = VendorChoices::default();
        let maps = none.clone().with_allowed("maps");
        let refused = none.clone().with_refused("ads").unwrap();
        let of = |class, vendors: &VendorChoices| {
            Consent::chosen(PurposeSet::from_class(class).unwrap()).with_vendors(vendors.clone())
        };
        for (then, now, revived) in [
            (of("d", &none), of("a", &none), true),
            (of("d", &maps), of("a", &maps), true),
            (of("d", &none), of("a", &maps), false),
            (of("d", &maps), of("a", &none), false),
            (of("d", &none), of("a", &refused), false),
            (of("d", &refused), of("a", &refused), false),
            (of("d", &refused), of("a", &none), false),
        ] {
            let request = Request::get("/")
                .header("sec-fetch-site", "same-origin")
                .header("sec-fetch-dest", "empty")
                .header("consentry-revive", then.made_for());
            let before = asked(&mut request.body(()).unwrap().into_parts().0, &now, false);
            assert_eq!(before.as_ref(), revived.then_some(&then), "{then:?} {now:?}");
            let mut fields = HeaderMap::new();
            if let Some(before) = before {
                mark(&mut fields, &before);
                assert_eq!(fields[&FIELD], then.made_for());
            }
        }
    }
}
