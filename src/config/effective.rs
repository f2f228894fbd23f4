//! What holds, and where it was set: the file, a variable, a flag, or nowhere.

use crate::config::at_start::holds_until_start;
use crate::config::file::{File, defaults};
use crate::config::layers::Sources;
use crate::config::outside;
use crate::config::shape::Shape;
use crate::config::stamps::Stamps;
use crate::config::{Overrides, sites::read_host};
use crate::mistake::Mistake;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use toml::Value;
use toml::de::{DeTable, DeValue};

/// A section of the file with everything that holds in it.
#[derive(Clone, Debug)]
pub struct Section {
    /// As it is written: `[listener]`, `[[site]]`.
    pub header: String,
    /// What it is about: `listener`, `site shop`.
    pub about: String,
    /// Whether there may be several.
    pub is_one_of_many: bool,
    /// What is set in it.
    pub settings: Vec<Setting>,
}

/// What one key says.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// Where it was set.
    pub by: SetBy,
    value: Value,
}

/// Where a key was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// Nowhere.
    Default,
    /// On that line of the file.
    Line(String, usize),
    /// By that variable or flag.
    Outside(String),
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::Outside(source) => f.write_str(source),
        }
    }
}

/// What is shown in place of a secret.
const MASK: &str = "...";

/// The keys that hold one.
const SECRETS: [&str; 4] = ["postgres_url", "webhook_url", "password_hash", "sha256"];

impl Setting {
    /// What it is set to, for everybody's eyes.
    #[must_use]
    pub fn shown(&self, section: &Section) -> Value {
        let is_checksum = section.header == "[[lists.source]]";
        match &self.value {
            Value::String(text) if text.is_empty() => self.value.clone(),
            _ if SECRETS.contains(&self.key.as_str()) && !is_checksum => Value::from(MASK),
            value => without_password(value),
        }
    }
}

/// A value in which no address has a password.
fn without_password(value: &Value) -> Value {
    match value {
        Value::Array(members) => members.iter().map(without_password).collect::<Vec<_>>().into(),
        Value::String(text) => match text.split_once("://") {
            Some((scheme, rest)) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (place, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
                match place.rsplit_once('@') {
                    Some((_, host)) => Value::from(format!("{scheme}://{MASK}@{host}{path}")),
                    None => value.clone(),
                }
            }
            None => value.clone(),
        },
        _ => value.clone(),
    }
}

/// Everything that holds, section by section.
///
/// # Errors
/// What is wrong with the file, the variables or the flags, as far as that can
/// be said without looking at what the values mean.
pub fn effective(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    flags: &Overrides,
) -> Result<Vec<Section>, Vec<Mistake>> {
    let name = file.map_or("configuration".to_owned(), |path| path.display().to_string());
    let read = file.map(std::fs::read_to_string).transpose();
    let text =
        read.map_err(|error| vec![Mistake::in_file(&name, format!("cannot be read: {error}"))])?;
    effective_text(&name, &text.unwrap_or_default(), variables, flags)
}

/// The same for a text, as if it stood in the file of that name.
fn effective_text(
    name: &str,
    text: &str,
    variables: impl Iterator<Item = (String, String)>,
    flags: &Overrides,
) -> Result<Vec<Section>, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut settings = outside::from_environment(variables, &mut Stamps::default(), &mut mistakes);
    settings.extend(flags.settings(&mut mistakes));
    let sources = Sources { file: name, text, settings: &settings };
    let merged = sources.merged();
    let table = match merged {
        Ok((table, found)) => {
            mistakes.extend(found);
            table
        }
        Err(found) => return Err([mistakes, found].concat()),
    };
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let mut walk = Walk { sources: &sources, sections: Vec::new() };
    let defaults = defaults();
    for (section, shape) in Shape::of::<File>().keys() {
        let found = table.get_ref().get(*section).map(toml::Spanned::get_ref);
        let defaults = defaults.get(*section).and_then(Value::as_table);
        match (shape, found) {
            (Shape::List(shape), Some(DeValue::Array(entries))) => {
                // Of what there may be many, only sites have defaults that matter.
                let defaults = defaults.filter(|_| *section == "site");
                for entry in entries.iter().filter_map(|entry| entry.get_ref().as_table()) {
                    walk.entry(section, shape, entry, defaults);
                }
            }
            (Shape::Table(_), found) => {
                let empty = DeTable::new();
                let table = found.and_then(DeValue::as_table).unwrap_or(&empty);
                walk.section(section, section, shape, table, defaults);
            }
            _ => {}
        }
    }
    Ok(walk.sections)
}

