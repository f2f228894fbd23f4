//! Whose script, cookie or header this is.
//!
//! The catalogue is compiled once, at start and on reload, from
//! `config/catalogue/*.toml` (built into the binary) and the operator's own
//! files, and is only read afterwards. It knows vendors; whether one of them
//! may have something is decided in `policy`.

mod consent_tools;
mod file;
mod hosts;
mod inline;
mod lists;
mod names;
mod own_paths;
mod recognised;
mod rendered;
mod scripts;
mod subject;

pub use file::{EMBEDDED, SourceFile};
pub use inline::normalise;
pub use lists::{List, Lists, Report as ListReport, Skipped};
pub use scripts::SCRIPT_LOOK_BYTES;
pub use subject::{Kind, KindSet, Subject};

use crate::mistake::Mistake;
use crate::purpose::{Purpose, PurposeSet};
use hosts::Hosts;
use inline::Signatures;
use names::Names;
use own_paths::OwnPaths;
use scripts::Scripts;

use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use url::Url;

/// Who would get the data, what for, and how we know.
#[derive(Debug, PartialEq, Eq)]
pub struct Vendor {
    /// A short unique name, stable over time: what the ledger stores.
    pub id: String,
    /// The name a privacy officer knows it by.
    pub name: String,
    /// The company that gets the data.
    pub owner: String,
    /// What the data is used for; all of it must be granted.
    pub purposes: PurposeSet,
    /// The purpose to name first.
    pub purpose: Purpose,
    /// What it is for, in plain words.
    pub about: String,
    /// Where the claim can be checked.
    pub source: String,
    /// Why the site cannot work without it; empty unless it is necessary.
    pub reason: String,
    /// Names of its cookies, as patterns.
    pub cookies: Vec<String>,
    /// Keys of what it keeps in the browser's storage, as patterns.
    pub storage: Vec<String>,
    /// Names of its IndexedDB databases, as patterns.
    pub databases: Vec<String>,
    /// Names of what it keeps in Cache Storage, as patterns.
    pub caches: Vec<String>,
    /// Files of its service workers, wherever a site puts them, as patterns.
    pub workers: Vec<String>,
    /// Its number in the vendor list of IAB Europe's Transparency and Consent
    /// Framework, if it is in it.
    pub iab: Option<u16>,
}

/// A place in a catalogue file, so that every decision can be followed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file.
    pub file: Arc<str>,
    /// The line, counted from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The vendor behind a subject, and the rule that says so.
#[derive(Clone, Debug)]
pub struct Identity<'c> {
    /// Who would get the data.
    pub vendor: &'c Arc<Vendor>,
    /// Where the rule stands.
    pub place: Cow<'c, Place>,
    /// The rule as it is written there.
    pub rule: Cow<'c, str>,
}

/// One rule: what a vendor is recognised by.
#[derive(Clone, Debug)]
struct Rule {
    vendor: usize,
    place: Place,
    text: String,
}

/// Index of a rule.
type RuleIndex = u32;

/// Everything we know of vendors.
#[derive(Clone, Debug)]
pub struct Catalogue {
    vendors: Vec<Arc<Vendor>>,
    /// Where each stands in `vendors`, by its id.
    by_id: HashMap<String, usize>,
    rules: Vec<Rule>,
    hosts: Hosts,
    own_paths: OwnPaths,
    inline: Signatures,
    scripts: Scripts,
    cookies: Names,
    storage: Names,
    request_headers: FxHashMap<String, RuleIndex>,
    response_headers: FxHashMap<String, RuleIndex>,
    parameters: FxHashMap<String, RuleIndex>,
    globals: Vec<(String, RuleIndex)>,
    lists: Option<Arc<Lists>>,
    /// The hosts of each vendor, by its place in `vendors`.
    vendor_hosts: HashMap<usize, Vec<String>>,
}

