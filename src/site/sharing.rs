//! Which hosts share one choice, and the cookie that keeps it.
//!
//! A visitor who refused on `www.shop.example` has refused on
//! `shop.example`, if both are the same shop. So the hosts of a site share a
//! choice where a cookie can carry it, and no host of another site ever sees
//! it as one: a choice is signed for whom it was made.

use crate::policy::registrable;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who shares a choice with whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Every host has its own choice.
    #[default]
    Apart,
    /// The hosts of a site, or of a group of sites, have one.
    Together {
        /// What a choice is signed for.
        scope: Arc<str>,
        /// By host, the domain whose hosts get the cookie; a host that is not
        /// in it shares with nobody that a cookie could reach.
        domains: BTreeMap<String, Arc<str>>,
    },
}

impl Sharing {
    /// The hosts share what is signed for `scope`: wherever two of them have a
    /// domain in common that belongs to one owner (by the public suffix list),
    /// the cookie is set for the smallest such domain.
    #[must_use]
    pub fn among<'h>(scope: &str, hosts: impl IntoIterator<Item = &'h str>) -> Self {
        let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for host in hosts {
            if let Some(owner) = registrable(host) {
                owners.entry(owner).or_default().insert(host);
            }
        }
        let mut domains = BTreeMap::new();
        for hosts in owners.values().filter(|hosts| hosts.len() > 1) {
            if let Some(domain) = hosts.iter().copied().reduce(common_domain) {
                let domain: Arc<str> = Arc::from(domain);
                domains.extend(hosts.iter().map(|host| ((*host).to_owned(), Arc::clone(&domain))));
            }
        }
        Self::Together { scope: Arc::from(scope), domains }
    }

    /// The cookie that keeps a choice made on `host`.
    #[must_use]
    pub fn cookie<'s>(&'s self, host: &'s str, secure: bool) -> ChoiceCookie<'s> {
        let (scope, domain) = match self {
            Self::Apart => (host, None),
            Self::Together { scope, domains } => (&**scope, domains.get(host).map(|d| &**d)),
        };
        ChoiceCookie { scope, host, domain, secure }
    }
}

/// Both are part of one owner's domain, so they have at least that in common.
fn common_domain<'h>(one: &'h str, other: &'h str) -> &'h str {
    let mut common = one;
    loop {
        let ends = other.strip_suffix(common);
        if ends.is_some_and(|before| before.is_empty() || before.ends_with('.')) {
            return common;
        }
        match common.split_once('.') {
            Some((_, rest)) => common = rest,
            None => return common,
        }
    }
}

/// Where a visitor's choice is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChoiceCookie<'s> {
    /// What the choice is signed for.
    pub scope: &'s str,
    /// The host it was made on.
    pub host: &'s str,
    /// The domain whose hosts get it; none for the one host.
    pub domain: Option<&'s str>,
    /// Whether the visitor's connection is https.
    pub secure: bool,
}

const HOST: &str = "__Host-consentry";
const SECURE: &str = "__Secure-consentry";
const PLAIN: &str = "consentry";

