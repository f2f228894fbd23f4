//! Makes sure that a script is seen whole before any of it is passed on.
//!
//! Whether an inline script may run depends on its code, but its start tag
//! comes first. So a scout reads ahead with the same parser as the rewriter
//! and finds the elements whose content decides about them (`script`, `style`,
//! `noscript`), and the bytes from such an element on wait until its end has
//! come. The rewriter then finds the content in its own input, and what nobody
//! blocks needs no copy and arrives byte for byte.
//!
//! Two readers of one page must never disagree about where a script begins:
//! that is why the scout is no tokenizer of our own.
//!
//! The parser misreads one thing: after a tag that ends in `=>`, as in
//! `<textarea placeholder=>`, it takes for markup what a browser takes for
//! text. The scout therefore reads a `.` more before such a `>`, which makes
//! the value unquoted and changes nothing else, wherever it stands; and the
//! rewriter gets to see a form feed, which is white space, in place of the
//! `=` of such tags (see `Passed::seen`).

use crate::enforce::html::{RewriteError, Sink, error, lock, parser_settings};

use bytes::{Bytes, BytesMut};
use lol_html::send::{Element, HtmlRewriter};
use lol_html::{ElementContentHandlers, Selector};
use memchr::memchr_iter;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex};

/// Elements whose content is looked at.
const CONTAINERS: [&str; 3] = ["script", "noscript", "style"];

/// Elements with text in them that may look like markup.
pub(super) static TEXTS: LazyLock<Option<Selector>> = LazyLock::new(|| {
    "script, noscript, style, textarea, title, iframe, xmp, noembed, noframes, plaintext"
        .parse()
        .ok()
});

/// How much longer than the limit an element may be before it is passed on in
/// pieces: room for an end tag that is still arriving, so that the limit falls
/// on the same elements however a page is cut up.
const END_TAG_BYTES: usize = 1024;

/// How deep such elements may stand in each other, which only SVG and unclosed
/// tags make possible: the content of each is looked at, so what is deeper
/// counts as too long.
const MAX_NESTED: usize = 4;

/// Holds bytes back until it is certain that they can be judged.
pub(super) struct Lookahead {
    scout: Option<HtmlRewriter<'static, Sink>>,
    seen: Arc<Mutex<Seen>>,
    pending: BytesMut,
    /// How much of the page came in so far.
    total: usize,
    /// Whether the last byte that is not white space was a `=`.
    after_equals: bool,
    limit: usize,
}

/// What can be judged now: whole tags, unless something is too long.
pub(super) struct Passed {
    pub(super) bytes: Bytes,
    /// The elements that end in it.
    pub(super) contents: Vec<Content>,
    /// The start tags in it that end in `=>`, where the rewriter must not see
    /// that `=`.
    pub(super) mended: Vec<Range<usize>>,
}

/// Where an element's content stands in the page.
pub(super) struct Content {
    /// Where its start tag begins.
    pub(super) element: usize,
    /// `None` when it is too long to be read.
    pub(super) range: Option<Range<usize>>,
}

/// What the scout found, in places of the page.
#[derive(Default)]
struct Seen {
    /// The start tags of elements whose end has not come.
    open: Vec<Range<usize>>,
    closed: Vec<Content>,
    mended: Vec<Range<usize>>,
    /// How far the scout has read whole tags, as it counts.
    read: usize,
    /// Where the scout was given one byte more than the page has, as it
    /// counts; the oldest are only a number.
    added: Vec<usize>,
    forgotten: usize,
}

impl Seen {
    /// The place in the page of what the scout counts as `place`.
    fn place(&self, place: usize) -> usize {
        place - self.forgotten - self.added.partition_point(|added| *added < place)
    }

    fn open(&mut self, element: &Element<'_, '_>, limit: usize) -> Option<usize> {
        let tag = element.source_location().bytes();
        let place = self.place(tag.start)..self.place(tag.end);
        let last = element
            .attributes()
            .last()
            .and_then(lol_html::html_content::Attribute::value_source_location);
        if last.is_some_and(|value| {
            value.bytes().len() == 1 && self.added.binary_search(&value.bytes().start).is_ok()
        }) {
            self.mended.push(place.clone());
        }
        if !element.can_have_content() || !CONTAINERS.contains(&element.tag_name().as_str()) {
            return None;
        }
        if self.open.len() >= MAX_NESTED || place.len() > limit {
            self.closed.push(Content { element: place.start, range: None });
            return None;
        }
        let start = place.start;
        self.open.push(place);
        Some(start)
    }

    fn close(&mut self, element: usize, end: usize, limit: usize) {
        let Some(at) = self.open.iter().rposition(|tag| tag.start == element) else { return };
        let tag = self.open.swap_remove(at);
        let fits = end.saturating_sub(tag.start) <= limit;
        self.closed.push(Content { element, range: fits.then_some(tag.end..end) });
    }