impl Catalogue {
    /// Compiles catalogue files. A vendor of a later file replaces the one of
    /// the same id in an earlier file, so an operator can correct ours.
    ///
    /// # Errors
    /// All mistakes found, not only the first.
    pub fn compile(files: &[SourceFile]) -> Result<Self, Vec<Mistake>> {
        file::compile(files, None)
    }

    /// The same, knowing every vendor host also as `<host><suffix>`: the
    /// loopback stand-ins of the demo are called
    /// `www.googletagmanager.com.localhost`.
    ///
    /// # Errors
    /// All mistakes found, not only the first.
    pub fn with_stand_ins(files: &[SourceFile], suffix: &str) -> Result<Self, Vec<Mistake>> {
        file::compile(files, Some(suffix))
    }

    /// The same catalogue with filter lists behind it, for addresses that no
    /// vendor claims.
    #[must_use]
    pub fn with_lists(mut self, lists: Arc<Lists>) -> Self {
        self.lists = Some(lists);
        self
    }

    /// What the filter lists say about an address that a page of `host` loads.
    #[must_use]
    pub fn listed(
        &self,
        kind: Kind,
        url: &Url,
        host: &str,
        third_party: bool,
    ) -> Option<Identity<'_>> {
        self.lists.as_ref()?.find(kind, url, host, third_party)
    }

    /// What the filter lists say about a parameter of an address that is asked
    /// for as `kind`.
    #[must_use]
    pub fn listed_parameter(
        &self,
        name: &str,
        kind: Kind,
        url: &Url,
        host: &str,
        third_party: bool,
    ) -> Option<Identity<'_>> {
        self.lists.as_ref()?.parameter(name, kind, url, host, third_party)
    }

    /// The policies that the filter lists add to a page, and the rule that
    /// says so.
    pub fn csp_for<'c>(
        &'c self,
        url: &'c Url,
        host: &'c str,
    ) -> impl Iterator<Item = (&'c str, Identity<'c>)> {
        self.lists.iter().flat_map(move |lists| lists.csp_for(url, host))
    }

    /// The filter lists behind it, if there are any.
    #[must_use]
    pub fn lists(&self) -> Option<&Arc<Lists>> {
        self.lists.as_ref()
    }

    /// Whether there are filter lists to ask.
    #[must_use]
    pub fn has_lists(&self) -> bool {
        self.lists.is_some()
    }

    /// The addresses that inline code would load.
    #[must_use]
    pub fn loaded_by_code(&self, code: &[u8]) -> Vec<Url> {
        self.inline.addresses(code)
    }

    /// The vendor behind `subject`, if anybody in the catalogue claims it.
    ///
    /// A cookie that anybody calls necessary is necessary; between hosts the
    /// more specific rule wins.
    #[must_use]
    pub fn identify(&self, subject: Subject<'_>) -> Option<Identity<'_>> {
        let rule = match subject {
            Subject::Load { kind, url } => {
                let host = url.host_str()?;
                let host = host.strip_suffix('.').unwrap_or(host);
                self.hosts.find(host, url.path(), kind)?
            }
            Subject::OwnPath(target) => self.own_paths.find(target)?,
            Subject::Inline(code) => self.inline.find(code, &self.hosts)?,
            Subject::Cookie(name) => self.cookies.find(name)?,
            Subject::Storage(key) => self.storage.find(key)?,
            Subject::RequestHeader(name) => *self.request_headers.get(name)?,
            Subject::ResponseHeader(name) => *self.response_headers.get(name)?,
            Subject::Parameter(name) => *self.parameters.get(name)?,
        };
        self.identity(rule)
    }

    /// Every vendor whose purposes are not all in `granted` and that some
    /// inline code belongs to, most certain first; `code` as it stands in the
    /// page.
    pub fn identify_inline_all(&self, code: &[u8]) -> impl Iterator<Item = Identity<'_>> {
        self.inline.find_all(code, &self.hosts).into_iter().filter_map(|rule| self.identity(rule))
    }

    /// Every vendor whose own script begins with `code` and has `size` bytes,
    /// if that is known.
    pub fn identify_script(
        &self,
        code: &[u8],
        size: Option<u64>,
    ) -> impl Iterator<Item = Identity<'_>> {
        self.scripts.find(code, size).into_iter().filter_map(|rule| self.identity(rule))
    }

    /// All vendors, in the order of the files.
    pub fn vendors(&self) -> impl Iterator<Item = &Arc<Vendor>> {
        self.vendors.iter()
    }

    /// Vendors in IAB Europe's list, with their number there.
    pub fn in_iab_list(&self) -> impl Iterator<Item = (u16, &str)> {
        self.vendors.iter().filter_map(|vendor| Some((vendor.iab?, vendor.id.as_str())))
    }

    /// All vendors with their rank: how many stand before each in its file.
    /// The files have the best known first.
    pub fn ranked(&self) -> impl Iterator<Item = (usize, &Arc<Vendor>)> {
        let mut files: HashMap<&str, usize> = HashMap::new();
        let mut seen = 0;
        self.rules.iter().filter_map(move |rule| {
            let vendor = self.vendors.get(rule.vendor)?;
            (rule.vendor >= seen).then(|| {
                seen = rule.vendor + 1;
                let rank = files.entry(&rule.place.file).or_default();
                *rank += 1;
                (*rank - 1, vendor)
            })
        })
    }

    /// The vendor of that id.
    #[must_use]
    pub fn vendor(&self, id: &str) -> Option<&Arc<Vendor>> {
        self.vendors.get(*self.by_id.get(id)?)
    }

    /// The hosts that are a vendor's as a whole, whatever its rules say of
    /// kinds, in alphabetical order; `*.` stands before those whose subdomains
    /// are, too.
    pub fn hosts_of(&self, vendor: &Vendor) -> impl Iterator<Item = &str> {
        let at = self.by_id.get(&vendor.id);
        at.and_then(|at| self.vendor_hosts.get(at)).into_iter().flatten().map(String::as_str)
    }

    /// The hosts of a vendor, and those of all vendors of the same owner.
    pub fn hosts_of_family<'c>(&'c self, vendor: &'c Vendor) -> impl Iterator<Item = &'c str> {
        let family = self
            .vendors
            .iter()
            .filter(move |other| other.id != vendor.id && other.owner == vendor.owner)
            .flat_map(|other| self.hosts_of(other));
        self.hosts_of(vendor).chain(family)
    }

    /// The rules for paths on a host: kinds of load, `host/path`, and whose.
    pub fn paths_on(&self, host: &str) -> impl Iterator<Item = (KindSet, String, Identity<'_>)> {
        self.hosts.paths_of(host).into_iter().filter_map(|(pattern, rule)| {
            let place = format!("{}{}", pattern.host, pattern.path);
            Some((pattern.kinds, place, self.identity(rule)?))
        })
    }

    /// The global names that the vendors of these ids define and sites call, in
    /// the order of the files.
    pub fn globals_of<'c>(&'c self, ids: &[&str]) -> impl Iterator<Item = &'c str> {
        let mut whose = vec![false; self.vendors.len()];
        for at in ids.iter().filter_map(|id| self.by_id.get(*id)) {
            if let Some(is_asked_for) = whose.get_mut(*at) {
                *is_asked_for = true;
            }
        }
        let is_theirs = move |rule: RuleIndex| {
            let rule = self.rules.get(rule as usize);
            rule.is_some_and(|rule| whose.get(rule.vendor) == Some(&true))
        };
        let globals = self.globals.iter();
        globals.filter(move |(_, rule)| is_theirs(*rule)).map(|(name, _)| name.as_str())
    }

    /// How many rules there are.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    fn identity(&self, rule: RuleIndex) -> Option<Identity<'_>> {
        let rule = self.rules.get(rule as usize)?;
        let vendor = self.vendors.get(rule.vendor)?;
        Some(Identity {
            vendor,
            place: Cow::Borrowed(&rule.place),
            rule: Cow::Borrowed(&rule.text),
        })
    }
}
