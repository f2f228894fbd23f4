//! How much happens in each hour: what shows whether visitors are still asked
//! and still answer.

use super::{Figures, HOUR_MS, Question};
use crate::ledger::Error;

use std::collections::BTreeMap;

/// What happened on one site in one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// Hours since 1970.
    pub hour: i64,
    /// Page views on which verdicts were carried out.
    pub views: i64,
    /// Those of visitors who were undecided.
    pub undecided: i64,
    /// Those that Global Privacy Control decided about.
    pub gpc: i64,
    /// Those of visitors who had answered another consent tool.
    pub elsewhere: i64,
    /// Choices made here.
    pub choices: i64,
    /// Those that refuse, or take back.
    pub refusals: i64,
}

impl Figures {
    /// The hours of each site from one time to another, in milliseconds since
    /// 1970; hours without anything are left out.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn pulse(&self, from_ms: i64, until_ms: i64) -> Result<BTreeMap<String, Vec<Hour>>, Error> {
        let mut sites: BTreeMap<String, BTreeMap<i64, Hour>> = BTreeMap::new();
        let (from, until) = (from_ms.div_euclid(HOUR_MS), until_ms.div_euclid(HOUR_MS));
        let counted = |condition: &str| {
            format!("CAST(sum(CASE WHEN {condition} THEN views ELSE 0 END) AS BIGINT)")
        };
        let mut views = Question::new(&format!(
            "SELECT site.text, hour, CAST(sum(views) AS BIGINT), {}, {}, {}
             FROM hourly JOIN site ON site.id = hourly.site
             JOIN word s ON s.id = hourly.signal JOIN word m ON m.id = hourly.mode
             WHERE m.text <> 'observe'",
            counted("undecided = 1"),
            counted("s.text = 'gpc'"),
            counted("s.text NOT IN ('silence', 'choice', 'gpc', 'region')"),
        ));
        views.add(" AND hour >= ? AND hour < ?", [from.into(), until.into()]);
        views.add(" GROUP BY site.text, hour", []);
        for row in self.engine.rows(&views.sql, &views.values)? {
            let hour = row.int(1)?;
            let site = sites.entry(row.text(0)?.to_owned()).or_default();
            let of = site.entry(hour).or_insert(Hour { hour, ..Hour::default() });
            (of.views, of.undecided) = (row.int(2)?, row.int(3)?);
            (of.gpc, of.elsewhere) = (row.int(4)?, row.int(5)?);
        }
        let mut choices = Question::new(&format!(
            "SELECT site, time_ms / {HOUR_MS}, CAST(count(*) AS BIGINT),
                CAST(sum(CASE WHEN act IN ('refuse', 'withdraw') THEN 1 ELSE 0 END) AS BIGINT)
             FROM receipt WHERE 1 = 1"
        ));
        let (from_ms, until_ms) = (from * HOUR_MS, until * HOUR_MS);
        choices.add(" AND time_ms >= ? AND time_ms < ?", [from_ms.into(), until_ms.into()]);
        choices.add(&format!(" GROUP BY site, time_ms / {HOUR_MS}"), []);
        for row in self.engine.rows(&choices.sql, &choices.values)? {
            let hour = row.int(1)?;
            let site = sites.entry(row.text(0)?.to_owned()).or_default();
            let of = site.entry(hour).or_insert(Hour { hour, ..Hour::default() });
            (of.choices, of.refusals) = (row.int(2)?, row.int(3)?);
        }
        Ok(sites.into_iter().map(|(site, hours)| (site, hours.into_values().collect())).collect())
    }
}
