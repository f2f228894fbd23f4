//! The line about what somebody did with consentry itself.
//!
//! `{"audit":{...}}`: `t` time in milliseconds, `w` who, `r` their role, `a`
//! what they did, `o` what it was about, `d` more of it, as JSON in a text.

use crate::ledger::audit::Audit;

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::ledger) struct AuditLine<'a> {
    #[serde(rename = "t")]
    pub(in crate::ledger) time_ms: u64,
    #[serde(rename = "w", borrow)]
    pub(in crate::ledger) who: Cow<'a, str>,
    #[serde(rename = "r", borrow)]
    pub(in crate::ledger) role: Cow<'a, str>,
    #[serde(rename = "a", borrow)]
    pub(in crate::ledger) act: Cow<'a, str>,
    #[serde(rename = "o", borrow)]
    pub(in crate::ledger) about: Cow<'a, str>,
    #[serde(rename = "d", borrow)]
    pub(in crate::ledger) detail: Cow<'a, str>,
}

impl<'a> AuditLine<'a> {
    pub(in crate::ledger) fn of(audit: &'a Audit) -> Self {
        Self {
            time_ms: audit.time_ms,
            who: Cow::Borrowed(&audit.who),
            role: Cow::Borrowed(&audit.role),
            act: Cow::Borrowed(&audit.act),
            about: Cow::Borrowed(&audit.about),
            detail: audit.detail.to_string().into(),
        }
    }
}
