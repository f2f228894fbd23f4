//! Checks whether a ledger still is what was stored in it.

use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::read::Reader;
use crate::ledger::receipt::{Layer, TextHash, UNSEEN};
use crate::ledger::retention::cover::{self, Leaf};
use crate::ledger::schema::{self, explain};
use crate::ledger::seal::{Ends, MARK, Place, Seal, Sort, tree};
use crate::ledger::tree::{Tree, sha256};
use crate::ledger::{Error, PublicKey};

mod announced;

use announced::Announced;

use rusqlite::{Connection, OptionalExtension, params};
use std::io::Read;
use std::path::Path;

/// No notice is longer.
const NOTICE_BYTES: u64 = 16 * 1024 * 1024;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Seals that were checked.
    pub seals: u64,
    /// Rows under them.
    pub rows: u64,
    /// Rows from before there were seals, which nothing proves.
    pub unsealed_before: u64,
    /// Checkpoints of the ledger's own that were checked.
    pub checkpoints: u64,
    /// Receipts that were erased, in which only their place is left.
    pub erased: u64,
    /// What retention took out of the ledger, on record.
    pub pruned: Vec<Pruned>,
    /// What is wrong, the first first.
    pub faults: Vec<Fault>,
}

/// Rows that went because they were too old or too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Which: `entries`, `receipts`, `gaps`, `sets of decisions`.
    pub rows: &'static str,
    /// How many.
    pub count: u64,
    /// The number of the last of them; the first ones had lower numbers.
    pub last: i64,
    /// When the first of them went, in milliseconds since 1970.
    pub since_ms: u64,
    /// When the last of them was to go.
    pub until_ms: u64,
}

impl Pruned {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { rows, count, last, .. } = self;
        let (since, until) = (stamp(self.since_ms), stamp(self.until_ms));
        let when =
            if since == until { format!("on {since}") } else { format!("from {since} to {until}") };
        let which = if i64::try_from(*count) == Ok(*last) {
            format!("{rows} 1 to {last}")
        } else {
            format!("{count} of the {rows} 1 to {last}")
        };
        format!("{which} were pruned by retention {when}")
    }
}

/// Something that is not as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind: `gone`, `changed`, `added`, `seal`, `cut`, `fork`,
    /// `checkpoint`, `notice`.
    pub kind: &'static str,
    /// What was found, and what it means.
    pub words: String,
}

/// More of them help nobody.
const MAX_FAULTS: usize = 20;

/// Checks the ledger at `path`, against the checkpoints that were `kept`
/// elsewhere, and against the key that is known to be its own.
/// `progress` is told how many of how many seals are checked.
///
/// # Errors
/// When the ledger cannot be read.
pub fn verify(
    path: &Path,
    kept: &[Checkpoint],
    key: Option<&PublicKey>,
    progress: impl FnMut(u64, u64),
) -> Result<Verified, Error> {
    let conn = schema::open_for_reading(path)?;
    // One look: a proxy may be writing.
    conn.execute_batch("BEGIN").map_err(|source| explain(path, source))?;
    let check = Check {
        conn,
        found: Verified::default(),
        tree: Tree::default(),
        agreed: 0,
        announced: Announced::default(),
    };
    check.run(kept, key, progress).map_err(|source| explain(path, source))
}

struct Check {
    conn: Connection,
    found: Verified,
    tree: Tree,
    /// How many seals the last kept checkpoint that fits is over.
    agreed: u64,
    /// What is on record as pruned.
    announced: Announced,
}

