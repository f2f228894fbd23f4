//! Many rows in one statement: a list of values for each column.

use crate::ledger::engine::{Row, Value};
use crate::ledger::fleet::session::{Given, Session, kept};
use crate::ledger::fleet::trouble::Trouble;

use tokio_postgres::types::{ToSql, Type};

use std::borrow::Cow;

/// More rows than this are sent in several statements.
const ROWS: usize = 10_000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Int,
    Text,
    Bytes,
}

/// A column, and what it holds.
pub(super) type Column = (&'static str, Holds);

/// Puts rows into a table. `otherwise` says what becomes of those that are
/// there already, such as `ON CONFLICT DO NOTHING`, and what comes back.
pub(super) fn insert(
    session: &Session,
    table: &str,
    columns: &[Column],
    rows: &[Vec<Value>],
    otherwise: &str,
) -> Result<Vec<Row>, Trouble> {
    let names = names(columns);
    with(
        session,
        &format!("INSERT INTO {table} ({names}) SELECT {names} FROM"),
        columns,
        rows,
        otherwise,
    )
}

/// A statement with rows in the middle, which it knows as `n`.
pub(super) fn with(
    session: &Session,
    before: &str,
    columns: &[Column],
    rows: &[Vec<Value>],
    after: &str,
) -> Result<Vec<Row>, Trouble> {
    let lists: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, (_, holds))| format!("${}::{}[]", index + 1, holds.word()))
        .collect();
    let sql = format!("{before} unnest({}) AS n ({}) {after}", lists.join(", "), names(columns));
    let mut answers = Vec::new();
    for rows in rows.chunks(ROWS) {
        let lists: Vec<(Box<dyn ToSql + Sync + '_>, Type)> =
            columns.iter().enumerate().map(|(index, (_, holds))| holds.list(rows, index)).collect();
        let given: Vec<Given<'_>> = lists
            .iter()
            .map(|(list, sort)| (&**list as &(dyn ToSql + Sync), sort.clone()))
            .collect();
        answers.extend(session.ask(&sql, &given)?);
    }
    Ok(answers)
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

impl Holds {
    const fn word(self) -> &'static str {
        match self {
            Self::Int => "int8",
            Self::Text => "text",
            Self::Bytes => "bytea",
        }
    }

    /// A column of these rows; what is not of its sort is left empty, and the
    /// database refuses it.
    fn list<'r>(self, rows: &'r [Vec<Value>], column: usize) -> (Box<dyn ToSql + Sync + 'r>, Type) {
        let values = rows.iter().map(move |row| row.get(column));
        match self {
            Self::Int => {
                let list = values.map(|value| match value {
                    Some(Value::Int(number)) => Some(*number),
                    _ => None,
                });
                (Box::new(list.collect::<Vec<Option<i64>>>()), Type::INT8_ARRAY)
            }
            Self::Text => {
                let list = values.map(|value| match value {
                    Some(Value::Text(text)) => Some(kept(text)),
                    _ => None,
                });
                (Box::new(list.collect::<Vec<Option<Cow<'r, str>>>>()), Type::TEXT_ARRAY)
            }
            Self::Bytes => {
                let list = values.map(|value| match value {
                    Some(Value::Bytes(bytes)) => Some(bytes.as_slice()),
                    _ => None,
                });
                (Box::new(list.collect::<Vec<Option<&'r [u8]>>>()), Type::BYTEA_ARRAY)
            }
        }
    }
}
