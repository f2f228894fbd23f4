//! How figures, times and verdicts look on every page.

use crate::ledger::plain;

use maud::{Markup, html};

/// A number to read: `12 345`.
pub(super) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    if number < 0 {
        text.push('\u{2212}');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A share in whole percent, or in words where that would mislead.
pub(super) fn share(part: i64, all: i64) -> String {
    if all <= 0 {
        return "\u{2013}".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "a share is shown in whole percent")]
    let percent = part as f64 * 100.0 / all as f64;
    match percent {
        _ if part == 0 => "0 %".to_owned(),
        _ if part == all => "100 %".to_owned(),
        percent if percent < 1.0 => "under 1 %".to_owned(),
        percent if percent > 99.0 => "over 99 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

/// One thing, or several: `1 page view`, `12 page views`.
pub(super) fn count(count: i64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// A moment in UTC, for people and for programs.
pub(super) fn moment(time_ms: i64) -> Markup {
    let Ok(time) = jiff::Timestamp::from_millisecond(time_ms) else {
        return html! { "unknown" };
    };
    html! {
        time datetime=(time.strftime("%Y-%m-%dT%H:%M:%SZ")) { (time.strftime("%Y-%m-%d %H:%M:%S")) }
    }
}

/// The day of a moment in UTC.
pub(super) fn day(time_ms: i64) -> Markup {
    let Ok(time) = jiff::Timestamp::from_millisecond(time_ms) else {
        return html! { "unknown" };
    };
    let day = time.strftime("%Y-%m-%d");
    html! { time datetime=(day) { (day) } }
}

/// A verdict: a word and a colour, never the colour alone.
pub(super) fn verdict(word: &str, mode: &str) -> Markup {
    match (word, mode) {
        ("block", "observe") | ("would block", _) => {
            html! { span.tag.open { "would be held back" } }
        }
        ("block", _) => html! { span.tag.block { "held back" } },
        _ => html! { span.tag.allow { "let through" } },
    }
}

/// A name that strangers wrote, harmless and whole.
pub(super) fn name(text: &str) -> Markup {
    html! { (plain::text(text)) }
}

/// A vendor's name, or that nobody knows.
pub(super) fn vendor(name: &str) -> Markup {
    if name.is_empty() {
        return html! { em { "nobody known" } };
    }
    self::name(name)
}

/// A consent class in words.
pub(super) fn class(class: &str) -> String {
    if class == "d" {
        return "nothing beyond the necessary".to_owned();
    }
    let words: Vec<&str> = class
        .chars()
        .map(|letter| match letter {
            'f' => "functional",
            'a' => "analytics",
            'p' => "personalization",
            'm' => "marketing",
            _ => "?",
        })
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(number(-1000), "\u{2212}1\u{202f}000");
        assert_eq!(number(i64::MIN).chars().filter(char::is_ascii_digit).count(), 19);
    }

    #[test]
    fn shares_do_not_hide_the_few() {
        let shown =
            [(0, 0), (0, 5), (5, 5), (1, 1000), (999, 1000), (1, 3)].map(|(a, b)| share(a, b));
        assert_eq!(shown, ["\u{2013}", "0 %", "100 %", "under 1 %", "over 99 %", "33 %"]);
    }
}
