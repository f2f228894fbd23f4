//! What a visitor asks: what was held back for somebody who chose as I did?
//!
//! The ledger knows no visitors, so it is asked for a page and a consent class.
//! Nothing here reads more than the newest entries: a large ledger answers as
//! quickly as a small one.

use crate::ledger::Error;
use crate::ledger::read::{Filter, Line, Reader, stored, unsigned};
use crate::ledger::schema;
use crate::purpose::{Purpose, PurposeSet};

use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;

/// How many entries are looked at, the newest.
const LOOKED_AT: i64 = 100_000;

/// The decisions about one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnPage {
    /// The page's path, as the ledger has it.
    pub page: String,
    /// When it was fetched, in milliseconds since 1970.
    pub time_ms: u64,
    /// The lines of the ledger, as many as were asked for.
    pub lines: Vec<Line>,
    /// How many more there are.
    pub more: usize,
}

/// A vendor that was held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The vendor's name.
    pub vendor: String,
    /// Its short name.
    pub vendor_id: String,
    /// What the data would have been used for.
    pub purpose: Option<Purpose>,
}

impl Reader {
    /// The decisions about `page` the last time somebody of that consent class
    /// got it.
    ///
    /// What browsers reported later is an entry of its own and not meant.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest_on_page(
        &self,
        site: &str,
        page: &str,
        class: PurposeSet,
        limit: usize,
    ) -> Result<Option<OnPage>, Error> {
        let found = self
            .conn()
            .prepare(
                "SELECT e.id, e.time_ms FROM entry e
                 WHERE e.id > (SELECT max(id) FROM entry) - ?1
                 AND e.site = (SELECT id FROM site WHERE text = ?2)
                 AND e.page = (SELECT id FROM page WHERE text = ?3) AND e.class = ?4
                 AND EXISTS (SELECT 1 FROM set_member m JOIN decision d ON d.id = m.decision_id
                             WHERE m.set_id = e.set_id AND d.layer <> 'browser')
                 ORDER BY e.id DESC LIMIT 1",
            )
            .and_then(|mut query| {
                query
                    .query_row(params![LOOKED_AT, site, page, class.bits()], |row| {
                        Ok((row.get::<_, i64>(0)?, unsigned(row, 1)?))
                    })
                    .optional()
            })
            .map_err(|source| schema::explain(self.path(), source))?;
        let Some((entry, time_ms)) = found else { return Ok(None) };
        let filter = Filter {
            since_ms: Some(time_ms),
            until_ms: Some(time_ms.saturating_add(1)),
            entry: Some(entry),
            ..Filter::default()
        };
        let mut lines = self.block_log(&filter, usize::MAX)?;
        let more = lines.len().saturating_sub(limit);
        // What was held back comes first.
        lines.sort_by(|one, other| other.verdict.cmp(&one.verdict));
        lines.truncate(limit);
        Ok(Some(OnPage { page: page.to_owned(), time_ms, lines, more }))
    }

    /// The vendors that were held back on a site since then for whoever is of
    /// that consent class, and how many more there are than `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn held_back(
        &self,
        site: &str,
        class: PurposeSet,
        since_ms: u64,
        limit: usize,
    ) -> Result<(Vec<Held>, usize), Error> {
        let read = || {
            let mut query = self.conn().prepare(
                "SELECT DISTINCT d.vendor, d.vendor_id, d.purpose
                 FROM (SELECT DISTINCT set_id FROM entry
                       WHERE id > (SELECT max(id) FROM entry) - ?1
                       AND site = (SELECT id FROM site WHERE text = ?2) AND class = ?3
                       AND time_ms >= ?4
                       AND mode = (SELECT id FROM word WHERE text = 'enforce')) e
                 CROSS JOIN set_member m ON m.set_id = e.set_id
                 JOIN decision d ON d.id = m.decision_id
                 WHERE d.verdict = 'block' AND d.vendor <> ''
                 ORDER BY lower(d.vendor), d.purpose",
            )?;
            let values = params![LOOKED_AT, site, class.bits(), stored(since_ms)];
            query
                .query_map(values, |row| {
                    Ok(Held {
                        vendor: row.get(0)?,
                        vendor_id: row.get(1)?,
                        purpose: Purpose::from_name(&row.get::<_, String>(2)?),
                    })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        let mut held = read().map_err(|source| schema::explain(self.path(), source))?;
        let more = held.len().saturating_sub(limit);
        held.truncate(limit);
        Ok((held, more))
    }

    /// The ids of the vendors that were seen on a site, let through or not.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn vendors_seen(&self, site: &str) -> Result<BTreeSet<String>, Error> {
        let read = || {
            let mut query = self.conn().prepare(
                "SELECT DISTINCT d.vendor_id
                 FROM (SELECT DISTINCT set_id FROM entry
                       WHERE id > (SELECT max(id) FROM entry) - ?1
                       AND site = (SELECT id FROM site WHERE text = ?2)) e
                 CROSS JOIN set_member m ON m.set_id = e.set_id
                 JOIN decision d ON d.id = m.decision_id
                 WHERE d.vendor_id <> ''",
            )?;
            query
                .query_map(params![LOOKED_AT, site], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(|source| schema::explain(self.path(), source))
    }

    /// A question that has no end.
    #[cfg(test)]
    pub(crate) fn endless(&self) -> Result<(), Error> {
        let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                   SELECT count(*) FROM n";
        let ended = self.conn().query_row(sql, [], |_| Ok(()));
        ended.map_err(|source| schema::explain(self.path(), source))
    }

    /// Breaks off what this reader is doing, from another thread.
    pub fn stopper(&self) -> impl Fn() + Send + use<> {
        let handle = self.conn().get_interrupt_handle();
        move || handle.interrupt()
    }
}
