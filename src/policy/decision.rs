//! What gets recorded: subject, identity and verdict.

use crate::catalogue::{Kind, Place, Vendor};
use crate::policy::{Exception, Ruling, Verdict, redact_name, redact_path};
use crate::purpose::Purpose;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use url::Url;

/// How many different decisions one exchange may record. A page with more is
/// an attack on the ledger, not a page; what is over is counted.
pub const MAX_DECISIONS: usize = 1000;

/// From how many on they are found by their hash.
const MANY: usize = 64;

const MAX_WHAT_CHARS: usize = 200;

/// Which layer carried a verdict out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// On the way to the origin.
    Request,
    /// In the response's header fields.
    Response,
    /// In the page.
    Html,
    /// In the browser.
    Browser,
}

impl Layer {
    /// The word in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Html => "html",
            Self::Browser => "browser",
        }
    }
}

/// One thing that was let through or withheld, and why.
///
/// It names what was judged and never who the visitor is: addresses without
/// query, cookies without value, ids in paths replaced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What may happen to it.
    pub verdict: Verdict,
    /// Which layer carries that out.
    pub layer: Layer,
    /// What kind of thing it is.
    pub kind: Kind,
    /// Its name: host and path, a cookie's or header's name, a signature.
    pub what: String,
    /// Who would get the data, if we know.
    pub vendor: Option<Arc<Vendor>>,
    /// The rule that says so.
    pub rule: Option<Place>,
    /// The script that asked for it, where a browser said so: host and path,
    /// or `inline`.
    pub via: Option<String>,
    /// The exception that made it so, if one did.
    pub exception: Option<Arc<Exception>>,
}

// Two vendors are the same when their ids are: the rest follows from it.
impl std::hash::Hash for Vendor {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl Decision {
    /// A decision about an address.
    #[must_use]
    pub fn on_url(ruling: &Ruling<'_>, layer: Layer, kind: Kind, url: &Url) -> Self {
        let path = redact_path(url.path());
        let what = match url.host_str() {
            Some(host) => format!("{host}{path}"),
            None => format!("{}:", url.scheme()),
        };
        Self::new(ruling, layer, kind, what)
    }

    /// A decision about something that has a name.
    #[must_use]
    pub fn on_name(ruling: &Ruling<'_>, layer: Layer, kind: Kind, name: &str) -> Self {
        Self::new(ruling, layer, kind, redact_name(name))
    }

    /// A decision about an inline script: it is named by the rule that
    /// recognised it, since it has no name of its own.
    #[must_use]
    pub fn on_inline(ruling: &Ruling<'_>) -> Self {
        let what = ruling.identity.as_ref().map_or("inline script", |identity| &identity.rule);
        Self::new(ruling, Layer::Html, Kind::Inline, what.to_owned())
    }

    fn new(ruling: &Ruling<'_>, layer: Layer, kind: Kind, what: String) -> Self {
        let what = match what.char_indices().nth(MAX_WHAT_CHARS) {
            Some((end, _)) => what.get(..end).unwrap_or_default().to_owned(),
            None => what,
        };
        Self {
            verdict: ruling.verdict,
            layer,
            kind,
            what,
            vendor: ruling.identity.as_ref().map(|identity| Arc::clone(identity.vendor)),
            rule: match ruling.exception {
                Some(exception) => Some(exception.place.clone()),
                None => ruling.identity.as_ref().map(|found| found.place.clone().into_owned()),
            },
            exception: ruling.exception.map(Arc::clone),
            via: None,
        }
    }

    /// Whether the verdict is a matter of consent, so that another visitor may
    /// get another answer.
    #[must_use]
    pub fn depends_on_consent(&self) -> bool {
        self.vendor.as_ref().is_some_and(|vendor| vendor.purpose != Purpose::Necessary)
    }

    /// The same decision, with the script that asked: `host/path`, and the
    /// container (`?id=GTM-...`) where it is a tag manager's.
    #[must_use]
    pub fn asked_by(mut self, script: &str) -> Self {
        let (script, container) = script.split_at(script.find('?').unwrap_or(script.len()));
        let (host, path) = script.split_at(script.find('/').unwrap_or(script.len()));
        let via = format!("{host}{}{container}", redact_path(path));
        let via: String = via.chars().take(MAX_WHAT_CHARS).collect();
        self.via = (!script.is_empty()).then_some(via);
        self
    }
}

/// What was decided about a page, kept to be put on record again whenever the
/// same page comes.
#[derive(Debug)]
pub struct Kept {
    list: Vec<Decision>,
    dropped: u32,
    /// Another for each, so that it need not be read to be recognised.
    number: u64,
}

impl Kept {
    /// How many bytes it holds, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts: usize = self.list.iter().map(|decision| decision.what.len()).sum();
        self.list.len() * size_of::<Decision>() + texts
    }

    /// The decisions, in the order they were taken.
    pub fn iter(&self) -> impl Iterator<Item = &Decision> {
        self.list.iter()
    }
}

