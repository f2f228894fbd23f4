//! However a list of images is written, no denied address stays in it.
#![no_main]

mod shop;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|set: &str| {
    let set: String = set.chars().filter(|c| !matches!(c, '"' | '&' | '\0')).collect();
    let page = format!("<img srcset=\"{set}, https://ads.acme.example/p.png 2x\">");
    if let Some(cleared) = shop::rewrite(page.as_bytes(), page.len()) {
        let names_it = cleared.windows(16).any(|part| part == b"ads.acme.example");
        // A word that swallowed the address (`x(,https:...`) loads nothing of it.
        let swallowed = set.contains('(') || set.trim_end().ends_with(',') || set.is_empty();
        assert!(!names_it || swallowed, "{page}");
    }
});
