//! The states of consent in which a page is looked at.

use crate::consent::{self, Consent};
use crate::purpose::{Purpose, PurposeSet};
use crate::site::Site;

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

/// One state of consent.
#[derive(Clone, Debug)]
pub struct State {
    /// Its name in every format.
    pub name: &'static str,
    /// Its mark at the head of a column.
    pub mark: char,
    /// What a visitor in it agreed to.
    pub consent: Consent,
}

/// Whose consent is read.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The site that visitors come to.
    pub site: &'a Site,
    /// The host they come to.
    pub host: &'a str,
    /// Cookies that they bring along, such as those of another consent tool.
    pub cookies: &'a [(String, String)],
    /// The time, in seconds since 1970.
    pub now_s: u64,
}

impl Asked<'_> {
    /// What somebody agreed to who comes with these fields, read as the proxy
    /// reads it.
    fn read(&self, headers: &HeaderMap) -> Consent {
        let site = self.site;
        let own = site.sharing.cookie(self.host, true);
        let read = consent::read(headers, own.names(), own.scope, &site.consent, self.now_s);
        let read = read.in_region(site.consent.regions.rule(headers, true));
        let numbered = site.policy.catalogue().in_iab_list();
        consent::refuse_as_tcf(read, headers, &site.consent, numbered)
    }
}

/// Every state, in the order in which they are shown: nothing said, everything
/// refused, each purpose by itself, everything agreed to, Global Privacy
/// Control, and what the cookies say that were brought along.
#[must_use]
pub fn states(asked: &Asked<'_>) -> Vec<State> {
    let chosen = |name, mark, granted| State { name, mark, consent: Consent::chosen(granted) };
    let silent = asked.read(&HeaderMap::new());
    let mut all = vec![
        State { name: "undecided", mark: 'u', consent: silent },
        chosen("refused", 'r', PurposeSet::EMPTY),
    ];
    all.extend(Purpose::OPTIONAL.into_iter().map(|purpose| {
        let name = purpose.name();
        chosen(name, name.chars().next().unwrap_or('?'), PurposeSet::EMPTY.with(purpose))
    }));
    all.push(chosen("all", 'A', PurposeSet::ALL));
    let control = (HeaderName::from_static("sec-gpc"), HeaderValue::from_static("1"));
    let control = HeaderMap::from_iter([control]);
    all.push(State { name: "gpc", mark: 'g', consent: asked.read(&control) });
    if let Some(field) = cookie_field(asked.cookies) {
        let brought = HeaderMap::from_iter([(COOKIE, field)]);
        all.push(State { name: "preset", mark: 'c', consent: asked.read(&brought) });
    }
    all
}

/// The `Cookie` field that carries them.
#[must_use]
pub fn cookie_field(cookies: &[(String, String)]) -> Option<HeaderValue> {
    let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() { None } else { HeaderValue::from_str(&pairs.join("; ")).ok() }
}
