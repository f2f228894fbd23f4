//! Tools that number their categories.

use crate::consent::reading::{Answer, Reading};
use crate::consent::tools::text::{date_millis, json, plain};
use crate::consent::tools::{Asked, TORN, answered, one, site_defined};
use crate::purpose::{Purpose, PurposeSet};

use serde_json::Value;

/// iubenda: `_iub_cs-<site>`, with `true` or `false` for five purposes.
pub(super) fn iubenda(asked: &Asked<'_>) -> Reading {
    let Some(found) = asked.cookie("_iub_cs-*").and_then(json) else { return TORN };
    if let Some(written) = found.get("timestamp") {
        let Some(time) = written.as_str().and_then(date_millis) else { return TORN };
        if let Some(outdated) = asked.outdated(time) {
            return outdated;
        }
    }
    let Some(purposes) = found.get("purposes") else {
        return match found.get("consent").map(Value::as_bool) {
            None => Reading::unasked("it has no purposes: nobody answered"),
            Some(Some(false)) => Reading::refusal(),
            // One "yes" for whatever the notice said.
            Some(Some(true)) => answered(asked, site_defined, [("consent", Answer::Yes)]),
            Some(None) => TORN,
        };
    };
    let Some(purposes) = purposes.as_object() else { return TORN };
    let mut answers = Vec::new();
    for (id, value) in purposes {
        let Some(agreed) = value.as_bool() else { return TORN };
        answers.push((id.as_str(), Answer::from(agreed)));
    }
    answered(asked, iubenda_own, answers)
}

fn iubenda_own(id: &str) -> Option<PurposeSet> {
    match id {
        "1" => Some(PurposeSet::NECESSARY),
        // Basic functions, and what improves the experience.
        "2" | "3" => one(Purpose::Functional),
        "4" => one(Purpose::Analytics),
        "5" => one(Purpose::Marketing),
        _ => None,
    }
}

/// TrustArc: `notice_gdpr_prefs` lists the levels agreed to, counted from 0
/// (`0,1,2:`). What the levels above the necessary one are is the site's own
/// business.
pub(super) fn trust_arc(asked: &Asked<'_>) -> Reading {
    levels(asked).unwrap_or(TORN)
}

fn levels(asked: &Asked<'_>) -> Option<Reading> {
    let text = |name: &str| asked.cookie(name).map(plain);
    // Global Privacy Control that it honoured, or no level but the necessary
    // one: somebody said "no", if not on its notice.
    let refused = text("gpcishonored").is_some_and(|honored| honored.as_deref() != Some("false"))
        || text("notice_gdpr_prefs")
            .flatten()
            .is_some_and(|levels| levels.split(':').next() == Some("0"));
    let implied = Reading::unanswered("consent is implied there: nobody answered", refused);
    match text("notice_behavior") {
        Some(behavior) if behavior.as_deref()?.starts_with("expressed") => {}
        Some(_) => return Some(implied),
        None => return Some(Reading::unanswered("notice_behavior is missing", refused)),
    }
    let Some(preferences) = text("notice_gdpr_prefs") else {
        let why = "notice_gdpr_prefs is missing: nobody answered";
        return Some(Reading::unanswered(why, refused));
    };
    let preferences = preferences?;
    let (agreed, rest) = preferences.split_once(':')?;
    if rest.contains("implied") {
        return Some(implied);
    }
    let agreed: Vec<&str> = agreed.split([',', '|']).collect();
    let is_level =
        |level: &&str| level.len() == 1 && level.bytes().all(|byte| byte.is_ascii_digit());
    if !agreed.iter().all(is_level) || !agreed.contains(&"0") {
        return None;
    }
    if agreed == ["0"] {
        return Some(Reading::refusal());
    }
    let mut answers: Vec<_> =
        agreed.iter().filter(|level| **level != "0").map(|level| (*level, Answer::Yes)).collect();
    let refused = asked.ids.into_iter().flatten().filter(|(id, _)| !agreed.contains(&id.as_str()));
    answers.extend(refused.map(|(id, _)| (id.as_str(), Answer::No)));
    Some(answered(asked, site_defined, answers))
}
