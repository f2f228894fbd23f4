//! Rows as Apache Parquet (<https://parquet.apache.org/docs/file-format/>). A part
//! of the rows is kept at a time, column by column, until it is worth a group.
//!
//! We only write, and only flat tables of four kinds of columns, which takes a
//! page of code; the library for it would be a tenth of the whole program. The
//! tests read what is written here with that library.

use super::thrift::{Struct, varint};
use super::{Cell, Holds, Table};
use crate::ledger::plain;

use std::collections::HashMap;
use std::io::{self, Write};

/// A group has at most so many rows...
const ROWS: usize = 100_000;

/// ...and about so many bytes of text.
const BYTES: usize = 32 * 1024 * 1024;

/// What a file begins and ends with.
const MAGIC: &[u8] = b"PAR1";

/// How hard Zstandard tries.
const LEVEL: i32 = 3;

/// The numbers of the format for what we use of it.
mod number {
    pub(super) const BOOLEAN: i32 = 0;
    pub(super) const INT64: i32 = 2;
    pub(super) const BYTE_ARRAY: i32 = 6;
    pub(super) const REQUIRED: i32 = 0;
    pub(super) const OPTIONAL: i32 = 1;
    pub(super) const UTF8: i32 = 0;
    pub(super) const TIMESTAMP_MILLIS: i32 = 9;
    pub(super) const PLAIN: i32 = 0;
    pub(super) const RLE: i32 = 3;
    pub(super) const RLE_DICTIONARY: i32 = 8;
    pub(super) const ZSTD: i32 = 6;
    pub(super) const DATA_PAGE: i32 = 0;
    pub(super) const DICTIONARY_PAGE: i32 = 2;
}

/// A file that is being written.
pub(super) struct Rows<W: Write> {
    out: W,
    /// How many bytes were written.
    at: u64,
    table: Table,
    columns: Vec<Column>,
    /// Rows and bytes of text that are kept.
    rows: usize,
    bytes: usize,
    /// What is told of the groups at the end.
    groups: Vec<Struct>,
    all_rows: usize,
}

/// What is kept of a column.
enum Column {
    Numbers(Vec<i64>),
    Truths(Vec<bool>),
    Texts(Texts),
    /// The texts that there are, and for each row whether there is one.
    MaybeTexts(Texts, Vec<bool>),
}

/// Texts, of which each is kept once.
#[derive(Default)]
struct Texts {
    known: HashMap<String, u32>,
    /// In the order in which they came, as they are written.
    dictionary: Vec<u8>,
    rows: Vec<u32>,
}

/// The pages of a column.
struct Pages {
    dictionary: Option<(Vec<u8>, usize)>,
    /// What each row has, and by which encoding.
    rows: Vec<u8>,
    encoding: i32,
}

impl<W: Write> Rows<W> {
    pub(super) fn begin(table: Table, out: W) -> io::Result<Self> {
        let columns = table.columns.iter().map(|(_, holds)| Column::new(*holds)).collect();
        let (groups, rows, bytes) = (Vec::new(), 0, 0);
        let mut begun = Self { out, at: 0, table, columns, rows, bytes, groups, all_rows: 0 };
        begun.put(MAGIC)?;
        Ok(begun)
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
        let root = Struct::default().text(4, self.table.name).i32(5, count(self.columns.len())?);
        let fields = self.table.columns.iter().map(|(name, holds)| described(name, *holds));
        let schema = std::iter::once(root).chain(fields).collect();
        let groups = std::mem::take(&mut self.groups);
        let footer = Struct::default()
            .i32(1, 1)
            .list(2, schema)
            .i64(3, self.all_rows as i64)
            .list(4, groups)
            .text(6, concat!("consentry ", env!("CARGO_PKG_VERSION")))
            .end();
        self.put(&footer)?;
        self.put(&count(footer.len())?.to_le_bytes())?;
        self.put(MAGIC)?;
        Ok(self.out)
    }

