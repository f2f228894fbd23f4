//! Remembers what code was recognised as, each thread for itself: a site's
//! pages have the same few snippets, and reading one again costs many times as
//! much as looking here.

use crate::catalogue::RuleIndex;

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use url::Url;

/// Shorter code is read as fast as it is found.
const MIN_BYTES: usize = 64;

/// Longer code is data more often than a snippet.
const MAX_BYTES: usize = 16 * 1024;

/// How much code a thread remembers. When there is more, it starts anew: code
/// that never comes again would fill any memory.
const BYTES: usize = 512 * 1024;

/// What is remembered of each besides its bytes, about.
const ENTRY_BYTES: usize = 128;

/// What some code was recognised as.
struct Remembered {
    /// Which signatures it was read by, and what for.
    question: (u64, &'static str),
    code: Box<[u8]>,
    answer: Answer,
}

/// What is asked about code.
#[derive(Clone)]
enum Answer {
    /// The rules it falls under.
    Rules(Vec<RuleIndex>),
    /// The addresses it would load.
    Addresses(Vec<Url>),
}

impl Answer {
    fn bytes(&self) -> usize {
        match self {
            Self::Rules(rules) => size_of_val(rules.as_slice()),
            Self::Addresses(urls) => {
                urls.iter().map(|url| size_of::<Url>() + url.as_str().len()).sum()
            }
        }
    }
}

#[derive(Default)]
struct Memo {
    keys: RandomState,
    answers: HashMap<u64, Remembered>,
    bytes: usize,
}

thread_local! {
    static MEMO: RefCell<Memo> = RefCell::default();
}

/// The rules that `code` falls under by these signatures, from memory if it was
/// read before.
pub(super) fn rules(
    signatures: u64,
    code: &[u8],
    read: impl FnOnce() -> Vec<RuleIndex>,
) -> Vec<RuleIndex> {
    match remember((signatures, "rules"), code, || Answer::Rules(read())) {
        Answer::Rules(rules) => rules,
        Answer::Addresses(_) => Vec::new(),
    }
}

/// The addresses that `code` would load by these signatures, likewise.
pub(super) fn addresses(signatures: u64, code: &[u8], read: impl FnOnce() -> Vec<Url>) -> Vec<Url> {
    match remember((signatures, "addresses"), code, || Answer::Addresses(read())) {
        Answer::Addresses(addresses) => addresses,
        Answer::Rules(_) => Vec::new(),
    }
}

fn remember(question: (u64, &'static str), code: &[u8], read: impl FnOnce() -> Answer) -> Answer {
    if !(MIN_BYTES..=MAX_BYTES).contains(&code.len()) {
        return read();
    }
    let known = MEMO.try_with(|memo| {
        let memo = memo.try_borrow().ok()?;
        let key = memo.keys.hash_one((question, code));
        let is_same = |known: &&Remembered| known.question == question && *known.code == *code;
        Some((key, memo.answers.get(&key).filter(is_same).map(|known| known.answer.clone())))
    });
    let key = match known.ok().flatten() {
        Some((_, Some(answer))) => return answer,
        Some((key, None)) => Some(key),
        None => None,
    };
    let answer = read();
    if let Some(key) = key {
        let _ = MEMO.try_with(|memo| {
            let Ok(mut memo) = memo.try_borrow_mut() else { return };
            let bytes = code.len() + answer.bytes() + ENTRY_BYTES;
            if memo.bytes + bytes > BYTES {
                memo.answers.clear();
                memo.bytes = 0;
            }
            memo.bytes += bytes;
            let remembered = Remembered { question, code: code.into(), answer: answer.clone() };
            memo.answers.insert(key, remembered);
        });
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a2_what_is_remembered_belongs_to_its_code_alone() {
        let code = [b'a'; MIN_BYTES];
        let other = [b'b'; MIN_BYTES];
        assert_eq!(rules(1, &code, || vec![1]), [1]);
        assert_eq!(rules(1, &code, || vec![2]), [1], "it is not read again");
        assert_eq!(rules(1, &other, || vec![3]), [3]);
        assert_eq!(rules(2, &code, || vec![4]), [4], "other rules are asked");
        let url = Url::parse("https://a.example/").unwrap();
        assert_eq!(addresses(1, &code, || vec![url.clone()]), vec![url.clone()]);
        assert_eq!(addresses(1, &code, Vec::new), vec![url], "nor here");
        assert_eq!(rules(1, &code, Vec::new), [1], "each has its own answer");
    }

    #[test]
    fn code_that_never_comes_again_does_not_pile_up() {
        for number in 0..2 * BYTES / 1024 {
            let code = format!("{number:>1024}");
            assert!(rules(9, code.as_bytes(), Vec::new).is_empty());
        }
        let long = vec![b'a'; MAX_BYTES + 1];
        rules(9, &long, Vec::new);
        let held = MEMO.with(|memo| {
            memo.borrow().answers.values().map(|known| known.code.len()).sum::<usize>()
        });
        assert!(held <= BYTES, "{held}");
    }
}
