//! Recognises inline scripts by what they do, not by where they came from.
//!
//! Tag snippets are pasted, minified, reformatted and edited, so the code is
//! brought into one form first: no white space, one kind of quote, no escapes,
//! string joins undone. Then one automaton looks for two things at once: the
//! calls that only a vendor's snippet makes (`fbq('init'`), and the hosts of
//! vendors, which count only in code that also loads something.
//!
//! Long code is more than a snippet, and withholding it can take a shop's cart
//! with it. There one call is not enough: it does nothing without the vendor's
//! file, and that is judged where it is loaded. It takes two different ones, or
//! one together with the vendor's address.
//!
//! Code that loads only the site's own files loads none of a vendor's, whose
//! address may stand beside it as data: that is how frameworks start a page.

use crate::catalogue::RuleIndex;
use crate::catalogue::hosts::Hosts;
use crate::catalogue::recognised;
use crate::catalogue::rendered::is_rendered_text;

use aho_corasick::{AhoCorasick, MatchKind};
use std::sync::atomic::{AtomicU64, Ordering};
use url::Url;

/// Code that makes a browser fetch something. Lower case is not assumed:
/// JavaScript is case-sensitive.
const LOADING: [&str; 34] = [
    ".createElement(",
    "['createElement']",
    ".src=",
    "['src']=",
    ".setAttribute('src'",
    "newImage(",
    "newImage;",
    "newImage,",
    "newImage)",
    "document.write(",
    "document.writeln(",
    ".innerHTML",
    ".insertAdjacentHTML(",
    ".appendChild(",
    "fetch(",
    "XMLHttpRequest",
    ".ajax(",
    ".sendBeacon(",
    "newWebSocket(",
    "newEventSource(",
    "newWorker(",
    "importScripts(",
    "import(",
    "import'http",
    "import'//",
    "from'http",
    "from'//",
    "require(['",
    "getScript(",
    "loadScript(",
    "addScript(",
    "injectScript(",
    "loadJS(",
    "loadjs(",
];

/// From how many bytes on, without white space, code is more than a snippet:
/// the longest that vendors give out are about as long.
const LONG: usize = 1000;

/// A host name is no longer than this (RFC 1035).
const MAX_HOST: usize = 255;

#[derive(Clone, Copy, Debug)]
enum Part {
    /// One literal of a signature, and how many literals that signature has.
    Signature {
        signature: u32,
        part: u8,
    },
    Host,
    Loading,
}

/// Everything inline code is searched for.
#[derive(Clone)]
pub(super) struct Signatures {
    /// Tells these, and the hosts they are compiled with, from all others of
    /// the process.
    id: u64,
    automaton: Option<AhoCorasick>,
    parts: Vec<Part>,
    patterns: Vec<String>,
    /// How many literals each signature has, and its rule.
    signatures: Vec<(u8, RuleIndex)>,
    /// Whose each rule is.
    vendors: Vec<usize>,
}

impl std::fmt::Debug for Signatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signatures({})", self.signatures.len())
    }
}

