//! How the notice and our own pages look, within limits.
//!
//! There is one style for all buttons, so a theme that makes one answer look
//! better than the other cannot be written down.

use std::fmt::{self, Write};

/// Text must stand out from what is behind it by this much (WCAG 2.2, 1.4.3).
pub const TEXT_CONTRAST: f64 = 4.5;

/// The edge of a button must stand out by this much (WCAG 2.2, 1.4.11).
pub const EDGE_CONTRAST: f64 = 3.0;

/// Where the notice stands on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// Along the lower edge.
    #[default]
    Bottom,
    /// Along the upper edge.
    Top,
    /// In the lower corner where lines end; along the lower edge of a phone.
    Corner,
}

impl Position {
    /// The position an operator calls so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "bottom" => Some(Self::Bottom),
            "top" => Some(Self::Top),
            "corner" => Some(Self::Corner),
            _ => None,
        }
    }

    const fn style(self) -> &'static str {
        match self {
            Self::Bottom => "",
            Self::Top => {
                "#csy-ask{inset:0 0 auto 0!important;border-width:0 1px 1px!important;border-radius:0 0 var(--csy-radius) var(--csy-radius)!important;box-shadow:0 2px 16px rgba(0,0,0,.18)!important}"
            }
            Self::Corner => {
                "@media (min-width:600px){#csy-ask{inset-inline:auto 16px!important;bottom:16px!important;max-width:420px!important;max-height:80vh!important;border-width:1px!important;border-radius:var(--csy-radius)!important}}"
            }
        }
    }
}

/// An opaque colour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Colour([u8; 3]);

impl Colour {
    /// The colour written `#rrggbb` or `#rgb`. Names and transparency have no
    /// contrast that could be told.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?.as_bytes();
        let digit = |at: usize| {
            let letter = char::from(*digits.get(at)?);
            u8::try_from(letter.to_digit(16)?).ok()
        };
        match digits.len() {
            3 => Some(Self([digit(0)? * 17, digit(1)? * 17, digit(2)? * 17])),
            6 => Some(Self([
                digit(0)? * 16 + digit(1)?,
                digit(2)? * 16 + digit(3)?,
                digit(4)? * 16 + digit(5)?,
            ])),
            _ => None,
        }
    }

    /// How much two colours differ, from 1 to 21 (WCAG 2.2, "contrast ratio").
    #[must_use]
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([red, green, blue]) = self;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl fmt::Debug for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The colours in the light, or in the dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colours {
    /// Words.
    pub text: Colour,
    /// What is behind them.
    pub background: Colour,
    /// Every button.
    pub button: Colour,
    /// Words on a button.
    pub button_text: Colour,
    /// The line around the notice.
    pub border: Colour,
}

impl Colours {
    /// Ours in the light.
    pub const LIGHT: Self = Self {
        text: Colour([0x1a, 0x1d, 0x21]),
        background: Colour([0xff, 0xff, 0xff]),
        button: Colour([0x1f, 0x3a, 0x5f]),
        button_text: Colour([0xff, 0xff, 0xff]),
        border: Colour([0x76, 0x7e, 0x8c]),
    };

    /// Ours in the dark.
    pub const DARK: Self = Self {
        text: Colour([0xe9, 0xec, 0xf0]),
        background: Colour([0x1d, 0x21, 0x26]),
        button: Colour([0xa9, 0xc7, 0xee]),
        button_text: Colour([0x10, 0x15, 0x1c]),
        border: Colour([0x80, 0x88, 0x96]),
    };

    fn variables(&self) -> String {
        format!(
            "--csy-text:{}!important;--csy-back:{}!important;--csy-button:{}!important;--csy-label:{}!important;--csy-line:{}!important",
            self.text, self.background, self.button, self.button_text, self.border
        )
    }

    fn page_variables(&self) -> String {
        format!(
            "--page:{0};--card:{0};--text:{1};--quiet:{1};--line:{2};--button:{3};--label:{4}",
            self.background, self.text, self.border, self.button, self.button_text
        )
    }
}

/// How one site's notice looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theme {
    /// For the notice; goes behind its own style.
    pub notice: String,
    /// For the link to choose again, likewise.
    pub link: String,
    /// For our own pages, likewise; empty when nothing differs.
    pub page: String,
    /// Stands for all of it, as [`Texts::mark`](crate::notice::Texts) does for
    /// the words.
    pub mark: u32,
}

