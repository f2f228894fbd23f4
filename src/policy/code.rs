//! Decides on code: it is nobody's address, so it is judged by what it calls and
//! what it would load.

use crate::catalogue::{Identity, Kind, Subject};
use crate::consent::Consent;
use crate::policy::{Basis, Policy, Ruling, Verdict, is_first_party, registrable};

impl Policy {
    /// Decides on an inline script, which may be several vendors' at once: one
    /// purpose that is not granted is enough to withhold it.
    #[must_use]
    pub fn decide_inline(&self, code: &[u8], host: &str, consent: &Consent) -> Ruling<'_> {
        let mut allowed = None;
        let by_list = || {
            let loaded = match self.catalogue.has_lists() {
                true => self.catalogue.loaded_by_code(code),
                false => Vec::new(),
            };
            loaded.into_iter().filter_map(|url| {
                let third_party = !is_first_party(&url, host);
                let claimed = third_party
                    && self
                        .catalogue
                        .identify(Subject::Load { kind: Kind::Script, url: &url })
                        .is_some();
                if claimed {
                    None
                } else {
                    self.catalogue.listed(Kind::Inline, &url, host, third_party)
                }
            })
        };
        let by_alias = || self.behind_aliases_in(code, host);
        let known = self
            .catalogue
            .identify_inline_all(code)
            .chain(std::iter::once_with(by_alias).flatten())
            .map(|identity| {
                let verdict = self.decide_vendor(identity.vendor, consent);
                (verdict, identity)
            });
        let listed = std::iter::once_with(by_list).flatten().map(|identity| {
            let verdict = self.unless_safe(self.decide_vendor(identity.vendor, consent));
            (verdict, identity)
        });
        for (verdict, identity) in known.chain(listed) {
            let ruling = Ruling { verdict, identity: Some(identity), exception: None };
            let ruling = self.except(ruling, Subject::Inline(code), host);
            if ruling.verdict.blocks() {
                return ruling;
            }
            allowed.get_or_insert(ruling);
        }
        allowed.unwrap_or(Ruling {
            verdict: Verdict::Allow(Basis::FirstParty),
            identity: None,
            exception: None,
        })
    }

    /// Decides on the code of an event attribute, by what it loads: one that
    /// only calls a vendor's function stays, since that function is missing, or
    /// a stand-in, where the vendor is withheld.
    #[must_use]
    pub fn decide_handler(&self, code: &[u8], host: &str, consent: &Consent) -> Ruling<'_> {
        let urls = self.catalogue.loaded_by_code(code);
        let rulings = urls
            .iter()
            .map(|url| self.decide(Subject::Load { kind: Kind::Script, url }, host, consent));
        rulings.into_iter().find(|ruling| ruling.verdict.blocks()).unwrap_or(Ruling {
            verdict: Verdict::Allow(Basis::FirstParty),
            identity: None,
            exception: None,
        })
    }

    /// Decides on a script of the own host by its content, of which the
    /// beginning is enough; `size` is that of the whole, if it is known.
    #[must_use]
    pub fn decide_script(&self, code: &[u8], size: Option<u64>, consent: &Consent) -> Ruling<'_> {
        let mut ruling =
            Ruling { verdict: Verdict::Allow(Basis::FirstParty), identity: None, exception: None };
        for identity in self.catalogue.identify_script(code, size) {
            let verdict = self.decide_vendor(identity.vendor, consent);
            ruling = Ruling { verdict, identity: Some(identity), exception: None };
            if verdict.blocks() {
                break;
            }
        }
        ruling
    }

    /// The vendors behind names of the own domain that inline code loads from.
    fn behind_aliases_in(&self, code: &[u8], host: &str) -> Vec<Identity<'_>> {
        let names_own = || {
            registrable(host).is_some_and(|own| {
                memchr::memmem::find_iter(code, own)
                    .any(|at| at.checked_sub(1).and_then(|at| code.get(at)) == Some(&b'.'))
            })
        };
        if self.aliases.is_none() || !names_own() {
            return Vec::new();
        }
        let loaded = self.catalogue.loaded_by_code(code);
        let own = loaded.iter().filter(|url| is_first_party(url, host));
        own.filter_map(|url| self.behind_alias(Kind::Script, url, host)).collect()
    }
}
