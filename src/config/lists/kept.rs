//! Keeps the last good copy of every list that has an address, so that a start
//! without network has the same rules as the one before.
//!
//! A copy is two files beside the ledger: the text, named by its content, and
//! a record that names it. The record is replaced in one step, so there is
//! always a whole copy, whenever the power goes.

use crate::config::lists::download::{hex, sha256};

use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use url::Url;

/// Where copies are kept.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

/// What is known of the copy of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The address it comes from.
    pub location: String,
    /// The checksum of the copy; empty when there is none.
    pub sha256: String,
    /// The checksum of what was served, which may be compressed.
    pub served_sha256: String,
    /// What the server calls this version.
    pub etag: Option<String>,
    /// When the server says it changed.
    pub last_modified: Option<String>,
    /// How many of its rules are used.
    pub rules: usize,
    /// When this copy came, in seconds since 1970.
    pub taken_s: u64,
    /// When the server last said that it is the newest.
    pub checked_s: u64,
    /// When it was last asked, whatever came of it.
    pub tried_s: u64,
    /// When it is asked next.
    pub next_s: u64,
    /// How often in a row asking failed.
    pub failures: u32,
    /// Why the last attempt failed, if it did.
    pub error: Option<String>,
}

impl Cache {
    /// The cache that belongs to a ledger.
    pub(super) fn beside(ledger: &Path) -> Self {
        let mut name = ledger.as_os_str().to_owned();
        name.push(".lists");
        Self(PathBuf::from(name))
    }

    /// What is known of a list, and its text if there is a whole copy.
    #[must_use]
    pub fn read(&self, location: &Url) -> (Record, Option<String>) {
        let Some(record) = fs::read(self.record(location))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok())
            .filter(|record| record.location == location.as_str())
        else {
            return (Record { location: location.to_string(), ..Record::default() }, None);
        };
        let text = fs::read(self.text(location, &record.sha256)).ok();
        let text = text.filter(|text| hex(&sha256(text)) == record.sha256);
        let text = text.and_then(|text| String::from_utf8(text).ok());
        (record, text)
    }

    /// Keeps a new text, and lets go of the one before.
    pub(super) fn keep(&self, location: &Url, record: &Record, text: &str) -> io::Result<()> {
        let (before, _) = self.read(location);
        self.put(&self.text(location, &record.sha256), text.as_bytes())?;
        self.note(location, record)?;
        if before.sha256 != record.sha256 && !before.sha256.is_empty() {
            let _ = fs::remove_file(self.text(location, &before.sha256));
        }
        Ok(())
    }

    /// Keeps what became of an attempt; the text stays.
    pub(super) fn note(&self, location: &Url, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
        self.put(&self.record(location), &text)
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let aside = path.with_extension("new");
        let mut file = fs::File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    }

    fn record(&self, location: &Url) -> PathBuf {
        self.0.join(format!("{}.json", Self::name(location)))
    }

    fn text(&self, location: &Url, checksum: &str) -> PathBuf {
        // It comes from a file, and becomes part of a path.
        let digits: String = checksum.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        self.0.join(format!("{}-{digits}.txt", Self::name(location)))
    }

    fn name(location: &Url) -> String {
        let mut name = hex(&sha256(location.as_str().as_bytes()));
        name.truncate(16);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(location: &Url, text: &str) -> Record {
        Record {
            location: location.to_string(),
            sha256: hex(&sha256(text.as_bytes())),
            ..Record::default()
        }
    }

    #[test]
    fn a_copy_is_whole_or_it_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::beside(&directory.path().join("ledger.db"));
        let location = Url::parse("https://lists.example/a.txt").unwrap();
        assert_eq!(cache.read(&location).1, None);
        for text in ["||a.example^\n", "||b.example^\n"] {
            cache.keep(&location, &record(&location, text), text).unwrap();
            assert_eq!(cache.read(&location), (record(&location, text), Some(text.to_owned())));
        }
        let files = || fs::read_dir(&cache.0).unwrap().count();
        assert_eq!(files(), 2, "the copy before is gone");
        let other = Url::parse("https://lists.example/b.txt").unwrap();
        assert_eq!(cache.read(&other).1, None);
        let text = cache.text(&location, &cache.read(&location).0.sha256);
        fs::write(text, "||b.exam").unwrap();
        assert_eq!(cache.read(&location).1, None, "half a list is no list");
    }
}
