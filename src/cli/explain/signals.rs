//! What a browser's fields say about consent: which signal was read, which
//! won, and why one was not believed.

use crate::consent::{self, Consent, Heard, Signals, State};
use crate::purpose::{Purpose, PurposeSet};
use crate::site::Site;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::io::{self, Write};

/// Explains the signals in `fields`, and what they say together; `None` when
/// one of them is no field.
pub(super) fn explain(
    fields: &[String],
    site: &Site,
    host: &str,
    out: &mut dyn Write,
) -> io::Result<Option<Consent>> {
    let mut headers = HeaderMap::new();
    for field in fields {
        let Some((name, value)) = read(field) else {
            writeln!(out, "`{field}` is no field; write it like \"Sec-GPC: 1\"")?;
            return Ok(None);
        };
        headers.append(name, value);
    }
    let now = jiff::Timestamp::now().as_second();
    let now_s = u64::try_from(now).unwrap_or_default();
    // Over https our cookie has another name.
    let own = [true, false].map(|secure| site.sharing.cookie(host, secure));
    let is_there = |names: &[&str]| {
        names.iter().any(|name| consent::cookie_values(&headers, name).next().is_some())
    };
    let [secure, plain] = &own;
    let cookie = if is_there(secure.names()) { secure } else { plain };
    let read = consent::read(&headers, cookie.names(), cookie.scope, &site.consent, now_s);
    if is_there(cookie.names()) {
        our_own(&read, out)?;
    }
    if headers.contains_key("sec-gpc") {
        gpc(&read, out)?;
    }
    let everything = Signals { heard: Signals::all().collect(), ..site.consent.signals.clone() };
    for one in consent::heard(&headers, &everything, now_s, site.consent.lifetime_s) {
        let counts = site.consent.signals.heard.contains(&one.source);
        writeln!(out, "signal    {} ({}): {}", one.cookie, one.source, words(&one, counts))?;
    }
    // Whoever asks is the operator, so the fields are taken as their proxy's.
    let rule = site.consent.regions.rule(&headers, true);
    writeln!(out, "region    {}", in_words(rule))?;
    let consent = read.in_region(rule);
    let numbered = site.policy.catalogue().in_iab_list();
    let consent = consent::refuse_as_tcf(consent, &headers, &site.consent, numbered);
    for purpose in Purpose::OPTIONAL {
        let by = match consent.state(purpose) {
            State::Undecided => "no signal decides, so the notice asks".to_owned(),
            State::Granted | State::Denied => format!("by {}", consent.source_of(purpose)),
        };
        writeln!(out, "{purpose:<17}{}, {by}", consent.state(purpose).name())?;
    }
    Ok(Some(consent))
}

fn read(field: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = field.split_once(':')?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    Some((name, HeaderValue::from_str(value.trim()).ok()?))
}

fn our_own(consent: &Consent, out: &mut dyn Write) -> io::Result<()> {
    let said = match consent.record() {
        None => {
            "not signed for this site by our keys, outdated, or made on another notice: undecided"
                .to_owned()
        }
        Some(record) => {
            let refused = record.decided.minus(record.granted);
            decided(record.granted, refused)
        }
    };
    writeln!(out, "signal    our own cookie (choice): {said}")
}

fn gpc(consent: &Consent, out: &mut dyn Write) -> io::Result<()> {
    let said = if !consent.gpc() {
        "its value is not exactly `1`: ignored"
    } else if consent.record().is_some_and(|record| record.made_under_gpc) {
        "a choice made here while it was on outweighs it"
    } else {
        "denies personalization, marketing"
    };
    writeln!(out, "signal    Sec-GPC (gpc): {said}")
}

/// What one signal says, and why it says no more.
fn words(heard: &Heard, counts: bool) -> String {
    let reading = &heard.reading;
    if !counts {
        return "the site does not listen to it (site.signals)".to_owned();
    }
    let note = reading.note();
    match (reading.decided().is_empty(), note.is_empty()) {
        (true, true) => "it says nothing about a purpose that is known: undecided".to_owned(),
        (true, false) => format!("{note}: undecided"),
        (false, true) => decided(reading.granted(), reading.denied()),
        (false, false) => {
            format!(
                "{}; the rest is undecided, since {note}",
                decided(reading.granted(), reading.denied())
            )
        }
    }
}

fn decided(granted: PurposeSet, denied: PurposeSet) -> String {
    let list = |verb: &str, set: PurposeSet| {
        let names: Vec<_> = set.without(Purpose::Necessary).iter().map(Purpose::name).collect();
        (!names.is_empty()).then(|| format!("{verb} {}", names.join(", ")))
    };
    let parts = [list("grants", granted), list("denies", denied)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

const fn in_words(rule: consent::Rule) -> &'static str {
    match rule {
        consent::Rule::OptIn => "opt_in: silence is undecided",
        consent::Rule::OptOut => "opt_out: silence is yes, except where a signal cannot be read",
        consent::Rule::Off => "off: silence is yes, and nothing is shown",
    }
}
