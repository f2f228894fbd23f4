//! What was agreed to before and is not any more goes with the very answer to
//! the choice.

use crate::catalogue::Subject;
use crate::consent::{Consent, Record, VendorChoices};
use crate::enforce::{Expiry, RequestContext, clear_request};
use crate::purpose::PurposeSet;
use crate::site::day_of;
use crate::visitor::Visit;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

/// What is left of a choice that is forgotten: nothing is granted.
pub(super) fn nothing_after(forgotten: &Record) -> Record {
    Record {
        granted: PurposeSet::NECESSARY,
        vendors: VendorChoices::default(),
        ..forgotten.clone()
    }
}

/// `Set-Cookie` fields for the answer to a choice: they delete what `chosen`
/// denies, as far as the browser sent it or it was seen to be set elsewhere.
pub(super) fn expiring(
    request: Parts,
    answer: &HeaderMap,
    chosen: &Record,
    visit: &Visit<'_>,
    host: &str,
) -> Vec<HeaderValue> {
    // What the choice says nothing about stays as other signals have it.
    let consent = if chosen.decided == PurposeSet::ALL {
        Consent::chosen(chosen.granted).with_vendors(chosen.vendors.clone())
    } else {
        visit.consent.clone().with_vendors(chosen.vendors.clone())
    };
    let rules = visit.site.rules("", day_of(visit.now_s), || 0);
    if !rules.mode.enforces() {
        return Vec::new();
    }
    let context = RequestContext {
        policy: &rules.policy,
        consent: &consent,
        host,
        enforcing: true,
        address_truncated: false,
    };
    let (_, outcome) = clear_request(request, &context);
    // Nobody keeps anything under our own path; the visitor goes on to a page.
    let page = answer.get(header::LOCATION).and_then(|field| field.to_str().ok()).unwrap_or("/");
    let path = page.split(['?', '#']).next().unwrap_or("/");
    let places = visit.site.memory.cookies();
    let expiry = Expiry { host, path, secure: visit.secure, places };
    let mut fields = expiry.fields(&outcome.denied_cookies);
    for field in expiry.elsewhere(|name| {
        rules.policy.decide(Subject::Cookie(name), host, &consent).verdict.blocks()
    }) {
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    fields
}
