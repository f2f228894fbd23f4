//! Rewrites a page so that nothing the visitor did not agree to can load.
//!
//! A blocked element becomes a *held node*: the same node in the same place,
//! inert, with no vendor address or code left in it. Nodes are never removed,
//! so frameworks that take over the markup find what they expect. What nobody
//! blocks arrives byte for byte.

mod address;
mod css;
mod elements;
mod held;
mod lookahead;
mod mixed;
mod page;
mod placeholder;
mod markup;
mod events;

pub(crate) use address::refresh_address;
pub(crate) use elements::link;
pub(crate) use held::escape;
pub use placeholder::{Embed, Embeds, Placeholders};

use crate::consent::Consent;
use crate::enforce::browser::Reach;
use crate::policy::{Decision, Decisions, Policy};

use encoding_rs::{Encoding, WINDOWS_1252};
use lol_html::send::{HtmlRewriter, Settings};
use lol_html::{
    AsciiCompatibleEncoding, DocumentContentHandlers, ElementContentHandlers, MemorySettings,
    Selector,
};
use lookahead::{Lookahead, Passed};
use page::Page;
use std::borrow::Cow;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use url::Url;

/// What a page is judged by.
#[derive(Clone, Debug)]
pub struct PageContext {
    /// What may pass.
    pub policy: Arc<Policy>,
    /// What this visitor agreed to.
    pub consent: Consent,
    /// What the live page was made for that is to be revived: it grants no
    /// more than `consent`. What it held and `consent` does not is marked with
    /// the number it was held under.
    pub before: Option<Consent>,
    /// The page's host, without port.
    pub host: String,
    /// The page's address, against which others are resolved.
    pub url: Url,
    /// Whether verdicts are carried out; otherwise not a byte is changed.
    pub enforcing: bool,
    /// Whether the guard goes along with the page: then code that is the
    /// site's, too, may stay, because what it loads is withheld there.
    pub guarded: bool,
    /// What stands in frames that are not loaded.
    pub placeholders: Placeholders,
    /// Markup to add at the end of the page; ASCII.
    pub appended: String,
    /// What to add instead where the page says where its body begins.
    pub opening: Option<Opening>,
    /// Memory for one page, in bytes.
    pub memory_bytes: usize,
    /// What consent tools of others mean on it.
    pub others: OtherTools,
}

#[cfg(test)]
impl PageContext {
    /// A page of `shop.example`, for a visitor who has said nothing.
    pub(crate) fn of_shop(policy: Policy) -> Self {
        Self {
            policy: policy.into(),
            consent: Consent::silent(),
            before: None,
            host: "shop.example".to_owned(),
            url: Url::parse("https://shop.example/").unwrap(),
            enforcing: true,
            guarded: false,
            placeholders: Placeholders::plain(""),
            appended: String::new(),
            opening: None,
            memory_bytes: 1 << 20,
            others: OtherTools::default(),
        }
    }
}

/// Markup to add where the body begins; ASCII.
#[derive(Clone, Debug)]
pub struct Opening {
    /// For the very beginning of the body.
    pub markup: String,
    /// For the end of the same page.
    pub rest: String,
    /// For the end as well, where `markup` turned out to be one too many: it
    /// hides it.
    pub hidden: String,
}

/// What somebody else's consent tool means on a page.
#[derive(Clone, Debug, Default)]
pub struct OtherTools {
    /// Whether markup that such a tool would make live is made live here, where
    /// the visitor agreed.
    pub makes_live: bool,
    /// What to add at the end of the page instead, where such a tool is on it.
    pub appended_beside: Option<String>,
}

/// Why a page could not be rewritten. It is not passed on then.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// It needs more memory than one page may have.
    #[error("the page needs more memory than `limits.page_memory_bytes` allows")]
    TooLarge,
    /// The rewriter gave up.
    #[error("the page cannot be rewritten: {0}")]
    Unparsable(String),
}

/// A decision, and where in the page the element begins that it is about.
#[derive(Clone, Debug)]
pub struct Placed {
    /// In bytes from the beginning.
    pub at: usize,
    /// What was decided there.
    pub decision: Decision,
}

/// Every element: which of them matter is found out by [`Page::visit`].
static EVERY: LazyLock<Option<Selector>> = LazyLock::new(|| "*".parse().ok());

type Output = Arc<Mutex<Vec<u8>>>;
type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// Rewrites one page as it streams through.
pub struct Rewriter {
    inner: Option<HtmlRewriter<'static, Sink>>,
    lookahead: Lookahead,
    page: Arc<Mutex<Page>>,
    output: Output,
}

impl Rewriter {
    /// A rewriter for a page in an ASCII-compatible `encoding`.
    #[must_use]
    pub fn new(context: Arc<PageContext>, encoding: &'static Encoding) -> Self {
        let memory = context.memory_bytes.max(64 * 1024);
        let page = Page::new(context, encoding);
        Self::with_page(page, memory)
    }

