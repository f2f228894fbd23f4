//! Values that contradict themselves, and such that are too old.

use super::*;

#[test]
fn d9_what_contradicts_itself_grants_nothing() {
    for (tool, cookies, expected) in [
        (
            Tool::Tealium,
            "CONSENTMGR=consent:true|ts:1749000000000|c1:1|c2:0|c3:1|c4:0|c7:0|c14:0",
            "+a -m",
        ),
        (Tool::Tealium, "CONSENTMGR=consent:true|ts:1749000000000|c1:1|c3:1|c7:0", "+a -m"),
        (
            Tool::Tealium,
            "CONSENTMGR=consent:true|ts:1749000000000|c1:1|c2:1|c3:1|c4:1|c7:1",
            "+am -",
        ),
        (Tool::Tealium, "CONSENTMGR=consent:true|ts:1749000000000|c7:1", "undecided"),
        (
            Tool::CookieYes,
            "cookieyes-consent=consentid:abc,consent:no,action:yes,necessary:yes,functional:yes,analytics:yes,performance:yes,advertisement:yes",
            "doubtful",
        ),
        (
            Tool::CookieYes,
            "cookieyes-consent=consentid:abc,consent:no,action:yes,necessary:yes,functional:no,analytics:yes,performance:yes,advertisement:yes",
            "+ -f",
        ),
        (
            Tool::CookieConsent,
            "cc_cookie={\"categories\":[\"necessary\",\"analytics\",\"ads\"],\"services\":{\"analytics\":[\"ga\"],\"ads\":[]}}",
            "+a -f",
        ),
        (
            Tool::CookieConsent,
            "cc_cookie={\"categories\":[\"necessary\",\"analytics\"],\"services\":{\"necessary\":[\"x\"],\"analytics\":[]}}",
            "+ -fm",
        ),
        // A site that names no services has nothing but empty lists.
        (
            Tool::CookieConsent,
            "cc_cookie={\"categories\":[\"necessary\",\"analytics\"],\"services\":{\"necessary\":[],\"analytics\":[],\"ads\":[]}}",
            "+a -fm",
        ),
        (
            Tool::CookieConsent,
            "cc_cookie={\"categories\":[\"analytics\"],\"services\":{\"analytics\":false}}",
            "doubtful",
        ),
        (
            Tool::Shopify,
            "_tracking_consent={\"con\":{\"CMP\":{\"a\":\"1\",\"m\":\"1\",\"p\":\"1\",\"s\":\"0\"}}}",
            "+fa -m",
        ),
        (
            Tool::Shopify,
            "_tracking_consent={\"con\":{\"CMP\":{\"a\":\"\",\"m\":\"\",\"p\":\"\",\"s\":\"0\"}}}",
            "+ -m",
        ),
        (
            Tool::Shopify,
            "_tracking_consent={\"con\":{\"CMP\":{\"a\":\"1\",\"m\":\"1\",\"p\":\"1\",\"s\":\"1\"}}}",
            "+fam -",
        ),
    ] {
        check(tool, cookies, expected);
    }
    // {"purposes":{"enabled":["stats"],"disabled":["ads"]},"vendors":{"disabled":["c:hotjar"]}}
    // and the same with nobody refused.
    let signals =
        explained(Tool::Didomi, &[("stats", Purpose::Analytics), ("ads", Purpose::Marketing)]);
    for (token, expected) in [
        (
            "eyJwdXJwb3NlcyI6eyJlbmFibGVkIjpbInN0YXRzIl0sImRpc2FibGVkIjpbImFkcyJdfSwidmVuZG9ycyI6eyJkaXNhYmxlZCI6WyJjOmhvdGphciJdfX0",
            "+ -m",
        ),
        (
            "eyJwdXJwb3NlcyI6eyJlbmFibGVkIjpbInN0YXRzIl0sImRpc2FibGVkIjpbImFkcyJdfSwidmVuZG9ycyI6eyJkaXNhYmxlZCI6W119fQ",
            "+a -m",
        ),
    ] {
        check_with(&signals, Tool::Didomi, &format!("didomi_token={token}"), expected);
    }
}

