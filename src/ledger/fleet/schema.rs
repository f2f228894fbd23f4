//! What the shared database is made of, and how it is brought up to date.

use crate::ledger::fleet::session::{Given, Session};
use crate::ledger::fleet::trouble::Trouble;
use crate::ledger::now_ms;

use tokio_postgres::types::Type;

/// From each format to the next; the first one begins a ledger.
const STEPS: [&str; 1] = [include_str!("schema.sql")];

/// Whoever writes holds this lock until what it wrote is stored ("consentr").
const LOCK: i64 = 0x636f_6e73_656e_7472;

/// Begins a transaction in which nobody else writes. Whoever dies in it, or
/// falls asleep, keeps nobody waiting for long.
pub(super) fn begin(session: &Session) -> Result<(), Trouble> {
    session.run(&format!(
        "BEGIN;
         SET LOCAL statement_timeout = '50s';
         SET LOCAL lock_timeout = '40s';
         SET LOCAL idle_in_transaction_session_timeout = '20s';
         SELECT pg_advisory_xact_lock({LOCK});"
    ))
}

/// Makes the tables, or brings those of an older version up to date. Of many
/// proxies that start at once, one does it.
pub(super) fn prepare(session: &Session) -> Result<(), Trouble> {
    migrate(session, &STEPS)
}

fn migrate(session: &Session, steps: &[&str]) -> Result<(), Trouble> {
    let known = steps.len() as i64;
    if found(session, known).is_ok_and(|found| found == known) {
        return Ok(());
    }
    begin(session)?;
    // Asked again, now that nobody else is at it: somebody may just have done
    // it, or been halfway.
    let found = found(session, known)?;
    if found == 0 {
        check_encoding(session)?;
    }
    // Functions keep the schema that they were made in.
    session.run(
        "SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)",
    )?;
    for step in steps.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        session.run(step)?;
    }
    if found == 0 {
        let now = now_ms().cast_signed();
        let values: [Given<'_>; 2] = [(&known, Type::INT8), (&now, Type::INT8)];
        session.change("INSERT INTO meta VALUES ($1, $2)", &values)?;
    } else {
        session.change("UPDATE meta SET schema = $1", &[(&known, Type::INT8)])?;
    }
    session.run("COMMIT")
}

/// Whether somebody may read it who changes nothing.
pub(super) fn check(session: &Session) -> Result<(), Trouble> {
    let known = STEPS.len() as i64;
    match found(session, known)? {
        found if found == known => Ok(()),
        found => Err(Trouble::Older { place: session.place().to_owned(), found, known }),
    }
}

/// The format it has; 0 for an empty database.
fn found(session: &Session, known: i64) -> Result<i64, Trouble> {
    let place = || session.place().to_owned();
    // Not `to_regclass`: of two tables that are made together it may find only
    // the second, and once it has said "no" it may go on saying so although
    // they are there. What is read from a table is of one moment.
    let rows = session.rows(
        "SELECT coalesce(bool_or(relname = 'meta'), false),
                coalesce(bool_or(relname = 'decision_set'), false)
         FROM pg_catalog.pg_class
         WHERE relname IN ('meta', 'decision_set') AND pg_catalog.pg_table_is_visible(oid)",
        &[],
    )?;
    let has = |column| rows.first().and_then(|row| row.int(column).ok()) == Some(1);
    match (has(0), has(1)) {
        (false, false) => return Ok(0),
        (true, true) => {}
        _ => return Err(Trouble::NotALedger { place: place() }),
    }
    let rows = session.rows("SELECT max(schema) FROM meta", &[])?;
    let found = rows.first().and_then(|row| row.int(0).ok()).unwrap_or_default();
    if found > known {
        return Err(Trouble::Newer { place: place(), found, known });
    }
    Ok(found)
}

fn check_encoding(session: &Session) -> Result<(), Trouble> {
    let rows = session.rows("SELECT current_setting('server_encoding')", &[])?;
    let found = rows.first().and_then(|row| row.text(0).ok()).unwrap_or_default().to_owned();
    if found == "UTF8" {
        return Ok(());
    }
    Err(Trouble::Encoding { place: session.place().to_owned(), found })
}
