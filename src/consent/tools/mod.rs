//! What other consent tools keep in their cookies.
//!
//! A site that moves to us, or that keeps its tool, has visitors who were
//! asked already. Each format is read from values that were seen or from the
//! tool's own source; what is torn, ambiguous or the site's own is undecided.
//! `docs/consent.md` lists the tools with their sources.

mod binary;
mod cookiebot;
mod flags;
mod lists;
mod onetrust;
mod scores;
mod services;
mod shops;
mod text;

pub(super) use text::json;

use crate::consent::reading::{Answer, Answers, Reading};
use crate::purpose::{Purpose, PurposeSet};

use std::collections::BTreeMap;

/// A consent tool whose cookie is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are names; `Tool::name` spells them")]
pub enum Tool {
    OneTrust,
    Cookiebot,
    Didomi,
    Axeptio,
    Tarteaucitron,
    Klaro,
    CookieConsent,
    OsanoCookieConsent,
    Osano,
    Iubenda,
    CookieYes,
    CookieInformation,
    TrustArc,
    Tealium,
    Borlabs,
    Complianz,
    WpConsentApi,
    RealCookieBanner,
    Drupal,
    Shopify,
    Pandectes,
    Matomo,
    Zaraz,
    C15t,
    CookieNotice,
}

impl Tool {
    /// Every tool; of two that decide, the one that stands first is named.
    pub const ALL: [Self; 25] = [
        Self::OneTrust,
        Self::Cookiebot,
        Self::Didomi,
        Self::Axeptio,
        Self::Tarteaucitron,
        Self::Klaro,
        Self::CookieConsent,
        Self::OsanoCookieConsent,
        Self::Osano,
        Self::Iubenda,
        Self::CookieYes,
        Self::CookieInformation,
        Self::TrustArc,
        Self::Tealium,
        Self::Borlabs,
        Self::Complianz,
        Self::WpConsentApi,
        Self::RealCookieBanner,
        Self::Drupal,
        Self::Shopify,
        Self::Pandectes,
        Self::Matomo,
        Self::Zaraz,
        Self::C15t,
        Self::CookieNotice,
    ];

    /// The name in configuration, ledger, `state` and `explain`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneTrust => "onetrust",
            Self::Cookiebot => "cookiebot",
            Self::Didomi => "didomi",
            Self::Axeptio => "axeptio",
            Self::Tarteaucitron => "tarteaucitron",
            Self::Klaro => "klaro",
            Self::CookieConsent => "cookieconsent",
            Self::OsanoCookieConsent => "osano-cookieconsent",
            Self::Osano => "osano",
            Self::Iubenda => "iubenda",
            Self::CookieYes => "cookieyes",
            Self::CookieInformation => "cookie-information",
            Self::TrustArc => "trustarc",
            Self::Tealium => "tealium",
            Self::Borlabs => "borlabs",
            Self::Complianz => "complianz",
            Self::WpConsentApi => "wp-consent-api",
            Self::RealCookieBanner => "real-cookie-banner",
            Self::Drupal => "drupal",
            Self::Shopify => "shopify",
            Self::Pandectes => "pandectes",
            Self::Matomo => "matomo",
            Self::Zaraz => "zaraz",
            Self::C15t => "c15t",
            Self::CookieNotice => "cookie-notice",
        }
    }

    /// Whether its format is certain enough to be read without being named in
    /// the configuration: two sources, or the tool's own.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        !matches!(self, Self::CookieNotice)
    }

    /// Reads what the visitor's cookies of this tool say.
    pub(super) fn read(self, asked: &Asked<'_>) -> Reading {
        match self {
            Self::OneTrust => onetrust::read(asked),
            Self::Cookiebot => cookiebot::read(asked),
            Self::Didomi => services::didomi(asked),
            Self::Axeptio => services::axeptio(asked),
            Self::Tarteaucitron => services::tarteaucitron(asked),
            Self::Klaro => services::switches(asked, "klaro"),
            Self::CookieConsent => lists::cookie_consent(asked),
            Self::OsanoCookieConsent => binary::osano_cookie_consent(asked),
            Self::Osano => Reading::doubtful("its value can only be read by the tool itself"),
            Self::Iubenda => scores::iubenda(asked),
            Self::CookieYes => flags::cookie_yes(asked),
            Self::CookieInformation => lists::cookie_information(asked),
            Self::TrustArc => scores::trust_arc(asked),
            Self::Tealium => flags::tealium(asked),
            Self::Borlabs => lists::borlabs(asked),
            Self::Complianz => flags::complianz(asked),
            Self::WpConsentApi => flags::wp_consent_api(asked),
            Self::RealCookieBanner => services::real_cookie_banner(asked),
            Self::Drupal => lists::drupal(asked),
            Self::Shopify => shops::shopify(asked),
            Self::Pandectes => shops::pandectes(asked),
            Self::Matomo => binary::matomo(asked),
            Self::Zaraz => services::switches(asked, "cf_consent"),
            Self::C15t => flags::c15t(asked),
            Self::CookieNotice => binary::cookie_notice(asked),
        }
    }
}

