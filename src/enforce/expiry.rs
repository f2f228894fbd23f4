//! Expires denied cookies wherever they may have been set.
//!
//! A cookie goes only for the very domain and path it was set on, and a
//! browser tells neither. So one field is sent for each place where it may be:
//! first those where most are, for every name, then the others.

use crate::policy::registrable;

use http::HeaderValue;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// How many denied cookies one response expires.
const MAX_NAMES: usize = 24;

/// How many fields that takes at most: about 7 KB, which servers in front of
/// us take. What is left goes with the next response, for what has gone is
/// not sent again.
const MAX_FIELDS: usize = 96;

/// How many fields are for cookies that a browser did not send.
const MAX_ELSEWHERE: usize = 32;

/// How many beginnings of a path are tried.
const MAX_PREFIXES: usize = 7;

/// How many places are remembered for one host, and for how many hosts.
const MAX_PLACES: usize = 64;
const MAX_HOSTS: usize = 1024;

/// Where cookies of vendors were set when they were agreed to, other than for
/// the whole site: a withdrawal on any page then reaches them there, too.
///
/// It holds names, domains and paths, and no value. A path that may say who a
/// visitor is, is not remembered.
#[derive(Debug, Default)]
pub struct CookiePlaces {
    by_host: Mutex<HashMap<String, VecDeque<Place>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    name: String,
    /// Empty for a cookie of the host alone.
    domain: String,
    path: String,
    partitioned: bool,
}

impl CookiePlaces {
    /// Remembers where a `Set-Cookie` field of a page at `path` puts its
    /// cookie.
    pub(super) fn note(&self, host: &str, path: &str, name: &str, field: &str) {
        let Some(place) = Place::read(path, name, field) else { return };
        let mut hosts = self.lock();
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(host) {
            hosts.clear();
        }
        let places = hosts.entry(host.to_owned()).or_default();
        if places.contains(&place) {
            return;
        }
        if places.len() >= MAX_PLACES {
            places.pop_front();
        }
        places.push_back(place);
    }

    /// What is known of one host, for somebody who is to teach us nothing.
    pub(super) fn copy_for(&self, host: &str) -> Self {
        let places = HashMap::from([(host.to_owned(), self.of(host).into())]);
        Self { by_host: Mutex::new(places) }
    }

    fn of(&self, host: &str) -> Vec<Place> {
        self.lock().get(host).into_iter().flatten().cloned().collect()
    }

    /// Nothing that holds the lock can panic halfway through a change.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, VecDeque<Place>>> {
        self.by_host.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for CookiePlaces {
    fn clone(&self) -> Self {
        Self { by_host: Mutex::new(self.lock().clone()) }
    }
}

impl Place {
    /// Nothing for a cookie of the whole site, which needs no memory.
    fn read(page: &str, name: &str, field: &str) -> Option<Self> {
        let (mut domain, mut path, mut partitioned) = ("", "", false);
        for attribute in field.split(';').skip(1) {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "domain" => domain = value.trim().trim_start_matches('.'),
                "path" => path = value.trim(),
                "partitioned" => partitioned = true,
                _ => {}
            }
        }
        // RFC 6265, 5.1.4 and 5.2.4.
        if !path.starts_with('/') {
            path = match page.rfind('/') {
                Some(end) if end > 0 => page.get(..end)?,
                _ => "/",
            };
        }
        (path != "/" && is_for_all(path) && name.len() <= 128 && domain.len() <= 253).then(|| {
            Self {
                name: name.to_owned(),
                domain: domain.to_ascii_lowercase(),
                path: path.to_owned(),
                partitioned,
            }
        })
    }

    fn field(&self, secure: bool) -> Option<HeaderValue> {
        let domain = match &*self.domain {
            "" => String::new(),
            domain => format!("; Domain={domain}"),
        };
        expired(&self.name, &self.path, &domain, secure, self.partitioned)
    }
}

/// Whether a path is a part of the site rather than something of one visitor:
/// a plain word or two.
fn is_for_all(path: &str) -> bool {
    let parts = path.trim_matches('/').split('/');
    parts.clone().count() <= 2
        && parts.into_iter().all(|part| {
            (1..=20).contains(&part.len())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'))
        })
}

