//! What a privacy officer asks the ledger.

use crate::ledger::Error;
use crate::ledger::schema;
use crate::purpose::{Purpose, PurposeSet};

use rusqlite::{Connection, OptionalExtension, Row, ToSql};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Reads a ledger, also while a proxy writes it.
pub struct Reader {
    conn: Connection,
    path: PathBuf,
}

/// A verdict without its reason, to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictWord {
    /// What was let through.
    Allow,
    /// What was withheld.
    Block,
}

impl VerdictWord {
    /// The word in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
        }
    }
}

/// Which decisions are asked for: those that fit everything that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Taken at that time or later, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Taken before that time.
    pub until_ms: Option<u64>,
    /// On the site of that name.
    pub site: Option<String>,
    /// About a vendor whose id or name contains this, in whatever case.
    pub vendor: Option<String>,
    /// About data used for this.
    pub purpose: Option<Purpose>,
    /// On pages whose path contains this.
    pub page: Option<String>,
    /// Only what was let through, or only what was withheld.
    pub verdict: Option<VerdictWord>,
    /// Stored after the entry of that number.
    pub after_id: Option<i64>,
    /// Of the entry of that number.
    pub entry: Option<i64>,
}

/// One decision on one page view: a line of the block log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The entry's number; the decisions of one exchange share it.
    pub entry: i64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The site.
    pub site: String,
    /// The page's path, without query and ids.
    pub page: String,
    /// The visitor's consent class.
    pub class: String,
    /// Whether they were still undecided about something.
    pub undecided: bool,
    /// The signal that decided.
    pub signal: String,
    /// `allow` or `block`.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// The layer that carried it out.
    pub layer: String,
    /// What kind of thing it was.
    pub kind: String,
    /// Its name.
    pub what: String,
    /// Who would have got the data.
    pub vendor: Option<String>,
    /// The vendor's short name.
    pub vendor_id: Option<String>,
    /// What the data would have been used for.
    pub purpose: Option<String>,
    /// The rule behind it: file and line.
    pub rule: Option<String>,
    /// The script that asked for it: host and path, or `inline`.
    pub via: Option<String>,
    /// Whether verdicts were carried out: `enforce` or `observe`.
    pub mode: String,
    /// The policy that decided.
    pub policy_revision: String,
}

/// Entries that are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// When the last of them was lost, in milliseconds since 1970.
    pub time_ms: u64,
    /// When the first was.
    pub since_ms: u64,
    /// How many.
    pub lost: u64,
    /// Why.
    pub why: String,
}

const LINES: &str = "
    SELECT e.id, e.time_ms, site.text, page.text, e.class, e.undecided, signal.text,
           d.verdict, d.reason, d.layer, d.kind, d.what, d.vendor, d.vendor_id, d.purpose, d.rule, d.via,
           mode.text, revision.text
    FROM entry e
    CROSS JOIN set_member m ON m.set_id = e.set_id
    JOIN decision d ON d.id = m.decision_id
    JOIN site ON site.id = e.site
    JOIN page ON page.id = e.page
    JOIN word signal ON signal.id = e.signal
    JOIN word mode ON mode.id = e.mode
    JOIN revision ON revision.id = e.policy";

