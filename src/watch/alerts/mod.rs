//! Tells people what they have to know before somebody else tells them.
//!
//! Each alert is about one thing, has a number that never changes, and is told
//! until somebody has taken it, over restarts. Nothing in one is about a
//! visitor.

mod desk;
mod drift;
mod newcomers;
mod rounds;
mod webhook;

pub use desk::{Desk, Told};
pub use drift::{Baseline, Drift, drift};
pub use rounds::{Rounds, Task};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// What an operator can set about alerts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where they are sent; nowhere without.
    pub webhook: Option<Webhook>,
    /// Whether they are in the log.
    pub log: bool,
    /// What is found within this time is told at once.
    pub batch: Duration,
    /// What comes and goes is told once in this time at most.
    pub repeat: Duration,
    /// For how long everything on a site counts as known when it is watched
    /// for the first time.
    pub learning: Duration,
    /// How old a filter list may be.
    pub list_age: Duration,
}

/// Who receives alerts.
#[derive(Clone)]
pub struct Webhook {
    /// Where they are posted.
    pub url: Url,
    /// What they are signed with, so that the receiver knows us.
    pub secret: Option<Vec<u8>>,
    /// More certificate authorities, a PEM file.
    pub ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("ca_file", &self.ca_file).finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            webhook: None,
            log: true,
            batch: Duration::from_secs(60),
            repeat: Duration::from_secs(3600),
            learning: Duration::from_secs(3600),
            list_age: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A vendor that was never met on the site.
    NewVendor,
    /// A host of a third party, likewise.
    NewHost,
    /// A cookie, likewise.
    NewCookie,
    /// What there is on a site that is watched for the first time.
    FirstLook,
    /// Nobody chooses any more.
    NoChoices,
    /// Nobody refuses any more.
    NoRefusals,
    /// Nobody sends Global Privacy Control any more.
    NoGpc,
    /// Choices are sent and not taken.
    ChoicesNotTaken,
    /// The synthetic visitor found that a promise does not hold.
    SelfCheckRed,
    /// An exception does not hold any more.
    ExceptionExpired,
    /// Nobody has looked again at who answers for a vendor.
    OwnershipDue,
    /// There is no copy of a filter list.
    ListMissing,
    /// A filter list is old.
    ListStale,
    /// The ledger cannot be written.
    LedgerTrouble,
    /// Entries of the ledger are lost.
    EntriesLost,
    /// Too many alerts waited for their receiver.
    AlertsDropped,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::NewVendor,
        Self::NewHost,
        Self::NewCookie,
        Self::FirstLook,
        Self::NoChoices,
        Self::NoRefusals,
        Self::NoGpc,
        Self::ChoicesNotTaken,
        Self::SelfCheckRed,
        Self::ExceptionExpired,
        Self::OwnershipDue,
        Self::ListMissing,
        Self::ListStale,
        Self::LedgerTrouble,
        Self::EntriesLost,
        Self::AlertsDropped,
    ];

    /// The word in alerts and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewVendor => "new_vendor",
            Self::NewHost => "new_host",
            Self::NewCookie => "new_cookie",
            Self::FirstLook => "first_look",
            Self::NoChoices => "no_choices",
            Self::NoRefusals => "no_refusals",
            Self::NoGpc => "no_gpc",
            Self::ChoicesNotTaken => "choices_not_taken",
            Self::SelfCheckRed => "self_check_red",
            Self::ExceptionExpired => "exception_expired",
            Self::OwnershipDue => "ownership_due",
            Self::ListMissing => "list_missing",
            Self::ListStale => "list_stale",
            Self::LedgerTrouble => "ledger_trouble",
            Self::EntriesLost => "entries_lost",
            Self::AlertsDropped => "alerts_dropped",
        }
    }
}

/// Whether an alert is about something that happened, or that is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It happened.
    Happened,
    /// It is so from now on.
    Begun,
    /// It is not so any more.
    Over,
}

/// Something that somebody has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What receivers tell repetitions by.
    pub id: String,
    /// What it is about.
    pub kind: Kind,
    /// Whether that happened, began or is over.
    pub phase: Phase,
    /// On which site, where it is about one.
    pub site: Option<String>,
    /// When it was noticed, in milliseconds since 1970.
    pub time_ms: u64,
    /// The same to read.
    pub time: String,
    /// One sentence.
    pub summary: String,
    /// What else is known, one thing a line.
    pub details: Vec<String>,
    /// The vendors, hosts and cookies that it is about.
    pub things: Vec<Thing>,
}

/// A vendor, host or cookie that is new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// `vendor`, `host` or `cookie`.
    pub sort: String,
    /// Its name.
    pub name: String,
    /// The vendor behind it; empty where nobody claims it.
    pub vendor: String,
    /// What the data would be used for; empty where nobody knows.
    pub purpose: String,
    /// What was decided: `allow`, `block`, `would block`.
    pub verdict: String,
    /// What kind of thing it was first.
    pub kind: String,
    /// The thing itself.
    pub what: String,
    /// The page it was met on first.
    pub page: String,
    /// The script that asked for it, where a browser said so.
    pub script: String,
}

/// A number for what is told by these words.
fn number_of(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word);
    }
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// A time to read.
fn readable(time_ms: u64) -> String {
    jiff::Timestamp::from_millisecond(time_ms.cast_signed())
        .map_or_else(|_| String::new(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

impl Alert {
    fn new(id: String, kind: Kind, phase: Phase, now_ms: u64, summary: String) -> Self {
        Self {
            id,
            kind,
            phase,
            site: None,
            time_ms: now_ms,
            time: readable(now_ms),
            summary,
            details: Vec::new(),
            things: Vec::new(),
        }
    }
}
