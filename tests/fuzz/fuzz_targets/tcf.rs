//! No TC string brings us down, and none grants what it does not say.
#![no_main]

mod signal;

use consentry::consent::TcString;
use consentry::purpose::PurposeSet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Quotes and spaces around a cookie's value are no part of it.
    if text.contains('"') || text.trim() != text {
        return;
    }
    let string = TcString::parse(text);
    if let Some(string) = &string {
        let _ = (0..=24).map(|purpose| string.consents_to(purpose)).count();
        let vendors = [0, 1, 755, u16::MAX];
        let _ = vendors.map(|id| (string.discloses(id), string.vendor_claims_interest(id)));
        // Found together, vendors are what they are one by one.
        let granted = signal::granted("euconsent-v2", text.as_bytes());
        for (id, allowed) in vendors.into_iter().zip(string.allowed(granted, &vendors)) {
            assert_eq!(string.allowed(granted, &[id]), [allowed]);
            assert!(!allowed || string.consents_to_vendor(id));
        }
    }
    let granted = signal::granted("euconsent-v2", text.as_bytes());
    if !granted.is_empty() {
        let string = string.expect("only a whole string grants");
        assert!(string.service_specific && string.consents_to(1) && string.discloses(1).is_some());
    }
    // The start of a string never grants more than the string, except where it
    // is a whole string itself.
    let half = text.get(..text.len() / 2).unwrap_or_default();
    if TcString::parse(half).is_none() {
        assert_eq!(signal::granted("euconsent-v2", half.as_bytes()), PurposeSet::EMPTY);
    }
});
