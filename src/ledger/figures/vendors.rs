//! Who was met, and on which pages.

use super::overview::{PARTS, Parts};
use super::{Figures, NOBODY, Period, Question};
use crate::ledger::Error;
use crate::ledger::rollup::sums::ANYBODY;

use serde::Serialize;

/// A vendor in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfVendor {
    /// Its id; empty for what nobody claims.
    pub vendor_id: String,
    /// Its name.
    pub vendor: String,
    /// What its data would be used for, as far as that was decided about.
    pub purposes: Vec<String>,
    /// How many things were judged, and how.
    #[serde(flatten)]
    pub parts: Parts,
    /// When it was met first, in milliseconds since 1970.
    pub first_ms: Option<i64>,
    /// When it was met last.
    pub last_ms: Option<i64>,
}

/// A page on which a vendor was met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfPage {
    /// The site.
    pub site: String,
    /// The page's path, without query and ids.
    pub page: String,
    /// Views on which something was held back.
    pub withheld: i64,
    /// Views on which it would have been, had verdicts been carried out.
    pub would_withhold: i64,
    /// Views on which something was let through.
    pub let_through: i64,
}

/// What kind of thing a vendor was met with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfKind {
    /// `script`, `cookie` and so on.
    pub kind: String,
    /// Held back.
    pub withheld: i64,
    /// Would have been held back, had verdicts been carried out.
    pub would_withhold: i64,
    /// Let through.
    pub let_through: i64,
}

