//! What was never met before, and what nobody claims yet.

use super::{Figures, Period, Question};
use crate::ledger::Error;
use crate::ledger::engine::Row;

use serde::Serialize;

/// A vendor, host or cookie, and how it was met first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Its number: what was found later has a higher one.
    pub id: i64,
    /// `vendor`, `host` or `cookie`.
    pub sort: String,
    /// The site.
    pub site: String,
    /// Its name.
    pub name: String,
    /// When it was met first, in milliseconds since 1970.
    pub first_ms: i64,
    /// When it was met last.
    pub last_ms: i64,
    /// On how many views, in all.
    pub views: i64,
    /// The page it was met on first.
    pub page: String,
    /// What kind of thing it was then.
    pub kind: String,
    /// The thing itself.
    pub what: String,
    /// The script that asked for it, where a browser said so.
    pub via: String,
    /// The vendor behind it, as it is known now; empty for none.
    pub vendor_id: String,
    /// The vendor's name.
    pub vendor: String,
    /// What the data would be used for.
    pub purpose: String,
    /// What was decided last: `allow`, `block`, `would block`.
    pub verdict: String,
}

const SEEN: &str = "
    SELECT seen.id, sort, site.text, name, first_ms, last_ms, views, page.text, kind, what, via,
           vendor_id, vendor, purpose, verdict
    FROM seen JOIN site ON site.id = seen.site JOIN page ON page.id = seen.page WHERE 1 = 1";

impl Seen {
    fn read(row: &Row) -> Result<Self, Error> {
        let text = |column| row.text(column).map(ToOwned::to_owned);
        Ok(Self {
            id: row.int(0)?,
            sort: text(1)?,
            site: text(2)?,
            name: text(3)?,
            first_ms: row.int(4)?,
            last_ms: row.int(5)?,
            views: row.int(6)?,
            page: text(7)?,
            kind: text(8)?,
            what: text(9)?,
            via: text(10)?,
            vendor_id: text(11)?,
            vendor: text(12)?,
            purpose: text(13)?,
            verdict: text(14)?,
        })
    }
}

impl Figures {
    /// What was met for the first time in a period, the newest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn newcomers(
        &self,
        period: Period,
        site: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Seen>, Error> {
        let mut question = Question::new(SEEN);
        let times = [period.from_ms().into(), period.until_ms().into()];
        question.add(" AND first_ms >= ? AND first_ms < ?", times).on_site("seen.site", site);
        question.add(" ORDER BY first_ms DESC, seen.id DESC LIMIT ?", [i64::from(limit).into()]);
        self.all(&question, Seen::read)
    }

    /// How many were met for the first time in a period.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn newcomers_in_all(&self, period: Period, site: Option<&str>) -> Result<u64, Error> {
        let mut question =
            Question::new("SELECT COUNT(*) FROM seen JOIN site ON site.id = seen.site WHERE 1 = 1");
        let times = [period.from_ms().into(), period.until_ms().into()];
        question.add(" AND first_ms >= ? AND first_ms < ?", times).on_site("seen.site", site);
        let count = self.one(&question, |row| row.int(0))?;
        Ok(count.map_or(0, i64::cast_unsigned))
    }

    /// What was found after the one of that number, in the order of discovery.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn seen_after(&self, id: i64, limit: u32) -> Result<Vec<Seen>, Error> {
        let mut question = Question::new(SEEN);
        question
            .add(" AND seen.id > ? ORDER BY seen.id LIMIT ?", [id.into(), i64::from(limit).into()]);
        self.all(&question, Seen::read)
    }

    /// Hosts of third parties that nobody claimed when they were met last, and
    /// that still `wait` for somebody to say whose they are; the newest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn unlisted(
        &self,
        site: Option<&str>,
        limit: u32,
        wait: impl Fn(&Seen) -> bool,
    ) -> Result<Vec<Seen>, Error> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut waiting: Vec<Seen> = Vec::new();
        let mut after: Option<(i64, i64)> = None;
        loop {
            let mut question = Question::new(SEEN);
            question.add(" AND sort = 'host' AND vendor_id = ''", []).on_site("seen.site", site);
            if let Some((first_ms, id)) = after {
                let values = [first_ms.into(), first_ms.into(), id.into()];
                question.add(" AND (first_ms < ? OR (first_ms = ? AND seen.id < ?))", values);
            }
            let newest = " ORDER BY first_ms DESC, seen.id DESC LIMIT ?";
            question.add(newest, [i64::from(limit).into()]);
            let found = self.all(&question, Seen::read)?;
            let is_all = found.len() < most;
            after = found.last().map(|last| (last.first_ms, last.id));
            waiting.extend(found.into_iter().filter(|each| wait(each)));
            if is_all || waiting.len() >= most || after.is_none() {
                waiting.truncate(most);
                return Ok(waiting);
            }
        }
    }

    /// Everything of a sort (`vendor`, `host`, `cookie`) that was met since the
    /// period began, by name.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn met(
        &self,
        sort: &str,
        period: Period,
        site: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Seen>, Error> {
        let mut question = Question::new(SEEN);
        let values = [sort.into(), period.from_ms().into(), period.until_ms().into()];
        question.add(" AND sort = ? AND last_ms >= ? AND first_ms < ?", values);
        question.on_site("seen.site", site);
        question.add(" ORDER BY name, seen.id LIMIT ?", [i64::from(limit).into()]);
        self.all(&question, Seen::read)
    }

    /// Everything known of one name, on each site it was met on.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn seen(&self, sort: &str, name: &str) -> Result<Vec<Seen>, Error> {
        let mut question = Question::new(SEEN);
        question.add(" AND sort = ? AND name = ?", [sort.into(), name.into()]);
        question.add(" ORDER BY first_ms, seen.id", []);
        self.all(&question, Seen::read)
    }
}
