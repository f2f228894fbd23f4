//! Checks the sites and compiles them.

use crate::catalogue::{Catalogue, SourceFile};
use crate::config::exceptions::{self, OfSite};
use crate::config::file::is_set;
use crate::config::findings::Findings;
use crate::config::notice::{self, Asked};
use crate::config::origins;
use crate::config::scripts;
use crate::config::signals;
use crate::config::written_site;
use crate::consent;
use crate::enforce::StatementKey;
use crate::enforce::browser::GuardFiles;
use crate::notice::{revision, revision_of_all};
use crate::policy::{Aliases, Mode, Observed, PathPattern, Policy, Unlisted};
use crate::site::{Notice, Ownership, Route, ScriptApi, Sharing, Site, Sites};

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use toml::Spanned;
use url::{Host, Url};

/// What all sites have in common.
pub(super) struct Shared<'s> {
    pub(super) catalogue: &'s Arc<Catalogue>,
    /// What the catalogue was compiled from.
    pub(super) sources: &'s [SourceFile],
    pub(super) consent: consent::Settings,
    /// What statements to origins are signed with.
    pub(super) statement_key: Option<StatementKey>,
    /// What is said about the notice of all sites, and what came of it.
    pub(super) notice: &'s notice::Notice,
    pub(super) asked: Asked,
    pub(super) guard: Arc<GuardFiles>,
    pub(super) exceptions: &'s [OfSite],
    pub(super) ownerships: &'s [Ownership],
    pub(super) pass_unfilterable: Vec<PathPattern>,
    pub(super) google_pings: bool,
    /// What is known of own names, if they are looked up.
    pub(super) aliases: Option<Arc<Aliases>>,
}

pub(super) fn compile(
    written: &[Spanned<written_site::Site>],
    shared: &Shared<'_>,
    findings: &mut Findings<'_>,
) -> Sites {
    let mut sites = Sites::default();
    let mut names = HashSet::new();
    if written.is_empty() {
        origins::none(None, findings);
    }
    let mut compiled: Vec<_> =
        written.iter().filter_map(|entry| Some((entry, site(entry, shared, findings)?))).collect();
    ask_groups_the_same(&mut compiled);
    for (entry, site) in compiled {
        let sharing = sharing(entry.get_ref(), &site, written, findings);
        let site = Site { sharing, ..site };
        let name = Arc::clone(&site.name);
        if let Err(taken) = sites.insert(site) {
            host_taken(&taken, entry, findings);
        } else if !names.insert(Arc::clone(&name)) {
            let written = entry.get_ref();
            let advice = "give one of them another `name`: ledger and consent cookies tell sites apart by it";
            let place =
                if written.name.get_ref().is_empty() { entry.span() } else { written.name.span() };
            findings.wrong_with_advice(
                &Spanned::new(place, ()),
                format!("a second site is called `{name}`"),
                advice,
            );
        }
    }
    sites
}

/// Gives the sites of a group one revision: their visitors have one choice,
/// which would otherwise be an older one on each of them in turn.
fn ask_groups_the_same(sites: &mut [(&Spanned<written_site::Site>, Site)]) {
    let group =
        |entry: &Spanned<written_site::Site>| entry.get_ref().choice_group.get_ref().clone();
    let mut asked: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (entry, site) in sites.iter() {
        asked.entry(group(entry)).or_default().push(site.consent.notice_revision);
    }
    for (entry, site) in sites {
        let group = group(entry);
        if let Some(revisions) = asked.get(&group).filter(|_| !group.is_empty()) {
            site.consent.notice_revision = revision_of_all(revisions);
        }
    }
}

