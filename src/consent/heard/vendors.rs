//! What TC strings say about single vendors.

use crate::consent::gpp;
use crate::consent::heard::{Jar, unquoted};
use crate::consent::tcf::TcString;
use crate::consent::{Consent, Settings, Source, VendorChoices};
use crate::purpose::{Purpose, PurposeSet};

use http::HeaderMap;

/// The consent with the vendors refused that a TC string does not let act on
/// it, where it was such a string, alone or in one of IAB's platform, that
/// granted a purpose: it grants purposes to those vendors alone that the
/// visitor agreed to, too.
///
/// `vendors` are those whose number in IAB Europe's list is known, with that
/// number; about others a string says nothing. Where more are refused than a
/// choice can hold, the purposes are not granted to anybody.
#[must_use]
pub fn refuse_as_tcf<'v>(
    consent: Consent,
    headers: &HeaderMap,
    settings: &Settings,
    vendors: impl IntoIterator<Item = (u16, &'v str)>,
) -> Consent {
    let granted_by = |source: Source| -> PurposeSet {
        let granted =
            |purpose: &Purpose| consent.grants(*purpose) && consent.source_of(*purpose) == source;
        Purpose::OPTIONAL.into_iter().filter(granted).collect()
    };
    let granting =
        [Source::Tcf, Source::Gpp].map(|source| (source, granted_by(source))).into_iter();
    let granting: Vec<_> = granting.filter(|(_, granted)| !granted.is_empty()).collect();
    if granting.is_empty() {
        return consent;
    }
    let jar = Jar::of(headers, &settings.signals);
    let mut vendors: Vec<(u16, &str)> = vendors.into_iter().collect();
    vendors.sort_unstable();
    let mut left = consent;
    for (source, granted) in granting {
        let said = left.vendors().cloned().unwrap_or_default();
        left = match refusals(&jar, source, granted, &vendors, said) {
            Some(said) => left.with_vendors(said),
            None => left.without_grants_of(source),
        };
    }
    left
}

/// `said` with the refusals of a signal's strings; `None` where they do not
/// fit, or where a string is none.
fn refusals(
    jar: &Jar<'_>,
    source: Source,
    granted: PurposeSet,
    vendors: &[(u16, &str)],
    said: VendorChoices,
) -> Option<VendorChoices> {
    let numbers: Vec<u16> = vendors.iter().map(|(number, _)| *number).collect();
    let mut refused = vec![false; numbers.len()];
    for (_, _, value) in jar.cookies.iter().filter(|(of, _, _)| *of == source) {
        let text = std::str::from_utf8(unquoted(value)).ok()?.trim();
        let text = if source == Source::Gpp { gpp::tc_string(text)? } else { text };
        let allowed = TcString::parse(text)?.allowed(granted, &numbers);
        refused.iter_mut().zip(allowed).for_each(|(refused, allowed)| *refused |= !allowed);
    }
    let refused = vendors.iter().zip(refused).filter(|(_, refused)| *refused);
    let mut all = said;
    for ((_, id), _) in refused {
        if !all.allows(id) && !all.refuses(id) {
            all = all.with_refused(id)?;
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::{Keys, Regions, Rule, Signals, State, read};
    use http::HeaderValue;

    const NOW_S: u64 = 1_790_000_000;

    /// Agrees to purposes 1 to 4, 7 and 8 and to vendors 52, 91 and 755; the
    /// visitor was told of 52, 76 and 91.
    const TC: &str = "CQq3yQAQq3yQAAAAAAAAAAFgAPMAAAAAAAAAF5wAwAaABbAXmAAAAA.IAtwAwAaABMAC2";

    const MANY: [(u16, &str); 4] =
        [(755, "google-ads"), (52, "magnite"), (76, "pubmatic"), (91, "criteo")];

    fn consent(cookies: &str) -> Consent {
        consent_among(cookies, MANY)
    }

    fn consent_among<'v>(
        cookies: &str,
        vendors: impl IntoIterator<Item = (u16, &'v str)>,
    ) -> Consent {
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

    #[test]
    fn d8_a_vendor_needs_its_own_yes_where_the_tc_string_of_a_gpp_string_grants() {
        for cookies in [
            format!("IABGPP_HDR_GppString=DBABMA~{TC}"),
            format!("IABGPP_HDR_GppString=DBACNY~{TC}~1YNN"),
        ] {
            let consent = consent(&cookies);
            assert!(consent.grants(Purpose::Marketing) && consent.grants(Purpose::Analytics));
            assert_eq!(consent.source_of(Purpose::Marketing), Source::Gpp);
            let vendors = consent.vendors().unwrap();
            assert_eq!(vendors.refused(), ["google-ads", "pubmatic"], "{cookies}");
        }
    }

    #[test]
    fn d7_refusals_that_do_not_fit_take_back_what_was_granted() {
        let names: Vec<String> = (1000..2000).map(|number| format!("vendor-{number}")).collect();
        let many = names.iter().zip(1000_u16..).map(|(name, number)| (number, name.as_str()));
        for cookies in [format!("euconsent-v2={TC}"), format!("IABGPP_HDR_GppString=DBABMA~{TC}")] {
            let consent = consent_among(&cookies, many.clone());
            assert_eq!(consent.granted(), PurposeSet::NECESSARY, "{cookies}");
            assert_eq!(consent.state(Purpose::Marketing), State::Undecided, "{cookies}");
            assert_eq!(consent.state(Purpose::Personalization), State::Denied, "{cookies}");
            assert!(consent.is_doubtful());
            let abroad = consent.in_region(Rule::OptOut);
            assert!(!abroad.grants(Purpose::Marketing), "silence is no yes there, either");
        }
    }

    #[test]
    fn d7_what_was_taken_back_names_the_signal_that_is_left() {
        let names: Vec<String> = (1000..2000).map(|number| format!("vendor-{number}")).collect();
        let many = names.iter().zip(1000_u16..).map(|(name, number)| (number, name.as_str()));
        let all = consent_among(&format!("euconsent-v2={TC}; cookieconsent_status=x"), many);
        assert_eq!(all.source(), Source::Tcf, "it still denies personalization");
        assert_eq!(all.source_of(Purpose::Marketing), Source::Silence);
    }
}
