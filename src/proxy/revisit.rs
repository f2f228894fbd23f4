//! Asks the origin whether a page is still what it was, so that it need not be
//! sent again.
//!
//! The origin is asked every time, and its word counts: it gets the validator
//! that it gave the page, and answers "not modified" or sends the page. That
//! word is taken only where it can be about the same page (RFC 9110, 8.8 and
//! 13.1.2; RFC 9111, 3 and 4.1): for a request that tells the origin the same,
//! but for a few neutral fields, and these too where the answer varies by them;
//! for an answer that a cache may keep; and only if it sets the very same
//! cookies again. A page that begins a session may hold something of it, and is
//! asked for as a whole.

use crate::enforce::Cleared;
use crate::proxy::body::Source;
use crate::proxy::head::Head;
use crate::proxy::memo::Key;
use crate::site::Site;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PRAGMA, RANGE, SET_COOKIE, TRANSFER_ENCODING,
    VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, response};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::{Arc, Weak};

/// How many fields an answer may vary by.
const MAX_VARIES: usize = 16;

/// Fields by which no origin tells people, countries or devices apart without
/// saying so in `Vary`. By every other one it may, and some forget to say so.
const NEUTRAL: [&str; 25] = [
    "cf-connecting-ip",
    "cf-ray",
    "connection",
    "dnt",
    "forwarded",
    "host",
    "origin",
    "priority",
    "referer",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "signature",
    "signature-input",
    "traceparent",
    "tracestate",
    "true-client-ip",
    "upgrade-insecure-requests",
    "via",
    "x-amzn-trace-id",
    "x-correlation-id",
    "x-forwarded-for",
    "x-real-ip",
    "x-request-id",
    "x-request-start",
];

/// What is about a body: "not modified" has none.
static OF_THE_BODY: [HeaderName; 5] =
    [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, TRANSFER_ENCODING];

/// What origins sent last, within a number of bytes.
pub(super) struct Visits {
    pages: Option<Cache<Box<[u8]>, Last, Bytewise>>,
    most: u64,
}

#[derive(Clone)]
enum Last {
    Page(Arc<Known>),
    /// Its answers are each their own: nothing is to be asked about them.
    Unlike,
}

/// A page as the origin sent it.
struct Known {
    head: HeaderMap,
    body: Bytes,
    /// What all of it takes, about.
    bytes: usize,
    /// What the request said about what the answer varies by.
    varied: Vec<(HeaderName, Vec<HeaderValue>)>,
    /// Its address is in the key, and must not be another site's meanwhile.
    _site: Weak<Site>,
}

#[derive(Clone)]
struct Bytewise;

impl Weighter<Box<[u8]>, Last> for Bytewise {
    fn weight(&self, key: &Box<[u8]>, last: &Last) -> u64 {
        const OVERHEAD: usize = 256;
        let page = match last {
            Last::Page(known) => known.bytes,
            Last::Unlike => 0,
        };
        (OVERHEAD + key.len() + page) as u64
    }
}

impl Visits {
    /// With room for so many bytes; 0 for none.
    pub(super) fn new(bytes: u64) -> Self {
        let pages = (bytes > 0).then(|| {
            let pages = usize::try_from(bytes / (64 * 1024)).unwrap_or(usize::MAX).max(16);
            Cache::with_weighter(pages, bytes, Bytewise)
        });
        Self { pages, most: bytes / 8 }
    }

