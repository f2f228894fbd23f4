//! Answers what a privacy officer asks: how much was held back, from whom, on
//! which pages, and what is new. Sums are read, not entries, so that an answer
//! takes as long over a year as over a day.

pub mod choices;
pub mod log;
pub mod newcomers;
pub mod overview;
pub mod pulse;
pub mod revisions;
pub mod sites;
pub mod vendors;

use crate::ledger::Error;
use crate::ledger::engine::{Engine, Row, Value};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::path::Path;

const DAY_MS: i64 = 24 * HOUR_MS;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// The vendor of what nobody in the catalogue claims, in questions.
pub const NOBODY: &str = "?";

/// From when until when: whole days in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    from_day: i64,
    until_day: i64,
}

impl Period {
    /// From the first of these days to the last, both included.
    #[must_use]
    pub fn days(first: Date, last: Date) -> Self {
        let (first, last) = (day_of(first), day_of(last));
        Self { from_day: first.min(last), until_day: first.max(last) + 1 }
    }

    /// The days that end with the one in which that time is, in milliseconds
    /// since 1970.
    #[must_use]
    pub fn last(days: u32, now_ms: u64) -> Self {
        let until_day = now_ms.cast_signed().div_euclid(DAY_MS) + 1;
        Self { from_day: until_day - i64::from(days.max(1)), until_day }
    }

    /// The days just before these, as many.
    #[must_use]
    pub const fn before(self) -> Self {
        let days = self.until_day - self.from_day;
        Self { from_day: self.from_day - days, until_day: self.from_day }
    }

    /// When it begins, in milliseconds since 1970.
    #[must_use]
    pub const fn from_ms(self) -> i64 {
        self.from_day.saturating_mul(DAY_MS)
    }

    /// When it is over, in milliseconds since 1970.
    #[must_use]
    pub const fn until_ms(self) -> i64 {
        self.until_day.saturating_mul(DAY_MS)
    }

    /// Its first day.
    #[must_use]
    pub fn first(self) -> Date {
        date_of(self.from_day)
    }

    /// Its last day.
    #[must_use]
    pub fn last_day(self) -> Date {
        date_of(self.until_day - 1)
    }

    /// How many days it has.
    #[must_use]
    pub const fn len(self) -> i64 {
        self.until_day - self.from_day
    }

    /// Whether it has no day at all, which cannot be.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.until_day <= self.from_day
    }
}

fn day_of(date: Date) -> i64 {
    date.to_zoned(TimeZone::UTC)
        .map_or(0, |zoned| zoned.timestamp().as_millisecond().div_euclid(DAY_MS))
}

fn date_of(day: i64) -> Date {
    jiff::Timestamp::from_millisecond(day.saturating_mul(DAY_MS))
        .map_or(Date::MIN, |time| time.to_zoned(TimeZone::UTC).date())
}

/// Reads figures, also while a proxy writes.
#[derive(Debug)]
pub struct Figures {
    engine: Engine,
}

impl Figures {
    /// Opens the ledger in that file.
    ///
    /// # Errors
    /// When there is none, or it is not one this version can read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Engine::open(path).map(Self::new)
    }

    /// Reads from a database that is open.
    #[must_use]
    pub const fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// Several questions about one moment.
    ///
    /// # Errors
    /// When the ledger cannot be read, and what `ask` fails with.
    pub fn one_moment<T>(&self, ask: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, Error> {
        self.engine.one_moment(|_| ask(self))
    }

    fn all<T>(
        &self,
        question: &Question,
        read: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        question.rows(&self.engine)?.iter().map(read).collect()
    }

    fn one<T>(
        &self,
        question: &Question,
        read: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        question.rows(&self.engine)?.first().map(read).transpose()
    }
}

/// A question that grows: text, and the values in it.
#[derive(Clone, Debug, Default)]
pub(in crate::ledger) struct Question {
    sql: String,
    values: Vec<Value>,
}

impl Question {
    pub(in crate::ledger) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    /// The rows that answer it.
    pub(in crate::ledger) fn rows(&self, engine: &Engine) -> Result<Vec<Row>, Error> {
        engine.rows(&self.sql, &self.values)
    }

    /// Adds text in which each `?` stands for the next of the values.
    pub(in crate::ledger) fn add<const N: usize>(
        &mut self,
        sql: &str,
        values: [Value; N],
    ) -> &mut Self {
        let mut pieces = sql.split('?');
        self.sql.push_str(pieces.next().unwrap_or_default());
        for (value, piece) in values.into_iter().zip(pieces) {
            self.values.push(value);
            self.sql.push_str(&format!("?{}{piece}", self.values.len()));
        }
        self
    }

    /// Only days of the period.
    fn in_days(&mut self, period: Period) -> &mut Self {
        self.add(" AND day >= ? AND day < ?", [period.from_day.into(), period.until_day.into()])
    }

    /// Only that site, if one is given.
    fn on_site(&mut self, column: &str, site: Option<&str>) -> &mut Self {
        if let Some(site) = site {
            let sql = format!(" AND {column} IN (SELECT id FROM site WHERE text = ?)");
            self.add(&sql, [site.into()]);
        }
        self
    }
}

#[cfg(test)]
mod tests;
