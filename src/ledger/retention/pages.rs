//! Sums of single pages: of a site that makes up addresses, or is asked for
//! made-up ones, they grow like its entries, and so they go like them.

use rusqlite::{OptionalExtension, Transaction, params};

/// How many sums go in one transaction.
const SUMS: usize = 4000;

/// Which of the entries that are left are asked for their day: what came from
/// several spools is not quite in order.
const OLDEST: i64 = 1000;

/// Sums of days before the first one, of one vendor after the other: in their
/// order, days come behind vendors.
const GOES: &str = "
    WITH RECURSIVE vendor (id) AS (
        SELECT min(vendor_id) FROM daily_page
        UNION ALL
        SELECT (SELECT min(vendor_id) FROM daily_page WHERE vendor_id > vendor.id)
        FROM vendor WHERE vendor.id IS NOT NULL
    )
    DELETE FROM daily_page WHERE (vendor_id, day, site, page, purpose, verdict) IN
        (SELECT p.vendor_id, p.day, p.site, p.page, p.purpose, p.verdict
         FROM vendor CROSS JOIN daily_page p
         WHERE p.vendor_id = vendor.id AND p.day < ?1 LIMIT ?2)";

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
        .prepare_cached(GOES)?
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::verify::tests::Kept;

    use rusqlite::Connection;

    #[test]
    fn f3_sums_of_old_days_are_found_without_a_look_at_those_that_stay() {
        let kept = Kept::new();
        // The entries are of 1970.
        kept.tampers(
            "UPDATE entry SET time_ms = time_ms + 40 * 86400000; DELETE FROM daily_page;
             WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 9999)
             INSERT INTO daily_page SELECT 'vendor ' || n % 7, 30 + n / 500, 1, n, '', '', 1 FROM n",
        );
        let mut conn = Connection::open(kept.path()).unwrap();
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {GOES}")).unwrap();
        let steps = plan.query_map(params![40, 1], |row| row.get(3)).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        assert!(!steps.iter().any(|step| step.contains("SCAN daily_page")), "{steps:?}");
        assert!(steps.iter().any(|step| step.contains("vendor_id=? AND day<?")), "{steps:?}");
        drop(plan);
        let tx = conn.transaction().unwrap();
        assert!(forget(&tx).unwrap(), "5000 go, 4000 of them at once");
        assert!(!forget(&tx).unwrap());
        let left = "SELECT count(*), min(day), max(day) FROM daily_page";
        let left: (i64, i64, i64) =
            tx.query_row(left, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        assert_eq!(left, (5000, 40, 49));
    }
}
