//! Vendors whose verdicts are only recorded, so that a site can begin with some
//! of them.
//!
//! That is about silence. Whoever said "no" to a purpose or to the vendor has
//! said it: nothing here lets pass what they refused.

use crate::catalogue::Vendor;
use crate::consent::{Consent, State};
use crate::policy::{Basis, Grounds, Policy, Verdict};
use crate::purpose::Purpose;

use std::collections::BTreeSet;

/// Whose verdicts are only recorded as long as the visitor says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Observed {
    /// Nobody's.
    #[default]
    Nobody,
    /// Those of the vendors with these ids.
    These(BTreeSet<String>),
    /// Everybody's but those of the vendors with these ids; nobody's beside
    /// them is known well enough to be withheld.
    AllBut(BTreeSet<String>),
}

impl Observed {
    /// Whether a vendor is among them.
    #[must_use]
    pub fn includes(&self, vendor: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::These(ids) => ids.contains(vendor),
            Self::AllBut(ids) => !ids.contains(vendor),
        }
    }

    /// Whether there is any.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        !matches!(self, Self::Nobody)
    }
}

impl Policy {
    /// The same policy, which only records what it decides about some vendors.
    /// Who they are is to be among the inputs of its revision.
    #[must_use]
    pub fn with_observed(self, observed: Observed) -> Self {
        Self { observed, ..self }
    }

    /// Whose verdicts are only recorded.
    #[must_use]
    pub const fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Decides on a vendor by what the visitor said about it and its purposes,
    /// wherever it was recognised.
    #[must_use]
    pub fn decide_vendor(&self, vendor: &Vendor, consent: &Consent) -> Verdict {
        if vendor.purpose == Purpose::Necessary {
            return Verdict::Allow(Basis::Necessary);
        }
        if let Some(vendors) = consent.vendors() {
            if vendors.refuses(&vendor.id) {
                return Verdict::Block(Grounds::VendorRefused(vendor.purpose));
            }
            if vendors.allows(&vendor.id) {
                return Verdict::Allow(Basis::VendorAllowed);
            }
        }
        match vendor.purposes.iter().find(|purpose| !consent.grants(*purpose)) {
            None => Verdict::Allow(Basis::Granted(vendor.purpose)),
            Some(missing) if self.observed.includes(&vendor.id) && !is_refused(vendor, consent) => {
                Verdict::Allow(Basis::Observed(missing))
            }
            Some(missing) => Verdict::Block(Grounds::NotGranted(missing)),
        }
    }
}

/// Whether the visitor, or something that speaks for them, said "no" to
/// anything that the vendor is for.
fn is_refused(vendor: &Vendor, consent: &Consent) -> bool {
    consent.is_doubtful()
        || vendor.purposes.iter().any(|purpose| consent.state(purpose) == State::Denied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, Kind, SourceFile, Subject};
    use crate::consent::VendorChoices;
    use crate::policy::Unlisted;
    use crate::purpose::PurposeSet;

    use std::sync::Arc;
    use url::Url;

    fn policy(observed: Observed) -> Policy {
        let vendor = |id: &str| {
            format!(
                "[[vendor]]\nid = '{id}'\nname = '{id}'\nowner = 'x'\nabout = 'x'\nsource = 'x'\n\
                 purposes = ['marketing', 'analytics']\nhosts = ['{id}.example']\ncookies = ['_{id}']\n"
            )
        };
        let text = [vendor("one"), vendor("two")].concat();
        let file = SourceFile { name: "test".into(), text: text.clone() };
        let catalogue = Arc::new(Catalogue::compile(&[file]).unwrap());
        Policy::new(catalogue, Unlisted::Block, &[&text]).with_observed(observed)
    }

    fn these(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    /// Whether the scripts of `one`, of `two` and of a stranger pass, and why.
    fn reasons(policy: &Policy, consent: &Consent) -> [String; 3] {
        ["one", "two", "stranger"].map(|host| {
            let url = Url::parse(&format!("https://{host}.example/x.js")).unwrap();
            let subject = Subject::Load { kind: Kind::Script, url: &url };
            let verdict = policy.decide(subject, "shop.example", consent).verdict;
            format!("{} {}", verdict.word(), verdict.reason())
        })
    }

    #[test]
    fn h6_one_vendor_is_observed_or_all_but_one_and_the_record_says_so() {
        let silent = Consent::silent();
        for (observed, expected) in [
            (Observed::Nobody, ["block not granted", "block not granted", "block unlisted"]),
            (
                Observed::These(these(&["one"])),
                ["allow observed", "block not granted", "block unlisted"],
            ),
            (
                Observed::AllBut(these(&["one"])),
                ["block not granted", "allow observed", "allow unlisted"],
            ),
        ] {
            assert_eq!(reasons(&policy(observed.clone()), &silent), expected, "{observed:?}");
        }
        let policy = policy(Observed::These(these(&["one"])));
        let cookie = policy.decide(Subject::Cookie("_one"), "shop.example", &silent).verdict;
        assert_eq!(cookie, Verdict::Allow(Basis::Observed(Purpose::Analytics)));
        assert!(cookie.is_by_consent(), "caches must keep it apart");
    }

    #[test]
    fn h6_what_a_visitor_refused_is_withheld_whoever_is_observed() {
        let policy = policy(Observed::These(these(&["one"])));
        let refused = |consent: &Consent| {
            let vendor = policy.catalogue().vendor("one").unwrap();
            policy.decide_vendor(vendor, consent).blocks()
        };
        assert!(!refused(&Consent::silent()));
        assert!(refused(&Consent::chosen(PurposeSet::EMPTY)));
        assert!(refused(&Consent::chosen(PurposeSet::EMPTY.with(Purpose::Marketing))), "half a no");
        assert!(!refused(&Consent::chosen(PurposeSet::ALL)));
        let vendors = VendorChoices::default().with_refused("one").unwrap();
        assert!(refused(&Consent::silent().with_vendors(vendors)));
    }
}
