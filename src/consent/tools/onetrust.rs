//! OneTrust: `OptanonConsent`, a query whose `groups` are encoded once more,
//! and `OptanonAlertBoxClosed`, which is set when the visitor has answered.

use crate::consent::reading::{Answer, Reading};
use crate::consent::tools::text::{decoded, pairs, plain, value_of};
use crate::consent::tools::{Asked, TORN, answered, one};
use crate::purpose::{Purpose, PurposeSet};

pub(super) fn read(asked: &Asked<'_>) -> Reading {
    let Some(value) = asked.cookie("OptanonConsent") else {
        return Reading::unasked("OptanonConsent is missing");
    };
    if asked.cookie("OptanonAlertBoxClosed").is_none_or(|closed| closed.trim_ascii().is_empty()) {
        // Also where its notice is not shown: there the region decides.
        return Reading::unasked("OptanonAlertBoxClosed is missing: nobody answered the notice");
    }
    groups(asked, value).unwrap_or(TORN)
}

fn groups(asked: &Asked<'_>, value: &[u8]) -> Option<Reading> {
    // Split before decoding, where it can be: an address may hold a `&`.
    let raw = std::str::from_utf8(value).ok()?;
    let text = if raw.contains('&') { raw.into() } else { plain(value)? };
    let fields = pairs(&text, '&', '=')?;
    match value_of(&fields, "AwaitingReconsent") {
        Some("false") => {}
        Some("true") => {
            return Some(Reading::unasked("AwaitingReconsent=true: the tool asks again"));
        }
        // It is always written, behind the groups: without it, they may be cut.
        Some(_) | None => return None,
    }
    let once = decoded(value_of(&fields, "groups")?)?;
    let groups = decoded(&once)?;
    let mut answers = Vec::new();
    for (id, status) in pairs(&groups, ',', ':')? {
        let answer = match status {
            "1" => Answer::Yes,
            "0" => Answer::No,
            // "Always active" and what else there may be: nobody was asked.
            _ => Answer::None,
        };
        answers.push((id, answer));
    }
    (!answers.is_empty()).then(|| answered(asked, own, answers))
}

/// The groups that OneTrust has by default.
fn own(id: &str) -> Option<PurposeSet> {
    match id {
        "C0001" => Some(PurposeSet::NECESSARY),
        "C0002" => one(Purpose::Analytics),
        "C0003" => one(Purpose::Functional),
        // Targeting, and social media, which follow people across sites.
        "C0004" | "C0005" => one(Purpose::Marketing),
        _ => None,
    }
}
