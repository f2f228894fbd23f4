//! Remembers every decision, and never makes a visitor wait for it.
//!
//! Each worker writes its entries into a spool file of its own; one thread
//! reads the spools and stores them in a SQLite database. A killed process
//! loses nothing, since its spool outlives it; a slow or full disk delays
//! nobody; what truly cannot be kept is on record as a gap.
//!
//! Nothing in here knows who a visitor is: see `Entry`.

pub mod audit;
pub mod consent_record;
mod checkpoint;
pub mod engine;
mod entry;
mod erase;
pub mod export;
mod error;
pub mod figures;
pub mod fleet;
mod intake;
mod line;
pub mod plain;
pub mod proof;
pub mod read;
pub mod receipt;
mod retention;
mod rollup;
mod schema;
mod seal;
mod spool;
mod store;
pub mod withheld;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
pub mod verify;
mod writer;

pub use audit::Audit;
pub use checkpoint::{Checkpoint, PublicKey};
pub use entry::Entry;
pub use error::Error;
pub use receipt::{Act, Method, Notice, Receipt};
pub use retention::Retention;
pub use spool::Spool;

use checkpoint::Signer;
use retention::Pruner;
use store::Store;
use writer::{Order, Writer, beside};

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const FLUSH_WAIT: Duration = Duration::from_secs(10);
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// How long the last entries may take to the ledger that many proxies share;
/// what has not got there waits for the next start.
const SEND_WAIT: Duration = Duration::from_secs(2);

/// What an operator can set about the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The database. Its spool lies beside it, in `<path>.spool/`.
    pub path: PathBuf,
    /// A spool file is followed by a new one after so many bytes.
    pub spool_bytes: u64,
    /// How long entries wait in the spool before they are stored, in
    /// milliseconds.
    pub flush_ms: u64,
    /// How long what is kept.
    pub retention: Retention,
    /// The ledger that many proxies share, to which everything is sent.
    pub fleet: Option<fleet::Place>,
}

impl Settings {
    /// A ledger at `path` with the settings that fit most; it keeps everything.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            spool_bytes: 8 * 1024 * 1024,
            flush_ms: 200,
            retention: Retention::default(),
            fleet: None,
        }
    }
}

/// Somebody who wants to know of every entry when it is written down.
type Tap = Arc<dyn Fn(&Entry) + Send + Sync>;

/// What spools and the writer thread tell the rest of the program. Numbers
/// only, but for the writer thread's last error, which no spool ever touches.
#[derive(Default)]
struct Shared {
    queued: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
    writer: AtomicBool,
    bytes: AtomicU64,
    full: AtomicBool,
    error: Mutex<Option<String>>,
    /// How far everything was sent to the ledger that many proxies share.
    fleet: Option<Arc<fleet::Progress>>,
}

impl Shared {
    /// The last seal of which everything is in the ledger that many proxies
    /// share, too: what is under a later one must not be pruned yet.
    fn sent_seals(&self) -> i64 {
        self.fleet.as_ref().map_or(i64::MAX, |progress| progress.safe().seals)
    }
}

/// How the ledger is doing, for readiness and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Status {
    /// Bytes in the spool that are not stored yet.
    pub queued_bytes: u64,
    /// Entries this process has stored, those of other processes included.
    pub written_entries: u64,
    /// Entries this process knows to be lost.
    pub lost_entries: u64,
    /// Whether this process writes the database; otherwise another one does.
    pub writer: bool,
    /// Bytes that the database takes, as of the last minute.
    pub database_bytes: u64,
    /// Whether these are more than the operator allows, and nothing is left
    /// that may go.
    pub is_full: bool,
    /// What is wrong at the moment.
    pub last_error: Option<String>,
    /// How sending to the ledger that many proxies share is doing, where there
    /// is one.
    pub fleet: Option<fleet::Status>,
}

