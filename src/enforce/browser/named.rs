//! Finds the hosts that a page's code and data name.
//!
//! What a script will load stands as a name somewhere in the page, mostly as
//! an address, sometimes escaped, sometimes as a bare name that is put
//! together later. Where a page merely links to says nothing about that.

use memchr::{memchr, memchr2_iter, memrchr};
use std::collections::{HashMap, HashSet};

/// How many hosts of one page are looked at.
const MAX_HOSTS: usize = 400;

/// How many paths of one host.
const MAX_PATHS: usize = 8;

/// A host name is no longer than this (RFC 1035).
const MAX_HOST_BYTES: usize = 253;

/// How far a tag's name stands before an address in it at most.
const MAX_TAG_BYTES: usize = 4096;

/// Authorities, and how each is named.
pub(super) type Named = HashMap<String, Mentions>;

/// How a page names one host.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    /// The paths.
    pub(super) paths: HashSet<String>,
    /// Whether once as `http:`, which a policy of an https page has to say.
    pub(super) plain: bool,
}

/// The authorities (`host` or `host:port`, lower case) that `html` names
/// anywhere but in a link to another page.
pub(super) fn authorities(html: &[u8]) -> Named {
    let mut found = Named::new();
    let mut tags = Tags::default();
    for at in memchr2_iter(b'/', b'\\', html) {
        if found.len() >= MAX_HOSTS {
            break;
        }
        let Some(start) = after_slashes(html, at) else { continue };
        if let Some((name, end)) = authority_at(html, start)
            && !tags.is_link(html, at)
        {
            let mentions = found.entry(name).or_default();
            mentions.plain |= html.get(..at).is_some_and(|before| before.ends_with(b"http:"));
            if mentions.paths.len() < MAX_PATHS {
                mentions.paths.insert(path_at(html, end));
            }
        }
    }
    for start in quoted_with_dots(html) {
        if found.len() >= MAX_HOSTS {
            break;
        }
        if let Some((name, end)) = bare_name_at(html, start) {
            let mentions = found.entry(name).or_default();
            // A name alone is one that something is added to.
            let alone = html.get(end) != Some(&b'/');
            if mentions.paths.len() < MAX_PATHS {
                mentions.paths.insert(if alone { "/".to_owned() } else { path_at(html, end) });
            }
        }
    }
    found
}

/// Where an authority starts when the second slash of `//` stands at `at`:
/// `//`, `\/\/`, and both as code writes them in escapes.
fn after_slashes(html: &[u8], at: usize) -> Option<usize> {
    // Most slashes end a tag or stand in a path.
    if !matches!((html.get(at)?, html.get(at + 1)?), (b'/', b'/') | (b'\\', b'/' | b'u' | b'x')) {
        return None;
    }
    let rest = html.get(at..)?;
    for slashes in
        [&b"//"[..], b"\\/\\/", b"\\u002f\\u002f", b"\\u002F\\u002F", b"\\x2f\\x2f", b"\\x2F\\x2F"]
    {
        if rest.starts_with(slashes) {
            return Some(at + slashes.len());
        }
    }
    None
}

const fn in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// The authority at `start`, if a host name of two labels or more stands
/// there, and where it ends.
fn authority_at(html: &[u8], start: usize) -> Option<(String, usize)> {
    let rest = html.get(start..)?;
    let length = rest.iter().take(MAX_HOST_BYTES + 1).take_while(|byte| in_host(**byte)).count();
    let name = std::str::from_utf8(rest.get(..length)?).ok()?;
    let name = name.trim_end_matches('.');
    if !is_host(name) {
        return None;
    }
    let mut name = name.to_ascii_lowercase();
    let port = rest.get(length..).and_then(|rest| rest.strip_prefix(b":")).unwrap_or_default();
    let digits = port.iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
    if let Some(port) = port.get(..digits).and_then(|port| std::str::from_utf8(port).ok())
        && !matches!(port, "" | "80" | "443")
    {
        name.push(':');
        name.push_str(port);
    }
    let end = start + length + if digits > 0 { digits + 1 } else { 0 };
    Some((name, end))
}

/// The path that follows an authority, as far as it is plain to read.
fn path_at(html: &[u8], start: usize) -> String {
    let rest = html.get(start..).unwrap_or_default();
    let in_path = |byte: &&u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'/' | b'\\' | b'-' | b'_' | b'.' | b'~' | b'@')
    };
    let length = rest.iter().take(200).take_while(in_path).count();
    let path = rest.get(..length).and_then(|path| std::str::from_utf8(path).ok());
    let path = path.unwrap_or_default().replace('\\', "");
    if path.starts_with('/') { path } else { "/".to_owned() }
}

/// Whether it is an address or a name of two labels, or `localhost`.
fn is_host(name: &str) -> bool {
    name.len() <= MAX_HOST_BYTES
        && !name.starts_with(['.', '-'])
        && !name.contains("..")
        && (name.contains('.') || name == "localhost")
}

/// A quoted host name without a scheme: `var cdn = "cdn.shop.example/js/"`.
/// Its last label must be a public suffix, or every file name were a host.
fn bare_name_at(html: &[u8], start: usize) -> Option<(String, usize)> {
    let rest = html.get(start..)?;
    if !rest.first()?.is_ascii_alphanumeric() {
        return None;
    }
    let length = rest.iter().take(MAX_HOST_BYTES + 1).take_while(|byte| in_host(**byte)).count();
    if !matches!(rest.get(length)?, b'"' | b'\'' | b'/' | b':') {
        return None;
    }
    let name = std::str::from_utf8(rest.get(..length)?).ok()?;
    if !is_host(name) || name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let suffix = psl::suffix(name.as_bytes())?;
    (suffix.is_known() && psl::domain_str(&name).is_some()).then_some((name, start + length))
}

