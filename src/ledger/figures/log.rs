//! The block log, a page at a time: from a figure to the entries behind it, to
//! the element and the rule.
//!
//! What is frequent is found among the newest entries, what is rare by its sets
//! of decisions, so that neither reads a ledger from end to end.

use super::vendors::stored;
use super::{Figures, Period, Question};
use crate::ledger::Error;
use crate::ledger::engine::Row;
use crate::ledger::read::{Line, VerdictWord};
use crate::purpose::{Purpose, PurposeSet};

use serde::Serialize;

/// Which decisions are asked for: those that fit everything that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// When they were taken.
    pub period: Period,
    /// On the site of that name.
    pub site: Option<String>,
    /// About the vendor of that id; `?` for what nobody claims.
    pub vendor: Option<String>,
    /// About data used for this.
    pub purpose: Option<Purpose>,
    /// Only what was let through, or only what was withheld.
    pub verdict: Option<VerdictWord>,
    /// Of that kind: `script`, `cookie` and so on.
    pub kind: Option<String>,
    /// On the page of that path.
    pub page: Option<String>,
    /// About something whose name contains this, in whatever case.
    pub what: Option<String>,
}

impl Wanted {
    /// Everything in a period.
    #[must_use]
    pub const fn all(period: Period) -> Self {
        Self {
            period,
            site: None,
            vendor: None,
            purpose: None,
            verdict: None,
            kind: None,
            page: None,
            what: None,
        }
    }

    const fn is_about_decisions(&self) -> bool {
        self.vendor.is_some()
            || self.purpose.is_some()
            || self.verdict.is_some()
            || self.kind.is_some()
            || self.what.is_some()
    }

    const fn is_everything(&self) -> bool {
        self.site.is_none() && self.page.is_none() && !self.is_about_decisions()
    }

    /// What decisions have to be like, as conditions on `d`.
    fn on_decision(&self, question: &mut Question) {
        if let Some(vendor) = &self.vendor {
            question.add(" AND d.vendor_id = ?", [stored(vendor).into()]);
            if stored(vendor).is_empty() {
                question.add(" AND d.reason <> 'first party'", []);
            }
        }
        if let Some(purpose) = self.purpose {
            question.add(" AND d.purpose = ?", [purpose.name().into()]);
        }
        if let Some(verdict) = self.verdict {
            question.add(" AND d.verdict = ?", [verdict.name().into()]);
        }
        if let Some(kind) = &self.kind {
            question.add(" AND d.kind = ?", [kind.as_str().into()]);
        }
        if let Some(what) = &self.what {
            let pattern = format!("%{}%", escaped(&what.to_lowercase()));
            question.add(" AND lower(d.what) LIKE ? ESCAPE '!'", [pattern.into()]);
        }
    }

    /// Where entries, or combinations, have to be: of the table `alias`.
    fn on_place(&self, question: &mut Question, alias: &str) {
        question.on_site(&format!("{alias}.site"), self.site.as_deref());
        if let Some(page) = &self.page {
            let sql = format!(" AND {alias}.page IN (SELECT id FROM page WHERE text = ?)");
            question.add(&sql, [page.as_str().into()]);
        }
    }

    /// What combinations of site, page and set of decisions have to be like.
    fn on_combination(&self, question: &mut Question) {
        self.on_place(question, "c");
        if self.is_about_decisions() {
            question.add(
                " AND c.set_id IN (SELECT m.set_id FROM set_member m
                  WHERE m.decision_id IN (SELECT d.id FROM decision d WHERE 1 = 1",
                [],
            );
            self.on_decision(question);
            question.add("))", []);
        }
    }
}

/// Takes the meaning of `%` and `_` from a text.
fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

/// Where a page of the log ended: the time and the number of its last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cursor {
    /// In milliseconds since 1970.
    pub time_ms: i64,
    /// The entry's number.
    pub entry: i64,
}

impl Cursor {
    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (time_ms, entry) = text.split_once('-')?;
        Some(Self { time_ms: time_ms.parse().ok()?, entry: entry.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.time_ms, self.entry)
    }
}

