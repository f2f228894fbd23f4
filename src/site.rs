//! What one protected site is made of, and which site a host belongs to.

mod origins;
mod ownership;
mod script_api;
mod sharing;

pub use origins::{
    Change, Chosen, Failure, Health, Http2, MOST_ORIGINS, Origin, OriginSet, Origins,
};
pub use ownership::Ownership;
pub use script_api::{Bridge, ScriptApi};
pub use sharing::{ChoiceCookie, Sharing};

use crate::catalogue::{Catalogue, Lists};
use crate::consent;
use crate::enforce::browser::{GoogleConsent, GuardFiles, Memory};
use crate::notice::{Languages, Theme};
use crate::policy::{Aliases, Mode, PathPattern, Policy, Unlisted};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use std::collections::HashMap;
use std::sync::Arc;

/// What a visitor is told on the notice and the choices page.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The operator's name as a visitor knows it; empty for the host's.
    pub operator: String,
    /// Address of the privacy policy; empty for no link.
    pub policy_url: String,
    /// In which languages.
    pub languages: Arc<Languages>,
    /// The vendors that the operator says the site uses, by id and in order;
    /// none where nobody said so.
    pub vendors: Vec<String>,
    /// How it looks.
    pub theme: Arc<Theme>,
}

/// Everything the hot path needs to know of one site.
#[derive(Clone, Debug)]
pub struct Site {
    /// The name in ledger, logs and metrics.
    pub name: Arc<str>,
    /// The hosts it answers to; empty for any.
    pub hosts: Vec<String>,
    /// The servers behind it.
    pub origins: Arc<Origins>,
    /// What may pass.
    pub policy: Arc<Policy>,
    /// Whether verdicts are carried out.
    pub mode: Mode,
    /// For how many of a hundred visitors who say nothing; nothing is withheld
    /// from the others.
    pub enforce_share: u8,
    /// How consent is taken.
    pub consent: consent::Settings,
    /// Which hosts share a choice.
    pub sharing: Sharing,
    /// What visitors are told.
    pub notice: Notice,
    /// Where our own pages live: `/.consentry`.
    pub own_prefix: Arc<str>,
    /// Whether the origin sees only the first part of a visitor's address
    /// until they agree to personalization.
    pub address_truncated: bool,
    /// Whether pages carry a Content-Security-Policy of ours.
    pub browser_policy: bool,
    /// Whether what became of a page is remembered for the next visitor who
    /// gets the same one.
    pub remembers_pages: bool,
    /// The scripts that keep holding in the browser.
    pub guard: Arc<GuardFiles>,
    /// What the site's own scripts can ask and do.
    pub api: Arc<ScriptApi>,
    /// Which pages tell Google's tags what the visitor agreed to.
    pub google_consent: GoogleConsent,
    /// What the site's pages have taught us.
    pub memory: Arc<Memory>,
    /// Whether markup that waits for another consent tool is made live here.
    pub cmp_markup: bool,
    /// Whether our notice stays away from pages with another consent tool.
    pub beside_other_cmp: bool,
    /// Pages for which something else holds; the first that fits counts.
    pub routes: Vec<Route>,
    /// Pages that are passed on unfiltered where they cannot be rewritten.
    pub pass_unfilterable: Vec<PathPattern>,
    /// Who answers for the vendors on it.
    pub ownerships: Vec<Ownership>,
}

/// Pages of a site for which something else holds than for the others.
#[derive(Clone, Debug)]
pub struct Route {
    /// Their paths.
    pub path: PathPattern,
    /// Whether verdicts are carried out, if the site's mode is not meant.
    pub mode: Option<Mode>,
    /// What happens to third parties that nobody claims, if it is not what the
    /// site does.
    pub unlisted: Option<Unlisted>,
    /// For how many of a hundred visitors verdicts are carried out, if it is not
    /// for as many as elsewhere on the site.
    pub enforce_share: Option<u8>,
}

/// What holds for one page on one day.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What may pass.
    pub policy: Arc<Policy>,
    /// Whether verdicts are carried out.
    pub mode: Mode,
    /// Whether that depends on who asks, so that no cache may mix the answers.
    pub by_lot: bool,
    /// Whether a page that cannot be rewritten is passed on as it is.
    pub pass_unfilterable: bool,
}

impl Site {
    /// Who answers for the vendor of that id, if anybody does.
    #[must_use]
    pub fn ownership(&self, vendor: &str) -> Option<&Ownership> {
        ownership::find(&self.ownerships, vendor)
    }

    /// The same for somebody on `host` who is shown what visitors are, and is
    /// to teach the site nothing: the synthetic visitor.
    #[must_use]
    pub fn with_memory_apart(&self, host: &str) -> Self {
        Self { memory: Arc::new(self.memory.copy_for(host)), ..self.clone() }
    }

    /// Whether verdicts are carried out on every page, for everybody, about every
    /// vendor.
    #[must_use]
    pub fn holds_everywhere(&self) -> bool {
        let holds = |mode: Option<Mode>, share: Option<u8>| {
            share.unwrap_or(self.enforce_share) >= 100 && mode.unwrap_or(self.mode).enforces()
        };
        !self.policy.observed().is_any()
            && holds(None, None)
            && self.routes.iter().all(|route| holds(route.mode, route.enforce_share))
    }

    /// Whether third parties that nobody claims are withheld on every page
    /// where verdicts are carried out.
    #[must_use]
    pub fn holds_unlisted(&self) -> bool {
        let holds = |mode: Option<Mode>, unlisted: Option<Unlisted>| {
            mode.unwrap_or(self.mode) != Mode::Safe
                && unlisted.unwrap_or(self.policy.unlisted()) == Unlisted::Block
        };
        holds(None, None) && self.routes.iter().all(|route| holds(route.mode, route.unlisted))
    }

