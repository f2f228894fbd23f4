//! Reads what somebody wrote into a form, and says what is wrong with it.

use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::ledger;
use crate::ledger::figures::Figures;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use maud::{Markup, html};
use std::path::Path;

/// The fields of a form; one name may come several times.
pub(in crate::dashboard) type Fields = Vec<(String, String)>;

/// The first value of that name, without space around it.
pub(super) fn one(fields: &Fields, name: &str) -> String {
    let found = fields.iter().find(|(each, _)| each == name);
    found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

/// Every value of that name.
pub(super) fn all(fields: &Fields, name: &str) -> Vec<String> {
    fields.iter().filter(|(each, _)| each == name).map(|(_, value)| value.clone()).collect()
}

/// Why something is not done.
#[derive(Debug)]
pub(in crate::dashboard) struct Refused {
    pub(in crate::dashboard) status: StatusCode,
    /// For whoever wanted it.
    pub(in crate::dashboard) message: String,
}

impl Refused {
    /// What was asked for makes no sense.
    pub(super) fn because(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, message: message.into() }
    }

    /// Whoever asked may not.
    pub(super) fn forbidden(message: &str) -> Self {
        Self { status: StatusCode::FORBIDDEN, message: message.to_owned() }
    }
}

/// The longest text in a field.
const MAX_CHARACTERS: usize = 200;

/// A text on one line. `what` begins a sentence: "A reason".
pub(super) fn line(text: &str, what: &str) -> Result<String, Refused> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refused::because(format!("{what} is missing.")));
    }
    if text.chars().count() > MAX_CHARACTERS || text.chars().any(char::is_control) {
        return Err(Refused::because(format!(
            "{what} has up to {MAX_CHARACTERS} characters on one line."
        )));
    }
    Ok(text.to_owned())
}

/// A day that is not over. `what` begins a sentence.
pub(super) fn day_to_come(text: &str, what: &str) -> Result<Date, Refused> {
    let day: Date = text.trim().parse().map_err(|_| {
        Refused::because(format!("{what} is a day: write it like {}.", in_a_year()))
    })?;
    if day < today() {
        return Err(Refused::because(format!("{what} is past.")));
    }
    Ok(day)
}

/// The day it is in UTC.
pub(super) fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// The same day next year: when things are looked at again unless somebody
/// wants it otherwise.
pub(super) fn in_a_year() -> Date {
    today().saturating_add(1.year())
}

/// The name of a site that there is; empty for all.
pub(super) fn site(context: &Context, name: &str) -> Result<String, Refused> {
    let known = name.is_empty() || context.sites().iter().any(|site| *site.name == *name);
    let unknown = || Refused::because(format!("No site is called “{name}”."));
    known.then(|| name.to_owned()).ok_or_else(unknown)
}

/// A choice among the sites, where there are several.
pub(super) fn site_field(context: &Context, chosen: &str) -> Markup {
    let sites = context.sites();
    let names: Vec<_> = sites.iter().map(|site| site.name.to_string()).collect();
    html! {
        @if names.len() > 1 {
            label for="site" { "Site" }
            select #site name="site" {
                option value="" { "All sites" }
                @for name in &names { option value=(name) selected[name == chosen] { (name) } }
            }
        }
    }
}

/// Owner, reason and the day somebody looks at it again.
pub(super) fn answer_fields(owner: &str, reason: &str, review: &str) -> Markup {
    let review = if review.is_empty() { in_a_year().to_string() } else { review.to_owned() };
    html! {
        label for="owner" { "Who answers for it" }
        p.hint #owner-hint { "A person or an office that can be asked, such as “Ana Lee, marketing”." }
        input #owner name="owner" value=(owner) maxlength="200" aria-describedby="owner-hint" autocomplete="off";
        label for="reason" { "Why it is used" }
        input #reason name="reason" value=(reason) maxlength="200" autocomplete="off";
        label for="review" { "Look at it again on" }
        input #review type="date" name="review" value=(review);
    }
}

/// What came of a form, at the top of the page that shows it again.
pub(super) fn told(refused: Option<&Refused>) -> Markup {
    html! {
        @if let Some(refused) = refused {
            div.warning role="alert" { p { strong { "Nothing was changed." } } p { (refused.message) } }
        }
    }
}

/// The page again, with a status that says that something was wrong.
pub(super) fn with_status(mut page: Response, refused: Option<&Refused>) -> Response {
    if let Some(refused) = refused {
        *page.status_mut() = refused.status;
    }
    page
}

/// Asks the ledger, away from the threads that serve.
pub(in crate::dashboard) async fn ask<T: Send + 'static>(
    context: &Context,
    question: impl FnOnce(&Path) -> Result<T, ledger::Error> + Send + 'static,
) -> Result<T, Refused> {
    let path = context.ledger_file().to_owned();
    answered(tokio::task::spawn_blocking(move || question(&path)).await)
}

/// Asks for figures: of all proxies where they share a ledger.
pub(in crate::dashboard) async fn ask_figures<T: Send + 'static>(
    context: &Context,
    question: impl FnOnce(&Figures) -> Result<T, ledger::Error> + Send + 'static,
) -> Result<T, Refused> {
    let context = context.clone();
    answered(tokio::task::spawn_blocking(move || context.ledger().ask(question)).await)
}

fn answered<T>(
    answer: Result<Result<T, ledger::Error>, tokio::task::JoinError>,
) -> Result<T, Refused> {
    let why = match answer {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(Refused { status: StatusCode::SERVICE_UNAVAILABLE, message: why })
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        layout::refusal(false, self.status, "This did not work", &self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_visible_line() {
        assert_eq!(line("  the shop's chat ", "A reason").unwrap(), "the shop's chat");
        for text in ["", "  ", "a\nb", "a\u{1b}[31m", &"x".repeat(201)] {
            assert!(line(text, "A reason").is_err(), "{text:?}");
        }
        assert_eq!(line("", "A reason").unwrap_err().message, "A reason is missing.");
    }

    #[test]
    fn a_day_to_come_is_not_past() {
        assert!(day_to_come(&today().to_string(), "The review").is_ok());
        assert!(day_to_come(&in_a_year().to_string(), "The review").is_ok());
        let yesterday = today().yesterday().unwrap();
        for text in [yesterday.to_string().as_str(), "", "soon", "2026-13-01"] {
            assert!(day_to_come(text, "The review").is_err(), "{text}");
        }
    }
}
