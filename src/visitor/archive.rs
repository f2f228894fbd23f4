//! The notice as it goes into the archive: what an undecided visitor sees, on
//! the site's first host, before any of it depends on who looks.

use crate::consent::{self, Consent};
use crate::ledger::Notice;
use crate::ledger::receipt::Layer;
use crate::site::Site;
use crate::visitor::{OnRecord, ReturnTo, Visit, choices, notice};

use http::{HeaderMap, HeaderValue};

/// Stands for the host of a site that answers to any (RFC 2606, 2).
const ANY_HOST: &str = "any-host.invalid";

/// Both layers of the notice in the language of `visit`, for browsers that
/// send Global Privacy Control or not, as they go into the archive.
///
/// Nothing of the visitor is in them: every visitor in that language gets
/// these words, and only the addresses in them differ by host and page.
#[must_use]
pub fn archived(visit: &Visit<'_>, gpc: bool) -> [Notice; 2] {
    let site = visit.site;
    let host = site.hosts.first().map_or(ANY_HOST, String::as_str);
    let consent = undecided(visit, gpc);
    let shown = Visit {
        consent: &consent,
        host,
        secure: true,
        now_s: 0,
        on_record: OnRecord::default(),
        ..*visit
    };
    let home = ReturnTo::home();
    let first = notice(&shown, home.as_str());
    let choices = choices::page(&home, &shown).into_body();
    let kept = |layer, html: String| Notice {
        time_ms: visit.now_s.saturating_mul(1000),
        site: site.name.to_string(),
        revision: site.consent.notice_revision,
        language: visit.language().to_owned(),
        layer,
        gpc,
        operator: shown.operator().to_owned(),
        policy_url: site.notice.policy_url.clone(),
        choices_url: format!("https://{host}{}", shown.path("choices")),
        // The same words under another number are the same words.
        html: html.replace(&choices::revision(&shown).into_string(), ""),
    };
    let choices = String::from_utf8(choices.into()).unwrap_or_default();
    [kept(Layer::First, first), kept(Layer::Choices, choices)]
}

/// A visit to `site` in each language that it can be shown in.
pub fn in_every_language<'a>(
    site: &'a Site,
    consent: &'a Consent,
    now_s: u64,
) -> impl Iterator<Item = Visit<'a>> {
    let host = site.hosts.first().map_or(ANY_HOST, String::as_str);
    let cookie = site.sharing.cookie(host, true);
    let languages = site.notice.languages.all();
    languages.map(move |texts| Visit {
        site,
        texts,
        consent,
        host,
        cookie,
        secure: true,
        now_s,
        on_record: OnRecord::default(),
    })
}

fn undecided(visit: &Visit<'_>, gpc: bool) -> Consent {
    let mut fields = HeaderMap::new();
    if gpc {
        fields.insert("sec-gpc", HeaderValue::from_static("1"));
    }
    let cookie = visit.cookie;
    consent::read(&fields, cookie.names(), cookie.scope, &visit.site.consent, visit.now_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purpose::PurposeSet;
    use crate::visitor::trial::Trial;

    #[test]
    fn f4_what_is_archived_depends_on_nobody() {
        let plain = Trial::new();
        let [first, choices] = archived(&plain.visit(), false);
        assert!(first.html.contains("Refuse all") && first.html.contains("https://shop.example/"));
        assert!(choices.html.starts_with("<!DOCTYPE html>"), "{}", choices.html);
        assert!(choices.html.contains("You have not chosen yet"));
        assert!(!first.html.contains("revision") && !choices.html.contains("name=\"revision"));
        let other = Trial {
            host: "www.shop.example:8443",
            secure: true,
            consent: Consent::chosen(PurposeSet::ALL),
            ..Trial::new()
        };
        assert_eq!(archived(&other.visit(), false), [first.clone(), choices]);
        let [gpc, _] = archived(&plain.visit(), true);
        assert!(gpc.html.contains("Global Privacy Control") && gpc != first);
    }
}
