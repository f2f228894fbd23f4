//! No GPP string brings us down, and none grants without a TC string in it.
#![no_main]

mod signal;

use consentry::consent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Quotes and spaces around a cookie's value are no part of it.
    if text.contains('"') || text.trim() != text {
        return;
    }
    let ids = consent::gpp_section_ids(text.split('~').next().unwrap_or_default());
    assert!(ids.as_ref().is_none_or(|ids| ids.len() <= 64), "more sections than there are");
    let granted = signal::granted("IABGPP_HDR_GppString", text.as_bytes());
    assert!(granted.is_empty() || ids.is_some_and(|ids| ids.contains(&2)), "a state granted");
    let denied_only = signal::granted("usprivacy", text.as_bytes());
    assert!(denied_only.is_empty(), "an opt-out string granted");
});
