//! Forgets what is older than it has to be, or more than there is room for, so
//! that what is left can still be checked.
//!
//! Rows go in whole seals, from the front. Each seal stays with its root; what
//! is gone from under it is replaced by hashes (`cover`). What is pruned is put
//! on record before it is done, as a signed audit entry: rows that are missing
//! without one were taken away by somebody else.

pub(in crate::ledger) mod announcement;
pub(in crate::ledger) mod cover;
mod pages;
mod sets;

use crate::ledger::audit::{Audit, PRUNE};
use crate::ledger::checkpoint::Signer;
use crate::ledger::seal::{self, Ends, Place, Seal, Sort};
use crate::ledger::store;
use cover::Thinned;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

/// About how many rows go in one transaction.
const ROWS: usize = 4000;

/// How many seals are looked at in one transaction.
const SEALS: i64 = 64;

/// How many pages are given back to the disk after each transaction.
const PAGES: usize = 1000;

const MINUTE_MS: u64 = 60 * 1000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// How often what is too old is looked for.
const AGE_EVERY_MS: u64 = 60 * MINUTE_MS;

/// How long the ledger keeps what. Zero is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Entries go after so many days. The sums that they went into stay, but
    /// for those of single pages.
    pub keep_days: u32,
    /// Receipts go after so many days.
    pub keep_receipts_days: u32,
    /// The oldest entries go when the database has more bytes than that.
    pub max_bytes: u64,
}

/// What one small part of pruning came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Whether there is more to do.
    pub(super) more: bool,
    /// Whether sets of decisions are gone, which somebody may remember.
    pub(super) sets_gone: bool,
}

/// What is to go at the moment.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Up to which seal entries and gaps go.
    entries: i64,
    /// Up to which seal receipts go.
    receipts: i64,
    /// The last set that was looked at, once entries are gone.
    sets: i64,
}

/// Prunes a ledger, a small part at a time.
#[derive(Debug)]
pub(super) struct Pruner {
    retention: Retention,
    /// Signs what it says before it prunes.
    signer: Signer,
    aged_ms: Option<u64>,
    sized_ms: Option<u64>,
    run: Option<Run>,
    /// No seal behind this one is touched.
    pub(super) sent_seals: i64,
    /// How large the database was when that was last asked.
    pub(super) bytes: u64,
    /// Whether it is too large and nothing more can go.
    pub(super) is_full: bool,
}

impl Pruner {
    pub(super) const fn new(retention: Retention, signer: Signer) -> Self {
        Self {
            retention,
            signer,
            aged_ms: None,
            sized_ms: None,
            run: None,
            sent_seals: i64::MAX,
            bytes: 0,
            is_full: false,
        }
    }

    /// Does the next part of what is due.
    pub(super) fn step(&mut self, conn: &mut Connection, now_ms: u64) -> rusqlite::Result<Step> {
        if self.run.is_none() {
            self.plan(conn, now_ms)?;
        }
        let Some(mut run) = self.run else { return Ok(Step::default()) };
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let step = run.step(&tx)?;
        tx.commit()?;
        give_back(conn)?;
        self.run = step.more.then_some(run);
        if self.run.is_none() {
            // It may still be too large.
            self.sized_ms = None;
        }
        Ok(Step { more: true, ..step })
    }

    /// Works out what is due, and puts it on record.
    fn plan(&mut self, conn: &mut Connection, now_ms: u64) -> rusqlite::Result<()> {
        let is_due = |last: Option<u64>, every| last.is_none_or(|last| now_ms >= last + every);
        let (ages, sizes) = (is_due(self.aged_ms, AGE_EVERY_MS), is_due(self.sized_ms, MINUTE_MS));
        if !ages && !sizes {
            return Ok(());
        }
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let look = Look::at(&tx)?;
        let mut goals = Vec::new();
        let Retention { keep_days, keep_receipts_days, max_bytes } = self.retention;
        if ages {
            let before = |days: u32| now_ms.saturating_sub(u64::from(days) * DAY_MS);
            if keep_days > 0 {
                let until = look.older_than(look.entries_pruned, before(keep_days))?;
                goals.push((Rows::Entries, until, format!("keep_days = {keep_days}")));
            }
            if keep_receipts_days > 0 {
                let until = look.older_than(look.receipts_pruned, before(keep_receipts_days))?;
                let rule = format!("keep_receipts_days = {keep_receipts_days}");
                goals.push((Rows::Receipts, until, rule));
            }
        }
        self.bytes = size(&tx)?;
        let is_large = max_bytes > 0 && self.bytes > max_bytes;
        // For what is not theirs, entries must not go.
        let has_no_room = is_large && pages::bytes_that_stay(&tx)? > max_bytes;
        if is_large && !has_no_room {
            let until = look.making_room(self.bytes, max_bytes)?;
            goals.push((Rows::Entries, until, format!("max_bytes = {max_bytes}")));
        }
        let mut run = Run { entries: look.entries_pruned, receipts: look.receipts_pruned, sets: 0 };
        for (rows, until, rule) in goals {
            let until = look.summed_up(rows, until.min(self.sent_seals))?;
            if until > run.until(rows) && look.holds(rows, run.until(rows), until)? {
                *run.until_mut(rows) = until;
                announce(&tx, &self.signer, rows, until, &rule, now_ms)?;
            }
        }
        let goes_on = run.entries > look.entries_pruned || run.receipts > look.receipts_pruned;
        self.is_full = has_no_room || is_large && run.entries <= look.entries_pruned;
        tx.commit()?;
        self.run = goes_on.then_some(run);
        self.sized_ms = Some(now_ms);
        if ages {
            self.aged_ms = Some(now_ms);
        }
        Ok(())
    }
}

