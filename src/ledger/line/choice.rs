//! The lines about choices: receipts, the notices they refer to, erasures.
//!
//! - `{"receipt":{...}}`: `i` number, `t` time in milliseconds, `s` site, `g`
//!   granted and `a` asked in bits, `y` and `n` vendors allowed and refused one
//!   by one, `w` what was done, `m` where, `x` whether GPC was on, `r` the
//!   notice's revision, `h` and `c` the hashes of its two layers, `l` language,
//!   `v` for how many seconds it counts.
//! - `{"notice":{...}}`: `t` when it was first there, `s` site, `r` revision,
//!   `l` language, `y` layer, `x` whether it is for GPC, `o` operator, `p`
//!   privacy policy, `c` address of the choices, `b` the HTML.
//! - `{"erase":{"i":number,"t":time}}`: a receipt is to be erased.

use crate::consent::ReceiptId;
use crate::ledger::receipt::{Notice, Receipt, hash_of, hex};

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::ledger) struct ReceiptLine<'a> {
    #[serde(rename = "i", borrow)]
    pub(in crate::ledger) number: Cow<'a, str>,
    #[serde(rename = "t")]
    pub(in crate::ledger) time_ms: u64,
    #[serde(rename = "s", borrow)]
    pub(in crate::ledger) site: Cow<'a, str>,
    #[serde(rename = "g")]
    pub(in crate::ledger) granted: u8,
    #[serde(rename = "a")]
    pub(in crate::ledger) asked: u8,
    #[serde(rename = "y", borrow)]
    pub(in crate::ledger) vendors_allowed: Cow<'a, str>,
    #[serde(rename = "n", borrow)]
    pub(in crate::ledger) vendors_refused: Cow<'a, str>,
    #[serde(rename = "w", borrow)]
    pub(in crate::ledger) act: Cow<'a, str>,
    #[serde(rename = "m", borrow)]
    pub(in crate::ledger) method: Cow<'a, str>,
    #[serde(rename = "x")]
    pub(in crate::ledger) gpc: u8,
    #[serde(rename = "r")]
    pub(in crate::ledger) notice_revision: u32,
    #[serde(rename = "h", borrow)]
    pub(in crate::ledger) notice: Cow<'a, str>,
    #[serde(rename = "c", borrow)]
    pub(in crate::ledger) choices: Cow<'a, str>,
    #[serde(rename = "l", borrow)]
    pub(in crate::ledger) language: Cow<'a, str>,
    #[serde(rename = "v")]
    pub(in crate::ledger) valid_s: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::ledger) struct NoticeLine<'a> {
    #[serde(rename = "t")]
    pub(in crate::ledger) time_ms: u64,
    #[serde(rename = "s", borrow)]
    pub(in crate::ledger) site: Cow<'a, str>,
    #[serde(rename = "r")]
    pub(in crate::ledger) revision: u32,
    #[serde(rename = "l", borrow)]
    pub(in crate::ledger) language: Cow<'a, str>,
    #[serde(rename = "y", borrow)]
    pub(in crate::ledger) layer: Cow<'a, str>,
    #[serde(rename = "x")]
    pub(in crate::ledger) gpc: u8,
    #[serde(rename = "o", borrow)]
    pub(in crate::ledger) operator: Cow<'a, str>,
    #[serde(rename = "p", borrow)]
    pub(in crate::ledger) policy_url: Cow<'a, str>,
    #[serde(rename = "c", borrow)]
    pub(in crate::ledger) choices_url: Cow<'a, str>,
    #[serde(rename = "b", borrow)]
    pub(in crate::ledger) html: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::ledger) struct EraseLine<'a> {
    #[serde(rename = "i", borrow)]
    pub(in crate::ledger) number: Cow<'a, str>,
    #[serde(rename = "t")]
    pub(in crate::ledger) time_ms: u64,
}

impl<'a> ReceiptLine<'a> {
    pub(in crate::ledger) fn of(receipt: &'a Receipt) -> Self {
        Self {
            number: receipt.number.to_string().into(),
            time_ms: receipt.time_ms,
            site: Cow::Borrowed(&receipt.site),
            granted: receipt.granted.bits(),
            asked: receipt.asked.bits(),
            vendors_allowed: receipt.vendors_allowed.join(" ").into(),
            vendors_refused: receipt.vendors_refused.join(" ").into(),
            act: receipt.act.name().into(),
            method: receipt.method.name().into(),
            gpc: u8::from(receipt.gpc),
            notice_revision: receipt.notice_revision,
            notice: hex(&receipt.notice).into(),
            choices: hex(&receipt.choices).into(),
            language: Cow::Borrowed(&receipt.language),
            valid_s: receipt.valid_s,
        }
    }

    /// The hash by which the receipt is known even when it is erased.
    pub(in crate::ledger) fn leaf(&self) -> serde_json::Result<[u8; 32]> {
        Ok(hash_of(&serde_json::to_string(self)?))
    }

    /// Whether it can be stored: whoever writes a spool file writes numbers.
    pub(in crate::ledger) fn is_sound(&self) -> bool {
        is_hex(&self.number, 32) && is_hex(&self.notice, 64) && is_hex(&self.choices, 64)
    }
}

impl<'a> NoticeLine<'a> {
    pub(in crate::ledger) fn of(notice: &'a Notice) -> Self {
        Self {
            time_ms: notice.time_ms,
            site: Cow::Borrowed(&notice.site),
            revision: notice.revision,
            language: Cow::Borrowed(&notice.language),
            layer: notice.layer.name().into(),
            gpc: u8::from(notice.gpc),
            operator: Cow::Borrowed(&notice.operator),
            policy_url: Cow::Borrowed(&notice.policy_url),
            choices_url: Cow::Borrowed(&notice.choices_url),
            html: Cow::Borrowed(&notice.html),
        }
    }
}

impl EraseLine<'_> {
    pub(in crate::ledger) fn of(number: ReceiptId, time_ms: u64) -> Self {
        Self { number: number.to_string().into(), time_ms }
    }

    pub(in crate::ledger) fn is_sound(&self) -> bool {
        is_hex(&self.number, 32)
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
