//! The ways in which consent tools write text into a cookie.

mod once;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::borrow::Cow;

pub(super) use once::each_key_once;

/// The text of a cookie, with one layer of percent-encoding taken off; `None`
/// when that is torn, or when it is no text.
pub(super) fn plain(value: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(value).ok()?;
    decoded(text)
}

/// The same for text that was already decoded once.
pub(super) fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    // The decoder leaves a torn `%4` as it is; here it means a torn cookie.
    let whole = text.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes().take(2);
        let is_digit = |digit: Option<u8>| digit.is_some_and(|digit| digit.is_ascii_hexdigit());
        is_digit(digits.next()) && is_digit(digits.next())
    });
    if !whole {
        return None;
    }
    percent_encoding::percent_decode_str(text).decode_utf8().ok()
}

/// The JSON in a cookie: as it is, percent-encoded once, or twice.
pub(in crate::consent) fn json(value: &[u8]) -> Option<Value> {
    let raw = std::str::from_utf8(value).ok()?;
    if let Some(found) = each_key_once(raw) {
        return Some(found);
    }
    let once = decoded(raw)?;
    if let Some(found) = each_key_once(&once) {
        return Some(found);
    }
    each_key_once(&decoded(&once)?)
}

/// The JSON in a cookie that is base64 in turn, of either alphabet.
pub(super) fn base64_json(value: &[u8]) -> Option<Value> {
    let text = plain(value)?;
    let text = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    each_key_once(std::str::from_utf8(&STANDARD_NO_PAD.decode(text).ok()?).ok()?)
}

/// `key<between>value` for each part of `text`; `None` when a part has no
/// value, or a key comes twice.
pub(super) fn pairs(text: &str, separator: char, between: char) -> Option<Vec<(&str, &str)>> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for part in text.split(separator).filter(|part| !part.is_empty()) {
        pairs.push(part.split_once(between)?);
    }
    let mut keys: Vec<_> = pairs.iter().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    keys.windows(2).all(|two| two.first() != two.last()).then_some(pairs)
}

/// The value of a key among pairs.
pub(super) fn value_of<'t>(pairs: &[(&'t str, &'t str)], key: &str) -> Option<&'t str> {
    pairs.iter().find(|(other, _)| *other == key).map(|(_, value)| *value)
}

/// Milliseconds since 1970, if that is what is written there.
pub(super) fn millis(text: &str) -> Option<u64> {
    (text.len() == 13).then(|| text.parse().ok()).flatten()
}

/// The same for a date as RFC 3339 writes it, with or without a time of day.
pub(super) fn date_millis(text: &str) -> Option<u64> {
    let time = if text.len() == "2025-06-01".len() {
        text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp()
    } else {
        text.parse::<Timestamp>().ok()?
    };
    let seconds = time.as_second();
    u64::try_from(seconds).ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d9_json_is_found_raw_encoded_once_or_twice_and_half_encoded() {
        let expected = serde_json::json!({"a b": true});
        for text in [
            "{\"a b\":true}",
            "%7B%22a%20b%22%3Atrue%7D",
            "%257B%2522a%2520b%2522%253Atrue%257D",
            "{%22a%20b%22:true}",
        ] {
            assert_eq!(json(text.as_bytes()), Some(expected.clone()), "{text}");
        }
        for text in ["{\"a\":tr", "%7B%22a%22%3Atrue%7", "%7B%22a%22%3At", "", "%", "%E9", "%zz"] {
            assert_eq!(json(text.as_bytes()), None, "{text}");
        }
        assert_eq!(json(b"\xff{}"), None);
        assert_eq!(json("[".repeat(8000).as_bytes()), None);
        assert_eq!(base64_json(b"eyJhIGIiOnRydWV9"), Some(expected.clone()));
        assert_eq!(base64_json(b"eyJhIGIiOnRydWV9%3D"), Some(expected));
        assert_eq!(base64_json(b"eyJhIGIiOnRydW"), None);
    }

    #[test]
    fn d9_a_date_is_one_with_its_time_or_without() {
        for (text, expected) in [
            ("2025-06-01T10:00:00.000Z", Some(1_748_772_000_000)),
            ("2025-06-01T12:00:00+02:00", Some(1_748_772_000_000)),
            ("2025-06-01", Some(1_748_736_000_000)),
            ("2025-06-01T10", None),
            ("1748772000000", None),
            ("1960-01-01", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(date_millis(text), expected, "{text}");
        }
    }

    #[test]
    fn a_key_that_comes_twice_makes_the_pairs_doubtful() {
        assert_eq!(pairs("a:1,b:2", ',', ':'), Some(vec![("a", "1"), ("b", "2")]));
        assert_eq!(pairs("a:1,a:2", ',', ':'), None);
        assert_eq!(pairs("a:1,b", ',', ':'), None);
    }
}
