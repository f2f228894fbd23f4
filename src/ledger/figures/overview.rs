//! The figures that are read first.

use super::{DAY_MS, Figures, HOUR_MS, Period, Question, date_of};
use crate::ledger::Error;
use crate::ledger::engine::Row;
use crate::purpose::{Purpose, PurposeSet};

use serde::Serialize;

/// What happened in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// Page views and other exchanges with decisions on record.
    pub views: Views,
    /// What was held back and let through.
    pub parts: Parts,
    /// The same for each purpose, in the order visitors read them; what nobody
    /// claims comes last, without a purpose.
    pub by_purpose: Vec<OfPurpose>,
    /// The same for each day, the days without anything included.
    pub by_day: Vec<OfDay>,
}

/// Exchanges on record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Views {
    /// All of them.
    pub all: i64,
    /// By visitors who were undecided about something.
    pub undecided: i64,
    /// Decided by Global Privacy Control.
    pub gpc: i64,
    /// By visitors who had granted nothing, silence included.
    pub granted_nothing: i64,
    /// By visitors who had granted everything.
    pub granted_everything: i64,
    /// While verdicts were only recorded.
    pub observed: i64,
}

/// How many things were judged, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// Held back.
    pub withheld: i64,
    /// Of those, what a browser would have fetched: requests that visitors
    /// were spared.
    pub requests_spared: i64,
    /// Would have been held back, had verdicts been carried out.
    pub would_withhold: i64,
    /// Let through.
    pub let_through: i64,
}

/// Parts of one purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfPurpose {
    /// Its name; empty for what nobody claims.
    pub purpose: String,
    /// How many.
    #[serde(flatten)]
    pub parts: Parts,
}

/// Parts of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfDay {
    /// The day in UTC: `2026-11-22`.
    pub day: String,
    /// Exchanges on record.
    pub views: i64,
    /// How many.
    #[serde(flatten)]
    pub parts: Parts,
}

/// Columns that add verdicts up.
pub(super) const PARTS: &str = "
    CAST(coalesce(sum(CASE WHEN verdict = 'block' THEN times ELSE 0 END), 0) AS BIGINT),
    CAST(coalesce(sum(CASE WHEN verdict = 'block' THEN requests ELSE 0 END), 0) AS BIGINT),
    CAST(coalesce(sum(CASE WHEN verdict = 'would block' THEN times ELSE 0 END), 0) AS BIGINT),
    CAST(coalesce(sum(CASE WHEN verdict = 'allow' THEN times ELSE 0 END), 0) AS BIGINT)";

impl Parts {
    /// Reads the four columns of `PARTS`.
    pub(super) fn read(row: &Row, at: usize) -> Result<Self, Error> {
        Ok(Self {
            withheld: row.int(at)?,
            requests_spared: row.int(at + 1)?,
            would_withhold: row.int(at + 2)?,
            let_through: row.int(at + 3)?,
        })
    }
}

impl Figures {
    /// What happened in a period, on a site or on all.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn overview(&self, period: Period, site: Option<&str>) -> Result<Overview, Error> {
        self.one_moment(|figures| {
            let by_purpose = figures.by_purpose(period, site)?;
            Ok(Overview {
                views: figures.views(period, site)?,
                parts: figures.parts(period, site)?,
                by_purpose,
                by_day: figures.by_day(period, site)?,
            })
        })
    }

    fn views(&self, period: Period, site: Option<&str>) -> Result<Views, Error> {
        let counted = |condition: &str| {
            format!("CAST(coalesce(sum(CASE WHEN {condition} THEN views ELSE 0 END), 0) AS BIGINT)")
        };
        let mut question = Question::new(&format!(
            "SELECT CAST(coalesce(sum(views), 0) AS BIGINT), {}, {}, {}, {}, {}
             FROM hourly WHERE 1 = 1",
            counted("undecided = 1"),
            counted("signal IN (SELECT id FROM word WHERE text = 'gpc')"),
            counted(&format!("class = {}", PurposeSet::NECESSARY.bits())),
            counted(&format!("class = {}", PurposeSet::ALL.bits())),
            counted("mode IN (SELECT id FROM word WHERE text = 'observe')"),
        ));
        in_hours(&mut question, period).on_site("site", site);
        let views = self.one(&question, |row| {
            Ok(Views {
                all: row.int(0)?,
                undecided: row.int(1)?,
                gpc: row.int(2)?,
                granted_nothing: row.int(3)?,
                granted_everything: row.int(4)?,
                observed: row.int(5)?,
            })
        })?;
        Ok(views.unwrap_or_default())
    }

    fn parts(&self, period: Period, site: Option<&str>) -> Result<Parts, Error> {
        let mut question = Question::new(&format!("SELECT {PARTS} FROM daily_purpose WHERE 1 = 1"));
        question.in_days(period).on_site("site", site);
        Ok(self.one(&question, |row| Parts::read(row, 0))?.unwrap_or_default())
    }

    fn by_purpose(&self, period: Period, site: Option<&str>) -> Result<Vec<OfPurpose>, Error> {
        let mut question =
            Question::new(&format!("SELECT purpose, {PARTS} FROM daily_purpose WHERE 1 = 1"));
        question.in_days(period).on_site("site", site).add(" GROUP BY purpose", []);
        let mut all = self.all(&question, |row| {
            Ok(OfPurpose { purpose: row.text(0)?.to_owned(), parts: Parts::read(row, 1)? })
        })?;
        let place = |each: &OfPurpose| {
            Purpose::ALL.iter().position(|purpose| purpose.name() == each.purpose)
        };
        all.sort_by_key(|each| place(each).unwrap_or(usize::MAX));
        Ok(all)
    }

    fn by_day(&self, period: Period, site: Option<&str>) -> Result<Vec<OfDay>, Error> {
        let mut question =
            Question::new(&format!("SELECT day, {PARTS} FROM daily_purpose WHERE 1 = 1"));
        question.in_days(period).on_site("site", site).add(" GROUP BY day ORDER BY day", []);
        let parts = self.all(&question, |row| Ok((row.int(0)?, Parts::read(row, 1)?)))?;
        let mut question = Question::new(&format!(
            "SELECT hour / {}, CAST(sum(views) AS BIGINT) FROM hourly WHERE 1 = 1",
            DAY_MS / HOUR_MS
        ));
        in_hours(&mut question, period).on_site("site", site).add(" GROUP BY 1", []);
        let views = self.all(&question, |row| Ok((row.int(0)?, row.int(1)?)))?;
        let of_day = |day: i64| OfDay {
            day: date_of(day).to_string(),
            views: views.iter().find(|(each, _)| *each == day).map_or(0, |(_, views)| *views),
            parts: parts
                .iter()
                .find(|(each, _)| *each == day)
                .map_or_else(Parts::default, |of| of.1),
        };
        Ok((period.from_day..period.until_day).take(MAX_DAYS).map(of_day).collect())
    }
}

/// More days than anybody looks at one by one.
const MAX_DAYS: usize = 3660;

fn in_hours(question: &mut Question, period: Period) -> &mut Question {
    let hours = DAY_MS / HOUR_MS;
    question.add(
        " AND hour >= ? AND hour < ?",
        [(period.from_day * hours).into(), (period.until_day * hours).into()],
    )
}
