//! Rows as Apache Parquet. A part of the rows is kept at a time, column by
//! column, until it is worth a group.

use super::{Cell, Holds, Table};
use crate::ledger::plain;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use std::io::{self, Write};
use std::sync::Arc;

/// A group has at most so many rows...
const ROWS: usize = 100_000;

/// ...and about so many bytes of text.
const BYTES: usize = 32 * 1024 * 1024;

/// A file that is being written.
pub(super) struct Rows<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

/// What is kept of a column.
enum Column {
    Numbers(Vec<i64>),
    Truths(Vec<bool>),
    Texts(Vec<ByteArray>),
    /// The texts that there are, and for each row whether there is one.
    MaybeTexts(Vec<ByteArray>, Vec<i16>),
}

impl<W: Write + Send> Rows<W> {
    pub(super) fn begin(table: Table, out: W) -> io::Result<Self> {
        let zstd = ZstdLevel::try_new(3).map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(zstd))
            .set_created_by(concat!("consentry ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let fields = table.columns.iter().map(|(name, holds)| field(name, *holds).map(Arc::new));
        let schema = Type::group_type_builder(table.name)
            .with_fields(fields.collect::<Result<_, _>>().map_err(failed)?)
            .build()
            .map_err(failed)?;
        let file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))
            .map_err(failed)?;
        let columns = table.columns.iter().map(|(_, holds)| Column::new(*holds)).collect();
        Ok(Self { file, columns, rows: 0, bytes: 0 })
    }

    pub(super) fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            self.bytes += column.push(*cell);
        }
        self.rows += 1;
        if self.rows >= ROWS || self.bytes >= BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.file.into_inner().map_err(failed)
    }

    fn write_group(&mut self) -> io::Result<()> {
        let mut group = self.file.next_row_group().map_err(failed)?;
        for column in &mut self.columns {
            if let Some(to) = group.next_column().map_err(failed)? {
                column.write(to).map_err(failed)?;
            }
        }
        group.close().map_err(failed)?;
        self.rows = 0;
        self.bytes = 0;
        Ok(())
    }
}

impl Column {
    const fn new(holds: Holds) -> Self {
        match holds {
            Holds::Number | Holds::Time => Self::Numbers(Vec::new()),
            Holds::Truth => Self::Truths(Vec::new()),
            Holds::Text => Self::Texts(Vec::new()),
            Holds::MaybeText => Self::MaybeTexts(Vec::new(), Vec::new()),
        }
    }

    /// Keeps a cell; says how much of a text it is.
    fn push(&mut self, cell: Cell<'_>) -> usize {
        match (self, cell) {
            (Self::Numbers(numbers), Cell::Number(number)) => numbers.push(number),
            (Self::Truths(truths), Cell::Truth(truth)) => truths.push(truth),
            (Self::Texts(texts), Cell::Text(text)) => {
                let text = plain::text(text.unwrap_or_default());
                texts.push(ByteArray::from(&*text));
                return text.len();
            }
            (Self::MaybeTexts(texts, there), Cell::Text(text)) => {
                there.push(i16::from(text.is_some()));
                if let Some(text) = text {
                    texts.push(ByteArray::from(&*plain::text(text)));
                    return text.len();
                }
            }
            // A row of another table: the group's columns differ in length then,
            // and writing it fails.
            _ => {}
        }
        0
    }

    /// Writes the column of a group, and begins it anew.
    fn write(&mut self, mut to: SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        match self {
            Self::Numbers(numbers) => {
                to.typed::<Int64Type>().write_batch(numbers, None, None)?;
                numbers.clear();
            }
            Self::Truths(truths) => {
                to.typed::<BoolType>().write_batch(truths, None, None)?;
                truths.clear();
            }
            Self::Texts(texts) => {
                to.typed::<ByteArrayType>().write_batch(texts, None, None)?;
                texts.clear();
            }
            Self::MaybeTexts(texts, there) => {
                to.typed::<ByteArrayType>().write_batch(texts, Some(there), None)?;
                texts.clear();
                there.clear();
            }
        }
        to.close()
    }
}

fn field(name: &str, holds: Holds) -> Result<Type, ParquetError> {
    let (physical, logical) = match holds {
        Holds::Number => (Physical::INT64, None),
        Holds::Truth => (Physical::BOOLEAN, None),
        Holds::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
        Holds::Text | Holds::MaybeText => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let repetition =
        if holds == Holds::MaybeText { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    Type::primitive_type_builder(name, physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(cause) => io::Error::other(cause),
        },
        other => io::Error::other(other),
    }
}
