//! `GET /.consentry/decisions`: what was decided, for tests and for the panel.

use super::journal::{Journal, Seen, Verdicts};
use crate::policy::{Basis, Decision, Grounds, Verdict};
use crate::purpose::Purpose;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

/// How many exchanges are told at once.
const LAST: usize = 100;

/// The last exchanges, or the one that the query names.
pub(super) fn decisions(journal: &Journal, query: Option<&str>) -> Response<Bytes> {
    let query = query.unwrap_or_default().as_bytes();
    let of = |name: &str| {
        form_urlencoded::parse(query).find(|(key, _)| key == name).map(|(_, value)| value)
    };
    let (found, what) = match (of("exchange"), of("page")) {
        (Some(number), _) => {
            let found = number.parse().ok().and_then(|number| journal.find(number));
            (found, format!("exchange {number}"))
        }
        (None, Some(page)) => (journal.of_page(&page), format!("answer for {page}")),
        (None, None) => {
            let all: Vec<_> = journal.shown().take(LAST).map(exchange).collect();
            return answer(StatusCode::OK, &json!({ "exchanges": all }));
        }
    };
    match found {
        Some(seen) => answer(StatusCode::OK, &exchange(seen)),
        None => {
            let error = format!(
                "there is no {what} among the last exchanges; GET /.consentry/decisions lists them"
            );
            answer(StatusCode::NOT_FOUND, &json!({ "error": error }))
        }
    }
}

fn answer(status: StatusCode, value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(value.to_string()));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    keep_here(&mut response);
    response
}

/// Neither kept by anybody nor read by other sites.
pub(super) fn keep_here(response: &mut Response<Bytes>) {
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    for (name, value) in [
        ("cross-origin-resource-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        fields.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

/// One exchange.
pub(super) fn exchange(seen: &Seen) -> Value {
    let verdicts = seen.verdicts.as_ref();
    let decisions: Vec<_> = verdicts
        .map(|verdicts| verdicts.decisions.iter().map(decision).collect())
        .unwrap_or_default();
    json!({
        "exchange": seen.number,
        "method": seen.method,
        "host": seen.host,
        "page": seen.target,
        "status": seen.status,
        "ms": (seen.took.as_secs_f64() * 10_000.0).round() / 10.0,
        "failure": seen.failure,
        "complete": seen.is_over(),
        "site": verdicts.map(|verdicts| &verdicts.site),
        "mode": verdicts.map(|verdicts| verdicts.mode),
        "class": verdicts.map(|verdicts| &verdicts.class),
        "granted": verdicts.map(|verdicts| &verdicts.granted),
        "undecided": verdicts.map(|verdicts| verdicts.undecided),
        "signal": verdicts.map(|verdicts| verdicts.signal),
        "state": verdicts.map(Verdicts::state),
        "held": seen.held(),
        "passed": seen.passed(),
        "decisions": decisions,
    })
}

/// One decision: what, whose, why, and what would change it.
fn decision(decision: &Decision) -> Value {
    let vendor = decision.vendor.as_ref();
    json!({
        "verdict": decision.verdict.word(),
        "reason": decision.verdict.reason(),
        "what": decision.what,
        "kind": decision.kind.name(),
        "layer": decision.layer.name(),
        "via": decision.via,
        "vendor": vendor.map(|vendor| &vendor.id),
        "name": vendor.map(|vendor| &vendor.name),
        "owner": vendor.map(|vendor| &vendor.owner),
        "about": vendor.map(|vendor| &vendor.about),
        "purpose": vendor.map(|vendor| vendor.purpose.name()),
        "purposes": vendor.map_or_else(Vec::new, |vendor| vendor.purposes.iter().map(Purpose::name).collect()),
        "rule": decision.rule.as_ref().map(|rule| json!({ "file": &*rule.file, "line": rule.line })),
        "exception": decision.exception.as_ref().map(|exception| exception.to_string()),
        "change": change(decision),
    })
}

/// What would make it another verdict.
pub(super) fn change(decision: &Decision) -> String {
    let purposes = decision.vendor.as_ref().map_or_else(String::new, |vendor| {
        let names = vendor.purposes.iter().filter(|purpose| *purpose != Purpose::Necessary);
        names.map(Purpose::name).collect::<Vec<_>>().join(",")
    });
    let exception = || {
        let place = decision.rule.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("the exception at {place} says so: change it there")
    };
    match decision.verdict {
        Verdict::Block(Grounds::NotGranted(_)) => {
            format!("passes where the visitor granted it: ?__consent={purposes}")
        }
        Verdict::Block(Grounds::VendorRefused(_)) => {
            "the visitor refused this vendor by name, on the page with the choices".to_owned()
        }
        Verdict::Block(Grounds::Unlisted) => {
            "describe it in a [[vendor]] of your own, or let unlisted ones pass (site.unlisted)".to_owned()
        }
        Verdict::Block(Grounds::Unreadable) => {
            "it cannot be judged as it is written: write it as one plain address".to_owned()
        }
        Verdict::Block(Grounds::Exception) | Verdict::Allow(Basis::Exception) => exception(),
        Verdict::Allow(Basis::Granted(_)) => {
            "held back where the visitor granted less: ?__consent=refuse".to_owned()
        }
        Verdict::Allow(Basis::VendorAllowed | Basis::AskedFor) => {
            "the visitor asked for this very vendor; held back otherwise: ?__consent=refuse".to_owned()
        }
        Verdict::Allow(Basis::Necessary) => {
            "always passes; a [[vendor]] of your own with the same id may say otherwise".to_owned()
        }
        Verdict::Allow(Basis::FirstParty) => {
            "the site's own; if it tracks, describe it in a [[vendor]] of your own".to_owned()
        }
        Verdict::Allow(Basis::Unlisted) => {
            "nobody claims it: describe it in a [[vendor]] of your own, or hold unlisted ones back (site.unlisted)".to_owned()
        }
        Verdict::Allow(Basis::Observed(_)) => {
            "only recorded for this vendor (site.observe_vendors, site.enforce_vendors)"
                .to_owned()
        }
        Verdict::Allow(Basis::SafeMode) => {
            "passes because the page is in mode `safe`; held back in mode `enforce`".to_owned()
        }
        Verdict::Allow(Basis::Unfiltered) => {
            "it could not be read, and danger.pass_unfilterable lets it pass".to_owned()
        }
    }
}
