//! The visitor's receipt: what they chose, when, and the number to quote.

use crate::purpose::Purpose;
use crate::visitor::{ReturnTo, Visit, page, status};

use bytes::Bytes;
use http::{Response, StatusCode};
use maud::html;

pub(super) fn page(visit: &Visit<'_>) -> Response<Bytes> {
    let texts = visit.texts();
    let main = html! {
        (status::words(visit))
        dl {
            @for purpose in Purpose::ALL {
                dt { (texts.purpose(purpose).name) }
                dd { (texts.state(visit.consent.state(purpose))) }
            }
            dt { (texts.receipt) }
            dd {
                @match visit.consent.record() {
                    Some(record) => { code { (record.receipt) } p.quiet { (texts.receipt_note) } }
                    None => { (texts.no_receipt) }
                }
            }
        }
        ul.links { li { a href=(ReturnTo::home().choices_url(visit)) { (texts.change) } } }
    };
    page::html(StatusCode::OK, &texts.me_title, &main, visit)
}

#[cfg(test)]
mod tests {
    use crate::visitor::trial::{self, Trial};

    #[test]
    fn the_receipt_is_shown_once_there_is_one() {
        let trial = Trial::new();
        assert!(
            trial::text(&trial.get("/.consentry/me"))
                .contains("nothing is stored before you choose")
        );
        let answer = trial.post(&[("origin", "http://shop.example")], "choice=none");
        let page = trial.with_cookie_of(&answer).get("/.consentry/me");
        let text = trial::text(&page);
        assert!(text.contains(&answer.chosen.unwrap().receipt.to_string()), "{text}");
        assert!(text.contains("2026-09-21 14:13 UTC"));
        let links = trial::tags(page.body(), "a");
        assert_eq!(links[0].attribute("href"), Some("/.consentry/choices?return_to=/"));
    }
}
