//! The one thread that sends what a proxy has on record to the shared ledger.
//!
//! Nobody waits for it. Whatever is wrong with the shared database, entries
//! stay in the proxy's own ledger until it is right again.

use crate::consent::ReceiptId;
use crate::ledger::fleet::batch::{self, Batch, Cursors, Told};
use crate::ledger::fleet::place::Place;
use crate::ledger::fleet::progress::{Progress, Whose};
use crate::ledger::fleet::session::{Session, Stop, Waiting};
use crate::ledger::fleet::store::{ERASURES, Gone, Node, Store, Stored};
use crate::ledger::fleet::trouble::Trouble;
use crate::ledger::receipt::{hash_of, hex};
use crate::ledger::store::file_at;
use crate::ledger::{Error, PublicKey, schema};

use rusqlite::{Connection, OptionalExtension};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long entries are collected before they are sent.
const COLLECT: Duration = Duration::from_secs(2);

/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// How often it is asked what was erased elsewhere, which also tells whether
/// anybody is still there.
const ASK: Duration = Duration::from_secs(10);

/// How often it is asked for all of it: an erasure may have met a full disk.
const ASK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// Erases receipts in the proxy's own ledger; says whether that could be
/// ordered.
pub(in crate::ledger) type Erase = Box<dyn Fn(&[ReceiptId]) -> bool + Send>;

/// The thread, from outside.
pub(in crate::ledger) struct Fleet {
    brake: watch::Sender<Option<tokio::time::Instant>>,
    thread: Option<JoinHandle<()>>,
}

impl Fleet {
    /// Starts to send what is in `ledger`, whose checkpoints are signed with
    /// `key`.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(in crate::ledger) fn start(
        place: Place,
        ledger: PathBuf,
        key: PublicKey,
        progress: Arc<Progress>,
        erase: Erase,
    ) -> std::io::Result<Self> {
        let (brake, stop) = Stop::new();
        let waiting = Arc::new(Waiting::new()?);
        let shipper = Shipper {
            place,
            ledger,
            key,
            progress,
            waiting,
            stop,
            opened: None,
            trouble: None,
            erase,
            asked: None,
        };
        let thread = std::thread::Builder::new()
            .name("ledger-fleet".to_owned())
            .spawn(move || shipper.run())?;
        Ok(Self { brake, thread: Some(thread) })
    }

    /// Sends what is left, and ends; what could not be sent in that time is
    /// sent after the next start.
    pub(in crate::ledger) fn finish(mut self, within: Duration) {
        self.brake.send(Some(tokio::time::Instant::now() + within)).ok();
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.brake.send(Some(tokio::time::Instant::now())).ok();
            self.join();
        }
    }
}

/// The thread, from inside.
struct Shipper {
    place: Place,
    ledger: PathBuf,
    key: PublicKey,
    progress: Arc<Progress>,
    waiting: Arc<Waiting>,
    stop: Stop,
    opened: Option<Opened>,
    trouble: Option<Duration>,
    erase: Erase,
    /// When it was asked last what was erased elsewhere.
    asked: Option<Instant>,
}

/// Both ends.
struct Opened {
    reader: Connection,
    /// Device and number of its file: another one may come in its place.
    file: Option<(u64, u64)>,
    store: Store,
    cursors: Cursors,
    /// How far it was told what was erased here.
    told: Told,
    /// The last that was heard of what was erased elsewhere, and since when.
    heard: (i64, Instant),
}

impl Shipper {
    fn run(mut self) {
        let mut pause = Duration::ZERO;
        loop {
            if !pause.is_zero() {
                self.waiting.pause(pause, &mut self.stop);
            }
            let ends = self.stop.by();
            if ends.is_some_and(|by| self.trouble.is_some() || by <= tokio::time::Instant::now()) {
                break;
            }
            pause = match self.round() {
                Ok(true) => Duration::ZERO,
                Ok(false) if ends.is_some() => break,
                Ok(false) => COLLECT,
                Err(Trouble::Stopped) => break,
                Err(trouble) => self.complain(&trouble),
            };
        }
        self.progress.note(&self.ledger);
    }

    /// Sends the next batch; says whether there is more.
    fn round(&mut self) -> Result<bool, Trouble> {
        let mut opened = match self.opened.take() {
            Some(opened) if opened.file == file_at(&self.ledger) => opened,
            Some(_) => {
                let unsent = self.progress.status().behind_entries;
                tracing::warn!(ledger = %self.ledger.display(), unsent, "the ledger was moved away, or another file was put in its place: that one is sent from now on");
                self.open()?
            }
            None => self.open()?,
        };
        let more = self.send(&mut opened)?;
        self.opened = Some(opened);
        self.recover();
        Ok(more)
    }

    fn open(&self) -> Result<Opened, Trouble> {
        let file = file_at(&self.ledger);
        let reader = schema::open_for_reading(&self.ledger).map_err(|error| local(&error))?;
        let created_ms = reader
            .query_row("SELECT created_ms FROM meta LIMIT 1", [], |row| row.get(0))
            .map_err(|source| self.unreadable(source))?;
        let node = Node { name: self.key.name(), key: self.key.text(), created_ms };
        let whose = Whose { place: self.place.to_string(), node: node.name.clone(), created_ms };
        self.progress.begin(&self.ledger, whose);
        self.look_behind(&reader, self.progress.cursors())?;
        let session = Session::open(&self.place, Arc::clone(&self.waiting), self.stop.clone())?;
        let store = Store::begin(session, &node)?;
        let cursors = store.cursors()?;
        self.check_same(&reader, &store)?;
        self.progress.shipped(cursors);
        Ok(Opened {
            reader,
            file,
            store,
            cursors,
            told: Told::default(),
            heard: (0, Instant::now()),
        })
    }

