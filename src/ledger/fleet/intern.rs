//! What the shared database has once, for all proxies: texts, decisions, and
//! sets of decisions. All of this runs while nobody else writes.

use crate::ledger::Error;
use crate::ledger::engine::{Row, Value};
use crate::ledger::fleet::batch::{Batch, Decision, Texts};
use crate::ledger::fleet::many::{Holds, insert, with};
use crate::ledger::fleet::session::Session;
use crate::ledger::fleet::trouble::Trouble;

use std::collections::{BTreeSet, HashMap, HashSet};

/// How many of each sort are remembered between batches.
const REMEMBERED: usize = 50_000;

/// Numbers of what is in the database for certain.
#[derive(Default)]
pub(super) struct Interned {
    texts: HashMap<&'static str, HashMap<String, i64>>,
    sets: HashMap<Vec<u8>, i64>,
}

/// Numbers here by numbers there.
pub(super) type Ids = HashMap<i64, i64>;

impl Interned {
    /// Numbers of texts, of which new ones are made.
    pub(super) fn texts(
        &mut self,
        session: &Session,
        table: &'static str,
        wanted: &Texts,
    ) -> Result<Ids, Trouble> {
        let known = self.texts.entry(table).or_default();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        let column = [("text", Holds::Text)];
        let find = missing(known, wanted);
        if !find.is_empty() {
            let sql = format!("SELECT t.id, t.text FROM {table} t JOIN");
            learn(known, &with(session, &sql, &column, &find, "ON n.text = t.text")?)?;
        }
        let make = missing(known, wanted);
        if !make.is_empty() {
            learn(known, &insert(session, table, &column, &make, "RETURNING id, text")?)?;
        }
        wanted
            .iter()
            .map(|(local, text)| Ok((*local, *known.get(text).ok_or_else(|| lost(table))?)))
            .collect()
    }

    /// Stores sets that nobody stored yet, and which numbers they and their
    /// decisions have in this node's ledger.
    pub(super) fn store_sets(
        &mut self,
        session: &Session,
        node: i64,
        batch: &Batch,
    ) -> Result<(), Trouble> {
        if batch.sets.is_empty() {
            return Ok(());
        }
        let decisions = decisions(session, &batch.decisions)?;
        let hashes: HashSet<&Vec<u8>> = batch.sets.iter().map(|set| &set.hash).collect();
        let mut known = self.known_sets(session, &hashes)?;
        let mut fresh: HashMap<&[u8], &[i64]> = HashMap::new();
        let mut rows = Vec::new();
        for set in batch.sets.iter().filter(|set| !known.contains_key(&set.hash)) {
            if fresh.insert(&set.hash, &set.decisions).is_none() {
                rows.push(vec![Value::Bytes(set.hash.clone()), Value::Int(set.dropped)]);
            }
        }
        let columns = [("hash", Holds::Bytes), ("dropped", Holds::Int)];
        let made = insert(session, "decision_set", &columns, &rows, "RETURNING id, hash")?;
        let mut members = Vec::new();
        for row in &made {
            let (id, hash) = (row.int(0).map_err(misread)?, row.bytes(1).map_err(misread)?);
            for local in fresh.get(hash).copied().unwrap_or_default() {
                let decision = decisions
                    .get(local)
                    .ok_or_else(|| Trouble::Incomplete { what: format!("decision {local}") })?;
                members.push(vec![Value::Int(id), Value::Int(*decision)]);
            }
            known.insert(hash.to_vec(), id);
        }
        let columns = [("set_id", Holds::Int), ("decision_id", Holds::Int)];
        insert(session, "set_member", &columns, &members, "ON CONFLICT DO NOTHING")?;
        let rows: Result<Vec<_>, Trouble> = batch
            .sets
            .iter()
            .map(|set| {
                Ok((set.local_id, *known.get(&set.hash).ok_or_else(|| lost("decision_set"))?))
            })
            .collect();
        local_ids(session, node, "node_set", "set_id", rows?)?;
        local_ids(session, node, "node_decision", "decision_id", decisions)
    }

    /// Numbers of sets by the numbers that a node has for them.
    pub(super) fn sets(
        &mut self,
        session: &Session,
        hashes: &HashMap<i64, Vec<u8>>,
    ) -> Result<Ids, Trouble> {
        let wanted: HashSet<&Vec<u8>> = hashes.values().collect();
        let known = self.known_sets(session, &wanted)?;
        hashes
            .iter()
            .map(|(local, hash)| {
                Ok((*local, *known.get(hash).ok_or_else(|| lost("decision_set"))?))
            })
            .collect()
    }

