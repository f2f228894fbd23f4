//! Where a worker writes its entries down: one `write` an exchange, into a
//! file that nobody else writes.
//!
//! The kernel has the line before the answer's last byte leaves, so a killed
//! process loses nothing. There is no fsync here and no lock shared with the
//! writer thread, so a slow database delays nobody.

use crate::consent::ReceiptId;
use crate::ledger::line::{
    self, AuditLine, EntryLine, EraseLine, GapLine, NoticeLine, ReceiptLine, SetHash, SetText,
    SpoolLine,
};
use crate::ledger::{Audit, Entry, Notice, Receipt, Shared, Tap};

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How many sets a file's owner remembers having written.
const SETS_REMEMBERED: usize = 4096;

/// Numbers the files of this process, whichever ledger they belong to.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// One worker's way into the ledger.
pub struct Spool {
    dir: PathBuf,
    worker: usize,
    limit_bytes: u64,
    shared: Arc<Shared>,
    tap: Option<Tap>,
    file: Option<Box<dyn Sink>>,
    size: u64,
    sets: HashSet<SetHash>,
    /// The hash of a set by a quick hash of its decisions: the same page in the
    /// same class comes again and again, and need not be written out to be known.
    /// The quick hash is keyed, so nobody outside can construct a collision.
    known: HashMap<u64, SetHash>,
    quick: RandomState,
    buffer: Vec<u8>,
    missing: Option<Missing>,
}

/// Entries that could not be written and are not on record as missing yet.
struct Missing {
    lost: u64,
    since_ms: u64,
    until_ms: u64,
    why: String,
}

