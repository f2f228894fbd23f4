//! What Google's tags are told: Google Consent Mode v2.
//!
//! A tag that is told nothing takes everything for granted. So where one is
//! let through although not everything is, it hears what is not, before it
//! runs (<https://developers.google.com/tag-platform/security/guides/consent>).

use crate::consent::Consent;
use crate::purpose::Purpose;

use serde_json::{Value, json};

/// Vendors whose code listens to Consent Mode.
const TAGS: [&str; 6] = [
    "google-tag-manager",
    "google-analytics",
    "google-ads",
    "google-tag-gateway",
    "google-site-kit",
    "firebase-analytics",
];

/// Which pages tell Google's tags what the visitor agreed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GoogleConsent {
    /// Those on which one is let through although something is denied.
    #[default]
    Auto,
    /// Also those on which everything is granted, for sites whose own code
    /// tells them that everything is denied.
    Always,
    /// None.
    Off,
}

impl GoogleConsent {
    /// The names that configuration uses.
    pub const NAMES: [&'static str; 3] = ["auto", "always", "off"];

    /// The value of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "always" => Some(Self::Always),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// Whether a vendor's code listens to Consent Mode.
pub(super) fn listens(vendor: &str) -> bool {
    TAGS.contains(&vendor)
}

/// Consent Mode's signals for a visitor: what is not granted is denied.
#[must_use]
pub fn signals(consent: &Consent) -> Value {
    let word = |granted: bool| if granted { "granted" } else { "denied" };
    let refused = |vendor: &str| consent.vendors().is_some_and(|vendors| vendors.refuses(vendor));
    let ads = consent.grants(Purpose::Marketing) && !refused("google-ads");
    let analytics = consent.grants(Purpose::Analytics) && !refused("google-analytics");
    json!({
        "ad_storage": word(ads),
        "ad_user_data": word(ads),
        "ad_personalization": word(ads && consent.grants(Purpose::Personalization)),
        "analytics_storage": word(analytics),
        "functionality_storage": word(consent.grants(Purpose::Functional)),
        "personalization_storage": word(consent.grants(Purpose::Personalization)),
        "security_storage": word(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::VendorChoices;
    use crate::purpose::PurposeSet;

    fn granted(consent: &Consent) -> Vec<String> {
        let signals = signals(consent);
        let signals = signals.as_object().unwrap();
        assert_eq!(signals.len(), 7);
        let granted = signals.iter().filter(|(_, word)| *word == "granted");
        granted.map(|(name, _)| name.clone()).collect()
    }

    #[test]
    fn d10_what_is_not_granted_is_denied() {
        let some = |purposes: &[Purpose]| Consent::chosen(purposes.iter().copied().collect());
        assert_eq!(granted(&Consent::silent()), ["security_storage"]);
        assert_eq!(
            granted(&some(&[Purpose::Analytics, Purpose::Functional])),
            ["analytics_storage", "functionality_storage", "security_storage"]
        );
        assert_eq!(
            granted(&some(&[Purpose::Marketing])),
            ["ad_storage", "ad_user_data", "security_storage"]
        );
        assert_eq!(
            granted(&some(&[Purpose::Marketing, Purpose::Personalization])).join(" "),
            "ad_personalization ad_storage ad_user_data personalization_storage security_storage"
        );
        let all = Consent::chosen(PurposeSet::ALL);
        assert_eq!(granted(&all).len(), 7);
        let refused = VendorChoices::default().with_refused("google-analytics").unwrap();
        assert!(!granted(&all.with_vendors(refused)).contains(&"analytics_storage".to_owned()));
    }
}