/// Where the quoted texts begin that start with a name of several labels: a
/// single one has no public suffix. A dot leads to each, since there are far
/// fewer of them than of quotes.
fn quoted_with_dots(html: &[u8]) -> impl Iterator<Item = usize> {
    let mut read = 0;
    std::iter::from_fn(move || {
        loop {
            let unread = html.get(read..)?;
            let dot = memchr(b'.', unread)?;
            let (before, after) = unread.split_at_checked(dot)?;
            let back = before.iter().rev().take_while(|byte| in_host(**byte)).count();
            let start = read + dot - back;
            read += dot + after.iter().take_while(|byte| in_host(**byte)).count();
            let quote = start.checked_sub(1).and_then(|at| html.get(at));
            if matches!(quote, Some(b'"' | b'\'')) {
                return Some(start);
            }
        }
    })
}

/// The angle brackets before a place that moves forward.
#[derive(Default)]
struct Tags {
    read: usize,
    opens: Option<usize>,
    closes: Option<usize>,
}

impl Tags {
    /// Whether the address at `at` stands in a tag that only points somewhere.
    fn is_link(&mut self, html: &[u8], at: usize) -> bool {
        let from = at.saturating_sub(MAX_TAG_BYTES);
        let unread = from.max(self.read);
        let before = html.get(unread..at).unwrap_or_default();
        self.opens = memrchr(b'<', before).map(|open| unread + open).or(self.opens);
        self.closes = memrchr(b'>', before).map(|close| unread + close).or(self.closes);
        self.read = at;
        match self.opens.filter(|open| *open >= from && self.closes.is_none_or(|at| at < *open)) {
            Some(open) => html.get(open + 1..at).is_some_and(only_points),
            None => false,
        }
    }
}

/// Whether what a tag begins with makes it one that only points somewhere.
fn only_points(tag: &[u8]) -> bool {
    let length = tag.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    // `i<a.length` opens no tag.
    if !tag.get(length).is_some_and(u8::is_ascii_whitespace) {
        return false;
    }
    let name = tag.get(..length).unwrap_or_default().to_ascii_lowercase();
    matches!(
        name.as_slice(),
        b"a" | b"area"
            | b"meta"
            | b"link"
            | b"form"
            | b"base"
            | b"html"
            | b"body"
            | b"blockquote"
            | b"q"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(html: &str, expected: &[&str]) {
        let mut found: Vec<_> = authorities(html.as_bytes()).into_keys().collect();
        found.sort();
        assert_eq!(found, expected, "{html}");
    }

    #[test]
    fn hosts_are_found_however_code_writes_them() {
        check(
            r#"<script>load("https://CDN.shop.example:8443/x.js")</script>"#,
            &["cdn.shop.example:8443"],
        );
        check(r#"<script>x="https:\/\/a.example\/x"</script>"#, &["a.example"]);
        check(r#"<script>x="https:\u002f\u002fa.example\u002fx"</script>"#, &["a.example"]);
        check(
            r#"<script>x="//a.example:443/x";y='http://b.example:80'</script>"#,
            &["a.example", "b.example"],
        );
        check(r#"<script>h="cdn.shop.com";f="app.min.js";v="1.2.3"</script>"#, &["cdn.shop.com"]);
        check(r#"<div data-api="https://api.shop.com/v1">"#, &["api.shop.com"]);
        check(
            r#"<p a="x-1.shop.com" b='shop' c="y.shop.com"d='.shop.com' e=z.shop.com>"#,
            &["x-1.shop.com", "y.shop.com"],
        );
        check("<script>for(i=0;i<a.length;i++)go('//c.example/')</script>", &["c.example"]);
    }

    #[test]
    fn the_paths_come_along() {
        let named = authorities(
            br#"<script>a="//a.example/x/y.js?q";b="https:\/\/a.example:81\/z\/w"</script>"#,
        );
        assert!(named["a.example"].paths.contains("/x/y.js"), "{named:?}");
        let named_bare = authorities(br#"<script>h = p + "t.shop.com/ba.js?x"</script>"#);
        assert!(named_bare["t.shop.com"].paths.contains("/ba.js"), "{named_bare:?}");
        assert!(named["a.example:81"].paths.contains("/z/w"), "{named:?}");
    }

    #[test]
    fn a_link_is_no_load() {
        check(r#"<a class=x href="https://elsewhere.example/">//</a>"#, &[]);
        check(r#"<link rel=canonical href="https://elsewhere.example/">"#, &[]);
        check(r#"<meta property=og:url content="https://elsewhere.example/">"#, &[]);
        check("<p>see https://words.example/ for more</p>", &["words.example"]);
        check(
            "<a href=//a.example>//b.example<img src=//c.example><a x>",
            &["b.example", "c.example"],
        );
        let far = "x".repeat(MAX_TAG_BYTES);
        check(&format!("<a href='//a.example' x={far} y=//b.example>"), &["b.example"]);
    }

    #[test]
    fn what_is_no_host_is_not_taken_for_one() {
        check("<script>// comment\n//x\nhttp://\nhttps://..a.b/ \"//-x.y\"</script>", &[]);
        check("//", &[]);
        check("\\", &[]);
        check(&format!("//{}.example/", "a".repeat(300)), &[]);
    }
}
