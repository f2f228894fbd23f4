//! The one thread that writes the database.
//!
//! It reads the spools of every process that shares the ledger, dead ones
//! too, and stores each line exactly once. Whatever is wrong with the
//! database, the spools stay until it is right again.

use crate::ledger::checkpoint::Signer;
use crate::ledger::erase;
use crate::ledger::intake::{self, Piece, Sizes, Taken};
use crate::ledger::retention::Pruner;
use crate::ledger::schema;
use crate::ledger::store::Store;
use crate::ledger::{Error, Shared, now_ms};

use rusqlite::ErrorCode;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// What a power failure may cost at most.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How far sums may be behind, unless somebody waits for them.
const ROLL_UP_EVERY: Duration = Duration::from_secs(3);

/// The same while there is much to store.
const ROLL_UP_BUSY: Duration = Duration::from_secs(60);

/// How old the last checkpoint of a busy ledger may be.
const SIGN_EVERY: Duration = Duration::from_secs(600);

/// The longest pause between two attempts.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the thread can be told.
pub(super) enum Order {
    /// Says when everything up to these sizes is stored, and added up if that
    /// is wanted, too.
    Flush { sizes: Sizes, sums: bool, done: Sender<()> },
    /// Ends the thread; what is left stays in the spool.
    Stop,
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) dir: PathBuf,
    pub(super) flush: Duration,
    pub(super) shared: Arc<Shared>,
    /// Whoever holds its lock is the one that writes.
    pub(super) role: File,
    pub(super) has_role: bool,
    pub(super) store: Option<Store>,
    pub(super) trouble: Option<Duration>,
    pub(super) waiting: Vec<Waiting>,
    /// How far each spool file was stored when last looked at.
    pub(super) offsets: HashMap<String, u64>,
    /// When something was stored that the disk may not have yet.
    pub(super) unsynced: Option<Instant>,
    /// When sums were brought up to date.
    pub(super) rolled_up: Option<Instant>,
    /// How long that took.
    pub(super) rolling: Duration,
    /// Numbers of erased receipts that the spool may still hold.
    pub(super) erased: HashSet<String>,
    /// Whether that was asked about the process that wrote before this one.
    pub(super) has_looked_back: bool,
    /// Forgets what is too old or too much.
    pub(super) pruner: Pruner,
    /// Signs checkpoints.
    pub(super) signer: Signer,
    /// When that was done last.
    pub(super) signed: Option<Instant>,
}

/// Somebody who waits.
pub(super) struct Waiting {
    sizes: Sizes,
    sums: bool,
    done: Sender<()>,
}

/// How a pass over the spools ended.
struct Pass {
    more: bool,
    finished: Vec<String>,
    unreadable: Option<Error>,
}

