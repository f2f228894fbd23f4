//! Counts who tries names that nobody has. Everybody can, as often as they
//! like, and what is put on record stays there: it is one entry for many.

use std::sync::{Mutex, PoisonError};

/// Tries since the last entry; none when the next one is put on record at once.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Option<u64>>);

impl Strangers {
    /// Counts one more. Whether it is the first of a minute: then it goes on
    /// record, and the minute has to be ended.
    pub(super) fn came(&self) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = waiting.is_none();
        *waiting = Some(waiting.map_or(0, |times| times.saturating_add(1)));
        is_first
    }

    /// Ends the minute; how many came after the first.
    pub(super) fn minute_is_over(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_strangers_in_a_minute_are_two_entries() {
        let strangers = Strangers::default();
        let at_once = (0..1000).filter(|_| strangers.came()).count();
        assert_eq!((at_once, strangers.minute_is_over()), (1, 999));
        assert!(strangers.came());
        assert_eq!(strangers.minute_is_over(), 0);
    }
}
