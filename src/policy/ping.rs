//! Hits that Google's tags send to say that everything was denied to them: a
//! visitor who denied everything did not agree to those either.

use crate::catalogue::Subject;
use crate::consent::Consent;
use crate::purpose::Purpose;

/// Whether a query is that of such a hit, a "cookieless ping": it says
/// `gcs=G100` (Google Consent Mode).
fn is_cookieless_ping(query: &str) -> bool {
    query.split('&').any(|pair| pair == "gcs=G100")
}

/// Whether the subject is such a hit of somebody who denied all that one could
/// say; it may go to Google or, in disguise, to the site itself.
pub(super) fn is_denied_ping(subject: Subject<'_>, consent: &Consent) -> bool {
    let query = match subject {
        Subject::Load { url, .. } => url.query(),
        Subject::OwnPath(target) => target.split_once('?').map(|(_, query)| query),
        _ => None,
    };
    query.is_some_and(is_cookieless_ping)
        && !consent.grants(Purpose::Analytics)
        && !consent.grants(Purpose::Marketing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purpose::PurposeSet;

    #[test]
    fn d10_a_ping_is_told_from_a_hit() {
        assert!(is_cookieless_ping("v=2&tid=G-1&gcs=G100&en=x"));
        for query in ["gcs=G101", "gcs=G1001", "xgcs=G100", "gcs=G111&gcs2=G100", ""] {
            assert!(!is_cookieless_ping(query), "{query}");
        }
    }

    #[test]
    fn d10_nobody_who_denied_everything_sends_one() {
        let some = PurposeSet::EMPTY.with(Purpose::Marketing);
        for (target, consent, blocks) in [
            ("/metrics/collect?v=2&gcs=G100", Consent::silent(), true),
            ("/metrics/collect?v=2&gcs=G110", Consent::silent(), false),
            ("/gcs=G100", Consent::silent(), false),
            ("/metrics/collect?gcs=G100", Consent::chosen(some), false),
        ] {
            let denied = is_denied_ping(Subject::OwnPath(target), &consent);
            assert_eq!(denied, blocks, "{target}");
        }
    }
}
