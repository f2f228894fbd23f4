//! The decisions of sets that were looked up before, as far as there is room.

use crate::ledger::rollup::sums::Members;

use std::collections::HashMap;

/// How many decisions are remembered: a set can have one, or a thousand.
const MEMBERS: usize = 100_000;

/// What is in sets, by their numbers.
#[derive(Default)]
pub(in crate::ledger) struct Remembered {
    sets: HashMap<i64, Members>,
    members: usize,
}

impl Remembered {
    /// What is in a set, unless it has to be looked up.
    pub(in crate::ledger) fn get(&self, set: i64) -> Option<Members> {
        self.sets.get(&set).map(Members::clone)
    }

    /// Whether that is known.
    pub(in crate::ledger) fn has(&self, set: i64) -> bool {
        self.sets.contains_key(&set)
    }

    /// Remembers it.
    pub(in crate::ledger) fn insert(&mut self, set: i64, members: Members) {
        self.members += room(&members);
        if let Some(before) = self.sets.insert(set, members) {
            self.members = self.members.saturating_sub(room(&before));
        }
    }

    /// Forgets everything when there is too much of it.
    pub(in crate::ledger) fn make_room(&mut self) {
        if self.members >= MEMBERS {
            *self = Self::default();
        }
    }
}

/// A set without decisions takes room, too.
fn room(members: &Members) -> usize {
    members.len().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::rollup::sums::Member;

    fn of(members: usize) -> Members {
        let member = Member {
            blocked: true,
            reason: String::new(),
            kind: String::new(),
            what: String::new(),
            vendor_id: String::new(),
            vendor: String::new(),
            purpose: String::new(),
            via: String::new(),
            reported: false,
        };
        vec![member; members].into()
    }

    /// How many of these sets are known at the end.
    fn left(sets: i64, members: usize) -> usize {
        let mut remembered = Remembered::default();
        for set in 0..sets {
            remembered.make_room();
            remembered.insert(set, of(members));
        }
        remembered.make_room();
        (0..sets).filter(|set| remembered.has(*set)).count()
    }

    #[test]
    fn sets_with_a_thousand_decisions_take_the_room_of_a_thousand() {
        for (sets, members, found) in [(99, 1_000, 99), (100, 1_000, 0), (150, 1_000, 50)] {
            assert_eq!(left(sets, members), found, "{sets} of {members}");
        }
        assert_eq!((left(90_000, 1), left(90_000, 0), left(100_000, 0)), (90_000, 90_000, 0));
    }

    #[test]
    fn a_set_that_is_looked_up_again_takes_no_more_room() {
        let mut remembered = Remembered::default();
        (0..500).for_each(|_| remembered.insert(7, of(1_000)));
        remembered.make_room();
        assert_eq!(remembered.get(7).map(|members| members.len()), Some(1_000));
    }
}