impl Writer {
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        let mut pause = Duration::ZERO;
        loop {
            match orders.recv_timeout(pause) {
                Ok(Order::Flush { sizes, sums, done }) => {
                    self.waiting.push(Waiting { sizes, sums, done });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    if let Err(error) = self.leave_no_trace() {
                        tracing::warn!(%error, "what was erased is cleared on the next start");
                    }
                    self.sign();
                    return self.sync();
                }
            }
            pause = match self.round() {
                Ok(more) => {
                    self.recover();
                    if more { Duration::ZERO } else { self.flush }
                }
                Err(error) => self.complain(&error),
            };
        }
    }

    /// Stores what is there; says whether there is more.
    fn round(&mut self) -> Result<bool, Error> {
        self.take_role();
        self.look_whether_it_is_there();
        if !self.has_role {
            return self.report().map(|()| false);
        }
        let mut pass = self.store_once()?;
        // What fails here must not keep the spool from being emptied.
        let (rolled_up, pruned) = (self.roll_up(pass.more), self.prune());
        pass.more |= matches!(rolled_up, Ok(true)) || matches!(pruned, Ok(true));
        let mut removed = Ok(());
        if !pass.finished.is_empty()
            || self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_EVERY)
        {
            self.sync();
            removed = self.remove(&pass.finished);
        }
        if self.signed.is_none_or(|since| since.elapsed() >= SIGN_EVERY) {
            self.sign();
        }
        self.report()?;
        removed.and(rolled_up).and(pruned)?;
        pass.unreadable.map_or(Ok(pass.more), Err)
    }

    fn take_role(&mut self) {
        if !self.has_role {
            self.has_role = match self.role.try_lock() {
                Ok(()) => {
                    tracing::info!(ledger = %self.path.display(), "this process writes the ledger now");
                    true
                }
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
            };
        }
        self.shared.writer.store(self.has_role, Ordering::Relaxed);
    }

    /// One transaction with the next part of every spool file.
    fn store_once(&mut self) -> Result<Pass, Error> {
        let (path, dir) = (self.path.clone(), self.dir.clone());
        let failed = |source| schema::explain(&path, source);
        let store = self.opened()?;
        let offsets = store.offsets().map_err(failed)?;
        if !self.has_looked_back {
            self.look_back(&offsets)?;
        }
        let store = self.opened()?;
        let mut room = intake::BATCH_BYTES;
        let mut pass = Pass { more: false, finished: Vec::new(), unreadable: None };
        let mut pieces = Vec::new();
        for (name, _) in intake::list(&dir).map_err(|source| unreadable(&dir, source))? {
            if room == 0 {
                pass.more = true;
                break;
            }
            let offset = offsets.get(&name).copied().unwrap_or(0);
            let piece = match Piece::read(&dir, &name, offset, intake::BATCH_BYTES) {
                Ok(piece) => piece,
                // One file that cannot be read must not keep back the others.
                Err(source) => {
                    pass.unreadable = Some(unreadable(&dir.join(&name), source));
                    continue;
                }
            };
            room = room.saturating_sub(piece.size());
            pass.more |= piece.more;
            if piece.finished {
                pass.finished.push(name);
            }
            if !piece.is_empty() {
                pieces.push(piece);
            }
        }
        if !pieces.is_empty() {
            let taken = store_all(store, &pieces).map_err(failed)?;
            self.unsynced.get_or_insert_with(Instant::now);
            self.offsets.extend(pieces.into_iter().map(|piece| (piece.name, piece.next)));
            self.shared.written.fetch_add(taken.entries, Ordering::Relaxed);
            self.shared.lost.fetch_add(taken.lost, Ordering::Relaxed);
            self.erased.extend(taken.erased);
        }
        self.leave_no_trace()?;
        Ok(pass)
    }

    /// Adds up what was stored: from time to time, and sooner for who waits.
    /// Storing comes first while much of it is due. Says whether there is more
    /// to add up.
    fn roll_up(&mut self, busy: bool) -> Result<bool, Error> {
        let pause = if busy { ROLL_UP_BUSY } else { ROLL_UP_EVERY.max(self.rolling * 10) };
        let is_due = self.rolled_up.is_none_or(|since| since.elapsed() >= pause)
            || !busy && self.waiting.iter().any(|each| each.sums);
        if !is_due {
            return Ok(false);
        }
        let path = self.path.clone();
        let begun = Instant::now();
        let more = self.opened()?.roll_up().map_err(|source| schema::explain(&path, source))?;
        self.rolling = begun.elapsed();
        if !more || busy {
            self.rolled_up = Some(Instant::now());
        }
        Ok(more)
    }

    /// Forgets the next part of what is due; says whether there is more.
    fn prune(&mut self) -> Result<bool, Error> {
        let path = self.path.clone();
        self.opened()?;
        let Some(store) = self.store.as_mut() else { return Ok(false) };
        self.pruner.sent_seals = self.shared.sent_seals();
        let more = store
            .prune(&mut self.pruner, now_ms())
            .map_err(|source| schema::explain(&path, source))?;
        self.shared.bytes.store(self.pruner.bytes, Ordering::Relaxed);
        let was_full = self.shared.full.swap(self.pruner.is_full, Ordering::Relaxed);
        if self.pruner.is_full && !was_full {
            tracing::warn!(ledger = %path.display(), bytes = self.pruner.bytes, "the ledger is larger than max_bytes, and nothing in it may be pruned; raise max_bytes, or shorten keep_receipts_days");
        }
        Ok(more)
    }

    /// Finds what the process that wrote before this one was to erase.
    fn look_back(&mut self, offsets: &HashMap<String, u64>) -> Result<(), Error> {
        let dir = self.dir.clone();
        let store = self.opened()?;
        let is_erased = |number: &str| store.is_erased(number).map_err(io::Error::other);
        let left = erase::left_over(&dir, offsets, is_erased);
        self.erased.extend(left.map_err(|source| unreadable(&dir, source))?);
        self.has_looked_back = true;
        Ok(())
    }

    /// Clears what the database's log and the spool still hold of erased
    /// receipts; tried again until it is done. The spool comes last: until then
    /// it is what tells the next process, should this one be stopped.
    fn leave_no_trace(&mut self) -> Result<(), Error> {
        if self.erased.is_empty() {
            return Ok(());
        }
        let (path, dir, numbers) = (self.path.clone(), self.dir.clone(), self.erased.clone());
        let cleared =
            self.opened()?.clear_log().map_err(|source| schema::explain(&path, source))?;
        if cleared {
            erase::scrub(&dir, &numbers).map_err(|source| unreadable(&dir, source))?;
            self.erased.clear();
        }
        Ok(())
    }

    fn opened(&mut self) -> Result<&mut Store, Error> {
        let store = match self.store.take() {
            Some(store) => store,
            None => {
                let mut store = Store::open(&self.path, now_ms())?;
                if self.has_role && !self.offsets.is_empty() {
                    let gone_on = store.go_on_from(&self.offsets);
                    gone_on.map_err(|source| schema::explain(&self.path, source))?;
                }
                store
            }
        };
        Ok(self.store.insert(store))
    }

    /// Lets go of a database that is not in its place any more: it was moved
    /// away, or another one was put there.
    fn look_whether_it_is_there(&mut self) {
        if let Some(store) = self.store.take_if(|store| !store.is_in_place(&self.path)) {
            tracing::warn!(ledger = %self.path.display(), "the ledger was moved away, or another file was put in its place");
            store.leave();
        }
    }

    /// Signs the tree as it is. That it fails costs a checkpoint; the next
    /// round tells what is wrong with the database.
    fn sign(&mut self) {
        self.signed = Some(Instant::now());
        if let Some(store) = self.store.as_mut().filter(|_| self.has_role)
            && let Err(error) = store.sign(&self.signer, now_ms())
        {
            tracing::debug!(%error, "no checkpoint was signed");
        }
    }

    /// Has the disk keep what was stored. SQLite itself does so only now and
    /// then, which is enough against a crash but not against a power failure.
    fn sync(&mut self) {
        if self.unsynced.is_some() {
            // Without a write-ahead log, every transaction was synced already.
            let synced = match File::open(beside(&self.path, "-wal")) {
                Ok(log) => log.sync_data(),
                Err(_) => Ok(()),
            };
            if synced.is_ok() {
                self.unsynced = None;
            }
        }
    }

    /// Removes spool files that are stored, for good. How far they were stored
    /// is forgotten only after that (in `report`): the other way round, a
    /// crash in between would store them twice.
    fn remove(&self, finished: &[String]) -> Result<(), Error> {
        // What is to be erased elsewhere, a finished file may be the only one to tell.
        if finished.is_empty() || self.unsynced.is_some() || !self.erased.is_empty() {
            return Ok(());
        }
        let failed = |source| unreadable(&self.dir, source);
        for name in finished {
            fs::remove_file(self.dir.join(name)).map_err(failed)?;
        }
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed)
    }

    /// Says how much is waiting, and tells those who wait for something.
    fn report(&mut self) -> Result<(), Error> {
        let (path, dir, has_role) = (self.path.clone(), self.dir.clone(), self.has_role);
        let failed = |source| schema::explain(&path, source);
        let nobody_waits = self.waiting.is_empty();
        let store = self.opened()?;
        let offsets = store.offsets().map_err(failed)?;
        let rolled_up = nobody_waits || store.is_rolled_up().map_err(failed)?;
        let files = intake::list(&dir).map_err(|source| unreadable(&dir, source))?;
        let is_gone = |name: &&String| !files.iter().any(|(file, _)| file == *name);
        if has_role {
            offsets
                .keys()
                .filter(is_gone)
                .try_for_each(|name| store.forget(name))
                .map_err(failed)?;
        }
        self.shared.queued.store(intake::queued(&files, &offsets), Ordering::Relaxed);
        self.waiting.retain(|Waiting { sizes, sums, done }| {
            let stored = sizes.iter().all(|(name, size)| {
                offsets.get(name).is_some_and(|offset| offset >= size)
                    || *size == 0
                    || is_gone(&name)
            });
            // Nobody may be listening any more: then it is done all the same.
            !(stored && (rolled_up || !sums)) || {
                done.send(()).ok();
                false
            }
        });
        self.offsets = offsets;
        Ok(())
    }

    /// Says once what is wrong, and how long to wait before the next attempt.
    fn complain(&mut self, error: &Error) -> Duration {
        if self.trouble.is_none() {
            tracing::warn!(ledger = %self.path.display(), %error, "the ledger cannot be written; its entries wait in the spool");
        }
        *self.shared.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        // A database that is broken, or another one by now, is opened anew.
        if !is_passing(error) && !matches!(error, Error::NotWritable { .. }) {
            self.store = None;
        }
        if let Ok(files) = intake::list(&self.dir) {
            self.shared.queued.store(intake::queued(&files, &self.offsets), Ordering::Relaxed);
        }
        let pause = self.trouble.map_or(self.flush, |pause| (pause * 2).min(PATIENCE));
        self.trouble = Some(pause);
        pause
    }

    fn recover(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!(ledger = %self.path.display(), "the ledger is written again");
            *self.shared.error.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

fn store_all(store: &mut Store, pieces: &[Piece]) -> rusqlite::Result<Taken> {
    let mut batch = store.begin()?;
    let mut all = Taken::default();
    for piece in pieces {
        let taken = piece.store(&mut batch)?;
        all.entries += taken.entries;
        all.lost += taken.lost;
        all.erased.extend(taken.erased);
    }
    batch.seal(now_ms())?;
    batch.commit()?;
    Ok(all)
}

/// Whether the open database is still good for the next attempt.
pub(super) fn is_passing(error: &Error) -> bool {
    let Error::Database { source, .. } = error else { return false };
    matches!(
        source.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
    )
}

fn unreadable(dir: &Path, source: io::Error) -> Error {
    Error::NotWritable { path: dir.to_owned(), source }
}

/// A file that belongs to the ledger: its name with something added.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
