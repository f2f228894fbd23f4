//! What the ledger says, for our own pages. This room asks nobody: the proxy
//! asks and hands the answers in.

use crate::declaration::Told;
use crate::ledger::withheld::{Held, OnPage};
use crate::ledger::{Notice, Receipt};
use crate::policy::redact_path;
use crate::visitor::{ReturnTo, Visit};

use std::collections::BTreeSet;

/// What the ledger says, as far as it was asked and could answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnRecord<'a> {
    /// The ids of the vendors that were seen on the site; nothing as long as
    /// nobody knows.
    pub seen: Option<&'a BTreeSet<String>>,
    /// Whom the site was met with; nothing before the ledger was asked.
    pub declared: Option<&'a Told>,
    /// What was held back; nothing when the ledger could not answer.
    pub withheld: Option<&'a Withheld>,
    /// The visitor's receipt; nothing when it is not there (any more, or yet).
    pub receipt: Option<&'a Kept>,
}

/// What was held back for visitors who chose as this one did.
#[derive(Clone, Debug, Default)]
pub struct Withheld {
    /// The page that was asked for, as the ledger has it, if one was.
    pub page: Option<String>,
    /// What was decided about it.
    pub on_page: Option<OnPage>,
    /// Who was held back on the site during the last day.
    pub on_site: Vec<Held>,
    /// How many more there are.
    pub more_on_site: usize,
}

/// A receipt with the notice it was given on.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The receipt.
    pub receipt: Receipt,
    /// The notice's first layer.
    pub notice: Option<Notice>,
}

/// The page that the address of the visitor's own page asks about, as the
/// ledger has it.
#[must_use]
pub fn page_asked_about(query: Option<&str>, visit: &Visit<'_>) -> Option<String> {
    let there = ReturnTo::from_query(query, visit);
    // Who was not there is told nothing about it: it may be behind a login.
    there.was_seen(visit).then(|| redact_path(there.place()))
}
