//! The number that says what exactly a visitor agreed to.
//!
//! A "yes" covers the question that was asked: these words, these purposes,
//! these vendors. Another question has another number, and what was granted
//! under the old one is asked for again. A "no" is a "no" to every question.

use crate::notice::language::Languages;
use crate::notice::texts::mark;
use crate::purpose::Purpose;

/// Raised when a built-in text changes what visitors agree to; not for a
/// mended spelling.
pub const TEXTS_REVISION: u32 = 1;

/// The revision of a site's notice: the operator's own number, as long as
/// nothing else is theirs, and else one that stands for all of it together.
///
/// Numbers of the second kind begin at 2^31, so none of the first kind is
/// mistaken for one.
#[must_use]
pub fn revision(configured: u32, languages: &Languages, vendors: &[String]) -> u32 {
    let own: Vec<_> = languages.own().map(|texts| (&texts.lang, texts.question())).collect();
    if own.is_empty() && vendors.is_empty() && TEXTS_REVISION == 1 {
        return configured;
    }
    let purposes = Purpose::OPTIONAL.map(Purpose::name);
    let asked = serde_json::json!([configured, TEXTS_REVISION, own, purposes, vendors]);
    mark(&asked.to_string()) | (1 << 31)
}

/// The revision of several notices with one answer.
#[must_use]
pub fn revision_of_all(revisions: &[u32]) -> u32 {
    let mut sorted = revisions.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    match sorted.as_slice() {
        [one] => *one,
        several => mark(&format!("{several:?}")) | (1 << 31),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the built-in texts ask, in all languages.
    const ASKED: &str = "39d9275e";

    #[test]
    fn e10_a_built_in_text_that_asks_something_else_raises_the_revision() {
        let languages = Languages::built_in();
        let asked: Vec<_> = languages.all().map(|texts| texts.question()).collect();
        let asked = format!("{:08x}", mark(&asked.join("\n")));
        assert_eq!(
            (TEXTS_REVISION, asked.as_str()),
            (1, ASKED),
            "a text that visitors agree to has changed. If its meaning has, raise TEXTS_REVISION: everybody \
             who agreed to the old one is asked again. Then write the new mark here"
        );
    }

    fn with(texts: &str) -> Languages {
        let mut languages = Languages::built_in();
        languages.add("own.toml", texts).unwrap();
        languages
    }

    #[test]
    fn e10_another_question_has_another_number() {
        let built_in = Languages::built_in();
        let none: [String; 0] = [];
        let acme = ["acme".to_owned()];
        let both = ["acme".to_owned(), "beta".to_owned()];
        let asks = with("lang = 'de'\nask = 'Darf {operator} das?'");
        let purpose = with("lang = 'de'\n[marketing]\nabout = 'Alles andere.'");
        let numbers = [
            revision(1, &built_in, &none),
            revision(2, &built_in, &none),
            revision(1, &built_in, &acme),
            revision(1, &built_in, &both),
            revision(1, &asks, &none),
            revision(2, &asks, &none),
            revision(1, &purpose, &none),
            revision(1, &asks, &acme),
        ];
        assert_eq!(numbers[..2], [1, 2]);
        assert!(numbers[2..].iter().all(|number| *number >= 1 << 31));
        for (at, number) in numbers.iter().enumerate() {
            assert!(!numbers[at + 1..].contains(number), "{numbers:?}");
        }
        // The same question keeps its number, from start to start and machine to machine.
        assert_eq!(
            numbers[4],
            revision(1, &with("lang = 'de'\nask = 'Darf {operator} das?'"), &none)
        );
    }

    #[test]
    fn e10_words_that_nobody_agrees_to_ask_nobody_again() {
        let other =
            with("lang = 'de'\nback = 'Weiter'\nunknown = 'Nichts hier.'\nmethod = 'So nicht.'");
        assert_eq!(revision(1, &other, &[]), 1);
    }
}
