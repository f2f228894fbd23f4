//! Which language a visitor reads.

use crate::mistake::Mistake;
use crate::notice::file;
use crate::notice::texts::Texts;

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use std::sync::{Arc, LazyLock};

/// The files under `config/texts`, by the name a mistake in them is reported
/// under; the first is the pattern for all.
const FILES: [(&str, &str); 8] = [
    ("config/texts/en.toml", include_str!("../../config/texts/en.toml")),
    ("config/texts/de.toml", include_str!("../../config/texts/de.toml")),
    ("config/texts/fr.toml", include_str!("../../config/texts/fr.toml")),
    ("config/texts/es.toml", include_str!("../../config/texts/es.toml")),
    ("config/texts/it.toml", include_str!("../../config/texts/it.toml")),
    ("config/texts/nl.toml", include_str!("../../config/texts/nl.toml")),
    ("config/texts/pl.toml", include_str!("../../config/texts/pl.toml")),
    ("config/texts/ar.toml", include_str!("../../config/texts/ar.toml")),
];

/// A browser sends a few dozen bytes; nobody reads more languages than these.
const MAX_FIELD_BYTES: usize = 512;
const MAX_RANGES: usize = 16;

static BUILT_IN: LazyLock<Vec<Arc<Texts>>> = LazyLock::new(|| {
    // A test holds that all of them can be read.
    FILES.iter().filter_map(|(name, text)| file::whole(name, text).ok()).map(Arc::new).collect()
});

/// Every language that visitors can be spoken to in.
#[derive(Clone, Debug)]
pub struct Languages {
    known: Vec<Arc<Texts>>,
    fallback: Arc<Texts>,
}

impl Languages {
    /// The languages that are built in, with English for everybody else.
    #[must_use]
    pub fn built_in() -> Self {
        Self { known: BUILT_IN.clone(), fallback: BUILT_IN.first().cloned().unwrap_or_default() }
    }

    /// Takes an operator's file: corrects a language, or adds one.
    ///
    /// # Errors
    /// All mistakes found; then nothing has changed.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), Vec<Mistake>> {
        let pattern = BUILT_IN.first().cloned().unwrap_or_default();
        let texts = Arc::new(file::read(name, text, &pattern, |tag| {
            self.exact_or_wider(tag).map(Arc::as_ref)
        })?);
        match self.known.iter_mut().find(|known| known.lang.eq_ignore_ascii_case(&texts.lang)) {
            Some(known) => *known = Arc::clone(&texts),
            None => self.known.push(Arc::clone(&texts)),
        }
        if self.fallback.lang == texts.lang {
            self.fallback = texts;
        }
        Ok(())
    }

    /// Sets the language of visitors who want none that is known. Gives `None`
    /// when it is not known itself.
    #[must_use]
    pub fn with_fallback(self, tag: &str) -> Option<Self> {
        let fallback = self.known.iter().find(|known| known.lang.eq_ignore_ascii_case(tag))?;
        Some(Self { fallback: Arc::clone(fallback), known: self.known })
    }

    /// Their tags.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|texts| texts.lang.as_str())
    }

    /// Those whose question an operator wrote.
    pub(super) fn own(&self) -> impl Iterator<Item = &Arc<Texts>> {
        let built_in =
            |texts: &Texts| BUILT_IN.iter().any(|known| known.question() == texts.question());
        self.all().filter(move |texts| !built_in(texts))
    }

    /// Their texts.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Texts>> {
        self.known.iter()
    }

    /// The texts for the visitor whose browser sent `headers`.
    #[must_use]
    pub fn for_visitor(&self, headers: &HeaderMap) -> &Arc<Texts> {
        wanted(headers).iter().find_map(|tag| self.best(tag)).unwrap_or(&self.fallback)
    }

    /// The language for one range of `Accept-Language`: the same, or the
    /// language without its region (RFC 4647, 3.4), or the same language as it
    /// is written elsewhere: who reads `pt` would rather have `pt-BR` than
    /// English.
    fn best(&self, range: &str) -> Option<&Arc<Texts>> {
        if range == "*" {
            return Some(&self.fallback);
        }
        self.exact_or_wider(range).or_else(|| {
            let language = primary(range);
            self.known.iter().find(|known| primary(&known.lang).eq_ignore_ascii_case(language))
        })
    }

    fn exact_or_wider(&self, tag: &str) -> Option<&Arc<Texts>> {
        let mut tag = tag;
        loop {
            if let Some(texts) =
                self.known.iter().find(|known| known.lang.eq_ignore_ascii_case(tag))
            {
                return Some(texts);
            }
            tag = tag.rsplit_once('-')?.0;
        }
    }
}

fn primary(tag: &str) -> &str {
    tag.split('-').next().unwrap_or(tag)
}

/// The ranges of `Accept-Language` (RFC 9110, 12.5.4), the dearest first.
fn wanted(headers: &HeaderMap) -> Vec<&str> {
    let fields = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|field| field.to_str().ok());
    let mut ranges: Vec<(u16, &str)> = fields
        .filter(|field| field.len() <= MAX_FIELD_BYTES)
        .flat_map(|field| field.split(','))
        .take(MAX_RANGES)
        .filter_map(range)
        .filter(|(weight, _)| *weight > 0)
        .collect();
    // Stable: of two with one weight, the first.
    ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    ranges.into_iter().map(|(_, tag)| tag).collect()
}

