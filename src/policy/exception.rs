//! What an operator decided differently, who answers for it, and until when.

use crate::catalogue::{Identity, Kind, Place, Subject};
use crate::policy::path::fits;
use crate::policy::{PathPattern, is_first_party};
use crate::purpose::Purpose;

use jiff::civil::Date;
use std::fmt;
use std::sync::Arc;

/// What an exception does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It lets pass what would be withheld.
    Allow,
    /// It withholds what would pass, whatever the visitor agreed to.
    Block,
}

/// What an exception is about: everything that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The host that is loaded from, and every host under it.
    pub host: Option<String>,
    /// The path on that host; without a host, on the site itself.
    pub path: Option<PathPattern>,
    /// The vendor's id in the catalogue.
    pub vendor: Option<String>,
    /// A cookie's name, in which `*` stands for any characters.
    pub cookie: Option<String>,
    /// What kind of thing it is.
    pub kind: Option<Kind>,
    /// The path of the page.
    pub on_path: Option<PathPattern>,
}

/// One verdict that is not the policy's own.
///
/// Somebody answers for it, says why, and looks at it again when it expires:
/// an exception that nobody remembers is a hole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exception {
    /// What it is about.
    pub scope: Scope,
    /// What it does.
    pub effect: Effect,
    /// Who answers for it.
    pub owner: String,
    /// Why it is there.
    pub reason: String,
    /// The last day on which it holds.
    pub expires: Date,
    /// Where it is written.
    pub place: Place,
}

impl Exception {
    /// Whether it still holds on that day.
    #[must_use]
    pub fn holds_on(&self, today: Date) -> bool {
        today <= self.expires
    }

    pub(super) fn is_about_page(&self, path: &str) -> bool {
        self.scope.on_path.as_ref().is_none_or(|pattern| pattern.matches(path))
    }

    /// Whether it is about a subject on a page of `host`.
    pub(super) fn is_about(
        &self,
        subject: Subject<'_>,
        identity: Option<&Identity<'_>>,
        host: &str,
    ) -> bool {
        let scope = &self.scope;
        let (kind, name) = named(subject);
        let (loaded_from, path, own) = match subject {
            Subject::Load { url, .. } => {
                (url.host_str(), Some(url.path()), is_first_party(url, host))
            }
            Subject::OwnPath(path) => (Some(host), Some(path), true),
            _ => (None, None, false),
        };
        let same_vendor = |id: &String| identity.is_some_and(|found| found.vendor.id == *id);
        let same_host = |wanted: &String| loaded_from.is_some_and(|host| is_under(host, wanted));
        let anywhere = scope.host.is_some() || scope.vendor.is_some();
        let same_path = |wanted: &PathPattern| {
            (own || anywhere) && path.is_some_and(|path| wanted.matches(path))
        };
        let same_cookie =
            |wanted: &String| kind == Kind::Cookie && name.is_some_and(|name| fits(wanted, name));
        scope.vendor.as_ref().is_none_or(same_vendor)
            && scope.host.as_ref().is_none_or(same_host)
            && scope.path.as_ref().is_none_or(same_path)
            && scope.cookie.as_ref().is_none_or(same_cookie)
            && scope.kind.is_none_or(|wanted| wanted == kind)
            && (self.effect == Effect::Allow || self.may_block(identity, loaded_from, own))
    }