    /// Nothing that is found from now on stands before what is read.
    fn forget(&mut self) {
        let old = self.added.partition_point(|added| *added < self.read);
        self.added.drain(..old);
        self.forgotten += old;
    }

    /// Hands over what stands before `until`.
    fn pass(&mut self, bytes: Bytes, until: usize) -> Passed {
        // What stands in an element that is still open waits with it.
        let contents = self.closed.extract_if(.., |content| content.element < until).collect();
        let mended = self.mended.extract_if(.., |tag| tag.start < until).collect();
        Passed { bytes, contents, mended }
    }
}

impl std::fmt::Debug for Lookahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lookahead({} of {} bytes pending)", self.pending.len(), self.total)
    }
}

impl Passed {
    /// The bytes as the rewriter is to read them, `start` being their place in
    /// the page.
    pub(super) fn seen(&self, start: usize) -> Bytes {
        if self.mended.is_empty() {
            return self.bytes.clone();
        }
        let mut seen = BytesMut::from(self.bytes.as_ref());
        for tag in &self.mended {
            let tag = seen.get_mut(tag.start.saturating_sub(start)..tag.end.saturating_sub(start));
            if let Some(equals) = tag.and_then(|tag| tag.iter_mut().rfind(|byte| **byte == b'=')) {
                *equals = b'\x0c';
            }
        }
        seen.freeze()
    }
}

