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
    choice(asked, value).unwrap_or(TORN)
}

fn choice(asked: &Asked<'_>, value: &[u8]) -> Option<Reading> {
    // Split before decoding, where it can be: an address may hold a `&`.
    let raw = std::str::from_utf8(value).ok()?;
    let text = if raw.contains('&') { raw.into() } else { plain(value)? };
    let fields = pairs(&text, '&', '=')?;
    let field = |key| value_of(&fields, key);
    let groups = field("groups").and_then(answers);
    let refused = groups
        .as_ref()
        .is_some_and(|groups| groups.iter().any(|(_, answer)| *answer == Answer::No))
        || [field("isGpcEnabled"), field("browserGpcFlag")].contains(&Some("1"));
    if asked.cookie("OptanonAlertBoxClosed").is_none_or(|closed| closed.trim_ascii().is_empty()) {
        // Also where its notice is not shown: there the region decides.
        let why = "OptanonAlertBoxClosed is missing: nobody answered the notice";
        return Some(Reading::unanswered(why, refused));
    }
    match field("AwaitingReconsent") {
        Some("false") => {}
        Some("true") => {
            let why = "AwaitingReconsent=true: the tool asks again";
            return Some(Reading::unanswered(why, refused));
        }
        // It is always written, behind the groups: without it, they may be cut.
        Some(_) | None => return None,
    }
    let groups = groups.filter(|groups| !groups.is_empty())?;
    let groups = groups.iter().map(|(id, answer)| (id.as_str(), *answer));
    Some(answered(asked, own, groups))
}

/// The answer for each group; `None` where the list is torn.
fn answers(groups: &str) -> Option<Vec<(String, Answer)>> {
    let once = decoded(groups)?;
    let groups = decoded(&once)?;
    let answers = pairs(&groups, ',', ':')?.into_iter().map(|(id, status)| {
        let answer = match status {
            "1" => Answer::Yes,
            "0" => Answer::No,
            // "Always active" and what else there may be: nobody was asked.
            _ => Answer::None,
        };
        (id.to_owned(), answer)
    });
    Some(answers.collect())
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