impl Check {
    fn run(
        mut self,
        kept: &[Checkpoint],
        key: Option<&PublicKey>,
        mut progress: impl FnMut(u64, u64),
    ) -> rusqlite::Result<Verified> {
        let own = self.checkpoints(key)?;
        // The most certain that there are: given, kept, or just beside it.
        let believed = if kept.is_empty() { &own } else { kept };
        let mut keys: Vec<_> =
            key.map_or_else(|| believed.iter().map(|each| &each.key).collect(), |key| vec![key]);
        keys.dedup();
        self.announced = Announced::read(&self.conn, &keys)?;
        let mut marks: Vec<(&Checkpoint, bool)> = own
            .iter()
            .map(|each| (each, false))
            .chain(kept.iter().map(|kept| (kept, true)))
            .collect();
        marks.sort_by_key(|(each, _)| each.size());
        let total: i64 =
            self.conn.query_row("SELECT count(*) FROM seal WHERE id > 0", [], |row| row.get(0))?;
        let mut ends = self.start()?;
        let mut due = marks.into_iter().peekable();
        let mut last = 0;
        let mut from = 0_i64;
        loop {
            // A part at a time: the ledger may be larger than memory.
            let seals = self.seals(from)?;
            let Some(newest) = seals.last().map(|seal| seal.id) else { break };
            for seal in seals {
                while let Some((checkpoint, is_kept)) =
                    due.next_if(|(each, _)| each.size() == self.tree.size())
                {
                    self.compare(checkpoint, is_kept)?;
                }
                if seal.id != last + 1 {
                    self.fault(
                        "seal",
                        format!("seal {} is gone: {} was stored under it", last + 1, since(ends)),
                    );
                }
                last = seal.id;
                self.seal(&seal, ends)?;
                self.tree.push(seal.leaf());
                ends = seal.ends;
            }
            from = newest;
            progress(self.found.seals, total.cast_unsigned());
        }
        for (checkpoint, is_kept) in due {
            if checkpoint.size() > self.tree.size() {
                self.cut(checkpoint, is_kept, ends);
            } else {
                self.compare(checkpoint, is_kept)?;
            }
        }
        self.behind(ends)?;
        if tree(&self.conn)? != self.tree {
            self.fault("seal", "the seals are not those that were written: the tree that was kept beside them differs".to_owned());
        }
        self.pruned()?;
        self.notices()?;
        self.named_notices()?;
        Ok(self.found)
    }

    fn fault(&mut self, kind: &'static str, words: String) {
        if self.found.faults.len() < MAX_FAULTS {
            self.found.faults.push(Fault { kind, words });
        }
    }

    /// Where the seals begin.
    fn start(&mut self) -> rusqlite::Result<Ends> {
        let first = self
            .conn
            .query_row(&format!("SELECT {} FROM seal WHERE id = 0", Seal::COLUMNS), [], Seal::read)
            .optional()?;
        match first {
            Some(seal) => {
                self.found.unsealed_before = seal.ends.count_since(Ends::default());
                Ok(seal.ends)
            }
            None => {
                self.fault("seal", "the row that says where the seals begin is gone".to_owned());
                Ok(Ends::default())
            }
        }
    }

    fn seals(&self, from: i64) -> rusqlite::Result<Vec<Seal>> {
        let columns = Seal::COLUMNS;
        let mut query = self.conn.prepare_cached(&format!(
            "SELECT {columns} FROM seal WHERE id > ?1 ORDER BY id LIMIT 100"
        ))?;
        query.query_map([from], Seal::read)?.collect()
    }

    /// Checks what is under one seal.
    fn seal(&mut self, seal: &Seal, before: Ends) -> rusqlite::Result<()> {
        if let Some(sort) = seal.ends.leap_from(before) {
            self.found.seals += 1;
            self.fault("seal", format!("seal {} is over more {} than are ever stored together: the seal itself was changed", seal.id, sort.plural()));
            return Ok(());
        }
        let mut inner = Tree::default();
        let mut first: Option<(Place, Wrong)> = None;
        let (mut at, mut rows) = (0, 0);
        let announced = &mut self.announced;
        cover::leaves(&self.conn, before, seal, |leaf| match leaf {
            Leaf::Shown(place, hash) => {
                if seal.marks.get(at..at + MARK) != hash.get(..MARK) {
                    first.get_or_insert((place, Wrong::Other));
                }
                at += MARK;
                rows += 1;
                inner.push(hash);
            }
            Leaf::Covered { place, is_there, node } => {
                if is_there {
                    first.get_or_insert((place, Wrong::Back));
                } else if !announced.found(place) {
                    first.get_or_insert((place, Wrong::Unannounced));
                }
                if let Some(node) = node {
                    inner.push_full(node.level, node.hash);
                }
            }
        })?;
        self.found.seals += 1;
        self.found.rows += rows;
        let fits = seal.is_all_gone() || inner.root().as_slice() == seal.root;
        if fits && first.is_none() {
            return Ok(());
        }
        let (kind, words) = self.wrong_with(seal, before, first)?;
        self.fault(kind, words);
        Ok(())
    }

