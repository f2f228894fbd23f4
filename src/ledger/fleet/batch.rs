//! What is sent to the shared ledger at once: the next rows of a proxy's own
//! ledger that are sealed, as they are in there.

use crate::ledger::engine::{self, Value};
use crate::ledger::tree::Hash;

use rusqlite::{Connection, OptionalExtension, Params, Row, Statement, params};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};

/// How many entries are sent at once.
const ENTRIES: i64 = 20_000;

/// How many sets of decisions: each may have a thousand.
const SETS: i64 = 500;

/// How many rows of any other sort.
const ROWS: i64 = 2_000;

/// How far rows of each sort were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursors {
    pub(super) sets: i64,
    pub(super) entries: i64,
    pub(super) receipts: i64,
    pub(super) gaps: i64,
    pub(super) audits: i64,
    pub(super) notices: i64,
    pub(super) seals: i64,
    pub(super) checkpoints: i64,
}

impl Cursors {
    /// The names under which they are kept.
    pub(super) const SORTS: [&'static str; 8] =
        ["set", "entry", "receipt", "gap", "audit", "notice", "seal", "checkpoint"];

    /// Where a node begins that has sent nothing. Its first seal is number 0.
    pub(super) const fn start() -> Self {
        Self::of([0, 0, 0, 0, 0, 0, -1, 0])
    }

    pub(super) const fn all(&self) -> [i64; 8] {
        let Self { sets, entries, receipts, gaps, audits, notices, seals, checkpoints } = *self;
        [sets, entries, receipts, gaps, audits, notices, seals, checkpoints]
    }

    pub(super) const fn of(all: [i64; 8]) -> Self {
        let [sets, entries, receipts, gaps, audits, notices, seals, checkpoints] = all;
        Self { sets, entries, receipts, gaps, audits, notices, seals, checkpoints }
    }
}

/// A set of decisions.
pub(super) struct Set {
    pub(super) local_id: i64,
    pub(super) hash: Vec<u8>,
    pub(super) dropped: i64,
    /// Their numbers in this ledger.
    pub(super) decisions: Vec<i64>,
}

/// A decision, in the order of its columns.
pub(super) struct Decision {
    pub(super) texts: [String; 10],
    /// SHA-256 of all of it.
    pub(super) mark: Hash,
}

/// An entry. All numbers are those of this ledger.
pub(super) struct Entry {
    pub(super) id: i64,
    pub(super) time_ms: i64,
    pub(super) site: i64,
    pub(super) page: i64,
    pub(super) class: i64,
    pub(super) undecided: i64,
    pub(super) signal: i64,
    pub(super) policy: i64,
    pub(super) mode: i64,
    pub(super) set: i64,
}

/// A row that is sent as it is.
pub(super) type Plain = Vec<Value>;

/// Texts that are stored once, with their numbers in this ledger.
pub(super) type Texts = HashMap<i64, String>;

/// How far it was told what was erased here: up to the latest that was told,
/// and how many there are up to it. One that comes late changes how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    until: (i64, Vec<u8>),
    rows: i64,
}

impl Default for Told {
    fn default() -> Self {
        Self { until: (i64::MIN, Vec::new()), rows: 0 }
    }
}

/// Rows that belong together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) from: Cursors,
    pub(super) until: Cursors,
    pub(super) sets: Vec<Set>,
    pub(super) decisions: HashMap<i64, Decision>,
    pub(super) entries: Vec<Entry>,
    /// The hashes of the sets that the entries have.
    pub(super) hashes: HashMap<i64, Vec<u8>>,
    pub(super) sites: Texts,
    pub(super) pages: Texts,
    pub(super) revisions: Texts,
    pub(super) words: Texts,
    pub(super) receipts: Vec<Plain>,
    pub(super) erased: Vec<Plain>,
    /// How far it is told then what was erased.
    pub(super) told: Told,
    pub(super) gaps: Vec<Plain>,
    pub(super) audits: Vec<Plain>,
    pub(super) notices: Vec<Plain>,
    pub(super) seals: Vec<Plain>,
    pub(super) checkpoints: Vec<Plain>,
    /// Whether there is more behind it.
    pub(super) more: bool,
}

