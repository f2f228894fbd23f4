//! No cookie of another consent tool brings us down, none both grants and
//! denies, and two of one name grant nothing that one of them does not.
#![no_main]

mod signal;

use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 22] = [
    "OptanonConsent", "CookieConsent", "didomi_token", "axeptio_cookies", "tarteaucitron", "klaro", "cc_cookie",
    "cookieconsent_status", "_iub_cs-1", "cookieyes-consent", "CookieInformationConsent", "notice_gdpr_prefs",
    "CONSENTMGR", "borlabs-cookie", "cmplz_statistics", "real_cookie_banner", "cookie-agreed-categories",
    "_tracking_consent", "_pandectes_gdpr", "mtm_consent", "cf_consent", "c15t",
];

fuzz_target!(|input: (u8, &[u8], &[u8])| {
    let (which, one, other) = input;
    let name = NAMES[usize::from(which) % NAMES.len()];
    let first = signal::granted(name, one);
    let both = signal::granted_of(&[(name, one), (name, other)]);
    assert!(first.contains_all(both), "a second cookie granted");
});
