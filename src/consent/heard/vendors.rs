//! What TC strings say about single vendors.

use crate::consent::heard::{Jar, unquoted};
use crate::consent::tcf::TcString;
use crate::consent::{Consent, Settings, Source, VendorChoices};
use crate::purpose::Purpose;

use http::HeaderMap;

/// The consent with the vendors refused that a TC string does not let act on
/// it, where it was such a string that granted a purpose: it grants purposes
/// to those vendors alone that the visitor agreed to, too.
///
/// `vendors` are those whose number in IAB Europe's list is known, with that
/// number; about others a string says nothing.
#[must_use]
pub fn refuse_as_tcf<'v>(
    consent: Consent,
    headers: &HeaderMap,
    settings: &Settings,
    vendors: impl IntoIterator<Item = (u16, &'v str)>,
) -> Consent {
    let granted =
        |purpose: &Purpose| consent.grants(*purpose) && consent.source_of(*purpose) == Source::Tcf;
    if !Purpose::OPTIONAL.iter().any(granted) {
        return consent;
    }
    let jar = Jar::of(headers, &settings.signals);
    let own = jar.cookies.iter().filter(|(source, _, _)| *source == Source::Tcf);
    let texts: Vec<&str> =
        own.filter_map(|(_, _, value)| std::str::from_utf8(unquoted(value)).ok()).collect();
    let strings: Vec<TcString<'_>> =
        texts.iter().filter_map(|text| TcString::parse(text.trim())).collect();
    let mut all: VendorChoices = consent.vendors().cloned().unwrap_or_default();
    for (number, id) in vendors {
        let said_otherwise = all.allows(id) || all.refuses(id);
        if !said_otherwise && !strings.iter().all(|string| string.allows(1, number)) {
            match all.clone().with_refused(id) {
                Some(more) => all = more,
                None => break,
            }
        }
    }
    consent.with_vendors(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::{Keys, Regions, Signals, read};
    use http::HeaderValue;

    const NOW_S: u64 = 1_790_000_000;

    /// Agrees to purposes 1 to 4, 7 and 8 and to vendors 52, 91 and 755; the
    /// visitor was told of 52, 76 and 91.
    const TC: &str = "CQq3yQAQq3yQAAAAAAAAAAFgAPMAAAAAAAAAF5wAwAaABbAXmAAAAA.IAtwAwAaABMAC2";

    fn consent(cookies: &str) -> Consent {
        let settings = Settings {
            keys: Keys::from_secret([1; 32]),
            lifetime_s: 10_000_000,
            notice_revision: 1,
            same_as: Vec::new(),
            signals: Signals::default(),
            regions: Regions::default(),
        };
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_str(cookies).unwrap());
        let consent = read(&headers, &["consentry"], "shop", &settings, NOW_S);
        let vendors = [(52, "magnite"), (76, "pubmatic"), (91, "criteo"), (755, "google-ads")];
        refuse_as_tcf(consent, &headers, &settings, vendors)
    }

    #[test]
    fn d7_a_vendor_needs_its_own_yes_where_a_tc_string_grants() {
        let consent = consent(&format!("euconsent-v2={TC}"));
        assert!(consent.grants(Purpose::Marketing) && consent.grants(Purpose::Analytics));
        let vendors = consent.vendors().unwrap();
        assert_eq!(vendors.refused(), ["google-ads", "pubmatic"]);
        assert!(vendors.allowed().is_empty());
    }

    #[test]
    fn d7_a_tc_string_says_nothing_about_vendors_where_another_signal_grants() {
        let tool = "CookieConsent={stamp:'x',necessary:true,preferences:true,statistics:true,marketing:true,ver:1,utc:1789000000000,region:'fr',method:'explicit'}";
        let agreed = consent(&format!("{tool}; euconsent-v2={TC}"));
        assert!(agreed.grants(Purpose::Marketing));
        assert_ne!(agreed.source_of(Purpose::Marketing), Source::Tcf);
        let asked_by_tcf = agreed.source_of(Purpose::Personalization) == Source::Tcf
            && agreed.grants(Purpose::Personalization);
        assert!(!asked_by_tcf && agreed.vendors().is_none());
        assert_eq!(consent("a=b").vendors(), None);
    }
}
