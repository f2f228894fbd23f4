//! What an operator can say about the notice: `[notice]` for all sites, and
//! `[site.notice]` for one of them.

use crate::config::file::default;
use crate::config::findings::Findings;
use crate::notice::{
    Colour, Colours, EDGE_CONTRAST, Languages, Position, TEXT_CONTRAST, Theme, font,
};

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use toml::Spanned;

/// How visitors are asked. What is left out for a site is as for all sites,
/// and what is left out there is as [`Notice::shown`] says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[notice]`")]
pub struct Notice {
    /// The language of visitors who want none that is known.
    pub language: Option<Spanned<String>>,
    /// Files with texts of the operator's own.
    pub texts: Option<Vec<Spanned<String>>>,
    /// Where it stands: `bottom`, `top` or `corner`.
    pub position: Option<Spanned<String>>,
    /// The font families, as in CSS; empty for the system's.
    pub font: Option<Spanned<String>>,
    /// How round its corners are.
    pub radius_px: Option<Spanned<u8>>,
    /// The colour of words in the light.
    pub light_text: Option<Spanned<String>>,
    /// What is behind them.
    pub light_background: Option<Spanned<String>>,
    /// Every button.
    pub light_button: Option<Spanned<String>>,
    /// Words on a button.
    pub light_button_text: Option<Spanned<String>>,
    /// The line around the notice.
    pub light_border: Option<Spanned<String>>,
    /// The same in the dark.
    pub dark_text: Option<Spanned<String>>,
    /// What is behind them.
    pub dark_background: Option<Spanned<String>>,
    /// Every button.
    pub dark_button: Option<Spanned<String>>,
    /// Words on a button.
    pub dark_button_text: Option<Spanned<String>>,
    /// The line around the notice.
    pub dark_border: Option<Spanned<String>>,
}

impl Notice {
    /// Every key with the value that it has when nobody sets it.
    #[must_use]
    pub fn shown() -> Self {
        let text = |text: &str| Some(default(text.to_owned()));
        let colour = |colour: Colour| Some(default(colour.to_string()));
        let (light, dark) = (Colours::LIGHT, Colours::DARK);
        Self {
            language: text("en"),
            texts: Some(Vec::new()),
            position: text("bottom"),
            font: text(""),
            radius_px: Some(default(10)),
            light_text: colour(light.text),
            light_background: colour(light.background),
            light_button: colour(light.button),
            light_button_text: colour(light.button_text),
            light_border: colour(light.border),
            dark_text: colour(dark.text),
            dark_background: colour(dark.background),
            dark_button: colour(dark.button),
            dark_button_text: colour(dark.button_text),
            dark_border: colour(dark.border),
        }
    }

    /// These keys where they are set, and `all`'s elsewhere.
    fn over(&self, all: &Self) -> Self {
        let or = |own: &Option<Spanned<String>>, all: &Option<Spanned<String>>| {
            own.clone().or_else(|| all.clone())
        };
        let mut texts = all.texts.clone().unwrap_or_default();
        texts.extend(self.texts.iter().flatten().cloned());
        Self {
            language: or(&self.language, &all.language),
            texts: Some(texts),
            position: or(&self.position, &all.position),
            font: or(&self.font, &all.font),
            radius_px: self.radius_px.clone().or_else(|| all.radius_px.clone()),
            light_text: or(&self.light_text, &all.light_text),
            light_background: or(&self.light_background, &all.light_background),
            light_button: or(&self.light_button, &all.light_button),
            light_button_text: or(&self.light_button_text, &all.light_button_text),
            light_border: or(&self.light_border, &all.light_border),
            dark_text: or(&self.dark_text, &all.dark_text),
            dark_background: or(&self.dark_background, &all.dark_background),
            dark_button: or(&self.dark_button, &all.dark_button),
            dark_button_text: or(&self.dark_button_text, &all.dark_button_text),
            dark_border: or(&self.dark_border, &all.dark_border),
        }
    }
}

/// What came of the keys.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) languages: Arc<Languages>,
    pub(super) theme: Arc<Theme>,
}

/// Checks what is said for all sites.
pub(super) fn for_all(written: &Notice, findings: &mut Findings<'_>) -> Asked {
    Asked { languages: languages(written, findings), theme: Arc::new(theme(written, findings)) }
}

/// Checks what is said for one site, over what holds for all.
pub(super) fn for_one(
    written: &Notice,
    all: &Notice,
    asked: &Asked,
    findings: &mut Findings<'_>,
) -> Asked {
    let is_empty = toml::Table::try_from(written).is_ok_and(|keys| keys.is_empty());
    if is_empty {
        return asked.clone();
    }
    let merged = written.over(all);
    let own_words = written.language.is_some() || written.texts.is_some();
    Asked {
        languages: match own_words {
            true => languages(&merged, findings),
            false => Arc::clone(&asked.languages),
        },
        theme: Arc::new(theme(&merged, findings)),
    }
}

