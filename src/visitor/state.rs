//! The visitor's choice for the scripts of the site.
//!
//! Every script of a page reads it, so nothing in it tells one visitor from
//! another who chose the same on the same day: no receipt's number, no second.

use crate::enforce::browser::google_signals;
use crate::purpose::Purpose;
use crate::visitor::{Visit, page, status};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

pub(super) fn page(visit: &Visit<'_>) -> Response<Bytes> {
    let consent = visit.consent;
    let purposes: Map<String, Value> = Purpose::ALL
        .into_iter()
        .map(|purpose| (purpose.name().to_owned(), consent.state(purpose).name().into()))
        .collect();
    let sources: Map<String, Value> = Purpose::OPTIONAL
        .into_iter()
        .map(|purpose| (purpose.name().to_owned(), consent.source_of(purpose).name().into()))
        .collect();
    let state = json!({
        "class": consent.granted().class(),
        "undecided": consent.is_undecided(),
        "source": consent.source().name(),
        "gpc": consent.gpc(),
        "purposes": purposes,
        "sources": sources,
        "vendors": {
            "allowed": consent.vendors().map_or(&[][..], |vendors| vendors.allowed()),
            "refused": consent.vendors().map_or(&[][..], |vendors| vendors.refused()),
        },
        "decided_at": consent.record().and_then(|record| status::day(record.time_s)),
        "made_for": consent.made_for(),
        "choices_url": visit.path("choices"),
        "google": google_signals(consent),
    });
    page::filled(StatusCode::OK, "application/json", state.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::trial::Trial;

    fn state(trial: &Trial) -> Value {
        let response = trial.get("/.consentry/state");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["cache-control"], "private, no-store");
        serde_json::from_slice(response.body()).unwrap()
    }

    #[test]
    fn d2_scripts_can_tell_undecided_from_denied() {
        let expected = json!({
            "class": "d", "undecided": true, "source": "silence", "gpc": false,
            "purposes": {
                "necessary": "granted", "functional": "undecided", "analytics": "undecided",
                "personalization": "undecided", "marketing": "undecided",
            },
            "sources": {
                "functional": "silence", "analytics": "silence",
                "personalization": "silence", "marketing": "silence",
            },
            "vendors": { "allowed": [], "refused": [] },
            "decided_at": null, "made_for": "d", "choices_url": "/.consentry/choices", "google": null,
        });
        let mut state = state(&Trial::new());
        assert_eq!(state["google"].take()["ad_storage"], "denied");
        assert_eq!(state, expected);
    }

    #[test]
    fn d12_no_script_can_tell_apart_who_chose_the_same_on_the_same_day() {
        let trial = Trial::new();
        let chooses = || {
            let form = "choice=some&purpose=analytics&vendor=refuse:zebra";
            let answer = trial.post(&[("origin", "http://shop.example")], form);
            let receipt = answer.chosen.as_ref().unwrap().receipt.to_string();
            (state(&trial.with_cookie_of(&answer)), receipt)
        };
        let ((one, receipt), (other, _)) = (chooses(), chooses());
        assert_eq!(one, other);
        assert!(!one.to_string().contains(&receipt), "{one}");
        assert_eq!(one["decided_at"], "2026-09-21");
        assert_eq!((&one["class"], &one["source"]), (&json!("a"), &json!("choice")));
        assert_eq!(one["purposes"]["marketing"], "denied");
    }

    #[test]
    fn d5_scripts_can_tell_which_signal_decided_about_each_purpose() {
        let cookie = "cc_cookie={\"categories\":[\"necessary\",\"analytics\"],\"revision\":0}";
        let state = state(&Trial::new().with_fields(&[("sec-gpc", "1"), ("cookie", cookie)]));
        assert_eq!(state["source"], "gpc");
        assert_eq!(
            state["sources"],
            json!({
                "functional": "cookieconsent", "analytics": "cookieconsent",
                "personalization": "gpc", "marketing": "gpc",
            })
        );
        assert_eq!(state["purposes"]["analytics"], "granted");
    }
}
