//! What was decided, and why.

use crate::catalogue::Identity;
use crate::policy::Exception;
use crate::purpose::Purpose;

use std::sync::Arc;

/// No verdict without a reason: every ledger line can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It may pass.
    Allow(Basis),
    /// It is withheld.
    Block(Grounds),
}

/// Why something may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Basis {
    /// The site cannot work without it.
    Necessary,
    /// The visitor agreed to this purpose (and to the vendor's others).
    Granted(Purpose),
    /// The visitor agreed to this very vendor.
    VendorAllowed,
    /// The visitor asked for this one thing, this once.
    AskedFor,
    /// It belongs to the site itself.
    FirstParty,
    /// Nobody in the catalogue claims it, and the site lets those pass.
    Unlisted,
    /// The visitor said nothing about this purpose, and verdicts on this vendor
    /// are only recorded.
    Observed(Purpose),
    /// Only a filter list knows it, and the page is one that must not break.
    SafeMode,
    /// It could not be read, and the operator lets that pass here.
    Unfiltered,
    /// An exception says so.
    Exception,
}

/// Why something is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grounds {
    /// The visitor did not agree to this purpose.
    NotGranted(Purpose),
    /// The visitor refused this very vendor, which has this purpose.
    VendorRefused(Purpose),
    /// Nobody in the catalogue claims it, and the site withholds those.
    Unlisted,
    /// It cannot be judged, so it is not let through.
    Unreadable,
    /// An exception says so.
    Exception,
}

impl Basis {
    /// Whether it passes only because verdicts on its vendor are recorded and
    /// not carried out.
    #[must_use]
    pub const fn is_observed(self) -> bool {
        matches!(self, Self::Observed(_))
    }
}

impl Verdict {
    /// Whether it is withheld.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Block(_))
    }

    /// Whether another visitor's choice could have made it another one.
    #[must_use]
    pub const fn is_by_consent(self) -> bool {
        matches!(
            self,
            Self::Allow(
                Basis::Granted(_) | Basis::VendorAllowed | Basis::AskedFor | Basis::Observed(_)
            ) | Self::Block(Grounds::NotGranted(_) | Grounds::VendorRefused(_))
        )
    }

    /// `allow` or `block`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Block(_) => "block",
        }
    }

    /// The reason, in two or three words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Allow(Basis::Necessary) => "necessary",
            Self::Allow(Basis::Granted(_)) => "granted",
            Self::Allow(Basis::VendorAllowed) => "vendor allowed",
            Self::Allow(Basis::AskedFor) => "asked for once",
            Self::Block(Grounds::VendorRefused(_)) => "vendor refused",
            Self::Allow(Basis::FirstParty) => "first party",
            Self::Allow(Basis::Unlisted) | Self::Block(Grounds::Unlisted) => "unlisted",
            Self::Block(Grounds::NotGranted(_)) => "not granted",
            Self::Block(Grounds::Unreadable) => "cannot be judged",
            Self::Allow(Basis::Observed(_)) => "observed",
            Self::Allow(Basis::SafeMode) => "safe mode",
            Self::Allow(Basis::Unfiltered) => "passed unfiltered",
            Self::Allow(Basis::Exception) | Self::Block(Grounds::Exception) => "exception",
        }
    }
}

/// A verdict, and whose subject it was about.
#[derive(Clone, Debug)]
pub struct Ruling<'p> {
    /// What may happen.
    pub verdict: Verdict,
    /// The vendor and rule behind it, if anybody claims it.
    pub identity: Option<Identity<'p>>,
    /// The exception that made it so, if one did.
    pub exception: Option<&'p Arc<Exception>>,
}

impl Ruling<'_> {
    /// Whether somebody decided on this very thing: the catalogue, a list or
    /// an exception.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.identity.is_some() || self.exception.is_some()
    }
}