impl Default for Theme {
    fn default() -> Self {
        let (light, dark) = (Colours::LIGHT, Colours::DARK);
        Self::new(Position::default(), "", 10, &light, &dark)
    }
}

impl Theme {
    /// A theme of these colours. `font` is what [`font`] gave.
    #[must_use]
    pub fn new(
        position: Position,
        font: &str,
        radius_px: u8,
        light: &Colours,
        dark: &Colours,
    ) -> Self {
        let comma = if font.is_empty() { "" } else { "," };
        let font = format!("{font}{comma}system-ui,sans-serif");
        let style = |id: &str, rest: &str| {
            format!(
                "{id}{{--csy-font:{font}!important;--csy-radius:{radius_px}px!important;{}}}\
                 @media (prefers-color-scheme:dark){{{id}{{{}}}}}{rest}",
                light.variables(),
                dark.variables(),
            )
        };
        let notice = style("#csy-ask", position.style());
        let link = style("#csy-link", "");
        let mut page = String::new();
        if !comma.is_empty() {
            let _ = write!(page, "html{{font-family:{font}}}");
        }
        if radius_px != 10 {
            let _ = write!(page, ":root{{--radius:{radius_px}px}}");
        }
        if *light != Colours::LIGHT {
            let _ = write!(
                page,
                "@media (prefers-color-scheme:light){{:root{{{}}}}}",
                light.page_variables()
            );
        }
        if *dark != Colours::DARK {
            let _ = write!(
                page,
                "@media (prefers-color-scheme:dark){{:root{{{}}}}}",
                dark.page_variables()
            );
        }
        let mark = crate::notice::texts::mark(&notice);
        Self { notice, link, page, mark }
    }
}

/// A list of font families as it can stand in a style; `None` when it is none.
#[must_use]
pub fn font(text: &str) -> Option<String> {
    const GENERIC: [&str; 6] =
        ["serif", "sans-serif", "monospace", "system-ui", "ui-serif", "ui-sans-serif"];
    if text.trim().is_empty() {
        return Some(String::new());
    }
    let families: Option<Vec<String>> = text
        .split(',')
        .map(|family| {
            let name = family.trim().trim_matches(['"', '\'']);
            let is_name = (1..=60).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -_".contains(&byte));
            is_name.then(|| match GENERIC.contains(&name) {
                true => name.to_owned(),
                false => format!("\"{name}\""),
            })
        })
        .collect();
    families.filter(|families| families.len() <= 10).map(|families| families.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e2_our_own_colours_keep_to_the_limits() {
        for colours in [Colours::LIGHT, Colours::DARK] {
            assert!(colours.text.contrast(colours.background) >= TEXT_CONTRAST);
            assert!(colours.button_text.contrast(colours.button) >= TEXT_CONTRAST);
            assert!(colours.button.contrast(colours.background) >= EDGE_CONTRAST);
            assert!(colours.border.contrast(colours.background) >= EDGE_CONTRAST);
        }
    }

    #[test]
    fn contrast_is_what_wcag_says() {
        let colour = |text| Colour::parse(text).unwrap();
        for (a, b, expected) in [
            ("#000", "#fff", 21.0),
            ("#fff", "#ffffff", 1.0),
            ("#777777", "#fff", 4.48),
            ("#767676", "#FFF", 4.54),
        ] {
            let contrast = colour(a).contrast(colour(b));
            assert!((contrast - expected).abs() < 0.01, "{a} on {b}: {contrast}");
        }
    }

    #[test]
    fn a_colour_has_no_room_for_anything_else() {
        for text in [
            "",
            "#",
            "red",
            "#12",
            "#1234",
            "#12345g",
            "#1234567",
            "#12345678",
            "1a1d21",
            "#\u{e9}12",
        ] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
        assert_eq!(Colour::parse("#aBc").unwrap().to_string(), "#aabbcc");
    }

    #[test]
    fn a_font_has_no_room_for_anything_else() {
        for (text, expected) in [
            ("", Some("")),
            ("Inter", Some("\"Inter\"")),
            ("'Open Sans', Georgia ,serif", Some("\"Open Sans\",\"Georgia\",serif")),
            ("a;}</style>", None),
            ("url(x)", None),
            (",", None),
            ("Gr\u{f6}tesk", None),
        ] {
            assert_eq!(font(text).as_deref(), expected, "{text}");
        }
    }
}
