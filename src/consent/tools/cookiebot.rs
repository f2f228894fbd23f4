//! Cookiebot: `CookieConsent`, an object of JavaScript (not JSON):
//! `{stamp:'...',necessary:true,preferences:false,statistics:true,marketing:false,ver:1,utc:1740000000000,region:'fr'}`.

use crate::consent::reading::{Answer, Reading};
use crate::consent::tools::text::{decoded, millis, plain, value_of};
use crate::consent::tools::{Asked, TORN, answered, one};
use crate::purpose::{Purpose, PurposeSet};

const CATEGORIES: [&str; 3] = ["preferences", "statistics", "marketing"];

pub(super) fn read(asked: &Asked<'_>) -> Reading {
    let Some(value) = asked.cookie("CookieConsent") else { return TORN };
    match plain(value).as_deref() {
        Some("-1" | "0") => Reading::unasked("it says that no consent is asked for here"),
        Some(text) => choice(asked, text).unwrap_or(TORN),
        None => TORN,
    }
}

fn choice(asked: &Asked<'_>, text: &str) -> Option<Reading> {
    let text = if text.contains('%') { decoded(text)? } else { text.into() };
    let fields = fields(text.trim().strip_prefix('{')?.strip_suffix('}')?)?;
    let field = |key| value_of(&fields, key);
    if field("stamp") == Some("'-1'") {
        return Some(Reading::unasked("it says that no consent is asked for here"));
    }
    if field("method").is_some_and(|method| method != "'explicit'") {
        let refused = CATEGORIES.into_iter().any(|key| field(key) == Some("false"));
        let why = "nobody chose: its method is not explicit";
        return Some(Reading::unanswered(why, refused));
    }
    if let Some(outdated) = field("utc").and_then(millis).and_then(|time| asked.outdated(time)) {
        return Some(outdated);
    }
    let mut answers = Vec::new();
    for key in CATEGORIES {
        answers.push((
            key,
            match field(key) {
                Some("true") => Answer::Yes,
                Some("false") => Answer::No,
                _ => return None,
            },
        ));
    }
    Some(answered(asked, own, answers))
}

/// `key:value` for each part, with commas in quotes left alone; `None` when a
/// quote stays open or a key comes twice.
fn fields(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    let mut quoted = false;
    let parts = text.split(|sign: char| {
        quoted ^= sign == '\'';
        sign == ',' && !quoted
    });
    for part in parts {
        let (key, value) = part.split_once(':')?;
        let key = key.trim();
        if fields.iter().any(|(other, _)| *other == key) || fields.len() >= 32 {
            return None;
        }
        fields.push((key, value.trim()));
    }
    text.matches('\'').count().is_multiple_of(2).then_some(fields)
}

fn own(id: &str) -> Option<PurposeSet> {
    match id {
        "preferences" => one(Purpose::Functional),
        "statistics" => one(Purpose::Analytics),
        "marketing" => one(Purpose::Marketing),
        _ => None,
    }
}
