//! The guard: the script that runs before every other on a page, what comes
//! with it, and what it is told there.

use crate::catalogue::Catalogue;
use crate::consent::Consent;
use crate::enforce::browser::{
    BrowserPolicy, GOOGLE, GoogleConsent, KEPT, STUBS, consent_mode, names_of_vendors, names_table,
    served,
};
use crate::enforce::html::escape;
use crate::policy::{Observed, Policy, Verdict};
use crate::purpose::{Purpose, PurposeSet};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::Arc;

const SOURCE: &str = include_str!("guard.js");

/// Calls the stand-ins' script with the names that its tag lists.
const STUBS_CALLED: &str = "{
const script = document.currentScript;
script.remove();
stubs(JSON.parse(script.getAttribute(\"data-consentry-stubs\")));
}
";

/// A script of ours as a browser gets it: the same bytes for every visitor,
/// under a name that changes with them, so that it can be cached for ever.
#[derive(Debug)]
pub struct OwnScript {
    name: String,
    body: Bytes,
}

impl OwnScript {
    /// The script of that kind, with this text.
    #[must_use]
    pub fn of(kind: &str, text: String) -> Self {
        let hash: String =
            Sha256::digest(&text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { name: format!("{kind}-{hash}.js"), body: Bytes::from(text) }
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

/// The guard's files: itself; what denied vendors may not keep on the
/// device; what Google's tags are told; stand-ins for the globals of withheld
/// vendors. A page gets each where it is needed, so that what every page waits
/// for stays small.
#[derive(Debug)]
pub struct GuardFiles {
    guard: OwnScript,
    kept: OwnScript,
    google: OwnScript,
    stand_ins: OwnScript,
}

impl GuardFiles {
    /// The files for sites that use this catalogue.
    #[must_use]
    pub fn of(catalogue: &Catalogue) -> Self {
        Self::with(&names_table(catalogue))
    }

    /// The files with `names`, the table of what vendors keep, in JSON.
    #[must_use]
    pub fn with(names: &str) -> Self {
        Self {
            guard: OwnScript::of("guard", served(SOURCE)),
            kept: OwnScript::of("kept", served(&KEPT.replace("/*NAMES*/{}", names))),
            google: OwnScript::of("google", served(GOOGLE)),
            stand_ins: OwnScript::of("stand-ins", served(STUBS) + STUBS_CALLED),
        }
    }

    /// The guard itself.
    #[must_use]
    pub const fn guard(&self) -> &OwnScript {
        &self.guard
    }

    /// What denied vendors may not keep on the device.
    #[must_use]
    pub const fn kept(&self) -> &OwnScript {
        &self.kept
    }

    /// Stand-ins for the globals of withheld vendors.
    #[must_use]
    pub const fn stand_ins(&self) -> &OwnScript {
        &self.stand_ins
    }

    /// The file that was ever called `name`, if it may be one of these: the
    /// hash of an older one is another.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&OwnScript> {
        let kind = name.strip_suffix(".js")?.rsplit_once('-')?.0;
        [&self.guard, &self.kept, &self.google, &self.stand_ins]
            .into_iter()
            .find(|file| file.name.rsplit_once('-').is_some_and(|(known, _)| known == kind))
    }
}

/// Where the guard of one page is, and what it needs besides the policy.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The site's own prefix, such as `/.consentry`.
    pub prefix: String,
    /// The files.
    pub files: Arc<GuardFiles>,
    /// Which pages tell Google's tags what the visitor agreed to.
    pub google: GoogleConsent,
    /// Whether hits of Google's tags pass that say that everything is denied.
    pub google_pings: bool,
    /// Where a visitor can choose.
    pub choices_url: String,
    /// The nonce that the site's own policy asks of its scripts.
    pub nonce: Option<String>,
}

impl Guard {
    /// The tags that bring the guard into a page. Their attributes are all it
    /// knows: nothing about the visitor but what they decided.
    ///
    /// What denied vendors keep comes first, since the guard takes it from
    /// there; nothing stands in between, so nobody else can.
    #[must_use]
    pub fn tags(
        &self,
        policy: &Policy,
        browser_policy: &BrowserPolicy,
        consent: &Consent,
        stand_ins: &[String],
    ) -> String {
        let denied = match policy.observed() {
            Observed::Nobody | Observed::These(_) => PurposeSet::ALL.minus(consent.granted()),
            Observed::AllBut(_) => consent.denied(),
        };
        let told = serde_json::json!({
            "policy": browser_policy.directives(),
            "block": browser_policy.exclusions,
            "prefix": self.prefix,
            "choices": self.choices_url,
            "pings": self.google_pings || granted_any_hit(consent),
        });
        let mut tags = String::new();
        let by_vendor = consent.vendors().is_some() || policy.observed().is_any();
        if !denied.is_empty() || by_vendor {
            let kept = serde_json::json!({
                "deny": denied.class(),
                "vendors": by_vendor.then(|| names_of_vendors(policy, consent, denied)),
            });
            tags.push_str(&self.tag(&self.files.kept, "data-consentry-kept", &kept.to_string()));
        }
        tags.push_str(&self.tag(&self.files.guard, "data-consentry", &told.to_string()));
        let lacks_google = stand_ins.iter().any(|name| name == "dataLayer");
        match self.google {
            // What is only observed behaves as it would without us, unless somebody
            // said "no" to anything: that is told.
            _ if consent.denied().is_empty() && observes_google(policy, consent) => {}
            GoogleConsent::Auto | GoogleConsent::Always if browser_policy.google_tag => {
                tags.push_str(&self.google_tag(consent));
            }
            // Elsewhere something stands in for what they would be told with.
            GoogleConsent::Always if !lacks_google => tags.push_str(&self.google_tag(consent)),
            GoogleConsent::Auto | GoogleConsent::Always | GoogleConsent::Off => {}
        }
        if !stand_ins.is_empty() {
            let names = serde_json::json!(stand_ins).to_string();
            tags.push_str(&self.tag(&self.files.stand_ins, "data-consentry-stubs", &names));
        }
        tags
    }

    /// The tag that tells Google's tags what the visitor agreed to.
    #[must_use]
    pub fn google_tag(&self, consent: &Consent) -> String {
        let told = consent_mode::signals(consent).to_string();
        self.tag(&self.files.google, "data-consentry-google", &told)
    }

    fn tag(&self, file: &OwnScript, attribute: &str, value: &str) -> String {
        let nonce = match &self.nonce {
            Some(nonce) => format!(" nonce=\"{}\"", escape(nonce)),
            None => String::new(),
        };
        let Self { prefix, .. } = self;
        let value = escape(value);
        format!("<script src=\"{prefix}/{}\"{nonce} {attribute}=\"{value}\"></script>", file.name)
    }
}

/// Whether verdicts on a vendor whose tags know Consent Mode are only recorded.
fn observes_google(policy: &Policy, consent: &Consent) -> bool {
    policy.observed().is_any()
        && ["google-analytics", "google-ads"].iter().any(|id| {
            let vendor = policy.catalogue().vendor(id);
            vendor.is_some_and(|vendor| match policy.decide_vendor(vendor, consent) {
                Verdict::Allow(basis) => basis.is_observed(),
                Verdict::Block(_) => false,
            })
        })
}

/// Whether a hit of Google's tags can say anything else than that everything
/// is denied.
fn granted_any_hit(consent: &Consent) -> bool {
    consent.grants(Purpose::Analytics) || consent.grants(Purpose::Marketing)
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
    fn b9_the_guard_is_small_and_comes_with_names_and_stand_ins() {
        let catalogue = Catalogue::compile(&crate::catalogue::SourceFile::embedded()).unwrap();
        let files = GuardFiles::of(&catalogue);
        for (file, most) in
            [(files.guard(), 12 * 1024), (files.kept(), 7 * 1024), (files.stand_ins(), 3_400)]
        {
            let size = gzipped(file.body());
            assert!(size <= most, "{}: {size} bytes of {most}", file.name());
            let script = std::str::from_utf8(file.body()).unwrap();
            assert!(!script.lines().any(|line| line.starts_with("//") || line.starts_with(' ')));
            assert!(!script.contains("/*"));
        }
        let kept = |names| GuardFiles::with(names).kept;
        let named = kept(r#"{"a":{"c":["_ga"]}}"#);
        let script = std::str::from_utf8(named.body()).unwrap();
        assert!(script.contains(r#"const NAMES = {"a":{"c":["_ga"]}};"#));
        assert_ne!(named.name(), kept("{}").name());
        // Text over several lines would lose its indentation.
        assert!(
            [SOURCE, KEPT].iter().all(|source| source.lines().all(|line| line
                .matches('`')
                .count()
                % 2
                == 0))
        );
    }

    #[test]
    fn a_file_is_found_by_its_kind_under_any_hash() {
        let files = GuardFiles::with("{}");
        for name in ["guard-0123.js", "kept-ffff.js", "stand-ins-0123456789abcdef.js"] {
            let found = files.find(name).map(|file| file.name().rsplit_once('-').unwrap().0);
            assert_eq!(found, name.rsplit_once('-').map(|(kind, _)| kind));
        }
        for name in ["guard.js", "guard-0123", "ins-0123.js", "choose-0123.js", ""] {
            assert!(files.find(name).is_none(), "{name}");
        }
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
