//! Puts the file, the environment and the flags on top of each other.
//!
//! Everything ends up in one TOML table before it is read, so a value from the
//! environment goes through the same checks as one from the file. Where a
//! value came from is kept in its span: an offset within the file's text is a
//! place in the file, one beyond it counts the settings from elsewhere.

use crate::config::dark_patterns;
use crate::config::effective::SetBy;
use crate::config::file::{File, defaults};
use crate::mistake::{Mistake, suggestion};

use serde::Deserialize;
use std::borrow::Cow;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

/// A key set outside the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The variable or the flag.
    pub(super) source: String,
    pub(super) section: String,
    pub(super) key: String,
    /// One value, or the members of a list.
    pub(super) values: Vec<String>,
}

/// Everything somebody set, and where.
pub(super) struct Sources<'t> {
    pub(super) file: &'t str,
    pub(super) text: &'t str,
    /// Later ones win.
    pub(super) settings: &'t [Setting],
}

/// Keys that make no sense for several sites at once.
const OF_ONE_SITE: [&str; 5] = ["name", "hosts", "origin", "origins", "origin_host"];

impl<'t> Sources<'t> {
    /// A mistake at a value, wherever it was set.
    pub(super) fn at<T>(&self, value: &Spanned<T>, message: impl Into<String>) -> Mistake {
        self.at_offset(value.span().start, message)
    }

    /// Whether a value stands in the file.
    pub(super) fn is_in_file<T>(&self, value: &Spanned<T>) -> bool {
        value.span().start <= self.text.len()
    }

    fn at_offset(&self, offset: usize, message: impl Into<String>) -> Mistake {
        if offset <= self.text.len() {
            return Mistake::at(self.file, self.text, offset, message);
        }
        let setting = self.settings.get(offset - self.text.len() - 1);
        Mistake::in_file(setting.map_or(self.file, |setting| &setting.source), message)
    }

    /// Where a value was set, by where it begins.
    pub(super) fn set_by(&self, offset: usize) -> SetBy {
        let place = self.at_offset(offset, "");
        match place.line {
            0 => SetBy::Outside(place.file),
            line => SetBy::Line(place.file, line),
        }
    }

    /// Reads all layers as one file.
    pub(super) fn read(&self) -> Result<File, Vec<Mistake>> {
        let (table, mut mistakes) = self.merged()?;
        let file = File::deserialize(Deserializer::from(table));
        match file {
            Ok(file) if mistakes.is_empty() => Ok(file),
            Ok(_) => Err(mistakes),
            Err(error) => {
                mistakes.push(self.mistake(&error));
                Err(mistakes)
            }
        }
    }

    /// All layers as one table, and what is wrong with what was set above the
    /// file.
    pub(super) fn merged(&self) -> Result<(Spanned<DeTable<'t>>, Vec<Mistake>), Vec<Mistake>> {
        let mut table = DeTable::parse(self.text).map_err(|error| vec![self.mistake(&error)])?;
        let mut mistakes = Vec::new();
        if let Some(site) = table.get_ref().get("site").filter(|site| site.get_ref().is_table()) {
            let mistake = self.at(site, "`site` is a list, for there may be several");
            return Err(vec![mistake.advise("write `[[site]]`, with two brackets")]);
        }
        for (index, setting) in self.settings.iter().enumerate() {
            let offset = self.text.len() + 1 + index;
            if let Err(mistake) = self.put(table.get_mut(), setting, offset) {
                mistakes.push(mistake);
            }
        }
        mistakes.extend(
            dark_patterns::take(table.get_mut()).into_iter().map(|refused| {
                self.at_offset(refused.offset, refused.message).advise(refused.advice)
            }),
        );
        Ok((table, mistakes))
    }

    fn mistake(&self, error: &toml::de::Error) -> Mistake {
        let message = error.message().trim();
        let offset = error.span().map_or(usize::MAX, |span| span.start);
        let mut mistake = self.at_offset(offset, message);
        mistake.advice = suggestion(message);
        mistake
    }

    fn put(
        &self,
        table: &mut DeTable<'t>,
        setting: &'t Setting,
        offset: usize,
    ) -> Result<(), Mistake> {
        let value = value(setting, offset)?;
        let key = || Spanned::new(offset..offset, Cow::Borrowed(setting.key.as_str()));
        let section = Spanned::new(offset..offset, Cow::Borrowed(setting.section.as_str()));
        if setting.section != "site" {
            let empty = Spanned::new(offset..offset, DeValue::Table(DeTable::new()));
            // Something else than a table is refused when the whole is read.
            if let DeValue::Table(keys) = table.entry(section).or_insert(empty).get_mut() {
                keys.insert(key(), value);
            }
            return Ok(());
        }
        let none = Spanned::new(offset..offset, DeValue::Array(DeArray::default()));
        let DeValue::Array(sites) = table.entry(section).or_insert(none).get_mut() else {
            return Ok(());
        };
        if sites.len() > 1 && OF_ONE_SITE.contains(&setting.key.as_str()) {
            let message =
                format!("sets `{}` of the only site, but there are {}", setting.key, sites.len());
            return Err(Mistake::in_file(&setting.source, message)
                .advise(format!("set it in {}, under the `[[site]]` that it is for", self.file)));
        }
        if sites.is_empty() {
            sites.push(Spanned::new(offset..offset, DeValue::Table(DeTable::new())));
        }
        for site in sites.iter_mut() {
            if let DeValue::Table(keys) = site.get_mut() {
                keys.insert(key(), value.clone());
            }
        }
        Ok(())
    }
}

/// The setting's text as the kind of value that its key holds.
fn value(setting: &Setting, offset: usize) -> Result<Spanned<DeValue<'_>>, Mistake> {
    let here = |value| Spanned::new(offset..offset, value);
    let string = |text: &'_ String| here(DeValue::String(Cow::Owned(text.clone())));
    let text = setting.values.first().map_or("", String::as_str);
    let kind = defaults().get(&setting.section).and_then(|keys| keys.get(&setting.key)).cloned();
    let (fits, wanted): (fn(&DeValue<'_>) -> bool, _) = match kind {
        Some(toml::Value::Array(_)) => {
            return Ok(here(DeValue::Array(setting.values.iter().map(string).collect())));
        }
        Some(toml::Value::Boolean(_)) => (|value| value.is_bool(), "`true` or `false`"),
        Some(toml::Value::Integer(_)) => (|value| value.is_integer(), "a whole number"),
        Some(toml::Value::Float(_)) => (|value| value.is_float() || value.is_integer(), "a number"),
        Some(toml::Value::String(_) | toml::Value::Datetime(_) | toml::Value::Table(_)) | None => {
            return Ok(here(DeValue::String(Cow::Borrowed(text))));
        }
    };
    match DeValue::parse(text.trim()) {
        Ok(value) if fits(value.get_ref()) => Ok(here(value.into_inner())),
        Ok(_) | Err(_) => {
            Err(Mistake::in_file(&setting.source, format!("`{text}` is not {wanted}")))
        }
    }
}