    /// A broad exception withholds neither what the site cannot work without
    /// nor the site itself: that has to be named.
    fn may_block(
        &self,
        identity: Option<&Identity<'_>>,
        loaded_from: Option<&str>,
        own: bool,
    ) -> bool {
        let scope = &self.scope;
        match identity {
            Some(found) if found.vendor.purpose == Purpose::Necessary => {
                scope.vendor.is_some()
                    || scope.cookie.as_ref().is_some_and(|name| !name.contains('*'))
                    || (scope.host.is_some() && scope.host.as_deref() == loaded_from)
            }
            Some(_) => true,
            None => !own || scope.path.is_some(),
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exception of {} until {}", self.owner, self.expires)
    }
}

/// What exceptions know a subject by.
fn named(subject: Subject<'_>) -> (Kind, Option<&str>) {
    match subject {
        Subject::Load { kind, .. } => (kind, None),
        Subject::OwnPath(_) => (Kind::OwnPath, None),
        Subject::Inline(_) => (Kind::Inline, None),
        Subject::Cookie(name) => (Kind::Cookie, Some(name)),
        Subject::RequestHeader(name) => (Kind::RequestHeader, Some(name)),
        Subject::ResponseHeader(name) => (Kind::ResponseHeader, Some(name)),
        Subject::Parameter(name) => (Kind::Parameter, Some(name)),
        Subject::Storage(key) => (Kind::Storage, Some(key)),
    }
}

fn is_under(host: &str, suffix: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The first of several that does `effect` to a subject.
pub(super) fn find<'e>(
    exceptions: &'e [Arc<Exception>],
    effect: Effect,
    subject: Subject<'_>,
    identity: Option<&Identity<'_>>,
    host: &str,
) -> Option<&'e Arc<Exception>> {
    exceptions.iter().find(|each| each.effect == effect && each.is_about(subject, identity, host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, SourceFile};
    use crate::consent::Consent;
    use crate::policy::{Basis, Grounds, Policy, Unlisted, Verdict};
    use url::Url;

    const TEXT: &str = "
        [[vendor]]
        id = 'acme'
        name = 'Acme Ads'
        owner = 'Acme'
        purposes = ['marketing']
        about = 'Ads.'
        source = 'x'
        hosts = ['ads.acme.example']
        cookies = ['_acme', '_acme_id']
        [[vendor]]
        id = 'shop'
        name = 'Shop'
        owner = 'the site'
        purposes = ['necessary']
        reason = 'The cart.'
        about = 'Keeps the cart.'
        source = 'x'
        hosts = ['pay.example']
        cookies = ['cart']
    ";

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn given(exceptions: &[(Scope, Effect)]) -> Policy {
        let file = SourceFile { name: "t".into(), text: TEXT.into() };
        let catalogue = Arc::new(Catalogue::compile(&[file]).unwrap());
        let exceptions = exceptions.iter().map(|(scope, effect)| {
            Arc::new(Exception {
                scope: scope.clone(),
                effect: *effect,
                owner: "Ana".into(),
                reason: "why".into(),
                expires: day("2027-01-31"),
                place: Place { file: "c.toml".into(), line: 1 },
            })
        });
        Policy::new(catalogue, Unlisted::Observe, &[])
            .with_exceptions(exceptions)
            .on_page("/", day("2026-01-01"))
    }

    fn load(policy: &Policy, url: &str) -> Verdict {
        let url = Url::parse(url).unwrap();
        let subject = Subject::Load { kind: Kind::Script, url: &url };
        policy.decide(subject, "shop.example", &Consent::silent()).verdict
    }

    fn cookie(policy: &Policy, name: &str) -> Verdict {
        policy.decide(Subject::Cookie(name), "shop.example", &Consent::silent()).verdict
    }

    fn host(host: &str) -> Scope {
        Scope { host: Some(host.into()), ..Scope::default() }
    }

    #[test]
    fn g6_an_exception_holds_through_its_last_day_and_not_longer() {
        let policy = given(&[(host("acme.example"), Effect::Allow)]);
        let url = "https://ads.acme.example/p.js";
        let last = policy.on_page("/", day("2027-01-31"));
        assert_eq!(load(&last, url), Verdict::Allow(Basis::Exception));
        let after = policy.on_page("/", day("2027-02-01"));
        assert!(load(&after, url).blocks());
        assert_ne!(last.revision(), after.revision());
    }

    #[test]
    fn j3_all_of_a_scope_must_fit() {
        let path = |path: &str| PathPattern::new(path);
        let scope = Scope { path: path("/a"), on_path: path("/pay"), ..host("acme.example") };
        let policy = given(&[(scope, Effect::Allow)]).on_page("/pay", day("2026-01-01"));
        assert!(!load(&policy, "https://ads.acme.example/a/b.js").blocks());
        assert!(load(&policy, "https://ads.acme.example/b.js").blocks());
        assert!(cookie(&policy, "_acme").blocks());
        assert!(
            load(&policy.on_page("/", day("2026-01-01")), "https://ads.acme.example/a").blocks()
        );
        let other = [(host("cme.example"), Effect::Allow)];
        assert!(load(&given(&other), "https://ads.acme.example/a").blocks());
    }

    #[test]
    fn c9_what_is_necessary_is_withheld_only_by_name() {
        let cookies = |name: &str| Scope { cookie: Some(name.into()), ..Scope::default() };
        let blocked = Verdict::Block(Grounds::Exception);
        let broad = given(&[(cookies("c*"), Effect::Block), (host("example"), Effect::Block)]);
        assert_eq!(cookie(&broad, "cart"), Verdict::Allow(Basis::Necessary));
        assert_eq!(cookie(&broad, "colour"), blocked);
        assert_eq!(load(&broad, "https://pay.example/x.js"), Verdict::Allow(Basis::Necessary));
        assert_eq!(
            load(&broad, "https://www.shop.example/x.js"),
            Verdict::Allow(Basis::FirstParty)
        );
        assert_eq!(load(&broad, "https://other.example/x.js"), blocked);
        let named =
            given(&[(cookies("cart"), Effect::Block), (host("pay.example"), Effect::Block)]);
        assert_eq!(cookie(&named, "cart"), blocked);
        assert_eq!(load(&named, "https://pay.example/x.js"), blocked);
    }

    #[test]
    fn j3_of_several_that_fit_one_that_withholds_wins() {
        let both =
            [(host("acme.example"), Effect::Allow), (host("ads.acme.example"), Effect::Block)];
        assert!(load(&given(&both), "https://ads.acme.example/p.js").blocks());
    }
}
