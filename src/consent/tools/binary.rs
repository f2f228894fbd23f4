//! Tools that know one "yes" and one "no".
//!
//! A "no" is a "no" to everything. What a "yes" was for, only the operator
//! knows: without a word from them it is undecided.

use crate::consent::reading::{Answer, Reading};
use crate::consent::tools::text::{millis, plain};
use crate::consent::tools::{Asked, TORN, answered, site_defined};
use crate::purpose::{Purpose, PurposeSet};

/// The `cookieconsent` script of Insites, later Osano: `cookieconsent_status`.
pub(super) fn osano_cookie_consent(asked: &Asked<'_>) -> Reading {
    match asked.cookie("cookieconsent_status") {
        Some(b"allow") => answered(asked, site_defined, [("allow", Answer::Yes)]),
        Some(b"deny") => Reading::refusal(),
        Some(b"dismiss") => Reading::unasked("`dismiss`: the notice was seen, and not answered"),
        _ => TORN,
    }
}

/// Cookie Notice for WordPress: `cookie_notice_accepted`.
pub(super) fn cookie_notice(asked: &Asked<'_>) -> Reading {
    match asked.cookie("cookie_notice_accepted") {
        Some(b"true") => answered(asked, site_defined, [("accepted", Answer::Yes)]),
        Some(b"false") => Reading::refusal(),
        _ => TORN,
    }
}

/// Matomo's own question: `mtm_consent` and `mtm_consent_removed` hold the
/// time of the answer.
pub(super) fn matomo(asked: &Asked<'_>) -> Reading {
    const ANALYTICS: PurposeSet = PurposeSet::EMPTY.with(Purpose::Analytics);
    if asked.cookie("mtm_consent_removed").is_some() {
        return Reading::denying(ANALYTICS);
    }
    let Some(time) = asked.cookie("mtm_consent").and_then(|value| millis(&plain(value)?)) else {
        return TORN;
    };
    asked.outdated(time).unwrap_or(Reading::denying(PurposeSet::EMPTY).granting(ANALYTICS))
}