/// The languages that visitors can be spoken to in.
fn languages(written: &Notice, findings: &mut Findings<'_>) -> Arc<Languages> {
    let mut languages = Languages::built_in();
    for path in written.texts.iter().flatten() {
        let name = path.get_ref();
        match findings.read(path) {
            Ok(text) => {
                if let Err(found) = languages.add(name, &text) {
                    findings.mistakes.extend(found);
                }
            }
            Err(error) => findings.unreadable(path, &error),
        }
    }
    let Some(tag) = &written.language else { return Arc::new(languages) };
    match languages.clone().with_fallback(tag.get_ref()) {
        Some(languages) => Arc::new(languages),
        None => {
            let known: Vec<_> = languages.tags().collect();
            findings.wrong_with_advice(
                tag,
                format!("there are no texts in the language `{}`", tag.get_ref()),
                format!("it can be {}, or one that a file under `texts` adds", known.join(", ")),
            );
            Arc::new(languages)
        }
    }
}

fn theme(written: &Notice, findings: &mut Findings<'_>) -> Theme {
    let position = written.position.as_ref().and_then(|name| {
        let position = Position::from_name(name.get_ref());
        if position.is_none() {
            let message =
                format!("`{}`: a position is `bottom`, `top` or `corner`", name.get_ref());
            findings.wrong(name, message);
        }
        position
    });
    let font = written.font.as_ref().and_then(|families| {
        let list = font(families.get_ref());
        if list.is_none() {
            let advice = "write names with commas in between, such as \"Inter, Georgia, serif\"";
            findings.wrong_with_advice(families, "this is no list of fonts", advice);
        }
        list
    });
    let radius_px = written.radius_px.as_ref().map(|radius| findings.number(radius, 0..=24));
    let light = Palette {
        text: &written.light_text,
        background: &written.light_background,
        button: &written.light_button,
        button_text: &written.light_button_text,
        border: &written.light_border,
    };
    let dark = Palette {
        text: &written.dark_text,
        background: &written.dark_background,
        button: &written.dark_button,
        button_text: &written.dark_button_text,
        border: &written.dark_border,
    };
    let light = light.check("light", &Colours::LIGHT, findings);
    let dark = dark.check("dark", &Colours::DARK, findings);
    Theme::new(
        position.unwrap_or_default(),
        &font.unwrap_or_default(),
        radius_px.unwrap_or(10),
        &light,
        &dark,
    )
}

type Written<'w> = &'w Option<Spanned<String>>;

/// The colours in the light or in the dark, as they are written.
struct Palette<'w> {
    text: Written<'w>,
    background: Written<'w>,
    button: Written<'w>,
    button_text: Written<'w>,
    border: Written<'w>,
}

impl Palette<'_> {
    /// The colours, ours where none is written, with the contrast they need.
    fn check(&self, when: &str, ours: &Colours, findings: &mut Findings<'_>) -> Colours {
        let mut colour = |written: Written<'_>, ours: Colour| {
            let Some(written) = written else { return ours };
            Colour::parse(written.get_ref()).unwrap_or_else(|| {
                let message = format!("`{}` is no colour", written.get_ref());
                findings.wrong_with_advice(written, message, "write it like `#1f3a5f`");
                ours
            })
        };
        let colours = Colours {
            text: colour(self.text, ours.text),
            background: colour(self.background, ours.background),
            button: colour(self.button, ours.button),
            button_text: colour(self.button_text, ours.button_text),
            border: colour(self.border, ours.border),
        };
        let pairs = [
            (
                self.text,
                colours.text,
                self.background,
                colours.background,
                TEXT_CONTRAST,
                "the words",
                "background",
            ),
            (
                self.button_text,
                colours.button_text,
                self.button,
                colours.button,
                TEXT_CONTRAST,
                "the words on a button",
                "button",
            ),
            (
                self.button,
                colours.button,
                self.background,
                colours.background,
                EDGE_CONTRAST,
                "a button",
                "background",
            ),
        ];
        for (front, front_is, behind, behind_is, needed, what, ground) in pairs {
            let contrast = front_is.contrast(behind_is);
            // Nobody is blamed for colours that nobody wrote.
            let Some(place) = front.as_ref().or(behind.as_ref()).filter(|_| contrast < needed)
            else {
                continue;
            };
            findings.wrong_with_advice(
                place,
                format!(
                    "{what} ({front_is}) would have a contrast of {contrast:.1} to 1 with `{when}_{ground}` ({behind_is}); it takes {needed} to 1"
                ),
                "what can hardly be read is no choice (EDPB Cookie Banner Taskforce, January 2023; WCAG 2.2, 1.4.3 and 1.4.11): take a darker or a lighter colour",
            );
        }
        colours
    }
}
