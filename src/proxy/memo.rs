//! Remembers what became of a page, so that the same page need not be rewritten
//! for the next visitor.
//!
//! It saves work and never freshness: the origin is asked every time, and its
//! answer is compared with the one of then byte for byte, so nothing depends on
//! a hash that somebody could find a second text for. What else a page depends
//! on is its key, whole: the site and its rules, what the visitor agreed to,
//! address, language, the origin's policies. Nothing in it names a visitor.
//!
//! A page that differs every time, by a token in it, can never be found again;
//! the metric `consentry_pages_remembered` tells how many are.

use crate::consent::Consent;
use crate::policy::Kept;
use crate::site::Site;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::civil::Date;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::{Arc, Weak};

/// What a remembered page takes besides its bytes, about.
const OVERHEAD_BYTES: usize = 512;

/// How much of the memory one page may take: a part, so that a few large ones
/// do not drive all others out.
const PART_OF_ALL: u64 = 8;

/// Pages and what became of them, within a number of bytes.
pub(super) struct Memo {
    pages: Option<Cache<Box<[u8]>, Arc<Remembered>, Bytewise>>,
    most: usize,
}

#[derive(Clone)]
struct Bytewise;

impl Weighter<Box<[u8]>, Arc<Remembered>> for Bytewise {
    fn weight(&self, key: &Box<[u8]>, page: &Arc<Remembered>) -> u64 {
        (key.len() + page.bytes()) as u64
    }
}

/// A page, and what became of it.
#[derive(Debug)]
pub(super) struct Remembered {
    /// As the origin sent it, in its content coding.
    pub(super) original: Bytes,
    pub(super) left: Left,
    pub(super) decisions: Arc<Kept>,
    /// Holds the site's place in memory, not the site: its address is part of
    /// the key, and must not be another site's meanwhile.
    _site: Weak<Site>,
    /// What was known about hosts when its policy was made.
    taught: u64,
}

/// How a page left.
#[derive(Clone, Debug)]
pub(super) struct Left {
    /// Its policy for browsers.
    pub(super) policy: Option<HeaderValue>,
    /// Its bytes in the coding they left in; none where they are the origin's.
    pub(super) bytes: Option<Bytes>,
    /// Whether it became UTF-8 and was not.
    pub(super) transcoded: bool,
}

impl Remembered {
    pub(super) fn new(
        site: &Arc<Site>,
        taught: u64,
        original: Bytes,
        left: Left,
        decisions: Arc<Kept>,
    ) -> Self {
        Self { original, left, decisions, _site: Arc::downgrade(site), taught }
    }

    fn bytes(&self) -> usize {
        let left = self.left.bytes.as_ref().map_or(0, Bytes::len);
        let policy = self.left.policy.as_ref().map_or(0, HeaderValue::len);
        OVERHEAD_BYTES + self.original.len() + left + policy + self.decisions.bytes()
    }

    /// Whether this is how the page goes on behind its first `at` bytes.
    pub(super) fn goes_on(&self, at: usize, data: &[u8]) -> bool {
        let part = self.original.get(at..at + data.len());
        // A page that the origin did not send again is the very same one.
        part.is_some_and(|part| std::ptr::eq(part, data) || part == data)
    }
}

impl Memo {
    /// With room for so many bytes; 0 for none.
    pub(super) fn new(bytes: u64) -> Self {
        let pages = (bytes > 0).then(|| {
            let pages = usize::try_from(bytes / (64 * 1024)).unwrap_or(usize::MAX).max(16);
            Cache::with_weighter(pages, bytes, Bytewise)
        });
        Self { pages, most: usize::try_from(bytes / PART_OF_ALL).unwrap_or(usize::MAX) }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.pages.is_some()
    }

    /// What became of the page under that key, if `taught` is still all that is
    /// known about hosts.
    pub(super) fn find(&self, key: &Key, taught: u64) -> Option<Arc<Remembered>> {
        let found = self.pages.as_ref()?.get(key.0.as_slice())?;
        (found.taught == taught).then_some(found)
    }

    /// Whether a page of so many bytes is worth remembering.
    pub(super) const fn takes(&self, bytes: usize) -> bool {
        self.pages.is_some() && bytes <= self.most / 2
    }

    pub(super) fn keep(&self, key: Key, page: Remembered) {
        if let Some(pages) = self.pages.as_ref().filter(|_| page.bytes() <= self.most) {
            pages.insert(key.0.into_boxed_slice(), Arc::new(page));
        }
    }
}

