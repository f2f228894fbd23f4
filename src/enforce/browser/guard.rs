//! The guard: the script that runs before every other on a page, and what it
//! is told there.

use crate::catalogue::Catalogue;
use crate::consent::Consent;
use crate::enforce::browser::{BrowserPolicy, STUBS, names_of_vendors, names_table, served};
use crate::enforce::html::escape;
use crate::purpose::{Purpose, PurposeSet};

use bytes::Bytes;
use sha2::{Digest, Sha256};

const SOURCE: &str = include_str!("guard.js");

/// The guard as a browser gets it: the same bytes for every visitor, under a
/// name that changes with them, so that it can be cached for ever.
#[derive(Debug)]
pub struct GuardFile {
    name: String,
    body: Bytes,
}

impl GuardFile {
    /// The guard for sites that use this catalogue.
    #[must_use]
    pub fn of(catalogue: &Catalogue) -> Self {
        Self::with(&names_table(catalogue), STUBS)
    }

    /// The guard with what it needs to know: `names` is the table of cookie
    /// and storage names in JSON, `stand_ins` a script that defines
    /// `stubs(names)`.
    #[must_use]
    pub fn with(names: &str, stand_ins: &str) -> Self {
        let source = SOURCE.replace("/*NAMES*/{}", names).replace("/*STUBS*/", stand_ins);
        let script = served(&source);
        let hash: String =
            Sha256::digest(&script).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { name: format!("guard-{hash}.js"), body: Bytes::from(script) }
    }

    /// The file's name below the site's own prefix.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The script.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Where the guard of one page is, and what it needs besides the policy.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The site's own prefix, such as `/.consentry`.
    pub prefix: String,
    /// The file's name.
    pub file: String,
    /// Where a visitor can choose.
    pub choices_url: String,
    /// The nonce that the site's own policy asks of its scripts.
    pub nonce: Option<String>,
}

impl Guard {
    /// The tag that brings the guard into a page. Its attribute is all the
    /// guard knows: nothing about the visitor but what they decided.
    #[must_use]
    pub fn tag(
        &self,
        policy: &BrowserPolicy,
        catalogue: &Catalogue,
        consent: &Consent,
        stand_ins: &[String],
    ) -> String {
        let denied: PurposeSet =
            Purpose::OPTIONAL.into_iter().filter(|purpose| !consent.grants(*purpose)).collect();
        let told = serde_json::json!({
            "policy": policy.directives(),
            "block": policy.exclusions,
            "deny": denied.class(),
            "stubs": stand_ins,
            "prefix": self.prefix,
            "choices": self.choices_url,
            "names": consent.vendors().map(|vendors| names_of_vendors(catalogue, vendors)),
        });
        let nonce = match &self.nonce {
            Some(nonce) => format!(" nonce=\"{}\"", escape(nonce)),
            None => String::new(),
        };
        format!(
            "<script src=\"{}/{}\"{nonce} data-consentry=\"{}\"></script>",
            self.prefix,
            self.file,
            escape(&told.to_string())
        )
    }
}

/// Where the guard goes in a page: right behind the start of its head, or
/// before the first thing in it that is not part of the frame around it. The
/// page is ASCII-compatible.
pub(crate) fn insertion_point(html: &[u8]) -> usize {
    let mut at = if html.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    loop {
        let rest = html.get(at..).unwrap_or_default();
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = rest.get(space..).unwrap_or_default();
        let skipped = if rest.starts_with(b"<!--") {
            comment_length(rest)
        } else if rest.starts_with(b"<!") || rest.starts_with(b"<?") {
            rest.iter().position(|byte| *byte == b'>').map(|end| end + 1)
        } else if is_tag(rest, b"html") {
            tag_length(rest)
        } else if is_tag(rest, b"head") {
            return tag_length(rest).map_or(at, |length| at + space + length);
        } else {
            None
        };
        match skipped {
            Some(length) => at += space + length,
            None => return at,
        }
    }
}

