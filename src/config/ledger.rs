//! What is set about the ledger: where it is, how long what is kept, and about
//! the one that many proxies share.

use crate::config::file::{default, is_set};
use crate::config::findings::Findings;
use crate::config::keys::warn_if_open;
use crate::ledger::Retention;
use crate::ledger::fleet::place::{self, Place};

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::Spanned;

/// A hundred years: more is a slip of the hand.
const MOST_DAYS: u32 = 36_525;

/// Smaller than this, the ledger would be full before it has said anything.
const LEAST_BYTES: u64 = 16 * 1024 * 1024;

/// Where decisions are remembered.
#[derive(Serialize, Deserialize)]
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
    /// The PostgreSQL database that many proxies share; empty for none.
    pub postgres_url: Spanned<String>,
    /// A file that holds the address, for one with a password in it.
    pub postgres_url_file: Spanned<String>,
    /// More certificate authorities that its certificate may be signed by.
    pub postgres_ca_file: Spanned<String>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            file: default("consentry-data/ledger.db".into()),
            keep_days: default(400),
            keep_receipts_days: default(1826),
            max_bytes: default(0),
            postgres_url: default(String::new()),
            postgres_url_file: default(String::new()),
            postgres_ca_file: default(String::new()),
        }
    }
}

/// The address may hold a password.
impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The proxy's own ledger.
pub(super) fn file(written: &Ledger, findings: &mut Findings<'_>) -> PathBuf {
    findings.not_empty(&written.file, "the ledger needs a file");
    if place::is_address(written.file.get_ref()) {
        findings.wrong_with_advice(
            &written.file,
            "a proxy's own ledger is a file",
            "set `postgres_url` for the ledger that many proxies share; they fill it from their own",
        );
    }
    PathBuf::from(written.file.get_ref())
}

/// How long what is kept.
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

/// The ledger that many proxies share, if there is one.
pub(super) fn fleet(written: &Ledger, findings: &mut Findings<'_>) -> Option<Place> {
    let place = shared(written, findings)?;
    // Whoever set how long what is kept may think that it holds there, too.
    for (key, days) in
        [("keep_days", &written.keep_days), ("keep_receipts_days", &written.keep_receipts_days)]
    {
        if is_set(days) && *days.get_ref() > 0 {
            findings.note(days, &format!("`{key}` is about this proxy's own ledger; the shared one keeps everything until its owner drops what is too old (docs/fleet.md)"));
        }
    }
    Some(place)
}

fn shared(written: &Ledger, findings: &mut Findings<'_>) -> Option<Place> {
    let Ledger { postgres_url, postgres_url_file, postgres_ca_file, .. } = written;
    let ca_file = match postgres_ca_file.get_ref().is_empty() {
        true => None,
        false => Some(findings.readable(postgres_ca_file)?),
    };
    let (place, url) = match (postgres_url.get_ref(), postgres_url_file.get_ref()) {
        (url, file) if url.is_empty() && file.is_empty() => return None,
        (url, file) if file.is_empty() => (postgres_url, url.clone()),
        (url, file) if url.is_empty() => match findings.read(postgres_url_file) {
            Ok(text) => {
                warn_if_open(Path::new(file), findings);
                (postgres_url_file, text.trim().to_owned())
            }
            Err(error) => {
                findings.unreadable(postgres_url_file, &error);
                return None;
            }
        },
        _ => {
            findings.wrong_with_advice(
                postgres_url_file,
                "there are two addresses of the shared ledger",
                "keep one of `postgres_url` and `postgres_url_file`",
            );
            return None;
        }
    };
    match Place::parse(&url, ca_file.as_deref()) {
        Ok(place) => Some(place),
        Err(why) => {
            let message = format!("the address of the shared ledger is wrong: {why}");
            findings.wrong_with_advice(place, message, format!("write it like {}", place::EXAMPLE));
            None
        }
    }
}
