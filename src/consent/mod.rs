//! What the visitor chose, and how we know.
//!
//! Silence is "no", and so is a doubt: a signal that cannot be read with
//! certainty leaves the visitor undecided, never granted. This room does no
//! I/O and reads no clock; the caller says what time it is.

mod cookie;
mod signals;
mod vendors;

pub use cookie::{Keys, KeysError, ReceiptId, Record};
pub use signals::{Settings, cookie_values, global_privacy_control, read};
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
    gpc: bool,
    record: Option<Record>,
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
            gpc: false,
            record: None,
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
            gpc: false,
            record: None,
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

    /// The signal that decided.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
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
