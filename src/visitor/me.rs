//! The visitor's own page: what counts for them and why, what was held back,
//! and their receipt.

use crate::consent::Source;
use crate::ledger::Method;
use crate::notice::Texts;
use crate::purpose::{Purpose, PurposeSet};
use crate::visitor::{ReturnTo, Visit, choices, page, status, withheld};

use bytes::Bytes;
use http::{Response, StatusCode};
use maud::{Markup, html};
use std::collections::HashSet;

pub(super) fn page(return_to: &ReturnTo, visit: &Visit<'_>) -> Response<Bytes> {
    let texts = visit.texts();
    let main = html! {
        (status::words(visit))
        dl {
            @for purpose in Purpose::ALL {
                dt { (texts.purpose(purpose).name) }
                dd { (texts.state(visit.consent.state(purpose))) }
            }
            @if let Some(sources) = sources(visit) {
                dt { (texts.source) }
                dd { (sources) }
            }
            dt { (texts.receipt) }
            dd {
                @match visit.consent.record() {
                    Some(record) => {
                        @match record.receipt() {
                            Some(number) => { code { (number) } p.quiet { (texts.receipt_note) } }
                            None => { (texts.receipt_deleted) }
                        }
                    }
                    None => { (texts.no_receipt) }
                }
            }
        }
        (withdrawal(return_to, visit))
        ul.links {
            li { a href=(return_to.choices_url(visit)) { (texts.change) } }
            @if is_on_record(visit) {
                li { a href=(visit.path("receipt")) download { (texts.download) } }
            }
            li { a href=(return_to.as_str()) { (texts.back) } }
        }
        (withheld::section(visit))
        (deletion(visit))
    };
    page::html(StatusCode::OK, &texts.me_title, &main, visit)
}

/// The signals that decided, in words, where one of them was given elsewhere:
/// the words above name every other.
fn sources(visit: &Visit<'_>) -> Option<String> {
    let texts = visit.texts();
    let mut all: Vec<Source> =
        Purpose::OPTIONAL.iter().map(|purpose| visit.consent.source_of(*purpose)).collect();
    let mut met = HashSet::new();
    all.retain(|source| *source != Source::Silence && met.insert(*source));
    let is_elsewhere = |source: &Source| match source {
        Source::Tool(_) | Source::Tcf | Source::Gpp | Source::UsPrivacy => true,
        Source::Choice | Source::Gpc | Source::Region | Source::Silence => false,
    };
    let words: Vec<String> = all.iter().map(|source| words(*source, texts)).collect();
    all.iter().any(is_elsewhere).then(|| words.join(&texts.comma))
}

fn words(source: Source, texts: &Texts) -> String {
    let elsewhere = |signal: &str| texts.source_tool.replace("{signal}", signal);
    match source {
        Source::Choice => texts.source_choice.clone(),
        Source::Gpc => texts.source_gpc.clone(),
        Source::Tool(tool) => elsewhere(tool.name()),
        Source::Tcf => elsewhere("TCF"),
        Source::Gpp => elsewhere("GPP"),
        Source::UsPrivacy => elsewhere("US Privacy"),
        Source::Region => texts.source_region.clone(),
        Source::Silence => texts.source_silence.clone(),
    }
}

/// One click takes everything back, as one click gave it.
fn withdrawal(return_to: &ReturnTo, visit: &Visit<'_>) -> Markup {
    let gave = visit.consent.record().is_some_and(|record| {
        !PurposeSet::NECESSARY.contains_all(record.granted) || !record.vendors.allowed().is_empty()
    });
    html! {
        @if gave {
            form method="post" action=(visit.path("choices")) {
                (choices::hidden(return_to, Method::Me, visit))
                button.answer type="submit" name="choice" value="none" { (visit.texts().withdraw) }
            }
        }
    }
}

fn is_on_record(visit: &Visit<'_>) -> bool {
    visit.consent.record().is_some_and(|record| record.receipt().is_some())
}

fn deletion(visit: &Visit<'_>) -> Markup {
    let texts = visit.texts();
    html! {
        @if is_on_record(visit) {
            section {
                h2 { (texts.delete) }
                p { (texts.delete_note) }
                form method="post" action=(visit.path("receipt")) {
                    button.answer type="submit" name="delete" value="yes" { (texts.delete) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::visitor::trial::{self, Trial};

    const OURS: (&str, &str) = ("origin", "http://shop.example");

    #[test]
    fn the_receipt_is_shown_once_there_is_one() {
        let trial = Trial::new();
        let before = trial.get("/.consentry/me");
        assert!(trial::text(&before).contains("nothing is stored before you choose"));
        assert!(trial::tags(before.body(), "form").is_empty(), "nothing to take back or delete");
        let answer = trial.post(&[OURS], "choice=none");
        let page = trial.with_cookie_of(&answer).get("/.consentry/me?return_to=/shoes");
        let text = trial::text(&page);
        assert!(text.contains(&answer.chosen.unwrap().receipt.to_string()), "{text}");
        assert!(text.contains("2026-09-21 14:13 UTC"));
        let links = trial::tags(page.body(), "a");
        let to: Vec<_> = links.iter().map(|link| link.attribute("href").unwrap()).collect();
        let choices = "/.consentry/choices?return_to=/shoes";
        assert_eq!(to, [choices, "/.consentry/receipt", "/shoes"]);
    }

    #[test]
    fn e11_the_page_says_once_which_signal_decided() {
        let trial = Trial::new();
        let chosen = trial.with_cookie_of(&trial.post(&[OURS], "choice=all"));
        let signalled = trial.with_fields(&[("sec-gpc", "1")]);
        let row = "Where this comes from";
        for (trial, words) in [
            (&trial, "You have not chosen yet."),
            (&chosen, "You made this choice here on"),
            (&signalled, "Your browser sends a Global Privacy Control signal"),
        ] {
            let text = trial::text(&trial.get("/.consentry/me"));
            assert!(text.contains(words) && !text.contains(row), "{words}: {text}");
        }
        let cookie = "cc_cookie={\"categories\":[\"necessary\",\"analytics\"],\"revision\":0}";
        let elsewhere = trial.with_fields(&[("sec-gpc", "1"), ("cookie", cookie)]);
        let page = elsewhere.get("/.consentry/me");
        let html = String::from_utf8(page.body().to_vec()).unwrap();
        let said = "<dd>your choice in another consent tool of this site (cookieconsent), \
            your browser's Global Privacy Control signal</dd>";
        assert!(html.contains(&format!("<dt>{row}</dt>{said}")), "{html}");
    }

    #[test]
    fn e4_what_was_given_with_one_click_is_taken_back_with_one() {
        let trial = Trial::new();
        for (given, shown) in [
            ("choice=all", true),
            ("choice=vendor&vendor=allow:zebra", true),
            ("choice=none", false),
        ] {
            let visitor = trial.with_cookie_of(&trial.post(&[OURS], given));
            let page = visitor.get("/.consentry/me");
            let buttons = trial::tags(page.body(), "button");
            let takes_back = buttons.iter().any(|button| button.attribute("value") == Some("none"));
            assert_eq!(takes_back, shown, "{given}");
            let withdrawn = visitor.with_cookie_of(&visitor.post(&[OURS], "choice=none&by=me"));
            assert!(withdrawn.consent.record().unwrap().vendors.is_empty());
        }
    }
}