impl Reader {
    /// Opens a ledger to read it; nothing in it can be changed this way.
    ///
    /// # Errors
    /// When there is none, or it is not one this version can read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Ok(Self { conn: schema::open_for_reading(path)?, path: path.to_owned() })
    }

    pub(super) const fn conn(&self) -> &Connection {
        &self.conn
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The newest `limit` decisions that fit, the newest last.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn block_log(&self, filter: &Filter, limit: usize) -> Result<Vec<Line>, Error> {
        self.lines(filter, limit).map_err(|source| schema::explain(&self.path, source))
    }

    /// The same, and the number of the newest entry there was at that moment:
    /// asked again with it as `after_id`, nothing comes twice or not at all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn block_log_and_newest(
        &self,
        filter: &Filter,
        limit: usize,
    ) -> Result<(Vec<Line>, i64), Error> {
        let read = || {
            let _one_moment = self.conn.unchecked_transaction()?;
            let newest =
                self.conn
                    .query_row("SELECT coalesce(max(id), 0) FROM entry", [], |row| row.get(0))?;
            Ok((self.lines(filter, limit)?, newest))
        };
        read().map_err(|source| schema::explain(&self.path, source))
    }

    /// What is missing from that time, the newest last. Of a filter only the
    /// times count: nobody knows whom a lost entry was about.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn gaps(&self, filter: &Filter) -> Result<Vec<Gap>, Error> {
        let mut gaps = Vec::new();
        self.each_gap(filter, |gap| {
            gaps.push(gap);
            true
        })?;
        Ok(gaps)
    }

    /// What was found to be missing since the gap of that number, `most` of it,
    /// each with its number, in the order in which it was stored. One that was
    /// stored late may be older than those before it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn gaps_after(&self, id: i64, most: u32) -> Result<Vec<(i64, Gap)>, Error> {
        let read = || {
            let mut query = self.conn.prepare(
                "SELECT time_ms, since_ms, lost, why, id FROM gap
                 WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            query
                .query_map([id, i64::from(most)], |row| Ok((row.get(4)?, gap(row)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| schema::explain(&self.path, source))
    }

    /// The number of the last gap that was stored; 0 when there is none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest_gap(&self) -> Result<i64, Error> {
        self.conn
            .query_row("SELECT coalesce(max(id), 0) FROM gap", [], |row| row.get(0))
            .map_err(|source| schema::explain(&self.path, source))
    }

    /// Hands what is missing to `take`, one at a time, until it says stop by
    /// giving `false`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn each_gap(
        &self,
        filter: &Filter,
        mut take: impl FnMut(Gap) -> bool,
    ) -> Result<(), Error> {
        let mut read = || {
            let mut query = self.conn.prepare(
                "SELECT time_ms, since_ms, lost, why FROM gap
                 WHERE time_ms >= ?1 AND since_ms < ?2 ORDER BY time_ms, id",
            )?;
            let times =
                [stored(filter.since_ms.unwrap_or(0)), stored(filter.until_ms.unwrap_or(u64::MAX))];
            let mut rows = query.query(times)?;
            while let Some(row) = rows.next()? {
                if !take(gap(row)?) {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|source| schema::explain(&self.path, source))
    }

    /// Hands every decision that fits to `take`, the oldest first, until it
    /// says stop by giving `false`. Only one is in memory at a time.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn each_line(
        &self,
        filter: &Filter,
        mut take: impl FnMut(Line) -> bool,
    ) -> Result<(), Error> {
        let mut read = || {
            let (conditions, values) = conditions(filter);
            let mut query = self.conn.prepare(&format!(
                "{LINES} WHERE {conditions} ORDER BY e.time_ms, e.id, m.decision_id"
            ))?;
            let mut rows = query.query(rusqlite::params_from_iter(&values))?;
            while let Some(row) = rows.next()? {
                if !take(line(row)?) {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|source| schema::explain(&self.path, source))
    }

    /// The numbers of the first and the last entry there are.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn entries(&self) -> Result<Option<(i64, i64)>, Error> {
        let read = || {
            self.conn.query_row("SELECT min(id), max(id) FROM entry", [], |row| {
                Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?))
            })
        };
        read().map_err(|source| schema::explain(&self.path, source))
    }

    /// Several questions about one moment, whatever is written meanwhile.
    ///
    /// # Errors
    /// When the database cannot be read, and what `ask` fails with.
    pub fn one_moment<T, E: From<Error>>(
        &self,
        ask: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        // Rolled back when it is dropped, which is the end of it.
        let _moment = self
            .conn
            .unchecked_transaction()
            .map_err(|source| schema::explain(&self.path, source))?;
        ask(self)
    }

    /// The newest checkpoint that was signed, as text.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn checkpoint(&self) -> Result<Option<String>, Error> {
        let read = || {
            self.conn
                .query_row("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1", [], |row| {
                    row.get(0)
                })
                .optional()
        };
        read().map_err(|source| schema::explain(&self.path, source))
    }

    /// The first checkpoint that was signed at that time or later, as text:
    /// what was stored until then is under it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn checkpoint_after(&self, time_ms: u64) -> Result<Option<String>, Error> {
        let read = || {
            self.conn
                .query_row(
                    "SELECT note FROM checkpoint WHERE time_ms >= ?1 ORDER BY size LIMIT 1",
                    [stored(time_ms)],
                    |row| row.get(0),
                )
                .optional()
        };
        read().map_err(|source| schema::explain(&self.path, source))
    }

    fn lines(&self, filter: &Filter, limit: usize) -> rusqlite::Result<Vec<Line>> {
        let (conditions, values) = conditions(filter);
        // Entries are read newest first along the index, until there are
        // enough: no sorting, however large the ledger is.
        let query = format!(
            "{LINES} WHERE {conditions} ORDER BY e.time_ms DESC, e.id DESC, m.decision_id DESC LIMIT {}",
            stored(limit as u64)
        );
        let mut query = self.conn.prepare(&query)?;
        let values = rusqlite::params_from_iter(&values);
        let mut lines = query.query_map(values, line)?.collect::<rusqlite::Result<Vec<_>>>()?;
        lines.reverse();
        Ok(lines)
    }
}