/// What is pruned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// Entries and gaps, and the sets that no entry names any more.
    Entries,
    Receipts,
}

impl Rows {
    const fn word(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::Receipts => "receipts",
        }
    }
}

impl Run {
    const fn until(&self, rows: Rows) -> i64 {
        match rows {
            Rows::Entries => self.entries,
            Rows::Receipts => self.receipts,
        }
    }

    const fn until_mut(&mut self, rows: Rows) -> &mut i64 {
        match rows {
            Rows::Entries => &mut self.entries,
            Rows::Receipts => &mut self.receipts,
        }
    }

    fn step(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<Step> {
        for rows in [Rows::Entries, Rows::Receipts] {
            let walked = pruned(tx, rows)?;
            if walked < self.until(rows) {
                prune(tx, rows, walked, self.until(rows))?;
                return Ok(Step { more: true, sets_gone: false });
            }
        }
        if self.entries > 0 && pages::forget(tx)? {
            return Ok(Step { more: true, sets_gone: false });
        }
        let last = ends_at(tx, self.entries)?.of(Sort::Set);
        let found = sets::prune(tx, self.sets, last)?;
        self.sets = found.looked_at;
        Ok(Step { more: found.looked_at < last, sets_gone: found.gone > 0 })
    }
}

/// A look at the ledger, to decide what goes.
struct Look<'t> {
    tx: &'t Transaction<'t>,
    entries_pruned: i64,
    receipts_pruned: i64,
    newest: i64,
}

impl<'t> Look<'t> {
    fn at(tx: &'t Transaction<'t>) -> rusqlite::Result<Self> {
        let newest = tx.query_row("SELECT ifnull(max(id), 0) FROM seal", [], |row| row.get(0))?;
        let (entries_pruned, receipts_pruned) =
            (pruned(tx, Rows::Entries)?, pruned(tx, Rows::Receipts)?);
        Ok(Self { tx, entries_pruned, receipts_pruned, newest })
    }

    /// The last seal of those behind `walked` that were all made before then.
    fn older_than(&self, walked: i64, time_ms: u64) -> rusqlite::Result<i64> {
        let younger: Option<i64> = self
            .tx
            .query_row(
                "SELECT id FROM seal WHERE id > ?1 AND time_ms >= ?2 ORDER BY id LIMIT 1",
                params![walked, time_ms.cast_signed()],
                |row| row.get(0),
            )
            .optional()?;
        // The newest seal stays whole: what comes behind it goes on from there.
        Ok(younger.map_or(self.newest, |id| id).min(self.newest) - 1)
    }

    /// Up to which seal entries must go, for a tenth of the room to be free.
    fn making_room(&self, bytes: u64, max_bytes: u64) -> rusqlite::Result<i64> {
        let before = ends_at(self.tx, self.entries_pruned)?.of(Sort::Entry);
        let now = Ends::now(self.tx)?.of(Sort::Entry);
        let entries = now.saturating_sub(before).max(1).cast_unsigned();
        let too_many = u128::from(bytes - max_bytes / 10 * 9) * u128::from(entries);
        let too_many = i64::try_from(too_many / u128::from(bytes.max(1))).unwrap_or(i64::MAX);
        let until: Option<i64> = self
            .tx
            .query_row(
                "SELECT id FROM seal WHERE id > ?1 AND entries >= ?2 ORDER BY id LIMIT 1",
                [self.entries_pruned, before.saturating_add(too_many)],
                |row| row.get(0),
            )
            .optional()?;
        Ok(until.unwrap_or(self.newest).min(self.newest - 1))
    }

    /// The last seal up to `until` of which every row went into the sums.
    fn summed_up(&self, rows: Rows, until: i64) -> rusqlite::Result<i64> {
        let column = rows.word();
        self.tx.query_row(
            &format!(
                "SELECT ifnull((SELECT id FROM seal WHERE id <= ?1
                     AND {column} <= (SELECT {column} FROM rolled) ORDER BY id DESC LIMIT 1), 0)"
            ),
            [until],
            |row| row.get(0),
        )
    }

    /// Whether there is anything between two seals that can go.
    fn holds(&self, rows: Rows, after: i64, until: i64) -> rusqlite::Result<bool> {
        let (before, ends) = (ends_at(self.tx, after)?, ends_at(self.tx, until)?);
        Ok(match rows {
            Rows::Entries => {
                before.of(Sort::Entry) < ends.of(Sort::Entry)
                    || before.of(Sort::Gap) < ends.of(Sort::Gap)
            }
            Rows::Receipts => before.of(Sort::Receipt) < ends.of(Sort::Receipt),
        })
    }
}

