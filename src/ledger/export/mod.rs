//! Takes the ledger out into files that other programs read: CSV, JSON lines,
//! Parquet. A row at a time, however many there are.
//!
//! What stands in the ledger was written by strangers: no cell is a formula to
//! a spreadsheet, and none moves the cursor of a terminal.

mod parquet;
mod tables;
mod thrift;

pub use tables::{AUDITS, DECISIONS, GAPS, RECEIPTS, audit, decision, gap, receipt};

use crate::ledger::plain;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Numbers.
    Number,
    /// Truth values.
    Truth,
    /// Moments, in milliseconds since 1970; written as people read them
    /// where the format has no type for them.
    Time,
    /// Texts.
    Text,
    /// Texts, or nothing.
    MaybeText,
}

/// A table: its name, and its columns with what they hold.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// What its rows are.
    pub name: &'static str,
    /// Its columns, in order.
    pub columns: &'static [(&'static str, Holds)],
}

/// One value in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// A number, or a moment.
    Number(i64),
    /// A truth value.
    Truth(bool),
    /// A text, or nothing.
    Text(Option<&'a str>),
}

/// What rows are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, with a line of names.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet, compressed with Zstandard.
    Parquet,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// How many rows.
    pub rows: u64,
    /// How many bytes.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
}

/// A table on its way out.
pub struct Export<W: Write + Send> {
    table: Table,
    to: To<W>,
    rows: u64,
}

enum To<W: Write + Send> {
    Csv(Box<csv::Writer<Hashed<W>>>),
    Jsonl(Hashed<W>),
    Parquet(parquet::Rows<Hashed<W>>),
}

impl<W: Write + Send> Export<W> {
    /// Begins to write a table.
    ///
    /// # Errors
    /// When `out` takes nothing.
    pub fn begin(format: Format, table: Table, out: W) -> io::Result<Self> {
        let out = Hashed { out, digest: Sha256::new(), bytes: 0 };
        let to = match format {
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(table.columns.iter().map(|(name, _)| name))?;
                To::Csv(Box::new(csv))
            }
            Format::Jsonl => To::Jsonl(out),
            Format::Parquet => To::Parquet(parquet::Rows::begin(table, out)?),
        };
        Ok(Self { table, to, rows: 0 })
    }

    /// Writes a row: a cell for each column.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        let named = self.table.columns.iter().zip(cells);
        match &mut self.to {
            To::Csv(csv) => {
                for ((_, holds), cell) in named {
                    csv.write_field(in_csv(*holds, *cell).as_bytes())?;
                }
                csv.write_record(None::<&[u8]>)?;
            }
            To::Jsonl(out) => {
                let fields = named
                    .map(|((name, holds), cell)| format!("\"{name}\":{}", in_json(*holds, *cell)));
                let line = fields.collect::<Vec<_>>().join(",");
                writeln!(out, "{{{}}}", plain::json(&line))?;
            }
            To::Parquet(rows) => rows.row(cells)?,
        }
        self.rows += 1;
        Ok(())
    }

    /// Writes what is left; gives back what was written to.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn finish(self) -> io::Result<(Sum, W)> {
        let mut out = match self.to {
            To::Csv(csv) => csv.into_inner().map_err(|error| error.into_error())?,
            To::Jsonl(out) => out,
            To::Parquet(rows) => rows.finish()?,
        };
        out.flush()?;
        let sum = Sum { rows: self.rows, bytes: out.bytes, sha256: out.digest.finalize().into() };
        Ok((sum, out.out))
    }
}

fn in_csv(holds: Holds, cell: Cell<'_>) -> String {
    match (holds, cell) {
        (Holds::Time, Cell::Number(time)) => time_text(time),
        (_, Cell::Number(number)) => number.to_string(),
        (_, Cell::Truth(truth)) => truth.to_string(),
        (_, Cell::Text(text)) => plain::cell(text.unwrap_or_default()).into_owned(),
    }
}

fn in_json(holds: Holds, cell: Cell<'_>) -> Value {
    match (holds, cell) {
        (Holds::Time, Cell::Number(time)) => time_text(time).into(),
        (_, Cell::Number(number)) => number.into(),
        (_, Cell::Truth(truth)) => truth.into(),
        (_, Cell::Text(text)) => text.into(),
    }
}

/// Always in the same length, so that texts sort as times do.
fn time_text(time_ms: i64) -> String {
    Timestamp::from_millisecond(time_ms)
        .map_or_else(|_| String::new(), |time| time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

/// Hashes and counts what goes through it.
struct Hashed<W> {
    out: W,
    digest: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