/// A page of the block log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogPage {
    /// The decisions that fit, the newest entry first.
    pub lines: Vec<Line>,
    /// Where the next page goes on, unless this is the last.
    pub next: Option<Cursor>,
    /// Lines that are left out, because so many of one page's are enough.
    pub left_out: usize,
}

/// So many of the newest entries are looked at one by one; few in tests, so
/// that they go the other way, too.
const NEWEST: i64 = if cfg!(test) { 20 } else { 2000 };

/// Up to so many matches, entries are looked up by their sets.
const RARE: i64 = 100_000;

/// With so many lines no further entry is begun on a page of the log.
const ENOUGH_LINES: usize = 150;

/// Of an entry with more decisions than this, the first are shown.
const MAX_LINES: usize = 300;

/// Every decision of every entry, for `line` to read.
pub(in crate::ledger) const LINES: &str = "
    SELECT e.id, e.time_ms, site.text, page.text, e.class, e.undecided, signal.text,
           d.verdict, d.reason, d.layer, d.kind, d.what, d.vendor, d.vendor_id, d.purpose, d.rule,
           d.via, mode.text, revision.text
    FROM entry e
    JOIN set_member m ON m.set_id = e.set_id
    JOIN decision d ON d.id = m.decision_id
    JOIN site ON site.id = e.site
    JOIN page ON page.id = e.page
    JOIN word signal ON signal.id = e.signal
    JOIN word mode ON mode.id = e.mode
    JOIN revision ON revision.id = e.policy
    WHERE 1 = 1";

