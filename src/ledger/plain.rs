//! Makes text that strangers wrote harmless to show.

use std::borrow::Cow;
use std::fmt::Write;

/// Text for a terminal, a table or a page: what is no visible character is
/// spelled out (`\u{1b}`).
///
/// A page's author chooses what stands in the ledger, and must not be able to
/// clear the reader's screen, start a new line, or turn the reading direction
/// around to make one address look like another.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if is_hostile(char) {
            plain.extend(char.escape_unicode());
        } else {
            plain.push(char);
        }
    }
    Cow::Owned(plain)
}

/// Text for a cell of a table that somebody opens in a spreadsheet, which
/// would run what starts like a formula
/// (<https://owasp.org/www-community/attacks/CSV_Injection>).
#[must_use]
pub fn cell(cell: &str) -> Cow<'_, str> {
    let plain = text(cell);
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        Cow::Owned(format!("'{plain}"))
    } else {
        plain
    }
}

/// A JSON document, the same by value, that is harmless to show as it is.
/// JSON itself leaves all but the oldest control characters alone.
#[must_use]
pub fn json(document: &str) -> Cow<'_, str> {
    if !document.contains(is_hostile) {
        return Cow::Borrowed(document);
    }
    let mut plain = String::with_capacity(document.len() + 8);
    for char in document.chars() {
        if is_hostile(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                write!(plain, "\\u{unit:04x}").ok();
            }
        } else {
            plain.push(char);
        }
    }
    Cow::Owned(plain)
}

/// Control characters (escape sequences and line ends among them), marks that
/// reorder text, characters that nobody sees, and line separators.
fn is_hostile(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_invisible_reaches_the_reader() {
        for (hostile, shown) in [
            ("plain /ü", "plain /ü"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\u{202e}cod.exe", "a\\u{202e}cod.exe"),
            ("a\nb\tc\u{9b}2J", "a\\u{a}b\\u{9}c\\u{9b}2J"),
            ("\u{2066}x\u{2069}\u{200f}", "\\u{2066}x\\u{2069}\\u{200f}"),
        ] {
            assert_eq!(text(hostile), shown);
        }
    }

    #[test]
    fn a_cell_is_never_a_formula() {
        for (hostile, shown) in [
            ("=cmd()", "'=cmd()"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\t=x", "'\\u{9}=x"),
            ("\r=x", "'\\u{d}=x"),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(cell(hostile), shown);
        }
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let hostile = "\u{1b}\u{7f}\u{9b}\u{202e}\u{e0041}\\\"";
        let shown = serde_json::to_string(hostile).unwrap();
        let shown = json(&shown);
        assert!(!shown.contains(is_hostile), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), hostile);
    }
}
