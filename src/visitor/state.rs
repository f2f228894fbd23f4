//! The visitor's choice for the scripts of the site.

use crate::enforce::browser::google_signals;
use crate::purpose::Purpose;
use crate::visitor::{Visit, page, status};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

pub(super) fn page(visit: &Visit<'_>) -> Response<Bytes> {
    let consent = visit.consent;
    let record = consent.record();
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
        "receipt": record.map(|record| record.receipt.to_string()),
        "decided_at": record.and_then(|record| status::timestamp(record.time_s)).map(|time| time.to_string()),
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
        assert_eq!(response.headers()["cache-control"], "no-store");
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
            "receipt": null, "decided_at": null, "choices_url": "/.consentry/choices", "google": null,
        });
        let mut state = state(&Trial::new());
        assert_eq!(state["google"].take()["ad_storage"], "denied");
        assert_eq!(state, expected);
    }

    #[test]
    fn a_choice_comes_with_its_receipt_and_time() {
        let trial = Trial::new();
        let answer =
            trial.post(&[("origin", "http://shop.example")], "choice=some&purpose=analytics");
        let state = state(&trial.with_cookie_of(&answer));
        let receipt = answer.chosen.unwrap().receipt.to_string();
        assert_eq!(state["class"], "a");
        assert_eq!(state["source"], "choice");
        assert_eq!(state["purposes"]["marketing"], "denied");
        assert_eq!(state["receipt"], receipt);
        assert_eq!(state["decided_at"], "2026-09-21T14:13:20Z");
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
