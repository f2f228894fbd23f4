//! A file that has its name only when it is whole, and a manifest beside it.

use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Write};
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
        let file = File::create(&part)?;
        Ok(Self { path, part, file, is_whole: false })
    }

    /// Gives the file its name, and the manifest its place.
    pub(super) fn finish(mut self, manifest: &Value) -> io::Result<()> {
        self.file.sync_all()?;
        let beside_it = beside(&self.path, ".manifest.json");
        // An older manifest must not stand beside a newer file, not for a moment.
        match fs::remove_file(&beside_it) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&self.part, &self.path)?;
        self.is_whole = true;
        let mut text = serde_json::to_string_pretty(manifest)?;
        text.push('\n');
        let part = beside(&beside_it, &format!(".{}.part", std::process::id()));
        fs::write(&part, text)?;
        fs::rename(&part, &beside_it)
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

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
