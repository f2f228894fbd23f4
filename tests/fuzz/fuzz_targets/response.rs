//! Whatever fields an origin sends, nothing denied reaches the visitor, and
//! nobody but us speaks in our name.
#![no_main]

mod shop;

use consentry::catalogue::Subject;
use consentry::consent::Consent;
use consentry::enforce::{CookiePlaces, ResponseContext, clear_response};
use http::{HeaderMap, Response};
use libfuzzer_sys::fuzz_target;
use url::Url;

fn cleared(headers: HeaderMap, is_page: bool) -> HeaderMap {
    let mut response = Response::new(()).into_parts().0;
    response.headers = headers;
    let context = ResponseContext {
        policy: &shop::POLICY,
        consent: &Consent::silent(),
        host: shop::HOST,
        url: &Url::parse("https://www.shop.example/a/b").expect("it is an address"),
        enforcing: true,
        secure: true,
        is_page,
        denied_cookies: &[],
        places: &CookiePlaces::default(),
    };
    let _ = clear_response(&mut response, &context);
    response.headers
}

fuzz_target!(|input: (bool, &[u8])| {
    let (is_page, fields) = input;
    let sent = cleared(shop::fields(fields), is_page);
    for field in sent.get_all("set-cookie") {
        let name = field.as_bytes().split(|byte| b";=".contains(byte)).next().unwrap_or_default();
        let name = shop::text(name);
        let name = name.trim();
        assert!(name.is_empty() || !shop::denied(Subject::Cookie(name)), "{name}");
    }
    for name in sent.keys() {
        assert!(!name.as_str().starts_with("consentry-"), "{name}");
    }
    // A page gets policies of ours each time.
    if !is_page {
        assert_eq!(cleared(sent.clone(), is_page), sent, "something is left to clear");
    }
});
