//! The database as it is written: how lines of a spool get in.

use crate::ledger::checkpoint::Signer;
use crate::ledger::line::{
    AuditLine, DecisionLine, EntryLine, EraseLine, GapLine, NoticeLine, ReceiptLine, SetLine,
};
use crate::ledger::receipt::hash_of;
use crate::ledger::retention::Pruner;
use crate::ledger::rollup::{self, Rollup};
use crate::ledger::schema::{self, explain};
use crate::ledger::seal;
use crate::ledger::writer::beside;
use crate::ledger::{Audit, Error};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many ids of each sort are remembered between batches.
const REMEMBERED: usize = 50_000;

/// How long the writer waits for somebody else's transaction.
const BUSY: Duration = Duration::from_millis(200);

/// The tables that hold texts once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Texts {
    Site,
    Page,
    Revision,
    Word,
}

impl Texts {
    const fn find(self) -> &'static str {
        match self {
            Self::Site => "SELECT id FROM site WHERE text = ?1",
            Self::Page => "SELECT id FROM page WHERE text = ?1",
            Self::Revision => "SELECT id FROM revision WHERE text = ?1",
            Self::Word => "SELECT id FROM word WHERE text = ?1",
        }
    }

    const fn add(self) -> &'static str {
        match self {
            Self::Site => "INSERT INTO site (text) VALUES (?1)",
            Self::Page => "INSERT INTO page (text) VALUES (?1)",
            Self::Revision => "INSERT INTO revision (text) VALUES (?1)",
            Self::Word => "INSERT INTO word (text) VALUES (?1)",
        }
    }
}

/// Ids of what is in the database for certain.
#[derive(Default)]
struct Known {
    texts: HashMap<Texts, HashMap<String, i64>>,
    sets: HashMap<String, i64>,
}

/// The database as the writer thread has it.
pub(super) struct Store {
    conn: Connection,
    /// Device and number of the file: another one may come in its place.
    file: Option<(u64, u64)>,
    /// The same of what SQLite keeps beside it.
    beside: Vec<(PathBuf, (u64, u64))>,
    known: Known,
    rollup: Rollup,
}

impl Store {
    /// Opens a ledger, or begins one where there is none.
    pub(super) fn open(path: &Path, now_ms: u64) -> Result<Self, Error> {
        let failed = |source| explain(path, source);
        let conn = Connection::open(path).map_err(failed)?;
        // Somebody else may just be beginning it.
        conn.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
        if conn.is_readonly("main").map_err(failed)? {
            return Err(Error::ReadOnly { path: path.to_owned() });
        }
        schema::prepare(&conn, path, now_ms)?;
        conn.busy_timeout(BUSY).map_err(failed)?;
        conn.set_prepared_statement_cache_capacity(64);
        let beside = ["-wal", "-shm"].map(|suffix| beside(path, suffix));
        let beside = beside.into_iter().filter_map(|path| Some((path.clone(), file_at(&path)?)));
        Ok(Self {
            file: file_at(path),
            beside: beside.collect(),
            conn,
            known: Known::default(),
            rollup: Rollup::default(),
        })
    }

