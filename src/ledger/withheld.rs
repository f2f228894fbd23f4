//! What a visitor asks: what was held back for somebody who chose as I did?
//!
//! The ledger knows no visitors, so it is asked for a page and a consent class.
//! Nothing here reads more than the newest entries: a large ledger answers as
//! quickly as a small one.

use crate::consent::VendorChoices;
use crate::ledger::Error;
use crate::ledger::read::{Filter, Line, Reader, stored, unsigned};
use crate::ledger::schema;
use crate::purpose::{Purpose, PurposeSet};

use rusqlite::params;
use std::collections::BTreeSet;

/// How many entries are looked at, the newest.
const LOOKED_AT: i64 = 100_000;

/// How many answers for one page are looked at: those for visitors who decided
/// otherwise about single vendors are passed over.
const CANDIDATES: i64 = 50;

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

/// How somebody chose, as far as the ledger can tell choices apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Their consent class.
    pub class: PurposeSet,
    /// What they decided about single vendors, which no class says.
    pub vendors: VendorChoices,
}

impl Chosen {
    /// Whether a decision can have been taken for somebody who chose so: what
    /// was decided about a vendor alone was so for who decided that.
    fn fits(&self, vendor: &str, reason: &str) -> bool {
        match reason {
            "vendor refused" => self.vendors.refuses(vendor),
            "vendor allowed" => self.vendors.allows(vendor),
            "not granted" => !self.vendors.allows(vendor),
            "granted" => !self.vendors.refuses(vendor),
            // Once, for a click: this is no answer to a page.
            "asked for once" => false,
            _ => true,
        }
    }
}

impl Reader {
    /// The decisions about `page` the last time somebody who chose so got it.
    ///
    /// What browsers reported later is an entry of its own and not meant.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn newest_on_page(
        &self,
        site: &str,
        page: &str,
        chosen: &Chosen,
        limit: usize,
    ) -> Result<Option<OnPage>, Error> {
        for (entry, time_ms) in self.candidates(site, page, chosen.class)? {
            let filter = Filter {
                since_ms: Some(time_ms),
                until_ms: Some(time_ms.saturating_add(1)),
                entry: Some(entry),
                ..Filter::default()
            };
            let mut lines = self.block_log(&filter, usize::MAX)?;
            let fits = |line: &Line| {
                chosen.fits(line.vendor_id.as_deref().unwrap_or_default(), &line.reason)
            };
            if !lines.iter().all(fits) {
                continue;
            }
            let more = lines.len().saturating_sub(limit);
            // What was held back comes first.
            lines.sort_by(|one, other| other.verdict.cmp(&one.verdict));
            lines.truncate(limit);
            return Ok(Some(OnPage { page: page.to_owned(), time_ms, lines, more }));
        }
        Ok(None)
    }

    /// The newest entry with each set of decisions for that page and class, the
    /// newest first.
    fn candidates(
        &self,
        site: &str,
        page: &str,
        class: PurposeSet,
    ) -> Result<Vec<(i64, u64)>, Error> {
        let read = || {
            let mut query = self.conn().prepare(
                "SELECT max(e.id), e.time_ms FROM entry e
                 WHERE e.id > (SELECT max(id) FROM entry) - ?1
                 AND e.site = (SELECT id FROM site WHERE text = ?2)
                 AND e.page = (SELECT id FROM page WHERE text = ?3) AND e.class = ?4
                 AND EXISTS (SELECT 1 FROM set_member m JOIN decision d ON d.id = m.decision_id
                             WHERE m.set_id = e.set_id AND d.layer <> 'browser')
                 GROUP BY e.set_id ORDER BY max(e.id) DESC LIMIT ?5",
            )?;
            let values = params![LOOKED_AT, site, page, class.bits(), CANDIDATES];
            let found = query.query_map(values, |row| Ok((row.get(0)?, unsigned(row, 1)?)))?;
            found.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| schema::explain(self.path(), source))
    }

    /// The vendors that were held back on a site since then for whoever chose
    /// so, and how many more there are than `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn held_back(
        &self,
        site: &str,
        chosen: &Chosen,
        since_ms: u64,
        limit: usize,
    ) -> Result<(Vec<Held>, usize), Error> {
        let read = || {
            let mut query = self.conn().prepare(
                "SELECT DISTINCT d.vendor, d.vendor_id, d.purpose, d.reason
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
            let values = params![LOOKED_AT, site, chosen.class.bits(), stored(since_ms)];
            query
                .query_map(values, |row| {
                    let held = Held {
                        vendor: row.get(0)?,
                        vendor_id: row.get(1)?,
                        purpose: Purpose::from_name(&row.get::<_, String>(2)?),
                    };
                    Ok((held, row.get::<_, String>(3)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        let mut held: Vec<Held> = read()
            .map_err(|source| schema::explain(self.path(), source))?
            .into_iter()
            .filter(|(held, reason)| chosen.fits(&held.vendor_id, reason))
            .map(|(held, _)| held)
            .collect();
        held.dedup();
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
