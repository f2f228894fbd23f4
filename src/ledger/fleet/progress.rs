//! How far sending got: for readiness, metrics, and whoever wants to remove
//! what is old.

use crate::ledger::fleet::batch::Cursors;
use crate::ledger::writer::beside;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
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

/// Which ledger is sent where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whose {
    /// The shared ledger, without a password.
    pub(super) place: String,
    /// The name that the node's checkpoints have.
    pub(super) node: String,
    /// When its ledger was begun.
    pub(super) created_ms: i64,
}

/// What is noted beside the ledger.
#[derive(Serialize, Deserialize)]
struct Note {
    whose: Whose,
    rows: BTreeMap<String, i64>,
}

/// How far it was sent.
#[derive(Clone, Copy, Debug)]
struct Far {
    cursors: Cursors,
    /// Whether the shared ledger said so itself, and no note did.
    is_certain: bool,
}

/// What the thread that sends tells the rest of the program.
#[derive(Debug, Default)]
pub struct Progress {
    connected: AtomicBool,
    behind: AtomicU64,
    error: Mutex<Option<String>>,
    whose: Mutex<Option<Whose>>,
    far: Mutex<Option<Far>>,
    noted: Mutex<Option<Instant>>,
}

impl Progress {
    /// Says which ledger is sent where from now on; of that, what was noted
    /// when it was last sent is a hint.
    pub(super) fn begin(&self, ledger: &Path, whose: Whose) {
        let mut held_now = held(&self.whose);
        if held_now.as_ref() == Some(&whose) {
            return;
        }
        let noted = noted(ledger, &whose);
        *held(&self.far) = noted.map(|cursors| Far { cursors, is_certain: false });
        *held_now = Some(whose);
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

    /// What may be removed here, since it is there; nothing until the shared
    /// ledger has said so itself.
    #[must_use]
    pub fn safe(&self) -> Shipped {
        let Cursors { sets, entries, receipts, gaps, audits, notices, seals, .. } =
            held(&self.far).filter(|far| far.is_certain).map(|far| far.cursors).unwrap_or_default();
        Shipped { sets, entries, receipts, gaps, audits, notices, seals }
    }

    pub(super) fn cursors(&self) -> Option<Cursors> {
        held(&self.far).map(|far| far.cursors)
    }

    pub(super) fn shipped(&self, cursors: Cursors) {
        *held(&self.far) = Some(Far { cursors, is_certain: true });
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
        let Some(whose) = held(&self.whose).clone() else { return };
        let rows = Cursors::SORTS.map(str::to_owned).into_iter().zip(cursors.all()).collect();
        let note = Note { whose, rows };
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

/// How far it was noted that this ledger was sent there.
fn noted(ledger: &Path, whose: &Whose) -> Option<Cursors> {
    let note = fs::read_to_string(note_of(ledger)).ok()?;
    let note: Note = serde_json::from_str(&note).ok()?;
    let mut all = Cursors::start().all();
    for (cursor, sort) in all.iter_mut().zip(Cursors::SORTS) {
        *cursor = *note.rows.get(sort)?;
    }
    (note.whose == *whose).then(|| Cursors::of(all))
}

/// Where it is noted how far a ledger was shipped, for as long as the shared
/// one cannot be asked.
fn note_of(ledger: &Path) -> PathBuf {
    beside(ledger, ".shipped")
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_a_hint_and_only_about_that_ledger_in_that_place() {
        let directory = tempfile::TempDir::new().unwrap();
        let ledger = directory.path().join("ledger.db");
        let whose = Whose { place: "db.internal".into(), node: "shop".into(), created_ms: 7 };
        let sent = Cursors::of([1, 2, 3, 4, 5, 6, 7, 8]);
        let before = Progress::default();
        before.begin(&ledger, whose.clone());
        before.shipped(sent);
        before.note(&ledger);
        let progress = Progress::default();
        progress.begin(&ledger, whose.clone());
        assert_eq!(progress.cursors(), Some(sent));
        assert_eq!(progress.safe(), Shipped::default(), "nobody has answered yet");
        progress.shipped(sent);
        assert_eq!(progress.safe().seals, 7);
        for other in [
            Whose { place: "elsewhere".into(), ..whose.clone() },
            Whose { node: "blog".into(), ..whose.clone() },
            Whose { created_ms: 8, ..whose },
        ] {
            progress.begin(&ledger, other);
            assert_eq!((progress.cursors(), progress.safe()), (None, Shipped::default()));
        }
    }
}
