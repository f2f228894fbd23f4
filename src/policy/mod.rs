//! May it pass? The one place that decides.
//!
//! Proxy, `explain`, `log` and everything later ask here; no other room has
//! an opinion of its own. Deciding does no I/O and reads no clock.

mod aliases;
mod code;
mod decision;
mod redact;
mod path;
mod exception;
mod listed;
mod observed;
mod ping;
mod verdict;

pub use aliases::Aliases;
pub use decision::{Decision, Decisions, Kept, Layer, MAX_DECISIONS};
pub use exception::{Effect, Exception, Scope};
pub use observed::Observed;
pub use path::PathPattern;
pub use redact::{redact_name, redact_path};
pub use verdict::{Basis, Grounds, Ruling, Verdict};

use crate::catalogue::{Catalogue, Identity, Kind, KindSet, Subject};
use crate::consent::Consent;
use crate::purpose::{Purpose, PurposeSet};

use jiff::civil::Date;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::Arc;
use url::{Position, Url};

/// What happens to third parties that nobody in the catalogue claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unlisted {
    /// They pass, on record.
    Allow,
    /// They pass, on record, and are raised to the privacy officer.
    #[default]
    Observe,
    /// They are withheld until somebody classifies them.
    Block,
}

/// Whether verdicts are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// Not a byte is changed; the ledger says what would have been.
    Observe,
    /// Only what the catalogue knows is withheld: what nobody claims and what
    /// only a filter list knows passes, on record. For pages that must not
    /// break, such as a checkout.
    Safe,
}

impl Mode {
    /// The word used in configuration and in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
            Self::Safe => "safe",
        }
    }

    /// Whether anything is withheld.
    #[must_use]
    pub const fn enforces(self) -> bool {
        !matches!(self, Self::Observe)
    }
}

/// What one site allows, compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    catalogue: Arc<Catalogue>,
    unlisted: Unlisted,
    mode: Mode,
    /// What the operator wrote, and what of it holds: nothing before it is
    /// known which page and which day it is.
    exceptions: Arc<[Arc<Exception>]>,
    live: Arc<[Arc<Exception>]>,
    /// A hash of everything but the filter lists.
    inputs: [u8; 32],
    revision: Arc<str>,
    aliases: Option<Arc<Aliases>>,
    /// Whether hits of Google's tags pass that say that everything is denied.
    google_pings: bool,
    observed: Observed,
}