    /// Whether the file it writes is the one that stands at `path`. SQLite
    /// itself goes on writing a file that was moved or deleted.
    pub(super) fn is_in_place(&self, path: &Path) -> bool {
        match fs::metadata(path) {
            Ok(found) => self.file.is_none_or(|own| own == number_of(&found)),
            // That it cannot be looked at does not mean that it is gone.
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Lets go of a file that is not in its place any more, with everything in
    /// it that was stored; its log must not be taken for that of the next one,
    /// which may have one of its own by now.
    pub(super) fn leave(self) {
        self.clear_log().ok();
        let Self { conn, beside, .. } = self;
        drop(conn);
        for (path, own) in beside {
            if file_at(&path) == Some(own) {
                fs::remove_file(path).ok();
            }
        }
    }

    /// How far each spool file is stored.
    pub(super) fn offsets(&self) -> rusqlite::Result<HashMap<String, u64>> {
        let mut query = self.conn.prepare_cached("SELECT file, offset FROM spool")?;
        let rows =
            query.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?;
        rows.collect()
    }

    /// Has a ledger in which nothing was stored yet go on where another one
    /// ended: what was stored there must not be stored again.
    pub(super) fn go_on_from(&mut self, offsets: &HashMap<String, u64>) -> rusqlite::Result<()> {
        let mut batch = self.begin()?;
        let is_new: bool = batch.tx.query_row(
            "SELECT NOT EXISTS (SELECT 1 FROM spool) AND NOT EXISTS (SELECT 1 FROM seal WHERE id > 0)",
            [],
            |row| row.get(0),
        )?;
        if is_new {
            for (file, offset) in offsets {
                batch.offset(file, *offset)?;
            }
        }
        batch.commit()
    }

    /// Whether the receipt of that number was erased.
    pub(super) fn is_erased(&self, number: &str) -> rusqlite::Result<bool> {
        is_erased(&self.conn, number)
    }

    /// Forgets how far a file that is gone was stored.
    pub(super) fn forget(&self, file: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached("DELETE FROM spool WHERE file = ?1")?.execute([file]).map(|_| ())
    }

    /// Empties the write-ahead log into the database; `false` when a reader is
    /// still at it.
    pub(super) fn clear_log(&self) -> rusqlite::Result<bool> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
    }

    /// Signs the tree, unless the same was signed before.
    pub(super) fn sign(&mut self, signer: &Signer, now_ms: u64) -> rusqlite::Result<()> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let tree = seal::tree(&tx)?;
        let ends = seal::sealed_ends(&tx)?;
        tx.prepare_cached(
            "INSERT INTO checkpoint (size, time_ms, note) SELECT ?1, ?2, ?3
             WHERE ?1 > (SELECT ifnull(max(size), 0) FROM checkpoint)",
        )?
        .execute(params![
            tree.size().cast_signed(),
            now_ms.cast_signed(),
            signer.sign(&tree, &ends, now_ms)
        ])?;
        tx.commit()
    }

    /// Adds the next part of what is stored up; says whether there is more.
    pub(super) fn roll_up(&mut self) -> rusqlite::Result<bool> {
        self.rollup.step(&mut self.conn)
    }

    /// Whether everything that is stored is added up.
    pub(super) fn is_rolled_up(&self) -> rusqlite::Result<bool> {
        rollup::is_done(&self.conn)
    }

    /// Forgets the next part of what is too old or too much; says whether there
    /// is more.
    pub(super) fn prune(&mut self, pruner: &mut Pruner, now_ms: u64) -> rusqlite::Result<bool> {
        let step = pruner.step(&mut self.conn, now_ms)?;
        if step.sets_gone {
            self.known = Known::default();
        }
        Ok(step.more)
    }

    pub(super) fn begin(&mut self) -> rusqlite::Result<Batch<'_>> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Batch { tx, known: &mut self.known, committed: false })
    }
}

/// What is stored together, or not at all.
pub(super) struct Batch<'s> {
    tx: Transaction<'s>,
    known: &'s mut Known,
    committed: bool,
}

/// Ids that a transaction gave out are worth nothing once it is rolled back.
impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.committed {
            *self.known = Known::default();
        }
    }
}