/// Who shares a choice with this site's visitors. A site that answers to any
/// host may have any number of owners, so there every host is alone.
fn sharing(
    entry: &written_site::Site,
    site: &Site,
    all: &[Spanned<written_site::Site>],
    findings: &mut Findings<'_>,
) -> Sharing {
    let group = entry.choice_group.get_ref();
    if group.chars().any(char::is_control) || group.chars().count() > 100 {
        findings
            .wrong(&entry.choice_group, "a group has up to 100 characters, all of them visible");
    }
    if !group.is_empty() && (!entry.share_choice || site.hosts.is_empty()) {
        findings.wrong_with_advice(
            &entry.choice_group,
            format!("the group `{group}` is to share choices, and this site's hosts do not"),
            "list the `hosts` and leave `share_choice` on, or leave the group out",
        );
    }
    if site.hosts.is_empty() || !entry.share_choice {
        return Sharing::Apart;
    }
    if group.is_empty() {
        return Sharing::among(&site.name, site.hosts.iter().map(String::as_str));
    }
    let members =
        all.iter().map(Spanned::get_ref).filter(|other| other.choice_group.get_ref() == group);
    let hosts: Vec<String> = members
        .flat_map(|other| &other.hosts)
        .filter_map(|host| read_host(host.get_ref()).ok())
        .collect();
    // No site's name holds a control character, so a group is no site.
    Sharing::among(&format!("\0group {group}"), hosts.iter().map(String::as_str))
}

fn host_taken(
    taken: &crate::site::HostTaken,
    entry: &Spanned<written_site::Site>,
    findings: &mut Findings<'_>,
) {
    let (first, second) = (&taken.first, &taken.second);
    let is_it =
        |host: &&Spanned<String>| read_host(host.get_ref()).is_ok_and(|host| host == taken.host);
    match entry.get_ref().hosts.iter().find(is_it) {
        Some(host) => {
            findings.wrong_with_advice(host, taken.to_string(), "leave it to one of them")
        }
        None => findings.wrong_with_advice(
            entry,
            format!("both `{first}` and `{second}` answer to any host"),
            "list the `hosts` of one of them",
        ),
    }
}

/// `None` when the site has a mistake that leaves nothing to compile.
fn site(
    entry: &Spanned<written_site::Site>,
    shared: &Shared<'_>,
    findings: &mut Findings<'_>,
) -> Option<Site> {
    let written = entry.get_ref();
    let hosts = hosts(&written.hosts, findings);
    let name = name(written, hosts.as_deref(), findings);
    let mut origins = origins::compile(entry, &name, findings);
    if let Some(origins) = &mut origins {
        origins.statement_key.clone_from(&shared.statement_key);
    }
    let own_prefix = own_prefix(&written.own_prefix, findings);
    policy_url(&written.policy_url, findings);
    let asked = notice::for_one(&written.notice, shared.notice, &shared.asked, findings);
    let vendors = vendors(&written.vendors, shared.catalogue, findings);
    let notice_revision = revision(shared.consent.notice_revision, &asked.languages, &vendors);
    let routes = routes(&written.route, findings);
    let enforce_share = findings.number(&written.enforce_share, 0..=100);
    let observed = observed(written, shared.catalogue, findings);
    let exceptions: Vec<_> = shared
        .exceptions
        .iter()
        .filter(|(site, _)| site.is_empty() || **site == *name)
        .map(|(_, exception)| Arc::clone(exception))
        .collect();
    let ownerships = shared.ownerships.iter();
    let ownerships = ownerships.filter(|said| said.site.is_empty() || *said.site == *name);
    let ownerships = ownerships.cloned().collect();
    // What a page is besides its own: a browser that keeps one of before asks for it anew.
    let told = (written.google_consent.get_ref(), shared.google_pings, written.script_api);
    let carried_out = (written.mode, enforce_share, &observed);
    let rules = format!("{exceptions:?}{routes:?}{carried_out:?}{told:?}");
    let policy = policy(written, shared, &rules)
        .with_exceptions(exceptions)
        .with_observed(observed)
        .with_google_pings(shared.google_pings);
    let bridges = scripts::bridges(&written.bridges, findings);
    Some(Site {
        name,
        hosts: hosts?,
        origins: Arc::new(origins?),
        policy: policy.into(),
        mode: written.mode,
        enforce_share,
        consent: consent::Settings {
            notice_revision,
            signals: signals::signals(written, &bridges, findings),
            ..shared.consent.clone()
        },
        sharing: Sharing::Apart,
        notice: Notice {
            operator: written.operator.clone(),
            policy_url: written.policy_url.get_ref().clone(),
            languages: asked.languages,
            theme: asked.theme,
            vendors,
        },
        api: Arc::new(ScriptApi::new(&own_prefix, &bridges, written.script_api)),
        own_prefix,
        address_truncated: written.address_truncated,
        browser_policy: written.browser_policy,
        remembers_pages: written.remember_pages,
        guard: Arc::clone(&shared.guard),
        google_consent: scripts::google_consent(&written.google_consent, findings),
        memory: Arc::default(),
        cmp_markup: written.cmp_markup,
        beside_other_cmp: match written.other_cmp.get_ref().as_str() {
            "auto" => true,
            "ignore" => false,
            other => {
                let message = format!("`{other}`: other_cmp is `auto` or `ignore`");
                findings.wrong(&written.other_cmp, message);
                true
            }
        },
        routes,
        pass_unfilterable: shared.pass_unfilterable.clone(),
        ownerships,
    })
}

