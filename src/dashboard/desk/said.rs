//! Whose word it is that a host is some vendor's. The file says what was
//! decided, the ledger's audit trail says by whom: an officer may mend what an
//! officer said, and only an operator what an operator said.

use super::form::{Refused, ask};
use crate::dashboard::office::Context;
use crate::dashboard::users::Role;
use crate::ledger::audit::{Audit, AuditFilter};
use crate::ledger::read::Reader;

/// What stands on record when somebody says whose a host is.
pub(super) const CLASSIFY: &str = "classify";
/// The same when that is taken back.
pub(super) const TAKE_BACK: &str = "take back a classification";
/// The same when it was on record already and could not be kept.
const FAILED: &str = "failed";

/// Far more than is ever said about one host in a row.
const LAST: usize = 20;

/// Who said last whose a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// An officer did.
    Officer,
    /// That was taken back.
    Nobody,
    /// An operator did, or whoever wrote the file.
    Operator,
}

/// Who said last that a host is that vendor's, as far as the audit trail of
/// this proxy knows; without a vendor, whoever spoke of it last.
pub(super) async fn last_word(
    context: &Context,
    host: &str,
    vendor: Option<&str>,
) -> Result<Word, Refused> {
    let filter = AuditFilter { about: Some(host.to_owned()), ..AuditFilter::default() };
    let asked = context.clone();
    let found = ask(context, move |path| {
        // What was said a moment ago counts.
        asked.ledger().flush()?;
        Reader::open(path)?.audits(&filter, LAST)
    });
    let found = found.await?;
    Ok(of(found.iter().rev().map(|found| &found.audit), vendor))
}

/// The same of a trail, the newest first.
fn of<'a>(mut trail: impl Iterator<Item = &'a Audit>, vendor: Option<&str>) -> Word {
    let last = trail.find(|audit| [CLASSIFY, TAKE_BACK, FAILED].contains(&audit.act.as_str()));
    match last {
        Some(last) if last.act == TAKE_BACK => Word::Nobody,
        Some(last)
            if last.act == CLASSIFY
                && last.role == Role::Officer.name()
                && vendor.is_none_or(|vendor| {
                    last.detail.get("vendor").is_some_and(|said| said == vendor)
                }) =>
        {
            Word::Officer
        }
        // Somebody wrote it into the file, or it is too long ago to tell.
        Some(_) | None => Word::Operator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    #[test]
    fn g10_what_is_not_known_to_be_an_officers_word_is_an_operators() {
        let audit = |act: &str, role: &str| Audit {
            act: act.to_owned(),
            role: role.to_owned(),
            detail: json!({ "vendor": "acme" }),
            ..Audit::default()
        };
        let officers = audit(CLASSIFY, "officer");
        for (newest, vendor, word) in [
            (audit(CLASSIFY, "officer"), Some("acme"), Word::Officer),
            (audit(CLASSIFY, "officer"), None, Word::Officer),
            (audit(CLASSIFY, "officer"), Some("another"), Word::Operator),
            (audit(CLASSIFY, "operator"), Some("acme"), Word::Operator),
            (audit(FAILED, "officer"), Some("acme"), Word::Operator),
            (audit(TAKE_BACK, "operator"), None, Word::Nobody),
            (audit("own", "operator"), Some("acme"), Word::Officer),
        ] {
            assert_eq!(of([&newest, &officers].into_iter(), vendor), word, "{newest:?}");
        }
        assert_eq!(of(std::iter::empty(), None), Word::Operator);
    }
}