/// Whether every key in a text is known and holds the right kind of value,
/// whatever the values mean.
///
/// # Errors
/// The first thing that is wrong.
pub fn understood(text: &str) -> Result<(), Mistake> {
    let sources = Sources { file: "configuration", text, settings: &[] };
    let read = sources.read().map(drop);
    read.map_err(|mistakes| {
        let first = mistakes.into_iter().next();
        first.unwrap_or_else(|| Mistake::in_file("configuration", "cannot be read"))
    })
}

/// Goes through the file in the order of its keys.
struct Walk<'s> {
    sources: &'s Sources<'s>,
    sections: Vec<Section>,
}

impl Walk<'_> {
    /// One of several tables at that path.
    fn entry(
        &mut self,
        path: &str,
        shape: &Shape,
        table: &DeTable<'_>,
        defaults: Option<&toml::Table>,
    ) {
        let about = format!("{path} {}", name_of(table));
        let at = self.sections.len();
        self.section(path, about.trim_end(), shape, table, defaults);
        if let Some(section) = self.sections.get_mut(at) {
            section.header = format!("[[{path}]]");
            section.is_one_of_many = true;
        }
    }

    fn section(
        &mut self,
        path: &str,
        about: &str,
        shape: &Shape,
        table: &DeTable<'_>,
        defaults: Option<&toml::Table>,
    ) {
        let mut settings = Vec::new();
        for (key, shape) in shape.keys() {
            match table.get(*key) {
                Some(value) if !is_section(shape) => {
                    settings.push(Setting {
                        key: (*key).to_owned(),
                        by: self.sources.set_by(value.span().start),
                        value: plain(value.get_ref()),
                    });
                }
                None if !is_section(shape) => {
                    let default = defaults.and_then(|defaults| defaults.get(*key));
                    settings.extend(default.map(|value| Setting {
                        key: (*key).to_owned(),
                        by: SetBy::Default,
                        value: value.clone(),
                    }));
                }
                Some(_) | None => {}
            }
        }
        self.push(path, about, settings);
        for (key, shape) in shape.keys() {
            let Some(value) = table.get(*key).filter(|_| is_section(shape)) else { continue };
            let inner = format!("{path}.{key}");
            match (shape, value.get_ref()) {
                (Shape::Table(_), DeValue::Table(table)) => {
                    self.section(&inner, &format!("{about} {key}"), shape, table, None);
                }
                (Shape::List(shape), DeValue::Array(entries)) => {
                    for entry in entries.iter().filter_map(|entry| entry.get_ref().as_table()) {
                        self.entry(&inner, shape, entry, None);
                    }
                }
                (Shape::Named(_), DeValue::Table(table)) => self.named(&inner, about, table),
                _ => {}
            }
        }
    }

    /// Tables with names of the operator's own, of which each has keys of the
    /// operator's own.
    fn named(&mut self, path: &str, about: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let name: &str = name.get_ref();
            let Some(keys) = value.get_ref().as_table() else { continue };
            let set = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                let by = self.sources.set_by(value.span().start);
                Setting { key: key.clone().into_owned(), by, value: plain(value.get_ref()) }
            };
            let settings = keys.iter().map(set).collect();
            self.push(&format!("{path}.{name}"), &format!("{about} {name}"), settings);
        }
    }

    fn push(&mut self, path: &str, about: &str, settings: Vec<Setting>) {
        let (header, about) = (format!("[{path}]"), about.to_owned());
        self.sections.push(Section { header, about, is_one_of_many: false, settings });
    }
}

/// Whether a key is the beginning of a section of its own.
fn is_section(shape: &Shape) -> bool {
    match shape {
        Shape::Table(_) | Shape::Named(_) => true,
        Shape::List(member) => matches!(**member, Shape::Table(_)),
        _ => false,
    }
}

/// What tells one of several tables from the others.
fn name_of(table: &DeTable<'_>) -> String {
    let text = |key: &str| table.get(key).and_then(|value| value.get_ref().as_str());
    let host = || {
        let hosts = table.get("hosts")?.get_ref().as_array()?;
        read_host(hosts.iter().next()?.get_ref().as_str()?).ok()
    };
    let known =
        ["name", "path", "location", "cert_file", "vendor"].iter().find_map(|key| text(key));
    known.map(str::to_owned).or_else(host).unwrap_or_default()
}