/// The record of decisions, open for writing.
pub struct Ledger {
    settings: Settings,
    dir: PathBuf,
    shared: Arc<Shared>,
    tap: Mutex<Option<Tap>>,
    /// Where audit entries are written down; made when the first one comes.
    audits: Mutex<Option<Spool>>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
    fleet: Option<fleet::Fleet>,
    shared_readers: fleet::Pool,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens a ledger, or begins one, and starts the thread that writes it.
    ///
    /// That another process writes the same ledger is fine: entries are
    /// spooled, that process stores them, and this one takes over from it.
    ///
    /// # Errors
    /// When nothing could be stored there, and it would not get better by
    /// waiting.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        let path = &settings.path;
        let dir = beside(path, ".spool");
        check_place(path)?;
        let unwritable = |path: &Path, source| Error::NotWritable { path: path.to_owned(), source };
        fs::create_dir_all(&dir).map_err(|source| unwritable(&dir, source))?;
        let lock = beside(path, ".lock");
        let role = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&lock)
            .map_err(|source| unwritable(&lock, source))?;
        let has_role = match role.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => {
                tracing::warn!(ledger = %path.display(), "another process writes the ledger; this one only spools until that one ends");
                false
            }
            Err(TryLockError::Error(source)) => return Err(unwritable(&lock, source)),
        };
        let store = match Store::open(path, now_ms()) {
            Ok(store) => Some(store),
            // Somebody is busy with it. That passes, and the spool waits.
            Err(error) if writer::is_passing(&error) => None,
            Err(error) => return Err(error),
        };
        intake::sweep(&dir).map_err(|source| unwritable(&dir, source))?;
        let fleet = settings.fleet.as_ref().map(|_| Arc::new(fleet::Progress::default()));
        let shared = Arc::new(Shared { fleet: fleet.clone(), ..Shared::default() });
        shared.writer.store(has_role, Ordering::Relaxed);
        let (orders, inbox) = mpsc::channel();
        let signer = Signer::open(&beside(path, ".signing-key"))?;
        let key = signer.public();
        let writer = Writer {
            path: path.clone(),
            dir: dir.clone(),
            flush: Duration::from_millis(settings.flush_ms.max(1)),
            shared: Arc::clone(&shared),
            role,
            has_role,
            store,
            trouble: None,
            waiting: Vec::new(),
            offsets: HashMap::new(),
            unsynced: None,
            rolled_up: None,
            rolling: Duration::ZERO,
            erased: HashSet::new(),
            has_looked_back: false,
            pruner: Pruner::new(settings.retention, signer.clone()),
            signer,
            signed: None,
        };
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|source| unwritable(path, source))?;
        let erase = erases(dir.clone(), settings.spool_bytes, Arc::clone(&shared));
        let fleet = match settings.fleet.clone().zip(fleet) {
            Some((place, progress)) => Some(
                fleet::Fleet::start(place, path.clone(), key, progress, erase)
                    .map_err(|source| unwritable(path, source))?,
            ),
            None => None,
        };
        Ok(Self {
            settings,
            dir,
            shared,
            tap: Mutex::default(),
            audits: Mutex::default(),
            orders,
            thread: Some(thread),
            fleet,
            shared_readers: fleet::Pool::default(),
        })
    }

    /// Where its database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.settings.path
    }

    /// One worker's way into the ledger. Each worker has its own, and drops it
    /// before the ledger is closed.
    ///
    /// # Errors
    /// When its first file cannot be made.
    pub fn spool(&self, worker: usize) -> io::Result<Spool> {
        let tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let limit = self.settings.spool_bytes;
        Spool::create(self.dir.clone(), worker, limit, Arc::clone(&self.shared), tap)
    }

    /// Shows every entry to `tap` as it is written down, in the workers' own
    /// time: the demo prints them. Spools made before know nothing of it.
    pub fn tap(&self, tap: Box<dyn Fn(&Entry) + Send + Sync>) {
        *self.tap.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::from(tap));
    }

    /// How the ledger is doing. Cheap enough to be asked often.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            queued_bytes: self.shared.queued.load(Ordering::Relaxed),
            written_entries: self.shared.written.load(Ordering::Relaxed),
            lost_entries: self.shared.lost.load(Ordering::Relaxed),
            writer: self.shared.writer.load(Ordering::Relaxed),
            database_bytes: self.shared.bytes.load(Ordering::Relaxed),
            is_full: self.shared.full.load(Ordering::Relaxed),
            last_error: self.shared.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            fleet: self.shared.fleet.as_ref().map(|progress| progress.status()),
        }
    }

    /// Waits until everything appended so far can be read, sums included, for
    /// ten seconds at most.
    ///
    /// # Errors
    /// When that was not long enough.
    pub fn flush(&self) -> Result<(), Error> {
        self.flush_within(FLUSH_WAIT, true)
    }

    /// Stores what is left and ends the thread. Every spool is dropped before.
    ///
    /// # Errors
    /// When not all could be stored within five seconds. Nothing is lost by
    /// that: the next one to open the ledger stores the rest.
    pub fn close(mut self) -> Result<(), Error> {
        drop(self.audits.lock().unwrap_or_else(PoisonError::into_inner).take());
        let flushed = self.flush_within(CLOSE_WAIT, false);
        if let Some(fleet) = self.fleet.take() {
            fleet.finish(SEND_WAIT);
        }
        flushed
    }

    /// Asks for figures: of the ledger that many proxies share where there is
    /// one, otherwise of this one. It waits for disk or network.
    ///
    /// # Errors
    /// When that ledger cannot be read, and what `ask` fails with.
    pub fn ask<T>(
        &self,
        ask: impl FnOnce(&figures::Figures) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match &self.settings.fleet {
            Some(place) => self.shared_readers.ask(place, ask),
            None => figures::Figures::open(self.path()).and_then(|figures| ask(&figures)),
        }
    }

    /// What is in the ledger that many proxies share, too; nothing where there
    /// is none. What is behind it must not be removed here.
    #[must_use]
    pub fn shipped(&self) -> Option<fleet::Shipped> {
        self.shared.fleet.as_ref().map(|progress| progress.safe())
    }

    fn flush_within(&self, wait: Duration, sums: bool) -> Result<(), Error> {
        let unfinished =
            |why: String| Error::Unfinished { queued_bytes: self.status().queued_bytes, why };
        let sizes = intake::list(&self.dir).map_err(|error| unfinished(error.to_string()))?;
        let (done, wait_for) = mpsc::channel();
        self.orders
            .send(Order::Flush { sizes, sums, done })
            .map_err(|_| unfinished("the writer thread has ended".to_owned()))?;
        wait_for.recv_timeout(wait).map_err(|_| {
            let why = self.status().last_error;
            unfinished(why.unwrap_or_else(|| "there was not enough time".to_owned()))
        })
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // A thread that has ended already needs no order and no waiting for.
        self.orders.send(Order::Stop).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Stands where the names of other spool files have a worker's number.
const ERASURES: usize = 9998;

/// What was erased at another proxy is erased here like anything else.
fn erases(dir: PathBuf, spool_bytes: u64, shared: Arc<Shared>) -> fleet::Erase {
    Box::new(move |numbers| {
        let spool = Spool::create(dir.clone(), ERASURES, spool_bytes, Arc::clone(&shared), None);
        match spool {
            Ok(mut spool) => {
                numbers.iter().for_each(|number| spool.erase(*number, now_ms()));
                true
            }
            // It is asked for again soon.
            Err(error) => {
                tracing::warn!(%error, "a receipt could not be erased yet");
                false
            }
        }
    })
}

/// The mistakes about the path itself, told apart from what is in the file.
fn check_place(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Err(Error::IsDirectory { path: path.to_owned() });
    }
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    if dir.is_dir() { Ok(()) } else { Err(Error::NoDirectory { dir: dir.to_owned() }) }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
