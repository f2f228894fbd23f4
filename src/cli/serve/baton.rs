//! The file that says who serves: a program that starts beside another one
//! takes it over, and the other one sees that and leaves.
//!
//! Whoever serves holds a lock on the file, so a number that some other process
//! has by now means nothing, and nobody is ever sent a signal.

use super::Failure;
use crate::cli::{IO, UNAVAILABLE};

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Whether somebody serves already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nobody,
    Somebody,
}

/// The file with our number, locked. It goes when we do.
#[derive(Debug)]
pub(super) struct Baton {
    path: PathBuf,
    file: File,
}

impl Baton {
    /// Whether somebody holds the file at `path`.
    pub(super) fn before(path: &Path) -> Result<Before, Failure> {
        match OpenOptions::new().append(true).open(path) {
            Ok(file) if is_held(&file) => Ok(Before::Somebody),
            Ok(_) => Ok(Before::Nobody),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Before::Nobody),
            Err(error) => Err(unwritable(path, &error)),
        }
    }

    /// Puts a file of ours there. Whoever held the one before sees it.
    pub(super) fn take(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| unwritable(path, &error);
        let mut fresh = OsString::from(path);
        fresh.push(format!(".{}", std::process::id()));
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&fresh)
            .map_err(failed)?;
        let held = file
            .try_lock()
            .map_err(io::Error::from)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .and_then(|()| fs::rename(&fresh, path));
        if let Err(error) = held {
            let _ = fs::remove_file(&fresh);
            return Err(failed(error));
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Whether somebody else holds a file there now.
    pub(super) fn was_taken(&self) -> bool {
        !self.is_in_place()
            && OpenOptions::new().append(true).open(&self.path).is_ok_and(|file| is_held(&file))
    }

    fn is_in_place(&self) -> bool {
        let number = |about: fs::Metadata| (about.dev(), about.ino());
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(ours)) => number(there) == number(ours),
            _ => false,
        }
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        if self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_held(file: &File) -> bool {
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Somebody serves, and nobody said that we take over.
pub(super) fn taken(path: &Path) -> Failure {
    Failure::new(
        UNAVAILABLE,
        format!(
            "{}: another consentry serves; stop it, or take over with --take-over",
            path.display()
        ),
    )
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(IO, format!("{}: {error}; choose another place with --pid-file", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k2_who_serves_is_known_by_a_lock_and_not_by_a_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("consentry.pid");
        assert_eq!(Baton::before(&path).unwrap(), Before::Nobody);
        // What a machine that lost its power leaves.
        fs::write(&path, "1\n").unwrap();
        assert_eq!(Baton::before(&path).unwrap(), Before::Nobody);
        let old = Baton::take(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(Baton::before(&path).unwrap(), Before::Somebody);
        assert!(!old.was_taken());
        let new = Baton::take(&path).unwrap();
        assert!(old.was_taken() && !new.was_taken());
        drop(old);
        assert!(path.exists(), "it is the successor's");
        drop(new);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn k2_a_file_that_somebody_removed_has_no_successor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("consentry.pid");
        let baton = Baton::take(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!baton.was_taken());
        fs::write(&path, "4711\n").unwrap();
        assert!(!baton.was_taken(), "a file alone serves nobody");
        let nowhere = Path::new("/nowhere/consentry.pid");
        assert_eq!(Baton::take(nowhere).unwrap_err().code, IO);
    }
}
