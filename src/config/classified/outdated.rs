//! Passes over what names a site or a vendor that is gone. Who decided
//! something on the dashboard did not know that a site would be renamed; the
//! proxy starts all the same, says what does not hold, and the entry stays
//! where it is, for it may be right again tomorrow.

use crate::catalogue::SourceFile;
use crate::config::exceptions::is_called;
use crate::config::written_site;

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use toml::{Spanned, Table, Value};

/// Everything in the file by its section, each entry with its place.
type Entries = BTreeMap<String, Vec<Spanned<Table>>>;

/// What may be named.
pub(in crate::config) struct Known<'k> {
    sites: &'k [Spanned<written_site::Site>],
    catalogue: &'k [SourceFile],
    /// Read when the first vendor is named: most proxies have no such file.
    vendors: OnceCell<HashSet<String>>,
}

impl<'k> Known<'k> {
    pub(in crate::config) const fn new(
        sites: &'k [Spanned<written_site::Site>],
        catalogue: &'k [SourceFile],
    ) -> Self {
        Self { sites, catalogue, vendors: OnceCell::new() }
    }

    fn has_site(&self, name: &str) -> bool {
        self.sites.iter().any(|site| is_called(site.get_ref(), name))
    }

    fn has_vendor(&self, id: &str) -> bool {
        let read = || self.catalogue.iter().flat_map(SourceFile::vendor_ids).collect();
        self.vendors.get_or_init(read).contains(id)
    }
}

/// The text without what names nothing that there is, every line in its place;
/// and a sentence about each. Of a change that is only checked (`text` is not
/// what is `kept`), what is new in it stays, so that the mistake is told to
/// whoever makes it.
pub(super) fn passed_over(
    name: &str,
    text: &str,
    kept: &str,
    known: &Known<'_>,
) -> (String, Vec<String>) {
    let mut text = text.to_owned();
    // What cannot be read is told by whoever reads it next.
    let Ok(entries) = toml::from_str::<Entries>(&text) else { return (text, Vec::new()) };
    let kept: Entries = toml::from_str(kept).unwrap_or_default();
    let stood = |section: &str, entry: &Table| {
        kept.get(section).is_some_and(|kept| kept.iter().any(|kept| kept.get_ref() == entry))
    };
    let mut starts: Vec<_> = entries.values().flatten().map(|entry| entry.span().start).collect();
    starts.sort_unstable();
    let ids = entries.get("vendor").into_iter().flatten();
    let own: Vec<_> = ids.map(|vendor| word(vendor.get_ref(), "id")).collect();
    let gone = |section: &str, entry: &Table| {
        let (site, vendor) = (word(entry, "site"), word(entry, "vendor"));
        if !site.is_empty() && section != "host" && !known.has_site(site) {
            return Some(format!("no site is called `{site}`"));
        }
        let is_gone = !vendor.is_empty() && !own.contains(&vendor) && !known.has_vendor(vendor);
        is_gone.then(|| format!("no vendor in the catalogue has the id `{vendor}`"))
    };
    let mut warnings = Vec::new();
    for section in ["host", "ownership", "exception", "unlisted"] {
        for entry in entries.get(section).into_iter().flatten() {
            let start = entry.span().start;
            let is_apart = text.get(start..).is_some_and(|text| text.starts_with("[["));
            if let Some(why) = gone(section, entry.get_ref())
                && is_apart
                && stood(section, entry.get_ref())
            {
                let line = text.get(..start).unwrap_or_default().matches('\n').count() + 1;
                warnings.push((line, format!("{name}:{line}: {why}, so this [[{section}]] does not hold; name another in it, or take it out")));
                let end = starts.iter().find(|other| **other > start).copied();
                text = blanked(&text, start, end.unwrap_or(text.len()));
            }
        }
    }
    warnings.sort();
    (text, warnings.into_iter().map(|(_, warning)| warning).collect())
}

/// The text with nothing but white space from `start` to `end`, and as long as
/// before.
fn blanked(text: &str, start: usize, end: usize) -> String {
    let blank = |(at, byte)| match byte {
        b'\n' => b'\n',
        _ if (start..end).contains(&at) => b' ',
        _ => byte,
    };
    let bytes = text.bytes().enumerate().map(blank).collect();
    String::from_utf8(bytes).unwrap_or_default()
}

fn word<'e>(entry: &'e Table, key: &str) -> &'e str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}
