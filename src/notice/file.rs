//! Reads a file of texts: a built-in one, or one that an operator wrote.

use crate::mistake::{Mistake, closest, parse};
use crate::notice::texts::Texts;

use std::collections::BTreeSet;
use toml::Value;
use toml::de::{DeTable, DeValue};

/// A text nobody reads to its end.
const MAX_CHARS: usize = 2000;

/// Reads an operator's file. What it leaves out of a language that `known`
/// finds is taken from there; a new language has to be whole, in the shape of
/// `pattern`.
///
/// # Errors
/// All mistakes found.
pub(super) fn read<'k>(
    file: &str,
    text: &str,
    pattern: &Texts,
    known: impl Fn(&str) -> Option<&'k Texts>,
) -> Result<Texts, Vec<Mistake>> {
    let written: DeTable<'_> = parse_table(file, text).map_err(|mistake| vec![mistake])?;
    let lang = language(file, text, &written)?;
    let pattern = table(pattern);
    let mut merged = known(&lang).map(table).unwrap_or_default();
    let mut found = Reading { file, text, mistakes: Vec::new() };
    found.take(&written, &pattern, &mut merged);
    let missing = missing(&pattern, &merged, "");
    if !missing.is_empty() {
        let named: Vec<_> = missing.iter().take(5).map(|key| format!("`{key}`")).collect();
        let more = if missing.len() > named.len() { " and more" } else { "" };
        found.mistakes.push(
            Mistake::in_file(
                file,
                format!(
                    "the language `{lang}` is not built in, and the file lacks {}{more}",
                    named.join(", ")
                ),
            )
            .advise("a new language needs every text: start from a copy of config/texts/en.toml"),
        );
    }
    if !found.mistakes.is_empty() {
        return Err(found.mistakes);
    }
    merged.insert("lang".to_owned(), Value::String(lang));
    of_table(file, merged).map_err(|mistake| vec![mistake])
}

/// Reads a whole file, as the built-in ones are.
pub(super) fn whole(file: &str, text: &str) -> Result<Texts, Mistake> {
    of_table(file, parse(file, text)?)
}

/// The only place that makes texts: what reads a hundred fields from one more
/// kind of source is 200 KB of code.
fn of_table(file: &str, table: toml::Table) -> Result<Texts, Mistake> {
    let texts = Value::Table(table).try_into::<Texts>().map(Texts::marked);
    texts.map_err(|error| Mistake::in_file(file, error.message().to_owned()))
}

fn parse_table<'t>(file: &str, text: &'t str) -> Result<DeTable<'t>, Mistake> {
    DeTable::parse(text).map(toml::Spanned::into_inner).map_err(|error| {
        let message = error.message().trim().to_owned();
        match error.span() {
            Some(span) => Mistake::at(file, text, span.start, message),
            None => Mistake::in_file(file, message),
        }
    })
}

fn language(file: &str, text: &str, written: &DeTable<'_>) -> Result<String, Vec<Mistake>> {
    let Some(value) = written.get("lang") else {
        let mistake = Mistake::in_file(file, "it does not say which language it is");
        return Err(vec![mistake.advise("add a line such as lang = \"de\"")]);
    };
    let tag = value.get_ref().as_str().unwrap_or_default();
    if is_tag(tag) {
        return Ok(tag.to_owned());
    }
    let mistake = Mistake::at(file, text, value.span().start, "this names no language");
    Err(vec![mistake.advise("write it as a browser does, such as \"de\" or \"pt-BR\"")])
}

/// Whether it has the shape of a language tag (RFC 5646).
pub(super) fn is_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or_default();
    let is_word = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    (2..=8).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(is_word)
        && tag.len() <= 35
}

fn table(texts: &Texts) -> toml::Table {
    toml::Table::try_from(texts).unwrap_or_default()
}

fn missing(pattern: &toml::Table, merged: &toml::Table, section: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in pattern {
        match (value, merged.get(key)) {
            (Value::Table(pattern), Some(Value::Table(merged))) => {
                keys.extend(missing(pattern, merged, &format!("{key}.")));
            }
            (_, Some(_)) => {}
            (_, None) if key == "lang" => {}
            (_, None) => keys.push(format!("{section}{key}")),
        }
    }
    keys
}

struct Reading<'t> {
    file: &'t str,
    text: &'t str,
    mistakes: Vec<Mistake>,
}

