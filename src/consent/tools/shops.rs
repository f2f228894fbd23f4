//! Tools of shops at Shopify.

use crate::consent::reading::{Answer, Reading};
use crate::consent::tools::text::{base64_json, json};
use crate::consent::tools::{Asked, TORN, answered, one};
use crate::purpose::{Purpose, PurposeSet};

use serde_json::Value;

/// Shopify: `_tracking_consent`. Its `purposes` are all `true` for visitors
/// who were never asked; what was said stands in `con.CMP` alone.
pub(super) fn shopify(asked: &Asked<'_>) -> Reading {
    let Some(value) = asked.cookie("_tracking_consent") else {
        return Reading::unasked("_tracking_consent is missing");
    };
    let Some(found) = json(value) else {
        return Reading::doubtful("it is of a form that only Shopify can read");
    };
    // All of them are `true` for whoever was not asked, but not after a "no".
    let refused = found
        .get("purposes")
        .and_then(Value::as_object)
        .is_some_and(|purposes| purposes.values().any(|purpose| *purpose == false));
    let Some(said) = found.get("con").and_then(|con| con.get("CMP")).and_then(Value::as_object)
    else {
        return Reading::unanswered("it has no answers of the visitor", refused);
    };
    let mut answers = Vec::new();
    for id in ["p", "a", "m", "s"] {
        answers.push((
            id,
            match said.get(id).map(Value::as_str) {
                Some(Some("1")) => Answer::Yes,
                Some(Some("0")) => Answer::No,
                Some(Some("")) | None => Answer::None,
                Some(_) => return TORN,
            },
        ));
    }
    if answers.iter().all(|(_, answer)| *answer == Answer::None) {
        return Reading::unanswered("nobody answered: con.CMP is empty", refused);
    }
    // That data may be sold agrees to nothing; that it may not, denies.
    let sale = answers.pop_if(|(id, _)| *id == "s").map(|(_, answer)| answer);
    let sale = match sale {
        Some(Answer::No) => Reading::denying(PurposeSet::EMPTY.with(Purpose::Marketing)),
        _ => Reading::denying(PurposeSet::EMPTY),
    };
    let own = |id: &str| match id {
        "p" => one(Purpose::Functional),
        "a" => one(Purpose::Analytics),
        "m" => one(Purpose::Marketing),
        _ => None,
    };
    sale.joined(answered(asked, own, answers))
}

/// Pandectes: `_pandectes_gdpr`, whose `preferences` have a bit for each
/// category that was refused.
pub(super) fn pandectes(asked: &Asked<'_>) -> Reading {
    const FUNCTIONALITY: u64 = 1;
    const PERFORMANCE: u64 = 2;
    const TARGETING: u64 = 4;
    let Some(found) = asked.cookie("_pandectes_gdpr").and_then(base64_json) else { return TORN };
    let refused = match (found.get("status").and_then(Value::as_str), found.get("preferences")) {
        (Some("deny"), _) => return Reading::refusal(),
        (Some("allow" | "mixed"), Some(refused)) => refused.as_u64(),
        (Some(_) | None, _) => None,
    };
    let Some(refused) = refused.filter(|bits| *bits <= 7) else { return TORN };
    if let Some(time_s) = found.get("timestamp").and_then(Value::as_u64)
        && let Some(outdated) = asked.outdated(time_s.saturating_mul(1000))
    {
        return outdated;
    }
    let own = |id: &str| -> Option<PurposeSet> {
        match id {
            "1" => one(Purpose::Functional),
            "2" => one(Purpose::Analytics),
            "4" => one(Purpose::Marketing),
            _ => None,
        }
    };
    let answers = [("1", FUNCTIONALITY), ("2", PERFORMANCE), ("4", TARGETING)]
        .map(|(id, bit)| (id, Answer::from(refused & bit == 0)));
    answered(asked, own, answers)
}
