//! Tools that write a short "yes" or "no" for each of their categories.

use crate::consent::reading::{Answer, Reading};
use crate::consent::tools::text::{decoded, millis, pairs, plain, value_of};
use crate::consent::tools::{Asked, TORN, answered, one};
use crate::purpose::{Purpose, PurposeSet};

/// CookieYes: `consentid:...,consent:yes,action:yes,necessary:yes,analytics:no`.
pub(super) fn cookie_yes(asked: &Asked<'_>) -> Reading {
    let Some(text) = asked.cookie("cookieyes-consent").and_then(plain) else { return TORN };
    let Some(fields) = pairs(&text, ',', ':') else { return TORN };
    let is_written = |word: &str| fields.iter().any(|(_, value)| *value == word);
    match value_of(&fields, "action") {
        Some("yes") => {}
        Some("") | None => {
            let why = "nobody answered the notice: no action";
            return Reading::unanswered(why, is_written("no"));
        }
        Some(_) => return TORN,
    }
    let about = ["consentid", "consent", "action", "lastRenewedDate"];
    // A category that is missing may have been cut.
    let usual = ["functional", "analytics", "performance", "advertisement"];
    let missing = usual.into_iter().filter(|id| value_of(&fields, id).is_none());
    let mut answers: Vec<_> = missing.map(|id| (id, Answer::None)).collect();
    for (id, value) in fields.iter().copied().filter(|(key, _)| !about.contains(key)) {
        let answer = match value {
            "yes" => Answer::Yes,
            "no" => Answer::No,
            _ => return TORN,
        };
        answers.push((id, answer));
    }
    let reading = answered(asked, cookie_yes_own, answers);
    match value_of(&fields, "consent") {
        Some("no") if !reading.granted().is_empty() => {
            reading.without_grants("it says no, and yes to single categories")
        }
        _ => reading,
    }
}

fn cookie_yes_own(id: &str) -> Option<PurposeSet> {
    match id {
        "necessary" => Some(PurposeSet::NECESSARY),
        "functional" => one(Purpose::Functional),
        "analytics" | "performance" => one(Purpose::Analytics),
        "advertisement" => one(Purpose::Marketing),
        _ => None,
    }
}

/// Tealium: `consent:true|ts:1678332400820|c1:1|c3:0`, in any order.
pub(super) fn tealium(asked: &Asked<'_>) -> Reading {
    let Some(text) = asked.cookie("CONSENTMGR").and_then(plain) else { return TORN };
    let Some(fields) = pairs(&text, '|', ':') else { return TORN };
    // A cookie that ends within its time is torn, and has lost what follows.
    let Some(time) = value_of(&fields, "ts").and_then(millis) else { return TORN };
    if let Some(outdated) = asked.outdated(time) {
        return outdated;
    }
    let is_category =
        |key: &str| key.strip_prefix('c').is_some_and(|number| number.parse::<u8>().is_ok());
    let categories = fields.iter().filter(|(key, _)| is_category(key));
    let mut answers = Vec::new();
    for (id, value) in categories {
        answers.push((
            *id,
            match *value {
                "1" => Answer::Yes,
                "0" => Answer::No,
                _ => return TORN,
            },
        ));
    }
    match value_of(&fields, "consent") {
        Some("false") => Reading::refusal(),
        // One "yes" for whatever the notice said.
        Some("true") if answers.is_empty() => {
            answered(asked, tealium_own, [("consent", Answer::Yes)])
        }
        Some("true") => {
            let refused = answers.iter().filter(|(_, answer)| *answer == Answer::No);
            let refused = refused.map(|(id, _)| asked.purposes(id, tealium_refused(id)));
            let refused = refused.flatten().fold(PurposeSet::EMPTY, PurposeSet::or);
            Reading::denying(refused).joined(answered(asked, tealium_own, answers))
        }
        _ => TORN,
    }
}

