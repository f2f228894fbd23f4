//! Takes a choice: the only place where consent comes into being.

use crate::consent::{ReceiptId, Record, VendorChoices};
use crate::purpose::{Purpose, PurposeSet};
use crate::visitor::form::{AboutVendor, AskedOn, Said, Word};
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
    let said = form::read(body).ok_or(Refusal::Unclear)?;
    let asked_on = form::asked_on(body);
    if said.agrees() && !is_asked_now(asked_on, visit) {
        return Err(Refusal::Outdated);
    }
    let notice_revision = match (asked_on, &said) {
        (_, Said::Vendor(_)) => visit.site.consent.notice_revision,
        // A "no" counts whatever was asked, and its record does not claim that
        // they saw today's notice.
        (AskedOn::Revision(number), _) if !is_asked_now(asked_on, visit) => number,
        _ => visit.site.consent.notice_revision,
    };
    let decided = decided(said, visit)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Refusal::NoReceipt)?;
    let record = Record {
        granted: decided.granted,
        decided: decided.purposes,
        made_under_gpc: visit.consent.gpc(),
        after_doubt: decided.after_doubt,
        notice_revision,
        time_s: decided.time_s,
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
    /// When the oldest of it was decided: nothing counts longer for something
    /// else that was decided later.
    time_s: u64,
}

/// Whether a form stood under the notice that visitors are shown now, or under
/// one that asked the same.
fn is_asked_now(asked_on: AskedOn, visit: &Visit<'_>) -> bool {
    match asked_on {
        AskedOn::Unsaid => true,
        AskedOn::Revision(number) => visit.site.consent.asks_as(number),
        AskedOn::Unclear => false,
    }
}

fn decided(said: Said, visit: &Visit<'_>) -> Result<Decided, Refusal> {
    let earlier = visit.consent.record();
    let everything = |granted, vendors| Decided {
        granted,
        purposes: PurposeSet::ALL,
        vendors,
        after_doubt: false,
        time_s: visit.now_s,
    };
    let (mut decided, about) = match said {
        Said::All => (everything(PurposeSet::ALL, VendorChoices::default()), Vec::new()),
        Said::Nothing => (everything(PurposeSet::NECESSARY, VendorChoices::default()), Vec::new()),
        Said::Some(granted, about) => {
            // Who is not named in the form is refused still.
            let refused = earlier.map(|record| record.vendors.only_refused());
            (everything(granted, refused.unwrap_or_default()), about)
        }
        Said::Vendor(about) => (stays(earlier, &about, visit), vec![about]),
    };
    for about in &about {
        decided = with_vendor(decided, about, visit)?;
    }
    Ok(decided)
}

/// What stays when only one vendor is decided about: what was said here. A
/// signal stays a signal.
fn stays(earlier: Option<&Record>, about: &AboutVendor, visit: &Visit<'_>) -> Decided {
    let nothing = Decided {
        granted: PurposeSet::NECESSARY,
        purposes: PurposeSet::NECESSARY,
        vendors: VendorChoices::default(),
        after_doubt: visit.consent.is_doubtful(),
        time_s: visit.now_s,
    };
    let Some(record) = earlier else { return nothing };
    let says_more = record.decided != PurposeSet::NECESSARY
        || !record.vendors.clone().without(&about.id).is_empty();
    let time_s = if says_more { record.time_s } else { visit.now_s };
    let refused = record.decided.minus(record.granted).with(Purpose::Necessary);
    if !visit.site.consent.covers(record) {
        // What another notice granted is not granted on this one.
        let vendors = record.vendors.only_refused();
        return Decided { purposes: refused, vendors, time_s, ..nothing };
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
        time_s,
    }
}

