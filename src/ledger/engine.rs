//! Asks a database, whichever it is: the ledger's own SQLite file, or the
//! PostgreSQL that many proxies share.
//!
//! Both have the same tables and columns, so that a question is written once:
//! `?1` for a value, integers of eight bytes, texts and bytes, no function
//! that only one of them knows (`coalesce`, `lower`, `count`, `sum`, `min`,
//! `max`, `instr`, and `CASE` are fine). A sum is cast to BIGINT: PostgreSQL
//! makes it of another sort.

use crate::ledger::Error;
use crate::ledger::fleet::{Asked, Place};
use crate::ledger::schema;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};
use std::path::{Path, PathBuf};

/// One value, as it goes into a question or comes out of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, or a truth value: 0 or 1.
    Int(i64),
    /// A text.
    Text(String),
    /// Bytes, such as a hash.
    Bytes(Vec<u8>),
    /// Nothing.
    Null,
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl Value {
    const fn sort(&self) -> &'static str {
        match self {
            Self::Int(_) => "a number",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::Null => "nothing",
        }
    }
}

/// One row of an answer; its columns are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Vec<Value>);

impl Row {
    pub(super) const fn of(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// The number in a column.
    ///
    /// # Errors
    /// When something else is there.
    pub fn int(&self, column: usize) -> Result<i64, Error> {
        match self.0.get(column) {
            Some(Value::Int(number)) => Ok(*number),
            other => Err(misread(column, "a number", other)),
        }
    }

    /// The number in a column where no negative one can be, such as a time.
    ///
    /// # Errors
    /// When something else is there.
    pub fn unsigned(&self, column: usize) -> Result<u64, Error> {
        u64::try_from(self.int(column)?)
            .map_err(|_| misread(column, "a number from 0", self.0.get(column)))
    }

    /// The text in a column.
    ///
    /// # Errors
    /// When something else is there.
    pub fn text(&self, column: usize) -> Result<&str, Error> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text),
            other => Err(misread(column, "a text", other)),
        }
    }

    /// The bytes in a column.
    ///
    /// # Errors
    /// When something else is there.
    pub fn bytes(&self, column: usize) -> Result<&[u8], Error> {
        match self.0.get(column) {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            other => Err(misread(column, "bytes", other)),
        }
    }
}

fn misread(column: usize, expected: &'static str, found: Option<&Value>) -> Error {
    Error::Misread { column, expected, found: found.map_or("no such column", Value::sort) }
}

/// A database that is open for reading.
pub enum Engine {
    /// A ledger's own file.
    Sqlite {
        /// Opened so that nothing can be changed through it.
        conn: Connection,
        /// Where it is.
        path: PathBuf,
    },
    /// The database that many proxies share.
    Postgres(Box<Asked>),
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite { path, .. } => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(asked) => f.debug_tuple("Postgres").field(asked.place()).finish(),
        }
    }
}

impl Engine {
    /// Opens the ledger in that file to read it, while a proxy may be writing.
    ///
    /// # Errors
    /// When there is none, or it is not one this version can read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::Sqlite { conn: schema::open_for_reading(path)?, path: path.to_owned() })
    }

    /// Opens the ledger that many proxies share, to read it. Questions to it
    /// wait for the network: ask none from a task that others share a thread
    /// with (`spawn_blocking` is for that).
    ///
    /// # Errors
    /// When it cannot be reached, or is not one this version can read.
    pub fn connect(place: &Place) -> Result<Self, Error> {
        let asked = Asked::open(place).map_err(Error::Fleet)?;
        Ok(Self::Postgres(Box::new(asked)))
    }

    /// The rows that answer `sql`, in which `?1` stands for the first of
    /// `values`.
    ///
    /// # Errors
    /// When the database cannot be read, or does not understand the question.
    pub fn rows(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        match self {
            Self::Sqlite { conn, path } => {
                sqlite_rows(conn, sql, values).map_err(|source| schema::explain(path, source))
            }
            Self::Postgres(asked) => asked.rows(sql, values).map_err(Error::Fleet),
        }
    }

    /// Several questions about one moment, whatever is written meanwhile.
    ///
    /// # Errors
    /// When the database cannot be read, and what `ask` fails with.
    pub fn one_moment<T>(&self, ask: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, Error> {
        match self {
            Self::Sqlite { conn, path } => {
                // Rolled back when it is dropped, which is the end of it.
                let _moment =
                    conn.unchecked_transaction().map_err(|source| schema::explain(path, source))?;
                ask(self)
            }
            Self::Postgres(asked) => asked.one_moment(|| ask(self)),
        }
    }
}

fn sqlite_rows(conn: &Connection, sql: &str, values: &[Value]) -> rusqlite::Result<Vec<Row>> {
    let mut query = conn.prepare_cached(sql)?;
    let columns = query.column_count();
    let mut rows = query.query(rusqlite::params_from_iter(values))?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| read(row, column));
        all.push(Row::of(values.collect::<rusqlite::Result<_>>()?));
    }
    Ok(all)
}

/// A value as SQLite gives it.
pub(super) fn read(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Value> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes.to_vec())),
        text @ ValueRef::Text(_) => Ok(Value::Text(text.as_str()?.to_owned())),
        ValueRef::Real(_) => Err(rusqlite::Error::InvalidColumnType(
            column,
            row.as_ref().column_name(column).unwrap_or_default().to_owned(),
            rusqlite::types::Type::Real,
        )),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Null => ValueRef::Null,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{block, entry};
    use crate::ledger::{Ledger, Settings};
    use tempfile::TempDir;

    #[test]
    fn every_sort_of_value_goes_in_and_comes_out() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("ledger.db");
        drop(Ledger::open(Settings::new(&path)).unwrap());
        let engine = Engine::open(&path).unwrap();
        let values = [Value::Int(-7), "ü?1".into(), vec![0, 255].into(), Value::Null];
        let rows = engine.rows("SELECT ?1, ?2, ?3, ?4, '?9', 1 = 1", &values).unwrap();
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((row.int(0).unwrap(), row.text(1).unwrap()), (-7, "ü?1"));
        assert_eq!(row.bytes(2).unwrap(), [0, 255]);
        assert!(row.text(3).unwrap_err().to_string().contains("nothing"));
        assert_eq!((row.text(4).unwrap(), row.int(5).unwrap()), ("?9", 1));
        for wrong in [row.int(1), row.int(3), row.int(9), row.unsigned(0).map(u64::cast_signed)] {
            let said = wrong.unwrap_err().to_string();
            assert!(said.contains("column"), "{said}");
        }
        assert!(engine.rows("DELETE FROM entry", &[]).is_err());
        assert!(engine.rows("SELECT 1.5", &[]).is_err());
    }

    #[test]
    fn several_questions_are_about_one_moment() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("ledger.db");
        let ledger = Ledger::open(Settings::new(&path)).unwrap();
        let engine = Engine::open(&path).unwrap();
        let count = |engine: &Engine| {
            engine.rows("SELECT count(*) FROM entry", &[]).and_then(|rows| rows[0].int(0))
        };
        let (before, after) = engine
            .one_moment(|engine| {
                let before = count(engine)?;
                let mut spool = ledger.spool(0).unwrap();
                spool.append(&entry(1, "/", [block("a")]));
                ledger.flush()?;
                Ok((before, count(engine)?))
            })
            .unwrap();
        assert_eq!((before, after), (0, 0));
        assert_eq!(count(&engine).unwrap(), 1);
    }
}