impl Policy {
    /// A policy over a catalogue. `inputs` is everything the verdicts depend
    /// on, in text, but for the filter lists: its hash, and the revision of
    /// the lists, make the policy's.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>, unlisted: Unlisted, inputs: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for input in inputs {
            hash.update((input.len() as u64).to_be_bytes());
            hash.update(input);
        }
        hash.update([unlisted as u8]);
        let inputs = hash.finalize().into();
        Self {
            revision: revision(&inputs, &catalogue),
            catalogue,
            inputs,
            unlisted,
            mode: Mode::default(),
            exceptions: Arc::default(),
            live: Arc::default(),
            aliases: None,
            google_pings: false,
            observed: Observed::default(),
        }
    }

    /// The same policy with exceptions, which begin to hold in `on_page`. What
    /// they say is to be among the inputs of its revision.
    #[must_use]
    pub fn with_exceptions(self, exceptions: impl IntoIterator<Item = Arc<Exception>>) -> Self {
        Self { exceptions: exceptions.into_iter().collect(), ..self }
    }

    /// The same policy as it is in a mode, with what happens to third parties
    /// that nobody claims.
    #[must_use]
    pub fn in_mode(&self, mode: Mode, unlisted: Unlisted) -> Self {
        Self { mode, unlisted, ..self.clone() }
    }

    /// The policy for one page on one day: with the exceptions that are about
    /// that page and have not expired.
    #[must_use]
    pub fn on_page(&self, path: &str, today: Date) -> Self {
        if self.exceptions.is_empty() {
            return self.clone();
        }
        let expired = self.exceptions.iter().filter(|each| !each.holds_on(today)).count();
        let holds = |each: &&Arc<Exception>| each.holds_on(today) && each.is_about_page(path);
        let live = self.exceptions.iter().filter(holds).cloned().collect();
        let revision = match expired {
            0 => Arc::clone(&self.revision),
            // What expires changes verdicts, so it changes their name.
            expired => Arc::from(format!("{}-{expired}", self.revision)),
        };
        Self { live, revision, ..self.clone() }
    }

    /// Whether it is the same on every page and every day, in that mode and with
    /// that happening to third parties that nobody claims.
    #[must_use]
    pub fn is_for_all_pages(&self, mode: Mode, unlisted: Unlisted) -> bool {
        self.exceptions.is_empty() && self.mode == mode && self.unlisted == unlisted
    }

    /// The exceptions, in the order they are written.
    #[must_use]
    pub fn exceptions(&self) -> &[Arc<Exception>] {
        &self.exceptions
    }

    /// Whether something could be withheld from a visitor who gave `consent`.
    #[must_use]
    pub fn may_block(&self, consent: &Consent) -> bool {
        consent.granted() != PurposeSet::ALL
            || consent.vendors().is_some_and(|vendors| !vendors.refused().is_empty())
            || (self.unlisted == Unlisted::Block && !self.knows_only())
            || self.live.iter().any(|each| each.effect == Effect::Block)
    }

    /// The same policy, which lets hits of Google's tags pass or not that say
    /// that everything is denied.
    #[must_use]
    pub const fn with_google_pings(mut self, pass: bool) -> Self {
        self.google_pings = pass;
        self
    }

    /// Whether such hits pass.
    #[must_use]
    pub const fn google_pings(&self) -> bool {
        self.google_pings
    }

    /// The same policy, knowing what names of the own domain stand for.
    #[must_use]
    pub fn with_aliases(mut self, aliases: Arc<Aliases>) -> Self {
        self.aliases = Some(aliases);
        self
    }

    /// The same policy over the same catalogue with other filter lists.
    #[must_use]
    pub fn with_catalogue(&self, catalogue: Arc<Catalogue>) -> Self {
        let revision = revision(&self.inputs, &catalogue);
        Self { catalogue, revision, ..self.clone() }
    }

    /// Decides whether `subject` may reach, or come from, a visitor who gave
    /// `consent`, on a page of `host`.
    ///
    /// What nobody in the catalogue claims passes unless the site says
    /// otherwise: a proxy that guesses breaks pages, and a broken page teaches
    /// operators to switch it off.
    #[must_use]
    pub fn decide(&self, subject: Subject<'_>, host: &str, consent: &Consent) -> Ruling<'_> {
        let mut only_listed = false;
        let (identity, third_party) = match subject {
            Subject::Load { kind, url } => {
                let third_party = !is_first_party(url, host);
                let by_vendor = if third_party {
                    self.catalogue.identify(subject)
                } else {
                    self.catalogue
                        .identify(Subject::OwnPath(
                            &url[Position::BeforePath..Position::AfterQuery],
                        ))
                        .or_else(|| self.behind_alias(kind, url, host))
                };
                only_listed = by_vendor.is_none();
                (
                    by_vendor.or_else(|| self.catalogue.listed(kind, url, host, third_party)),
                    third_party,
                )
            }
            other => (self.catalogue.identify(other), false),
        };
        let verdict = match &identity {
            Some(identity) if only_listed => {
                self.unless_safe(self.decide_vendor(identity.vendor, consent))
            }
            Some(identity) => self.decide_vendor(identity.vendor, consent),
            None if third_party => match self.unlisted {
                Unlisted::Allow | Unlisted::Observe => Verdict::Allow(Basis::Unlisted),
                Unlisted::Block if self.knows_only() => Verdict::Allow(Basis::Unlisted),
                Unlisted::Block => Verdict::Block(Grounds::Unlisted),
            },
            None => Verdict::Allow(Basis::FirstParty),
        };
        let ruling = self.except(Ruling { verdict, identity, exception: None }, subject, host);
        let is_ping = matches!(ruling.verdict, Verdict::Allow(basis) if !basis.is_observed())
            && !self.google_pings
            && ping::is_denied_ping(subject, consent);
        if is_ping {
            // Who lets a vendor pass has not said so about these.
            let verdict = Verdict::Block(Grounds::NotGranted(Purpose::Analytics));
            return Ruling { verdict, exception: None, ..ruling };
        }
        ruling
    }

    /// Decides about an embed that a visitor asked for by itself. Their word is
    /// one about consent: what is withheld from everybody stays withheld.
    #[must_use]
    pub fn decide_asked(&self, url: &Url, host: &str) -> Ruling<'_> {
        let subject = Subject::Load { kind: Kind::Frame, url };
        let mut ruling = self.decide(subject, host, &Consent::chosen(PurposeSet::ALL));
        if let Verdict::Allow(_) = ruling.verdict {
            ruling.verdict = Verdict::Allow(Basis::AskedFor);
        }
        ruling
    }

    /// Exceptions have the last word, and among them those that withhold.
    fn except<'p>(
        &'p self,
        mut ruling: Ruling<'p>,
        subject: Subject<'_>,
        host: &str,
    ) -> Ruling<'p> {
        if self.live.is_empty() {
            return ruling;
        }
        let find =
            |effect| exception::find(&self.live, effect, subject, ruling.identity.as_ref(), host);
        let found = match (find(Effect::Block), ruling.verdict) {
            // Also where it is withheld already: agreeing would not help.
            (Some(exception), Verdict::Allow(_))
            | (
                Some(exception),
                Verdict::Block(Grounds::NotGranted(_) | Grounds::VendorRefused(_)),
            ) => Some((Verdict::Block(Grounds::Exception), exception)),
            (None, Verdict::Block(_)) => {
                find(Effect::Allow).map(|exception| (Verdict::Allow(Basis::Exception), exception))
            }
            (Some(_), Verdict::Block(_)) | (None, Verdict::Allow(_)) => None,
        };
        if let Some((verdict, exception)) = found {
            ruling.verdict = verdict;
            ruling.exception = Some(exception);
        }
        ruling
    }

    /// Whether nothing is withheld but what somebody is known for.
    fn knows_only(&self) -> bool {
        self.mode == Mode::Safe || matches!(self.observed, Observed::AllBut(_))
    }

    /// The verdict on what only a filter list knows.
    fn unless_safe(&self, verdict: Verdict) -> Verdict {
        match (verdict, self.mode) {
            (Verdict::Block(_), Mode::Safe) => Verdict::Allow(Basis::SafeMode),
            (verdict, _) => verdict,
        }
    }

    /// Decides on something that has no rule of its own but a fixed purpose,
    /// such as the visitor's address.
    #[must_use]
    pub fn decide_purpose(&self, purpose: Purpose, consent: &Consent) -> Verdict {
        if consent.grants(purpose) {
            Verdict::Allow(Basis::Granted(purpose))
        } else {
            Verdict::Block(Grounds::NotGranted(purpose))
        }
    }

    /// The paths on a host that are denied whatever is said about the host
    /// itself: kinds of load and `host/path`.
    #[must_use]
    pub fn denied_paths(&self, host: &str, consent: &Consent) -> Vec<(KindSet, String)> {
        self.catalogue
            .paths_on(host)
            .filter(|(_, _, identity)| self.decide_vendor(identity.vendor, consent).blocks())
            .map(|(kinds, place, _)| (kinds, place))
            .collect()
    }

    /// The vendor that a name of the own domain stands for. The page's own
    /// host is no disguise, wherever it is served from.
    fn behind_alias(&self, kind: Kind, url: &Url, host: &str) -> Option<Identity<'_>> {
        let aliases = self.aliases.as_ref()?;
        let name = url.host_str().map(|name| name.strip_suffix('.').unwrap_or(name))?;
        if name == host || !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
            return None;
        }
        aliases.behind(name).iter().find_map(|real| {
            let mut url = url.clone();
            url.set_host(Some(real)).ok()?;
            if is_first_party(&url, host) {
                return None;
            }
            let identity = self
                .catalogue
                .identify(Subject::Load { kind, url: &url })
                .or_else(|| self.catalogue.listed(kind, &url, host, true))?;
            let rule = Cow::Owned(format!("{} ({name} is {real})", identity.rule));
            Some(Identity { rule, ..identity })
        })
    }

    /// What is known of the names of the own domain, if anybody looks them up.
    #[must_use]
    pub fn aliases(&self) -> Option<&Arc<Aliases>> {
        self.aliases.as_ref()
    }

    /// The catalogue behind the policy.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The same, for whoever keeps it.
    #[must_use]
    pub const fn shared_catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// A short name that changes whenever a verdict could, except for what is
    /// learnt of names meanwhile: [`Aliases::mark`] tells that.
    #[must_use]
    pub fn revision(&self) -> &Arc<str> {
        &self.revision
    }

    /// What happens to third parties that nobody claims.
    #[must_use]
    pub fn unlisted(&self) -> Unlisted {
        self.unlisted
    }
}