/// What the fields that expire cookies depend on.
#[derive(Clone, Copy, Debug)]
pub struct Expiry<'a> {
    /// The host that answers, without port.
    pub host: &'a str,
    /// The path that was asked for: what a browser sent with it was set on a
    /// beginning of it. `/` when that says nothing.
    pub path: &'a str,
    /// Whether the visitor came over https. Partitioned cookies are not set
    /// without.
    pub secure: bool,
    /// Where else cookies were seen to be set.
    pub places: &'a CookiePlaces,
}

impl Expiry<'_> {
    /// `Set-Cookie` fields that delete denied cookies: on the host and on
    /// every parent domain up to the registrable one, since a script may have
    /// set them there. `HttpOnly` makes no difference to a deletion, and
    /// `Partitioned` does ("CHIPS", a partitioned cookie is another cookie).
    #[must_use]
    pub fn fields(&self, names: &[String]) -> Vec<HeaderValue> {
        let names = names.get(..MAX_NAMES.min(names.len())).unwrap_or_default();
        let domains = domains(self.host);
        let everywhere = |path: &str, partitioned: bool| {
            let mut fields = Vec::new();
            for name in names {
                // Such a cookie has no domain and the path `/` (RFC 6265bis, 4.1.3.2).
                let host_only = name.starts_with("__Host-");
                let most = if host_only { 1 } else { domains.len() };
                for domain in domains.iter().take(most).filter(|_| !host_only || path == "/") {
                    fields.extend(expired(name, path, domain, self.secure, partitioned));
                }
            }
            fields
        };
        let mut fields = everywhere("/", false);
        if self.secure {
            fields.extend(everywhere("/", true));
        }
        let known = self.places.of(self.host);
        let known = known.iter().filter(|place| names.contains(&place.name));
        fields.extend(known.filter_map(|place| place.field(self.secure)));
        for prefix in prefixes(self.path) {
            fields.extend(everywhere(prefix, false));
            if self.secure {
                fields.extend(everywhere(prefix, true));
            }
        }
        fields.truncate(MAX_FIELDS);
        fields
    }

    /// The same for cookies that the browser did not send, because they were
    /// seen to be set for another part of the site.
    #[must_use]
    pub fn elsewhere(&self, is_denied: impl Fn(&str) -> bool) -> Vec<HeaderValue> {
        let known = self.places.of(self.host);
        let denied = known.iter().filter(|place| is_denied(&place.name));
        denied.filter_map(|place| place.field(self.secure)).take(MAX_ELSEWHERE).collect()
    }
}

fn expired(
    name: &str,
    path: &str,
    domain: &str,
    secure: bool,
    partitioned: bool,
) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let partitioned = if partitioned { "; Partitioned" } else { "" };
    // Max-Age outweighs Expires, and no browser since 2011 does without it.
    let field = format!("{name}=; Path={path}{domain}; Max-Age=0{secure}{partitioned}");
    HeaderValue::from_str(&field).ok()
}

/// The `Domain` attributes under which this host may have cookies; none first.
fn domains(host: &str) -> Vec<String> {
    let mut domains = vec![String::new()];
    let Some(top) = registrable(host) else { return domains };
    let mut suffix = host;
    loop {
        domains.push(format!("; Domain={suffix}"));
        if suffix == top {
            return domains;
        }
        match suffix.split_once('.') {
            Some((_, parent)) => suffix = parent,
            None => return domains,
        }
    }
}