    /// Those of these sets that are there.
    fn known_sets(
        &mut self,
        session: &Session,
        wanted: &HashSet<&Vec<u8>>,
    ) -> Result<HashMap<Vec<u8>, i64>, Trouble> {
        if self.sets.len() >= REMEMBERED {
            self.sets.clear();
        }
        let missing: Vec<Vec<Value>> = wanted
            .iter()
            .filter(|hash| !self.sets.contains_key(**hash))
            .map(|hash| vec![Value::Bytes((*hash).clone())])
            .collect();
        if !missing.is_empty() {
            let found = with(
                session,
                "SELECT s.id, s.hash FROM decision_set s JOIN",
                &[("hash", Holds::Bytes)],
                &missing,
                "ON n.hash = s.hash",
            )?;
            for row in &found {
                let (id, hash) = (row.int(0).map_err(misread)?, row.bytes(1).map_err(misread)?);
                self.sets.insert(hash.to_vec(), id);
            }
        }
        let known = |hash: &&Vec<u8>| Some(((*hash).clone(), *self.sets.get(*hash)?));
        Ok(wanted.iter().filter_map(known).collect())
    }
}

/// Numbers of decisions, of which new ones are made.
fn decisions(session: &Session, wanted: &HashMap<i64, Decision>) -> Result<Ids, Trouble> {
    let mut known: HashMap<Vec<u8>, i64> = HashMap::new();
    let rows: Vec<Vec<Value>> =
        wanted.values().map(|decision| vec![Value::Bytes(decision.mark.to_vec())]).collect();
    let found = with(
        session,
        "SELECT d.id, d.mark FROM decision d JOIN",
        &[("mark", Holds::Bytes)],
        &rows,
        "ON n.mark = d.mark",
    )?;
    let mut learn = |rows: &[Row]| {
        rows.iter().try_for_each(|row| {
            known.insert(row.bytes(1).map_err(misread)?.to_vec(), row.int(0).map_err(misread)?);
            Ok::<(), Trouble>(())
        })
    };
    learn(&found)?;
    let is_new: HashSet<&[u8]> = {
        let found: HashSet<&[u8]> = found.iter().filter_map(|row| row.bytes(1).ok()).collect();
        wanted
            .values()
            .map(|decision| &decision.mark[..])
            .filter(|mark| !found.contains(mark))
            .collect()
    };
    let mut rows = Vec::new();
    let mut taken = HashSet::new();
    for decision in wanted.values() {
        if is_new.contains(&decision.mark[..]) && taken.insert(&decision.mark) {
            let mut row: Vec<Value> = decision.texts.iter().cloned().map(Value::Text).collect();
            row.push(Value::Bytes(decision.mark.to_vec()));
            rows.push(row);
        }
    }
    let text = |name| (name, Holds::Text);
    let columns = [
        text("verdict"),
        text("reason"),
        text("layer"),
        text("kind"),
        text("what"),
        text("vendor_id"),
        text("vendor"),
        text("purpose"),
        text("rule"),
        text("via"),
        ("mark", Holds::Bytes),
    ];
    learn(&insert(session, "decision", &columns, &rows, "RETURNING id, mark")?)?;
    wanted
        .iter()
        .map(|(local, decision)| {
            Ok((*local, *known.get(&decision.mark[..]).ok_or_else(|| lost("decision"))?))
        })
        .collect()
}

fn local_ids(
    session: &Session,
    node: i64,
    table: &str,
    column: &'static str,
    ids: impl IntoIterator<Item = (i64, i64)>,
) -> Result<(), Trouble> {
    let columns = [("node", Holds::Int), ("local_id", Holds::Int), (column, Holds::Int)];
    let rows: Vec<Vec<Value>> =
        ids.into_iter().map(|(local, id)| [node, local, id].map(Value::Int).to_vec()).collect();
    insert(session, table, &columns, &rows, "ON CONFLICT DO NOTHING").map(|_| ())
}

fn missing(known: &HashMap<String, i64>, wanted: &Texts) -> Vec<Vec<Value>> {
    let texts: BTreeSet<&String> =
        wanted.values().filter(|text| !known.contains_key(*text)).collect();
    texts.into_iter().map(|text| vec![Value::Text(text.clone())]).collect()
}

fn learn(known: &mut HashMap<String, i64>, rows: &[Row]) -> Result<(), Trouble> {
    for row in rows {
        known.insert(row.text(1).map_err(misread)?.to_owned(), row.int(0).map_err(misread)?);
    }
    Ok(())
}

/// A row that must be there, since it was just made or found.
fn lost(table: &str) -> Trouble {
    Trouble::Odd { why: format!("a row of `{table}` is missing") }
}

/// An answer that nobody can have asked for.
pub(super) fn misread(error: Error) -> Trouble {
    let why = match error {
        Error::Misread { column, expected, found } => {
            format!("{found} in column {column}, where {expected} should be")
        }
        other => other.to_string(),
    };
    Trouble::Odd { why }
}