/// A comment ends at `-->`, at `--!>`, or at once (WHATWG HTML, 13.2.5.43ff).
fn comment_length(html: &[u8]) -> Option<usize> {
    if html.starts_with(b"<!-->") {
        return Some(5);
    }
    if html.starts_with(b"<!--->") {
        return Some(6);
    }
    let ends = |end: &[u8]| memchr::memmem::find(html, end).map(|at| at + end.len());
    match (ends(b"-->"), ends(b"--!>")) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn is_tag(html: &[u8], name: &[u8]) -> bool {
    html.first() == Some(&b'<')
        && html.get(1..=name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name))
        && html
            .get(name.len() + 1)
            .is_some_and(|next| next.is_ascii_whitespace() || matches!(next, b'>' | b'/'))
}

/// The length of a start tag; `>` in a quoted value does not end it.
fn tag_length(html: &[u8]) -> Option<usize> {
    let mut quote = None;
    let mut after_equals = false;
    for (at, byte) in html.iter().enumerate() {
        match (quote, *byte) {
            (Some(open), byte) => {
                if byte == open {
                    quote = None;
                }
            }
            (None, b'>') => return Some(at + 1),
            (None, open @ (b'"' | b'\'')) if after_equals => quote = Some(open),
            (None, b'=') => after_equals = true,
            (None, byte) if byte.is_ascii_whitespace() => {}
            (None, _) => after_equals = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzipped(bytes: &[u8]) -> usize {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap().len()
    }

    #[test]
    fn b9_the_guard_is_small_and_takes_names_and_stand_ins() {
        let bare = GuardFile::with("{}", "");
        let size = gzipped(bare.body());
        assert!(size <= 12 * 1024, "{size} bytes");
        let full = GuardFile::with(r#"{"a":{"c":["_ga"]}}"#, "// Nothing.\nfunction stubs() {}");
        let script = std::str::from_utf8(full.body()).unwrap();
        assert!(script.contains(r#"const NAMES = {"a":{"c":["_ga"]}};"#));
        assert!(script.contains("\nfunction stubs() {}\n"));
        assert!(!script.lines().any(|line| line.starts_with("//") || line.starts_with(' ')));
        assert!(!script.contains("/*"));
        assert_ne!(full.name(), bare.name());
        // Text over several lines would lose its indentation.
        assert!(SOURCE.lines().all(|line| line.matches('`').count() % 2 == 0));
    }

    #[test]
    fn b9_the_guard_asks_nobody_but_us() {
        assert_eq!(SOURCE.matches("apply(nativeFetch").count(), 1);
        assert!(SOURCE.contains(r#"[(config.prefix || "/.consentry") + "/reports", options]"#));
        assert!(!SOURCE.contains("https://"));
    }

    #[test]
    fn b9_the_guard_comes_before_everything_that_could_run() {
        for (before, after) in [
            ("<!doctype html><html><head>", "<script src=a.js></script></head>"),
            ("<!DOCTYPE html>\n<html lang=\"a>b\">\n<HEAD profile='x>'>", "<title>x</title>"),
            ("<!-- a > b --><!doctype html>", "<title>x</title>"),
            ("<!doctype html><html>", "<body><script>x</script>"),
            ("\u{feff}<!doctype html>", "<script>x</script>"),
            ("<?xml version='1.0'?><!DOCTYPE html><html>", "<header>x"),
            ("<!--><!---><!-- x --!>", "<script>x</script><!-- -->"),
            ("<!--[if IE]><html class=ie><![endif]--><html><head>", "<script></script>"),
            ("", "text"),
            ("", "<script>x</script>"),
            ("", "<!-- without an end"),
        ] {
            let html = format!("{before}{after}");
            assert_eq!(insertion_point(html.as_bytes()), before.len(), "{html}");
        }
    }
}