/// A value without its place.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix());
            // Larger ones are refused when the file is read.
            Value::Integer(read.unwrap_or(i64::MAX))
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(day) => Value::Datetime(*day),
        DeValue::Array(members) => {
            Value::Array(members.iter().map(|member| plain(member.get_ref())).collect())
        }
        DeValue::Table(keys) => {
            let key = |key: &toml::Spanned<std::borrow::Cow<'_, str>>| key.get_ref().to_string();
            Value::Table(keys.iter().map(|(k, value)| (key(k), plain(value.get_ref()))).collect())
        }
    }
}

/// One thing that a reload would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A key says something else: of what, which, what it says and would say,
    /// and whether that counts only from the next start on.
    Key {
        /// The section.
        about: String,
        /// The key.
        key: String,
        /// What it says.
        before: String,
        /// What it would say.
        after: String,
        /// Whether it counts only from the next start on.
        needs_restart: bool,
    },
    /// A site, a route, an exception or the like is new.
    New(String),
    /// One is gone.
    Gone(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New(about) => write!(f, "{about}: is new"),
            Self::Gone(about) => write!(f, "{about}: is gone"),
            Self::Key { about, key, before, after, needs_restart } => {
                match before == after {
                    // Both are secrets.
                    true => write!(f, "{about}: {key} is another one")?,
                    false => write!(f, "{about}: {key} is {before} and would be {after}")?,
                }
                if *needs_restart { f.write_str(" (needs a restart)") } else { Ok(()) }
            }
        }
    }
}

/// What is not the same.
#[must_use]
pub fn differences(before: &[Section], after: &[Section]) -> Vec<Difference> {
    let (before, after) = (by_name(before), by_name(after));
    let mut names: Vec<&Name> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let of = |name: &Name| match (before.get(name), after.get(name)) {
        (Some(before), Some(after)) => of_section(&name.1, before, after),
        (None, _) => vec![Difference::New(name.1.clone())],
        (_, None) => vec![Difference::Gone(name.1.clone())],
    };
    names.into_iter().flat_map(of).collect()
}

