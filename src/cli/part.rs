//! A file that has its name only when it is whole, with or without a manifest
//! beside it.

use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is being written. Dropped before its end, nothing is left.
pub(super) struct Part {
    path: PathBuf,
    part: PathBuf,
    file: File,
    is_whole: bool,
}

impl Part {
    pub(super) fn begin(path: &Path) -> io::Result<Self> {
        // What a link leads to is written, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        // Nothing else is replaced: no directory, and no device.
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is there, and is not a regular file",
            ));
        }
        let part = beside(&path, &format!(".{}.part", std::process::id()));
        let file = create(&part)?;
        Ok(Self { path, part, file, is_whole: false })
    }

    /// Gives the file its name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        // An older manifest must not stand beside a newer file, not for a moment.
        match fs::remove_file(self.manifest()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&self.part, &self.path)?;
        self.is_whole = true;
        Ok(())
    }

    /// Gives the file its name, and the manifest its place.
    pub(super) fn finish_with(self, manifest: &Value) -> io::Result<()> {
        let beside_it = self.manifest();
        self.finish()?;
        let mut text = serde_json::to_string_pretty(manifest)?;
        text.push('\n');
        let part = beside(&beside_it, &format!(".{}.part", std::process::id()));
        create(&part)?.write_all(text.as_bytes())?;
        fs::rename(&part, &beside_it)
    }

    fn manifest(&self) -> PathBuf {
        beside(&self.path, ".manifest.json")
    }
}

impl Write for &mut Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_whole {
            fs::remove_file(&self.part).ok();
        }
    }
}

/// Makes a file that nobody else can read: receipts are in an export, and who
/// did what in a report. Whatever has its
/// name already goes, and no link is followed.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_link_in_the_place_of_the_unfinished_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, path) = (dir.path().join("victim"), dir.path().join("out.csv"));
        fs::write(&victim, "mine").unwrap();
        for name in ["out.csv", "out.csv.manifest.json"] {
            let part = format!("{name}.{}.part", std::process::id());
            symlink(&victim, dir.path().join(part)).unwrap();
        }
        let mut part = Part::begin(&path).unwrap();
        (&mut part).write_all(b"a,b\n").unwrap();
        part.finish_with(&serde_json::json!({})).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
        assert_eq!(fs::read(&path).unwrap(), b"a,b\n");
        for path in [&path, &beside(&path, ".manifest.json")] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