    fn with_page(page: Page, memory: usize) -> Self {
        let page = Arc::new(Mutex::new(page));
        let output: Output = Arc::default();
        let sink: Sink = {
            let output = Arc::clone(&output);
            Box::new(move |chunk: &[u8]| lock(&output).extend_from_slice(chunk))
        };
        Self {
            inner: Some(HtmlRewriter::new(settings(&page, memory), sink)),
            lookahead: Lookahead::new(memory),
            page,
            output,
        }
    }

    /// Takes more of the page and gives back what can be sent.
    ///
    /// # Errors
    /// When the page cannot be rewritten; then nothing more may be sent.
    pub fn write(&mut self, input: &[u8]) -> Result<Vec<u8>, RewriteError> {
        let passed = self.lookahead.push(input)?;
        self.feed(passed)?;
        Ok(std::mem::take(&mut *lock(&self.output)))
    }

    /// The page has ended: gives back the rest.
    ///
    /// # Errors
    /// When the page cannot be rewritten.
    pub fn finish(&mut self) -> Result<Vec<u8>, RewriteError> {
        let rest = self.lookahead.finish()?;
        self.feed(rest)?;
        if let Some(inner) = self.inner.take() {
            inner.end().map_err(error)?;
        }
        Ok(std::mem::take(&mut *lock(&self.output)))
    }

    /// After a failure: everything that was taken in and not given back, as it
    /// came where it could not be rewritten.
    #[must_use]
    pub fn take_unread(&mut self) -> Vec<u8> {
        lock(&self.page).give_up();
        if let Some(inner) = self.inner.take() {
            // It may hold the beginning of a tag.
            let _ = inner.end();
        }
        let mut unread = std::mem::take(&mut *lock(&self.output));
        unread.extend(self.lookahead.take_pending());
        unread
    }

    /// Whether anything was changed so far.
    #[must_use]
    pub fn changed(&self) -> bool {
        lock(&self.page).changed
    }

    /// Takes the decisions made so far.
    #[must_use]
    pub fn take_decisions(&mut self) -> Decisions {
        std::mem::take(&mut lock(&self.page).decisions)
    }

    /// Takes note of where everything stands that is decided from now on, each
    /// time it stands there: decisions tell of it once.
    pub fn note_places(&mut self) {
        lock(&self.page).places.get_or_insert_default();
    }

    /// Takes what was noted so far, in the order in which it was decided.
    #[must_use]
    pub fn take_places(&mut self) -> Vec<Placed> {
        lock(&self.page).places.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes what the page was seen to load so far.
    pub(crate) fn take_reach(&mut self) -> Reach {
        std::mem::take(&mut lock(&self.page).reach)
    }

    fn feed(&mut self, passed: Passed) -> Result<(), RewriteError> {
        if passed.bytes.is_empty() {
            return Ok(());
        }
        let window = {
            let mut page = lock(&self.page);
            page.look_at(passed)
        };
        lock(&self.output).reserve(window.len() + window.len() / 8);
        match &mut self.inner {
            Some(inner) => inner.write(&window).map_err(|e| {
                self.inner = None;
                error(e)
            }),
            None => Err(RewriteError::Unparsable("it failed before".to_owned())),
        }
    }
}

/// How every reader of a page is set up, so that all see the same elements.
fn parser_settings(memory: usize) -> Settings<'static, 'static> {
    let settings = Settings::new_send()
        .with_memory_settings(
            MemorySettings::new()
                .with_preallocated_parsing_buffer_size(1024)
                .with_max_allowed_memory_usage(memory)
                // See `take_unread`; without it, what is buffered would be lost.
                .with_graceful_bail_out_on_memory_limit_exceeded(true),
        )
        .with_strict(false);
    match AsciiCompatibleEncoding::new(WINDOWS_1252) {
        Some(encoding) => settings.with_encoding(encoding),
        None => settings,
    }
}

fn settings(page: &Arc<Mutex<Page>>, memory: usize) -> Settings<'static, 'static> {
    let mut settings = parser_settings(memory);
    if let Some(selector) = EVERY.as_ref() {
        let page = Arc::clone(page);
        let handlers = ElementContentHandlers::default().element(
            move |element: &mut lol_html::send::Element<'_, '_>| {
                lock(&page).visit(element);
                Ok(())
            },
        );
        settings = settings.append_element_content_handler((Cow::Borrowed(selector), handlers));
    }
    let page = Arc::clone(page);
    settings.append_document_content_handler(DocumentContentHandlers::default().end(
        move |end: &mut lol_html::html_content::DocumentEnd<'_>| {
            let mut page = lock(&page);
            if let Some(markup) = page.take_appended() {
                end.append(&markup, lol_html::html_content::ContentType::Html);
            }
            Ok(())
        },
    ))
}

fn error(error: lol_html::errors::RewritingError) -> RewriteError {
    match error {
        lol_html::errors::RewritingError::MemoryLimitExceeded(_) => RewriteError::TooLarge,
        other => RewriteError::Unparsable(other.to_string()),
    }
}

/// Nothing that holds these locks can panic halfway through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookahead::TEXTS;

    #[test]
    fn every_selector_compiles() {
        assert!(EVERY.is_some() && TEXTS.is_some());
    }
}