fn of_section(about: &str, before: &Section, after: &Section) -> Vec<Difference> {
    let find = |section: &Section, key: &str| {
        section.settings.iter().find(|setting| setting.key == key).cloned()
    };
    let mut keys: Vec<&str> =
        before.settings.iter().chain(&after.settings).map(|setting| setting.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    let top = before.header.trim_matches(['[', ']']);
    let differs = |key: &str| {
        let (old, new) = (find(before, key), find(after, key));
        let value = |of: &Option<Setting>| of.as_ref().map(|of| of.value.to_string());
        let shown = |of: &Option<Setting>, section| {
            of.as_ref().map_or("left out".to_owned(), |of| of.shown(section).to_string())
        };
        (value(&old) != value(&new)).then(|| Difference::Key {
            about: about.to_owned(),
            key: key.to_owned(),
            before: shown(&old, before),
            after: shown(&new, after),
            needs_restart: holds_until_start(top, key),
        })
    };
    keys.into_iter().filter_map(differs).collect()
}

/// Where a section's kind stands in the file, and what is said to name it.
type Name = (usize, String);

/// Every section under a name that is the same in another file.
fn by_name(sections: &[Section]) -> BTreeMap<Name, &Section> {
    let order: Vec<&str> = Shape::of::<File>().keys().iter().map(|(key, _)| *key).collect();
    let mut all = BTreeMap::new();
    let mut site = "";
    for section in sections {
        let table = section.header.trim_matches(['[', ']']);
        let (top, inner) = table.split_once('.').unwrap_or((table, ""));
        if inner.is_empty() {
            site = &section.about;
        }
        // A route is told apart by its site, too.
        let about = match top == "site" && !inner.is_empty() && section.is_one_of_many {
            true => format!("{site}, {}", section.about),
            false => section.about.clone(),
        };
        let place = order.iter().position(|known| *known == top).unwrap_or(order.len());
        let (mut name, mut number) = ((place, about.clone()), 1);
        // Two exceptions may be about one vendor.
        while all.contains_key(&name) {
            number += 1;
            name.1 = format!("{about} ({number})");
        }
        all.insert(name, section);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str, variables: &[(&str, &str)], flags: &Overrides) -> Vec<Section> {
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        effective_text("c.toml", text, variables, flags).unwrap()
    }

    fn line(sections: &[Section], header: &str, key: &str) -> String {
        let section = sections.iter().find(|section| section.header == header).unwrap();
        let setting = section.settings.iter().find(|setting| setting.key == key).unwrap();
        format!("{} {}", setting.shown(section), setting.by)
    }

    #[test]
    fn h9_every_key_says_what_holds_and_where_that_was_set() {
        let text = "[limits]\nconnections = 7\nhead_fields = 8\n[timeouts]\nconnect_s = 3\n\
                    [[site]]\norigin = 'http://a:1'\n[[site.route]]\npath = '/x'\nmode = 'safe'\n";
        let flags = Overrides { origin: Some("http://b:2".into()), ..Overrides::default() };
        let set = sections(text, &[("CONSENTRY_LIMITS__CONNECTIONS", "9")], &flags);
        for (header, key, expected) in [
            ("[limits]", "connections", "9 CONSENTRY_LIMITS__CONNECTIONS"),
            ("[limits]", "head_fields", "8 c.toml:3"),
            ("[limits]", "request_burst", "1000 default"),
            ("[timeouts]", "connect_s", "3 c.toml:5"),
            ("[[site]]", "origin", "\"http://b:2\" --origin"),
            ("[[site]]", "mode", "\"enforce\" default"),
            ("[[site.route]]", "mode", "\"safe\" c.toml:10"),
        ] {
            assert_eq!(line(&set, header, key), expected);
        }
        let keys = |of: &[Section]| of.iter().map(|section| section.settings.len()).sum::<usize>();
        assert!(keys(&set) > 120, "{}", keys(&set));
    }

    #[test]
    fn h9_no_secret_is_shown() {
        let text = "[ledger]\npostgres_url = 'postgres://me:s3cret@db/x'\n\
                    [alerts]\nwebhook_url = 'https://x/s3cret'\n\
                    [lists]\nfiles = ['https://me:s3cret@lists.example/a.txt']\n\
                    [[admin.user]]\nname = 'ana'\npassword_hash = 's3cret'\n\
                    [[admin.token]]\nname = 'x'\nsha256 = 's3cret'\n\
                    [[lists.source]]\nlocation = 'x'\nsha256 = 'public'\n\
                    [[site]]\norigin = 'http://me:s3cret@127.0.0.1:1/'\n";
        let set = sections(text, &[], &Overrides::default());
        for section in &set {
            for setting in &section.settings {
                let shown = setting.shown(section).to_string();
                assert!(!shown.contains("s3cret"), "{} {}: {shown}", section.header, setting.key);
            }
        }
        assert_eq!(
            line(&set, "[lists]", "files"),
            "[\"https://...@lists.example/a.txt\"] c.toml:6"
        );
        assert_eq!(line(&set, "[[lists.source]]", "sha256"), "\"public\" c.toml:15");
        assert_eq!(line(&set, "[otlp]", "endpoint"), "\"\" default", "what is not set is shown");
    }

    #[test]
    fn h9_what_a_reload_would_change_is_named_and_what_needs_a_restart() {
        let site = |name: &str, more: &str| {
            format!(
                "[[site]]\nname = '{name}'\nhosts = ['{name}.example']\norigin = 'http://a:1'\n{more}\n"
            )
        };
        let before = format!(
            "[limits]\nconnections = 7\n[ledger]\npostgres_url = 'postgres://a:one@b/c'\n{}{}",
            site("shop", "mode = 'observe'"),
            site("old", "")
        );
        let after = format!(
            "[notice]\nlanguage = 'de'\n[limits]\nconnections = 8\n\
             [ledger]\npostgres_url = 'postgres://a:two@b/c'\n{}{}",
            site("shop", "[[site.route]]\npath = '/pay'\nmode = 'safe'"),
            "[[exception]]\nvendor = 'hotjar'\nverdict = 'allow'\n"
        );
        let read = |text: &str| sections(text, &[], &Overrides::default());
        let found: Vec<_> =
            differences(&read(&before), &read(&after)).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "ledger: postgres_url is another one (needs a restart)",
                "notice: language is \"en\" and would be \"de\"",
                "limits: connections is 7 and would be 8 (needs a restart)",
                "site old: is gone",
                "site shop: mode is \"observe\" and would be \"enforce\"",
                "site shop, site.route /pay: is new",
                "exception hotjar: is new",
            ]
        );
        assert_eq!(differences(&read(&before), &read(&before)), []);
    }
}
