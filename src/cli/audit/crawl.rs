//! Goes through a site: what its site map names, and what its pages link to.

use crate::audit::{AuditedPage, Judge, Paper};
use crate::cli::audit::fetch::{Fetched, Fetcher};
use crate::enforce::charset_of;

use lol_html::send::{Element, HtmlRewriter, Settings};
use lol_html::{ElementContentHandlers, Selector};
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;

/// How many site maps one may name that are read.
const MAX_MAPS: usize = 10;

/// How many addresses wait at most.
const MAX_WAITING: usize = 10_000;

/// For each page that may be looked at, how many addresses are asked for at
/// most: not everything that is linked to is a page.
const TRIES: usize = 4;

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) pages: usize,
    pub(super) depth: usize,
}

/// A way through a site.
pub(super) struct Crawl<'c> {
    pub(super) fetcher: &'c Fetcher,
    pub(super) judge: &'c Judge,
    pub(super) bounds: Bounds,
    /// Whom to tell of each page, and how many there are at most.
    pub(super) progress: &'c dyn Fn(usize, &str),
    /// Who looks at a page, too, in another way.
    pub(super) watch: &'c dyn Fn(&Url, &mut AuditedPage),
}

/// What waits to be looked at.
struct Waiting {
    known: HashSet<Url>,
    queue: VecDeque<(Url, usize)>,
    /// Where all of them are: scheme, host and port.
    origin: url::Origin,
}

impl Waiting {
    fn add(&mut self, mut url: Url, depth: usize) {
        url.set_fragment(None);
        if url.origin() == self.origin
            && self.known.len() < MAX_WAITING
            && self.known.insert(url.clone())
        {
            self.queue.push_back((url, depth));
        }
    }
}

impl Crawl<'_> {
    /// Looks at the page that was fetched and at what it leads to.
    pub(super) async fn run(&self, first: Fetched) -> Vec<AuditedPage> {
        let origin = first.url.origin();
        let mut waiting = Waiting { known: HashSet::new(), queue: VecDeque::new(), origin };
        waiting.known.insert(first.url.clone());
        let mut pages = Vec::new();
        let follows = self.bounds.pages > 1;
        if first.is_page() {
            self.look(&first, 0, &mut waiting, &mut pages);
            if follows && let Ok(map) = first.url.join("/sitemap.xml") {
                self.read_map(&map, &mut waiting).await;
            }
        } else {
            self.take_map(&first, &mut waiting, MAX_MAPS).await;
        }
        let mut tries = self.bounds.pages.saturating_mul(TRIES);
        while pages.len() < self.bounds.pages
            && tries > 0
            && let Some((url, depth)) = waiting.queue.pop_front()
        {
            tries -= 1;
            match self.fetcher.get(&url).await {
                Ok(fetched) if !fetched.is_page() => {}
                // It led away from the site, or to a page that is known.
                Ok(fetched) if fetched.url != url && !self.is_new(&fetched.url, &mut waiting) => {}
                Ok(fetched) => self.look(&fetched, depth, &mut waiting, &mut pages),
                Err(error) => {
                    (self.progress)(pages.len() + 1, url.as_str());
                    let trouble = Some(format!("{error:#}"));
                    pages.push(AuditedPage { name: url.into(), trouble, ..AuditedPage::default() });
                }
            }
        }
        pages
    }

    fn is_new(&self, url: &Url, waiting: &mut Waiting) -> bool {
        url.origin() == waiting.origin && waiting.known.insert(url.clone())
    }

    fn look(
        &self,
        fetched: &Fetched,
        depth: usize,
        waiting: &mut Waiting,
        pages: &mut Vec<AuditedPage>,
    ) {
        (self.progress)(pages.len() + 1, fetched.url.as_str());
        let mut page = judged(fetched, self.judge);
        let status = fetched.status;
        // A link that leads nowhere is the site's own affair.
        let is_gone = matches!(status.as_u16(), 404 | 410) && !pages.is_empty();
        if !status.is_success() && !is_gone {
            page.trouble.get_or_insert_with(|| format!("the site answers {status}"));
        }
        (self.watch)(&fetched.url, &mut page);
        pages.push(page);
        if self.bounds.pages > 1 && depth < self.bounds.depth {
            for link in links(fetched) {
                waiting.add(link, depth + 1);
            }
        }
    }

    async fn read_map(&self, url: &Url, waiting: &mut Waiting) {
        // Many sites have none, which is no fault.
        if let Ok(map) = self.fetcher.get(url).await
            && map.status.is_success()
            && !map.is_page()
        {
            self.take_map(&map, waiting, MAX_MAPS).await;
        }
    }

    async fn take_map(&self, map: &Fetched, waiting: &mut Waiting, mut maps: usize) {
        let mut texts = vec![text_of(map)];
        while let Some(text) = texts.pop() {
            let is_index = text.contains("<sitemapindex");
            for url in locations(&text) {
                if !is_index {
                    waiting.add(url, 1);
                } else if maps > 0 && url.origin() == waiting.origin {
                    maps -= 1;
                    if let Ok(map) = self.fetcher.get(&url).await {
                        texts.push(text_of(&map));
                    }
                }
            }
        }
    }
}

