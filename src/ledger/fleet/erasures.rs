//! What was erased at one proxy is erased for all of them.

use crate::ledger::engine::Value;
use crate::ledger::fleet::batch::Plain;
use crate::ledger::fleet::many::{Column, Holds, insert, with};
use crate::ledger::fleet::session::Session;
use crate::ledger::fleet::trouble::Trouble;

const ERASED: [Column; 5] = [
    ("node", Holds::Int),
    ("number_hash", Holds::Bytes),
    ("receipt", Holds::Int),
    ("leaf", Holds::Bytes),
    ("time_ms", Holds::Int),
];

/// What is known already stays; what only one of the two knows is added, and is
/// as good as new to the node.
const BOTH: &str = "ON CONFLICT (number_hash, node) DO UPDATE SET
    receipt = coalesce(erased_receipt.receipt, excluded.receipt),
    leaf = coalesce(erased_receipt.leaf, excluded.leaf), id = DEFAULT
    WHERE (erased_receipt.receipt IS NULL AND excluded.receipt IS NOT NULL)
        OR (erased_receipt.leaf IS NULL AND excluded.leaf IS NOT NULL)";

/// Notes what was `erased`, and takes every receipt away that is, among those
/// with these hashes; their places stay.
pub(super) fn settle(
    session: &Session,
    erased: &[Plain],
    hashes: Vec<Vec<u8>>,
) -> Result<(), Trouble> {
    if hashes.is_empty() {
        return Ok(());
    }
    insert(session, "erased_receipt", &ERASED, erased, BOTH)?;
    let hashes: Vec<Plain> = hashes.into_iter().map(|hash| vec![Value::Bytes(hash)]).collect();
    let hash = [("hash", Holds::Bytes)];
    let gone = "WHERE r.number_hash = n.hash
        AND EXISTS (SELECT 1 FROM erased_receipt e WHERE e.number_hash = n.hash)";
    with(
        session,
        "INSERT INTO erased_receipt (node, number_hash, receipt, leaf, time_ms)
         SELECT DISTINCT ON (r.number_hash, r.node) r.node, r.number_hash, r.local_id, r.leaf,
             (SELECT min(e.time_ms) FROM erased_receipt e WHERE e.number_hash = r.number_hash)
         FROM receipt r,",
        &hash,
        &hashes,
        &format!("{gone} {BOTH}"),
    )?;
    with(session, "DELETE FROM receipt r USING", &hash, &hashes, gone)?;
    Ok(())
}
