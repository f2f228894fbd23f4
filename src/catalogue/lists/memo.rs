//! Remembers what the lists said about an address, each thread for itself: a
//! site loads the same few hundred addresses again and again, and asking the
//! engine costs many times as much as looking here.

use crate::catalogue::Kind;
use crate::catalogue::lists::matcher::Found;

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use url::Url;

/// How many addresses a thread remembers. When there are more, it starts anew:
/// addresses that never come again would fill any memory.
const ADDRESSES: usize = 4096;

/// Longer addresses are asked about every time.
const MAX_BYTES: usize = 1024;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Question<'q> {
    /// Which lists are asked.
    pub(super) lists: u64,
    pub(super) kind: Kind,
    pub(super) third_party: bool,
    pub(super) url: &'q str,
    pub(super) host: &'q str,
}

impl<'q> Question<'q> {
    pub(super) fn new(
        lists: u64,
        kind: Kind,
        url: &'q Url,
        host: &'q str,
        third_party: bool,
    ) -> Self {
        Self { lists, kind, third_party, url: url.as_str(), host }
    }
}

/// An answer, and the question it belongs to.
struct Remembered {
    lists: u64,
    kind: Kind,
    third_party: bool,
    url: Box<str>,
    host: Box<str>,
    found: Option<Arc<Found>>,
}

impl Remembered {
    fn answers(&self, question: &Question<'_>) -> bool {
        let own = Question {
            lists: self.lists,
            kind: self.kind,
            third_party: self.third_party,
            url: &self.url,
            host: &self.host,
        };
        own == *question
    }
}

#[derive(Default)]
struct Memo {
    keys: RandomState,
    answers: HashMap<u64, Remembered>,
}

thread_local! {
    static MEMO: RefCell<Memo> = RefCell::default();
}

/// The answer to `question`, from memory if it was asked before.
pub(super) fn remember(
    question: Question<'_>,
    ask: impl FnOnce() -> Option<Found>,
) -> Option<Arc<Found>> {
    let key = MEMO.try_with(|memo| {
        let memo = memo.try_borrow().ok()?;
        let key = memo.keys.hash_one(question);
        let known = memo.answers.get(&key).filter(|known| known.answers(&question));
        Some((key, known.map(|known| known.found.clone())))
    });
    let key = match key.ok().flatten() {
        Some((_, Some(found))) => return found,
        Some((key, None)) => Some(key),
        None => None,
    };
    let found = ask().map(Arc::new);
    if let Some(key) = key.filter(|_| question.url.len() <= MAX_BYTES) {
        let _ = MEMO.try_with(|memo| {
            let Ok(mut memo) = memo.try_borrow_mut() else { return };
            if memo.answers.len() >= ADDRESSES {
                memo.answers.clear();
            }
            let remembered = Remembered {
                lists: question.lists,
                kind: question.kind,
                third_party: question.third_party,
                url: question.url.into(),
                host: question.host.into(),
                found: found.clone(),
            };
            memo.answers.insert(key, remembered);
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purpose::PurposeSet;

    fn found(line: u32) -> Option<Found> {
        Some(Found { list: 0, line, rule: "x".into(), purposes: PurposeSet::EMPTY })
    }

    #[test]
    fn an_answer_belongs_to_its_question_alone() {
        let url = Url::parse("https://a.example/x.js").unwrap();
        let other = Url::parse("https://a.example/y.js").unwrap();
        let question = |lists, url, kind, third_party| {
            Question::new(lists, kind, url, "shop.example", third_party)
        };
        let first = question(1, &url, Kind::Script, true);
        let line = |answer: Option<Arc<Found>>| answer.map(|found| found.line);
        assert_eq!(line(remember(first, || found(1))), Some(1));
        assert_eq!(line(remember(first, || found(2))), Some(1), "it is not asked again");
        for different in [
            question(2, &url, Kind::Script, true),
            question(1, &other, Kind::Script, true),
            question(1, &url, Kind::Image, true),
            question(1, &url, Kind::Script, false),
            Question { host: "other.example", ..first },
        ] {
            assert_eq!(line(remember(different, || None)), None);
        }
    }

    #[test]
    fn addresses_that_never_come_again_do_not_pile_up() {
        for number in 0..ADDRESSES * 2 + 10 {
            let url = Url::parse(&format!("https://a.example/?{number}")).unwrap();
            let question = Question::new(9, Kind::Image, &url, "shop.example", true);
            assert!(remember(question, || None).is_none());
        }
        assert!(MEMO.with(|memo| memo.borrow().answers.len()) <= ADDRESSES);
    }
}
