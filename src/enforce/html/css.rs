//! Finds what a style sheet loads, and takes the blocked addresses out.

use crate::catalogue::Kind;

/// The CSS with every address replaced for which `blocked` says so, or `None`
/// when nothing is blocked. `blocked` gets an address as it is written: escapes
/// and all.
///
/// Addresses stand in `url(...)`, in `@import "..."` and in `image-set("...")`.
/// A blocked one becomes `data:,`, which loads nothing and leaves the rule in
/// place, so the fallbacks in it apply.
pub(super) fn without_blocked(
    css: &str,
    mut blocked: impl FnMut(&str, Kind) -> bool,
) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    let mut in_source = false;
    while let Some(found) = next_address(css, at) {
        let before = css.get(at..found.opens).unwrap_or_default();
        in_source = declares_source(before).unwrap_or(in_source);
        let kind = match found.import {
            true => Kind::Style,
            false if in_source => Kind::Font,
            false => Kind::Image,
        };
        if blocked(css.get(found.start..found.end).unwrap_or_default(), kind) {
            out.push_str(css.get(copied..found.start).unwrap_or_default());
            out.push_str("data:,");
            copied = found.end;
        }
        at = found.end.max(at + 1);
    }
    if copied == 0 {
        return None;
    }
    out.push_str(css.get(copied..).unwrap_or_default());
    Some(out)
}

/// Whether the last declaration that begins in `text` is the `src` of a font,
/// if one begins there.
fn declares_source(text: &str) -> Option<bool> {
    let start = text.rfind(['{', '}', ';'])? + 1;
    let name = text.get(start..)?.split(':').next()?;
    Some(name.trim().eq_ignore_ascii_case("src"))
}

struct Address {
    /// Where its `url(` or quote begins.
    opens: usize,
    start: usize,
    end: usize,
    /// Whether it is a style sheet rather than an image or font.
    import: bool,
}

/// The next address at or after `from`.
fn next_address(css: &str, from: usize) -> Option<Address> {
    let bytes = css.as_bytes();
    let mut at = from;
    while let Some(rest) = bytes.get(at..) {
        let step = rest.iter().position(|b| {
            matches!(b, b'u' | b'U' | b'\\' | b'@' | b'/' | b'i' | b'I' | b's' | b'S')
        })?;
        at += step;
        let here = bytes.get(at..)?;
        // With an escape, a word may begin with any letter.
        let is = |word: &str| {
            let may_be =
                here.first().zip(word.as_bytes().first()).is_some_and(|(first, letter)| {
                    *first == b'\\' || first.eq_ignore_ascii_case(letter)
                });
            may_be.then(|| keyword(here, word)).flatten()
        };
        if here.starts_with(b"/*") {
            at += 2 + memchr::memmem::find(here.get(2..)?, b"*/").map_or(here.len(), |end| end + 2);
        } else if let Some(open) = is("url(").or_else(|| is("src(")) {
            let import = is_import(bytes.get(..at)?);
            return Some(argument(css, at, at + open, import));
        } else if let Some(open) = is("@import") {
            let start = skip_space(bytes, at + open);
            if matches!(bytes.get(start), Some(b'"' | b'\'')) {
                return Some(argument(css, at, start, true));
            }
            at += open;
        } else if let Some(open) = is("image-set(") {
            let start = skip_space(bytes, at + open);
            if matches!(bytes.get(start), Some(b'"' | b'\'')) {
                return Some(argument(css, at, start, false));
            }
            at += open;
        } else {
            at += 1;
        }
    }
    None
}

/// How long `word` is here, in any case and with CSS escapes, if it is here.
fn keyword(text: &[u8], word: &str) -> Option<usize> {
    let mut at = 0;
    for expected in word.bytes() {
        let (byte, length) = one(text.get(at..)?)?;
        if !byte.eq_ignore_ascii_case(&expected) {
            return None;
        }
        at += length;
    }
    Some(at)
}

