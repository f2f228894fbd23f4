//! Takes a choice: the only place where consent comes into being.

use crate::consent::{ReceiptId, Record};
use crate::purpose::PurposeSet;
use crate::visitor::{FORM_BYTES, Refusal, ReturnTo, Visit, form, page, proof};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Response, StatusCode};

const FORM_TYPE: &str = "application/x-www-form-urlencoded";

/// The answer to a choice, and what was chosen.
///
/// # Errors
/// Says why the choice was not taken; then nothing has changed.
pub(super) fn choose(
    headers: &HeaderMap,
    body: &[u8],
    visit: &Visit<'_>,
) -> Result<(Response<Bytes>, Record), Refusal> {
    proof::check(headers, visit)?;
    if !is_form(headers) {
        return Err(Refusal::NotAForm);
    }
    if body.len() > FORM_BYTES {
        return Err(Refusal::TooLarge);
    }
    let granted = form::granted(body).ok_or(Refusal::Unclear)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Refusal::NoReceipt)?;
    let record = Record {
        granted,
        decided: PurposeSet::ALL,
        made_under_gpc: visit.consent.gpc(),
        notice_revision: visit.site.consent.notice_revision,
        time_s: visit.now_s,
        receipt: ReceiptId::new(random),
    };
    let mut response = page::empty(StatusCode::SEE_OTHER);
    let fields = response.headers_mut();
    fields.insert(LOCATION, page::value(ReturnTo::from_form(body, visit).as_str()));
    fields.insert(SET_COOKIE, page::value(&cookie(&record, visit)));
    Ok((response, record))
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(declared), None) = (types.next(), types.next()) else { return false };
    let essence = declared.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(FORM_TYPE.as_bytes())
        && !headers.contains_key(CONTENT_ENCODING)
}

fn cookie(record: &Record, visit: &Visit<'_>) -> String {
    let consent = &visit.site.consent;
    format!(
        "{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{}",
        visit.cookie_name(),
        consent.keys.sign(visit.scope, record),
        consent.lifetime_s,
        if visit.secure { "; Secure" } else { "" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::trial::{self, Trial, headers};

    const OURS: (&str, &str) = ("origin", "http://shop.example");

    #[test]
    fn a_refused_choice_changes_nothing_and_says_so() {
        let trial = Trial::new();
        let long = format!("choice=all&x={}", "x".repeat(FORM_BYTES));
        for (proof, body, status) in [
            (("origin", "https://evil.example"), "choice=all", StatusCode::FORBIDDEN),
            (OURS, "choice=perhaps", StatusCode::BAD_REQUEST),
            (OURS, "", StatusCode::BAD_REQUEST),
            (OURS, long.as_str(), StatusCode::PAYLOAD_TOO_LARGE),
        ] {
            let answer = trial.post(&[proof], body);
            assert_eq!(answer.response.status(), status);
            assert_eq!(answer.chosen, None);
            assert!(answer.response.headers().get("set-cookie").is_none());
            assert!(trial::text(&answer.response).contains("Nothing has changed."));
            assert_eq!(trial::tags(answer.response.body(), "button").len(), 2);
        }
    }

    #[test]
    fn only_a_form_is_read() {
        let trial = Trial::new();
        for (content_type, taken) in [
            ("application/x-www-form-urlencoded", true),
            ("Application/X-WWW-Form-Urlencoded; charset=UTF-8", true),
            ("text/plain", false),
            ("multipart/form-data; boundary=x", false),
            ("application/json", false),
            ("application/x-www-form-urlencoded, text/plain", false),
            ("", false),
        ] {
            let fields = headers(&[OURS, ("content-type", content_type)]);
            let chosen = choose(&fields, b"choice=all", &trial.visit());
            assert_eq!(chosen.is_ok(), taken, "{content_type}");
            assert!(taken || matches!(chosen, Err(Refusal::NotAForm)), "{content_type}");
        }
        for more in [("content-type", "text/plain"), ("content-encoding", "gzip")] {
            let fields = headers(&[OURS, ("content-type", FORM_TYPE), more]);
            assert!(choose(&fields, b"choice=all", &trial.visit()).is_err(), "{more:?}");
        }
    }

    #[test]
    fn a_refused_choice_leads_back_to_the_page_it_came_from() {
        let trial = Trial::new();
        for (body, expected) in
            [("choice=all&return_to=/shoes", "/shoes"), ("return_to=//evil", "/")]
        {
            let response = trial.post(&[("origin", "null")], body).response;
            let inputs = trial::tags(response.body(), "input");
            assert_eq!(inputs[0].attribute("value"), Some(expected));
        }
    }
}