    fn write_group(&mut self) -> io::Result<()> {
        let begun = self.at;
        let (mut chunks, mut size) = (Vec::new(), 0);
        for (index, (name, holds)) in self.table.columns.iter().enumerate() {
            let Some(column) = self.columns.get_mut(index) else { continue };
            if column.rows() != self.rows {
                return Err(io::Error::other("a row of another table"));
            }
            let column = std::mem::replace(column, Column::new(*holds));
            let (chunk, uncompressed) = self.write_column(name, *holds, column.pages())?;
            chunks.push(chunk);
            size += uncompressed;
        }
        let group = Struct::default()
            .list(1, chunks)
            .i64(2, size)
            .i64(3, self.rows as i64)
            .i64(5, begun as i64)
            .i64(6, (self.at - begun) as i64);
        self.groups.push(group);
        self.all_rows += std::mem::take(&mut self.rows);
        self.bytes = 0;
        Ok(())
    }

    /// Writes the pages of a column; gives what is told of them at the end, and
    /// how many bytes they would be uncompressed.
    fn write_column(
        &mut self,
        name: &str,
        holds: Holds,
        pages: Pages,
    ) -> io::Result<(Struct, i64)> {
        let (begun, mut uncompressed) = (self.at, 0);
        let has_dictionary = pages.dictionary.is_some();
        if let Some((dictionary, members)) = pages.dictionary {
            let about = Struct::default().i32(1, count(members)?).i32(2, number::PLAIN);
            uncompressed += self.write_page(number::DICTIONARY_PAGE, &dictionary, (7, about))?;
        }
        let rows_at = self.at;
        let about = Struct::default()
            .i32(1, count(self.rows)?)
            .i32(2, pages.encoding)
            .i32(3, number::RLE)
            .i32(4, number::RLE);
        uncompressed += self.write_page(number::DATA_PAGE, &pages.rows, (5, about))?;
        let chunk = Struct::default()
            .i32(1, physical(holds))
            .numbers(2, &[number::PLAIN, number::RLE, pages.encoding])
            .texts(3, &[name])
            .i32(4, number::ZSTD)
            .i64(5, self.rows as i64)
            .i64(6, uncompressed)
            .i64(7, (self.at - begun) as i64)
            .i64(9, rows_at as i64);
        let chunk = if has_dictionary { chunk.i64(11, begun as i64) } else { chunk };
        Ok((Struct::default().i64(2, begun as i64).inner(3, chunk), uncompressed))
    }

