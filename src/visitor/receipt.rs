//! The visitor's receipt, to keep and to delete.

use crate::consent::Record;
use crate::ledger::consent_record::{Recorded, consent_record};
use crate::ledger::{Act, Method, Receipt, plain};
use crate::visitor::{Refusal, Visit, choose, form, page, proof};

use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, LOCATION, SET_COOKIE};
use http::{HeaderMap, Response, StatusCode};

/// The receipt as a file. Without a choice there is none, and the page that
/// says so is shown instead.
pub(super) fn download(visit: &Visit<'_>) -> Response<Bytes> {
    let on_record = |record: &&Record| record.receipt().is_some();
    let Some(record) = visit.consent.record().filter(on_record) else { return to_me(visit) };
    let from_cookie = receipt_of(record, visit);
    let (receipt, notice, is_on_record) = match visit.on_record.receipt {
        Some(kept) => (&kept.receipt, kept.notice.as_ref(), true),
        None => (&from_cookie, None, false),
    };
    let operator = visit.operator();
    let of = Recorded { receipt, notice, operator, is_on_record };
    let text = plain::json(&consent_record(&of).to_string()).into_owned();
    let mut response = page::filled(StatusCode::OK, "application/json", text);
    let name = format!("attachment; filename=\"consent-receipt-{}.json\"", record.receipt);
    response.headers_mut().insert(CONTENT_DISPOSITION, page::value(&name));
    response
}

/// Forgets the visitor's choice, and gives it, so that the ledger forgets it,
/// too. What they refused stays refused, by a cookie that is on no record: to
/// delete is not to agree, also where silence is. A choice that somebody else could delete would be as little worth as
/// one that somebody else could make, so it takes the same proof.
pub(super) fn delete(
    headers: &HeaderMap,
    body: &[u8],
    visit: &Visit<'_>,
) -> Result<(Response<Bytes>, Option<Record>), Refusal> {
    proof::check(headers, visit)?;
    if !choose::is_form(headers) {
        return Err(Refusal::NotAForm);
    }
    if !form::deletes(body) {
        return Err(Refusal::Unclear);
    }
    let mut response = to_me(visit);
    let record = visit.consent.record();
    let fields = match record.and_then(Record::refusals) {
        Some(left) => {
            let settings = &visit.site.consent;
            let value = settings.keys.sign(visit.cookie.scope, &left);
            let age_s = visit.now_s.saturating_sub(left.time_s);
            visit.cookie.keeping(&value, settings.lifetime_s.saturating_sub(age_s))
        }
        None => visit.cookie.forgetting(),
    };
    for field in fields {
        response.headers_mut().append(SET_COOKIE, page::value(&field));
    }
    Ok((response, record.filter(|record| record.receipt().is_some()).cloned()))
}

fn to_me(visit: &Visit<'_>) -> Response<Bytes> {
    let mut response = page::empty(StatusCode::SEE_OTHER);
    response.headers_mut().insert(LOCATION, page::value(&visit.path("me")));
    response
}

