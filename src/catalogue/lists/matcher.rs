//! Asks the engine which rule an address meets.
//!
//! The engine keeps a lock around its compiled patterns, so workers get one of
//! their own, up to a few; all copies are made when the lists are compiled,
//! where nobody waits.

use crate::catalogue::lists::rules::Rule;
use crate::purpose::{Purpose, PurposeSet};

use adblock::lists::{ParseOptions, RuleTypes};
use adblock::request::Request;
use adblock::{Engine, FilterSet};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use url::Url;

/// A rule, its list's place among the lists, and what that list is for.
#[derive(Clone, Copy)]
pub(super) struct Entry<'r> {
    pub(super) list: usize,
    pub(super) purpose: Purpose,
    pub(super) rule: &'r Rule,
}

/// The rule that an address meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) list: usize,
    /// Counted from 1.
    pub(super) line: u32,
    pub(super) rule: Arc<str>,
    /// The purposes of all lists that have such a rule.
    pub(super) purposes: PurposeSet,
}

/// What is loaded, as the engine takes it.
#[derive(Clone, Copy)]
pub(super) struct Load<'l> {
    /// What it may be loaded as.
    pub(super) types: &'static [&'static str],
    pub(super) url: &'l Url,
    /// The page's host.
    pub(super) host: &'l str,
    pub(super) third_party: bool,
}

/// Rules of all lists, one engine a purpose: lists of two purposes may both
/// know an address, and then both must be granted.
pub(super) struct Matcher(Vec<(Purpose, Engines)>);

impl Matcher {
    /// Compiles rules. What takes rules back does so in every list.
    pub(super) fn new(rules: &[Entry<'_>], copies: usize) -> Self {
        let mut purposes: Vec<Purpose> = Vec::new();
        for entry in rules.iter().filter(|entry| !entry.rule.takes_back) {
            if !purposes.contains(&entry.purpose) {
                purposes.push(entry.purpose);
            }
        }
        let engines = purposes.into_iter().map(|purpose| {
            let concerned = |entry: &&Entry<'_>| entry.purpose == purpose || entry.rule.takes_back;
            (purpose, Engines::new(rules.iter().filter(concerned), copies))
        });
        Self(engines.collect())
    }

    pub(super) fn find(&self, load: Load<'_>) -> Option<Found> {
        let mut found: Option<Found> = None;
        for (purpose, engines) in &self.0 {
            let Some((origin, rule)) = engines.find(load) else { continue };
            match &mut found {
                Some(found) => found.purposes = found.purposes.with(*purpose),
                None => {
                    let purposes = PurposeSet::EMPTY.with(*purpose);
                    found = Some(Found { list: origin.list, line: origin.line, rule, purposes });
                }
            }
        }
        found
    }
}

/// Where a rule of an engine stands.
struct Origin {
    list: usize,
    line: u32,
}

struct Engines {
    copies: Vec<Engine>,
    /// By the line that the engine knows a rule by.
    origins: Vec<Origin>,
    /// Rules that the engine has in another form.
    written: HashMap<usize, Arc<str>>,
}

/// Numbers the threads that ask, so that each comes to an engine of its own.
static SEATS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SEAT: usize = SEATS.fetch_add(1, Ordering::Relaxed);
}

impl Engines {
    fn new<'r>(rules: impl Iterator<Item = &'r Entry<'r>>, copies: usize) -> Self {
        let mut text = String::new();
        let (mut origins, mut written) = (Vec::new(), HashMap::new());
        for Entry { list, rule, .. } in rules {
            if let Some(as_written) = &rule.written {
                written.insert(origins.len(), Arc::from(as_written.as_str()));
            }
            origins.push(Origin { list: *list, line: rule.line });
            text.push_str(&rule.text);
            text.push('\n');
        }
        let mut set = FilterSet::new(true);
        let network =
            ParseOptions { rule_types: RuleTypes::NetworkOnly, ..ParseOptions::default() };
        let _ = set.add_filter_list(text, network);
        // Optimised, the engine joins rules and forgets where they stand: then
        // nobody could follow a decision.
        let first = Engine::new_with_filter_set_no_optimize(set);
        let mut engines = Vec::with_capacity(copies.max(1));
        if copies > 1 {
            let image = first.serialize();
            for _ in 1..copies {
                let mut copy = Engine::default();
                if copy.deserialize(&image).is_ok() {
                    engines.push(copy);
                }
            }
        }
        engines.push(first);
        Self { copies: engines, origins, written }
    }

    fn mine(&self) -> Option<&Engine> {
        let seat = SEAT.try_with(|seat| *seat).unwrap_or(0);
        self.copies.get(seat.checked_rem(self.copies.len())?)
    }

    /// The rule that withholds this. Where it is not known what something is
    /// loaded as, a rule that lets one of the possible ways pass counts.
    fn find(&self, load: Load<'_>) -> Option<(&Origin, Arc<str>)> {
        let engine = self.mine()?;
        let mut hit = None;
        for request_type in load.types {
            let request = Request::preparsed(
                load.url.as_str(),
                load.url.host_str()?,
                load.host,
                request_type,
                load.third_party,
                "get",
            );
            let result = engine.check_network_request(&request);
            if result.should_block() {
                hit = hit.or(result.filter);
                if result.important {
                    break;
                }
            } else if result.exception.is_some() {
                return None;
            }
        }
        let hit = hit?;
        let index = line_of(&hit.source_location?.to_string())?;
        let rule = match self.written.get(&index) {
            Some(written) => Arc::clone(written),
            None => Arc::from(hit.raw_line.unwrap_or_default()),
        };
        Some((self.origins.get(index)?, rule))
    }
}

/// The engine's own word for a place, `list:line`, both counted from 0.
fn line_of(place: &str) -> Option<usize> {
    place.split_once(':')?.1.parse().ok()
}
