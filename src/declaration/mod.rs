//! Whom a site's visitors have to be told of: the services and cookies that
//! were really met, not those that somebody once wrote down.
//!
//! The officer's page and the visitors' come from here. An officer sees
//! everything; what is said in public is in the catalogue's words, and names
//! nothing that a stranger could have put there.

mod kept;

pub use kept::{Declarations, Task};

use crate::catalogue::{Catalogue, Vendor};
use crate::ledger::Error;
use crate::ledger::figures::newcomers::Seen;
use crate::ledger::figures::vendors::OfVendor;
use crate::ledger::figures::{Figures, Period};
use crate::policy::{Effect, Policy};
use crate::purpose::Purpose;

use jiff::civil::Date;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How far back it looks unless somebody asks for another time.
pub const DAYS: u32 = 30;

/// More cookies or hosts than anybody would read.
const MOST: u32 = 2000;

/// More services than a visitor would read; how many are left out is said.
const MOST_SERVICES: usize = 400;

/// More cookies of the site itself than a visitor would read, likewise.
const MOST_COOKIES: usize = 100;

/// What was met in a period, on one site or all.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// When.
    pub period: Period,
    /// The services, whom most was held back from first.
    pub services: Vec<Service>,
    /// The cookies, by name.
    pub cookies: Vec<Seen>,
    /// Third parties that nobody claims, the newest first.
    pub unlisted: Vec<Seen>,
}

/// A service that was met.
#[derive(Clone, Debug)]
pub struct Service {
    /// What the ledger knows of it.
    pub met: OfVendor,
    /// What the catalogue knows of it; nothing where it is not in there.
    pub vendor: Option<Arc<Vendor>>,
    /// Its cookies that were met, as the catalogue writes their names.
    pub cookies: Vec<String>,
    /// How we know that it was there.
    pub evidence: Evidence,
}

/// How we know that a service was on a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It stood in an answer of the site.
    Site,
    /// A browser said so: it reported it, held a cookie of it, or asked for one
    /// of its paths. Anybody can make that up.
    Browsers,
    /// Somebody came by a link, or with a browser, that has something of it.
    /// That says nothing of the site.
    BroughtAlong,
}

impl Declaration {
    /// What was met in a period on the site of that name, or on all of them.
    /// What the first of the `catalogues` knows of a service counts.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn derive(
        figures: &Figures,
        catalogues: &[&Catalogue],
        period: Period,
        site: Option<&str>,
    ) -> Result<Self, Error> {
        let cookies = figures.met("cookie", period, site, MOST)?;
        let kinds = figures.kinds_met(period, site)?;
        let reported = figures.only_reported(site)?;
        let sent = figures.cookies_sent(period, site)?;
        let services = figures.vendors(period, site)?.into_iter();
        let services = services.filter(|met| !met.vendor_id.is_empty()).map(|met| {
            let id = &met.vendor_id;
            let vendor = catalogues.iter().find_map(|catalogue| catalogue.vendor(id)).cloned();
            let kinds = kinds.iter().filter(|(of, _)| of == id).map(|(_, kind)| kind.as_str());
            let evidence = Evidence::of(kinds, reported.contains(id), sent.contains(id));
            let cookies = cookies.iter().filter(|cookie| cookie.vendor_id == *id);
            let cookies = vendor.as_ref().map_or_else(Vec::new, |vendor| written(vendor, cookies));
            Service { met, vendor, cookies, evidence }
        });
        let unlisted = figures.unlisted(site, MOST, |seen| {
            seen.last_ms >= period.from_ms() && seen.first_ms < period.until_ms()
        })?;
        Ok(Self { period, services: services.collect(), cookies, unlisted })
    }

    /// Whether anything passed before anybody agreed, because verdicts were
    /// only recorded.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.services.iter().any(|service| service.met.parts.would_withhold > 0)
    }

    /// What visitors are told of it. `declared` are the ids of the services
    /// that the operator says the site uses; none where nobody said so.
    #[must_use]
    pub fn for_visitors(self, declared: &[String]) -> Told {
        let mut services: Vec<Service> =
            self.services.into_iter().filter(|service| service.is_told(declared)).collect();
        let more_services = services.len().saturating_sub(MOST_SERVICES);
        services.truncate(MOST_SERVICES);
        services.sort_by_cached_key(|service| {
            (service.name().to_lowercase(), service.met.vendor_id.clone())
        });
        let own = self.cookies.into_iter().filter(|cookie| cookie.vendor_id.is_empty());
        // One name can stand there twice, for two paths of it.
        let mut cookies: Vec<String> =
            own.map(|cookie| cookie.name).collect::<BTreeSet<_>>().into_iter().collect();
        let more_cookies = cookies.len().saturating_sub(MOST_COOKIES);
        cookies.truncate(MOST_COOKIES);
        Told {
            until: self.period.last_day(),
            services,
            more_services,
            cookies,
            more_cookies,
            unnamed: self.unlisted.len(),
        }
    }
}

