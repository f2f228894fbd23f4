//! Finds the encoding of a page the way a browser does.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// How many bytes browsers search for a `<meta charset>` (WHATWG HTML,
/// "prescan a byte stream to determine its encoding").
pub(super) const PRESCAN_BYTES: usize = 1024;

/// The encoding of a page, by byte order mark, then `Content-Type`, then
/// `<meta charset>` near its beginning. An unknown label counts as none, as in
/// browsers; with none at all, every encoding that browsers fall back to is
/// ASCII-compatible, so windows-1252 stands for them all: it keeps every byte.
#[must_use]
pub fn charset_of(content_type: Option<&str>, start: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(start) {
        return encoding;
    }
    if let Some(encoding) = content_type.and_then(header_charset) {
        return encoding;
    }
    let window = start.get(..PRESCAN_BYTES.min(start.len())).unwrap_or_default();
    match meta_charset(window) {
        // The bytes were just read as ASCII, so it cannot be true.
        Some(encoding) if encoding == UTF_16BE || encoding == UTF_16LE => UTF_8,
        Some(encoding) => encoding,
        None => WINDOWS_1252,
    }
}

/// Whether the beginning of a page says its encoding, whatever comes behind it.
pub(super) fn is_told(start: &[u8]) -> bool {
    let tags = memchr::memrchr(b'>', start).map_or(0, |at| at + 1);
    Encoding::for_bom(start).is_some()
        || start.get(..tags).is_some_and(|tags| meta_charset(tags).is_some())
}

/// The charset parameter of a `Content-Type`.
pub(super) fn header_charset(content_type: &str) -> Option<&'static Encoding> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("charset") {
            return None;
        }
        Encoding::for_label(value.trim().trim_matches(['"', '\'']).as_bytes())
    })
}

fn meta_charset(start: &[u8]) -> Option<&'static Encoding> {
    let lower = start.to_ascii_lowercase();
    let mut rest: &[u8] = &lower;
    while let Some(at) = memchr::memchr(b'<', rest) {
        rest = rest.get(at..)?;
        if rest.starts_with(b"<!--") {
            let end = memchr::memmem::find(rest.get(2..)?, b"-->")?;
            rest = rest.get(end + 4..)?;
        } else if rest.starts_with(b"<meta")
            && rest.get(5).is_some_and(|b| b.is_ascii_whitespace() || *b == b'/')
        {
            let end = memchr::memchr(b'>', rest).unwrap_or(rest.len());
            if let Some(encoding) = charset_in(rest.get(..end)?) {
                return Some(encoding);
            }
            rest = rest.get(end..)?;
        } else {
            rest = rest.get(1..)?;
        }
    }
    None
}

fn charset_in(tag: &[u8]) -> Option<&'static Encoding> {
    let mut rest = tag;
    while let Some(at) = memchr::memmem::find(rest, b"charset") {
        rest = rest.get(at + 7..)?;
        let value = rest.trim_ascii_start();
        let Some(value) = value.strip_prefix(b"=") else { continue };
        let value = value.trim_ascii_start();
        let value = value.strip_prefix(b"\"").or_else(|| value.strip_prefix(b"'")).unwrap_or(value);
        let end = value
            .iter()
            .position(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b';' | b'>' | b'/'))
            .unwrap_or(value.len());
        return Encoding::for_label(value.get(..end)?);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_in_the_encoding_a_browser_would_take() {
        for (content_type, start, expected) in [
            (None, &b"\xef\xbb\xbf<p>"[..], "UTF-8"),
            (Some("text/html; charset=utf-8"), b"\xff\xfe<", "UTF-16LE"),
            (Some("text/html; Charset=\"Shift_JIS\""), b"<meta charset=utf-8>", "Shift_JIS"),
            (Some("text/html; charset=klingon"), b"<meta charset=koi8-r>", "KOI8-R"),
            (Some("text/html; charset=klingon"), b"<p>", "windows-1252"),
            (None, b"<!-- <meta charset=koi8-r> --><meta charset='utf-8'>", "UTF-8"),
            (None, b"<META http-equiv=Content-Type content='text/html; charset=gbk'>", "GBK"),
            (None, b"<meta charset=utf-16>", "UTF-8"),
            (None, b"<metadata charset=gbk>", "windows-1252"),
            (Some("text/html; charset=utf-7"), b"", "windows-1252"),
            (Some("text/html; charset=iso-2022-kr"), b"", "replacement"),
        ] {
            assert_eq!(charset_of(content_type, start).name(), expected, "{content_type:?}");
        }
    }
}
