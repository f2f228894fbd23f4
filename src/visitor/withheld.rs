//! What was held back for the visitor, in words.

use crate::ledger::plain;
use crate::ledger::read::Line;
use crate::ledger::withheld::{Held, OnPage};
use crate::notice::Texts;
use crate::purpose::Purpose;
use crate::visitor::on_record::Withheld;
use crate::visitor::{Visit, status};

use maud::{Markup, PreEscaped, html};

pub(super) fn section(visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    html! {
        section {
            h2 { (texts.held_title) }
            p.quiet { (texts.held_record) }
            @match visit.on_record.withheld {
                None => { p { (texts.held_not_now) } }
                Some(withheld) => {
                    @if let Some(page) = &withheld.page { (on_page(page, withheld, texts)) }
                    (on_site(withheld, texts))
                }
            }
        }
    }
}

fn on_page(page: &str, withheld: &Withheld, texts: &Texts) -> Markup {
    let name = html! { code dir="ltr" { (plain::text(page)) } };
    match &withheld.on_page {
        None => html! { p { (filled(&texts.held_none_on_page, &[("{page}", name)])) } },
        Some(found) => {
            // A minute would tell when somebody else opened it.
            let time = html! { time dir="ltr" { (status::day(found.time_ms / 1000).unwrap_or_default()) } };
            html! {
                h3 { (filled(&texts.held_on_page, &[("{page}", name), ("{time}", time)])) }
                (lines(found, texts))
            }
        }
    }
}

fn lines(found: &OnPage, texts: &Texts) -> Markup {
    let (held, passed): (Vec<_>, Vec<_>) =
        found.lines.iter().partition(|line| line.verdict == "block");
    let observed = found.lines.first().is_some_and(|line| line.mode != "enforce");
    html! {
        @if observed { p { (texts.held_only_recorded) } }
        @for purpose in Purpose::ALL.map(Some).into_iter().chain([None]) {
            @let of: Vec<_> =
                held.iter().filter(|line| purpose_of(line) == purpose).copied().collect();
            @if !of.is_empty() {
                @if let Some(purpose) = purpose { h4 { (texts.purpose(purpose).name) } }
                (list(&of, texts))
            }
        }
        @if !passed.is_empty() {
            details {
                summary { (texts.let_through) " (" (passed.len()) ")" }
                (list(&passed, texts))
            }
        }
        @if found.more > 0 { p { (more(found.more, texts)) } }
    }
}

fn list(lines: &[&Line], texts: &Texts) -> Markup {
    html! {
        ul.held {
            @for line in lines {
                li {
                    strong { (line.vendor.as_deref().map_or(texts.stranger.as_str().into(), plain::text)) }
                    ": " code dir="ltr" { (plain::text(&line.what)) }
                    " \u{2013} " (why(line, texts))
                }
            }
        }
    }
}

fn on_site(withheld: &Withheld, texts: &Texts) -> Markup {
    if withheld.on_site.is_empty() {
        return html! { p { (texts.held_none_on_site) } };
    }
    html! {
        h3 { (texts.held_on_site) }
        @for purpose in Purpose::ALL.map(Some).into_iter().chain([None]) {
            @let of: Vec<&Held> =
                withheld.on_site.iter().filter(|held| held.purpose == purpose).collect();
            @if !of.is_empty() {
                @if let Some(purpose) = purpose { h4 { (texts.purpose(purpose).name) } }
                ul.vendors { @for held in of { li { (plain::text(&held.vendor)) } } }
            }
        }
        @if withheld.more_on_site > 0 { p { (more(withheld.more_on_site, texts)) } }
    }
}

fn purpose_of(line: &Line) -> Option<Purpose> {
    Purpose::from_name(line.purpose.as_deref()?)
}

/// The reasons of the ledger in the visitor's words; what an operator wrote
/// for themselves is a rule of theirs.
fn why<'t>(line: &Line, texts: &'t Texts) -> &'t str {
    match (line.verdict.as_str(), line.reason.as_str()) {
        ("block", "not granted") => &texts.why_not_agreed,
        ("block", "vendor refused") => &texts.why_refused,
        ("block", "unlisted" | "cannot be judged") => &texts.why_unknown,
        ("allow", "granted" | "vendor allowed" | "asked for once") => &texts.why_agreed,
        ("allow", "necessary") => &texts.why_necessary,
        ("allow", "first party" | "unlisted") => &texts.why_passes,
        _ => &texts.why_rule,
    }
}

