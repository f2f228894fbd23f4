//! A cookie that nobody signed grants nothing, and none brings us down; what
//! is not denied reaches the origin as it came.
#![no_main]

mod shop;

use consentry::consent::{self, Consent, Keys};
use consentry::enforce::{RequestContext, clear_request};
use consentry::purpose::PurposeSet;
use http::{HeaderValue, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let Ok(field) = HeaderValue::from_bytes(value) else { return };
    let mut request = Request::get("/").body(()).expect("it is a request").into_parts().0;
    request.headers.insert("cookie", field.clone());
    let settings = consent::Settings {
        same_as: Vec::new(),
        keys: Keys::from_secret([7; 32]),
        lifetime_s: 1000,
        notice_revision: 1,
        // Those of others have targets of their own.
        signals: consent::Signals { heard: Vec::new(), ..consent::Signals::default() },
        regions: consent::Regions::default(),
    };
    let read = consent::read(&request.headers, &["consentry"], "shop", &settings, 1_800_000_000);
    assert_eq!(read.granted(), PurposeSet::NECESSARY, "nobody signed this");
    let consent = Consent::silent();
    let (cleared, _) = clear_request(
        request,
        &RequestContext {
            policy: &shop::POLICY,
            consent: &consent,
            host: "www.shop.example",
            enforcing: true,
            address_truncated: true,
        },
    );
    for sent in cleared.get().headers.get_all("cookie") {
        for pair in sent.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            assert!(
                pair.is_empty()
                    || field.as_bytes().split(|byte| *byte == b';').any(|was| was.trim_ascii() == pair),
                "a cookie that was not there"
            );
        }
    }
});
