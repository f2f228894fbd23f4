//! What was seen of the last exchanges.

use crate::policy::{Decision, MAX_DECISIONS};
use crate::proxy::Judged;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many are kept.
const MOST: usize = 500;

/// One exchange, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) number: u64,
    pub(super) begun: Instant,
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) host: String,
    /// Whether whoever asked wants a page.
    pub(super) takes_html: bool,
    /// Ours alone: not shown.
    pub(super) is_own: bool,
    /// Whether it was looked at any further than its head.
    pub(super) is_carried: bool,
    pub(super) status: Option<u16>,
    pub(super) took: Duration,
    pub(super) failure: Option<&'static str>,
    pub(super) verdicts: Option<Verdicts>,
    /// What goes along with its answer.
    pub(super) cookies: Vec<String>,
}

/// What was decided.
#[derive(Clone, Debug)]
pub(super) struct Verdicts {
    pub(super) site: String,
    pub(super) class: String,
    pub(super) granted: Vec<&'static str>,
    pub(super) undecided: bool,
    pub(super) signal: &'static str,
    pub(super) mode: &'static str,
    pub(super) decisions: Vec<Decision>,
}

impl Verdicts {
    pub(super) fn of(judged: &Judged<'_>) -> Self {
        Self {
            site: judged.site.to_owned(),
            class: judged.class.class().to_owned(),
            granted: judged.class.iter().map(|purpose| purpose.name()).collect(),
            undecided: judged.undecided,
            signal: judged.signal.name(),
            mode: judged.mode.name(),
            decisions: judged.decisions.iter().cloned().collect(),
        }
    }

    pub(super) fn held(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| decision.verdict.blocks())
    }

    pub(super) fn passed(&self) -> usize {
        self.decisions.len() - self.held().count()
    }

    /// In words: `nothing granted, undecided`.
    pub(super) fn state(&self) -> String {
        let optional: Vec<_> =
            self.granted.iter().copied().filter(|name| *name != "necessary").collect();
        let granted = match optional.as_slice() {
            [] => "nothing granted".to_owned(),
            [_, _, _, _] => "everything granted".to_owned(),
            some => format!("granted: {}", some.join(", ")),
        };
        match (self.undecided, self.signal) {
            (true, "silence") => format!("{granted} (undecided)"),
            (true, signal) => format!("{granted} (undecided, {signal})"),
            (false, signal) => format!("{granted} ({signal})"),
        }
    }
}

impl Seen {
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether no more is to come.
    pub(super) fn is_over(&self) -> bool {
        self.status.is_some()
            && (self.verdicts.is_some() || self.failure.is_some() || !self.is_carried)
    }

    pub(super) fn held(&self) -> usize {
        self.verdicts.as_ref().map_or(0, |verdicts| verdicts.held().count())
    }

    pub(super) fn passed(&self) -> usize {
        self.verdicts.as_ref().map_or(0, Verdicts::passed)
    }
}

/// The last exchanges, the newest at the end.
#[derive(Debug, Default)]
pub(super) struct Journal {
    seen: VecDeque<Seen>,
    count: u64,
    /// Another one whenever something is new.
    pub(super) edition: u64,
}

impl Journal {
    /// Begins one; its number.
    pub(super) fn begin(&mut self, seen: Seen) -> u64 {
        self.count += 1;
        self.edition += 1;
        if self.seen.len() == MOST {
            // What is ours is not shown, and makes room first.
            let ours = self.seen.iter().position(|seen| seen.is_own && seen.status.is_some());
            drop(self.seen.remove(ours.unwrap_or(0)));
        }
        self.seen.push_back(Seen { number: self.count, ..seen });
        self.count
    }

    /// Learns something about one; nothing where it is forgotten already.
    pub(super) fn learn<T>(
        &mut self,
        number: u64,
        learn: impl FnOnce(&mut Seen) -> T,
    ) -> Option<T> {
        self.edition += 1;
        self.seen.iter_mut().rev().find(|seen| seen.number == number).map(learn)
    }

    /// Adds what a browser reported about the page at `path`.
    pub(super) fn report(&mut self, path: &str, reported: &Judged<'_>) {
        self.edition += 1;
        let page = self.seen.iter_mut().rev().find(|seen| {
            !seen.is_own && seen.path() == path && seen.takes_html && seen.verdicts.is_some()
        });
        let Some(verdicts) = page.and_then(|page| page.verdicts.as_mut()) else { return };
        for decision in reported.decisions.iter() {
            let has_room = verdicts.decisions.len() < MAX_DECISIONS;
            if has_room && !verdicts.decisions.contains(decision) {
                verdicts.decisions.push(decision.clone());
            }
        }
    }

    pub(super) fn find(&self, number: u64) -> Option<&Seen> {
        self.shown().find(|seen| seen.number == number)
    }

    /// The last answer for a path, or for a path with its query.
    pub(super) fn of_page(&self, page: &str) -> Option<&Seen> {
        let has_query = page.contains('?');
        self.shown().find(|seen| {
            seen.status.is_some() && (seen.target == page || (!has_query && seen.path() == page))
        })
    }

    /// All that are shown, the newest first.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter().rev().filter(|seen| !seen.is_own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(is_own: bool) -> Seen {
        Seen {
            number: 0,
            begun: Instant::now(),
            method: "GET".to_owned(),
            target: "/".to_owned(),
            host: String::new(),
            takes_html: true,
            is_own,
            is_carried: true,
            status: Some(200),
            took: Duration::ZERO,
            failure: None,
            verdicts: None,
            cookies: Vec::new(),
        }
    }

    #[test]
    fn h4_a_panel_that_asks_again_and_again_pushes_nothing_out() {
        let mut journal = Journal::default();
        let number = journal.begin(exchange(false));
        for _ in 0..2 * MOST {
            journal.begin(exchange(true));
        }
        assert!(journal.find(number).is_some());
        for _ in 0..MOST {
            journal.begin(exchange(false));
        }
        assert!(journal.find(number).is_none());
        assert_eq!(journal.seen.len(), MOST);
    }
}