/// The ids of the vendors that a site says it uses, in order.
fn vendors(
    written: &[Spanned<String>],
    catalogue: &Catalogue,
    findings: &mut Findings<'_>,
) -> Vec<String> {
    let mut ids = Vec::new();
    for id in written {
        if catalogue.vendor(id.get_ref()).is_some() {
            ids.push(id.get_ref().clone());
        } else {
            exceptions::no_such_vendor(id, catalogue, findings);
        }
    }
    ids.sort();
    ids.dedup();
    ids
}

/// The vendors whose verdicts are only recorded.
fn observed(
    written: &written_site::Site,
    catalogue: &Catalogue,
    findings: &mut Findings<'_>,
) -> Observed {
    let (observe, enforce) = (&written.observe_vendors, &written.enforce_vendors);
    if let (Some(first), false) = (enforce.first(), observe.is_empty()) {
        findings.wrong_with_advice(
            first,
            "`enforce_vendors` observes all other vendors already",
            "leave out `observe_vendors`, or `enforce_vendors`",
        );
    }
    let ids = |written: &[Spanned<String>], findings: &mut Findings<'_>| {
        vendors(written, catalogue, findings).into_iter().collect()
    };
    match (observe.is_empty(), enforce.is_empty()) {
        (true, true) => Observed::Nobody,
        (_, false) => Observed::AllBut(ids(enforce, findings)),
        (false, true) => Observed::These(ids(observe, findings)),
    }
}

fn routes(written: &[Spanned<written_site::Route>], findings: &mut Findings<'_>) -> Vec<Route> {
    let mut routes = Vec::new();
    for entry in written {
        let route = entry.get_ref();
        if route.path.get_ref().is_empty() {
            let advice = "write the paths it is for: path = \"/checkout\"";
            findings.wrong_with_advice(entry, "a route without `path`", advice);
        }
        let mode = match route.mode.get_ref().as_str() {
            "" => None,
            "enforce" => Some(Mode::Enforce),
            "observe" => Some(Mode::Observe),
            "safe" => Some(Mode::Safe),
            other => {
                let message = format!("`{other}`: a mode is `enforce`, `observe` or `safe`");
                findings.wrong(&route.mode, message);
                None
            }
        };
        let unlisted = match route.unlisted.get_ref().as_str() {
            "" => None,
            "allow" => Some(Unlisted::Allow),
            "observe" => Some(Unlisted::Observe),
            "block" => Some(Unlisted::Block),
            other => {
                let message = format!("`{other}`: unlisted is `allow`, `observe` or `block`");
                findings.wrong(&route.unlisted, message);
                None
            }
        };
        let share = findings.number(&route.enforce_share, 0..=100);
        let enforce_share = is_set(&route.enforce_share).then_some(share);
        if let Some(path) = exceptions::path(&route.path, findings) {
            routes.push(Route { path, mode, unlisted, enforce_share });
        }
    }
    routes
}