#[test]
fn d9_a_key_that_comes_twice_is_torn_in_every_tool_that_writes_json() {
    for (tool, cookies) in [
        (Tool::Klaro, "klaro={\"x\":false,\"x\":true}"),
        (Tool::Zaraz, "cf_consent={\"x\":false,\"x\":true}"),
        (Tool::Axeptio, "axeptio_cookies={\"x\":false,\"x\":true,\"$$completed\":true}"),
        (
            Tool::Axeptio,
            "axeptio_cookies=%7B%22x%22%3Afalse%2C%22x%22%3Atrue%2C%22%24%24completed%22%3Atrue%7D",
        ),
        (Tool::Iubenda, "_iub_cs-1={\"purposes\":{\"4\":false,\"4\":true}}"),
        (Tool::Shopify, "_tracking_consent={\"con\":{\"CMP\":{\"m\":\"0\",\"m\":\"1\"}}}"),
        (Tool::CookieConsent, "cc_cookie={\"categories\":[],\"categories\":[\"analytics\"]}"),
        (Tool::Borlabs, "borlabs-cookie={\"consents\":{\"statistics\":[],\"statistics\":[\"x\"]}}"),
        (
            Tool::CookieInformation,
            "CookieInformationConsent={\"consents_approved\":[],\"consents_denied\":[],\"consents_approved\":[\"cookie_cat_marketing\"]}",
        ),
        (
            Tool::RealCookieBanner,
            "real_cookie_banner=1749000000:1a2b3c4d-0000-4000-8000-0123456789ab:0123456789abcdef0123456789abcdef:{\"x\":[],\"x\":[1]}",
        ),
        // {"status":"allow","preferences":7,"preferences":0}
        (
            Tool::Pandectes,
            "_pandectes_gdpr=eyJzdGF0dXMiOiJhbGxvdyIsInByZWZlcmVuY2VzIjo3LCJwcmVmZXJlbmNlcyI6MH0",
        ),
    ] {
        check_with(&explained(tool, &[("x", Purpose::Analytics)]), tool, cookies, "doubtful");
    }
}

#[test]
fn d9_a_choice_counts_as_long_as_one_made_here() {
    // NOW_S is 2025-06-15, and a choice counts for 180 days.
    for (tool, cookies, time, expected) in [
        (
            Tool::Iubenda,
            "_iub_cs-1={\"timestamp\":T,\"purposes\":{\"4\":true,\"5\":false}}",
            "\"2025-06-01T10:00:00.000Z\"",
            "+a -m",
        ),
        (
            Tool::Iubenda,
            "_iub_cs-1={\"timestamp\":T,\"purposes\":{\"4\":true,\"5\":false}}",
            "\"2024-06-01T10:00:00.000Z\"",
            "undecided",
        ),
        (
            Tool::Iubenda,
            "_iub_cs-1={\"timestamp\":T,\"purposes\":{\"4\":true}}",
            "\"2026-06-01T10:00:00.000Z\"",
            "doubtful",
        ),
        (
            Tool::Iubenda,
            "_iub_cs-1={\"timestamp\":T,\"purposes\":{\"4\":true}}",
            "\"lately\"",
            "doubtful",
        ),
        (Tool::Iubenda, "_iub_cs-1={\"timestamp\":T,\"purposes\":{\"4\":true}}", "7", "doubtful"),
        (
            Tool::CookieConsent,
            "cc_cookie={\"categories\":[\"analytics\"],\"consentTimestamp\":\"2020-01-01T00:00:00.000Z\",\"lastConsentTimestamp\":T}",
            "\"2025-06-01T10:00:00.000Z\"",
            "+a -fm",
        ),
        (
            Tool::CookieConsent,
            "cc_cookie={\"categories\":[\"analytics\"],\"consentTimestamp\":T}",
            "\"2024-06-01T10:00:00.000Z\"",
            "undecided",
        ),
        (
            Tool::CookieConsent,
            "cc_cookie={\"level\":[\"analytics\"],\"consent_date\":T}",
            "\"2024-06-01T10:00:00.000Z\"",
            "undecided",
        ),
        (
            Tool::CookieConsent,
            "cc_cookie={\"categories\":[\"analytics\"],\"consentTimestamp\":T}",
            "true",
            "doubtful",
        ),
    ] {
        check(tool, &cookies.replace(":T", &format!(":{time}")), expected);
    }
}
