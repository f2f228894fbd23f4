//! The block log of all proxies together.

use crate::ledger::Error;
use crate::ledger::engine::{Engine, Row};
use crate::ledger::figures::Question;
use crate::ledger::figures::log::{LINES, line};
use crate::ledger::read::{Filter, Gap, Line, stored};

/// The newest `limit` decisions that fit, the newest last, and the number of
/// the newest entry at that moment. An entry's number is that of the shared
/// ledger: they count up as they got there.
///
/// # Errors
/// When the database cannot be read.
pub fn block_log(
    engine: &Engine,
    filter: &Filter,
    limit: usize,
) -> Result<(Vec<Line>, i64), Error> {
    engine.one_moment(|engine| {
        let newest = engine.rows("SELECT coalesce(max(id), 0) FROM entry", &[])?;
        let newest = newest.first().map_or(Ok(0), |row| row.int(0))?;
        let mut question = Question::new(LINES);
        narrow(&mut question, filter);
        question.add(
            " ORDER BY e.time_ms DESC, e.id DESC, m.decision_id DESC LIMIT ?",
            [stored(limit as u64).into()],
        );
        let rows = question.rows(engine)?;
        let lines = rows.iter().rev().map(line).collect::<Result<_, _>>()?;
        Ok((lines, newest))
    })
}

/// What is missing from that time, the newest last.
///
/// # Errors
/// When the database cannot be read.
pub fn gaps(engine: &Engine, filter: &Filter) -> Result<Vec<Gap>, Error> {
    let rows = engine.rows(
        "SELECT time_ms, since_ms, lost, why FROM gap
         WHERE time_ms >= ?1 AND since_ms < ?2 ORDER BY time_ms, id",
        &[
            stored(filter.since_ms.unwrap_or(0)).into(),
            stored(filter.until_ms.unwrap_or(u64::MAX)).into(),
        ],
    )?;
    let gap = |row: &Row| {
        Ok(Gap {
            time_ms: row.unsigned(0)?,
            since_ms: row.unsigned(1)?,
            lost: row.unsigned(2)?,
            why: row.text(3)?.to_owned(),
        })
    };
    rows.iter().map(gap).collect()
}

/// Leaves what does not fit the filter.
fn narrow(question: &mut Question, filter: &Filter) {
    if let Some(since_ms) = filter.since_ms {
        question.add(" AND e.time_ms >= ?", [stored(since_ms).into()]);
    }
    if let Some(until_ms) = filter.until_ms {
        question.add(" AND e.time_ms < ?", [stored(until_ms).into()]);
    }
    if let Some(id) = filter.after_id {
        question.add(" AND e.id > ?", [id.into()]);
    }
    if let Some(id) = filter.entry {
        question.add(" AND e.id = ?", [id.into()]);
    }
    if let Some(site) = &filter.site {
        question.add(" AND site.text = ?", [site.as_str().into()]);
    }
    if let Some(page) = &filter.page {
        question.add(" AND instr(page.text, ?) > 0", [page.as_str().into()]);
    }
    if let Some(vendor) = &filter.vendor {
        let part = vendor.to_ascii_lowercase();
        question.add(
            " AND (instr(lower(d.vendor_id), ?) > 0 OR instr(lower(d.vendor), ?) > 0)",
            [part.as_str().into(), part.as_str().into()],
        );
    }
    if let Some(purpose) = filter.purpose {
        question.add(" AND d.purpose = ?", [purpose.name().into()]);
    }
    if let Some(verdict) = filter.verdict {
        question.add(" AND d.verdict = ?", [verdict.name().into()]);
    }
}