/// The cookies that are read, each with its tool. A name that ends with `*`
/// stands for every name that begins so: the tool adds the site's number.
pub(super) const COOKIES: [(&str, Tool); 35] = [
    ("OptanonConsent", Tool::OneTrust),
    ("OptanonAlertBoxClosed", Tool::OneTrust),
    ("CookieConsent", Tool::Cookiebot),
    ("didomi_token", Tool::Didomi),
    ("axeptio_cookies", Tool::Axeptio),
    ("tarteaucitron", Tool::Tarteaucitron),
    ("klaro", Tool::Klaro),
    ("cc_cookie", Tool::CookieConsent),
    ("cookieconsent_status", Tool::OsanoCookieConsent),
    ("osano_consentmanager", Tool::Osano),
    ("_iub_cs-*", Tool::Iubenda),
    ("cookieyes-consent", Tool::CookieYes),
    ("CookieInformationConsent", Tool::CookieInformation),
    ("notice_behavior", Tool::TrustArc),
    ("notice_gdpr_prefs", Tool::TrustArc),
    ("gpcishonored", Tool::TrustArc),
    ("CONSENTMGR", Tool::Tealium),
    ("borlabs-cookie", Tool::Borlabs),
    ("cmplz_banner-status", Tool::Complianz),
    ("cmplz_preferences", Tool::Complianz),
    ("cmplz_statistics", Tool::Complianz),
    ("cmplz_marketing", Tool::Complianz),
    ("wp_consent_preferences", Tool::WpConsentApi),
    ("wp_consent_statistics", Tool::WpConsentApi),
    ("wp_consent_marketing", Tool::WpConsentApi),
    ("real_cookie_banner*", Tool::RealCookieBanner),
    ("cookie-agreed", Tool::Drupal),
    ("cookie-agreed-categories", Tool::Drupal),
    ("_tracking_consent", Tool::Shopify),
    ("_pandectes_gdpr", Tool::Pandectes),
    ("mtm_consent", Tool::Matomo),
    ("mtm_consent_removed", Tool::Matomo),
    ("cf_consent", Tool::Zaraz),
    ("c15t", Tool::C15t),
    ("cookie_notice_accepted", Tool::CookieNotice),
];

/// What a site's own ids of a tool stand for.
pub type Ids = BTreeMap<String, PurposeSet>;

/// What a tool's cookies are read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The tool's cookies by the names in [`COOKIES`], one value each.
    pub(super) cookies: &'a [(&'static str, &'a [u8])],
    /// The site's own ids.
    pub(super) ids: Option<&'a Ids>,
    /// The time in seconds since 1970.
    pub(super) now_s: u64,
    /// How long a choice counts.
    pub(super) lifetime_s: u64,
}

impl<'a> Asked<'a> {
    fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        self.cookies.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// What an id stands for: what the operator says, or else what the tool
    /// itself means by it.
    fn purposes(&self, id: &str, own: Option<PurposeSet>) -> Option<PurposeSet> {
        self.ids.and_then(|ids| ids.get(id)).copied().or(own)
    }

    /// Why a choice of that time does not count any more; clocks of visitors
    /// that run a day ahead are forgiven.
    fn outdated(&self, time_ms: u64) -> Option<Reading> {
        let time_s = time_ms / 1000;
        if time_s > self.now_s.saturating_add(24 * 60 * 60) {
            return Some(Reading::doubtful("its time is in the future"));
        }
        let old = self.now_s.saturating_sub(time_s) > self.lifetime_s;
        old.then_some(Reading::unasked("it is older than a choice may be"))
    }
}

/// Notes an answer for each id and reads them together.
fn answered<'i>(
    asked: &Asked<'_>,
    own: fn(&str) -> Option<PurposeSet>,
    answers: impl IntoIterator<Item = (&'i str, Answer)>,
) -> Reading {
    let mut all = Answers::default();
    for (id, answer) in answers {
        all.note(asked.purposes(id, own(id)), answer);
    }
    all.reading()
}

const fn one(purpose: Purpose) -> Option<PurposeSet> {
    Some(PurposeSet::EMPTY.with(purpose))
}

/// No id means anything by itself.
const fn site_defined(_: &str) -> Option<PurposeSet> {
    None
}

const TORN: Reading = Reading::doubtful("it is not whole");

#[cfg(test)]
mod tests;
#[cfg(test)]
mod properties;
