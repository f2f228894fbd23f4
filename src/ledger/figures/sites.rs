//! The sites in the ledger.

use super::overview::{PARTS, Parts};
use super::{DAY_MS, Figures, HOUR_MS, Period, Question};
use crate::ledger::Error;

use serde::Serialize;

/// A site in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfSite {
    /// Its name.
    pub site: String,
    /// Exchanges on record.
    pub views: i64,
    /// How many things were judged, and how.
    #[serde(flatten)]
    pub parts: Parts,
}

impl Figures {
    /// Every site that is in the ledger, by name; also those on which nothing
    /// happened in the period.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn sites(&self, period: Period) -> Result<Vec<OfSite>, Error> {
        let names = self.all(&Question::new("SELECT id, text FROM site ORDER BY text"), |row| {
            Ok((row.int(0)?, row.text(1)?.to_owned()))
        })?;
        let hours = DAY_MS / HOUR_MS;
        let mut question =
            Question::new("SELECT site, CAST(sum(views) AS BIGINT) FROM hourly WHERE 1 = 1");
        question.add(
            " AND hour >= ? AND hour < ? GROUP BY site",
            [(period.from_day * hours).into(), (period.until_day * hours).into()],
        );
        let views = self.all(&question, |row| Ok((row.int(0)?, row.int(1)?)))?;
        let mut question =
            Question::new(&format!("SELECT site, {PARTS} FROM daily_purpose WHERE 1 = 1"));
        question.in_days(period).add(" GROUP BY site", []);
        let parts = self.all(&question, |row| Ok((row.int(0)?, Parts::read(row, 1)?)))?;
        Ok(names
            .into_iter()
            .map(|(id, site)| OfSite {
                site,
                views: views.iter().find(|each| each.0 == id).map_or(0, |each| each.1),
                parts: parts
                    .iter()
                    .find(|each| each.0 == id)
                    .map_or_else(Parts::default, |of| of.1),
            })
            .collect())
    }
}