    /// What can be asked about the page that a request is for, if anything may
    /// be. `site` answers for the host in `head`; `said` is the request as it
    /// came.
    pub(super) fn question(
        self: &Arc<Self>,
        site: &Arc<Site>,
        head: &Head,
        cleared: &Cleared<Parts>,
        said: &HeaderMap,
    ) -> Option<Question> {
        let pages = self.pages.as_ref().filter(|_| site.remembers_pages)?;
        let request = cleared.get();
        let refuses = [
            AUTHORIZATION,
            RANGE,
            PRAGMA,
            IF_MATCH,
            IF_NONE_MATCH,
            IF_MODIFIED_SINCE,
            IF_UNMODIFIED_SINCE,
            IF_RANGE,
        ];
        if request.method != Method::GET
            || refuses.iter().any(|name| request.headers.contains_key(name))
            || says(&request.headers, &["no-store", "no-cache"])
        {
            return None;
        }
        let mut key = Key::of_site(site);
        key.add(head.authority.as_str().as_bytes());
        key.add(head.scheme().as_bytes());
        key.add(request.uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes());
        let told = request.headers.keys().filter(|name| !NEUTRAL.contains(&name.as_str()));
        let mut told: Vec<HeaderName> = told.cloned().collect();
        told.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        told.iter().for_each(|name| key.add(name.as_str().as_bytes()));
        key.add_fields(&request.headers, &told);
        let known = match pages.get(key.as_slice()) {
            Some(Last::Unlike) => return None,
            Some(Last::Page(known)) => Some(known).filter(|known| known.is_for(said)),
            None => None,
        };
        Some(Question { visits: Arc::clone(self), key, known })
    }
}

impl Known {
    fn is_for(&self, said: &HeaderMap) -> bool {
        self.varied.iter().all(|(name, values)| said.get_all(name).iter().eq(values))
    }

    /// Whether "not modified" is about this page and says nothing that does
    /// not go with it.
    fn fits(&self, head: &HeaderMap) -> bool {
        let same_if_said = |name: &HeaderName| {
            !head.contains_key(name) || head.get_all(name).iter().eq(self.head.get_all(name))
        };
        same_if_said(&CONTENT_SECURITY_POLICY)
            && same_if_said(&VARY)
            && head.get(ETAG).is_none_or(|tag| Some(opaque(tag)) == self.head.get(ETAG).map(opaque))
            && cookies(head).eq(cookies(&self.head))
            && !says(head, &["no-store", "private"])
    }
}

/// What may be asked about one page.
pub(super) struct Question {
    visits: Arc<Visits>,
    key: Key,
    known: Option<Arc<Known>>,
}

impl Question {
    /// Whether there is a page to ask about.
    pub(super) const fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// Asks whether the page is still the same.
    pub(super) fn put_in(&self, request: &mut Cleared<Parts>) {
        if let Some(tag) = self.known.as_ref().and_then(|known| known.head.get(ETAG)) {
            request.ask_whether(tag.clone());
        }
    }

    /// The page, when the origin said that it is still the same; nothing when
    /// that cannot be about it. Then nobody asks again.
    pub(super) fn answered(&self, head: &response::Parts) -> Option<(response::Parts, Source)> {
        let known = self.known.as_ref()?;
        if !known.fits(&head.headers) {
            if let Some(pages) = &self.visits.pages {
                pages.insert(self.key.as_slice().into(), Last::Unlike);
            }
            return None;
        }
        let mut page = head.clone();
        page.status = StatusCode::OK;
        // The words behind "304" are in it.
        page.extensions = http::Extensions::new();
        page.headers = known.head.clone();
        // RFC 9111, 3.2: what it says now counts, but for what is about a body.
        for name in head.headers.keys() {
            if !OF_THE_BODY.contains(name) {
                page.headers.remove(name);
                for value in head.headers.get_all(name) {
                    page.headers.append(name, value.clone());
                }
            }
        }
        Some((page, Source::Known(Some(known.body.clone()))))
    }

