//! Rust source as the house rules read it: words and signs, without comments, strings and tests.

/// A word or a sign of the code, and the line it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) text: String,
}

/// What is left of a file when comments, strings and `#[cfg(test)]` items are gone.
#[derive(Debug)]
pub(super) struct Code(Vec<Token>);

impl Code {
    pub(super) fn read(source: &str) -> Self {
        Self(without_tests(tokens(&without_comments_and_strings(source))))
    }

    /// Where these words and signs follow one another: `["tokio", "::"]`.
    pub(super) fn lines_with<'c>(&'c self, wanted: &'c [&str]) -> impl Iterator<Item = usize> + 'c {
        self.0
            .windows(wanted.len())
            .filter(|found| {
                found.iter().map(|token| token.text.as_str()).eq(wanted.iter().copied())
            })
            .filter_map(|found| found.first().map(|token| token.line))
    }

    /// What is named directly under `root`: in `crate::{policy::Verdict, site}` that is `policy`
    /// and `site`.
    pub(super) fn named_under<'c>(&'c self, root: &'c str) -> impl Iterator<Item = &'c Token> + 'c {
        let starts =
            (0..self.0.len()).filter(move |at| self.is(*at, root) && self.is(at + 1, "::"));
        starts.flat_map(|at| self.first_names(at + 2))
    }

    /// What is named under the crate's root by climbing: `super::super::ledger` in a file whose
    /// module is two levels deep.
    pub(super) fn named_by_climbing(&self, depth: usize) -> impl Iterator<Item = &Token> {
        let climbs = move |at: &usize| {
            (0..depth)
                .all(|step| self.is(at + 2 * step, "super") && self.is(at + 2 * step + 1, "::"))
        };
        (0..self.0.len()).filter(climbs).flat_map(move |at| self.first_names(at + 2 * depth))
    }

    /// The names of modules that are declared or written here.
    pub(super) fn modules(&self) -> impl Iterator<Item = &Token> {
        (0..self.0.len()).filter(|at| self.is(*at, "mod")).filter_map(|at| self.0.get(at + 1))
    }

    /// The name at `start`, or the first name of each branch if a group in braces starts there.
    fn first_names(&self, start: usize) -> Vec<&Token> {
        if !self.is(start, "{") {
            return self.0.get(start).into_iter().collect();
        }
        let mut names = Vec::new();
        let mut open = 0;
        for (at, token) in self.0.iter().enumerate().skip(start) {
            match token.text.as_str() {
                "{" => open += 1,
                "}" => open -= 1,
                "," => {}
                _ if open == 1 && (self.is(at - 1, "{") || self.is(at - 1, ",")) => {
                    names.push(token)
                }
                _ => {}
            }
            if open == 0 {
                break;
            }
        }
        names
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.0.get(at).is_some_and(|token| token.text == text)
    }
}

/// The source with the same lines, and nothing in comments, strings and characters.
fn without_comments_and_strings(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let silent = silent_bytes(rest);
        if silent == 0 {
            kept.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or("");
        } else {
            let (skipped, after) = rest.split_at_checked(silent).unwrap_or((rest, ""));
            kept.push(' ');
            kept.extend(skipped.matches('\n'));
            rest = after;
        }
    }
    kept
}

/// How many bytes of comment, string or character `rest` begins with.
fn silent_bytes(rest: &str) -> usize {
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        block_comment_bytes(rest)
    } else if rest.starts_with('"') {
        string_bytes(rest)
    } else if rest.starts_with('r') {
        raw_string_bytes(rest).unwrap_or(0)
    } else if rest.starts_with('\'') {
        character_bytes(rest).unwrap_or(0)
    } else {
        0
    }
}

fn block_comment_bytes(rest: &str) -> usize {
    let mut open = 0_usize;
    let mut at = 0;
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        let (change, step) = match here {
            _ if here.starts_with("/*") => (1, 2),
            _ if here.starts_with("*/") => (-1, 2),
            _ => (0, here.chars().next().map_or(1, char::len_utf8)),
        };
        open = open.saturating_add_signed(change);
        at += step;
        if open == 0 {
            break;
        }
    }
    at
}

