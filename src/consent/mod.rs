//! What the visitor chose, and how we know.
//!
//! Silence is "no", and so is a doubt: a signal that cannot be read with
//! certainty leaves the visitor undecided, never granted. This room does no
//! I/O and reads no clock; the caller says what time it is.

mod bits;
#[cfg(test)]
mod chance;
mod cookie;
mod gpp;
mod heard;
mod reading;
mod region;
mod signals;
mod tcf;
mod tools;
mod us_privacy;
mod vendors;

pub use cookie::{COOKIE_NAMES, Keys, KeysError, ReceiptId, Record};
pub use gpp::section_ids as gpp_section_ids;
pub use heard::{Heard, Signals, heard, refuse_as_tcf};
pub use reading::Reading;
pub use region::{OPT_IN, OPT_OUT, Regions, Rule, is_code};
pub use signals::{Settings, cookie_values, global_privacy_control, read};
pub use tcf::{Restriction, TcString};
pub use tools::{Ids, Tool};
pub use vendors::VendorChoices;

use crate::purpose::{Purpose, PurposeSet};
use std::fmt;
use std::sync::Arc;

/// What a visitor said about one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They agreed.
    Granted,
    /// They said no, here or by a signal of their browser.
    Denied,
    /// They said nothing yet. It blocks like a "no" and is counted apart.
    Undecided,
}

impl State {
    /// The word used in `state` and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Denied => "denied",
            Self::Undecided => "undecided",
        }
    }
}

/// The signal that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A choice the visitor made here, in our signed cookie.
    Choice,
    /// `Sec-GPC: 1`, with no choice made here while it was on.
    Gpc,
    /// A choice made with another consent tool, in that tool's cookie.
    Tool(Tool),
    /// A TC string of IAB's Transparency and Consent Framework.
    Tcf,
    /// A string of IAB's Global Privacy Platform.
    Gpp,
    /// A US Privacy string.
    UsPrivacy,
    /// What silence means where the visitor is.
    Region,
    /// Nothing: the visitor is undecided.
    Silence,
}

impl Source {
    /// The name the ledger, `state` and `explain` use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Choice => "choice",
            Self::Gpc => "gpc",
            Self::Tool(tool) => tool.name(),
            Self::Tcf => "tcf",
            Self::Gpp => "gpp",
            Self::UsPrivacy => "us-privacy",
            Self::Region => "region",
            Self::Silence => "silence",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What one visitor agreed to, and how we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    granted: PurposeSet,
    decided: PurposeSet,
    source: Source,
    /// The signal that decided about each purpose, in the order of
    /// [`Purpose::ALL`].
    sources: [Source; 5],
    gpc: bool,
    record: Option<Record>,
    /// Whether there is a signal that cannot be read: it may be a "no".
    doubtful: bool,
    region: Rule,
    /// Shared, since everything that judges on an exchange holds a copy.
    vendors: Option<Arc<VendorChoices>>,
}

impl Consent {
    /// A visitor who said nothing.
    #[must_use]
    pub const fn silent() -> Self {
        Self {
            granted: PurposeSet::NECESSARY,
            decided: PurposeSet::NECESSARY,
            source: Source::Silence,
            sources: [Source::Silence; 5],
            gpc: false,
            record: None,
            doubtful: false,
            region: Rule::OptIn,
            vendors: None,
        }
    }

    /// A visitor who chose exactly `granted` and refused the rest, for
    /// `explain`, tests and every place that asks "what if".
    #[must_use]
    pub const fn chosen(granted: PurposeSet) -> Self {
        Self {
            granted: granted.with(Purpose::Necessary),
            decided: PurposeSet::ALL,
            source: Source::Choice,
            sources: [Source::Choice; 5],
            gpc: false,
            record: None,
            doubtful: false,
            region: Rule::OptIn,
            vendors: None,
        }
    }

    /// Whether data may be used for `purpose`.
    #[must_use]
    pub const fn grants(&self, purpose: Purpose) -> bool {
        self.granted.contains(purpose)
    }

    /// Everything granted; as a set, this is the consent class.
    #[must_use]
    pub const fn granted(&self) -> PurposeSet {
        self.granted
    }

    /// Everything that somebody said "no" to.
    #[must_use]
    pub const fn denied(&self) -> PurposeSet {
        self.decided.minus(self.granted)
    }