impl ChoiceCookie<'_> {
    /// The name it is written under. Browsers take names with a prefix on
    /// https only, and `__Host-` only for one host, which keeps every other
    /// host from setting it (RFC 6265bis, 4.1.3).
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match (self.secure, self.domain) {
            (true, None) => HOST,
            (true, Some(_)) => SECURE,
            (false, _) => PLAIN,
        }
    }

    /// The names it is read under. A choice made before hosts shared one still
    /// counts; a shared one counts only where hosts share, because every host
    /// of the domain can set it.
    #[must_use]
    pub const fn names(&self) -> &'static [&'static str] {
        match (self.secure, self.domain) {
            (true, None) => &[HOST],
            (true, Some(_)) => &[SECURE, HOST],
            (false, _) => &[PLAIN],
        }
    }

    /// The `Set-Cookie` fields that keep `value` for `age_s` seconds.
    #[must_use]
    pub fn keeping(&self, value: &str, age_s: u64) -> Vec<String> {
        let mut fields = Vec::new();
        // Older ones would only be in the way: of the single host, and from when
        // the hosts that share had another domain in common.
        if self.domain.is_some() {
            let single = if self.secure { HOST } else { PLAIN };
            fields.push(self.field(single, None, "", 0));
            fields.extend(
                self.domains_within().map(|domain| self.field(self.name(), Some(domain), "", 0)),
            );
        }
        fields.push(self.field(self.name(), self.domain, value, age_s));
        fields
    }

    /// The `Set-Cookie` fields that forget the choice, wherever it is kept.
    #[must_use]
    pub fn forgetting(&self) -> Vec<String> {
        self.keeping("", 0)
    }

    /// The domains between the host and that of the cookie, the host's own
    /// first.
    fn domains_within(&self) -> impl Iterator<Item = &str> {
        let shared = self.domain.unwrap_or(self.host);
        std::iter::successors(Some(self.host), |domain| Some(domain.split_once('.')?.1))
            .take_while(move |domain| *domain != shared && domain.ends_with(shared))
    }

    fn field(&self, name: &str, domain: Option<&str>, value: &str, age_s: u64) -> String {
        let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{name}={value}{domain}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d14_hosts_of_one_owner_share_the_smallest_domain_they_have_in_common() {
        let hosts = ["shop.example", "www.shop.example", "a.eu.shop.co.uk", "b.eu.shop.co.uk"];
        let alone =
            ["shop.com", "one.github.io", "two.github.io", "127.0.0.1", "[::1]", "localhost"];
        let sharing = Sharing::among("shop", hosts.into_iter().chain(alone));
        let domain = |host| sharing.cookie(host, true).domain;
        assert_eq!(domain("shop.example"), Some("shop.example"));
        assert_eq!(domain("www.shop.example"), Some("shop.example"));
        assert_eq!(domain("a.eu.shop.co.uk"), Some("eu.shop.co.uk"));
        for host in alone {
            assert_eq!(domain(host), None, "{host}");
            assert_eq!(sharing.cookie(host, true).scope, "shop", "{host}");
        }
        let hosts = ["a.shop.example", "b.shop.example", "xa.shop.example"];
        let sharing = Sharing::among("shop", hosts);
        assert_eq!(sharing.cookie("xa.shop.example", true).domain, Some("shop.example"));
    }

    #[test]
    fn d14_a_host_of_its_own_keeps_the_cookie_nobody_else_can_set() {
        let apart = Sharing::Apart;
        let cookie = apart.cookie("shop.example", true);
        assert_eq!((cookie.scope, cookie.name()), ("shop.example", "__Host-consentry"));
        let [field] = &cookie.keeping("x", 10)[..] else { panic!("one field") };
        assert_eq!(field, "__Host-consentry=x; Path=/; Max-Age=10; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(apart.cookie("shop.example", false).name(), "consentry");
    }

    #[test]
    fn d14_a_shared_cookie_replaces_and_is_forgotten_everywhere() {
        let sharing = Sharing::among("shop", ["shop.example", "www.shop.example"]);
        let cookie = sharing.cookie("www.shop.example", true);
        let kept = cookie.keeping("x", 10);
        assert!(kept[0].starts_with("__Host-consentry=; Path=/; Max-Age=0"));
        assert!(kept[1].starts_with("__Secure-consentry=; Domain=www.shop.example; "));
        assert!(kept[2].starts_with("__Secure-consentry=x; Domain=shop.example; Path=/"));
        assert_eq!(kept.len(), 3);
        let gone = cookie.forgetting();
        assert!(gone.iter().all(|field| field.contains("=; ") && field.contains("Max-Age=0")));
        for (field, kept) in gone.iter().zip(&kept) {
            let whose = |field: &str| field.split("; Path").next().map(|of| of.replace("=x", "="));
            assert_eq!(whose(field), whose(kept), "forgotten wherever it is kept");
        }
        assert_eq!(gone.len(), 3);
    }
}
