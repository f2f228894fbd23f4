//! What one exchange adds to the ledger.

use crate::consent::Source;
use crate::policy::{Decisions, Mode};
use crate::purpose::PurposeSet;

use std::sync::Arc;

/// The record of one exchange that carried decisions. It holds nothing about
/// the visitor but their consent class: no address, no user agent, no cookie
/// value, no full URL.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The site's name.
    pub site: Arc<str>,
    /// The path of the page, without query and ids (`policy::redact_path`).
    pub page: String,
    /// What the visitor had granted.
    pub class: PurposeSet,
    /// Whether they were still undecided about something.
    pub undecided: bool,
    /// The signal that decided.
    pub signal: Source,
    /// The policy's revision.
    pub policy_revision: Arc<str>,
    /// Whether the verdicts were carried out.
    pub mode: Mode,
    /// What was decided.
    pub decisions: Decisions,
}