    /// What the visitor's pages are made for: the consent class and, after a
    /// dash, a mark of what was decided about single vendors. A page that is
    /// open tells by it whether it is still the right one.
    #[must_use]
    pub fn made_for(&self) -> String {
        let class = self.granted.class();
        self.vendors().map_or_else(|| class.to_owned(), |own| format!("{class}-{}", own.mark()))
    }

    /// Writes everything about it that a page can depend on: two visitors with
    /// the same get the same page. When and how they chose is not in it.
    pub fn write_mark(&self, out: &mut Vec<u8>) {
        let flags = u8::from(self.gpc) | u8::from(self.doubtful) << 1;
        out.extend([self.granted.bits(), self.decided.bits(), flags, self.region as u8]);
        for source in self.sources.iter().chain([&self.source]) {
            out.extend(source.name().as_bytes());
            out.push(0);
        }
        if let Some(vendors) = self.vendors() {
            vendors.write(out);
        }
    }

    /// What the visitor said about `purpose`.
    #[must_use]
    pub const fn state(&self, purpose: Purpose) -> State {
        if self.granted.contains(purpose) {
            State::Granted
        } else if self.decided.contains(purpose) {
            State::Denied
        } else {
            State::Undecided
        }
    }

    /// Whether a purpose is left about which the visitor said nothing: then
    /// the notice asks.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.decided != PurposeSet::ALL
    }

    /// Whether there may be a "no" that cannot be read: then silence is no
    /// "yes" anywhere.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// What the visitor decided about single vendors, if anything.
    #[must_use]
    pub fn vendors(&self) -> Option<&VendorChoices> {
        self.vendors.as_deref()
    }

    /// The same consent with something decided about single vendors.
    #[must_use]
    pub fn with_vendors(self, vendors: VendorChoices) -> Self {
        Self { vendors: (!vendors.is_empty()).then(|| Arc::new(vendors)), ..self }
    }

    /// The weightiest signal that decided anything.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// The signal that decided about `purpose`.
    #[must_use]
    pub fn source_of(&self, purpose: Purpose) -> Source {
        self.sources.get(purpose as usize).copied().unwrap_or(Source::Silence)
    }

    /// The same consent where silence means what `rule` says.
    ///
    /// What was said counts everywhere. Where a signal was sent that cannot be
    /// read, nobody knows that the visitor was silent.
    #[must_use]
    pub fn in_region(mut self, rule: Rule) -> Self {
        self.region = rule;
        if rule != Rule::OptIn && !self.doubtful {
            let left = PurposeSet::ALL.minus(self.decided);
            self.decide(left, PurposeSet::EMPTY, Source::Region);
        }
        self
    }

    /// Whether the link to the choices is shown where the notice is not.
    #[must_use]
    pub fn offers_choices(&self) -> bool {
        self.region != Rule::Off
    }

    /// Puts down what one signal decides, weightier ones first.
    fn decide(&mut self, granted: PurposeSet, denied: PurposeSet, source: Source) {
        let left = PurposeSet::ALL.minus(self.decided);
        let (granted, denied) = (granted.and(left), denied.and(left));
        if granted.or(denied).is_empty() {
            return;
        }
        self.granted = self.granted.or(granted);
        self.decided = self.decided.or(granted).or(denied);
        if self.source == Source::Silence {
            self.source = source;
        }
        for (purpose, decided_by) in Purpose::ALL.into_iter().zip(&mut self.sources) {
            if granted.or(denied).contains(purpose) {
                *decided_by = source;
            }
        }
    }

    /// The same consent without what `source` granted: the visitor said more
    /// than can be kept, so it is in doubt.
    fn without_grants_of(mut self, source: Source) -> Self {
        for (purpose, decided_by) in Purpose::ALL.into_iter().zip(&mut self.sources) {
            if *decided_by == source && self.granted.contains(purpose) {
                *decided_by = Source::Silence;
                self.granted = self.granted.without(purpose);
                self.decided = self.decided.without(purpose);
            }
        }
        if self.source == source && !self.sources.contains(&source) {
            let left = self.sources.iter().find(|left| **left != Source::Silence);
            self.source = left.copied().unwrap_or(Source::Silence);
        }
        self.doubtful = true;
        self
    }

    /// Whether the browser sends a Global Privacy Control signal.
    #[must_use]
    pub const fn gpc(&self) -> bool {
        self.gpc
    }

    /// The choice read from our cookie, when there is a valid one.
    #[must_use]
    pub const fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }
}
