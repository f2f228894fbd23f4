//! Takes a choice: the only place where consent comes into being.

use crate::consent::{ReceiptId, Record, VendorChoices};
use crate::purpose::{Purpose, PurposeSet};
use crate::visitor::form::{AboutVendor, Said, Word};
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
        after_doubt: decided.after_doubt,
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
    after_doubt: bool,
}

fn decided(said: Said, visit: &Visit<'_>) -> Result<Decided, Refusal> {
    let earlier = visit.consent.record();
    let everything = |granted, vendors| Decided {
        granted,
        purposes: PurposeSet::ALL,
        vendors,
        after_doubt: false,
    };
    let (mut decided, about) = match said {
        Said::All => (everything(PurposeSet::ALL, VendorChoices::default()), Vec::new()),
        Said::Nothing => (everything(PurposeSet::NECESSARY, VendorChoices::default()), Vec::new()),
        Said::Some(granted, about) => {
            // Who is not named in the form is refused still.
            let refused = earlier.map(|record| record.vendors.only_refused());
            (everything(granted, refused.unwrap_or_default()), about)
        }
        Said::Vendor(about) => (stays(earlier, visit), vec![about]),
    };
    for about in &about {
        decided = with_vendor(decided, about, visit)?;
    }
    Ok(decided)
}

/// What stays when only one vendor is decided about: what was said here. A
/// signal stays a signal.
fn stays(earlier: Option<&Record>, visit: &Visit<'_>) -> Decided {
    let nothing = Decided {
        granted: PurposeSet::NECESSARY,
        purposes: PurposeSet::NECESSARY,
        vendors: VendorChoices::default(),
        after_doubt: visit.consent.is_doubtful(),
    };
    let Some(record) = earlier else { return nothing };
    let refused = record.decided.minus(record.granted).with(Purpose::Necessary);
    if !visit.site.consent.covers(record) {
        // What another notice granted is not granted on this one.
        return Decided { purposes: refused, vendors: record.vendors.only_refused(), ..nothing };
    }
    let mut granted = record.granted;
    if visit.consent.gpc() && !record.made_under_gpc {
        // The signal outweighs what was granted without it, and this word about
        // one vendor is none about that.
        granted = granted.without(Purpose::Marketing).without(Purpose::Personalization);
    }
    Decided {
        granted,
        purposes: refused.or(granted),
        vendors: record.vendors.clone(),
        after_doubt: nothing.after_doubt,
    }
}

/// Only what the catalogue knows can be decided about.
fn with_vendor(
    decided: Decided,
    about: &AboutVendor,
    visit: &Visit<'_>,
) -> Result<Decided, Refusal> {
    let mut known = visit.site.policy.catalogue().vendors();
    let vendor = known.find(|vendor| vendor.id == about.id).ok_or(Refusal::Unclear)?;
    if vendor.purposes.contains(Purpose::Necessary) {
        return Err(Refusal::Unclear);
    }
    let Decided { granted, purposes, vendors, after_doubt } = decided;
    let (granted, vendors) = match about.word {
        Word::AsPurposes => (granted, vendors.without(&vendor.id)),
        // Its purposes say so already, and only they need to be kept.
        Word::Allow if granted.contains_all(vendor.purposes) => {
            (granted, vendors.without(&vendor.id))
        }
        Word::Allow => (granted, vendors.with_allowed(&vendor.id)),
        // Another signal may grant what is not granted here.
        Word::Refuse => match vendors.clone().with_refused(&vendor.id) {
            Some(vendors) => (granted, vendors),
            // More than a cookie can hold: then its purposes are refused.
            None => (granted.minus(vendor.purposes).with(Purpose::Necessary), vendors),
        },
    };
    let purposes = if about.word == Word::Refuse && !vendors.refuses(&vendor.id) {
        purposes.or(vendor.purposes)
    } else {
        purposes
    };
    Ok(Decided { granted, purposes, vendors, after_doubt })
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
        // What its purposes say already needs no word of its own.
        assert_eq!(
            (vendors.allowed(), vendors.refused()),
            (&["acme".to_owned()][..], &["beta".to_owned()][..])
        );
        let trial = trial.with_cookie_of(&trial.post(&[OURS], "choice=vendor&vendor=refuse:acme"));
        assert!(trial.consent.vendors().unwrap().allowed().is_empty());
        assert!(trial.consent.grants(Purpose::Analytics), "all else stays");
        let trial = trial.with_cookie_of(&trial.post(&[OURS], "choice=none"));
        assert_eq!(trial.consent.vendors(), None);

        // What is not granted here may be granted by another signal.
        let trial = trial.with_cookie_of(&trial.post(&[OURS], "choice=vendor&vendor=refuse:acme"));
        assert!(trial.consent.vendors().unwrap().refuses("acme"));
        // Scripts and forms that know no vendors leave refusals alone, and a
        // word that takes one back does so.
        let all = "choice=some&purpose=functional&purpose=analytics&purpose=personalization&purpose=marketing";
        let trial = trial.with_cookie_of(&trial.post(&[OURS], all));
        assert!(trial.consent.vendors().unwrap().refuses("acme"));
        let both = format!("{all}&vendor=refuse:zebra&vendor=allow:zebra&vendor=purposes:acme");
        let trial = trial.with_cookie_of(&trial.post(&[OURS], &both));
        assert_eq!(trial.consent.vendors().unwrap().refused(), ["zebra"], "the no counts");
        let trial = trial.with_cookie_of(&trial.post(&[OURS], "choice=all"));
        assert_eq!(trial.consent.vendors(), None);

        for nobody in ["nobody", "", "cart", "Zebra"] {
            let answer = trial.post(&[OURS], &format!("choice=vendor&vendor=allow:{nobody}"));
            assert_eq!(answer.response.status(), StatusCode::BAD_REQUEST, "{nobody}");
        }
    }

    #[test]
    fn d3_a_word_about_a_vendor_is_none_about_gpc() {
        let plain = Trial::new();
        let all = plain.with_cookie_of(&plain.post(&[OURS], "choice=all"));
        let granted =
            plain.with_cookie_and(&plain.post(&[OURS], "choice=all"), &[("sec-gpc", "1")]);
        assert!(
            !granted.consent.grants(Purpose::Marketing) && all.consent.grants(Purpose::Marketing)
        );
        let answer = granted.post(&[OURS], "choice=vendor&vendor=refuse:zebra");
        let after = granted.with_cookie_and(&answer, &[("sec-gpc", "1")]);
        assert!(
            !after.consent.grants(Purpose::Marketing) && after.consent.grants(Purpose::Analytics)
        );
        assert!(after.consent.vendors().unwrap().refuses("zebra"));
        let later = granted.with_cookie_and(&answer, &[]);
        assert!(!later.consent.grants(Purpose::Marketing), "then the notice asks about it again");
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
