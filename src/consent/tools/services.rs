//! Tools that ask for services or purposes which the site names itself: what
//! they stand for, only the operator knows.

use crate::consent::reading::{Answer, Reading};
use crate::consent::tools::text::{base64_json, each_key_once, json, plain};
use crate::consent::tools::{Asked, TORN, answered, site_defined};

use serde_json::Value;

/// An object with `true` or `false` for each id: Klaro's and Zaraz's. An id
/// that is missing was not asked for.
pub(super) fn switches(asked: &Asked<'_>, cookie: &str) -> Reading {
    let Some(found) = asked.cookie(cookie).and_then(json) else { return TORN };
    let Some(ids) = found.as_object() else { return TORN };
    let mut answers = Vec::new();
    for (id, value) in ids {
        let Some(agreed) = value.as_bool() else { return TORN };
        answers.push((id.as_str(), Answer::from(agreed)));
    }
    with_missing(asked, answers)
}

/// Axeptio: `axeptio_cookies`, which exists before anybody chose.
pub(super) fn axeptio(asked: &Asked<'_>) -> Reading {
    let Some(found) = asked.cookie("axeptio_cookies").and_then(json) else { return TORN };
    let Some(fields) = found.as_object() else { return TORN };
    match fields.get("$$completed").and_then(Value::as_bool) {
        Some(true) => {}
        Some(false) => {
            let refused = fields.iter().any(|(id, value)| !id.starts_with("$$") && *value == false);
            return Reading::unanswered("$$completed is false: nobody answered", refused);
        }
        None => return TORN,
    }
    let mut answers = Vec::new();
    for (id, value) in fields.iter().filter(|(id, _)| !id.starts_with("$$")) {
        let Some(agreed) = value.as_bool() else { return TORN };
        answers.push((id.as_str(), Answer::from(agreed)));
    }
    with_missing(asked, answers)
}

/// tarteaucitron: `!gtag=true!youtube=false!hotjar=wait`, which exists before
/// anybody chose.
pub(super) fn tarteaucitron(asked: &Asked<'_>) -> Reading {
    let Some(text) = asked.cookie("tarteaucitron").and_then(plain) else { return TORN };
    let Some(list) = text.strip_prefix('!') else { return TORN };
    let mut answers: Vec<(&str, Answer)> = Vec::new();
    for part in list.split('!') {
        let answer = match part.split_once('=') {
            Some((id, "true")) => (id, Answer::Yes),
            Some((id, "false")) => (id, Answer::No),
            Some((id, "wait")) => (id, Answer::None),
            _ => return TORN,
        };
        answers.push(answer);
    }
    with_missing(asked, answers)
}

/// Didomi: `didomi_token`, which exists before anybody chose, and then without
/// lists.
pub(super) fn didomi(asked: &Asked<'_>) -> Reading {
    let Some(found) = asked.cookie("didomi_token").and_then(base64_json) else { return TORN };
    let Some(purposes) = found.get("purposes").and_then(Value::as_object) else {
        return Reading::unasked("its token has no purposes: nobody answered");
    };
    let mut answers = Vec::new();
    for (list, answer) in [("enabled", Answer::Yes), ("disabled", Answer::No)] {
        let Some(ids) = purposes.get(list) else { continue };
        let Some(ids) = ids.as_array() else { return TORN };
        for id in ids {
            let Some(id) = id.as_str() else { return TORN };
            answers.push((id, answer));
        }
    }
    if answers.is_empty() {
        return Reading::unasked("its token lists no purpose: nobody answered");
    }
    let reading = with_missing(asked, answers);
    // Which vendor of ours an id of Didomi's is, is not known for certain.
    let vendors = found.get("vendors").and_then(|vendors| vendors.get("disabled"));
    match vendors.map(Value::as_array) {
        None => reading,
        Some(Some(refused)) if refused.is_empty() => reading,
        Some(Some(_)) => reading.without_grants("vendors were refused that are not known here"),
        Some(None) => reading.without_grants("its list of refused vendors is not whole"),
    }
}

/// Real Cookie Banner: `<unix>:<uuid>[,<uuid>...]:<md5>:<groups with their services>`.
pub(super) fn real_cookie_banner(asked: &Asked<'_>) -> Reading {
    decision(asked).unwrap_or(TORN)
}

fn decision(asked: &Asked<'_>) -> Option<Reading> {
    let text = asked.cookie("real_cookie_banner*").and_then(plain)?;
    let mut parts = text.splitn(4, ':');
    let time_s: u64 = parts.next().filter(|time| time.len() == 10)?.parse().ok()?;
    let is_uuid = |id: &str| {
        id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    };
    let ids = parts.next()?;
    let hash = parts.next()?;
    let is_hash = hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !ids.split(',').all(is_uuid) || !is_hash {
        return None;
    }
    if let Some(outdated) = asked.outdated(time_s.saturating_mul(1000)) {
        return Some(outdated);
    }
    let groups = each_key_once(parts.next()?)?;
    let groups = groups.as_object()?;
    let mut answers = Vec::new();
    for (id, services) in groups {
        let agreed = !services.as_array()?.is_empty();
        answers.push((id.as_str(), Answer::from(agreed)));
    }
    // A group that is not in it was not agreed to.
    let missing = asked.ids.into_iter().flatten().filter(|(id, _)| !groups.contains_key(*id));
    answers.extend(missing.map(|(id, _)| (id.as_str(), Answer::No)));
    Some(answered(asked, site_defined, answers))
}

/// What the operator explained and the tool did not ask for is undecided.
fn with_missing<'i>(asked: &Asked<'i>, mut answers: Vec<(&'i str, Answer)>) -> Reading {
    let named: Vec<_> = answers.iter().map(|(id, _)| *id).collect();
    let missing = asked.ids.into_iter().flatten().filter(|(id, _)| !named.contains(&id.as_str()));
    answers.extend(missing.map(|(id, _)| (id.as_str(), Answer::None)));
    answered(asked, site_defined, answers)
}
