//! Thrift's compact protocol, as far as Parquet's own descriptions need it
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).

const TRUE: u8 = 1;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A structure that is being written; its fields come in the order of their
/// numbers.
#[derive(Debug, Default)]
pub(super) struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    pub(super) fn i32(self, field: u8, number: i32) -> Self {
        self.with(field, I32, |bytes| zigzag(bytes, number.into()))
    }

    pub(super) fn i64(self, field: u8, number: i64) -> Self {
        self.with(field, I64, |bytes| zigzag(bytes, number))
    }

    pub(super) fn text(self, field: u8, text: &str) -> Self {
        self.with(field, BINARY, |bytes| binary(bytes, text))
    }

    /// A truth value that is true: its type says so.
    pub(super) fn truth(self, field: u8) -> Self {
        self.with(field, TRUE, |_| {})
    }

    pub(super) fn inner(self, field: u8, inner: Self) -> Self {
        self.with(field, STRUCT, |bytes| bytes.extend(inner.end()))
    }

    pub(super) fn numbers(self, field: u8, numbers: &[i32]) -> Self {
        self.with(field, LIST, |bytes| {
            list(bytes, I32, numbers.len());
            numbers.iter().for_each(|number| zigzag(bytes, (*number).into()));
        })
    }

    pub(super) fn texts(self, field: u8, texts: &[&str]) -> Self {
        self.with(field, LIST, |bytes| {
            list(bytes, BINARY, texts.len());
            texts.iter().for_each(|text| binary(bytes, text));
        })
    }

    pub(super) fn list(self, field: u8, members: Vec<Self>) -> Self {
        self.with(field, LIST, |bytes| {
            list(bytes, STRUCT, members.len());
            members.into_iter().for_each(|member| bytes.extend(member.end()));
        })
    }

    /// The whole of it.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }

    fn with(mut self, field: u8, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        // Parquet leaves out fewer than fifteen fields in a row.
        self.bytes.push(field.saturating_sub(self.last) << 4 | kind);
        self.last = field;
        write(&mut self.bytes);
        self
    }
}

/// Seven bits a byte, the lowest first.
pub(super) fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn zigzag(bytes: &mut Vec<u8>, number: i64) {
    varint(bytes, (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
}

fn binary(bytes: &mut Vec<u8>, text: &str) {
    varint(bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
}

fn list(bytes: &mut Vec<u8>, kind: u8, length: usize) {
    match u8::try_from(length) {
        Ok(length @ 0..15) => bytes.push(length << 4 | kind),
        Ok(_) | Err(_) => {
            bytes.push(0xf0 | kind);
            varint(bytes, length as u64);
        }
    }
}
