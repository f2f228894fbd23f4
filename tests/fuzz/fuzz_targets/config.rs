//! Whatever an operator writes is taken, or refused in words that say where.
#![no_main]

use consentry::config::{self, KeyMode, Overrides};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    // A file that it names would be read, and this machine's are nobody's business.
    if text.contains(&b'/') {
        return;
    }
    let file = std::env::temp_dir().join(format!("consentry-fuzz-{}.toml", std::process::id()));
    std::fs::write(&file, text).expect("there is room for it");
    let flags = Overrides::default();
    if let Err(mistakes) = config::load(Some(&file), std::iter::empty(), &flags, KeyMode::CheckOnly) {
        assert!(!mistakes.is_empty());
        for mistake in mistakes {
            assert!(mistake.to_string().len() > 10, "{mistake}");
        }
    }
});