/// Only what the catalogue knows can be decided about.
fn with_vendor(
    decided: Decided,
    about: &AboutVendor,
    visit: &Visit<'_>,
) -> Result<Decided, Refusal> {
    let vendor = visit.site.policy.catalogue().vendor(&about.id).ok_or(Refusal::Unclear)?;
    if vendor.purposes.contains(Purpose::Necessary) {
        return Err(Refusal::Unclear);
    }
    let Decided { granted, purposes, vendors, after_doubt, time_s } = decided;
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
    Ok(Decided { granted, purposes, vendors, after_doubt, time_s })
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
    fn f1_a_vendor_leaves_the_purposes_the_time_they_were_decided() {
        let trial = Trial::new();
        let fields = headers(&[OURS, ("content-type", FORM_TYPE)]);
        let late = |trial: &Trial, body: &str| {
            let visit = Visit { now_s: trial::NOW_S + 500, ..trial.visit() };
            choose(&fields, body.as_bytes(), &visit).unwrap().1.time_s - trial::NOW_S
        };
        let vendor = "choice=vendor&vendor=allow:zebra";
        for (before, now, kept) in [
            (Some("choice=all"), "choice=vendor&vendor=refuse:zebra", true),
            (Some("choice=none"), vendor, true),
            (Some("choice=vendor&vendor=allow:beta"), vendor, true),
            (Some(vendor), vendor, false),
            (None, vendor, false),
            (Some("choice=all"), "choice=all", false),
        ] {
            let visitor = before
                .map_or_else(Trial::new, |form| trial.with_cookie_of(&trial.post(&[OURS], form)));
            assert_eq!(late(&visitor, now), if kept { 0 } else { 500 }, "{before:?} {now}");
        }
        assert!(trial.post(&[OURS], vendor).one_vendor);
        assert!(!trial.post(&[OURS], "choice=all").one_vendor);
    }

    #[test]
    fn d3_a_vendor_takes_nothing_else_away_from_the_browsers_signal() {
        let gpc = [("sec-gpc", "1")];
        let before = Trial::new();
        let agreed = before.with_cookie_and(&before.post(&[OURS], "choice=all"), &gpc);
        for visitor in [agreed, before.with_fields(&gpc)] {
            assert!(!visitor.consent.grants(Purpose::Marketing));
            let after = visitor
                .with_cookie_and(&visitor.post(&[OURS], "choice=vendor&vendor=allow:acme"), &gpc);
            assert!(after.consent.vendors().unwrap().allows("acme"));
            let in_region = after.consent.clone().in_region(crate::consent::Rule::OptOut);
            assert_eq!(in_region.state(Purpose::Marketing), crate::consent::State::Denied);
        }
    }

    #[test]
    fn f1_an_answer_to_another_notice_is_no_yes_and_a_no_counts() {
        let mut trial = Trial::new();
        trial.site.consent.same_as = vec![2];
        for (body, taken) in [
            ("choice=all&revision=3", Some(3)),
            ("choice=all&revision=2", Some(3)),
            ("choice=all", Some(3)),
            ("choice=all&revision=1", None),
            ("choice=all&revision=4", None),
            ("choice=all&revision=three", None),
            ("choice=all&revision=3&revision=3", None),
            ("choice=some&purpose=analytics&revision=1", None),
            ("choice=some&vendor=allow:zebra&revision=1", None),
            ("choice=vendor&vendor=allow:zebra&revision=1", None),
            ("choice=none&revision=1", Some(1)),
            ("choice=none&revision=2", Some(3)),
            ("choice=none&revision=three", Some(3)),
            ("choice=some&vendor=refuse:zebra&revision=1", Some(1)),
            ("choice=vendor&vendor=refuse:zebra&revision=1", Some(3)),
        ] {
            let answer = trial.post(&[OURS], body);
            let revision = answer.chosen.as_ref().map(|record| record.notice_revision);
            assert_eq!(revision, taken, "{body}");
            if taken.is_none() {
                assert_eq!(answer.response.status(), StatusCode::CONFLICT);
                assert!(answer.response.headers().get("set-cookie").is_none());
                let said = trial::text(&answer.response);
                assert!(said.contains("notice has changed since you opened"), "{said}");
                // It is the page of choices, with the revision of now.
                let inputs = trial::tags(answer.response.body(), "input");
                assert!(inputs.iter().any(|input| input.attribute("type") == Some("checkbox")));
                let revisions: Vec<_> =
                    inputs.iter().filter(|it| it.attribute("name") == Some("revision")).collect();
                assert_eq!(revisions.len(), 2);
                assert!(revisions.iter().all(|it| it.attribute("value") == Some("3")));
            }
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