impl Figures {
    /// Everybody who was met in a period, whom most was held back from first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn vendors(&self, period: Period, site: Option<&str>) -> Result<Vec<OfVendor>, Error> {
        let mut question = Question::new(&format!(
            "SELECT vendor_id, purpose, max(vendor), {PARTS} FROM daily_vendor WHERE 1 = 1"
        ));
        question.in_days(period).on_site("site", site).add(" GROUP BY vendor_id, purpose", []);
        let rows = self.all(&question, |row| {
            Ok((
                row.text(0)?.to_owned(),
                row.text(1)?.to_owned(),
                row.text(2)?.to_owned(),
                Parts::read(row, 3)?,
            ))
        })?;
        let mut question = Question::new(
            "SELECT name, min(first_ms), max(last_ms) FROM seen WHERE sort = 'vendor'",
        );
        question.on_site("site", site).add(" GROUP BY name", []);
        let seen =
            self.all(&question, |row| Ok((row.text(0)?.to_owned(), row.int(1)?, row.int(2)?)))?;
        let mut all: Vec<OfVendor> = Vec::new();
        for (vendor_id, purpose, vendor, parts) in rows {
            let at = all.iter().position(|each| each.vendor_id == vendor_id);
            let of = match at.and_then(|at| all.get_mut(at)) {
                Some(of) => of,
                None => {
                    let times = seen.iter().find(|(id, ..)| *id == vendor_id);
                    all.push(OfVendor {
                        first_ms: times.map(|(_, first, _)| *first),
                        last_ms: times.map(|(.., last)| *last),
                        vendor_id,
                        vendor,
                        ..OfVendor::default()
                    });
                    let Some(of) = all.last_mut() else { continue };
                    of
                }
            };
            if !purpose.is_empty() {
                of.purposes.push(purpose);
            }
            of.parts.withheld += parts.withheld;
            of.parts.requests_spared += parts.requests_spared;
            of.parts.would_withhold += parts.would_withhold;
            of.parts.let_through += parts.let_through;
        }
        all.sort_by_key(|of| {
            (
                -(of.parts.withheld + of.parts.would_withhold),
                -of.parts.let_through,
                of.vendor_id.clone(),
            )
        });
        Ok(all)
    }

    /// The pages on which a vendor was met, most views first. `?` stands for
    /// what nobody claims.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn vendor_pages(
        &self,
        vendor: &str,
        period: Period,
        site: Option<&str>,
        limit: u32,
    ) -> Result<Vec<OfPage>, Error> {
        let mut question = Question::new(&format!(
            "SELECT site.text, page.text, {VIEWS}
             FROM daily_page JOIN site ON site.id = site JOIN page ON page.id = page WHERE 1 = 1",
        ));
        question.add(" AND vendor_id = ?", [stored(vendor).into()]).in_days(period);
        question.on_site("site", site).add(
            " GROUP BY site.text, page.text ORDER BY 3 DESC, 4 DESC, 5 DESC, 1, 2 LIMIT ?",
            [i64::from(limit).into()],
        );
        self.all(&question, |row| {
            Ok(OfPage {
                site: row.text(0)?.to_owned(),
                page: row.text(1)?.to_owned(),
                withheld: row.int(2)?,
                would_withhold: row.int(3)?,
                let_through: row.int(4)?,
            })
        })
    }

    /// The pages on which anything was judged, most views with something held
    /// back first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn pages(
        &self,
        period: Period,
        site: Option<&str>,
        limit: u32,
    ) -> Result<Vec<OfPage>, Error> {
        self.vendor_pages(ANYBODY, period, site, limit)
    }

    /// What kinds of things a vendor was met with.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn vendor_kinds(
        &self,
        vendor: &str,
        period: Period,
        site: Option<&str>,
    ) -> Result<Vec<OfKind>, Error> {
        let mut question =
            Question::new(&format!("SELECT kind, {KINDS} FROM daily_kind WHERE 1 = 1"));
        question.add(" AND vendor_id = ?", [stored(vendor).into()]).in_days(period);
        question.on_site("site", site).add(" GROUP BY kind ORDER BY 2 DESC, 3 DESC, 4 DESC, 1", []);
        self.all(&question, |row| {
            Ok(OfKind {
                kind: row.text(0)?.to_owned(),
                withheld: row.int(1)?,
                would_withhold: row.int(2)?,
                let_through: row.int(3)?,
            })
        })
    }

    /// The vendors of a period by id, each once with every kind of thing it was
    /// met with.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn kinds_met(
        &self,
        period: Period,
        site: Option<&str>,
    ) -> Result<Vec<(String, String)>, Error> {
        let mut question =
            Question::new("SELECT DISTINCT vendor_id, kind FROM daily_kind WHERE vendor_id <> ''");
        question.in_days(period).on_site("site", site).add(" ORDER BY 1, 2", []);
        self.all(&question, |row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned())))
    }

    /// The ids of the vendors whose cookies the site itself tried to set since
    /// the period began.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn cookies_sent(&self, period: Period, site: Option<&str>) -> Result<Vec<String>, Error> {
        let mut question = Question::new(
            "SELECT DISTINCT d.vendor_id FROM decision d
             WHERE d.kind = 'cookie' AND d.layer = 'response' AND d.vendor_id <> ''
             AND EXISTS (SELECT 1 FROM set_member m JOIN combination c ON c.set_id = m.set_id
                         WHERE m.decision_id = d.id",
        );
        question.add(" AND c.last_ms >= ?", [period.from_ms().into()]).on_site("c.site", site);
        question.add(") ORDER BY 1", []);
        self.all(&question, |row| Ok(row.text(0)?.to_owned()))
    }

    /// The ids of the vendors that nothing but reports of browsers speak for,
    /// which anybody can make up.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn only_reported(&self, site: Option<&str>) -> Result<Vec<String>, Error> {
        let mut question = Question::new("SELECT name FROM seen WHERE sort = 'vendor'");
        question
            .on_site("site", site)
            .add(" GROUP BY name HAVING min(reported) = 1 ORDER BY name", []);
        self.all(&question, |row| Ok(row.text(0)?.to_owned()))
    }
}

const KINDS: &str = "
    CAST(sum(CASE WHEN verdict = 'block' THEN times ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN verdict = 'would block' THEN times ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN verdict = 'allow' THEN times ELSE 0 END) AS BIGINT)";

const VIEWS: &str = "
    CAST(sum(CASE WHEN verdict = 'block' THEN views ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN verdict = 'would block' THEN views ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN verdict = 'allow' THEN views ELSE 0 END) AS BIGINT)";

/// A vendor's id as it is stored.
pub(super) fn stored(vendor: &str) -> &str {
    if vendor == NOBODY { "" } else { vendor }
}
