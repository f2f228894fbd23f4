//! Judges what the attributes, styles and documents of an element load.

use crate::catalogue::{Kind, Subject};
use crate::consent::Consent;
use crate::enforce::html::address::{
    Carried, attribute_text, carried, refresh_address, srcset_addresses, text,
};
use crate::enforce::html::elements::{Shape, loads};
use crate::enforce::html::held::{Found, escape};
use crate::enforce::html::page::{Page, as_latin};
use crate::enforce::html::{PageContext, Rewriter, css, lock};
use crate::policy::{Basis, Decision, Grounds, Layer, Policy, Ruling, Verdict};
use crate::purpose::Purpose;

use encoding_rs::{Encoding, UTF_8};
use lol_html::send::Element;
use std::borrow::Cow;
use std::sync::Arc;

/// How deep documents may hold documents (`srcdoc`, `noscript`, `data:`).
const MAX_DEPTH: u8 = 4;

/// The ruling on what cannot be judged.
pub(super) const UNREADABLE: Ruling<'static> =
    Ruling { verdict: Verdict::Block(Grounds::Unreadable), identity: None, exception: None };

/// What takes the place of a document inside this one.
#[derive(Default)]
pub(super) struct Rewritten {
    pub(super) bytes: Vec<u8>,
    /// The first purpose that is missing in it.
    pub(super) purpose: Option<Purpose>,
    /// Whether it differs from what the origin sent.
    pub(super) changed: bool,
    /// Whether something was withheld from it in the live page that is granted
    /// now.
    pub(super) granted: bool,
}

impl PageContext {
    /// The ruling that counts; notes in `found` when the live page was made
    /// under one that withheld it.
    pub(in crate::enforce::html) fn ruling<'p>(
        &'p self,
        found: &mut Found,
        decide: impl Fn(&'p Policy, &Consent) -> Ruling<'p>,
    ) -> Ruling<'p> {
        let ruling = decide(&self.policy, &self.consent);
        if let Some(before) = &self.before
            && !ruling.verdict.blocks()
        {
            found.granted |= decide(&self.policy, before).verdict.blocks();
        }
        ruling
    }
}

impl Page {
    /// Judges everything an element's attributes load.
    pub(super) fn judge_attributes(&mut self, element: &mut Element<'_, '_>, tag: &str) -> Found {
        let mut found = Found::default();
        let rel = match tag {
            "link" => element
                .get_attribute("rel")
                .map(|raw| attribute_text(&raw, self.encoding).into_owned())
                .unwrap_or_default(),
            _ => String::new(),
        };
        let mut loading: Vec<(String, Kind, Shape, String)> = Vec::new();
        for attribute in element.attributes() {
            let name = self.name_of(attribute);
            // Of two attributes of one name browsers take the first.
            if let Some((kind, shape)) = loads(tag, &name, &rel)
                && !loading.iter().any(|(known, ..)| *known == name)
            {
                loading.push((name.into_owned(), kind, shape, attribute.value()));
            }
        }
        for (name, kind, shape, raw) in loading {
            let text = attribute_text(&raw, self.encoding);
            match shape {
                Shape::One => self.judge(&text, kind, &name, &mut found),
                Shape::Set => {
                    for address in srcset_addresses(&text) {
                        self.judge(address, kind, &name, &mut found);
                    }
                }
                Shape::List => {
                    for address in text.split_ascii_whitespace() {
                        self.judge(address, kind, &name, &mut found);
                    }
                }
                Shape::Refresh => {
                    if let Some(address) = refresh_address(&text) {
                        self.judge(address, kind, &name, &mut found);
                    }
                }
                Shape::Document => {
                    let Some(rewritten) = self.inner_document(text.as_bytes(), UTF_8) else {
                        continue;
                    };
                    if rewritten.changed
                        && self.context.enforcing
                        && let Ok(rewritten) = std::str::from_utf8(&rewritten.bytes)
                    {
                        self.set(element, &name, &escape(rewritten));
                    }
                    let inside = Found { granted: rewritten.granted, ..Found::default() };
                    self.mark_unnumbered(element, &inside);
                }
            }
        }
        found
    }