/// A page that was fetched, judged with everything that was said on the way.
pub(super) fn judged(fetched: &Fetched, judge: &Judge) -> AuditedPage {
    let mut page = AuditedPage { name: shown(&fetched.url), ..AuditedPage::default() };
    let mut seen = AuditedPage::default();
    for (url, headers) in &fetched.hops {
        judge.response(&as_host(url, judge), headers, false, &mut seen);
    }
    let url = as_host(&fetched.url, judge);
    judge.response(&url, &fetched.headers, true, &mut seen);
    page.add(seen.things);
    if let Some(body) = &fetched.body {
        let content_type = fetched.content_type();
        judge.document(&Paper { url: &url, content_type, body }, &mut page);
    }
    page
}

/// An address as visitors of the site have it, whatever it was asked at.
fn as_host(url: &Url, judge: &Judge) -> Url {
    let mut url = url.clone();
    if url.host_str() != Some(&judge.host) && url.set_host(Some(&judge.host)).is_ok() {
        let _ = url.set_port(None);
    }
    url
}

fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_fragment(None);
    url.into()
}

fn text_of(fetched: &Fetched) -> String {
    let body = fetched.body.as_deref().unwrap_or_default();
    let (text, ..) = charset_of(fetched.content_type(), body).decode(body);
    text.into_owned()
}

/// The addresses in a site map (<https://www.sitemaps.org/protocol.html>).
fn locations(map: &str) -> Vec<Url> {
    let places = map.split("<loc>").skip(1).filter_map(|rest| rest.split("</loc>").next());
    places
        .take(MAX_WAITING)
        .filter_map(|text| {
            let text = text.trim();
            let text = text.strip_prefix("<![CDATA[").unwrap_or(text);
            let text = text.strip_suffix("]]>").unwrap_or(text);
            Url::parse(&htmlize::unescape(text)).ok()
        })
        .collect()
}

/// The addresses that a page links to, in its order.
fn links(fetched: &Fetched) -> Vec<Url> {
    let text = text_of(fetched);
    let found: Arc<Mutex<(Option<String>, Vec<String>)>> = Arc::default();
    let Ok(selector) = "a[href], area[href], base[href]".parse::<Selector>() else {
        return Vec::new();
    };
    let kept = Arc::clone(&found);
    let handlers =
        ElementContentHandlers::default().element(move |element: &mut Element<'_, '_>| {
            let Some(href) = element.get_attribute("href") else { return Ok(()) };
            let href = htmlize::unescape(href).into_owned();
            let follows = element.get_attribute("rel").is_none_or(|rel| !rel.contains("nofollow"));
            let mut found = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if element.tag_name() == "base" {
                found.0.get_or_insert(href);
            } else if follows && !element.has_attribute("download") && found.1.len() < MAX_WAITING {
                found.1.push(href);
            }
            Ok(())
        });
    let settings =
        Settings::new_send().append_element_content_handler((Cow::Owned(selector), handlers));
    let mut reader = HtmlRewriter::new(settings, |_: &[u8]| {});
    if reader.write(text.as_bytes()).is_err() || reader.end().is_err() {
        return Vec::new();
    }
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    let (base, links) = std::mem::take(&mut *found);
    let base = base.and_then(|base| fetched.url.join(&base).ok());
    let base = base.unwrap_or_else(|| fetched.url.clone());
    links.iter().filter_map(|link| base.join(link).ok()).collect()
}
