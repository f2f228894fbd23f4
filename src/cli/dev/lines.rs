//! What is seen where there is no terminal: a line for each exchange.

use super::answers;
use super::journal::Seen;
use crate::ledger::plain;

use serde_json::json;
use std::io::Write;
use std::sync::mpsc::Receiver;

/// How many names of what was held stand on a line.
const NAMES: usize = 4;

/// What stands above the lines.
pub(super) fn welcome(url: &str, origin: &str, note: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!("{note}\n\n") };
    format!(
        "consentry stands in front of {}.\n\n\
         \x20 your site       {url}/\n\
         \x20 every decision  {url}/.consentry/dev/   as JSON: {url}/.consentry/decisions\n\
         \x20 another state   {url}/?__consent=undecided | refuse | all | gpc | functional,analytics\n\n\
         On this machine only, and nothing is kept. Ctrl-C ends it.\n\n{note}",
        plain::text(origin)
    )
}

/// The same for programs.
pub(super) fn welcome_json(url: &str, origin: &str) -> String {
    format!("{}\n", plain::json(&json!({ "listening": url, "origin": origin }).to_string()))
}

/// Writes each exchange as it ends, until no more can come.
pub(super) fn write(welcome: &str, told: Receiver<Seen>, as_json: bool, out: &mut dyn Write) {
    let mut say = |text: &str| {
        // If nobody can hear it, all else goes on.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    };
    say(welcome);
    for seen in told {
        if as_json {
            say(&format!("{}\n", plain::json(&answers::exchange(&seen).to_string())));
        } else {
            say(&format!("{}\n", line(&seen)));
        }
    }
}

/// `GET /shoes 200  3 held  5 passed  12 ms   Acme Ads, Acme Stats`
pub(super) fn line(seen: &Seen) -> String {
    let status = match (seen.failure, seen.status) {
        (Some(failure), _) => failure.to_owned(),
        (None, status) => status.map_or_else(|| "...".to_owned(), |status| status.to_string()),
    };
    let line = format!(
        "{:4} {:11} {:3} held {:3} passed {:6.0} ms  {}  {}",
        plain::text(&seen.method),
        status,
        seen.held(),
        seen.passed(),
        seen.took.as_secs_f64() * 1000.0,
        plain::text(&seen.target),
        held(seen),
    );
    line.trim_end().to_owned()
}

/// Whose things were held.
fn held(seen: &Seen) -> String {
    let mut names: Vec<&str> = Vec::new();
    for decision in seen.verdicts.iter().flat_map(|verdicts| verdicts.held()) {
        let name = decision.vendor.as_ref().map_or(decision.what.as_str(), |vendor| &vendor.name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(NAMES);
    let mut text = names.into_iter().take(NAMES).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    if text.is_empty() { text } else { format!("[{}]", plain::text(&text)) }
}
