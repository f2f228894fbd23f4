//! What a ledger's database is made of, and whether a file is one in good
//! health.

use crate::ledger::Error;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The format this version writes.
const SCHEMA: i64 = 5;

/// Files up to this size are checked in full when they are opened; of larger
/// ones everything but the entries, so that a start takes no minutes.
const CHECKED_IN_FULL_BYTES: i64 = 128 * 1024 * 1024;

/// Makes sure that a database is a ledger in good health, and a new one made.
pub(super) fn prepare(conn: &Connection, path: &Path, now_ms: u64) -> Result<(), Error> {
    let failed = |source| explain(path, source);
    let empty = |conn: &Connection| {
        conn.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
    };
    // Until here SQLite has not read a byte: this tells whether it is a database.
    let new: bool = empty(conn).map_err(failed)?;
    if new {
        let begun = (|| {
            // What is pruned later goes back to the disk.
            conn.pragma_update(None, "auto_vacuum", "incremental")?;
            conn.pragma_update(None, "journal_mode", "wal")?;
            let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
            if empty(&tx)? {
                tx.execute_batch(include_str!("schema.sql"))?;
                tx.execute_batch(include_str!("receipts.sql"))?;
                tx.execute_batch(include_str!("seals.sql"))?;
                tx.execute_batch(include_str!("audits.sql"))?;
                tx.execute_batch(include_str!("retention.sql"))?;
                tx.execute_batch(include_str!("figures.sql"))?;
                tx.execute("INSERT INTO meta VALUES (?1, ?2)", [SCHEMA, now_ms.cast_signed()])?;
            }
            tx.commit()
        })();
        begun.map_err(failed)?;
    }
    if check_schema(conn, path)? < SCHEMA {
        bring_up_to_date(conn).map_err(failed)?;
    }
    check_health(conn, path)?;
    let tuned = (|| {
        conn.pragma_update(None, "journal_mode", "wal")?;
        conn.pragma_update(None, "synchronous", "normal")?;
        // What is erased must not stay readable in pages that are free.
        conn.pragma_update(None, "secure_delete", "on")?;
        conn.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)
    })();
    tuned.map_err(failed)
}

/// Takes an older format to this one, or changes nothing. The format is asked
/// for again inside: another process may just have done it.
fn bring_up_to_date(conn: &Connection) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let found: i64 = tx.query_row("SELECT max(schema) FROM meta", [], |row| row.get(0))?;
    if found < 2 {
        tx.execute_batch(include_str!("schema-2.sql"))?;
    }
    if found < 3 {
        tx.execute_batch(include_str!("receipts.sql"))?;
    }
    if found < 4 {
        tx.execute_batch(include_str!("seals.sql"))?;
    }
    if found < 5 {
        tx.execute_batch(include_str!("audits.sql"))?;
        tx.execute_batch(include_str!("retention.sql"))?;
        tx.execute_batch(include_str!("figures.sql"))?;
        tx.execute("UPDATE meta SET schema = 5", [])?;
    }
    tx.commit()
}

/// Opens a ledger to read it, while a proxy may be writing.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, Error> {
    let failed = |source| explain(path, source);
    if !path.exists() {
        return Err(Error::Missing { path: path.to_owned() });
    }
    if path.is_dir() {
        return Err(Error::IsDirectory { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    conn.busy_timeout(Duration::from_secs(2)).map_err(failed)?;
    match check_schema(&conn, path)? {
        SCHEMA => Ok(conn),
        found => Err(Error::Older { path: path.to_owned(), found, known: SCHEMA }),
    }
}

/// The format a ledger is written in.
fn check_schema(conn: &Connection, path: &Path) -> Result<i64, Error> {
    let failed = |source| explain(path, source);
    let is_ledger: bool = conn
        .query_row(
            "SELECT count(*) = 2 FROM sqlite_schema WHERE type = 'table' AND name IN ('meta', 'decision_set')",
            [],
            |row| row.get(0),
        )
        .map_err(failed)?;
    if !is_ledger {
        return Err(Error::NotALedger { path: path.to_owned() });
    }
    let found =
        conn.query_row("SELECT max(schema) FROM meta", [], |row| row.get(0)).map_err(failed)?;
    if found > SCHEMA {
        return Err(Error::Newer { path: path.to_owned(), found, known: SCHEMA });
    }
    Ok(found)
}

fn check_health(conn: &Connection, path: &Path) -> Result<(), Error> {
    let checked = (|| {
        let size: i64 = conn.query_row(
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
            [],
            |row| row.get(0),
        )?;
        if size <= CHECKED_IN_FULL_BYTES {
            return conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        }
        for table in [
            "meta",
            "site",
            "page",
            "revision",
            "word",
            "decision",
            "decision_set",
            "gap",
            "spool",
            "receipt",
            "erased_receipt",
            "notice",
            "tree",
            "checkpoint",
            "audit",
            "pruned",
        ] {
            let said: String =
                conn.query_row(&format!("PRAGMA quick_check({table})"), [], |row| row.get(0))?;
            if said != "ok" {
                return Ok(said);
            }
        }
        Ok("ok".to_owned())
    })();
    match checked.map_err(|source| explain(path, source))?.as_str() {
        "ok" => Ok(()),
        found => Err(Error::Corrupt { path: path.to_owned(), detail: found.replace('\n', "; ") }),
    }
}

/// What SQLite's complaint means to the person who has to act on it.
pub(super) fn explain(path: &Path, source: rusqlite::Error) -> Error {
    let path = PathBuf::from(path);
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::NotALedger { path },
        Some(ErrorCode::DatabaseCorrupt) => Error::Corrupt { path, detail: source.to_string() },
        Some(ErrorCode::ReadOnly) => Error::ReadOnly { path },
        Some(ErrorCode::CannotOpen) => {
            Error::NotWritable { path, source: std::io::Error::other(source.to_string()) }
        }
        _ => Error::Database { path, source },
    }
}