impl Signatures {
    /// Compiles `A && B` signatures together with all hosts; `vendors` says
    /// whose each rule is. `None` when the automaton cannot be built, which
    /// takes gigabytes of signatures.
    pub(super) fn compile(
        signatures: &[(String, RuleIndex)],
        hosts: &Hosts,
        vendors: Vec<usize>,
    ) -> Option<Self> {
        let (mut parts, mut patterns, mut compiled) = (Vec::new(), Vec::new(), Vec::new());
        for (text, rule) in signatures {
            let signature = u32::try_from(compiled.len()).ok()?;
            let mut count = 0;
            for literal in text.split(" && ").take(8) {
                parts.push(Part::Signature { signature, part: count });
                patterns.push(literal.to_owned());
                count += 1;
            }
            compiled.push((count, *rule));
        }
        for host in hosts.names() {
            parts.push(Part::Host);
            patterns.push(host.to_owned());
        }
        for literal in LOADING {
            parts.push(Part::Loading);
            patterns.push(literal.to_owned());
        }
        let automaton =
            AhoCorasick::builder().match_kind(MatchKind::Standard).build(&patterns).ok()?;
        static IDS: AtomicU64 = AtomicU64::new(0);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            id,
            automaton: Some(automaton),
            parts,
            patterns,
            signatures: compiled,
            vendors,
        })
    }

    pub(super) fn find(&self, code: &[u8], hosts: &Hosts) -> Option<RuleIndex> {
        self.find_all(code, hosts).into_iter().next()
    }

    /// Every rule the code falls under: signatures first, then hosts.
    pub(super) fn find_all(&self, code: &[u8], hosts: &Hosts) -> Vec<RuleIndex> {
        recognised::rules(self.id, code, || self.read(code, hosts))
    }

    fn read(&self, code: &[u8], hosts: &Hosts) -> Vec<RuleIndex> {
        let Some(automaton) = &self.automaton else { return Vec::new() };
        if is_rendered_text(code) {
            return Vec::new();
        }
        let code = Normal::of(code);
        let is_long = code.text.len() > LONG;
        let mut seen: Vec<(u32, u8)> = Vec::new();
        let mut by_signature = Vec::new();
        let mut by_host = Vec::new();
        let mut loads = false;
        for found in automaton.find_overlapping_iter(&code.text) {
            let Some(part) = self.parts.get(found.pattern().as_usize()) else { continue };
            match *part {
                Part::Loading => {
                    loads |= code.begins_a_name(found.start())
                        && !loads_own_file(&code.text, found.end());
                }
                Part::Signature { signature, part } => {
                    if seen.contains(&(signature, part)) || !code.begins_a_name(found.start()) {
                        continue;
                    }
                    seen.push((signature, part));
                    let Some(&(count, rule)) = self.signatures.get(signature as usize) else {
                        continue;
                    };
                    let have = seen.iter().filter(|(s, _)| *s == signature).count();
                    if have == usize::from(count) && !by_signature.contains(&rule) {
                        by_signature.push(rule);
                    }
                }
                Part::Host => {
                    let Some(pattern) = self.patterns.get(found.pattern().as_usize()) else {
                        continue;
                    };
                    let rule = host_in_code(&code.text, found.start(), found.end(), pattern)
                        .filter(|host| host.is_address || !is_long)
                        .and_then(|host| hosts.find_in_code(host.name, host.rest));
                    if let Some(rule) = rule
                        && !by_host.contains(&rule)
                    {
                        by_host.push(rule);
                    }
                }
            }
        }
        if is_long {
            let all: Vec<RuleIndex> = by_signature.iter().chain(&by_host).copied().collect();
            by_signature.retain(|rule| {
                all.iter().any(|other| other != rule && self.same_vendor(*rule, *other))
            });
        }
        if loads {
            by_host.retain(|rule| !by_signature.contains(rule));
            by_signature.append(&mut by_host);
        }
        by_signature
    }

    fn same_vendor(&self, a: RuleIndex, b: RuleIndex) -> bool {
        self.vendors.get(a as usize) == self.vendors.get(b as usize)
    }
}

/// How many addresses of one script are looked at.
const MAX_ADDRESSES: usize = 64;

impl Signatures {
    /// The absolute addresses in code that loads something.
    pub(super) fn addresses(&self, code: &[u8]) -> Vec<Url> {
        recognised::addresses(self.id, code, || self.read_addresses(code))
    }

    fn read_addresses(&self, code: &[u8]) -> Vec<Url> {
        let Some(automaton) = &self.automaton else { return Vec::new() };
        if is_rendered_text(code) {
            return Vec::new();
        }
        let code = normalise(code);
        let loads = automaton.find_overlapping_iter(&code).any(|found| {
            matches!(self.parts.get(found.pattern().as_usize()), Some(Part::Loading))
                && !loads_own_file(&code, found.end())
        });
        if !loads {
            return Vec::new();
        }
        memchr::memmem::find_iter(&code, b"//")
            .filter_map(|at| {
                let rest = code.get(at..)?;
                let ends = |byte: &u8| {
                    matches!(byte, b'\'' | b'<' | b'>' | b'(' | b')' | b'\\' | b'{' | b'}' | b';')
                };
                let end = rest.iter().position(ends).unwrap_or(rest.len()).min(2048);
                let text = std::str::from_utf8(rest.get(..end)?).ok()?;
                Url::parse(&format!("https:{text}"))
                    .ok()
                    .filter(|url| url.host_str().is_some_and(|host| host.contains('.')))
            })
            .take(MAX_ADDRESSES)
            .collect()
    }
}

/// Whether what is loaded by the code before `end` is a file of the site,
/// written out: `import('./start.js')`, `s.src='/app.js';`.
fn loads_own_file(code: &[u8], end: usize) -> bool {
    let Some(rest) = code.get(end..).and_then(|rest| rest.strip_prefix(b"'")) else {
        return false;
    };
    let Some((address, after)) =
        memchr::memchr(b'\'', rest).and_then(|close| rest.split_at_checked(close))
    else {
        return false;
    };
    let is_own = match address {
        [b'/', b'/', ..] => false,
        [b'/', ..] | [b'.', b'/', ..] | [b'.', b'.', b'/', ..] => true,
        _ => false,
    };
    // A template or an escape may make another address of it.
    let is_whole = !address.iter().any(|byte| matches!(byte, b'$' | b'\\'));
    is_own && is_whole && matches!(after, [b'\'', b')' | b',' | b';', ..])
}

