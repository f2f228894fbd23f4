//! What a signal grants, with everything it needs beside it.

use consentry::consent::{self, Ids, Signals, Tool};
use consentry::purpose::{Purpose, PurposeSet};
use http::{HeaderMap, HeaderValue};

const BESIDE: &str = "OptanonAlertBoxClosed=x; notice_behavior=expressed,eu; cmplz_banner-status=dismissed; cookie-agreed=2";

/// What one cookie grants.
#[allow(dead_code, reason = "not every target needs it")]
pub fn granted(name: &str, value: &[u8]) -> PurposeSet {
    granted_of(&[(name, value)])
}

/// What some cookies grant.
pub fn granted_of(cookies: &[(&str, &[u8])]) -> PurposeSet {
    let mut headers = HeaderMap::new();
    headers.append("cookie", HeaderValue::from_static(BESIDE));
    for (name, value) in cookies {
        // Behind a semicolon begins another cookie.
        if value.contains(&b';') {
            return PurposeSet::EMPTY;
        }
        let field = [name.as_bytes(), b"=", value].concat();
        let Ok(field) = HeaderValue::from_bytes(&field) else { return PurposeSet::EMPTY };
        headers.append("cookie", field);
    }
    let ids = Ids::from([("1".to_owned(), PurposeSet::EMPTY.with(Purpose::Analytics))]);
    let signals = Signals { ids: Tool::ALL.map(|tool| (tool, ids.clone())).into(), ..Signals::default() };
    let heard = consent::heard(&headers, &signals, 1_790_000_000, 395 * 24 * 60 * 60);
    heard.iter().fold(PurposeSet::EMPTY, |all, one| {
        let (granted, denied) = (one.reading.granted(), one.reading.denied());
        assert!(granted.and(denied).is_empty(), "both granted and denied");
        assert!(!granted.contains(Purpose::Necessary), "nobody is asked about it");
        all.or(granted)
    })
}
