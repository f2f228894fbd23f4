//! What is set about the ledger: where it is, and how long what is kept.

use crate::config::file::default;
use crate::config::findings::Findings;
use crate::ledger::Retention;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toml::Spanned;

/// A hundred years: more is a slip of the hand.
const MOST_DAYS: u32 = 36_525;

/// Smaller than this, the ledger would be full before it has said anything.
const LEAST_BYTES: u64 = 16 * 1024 * 1024;

/// Where decisions are remembered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[ledger]`")]
pub struct Ledger {
    /// The database.
    pub file: Spanned<String>,
    /// For how many days entries are kept; 0 for ever.
    pub keep_days: Spanned<u32>,
    /// For how many days receipts are kept; 0 for ever.
    pub keep_receipts_days: Spanned<u32>,
    /// How large the database may become, in bytes; 0 for as large as it is.
    pub max_bytes: Spanned<u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            file: default("consentry-data/ledger.db".into()),
            keep_days: default(400),
            keep_receipts_days: default(1826),
            max_bytes: default(0),
        }
    }
}

pub(super) fn file(written: &Ledger, findings: &mut Findings<'_>) -> PathBuf {
    findings.not_empty(&written.file, "the ledger needs a file");
    PathBuf::from(written.file.get_ref())
}

pub(super) fn retention(written: &Ledger, findings: &mut Findings<'_>) -> Retention {
    let max_bytes = *written.max_bytes.get_ref();
    if (1..LEAST_BYTES).contains(&max_bytes) {
        findings.wrong_with_advice(
            &written.max_bytes,
            format!("{max_bytes} bytes are too few for a ledger"),
            format!("give it at least {LEAST_BYTES}, or 0 for no limit"),
        );
    }
    Retention {
        keep_days: findings.number(&written.keep_days, 0..=MOST_DAYS),
        keep_receipts_days: findings.number(&written.keep_receipts_days, 0..=MOST_DAYS),
        max_bytes,
    }
}
