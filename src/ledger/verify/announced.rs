//! What the ledger says it pruned, and what of that is gone.

use crate::ledger::audit::PRUNE;
use crate::ledger::checkpoint::PublicKey;
use crate::ledger::retention::announcement;
use crate::ledger::seal::{Place, Sort};
use crate::ledger::verify::Pruned;

use rusqlite::Connection;
use serde_json::Value;

/// What was announced for one sort of rows, and what was found of it.
#[derive(Clone, Copy, Debug, Default)]
struct Announcement {
    /// The last row that may be gone.
    last: i64,
    since_ms: u64,
    until_ms: u64,
    gone: u64,
    last_gone: i64,
}

/// What audit entries say of pruning, as far as the ledger signed it.
#[derive(Debug, Default)]
pub(super) struct Announced {
    sorts: [Announcement; Sort::ALL.len()],
    /// The first that is not signed.
    pub(super) unsigned: Option<i64>,
}

impl Announced {
    pub(super) fn read(conn: &Connection, keys: &[&PublicKey]) -> rusqlite::Result<Self> {
        let mut announced = Self::default();
        let mut query =
            conn.prepare("SELECT time_ms, detail, id FROM audit WHERE act = ?1 ORDER BY id")?;
        let mut rows = query.query([PRUNE])?;
        while let Some(row) = rows.next()? {
            let time_ms = row.get::<_, i64>(0)?.cast_unsigned();
            let detail: Value = serde_json::from_str(&row.get::<_, String>(1)?).unwrap_or_default();
            if !announcement::is_signed(conn, keys, time_ms, &detail)? {
                announced.unsigned = announced.unsigned.or(Some(row.get(2)?));
                continue;
            }
            for (each, sort) in announced.sorts.iter_mut().zip(Sort::ALL) {
                let last = detail.get(sort.column()).and_then(Value::as_i64).unwrap_or(0);
                if last > each.last {
                    each.last = last;
                    each.until_ms = time_ms;
                    if each.since_ms == 0 {
                        each.since_ms = time_ms;
                    }
                }
            }
        }
        Ok(announced)
    }

    /// Takes note of a row that is gone; `false` when nobody said so.
    pub(super) fn found(&mut self, place: Place) -> bool {
        let each = self.sorts.iter_mut().zip(Sort::ALL).find(|(_, sort)| *sort == place.sort);
        let Some((each, _)) = each else { return false };
        each.gone += 1;
        each.last_gone = each.last_gone.max(place.id);
        place.id <= each.last && place.sort != Sort::Audit
    }

    /// What is gone.
    pub(super) fn pruned(&self) -> Vec<Pruned> {
        let gone = self.sorts.iter().zip(Sort::ALL).filter(|(each, _)| each.gone > 0);
        gone.map(|(each, sort)| Pruned {
            rows: sort.plural(),
            count: each.gone,
            last: each.last_gone,
            since_ms: each.since_ms,
            until_ms: each.until_ms,
        })
        .collect()
    }
}
