//! Walks the elements of one page and turns the blocked ones into held nodes.

mod judge;
mod visit;

use crate::catalogue::{Kind, Subject};
use crate::enforce::browser::Reach;
use crate::enforce::html::address::attribute_text;
use crate::enforce::html::elements::{ScriptType, script_type};
use crate::enforce::html::held::{Found, escape, is_seen, keep_shape};
use crate::enforce::html::lookahead::{Content, Passed};
use crate::enforce::html::mixed::has_site_logic;
use crate::enforce::html::placeholder::placeholder;
use crate::enforce::html::{PageContext, Placed};
use crate::policy::{Decision, Decisions, Grounds, Layer, Ruling, Verdict};
use crate::purpose::Purpose;
use judge::UNREADABLE;

use bytes::Bytes;
use encoding_rs::{Encoding, WINDOWS_1252};
use lol_html::html_content::ContentType;
use lol_html::send::Element;
use memchr::memchr;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use url::Url;

/// What a withheld module's name stands for: nothing, but a module.
const EMPTY_MODULE: &str = "data:text/javascript,export%20default%20undefined";

/// How many places of one page are noted.
const MAX_PLACES: usize = 10_000;

/// One page, or one document inside it.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) context: Arc<PageContext>,
    pub(super) encoding: &'static Encoding,
    base: Url,
    has_base: bool,
    depth: u8,
    held: u32,
    /// Whether anything was withheld from the live page and is granted now.
    granted: bool,
    /// The first purpose that something was withheld for.
    withheld: Option<Purpose>,
    /// The input the rewriter is working on, and where it stands in the page.
    window: Bytes,
    window_start: usize,
    /// Where the contents of the elements in it stand.
    contents: HashMap<usize, Option<Range<usize>>>,
    /// The start tags in it that the rewriter does not see as they are.
    mended: HashMap<usize, Range<usize>>,
    /// The last element whose attributes were changed.
    touched: Option<usize>,
    given_up: bool,
    /// Whether something of ours stands at the beginning of the body.
    opened: bool,
    /// Whether the script of somebody else's consent tool was seen.
    pub(super) beside_consent_tool: bool,
    pub(super) changed: bool,
    pub(super) decisions: Decisions,
    /// What the browser may load of it.
    pub(super) reach: Reach,
    /// Where what was decided stands, if somebody wants to know.
    pub(super) places: Option<Vec<Placed>>,
    /// Where the element begins that is looked at, or that holds the document.
    at: usize,
}

impl Page {
    pub(super) fn new(context: Arc<PageContext>, encoding: &'static Encoding) -> Self {
        let base = context.url.clone();
        Self {
            context,
            encoding,
            base,
            has_base: false,
            depth: 0,
            held: 0,
            granted: false,
            withheld: None,
            window: Bytes::new(),
            window_start: 0,
            contents: HashMap::new(),
            mended: HashMap::new(),
            touched: None,
            given_up: false,
            opened: false,
            beside_consent_tool: false,
            changed: false,
            decisions: Decisions::default(),
            reach: Reach::default(),
            places: None,
            at: 0,
        }
    }

    /// Puts a decision on record.
    pub(super) fn file(&mut self, decision: Decision) {
        if let Some(places) = &mut self.places
            && places.len() < MAX_PLACES
        {
            places.push(Placed { at: self.at, decision: decision.clone() });
        }
        self.decisions.push(decision);
    }

    /// Takes what can be judged next, and gives back what the rewriter is to
    /// read of it.
    pub(super) fn look_at(&mut self, passed: Passed) -> Bytes {
        self.window_start += self.window.len();
        let seen = passed.seen(self.window_start);
        self.window = passed.bytes;
        self.contents.clear();
        self.contents
            .extend(passed.contents.into_iter().map(|Content { element, range }| (element, range)));
        self.mended.clear();
        self.mended.extend(passed.mended.into_iter().map(|tag| (tag.start, tag)));
        seen
    }

    /// Gives a tag that the rewriter was not shown as it is its own form back,
    /// after everything else has judged it.
    pub(super) fn restore(&mut self, element: &mut Element<'_, '_>) {
        let start = element.source_location().bytes().start;
        if let Some(tag) = self.mended.remove(&start)
            && self.touched != Some(start)
            && let Some(original) = self.slice(&tag)
        {
            element.start_tag().replace(&as_latin(&original), ContentType::Html);
        }
    }

