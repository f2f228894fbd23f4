//! A receipt in the structure of ISO/IEC TS 27560:2023, as JSON.
//!
//! The four sections are those of the specification: header, processing,
//! parties, events. A field it asks for that nobody here knows is not made
//! up: it stands in `not_recorded`, with the reason. docs/proof.md has the
//! table, docs/consent-record.schema.json the schema.

use crate::ledger::receipt::{Act, Notice, Receipt, hex};
use crate::purpose::{Purpose, PurposeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The schema of these records; raised when one is no longer read like the
/// ones before it.
const SCHEMA_VERSION: &str = "consentry-27560-1";

/// What a record is made of.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// The choice.
    pub receipt: &'a Receipt,
    /// The notice's first layer, if it is in the archive.
    pub notice: Option<&'a Notice>,
    /// Who answers for the site, where no notice says it.
    pub operator: &'a str,
    /// Whether the choice is in the ledger; otherwise only the visitor's
    /// cookie tells of it.
    pub is_on_record: bool,
}

impl Recorded<'_> {
    /// What no cookie keeps.
    fn known<T>(&self, value: T) -> Option<T> {
        self.is_on_record.then_some(value)
    }
}

/// The record of one choice.
#[must_use]
pub fn consent_record(of: &Recorded<'_>) -> Value {
    let receipt = of.receipt;
    json!({
        "header": {
            "schema_version": SCHEMA_VERSION,
            "record_id": receipt.number.to_string(),
            "source": if of.is_on_record { "ledger" } else { "cookie" },
        },
        "pii_processing": processing(of),
        "party_identification": [party(of)],
        "event": {
            "event_time": time(receipt.time_ms),
            "event_type": "expressed",
            "event_state": state(receipt),
            "entity_id": "pii_principal",
            "validity_duration": format!("PT{}S", receipt.valid_s),
            "valid_until": time(receipt.time_ms.saturating_add(receipt.valid_s.saturating_mul(1000))),
            "method": of.known(receipt.method.name()),
            "global_privacy_control": receipt.gpc,
        },
        "not_recorded": not_recorded(),
    })
}

fn processing(of: &Recorded<'_>) -> Value {
    let receipt = of.receipt;
    let policy_url = of.notice.map(|notice| notice.policy_url.as_str());
    json!({
        "service": receipt.site,
        "privacy_notice": {
            "revision": receipt.notice_revision,
            "sha256": of.known(hex(&receipt.notice)),
            "choices_sha256": of.known(hex(&receipt.choices)),
            "first_shown": of.notice.map(|notice| time(notice.time_ms)),
            "policy_url": policy_url.filter(|url| !url.is_empty()),
        },
        "language": of.known(receipt.language.as_str()),
        "purposes": Purpose::OPTIONAL.map(|purpose| json!({
            "purpose": purpose.name(),
            "lawful_basis": "consent",
            "state": purpose_state(receipt, purpose),
        })),
        "pii_controllers": ["controller"],
        "collection_method": "a web page, and the services named in the notice",
        "recipient_third_parties": {
            "named_in": of.known(hex(&receipt.choices)),
            "allowed": receipt.vendors_allowed,
            "refused": receipt.vendors_refused,
        },
        "withdrawal_method": {
            "description": "one click on the page of choices, or on the page about one's own choice",
            "url": of.notice.map(|notice| notice.choices_url.as_str()),
        },
    })
}

fn party(of: &Recorded<'_>) -> Value {
    let said = of.notice.map_or(of.operator, |notice| notice.operator.as_str());
    let url = of.notice.map(|notice| notice.policy_url.as_str()).filter(|url| !url.is_empty());
    json!({
        "party_id": "controller",
        "party_role": "pii_controller",
        "party_name": said,
        "party_url": url,
    })
}

const fn purpose_state(receipt: &Receipt, purpose: Purpose) -> &'static str {
    if receipt.granted.contains(purpose) {
        "given"
    } else if receipt.asked.contains(purpose) {
        "refused"
    } else {
        "not_asked"
    }
}

fn state(receipt: &Receipt) -> &'static str {
    let gave =
        !PurposeSet::NECESSARY.contains_all(receipt.granted) || !receipt.vendors_allowed.is_empty();
    match receipt.act {
        Act::Accept => "given",
        Act::Refuse => "refused",
        Act::Partial => "partly_given",
        Act::Withdraw => "withdrawn",
        Act::Vendor if gave => "partly_given",
        Act::Vendor => "refused",
    }
}

/// What the specification has a field for and this record has not, and why.
fn not_recorded() -> Map<String, Value> {
    [
        ("pii_principal_id", "no identifier of a person is kept; only the person holds the record_id, a number drawn at random for this one choice"),
        ("pii_information", "which data each service takes is named in the notice, by service"),
        ("storage_locations", "only the controller and the services know where data lies"),
        ("retention_period", "the notice names it by service, as far as it is known"),
        ("jurisdiction", "nothing is recorded about where the person was"),
        ("party_address", "it stands in the controller's privacy policy"),
        ("party_contact", "it stands in the controller's privacy policy"),
    ]
    .into_iter()
    .map(|(field, why)| (field.to_owned(), why.into()))
    .collect()
}

/// A time as JSON has it; empty when there is no such time.
#[must_use]
pub fn time(time_ms: u64) -> String {
    i64::try_from(time_ms)
        .ok()
        .and_then(|time_ms| Timestamp::from_millisecond(time_ms).ok())
        .map_or_else(String::new, |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::receipt::Layer;
    use crate::ledger::tests::receipts::{notice, receipt};

    #[test]
    fn f5_a_record_says_what_the_receipt_says_and_makes_nothing_up() {
        let receipt = receipt(1, 1_790_000_000_000);
        let notice = notice(Layer::First, 1_780_000_000_000, "<p>Ask</p>");
        let of =
            Recorded { receipt: &receipt, notice: Some(&notice), operator: "", is_on_record: true };
        let record = consent_record(&of);
        assert_eq!(record["header"]["record_id"], "01".repeat(16));
        assert_eq!(record["event"]["event_time"], "2026-09-21T14:13:20Z");
        assert_eq!(record["event"]["event_state"], "partly_given");
        assert_eq!(record["event"]["validity_duration"], "PT15552000S");
        let purposes = &record["pii_processing"]["purposes"];
        assert_eq!(purposes[1]["purpose"], "analytics");
        assert_eq!(
            (&purposes[1]["state"], &purposes[0]["state"]),
            (&json!("given"), &json!("refused"))
        );
        assert_eq!(record["party_identification"][0]["party_name"], "The Shop");
        let alone = Recorded { notice: None, operator: "shop.example", is_on_record: false, ..of };
        let record = consent_record(&alone);
        assert_eq!(record["header"]["source"], "cookie");
        assert_eq!(record["pii_processing"]["withdrawal_method"]["url"], Value::Null);
        assert_eq!(record["party_identification"][0]["party_name"], "shop.example");
    }
}
