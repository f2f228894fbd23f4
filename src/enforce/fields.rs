//! Takes header fields and queries apart without disturbing what stays.

use http::HeaderValue;
use std::borrow::Cow;

/// What a field or a part of it says. Bytes that are no UTF-8 are a character
/// each, as browsers read them, so that none of them hides an address or a name.
pub(super) fn text_of(field: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(field) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => field.iter().copied().map(char::from).collect(),
    }
}

/// A part of what `field` says as a field of its own, in the same bytes.
pub(super) fn field_of(text: &str, field: &[u8]) -> Option<HeaderValue> {
    if std::str::from_utf8(field).is_ok() {
        return HeaderValue::from_bytes(text.as_bytes()).ok();
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    HeaderValue::from_bytes(&bytes?).ok()
}

/// The cookies of a `Cookie` field as sent, and the name of each.
pub(super) fn cookie_pairs(field: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()).map(
        |pair| {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            (pair, bare(name))
        },
    )
}

/// The cookie name of a `Set-Cookie` field.
pub(super) fn set_cookie_name(field: &[u8]) -> &[u8] {
    let pair = field.split(|byte| *byte == b';').next().unwrap_or_default();
    bare(pair.split(|byte| *byte == b'=').next().unwrap_or_default())
}

/// A name without what anybody takes for white space around it: some servers
/// read bytes as Latin-1 and strip its no-break space, too.
fn bare(name: &[u8]) -> &[u8] {
    if let Ok(text) = std::str::from_utf8(name) {
        return text.trim().as_bytes();
    }
    let mut name = name;
    while let [first, rest @ ..] = name
        && char::from(*first).is_whitespace()
    {
        name = rest;
    }
    while let [rest @ .., last] = name
        && char::from(*last).is_whitespace()
    {
        name = rest;
    }
    name
}

/// The query without the parameters for which `goes` says so, every other byte
/// as it was; `None` when nothing goes.
pub(super) fn filter_query(query: &str, mut goes: impl FnMut(&str) -> bool) -> Option<String> {
    let mut kept = Vec::new();
    let mut changed = false;
    for pair in query.split('&') {
        let name = pair.split('=').next().unwrap_or_default();
        let name = percent_encoding::percent_decode_str(name).decode_utf8();
        if name.is_ok_and(|name| !name.is_empty() && goes(&name)) {
            changed = true;
        } else {
            kept.push(pair);
        }
    }
    changed.then(|| kept.join("&"))
}

/// The members of a comma-separated field; commas in quotes and in `<...>`
/// separate nothing.
pub(super) fn list_members(field: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let (mut start, mut quoted, mut angled, mut escaped) = (0, false, false, false);
    for (at, c) in field.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if !angled => quoted = !quoted,
            '<' if !quoted => angled = true,
            '>' if !quoted => angled = false,
            ',' if !quoted && !angled => {
                members.push(field.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    members.push(field.get(start..).unwrap_or_default().trim());
    members.retain(|member| !member.is_empty());
    members
}

/// A parameter of a `Link` member, unquoted: `rel` of `<x>; rel="preload"`.
pub(super) fn member_parameter<'m>(member: &'m str, name: &str) -> Option<&'m str> {
    let after = member.split_once('>').map_or(member, |(_, after)| after);
    after.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_read_and_written_one_by_one() {
        for (field, part, expected) in [
            (&b"a\xe9, b"[..], "a\u{e9}", &b"a\xe9"[..]),
            ("a\u{e9}, b".as_bytes(), "a\u{e9}", "a\u{e9}".as_bytes()),
            (b"\xff\xfe", "\u{ff}", b"\xff"),
        ] {
            assert!(text_of(field).starts_with(part), "{}", field.escape_ascii());
            assert_eq!(field_of(part, field).unwrap().as_bytes(), expected);
        }
        assert_eq!(field_of("\u{141}", b"\xff"), None);
    }

    #[test]
    fn c1_no_white_space_of_anybodys_hides_a_cookies_name() {
        for field in [
            &b"a=1; _acme=2"[..],
            b"\xa0_acme\x85 =2",
            b";;\xa0 _acme;;",
            "\u{a0}_acme\u{3000}=2".as_bytes(),
        ] {
            let names: Vec<_> = cookie_pairs(field).map(|(_, name)| name).collect();
            assert_eq!(*names.last().unwrap(), b"_acme", "{}", field.escape_ascii());
        }
        assert_eq!(set_cookie_name(b"\xa0_acme=1; path=/"), b"_acme");
        assert_eq!(set_cookie_name("caf\u{e9}\u{e0}=1".as_bytes()), "caf\u{e9}\u{e0}".as_bytes());
        assert_eq!(cookie_pairs(b"\xa0=1").next(), Some((&b"\xa0=1"[..], &b""[..])));
    }

    #[test]
    fn c6_only_the_named_parameters_go() {
        let goes = |name: &str| name == "gclid";
        for (query, expected) in [
            ("a=1&gclid=x&b=%20+&b", Some("a=1&b=%20+&b")),
            ("gclid=x", Some("")),
            ("g%63lid=x&a", Some("a")),
            ("a=gclid&&x", None),
            ("gclidx=1", None),
        ] {
            assert_eq!(filter_query(query, goes).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn links_are_told_apart() {
        let field =
            r#"<https://a.example/x,y>; rel="preload", </b>;rel=preconnect; title="a, \"b"  ,,"#;
        let members = list_members(field);
        assert_eq!(members.len(), 2);
        assert_eq!(member_parameter(members[0], "REL"), Some("preload"));
        assert_eq!(member_parameter(members[1], "rel"), Some("preconnect"));
    }
}
