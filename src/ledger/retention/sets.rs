//! Sets of decisions that no entry names any more.

use crate::ledger::retention::cover::Thinned;
use crate::ledger::retention::{carry_out, ends_at, seal_at};
use crate::ledger::seal::{Place, Sort};

use rusqlite::Transaction;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// How many sets go in one transaction.
const SETS: i64 = 500;

/// What one part of the search found.
pub(super) struct Found {
    /// The last set that was looked at.
    pub(super) looked_at: i64,
    /// How many went.
    pub(super) gone: usize,
}

/// Prunes the next sets behind `after`, up to `last`, and the decisions that
/// were in them alone.
pub(super) fn prune(tx: &Transaction<'_>, after: i64, last: i64) -> rusqlite::Result<Found> {
    let unused = unused(tx, after, last)?;
    let is_last = i64::try_from(unused.len()).is_ok_and(|found| found < SETS);
    let looked_at = if is_last { last } else { unused.last().copied().unwrap_or(last) };
    let mut by_seal: BTreeMap<i64, HashSet<i64>> = BTreeMap::new();
    for set in unused {
        by_seal.entry(seal_over(tx, set)?).or_default().insert(set);
    }
    let mut gone = 0;
    for (id, sets) in by_seal {
        let Some(seal) = seal_at(tx, id)? else { continue };
        let is_gone = |place: Place| place.sort == Sort::Set && sets.contains(&place.id);
        let Some(thinned) = Thinned::of(tx, ends_at(tx, id - 1)?, &seal, is_gone)? else {
            continue;
        };
        let decisions = decisions(tx, &thinned)?;
        carry_out(tx, id, &thinned)?;
        forget_decisions(tx, &decisions)?;
        gone += thinned.gone.len();
    }
    Ok(Found { looked_at, gone })
}

fn unused(tx: &Transaction<'_>, after: i64, last: i64) -> rusqlite::Result<Vec<i64>> {
    // The number of the newest would be given out again.
    tx.prepare_cached(
        "SELECT id FROM decision_set WHERE id > ?1 AND id <= ?2
         AND id < (SELECT max(id) FROM decision_set)
         AND NOT EXISTS (SELECT 1 FROM entry WHERE set_id = decision_set.id)
         ORDER BY id LIMIT ?3",
    )?
    .query_map([after, last, SETS], |row| row.get(0))?
    .collect()
}

/// The seal that a set is under: the first that ends there or behind it.
fn seal_over(tx: &Transaction<'_>, set: i64) -> rusqlite::Result<i64> {
    let mut ends = tx.prepare_cached("SELECT sets FROM seal WHERE id = ?1")?;
    let mut low = 0;
    let mut high: i64 = tx.query_row("SELECT max(id) FROM seal", [], |row| row.get(0))?;
    while low < high {
        let middle = low + (high - low) / 2;
        let sets: i64 = ends.query_row([middle], |row| row.get(0))?;
        if sets >= set { high = middle } else { low = middle + 1 }
    }
    Ok(low)
}

fn decisions(tx: &Transaction<'_>, thinned: &Thinned) -> rusqlite::Result<BTreeSet<i64>> {
    let mut query = tx.prepare_cached("SELECT decision_id FROM set_member WHERE set_id = ?1")?;
    let mut all = BTreeSet::new();
    for place in &thinned.gone {
        for decision in query.query_map([place.id], |row| row.get(0))? {
            all.insert(decision?);
        }
    }
    Ok(all)
}

fn forget_decisions(tx: &Transaction<'_>, decisions: &BTreeSet<i64>) -> rusqlite::Result<()> {
    let mut query = tx.prepare_cached(
        "DELETE FROM decision WHERE id = ?1
         AND NOT EXISTS (SELECT 1 FROM set_member WHERE decision_id = ?1)",
    )?;
    for decision in decisions {
        query.execute([decision])?;
    }
    Ok(())
}
