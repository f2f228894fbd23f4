//! What holds for cookies that are cut, damaged or made by chance.

use super::*;
use crate::consent::{Signals, chance, heard};

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use std::sync::LazyLock;

const NOW_S: u64 = 1_750_000_000;
const LIFETIME_S: u64 = 180 * 24 * 60 * 60;

/// A "no" to everything in each plain format, to be damaged.
const REFUSALS: [&str; 16] = [
    "OptanonConsent=groups=C0001:1,C0002:0,C0003:0,C0004:0&AwaitingReconsent=false; OptanonAlertBoxClosed=x",
    "CookieConsent={stamp:'x',necessary:true,preferences:false,statistics:false,marketing:false,ver:1,utc:1749000000000,region:'fr'}",
    "cc_cookie={\"categories\":[\"necessary\"],\"revision\":0}",
    "cookieyes-consent=consentid:x,consent:no,action:yes,necessary:yes,functional:no,analytics:no,performance:no,advertisement:no",
    "CookieInformationConsent={\"consents_approved\":[\"cookie_cat_necessary\"],\"consents_denied\":[\"cookie_cat_statistic\",\"cookie_cat_marketing\"]}",
    "_iub_cs-1={\"purposes\":{\"1\":true,\"2\":false,\"3\":false,\"4\":false,\"5\":false}}",
    "CONSENTMGR=consent:true|ts:1749000000000|c1:0|c3:0|c6:0",
    "borlabs-cookie={\"consents\":{\"essential\":[\"borlabs-cookie\"]}}",
    "cmplz_banner-status=dismissed; cmplz_statistics=deny; cmplz_marketing=deny",
    "cookie-agreed=2; cookie-agreed-categories=[\"essential\"]",
    "_tracking_consent={\"con\":{\"CMP\":{\"a\":\"0\",\"m\":\"0\",\"p\":\"0\",\"s\":\"\"}}}",
    "c15t=c.necessary:1,i.t:1749000000000",
    "klaro={\"googleAnalytics\":false}",
    "tarteaucitron=!gtag=false!hotjar=wait",
    "notice_behavior=expressed,eu; notice_gdpr_prefs=0:",
    "cookieconsent_status=deny",
];

/// A "yes" to something in each of these, to be cut.
const GRANTS: [&str; 9] = [
    "OptanonAlertBoxClosed=x; OptanonConsent=groups=C0001:1,C0002:1,C0003:1,C0004:1,C0005:0&AwaitingReconsent=false",
    "CookieConsent={stamp:'x',necessary:true,preferences:false,statistics:true,marketing:false,ver:1,utc:1749000000000,region:'fr'}",
    "cc_cookie={\"categories\":[\"necessary\",\"analytics\"],\"revision\":0}",
    "cookieyes-consent=consentid:x,consent:yes,action:yes,necessary:yes,functional:yes,analytics:yes,performance:no,advertisement:yes",
    "_iub_cs-1={\"purposes\":{\"1\":true,\"2\":true,\"3\":false,\"4\":true,\"5\":false}}",
    "CONSENTMGR=consent:true|ts:1749000000000|c1:1|c3:0|c6:1",
    "borlabs-cookie={\"consents\":{\"essential\":[\"borlabs-cookie\"],\"statistics\":[\"matomo\"]}}",
    "_tracking_consent={\"con\":{\"CMP\":{\"a\":\"1\",\"m\":\"0\",\"p\":\"0\",\"s\":\"\"}}}",
    "c15t=c.necessary:1,c.measurement:1,i.t:1749000000000",
];

/// With a word of the operator's on tools that need it.
static SIGNALS: LazyLock<Signals> = LazyLock::new(|| {
    let ids = [
        ("googleAnalytics", Tool::Klaro),
        ("gtag", Tool::Tarteaucitron),
        ("1", Tool::TrustArc),
        ("allow", Tool::OsanoCookieConsent),
    ];
    let ids = ids.map(|(id, tool)| {
        (tool, Ids::from([(id.to_owned(), PurposeSet::EMPTY.with(Purpose::Analytics))]))
    });
    Signals { ids: ids.into(), ..Signals::default() }
});

/// Signs that damage a value; an `e` may turn a `fals` back into a word.
const DAMAGES: &[u8] = b",:;=%&|!'\"{}[]+abcdfghijklmnopqrstuvwxyz \x00\x01\t\n\x0b\r\x1b\x1f\x7f";

fn granted(cookies: &[u8]) -> PurposeSet {
    let Ok(value) = HeaderValue::from_bytes(cookies) else { return PurposeSet::EMPTY };
    let mut headers = HeaderMap::new();
    headers.insert("cookie", value);
    let heard = heard(&headers, &SIGNALS, NOW_S, LIFETIME_S);
    heard.iter().fold(PurposeSet::EMPTY, |all, one| all.or(one.reading.granted()))
}

#[test]
fn d9_the_cookies_of_the_properties_say_what_they_are_there_for() {
    for cookies in REFUSALS {
        assert_eq!(granted(cookies.as_bytes()), PurposeSet::EMPTY, "{cookies}");
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_static(cookies));
        let heard = heard(&headers, &Signals::default(), NOW_S, LIFETIME_S);
        let denied = heard.iter().any(|one| !one.reading.denied().is_empty());
        assert!(denied || cookies.starts_with("tarte"), "{cookies}");
    }
    for cookies in GRANTS {
        assert!(!granted(cookies.as_bytes()).is_empty(), "{cookies}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn d9_a_cut_cookie_grants_no_more_than_the_whole(which in 0..GRANTS.len(), cut in 0_usize..200) {
        let whole = GRANTS[which].as_bytes();
        let cut = &whole[..cut.min(whole.len())];
        prop_assert!(granted(whole).contains_all(granted(cut)), "{}", cut.escape_ascii());
    }

    #[test]
    fn d9_a_damaged_refusal_grants_nothing(
        which in 0..REFUSALS.len(),
        damages in prop::collection::vec((0_usize..200, 0..4_u8, 0..DAMAGES.len()), 1..4),
    ) {
        let mut cookies = REFUSALS[which].to_owned();
        for (at, kind, sign) in damages {
            let at = at.min(cookies.len().saturating_sub(1));
            if cookies.is_empty() {
                break;
            }
            match kind {
                0 => cookies.truncate(at.max(1)),
                1 => drop(cookies.remove(at)),
                2 => cookies.insert(at, char::from(DAMAGES[sign])),
                _ => cookies.insert(at, cookies.get(at..).unwrap().chars().next().unwrap()),
            }
        }
        prop_assert_eq!(granted(cookies.as_bytes()), PurposeSet::EMPTY, "{}", cookies);
    }

    #[test]
    fn d9_chance_grants_nothing(which in 0..COOKIES.len(), seed: u64) {
        let value = chance::of_bytes(seed, 80);
        let text = chance::of_any(seed, 40);
        let name = COOKIES[which].0.trim_end_matches('*');
        for value in [value.as_slice(), text.as_bytes()] {
            let cookie = [name.as_bytes(), b"=", value].concat();
            prop_assert_eq!(granted(&cookie), PurposeSet::EMPTY, "{}", cookie.escape_ascii());
        }
    }
}
