//! The operator's filter lists: what is written of them, and the copies we
//! have.
//!
//! Nothing here waits for the network: a list with an address is read from the
//! copy that `refresh` keeps. Without one, the start goes on and says so.

mod download;
mod kept;
mod refresh;

pub use kept::{Cache, Record};
pub use refresh::Refresher;

use crate::catalogue::{self, ListReport};
use crate::config::file::{File, ListSource as Written};
use crate::config::findings::Findings;
use crate::purpose::Purpose;
use download::{hex, is_loopback, sha256, unpack};

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use url::Url;

/// An engine with EasyList and EasyPrivacy takes 15 MB, and is only asked about
/// addresses that its thread has not seen yet: more engines than this cost more
/// memory than they save waiting.
const MAX_ENGINES: usize = 4;

/// A filter list as the operator named it.
#[derive(Clone, Debug)]
pub struct ListSource {
    /// As it is called in logs, metrics and `consentry lists`.
    pub name: String,
    /// Where it comes from.
    pub location: Location,
    /// What must be granted before that may load which only it knows.
    pub purpose: Purpose,
    /// How often its address is asked for a newer one.
    pub refresh: Duration,
    /// The only content that is taken, in hexadecimal.
    pub sha256: Option<String>,
    /// Whether the operator gave it that name.
    is_named: bool,
}

/// Where a filter list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file, read at the start and on reload.
    File(PathBuf),
    /// An address, asked in the background.
    Web(Url),
}

/// All filter lists of a configuration.
#[derive(Clone, Debug)]
pub struct FilterLists {
    /// Where they come from.
    pub sources: Vec<ListSource>,
    /// Where copies of those with an address are kept.
    pub cache: Cache,
    /// More certificate authorities for their addresses.
    ca_file: Option<PathBuf>,
    /// What we have of each source.
    texts: Vec<Option<String>>,
    /// How many threads will ask at a time.
    threads: usize,
}

impl ListSource {
    /// The place that decisions name.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.location {
            Location::File(path) => path.display().to_string(),
            Location::Web(url) => url.to_string(),
        }
    }

    fn list(&self, text: &str) -> catalogue::List {
        catalogue::List {
            place: self.place(),
            name: if self.is_named { self.name.clone() } else { String::new() },
            text: text.to_owned(),
            purpose: self.purpose,
        }
    }

    /// Whether this is the content that the operator wants: either as it is
    /// served or, where that is compressed, unpacked.
    fn takes(&self, served: &str, unpacked: &str) -> bool {
        self.sha256.as_deref().is_none_or(|wanted| wanted == served || wanted == unpacked)
    }
}

impl FilterLists {
    /// Compiles what we have, for the sources that we have something of.
    #[must_use]
    pub fn compile(&self) -> Option<Arc<catalogue::Lists>> {
        let lists: Vec<_> = self.having().map(|(_, source, text)| source.list(text)).collect();
        let threads = self.threads.clamp(1, MAX_ENGINES);
        (!lists.is_empty()).then(|| Arc::new(catalogue::Lists::compile(&lists, threads)))
    }

    /// Each source, and what became of it if we have it.
    #[must_use]
    pub fn reports(
        &self,
        compiled: Option<&catalogue::Lists>,
    ) -> Vec<(&ListSource, Option<ListReport>)> {
        let mut reports = compiled.into_iter().flat_map(catalogue::Lists::reports);
        self.sources
            .iter()
            .zip(&self.texts)
            .map(|(source, text)| {
                let report = text.as_ref().and_then(|_| reports.next());
                (source, report.map(|(_, report)| report.clone()))
            })
            .collect()
    }

    /// Whether one of them was never seen.
    #[must_use]
    pub fn any_missing(&self) -> bool {
        self.texts.iter().any(Option::is_none)
    }

    fn having(&self) -> impl Iterator<Item = (usize, &ListSource, &str)> {
        let all = self.sources.iter().zip(&self.texts).enumerate();
        all.filter_map(|(index, (source, text))| Some((index, source, text.as_deref()?)))
    }
}

/// What is written of lists, checked and read.
pub(super) fn read(
    file: &File,
    ledger: &Path,
    threads: usize,
    findings: &mut Findings<'_>,
) -> FilterLists {
    let usual = purpose(&file.lists.purpose, findings);
    let ca_file = &file.lists.ca_file;
    let mut lists = FilterLists {
        sources: Vec::new(),
        cache: Cache::beside(ledger),
        ca_file: (!ca_file.get_ref().is_empty())
            .then(|| super::listening::certificates(ca_file, findings)),
        texts: Vec::new(),
        threads,
    };
    let plain = file
        .lists
        .files
        .iter()
        .map(|location| (None, Written { location: location.clone(), ..Written::default() }));
    let whole = file.lists.source.iter().map(|written| {
        let Written { location, name, purpose, refresh_hours, sha256 } = written.get_ref();
        let copy = Written {
            location: location.clone(),
            name: name.clone(),
            purpose: purpose.clone(),
            refresh_hours: refresh_hours.clone(),
            sha256: sha256.clone(),
        };
        (Some(written), copy)
    });
    let mut names = HashSet::new();
    for (entry, written) in plain.chain(whole) {
        if let Some(entry) = entry.filter(|_| written.location.get_ref().is_empty()) {
            findings.wrong_with_advice(
                entry,
                "this list has no location",
                "add its file or its address: location = \"https://lists.example/list.txt\"",
            );
            continue;
        }
        let Some(source) = source(&written, usual, findings) else { continue };
        if !names.insert(source.name.clone()) {
            findings.wrong_with_advice(
                if source.is_named { &written.name } else { &written.location },
                format!("a second list is called `{}`", source.name),
                "give one of them a `name` of its own, under [[lists.source]]: metrics and the ledger tell lists apart by it",
            );
            continue;
        }
        let text = match &source.location {
            Location::File(_) => local(&written, &source, findings),
            Location::Web(url) => kept_copy(&lists.cache, url, &source, findings),
        };
        if matches!(source.location, Location::Web(_)) || text.is_some() {
            lists.sources.push(source);
            lists.texts.push(text);
        }
    }
    lists
}