fn revision(inputs: &[u8; 32], catalogue: &Catalogue) -> Arc<str> {
    let mut hash = Sha256::new_with_prefix(inputs);
    hash.update(catalogue.lists().map_or("", |lists| lists.revision()));
    let bytes = hash.finalize();
    Arc::from(bytes.iter().take(5).map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Whether an address belongs to the site that `host` is part of: the same
/// host, or the same registrable domain by the public suffix list.
#[must_use]
pub fn is_first_party(url: &Url, host: &str) -> bool {
    match url.scheme() {
        "http" | "https" | "ws" | "wss" => {}
        // Addresses without a host (`data:`, `blob:`, `about:`) stay in the page.
        _ => return true,
    }
    let Some(other) = url.host_str() else { return true };
    let other = other.strip_suffix('.').unwrap_or(other);
    if other == host {
        return true;
    }
    match (registrable(other), registrable(host)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// The registrable domain of a host: `shop.example.co.uk` is part of
/// `example.co.uk`. Addresses and single labels have none.
#[must_use]
pub fn registrable(host: &str) -> Option<&str> {
    if host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    psl::domain_str(host)
}

/// The kinds that are loads of an address, for callers that read `Kind` names.
#[must_use]
pub const fn is_load(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Script
            | Kind::Frame
            | Kind::Image
            | Kind::Style
            | Kind::Font
            | Kind::Media
            | Kind::Object
            | Kind::Hint
            | Kind::Connect
            | Kind::Refresh
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::SourceFile;
    use crate::purpose::PurposeSet;

    fn policy(unlisted: Unlisted) -> Policy {
        let text = "
            [[vendor]]
            id = 'acme'
            name = 'Acme Ads'
            owner = 'Acme'
            purposes = ['marketing', 'personalization']
            about = 'Ads.'
            source = 'https://acme.example'
            hosts = ['ads.acme.example']
            cookies = ['_acme', 'cart']
            own_paths = ['/acme/collect']
            inline = [\"acme('init'\"]
            [[vendor]]
            id = 'shop'
            name = 'Shop'
            owner = 'the site'
            purposes = ['necessary']
            reason = 'The cart.'
            about = 'Keeps the cart.'
            source = 'https://shop.example'
            cookies = ['cart']
        ";
        let file = SourceFile { name: "test".into(), text: text.into() };
        Policy::new(Arc::new(Catalogue::compile(&[file]).unwrap()), unlisted, &[text])
    }

    fn verdict(policy: &Policy, url: &str, granted: PurposeSet) -> Verdict {
        let url = Url::parse(url).unwrap();
        let subject = Subject::Load { kind: Kind::Script, url: &url };
        policy.decide(subject, "www.shop.example", &Consent::chosen(granted)).verdict
    }

    #[test]
    fn e6_a_word_about_a_vendor_outweighs_the_word_about_its_purposes() {
        let policy = policy(Unlisted::Observe);
        let url = Url::parse("https://ads.acme.example/p.js").unwrap();
        let verdict = |granted: PurposeSet, vendors: crate::consent::VendorChoices| {
            let consent = Consent::chosen(granted).with_vendors(vendors);
            policy
                .decide(Subject::Load { kind: Kind::Script, url: &url }, "shop.example", &consent)
                .verdict
        };
        let none = crate::consent::VendorChoices::default();
        let refused = none.clone().with_refused("acme").unwrap();
        assert_eq!(
            verdict(PurposeSet::EMPTY, none.clone().with_allowed("acme")),
            Verdict::Allow(Basis::VendorAllowed)
        );
        assert!(verdict(PurposeSet::EMPTY, none.clone().with_allowed("other")).blocks());
        assert!(matches!(
            verdict(PurposeSet::ALL, refused.clone()),
            Verdict::Block(Grounds::VendorRefused(_))
        ));
        assert!(!verdict(PurposeSet::ALL, none.with_refused("other").unwrap()).blocks());
        assert!(policy.may_block(&Consent::chosen(PurposeSet::ALL).with_vendors(refused)));
    }

    #[test]
    fn nothing_passes_before_all_its_purposes_are_granted() {
        let policy = policy(Unlisted::Observe);
        let marketing = PurposeSet::NECESSARY.with(Purpose::Marketing);
        let both = marketing.with(Purpose::Personalization);
        let url = "https://x.ads.acme.example./p.js";
        let not = |purpose| Verdict::Block(Grounds::NotGranted(purpose));
        assert_eq!(verdict(&policy, url, PurposeSet::EMPTY), not(Purpose::Personalization));
        assert_eq!(verdict(&policy, url, marketing), not(Purpose::Personalization));
        assert_eq!(verdict(&policy, url, both), Verdict::Allow(Basis::Granted(Purpose::Marketing)));
    }

    #[test]
    fn a_stranger_passes_unless_the_site_says_otherwise() {
        let url = "https://cdn.stranger.example/x.js";
        assert_eq!(
            verdict(&policy(Unlisted::Observe), url, PurposeSet::EMPTY),
            Verdict::Allow(Basis::Unlisted)
        );
        assert_eq!(
            verdict(&policy(Unlisted::Block), url, PurposeSet::EMPTY),
            Verdict::Block(Grounds::Unlisted)
        );
        let own = "https://static.shop.example/x.js";
        assert_eq!(
            verdict(&policy(Unlisted::Block), own, PurposeSet::EMPTY),
            Verdict::Allow(Basis::FirstParty)
        );
    }

    #[test]
    fn c9_what_is_necessary_wins() {
        let policy = policy(Unlisted::Observe);
        let silent = Consent::silent();
        let decide = |name| policy.decide(Subject::Cookie(name), "shop.example", &silent).verdict;
        assert_eq!(decide("cart"), Verdict::Allow(Basis::Necessary));
        assert!(decide("_acme").blocks());
    }

    #[test]
    fn a_tracking_path_on_the_own_host_is_found() {
        let policy = policy(Unlisted::Observe);
        assert!(
            verdict(&policy, "https://www.shop.example/acme/collect?x=1", PurposeSet::EMPTY)
                .blocks()
        );
    }
}
