//! Reads addresses out of attributes the way a browser does.

use encoding_rs::{Encoding, WINDOWS_1252};
use memchr::memchr;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use url::Url;

/// What the page's author wrote.
///
/// The rewriter tokenizes every page as windows-1252, which maps all 256 bytes
/// to characters and back, so nothing is lost on the way through; here those
/// bytes are read in the page's real encoding.
pub(super) fn text<'r>(raw: &'r str, encoding: &'static Encoding) -> Cow<'r, str> {
    if raw.is_ascii() {
        return Cow::Borrowed(raw);
    }
    let (bytes, _, _) = WINDOWS_1252.encode(raw);
    let (text, _) = encoding.decode_without_bom_handling(&bytes);
    Cow::Owned(text.into_owned())
}

/// An attribute's value as the browser sees it, character references decoded.
pub(super) fn attribute_text<'r>(raw: &'r str, encoding: &'static Encoding) -> Cow<'r, str> {
    let decoded = text(raw, encoding);
    if memchr(b'&', decoded.as_bytes()).is_some() {
        htmlize::unescape_attribute(decoded)
    } else {
        decoded
    }
}

/// The candidates of a `srcset`: addresses, without their widths. An address
/// may hold commas, so only white space ends it; a comma at its end does not
/// belong to it (WHATWG HTML, "parse a srcset attribute").
pub(super) fn srcset_addresses(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            return found;
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (address, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let trimmed = address.trim_end_matches(',');
        found.push(trimmed);
        if trimmed.len() < address.len() {
            rest = tail;
            continue;
        }
        // Descriptors, which may hold commas in parentheses; those do not nest.
        let mut in_parentheses = false;
        let end = tail.find(|c: char| {
            match c {
                '(' => in_parentheses = true,
                ')' => in_parentheses = false,
                _ => {}
            }
            c == ',' && !in_parentheses
        });
        rest = end.and_then(|end| tail.get(end..)).unwrap_or("");
    }
}

/// The address in a refresh, as `<meta http-equiv=refresh>` and the `Refresh`
/// header write it: `5; url='/next'`.
pub(crate) fn refresh_address(text: &str) -> Option<&str> {
    let rest = text.trim_start().trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let rest = rest.trim_start().strip_prefix([';', ','])?.trim_start();
    let rest = match rest.get(..3) {
        Some(head) if head.eq_ignore_ascii_case("url") => {
            let after = rest.get(3..)?.trim_start();
            after.strip_prefix('=').map_or(rest, str::trim_start)
        }
        _ => rest,
    };
    match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => rest.get(1..)?.split(quote).next(),
        _ => Some(rest.trim_end()),
    }
}

/// What stands in an address that carries its own content.
pub(super) enum Carried {
    /// A document.
    Document(Vec<u8>),
    /// Code.
    Code(Vec<u8>),
    /// A style sheet.
    Style(Vec<u8>),
}

/// The content of `data:` and `javascript:` addresses.
pub(super) fn carried(url: &Url) -> Option<Carried> {
    let body = || percent_decode_str(url.as_str().split_once(':').map_or("", |(_, rest)| rest));
    match url.scheme() {
        "javascript" => Some(Carried::Code(body().collect())),
        "data" => {
            let (head, data) = url.as_str().strip_prefix("data:")?.split_once(',')?;
            let bytes: Vec<u8> = percent_decode_str(data).collect();
            let head = head.to_ascii_lowercase();
            let (kind, bytes) = match head.strip_suffix(";base64") {
                Some(kind) => (kind, decode_base64(&bytes)?),
                None => (head.as_str(), bytes),
            };
            let kind = kind.split(';').next().unwrap_or_default().trim();
            if kind.contains("javascript") || kind.contains("ecmascript") {
                Some(Carried::Code(bytes))
            } else if kind == "text/css" {
                Some(Carried::Style(bytes))
            } else if kind.starts_with("image/") && !kind.starts_with("image/svg") {
                None
            } else if kind.contains("html") || kind.contains("xml") || kind.contains("svg") {
                Some(Carried::Document(bytes))
            } else {
                None
            }
        }
        _ => None,
    }
}

fn decode_base64(bytes: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine;
    use base64::alphabet::STANDARD;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let forgiving = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let compact: Vec<u8> = bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    forgiving.decode(compact).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_srcset_is_taken_apart_as_browsers_do() {
        for (text, expected) in [
            ("a.png", &["a.png"][..]),
            ("a.png 1x, b.png 2x", &["a.png", "b.png"]),
            (" , a,b.png 1x,c.png", &["a,b.png", "c.png"]),
            ("a.png, b.png", &["a.png", "b.png"]),
            ("data:image/gif;base64,AA== 1x, b 2x", &["data:image/gif;base64,AA==", "b"]),
            ("a 1x (x, y) 2x, b", &["a", "b"]),
            ("", &[]),
        ] {
            assert_eq!(srcset_addresses(text), expected, "{text}");
        }
    }

    #[test]
    fn a_refresh_names_its_address() {
        for (text, expected) in [
            ("0;url=/x", Some("/x")),
            ("5; URL = 'https://x/'", Some("https://x/")),
            ("1,/y", Some("/y")),
            ("3", None),
            ("0; \"/z\" junk", Some("/z")),
        ] {
            assert_eq!(refresh_address(text), expected, "{text}");
        }
    }

    #[test]
    fn bytes_survive_and_references_are_decoded() {
        let shift_jis = encoding_rs::SHIFT_JIS;
        let (bytes, _, _) = shift_jis.encode("https://例え.example/&#x61;&period;&amp;x");
        let (raw, _) = WINDOWS_1252.decode_without_bom_handling(&bytes);
        assert_eq!(attribute_text(&raw, shift_jis), "https://例え.example/a.&x");
        assert_eq!(attribute_text("/?a=1&copy=2", encoding_rs::UTF_8), "/?a=1&copy=2");
    }
}
