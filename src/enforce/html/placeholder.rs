//! What stands in a frame that is not loaded: whose content it is, why it is
//! not there, and what a visitor can do about it without a script.

use crate::consent::Keys;
use crate::enforce::html::held::Found;
use crate::notice::{Languages, Texts};
use crate::purpose::Purpose;

use http::HeaderMap;
use lol_html::send::Element;
use maud::{Markup, PreEscaped, html};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use url::Url;

/// A longer embed would make the page larger than it is worth; it is offered
/// with its whole purpose only.
const MAX_SEALED: usize = 6 * 1024;

const STYLE: &str = "html{font:15px/1.4 system-ui,sans-serif;color:#1d2b2a;background:#eef2f1}\
body{margin:0;min-height:100vh;display:grid;place-content:safe center;text-align:center;padding:.5em}\
a{color:#0b4f4a}p{margin:.2em}form{display:inline-block;margin:.2em}\
button{font:inherit;color:#fff;background:#0b4f4a;border:2px solid #0b4f4a;border-radius:.4em;padding:.35em .8em;cursor:pointer}\
button.plain{color:#0b4f4a;background:none;border-color:transparent;text-decoration:underline}";

/// What placeholders say and where they lead.
#[derive(Clone, Debug)]
pub struct Placeholders {
    /// Where a visitor can choose.
    pub choices_url: String,
    /// The words.
    pub texts: Arc<Texts>,
    /// How a single embed can be loaded, if it can.
    pub embeds: Option<Embeds>,
}

impl Placeholders {
    /// Placeholders in English that lead to the choices alone.
    #[must_use]
    pub fn plain(choices_url: &str) -> Self {
        let texts = Arc::clone(Languages::built_in().for_visitor(&HeaderMap::new()));
        Self { choices_url: choices_url.to_owned(), texts, embeds: None }
    }
}

/// How a visitor loads a single embed.
#[derive(Clone, Debug)]
pub struct Embeds {
    /// What an embed is sealed with, so that nobody else can have us show one.
    pub keys: Keys,
    /// Whose site it is.
    pub scope: String,
    /// The address that shows an embed.
    pub embed_url: String,
    /// The address that takes a choice.
    pub choices_action: String,
    /// The revision of the notice that visitors are shown.
    pub notice_revision: u32,
    /// The page, as a path.
    pub page: String,
}

/// One embed that a page has: all it takes to show it later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embed {
    /// Its address.
    pub url: String,
    /// Who is behind it.
    pub vendor: String,
    /// The path of the page it is on.
    pub page: String,
    /// The frame's own attributes, by name.
    pub attributes: Vec<(String, String)>,
}

/// Attributes of a frame that say how its content may behave.
const BEHAVIOUR: [&str; 6] =
    ["title", "allow", "allowfullscreen", "sandbox", "referrerpolicy", "loading"];

impl Embed {
    /// The embed as a text that means nothing to anybody else and that comes
    /// back unchanged or not at all.
    #[must_use]
    pub fn seal(&self, keys: &Keys, scope: &str) -> String {
        serde_json::to_vec(self).map(|text| keys.seal(scope, &text)).unwrap_or_default()
    }

    /// The embed in a text that [`Embed::seal`] wrote for the same site.
    #[must_use]
    pub fn open(sealed: &str, keys: &Keys, scope: &str) -> Option<Self> {
        serde_json::from_slice(&keys.unseal(scope, sealed)?).ok()
    }

    fn of(element: &Element<'_, '_>, url: &Url, vendor: &str, page: &str) -> Self {
        let attributes = BEHAVIOUR
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), element.get_attribute(name)?)))
            .collect();
        Self { url: url.to_string(), vendor: vendor.to_owned(), page: page.to_owned(), attributes }
    }
}

/// What a frame that is not loaded shows instead. `element` still has the
/// attributes that the site gave it.
pub(super) fn placeholder(
    element: &Element<'_, '_>,
    found: &Found,
    is_known: bool,
    words: &Placeholders,
) -> String {
    let texts = &words.texts;
    let vendor = if found.vendor.is_empty() { &texts.embed_nobody } else { &found.vendor };
    let with = |text: &str, purpose: Option<Purpose>| {
        let name = purpose.map_or("", |purpose| &texts.purpose(purpose).name);
        text.replace("{vendor}", vendor).replace("{purpose}", name)
    };
    html! {
        html lang=(texts.lang) dir=(texts.dir.name()) {
            style { (PreEscaped(STYLE)) }
            @match found.purpose {
                Some(purpose) => {
                    p { (with(&texts.embed_held, Some(purpose))) }
                    @if let Some(actions) = actions(element, found, is_known, words) { div { (actions) } }
                    p { a href=(words.choices_url) target="_top" { (texts.title) } }
                }
                None => { p { (with(&texts.embed_blocked, None)) } }
            }
        }
    }
    .into_string()
}

/// Buttons that load this one embed, or everything of its vendor from now on.
/// A frame in which forms do nothing has none.
fn actions(
    element: &Element<'_, '_>,
    found: &Found,
    is_known: bool,
    words: &Placeholders,
) -> Option<Markup> {
    let (embeds, url) = (words.embeds.as_ref()?, found.address.as_ref()?);
    if !matches!(url.scheme(), "http" | "https") || !takes_forms(element) {
        return None;
    }
    let embed = Embed::of(element, url, &found.vendor, &embeds.page);
    let sealed = embed.seal(&embeds.keys, &embeds.scope);
    if sealed.len() > MAX_SEALED {
        return None;
    }
    let texts = &words.texts;
    Some(html! {
        form method="post" action=(embeds.embed_url) target="_self" {
            input type="hidden" name="embed" value=(sealed);
            button { (texts.embed_once) }
        }
        @if is_known {
            form method="post" action=(embeds.choices_action) target="_top" {
                input type="hidden" name="return_to" value=(embeds.page);
                input type="hidden" name="choice" value="vendor";
                input type="hidden" name="by" value="placeholder";
                input type="hidden" name="revision" value=(embeds.notice_revision);
                button name="vendor" value=(format!("allow:{}", found.vendor_id)) {
                    (texts.embed_always.replace("{vendor}", &found.vendor))
                }
            }
        }
        form method="post" action=(embeds.embed_url) target="_blank" {
            input type="hidden" name="embed" value=(sealed);
            button.plain name="to" value="provider" { (texts.embed_visit.replace("{vendor}", &found.vendor)) }
        }
    })
}

/// Whether a form in the frame can be sent and proves where it comes from
/// (WHATWG HTML, 7.1.5 "sandboxing").
fn takes_forms(element: &Element<'_, '_>) -> bool {
    element.get_attribute("sandbox").is_none_or(|sandbox| {
        let allows = |word: &str| {
            sandbox.split_ascii_whitespace().any(|flag| flag.eq_ignore_ascii_case(word))
        };
        allows("allow-forms") && allows("allow-same-origin")
    })
}