    /// Puts what belongs there at the beginning of the body.
    pub(super) fn open(&mut self, element: &mut Element<'_, '_>) {
        let beside = self.beside_consent_tool && self.context.others.appended_beside.is_some();
        let elsewhere = self.depth > 0 || self.given_up || is_foreign(element);
        if self.opened || beside || elsewhere {
            return;
        }
        if let Some(opening) = &self.context.opening {
            element.prepend(&opening.markup, ContentType::Html);
            self.opened = true;
            self.changed = true;
        }
    }

    /// What to add at the end, once.
    pub(super) fn take_appended(&mut self) -> Option<String> {
        let opening = self.context.opening.as_ref().filter(|_| self.opened);
        let appended = match (&self.context.others.appended_beside, opening) {
            // Two questions about the same thing are one too many.
            (Some(beside), Some(opening)) if self.beside_consent_tool => {
                format!("{}{beside}", opening.hidden)
            }
            (Some(beside), None) if self.beside_consent_tool => beside.clone(),
            (_, Some(opening)) => opening.rest.clone(),
            (_, None) => self.context.appended.clone(),
        };
        if self.depth > 0 || self.given_up || appended.is_empty() {
            return None;
        }
        self.changed = true;
        Some(appended)
    }

    /// The rest of the page passes as it is.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    pub(super) fn element(&mut self, element: &mut Element<'_, '_>) {
        let tag = element.tag_name();
        match tag.as_str() {
            "base" => self.base_element(element),
            "noscript" => self.noscript(element),
            "style" => self.style_element(element),
            "script" => self.script(element),
            "meta" => self.meta(element),
            _ => self.loading_element(element, &tag),
        }
    }

    /// The first `<base href>` changes what every later address means.
    fn base_element(&mut self, element: &Element<'_, '_>) {
        if self.has_base {
            return;
        }
        if let Some(href) = element.get_attribute("href") {
            let href = attribute_text(&href, self.encoding);
            match self.context.url.join(&href) {
                // Browsers ignore a base that nothing can be relative to.
                Ok(url) if !matches!(url.scheme(), "data" | "javascript") => self.base = url,
                Ok(_) | Err(_) => {}
            }
            self.has_base = true;
        }
    }

    /// Without scripting, what stands in `noscript` is markup like any other.
    fn noscript(&mut self, element: &mut Element<'_, '_>) {
        if is_foreign(element) {
            // An unknown element there, whose content is looked at as it comes.
            return;
        }
        let rewritten = match self.content(element) {
            Some(content) if memchr(b'<', &content).is_none() => return,
            Some(content) => self.inner_document(&content, self.encoding),
            None => Some(self.unreadable("noscript")),
        };
        let rewritten = rewritten.filter(|rewritten| rewritten.changed);
        if let Some(rewritten) = rewritten
            && self.context.enforcing
        {
            element.set_inner_content(&as_latin(&rewritten.bytes), ContentType::Html);
        }
    }

    fn style_element(&mut self, element: &mut Element<'_, '_>) {
        let mut found = Found::default();
        let content = self.content(element);
        let holds_markup = holds_markup(element, content.as_deref());
        let rewritten = match content {
            Some(content) => {
                let css = as_latin(&content);
                match one_cdata(&css) {
                    Some(inner) if is_foreign(element) => self
                        .judge_css(inner, Some(self.encoding), &mut found)
                        .map(|css| format!("<![CDATA[{}]]>", css.replace("]]>", "]] >"))),
                    None if is_foreign(element) && css.contains('&') => {
                        let css = attribute_text(&css, self.encoding);
                        self.judge_css(&css, None, &mut found).map(|css| escape(&css))
                    }
                    _ => self.judge_css(&css, Some(self.encoding), &mut found),
                }
            }
            None => {
                self.unreadable("style");
                Some(String::new())
            }
        };
        self.mark_unnumbered(element, &found);
        match rewritten.filter(|_| self.context.enforcing) {
            Some(_) if holds_markup => self.make_style_inert(element),
            Some(css) => element.set_inner_content(&css, ContentType::Html),
            None => {}
        }
    }

    /// Browsers apply no style of another type. They may look ahead for the
    /// `@import`s of one, but not behind a rule.
    fn make_style_inert(&mut self, element: &mut Element<'_, '_>) {
        if element.get_attribute("type").is_none_or(|kind| kind != "text/plain") {
            self.set(element, "type", "text/plain");
            element.prepend("a{}", ContentType::Html);
        }
    }

    pub(super) fn style_attribute(&mut self, element: &mut Element<'_, '_>) {
        let Some(raw) = element.get_attribute("style") else { return };
        let css = attribute_text(&raw, self.encoding);
        let mut found = Found::default();
        if let Some(rewritten) = self.judge_css(&css, None, &mut found)
            && self.context.enforcing
        {
            self.set(element, "style", &escape(&rewritten));
        }
        self.mark_unnumbered(element, &found);
    }

    fn script(&mut self, element: &mut Element<'_, '_>) {
        let kind = element.get_attribute("type");
        let kind = kind.as_deref().map(|raw| attribute_text(raw, self.encoding));
        let parked = self.parked(element, "script", kind.as_deref());
        let kind = if parked { ScriptType::Code } else { script_type(kind.as_deref()) };
        let mut found = self.judge_attributes(element, "script");
        let external = ["src", "href", "xlink:href"].iter().any(|name| element.has_attribute(name));
        if found.offending.is_empty() && !external {
            match kind {
                ScriptType::Code => self.judge_code(element, &mut found),
                ScriptType::Addresses => self.judge_addresses(element, &mut found),
                ScriptType::ImportMap => return self.import_map(element),
                ScriptType::Data => {}
            }
        }
        if found.offending.is_empty() && parked {
            self.make_live(element);
        }
        self.mark_granted(element, &found);
        if found.offending.is_empty() || !self.context.enforcing {
            self.reach.runs |= kind == ScriptType::Code;
            return;
        }
        keep_shape(element);
        self.set(element, "type", "text/plain");
        let content = self.content(element);
        if !holds_markup(element, content.as_deref()) {
            element.set_inner_content("", ContentType::Html);
        }
        self.mark_held(element, &found);
    }

    fn judge_code(&mut self, element: &Element<'_, '_>, found: &mut Found) {
        let context = Arc::clone(&self.context);
        let code = self.content(element).map(|code| match is_foreign(element) {
            true => Bytes::from(htmlize::unescape(as_latin(&code)).into_owned()),
            false => code,
        });
        let ruling = match &code {
            Some(code) => context.ruling(found, |policy, consent| {
                policy.decide_inline(code, &context.host, consent)
            }),
            None => UNREADABLE,
        };
        self.notice_consent_tool(&ruling);
        let is_mixed = code.as_ref().is_some_and(|code| self.is_mixed(code, &ruling));
        if ruling.identity.is_some() || ruling.verdict.blocks() {
            let decision = Decision::on_inline(&ruling);
            let layer = if is_mixed { Layer::Browser } else { decision.layer };
            self.file(Decision { layer, ..decision });
        }
        // Other documents, and modules, have names of their own.
        let shares_names = self.depth == 0
            && !element
                .get_attribute("type")
                .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("module"));
        match code.filter(|_| shares_names) {
            Some(code) if ruling.verdict.blocks() && !is_mixed => self.reach.lacks.code(&code),
            Some(code) => self.reach.lacks.keep(&code),
            None => {}
        }
        if ruling.verdict.blocks() {
            self.reach.lacks.vendor(&ruling);
        }
        if ruling.verdict.blocks() && !is_mixed {
            found.note("", &ruling);
        }
    }

    /// Whether blocked code is the site's, too, and may stay because what it
    /// loads is withheld in the browser.
    fn is_mixed(&self, code: &[u8], ruling: &Ruling<'_>) -> bool {
        let context = &self.context;
        let blocks = |part: &[u8]| {
            context.policy.decide_inline(part, &context.host, &context.consent).verdict.blocks()
        };
        context.guarded
            && self.depth == 0
            && matches!(ruling.verdict, Verdict::Block(Grounds::NotGranted(_)))
            && has_site_logic(code, &blocks)
    }

    /// An import map without the addresses that may not load: their names
    /// stand for an empty module then, and the other names keep theirs.
    fn import_map(&mut self, element: &mut Element<'_, '_>) {
        let content = self.content(element);
        if holds_markup(element, content.as_deref()) {
            // No JSON that a browser would read.
            return;
        }
        let Some(content) = content else {
            self.unreadable("import map");
            element.set_inner_content("", ContentType::Html);
            return;
        };
        let Ok(mut map) = serde_json::from_slice::<serde_json::Value>(&content) else { return };
        let mut found = Found::default();
        self.empty_modules(&mut map, &mut found, 0);
        self.mark_unnumbered(element, &found);
        if !found.offending.is_empty() && self.context.enforcing {
            // Inside a script element no text may look like its end.
            let text = map.to_string().replace('<', "\\u003c");
            element.set_inner_content(&as_latin(text.as_bytes()), ContentType::Html);
            self.changed = true;
        }
    }

    fn empty_modules(&mut self, map: &mut serde_json::Value, found: &mut Found, depth: u8) {
        match map {
            serde_json::Value::String(address) => {
                let before = found.offending.len();
                self.judge(address, Kind::Script, "", found);
                if found.offending.len() > before {
                    EMPTY_MODULE.clone_into(address);
                }
            }
            serde_json::Value::Object(entries) if depth < 4 => entries
                .iter_mut()
                .for_each(|(_, entry)| self.empty_modules(entry, found, depth + 1)),
            _ => {}
        }
    }

    /// Speculation rules: every string in them that is an address counts.
    fn judge_addresses(&mut self, element: &Element<'_, '_>, found: &mut Found) {
        let Some(content) = self.content(element) else {
            self.file(Decision::on_inline(&UNREADABLE));
            return found.note("", &UNREADABLE);
        };
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(&content) else { return };
        let mut strings = Vec::new();
        collect_strings(&json, &mut strings, 0);
        for text in strings {
            self.judge(&text, Kind::Script, "", found);
        }
    }

    fn meta(&mut self, element: &mut Element<'_, '_>) {
        let Some(equivalent) = element.get_attribute("http-equiv") else {
            return self.referrer_meta(element);
        };
        match equivalent.trim().to_ascii_lowercase().as_str() {
            "refresh" => self.loading_element(element, "meta"),
            name @ ("accept-ch" | "delegate-ch") => {
                let context = Arc::clone(&self.context);
                let mut found = Found::default();
                let ruling = context.ruling(&mut found, |policy, consent| {
                    policy.decide(Subject::ResponseHeader("accept-ch"), &context.host, consent)
                });
                if ruling.identity.is_some() {
                    self.file(Decision::on_name(&ruling, Layer::Html, Kind::ResponseHeader, name));
                }
                self.mark_granted(element, &found);
                if ruling.verdict.blocks() && context.enforcing {
                    element.remove_attribute("content");
                    found.note("content", &ruling);
                    self.mark_held(element, &found);
                }
            }
            _ => {}
        }
    }

    fn loading_element(&mut self, element: &mut Element<'_, '_>, tag: &str) {
        let parked = self.parked(element, tag, None);
        let found = self.judge_attributes(element, tag);
        if found.offending.is_empty() && parked {
            self.make_live(element);
        }
        self.mark_granted(element, &found);
        if found.offending.is_empty() || !self.context.enforcing {
            return;
        }
        let is_frame = matches!(tag, "iframe" | "frame" | "fencedframe" | "portal");
        if is_frame && !found.offending.iter().all(|name| name == "srcdoc") {
            let words = (tag == "iframe" && is_seen(element)).then(|| {
                let is_known = self.context.policy.catalogue().vendor(&found.vendor_id).is_some();
                placeholder(element, &found, is_known, &self.context.placeholders)
            });
            keep_shape(element);
            if let Some(words) = words {
                self.set(element, "srcdoc", &escape(&words));
            }
        } else {
            for name in &found.offending {
                element.remove_attribute(name);
            }
        }
        self.mark_held(element, &found);
    }

    /// Takes attributes off that may not stay.
    pub(super) fn hold_attributes(&mut self, element: &mut Element<'_, '_>, found: &Found) {
        if found.offending.is_empty() || !self.context.enforcing {
            return;
        }
        for name in &found.offending {
            element.remove_attribute(name);
        }
        self.mark_held(element, found);
    }

    /// What stands between an element's tags, or `None` when it is too long to
    /// be read.
    fn content(&self, element: &Element<'_, '_>) -> Option<Bytes> {
        if !element.can_have_content() {
            return Some(Bytes::new());
        }
        let range = self.contents.get(&element.source_location().bytes().start)?.clone()?;
        self.slice(&range)
    }

    /// What stands at a place in the page that the rewriter is working on.
    fn slice(&self, range: &Range<usize>) -> Option<Bytes> {
        let (start, end) = (
            range.start.checked_sub(self.window_start)?,
            range.end.checked_sub(self.window_start)?,
        );
        (start <= end && end <= self.window.len()).then(|| self.window.slice(start..end))
    }

    fn mark_held(&mut self, element: &mut Element<'_, '_>, found: &Found) {
        self.held += 1;
        self.withheld = self.withheld.or(found.purpose);
        let number = self.held.to_string();
        self.set(element, "data-consentry-held", &number);
        let purpose = found.purpose.map_or("unlisted", Purpose::name);
        self.set(element, "data-consentry-purpose", purpose);
        self.mark(element, found, &number);
    }

    /// Counts what was held in the live page and is not any more.
    pub(super) fn mark_granted(&mut self, element: &mut Element<'_, '_>, found: &Found) {
        if found.granted && found.offending.is_empty() {
            self.held += 1;
            let number = self.held.to_string();
            self.mark(element, found, &number);
        }
    }

    /// Marks what was changed in the live page without being held there: it
    /// has no number, so that page has to be loaded again.
    fn mark_unnumbered(&mut self, element: &mut Element<'_, '_>, found: &Found) {
        self.mark(element, found, "none");
    }

    /// Marks what the live page lacks, with its number there. Inside another
    /// document nobody could find it.
    fn mark(&mut self, element: &mut Element<'_, '_>, found: &Found, number: &str) {
        self.granted |= found.granted;
        if found.granted && self.depth == 0 && self.context.enforcing {
            self.set(element, "data-consentry-revive", number);
        }
    }

    /// Sets an attribute; the names used here are valid, so it cannot fail.
    pub(super) fn set(&mut self, element: &mut Element<'_, '_>, name: &str, value: &str) {
        self.changed |= element.set_attribute(name, value).is_ok();
        self.touched = Some(element.source_location().bytes().start);
    }
}