/// One character and how many bytes it is written with.
fn one(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'\\', rest @ ..] => {
            let digits = rest.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
            if digits == 0 {
                return rest.first().map(|byte| (*byte, 2));
            }
            let code = std::str::from_utf8(rest.get(..digits)?).ok()?;
            let code = u32::from_str_radix(code, 16).ok()?;
            let space = usize::from(rest.get(digits).is_some_and(u8::is_ascii_whitespace));
            Some((u8::try_from(code).unwrap_or(0xff), 1 + digits + space))
        }
        [byte, ..] => Some((*byte, 1)),
        [] => None,
    }
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// Whether what precedes an `url(` is `@import`.
fn is_import(before: &[u8]) -> bool {
    let trimmed = before.trim_ascii_end();
    trimmed.len() >= 7
        && trimmed
            .get(trimmed.len() - 7..)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"@import"))
}

/// The address that begins at `at`, quoted or not.
fn argument(css: &str, opens: usize, at: usize, import: bool) -> Address {
    let bytes = css.as_bytes();
    let start = skip_space(bytes, at);
    let (start, closes): (usize, fn(u8) -> bool) = match bytes.get(start) {
        Some(b'"') => (start + 1, |byte| byte == b'"' || byte == b'\n'),
        Some(b'\'') => (start + 1, |byte| byte == b'\'' || byte == b'\n'),
        _ => (start, |byte| byte == b')'),
    };
    let mut end = start;
    while let Some(byte) = bytes.get(end) {
        if closes(*byte) {
            break;
        }
        end += if *byte == b'\\' { 2 } else { 1 };
    }
    let mut end = end.min(css.len());
    while !css.is_char_boundary(end) {
        end += 1;
    }
    Address { opens, start, end, import }
}

/// The text with CSS escapes decoded.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let mut code = 0;
        let mut digits = 0;
        while digits < 6
            && let Some(digit) = chars.peek().and_then(|c| c.to_digit(16))
        {
            code = code * 16 + digit;
            digits += 1;
            chars.next();
        }
        if digits > 0 {
            out.extend(char::from_u32(code));
            chars.next_if(|c| c.is_ascii_whitespace());
        } else if let Some(c) = chars.next()
            && c != '\n'
        {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_blocked_addresses_are_taken_out_of_css() {
        let block = |address: &str, _| unescape(address).contains("ads.example");
        for (css, expected) in [
            ("a{background:url(//ads.example/p.gif)}", Some("a{background:url(data:,)}")),
            (
                "a{background:url( 'https://ads.example/p.gif' )}",
                Some("a{background:url( 'data:,' )}"),
            ),
            ("@import \"//ads.example/a.css\";b{}", Some("@import \"data:,\";b{}")),
            ("@IMPORT url(//ads.example/a.css) screen;", Some("@IMPORT url(data:,) screen;")),
            ("a{b:u\\72 l(//ads.example)}", Some("a{b:u\\72 l(data:,)}")),
            ("a{b:url(//\\61 ds.example/)}", Some("a{b:url(data:,)}")),
            ("a{b:url(/own.png)} /* url(//ads.example) */", None),
            (
                "a{b:url(//ads.example/1),url(x),url(//ads.example/2)}",
                Some("a{b:url(data:,),url(x),url(data:,)}"),
            ),
            ("a{b:url(//ads.example/", Some("a{b:url(data:,")),
            ("\u{fc} url(\"\\", None),
        ] {
            assert_eq!(without_blocked(css, block).as_deref(), expected, "{css}");
        }
    }
    #[test]
    fn a6_every_address_is_judged_as_what_it_is() {
        let mut seen = Vec::new();
        let css = "@import url(a.css);@import \"b.css\";@font-face{font-family:x;src:local(x),url(c.woff2) format('woff2'),\n \
            url(\"d.ttf\")}a{background:url(e.png),url(f.png);SRC : url(g.eot)}";
        assert_eq!(
            without_blocked(css, |address, kind| {
                seen.push(format!("{} {address}", kind.name()));
                false
            }),
            None
        );
        assert_eq!(
            seen,
            [
                "style a.css",
                "style b.css",
                "font c.woff2",
                "font d.ttf",
                "image e.png",
                "image f.png",
                "font g.eot"
            ]
        );
    }
}