    /// What holds for the page at `path`, `today`. `lot` says where among a
    /// hundred the visitor stands; it is asked only where that matters.
    #[must_use]
    pub fn rules(&self, path: &str, today: Date, lot: impl FnOnce() -> u8) -> Rules {
        let route = self.routes.iter().find(|route| route.path.matches(path));
        let mode = route.and_then(|route| route.mode).unwrap_or(self.mode);
        let unlisted = route.and_then(|route| route.unlisted).unwrap_or(self.policy.unlisted());
        let share = route.and_then(|route| route.enforce_share).unwrap_or(self.enforce_share);
        let by_lot = mode.enforces() && (1..100).contains(&share);
        let mode = if share == 0 || (by_lot && lot() >= share) { Mode::Observe } else { mode };
        let policy = if self.policy.is_for_all_pages(mode, unlisted) {
            Arc::clone(&self.policy)
        } else {
            Arc::new(self.policy.on_page(path, today).in_mode(mode, unlisted))
        };
        Rules {
            policy,
            mode,
            by_lot,
            pass_unfilterable: self.pass_unfilterable.iter().any(|paths| paths.matches(path)),
        }
    }
}

/// The day it is in UTC, for [`Site::rules`]; `now_s` is the time in seconds
/// since 1970.
#[must_use]
pub fn day_of(now_s: u64) -> Date {
    i64::try_from(now_s)
        .ok()
        .and_then(|now| Timestamp::from_second(now).ok())
        // A clock that cannot be read ends every exception.
        .map_or(Date::MAX, |now| Offset::UTC.to_datetime(now).date())
}

/// All sites, by host.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    by_host: HashMap<String, Arc<Site>>,
    any: Option<Arc<Site>>,
}

/// Two sites claim one host.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the host `{host}` belongs to both `{first}` and `{second}`")]
pub struct HostTaken {
    /// The host; `*` stands for any.
    pub host: String,
    /// The site that has it.
    pub first: String,
    /// The site that wants it, too.
    pub second: String,
}

impl Sites {
    /// Adds a site.
    ///
    /// # Errors
    /// When one of its hosts is taken.
    pub fn insert(&mut self, site: Site) -> Result<(), HostTaken> {
        let taken = |host: &str, other: &Site| HostTaken {
            host: host.to_owned(),
            first: other.name.to_string(),
            second: site.name.to_string(),
        };
        if site.hosts.is_empty() {
            if let Some(other) = &self.any {
                return Err(taken("*", other));
            }
            self.any = Some(Arc::new(site));
            return Ok(());
        }
        if let Some((host, other)) =
            site.hosts.iter().find_map(|host| Some((host, self.by_host.get(host)?)))
        {
            return Err(taken(host, other));
        }
        let hosts = site.hosts.clone();
        let site = Arc::new(site);
        self.by_host.extend(hosts.into_iter().map(|host| (host, Arc::clone(&site))));
        Ok(())
    }

    /// The site that a host belongs to; `host` in lower case, without a port.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<&Arc<Site>> {
        self.by_host.get(host).or(self.any.as_ref())
    }

    /// What is known of own names; all sites share it.
    #[must_use]
    pub fn aliases(&self) -> Option<&Arc<Aliases>> {
        self.by_host.values().chain(&self.any).find_map(|site| site.policy.aliases())
    }

    /// The same sites, with other filter lists behind their catalogues.
    #[must_use]
    pub fn with_lists(&self, lists: &Arc<Lists>) -> Self {
        // Sites share a catalogue; afterwards, they still do.
        let mut catalogues: Vec<(Arc<Catalogue>, Arc<Catalogue>)> = Vec::new();
        let mut changed: HashMap<Arc<str>, Arc<Site>> = HashMap::new();
        for site in self.iter() {
            let before = site.policy.shared_catalogue();
            let known = catalogues.iter().find(|(old, _)| Arc::ptr_eq(old, before));
            let after = match known {
                Some((_, new)) => Arc::clone(new),
                None => {
                    let new = Catalogue::clone(before).with_lists(Arc::clone(lists));
                    let new = Arc::new(new);
                    catalogues.push((Arc::clone(before), Arc::clone(&new)));
                    new
                }
            };
            let policy = site.policy.with_catalogue(after);
            let memory = Arc::new(site.memory.for_other_rules());
            let site = Site { policy: policy.into(), memory, ..(**site).clone() };
            changed.insert(Arc::clone(&site.name), Arc::new(site));
        }
        let fresh = |site: &Arc<Site>| Arc::clone(changed.get(&site.name).unwrap_or(site));
        Self {
            by_host: self.by_host.iter().map(|(host, site)| (host.clone(), fresh(site))).collect(),
            any: self.any.as_ref().map(fresh),
        }
    }

    /// Keeps what is known of the origins that were asked before.
    pub fn adopt_origins(&self, before: &Self) {
        let known: HashMap<_, _> = before.iter().map(|site| (&site.name, site)).collect();
        for site in self.iter() {
            if let Some(known) = known.get(&site.name) {
                site.origins.adopt(&known.origins);
            }
        }
    }

    /// Every site once.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Site>> {
        let mut sites: Vec<_> = self.by_host.values().chain(&self.any).collect();
        sites.sort_by(|a, b| a.name.cmp(&b.name));
        sites.dedup_by(|a, b| a.name == b.name);
        sites.into_iter()
    }
}