/// The paths other than `/` whose cookies go with a request for `path`, with
/// and without a slash at the end: to a browser these are two (RFC 6265, 5.1.4).
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').skip(1).flat_map(|(at, _)| [at, at + 1]);
    ends.chain([path.len()])
        .filter_map(|end| path.get(..end))
        .filter(|prefix| prefix.len() > 1 && !prefix.contains(';'))
        .take(MAX_PREFIXES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(expiry: &Expiry<'_>, names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let text = |field: HeaderValue| field.to_str().unwrap().to_owned();
        expiry.fields(&names).into_iter().map(text).collect()
    }

    #[test]
    fn c3_denied_cookies_are_expired_on_host_and_parents() {
        let places = CookiePlaces::default();
        let expiry = Expiry { host: "www.shop.example", path: "/", secure: false, places: &places };
        assert_eq!(
            fields(&expiry, &["_acme", "__Host-_acme"]),
            [
                "_acme=; Path=/; Max-Age=0",
                "_acme=; Path=/; Domain=www.shop.example; Max-Age=0",
                "_acme=; Path=/; Domain=shop.example; Max-Age=0",
                "__Host-_acme=; Path=/; Max-Age=0",
            ]
        );
        let secure = fields(&Expiry { secure: true, ..expiry }, &["_acme"]);
        assert_eq!(secure.len(), 6);
        assert_eq!(
            secure[5],
            "_acme=; Path=/; Domain=shop.example; Max-Age=0; Secure; Partitioned"
        );
        assert_eq!(fields(&Expiry { host: "127.0.0.1", ..expiry }, &["_acme"]).len(), 1);
    }

    #[test]
    fn c3_a_cookie_goes_on_every_path_that_a_browser_sends_it_for() {
        let places = CookiePlaces::default();
        let expiry =
            Expiry { host: "localhost", path: "/de/tea/x", secure: false, places: &places };
        let paths = |path: &str, name: &str| {
            let all = fields(&Expiry { path, ..expiry }, &[name]);
            let path = |field: &String| {
                field.split("Path=").nth(1).unwrap().split(';').next().unwrap().to_owned()
            };
            all.iter().map(path).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(paths("/de/tea/x", "_ga"), "/ /de /de/ /de/tea /de/tea/ /de/tea/x");
        assert_eq!(paths("/de/", "_ga"), "/ /de /de/ /de/");
        assert_eq!(paths("/", "_ga"), "/");
        assert_eq!(paths("/a;b/c", "_ga"), "/");
        assert_eq!(paths("/de/tea", "__Host-_ga"), "/");
        assert!(paths(&"/a".repeat(5_000), "_ga").len() < 100);
    }

    #[test]
    fn c3_what_was_seen_to_be_set_elsewhere_is_expired_there() {
        let places = CookiePlaces::default();
        for (page, field) in [
            ("/account/start", "_ga=1; Path=/account; Domain=.shop.example; HttpOnly"),
            ("/account/start", "_fbp=1; Secure; Partitioned"),
            ("/account/start", "_ga=1; Path=/account; Domain=.shop.example"),
            ("/account/start", "_other=1; Path=/"),
            ("/account/start", "_other=1; Path=/u/jane17"),
            ("/start", "_other=1"),
        ] {
            let name = field.split('=').next().unwrap();
            places.note("www.shop.example", page, name, field);
        }
        let expiry = Expiry { host: "www.shop.example", path: "/", secure: false, places: &places };
        let elsewhere = |expiry: Expiry<'_>| expiry.elsewhere(|name| name == "_fbp");
        assert_eq!(elsewhere(expiry), ["_fbp=; Path=/account; Max-Age=0; Partitioned"]);
        let other = Expiry { host: "other.example", ..expiry };
        assert!(elsewhere(other).is_empty(), "one tenant tells another nothing");
        let all = fields(&expiry, &["_ga", "_fbp"]);
        assert_eq!(
            all[6..],
            [
                "_ga=; Path=/account; Domain=shop.example; Max-Age=0",
                "_fbp=; Path=/account; Max-Age=0; Partitioned",
            ]
        );
    }

    #[test]
    fn places_and_fields_are_bounded() {
        let places = CookiePlaces::default();
        let word = |number: usize| {
            let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap());
            format!("/{}{}{}", letter(number), letter(number / 26), letter(number / 676))
        };
        for number in 0..500 {
            places.note("h", "/", "_ga", &format!("_ga=1; Path={}", word(number)));
            places.note(&format!("h{number}"), "/", "_ga", "_ga=1; Path=/x");
        }
        assert_eq!(places.of("h").len(), MAX_PLACES);
        let names: Vec<String> = (0..500).map(|number| format!("_ga_{number}")).collect();
        let expiry = Expiry {
            host: "a.b.c.d.shop.example",
            path: "/a/b/c/d",
            secure: true,
            places: &places,
        };
        assert_eq!(expiry.fields(&names).len(), MAX_FIELDS);
    }
}
