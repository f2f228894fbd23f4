//! Tools that write down the names of the categories that were agreed to.

use crate::consent::reading::{Answer, Reading};
use crate::consent::tools::text::{date_millis, json};
use crate::consent::tools::{Asked, TORN, answered, one};
use crate::purpose::{Purpose, PurposeSet};

use serde_json::Value;

/// CookieConsent by Orest Bida: `cc_cookie`, with `categories` since version 3
/// and `level` before.
pub(super) fn cookie_consent(asked: &Asked<'_>) -> Reading {
    let Some(found) = asked.cookie("cc_cookie").and_then(json) else { return TORN };
    let list = found.get("categories").or_else(|| found.get("level"));
    let Some(agreed) = list.and_then(names) else { return TORN };
    if let Some(written) =
        ["lastConsentTimestamp", "consentTimestamp", "last_consent_update", "consent_date"]
            .into_iter()
            .find_map(|key| found.get(key).filter(|time| !time.is_null()))
    {
        let Some(time) = written.as_str().and_then(date_millis) else { return TORN };
        if let Some(outdated) = asked.outdated(time) {
            return outdated;
        }
    }
    let Some(withheld) = without_services(&found) else { return TORN };
    let mut reading = by_list(asked, &agreed, category);
    for id in agreed.iter().filter(|id| withheld.contains(id)) {
        let purposes = asked.purposes(id, category(id)).unwrap_or(PurposeSet::EMPTY);
        reading = reading.without(purposes, "a category is agreed to, and none of its services");
    }
    match found.get("revision").map(Value::as_u64) {
        None | Some(Some(0)) => reading,
        // The operator's own number: whether it is the newest is not known.
        Some(_) => reading.without_grants("it was made on a revision that is not known here"),
    }
}

/// The categories of which no service was agreed to. A site that names no
/// services has an empty list for every category, which says nothing; `None`
/// where the lists are not whole.
fn without_services(found: &Value) -> Option<Vec<&str>> {
    let Some(services) = found.get("services") else { return Some(Vec::new()) };
    let mut empty = Vec::new();
    let mut any = false;
    for (category, list) in services.as_object()? {
        if names(list)?.is_empty() {
            empty.push(category.as_str());
        } else {
            any = true;
        }
    }
    Some(if any { empty } else { Vec::new() })
}

/// Drupal's EU Cookie Compliance: `cookie-agreed` and the names of categories.
pub(super) fn drupal(asked: &Asked<'_>) -> Reading {
    match asked.cookie("cookie-agreed") {
        Some(b"2") => {}
        Some(b"0") => return Reading::refusal(),
        Some(b"1") | None => {
            return Reading::unasked("cookie-agreed does not say that they agreed");
        }
        Some(_) => return TORN,
    }
    let Some(value) = asked.cookie("cookie-agreed-categories") else {
        // One "yes" for whatever the notice said.
        return answered(asked, category, [("agreed", Answer::Yes)]);
    };
    match json(value).as_ref().and_then(names) {
        Some(agreed) => by_list(asked, &agreed, category),
        None => TORN,
    }
}

/// Borlabs: `borlabs-cookie`, with the services agreed to in each category.
pub(super) fn borlabs(asked: &Asked<'_>) -> Reading {
    let Some(found) = asked.cookie("borlabs-cookie").and_then(json) else { return TORN };
    let Some(consents) = found.get("consents").and_then(Value::as_object) else { return TORN };
    let agreed =
        consents.iter().filter(|(_, services)| names(services).is_some_and(|s| !s.is_empty()));
    let agreed: Vec<&str> = agreed.map(|(category, _)| category.as_str()).collect();
    by_list(asked, &agreed, |id| match id {
        "essential" => Some(PurposeSet::NECESSARY),
        "statistics" => one(Purpose::Analytics),
        "external-media" => one(Purpose::Functional),
        id => category(id),
    })
}

/// Cookie Information: `CookieInformationConsent`, with one list of what was
/// agreed to and one of what was refused.
pub(super) fn cookie_information(asked: &Asked<'_>) -> Reading {
    let Some(found) = asked.cookie("CookieInformationConsent").and_then(json) else { return TORN };
    let list = |key: &str| found.get(key).and_then(names);
    let (Some(yes), Some(no)) = (list("consents_approved"), list("consents_denied")) else {
        return TORN;
    };
    let answers =
        yes.iter().map(|id| (*id, Answer::Yes)).chain(no.iter().map(|id| (*id, Answer::No)));
    let own = |id: &str| match id {
        "cookie_cat_necessary" => Some(PurposeSet::NECESSARY),
        "cookie_cat_functional" => one(Purpose::Functional),
        "cookie_cat_statistic" => one(Purpose::Analytics),
        "cookie_cat_marketing" => one(Purpose::Marketing),
        _ => None,
    };
    answered(asked, own, answers)
}

/// A list of what was agreed to also says what was not: but only where every
/// name on it is known, since "ads" may be called something else here.
fn by_list(asked: &Asked<'_>, agreed: &[&str], own: fn(&str) -> Option<PurposeSet>) -> Reading {
    let purposes = |id: &&str| asked.purposes(id, own(id));
    let granted: PurposeSet =
        agreed.iter().filter_map(purposes).fold(PurposeSet::EMPTY, PurposeSet::or);
    // A name the operator explained that is not on the list was refused.
    let refused: PurposeSet = asked
        .ids
        .into_iter()
        .flatten()
        .filter(|(id, _)| !agreed.contains(&id.as_str()))
        .fold(PurposeSet::EMPTY, |all, (_, purposes)| all.or(*purposes));
    let nothing = granted.without(Purpose::Necessary).is_empty();
    if !agreed.iter().all(|id| purposes(id).is_some()) {
        return Reading::denying(refused).granting(granted);
    }
    if nothing {
        return Reading::refusal();
    }
    let usual = [Purpose::Functional, Purpose::Analytics, Purpose::Marketing];
    let missing: PurposeSet =
        usual.into_iter().filter(|purpose| !granted.contains(*purpose)).collect();
    Reading::denying(refused.or(missing)).granting(granted)
}

fn names(list: &Value) -> Option<Vec<&str>> {
    list.as_array()?.iter().map(Value::as_str).collect()
}

/// Names that say what they are for.
fn category(id: &str) -> Option<PurposeSet> {
    match id {
        "necessary" | "essential" => Some(PurposeSet::NECESSARY),
        "functional" | "functionality" => one(Purpose::Functional),
        "analytics" => one(Purpose::Analytics),
        "marketing" | "ads" | "advertising" => one(Purpose::Marketing),
        "personalization" => one(Purpose::Personalization),
        _ => None,
    }
}
