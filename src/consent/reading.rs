//! What one signal says, purpose by purpose.

use crate::purpose::{Purpose, PurposeSet};

/// What one signal says: it grants, it denies, and leaves the rest undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    granted: PurposeSet,
    denied: PurposeSet,
    note: &'static str,
    doubtful: bool,
}

impl Reading {
    /// There was no choice yet, for the reason in `why`: silence.
    pub(super) const fn unasked(why: &'static str) -> Self {
        Self { granted: PurposeSet::EMPTY, denied: PurposeSet::EMPTY, note: why, doubtful: false }
    }

    /// There may have been a choice, and it cannot be read with certainty. It
    /// grants nothing, and where silence would grant, it grants nothing there
    /// either.
    pub(super) const fn doubtful(why: &'static str) -> Self {
        Self { doubtful: true, ..Self::unasked(why) }
    }

    /// Nothing shows that the visitor answered, as `why` says. Where a "no" is
    /// `written` all the same, a setting or a signal of theirs may have done
    /// it: then nobody knows that they were silent.
    pub(super) const fn unanswered(why: &'static str, written: bool) -> Self {
        if written {
            return Self::doubtful("a \"no\" is written in it, and nothing that tells who said so");
        }
        Self::unasked(why)
    }

    /// A "no" to these purposes.
    pub(super) const fn denying(denied: PurposeSet) -> Self {
        Self { denied: denied.without(Purpose::Necessary), ..Self::unasked("") }
    }

    /// A "no" to everything that can be refused.
    pub(super) const fn refusal() -> Self {
        Self::denying(PurposeSet::ALL)
    }

    /// The same, with purposes that were agreed to. A purpose that was denied,
    /// too, stays denied.
    pub(super) const fn granting(mut self, granted: PurposeSet) -> Self {
        self.granted = self.granted.or(granted).without(Purpose::Necessary).minus(self.denied);
        self
    }

    /// The same "no", and no "yes".
    pub(super) const fn without_grants(mut self, why: &'static str) -> Self {
        self.granted = PurposeSet::EMPTY;
        self.note = why;
        self.doubtful = true;
        self
    }

    /// The same, and no "yes" to these purposes: they are in doubt.
    pub(super) const fn without(mut self, purposes: PurposeSet, why: &'static str) -> Self {
        self.granted = self.granted.minus(purposes);
        self.note = why;
        self.doubtful = true;
        self
    }

    /// What another value of the same signal and this one agree on; a "no" in
    /// one of them stays a "no".
    pub(super) fn agreeing(self, other: Self) -> Self {
        let same = self == other;
        Self {
            granted: self.granted.and(other.granted),
            denied: self.denied.or(other.denied),
            note: if same { self.note } else { "its values differ" },
            doubtful: !same || self.doubtful,
        }
    }

    /// What both of two different signals say; a "no" in one of them wins.
    pub(super) fn joined(self, other: Self) -> Self {
        let denied = self.denied.or(other.denied);
        Self {
            granted: self.granted.or(other.granted).minus(denied),
            denied,
            note: "",
            doubtful: self.doubtful || other.doubtful,
        }
    }

    /// What was agreed to.
    #[must_use]
    pub const fn granted(&self) -> PurposeSet {
        self.granted
    }

    /// What was refused.
    #[must_use]
    pub const fn denied(&self) -> PurposeSet {
        self.denied
    }

    /// What was decided, either way.
    #[must_use]
    pub const fn decided(&self) -> PurposeSet {
        self.granted.or(self.denied)
    }

    /// Why it is not believed about the purposes that it leaves undecided;
    /// empty where it says nothing about them.
    #[must_use]
    pub const fn note(&self) -> &'static str {
        self.note
    }

    /// Whether there may have been a choice that cannot be read.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.doubtful
    }
}

/// Collects a tool's answers about its own categories or services.
///
/// A purpose is granted only when everything that stands for it was agreed to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answers {
    granted: PurposeSet,
    denied: PurposeSet,
    left: PurposeSet,
    refused: bool,
    open: bool,
}

impl Answers {
    /// Notes the answer for something that stands for `purposes`; `None` for
    /// something whose purpose nobody knows.
    pub(super) fn note(&mut self, purposes: Option<PurposeSet>, answer: Answer) {
        let purposes = purposes.map(|purposes| purposes.without(Purpose::Necessary));
        if purposes == Some(PurposeSet::EMPTY) {
            return;
        }
        let known = purposes.unwrap_or(PurposeSet::EMPTY);
        match answer {
            Answer::Yes => {
                self.granted = self.granted.or(known);
                self.open = true;
            }
            Answer::No => {
                self.denied = self.denied.or(known);
                self.refused = true;
            }
            Answer::None => {
                self.left = self.left.or(known);
                self.open = true;
            }
        }
    }

    /// What the answers say together. Who refused everything that the tool
    /// asks for has refused everything: they are not asked a second time.
    pub(super) const fn reading(self) -> Reading {
        if self.refused && !self.open {
            return Reading::refusal();
        }
        Reading::denying(self.denied).granting(self.granted.minus(self.left))
    }
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// Not asked yet, or not in a way that can be read.
    None,
}

impl From<bool> for Answer {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PurposeSet = PurposeSet::EMPTY.with(Purpose::Analytics);
    const M: PurposeSet = PurposeSet::EMPTY.with(Purpose::Marketing);

    #[test]
    fn two_values_grant_only_what_both_grant_and_deny_what_one_denies() {
        let both = Reading::denying(PurposeSet::EMPTY).granting(A.or(M));
        let one = Reading::denying(M).granting(A);
        assert_eq!(both.agreeing(both), both);
        let agreed = both.agreeing(one);
        assert_eq!((agreed.granted(), agreed.denied()), (A, M));
        let torn = both.agreeing(Reading::doubtful("torn"));
        assert_eq!(torn.decided(), PurposeSet::EMPTY);
        assert!(torn.is_doubtful());
    }

    #[test]
    fn a_purpose_needs_every_yes_that_stands_for_it() {
        let read = |answers: &[(Option<PurposeSet>, Answer)]| {
            let mut all = Answers::default();
            answers.iter().for_each(|(purposes, answer)| all.note(*purposes, *answer));
            let reading = all.reading();
            (reading.granted(), reading.denied())
        };
        assert_eq!(
            read(&[(Some(A), Answer::Yes), (Some(A), Answer::No), (Some(M), Answer::Yes)]),
            (M, A)
        );
        assert_eq!(
            read(&[(Some(A), Answer::Yes), (Some(A), Answer::None)]),
            (PurposeSet::EMPTY, PurposeSet::EMPTY)
        );
        let everything = PurposeSet::ALL.without(Purpose::Necessary);
        assert_eq!(
            read(&[(None, Answer::No), (Some(A), Answer::No)]),
            (PurposeSet::EMPTY, everything)
        );
        assert_eq!(read(&[(None, Answer::Yes), (Some(A), Answer::No)]), (PurposeSet::EMPTY, A));
        assert_eq!(
            read(&[(Some(PurposeSet::NECESSARY), Answer::Yes)]),
            (PurposeSet::EMPTY, PurposeSet::EMPTY)
        );
    }
}