/// The policy of a site; `rules` is everything its verdicts depend on beside
/// the catalogue.
fn policy(written: &written_site::Site, shared: &Shared<'_>, rules: &str) -> Policy {
    let sources = shared.sources.iter().map(|source| source.text.as_str());
    let inputs: Vec<&str> = sources.chain([rules]).collect();
    let policy = Policy::new(Arc::clone(shared.catalogue), written.unlisted, &inputs);
    match &shared.aliases {
        Some(aliases) => policy.with_aliases(Arc::clone(aliases)),
        None => policy,
    }
}

/// The names that all sites expect to be aliases.
pub(super) fn expected_aliases(
    written: &[Spanned<written_site::Site>],
    findings: &mut Findings<'_>,
) -> Vec<String> {
    let mut names = Vec::new();
    for name in written.iter().flat_map(|site| &site.get_ref().aliases) {
        match read_host(name.get_ref()) {
            Ok(host) => names.push(host),
            Err((message, advice)) => findings.wrong_with_advice(name, message, advice),
        }
    }
    names
}

fn name(
    written: &written_site::Site,
    hosts: Option<&[String]>,
    findings: &mut Findings<'_>,
) -> Arc<str> {
    let name = written.name.get_ref();
    if name.is_empty() {
        return Arc::from(hosts.and_then(<[_]>::first).map_or("default", String::as_str));
    }
    if name.chars().any(char::is_control) || name.chars().count() > 100 {
        findings.wrong(&written.name, "a name has up to 100 characters, all of them visible");
    }
    Arc::from(name.as_str())
}

/// `None` when one of them is wrong, lest the site answer to any host.
fn hosts(written: &[Spanned<String>], findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let before = findings.mistakes.len();
    let mut hosts = Vec::new();
    for host in written {
        match read_host(host.get_ref()) {
            Ok(host) => hosts.push(host),
            Err((message, advice)) => findings.wrong_with_advice(host, message, advice),
        }
    }
    (findings.mistakes.len() == before).then_some(hosts)
}

pub(super) fn read_host(text: &str) -> Result<String, (String, &'static str)> {
    if text.contains('*') {
        let advice = "list every host, or leave `hosts` out for a site that answers to any";
        return Err((format!("`{text}`: a host has no `*`"), advice));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_name =
        !name.contains(['/', '@', '?', '#']) && (!name.contains(':') || name.starts_with('['));
    match Host::parse(name) {
        Ok(host) if is_name => Ok(host.to_string()),
        Ok(_) | Err(_) => Err((
            format!("`{text}` is not a host name"),
            "write it like `shop.example`, without scheme, port or path",
        )),
    }
}

fn own_prefix(written: &Spanned<String>, findings: &mut Findings<'_>) -> Arc<str> {
    let text = written.get_ref();
    let is_segment = |segment: &str| {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        !matches!(segment, "" | "." | "..") && segment.bytes().all(unreserved)
    };
    if !text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment)) {
        findings.wrong_with_advice(
            written,
            format!("`{text}` is not a prefix for our own pages"),
            "write it like `/.consentry`: letters, digits and `-._~`, no slash at the end",
        );
    }
    Arc::from(text.as_str())
}

/// It becomes a link on the notice, so it must not be `javascript:`.
fn policy_url(written: &Spanned<String>, findings: &mut Findings<'_>) {
    let text = written.get_ref();
    let is_local = text.starts_with('/') && !text.starts_with("//");
    let is_web = || Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !text.is_empty() && !is_local && !is_web() {
        findings.wrong_with_advice(
            written,
            format!("`{text}` is not a link"),
            "write it like `https://shop.example/privacy` or `/privacy`",
        );
    }
}