    /// What is to be kept of a page, if anything may be. `said` is the request
    /// as it came.
    pub(super) fn keeping(
        self,
        site: &Arc<Site>,
        head: &response::Parts,
        said: &HeaderMap,
    ) -> Option<ToKeep> {
        let fields = &head.headers;
        // Where nothing says how long it is, half of it would look whole.
        let is_framed =
            fields.contains_key(CONTENT_LENGTH) || fields.contains_key(TRANSFER_ENCODING);
        let may = head.status == StatusCode::OK
            && is_framed
            && has_validator(fields)
            && !has_nonce(fields)
            && !fields.contains_key(CONTENT_RANGE)
            && !says(fields, &["no-store", "private"]);
        let varied = varied(fields, said).filter(|_| may)?;
        let head = fields.iter().map(|(name, value)| (name.clone(), own(value))).collect();
        Some(ToKeep {
            visits: self.visits,
            key: self.key,
            head,
            varied,
            site: Arc::downgrade(site),
        })
    }
}

/// A page that is kept when it is there as a whole.
pub(super) struct ToKeep {
    visits: Arc<Visits>,
    key: Key,
    head: HeaderMap,
    varied: Vec<(HeaderName, Vec<HeaderValue>)>,
    site: Weak<Site>,
}

impl ToKeep {
    pub(super) fn whole(self, body: &Bytes) {
        let Self { visits, key, head, varied, site } = self;
        let fields = head.iter().map(|(name, value)| name.as_str().len() + value.len() + 64);
        let said = varied.iter().flat_map(|(_, values)| values).map(HeaderValue::len);
        let bytes = body.len() + fields.sum::<usize>() + said.sum::<usize>() + varied.len() * 128;
        if let Some(pages) = visits.pages.as_ref().filter(|_| bytes as u64 <= visits.most)
            && !matches!(pages.peek(key.as_slice()), Some(Last::Unlike))
        {
            let known = Known { head, body: body.clone(), bytes, varied, _site: site };
            pages.insert(key.as_slice().into(), Last::Page(Arc::new(known)));
        }
    }
}

/// What the request said about everything the answer varies by; nothing where
/// that is too much or cannot be told. Cookies are part of the key.
fn varied(fields: &HeaderMap, said: &HeaderMap) -> Option<Vec<(HeaderName, Vec<HeaderValue>)>> {
    let mut varied = Vec::new();
    for field in fields.get_all(VARY) {
        for name in field.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            // `*` is no name.
            let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|_| name != "*")?;
            if name != COOKIE {
                varied.push((name.clone(), said.get_all(&name).iter().map(own).collect()));
            }
        }
    }
    (varied.len() <= MAX_VARIES).then_some(varied)
}

fn says(headers: &HeaderMap, directives: &[&str]) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|field| {
        // What cannot be read may say so.
        field.to_str().map_or(true, |text| {
            text.split(',').any(|part| {
                let name = part.split('=').next().unwrap_or_default().trim();
                directives.iter().any(|directive| name.eq_ignore_ascii_case(directive))
            })
        })
    })
}

/// The value in memory of its own: it is part of a buffer that may be much
/// larger.
fn own(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

/// Whether there is one validator, and it is one: `*` would be true of
/// anything.
fn has_validator(fields: &HeaderMap) -> bool {
    let mut tags = fields.get_all(ETAG).iter();
    let (Some(tag), None) = (tags.next(), tags.next()) else { return false };
    let inner = opaque(tag).strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\""));
    inner.is_some_and(|inner| !inner.is_empty() && !inner.contains(&b'"'))
}

/// Whether a policy asks for a nonce: it is good for once.
fn has_nonce(fields: &HeaderMap) -> bool {
    fields.get_all(CONTENT_SECURITY_POLICY).iter().any(|field| {
        // What cannot be read may ask for one.
        field.to_str().map_or(true, |text| text.to_ascii_lowercase().contains("'nonce-"))
    })
}

/// A validator without its mark of weakness: they are compared so here (RFC
/// 9110, 13.1.2).
fn opaque(tag: &HeaderValue) -> &[u8] {
    tag.as_bytes().strip_prefix(b"W/").unwrap_or(tag.as_bytes())
}

/// The cookies that are set, each with its value: dates in the rest move on.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields = headers.get_all(SET_COOKIE).iter();
    fields.map(|field| field.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default())
}
