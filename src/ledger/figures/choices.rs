//! What visitors chose, by the revision of the notice they were asked with.
//! Plain figures: nothing here says which notice "works better".

use super::{Figures, Period, Question};
use crate::ledger::Error;

use serde::Serialize;

/// Choices made on one revision of the notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Choices {
    /// The site.
    pub site: String,
    /// The revision of its notice.
    pub notice_revision: i64,
    /// All of them.
    pub all: i64,
    /// Agreed to everything that was asked.
    pub accept: i64,
    /// Agreed to nothing of it.
    pub refuse: i64,
    /// Agreed to some of it.
    pub partial: i64,
    /// Took back something they had agreed to.
    pub withdraw: i64,
    /// Decided about one vendor.
    pub vendor: i64,
    /// Made while the browser sent Global Privacy Control.
    pub gpc: i64,
}

impl Figures {
    /// What visitors chose in a period, by site and revision of the notice.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn choices(&self, period: Period, site: Option<&str>) -> Result<Vec<Choices>, Error> {
        let counted = |condition: &str| {
            format!("CAST(sum(CASE WHEN {condition} THEN times ELSE 0 END) AS BIGINT)")
        };
        let acts = ["accept", "refuse", "partial", "withdraw", "vendor"]
            .map(|act| counted(&format!("act = '{act}'")))
            .join(", ");
        let mut question = Question::new(&format!(
            "SELECT site, notice_revision, CAST(sum(times) AS BIGINT), {acts}, {}
             FROM daily_choice WHERE 1 = 1",
            counted("gpc = 1")
        ));
        question.in_days(period);
        if let Some(site) = site {
            question.add(" AND site = ?", [site.into()]);
        }
        question.add(" GROUP BY site, notice_revision ORDER BY site, notice_revision", []);
        self.all(&question, |row| {
            Ok(Choices {
                site: row.text(0)?.to_owned(),
                notice_revision: row.int(1)?,
                all: row.int(2)?,
                accept: row.int(3)?,
                refuse: row.int(4)?,
                partial: row.int(5)?,
                withdraw: row.int(6)?,
                vendor: row.int(7)?,
                gpc: row.int(8)?,
            })
        })
    }
}