/// A host named in code.
struct NamedHost<'c> {
    name: &'c str,
    /// What follows it.
    rest: &'c [u8],
    /// Whether it is written as an address, not as a mere name.
    is_address: bool,
}

/// The whole host name around a match, when the match is the end of a host
/// name at all: `notads.example` and `ads.example.org` are somebody else.
fn host_in_code<'c>(
    code: &'c [u8],
    start: usize,
    end: usize,
    pattern: &str,
) -> Option<NamedHost<'c>> {
    let (head, rest) = code.split_at_checked(end)?;
    let in_host = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let mut following = rest.iter();
    match following.next() {
        Some(b'.') if following.next().is_some_and(|byte| byte.is_ascii_alphanumeric()) => {
            return None;
        }
        Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') => return None,
        _ => {}
    }
    let before = head.get(start.saturating_sub(MAX_HOST)..start)?;
    let length = before.iter().rev().take_while(|byte| in_host(byte)).count();
    let (lead, prefix) = before.split_at_checked(before.len() - length)?;
    if !prefix.is_empty() && !prefix.ends_with(b".") {
        return None;
    }
    let name = std::str::from_utf8(head.get(start - length..)?).ok()?;
    // The port is no part of the path.
    let rest = match rest {
        [b':', port @ ..] => {
            let digits = port.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 { rest } else { port.get(digits..)? }
        }
        _ => rest,
    };
    let is_address = lead.ends_with(b"//") || name.starts_with('.') || rest.starts_with(b"/");
    let name = name.trim_start_matches('.');
    name.ends_with(pattern).then_some(NamedHost { name, rest, is_address })
}

/// Brings code into the one form that signatures are written in: white space
/// gone, every quote `'`, `\/` and `\x2f` and `\u002f` decoded, `'a'+'b'`
/// joined.
#[must_use]
pub fn normalise(code: &[u8]) -> Vec<u8> {
    Normal::of(code).text
}

/// Code in that form.
pub(super) struct Normal {
    pub(super) text: Vec<u8>,
    /// Where white space stood between two names: `var fbq` is not `varfbq`.
    gaps: Vec<usize>,
}

impl Normal {
    pub(super) fn of(code: &[u8]) -> Self {
        let mut out: Vec<u8> = Vec::with_capacity(code.len());
        let mut gaps = Vec::new();
        let mut gap = false;
        let mut rest = code;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            match byte {
                b if b.is_ascii_whitespace() => {
                    gap = true;
                    continue;
                }
                b'"' | b'\'' | b'`' => {
                    if out.ends_with(b"'+") {
                        out.truncate(out.len() - 2);
                    } else {
                        out.push(b'\'');
                    }
                }
                b'\\'
                    if tail
                        .first()
                        .is_some_and(|byte| matches!(byte, b'n' | b'r' | b't' | b'\n' | b'\r')) =>
                {
                    rest = tail.get(1..).unwrap_or_default();
                    gap = true;
                    continue;
                }
                b'\\' => {
                    let (decoded, length) = unescape(tail);
                    out.push(decoded.unwrap_or(b'\\'));
                    rest = tail.get(length..).unwrap_or_default();
                }
                byte => {
                    if gap && in_name(byte) && out.last().is_some_and(|last| in_name(*last)) {
                        gaps.push(out.len());
                    }
                    out.push(byte);
                }
            }
            gap = false;
        }
        Self { text: out, gaps }
    }

    /// Whether what stands at `at` is not the tail of a longer name, so that
    /// `hj('event'` is not found in `xhj('event'`.
    pub(super) fn begins_a_name(&self, at: usize) -> bool {
        let inside = |at: usize| self.text.get(at).is_some_and(|byte| in_name(*byte));
        !inside(at)
            || !at.checked_sub(1).is_some_and(inside)
            || self.gaps.binary_search(&at).is_ok()
    }
}

/// Whether a byte can be part of a vendor's name for something.
const fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