    /// Whether the ledger is the one of which rows were sent before.
    fn check_same(&self, reader: &Connection, store: &Store) -> Result<(), Trouble> {
        let Some((seal, root)) = store.last_seal()? else { return Ok(()) };
        let look = || {
            let own: Option<Vec<u8>> = reader
                .query_row("SELECT root FROM seal WHERE id = ?1", [seal], |row| row.get(0))
                .optional()?;
            // Seals never go, however old they are.
            Ok(own.is_some_and(|own| own == root))
        };
        match look().map_err(|source| self.unreadable(source))? {
            true => Ok(()),
            false => Err(Trouble::Forked { place: self.place.to_string(), seal }),
        }
    }

    fn send(&mut self, opened: &mut Opened) -> Result<bool, Trouble> {
        let unreadable = |source| self.unreadable(source);
        let batch =
            Batch::read(&opened.reader, opened.cursors, &opened.told).map_err(unreadable)?;
        self.look_behind(&opened.reader, Some(opened.cursors))?;
        if batch.is_empty() {
            opened.told = batch.told;
            self.check_open(opened)?;
            return self.hear(opened).map(|()| false);
        }
        match opened.store.store(&batch)? {
            Stored::All => {
                opened.cursors = batch.until;
                opened.told = batch.told;
            }
            Stored::Elsewhere(cursors) => {
                opened.cursors = cursors;
                self.check_same(&opened.reader, &opened.store)?;
            }
        }
        self.progress.shipped(opened.cursors);
        self.look_behind(&opened.reader, Some(opened.cursors))?;
        self.progress.note_soon(&self.ledger);
        self.hear(opened)?;
        Ok(batch.more)
    }

    /// Says how much is waiting.
    fn look_behind(&self, reader: &Connection, cursors: Option<Cursors>) -> Result<(), Trouble> {
        let ends = batch::ends(reader).map_err(|source| self.unreadable(source))?;
        let sent = cursors.map_or(0, |cursors| cursors.entries);
        self.progress.behind(ends.entries.saturating_sub(sent).max(0).cast_unsigned());
        Ok(())
    }

    /// With nothing to send, nothing else tells that nobody is there any more.
    fn check_open(&self, opened: &Opened) -> Result<(), Trouble> {
        if !opened.store.session().is_closed() {
            return Ok(());
        }
        let why = "the connection was closed".to_owned();
        Err(Trouble::Unreachable { place: self.place.to_string(), why })
    }

    /// Asks now and then what was erased elsewhere, however much there is to
    /// send.
    fn hear(&mut self, opened: &mut Opened) -> Result<(), Trouble> {
        if self.asked.is_some_and(|last| last.elapsed() < ASK) {
            return Ok(());
        }
        self.asked = Some(Instant::now());
        if opened.heard.1.elapsed() >= ASK_AGAIN {
            opened.heard = (0, Instant::now());
        }
        let gone = opened.store.erased(opened.heard.0)?;
        let numbers = still_here(&opened.reader, &gone).map_err(|it| self.unreadable(it))?;
        if !numbers.is_empty() && !(self.erase)(&numbers) {
            return Ok(());
        }
        if let Some(last) = gone.last() {
            opened.heard.0 = last.id;
        }
        if gone.len() >= ERASURES {
            self.asked = None;
        }
        Ok(())
    }

    /// Says once what is wrong, and how long to wait before the next attempt.
    fn complain(&mut self, trouble: &Trouble) -> Duration {
        if self.trouble.is_none() {
            tracing::warn!(%trouble, "nothing is sent to the shared ledger; entries wait in the proxy's own");
        }
        self.opened = None;
        self.progress.failed(trouble.to_string());
        if let Ok(reader) = schema::open_for_reading(&self.ledger) {
            self.look_behind(&reader, self.progress.cursors()).ok();
        }
        let (first, longest) = PAUSES;
        let pause = self.trouble.map_or(first, |pause| (pause * 2).min(longest));
        self.trouble = Some(pause);
        pause
    }

    fn recover(&mut self) {
        let is_first = self.progress.connected();
        if self.trouble.take().is_some() || is_first {
            tracing::info!(place = %self.place, "entries are sent to the shared ledger");
        }
    }

    fn unreadable(&self, source: rusqlite::Error) -> Trouble {
        local(&schema::explain(&self.ledger, source))
    }
}

/// The numbers of those receipts that this ledger still has. Whoever has one
/// erased has its number: a row alone, which anybody can count up to, is not
/// enough.
fn still_here(reader: &Connection, gone: &[Gone]) -> rusqlite::Result<Vec<ReceiptId>> {
    let mut query = reader.prepare_cached("SELECT number FROM receipt WHERE id = ?1")?;
    let mut numbers = Vec::new();
    for gone in gone {
        let number: Option<[u8; 16]> =
            query.query_row([gone.receipt], |row| row.get(0)).optional()?;
        let number = number.filter(|number| hash_of(&hex(number)).as_slice() == gone.number_hash);
        numbers.extend(number.map(ReceiptId::new));
    }
    Ok(numbers)
}

fn local(error: &Error) -> Trouble {
    Trouble::Local { why: error.to_string() }
}
