//! Filter lists in adblock syntax: what the operator adds to the catalogue.
//!
//! A list says *that* something tracks, not who gets the data nor what for.
//! So the catalogue is asked first, and what only a list knows belongs to the
//! list itself, with the purpose the operator gave it.

mod matcher;
mod memo;
mod rules;

pub use rules::{List, Report, Skipped};

use crate::catalogue::{Identity, Kind, Place, Vendor};
use crate::purpose::PurposeSet;
use matcher::{Entry, Found, Load, Matcher};
use memo::Question;
use rules::{Rule, UseFor};

use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use url::Url;

/// All lists of one configuration, compiled.
pub struct Lists {
    /// Tells these lists from all others of the process.
    id: u64,
    loads: Matcher,
    /// By the parameter's name.
    parameters: HashMap<String, Matcher>,
    /// By the policy they add.
    policies: BTreeMap<String, Matcher>,
    sources: Vec<Source>,
    revision: Arc<str>,
}

/// A list, and the vendor that stands for it.
struct Source {
    place: Arc<str>,
    report: Report,
    /// One for every combination of purposes: another list may know the same
    /// address, for another purpose.
    vendors: Vec<Arc<Vendor>>,
}

impl std::fmt::Debug for Lists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|source| &source.place)).finish()
    }
}

impl Lists {
    /// Compiles lists, with as many engines as threads will ask at a time.
    #[must_use]
    pub fn compile(lists: &[List], threads: usize) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let read: Vec<(Vec<Rule>, Report)> = lists.iter().map(rules::read).collect();
        let mut entries = Vec::new();
        for (index, (list, (rules, _))) in lists.iter().zip(&read).enumerate() {
            let purpose = list.purpose;
            entries.extend(rules.iter().map(|rule| Entry { list: index, purpose, rule }));
        }
        let combinations = combinations(lists);
        Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            loads: Matcher::new(&only(&entries, |use_for| *use_for == UseFor::Loads), threads),
            parameters: parameters(&entries),
            policies: policies(&entries),
            revision: revision(lists),
            sources: lists
                .iter()
                .zip(read)
                .map(|(list, (_, report))| Source::new(list, report, &combinations))
                .collect(),
        }
    }

    /// What the lists say about an address that a page of `host` loads.
    pub(super) fn find(
        &self,
        kind: Kind,
        url: &Url,
        host: &str,
        third_party: bool,
    ) -> Option<Identity<'_>> {
        let types = request_types(kind);
        if types.is_empty() || !is_web(url) {
            return None;
        }
        let question = Question::new(self.id, kind, url, host, third_party);
        let load = Load { types, url, host, third_party };
        let found = memo::remember(question, || self.loads.find(load))?;
        self.identity(&found)
    }

    /// What the lists say about a parameter of an address that is asked for
    /// as `kind`.
    pub(super) fn parameter(
        &self,
        name: &str,
        kind: Kind,
        url: &Url,
        host: &str,
        third_party: bool,
    ) -> Option<Identity<'_>> {
        let types = request_types(kind);
        let found = self.parameters.get(name)?.find(Load { types, url, host, third_party })?;
        self.identity(&found)
    }

    /// The policies that the lists add to a page, each a field of its own.
    pub(super) fn csp_for<'l>(
        &'l self,
        url: &'l Url,
        host: &'l str,
    ) -> impl Iterator<Item = (&'l str, Identity<'l>)> {
        let load = Load { types: &["document"], url, host, third_party: false };
        self.policies.iter().filter_map(move |(policy, rules)| {
            let found = rules.find(load)?;
            Some((policy.as_str(), self.identity(&found)?))
        })
    }

    /// What became of each list, in the order they were given.
    pub fn reports(&self) -> impl ExactSizeIterator<Item = (&str, &Report)> {
        self.sources.iter().map(|source| (&*source.place, &source.report))
    }

    /// A short name that changes whenever the lists do.
    #[must_use]
    pub fn revision(&self) -> &Arc<str> {
        &self.revision
    }

    fn identity(&self, found: &Found) -> Option<Identity<'_>> {
        let source = self.sources.get(found.list)?;
        let vendor = source.vendors.iter().find(|vendor| vendor.purposes == found.purposes)?;
        let place = Place { file: Arc::clone(&source.place), line: found.line };
        let rule = Cow::Owned(found.rule.to_string());
        Some(Identity { vendor, place: Cow::Owned(place), rule })
    }
}

