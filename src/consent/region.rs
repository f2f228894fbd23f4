//! What silence means where a visitor is.
//!
//! Where the law lets a visitor opt out, silence is no refusal. The operator
//! says which field of a trusted proxy tells the country; without it, and
//! wherever it is missing or in doubt, a visitor must opt in.

use http::{HeaderMap, HeaderName};
use std::collections::BTreeMap;

/// What silence means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// It is "no", and the notice asks.
    #[default]
    OptIn,
    /// It is "yes" until the visitor says "no"; the notice does not ask, and
    /// the link to the choices stays.
    OptOut,
    /// It is "yes", and nothing is shown. A "no" still counts.
    Off,
}

impl Rule {
    /// The name the configuration uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OptIn => "opt_in",
            Self::OptOut => "opt_out",
            Self::Off => "off",
        }
    }
}

/// Where visitors must opt in: the European Economic Area, the United Kingdom,
/// Switzerland (GDPR and the national laws on cookies; revFADP). As of
/// 2026-01.
pub const OPT_IN: [&str; 32] = [
    "AT", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR", "HU",
    "IE", "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// Where they may opt out: the states of the United States that require
/// opt-out signals such as Global Privacy Control to be honoured. As of
/// 2026-01.
pub const OPT_OUT: [&str; 11] = [
    "US-CA", "US-CO", "US-CT", "US-DE", "US-MD", "US-MT", "US-NE", "US-NH", "US-NJ", "US-OR",
    "US-TX",
];

/// Which rule holds where, and how we learn where a visitor is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regions {
    /// The field with the country (`US`), or with country and region (`US-CA`).
    pub country: Option<HeaderName>,
    /// The field with the region within the country (`CA`).
    pub region: Option<HeaderName>,
    /// The rule for a country or a region; elsewhere a visitor must opt in.
    pub rules: BTreeMap<String, Rule>,
}

impl Regions {
    /// Whether there are visitors whose silence is a "yes".
    #[must_use]
    pub fn take_silence_for_yes(&self) -> bool {
        self.country.is_some() && self.rules.values().any(|rule| *rule != Rule::OptIn)
    }

    /// The rule for whoever sent `headers`. `trusted` says that they come from
    /// a proxy of the operator's: nobody else is believed about it.
    #[must_use]
    pub fn rule(&self, headers: &HeaderMap, trusted: bool) -> Rule {
        let Some(country) = self.country.as_ref().filter(|_| trusted) else { return Rule::OptIn };
        let Some(country) = code(headers, country) else { return Rule::OptIn };
        if let Some((whole, _)) = country.split_once('-') {
            let rule = self.rules.get(&country).or_else(|| self.rules.get(whole));
            return rule.copied().unwrap_or_default();
        }
        let rule = self.rules.get(&country).copied().unwrap_or_default();
        match self.region.as_ref().and_then(|name| code(headers, name)) {
            Some(region) => self.within(&country, &region).unwrap_or(rule),
            // Where regions differ, the country alone is not enough.
            None if self.has_regions(&country) => Rule::OptIn,
            None => rule,
        }
    }

    fn within(&self, country: &str, region: &str) -> Option<Rule> {
        let begins = format!("{country}-");
        let region = region.strip_prefix(&begins).unwrap_or(region);
        self.rules.get(&format!("{begins}{region}")).copied()
    }

    fn has_regions(&self, country: &str) -> bool {
        let begins = format!("{country}-");
        self.rules.keys().any(|code| code.starts_with(&begins))
    }
}

/// The one code in a field; `None` when there are two fields, or something
/// else than a code.
fn code(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut fields = headers.get_all(name).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let text = field.to_str().ok()?.trim();
    is_code(text).then(|| text.to_ascii_uppercase())
}

/// Whether that could be a country, a region or both: `US`, `CA`, `US-CA`
/// (ISO 3166-1 and -2).
#[must_use]
pub fn is_code(text: &str) -> bool {
    let part = |part: &str| {
        matches!(part.len(), 1..=3) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    match text.split_once('-') {
        Some((country, region)) => country.len() == 2 && part(country) && part(region),
        None => part(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn regions() -> Regions {
        let rules = OPT_IN
            .map(|code| (code, Rule::OptIn))
            .into_iter()
            .chain(OPT_OUT.map(|code| (code, Rule::OptOut)))
            .chain([("JP", Rule::Off), ("BR", Rule::OptOut), ("BR-SP", Rule::OptIn)]);
        Regions {
            country: Some(HeaderName::from_static("x-country")),
            region: Some(HeaderName::from_static("x-region")),
            rules: rules.map(|(code, rule)| (code.to_owned(), rule)).collect(),
        }
    }

    fn rule(fields: &[(&'static str, &str)], trusted: bool) -> Rule {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        regions().rule(&headers, trusted)
    }

    #[test]
    fn d13_a_place_has_its_rule_and_doubt_means_opt_in() {
        for (country, region, expected) in [
            ("US", "CA", Rule::OptOut),
            ("us", "ca", Rule::OptOut),
            ("US", "US-CA", Rule::OptOut),
            ("US-CA", "", Rule::OptOut),
            ("US", "NY", Rule::OptIn),
            ("US", "", Rule::OptIn),
            ("DE", "BY", Rule::OptIn),
            ("JP", "", Rule::Off),
            ("JP", "13", Rule::Off),
            ("BR", "RJ", Rule::OptOut),
            ("BR", "SP", Rule::OptIn),
            ("BR", "", Rule::OptIn),
            ("BR", "??", Rule::OptIn),
            ("XX", "", Rule::OptIn),
            ("T1", "", Rule::OptIn),
            ("", "CA", Rule::OptIn),
            ("CA", "CA", Rule::OptIn),
            ("US, DE", "CA", Rule::OptIn),
            ("United States", "CA", Rule::OptIn),
            ("U\u{15e}", "CA", Rule::OptIn),
        ] {
            let fields = [("x-country", country), ("x-region", region)];
            assert_eq!(rule(&fields, true), expected, "{country} {region}");
            assert_eq!(rule(&fields, false), Rule::OptIn, "{country} {region}, from anybody");
        }
        assert_eq!(
            rule(&[("x-country", "US"), ("x-country", "US"), ("x-region", "CA")], true),
            Rule::OptIn
        );
        assert_eq!(rule(&[("x-region", "CA")], true), Rule::OptIn);
        assert_eq!(Regions::default().rule(&HeaderMap::new(), true), Rule::OptIn);
    }
}