    /// Writes a page; gives how many bytes it would be uncompressed.
    fn write_page(
        &mut self,
        kind: i32,
        bytes: &[u8],
        (field, about): (u8, Struct),
    ) -> io::Result<i64> {
        let compressed = zstd::bulk::compress(bytes, LEVEL)?;
        let head = Struct::default()
            .i32(1, kind)
            .i32(2, count(bytes.len())?)
            .i32(3, count(compressed.len())?)
            .inner(field, about)
            .end();
        self.put(&head)?;
        self.put(&compressed)?;
        Ok((head.len() + bytes.len()) as i64)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

impl Column {
    fn new(holds: Holds) -> Self {
        match holds {
            Holds::Number | Holds::Time => Self::Numbers(Vec::new()),
            Holds::Truth => Self::Truths(Vec::new()),
            Holds::Text => Self::Texts(Texts::default()),
            Holds::MaybeText => Self::MaybeTexts(Texts::default(), Vec::new()),
        }
    }

    /// Keeps a cell; says how much of a text it is. One of another table is not
    /// kept, so that the columns differ in length then.
    fn push(&mut self, cell: Cell<'_>) -> usize {
        match (self, cell) {
            (Self::Numbers(numbers), Cell::Number(number)) => numbers.push(number),
            (Self::Truths(truths), Cell::Truth(truth)) => truths.push(truth),
            (Self::Texts(texts), Cell::Text(text)) => return texts.push(text.unwrap_or_default()),
            (Self::MaybeTexts(texts, there), Cell::Text(text)) => {
                there.push(text.is_some());
                return text.map_or(0, |text| texts.push(text));
            }
            _ => {}
        }
        0
    }

    fn rows(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Truths(truths) => truths.len(),
            Self::Texts(texts) => texts.rows.len(),
            Self::MaybeTexts(_, there) => there.len(),
        }
    }

    fn pages(self) -> Pages {
        let plain = |rows| Pages { dictionary: None, rows, encoding: number::PLAIN };
        match self {
            Self::Numbers(numbers) => {
                plain(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
            }
            Self::Truths(truths) => plain(packed(truths.iter().map(|truth| u32::from(*truth)), 1)),
            Self::Texts(texts) => texts.pages(Vec::new()),
            Self::MaybeTexts(texts, there) => {
                let levels = run(there.iter().map(|there| u32::from(*there)), there.len(), 1);
                // It is at most an eighth of the rows of a group.
                let length = u32::try_from(levels.len()).unwrap_or(u32::MAX);
                texts.pages([length.to_le_bytes().to_vec(), levels].concat())
            }
        }
    }
}

impl Texts {
    /// Keeps a text; says how large it is, if it is a new one.
    fn push(&mut self, text: &str) -> usize {
        let text = plain::text(text);
        if let Some(known) = self.known.get(&*text) {
            self.rows.push(*known);
            return 0;
        }
        // A group is full long before either number is too large.
        let member = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.dictionary.extend(length.to_le_bytes());
        self.dictionary.extend(text.as_bytes());
        self.known.insert(text.to_string(), member);
        self.rows.push(member);
        text.len()
    }

    /// `levels` says in which rows there is a text.
    fn pages(self, levels: Vec<u8>) -> Pages {
        let members = self.known.len();
        let width = usize::BITS - members.saturating_sub(1).max(1).leading_zeros();
        let mut rows = levels;
        rows.push(width.to_le_bytes()[0]);
        rows.extend(run(self.rows.iter().copied(), self.rows.len(), width));
        Pages {
            dictionary: Some((self.dictionary, members)),
            rows,
            encoding: number::RLE_DICTIONARY,
        }
    }
}

/// So many numbers of so many bits each, as one run.
fn run(numbers: impl Iterator<Item = u32>, length: usize, width: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if length > 0 {
        let groups = length.div_ceil(8);
        varint(&mut bytes, (groups as u64) << 1 | 1);
        let mut packed = packed(numbers, width);
        packed.resize(groups * width as usize, 0);
        bytes.extend(packed);
    }
    bytes
}

/// Numbers of so many bits each, the lowest bits first.
fn packed(numbers: impl Iterator<Item = u32>, width: u32) -> Vec<u8> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u64, 0);
    for number in numbers {
        held |= u64::from(number) << bits;
        bits += width;
        while bits >= 8 {
            bytes.push((held & 0xff) as u8);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        bytes.push((held & 0xff) as u8);
    }
    bytes
}

const fn physical(holds: Holds) -> i32 {
    match holds {
        Holds::Number | Holds::Time => number::INT64,
        Holds::Truth => number::BOOLEAN,
        Holds::Text | Holds::MaybeText => number::BYTE_ARRAY,
    }
}

/// A column, as it is described at the end of the file: by what it is for older
/// readers, and for today's.
fn described(name: &str, holds: Holds) -> Struct {
    let repetition = if holds == Holds::MaybeText { number::OPTIONAL } else { number::REQUIRED };
    let field = Struct::default().i32(1, physical(holds)).i32(3, repetition).text(4, name);
    match holds {
        Holds::Number | Holds::Truth => field,
        Holds::Time => {
            let millis = Struct::default().inner(1, Struct::default());
            let timestamp = Struct::default().truth(1).inner(2, millis);
            field.i32(6, number::TIMESTAMP_MILLIS).inner(10, Struct::default().inner(8, timestamp))
        }
        Holds::Text | Holds::MaybeText => {
            let string = Struct::default().inner(1, Struct::default());
            field.i32(6, number::UTF8).inner(10, string)
        }
    }
}

/// A number of bytes or rows in a page, or else too many for the format.
fn count(number: usize) -> io::Result<i32> {
    i32::try_from(number).map_err(|_| io::Error::other("a page is too large for Parquet"))
}
