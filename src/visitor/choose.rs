//! Takes a choice: the only place where consent comes into being.

use crate::consent::{ReceiptId, Record, VendorChoices};
use crate::purpose::{Purpose, PurposeSet};
use crate::visitor::form::{AboutVendor, Said};
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
    let decided = decided(form::read(body).ok_or(Refusal::Unclear)?, visit)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Refusal::NoReceipt)?;
    let record = Record {
        granted: decided.granted,
        decided: decided.purposes,
        made_under_gpc: visit.consent.gpc(),
        notice_revision: visit.site.consent.notice_revision,
        time_s: visit.now_s,
        receipt: ReceiptId::new(random),
        vendors: decided.vendors,
    };
    let mut response = page::empty(StatusCode::SEE_OTHER);
    let fields = response.headers_mut();
    fields.insert(LOCATION, page::value(ReturnTo::from_form(body, visit).as_str()));
    let value = visit.site.consent.keys.sign(visit.cookie.scope, &record);
    for field in visit.cookie.keeping(&value, visit.site.consent.lifetime_s) {
        fields.append(SET_COOKIE, page::value(&field));
    }
    Ok((response, record))
}

/// What a form decides, with what stays of an earlier choice.
struct Decided {
    granted: PurposeSet,
    purposes: PurposeSet,
    vendors: VendorChoices,
}

fn decided(said: Said, visit: &Visit<'_>) -> Result<Decided, Refusal> {
    match said {
        Said::Everything(granted, about) => {
            let vendors = about.iter().try_fold(VendorChoices::default(), |vendors, about| {
                with_vendor(vendors, about, granted, visit)
            })?;
            Ok(Decided { granted, purposes: PurposeSet::ALL, vendors })
        }
        Said::Vendor(about) => {
            // Only what was said here: a signal stays a signal.
            let (granted, purposes) = match visit.consent.record() {
                Some(record) if visit.site.consent.covers(record) => {
                    (record.granted, record.decided)
                }
                // What another notice granted is not granted on this one.
                Some(record) => (
                    PurposeSet::NECESSARY,
                    record.decided.minus(record.granted).with(Purpose::Necessary),
                ),
                None => (PurposeSet::NECESSARY, PurposeSet::NECESSARY),
            };
            let vendors = visit.consent.vendors().cloned().unwrap_or_default();
            let vendors = with_vendor(vendors, &about, granted, visit)?;
            Ok(Decided { granted, purposes, vendors })
        }
    }
}

/// Only what the catalogue knows can be decided about, and only what its
/// purposes do not say already needs to be kept.
fn with_vendor(
    vendors: VendorChoices,
    about: &AboutVendor,
    granted: PurposeSet,
    visit: &Visit<'_>,
) -> Result<VendorChoices, Refusal> {
    let mut known = visit.site.policy.catalogue().vendors();
    let vendor = known.find(|vendor| vendor.id == about.id).ok_or(Refusal::Unclear)?;
    if vendor.purposes.contains(Purpose::Necessary) {
        return Err(Refusal::Unclear);
    }
    match (about.allowed, granted.contains_all(vendor.purposes)) {
        (true, true) | (false, false) => Ok(vendors.without(&vendor.id)),
        (true, false) => Ok(vendors.with_allowed(&vendor.id)),
        (false, true) => vendors.with_refused(&vendor.id).ok_or(Refusal::TooLarge),
    }
}

pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(declared), None) = (types.next(), types.next()) else { return false };
    let essence = declared.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(FORM_TYPE.as_bytes())
        && !headers.contains_key(CONTENT_ENCODING)
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
    fn e6_a_vendor_is_decided_about_alone() {
        let trial = Trial::new();
        let first = trial.post(&[OURS], "choice=vendor&vendor=allow:zebra");
        let record = first.chosen.as_ref().unwrap();
        assert_eq!(
            (record.granted, record.decided),
            (PurposeSet::NECESSARY, PurposeSet::NECESSARY)
        );
        let trial = trial.with_cookie_of(&first);
        assert!(trial.consent.is_undecided(), "nothing was said about any purpose");
        assert!(trial.consent.vendors().unwrap().allows("zebra"));

        let some =
            "choice=some&purpose=analytics&vendor=refuse:beta&vendor=allow:acme&vendor=allow:zebra";
        let trial = trial.with_cookie_of(&trial.post(&[OURS], some));
        let vendors = trial.consent.vendors().unwrap();
        // What its purpose says already needs no word of its own.
        assert_eq!(
            (vendors.allowed(), vendors.refused()),
            (&["acme".to_owned()][..], &["beta".to_owned()][..])
        );
        let trial = trial.with_cookie_of(&trial.post(&[OURS], "choice=vendor&vendor=refuse:acme"));
        assert!(trial.consent.vendors().unwrap().allowed().is_empty());
        assert!(trial.consent.grants(Purpose::Analytics), "all else stays");
        let trial = trial.with_cookie_of(&trial.post(&[OURS], "choice=none"));
        assert_eq!(trial.consent.vendors(), None);

        for nobody in ["nobody", "", "cart", "Zebra"] {
            let answer = trial.post(&[OURS], &format!("choice=vendor&vendor=allow:{nobody}"));
            assert_eq!(answer.response.status(), StatusCode::BAD_REQUEST, "{nobody}");
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
