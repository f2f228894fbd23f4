//! What stands where something was blocked: the same node, inert, with nothing
//! of its vendor left in it.

use crate::policy::{Grounds, Ruling, Verdict};
use crate::purpose::Purpose;

use lol_html::send::Element;
use url::Url;

/// Attributes a held script or frame keeps: what gives it its shape and what a
/// framework or a style sheet may look for, and nothing that belongs to the
/// vendor. `data-` attributes without a value are such marks, too.
const KEPT: [&str; 30] = [
    "id",
    "class",
    "name",
    "title",
    "style",
    "width",
    "height",
    "lang",
    "dir",
    "hidden",
    "role",
    "nonce",
    "async",
    "defer",
    "loading",
    "allow",
    "allowfullscreen",
    "sandbox",
    "slot",
    "tabindex",
    "align",
    "frameborder",
    "scrolling",
    "marginwidth",
    "marginheight",
    "aria-label",
    "aria-hidden",
    "data-hk",
    "data-nscript",
    "data-svelte-h",
];

/// What was found about one element.
#[derive(Default)]
pub(super) struct Found {
    /// Attributes that must go.
    pub(super) offending: Vec<String>,
    /// The purpose that is missing, for the held node.
    pub(super) purpose: Option<Purpose>,
    /// Who is withheld, for the placeholder: name and id.
    pub(super) vendor: String,
    pub(super) vendor_id: String,
    /// What is withheld for want of consent.
    pub(super) address: Option<Url>,
    /// Whether something of it was withheld from the live page, and is not any
    /// more.
    pub(super) granted: bool,
}

impl Found {
    pub(super) fn note(&mut self, attribute: &str, ruling: &Ruling<'_>) {
        self.offending.push(attribute.to_owned());
        if let Verdict::Block(Grounds::NotGranted(purpose) | Grounds::VendorRefused(purpose)) =
            ruling.verdict
        {
            self.purpose.get_or_insert(purpose);
        }
        if let Some(identity) = &ruling.identity
            && self.vendor.is_empty()
        {
            self.vendor.clone_from(&identity.vendor.name);
            self.vendor_id.clone_from(&identity.vendor.id);
        }
    }
}

/// Takes every attribute off a held element that may belong to its vendor.
pub(super) fn keep_shape(element: &mut Element<'_, '_>) {
    let dropped: Vec<String> = element
        .attributes()
        .iter()
        .filter(|attribute| {
            !(attribute.name().starts_with("data-") && attribute.value().is_empty())
        })
        .map(lol_html::html_content::Attribute::name)
        .filter(|name| !KEPT.contains(&name.as_str()))
        .collect();
    for name in dropped {
        element.remove_attribute(&name);
    }
}

/// Whether a visitor would look at a frame: trackers' frames have no size or
/// are hidden, and nobody misses what they never saw.
pub(super) fn is_seen(element: &Element<'_, '_>) -> bool {
    let value = |name| element.get_attribute(name).unwrap_or_default().to_ascii_lowercase();
    let sized = |size: &str| !matches!(size.trim().trim_end_matches("px"), "0" | "1");
    let styled = value("style").split(';').all(|declaration| {
        let (property, value) = declaration.split_once(':').unwrap_or_default();
        match (property.trim(), value.trim().trim_end_matches("!important").trim_end()) {
            ("display", value) => value != "none",
            ("visibility", value) => value != "hidden",
            ("width" | "height", value) => sized(value),
            _ => true,
        }
    });
    !element.has_attribute("hidden") && styled && sized(&value("width")) && sized(&value("height"))
}

/// An attribute's value in double quotes, in any ASCII-compatible encoding.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_ascii() => out.push(c),
            c => out.push_str(&format!("&#{};", u32::from(c))),
        }
    }
    out
}