/// The filter in SQL, with its values apart.
fn conditions(filter: &Filter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut all = vec!["1".to_owned()];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut add = |all: &mut Vec<String>, condition: &str, value: Box<dyn ToSql>| {
        values.push(value);
        all.push(condition.replace('?', &format!("?{}", values.len())));
    };
    if let Some(since_ms) = filter.since_ms {
        add(&mut all, "e.time_ms >= ?", Box::new(stored(since_ms)));
    }
    if let Some(until_ms) = filter.until_ms {
        add(&mut all, "e.time_ms < ?", Box::new(stored(until_ms)));
    }
    if let Some(id) = filter.after_id {
        add(&mut all, "e.id > ?", Box::new(id));
    }
    if let Some(id) = filter.entry {
        add(&mut all, "e.id = ?", Box::new(id));
    }
    if let Some(site) = &filter.site {
        add(&mut all, "e.site IN (SELECT id FROM site WHERE text = ?)", Box::new(site.clone()));
    }
    if let Some(page) = &filter.page {
        add(
            &mut all,
            "e.page IN (SELECT id FROM page WHERE instr(text, ?) > 0)",
            Box::new(page.clone()),
        );
    }
    let mut decisions = Vec::new();
    if let Some(vendor) = &filter.vendor {
        let condition =
            "(instr(lower(d.vendor_id), lower(?)) > 0 OR instr(lower(d.vendor), lower(?)) > 0)";
        add(&mut decisions, condition, Box::new(vendor.clone()));
    }
    if let Some(purpose) = filter.purpose {
        add(&mut decisions, "d.purpose = ?", Box::new(purpose.name()));
    }
    if let Some(verdict) = filter.verdict {
        add(&mut decisions, "d.verdict = ?", Box::new(verdict.name()));
    }
    if !decisions.is_empty() {
        let decisions = decisions.join(" AND ");
        // Entries without any such decision are passed over by their set.
        all.push(format!(
            "e.set_id IN (SELECT set_id FROM set_member JOIN decision d ON d.id = decision_id WHERE {decisions})"
        ));
        all.push(decisions);
    }
    (all.join(" AND "), values)
}

fn gap(row: &Row<'_>) -> rusqlite::Result<Gap> {
    Ok(Gap {
        time_ms: unsigned(row, 0)?,
        since_ms: unsigned(row, 1)?,
        lost: unsigned(row, 2)?,
        why: row.get(3)?,
    })
}

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line {
        entry: row.get(0)?,
        time_ms: unsigned(row, 1)?,
        site: row.get(2)?,
        page: row.get(3)?,
        class: PurposeSet::from_bits(row.get(4)?).map_or("?", PurposeSet::class).to_owned(),
        undecided: row.get(5)?,
        signal: row.get(6)?,
        verdict: row.get(7)?,
        reason: row.get(8)?,
        layer: row.get(9)?,
        kind: row.get(10)?,
        what: row.get(11)?,
        vendor: known(row, 12)?,
        vendor_id: known(row, 13)?,
        purpose: known(row, 14)?,
        rule: known(row, 15)?,
        via: known(row, 16)?,
        mode: row.get(17)?,
        policy_revision: row.get(18)?,
    })
}

fn known(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(Some(row.get(column)?).filter(|text: &String| !text.is_empty()))
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

/// SQLite's numbers end where half of ours do.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