/// Everything that what becomes of a page depends on, but for the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// For a site as it is configured now, a visitor's consent and a day:
    /// exceptions end with one.
    pub(super) fn new(site: &Arc<Site>, consent: &Consent, day: Date) -> Self {
        let mut key = Self::of_site(site);
        key.0.extend(day.year().to_ne_bytes());
        key.0.extend(day.day_of_year().to_ne_bytes());
        let mut mark = Vec::new();
        consent.write_mark(&mut mark);
        key.add(&mark);
        key
    }

    /// For a site as it is configured now. Whoever keeps it keeps the site's
    /// place in memory, too, which is what it is known by.
    pub(super) fn of_site(site: &Arc<Site>) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend((Arc::as_ptr(site) as usize).to_ne_bytes());
        Self(bytes)
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Adds a part; parts cannot run into each other.
    pub(super) fn add(&mut self, part: &[u8]) {
        self.0.extend(part.len().to_ne_bytes());
        self.0.extend(part);
    }

    /// Adds every field of those names, in order.
    pub(super) fn add_fields(&mut self, headers: &HeaderMap, names: &[HeaderName]) {
        for name in names {
            let fields = headers.get_all(name);
            self.0.extend(fields.iter().count().to_ne_bytes());
            fields.iter().for_each(|field| self.add(field.as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Decisions;
    use crate::purpose::PurposeSet;
    use crate::visitor::trial;

    fn page(site: &Arc<Site>, taught: u64, original: &str) -> Remembered {
        let left = Left { policy: None, bytes: None, transcoded: false };
        let original = Bytes::copy_from_slice(original.as_bytes());
        Remembered::new(site, taught, original, left, Decisions::default().keep())
    }

    #[test]
    fn a_page_is_found_under_its_own_key_and_nothing_else() {
        let memo = Memo::new(1 << 20);
        let site = Arc::new(trial::site());
        let day = jiff::civil::date(2026, 3, 1);
        let key = |consent: &Consent, parts: &[&[u8]]| {
            let mut key = Key::new(&site, consent, day);
            parts.iter().for_each(|part| key.add(part));
            key
        };
        let denied = Consent::chosen(PurposeSet::EMPTY);
        memo.keep(key(&denied, &[b"ab", b"c"]), page(&site, 7, "<p>"));
        assert!(memo.find(&key(&denied, &[b"ab", b"c"]), 7).is_some());
        assert!(memo.find(&key(&denied, &[b"ab", b"c"]), 8).is_none(), "hosts were learnt since");
        assert!(memo.find(&key(&denied, &[b"a", b"bc"]), 7).is_none());
        assert!(memo.find(&key(&Consent::silent(), &[b"ab", b"c"]), 7).is_none());
        let mut tomorrow = Key::new(&site, &denied, jiff::civil::date(2026, 3, 2));
        tomorrow.add(b"ab");
        tomorrow.add(b"c");
        assert!(memo.find(&tomorrow, 7).is_none(), "an exception may have ended");
        let reloaded = Arc::new((*site).clone());
        let mut other = Key::new(&reloaded, &denied, day);
        other.add(b"ab");
        other.add(b"c");
        assert!(memo.find(&other, 7).is_none(), "the configuration may be another");
    }

    #[test]
    fn it_takes_no_more_memory_than_it_may() {
        let memo = Memo::new(1 << 20);
        let site = Arc::new(trial::site());
        let text = "x".repeat(20_000);
        for number in 0..1000_u32 {
            let mut key = Key::new(&site, &Consent::silent(), Date::MAX);
            key.add(&number.to_ne_bytes());
            memo.keep(key, page(&site, 0, &text));
        }
        let pages = memo.pages.as_ref().unwrap();
        assert!(pages.weight() <= 1 << 20, "{}", pages.weight());
        assert!(pages.len() > 10, "{}", pages.len());
        assert!(!memo.takes(1 << 20) && !Memo::new(0).takes(1) && !Memo::new(0).is_on());
    }

    #[test]
    fn a_page_is_compared_as_it_arrives() {
        let site = Arc::new(trial::site());
        let page = page(&site, 0, "hello");
        assert!(page.goes_on(0, b"hel") && page.goes_on(3, b"lo") && page.goes_on(5, b""));
        assert!(!page.goes_on(0, b"hey") && !page.goes_on(3, b"lo!") && !page.goes_on(9, b"x"));
    }
}