/// A range and its weight in thousandths.
fn range(text: &str) -> Option<(u16, &str)> {
    let mut parts = text.split(';').map(str::trim);
    let tag = parts.next().filter(|tag| *tag == "*" || file::is_tag(tag))?;
    let weight = match parts.next() {
        None => 1000,
        Some(parameter) => {
            let (name, value) = parameter.split_once('=')?;
            let value = value.trim();
            let is_weight = name.trim().eq_ignore_ascii_case("q") && value.len() <= 5;
            let weight: f32 =
                value.parse().ok().filter(|weight| is_weight && (0.0..=1.0).contains(weight))?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is between 0 and 1000"
            )]
            let thousandths = (weight * 1000.0).round() as u16;
            thousandths
        }
    };
    Some((weight, tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::file::placeholders;

    fn spoken(languages: &Languages, fields: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(ACCEPT_LANGUAGE, field.parse().unwrap());
        }
        languages.for_visitor(&headers).lang.clone()
    }

    #[test]
    fn e9_every_built_in_language_is_whole() {
        let english = file::whole(FILES[0].0, FILES[0].1).unwrap();
        let pattern: serde_json::Value = serde_json::from_str(&english.canonical()).unwrap();
        for (name, text) in FILES {
            let texts = file::whole(name, text).unwrap_or_else(|mistake| panic!("{mistake}"));
            assert_eq!(name, format!("config/texts/{}.toml", texts.lang));
            let json: serde_json::Value = serde_json::from_str(&texts.canonical()).unwrap();
            same_shape(name, &pattern, &json);
            // An operator's file with the same content would be taken, too.
            Languages::built_in().add(name, text).unwrap_or_else(|m| panic!("{}", m[0]));
            if texts.lang != "en" {
                assert_ne!(texts.ask, english.ask, "{name}");
            }
        }
        assert_eq!(BUILT_IN.len(), FILES.len());
    }

    fn same_shape(name: &str, pattern: &serde_json::Value, json: &serde_json::Value) {
        match (pattern, json) {
            (serde_json::Value::String(pattern), serde_json::Value::String(text)) => {
                assert_eq!(placeholders(pattern), placeholders(text), "{name}: {text}");
                assert!(
                    !text.trim().is_empty(),
                    "{name}: a text is empty, the English one is {pattern}"
                );
            }
            (serde_json::Value::Object(pattern), serde_json::Value::Object(json)) => {
                pattern.iter().for_each(|(key, value)| same_shape(name, value, &json[key]));
            }
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn e9_the_visitors_browser_says_which_language() {
        let languages = Languages::built_in();
        for (fields, expected) in [
            (&["de"][..], "de"),
            (&["de-AT"], "de"),
            (&["DE-at"], "de"),
            (&["da, de;q=0.5, en;q=0.4"], "de"),
            (&["en;q=0.5, fr;q=0.9"], "fr"),
            (&["fr;q=0.5,nl;q=0.5"], "fr"),
            (&["pl;q=0, it"], "it"),
            (&["pl;q=0"], "en"),
            (&["*", "de"], "en"),
            (&["da", "es"], "es"),
            (&["da"], "en"),
            (&["ar-EG,ar;q=0.9"], "ar"),
            (&["zh-Hant-TW, nl-Latn-BE;q=0.1"], "nl"),
            (&[], "en"),
            (&[""], "en"),
        ] {
            assert_eq!(spoken(&languages, fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn e9_nonsense_in_accept_language_is_ignored() {
        let languages = Languages::built_in();
        let long = format!("{}de", "x,".repeat(400));
        let many = format!("{}de", "x,".repeat(20));
        for field in [
            "de;q=2",
            "de;q=-1",
            "de;q=",
            "de;q=x",
            "de;q=NaN",
            "de;q=inf",
            "de;p=1",
            "de;q",
            "de;q=0.00001",
            ";;;,,,=",
            "de_AT",
            "../../de",
            "*;q=0",
            &long,
            &many,
        ] {
            assert_eq!(spoken(&languages, &[field]), "en", "{field}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, http::HeaderValue::from_bytes(b"de\xff").unwrap());
        assert_eq!(languages.for_visitor(&headers).lang, "en");
    }

    #[test]
    fn e9_an_operators_file_changes_single_texts_and_adds_languages() {
        let mut languages = Languages::built_in();
        languages
            .add("my-de.toml", "lang = 'de'\ntitle = 'Ihre Wahl'\n[marketing]\nname = 'Werbung'")
            .unwrap();
        let german = languages.best("de").unwrap();
        assert_eq!((&*german.title, &*german.marketing.name), ("Ihre Wahl", "Werbung"));
        assert_eq!(german.refuse_all, "Alles ablehnen");
        assert_ne!(german.mark, BUILT_IN[1].mark);

        // A region of a language begins as that language.
        languages.add("at.toml", "lang = 'de-AT'\nback = 'Retour'").unwrap();
        let austrian = languages.best("de-at").unwrap();
        assert_eq!(
            (&*austrian.lang, &*austrian.back, &*austrian.title),
            ("de-AT", "Retour", "Ihre Wahl")
        );
        assert_eq!(languages.best("de-CH").unwrap().lang, "de");

        let danish = FILES[0].1.replace("lang = \"en\"", "lang = \"da-DK\"");
        languages.add("da.toml", &danish).unwrap();
        assert_eq!(spoken(&languages, &["da"]), "da-DK");
        assert_eq!(languages.tags().last(), Some("da-DK"));
    }

    #[test]
    fn e9_who_wants_another_language_gets_the_operators() {
        let languages = Languages::built_in().with_fallback("nl").unwrap();
        assert_eq!(spoken(&languages, &["da"]), "nl");
        assert_eq!(spoken(&languages, &["en"]), "en");
        assert!(Languages::built_in().with_fallback("da").is_none());
        let mut languages = languages;
        languages.add("nl.toml", "lang = 'nl'\ntitle = 'Keuze'").unwrap();
        assert_eq!(languages.for_visitor(&HeaderMap::new()).title, "Keuze");
    }
}
