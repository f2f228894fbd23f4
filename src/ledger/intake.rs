//! Reads spool files, and knows when one has nothing more to give.

use crate::ledger::audit::PRUNE;
use crate::ledger::line::{GapLine, SpoolLine};
use crate::ledger::store::Batch;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// How much is stored in one transaction; also the longest line there can be.
pub(super) const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// How often a part of a spool file has its beginning searched for a set.
const SEARCHES: usize = 256;

/// Spool files and sizes.
pub(super) type Sizes = Vec<(String, u64)>;

/// The next part of one spool file: whole lines.
pub(super) struct Piece {
    /// The file.
    pub(super) name: String,
    /// Where reading goes on.
    pub(super) next: u64,
    /// Whether there is nothing behind it and never will be.
    pub(super) finished: bool,
    /// Whether there is more in the file than was read.
    pub(super) more: bool,
    path: PathBuf,
    text: Vec<u8>,
    torn: bool,
    changed_ms: u64,
}

/// What a piece turned out to be.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) entries: u64,
    pub(super) lost: u64,
    /// Numbers of receipts that are to leave no trace.
    pub(super) erased: Vec<String>,
}

/// The spool files of a directory and their sizes, the oldest first.
pub(super) fn list(dir: &Path) -> io::Result<Sizes> {
    let mut files = Vec::new();
    for file in fs::read_dir(dir)? {
        let file = file?;
        let Ok(name) = file.file_name().into_string() else { continue };
        if !name.ends_with(".jsonl") {
            continue;
        }
        match file.metadata() {
            Ok(about) => files.push((name, about.len())),
            // It has been stored meanwhile, and removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // What is left out here counts as gone, so never by mistake.
            Err(error) => return Err(error),
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// How many bytes are waiting.
pub(super) fn queued(files: &[(String, u64)], offsets: &HashMap<String, u64>) -> u64 {
    files
        .iter()
        .map(|(name, size)| size.saturating_sub(offsets.get(name).copied().unwrap_or(0)))
        .sum()
}

/// Removes what a process left that died between making and naming a file.
pub(super) fn sweep(dir: &Path) -> io::Result<()> {
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "new")
            && File::open(&path).is_ok_and(|file| file.try_lock().is_ok())
        {
            // Another process may be sweeping, too.
            fs::remove_file(&path).ok();
        }
    }
    Ok(())
}

impl Piece {
    /// Reads on at `offset`, at most `limit` bytes.
    pub(super) fn read(dir: &Path, name: &str, offset: u64, limit: u64) -> io::Result<Self> {
        let mut file = File::open(dir.join(name))?;
        // Asked before reading: once the owner is gone, nothing is added.
        let abandoned = file.try_lock().is_ok();
        let about = file.metadata()?;
        file.seek(SeekFrom::Start(offset))?;
        let mut text = Vec::new();
        let read = file.take(limit).read_to_end(&mut text)? as u64;
        let at_end = read < limit;
        let whole = memchr::memrchr(b'\n', &text).map_or(0, |newline| newline + 1);
        let torn = whole < text.len() && if at_end { abandoned } else { whole == 0 };
        text.truncate(whole);
        Ok(Self {
            name: name.to_owned(),
            next: offset + if torn { read } else { whole as u64 },
            finished: at_end && abandoned,
            more: !at_end,
            path: dir.join(name),
            text,
            torn,
            changed_ms: about
                .modified()
                .ok()
                .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
                .and_then(|since| u64::try_from(since.as_millis()).ok())
                .unwrap_or(0),
        })
    }

    /// Whether there is nothing to store.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && !self.torn
    }

    /// How much of the file it is.
    pub(super) fn size(&self) -> u64 {
        self.text.len() as u64
    }

    /// Stores its lines, and how far the file is stored with them. A line that
    /// cannot be read costs itself, and is on record as missing.
    pub(super) fn store(&self, batch: &mut Batch<'_>) -> rusqlite::Result<Taken> {
        let mut taken = Taken::default();
        let mut searches = 0;
        for line in self.text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let why = match serde_json::from_slice(line) {
                Ok(SpoolLine::Entry(entry)) if is_hash(&entry.set) => {
                    let mut known = batch.entry(&entry)?;
                    if !known && searches < SEARCHES {
                        searches += 1;
                        known = self.finds_set(&entry.set, batch)? && batch.entry(&entry)?;
                    }
                    if known {
                        taken.entries += 1;
                        continue;
                    }
                    "the decisions of an entry are missing from its spool file"
                }
                Ok(SpoolLine::Set(set)) if is_hash(&set.hash) => {
                    batch.set(&set)?;
                    continue;
                }
                Ok(SpoolLine::Gap(gap)) => {
                    batch.gap(&gap)?;
                    continue;
                }
                Ok(SpoolLine::Receipt(receipt)) if receipt.is_sound() => {
                    if !batch.receipt(&receipt)? {
                        taken.erased.push(receipt.number.into_owned());
                    }
                    continue;
                }
                Ok(SpoolLine::Notice(notice)) => {
                    batch.notice(&notice)?;
                    continue;
                }
                Ok(SpoolLine::Audit(audit)) if audit.act != PRUNE => {
                    batch.audit(&audit)?;
                    continue;
                }
                Ok(SpoolLine::Erase(erasure)) if erasure.is_sound() => {
                    batch.erase(&erasure)?;
                    taken.erased.push(erasure.number.into_owned());
                    continue;
                }
                _ => "a line of a spool file cannot be read",
            };
            self.miss(batch, &mut taken, why)?;
        }
        if self.torn {
            self.miss(batch, &mut taken, "the last line of a spool file is torn")?;
        }
        batch.offset(&self.name, self.next)?;
        Ok(taken)
    }

    /// Stores a set again that this file gave long ago, and that was pruned
    /// meanwhile: its owner believes it known.
    fn finds_set(&self, hash: &str, batch: &mut Batch<'_>) -> rusqlite::Result<bool> {
        let begin = format!("{{\"set\":{{\"h\":\"{hash}\"");
        let mut found = None;
        let read = File::open(&self.path).and_then(|file| {
            each_line(file.take(self.next), |_, line| {
                if line.starts_with(begin.as_bytes()) {
                    found = Some(line.to_vec());
                }
                Ok(())
            })
        });
        let line = found.filter(|_| read.is_ok());
        match line.as_deref().map(serde_json::from_slice) {
            Some(Ok(SpoolLine::Set(set))) => batch.set(&set).map(|()| true),
            _ => Ok(false),
        }
    }

    fn miss(&self, batch: &mut Batch<'_>, taken: &mut Taken, why: &str) -> rusqlite::Result<()> {
        taken.lost += 1;
        let time_ms = self.changed_ms;
        batch.gap(&GapLine { lost: 1, time_ms, since_ms: time_ms, why: why.into() })
    }
}

/// Shows every line of a spool file with where it begins.
pub(super) fn each_line(
    file: impl Read,
    mut show: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 16, file);
    let (mut start, mut line) = (0, Vec::new());
    loop {
        line.clear();
        // No line is longer; what is, is read as several, none of them ours.
        let read = (&mut file).take(BATCH_BYTES).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok(());
        }
        show(start, &line)?;
        start += read;
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