/// What a backslash and the bytes after it stand for, and how many bytes that
/// took.
fn unescape(tail: &[u8]) -> (Option<u8>, usize) {
    let hex = |digits: &[u8]| {
        std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
    };
    match tail {
        [b'x', a, b, ..] => match hex(&[*a, *b]) {
            Some(byte) => (Some(byte), 3),
            None => (None, 0),
        },
        [b'u', b'0', b'0', a, b, ..] => match hex(&[*a, *b]) {
            Some(byte) => (Some(byte), 5),
            None => (None, 0),
        },
        [byte @ (b'/' | b'.' | b':' | b'-'), ..] => (Some(*byte), 1),
        // An escaped quote is a quote in data; keep it from ending a join.
        [byte @ (b'\'' | b'"' | b'`'), ..] => (Some(if *byte == b'`' { b'`' } else { b'\'' }), 1),
        _ => (None, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::KindSet;
    use crate::catalogue::hosts::HostPattern;

    #[test]
    fn code_is_brought_into_one_form() {
        for (code, expected) in [
            ("fbq( \"init\", \"1\" )", "fbq('init','1')"),
            ("a = `x`", "a='x'"),
            ("'https://www.goo' + \"gle.com\"", "'https://www.google.com'"),
            (r"'https:\/\/x\u002ey\x2f'", "'https://x.y/'"),
            (r"'\q'", r"'\q'"),
        ] {
            assert_eq!(String::from_utf8(normalise(code.as_bytes())).unwrap(), expected);
        }
    }
    /// The rules found in `code`, of a catalogue in which vendor 0 has the
    /// calls `fbq('init'`, `fbq('track'` and `a.push( && b.push(` (rules 0 to
    /// 2) and the host `ads.example` (rule 3), and vendor 1 has `hj('event'`.
    fn found(code: &str) -> Vec<RuleIndex> {
        let mut hosts = Hosts::default();
        let pattern = HostPattern {
            host: "ads.example".into(),
            path: String::new(),
            exact: false,
            kinds: KindSet::ALL,
        };
        hosts.insert(pattern, false, 3);
        let signatures =
            [("fbq('init'", 0), ("fbq('track'", 1), ("a.push( && b.push(", 2), ("hj('event'", 4)];
        let signatures = signatures.map(|(text, rule)| (text.to_owned(), rule));
        Signatures::compile(&signatures, &hosts, vec![0, 0, 0, 0, 1])
            .unwrap()
            .find_all(code.as_bytes(), &hosts)
    }

    #[test]
    fn a2_code_is_recognised_by_what_it_does() {
        for (code, rules) in [
            ("fbq('init', 1)", &[0][..]),
            ("window.fbq(`init`)", &[0]),
            ("return fbq('init')", &[0]),
            ("xfbq('init')", &[]),
            ("$fbq('init')", &[]),
            ("eval(\"x;\\nfbq('init')\")", &[0]),
            ("b.push(1); a.push(2)", &[2]),
            ("a.push(2)", &[]),
            ("'https://ads.example/x'", &[]),
            ("new Image().src = 'https://ads.example/x'", &[3]),
            ("new Image().src = 'https://eu.ads.' + 'example'", &[3]),
            ("renewImage('https://ads.example/x')", &[]),
            ("prefetch('https://ads.example/x')", &[]),
            ("fetch('https://ads.example.org/x')", &[]),
            ("fetch('https://badads.example/x')", &[]),
            ("fetch(u); if (h == 'ads.example') go()", &[3]),
            ("import('./a.js').then(m => m.start({v: 'https://ads.example/x'}))", &[]),
            ("s.src = '/a.js'; v = 'https://ads.example/x'", &[]),
            ("fetch('../a', {v: 'https://ads.example/x'})", &[]),
            ("import('./a.js'); i.src = v = 'https://ads.example/x'", &[3]),
            ("fetch('//ads.example/x')", &[3]),
            ("fetch('/' + '/ads.example/x')", &[3]),
            ("fetch('/\\ads.example/x')", &[3]),
            ("h = '/ads.example/x'; fetch(`/${h}`)", &[3]),
            ("h = '/ads.example/x'; fetch('/' + h)", &[3]),
            ("self.__next_f.push([1, \"fetch('https://ads.example/x');fbq('init')\"])", &[]),
            ("self.__next_f.push([1, \"a\"]); fbq('init')", &[0]),
        ] {
            assert_eq!(found(code), rules, "{code}");
        }
    }

    #[test]
    fn a2_one_call_in_long_code_is_not_enough() {
        let much = "cart.add(1);".repeat(100);
        for (code, rules) in [
            ("fbq('track', 1)", &[][..]),
            ("fbq('init', 1); hj('event', 2)", &[]),
            ("fbq('init', 1); fbq('track', 2)", &[0, 1]),
            ("fbq('track', 2); t.src = '//ads.example/x'", &[1, 3]),
            ("t.src = '//ads.example/x'", &[3]),
            ("t.src = u; if (h == 'ads.example') go()", &[]),
        ] {
            assert_eq!(found(&format!("{much}{code}")), rules, "{code}");
        }
    }
}
