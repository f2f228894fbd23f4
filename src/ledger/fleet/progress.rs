//! How far sending got: for readiness, metrics, and whoever wants to remove
//! what is old.

use crate::ledger::fleet::batch::Cursors;
use crate::ledger::fleet::ship::note_of;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often it is noted beside the ledger how far it was shipped.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// How sending to the shared ledger is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether the last attempt went well.
    pub connected: bool,
    /// Entries that are stored here and not there yet.
    pub behind_entries: u64,
    /// What is wrong at the moment; never with a password in it.
    pub last_error: Option<String>,
}

/// The last row of each sort that is in the shared ledger, too: what is behind
/// it must not be removed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shipped {
    /// Sets of decisions.
    pub sets: i64,
    /// Entries.
    pub entries: i64,
    /// Receipts.
    pub receipts: i64,
    /// Gaps.
    pub gaps: i64,
    /// Audit entries.
    pub audits: i64,
    /// Notices.
    pub notices: i64,
    /// Seals.
    pub seals: i64,
}

/// What the thread that sends tells the rest of the program.
#[derive(Debug, Default)]
pub struct Progress {
    connected: AtomicBool,
    behind: AtomicU64,
    error: Mutex<Option<String>>,
    cursors: Mutex<Option<Cursors>>,
    noted: Mutex<Option<Instant>>,
}

impl Progress {
    /// As it was noted when this ledger was last sent.
    pub(in crate::ledger) fn of(ledger: &Path) -> Self {
        let cursors = fs::read_to_string(note_of(ledger)).ok().and_then(|note| {
            let noted: BTreeMap<String, i64> = serde_json::from_str(&note).ok()?;
            let mut all = Cursors::start().all();
            for (cursor, sort) in all.iter_mut().zip(Cursors::SORTS) {
                *cursor = *noted.get(sort)?;
            }
            Some(Cursors::of(all))
        });
        Self { cursors: Mutex::new(cursors), ..Self::default() }
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            connected: self.connected.load(Ordering::Relaxed),
            behind_entries: self.behind.load(Ordering::Relaxed),
            last_error: held(&self.error).clone(),
        }
    }

    /// What may be removed here, since it is there; nothing as long as nobody
    /// knows.
    #[must_use]
    pub fn safe(&self) -> Shipped {
        let Cursors { sets, entries, receipts, gaps, audits, notices, seals, .. } =
            held(&self.cursors).unwrap_or_default();
        Shipped { sets, entries, receipts, gaps, audits, notices, seals }
    }

    pub(super) fn cursors(&self) -> Option<Cursors> {
        *held(&self.cursors)
    }

    pub(super) fn shipped(&self, cursors: Cursors) {
        *held(&self.cursors) = Some(cursors);
    }

    pub(super) fn behind(&self, entries: u64) {
        self.behind.store(entries, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, why: String) {
        self.connected.store(false, Ordering::Relaxed);
        *held(&self.error) = Some(why);
    }

    /// Whether that is news.
    pub(super) fn connected(&self) -> bool {
        *held(&self.error) = None;
        !self.connected.swap(true, Ordering::Relaxed)
    }

    pub(super) fn note_soon(&self, ledger: &Path) {
        let is_due = held(&self.noted).is_none_or(|last| last.elapsed() >= NOTE_EVERY);
        if is_due {
            self.note(ledger);
        }
    }

    /// Notes it beside the ledger. It is a hint: the shared ledger knows.
    pub(super) fn note(&self, ledger: &Path) {
        *held(&self.noted) = Some(Instant::now());
        let Some(cursors) = self.cursors() else { return };
        let note: BTreeMap<&str, i64> = Cursors::SORTS.into_iter().zip(cursors.all()).collect();
        let (file, fresh) = (note_of(ledger), note_of(&ledger.with_extension("new")));
        let written = serde_json::to_string(&note)
            .map_err(std::io::Error::from)
            .and_then(|note| fs::write(&fresh, note))
            .and_then(|()| fs::rename(&fresh, &file));
        if let Err(error) = written {
            tracing::debug!(%error, "it could not be noted how far the ledger was shipped");
        }
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