fn string_bytes(rest: &str) -> usize {
    let mut escaped = false;
    for (at, next) in rest.char_indices().skip(1) {
        match next {
            '"' if !escaped => return at + 1,
            _ => escaped = next == '\\' && !escaped,
        }
    }
    rest.len()
}

fn raw_string_bytes(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('r')?.trim_start_matches('#');
    let hashes = rest.len() - 1 - inside.len();
    let end = format!("\"{}", "#".repeat(hashes));
    let text = inside.strip_prefix('"')?;
    Some(text.find(&end).map_or(rest.len(), |at| 1 + hashes + 1 + at + end.len()))
}

/// Nothing for a lifetime, which starts like a character.
fn character_bytes(rest: &str) -> Option<usize> {
    let mut following = rest.chars().skip(1);
    let first = following.next()?;
    if first == '\\' {
        return Some(3 + rest.get(3..)?.find('\'')? + 1);
    }
    (following.next()? == '\'').then_some(2 + first.len_utf8())
}

fn tokens(code: &str) -> Vec<Token> {
    let is_word = |next: &char| next.is_alphanumeric() || *next == '_';
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.chars().peekable();
        while let Some(first) = rest.next() {
            if first.is_whitespace() {
                continue;
            }
            let mut text = String::from(first);
            if is_word(&first) {
                while let Some(next) = rest.next_if(is_word) {
                    text.push(next);
                }
            } else if first == ':' {
                text.extend(rest.next_if_eq(&':'));
            }
            tokens.push(Token { line: index + 1, text });
        }
    }
    tokens
}

/// Leaves out every item under `#[cfg(test)]`, to its `;` or closing brace.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter();
    while let Some(token) = rest.next() {
        kept.push(token);
        let tail = kept.len().saturating_sub(MARK.len());
        let marked = kept
            .get(tail..)
            .is_some_and(|last| last.iter().map(|token| token.text.as_str()).eq(MARK));
        if marked {
            kept.truncate(tail);
            skip_item(&mut rest);
        }
    }
    kept
}

fn skip_item(rest: &mut impl Iterator<Item = Token>) {
    let mut open = 0_usize;
    for token in rest {
        match token.text.as_str() {
            "{" | "(" | "[" => open += 1,
            ")" | "]" => open = open.saturating_sub(1),
            "}" => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return;
                }
            }
            ";" if open == 0 => return,
            _ => {}
        }
    }
}

#[test]
fn comments_strings_and_tests_name_nothing() {
    let source = r##"
        //! crate::ledger
        /* crate::ledger /* nested */ crate::ledger */
        fn quote<'a>(_: &'a str) -> [char; 3] { ['"', '\'', '\\'] }
        const TEXT: &str = "crate::ledger \" crate::ledger";
        const RAW: &str = r#"crate::ledger " crate::ledger"#;
        #[cfg(test)]
        use crate::ledger::{Entry, Store};
        use crate::policy::Policy;
        #[cfg(test)]
        fn three() -> [u8; 3] { let _ = "}"; crate::ledger::three() }
        fn last() { crate::site::last() }
        #[cfg(test)]
        mod tests { use crate::ledger; }
    "##;
    let code = Code::read(source);
    let names: Vec<_> =
        code.named_under("crate").map(|name| (name.line, name.text.as_str())).collect();
    assert_eq!(names, [(9, "policy"), (12, "site")]);
}

#[test]
fn every_way_to_name_a_room_is_seen() {
    let source = "
        use crate::{
            catalogue::{Kind, Subject},
            ledger,
        };
        pub(crate) fn deep() { super::super::proxy::run(); super::near() }
    ";
    let code = Code::read(source);
    let names: Vec<_> =
        code.named_under("crate").map(|name| (name.line, name.text.as_str())).collect();
    assert_eq!(names, [(3, "catalogue"), (4, "ledger")]);
    let climbed: Vec<_> =
        code.named_by_climbing(2).map(|name| (name.line, name.text.as_str())).collect();
    assert_eq!(climbed, [(6, "proxy")]);
}
