//! Recognises a vendor's script by its content, wherever it is served from.
//!
//! An operator who copies `matomo.js` to `/assets/m.js` gives it no name that
//! tells anything, but its text stays the vendor's. It must be the vendor's
//! file, though: a bundle that merely holds the library also holds the site's
//! own code, and withholding that breaks the site. So the signs must stand
//! near the beginning, in a file of a library's size, with no sign of a
//! bundler or a framework around them. What a bundle loads is held in the
//! browser.

use crate::catalogue::RuleIndex;
use crate::catalogue::inline::Normal;

use aho_corasick::AhoCorasick;

/// How much of a script is looked at, in bytes. Vendors' own signs stand
/// there: licence, version, configuration.
pub const SCRIPT_LOOK_BYTES: usize = 32 * 1024;

/// No vendor's library is larger; the largest tag containers come close.
const LARGEST: u64 = 1024 * 1024;

/// What bundlers and frameworks leave in the files they make.
const BUNDLED: [&str; 14] = [
    "webpackJsonp",
    "webpackChunk",
    "__webpack_require__",
    "parcelRequire",
    "System.register(",
    "__vite__",
    "__vitePreload",
    "TURBOPACK",
    "Symbol.for('react.element')",
    "Symbol.for('react.transitional.element')",
    "jQueryv",
    "jQuery.fn",
    "Vue.jsv",
    "__SVELTE",
];

#[derive(Clone, Copy, Debug)]
enum Part {
    Signature { signature: u32, part: u8 },
    Bundled,
}

/// All signs of vendors' scripts.
#[derive(Clone)]
pub(super) struct Scripts {
    automaton: Option<AhoCorasick>,
    parts: Vec<Part>,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug)]
struct Signature {
    literals: u8,
    /// Whether a bundler's mark is one of the vendor's own signs.
    bundled: bool,
    rule: RuleIndex,
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scripts({})", self.signatures.len())
    }
}

impl Scripts {
    /// Compiles `A && B` signatures; `None` when there are gigabytes of them.
    pub(super) fn compile(written: &[(String, RuleIndex)]) -> Option<Self> {
        let (mut parts, mut patterns, mut signatures) = (Vec::new(), Vec::new(), Vec::new());
        for (text, rule) in written {
            let signature = u32::try_from(signatures.len()).ok()?;
            let mut literals = 0;
            for literal in text.split(" && ").take(8) {
                parts.push(Part::Signature { signature, part: literals });
                patterns.push(literal);
                literals += 1;
            }
            let bundled = BUNDLED.iter().any(|mark| text.contains(mark));
            signatures.push(Signature { literals, bundled, rule: *rule });
        }
        for mark in BUNDLED {
            parts.push(Part::Bundled);
            patterns.push(mark);
        }
        let automaton = AhoCorasick::new(&patterns).ok()?;
        Some(Self { automaton: Some(automaton), parts, signatures })
    }

    /// The rules that a script which begins with `code` and has `size` bytes,
    /// if that is known, falls under.
    pub(super) fn find(&self, code: &[u8], size: Option<u64>) -> Vec<RuleIndex> {
        let Some(automaton) = &self.automaton else { return Vec::new() };
        if size.is_some_and(|size| size > LARGEST) {
            return Vec::new();
        }
        let code = Normal::of(code.get(..SCRIPT_LOOK_BYTES).unwrap_or(code));
        let mut seen: Vec<(u32, u8)> = Vec::new();
        let mut bundled = false;
        for found in automaton.find_overlapping_iter(&code.text) {
            match self.parts.get(found.pattern().as_usize()) {
                Some(Part::Bundled) => bundled = true,
                Some(Part::Signature { signature, part })
                    if !seen.contains(&(*signature, *part))
                        && code.begins_a_name(found.start()) =>
                {
                    seen.push((*signature, *part));
                }
                Some(Part::Signature { .. }) | None => {}
            }
        }
        let has_all = |(index, signature): &(usize, &Signature)| {
            let have = seen.iter().filter(|(seen, _)| *seen as usize == *index).count();
            have == usize::from(signature.literals) && (signature.bundled || !bundled)
        };
        let found = self.signatures.iter().enumerate().filter(has_all);
        found.map(|(_, signature)| signature.rule).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str, size: Option<u64>) -> Vec<RuleIndex> {
        let written =
            [("acme.version= && acme._release", 0), ("'acmeQueue'", 1), ("webpackChunk_acme", 2)];
        let written = written.map(|(text, rule)| (text.to_owned(), rule));
        Scripts::compile(&written).unwrap().find(code.as_bytes(), size)
    }

    #[test]
    fn b13_a_library_is_known_by_its_text_and_a_bundle_is_left_alone() {
        let far = format!("{}acme.version=1;acme._release=2", ";".repeat(SCRIPT_LOOK_BYTES));
        for (code, size, rules) in [
            ("/* (c) */ acme.version = \"2\"; acme._release = \"x\"", None, &[0][..]),
            ("acme.version=2;acme._release=1", Some(300_000), &[0]),
            ("acme.version=2;acme._release=1", Some(LARGEST + 1), &[]),
            ("acme.version=2", None, &[]),
            ("xacme.version=2;acme._release=1", None, &[]),
            ("window[\"acmeQueue\"]=[]", None, &[1]),
            ("window['acmeQueue']=[];(self.webpackChunkshop=[]).push()", None, &[]),
            ("(self.webpackChunk_acme=[]).push()", None, &[2]),
            (far.as_str(), None, &[]),
        ] {
            assert_eq!(found(code, size), rules, "{size:?} {}", code.len());
        }
    }
}