impl Figures {
    /// A page of the block log: decisions of the newest entries that fit, or of
    /// those that come after `after`; of at most `entries` of them.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn block_log(
        &self,
        wanted: &Wanted,
        after: Option<Cursor>,
        entries: u32,
    ) -> Result<LogPage, Error> {
        self.one_moment(|figures| {
            let entries = entries.clamp(1, 1000);
            let mut found = figures.entries(wanted, after, entries + 1)?;
            let mut more = found.len() > entries as usize;
            found.truncate(entries as usize);
            let mut next = None;
            let mut lines = Vec::new();
            let mut left_out = 0;
            for cursor in found {
                if lines.len() >= ENOUGH_LINES {
                    more = true;
                    break;
                }
                let of_entry = figures.lines(wanted, cursor.entry, Some(cursor.time_ms))?;
                left_out += of_entry.len().saturating_sub(MAX_LINES);
                lines.extend(of_entry.into_iter().take(MAX_LINES));
                next = Some(cursor);
            }
            Ok(LogPage { lines, next: next.filter(|_| more), left_out })
        })
    }

    /// All decisions of one entry, in the order of the page.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn entry(&self, entry: i64) -> Result<Vec<Line>, Error> {
        self.lines(&Wanted::all(Period { from_day: 0, until_day: 0 }), entry, None)
    }

    /// How many views fit, and when the last was; at least as many as there
    /// are, since what belongs to a day is not told apart.
    fn estimate(&self, wanted: &Wanted) -> Result<(i64, i64), Error> {
        let mut question = Question::new(
            "SELECT CAST(coalesce(sum(c.views), 0) AS BIGINT), coalesce(max(c.last_ms), 0)
             FROM combination c WHERE 1 = 1",
        );
        wanted.on_combination(&mut question);
        Ok(self.one(&question, |row| Ok((row.int(0)?, row.int(1)?)))?.unwrap_or_default())
    }

    fn entries(
        &self,
        wanted: &Wanted,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Cursor>, Error> {
        let found = self.newest(wanted, after, limit)?;
        if found.len() >= limit as usize {
            return Ok(found);
        }
        self.by_sets(wanted, after, limit)
    }

    /// Those that fit among the newest.
    fn newest(
        &self,
        wanted: &Wanted,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Cursor>, Error> {
        let (from, until) = (wanted.period.from_ms(), wanted.period.until_ms());
        let mut question = Question::new(
            "SELECT e.time_ms, e.id FROM (SELECT id, time_ms, site, page, set_id FROM entry WHERE 1 = 1",
        );
        question.add(" AND time_ms >= ? AND time_ms < ?", [from.into(), until.into()]);
        if let Some(Cursor { time_ms, entry }) = after {
            question.add(
                " AND time_ms <= ? AND (time_ms < ? OR id < ?)",
                [time_ms.into(), time_ms.into(), entry.into()],
            );
        }
        question.add(" ORDER BY time_ms DESC, id DESC LIMIT ?) e WHERE 1 = 1", [NEWEST.into()]);
        wanted.on_place(&mut question, "e");
        if wanted.is_about_decisions() {
            question.add(
                " AND EXISTS (SELECT 1 FROM set_member m JOIN decision d ON d.id = m.decision_id
                  WHERE m.set_id = e.set_id",
                [],
            );
            wanted.on_decision(&mut question);
            question.add(")", []);
        }
        question.add(" ORDER BY e.time_ms DESC, e.id DESC LIMIT ?", [i64::from(limit).into()]);
        self.all(&question, |row| Ok(Cursor { time_ms: row.int(0)?, entry: row.int(1)? }))
    }

    /// Those that fit, by the sets of decisions that do.
    fn by_sets(
        &self,
        wanted: &Wanted,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Cursor>, Error> {
        let (from, mut until) = (wanted.period.from_ms(), wanted.period.until_ms());
        // Adding nothing keeps a database from walking along an index.
        let (mut time, mut set) = ("e.time_ms", "e.set_id + 0");
        if !wanted.is_everything() {
            let (views, last_ms) = self.estimate(wanted)?;
            if views == 0 {
                return Ok(Vec::new());
            }
            if views <= RARE {
                (time, set) = ("e.time_ms + 0", "e.set_id");
            }
            until = until.min(last_ms.saturating_add(1));
        }
        let mut question = Question::new("SELECT e.time_ms, e.id FROM entry e WHERE 1 = 1");
        let range = format!(" AND {time} >= ? AND {time} < ?");
        question.add(&range, [from.into(), until.into()]);
        if let Some(Cursor { time_ms, entry }) = after {
            let range = format!(" AND {time} <= ? AND (e.time_ms < ? OR e.id < ?)");
            question.add(&range, [time_ms.into(), time_ms.into(), entry.into()]);
        }
        wanted.on_place(&mut question, "e");
        if !wanted.is_everything() {
            let sets = format!(" AND {set} IN (SELECT c.set_id FROM combination c WHERE 1 = 1");
            question.add(&sets, []);
            wanted.on_combination(&mut question);
            question.add(")", []);
        }
        let order = format!(" ORDER BY {time} DESC, e.id DESC LIMIT ?");
        question.add(&order, [i64::from(limit).into()]);
        self.all(&question, |row| Ok(Cursor { time_ms: row.int(0)?, entry: row.int(1)? }))
    }

    /// What fits of an entry. In a ledger with a part for each month, its time
    /// says where it is.
    fn lines(&self, wanted: &Wanted, entry: i64, time_ms: Option<i64>) -> Result<Vec<Line>, Error> {
        let mut question = Question::new(LINES);
        question.add(" AND e.id = ?", [entry.into()]);
        if let Some(time_ms) = time_ms {
            question.add(" AND e.time_ms = ?", [time_ms.into()]);
        }
        wanted.on_decision(&mut question);
        question.add(" ORDER BY m.decision_id", []);
        self.all(&question, line)
    }
}

pub(in crate::ledger) fn line(row: &Row) -> Result<Line, Error> {
    let text = |column| row.text(column).map(ToOwned::to_owned);
    let known = |column| Ok(Some(text(column)?).filter(|text| !text.is_empty()));
    let class = u8::try_from(row.int(4)?).ok().and_then(PurposeSet::from_bits);
    Ok(Line {
        entry: row.int(0)?,
        time_ms: row.unsigned(1)?,
        site: text(2)?,
        page: text(3)?,
        class: class.map_or("?", PurposeSet::class).to_owned(),
        undecided: row.int(5)? != 0,
        signal: text(6)?,
        verdict: text(7)?,
        reason: text(8)?,
        layer: text(9)?,
        kind: text(10)?,
        what: text(11)?,
        vendor: known(12)?,
        vendor_id: known(13)?,
        purpose: known(14)?,
        rule: known(15)?,
        via: known(16)?,
        mode: text(17)?,
        policy_revision: text(18)?,
    })
}
