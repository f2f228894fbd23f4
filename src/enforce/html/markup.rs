//! The markup in which pages written for other consent tools park what needs
//! consent: inert, with a category and an address that no browser loads.
//!
//! Such a tool makes it live in the browser once the visitor agrees. Where a
//! site has none any more, `[[site]] cmp_markup = true` lets us do it here, on
//! the way: what the visitor agreed to leaves as ordinary markup, and the rest
//! stays inert. A category that we do not know is agreed to by nobody.

use crate::catalogue::Catalogue;
use crate::enforce::html::address::attribute_text;
use crate::enforce::html::page::Page;
use crate::policy::Ruling;
use crate::purpose::{Purpose, PurposeSet};

use encoding_rs::Encoding;
use lol_html::send::Element;

/// Attributes whose value is a category, or several.
const CATEGORIES: [&str; 10] = [
    "data-category",
    "data-cookiecategory",
    "data-cookiecategories",
    "data-cookieconsent",
    "data-cookieyes",
    "data-cookie-consent",
    "data-consent",
    "data-consent-category",
    "data-cc",
    "data-iub-purposes",
];

/// Attributes whose value is a service by name.
const SERVICES: [&str; 4] = ["data-name", "data-usercentrics", "data-service", "data-vendor"];

/// Attributes in which the address is parked.
pub(super) const PARKED: [&str; 7] = [
    "data-src",
    "data-cookieblock-src",
    "data-cookieconsent-src",
    "data-consent-src",
    "data-suppressedsrc",
    "suppressedsrc",
    "data-cmp-src",
];

impl Page {
    /// Whether an element is parked, and all that its category stands for was
    /// agreed to, so that it may be made live if its address may be loaded.
    pub(super) fn parked(
        &mut self,
        element: &Element<'_, '_>,
        tag: &str,
        script_type: Option<&str>,
    ) -> bool {
        // A tool that is on the page does that itself.
        if !self.context.others.makes_live || self.beside_consent_tool {
            return false;
        }
        let inert = match tag {
            "script" => {
                script_type.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/plain"))
            }
            "iframe" | "img" => {
                let source = element.get_attribute("src").unwrap_or_default();
                let empty = source.is_empty()
                    || source.starts_with("about:")
                    || source.starts_with("data:");
                empty && PARKED.iter().any(|name| element.has_attribute(name))
            }
            _ => false,
        };
        let needed = || needs(element, self.encoding, self.context.policy.catalogue());
        inert
            && needed().is_some_and(|purposes| {
                purposes.is_some_and(|all| all.iter().all(|each| self.context.consent.grants(each)))
            })
    }

    /// Makes a parked element what the consent tool would have made it.
    pub(super) fn make_live(&mut self, element: &mut Element<'_, '_>) {
        if !self.context.enforcing {
            return;
        }
        let parked = PARKED.iter().find_map(|name| Some((*name, element.get_attribute(name)?)));
        if let Some((name, address)) = parked {
            element.remove_attribute(name);
            // As it is written: it is not read in between.
            self.set(element, "src", &address);
        }
        if element.tag_name() == "script" {
            match element.get_attribute("data-type") {
                Some(kind) => self.set(element, "type", &kind),
                None => element.remove_attribute("type"),
            }
            self.set(element, "data-consentry-live", "");
        }
    }

    /// Remembers that somebody else's consent tool is on the page.
    pub(super) fn notice_consent_tool(&mut self, ruling: &Ruling<'_>) {
        self.beside_consent_tool |= !ruling.verdict.blocks()
            && ruling.identity.as_ref().is_some_and(|found| found.vendor.is_consent_tool());
    }
}

/// What somebody must agree to before an element may be made live, or `None`
/// when it is no markup of this sort. The inner `None` is a category that
/// nobody knows.
pub(super) fn needs(
    element: &Element<'_, '_>,
    encoding: &'static Encoding,
    catalogue: &Catalogue,
) -> Option<Option<PurposeSet>> {
    let value = |name: &str| {
        element.get_attribute(name).map(|raw| attribute_text(&raw, encoding).into_owned())
    };
    let mut named = Vec::new();
    for name in CATEGORIES {
        if let Some(text) = value(name) {
            let words = text.split([',', ' ', '|', ';']).map(str::trim).filter(|w| !w.is_empty());
            named.extend(words.map(category));
            if text.trim().is_empty() {
                named.push(None);
            }
        }
    }
    let classes = value("class").unwrap_or_default();
    for class in classes.split_ascii_whitespace() {
        if let Some(groups) = class.strip_prefix("optanon-category-") {
            named.extend(groups.split('-').map(category));
        }
    }
    if named.is_empty() {
        for name in SERVICES {
            named.extend(value(name).map(|service| of_service(&service, catalogue)));
        }
    }
    (!named.is_empty()).then(|| named.into_iter().collect())
}

/// The purpose behind a word that consent tools use for a category.
fn category(word: &str) -> Option<Purpose> {
    let word = word.to_ascii_lowercase();
    let word = word.strip_prefix("cookieyes-").unwrap_or(&word);
    Some(match word {
        "necessary" | "strictly-necessary" | "strictly_necessary" | "essential" | "required"
        | "technical" | "c0001" | "1" => Purpose::Necessary,
        "statistics" | "statistic" | "statistical" | "analytics" | "analytic" | "analytical"
        | "performance" | "measurement" | "c0002" | "4" => Purpose::Analytics,
        "preferences" | "preference" | "functional" | "functionality" | "functionalities"
        | "c0003" | "2" | "3" => Purpose::Functional,
        "personalization" | "personalisation" => Purpose::Personalization,
        "marketing" | "targeting" | "advertising" | "advertisement" | "ads" | "social"
        | "social-media" | "c0004" | "c0005" | "5" => Purpose::Marketing,
        _ => return None,
    })
}

/// The purposes of a vendor that a page calls by name; a service with several
/// counts as its strictest one, since the others are asked for when its address
/// is judged.
fn of_service(name: &str, catalogue: &Catalogue) -> Option<Purpose> {
    let name = name.trim().to_ascii_lowercase();
    let id = name.replace([' ', '_'], "-");
    let known = catalogue
        .vendors()
        .find(|vendor| vendor.id == id || vendor.name.to_ascii_lowercase() == name);
    known.map(|vendor| vendor.purpose).or_else(|| category(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a10_the_words_of_consent_tools_are_understood() {
        for (word, expected) in [
            ("statistics", Some(Purpose::Analytics)),
            ("Marketing", Some(Purpose::Marketing)),
            ("C0001", Some(Purpose::Necessary)),
            ("C0002", Some(Purpose::Analytics)),
            ("C0003", Some(Purpose::Functional)),
            ("C0004", Some(Purpose::Marketing)),
            ("cookieyes-analytics", Some(Purpose::Analytics)),
            ("preferences", Some(Purpose::Functional)),
            ("unclassified", None),
            ("", None),
        ] {
            assert_eq!(category(word), expected, "{word}");
        }
    }
}