impl Batch<'_> {
    /// Stores an entry; `false` when nobody ever stored its decisions.
    pub(super) fn entry(&mut self, line: &EntryLine<'_>) -> rusqlite::Result<bool> {
        let Some(set) = self.find_set(&line.set)? else { return Ok(false) };
        let site = self.text(Texts::Site, &line.site)?;
        let page = self.text(Texts::Page, &line.page)?;
        let signal = self.text(Texts::Word, &line.signal)?;
        let policy = self.text(Texts::Revision, &line.policy)?;
        let mode = self.text(Texts::Word, &line.mode)?;
        self.tx
            .prepare_cached(
                "INSERT INTO entry (time_ms, site, page, class, undecided, signal, policy, mode, set_id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                line.time_ms.cast_signed(),
                site,
                page,
                line.class,
                line.undecided,
                signal,
                policy,
                mode,
                set
            ])?;
        Ok(true)
    }

    /// Stores a set of decisions, unless it is there.
    pub(super) fn set(&mut self, line: &SetLine<'_>) -> rusqlite::Result<()> {
        if self.find_set(&line.hash)?.is_some() {
            return Ok(());
        }
        self.tx
            .prepare_cached("INSERT INTO decision_set (hash, dropped) VALUES (unhex(?1), ?2)")?
            .execute(params![line.hash, line.dropped])?;
        let set = self.tx.last_insert_rowid();
        for decision in &line.decisions {
            let decision = self.decision(decision)?;
            self.tx
                .prepare_cached(
                    "INSERT OR IGNORE INTO set_member (set_id, decision_id) VALUES (?1, ?2)",
                )?
                .execute([set, decision])?;
        }
        remember(&mut self.known.sets, &line.hash, set);
        Ok(())
    }

    /// Stores that entries are missing.
    pub(super) fn gap(&mut self, line: &GapLine<'_>) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached(
                "INSERT INTO gap (time_ms, since_ms, lost, why) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                line.time_ms.cast_signed(),
                line.since_ms.cast_signed(),
                line.lost.cast_signed(),
                line.why
            ])?;
        Ok(())
    }

    /// Stores what somebody did with consentry.
    pub(super) fn audit(&self, line: &AuditLine<'_>) -> rusqlite::Result<()> {
        add_audit_line(&self.tx, line)
    }

    /// Stores a receipt, unless it is there; `false` when it was erased before
    /// it came.
    pub(super) fn receipt(&self, line: &ReceiptLine<'_>) -> rusqlite::Result<bool> {
        if is_erased(&self.tx, &line.number)? {
            return Ok(false);
        }
        let leaf =
            line.leaf().map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        self.tx
            .prepare_cached(
                "INSERT OR IGNORE INTO receipt (number, leaf, time_ms, site, granted, asked,
                     vendors_allowed, vendors_refused, act, method, gpc, notice_revision, notice,
                     choices, language, valid_s)
                 VALUES (unhex(?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, unhex(?13),
                     unhex(?14), ?15, ?16)",
            )?
            .execute(params![
                line.number,
                leaf,
                line.time_ms.cast_signed(),
                line.site,
                line.granted,
                line.asked,
                line.vendors_allowed,
                line.vendors_refused,
                line.act,
                line.method,
                line.gpc,
                line.notice_revision,
                line.notice,
                line.choices,
                line.language,
                line.valid_s.cast_signed(),
            ])?;
        Ok(true)
    }

    /// Stores a notice, unless it is there.
    pub(super) fn notice(&self, line: &NoticeLine<'_>) -> rusqlite::Result<()> {
        let failed = |error: io::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
        let hash = hash_of(&line.html);
        let known: bool = self
            .tx
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM notice WHERE hash = ?1 AND site = ?2
                 AND revision = ?3 AND language = ?4 AND layer = ?5 AND gpc = ?6)",
            )?
            .query_row(
                params![hash, line.site, line.revision, line.language, line.layer, line.gpc],
                |row| row.get(0),
            )?;
        if known {
            return Ok(());
        }
        let html = zstd::bulk::compress(line.html.as_bytes(), 3).map_err(failed)?;
        self.tx
            .prepare_cached(
                "INSERT INTO notice (hash, time_ms, site, revision, language, layer, gpc,
                     operator, policy_url, choices_url, html)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                hash,
                line.time_ms.cast_signed(),
                line.site,
                line.revision,
                line.language,
                line.layer,
                line.gpc,
                line.operator,
                line.policy_url,
                line.choices_url,
                html,
            ])?;
        Ok(())
    }

    /// Erases a receipt. What is left names nobody: its place in the order, its
    /// hash, and the hash of its number.
    pub(super) fn erase(&self, line: &EraseLine<'_>) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached(
                "INSERT OR IGNORE INTO erased_receipt (number_hash, receipt, leaf, time_ms)
                 SELECT ?1, receipt.id, receipt.leaf, ?2
                 FROM (SELECT 1) LEFT JOIN receipt ON receipt.number = unhex(?3)",
            )?
            .execute(params![hash_of(&line.number), line.time_ms.cast_signed(), line.number])?;
        self.tx
            .prepare_cached("DELETE FROM receipt WHERE number = unhex(?1)")?
            .execute([&line.number])?;
        Ok(())
    }

    /// Stores how far a spool file has been read.
    pub(super) fn offset(&mut self, file: &str, offset: u64) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached("INSERT OR REPLACE INTO spool (file, offset) VALUES (?1, ?2)")?
            .execute(params![file, offset.cast_signed()])?;
        Ok(())
    }

    /// Seals what was stored, and keeps it.
    pub(super) fn seal(&self, now_ms: u64) -> rusqlite::Result<()> {
        seal::seal(&self.tx, now_ms).map(|_| ())
    }

    pub(super) fn commit(mut self) -> rusqlite::Result<()> {
        self.tx.prepare_cached("COMMIT")?.execute([])?;
        self.committed = true;
        Ok(())
    }

    fn find_set(&mut self, hash: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.known.sets.get(hash) {
            return Ok(Some(*id));
        }
        let found = self
            .tx
            .prepare_cached("SELECT id FROM decision_set WHERE hash = unhex(?1)")?
            .query_row([hash], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            remember(&mut self.known.sets, hash, id);
        }
        Ok(found)
    }

    fn text(&mut self, texts: Texts, text: &str) -> rusqlite::Result<i64> {
        let known = self.known.texts.entry(texts).or_default();
        if let Some(id) = known.get(text) {
            return Ok(*id);
        }
        let found =
            self.tx.prepare_cached(texts.find())?.query_row([text], |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => id,
            None => {
                self.tx.prepare_cached(texts.add())?.execute([text])?;
                self.tx.last_insert_rowid()
            }
        };
        remember(known, text, id);
        Ok(id)
    }

    fn decision(&self, line: &DecisionLine<'_>) -> rusqlite::Result<i64> {
        let DecisionLine {
            verdict,
            reason,
            layer,
            kind,
            what,
            vendor_id,
            vendor,
            purpose,
            rule,
            via,
        } = line;
        let values =
            params![verdict, reason, layer, kind, what, vendor_id, vendor, purpose, rule, via];
        let found = self
            .tx
            .prepare_cached(
                "SELECT id FROM decision WHERE verdict = ?1 AND reason = ?2 AND layer = ?3 AND kind = ?4
                 AND what = ?5 AND vendor_id = ?6 AND vendor = ?7 AND purpose = ?8 AND rule = ?9
                 AND via = ?10",
            )?
            .query_row(values, |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            return Ok(id);
        }
        self.tx
            .prepare_cached(
                "INSERT INTO decision (verdict, reason, layer, kind, what, vendor_id, vendor, purpose, rule, via)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(values)?;
        Ok(self.tx.last_insert_rowid())
    }
}

/// Puts on record what consentry itself does with the ledger.
pub(super) fn add_audit(tx: &Transaction<'_>, audit: &Audit) -> rusqlite::Result<()> {
    add_audit_line(tx, &AuditLine::of(audit))
}

fn add_audit_line(tx: &Transaction<'_>, line: &AuditLine<'_>) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO audit (time_ms, who, role, act, about, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        line.time_ms.cast_signed(),
        line.who,
        line.role,
        line.act,
        line.about,
        line.detail
    ])?;
    Ok(())
}

/// Device and number of the file that stands there.
pub(super) fn file_at(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| number_of(&file))
}

fn number_of(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn is_erased(conn: &Connection, number: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM erased_receipt WHERE number_hash = ?1)")?
        .query_row([hash_of(number)], |row| row.get(0))
}

fn remember(known: &mut HashMap<String, i64>, text: &str, id: i64) {
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(text.to_owned(), id);
}