impl Source {
    fn new(list: &List, report: Report, combinations: &[PurposeSet]) -> Self {
        let file = list.place.split(['?', '#']).next().unwrap_or_default();
        let short = file.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let named = (!list.name.is_empty()).then(|| list.name.clone());
        let title = named.clone().or_else(|| report.title.clone());
        let title = title.unwrap_or_else(|| short.to_owned());
        let vendor = |purposes| Vendor {
            id: format!("list:{}", named.as_deref().unwrap_or(short)),
            name: format!("{title} (filter list)"),
            owner: "unknown".to_owned(),
            purposes,
            purpose: list.purpose,
            about: format!("The filter list {title} says that this tracks visitors."),
            source: report.homepage.clone().unwrap_or_else(|| list.place.clone()),
            reason: String::new(),
            cookies: Vec::new(),
            storage: Vec::new(),
            databases: Vec::new(),
            caches: Vec::new(),
            workers: Vec::new(),
            iab: None,
        };
        let vendors = combinations
            .iter()
            .filter(|purposes| purposes.contains(list.purpose))
            .map(|purposes| Arc::new(vendor(*purposes)))
            .collect();
        Self { place: Arc::from(list.place.as_str()), report, vendors }
    }
}

/// Every set that the lists' purposes can make.
fn combinations(lists: &[List]) -> Vec<PurposeSet> {
    let used: PurposeSet = lists.iter().map(|list| list.purpose).collect();
    (1..=PurposeSet::ALL.bits())
        .filter(|bits| bits & !used.bits() == 0)
        .filter_map(PurposeSet::from_bits)
        .collect()
}

fn only<'r>(entries: &[Entry<'r>], wanted: impl Fn(&UseFor) -> bool) -> Vec<Entry<'r>> {
    entries.iter().copied().filter(|entry| wanted(&entry.rule.use_for)).collect()
}

fn parameters(entries: &[Entry<'_>]) -> HashMap<String, Matcher> {
    let mut by_name: HashMap<&str, Vec<Entry<'_>>> = HashMap::new();
    for entry in entries {
        if let UseFor::Parameter(name) = &entry.rule.use_for {
            by_name.entry(name).or_default().push(*entry);
        }
    }
    by_name.into_iter().map(|(name, rules)| (name.to_owned(), Matcher::new(&rules, 1))).collect()
}

fn policies(entries: &[Entry<'_>]) -> BTreeMap<String, Matcher> {
    let mut by_policy: BTreeMap<&str, Vec<Entry<'_>>> = BTreeMap::new();
    for entry in entries {
        if let UseFor::Csp(Some(policy)) = &entry.rule.use_for {
            by_policy.entry(policy).or_default().push(*entry);
        }
    }
    // An exception that names no policy is from all of them.
    let from_all = only(entries, |use_for| *use_for == UseFor::Csp(None));
    by_policy
        .into_iter()
        .map(|(policy, mut rules)| {
            rules.extend(&from_all);
            (policy.to_owned(), Matcher::new(&rules, 1))
        })
        .collect()
}

fn revision(lists: &[List]) -> Arc<str> {
    let mut hash = Sha256::new();
    for list in lists {
        for part in [&list.place, &list.name, &list.text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(list.purpose.name());
    }
    let mut revision = String::new();
    for byte in hash.finalize().iter().take(5) {
        let _ = write!(revision, "{byte:02x}");
    }
    Arc::from(revision)
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https" | "ws" | "wss")
}

/// What lists call the kinds of load. A hint does not say what it is for, so
/// every kind counts that a rule may be limited to.
const fn request_types(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Script => &["script"],
        // Code may load in any of these ways.
        Kind::Inline => &["script", "image", "xmlhttprequest"],
        Kind::Frame => &["subdocument"],
        Kind::Image => &["image"],
        Kind::Style => &["stylesheet"],
        Kind::Font => &["font"],
        Kind::Media => &["media"],
        Kind::Object => &["object"],
        Kind::Hint => &["script", "other"],
        Kind::Connect => &["xmlhttprequest", "ping"],
        Kind::Refresh => &["document"],
        Kind::Cookie
        | Kind::RequestHeader
        | Kind::ResponseHeader
        | Kind::Parameter
        | Kind::OwnPath
        | Kind::Address
        | Kind::Storage => &[],
    }
}

#[cfg(test)]
mod tests;
