//! Which vendors ask visitors for consent on the page.

use crate::catalogue::Vendor;

/// Those whose script shows a question of its own.
const IDS: [&str; 39] = [
    "onetrust",
    "cookiebot",
    "usercentrics",
    "didomi",
    "axeptio",
    "tarteaucitron",
    "klaro",
    "orestbida-cookieconsent",
    "osano-cookieconsent",
    "osano",
    "iubenda",
    "cookieyes",
    "cookie-information",
    "trustarc",
    "shopify-consent",
    "sourcepoint",
    "consentmanager-net",
    "pandectes",
    "cookiefirst",
    "cookie-script",
    "termly",
    "transcend",
    "civic",
    "commanders-act-trust",
    "ccm19",
    "cookiehub",
    "ketch",
    "fides",
    "c15t",
    "quantcast-choice",
    "hubspot-consent",
    "crownpeak-evidon",
    "securiti",
    "secure-privacy",
    "enzuzo",
    "termsfeed",
    "consentmo-isense",
    "cookie-notice-wordpress",
    "google-funding-choices",
];

impl Vendor {
    /// Whether this vendor's script asks visitors for consent, as we do.
    #[must_use]
    pub fn is_consent_tool(&self) -> bool {
        IDS.contains(&self.id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, SourceFile};
    use crate::purpose::Purpose;

    #[test]
    fn j7_every_consent_tool_is_known_and_necessary() {
        let catalogue = Catalogue::compile(&SourceFile::embedded()).unwrap();
        for id in IDS {
            let vendor = catalogue.vendor(id).unwrap_or_else(|| panic!("{id}"));
            assert_eq!(vendor.purpose, Purpose::Necessary, "{id}");
        }
    }
}