/// Whether it is SVG or MathML, where scripts and styles hold markup.
fn is_foreign(element: &Element<'_, '_>) -> bool {
    !element.namespace_uri().ends_with("/xhtml")
}

/// Whether a script or style has elements in it, or more than can be seen.
///
/// Such content stays: it may end the SVG around it, and what comes after
/// would be read as something else without it. The element is made inert
/// instead, and the elements in it are judged like any others.
fn holds_markup(element: &Element<'_, '_>, content: Option<&[u8]>) -> bool {
    is_foreign(element)
        && content.is_none_or(|content| {
            memchr(b'<', content).is_some() && one_cdata(&as_latin(content)).is_none()
        })
}

/// What stands in the one CDATA section that the content of an SVG style is.
fn one_cdata(content: &str) -> Option<&str> {
    content
        .trim()
        .strip_prefix("<![CDATA[")
        .and_then(|rest| rest.strip_suffix("]]>"))
        .filter(|inner| !inner.contains("]]>"))
}

/// Bytes as the rewriter's text: see `attribute_text`.
fn as_latin(bytes: &[u8]) -> Cow<'_, str> {
    let (text, _) = WINDOWS_1252.decode_without_bom_handling(bytes);
    text
}

fn collect_strings(json: &serde_json::Value, out: &mut Vec<String>, depth: u8) {
    match json {
        serde_json::Value::String(text) => out.push(text.clone()),
        serde_json::Value::Array(items) if depth < 16 => {
            items.iter().for_each(|item| collect_strings(item, out, depth + 1));
        }
        serde_json::Value::Object(items) if depth < 16 => {
            for (key, value) in items {
                out.push(key.clone());
                collect_strings(value, out, depth + 1);
            }
        }
        _ => {}
    }
}