    /// What is wrong under a seal that does not fit, in words.
    fn wrong_with(
        &self,
        seal: &Seal,
        before: Ends,
        first: Option<(Place, Wrong)>,
    ) -> rusqlite::Result<(&'static str, String)> {
        let (id, when) = (seal.id, stamp(seal.time_ms.cast_unsigned()));
        Ok(match first {
            Some((place, Wrong::Back)) => (
                "added",
                format!("{place} stands where a row was pruned: it was not stored by consentry"),
            ),
            Some((place, Wrong::Unannounced)) => (
                "gone",
                format!(
                    "{place} is gone; it was stored at {when}, under seal {id}, and nothing on record says that it was pruned"
                ),
            ),
            Some((place, Wrong::Other)) if self.is_gone(place)? => {
                ("gone", format!("{place} is gone; it was stored at {when}, under seal {id}"))
            }
            Some((place, Wrong::Other)) => (
                "changed",
                format!(
                    "{place} is not what was stored at {when}, under seal {id}: it was changed, or another row stands in its place"
                ),
            ),
            None => (
                "seal",
                format!(
                    "seal {id} does not fit what is under it ({}): the seal itself was changed",
                    since(before)
                ),
            ),
        })
    }

    fn is_gone(&self, place: Place) -> rusqlite::Result<bool> {
        let query = match place.sort {
            Sort::Set => "SELECT NOT EXISTS (SELECT 1 FROM decision_set WHERE id = ?1)",
            Sort::Entry => "SELECT NOT EXISTS (SELECT 1 FROM entry WHERE id = ?1)",
            Sort::Receipt => {
                "SELECT NOT EXISTS (SELECT 1 FROM receipt WHERE id = ?1
                 UNION ALL SELECT 1 FROM erased_receipt WHERE receipt = ?1)"
            }
            Sort::Gap => "SELECT NOT EXISTS (SELECT 1 FROM gap WHERE id = ?1)",
            Sort::Audit => "SELECT NOT EXISTS (SELECT 1 FROM audit WHERE id = ?1)",
        };
        self.conn.query_row(query, [place.id], |row| row.get(0))
    }

    /// Rows that no seal is over: a proxy seals what it stores at once.
    fn behind(&mut self, ends: Ends) -> rusqlite::Result<()> {
        let behind = Ends::now(&self.conn)?;
        if let Some(first) = behind.since(ends).next() {
            let count = behind.count_since(ends);
            self.fault("added", format!("{count} row{} under no seal, the first of them {first}: they were not stored by consentry", if count == 1 { " is" } else { "s are" }));
        }
        let erased: i64 = self.conn.query_row(
            "SELECT count(*) FROM erased_receipt WHERE receipt IS NOT NULL",
            [],
            |row| row.get(0),
        )?;
        self.found.erased = erased.cast_unsigned();
        Ok(())
    }

    /// The ledger's own checkpoints that are signed.
    fn checkpoints(&mut self, key: Option<&PublicKey>) -> rusqlite::Result<Vec<Checkpoint>> {
        let notes: Vec<String> = {
            let mut query = self.conn.prepare("SELECT note FROM checkpoint ORDER BY size")?;
            query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        };
        let mut read = Vec::new();
        for note in notes {
            match Checkpoint::parse(&note) {
                Ok(checkpoint) if key.is_some_and(|key| *key != checkpoint.key) => {
                    let when = stamp(checkpoint.time_ms);
                    self.fault("checkpoint", format!("the checkpoint of {when} is signed with another key than the one you gave"));
                }
                Ok(checkpoint) => read.push(checkpoint),
                Err(why) => self.fault(
                    "checkpoint",
                    format!("a checkpoint in the ledger is not to be believed: {why}"),
                ),
            }
        }
        self.found.checkpoints = read.len() as u64;
        Ok(read)
    }

    /// Compares the tree with one that was signed when it had the same size.
    fn compare(&mut self, checkpoint: &Checkpoint, is_kept: bool) -> rusqlite::Result<()> {
        let Some((first, last)) = self.tree.differs_from(&checkpoint.tree) else {
            if is_kept {
                self.agreed = checkpoint.size();
            }
            return Ok(());
        };
        let which = if is_kept { "the checkpoint you kept" } else { "a checkpoint in the ledger" };
        let first = first.max(self.agreed);
        let seals = if last - first == 1 {
            format!("seal {last}")
        } else {
            format!("seals {} to {last}", first + 1)
        };
        let entries: i64 = self
            .conn
            .query_row("SELECT entries FROM seal WHERE id = ?1", [first.cast_signed()], |row| {
                row.get(0)
            })
            .optional()?
            .unwrap_or(0);
        self.fault("fork", format!(
            "{which}, of {}, was signed over other rows: the ledger was written anew somewhere under {seals}; entry {} is the first that may not be the old one",
            stamp(checkpoint.time_ms),
            entries + 1,
        ));
        Ok(())
    }

    /// The ledger ends before a checkpoint does.
    fn cut(&mut self, checkpoint: &Checkpoint, is_kept: bool, ends: Ends) {
        let which = if is_kept { "the checkpoint you kept" } else { "a checkpoint in the ledger" };
        self.fault("cut", format!(
            "{which}, of {}, is over {} seals and {} entries; the ledger has {} seals and {} entries: its end was cut off, or an older copy stands in its place; entry {} is the first that is missing",
            stamp(checkpoint.time_ms),
            checkpoint.size(),
            checkpoint.entries,
            self.tree.size(),
            ends.of(Sort::Entry),
            ends.of(Sort::Entry) + 1,
        ));
    }

    /// The words that visitors were shown are what their hash says.
    fn notices(&mut self) -> rusqlite::Result<()> {
        let mut changed: Vec<i64> = Vec::new();
        {
            let mut query = self.conn.prepare("SELECT id, hash, html FROM notice ORDER BY id")?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let hash: Vec<u8> = row.get(1)?;
                if hash != unpacked(row.get_ref(2)?.as_blob().unwrap_or_default()) {
                    changed.push(row.get(0)?);
                }
            }
        }
        for id in changed {
            self.fault(
                "notice",
                format!("the words of notice {id} are not those that visitors were shown"),
            );
        }
        Ok(())
    }

    /// The words that receipts name are in the archive.
    fn named_notices(&mut self) -> rusqlite::Result<()> {
        for (column, layer) in [("notice", Layer::First), ("choices", Layer::Choices)] {
            let missing: (i64, Option<i64>) = self.conn.query_row(
                &format!(
                    "SELECT count(*), min(id) FROM receipt WHERE {column} <> ?1 AND NOT EXISTS
                         (SELECT 1 FROM notice WHERE hash = receipt.{column}
                          AND site = receipt.site AND layer = ?2)"
                ),
                params![UNSEEN, layer.name()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            if let (count, Some(first)) = missing {
                let others =
                    if count == 1 { String::new() } else { format!(", and {} others", count - 1) };
                self.fault("notice", format!(
                    "the {} that the receipt in row {first} names{others} is not in the archive: it was deleted, or lost with a gap",
                    layer.name(),
                ));
            }
        }
        Ok(())
    }

    /// What was pruned, and that nothing was which is still needed.
    fn pruned(&mut self) -> rusqlite::Result<()> {
        self.found.pruned = self.announced.pruned();
        if let Some(id) = self.announced.unsigned {
            self.fault(
                "added",
                format!("audit entry {id} says that rows were pruned, and is not signed with the ledger's key: it was not stored by consentry"),
            );
        }
        if !self.found.pruned.iter().any(|pruned| pruned.rows == Sort::Set.plural()) {
            return Ok(());
        }
        let needed: Option<(i64, i64)> = self
            .conn
            .query_row(
                "SELECT id, set_id FROM entry
                 WHERE NOT EXISTS (SELECT 1 FROM decision_set WHERE id = entry.set_id) LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        if let Some((entry, set)) = needed {
            self.fault(
                "gone",
                format!("set of decisions {set} is gone, and entry {entry} still names it"),
            );
        }
        Ok(())
    }
}

/// What may be wrong with a row.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// It was pruned, and there it is.
    Back,
    /// It was pruned, and nobody said so.
    Unannounced,
    /// It is another one, or gone.
    Other,
}

/// The hash of a text that is stored in compressed form.
fn unpacked(packed: &[u8]) -> TextHash {
    let mut html = Vec::new();
    // None is longer; a small one can be made to unpack without end.
    let read = zstd::stream::read::Decoder::new(packed)
        .and_then(|text| text.take(NOTICE_BYTES).read_to_end(&mut html));
    if read.is_ok() { sha256(&html) } else { TextHash::default() }
}

fn since(before: Ends) -> String {
    format!("what comes after entry {}", before.of(Sort::Entry))
}

fn stamp(time_ms: u64) -> String {
    i64::try_from(time_ms)
        .ok()
        .and_then(|time| jiff::Timestamp::from_millisecond(time).ok())
        .map_or_else(
            || "an unknown time".to_owned(),
            |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        )
}

/// The newest checkpoint of the ledger at `path`, as text; `None` when none
/// was signed yet.
///
/// # Errors
/// When the ledger cannot be read.
pub fn latest_checkpoint(path: &Path) -> Result<Option<String>, Error> {
    Reader::open(path)?.checkpoint()
}

#[cfg(test)]
pub(crate) mod tests;
