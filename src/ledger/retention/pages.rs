//! Sums of single pages: of a site that makes up addresses, or is asked for
//! made-up ones, they grow like its entries, and so they go like them.

use rusqlite::{OptionalExtension, Transaction, params};

/// How many sums go in one transaction.
const SUMS: usize = 4000;

/// Which of the entries that are left are asked for their day: what came from
/// several spools is not quite in order.
const OLDEST: i64 = 1000;

/// Forgets the next sums of pages of days that have no entry any more; says
/// whether there are more.
pub(super) fn forget(tx: &Transaction<'_>) -> rusqlite::Result<bool> {
    let first_day: Option<i64> = tx
        .query_row(
            "SELECT min(time_ms) / 86400000
             FROM (SELECT time_ms FROM entry ORDER BY id LIMIT ?1)",
            [OLDEST],
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    let Some(first_day) = first_day else { return Ok(false) };
    let gone = tx
        .prepare_cached(
            "DELETE FROM daily_page WHERE (vendor_id, day, site, page, purpose, verdict) IN
             (SELECT vendor_id, day, site, page, purpose, verdict FROM daily_page
              WHERE day < ?1 LIMIT ?2)",
        )?
        .execute(params![first_day, i64::try_from(SUMS).unwrap_or(i64::MAX)])?;
    Ok(gone >= SUMS)
}

/// How many bytes belong to what does not go when entries go.
pub(super) fn bytes_that_stay(tx: &Transaction<'_>) -> rusqlite::Result<u64> {
    let bytes: i64 = tx.query_row(
        "SELECT ifnull(sum(pgsize), 0) FROM dbstat WHERE aggregate = TRUE AND name IN
         (SELECT name FROM sqlite_schema WHERE tbl_name NOT IN ('entry', 'gap', 'decision_set',
              'set_member', 'decision', 'combination', 'daily_page'))",
        [],
        |row| row.get(0),
    )?;
    Ok(bytes.cast_unsigned())
}