impl Lookahead {
    /// Holds back at most about half of `memory` bytes; an element that is
    /// longer is passed on in pieces, and counts as unreadable.
    pub(super) fn new(memory: usize) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let limit = memory / 2;
        let mut settings = parser_settings(memory);
        if let Some(selector) = TEXTS.as_ref() {
            let seen = Arc::clone(&seen);
            let handlers =
                ElementContentHandlers::default().element(move |element: &mut Element<'_, '_>| {
                    let opened = lock(&seen).open(element, limit);
                    if let Some(start) = opened
                        && let Some(handlers) = element.end_tag_handlers()
                    {
                        let seen = Arc::clone(&seen);
                        handlers.push(Box::new(move |end| {
                            let mut seen = lock(&seen);
                            let end = seen.place(end.source_location().bytes().start);
                            seen.close(start, end, limit);
                            Ok(())
                        }));
                    }
                    Ok(())
                });
            settings = settings.append_element_content_handler((Cow::Borrowed(selector), handlers));
        }
        let sink: Sink = {
            let seen = Arc::clone(&seen);
            Box::new(move |read: &[u8]| lock(&seen).read += read.len())
        };
        Self {
            scout: Some(HtmlRewriter::new(settings, sink)),
            seen,
            pending: BytesMut::new(),
            total: 0,
            after_equals: false,
            limit,
        }
    }

    /// Takes more input and gives back what can be judged now.
    pub(super) fn push(&mut self, input: &[u8]) -> Result<Passed, RewriteError> {
        // First, so that nothing is lost when the scout fails.
        self.pending.extend_from_slice(input);
        self.scout(input)?;
        self.total += input.len();
        let mut seen = lock(&self.seen);
        let passed = self.total - self.pending.len();
        let whole = seen.place(seen.read);
        let until = match seen.open.iter().map(|tag| tag.start).min() {
            Some(start) if self.total - start > self.limit + END_TAG_BYTES => {
                let open = std::mem::take(&mut seen.open);
                seen.closed.extend(
                    open.into_iter().map(|tag| Content { element: tag.start, range: None }),
                );
                whole
            }
            Some(start) => start.min(whole),
            None => whole,
        };
        let until = until.clamp(passed, self.total);
        let bytes = self.pending.split_to(until - passed).freeze();
        seen.forget();
        Ok(seen.pass(bytes, until))
    }

    /// What is held back, judged or not.
    pub(super) fn take_pending(&mut self) -> BytesMut {
        std::mem::take(&mut self.pending)
    }

    /// Everything that is still held back: the input has ended.
    pub(super) fn finish(&mut self) -> Result<Passed, RewriteError> {
        if let Some(scout) = self.scout.take() {
            scout.end().map_err(error)?;
        }
        let mut seen = lock(&self.seen);
        for tag in std::mem::take(&mut seen.open) {
            let fits = self.total - tag.start <= self.limit;
            seen.closed
                .push(Content { element: tag.start, range: fits.then_some(tag.end..self.total) });
        }
        let bytes = std::mem::take(&mut self.pending).freeze();
        Ok(seen.pass(bytes, self.total))
    }

    /// Lets the scout read on, with a `.` before every `>` that follows a `=`.
    fn scout(&mut self, input: &[u8]) -> Result<(), RewriteError> {
        let Some(scout) = &mut self.scout else { return Ok(()) };
        let mut mended = Vec::new();
        let mut copied = 0;
        for at in memchr_iter(b'>', input) {
            let before = input.get(copied..at).unwrap_or_default();
            let follows = match before.iter().rfind(|byte| !byte.is_ascii_whitespace()) {
                Some(last) => *last == b'=',
                None => self.after_equals,
            };
            if follows {
                mended.extend_from_slice(before);
                let mut seen = lock(&self.seen);
                let place = self.total + at + seen.forgotten + seen.added.len();
                seen.added.push(place);
                mended.push(b'.');
                copied = at;
            }
        }
        let rest = input.get(copied..).unwrap_or_default();
        if let Some(last) = rest.iter().rfind(|byte| !byte.is_ascii_whitespace()) {
            self.after_equals = *last == b'=';
        }
        if mended.is_empty() {
            return scout.write(input).map_err(error);
        }
        mended.extend_from_slice(rest);
        scout.write(&mended).map_err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contents found when the page comes in pieces of `size`; each must
    /// be passed on together with the end of its start tag.
    fn contents(page: &[u8], size: usize) -> Vec<String> {
        let mut lookahead = Lookahead::new(1 << 20);
        let (mut out, mut found) = (Vec::new(), Vec::new());
        let mut take = |passed: Passed, found: &mut Vec<String>| {
            let from = out.len();
            out.extend_from_slice(&passed.bytes);
            for content in passed.contents {
                let range = content.range.unwrap();
                assert!(
                    range.start > from && range.end <= out.len(),
                    "{range:?} in {from}..{}",
                    out.len()
                );
                found.push(String::from_utf8(out[range].to_vec()).unwrap());
            }
        };
        for chunk in page.chunks(size) {
            let passed = lookahead.push(chunk).unwrap();
            take(passed, &mut found);
        }
        take(lookahead.finish().unwrap(), &mut found);
        assert_eq!(out, page, "{size}");
        found
    }

    #[test]
    fn a14_a_script_is_passed_on_whole_however_the_page_is_cut() {
        for (page, expected) in [
            (
                "<p>a</p><script x>var a = '<b>';</SCRIPT ><p><scripty></p><style>b{}</style>c<no",
                &["var a = '<b>';", "b{}"][..],
            ),
            ("<script>a</scripts></script/x>", &["a</scripts>"]),
            ("<script><!-- <script> </script> --> </script>", &["<!-- <script> </script> --> "]),
            ("<script><!-- </script>", &["<!-- "]),
            ("<script><!--<script></script></script>", &["<!--<script></script>"]),
            ("<script><!--><script></script>", &["<!--><script>"]),
            ("<script>a</script", &["a</script"]),
            (
                "<!-- <script> --><p title='<style>'>a<textarea><script></textarea><script>b</script>",
                &["b"],
            ),
            (
                "<!-- <style> --><script>'</style>'; c</script><noscript><p></noscript>",
                &["'</style>'; c", "<p>"],
            ),
            ("<svg><script>a<b></b></script></svg><style>c</style>", &["a<b></b>", "c"]),
            ("<svg><style>a</svg><script>b</script>", &["a", "b"]),
            ("<svg><style>a<style>b</style>c", &["b", "a<style>b</style>c"]),
        ] {
            for size in 1..=page.len() {
                assert_eq!(contents(page.as_bytes(), size), expected, "{page} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_tag_that_ends_in_an_empty_value_is_read_as_browsers_do() {
        for (page, expected) in [
            (
                "<script a=>b => c</script><style d = \n >'=>'<b></style>",
                &["b => c", "'=>'<b>"][..],
            ),
            ("<title a=><script></title><script>b</script>", &["b"]),
            ("a => b <=> c <!--=--><script nonce=x==>d</script><script =>e</script>", &["d", "e"]),
        ] {
            for size in 1..=page.len() {
                assert_eq!(contents(page.as_bytes(), size), expected, "{page} in pieces of {size}");
            }
        }
        let mut lookahead = Lookahead::new(1 << 20);
        let passed =
            lookahead.push(b"=><title a = >=></title><script nonce=x=>b=></script>").unwrap();
        assert_eq!(
            &passed.seen(0)[..],
            b"=><title a \x0c >=></title><script nonce=x=>b=></script>"
        );
    }

    #[test]
    fn what_is_too_long_is_passed_on_unread() {
        let page = format!("<script>{}</script>", "x".repeat(4000));
        for size in [1, 7, 900, 10_000] {
            let mut lookahead = Lookahead::new(4000);
            let mut contents = Vec::new();
            for chunk in page.as_bytes().chunks(size) {
                contents.extend(lookahead.push(chunk).unwrap().contents);
            }
            contents.extend(lookahead.finish().unwrap().contents);
            assert!(matches!(&contents[..], [Content { element: 0, range: None }]), "{size}");
        }
    }
}