impl Batch {
    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.from == self.until && self.erased.is_empty()
    }

    /// Reads what is behind `from`, and what was erased that was not `told`.
    pub(super) fn read(conn: &Connection, from: Cursors, told: &Told) -> rusqlite::Result<Self> {
        // One look: a thread is writing.
        let look = conn.unchecked_transaction()?;
        let ends = ends(&look)?;
        let mut batch = Self { from, until: from, ..Self::default() };
        batch.read_sets(&look, ends.sets)?;
        // Entries refer to sets, which must be there before them.
        if batch.until.sets >= ends.sets {
            batch.read_entries(&look, ends.entries)?;
            batch.read_rest(&look, &ends)?;
            batch.read_seals(&look)?;
        } else {
            batch.more = true;
        }
        batch.read_erased(&look, told)?;
        Ok(batch)
    }

    fn read_erased(&mut self, conn: &Connection, told: &Told) -> rusqlite::Result<()> {
        let rows: i64 = conn
            .prepare_cached(
                "SELECT count(*) FROM erased_receipt WHERE (time_ms, number_hash) <= (?1, ?2)",
            )?
            .query_row(params![told.until.0, told.until.1], |row| row.get(0))?;
        // Some came late, or are gone: which, nobody knows.
        self.told = if rows == told.rows { told.clone() } else { Told::default() };
        let mut query = conn.prepare_cached(
            "SELECT number_hash, receipt, leaf, time_ms FROM erased_receipt
             WHERE (time_ms, number_hash) > (?1, ?2) ORDER BY time_ms, number_hash LIMIT ?3",
        )?;
        let (time_ms, hash) = self.told.until.clone();
        self.erased = listed(&mut query, params![time_ms, hash, ROWS])?;
        if let Some([Value::Bytes(hash), .., Value::Int(time_ms)]) =
            self.erased.last().map(Vec::as_slice)
        {
            self.told.until = (*time_ms, hash.clone());
        }
        let read = self.erased.len() as i64;
        self.told.rows += read;
        self.more |= read == ROWS;
        Ok(())
    }

    fn read_sets(&mut self, conn: &Connection, end: i64) -> rusqlite::Result<()> {
        let (from, until) = (self.from.sets, end.min(self.from.sets + SETS));
        if until <= from {
            return Ok(());
        }
        let mut query = conn.prepare_cached(
            "SELECT id, hash, dropped FROM decision_set WHERE id > ?1 AND id <= ?2 ORDER BY id",
        )?;
        let sets = query.query_map([from, until], |row| {
            let decisions = Vec::new();
            Ok(Set { local_id: row.get(0)?, hash: row.get(1)?, dropped: row.get(2)?, decisions })
        })?;
        self.sets = sets.collect::<rusqlite::Result<_>>()?;
        let mut members: HashMap<i64, Vec<i64>> = HashMap::new();
        let mut query = conn.prepare_cached(
            "SELECT set_id, decision_id FROM set_member WHERE set_id > ?1 AND set_id <= ?2",
        )?;
        let mut rows = query.query([from, until])?;
        while let Some(row) = rows.next()? {
            members.entry(row.get(0)?).or_default().push(row.get(1)?);
        }
        for set in &mut self.sets {
            set.decisions = members.remove(&set.local_id).unwrap_or_default();
        }
        let mut query = conn.prepare_cached(
            "SELECT id, verdict, reason, layer, kind, what, vendor_id, vendor, purpose, rule, via
             FROM decision WHERE id IN
                 (SELECT decision_id FROM set_member WHERE set_id > ?1 AND set_id <= ?2)",
        )?;
        let decisions = query.query_map([from, until], decision)?;
        self.decisions = decisions.collect::<rusqlite::Result<_>>()?;
        self.until.sets = until;
        Ok(())
    }

    fn read_entries(&mut self, conn: &Connection, end: i64) -> rusqlite::Result<()> {
        let (from, until) = (self.from.entries, end.min(self.from.entries + ENTRIES));
        if until <= from {
            return Ok(());
        }
        self.more |= until < end;
        let mut query = conn.prepare_cached(
            "SELECT id, time_ms, site, page, class, undecided, signal, policy, mode, set_id
             FROM entry WHERE id > ?1 AND id <= ?2 ORDER BY id",
        )?;
        self.entries = query.query_map([from, until], entry)?.collect::<rusqlite::Result<_>>()?;
        self.until.entries = until;
        let used = |of: fn(&Entry) -> i64| self.entries.iter().map(of).collect::<BTreeSet<_>>();
        self.sites = texts(conn, "SELECT text FROM site WHERE id = ?1", used(|e| e.site))?;
        self.pages = texts(conn, "SELECT text FROM page WHERE id = ?1", used(|e| e.page))?;
        self.revisions =
            texts(conn, "SELECT text FROM revision WHERE id = ?1", used(|e| e.policy))?;
        let mut words = used(|e| e.signal);
        words.append(&mut used(|e| e.mode));
        self.words = texts(conn, "SELECT text FROM word WHERE id = ?1", words)?;
        let mut query = conn.prepare_cached("SELECT hash FROM decision_set WHERE id = ?1")?;
        for set in used(|e| e.set) {
            let hash = query.query_row([set], |row| row.get(0)).optional()?;
            self.hashes.extend(hash.map(|hash| (set, hash)));
        }
        Ok(())
    }

    fn read_rest(&mut self, conn: &Connection, ends: &Cursors) -> rusqlite::Result<()> {
        let (from, until) = (self.from, &mut self.until);
        let mut read = |sql, from: i64, end: i64, until: &mut i64| {
            *until = end.min(from + ROWS).max(from);
            self.more |= *until < end;
            if *until > from { plain(conn, sql, &[from, *until]) } else { Ok(Vec::new()) }
        };
        self.receipts = read(
            "SELECT id, number, leaf, time_ms, site, granted, asked, vendors_allowed,
                 vendors_refused, act, method, gpc, notice_revision, notice, choices, language,
                 valid_s
             FROM receipt WHERE id > ?1 AND id <= ?2 ORDER BY id",
            from.receipts,
            ends.receipts,
            &mut until.receipts,
        )?;
        self.gaps = read(
            "SELECT id, time_ms, since_ms, lost, why FROM gap WHERE id > ?1 AND id <= ?2 ORDER BY id",
            from.gaps,
            ends.gaps,
            &mut until.gaps,
        )?;
        self.audits = read(
            "SELECT id, time_ms, who, role, act, about, detail FROM audit
             WHERE id > ?1 AND id <= ?2 ORDER BY id",
            from.audits,
            ends.audits,
            &mut until.audits,
        )?;
        self.notices = read(
            "SELECT hash, time_ms, site, revision, language, layer, gpc, operator, policy_url,
                 choices_url, html
             FROM notice WHERE id > ?1 AND id <= ?2 ORDER BY id",
            from.notices,
            ends.notices,
            &mut until.notices,
        )?;
        Ok(())
    }

    /// A seal is sent when everything under it is.
    fn read_seals(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let Cursors { sets, entries, receipts, gaps, audits, .. } = self.until;
        let until: Option<i64> = conn
            .prepare_cached(
                "SELECT max(id) FROM (SELECT id, sets, entries, receipts, gaps, audits FROM seal
                     WHERE id > ?1 ORDER BY id LIMIT ?2)
                 WHERE sets <= ?3 AND entries <= ?4 AND receipts <= ?5 AND gaps <= ?6
                     AND audits <= ?7",
            )?
            .query_row(
                params![self.from.seals, ROWS, sets, entries, receipts, gaps, audits],
                |row| row.get(0),
            )?;
        if let Some(until) = until {
            self.seals = plain(
                conn,
                "SELECT id, time_ms, sets, entries, receipts, gaps, audits, root, marks, cover
                 FROM seal WHERE id > ?1 AND id <= ?2 ORDER BY id",
                &[self.from.seals, until],
            )?;
            self.until.seals = until;
        }
        self.checkpoints = plain(
            conn,
            "SELECT size, time_ms, note FROM checkpoint WHERE size > ?1 AND size <= ?2
             ORDER BY size",
            &[self.from.checkpoints, self.until.seals],
        )?;
        if let Some(Value::Int(size)) = self.checkpoints.last().and_then(|row| row.first()) {
            self.until.checkpoints = *size;
        }
        Ok(())
    }
}

