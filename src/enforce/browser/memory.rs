//! What one site's pages have taught us: hosts that its scripts load although
//! no page names them, and the verdicts on hosts that were asked about before.

use crate::enforce::browser::reach::Uses;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many hosts a site's reports may teach; the oldest goes.
const MAX_LEARNED: usize = 64;

/// How many hosts that pages named are remembered.
const MAX_NAMED: usize = 128;

/// How many verdicts are remembered.
const MAX_VERDICTS: usize = 8192;

/// One site's memory. It holds nothing about a visitor, is bounded, and is
/// lost on restart: then the next report teaches it again.
#[derive(Debug, Default)]
pub struct Memory {
    learned: Mutex<VecDeque<String>>,
    named: Mutex<VecDeque<String>>,
    verdicts: Mutex<HashMap<(String, u8), Uses>>,
}

impl Memory {
    /// Remembers an authority that a page's script may load from, because the
    /// verdict on it allows it and a browser had to refuse it. Says whether it
    /// is new.
    pub fn learn(&self, authority: &str) -> bool {
        let mut learned = lock(&self.learned);
        if learned.iter().any(|known| known == authority) {
            return false;
        }
        if learned.len() >= MAX_LEARNED {
            learned.pop_front();
        }
        learned.push_back(authority.to_owned());
        true
    }

    /// The authorities learned so far.
    pub(super) fn learned(&self) -> Vec<String> {
        lock(&self.learned).iter().cloned().collect()
    }

    /// Remembers the authorities that a page names.
    pub(super) fn note_named<'n>(&self, authorities: impl IntoIterator<Item = &'n String>) {
        let mut named = lock(&self.named);
        for authority in authorities {
            if !named.contains(authority) {
                if named.len() >= MAX_NAMED {
                    named.pop_front();
                }
                named.push_back(authority.clone());
            }
        }
    }

    /// The authorities that pages named lately.
    pub(super) fn named_lately(&self) -> Vec<String> {
        lock(&self.named).iter().cloned().collect()
    }

    /// The uses that `authority` may have in a consent class, asked once.
    pub(super) fn uses(&self, authority: &str, class: u8, ask: impl FnOnce() -> Uses) -> Uses {
        let key = (authority.to_owned(), class);
        if let Some(known) = lock(&self.verdicts).get(&key) {
            return *known;
        }
        let uses = ask();
        let mut verdicts = lock(&self.verdicts);
        if verdicts.len() >= MAX_VERDICTS {
            verdicts.clear();
        }
        verdicts.insert(key, uses);
        uses
    }
}

/// Nothing that holds these locks can panic halfway through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_stays_until_too_much_was() {
        let memory = Memory::default();
        assert!(memory.learn("a.example"));
        assert!(!memory.learn("a.example"));
        for number in 0..MAX_LEARNED {
            memory.learn(&format!("h{number}.example"));
        }
        let learned = memory.learned();
        assert_eq!(learned.len(), MAX_LEARNED);
        assert!(!learned.contains(&"a.example".to_owned()));
    }
}