fn source(written: &Written, usual: Purpose, findings: &mut Findings<'_>) -> Option<ListSource> {
    let location = location(&written.location, findings)?;
    let short = |text: &str| {
        let text = text.trim_end_matches('/');
        text.rsplit('/').next().unwrap_or_default().chars().take(60).collect::<String>()
    };
    let is_named = !written.name.get_ref().is_empty();
    if written.name.get_ref().chars().any(char::is_control)
        || written.name.get_ref().chars().count() > 60
    {
        findings.wrong(&written.name, "a name has up to 60 characters, all of them visible");
    }
    Some(ListSource {
        name: match &location {
            _ if is_named => written.name.get_ref().clone(),
            Location::File(path) => short(&path.to_string_lossy()),
            Location::Web(url) if url.path() == "/" => url.host_str().map(short)?,
            Location::Web(url) => short(url.path()),
        },
        location,
        purpose: match written.purpose.get_ref().as_str() {
            "" => usual,
            _ => purpose(&written.purpose, findings),
        },
        refresh: Duration::from_secs(findings.number(&written.refresh_hours, 1..=8760) * 3600),
        sha256: checksum(&written.sha256, findings),
        is_named,
    })
}

fn location(written: &Spanned<String>, findings: &mut Findings<'_>) -> Option<Location> {
    let text = written.get_ref();
    let Some((scheme, _)) = text.split_once("://") else {
        return Some(Location::File(PathBuf::from(text)));
    };
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            findings.wrong(written, format!("`{text}` is not an address: {error}"));
            return None;
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        findings.wrong(written, "the address of a list has no user and no password");
        return None;
    }
    match url.scheme() {
        "https" => Some(Location::Web(url)),
        "http" if is_loopback(&url) => Some(Location::Web(url)),
        "http" => {
            findings.wrong_with_advice(
                written,
                format!("`{text}`: over http, anybody on the way can change a list"),
                "write `https://`, or download it and name the file",
            );
            None
        }
        _ => {
            findings.wrong_with_advice(
                written,
                format!("`{scheme}` is no scheme of a list"),
                "write an address that begins with `https://`, or the path of a file",
            );
            None
        }
    }
}

/// The purpose of what only a list knows.
fn purpose(written: &Spanned<String>, findings: &mut Findings<'_>) -> Purpose {
    match Purpose::from_name(written.get_ref()) {
        Some(purpose) if purpose != Purpose::Necessary => purpose,
        Some(_) | None => {
            findings.wrong(
                written,
                "the purpose of lists is functional, analytics, personalization or marketing",
            );
            Purpose::Marketing
        }
    }
}

fn checksum(written: &Spanned<String>, findings: &mut Findings<'_>) -> Option<String> {
    let text = written.get_ref().trim().to_ascii_lowercase();
    if text.is_empty() {
        return None;
    }
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        findings.wrong_with_advice(
            written,
            "this is not a SHA-256 checksum",
            "it has 64 hexadecimal digits; `sha256sum FILE` says it",
        );
    }
    Some(text)
}

/// The text of a file.
fn local(written: &Written, source: &ListSource, findings: &mut Findings<'_>) -> Option<String> {
    let path = findings.readable(&written.location)?;
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            findings.unreadable(&written.location, &error);
            return None;
        }
    };
    let served = hex(&sha256(&bytes));
    let text = match unpack(bytes) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("`{}` cannot be read: {error}", written.location.get_ref());
            findings.wrong(&written.location, message);
            return None;
        }
    };
    if !source.takes(&served, &hex(&sha256(text.as_bytes()))) {
        findings.wrong_with_advice(
            &written.sha256,
            format!("`{}` has another checksum: {served}", written.location.get_ref()),
            "look at what changed in it; if that is right, write the new checksum",
        );
        return None;
    }
    // A list without a rule would let everything pass without a word.
    if !source.list(&text).holds_rules() {
        let message =
            format!("`{}` holds no rule that blocks a request", written.location.get_ref());
        findings.wrong(&written.location, message);
        return None;
    }
    Some(text)
}

/// The copy of a list that has an address.
fn kept_copy(
    cache: &Cache,
    url: &Url,
    source: &ListSource,
    findings: &mut Findings<'_>,
) -> Option<String> {
    let (record, text) = cache.read(url);
    let usable = text.filter(|_| source.takes(&record.served_sha256, &record.sha256));
    if usable.is_none() {
        findings.warnings.push(format!(
            "the list {} from {url} was never seen: what only it knows passes until it comes",
            source.name
        ));
    }
    usable
}