/// Where what is sealed ends. Notices and checkpoints are under no seal.
pub(super) fn ends(conn: &Connection) -> rusqlite::Result<Cursors> {
    conn.prepare_cached(
        "SELECT sets, entries, receipts, gaps, audits,
                (SELECT ifnull(max(id), 0) FROM notice), id,
                (SELECT ifnull(max(size), 0) FROM checkpoint)
         FROM seal ORDER BY id DESC LIMIT 1",
    )?
    .query_row([], |row| {
        let mut all = [0; 8];
        for (column, end) in all.iter_mut().enumerate() {
            *end = row.get(column)?;
        }
        Ok(Cursors::of(all))
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: row.get(0)?,
        time_ms: row.get(1)?,
        site: row.get(2)?,
        page: row.get(3)?,
        class: row.get(4)?,
        undecided: row.get(5)?,
        signal: row.get(6)?,
        policy: row.get(7)?,
        mode: row.get(8)?,
        set: row.get(9)?,
    })
}

fn decision(row: &Row<'_>) -> rusqlite::Result<(i64, Decision)> {
    let mut texts: [String; 10] = Default::default();
    let mut mark = Sha256::new();
    for (column, text) in texts.iter_mut().enumerate() {
        *text = row.get(column + 1)?;
        mark.update((text.len() as u64).to_be_bytes());
        mark.update(&*text);
    }
    Ok((row.get(0)?, Decision { texts, mark: mark.finalize().into() }))
}

