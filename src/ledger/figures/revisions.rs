//! Which policies decided, and since when.

use super::{Figures, Period, Question};
use crate::ledger::Error;

use serde::Serialize;

/// A revision of a site's policy that decided in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfRevision {
    /// The site.
    pub site: String,
    /// The revision.
    pub revision: String,
    /// When it decided first in the period, in milliseconds since 1970.
    pub first_ms: i64,
    /// On how many views.
    pub views: i64,
}

impl Figures {
    /// The policies that decided in a period, in the order in which they began
    /// to. It reads the entries themselves, so it takes longer than sums do.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn revisions(&self, period: Period, site: Option<&str>) -> Result<Vec<OfRevision>, Error> {
        let mut question = Question::new(
            "SELECT site.text, revision.text, min(time_ms), CAST(count(*) AS BIGINT)
             FROM entry JOIN site ON site.id = entry.site
             JOIN revision ON revision.id = entry.policy WHERE 1 = 1",
        );
        question.add(
            " AND time_ms >= ? AND time_ms < ?",
            [period.from_ms().into(), period.until_ms().into()],
        );
        question.on_site("entry.site", site);
        question.add(" GROUP BY site.text, revision.text ORDER BY 1, 3, 2", []);
        self.all(&question, |row| {
            Ok(OfRevision {
                site: row.text(0)?.to_owned(),
                revision: row.text(1)?.to_owned(),
                first_ms: row.int(2)?,
                views: row.int(3)?,
            })
        })
    }
}