    /// Judges one address; `attribute` goes when it is blocked.
    pub(super) fn judge(&mut self, text: &str, kind: Kind, attribute: &str, found: &mut Found) {
        let Ok(url) = self.base.join(text) else { return };
        let context = Arc::clone(&self.context);
        match carried(&url) {
            Some(Carried::Code(code)) if kind != Kind::Image => {
                let ruling = context.ruling(found, |policy, consent| {
                    policy.decide_inline(&code, &context.host, consent)
                });
                if ruling.identity.is_some() {
                    self.file(Decision::on_inline(&ruling));
                }
                if ruling.verdict.blocks() {
                    found.note(attribute, &ruling);
                }
                return;
            }
            // A picture loads nothing, even one that is a document.
            Some(Carried::Document(document)) if kind != Kind::Image => {
                if let Some(rewritten) = self.inner_document(&document, UTF_8) {
                    found.granted |= rewritten.granted && !rewritten.changed;
                    if rewritten.changed {
                        found.offending.push(attribute.to_owned());
                        found.purpose = found.purpose.or(rewritten.purpose);
                    }
                }
                return;
            }
            Some(Carried::Style(css)) if kind == Kind::Style => {
                self.depth += 1;
                let blocked = if self.depth > MAX_DEPTH {
                    self.unreadable("style");
                    true
                } else {
                    self.judge_css(&as_latin(&css), Some(UTF_8), found).is_some()
                };
                self.depth -= 1;
                if blocked {
                    found.offending.push(attribute.to_owned());
                }
                return;
            }
            _ => {}
        }
        let ruling = context.ruling(found, |policy, consent| {
            policy.decide(Subject::Load { kind, url: &url }, &context.host, consent)
        });
        if kind == Kind::Script {
            self.notice_consent_tool(&ruling);
        }
        if ruling.verdict != Verdict::Allow(Basis::FirstParty) {
            self.file(Decision::on_url(&ruling, Layer::Html, kind, &url));
        }
        match ruling.verdict {
            Verdict::Block(_) => {
                if matches!(kind, Kind::Script | Kind::Frame) {
                    self.reach.lacks.vendor(&ruling);
                }
                found.note(attribute, &ruling);
                if found.purpose.is_some() && found.address.is_none() {
                    found.address = Some(url);
                }
            }
            Verdict::Allow(_) => {
                let vendor = ruling.identity.as_ref().map(|identity| identity.vendor);
                self.reach.allow(kind, &url, vendor);
            }
        }
    }

    /// Judges what CSS loads. The addresses in it are in `encoding`, as
    /// [`text`] reads it, unless they are decoded already.
    pub(super) fn judge_css(
        &mut self,
        css: &str,
        encoding: Option<&'static Encoding>,
        whose: &mut Found,
    ) -> Option<String> {
        let mut found = Found::default();
        let rewritten = css::without_blocked(css, |address, kind| {
            let before = found.offending.len();
            let address = match encoding {
                Some(encoding) => text(address, encoding),
                None => Cow::Borrowed(address),
            };
            self.judge(&css::unescape(&address), kind, "style", &mut found);
            found.offending.len() > before
        });
        self.changed |= rewritten.is_some() && self.context.enforcing;
        whose.purpose = whose.purpose.or(found.purpose);
        whose.granted |= found.granted;
        rewritten
    }

    /// Rewrites a document inside this one; `None` when nothing in it changes,
    /// neither now nor in the live page.
    pub(super) fn inner_document(
        &mut self,
        content: &[u8],
        encoding: &'static Encoding,
    ) -> Option<Rewritten> {
        if self.depth >= MAX_DEPTH {
            return Some(self.unreadable("document"));
        }
        let mut inner = Self::new(Arc::clone(&self.context), encoding);
        inner.base = self.base.clone();
        inner.depth = self.depth + 1;
        inner.held = self.held;
        inner.decisions = std::mem::take(&mut self.decisions);
        inner.reach = std::mem::take(&mut self.reach);
        inner.places = self.places.take();
        inner.at = self.at;
        let mut rewriter = Rewriter::with_page(inner, self.context.memory_bytes);
        let result = rewriter.write(content).and_then(|mut out| {
            out.extend(rewriter.finish()?);
            Ok(out)
        });
        self.decisions = rewriter.take_decisions();
        self.reach = rewriter.take_reach();
        let (changed, held, purpose, granted) = {
            let mut page = lock(&rewriter.page);
            self.places = page.places.take();
            (page.changed, page.held, page.withheld, page.granted)
        };
        self.held = held;
        self.granted |= granted;
        self.withheld = self.withheld.or(purpose);
        match result {
            Ok(bytes) if changed || granted => {
                self.changed |= changed;
                Some(Rewritten { bytes, purpose, changed, granted })
            }
            Ok(_) => None,
            // What cannot be judged is not let through.
            Err(_) => Some(self.unreadable("document")),
        }
    }

    /// Puts on record that something cannot be judged; nothing takes its place.
    pub(super) fn unreadable(&mut self, what: &str) -> Rewritten {
        self.changed |= self.context.enforcing;
        self.file(Decision::on_name(&UNREADABLE, Layer::Html, Kind::Inline, what));
        Rewritten { changed: true, ..Rewritten::default() }
    }
}
