//! The configurations that worked, kept beside the ledger: where a file has
//! mistakes when the program starts, there is one to start with or go back to.

use crate::config::Overrides;
use crate::config::file::defaults;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How many are kept.
const MOST_KEPT: usize = 10;

/// A file that worked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFile {
    /// Where it is kept.
    pub path: PathBuf,
    /// Since when it was in force.
    pub since: Timestamp,
    /// The beginning of the SHA-256 checksum of what stands in it.
    pub checksum: String,
}

/// Keeps the text of a configuration that is in force now, unless it is the one
/// that was kept last. Of many, the oldest go.
///
/// # Errors
/// When it cannot be written.
pub fn keep_good(ledger: &Path, text: &str, now: Timestamp) -> io::Result<()> {
    let kept = kept_files(ledger)?;
    let checksum = checksum(text);
    let newest = kept.first();
    if newest.is_some_and(|newest| newest.checksum == checksum) {
        return Ok(());
    }
    let directory = directory(ledger);
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    // A clock that went back must not make it an older one.
    let after = newest.map_or(i64::MIN, |newest| newest.since.as_millisecond() + 1);
    let since = now.as_millisecond().max(after);
    let fresh = directory.join("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, directory.join(format!("{since:013}-{checksum}.toml")))?;
    kept.iter().skip(MOST_KEPT - 1).try_for_each(|old| fs::remove_file(&old.path))
}

/// Those that are kept beside a ledger, the newest first.
///
/// # Errors
/// When it cannot be read which there are; that there are none is no error.
pub fn kept_files(ledger: &Path) -> io::Result<Vec<KeptFile>> {
    let entries = match fs::read_dir(directory(ledger)) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut kept = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let parts = name.strip_suffix(".toml").and_then(|name| name.split_once('-'));
        let since = parts.and_then(|(since, _)| since.parse().ok());
        let since = since.and_then(|since| Timestamp::from_millisecond(since).ok());
        if let (Some(since), Some((_, checksum))) = (since, parts) {
            let checksum = checksum.to_owned();
            kept.push(KeptFile { path, since, checksum });
        }
    }
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.since));
    Ok(kept)
}

/// The beginning of the checksum by which a file is told from others.
#[must_use]
pub fn checksum(text: impl AsRef<[u8]>) -> String {
    Sha256::digest(text.as_ref()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Where the ledger is of a file that may have any mistake: as flags, the
/// environment, the file and the default say, in this order.
pub fn ledger_of(
    file: Option<&Path>,
    mut variables: impl Iterator<Item = (String, String)>,
    flags: &Overrides,
) -> PathBuf {
    let mut by_variable =
        || variables.find_map(|(name, value)| (name == "CONSENTRY_LEDGER__FILE").then_some(value));
    let by_file = || named_in(&fs::read_to_string(file?).ok()?);
    let by_default = || {
        let file = defaults().get("ledger")?.get("file")?.as_str()?.to_owned();
        Some(file)
    };
    let named = flags.ledger.clone().or_else(|| by_variable().map(PathBuf::from));
    named.or_else(|| by_file().or_else(by_default).map(PathBuf::from)).unwrap_or_default()
}

/// `file` under `[ledger]`, in a text that need not be TOML.
fn named_in(text: &str) -> Option<String> {
    if let Ok(table) = text.parse::<toml::Table>() {
        let file = table.get("ledger")?.get("file")?.as_str();
        return file.filter(|file| !file.is_empty()).map(str::to_owned);
    }
    let is_section =
        |line: &str| line.split('#').next().is_some_and(|line| line.trim() == "[ledger]");
    let mut lines = text.lines().map(str::trim).skip_while(|line| !is_section(line)).skip(1);
    let line = lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .find(|line| line.split('=').next().is_some_and(|key| key.trim() == "file"))?;
    let table: toml::Table = line.parse().ok()?;
    table.get("file")?.as_str().filter(|file| !file.is_empty()).map(str::to_owned)
}

fn directory(ledger: &Path) -> PathBuf {
    let mut name = OsString::from(ledger);
    name.push(".configs");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn h9_what_worked_is_kept_once_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = directory.path().join("ledger.db");
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        assert_eq!(kept_files(&ledger).unwrap(), []);
        for number in 0..15 {
            keep_good(&ledger, &format!("# {number}\n"), at(1_790_000_000 + number)).unwrap();
            keep_good(&ledger, &format!("# {number}\n"), at(1_790_000_000 + number)).unwrap();
        }
        // A clock that goes back does not make the newest an old one.
        keep_good(&ledger, "# last\n", at(5)).unwrap();
        let kept = kept_files(&ledger).unwrap();
        let texts: Vec<_> =
            kept.iter().map(|kept| fs::read_to_string(&kept.path).unwrap()).collect();
        let expected: Vec<_> = (6..15).rev().map(|number| format!("# {number}\n")).collect();
        assert_eq!((texts[0].as_str(), &texts[1..]), ("# last\n", expected.as_slice()));
        assert_eq!(kept[0].checksum, checksum("# last\n"));
        let mode = fs::metadata(&kept[0].path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "there may be secrets in it");
    }

    #[test]
    fn h9_the_ledger_of_a_broken_file_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        let found = |text: &str, variables: &[(&str, &str)], flag: Option<&str>| {
            fs::write(&file, text).unwrap();
            let variables =
                variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            let flags = Overrides { ledger: flag.map(PathBuf::from), ..Overrides::default() };
            ledger_of(Some(&file), variables, &flags).display().to_string()
        };
        let broken = "[listener\n[ledger]\nkeep_days = 1\nfile = \"/data/l.db\"  # here\n[[site]]\nfile = 'x'\n";
        assert_eq!(found(broken, &[], None), "/data/l.db");
        for text in [
            "[ledger] # disk\nfile = '/data/l.db'\n=",
            "ledger.file = '/data/l.db'",
            "ledger = { file = '/data/l.db' }",
        ] {
            assert_eq!(found(text, &[], None), "/data/l.db", "{text}");
        }
        assert_eq!(found("[lists]\nfile = 'x'\n=", &[], None), "consentry-data/ledger.db");
        let variable = [("CONSENTRY_LEDGER__FILE", "/v.db")];
        assert_eq!(found(broken, &variable, None), "/v.db");
        assert_eq!(found(broken, &variable, Some("/f.db")), "/f.db");
    }
}