impl Service {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.vendor.as_ref().map_or(&self.met.vendor, |vendor| &vendor.name)
    }

    /// The purpose to name first.
    #[must_use]
    pub fn purpose(&self) -> Option<Purpose> {
        let met = || self.met.purposes.iter().find_map(|name| Purpose::from_name(name));
        self.vendor.as_ref().map(|vendor| vendor.purpose).or_else(met)
    }

    /// Whether an exception of `policy` lets something of it pass, on some
    /// page, for which nobody was asked.
    #[must_use]
    pub fn is_excepted(&self, policy: &Policy, today: Date) -> bool {
        if self.purpose() == Some(Purpose::Necessary) {
            return false;
        }
        let vendor = self.vendor.as_ref();
        let is_of = |host: &str| {
            let mut known =
                vendor.into_iter().flat_map(|vendor| policy.catalogue().hosts_of(vendor));
            known.any(|known| match known.strip_prefix("*.") {
                Some(parent) => is_under(parent, host) || is_under(host, parent),
                None => is_under(known, host),
            })
        };
        policy.exceptions().iter().any(|exception| {
            let scope = &exception.scope;
            exception.effect == Effect::Allow
                && exception.holds_on(today)
                // A path alone is one of the site itself.
                && (scope.path.is_none() || scope.host.is_some() || scope.vendor.is_some())
                && scope.vendor.as_ref().is_none_or(|id| *id == self.met.vendor_id)
                && scope.host.as_ref().is_none_or(|host| is_of(host))
                && scope.cookie.as_ref().is_none_or(|name| self.cookies.contains(name))
        })
    }

    /// Whether visitors are told of it. What only browsers say is believed
    /// unless the operator has said who is there.
    fn is_told(&self, declared: &[String]) -> bool {
        let is_there = match self.evidence {
            Evidence::Site => true,
            Evidence::Browsers => declared.is_empty() || declared.contains(&self.met.vendor_id),
            Evidence::BroughtAlong => false,
        };
        is_there && self.purpose().is_some()
    }
}

fn is_under(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl Evidence {
    /// `kinds` are what a service was met with. Whether nothing but reports
    /// speak for it, and whether the site set its cookies, says more.
    fn of<'k>(kinds: impl Iterator<Item = &'k str>, reported: bool, sent: bool) -> Self {
        let of_one = |kind: &str| match kind {
            "parameter" | "header" | "address" => Self::BroughtAlong,
            "cookie" if sent => Self::Site,
            "cookie" | "own-path" => Self::Browsers,
            _ if reported => Self::Browsers,
            _ => Self::Site,
        };
        kinds.map(of_one).fold(Self::BroughtAlong, |best, one| match (best, one) {
            (Self::Site, _) | (_, Self::Site) => Self::Site,
            (Self::Browsers, _) | (_, Self::Browsers) => Self::Browsers,
            (Self::BroughtAlong, Self::BroughtAlong) => Self::BroughtAlong,
        })
    }
}

/// The names of a vendor's cookies in the catalogue that `met` ones fit: what
/// takes the place of a `*` there may be somebody's, or somebody's invention.
fn written<'c>(vendor: &Vendor, met: impl Iterator<Item = &'c Seen>) -> Vec<String> {
    let met: Vec<&str> = met.map(|cookie| cookie.name.as_str()).collect();
    let fits = |pattern: &&String| {
        met.iter().any(|name| match pattern.split_once('*') {
            None => name == pattern,
            Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| rest.ends_with(tail)),
        })
    };
    vendor.cookies.iter().filter(fits).cloned().collect()
}

/// What visitors of a site are told. Nothing in it is about any of them.
#[derive(Clone, Debug)]
pub struct Told {
    /// The last day that was looked at.
    pub until: Date,
    /// The services, by name.
    pub services: Vec<Service>,
    /// How many more there are.
    pub more_services: usize,
    /// The cookies that the site itself sets.
    pub cookies: Vec<String>,
    /// How many more there are.
    pub more_cookies: usize,
    /// How many third parties were met that nobody has named.
    pub unnamed: usize,
}

#[cfg(test)]
mod tests;
