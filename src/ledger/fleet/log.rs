//! The block log of all proxies together.

use crate::ledger::Error;
use crate::ledger::engine::{Engine, Value};
use crate::ledger::figures::log::line;
use crate::ledger::read::{Filter, Gap, Line, stored};

const LINES: &str = "
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
        let (conditions, mut values) = conditions(filter);
        values.push(stored(limit as u64).into());
        let sql = format!(
            "{LINES}{conditions} ORDER BY e.time_ms DESC, e.id DESC, m.decision_id DESC LIMIT ?{}",
            values.len()
        );
        let rows = engine.rows(&sql, &values)?;
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
    let gap = |row: &crate::ledger::engine::Row| {
        Ok(Gap {
            time_ms: row.unsigned(0)?,
            since_ms: row.unsigned(1)?,
            lost: row.unsigned(2)?,
            why: row.text(3)?.to_owned(),
        })
    };
    rows.iter().map(gap).collect()
}

/// The filter in SQL, with its values apart.
fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let mut sql = String::new();
    let mut values: Vec<Value> = Vec::new();
    let mut add = |condition: &str, value: Value| {
        values.push(value);
        sql.push_str(" AND ");
        sql.push_str(&condition.replace('?', &format!("?{}", values.len())));
    };
    if let Some(since_ms) = filter.since_ms {
        add("e.time_ms >= ?", stored(since_ms).into());
    }
    if let Some(until_ms) = filter.until_ms {
        add("e.time_ms < ?", stored(until_ms).into());
    }
    if let Some(id) = filter.after_id {
        add("e.id > ?", id.into());
    }
    if let Some(id) = filter.entry {
        add("e.id = ?", id.into());
    }
    if let Some(site) = &filter.site {
        add("site.text = ?", site.as_str().into());
    }
    if let Some(page) = &filter.page {
        add("instr(page.text, ?) > 0", page.as_str().into());
    }
    if let Some(vendor) = &filter.vendor {
        let part = vendor.to_ascii_lowercase();
        add("(instr(lower(d.vendor_id), ?) > 0 OR instr(lower(d.vendor), ?) > 0)", part.into());
    }
    if let Some(purpose) = filter.purpose {
        add("d.purpose = ?", purpose.name().into());
    }
    if let Some(verdict) = filter.verdict {
        add("d.verdict = ?", verdict.name().into());
    }
    (sql, values)
}
