//! What one site's pages have taught us: hosts that its scripts load although
//! no page names them, the verdicts on hosts that were asked about before, and
//! where vendors' cookies are set.

use crate::enforce::CookiePlaces;
use crate::enforce::browser::reach::Uses;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many hosts a site's reports may teach; the oldest goes.
const MAX_LEARNED: usize = 64;

/// How many hosts that pages named are remembered.
const MAX_NAMED: usize = 128;

/// How many verdicts are remembered.
const MAX_VERDICTS: usize = 8192;

/// How many hosts' pages are remembered, where one site serves any host.
const MAX_PLACES: usize = 1024;

/// Numbers everything that any site learns.
static LESSONS: AtomicU64 = AtomicU64::new(1);

/// One site's memory. It holds nothing about a visitor, is bounded, and is
/// lost on restart: then the next report teaches it again.
#[derive(Debug, Default)]
pub struct Memory {
    /// By the host of the pages: one tenant teaches another nothing.
    places: Mutex<HashMap<String, Place>>,
    verdicts: Mutex<HashMap<(String, String, u8), Uses>>,
    cookies: CookiePlaces,
}

#[derive(Clone, Debug, Default)]
struct Place {
    learned: VecDeque<String>,
    named: VecDeque<String>,
    /// Tells what was learned from anything that was or will be, here and
    /// elsewhere.
    taught: u64,
}

impl Memory {
    /// Remembers an authority that scripts on pages of `host` may load from,
    /// because the verdict on it allows it and a browser had to refuse it.
    /// Says whether it is new.
    pub fn learn(&self, host: &str, authority: &str) -> bool {
        self.at(host, |place| {
            let is_new = keep(&mut place.learned, authority, MAX_LEARNED);
            if is_new {
                place.taught = LESSONS.fetch_add(1, Ordering::Relaxed);
            }
            is_new
        })
    }

    /// Another number whenever reports taught something else about the hosts
    /// that pages of `host` load.
    #[must_use]
    pub fn taught(&self, host: &str) -> u64 {
        self.at(host, |place| place.taught)
    }

    /// The same memory for other rules: what pages load is still known, and
    /// every verdict is asked for again.
    #[must_use]
    pub fn for_other_rules(&self) -> Self {
        Self {
            places: Mutex::new(lock(&self.places).clone()),
            verdicts: Mutex::default(),
            cookies: self.cookies.clone(),
        }
    }

    /// What is known of one host, for somebody who is to teach us nothing.
    #[must_use]
    pub fn copy_for(&self, host: &str) -> Self {
        let place = lock(&self.places).get(host).cloned().unwrap_or_default();
        Self {
            places: Mutex::new(HashMap::from([(host.to_owned(), place)])),
            verdicts: Mutex::default(),
            cookies: self.cookies.copy_for(host),
        }
    }

    /// Where vendors' cookies were seen to be set.
    #[must_use]
    pub const fn cookies(&self) -> &CookiePlaces {
        &self.cookies
    }

    /// The authorities learned so far.
    pub(super) fn learned(&self, host: &str) -> Vec<String> {
        self.at(host, |place| place.learned.iter().cloned().collect())
    }

    /// Remembers the authorities that a page of `host` names.
    pub(super) fn note_named<'n>(
        &self,
        host: &str,
        authorities: impl IntoIterator<Item = &'n String>,
    ) {
        self.at(host, |place| {
            for authority in authorities {
                keep(&mut place.named, authority, MAX_NAMED);
            }
        });
    }

    /// The authorities that pages of `host` named lately.
    pub(super) fn named_lately(&self, host: &str) -> Vec<String> {
        self.at(host, |place| place.named.iter().cloned().collect())
    }

    fn at<T>(&self, host: &str, act: impl FnOnce(&mut Place) -> T) -> T {
        let mut places = lock(&self.places);
        if let Some(place) = places.get_mut(host) {
            return act(place);
        }
        if places.len() >= MAX_PLACES {
            places.clear();
        }
        // Pages that were made before it was forgotten name their hosts anew.
        let taught = LESSONS.fetch_add(1, Ordering::Relaxed);
        act(places.entry(host.to_owned()).or_insert(Place { taught, ..Place::default() }))
    }

    /// The uses that `authority` may have on pages of `host` in a consent
    /// class, asked once.
    pub(super) fn uses(
        &self,
        host: &str,
        authority: &str,
        class: u8,
        ask: impl FnOnce() -> Uses,
    ) -> Uses {
        let key = (host.to_owned(), authority.to_owned(), class);
        if let Some(known) = lock(&self.verdicts).get(&key) {
            return *known;
        }
        let uses = ask();
        let mut verdicts = lock(&self.verdicts);
        if verdicts.len() >= MAX_VERDICTS {
            verdicts.clear();
        }
        verdicts.insert(key, uses);
        uses
    }
}

fn keep(known: &mut VecDeque<String>, authority: &str, most: usize) -> bool {
    if known.iter().any(|known| known == authority) {
        return false;
    }
    if known.len() >= most {
        known.pop_front();
    }
    known.push_back(authority.to_owned());
    true
}

/// Nothing that holds these locks can panic halfway through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k5_a_copy_knows_what_visitors_taught_and_teaches_them_nothing() {
        let memory = Memory::default();
        memory.learn("shop.example", "a.example");
        let copy = memory.copy_for("shop.example");
        assert_eq!(copy.learned("shop.example"), ["a.example"]);
        copy.learn("shop.example", "b.example");
        copy.note_named("shop.example", &["c.example".to_owned()]);
        copy.cookies().note("shop.example", "/", "_x", "_x=1; Path=/account");
        assert_eq!(memory.learned("shop.example"), ["a.example"]);
        assert!(memory.named_lately("shop.example").is_empty());
        let kept = |memory: &Memory| format!("{:?}", memory.cookies()).contains("account");
        assert_eq!((kept(&copy), kept(&memory)), (true, false));
    }

    #[test]
    fn what_was_learned_stays_until_too_much_was() {
        let memory = Memory::default();
        assert!(memory.learn("shop.example", "a.example"));
        assert!(!memory.learn("shop.example", "a.example"));
        assert!(memory.learned("other.example").is_empty(), "one tenant teaches another nothing");
        for number in 0..MAX_LEARNED {
            memory.learn("shop.example", &format!("h{number}.example"));
        }
        let learned = memory.learned("shop.example");
        assert_eq!(learned.len(), MAX_LEARNED);
        assert!(!learned.contains(&"a.example".to_owned()));
    }

    #[test]
    fn a_number_stands_for_what_is_known_and_never_for_anything_else() {
        let memory = Memory::default();
        let nothing = memory.taught("shop.example");
        assert_eq!(memory.taught("shop.example"), nothing);
        memory.learn("shop.example", "a.example");
        let first = memory.taught("shop.example");
        memory.learn("shop.example", "a.example");
        assert_eq!(memory.taught("shop.example"), first);
        memory.learn("shop.example", "b.example");
        assert!(![nothing, first].contains(&memory.taught("shop.example")));
        for number in 0..=MAX_PLACES {
            memory.learn(&format!("h{number}.example"), "a.example");
        }
        memory.learn("shop.example", "c.example");
        assert!(
            ![nothing, first].contains(&memory.taught("shop.example")),
            "also after it was forgotten"
        );
    }
}