/// What a cookie alone tells of a choice.
fn receipt_of(record: &Record, visit: &Visit<'_>) -> Receipt {
    Receipt {
        number: record.receipt,
        time_ms: record.time_s.saturating_mul(1000),
        site: visit.site.name.to_string(),
        granted: record.granted,
        asked: record.decided,
        vendors_allowed: record.vendors.allowed().to_vec(),
        vendors_refused: record.vendors.refused().to_vec(),
        act: Act::of(record, false),
        method: Method::Form,
        gpc: record.made_under_gpc,
        notice_revision: record.notice_revision,
        notice: [0; 32],
        choices: [0; 32],
        language: visit.language().to_owned(),
        valid_s: visit.site.consent.lifetime_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::receipt::hash_of;
    use crate::purpose::Purpose;
    use crate::visitor::on_record::Kept;
    use crate::visitor::trial::{self, Trial, headers};
    use crate::visitor::{OnRecord, archived};

    use serde_json::Value;

    const OURS: (&str, &str) = ("origin", "http://shop.example");
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    fn chosen() -> Trial {
        let trial = Trial::new();
        trial.with_cookie_of(&trial.post(&[OURS], "choice=some&purpose=analytics"))
    }

    fn json(response: &Response<Bytes>) -> Value {
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["cache-control"], "private, no-store");
        let name = response.headers()["content-disposition"].to_str().unwrap();
        assert!(name.starts_with("attachment; filename=\"consent-receipt-"), "{name}");
        serde_json::from_slice(response.body()).unwrap()
    }

    #[test]
    fn f5_the_receipt_comes_from_the_record_and_else_from_the_cookie() {
        let trial = chosen();
        let record = trial.consent.record().unwrap().clone();
        let alone = json(&download(&trial.visit()));
        assert_eq!(alone["header"]["source"], "cookie");
        assert_eq!(alone["header"]["record_id"], record.receipt.to_string());
        assert_eq!(alone["pii_processing"]["purposes"][1]["state"], "given");
        assert_eq!(alone["pii_processing"]["privacy_notice"]["sha256"], Value::Null);
        assert_eq!(alone["event"]["method"], Value::Null);
        let [first, _] = archived(&trial.visit(), false);
        let receipt = Receipt {
            notice: hash_of(&first.html),
            method: Method::Notice,
            ..receipt_of(&record, &trial.visit())
        };
        let kept = Kept { receipt, notice: Some(first) };
        let on_record = OnRecord { receipt: Some(&kept), ..OnRecord::default() };
        let there = json(&download(&Visit { on_record, ..trial.visit() }));
        assert_eq!(there["header"]["source"], "ledger");
        assert_eq!(there["event"]["method"], "notice");
        assert_eq!(there["party_identification"][0]["party_name"], "The Shop");
        let nobody = download(&Trial::new().visit());
        assert_eq!(
            (nobody.status(), &nobody.headers()["location"]),
            (StatusCode::SEE_OTHER, &"/.consentry/me".parse().unwrap())
        );
    }

    #[test]
    fn f6_deleting_is_no_yes_even_where_silence_is() {
        for (form, denied, kept) in [
            ("choice=none", 4, true),
            ("choice=some&purpose=analytics", 3, true),
            ("choice=vendor&vendor=refuse:zebra", 0, true),
            ("choice=all", 0, false),
        ] {
            let trial = Trial::new();
            let before = trial.with_cookie_of(&trial.post(&[OURS], form));
            let delete = |trial: &Trial| {
                trial.ask(http::Method::POST, "/.consentry/receipt", &[OURS, FORM], "delete=yes")
            };
            let answer = delete(&before);
            assert_eq!(answer.erased.as_ref(), before.consent.record(), "{form}");
            if !kept {
                let field = answer.response.headers()["set-cookie"].to_str().unwrap();
                assert!(field.contains("Max-Age=0"), "{field}");
                continue;
            }
            let after = before.with_cookie_of(&answer);
            let there = after.consent.clone().in_region(crate::consent::Rule::OptOut);
            let states = Purpose::OPTIONAL.iter().filter(|purpose| !there.grants(**purpose));
            assert_eq!(states.count(), denied, "{form}");
            assert_eq!(
                after.consent.vendors().is_some_and(|it| it.refuses("zebra")),
                form.contains("zebra")
            );
            assert_eq!(
                after.consent.record().unwrap().time_s,
                before.consent.record().unwrap().time_s
            );
            // It is a "no" in the browser and nothing on record.
            let page = after.get("/.consentry/me");
            let said = trial::text(&page);
            assert!(said.contains("There is no receipt any more"), "{said}");
            assert!(
                trial::tags(page.body(), "button").is_empty(),
                "nothing to delete or take back"
            );
            assert!(!said.contains(&"0".repeat(32)));
            assert_eq!(download(&after.visit()).status(), StatusCode::SEE_OTHER);
            let state: Value =
                serde_json::from_slice(after.get("/.consentry/state").body()).unwrap();
            assert_eq!(state["receipt"], Value::Null);
            let again = delete(&after);
            assert_eq!(again.erased, None);
            assert_eq!(after.with_cookie_of(&again).consent.record(), after.consent.record());
        }
    }

    #[test]
    fn f6_only_the_visitor_deletes_and_then_is_asked_again() {
        let trial = Trial::new();
        let trial = trial.with_cookie_of(&trial.post(&[OURS], "choice=all"));
        let number = trial.consent.record().unwrap().receipt;
        let (response, erased) =
            delete(&headers(&[OURS, FORM]), b"delete=yes", &trial.visit()).unwrap();
        assert_eq!(erased.unwrap().receipt, number);
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with("consentry=;") && cookie.contains("Max-Age=0"), "{cookie}");
        let evil = ("origin", "https://evil.example");
        let prefetch = ("sec-purpose", "prefetch");
        for (fields, body) in [
            (&[evil, FORM][..], "delete=yes"),
            (&[FORM], "delete=yes"),
            (&[OURS, FORM, prefetch], "delete=yes"),
            (&[OURS], "delete=yes"),
            (&[OURS, FORM], "delete=no"),
            (&[OURS, FORM], "delete=yes&delete=yes"),
            (&[OURS, FORM], ""),
        ] {
            assert!(delete(&headers(fields), body.as_bytes(), &trial.visit()).is_err(), "{body}");
        }
        let (_, nothing) =
            delete(&headers(&[OURS, FORM]), b"delete=yes", &Trial::new().visit()).unwrap();
        assert_eq!(nothing, None);
    }
}
