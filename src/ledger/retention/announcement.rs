//! What the ledger says before it prunes, signed with its key. Whoever may
//! write the database can put any row there, and the writer seals it; the
//! signature is what they cannot make.

use crate::ledger::checkpoint::{PublicKey, Signer};
use crate::ledger::seal::Sort;

use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;
use std::fmt::Write as _;

/// Where the signature stands among the details.
const SIGNATURE: &str = "signature";

/// Adds the ledger's signature to what an announcement of `time_ms` says.
pub(in crate::ledger) fn sign(
    conn: &Connection,
    signer: &Signer,
    time_ms: u64,
    detail: &mut Value,
) -> rusqlite::Result<()> {
    let signed = text(conn, &signer.public(), time_ms, detail)?;
    if let Some(detail) = detail.as_object_mut() {
        detail.insert(SIGNATURE.to_owned(), Value::String(signer.sign_text(&signed)));
    }
    Ok(())
}

/// Whether one of the keys signed what an announcement of `time_ms` says.
pub(in crate::ledger) fn is_signed(
    conn: &Connection,
    keys: &[&PublicKey],
    time_ms: u64,
    detail: &Value,
) -> rusqlite::Result<bool> {
    let Some(signature) = detail.get(SIGNATURE).and_then(Value::as_str) else { return Ok(false) };
    for key in keys {
        if key.has_signed(&text(conn, key, time_ms, detail)?, signature) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is signed. The root of the last seal is in it, so that it holds for
/// this ledger alone: another one may have been begun with the same key.
fn text(
    conn: &Connection,
    key: &PublicKey,
    time_ms: u64,
    detail: &Value,
) -> rusqlite::Result<String> {
    let number = |name| detail.get(name).and_then(Value::as_i64).unwrap_or(0);
    let seals = number("seals");
    let root: Option<Vec<u8>> = conn
        .prepare_cached("SELECT root FROM seal WHERE id = ?1")?
        .query_row([seals], |row| row.get(0))
        .optional()?;
    let mut text = format!("{}\npruned\ntime {time_ms}\nseals {seals} ", key.name());
    for byte in root.unwrap_or_default() {
        write!(text, "{byte:02x}").ok();
    }
    text.push_str("\nrows");
    for sort in Sort::ALL {
        write!(text, " {}", number(sort.column())).ok();
    }
    let rule = detail.get("rule").and_then(Value::as_str).unwrap_or_default();
    write!(text, "\nrule {rule}\nkey {}\n", key.text()).ok();
    Ok(text)
}
