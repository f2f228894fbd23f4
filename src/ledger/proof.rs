//! What somebody asks who holds a receipt: what was chosen, and on which words.

use crate::consent::ReceiptId;
use crate::ledger::Error;
use crate::ledger::read::{Reader, stored, unsigned};
use crate::ledger::receipt::{Act, Layer, Method, Notice, Receipt, TextHash, hash_of, read_number};
use crate::ledger::schema;
use crate::purpose::PurposeSet;

use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};
use std::collections::HashSet;

/// No notice is longer; a longer one was not written by us.
const NOTICE_BYTES: usize = 16 * 1024 * 1024;

/// What the ledger knows of a receipt's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The choice.
    Receipt(Receipt),
    /// It was erased then, in milliseconds since 1970.
    Erased {
        /// When.
        time_ms: u64,
    },
    /// Nothing.
    Nothing,
}

const RECEIPTS: &str = "
    SELECT lower(hex(number)), time_ms, site, granted, asked, vendors_allowed, vendors_refused,
           act, method, gpc, notice_revision, notice, choices, language, valid_s
    FROM receipt";

const NOTICES: &str = "
    SELECT time_ms, site, revision, language, layer, gpc, operator, policy_url, choices_url, html
    FROM notice";

impl Reader {
    /// What is known of the choice with that number.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn receipt(&self, number: ReceiptId) -> Result<Found, Error> {
        let digits = number.to_string();
        let read = || {
            let kept = self
                .conn()
                .prepare(&format!("{RECEIPTS} WHERE number = unhex(?1)"))?
                .query_row([&digits], receipt)
                .optional()?;
            if let Some(receipt) = kept {
                return Ok(Found::Receipt(receipt));
            }
            let erased = self
                .conn()
                .prepare("SELECT time_ms FROM erased_receipt WHERE number_hash = ?1")?
                .query_row([hash_of(&digits)], |row| unsigned(row, 0))
                .optional()?;
            Ok(erased.map_or(Found::Nothing, |time_ms| Found::Erased { time_ms }))
        };
        read().map_err(|source| schema::explain(self.path(), source))
    }

    /// Hands every choice of that time to `take`, the oldest first, until it
    /// says stop by giving `false`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn receipts(
        &self,
        since_ms: Option<u64>,
        until_ms: Option<u64>,
        mut take: impl FnMut(Receipt) -> bool,
    ) -> Result<(), Error> {
        let mut read = || {
            let mut query = self.conn().prepare(&format!(
                "{RECEIPTS} WHERE time_ms >= ?1 AND time_ms < ?2 ORDER BY time_ms, id"
            ))?;
            let times = [stored(since_ms.unwrap_or(0)), stored(until_ms.unwrap_or(u64::MAX))];
            for receipt in query.query_map(times, receipt)? {
                if !take(receipt?) {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|source| schema::explain(self.path(), source))
    }

    /// The hashes of all notices that are archived for a site.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn notices(&self, site: &str) -> Result<HashSet<TextHash>, Error> {
        let read = || {
            let mut query = self.conn().prepare("SELECT hash FROM notice WHERE site = ?1")?;
            query.query_map([site], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|source| schema::explain(self.path(), source))
    }

    /// The notice that a receipt refers to: of that hash, as it was there for
    /// that site.
    ///
    /// # Errors
    /// When the database cannot be read, or when the notice is not the one any
    /// more that the receipt names.
    pub fn notice(&self, of: &Receipt, layer: Layer) -> Result<Option<Notice>, Error> {
        let hash: &TextHash = match layer {
            Layer::First => &of.notice,
            Layer::Choices => &of.choices,
        };
        let read = || {
            self.conn()
                .prepare(&format!(
                    "{NOTICES} WHERE hash = ?1 AND site = ?2 AND layer = ?3
                     ORDER BY revision = ?4 DESC, time_ms DESC LIMIT 1"
                ))?
                .query_row(params![hash, of.site, layer.name(), of.notice_revision], notice)
                .optional()
        };
        let found = read().map_err(|source| schema::explain(self.path(), source))?;
        // The receipt is sealed, so what it names cannot be put in its place.
        match found {
            Some(notice) if hash_of(&notice.html) != *hash => Err(Error::Corrupt {
                path: self.path().to_owned(),
                detail: format!("the {} of receipt {} was changed", layer.name(), of.number),
            }),
            found => Ok(found),
        }
    }
}

fn receipt(row: &Row<'_>) -> rusqlite::Result<Receipt> {
    let number: String = row.get(0)?;
    let act: String = row.get(7)?;
    Ok(Receipt {
        number: read_number(&number).ok_or_else(|| unfit(0, Type::Blob, "a number"))?,
        time_ms: unsigned(row, 1)?,
        site: row.get(2)?,
        granted: purposes(row, 3)?,
        asked: purposes(row, 4)?,
        vendors_allowed: words(row, 5)?,
        vendors_refused: words(row, 6)?,
        act: Act::from_name(&act).ok_or_else(|| unfit(7, Type::Text, "an act"))?,
        method: Method::from_name(&row.get::<_, String>(8)?),
        gpc: row.get(9)?,
        notice_revision: row.get(10)?,
        notice: row.get(11)?,
        choices: row.get(12)?,
        language: row.get(13)?,
        valid_s: unsigned(row, 14)?,
    })
}

fn notice(row: &Row<'_>) -> rusqlite::Result<Notice> {
    let layer: String = row.get(4)?;
    let html: Vec<u8> = row.get(9)?;
    let bytes = zstd::bulk::Decompressor::upper_bound(&html).unwrap_or(NOTICE_BYTES);
    let html = zstd::bulk::decompress(&html, bytes.min(NOTICE_BYTES))
        .ok()
        .and_then(|html| String::from_utf8(html).ok())
        .ok_or_else(|| unfit(9, Type::Blob, "a notice"))?;
    Ok(Notice {
        time_ms: unsigned(row, 0)?,
        site: row.get(1)?,
        revision: row.get(2)?,
        language: row.get(3)?,
        layer: Layer::from_name(&layer).ok_or_else(|| unfit(4, Type::Text, "a layer"))?,
        gpc: row.get(5)?,
        operator: row.get(6)?,
        policy_url: row.get(7)?,
        choices_url: row.get(8)?,
        html,
    })
}

fn purposes(row: &Row<'_>, column: usize) -> rusqlite::Result<PurposeSet> {
    PurposeSet::from_bits(row.get(column)?).ok_or_else(|| unfit(column, Type::Integer, "purposes"))
}

fn words(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<String>> {
    let text: String = row.get(column)?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

fn unfit(column: usize, kind: Type, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, format!("this is not {what}").into())
}
