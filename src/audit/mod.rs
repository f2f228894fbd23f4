//! What would become of a site, looked at before anybody visits it.
//!
//! A page is put through the same enforcement as in the proxy, once for each
//! state of consent, and the decisions are kept side by side. Nothing is
//! decided here: whether a thing may pass is asked of `policy`, and whether
//! what was found is good enough of the operator's `Terms`. Nothing here reads
//! a file or asks anybody: what is looked at is handed in.

mod baseline;
mod gate;
mod har;
mod judge;
mod observed;
mod recording;
mod show;
mod states;
mod terms;

pub use baseline::{Baseline, Known};
pub use gate::{Finding, Gate, Where};
pub use har::{Har, HarError};
pub use judge::{Judge, Paper};
pub use observed::{Seen, asked_by, kind_of};
pub use recording::{ARCHIVE_VERSION, Recorded, keeps_body, without_addresses};
pub use show::{Format, Outcome};
pub use states::{Asked, State, cookie_field, states};
pub use terms::{Fault, Terms};

use crate::catalogue::{Kind, Place, Vendor};
use crate::policy::{Basis, Grounds, Layer, Verdict};
use crate::purpose::{Purpose, PurposeSet};

use std::sync::Arc;

/// A place in a file, as editors count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
}

/// One thing that a page loads, runs, sets or says, and what may become of it.
#[derive(Clone, Debug)]
pub struct Thing {
    /// What kind of thing it is.
    pub kind: Kind,
    /// Its name, as the ledger would have it.
    pub what: String,
    /// Which layer would carry the verdict out.
    pub layer: Layer,
    /// Whose it is, if anybody knows.
    pub vendor: Option<Arc<Vendor>>,
    /// Who else has a part in it: one piece of inline code may be several vendors'.
    pub also: Vec<Arc<Vendor>>,
    /// The rule that says so.
    pub rule: Option<Place>,
    /// The script that asked for it, where that is known.
    pub via: Option<String>,
    /// Where in the page it stands.
    pub spots: Vec<Spot>,
    /// One verdict a state; `None` where there was nothing to decide.
    pub verdicts: Vec<Option<Verdict>>,
    /// Whether it was seen to happen, and does not only stand in a page.
    pub observed: bool,
}

impl Thing {
    /// Whether nobody knows whose it is.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.verdicts.iter().flatten().any(|verdict| {
            matches!(
                verdict,
                Verdict::Allow(Basis::Unlisted | Basis::Unfiltered)
                    | Verdict::Block(Grounds::Unlisted | Grounds::Unreadable)
            )
        })
    }

    /// Whether it is withheld in that state.
    #[must_use]
    pub fn is_withheld(&self, state: usize) -> bool {
        self.verdicts.get(state).copied().flatten().is_some_and(Verdict::blocks)
    }

    /// Everybody who has a part in it.
    pub fn vendors(&self) -> impl Iterator<Item = &Arc<Vendor>> {
        self.vendor.iter().chain(&self.also)
    }

    /// What it is used for, as far as anybody knows.
    #[must_use]
    pub fn purposes(&self) -> PurposeSet {
        self.vendors().fold(PurposeSet::EMPTY, |all, vendor| all.or(vendor.purposes))
    }

    /// The host it is on, where it is an address.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        let named = matches!(
            self.kind,
            Kind::Cookie
                | Kind::Inline
                | Kind::RequestHeader
                | Kind::ResponseHeader
                | Kind::Parameter
                | Kind::OwnPath
                | Kind::Address
                | Kind::Storage
        );
        if named { None } else { self.what.split('/').next() }
    }

    /// Whether the site cannot work without it.
    #[must_use]
    pub fn is_necessary(&self) -> bool {
        self.vendor.is_some() && self.vendors().all(|vendor| vendor.purpose == Purpose::Necessary)
    }
}

/// What was found on one page.
#[derive(Clone, Debug, Default)]
pub struct AuditedPage {
    /// Its address, or the name of its file.
    pub name: String,
    /// Whether it is a file, where a place can be opened in an editor.
    pub is_file: bool,
    /// Everything on it that was decided on.
    pub things: Vec<Thing>,
    /// Why it could not be looked at, or not to its end.
    pub trouble: Option<String>,
    /// Whether the site only observes on it: then nothing is withheld yet.
    pub only_observed: bool,
}

impl AuditedPage {
    /// Adds what was found: what is the same is one thing that stands in
    /// several places.
    pub fn add(&mut self, things: Vec<Thing>) {
        for new in things {
            let same = |old: &&mut Thing| {
                old.kind == new.kind && old.what == new.what && old.verdicts == new.verdicts
            };
            match self.things.iter_mut().find(same) {
                Some(old) => {
                    old.spots.extend(new.spots);
                    old.via = old.via.take().or(new.via);
                    old.observed |= new.observed;
                }
                None => self.things.push(new),
            }
        }
    }

    /// Adds what was found elsewhere and was seen to happen on this page.
    pub fn observe(&mut self, mut seen: Self) {
        seen.things.iter_mut().for_each(|thing| thing.observed = true);
        self.add(seen.things);
        self.trouble = self.trouble.take().or(seen.trouble);
    }
}

/// Everything that was looked at.
#[derive(Debug)]
pub struct Report {
    /// What the operator asked about.
    pub target: String,
    /// The states, in the order of every thing's verdicts.
    pub states: Vec<State>,
    /// The pages.
    pub pages: Vec<AuditedPage>,
    /// The state in which what was observed was seen to happen, if that is
    /// known: what it withholds has leaked then.
    pub observed_in: Option<usize>,
    /// The revision of the policy it was judged by.
    pub revision: String,
}

impl Report {
    /// What happened although the visitor had not agreed to it.
    pub fn leaks(&self) -> impl Iterator<Item = (&AuditedPage, &Thing)> {
        let state = self.observed_in;
        self.pages.iter().flat_map(move |page| {
            let leaked = move |thing: &&Thing| {
                thing.observed && state.is_some_and(|state| thing.is_withheld(state))
            };
            page.things.iter().filter(leaked).map(move |thing| (page, thing))
        })
    }
}
