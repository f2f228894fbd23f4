//! What names of the own domain stand for.
//!
//! `metrics.shop.example` looks like the site's own and may still be a vendor:
//! the domain name system says so, and asking it takes time. So the answers
//! are kept here, and somebody else fetches them. Looking one up takes no lock
//! and waits for nothing; a name that nobody asked about yet is passed on and
//! counts as the site's own until its answer is there.

use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How many names are remembered. A site has a few dozen; a page that makes
/// up more gets no answer for them.
const MAX_NAMES: usize = 4096;

/// What somebody else looks names up with.
type Ask = Box<dyn Fn(&str) + Send + Sync>;

/// The names behind the own domain's names, as far as they are known.
#[derive(Default)]
pub struct Aliases {
    known: ArcSwap<HashMap<Arc<str>, Arc<Known>>>,
    /// Writers take turns; readers never wait.
    writing: Mutex<()>,
    mark: AtomicU64,
    ask: OnceLock<Ask>,
    /// Names to look up before anybody asks.
    expected: Vec<String>,
}

impl std::fmt::Debug for Aliases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Aliases({})", self.known.load().len())
    }
}

#[derive(Debug)]
struct Known {
    /// The names it stands for, the nearest first.
    chain: Arc<[String]>,
    /// Whether a page named it since it was last looked up.
    wanted: AtomicBool,
}

impl Aliases {
    /// An empty table for a site whose operator expects these names in use.
    #[must_use]
    pub fn expecting(names: Vec<String>) -> Self {
        Self { expected: names, ..Self::default() }
    }

    /// Names to look up before anybody asks.
    #[must_use]
    pub fn expected(&self) -> &[String] {
        &self.expected
    }

    /// The names that `host` stands for, the nearest first; none when it is
    /// nobody's alias, or when nobody knows yet, which is passed on.
    #[must_use]
    pub fn behind(&self, host: &str) -> Arc<[String]> {
        let known = self.known.load();
        if let Some(known) = known.get(host) {
            // Written only when it changes, so that readers share the line.
            if !known.wanted.load(Ordering::Relaxed) {
                known.wanted.store(true, Ordering::Relaxed);
            }
            return Arc::clone(&known.chain);
        }
        if let Some(ask) = self.ask.get() {
            ask(host);
        }
        Arc::from([])
    }

    /// Has unknown names passed to `ask`, which must not wait. Only the first
    /// one counts.
    pub fn ask_with(&self, ask: impl Fn(&str) + Send + Sync + 'static) {
        let _ = self.ask.set(Box::new(ask));
    }

    /// Remembers what a name stands for. A full table forgets a name that no
    /// page named lately, or else takes no more.
    pub fn learn(&self, host: &str, chain: Vec<String>) {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = HashMap::clone(&self.known.load());
        if known.len() >= MAX_NAMES && !known.contains_key(host) {
            let idle = known.iter().find(|(_, known)| !known.wanted.load(Ordering::Relaxed));
            let Some(idle) = idle.map(|(name, _)| Arc::clone(name)) else { return };
            known.remove(&idle);
        }
        let entry = Known { chain: Arc::from(chain), wanted: AtomicBool::new(false) };
        known.insert(Arc::from(host), Arc::new(entry));
        self.publish(known);
    }

    /// Whether a name is remembered and some page named it since the last call.
    #[must_use]
    pub fn take_wanted(&self, host: &str) -> bool {
        self.known.load().get(host).is_some_and(|known| known.wanted.swap(false, Ordering::Relaxed))
    }

    /// Whether anything is remembered of a name.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        self.known.load().contains_key(host)
    }

    /// Forgets a name.
    pub fn forget(&self, host: &str) {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = HashMap::clone(&self.known.load());
        if known.remove(host).is_some() {
            self.publish(known);
        }
    }

    /// Takes over what another table knows, so that a reload forgets nothing.
    pub fn adopt(&self, other: &Self) {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.publish(HashMap::clone(&other.known.load()));
    }

    /// All names that are remembered.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        self.known.load().keys().cloned().collect()
    }

    /// A number that changes whenever a verdict could: it says which names
    /// stand for which others. 0 as long as none does.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }

    fn publish(&self, known: HashMap<Arc<str>, Arc<Known>>) {
        // The order of a map is chance, so the sum must not depend on it.
        let mark = known.iter().filter(|(_, known)| !known.chain.is_empty()).fold(
            0,
            |sum: u64, (name, known)| {
                let mut hasher = DefaultHasher::new();
                (name, &known.chain).hash(&mut hasher);
                sum ^ hasher.finish()
            },
        );
        self.known.store(Arc::new(known));
        self.mark.store(mark, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b13_an_unknown_name_is_asked_about_and_a_known_one_is_not() {
        let aliases = Aliases::default();
        assert!(aliases.behind("a.shop.example").is_empty(), "nobody answers yet, nobody waits");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        aliases.ask_with(move |name| log.lock().unwrap().push(name.to_owned()));
        assert!(aliases.behind("a.shop.example").is_empty());
        aliases.learn("a.shop.example", vec!["x.acme.example".into()]);
        assert_eq!(*aliases.behind("a.shop.example"), ["x.acme.example"]);
        assert_eq!(*asked.lock().unwrap(), ["a.shop.example"]);
    }

    #[test]
    fn b13_the_mark_follows_the_aliases_and_nothing_else() {
        let aliases = Aliases::default();
        aliases.learn("img.shop.example", vec![]);
        assert_eq!(aliases.mark(), 0);
        aliases.learn("a.shop.example", vec!["x.acme.example".into()]);
        let first = aliases.mark();
        aliases.learn("b.shop.example", vec!["y.acme.example".into()]);
        let both = aliases.mark();
        assert!(first != 0 && first != both);
        let other = Aliases::default();
        other.adopt(&aliases);
        assert_eq!(other.mark(), both);
        other.forget("b.shop.example");
        assert_eq!(other.mark(), first);
    }

    #[test]
    fn b13_a_full_table_forgets_what_no_page_names() {
        let aliases = Aliases::default();
        let full = (0..MAX_NAMES).map(|number| {
            let entry = Known { chain: Arc::from([]), wanted: AtomicBool::new(number != 7) };
            (Arc::from(format!("n{number}.shop.example")), Arc::new(entry))
        });
        aliases.known.store(Arc::new(full.collect()));
        aliases.learn("new.shop.example", vec!["x.acme.example".into()]);
        assert!(aliases.knows("new.shop.example") && !aliases.knows("n7.shop.example"));
        assert!(aliases.take_wanted("n8.shop.example") && !aliases.take_wanted("n8.shop.example"));
        assert_eq!(aliases.names().len(), MAX_NAMES);
    }
}