fn texts(conn: &Connection, sql: &str, ids: BTreeSet<i64>) -> rusqlite::Result<Texts> {
    let mut query = conn.prepare_cached(sql)?;
    let mut found = Texts::new();
    for id in ids {
        let text = query.query_row([id], |row| row.get(0)).optional()?;
        found.extend(text.map(|text| (id, text)));
    }
    Ok(found)
}

fn plain(conn: &Connection, sql: &str, ids: &[i64]) -> rusqlite::Result<Vec<Plain>> {
    listed(&mut *conn.prepare_cached(sql)?, rusqlite::params_from_iter(ids))
}

fn listed(query: &mut Statement<'_>, values: impl Params) -> rusqlite::Result<Vec<Plain>> {
    let columns = query.column_count();
    let mut rows = query.query(values)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| engine::read(row, column));
        all.push(values.collect::<rusqlite::Result<_>>()?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::schema;
    use tempfile::TempDir;

    fn ledger(directory: &TempDir) -> Connection {
        let path = directory.path().join("ledger.db");
        let conn = Connection::open(&path).unwrap();
        schema::prepare(&conn, &path, 0).unwrap();
        conn
    }

    fn erase(conn: &Connection, number: i64, time_ms: i64) {
        let hash = Sha256::digest(number.to_be_bytes()).to_vec();
        conn.execute(
            "INSERT INTO erased_receipt (number_hash, time_ms) VALUES (?1, ?2)",
            params![hash, time_ms],
        )
        .unwrap();
    }

    /// Everything that is told from there on, a part at a time.
    fn rest(conn: &Connection, told: &mut Told) -> Vec<usize> {
        let mut parts = Vec::new();
        loop {
            let batch = Batch::read(conn, Cursors::start(), told).unwrap();
            *told = batch.told;
            if batch.erased.is_empty() {
                return parts;
            }
            parts.push(batch.erased.len());
        }
    }

    #[test]
    fn f6_erasures_are_told_in_parts_each_once_and_late_ones_too() {
        let directory = TempDir::new().unwrap();
        let conn = ledger(&directory);
        conn.execute_batch("BEGIN").unwrap();
        (0..ROWS + 700).for_each(|number| erase(&conn, number, 1000 + number / 900));
        conn.execute_batch("COMMIT").unwrap();
        let mut told = Told::default();
        assert_eq!(rest(&conn, &mut told), [2000, 700]);
        erase(&conn, -1, 5000);
        assert_eq!(rest(&conn, &mut told), [1]);
        // One that lay in a spool for long: it is not known which one is new.
        erase(&conn, -2, 1);
        assert_eq!(rest(&conn, &mut told), [2000, 702]);
        assert_eq!(rest(&conn, &mut told), [0; 0]);
    }
}