fn more(count: usize, texts: &Texts) -> String {
    texts.more_services.replace("{count}", &count.to_string())
}

/// A text whose words in braces are markup.
pub(super) fn filled(text: &str, words: &[(&str, Markup)]) -> Markup {
    let mut escaped = html! { (text) }.into_string();
    for (name, markup) in words {
        escaped = escaped.replace(name, &markup.0);
    }
    PreEscaped(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::trial;
    use crate::visitor::{OnRecord, Visit};

    fn line(
        verdict: &str,
        reason: &str,
        vendor: Option<&str>,
        purpose: Option<&str>,
        what: &str,
    ) -> Line {
        Line {
            entry: 1,
            time_ms: trial::NOW_S * 1000,
            site: "shop".to_owned(),
            page: "/cart".to_owned(),
            class: "d".to_owned(),
            undecided: false,
            signal: "choice".to_owned(),
            verdict: verdict.to_owned(),
            reason: reason.to_owned(),
            layer: "html".to_owned(),
            kind: "script".to_owned(),
            what: what.to_owned(),
            vendor: vendor.map(str::to_owned),
            vendor_id: None,
            purpose: purpose.map(str::to_owned),
            rule: None,
            via: None,
            mode: "enforce".to_owned(),
            policy_revision: String::new(),
        }
    }

    fn words(withheld: Option<&Withheld>) -> String {
        let trial = trial::Trial::new();
        let on_record = OnRecord { withheld, ..OnRecord::default() };
        let html = section(&Visit { on_record, ..trial.visit() }).into_string();
        // Blocks stand apart.
        let html = ["<h", "<li", "<p", "<summary", "<ul"]
            .iter()
            .fold(html, |html, tag| html.replace(tag, &format!(" {tag}")));
        let page = http::Response::new(bytes::Bytes::from(html));
        trial::text(&page).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn e11_every_line_is_there_with_its_reason_and_hostile_text_is_text() {
        let lines = vec![
            line("block", "not granted", Some("Acme"), Some("marketing"), "ads.example/p.js"),
            line("block", "vendor refused", Some("Maps"), Some("functional"), "maps.example/m"),
            line("block", "unlisted", None, None, "<b>\u{202e}x.example</b>"),
            line("allow", "unlisted", None, None, "cdn.example/x"),
        ];
        let on_page =
            OnPage { page: "/cart".to_owned(), time_ms: trial::NOW_S * 1000, lines, more: 7 };
        let held = |vendor: &str, purpose| Held {
            vendor: vendor.to_owned(),
            vendor_id: String::new(),
            purpose,
        };
        let withheld = Withheld {
            page: Some("/cart".to_owned()),
            on_page: Some(on_page),
            on_site: vec![
                held("Beta", Some(Purpose::Analytics)),
                held("Acme", Some(Purpose::Marketing)),
            ],
            more_on_site: 3,
        };
        let said = words(Some(&withheld));
        for expected in [
            "On the page /cart, 2026-09-21 ",
            "Functional Maps: maps.example/m \u{2013} you refused this service",
            "Marketing Acme: ads.example/p.js \u{2013} you have not agreed to it",
            "A service that nobody has named: <b>\\u{202e}x.example</b> \u{2013} nobody knows what it is for",
            "Let through (1) A service that nobody has named: cdn.example/x",
            "and 7 more",
            "On this site during the last day Analytics Beta Marketing Acme and 3 more",
            "The record knows no visitors, only choices",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        assert!(!said.contains("14:13"), "a minute tells when somebody looked: {said}");
    }

    #[test]
    fn e11_nothing_and_not_now_are_two_things() {
        assert!(words(None).contains("cannot be read at the moment"));
        let nothing = Withheld { page: Some("/x".to_owned()), ..Withheld::default() };
        let said = words(Some(&nothing));
        assert!(said.contains("Nothing is on record for the page /x and your choice."), "{said}");
        assert!(said.contains("Nothing was held back on this site"), "{said}");
        assert!(!words(Some(&Withheld::default())).contains("the page"));
    }
}