/// What a spool writes to; a file, but for the tests.
pub(super) trait Sink: Send {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn cut(&mut self, size: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match Write::write(self, bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Where the lines of one exchange end in the buffer.
struct Ends {
    gap: usize,
    set: Option<(usize, SetHash)>,
}

impl Spool {
    pub(super) fn create(
        dir: PathBuf,
        worker: usize,
        limit_bytes: u64,
        shared: Arc<Shared>,
        tap: Option<Tap>,
    ) -> io::Result<Self> {
        let file = new_file(&dir, worker)?;
        Ok(Self {
            dir,
            worker,
            limit_bytes,
            shared,
            tap,
            file: Some(Box::new(file)),
            size: 0,
            sets: HashSet::new(),
            known: HashMap::new(),
            quick: RandomState::new(),
            buffer: Vec::new(),
            missing: None,
        })
    }

    /// Puts an exchange on record; one in which nothing was decided is not
    /// worth a line.
    ///
    /// It cannot fail: what cannot be written is counted, and the ledger says
    /// how many entries are missing and since when.
    pub fn append(&mut self, entry: &Entry) {
        if entry.decisions.is_empty() && entry.decisions.dropped() == 0 {
            return;
        }
        if let Some(tap) = &self.tap {
            tap(entry);
        }
        let written = self.write_down(|spool| spool.compose(entry));
        self.settled(written, entry.time_ms);
    }

    /// Puts a choice on record.
    pub fn keep(&mut self, receipt: &Receipt) {
        self.put(&SpoolLine::Receipt(ReceiptLine::of(receipt)), receipt.time_ms);
    }

    /// Puts a notice into the archive, unless it is there.
    pub fn archive(&mut self, notice: &Notice) {
        self.put(&SpoolLine::Notice(NoticeLine::of(notice)), notice.time_ms);
    }

    /// Has a receipt erased wherever it lies; a hash of its number remains, so
    /// that whoever holds the number can see that it was done.
    pub fn erase(&mut self, number: ReceiptId, time_ms: u64) {
        self.put(&SpoolLine::Erase(EraseLine::of(number, time_ms)), time_ms);
    }

    /// Puts what somebody did on record, and waits for the disk: whoever did it
    /// is told that it was done only then.
    pub(super) fn audit(&mut self, audit: &Audit) -> io::Result<()> {
        self.write_line(&SpoolLine::Audit(AuditLine::of(audit)))?;
        // A file that ended in a torn line was let go of.
        let torn = || io::Error::from(io::ErrorKind::StorageFull);
        self.file.as_mut().ok_or_else(torn)?.sync()
    }

    fn put(&mut self, line: &SpoolLine<'_>, time_ms: u64) {
        let written = self.write_line(line);
        self.settled(written, time_ms);
    }

    fn write_line(&mut self, line: &SpoolLine<'_>) -> io::Result<()> {
        self.write_down(|spool| {
            let gap = spool.begin()?;
            line::push_line(line, &mut spool.buffer)?;
            Ok(Ends { gap, set: None })
        })
    }

    fn settled(&mut self, written: io::Result<()>, time_ms: u64) {
        if let Err(error) = written {
            self.lose(time_ms, &error);
        }
    }

    fn write_down(
        &mut self,
        compose: impl FnOnce(&mut Self) -> io::Result<Ends>,
    ) -> io::Result<()> {
        if self.file.is_none() {
            self.renew()?;
        } else if self.size >= self.limit_bytes {
            // A file that grows too long is better than an entry lost.
            self.renew().or(io::Result::Ok(()))?;
        }
        let ends = compose(self)?;
        let Some(file) = &mut self.file else { return Ok(()) };
        match file.write(&self.buffer) {
            Ok(written) if written == self.buffer.len() => {
                self.settle(&ends, written);
                Ok(())
            }
            Ok(written) => self.take_back(&ends, written),
            Err(error) => Err(error),
        }
    }

    fn renew(&mut self) -> io::Result<()> {
        self.file = Some(Box::new(new_file(&self.dir, self.worker)?));
        self.size = 0;
        self.sets.clear();
        Ok(())
    }

    /// Begins the buffer with what is missing so far; says where that ends.
    fn begin(&mut self) -> io::Result<usize> {
        self.buffer.clear();
        if let Some(missing) = &self.missing {
            line::push_line(&missing.line(), &mut self.buffer)?;
        }
        Ok(self.buffer.len())
    }

    /// Puts into the buffer what is to be written, in one piece.
    fn compose(&mut self, entry: &Entry) -> io::Result<Ends> {
        let gap = self.begin()?;
        let quick = self.quick.hash_one(&entry.decisions);
        let hash = match self.known.get(&quick) {
            Some(hash) if self.sets.contains(hash) => *hash,
            _ => {
                let set = SetText::of(&entry.decisions)?;
                if !self.sets.contains(&set.hash) {
                    set.push_line(&line::hash_text(&set.hash), &mut self.buffer);
                }
                if self.known.len() >= SETS_REMEMBERED {
                    self.known.clear();
                }
                self.known.insert(quick, set.hash);
                set.hash
            }
        };
        let ends = Ends { gap, set: Some((self.buffer.len(), hash)) };
        let hash = line::hash_text(&hash);
        line::push_line(&SpoolLine::Entry(EntryLine::of(entry, &hash)), &mut self.buffer)?;
        Ok(ends)
    }

    /// Remembers which lines are in the file now that so many bytes are.
    fn settle(&mut self, ends: &Ends, written: usize) {
        self.size += written as u64;
        if written >= ends.gap {
            self.missing = None;
        }
        if let Some((_, hash)) = ends.set.filter(|(end, _)| written >= *end) {
            if self.sets.len() >= SETS_REMEMBERED {
                self.sets.clear();
            }
            self.sets.insert(hash);
        }
    }

    /// Half a line went in. Only the torn one is cut off again: whole lines
    /// may have been read already.
    fn take_back(&mut self, ends: &Ends, written: usize) -> io::Result<()> {
        let head = self.buffer.get(..written).unwrap_or_default();
        let whole = memchr::memrchr(b'\n', head).map_or(0, |newline| newline + 1);
        self.settle(ends, whole);
        let size = self.size;
        let is_whole =
            whole == written || self.file.as_mut().is_some_and(|file| file.cut(size).is_ok());
        if is_whole {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        // The file ends in a torn line now. Left alone, it swallows no other,
        // and the writer thread counts it as one entry lost.
        self.file = None;
        Ok(())
    }

    fn lose(&mut self, time_ms: u64, error: &io::Error) {
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
        let why = error.to_string();
        match &mut self.missing {
            Some(missing) => {
                missing.lost += 1;
                missing.until_ms = time_ms;
            }
            None => {
                tracing::warn!(dir = %self.dir.display(), error = why, "entries of the ledger are being lost");
                self.missing = Some(Missing { lost: 1, since_ms: time_ms, until_ms: time_ms, why });
            }
        }
    }

    #[cfg(test)]
    pub(super) fn replace_sink(&mut self, sink: Option<Box<dyn Sink>>) {
        self.file = sink;
        self.size = 0;
        self.sets.clear();
    }
}

impl Missing {
    fn line(&self) -> SpoolLine<'_> {
        SpoolLine::Gap(GapLine {
            lost: self.lost,
            time_ms: self.until_ms,
            since_ms: self.since_ms,
            why: self.why.as_str().into(),
        })
    }
}

/// The last chance to say that something is missing.
impl Drop for Spool {
    fn drop(&mut self) {
        let Some(missing) = self.missing.take() else { return };
        self.buffer.clear();
        let put = line::push_line(&missing.line(), &mut self.buffer)
            .map_err(io::Error::from)
            .and_then(|()| {
                // The old file may be the one that takes nothing any more.
                self.renew()?;
                self.file.as_mut().map_or(Ok(0), |file| file.write(&self.buffer))
            });
        if put.ok() != Some(self.buffer.len()) {
            tracing::warn!(
                lost = missing.lost,
                "entries are missing from the ledger, which has no room to say so"
            );
        }
    }
}

/// A new spool file, locked by us for as long as it is open: that is how the
/// writer thread, ours or another process's, knows that it has an owner.
///
/// It gets its name only once it is locked; otherwise it could be taken for
/// one whose owner is gone, and be removed under our hands.
fn new_file(dir: &Path, worker: usize) -> io::Result<File> {
    let start_ms =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    loop {
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{start_ms}-{}-{worker}-{sequence}", std::process::id());
        let path = dir.join(format!("{name}.jsonl"));
        let unnamed = dir.join(format!("{name}.new"));
        // Two containers can have one process id, and share a directory.
        if path.exists() {
            continue;
        }
        let file = match OpenOptions::new().append(true).create_new(true).open(&unnamed) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        match fs::rename(&unnamed, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && dir.exists() => {}
            renamed => return renamed.map(|()| file),
        }
    }
}
