//! Which files a configuration is made of, and how they looked when they were
//! read: whoever looks again knows whether there is something new to read.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How a file looks from outside.
///
/// The number of the file is part of it, so that one that was put in another's
/// place is noticed: editors rename, and Kubernetes points a link elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    number: u64,
    size: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Stamp {
    /// `None` where there is no file, or none that could be looked at.
    fn of(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        Some(Self {
            device: about.dev(),
            number: about.ino(),
            size: about.len(),
            modified_s: about.mtime(),
            modified_ns: about.mtime_nsec(),
        })
    }
}

/// The files of a configuration, each as it looked when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

impl Stamps {
    /// A file is about to be read. Of several looks the first counts: what
    /// changes between two readings is to be read again.
    pub(super) fn look_at(&mut self, path: &Path) {
        self.0.entry(path.to_owned()).or_insert_with(|| Stamp::of(path));
    }

    /// We wrote a file ourselves, so how it looks now is nothing new.
    pub fn wrote(&mut self, path: &Path) {
        self.0.insert(path.to_owned(), Stamp::of(path));
    }

    /// The same files as they look now.
    #[must_use]
    pub fn again(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), Stamp::of(path))).collect())
    }

    /// The files of a configuration that was refused, on top of those of the
    /// one that stays. The latter count as they look now: they are to be read
    /// when one of them changes, and not again and again until then.
    pub fn add_refused(&mut self, refused: Self) {
        *self = self.again();
        self.0.extend(refused.0);
    }

    /// Where they are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done to a file, and whether it looks different then.
    #[test]
    fn k1_a_file_that_was_changed_replaced_or_relinked_looks_different() {
        type Act = fn(&Path);
        let write = |path: &Path, text: &str| fs::write(path.join("file"), text).unwrap();
        let acts: [(&str, Act, bool); 6] = [
            ("nothing", |_| {}, false),
            ("read", |at| drop(fs::read(at.join("file")).unwrap()), false),
            ("made longer", |at| fs::write(at.join("file"), "longer").unwrap(), true),
            ("removed", |at| fs::remove_file(at.join("file")).unwrap(), true),
            (
                "renamed over",
                |at| {
                    fs::write(at.join("new"), "abc").unwrap();
                    fs::rename(at.join("new"), at.join("file")).unwrap();
                },
                true,
            ),
            (
                "another file made beside it",
                |at| fs::write(at.join("beside"), "abc").unwrap(),
                false,
            ),
        ];
        for (what, act, expected) in acts {
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), "abc");
            let mut stamps = Stamps::default();
            stamps.look_at(&directory.path().join("file"));
            act(directory.path());
            assert_eq!(stamps.again() != stamps, expected, "{what}");
        }
    }

    #[test]
    fn k1_a_mounted_secret_that_points_elsewhere_looks_different() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for version in ["one", "two"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("keys"), "same").unwrap();
        }
        std::os::unix::fs::symlink("one", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/keys", at("keys")).unwrap();
        let mut stamps = Stamps::default();
        stamps.look_at(&at("keys"));
        assert_eq!(stamps.again(), stamps);
        std::os::unix::fs::symlink("two", at("..fresh")).unwrap();
        fs::rename(at("..fresh"), at("..data")).unwrap();
        assert_ne!(stamps.again(), stamps);
    }

    #[test]
    fn k1_a_refused_configuration_is_not_read_again_until_something_changes() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["main", "texts", "more"] {
            fs::write(at(name), "1").unwrap();
        }
        let mut known = Stamps::default();
        known.look_at(&at("main"));
        known.look_at(&at("texts"));
        fs::write(at("main"), "not good").unwrap();
        fs::write(at("texts"), "also new").unwrap();
        let mut refused = Stamps::default();
        refused.look_at(&at("main"));
        refused.look_at(&at("more"));
        known.add_refused(refused);
        assert_eq!(known.again(), known);
        for name in ["main", "texts", "more"] {
            fs::write(at(name), format!("changed {name}")).unwrap();
            assert_ne!(known.again(), known, "{name}");
            known = known.again();
        }
    }
}