impl Reading<'_> {
    /// Puts what is written over what is there, one text at a time.
    fn take(&mut self, written: &DeTable<'_>, pattern: &toml::Table, into: &mut toml::Table) {
        for (key, value) in written {
            let name = key.get_ref().as_ref();
            let (Some(like), offset) = (pattern.get(name), key.span().start) else {
                let meant = closest(name, pattern.keys().map(String::as_str));
                let advice = meant.map_or_else(
                    || "config/texts/en.toml has every text there is".to_owned(),
                    |meant| format!("did you mean `{meant}`?"),
                );
                self.wrong(key.span().start, format!("no text is called `{name}`"), &advice);
                continue;
            };
            match (like, value.get_ref()) {
                (Value::Table(pattern), DeValue::Table(written)) => {
                    let section =
                        into.entry(name).or_insert_with(|| Value::Table(toml::Table::new()));
                    if let Value::Table(section) = section {
                        self.take(written, pattern, section);
                    }
                }
                (Value::String(_), DeValue::String(text)) if name == "dir" => {
                    if !matches!(text.as_ref(), "ltr" | "rtl") {
                        self.wrong(
                            value.span().start,
                            format!("`{text}` is no direction"),
                            "write \"ltr\" or \"rtl\"",
                        );
                    }
                    into.insert(name.to_owned(), Value::String(text.to_string()));
                }
                (Value::String(like), DeValue::String(text)) => {
                    self.check(value.span().start, text, like);
                    into.insert(name.to_owned(), Value::String(text.to_string()));
                }
                (Value::Table(_), _) => {
                    let advice =
                        format!("write `[{name}]` on a line of its own, and its texts below");
                    self.wrong(offset, format!("`{name}` is a section"), &advice);
                }
                (_, _) => {
                    self.wrong(
                        value.span().start,
                        format!("`{name}` is a text"),
                        "put it in quotation marks",
                    );
                }
            }
        }
    }

    fn check(&mut self, offset: usize, text: &str, like: &str) {
        if text.trim().is_empty() {
            self.wrong(
                offset,
                "a text with no words",
                "leave the line out to keep the built-in text",
            );
        }
        if text.chars().count() > MAX_CHARS || text.chars().any(char::is_control) {
            let message = format!("a text has up to {MAX_CHARS} characters, all of them visible");
            self.wrong(offset, message, "shorten it, and write it on one line");
        }
        let (has, needs) = (placeholders(text), placeholders(like));
        for word in has.difference(&needs) {
            let advice = match needs.is_empty() {
                true => "nothing is filled in here".to_owned(),
                false => format!("what is filled in here is {}", listed(&needs)),
            };
            self.wrong(offset, format!("`{{{word}}}` stands for nothing in this text"), &advice);
        }
        // Operators may well write their own name.
        for word in needs.difference(&has).filter(|word| **word != "operator") {
            let message = format!("`{{{word}}}` is missing in this text");
            self.wrong(offset, message, "visitors would not see what is filled in there");
        }
    }

    fn wrong(&mut self, offset: usize, message: impl Into<String>, advice: &str) {
        self.mistakes.push(Mistake::at(self.file, self.text, offset, message).advise(advice));
    }
}

fn listed(words: &BTreeSet<&str>) -> String {
    words.iter().map(|word| format!("`{{{word}}}`")).collect::<Vec<_>>().join(", ")
}

/// The words in braces.
pub(super) fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Languages;

    fn mistakes(text: &str) -> Vec<String> {
        let mut languages = Languages::built_in();
        match languages.add("my.toml", text) {
            Ok(()) => Vec::new(),
            Err(mistakes) => mistakes
                .iter()
                .map(|mistake| format!("{}:{}: {}", mistake.file, mistake.line, mistake.message))
                .collect(),
        }
    }

    #[test]
    fn e9_a_mistake_in_a_text_file_says_where_it_is_and_what_to_do() {
        for (text, expected) in [
            ("title = 'x'", "my.toml:0: it does not say which language it is"),
            ("lang = 'German, please'", "my.toml:1: this names no language"),
            ("lang = 1", "my.toml:1: this names no language"),
            ("lang = 'de'\ntitel = 'x'", "my.toml:2: no text is called `titel`"),
            ("lang = 'de'\n\nask = ' '", "my.toml:3: a text with no words"),
            ("lang = 'de'\nask = 1", "my.toml:2: `ask` is a text"),
            ("lang = 'de'\nask = 'a\\u0000b", "my.toml:2: "),
            (
                "lang = 'de'\nask = '{shop} asks'",
                "my.toml:2: `{shop}` stands for nothing in this text",
            ),
            (
                "lang = 'de'\nsave = '{operator}'",
                "my.toml:2: `{operator}` stands for nothing in this text",
            ),
            ("lang = 'de'\nyou_chose_on = 'x'", "my.toml:2: `{time}` is missing in this text"),
            ("lang = 'de'\ndir = 'up'", "my.toml:2: `up` is no direction"),
            ("lang = 'de'\nmarketing = 'x'", "my.toml:2: `marketing` is a section"),
            ("lang = 'de'\n[marketing]\nnames = 'x'", "my.toml:3: no text is called `names`"),
            (
                "lang = 'da'\ntitle = 'x'",
                "my.toml:0: the language `da` is not built in, and the file lacks",
            ),
        ] {
            let found = mistakes(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with(expected), "{text}: {found:?}");
        }
        let long = format!("lang = 'de'\nask = '{}'", "x".repeat(MAX_CHARS + 1));
        assert!(mistakes(&long)[0].starts_with("my.toml:2: a text has up to 2000 characters"));
        // All of them at once.
        assert_eq!(mistakes("lang = 'de'\na = 'x'\nb = 'x'").len(), 2);
    }

    #[test]
    fn e9_a_misspelt_text_comes_with_the_right_name() {
        let mut languages = Languages::built_in();
        let found = languages.add("my.toml", "lang = 'de'\nrefuse_al = 'Nein'").unwrap_err();
        assert!(found[0].to_string().ends_with("did you mean `refuse_all`?"), "{}", found[0]);
    }

    #[test]
    fn a_language_tag_has_no_room_for_anything_else() {
        for (tag, fits) in [
            ("de", true),
            ("pt-BR", true),
            ("zh-Hant-TW", true),
            ("d", false),
            ("", false),
            ("de_AT", false),
            ("de-", false),
            ("de\"><script>", false),
            ("de-abcdefghi", false),
            ("aa-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa", false),
        ] {
            assert_eq!(is_tag(tag), fits, "{tag}");
        }
    }
}
