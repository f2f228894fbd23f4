//! Why a request for one of our own pages was not met, in words.

use crate::visitor::{ReturnTo, Visit, choices, page};

use bytes::Bytes;
use http::{Response, StatusCode};
use maud::html;

/// Why a choice was not taken, or a page not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing shows that it came from a page of this site.
    FromElsewhere,
    /// It was sent by a prefetch, a prerender or a preview.
    AheadOfTime,
    /// It was sent from inside a frame.
    Framed,
    /// It is no form.
    NotAForm,
    /// It is longer than any choice.
    TooLarge,
    /// It is a form that does not say what was chosen.
    Unclear,
    /// It agrees to what another notice asked.
    Outdated,
    /// The system gave us no random number.
    NoReceipt,
    /// The operator withholds it from everybody.
    NotHere,
    /// There is no such page.
    Unknown,
    /// The page does not know this method.
    Method,
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::FromElsewhere | Self::AheadOfTime | Self::Framed | Self::NotHere => {
                StatusCode::FORBIDDEN
            }
            Self::NotAForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unclear => StatusCode::BAD_REQUEST,
            Self::Outdated => StatusCode::CONFLICT,
            Self::NoReceipt => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The page that says so. When a choice was not taken, it offers the same
    /// two buttons again, so that nobody has to look for them.
    pub(super) fn page(self, return_to: &ReturnTo, visit: &Visit<'_>) -> Response<Bytes> {
        if self == Self::Outdated {
            return choices::once_more(self.status(), return_to, visit);
        }
        let texts = visit.texts();
        let not_here = texts.embed_blocked.replace("{vendor}", &texts.embed_nobody);
        let (title, why, offers_choice) = match self {
            Self::FromElsewhere => (&texts.not_taken, &texts.from_elsewhere, true),
            Self::AheadOfTime => (&texts.not_taken, &texts.ahead_of_time, true),
            Self::Framed => (&texts.not_taken, &texts.framed, true),
            Self::NotAForm => (&texts.not_taken, &texts.not_a_form, true),
            Self::TooLarge => (&texts.not_taken, &texts.too_large, true),
            Self::Unclear => (&texts.not_taken, &texts.unclear, true),
            Self::Outdated => (&texts.not_taken, &texts.outdated, true),
            Self::NoReceipt => (&texts.not_taken, &texts.no_receipt_now, true),
            Self::NotHere => (&texts.title, &not_here, false),
            Self::Unknown => (&texts.unknown_title, &texts.unknown, false),
            Self::Method => (&texts.method_title, &texts.method, false),
        };
        let main = html! {
            p { (why) }
            @if offers_choice {
                p { (texts.nothing_changed) }
                (choices::pair(return_to, visit))
            }
            ul.links { li { a href=(return_to.choices_url(visit)) { (texts.title) } } }
        };
        page::html(self.status(), title, &main, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::trial::{self, Trial};

    #[test]
    fn every_refusal_is_a_readable_page_that_leads_to_the_choices() {
        let trial = Trial::new();
        for refusal in [
            Refusal::FromElsewhere,
            Refusal::AheadOfTime,
            Refusal::Framed,
            Refusal::NotAForm,
            Refusal::TooLarge,
            Refusal::Unclear,
            Refusal::Outdated,
            Refusal::NoReceipt,
            Refusal::NotHere,
            Refusal::Unknown,
            Refusal::Method,
        ] {
            let response = refusal.page(&ReturnTo::home(), &trial.visit());
            assert!(response.status().is_client_error() || refusal == Refusal::NoReceipt);
            let links = trial::tags(response.body(), "a");
            let leads = refusal == Refusal::Outdated
                || links[0].attribute("href") == Some("/.consentry/choices?return_to=/");
            assert!(leads, "{refusal:?}");
            assert!(trial::text(&response).len() > 80);
        }
    }
}