/// Puts on record what goes, before it does, so that no row is ever missing
/// without a word.
fn announce(
    tx: &Transaction<'_>,
    signer: &Signer,
    rows: Rows,
    until: i64,
    rule: &str,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let ends = ends_at(tx, until)?;
    let (last, mut detail) = match rows {
        Rows::Entries => (
            ends.of(Sort::Entry),
            serde_json::json!({
                "rule": rule, "seals": until, "entries": ends.of(Sort::Entry),
                "gaps": ends.of(Sort::Gap), "sets": ends.of(Sort::Set),
            }),
        ),
        Rows::Receipts => (
            ends.of(Sort::Receipt),
            serde_json::json!({
                "rule": rule, "seals": until, "receipts": ends.of(Sort::Receipt),
            }),
        ),
    };
    announcement::sign(tx, signer, now_ms, &mut detail)?;
    let audit = Audit {
        time_ms: now_ms,
        who: "consentry".to_owned(),
        role: "system".to_owned(),
        act: PRUNE.to_owned(),
        about: format!("{} 1 to {last}", rows.word()),
        detail,
    };
    store::add_audit(tx, &audit)?;
    seal::seal(tx, now_ms)?;
    Ok(())
}

fn pruned(tx: &Transaction<'_>, rows: Rows) -> rusqlite::Result<i64> {
    tx.prepare_cached("SELECT seal FROM pruned WHERE sort = ?1")?
        .query_row([rows.word()], |row| row.get(0))
}

fn ends_at(tx: &Transaction<'_>, seal: i64) -> rusqlite::Result<Ends> {
    Ok(seal_at(tx, seal)?.map(|seal| seal.ends).unwrap_or_default())
}

fn seal_at(tx: &Transaction<'_>, seal: i64) -> rusqlite::Result<Option<Seal>> {
    tx.prepare_cached(&format!("SELECT {} FROM seal WHERE id = ?1", Seal::COLUMNS))?
        .query_row([seal], Seal::read)
        .optional()
}

/// Prunes the next seals behind `walked`.
fn prune(tx: &Transaction<'_>, rows: Rows, walked: i64, until: i64) -> rusqlite::Result<()> {
    // Their numbers would be given out again.
    let keep = Ends::now(tx)?;
    let is_gone = |place: Place| match rows {
        Rows::Entries => {
            matches!(place.sort, Sort::Entry | Sort::Gap) && place.id < keep.of(place.sort)
        }
        Rows::Receipts => place.sort == Sort::Receipt,
    };
    let mut before = ends_at(tx, walked)?;
    let (mut last, mut gone) = (walked, 0);
    for id in walked + 1..=until.min(walked + SEALS) {
        if gone >= ROWS {
            break;
        }
        if let Some(seal) = seal_at(tx, id)? {
            if let Some(thinned) = Thinned::of(tx, before, &seal, is_gone)? {
                gone += thinned.gone.len();
                carry_out(tx, seal.id, &thinned)?;
            }
            before = seal.ends;
        }
        last = id;
    }
    tx.prepare_cached("UPDATE pruned SET seal = ?1 WHERE sort = ?2")?
        .execute(params![last, rows.word()])?;
    Ok(())
}

/// Deletes rows, and leaves under their seal what stands for them.
fn carry_out(tx: &Transaction<'_>, seal: i64, thinned: &Thinned) -> rusqlite::Result<()> {
    for place in &thinned.gone {
        let queries: &[&str] = match place.sort {
            Sort::Entry => &["DELETE FROM entry WHERE id = ?1"],
            Sort::Gap => &["DELETE FROM gap WHERE id = ?1"],
            Sort::Receipt => &[
                "DELETE FROM receipt WHERE id = ?1",
                "DELETE FROM erased_receipt WHERE receipt = ?1",
            ],
            Sort::Set => &[
                "DELETE FROM combination WHERE set_id = ?1",
                "DELETE FROM set_member WHERE set_id = ?1",
                "DELETE FROM decision_set WHERE id = ?1",
            ],
            // They are what tells of all this.
            Sort::Audit => &[],
        };
        for query in queries {
            tx.prepare_cached(query)?.execute([place.id])?;
        }
    }
    tx.prepare_cached("UPDATE seal SET cover = ?1, marks = ?2 WHERE id = ?3")?.execute(params![
        thinned.cover_bytes(),
        thinned.marks(),
        seal
    ])?;
    Ok(())
}

/// How many bytes the database takes, without what is free in it.
fn size(conn: &Connection) -> rusqlite::Result<u64> {
    let bytes: i64 = conn.query_row(
        "SELECT (page_count - freelist_count) * page_size
         FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
        [],
        |row| row.get(0),
    )?;
    Ok(bytes.cast_unsigned())
}

/// Gives pages that are free back to the disk. A ledger that was begun before
/// format 5 cannot do that; it fills them again.
fn give_back(conn: &Connection) -> rusqlite::Result<()> {
    let mut query = conn.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    // Each step frees one page.
    let mut rows = query.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests;
