//! Judges the code in event attributes and in `javascript:` links, and what a
//! page says about its referrer.
//!
//! A handler that only calls a vendor's function stays: where the vendor is
//! withheld, the function is missing or a stand-in, and nothing is sent. One
//! that loads something itself is judged by the addresses in it.

use crate::catalogue::Kind;
use crate::enforce::html::address::attribute_text;
use crate::enforce::html::held::Found;
use crate::enforce::html::page::Page;
use crate::enforce::referrer::tightened;
use crate::policy::{Decision, Layer, Ruling};
use crate::purpose::Purpose;

use lol_html::send::Element;
use std::sync::Arc;

impl Page {
    /// Takes the handlers off an element that would load something withheld.
    pub(super) fn events(&mut self, element: &mut Element<'_, '_>) {
        let handlers: Vec<(String, String)> = element
            .attributes()
            .iter()
            .map(|attribute| (attribute.name(), attribute.value()))
            .collect();
        let mut found = Found::default();
        for (name, raw) in handlers {
            let text = attribute_text(&raw, self.encoding);
            let code = match name.as_str() {
                "href" | "action" | "formaction" => match script_of(&text) {
                    Some(code) => code,
                    None => continue,
                },
                name if name.starts_with("on") => text.into_owned(),
                _ => continue,
            };
            let context = Arc::clone(&self.context);
            let ruling = context.ruling(&mut found, |policy, consent| {
                policy.decide_handler(code.as_bytes(), &context.host, consent)
            });
            if ruling.is_known() || ruling.verdict.blocks() {
                self.file(Decision::on_inline(&ruling));
            }
            if ruling.verdict.blocks() {
                found.note(&name, &ruling);
            }
        }
        self.mark_granted(element, &found);
        self.hold_attributes(element, &found);
    }
}

impl Page {
    /// A `<meta name=referrer>` tells others as little as the header does.
    pub(super) fn referrer_meta(&mut self, element: &mut Element<'_, '_>) {
        let named = element.get_attribute("name");
        if !named.is_some_and(|name| name.trim().eq_ignore_ascii_case("referrer")) {
            return;
        }
        let context = Arc::clone(&self.context);
        let said = element.get_attribute("content").unwrap_or_default();
        // One that says nothing leaves it at the header.
        let tight = tightened(&said).filter(|_| !said.trim().is_empty());
        let verdict = [Purpose::Marketing, Purpose::Analytics]
            .map(|purpose| context.policy.decide_purpose(purpose, &context.consent))
            .into_iter()
            .find(|verdict| verdict.blocks());
        if let (Some(tight), Some(verdict)) = (tight, verdict) {
            let ruling = Ruling { verdict, identity: None, exception: None };
            let (layer, kind) = (Layer::Html, Kind::ResponseHeader);
            self.file(Decision::on_name(&ruling, layer, kind, "referrer-policy"));
            if context.enforcing {
                self.set(element, "content", tight);
            }
        }
    }
}

/// The code of a `javascript:` address. Browsers skip white space before and
/// in the scheme.
fn script_of(text: &str) -> Option<String> {
    let (scheme, code) = text.split_once(':')?;
    let scheme: String = scheme.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    scheme.trim_start_matches(char::is_control).eq_ignore_ascii_case("javascript").then(|| {
        percent_encoding::percent_decode_str(code)
            .decode_utf8()
            .map_or_else(|_| code.to_owned(), std::borrow::Cow::into_owned)
    })
}