/// The decisions of one exchange: each once, in the order they were taken, but
/// for those of a page that was judged before, which come first.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    kept: Option<Arc<Kept>>,
    list: Vec<Decision>,
    dropped: u32,
    /// The hashes of those in `list`, once there are many: reading them all
    /// again for each that comes would take a hostile page's time.
    hashes: HashSet<u64>,
    keys: RandomState,
}

/// What was kept is known by its number and not read again: two that say the
/// same may differ here, and two that are alike here say the same.
impl std::hash::Hash for Decisions {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.kept.as_ref().map(|kept| kept.number).hash(state);
        self.list.hash(state);
        self.dropped.hash(state);
    }
}

impl Decisions {
    /// Files a decision, unless the same one is there already.
    pub fn push(&mut self, decision: Decision) {
        if self.holds(&decision) {
            return;
        }
        if self.len() >= MAX_DECISIONS {
            self.dropped += 1;
            return;
        }
        if !self.hashes.is_empty() {
            self.hashes.insert(self.keys.hash_one(&decision));
        }
        self.list.push(decision);
    }

    fn holds(&mut self, decision: &Decision) -> bool {
        if self.list.len() >= MANY && self.hashes.is_empty() {
            self.hashes = self.list.iter().map(|known| self.keys.hash_one(known)).collect();
        }
        let is_new =
            !self.hashes.is_empty() && !self.hashes.contains(&self.keys.hash_one(decision));
        let list = if is_new { &[] } else { self.list.as_slice() };
        self.kept.iter().flat_map(|kept| &kept.list).chain(list).any(|known| known == decision)
    }

    /// Files several.
    pub fn extend(&mut self, decisions: impl IntoIterator<Item = Decision>) {
        decisions.into_iter().for_each(|decision| self.push(decision));
    }

    /// Keeps them for the next time the same page comes.
    #[must_use]
    pub fn keep(self) -> Arc<Kept> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (dropped, list) = match self.kept {
            None => (self.dropped, self.list),
            Some(kept) => {
                let list = kept.list.iter().cloned().chain(self.list).collect();
                (self.dropped + kept.dropped, list)
            }
        };
        Arc::new(Kept { list, dropped, number })
    }

    /// Files what was kept of a page.
    pub fn repeat(&mut self, kept: &Arc<Kept>) {
        if self.kept.is_some() || self.list.len() + kept.list.len() > MAX_DECISIONS {
            self.dropped += kept.dropped;
            return self.extend(kept.list.iter().cloned());
        }
        self.list.retain(|known| !kept.list.contains(known));
        self.hashes.clear();
        self.kept = Some(Arc::clone(kept));
    }

    /// The decisions.
    pub fn iter(&self) -> impl Iterator<Item = &Decision> {
        self.kept.iter().flat_map(|kept| &kept.list).chain(&self.list)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.list.len()) + self.list.len()
    }

    /// Whether nothing was decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many did not fit.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped + self.kept.as_ref().map_or(0, |kept| kept.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Basis;

    fn decision(what: &str) -> Decision {
        let verdict = Verdict::Allow(Basis::Unlisted);
        let ruling = Ruling { verdict, identity: None, exception: None };
        Decision::on_name(&ruling, Layer::Html, Kind::Script, what)
    }

    fn of(names: &[&str]) -> Decisions {
        let mut decisions = Decisions::default();
        decisions.extend(names.iter().map(|name| decision(name)));
        decisions
    }

    #[test]
    fn what_was_kept_of_a_page_is_said_again_once() {
        let kept = of(&["page-a", "page-b"]).keep();
        let mut decisions = of(&["cookie", "page-b"]);
        decisions.repeat(&kept);
        decisions.push(decision("page-a"));
        let names: Vec<_> = decisions.iter().map(|decision| decision.what.as_str()).collect();
        assert_eq!(names, ["page-a", "page-b", "cookie"]);
        assert_eq!(decisions.len(), 3);
        assert_eq!(decisions.clone().keep().iter().count(), 3);
        // A second page in one exchange is filed like anything else.
        decisions.repeat(&of(&["page-a", "page-c"]).keep());
        assert_eq!(decisions.len(), 4);
    }

    #[test]
    fn g1_each_is_on_record_once_however_many_there_are() {
        let names: Vec<String> = (0..3 * MANY).map(|number| format!("n-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut decisions = of(&names);
        decisions.extend(names.iter().rev().map(|name| decision(name)));
        assert_eq!(decisions.len(), names.len());
        let kept = of(&["page", names[MANY + 1]]).keep();
        decisions.repeat(&kept);
        decisions.extend(names.iter().chain(&["page", "new"]).map(|name| decision(name)));
        assert_eq!(decisions.len(), names.len() + 2);
        let told: HashSet<_> = decisions.iter().map(|each| &each.what).collect();
        assert_eq!(told.len(), decisions.len());
    }

    #[test]
    fn however_much_is_said_again_there_is_an_end() {
        let names: Vec<String> = (0..MAX_DECISIONS).map(|number| format!("n-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut decisions = of(&["own"]);
        decisions.repeat(&of(&names).keep());
        assert_eq!((decisions.len(), decisions.dropped()), (MAX_DECISIONS, 1));
    }
}