/// What a "yes" to one of Tealium's 15 categories is for, in the order in
/// which it documents them. What a site does under the others is its own.
fn tealium_own(id: &str) -> Option<PurposeSet> {
    match id {
        "c1" => one(Purpose::Analytics),
        "c3" => one(Purpose::Marketing),
        "c6" => one(Purpose::Personalization),
        _ => None,
    }
}

/// What a "no" to one of them is about: affiliates, search, email, social
/// networks, big data, cookies that are matched, customer data and all the
/// rest may be advertising.
fn tealium_refused(id: &str) -> Option<PurposeSet> {
    match id {
        "c1" => one(Purpose::Analytics),
        "c6" => one(Purpose::Personalization),
        _ => one(Purpose::Marketing),
    }
}

/// Complianz: a cookie for each category, and one that says that the visitor
/// has answered.
pub(super) fn complianz(asked: &Asked<'_>) -> Reading {
    if asked.cookie("cmplz_banner-status") != Some(b"dismissed") {
        let refused = asked.cookies.iter().any(|(_, value)| *value == b"deny");
        let why = "cmplz_banner-status is not `dismissed`: nobody answered";
        return Reading::unanswered(why, refused);
    }
    allowed(
        asked,
        [
            ("preferences", "cmplz_preferences"),
            ("statistics", "cmplz_statistics"),
            ("marketing", "cmplz_marketing"),
        ],
    )
}

/// The consent API of WordPress: a cookie for each category.
pub(super) fn wp_consent_api(asked: &Asked<'_>) -> Reading {
    allowed(
        asked,
        [
            ("preferences", "wp_consent_preferences"),
            ("statistics", "wp_consent_statistics"),
            ("marketing", "wp_consent_marketing"),
        ],
    )
}

fn allowed(asked: &Asked<'_>, cookies: [(&'static str, &str); 3]) -> Reading {
    let own = |id: &str| match id {
        "preferences" => one(Purpose::Functional),
        "statistics" => one(Purpose::Analytics),
        "marketing" => one(Purpose::Marketing),
        _ => None,
    };
    let mut answers = Vec::new();
    for (id, cookie) in cookies {
        answers.push((
            id,
            match asked.cookie(cookie) {
                Some(b"allow") => Answer::Yes,
                Some(b"deny") => Answer::No,
                Some(_) => return TORN,
                None => Answer::None,
            },
        ));
    }
    answered(asked, own, answers)
}

/// c15t: `c.necessary:1,c.measurement:1,i.t:1740000000000`. It leaves out
/// what is refused, so a category that is missing was refused.
pub(super) fn c15t(asked: &Asked<'_>) -> Reading {
    const CATEGORIES: [&str; 4] = ["functionality", "experience", "measurement", "marketing"];
    let Some(text) = asked.cookie("c15t").and_then(plain) else { return TORN };
    let Some(text) = decoded(&text) else { return TORN };
    let Some(fields) = pairs(&text, ',', ':') else { return TORN };
    let answer = |key: &str| match value_of(&fields, key) {
        Some("1") => Some(Answer::Yes),
        Some("0") | None => Some(Answer::No),
        Some(_) => None,
    };
    // What is always granted shows that the list of consents is there, and
    // the time behind it that the list is whole.
    let (Some("1"), Some(time)) =
        (value_of(&fields, "c.necessary"), value_of(&fields, "i.t").and_then(millis))
    else {
        return TORN;
    };
    if let Some(outdated) = asked.outdated(time) {
        return outdated;
    }
    let mut answers = Vec::new();
    for id in CATEGORIES {
        let Some(answer) = answer(&format!("c.{id}")) else { return TORN };
        answers.push((id, answer));
    }
    let own = |id: &str| match id {
        "functionality" => one(Purpose::Functional),
        "measurement" => one(Purpose::Analytics),
        "marketing" => one(Purpose::Marketing),
        _ => None,
    };
    answered(asked, own, answers)
}
