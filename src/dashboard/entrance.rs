//! The way in where there are no users: a link that only who may read the
//! ledger can see, good for once.

use crate::dashboard::session::{same, secret};

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file with the link, beside the ledger at `ledger`.
#[must_use]
pub fn link_file(ledger: &Path) -> PathBuf {
    let mut name = OsString::from(ledger);
    name.push(".dashboard-link");
    name.into()
}

/// The door that the link opens.
#[derive(Debug)]
pub(super) struct Entrance {
    file: PathBuf,
    address: SocketAddr,
    /// What the link holds; none while the door is shut.
    token: Mutex<Option<String>>,
}

impl Entrance {
    pub(super) const fn new(file: PathBuf, address: SocketAddr) -> Self {
        Self { file, address, token: Mutex::new(None) }
    }

    /// Makes a link that opens it, or shuts it. A link that somebody may have
    /// been given stays good.
    pub(super) fn open(&self, wanted: bool) {
        let mut token = self.token();
        if wanted && token.is_some() && self.file.exists() {
            return;
        }
        self.change(&mut token, wanted);
    }

    /// Takes the link away, unless another process has put its own there.
    pub(super) fn leave(&self) {
        let ours = self.token().take().map(|token| link_to(self.address, &token));
        let there = std::fs::read_to_string(&self.file).unwrap_or_default();
        if ours.is_some_and(|link| link == there.trim()) {
            let _ = std::fs::remove_file(&self.file);
        }
    }

    fn token(&self) -> MutexGuard<'_, Option<String>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, token: &mut Option<String>, wanted: bool) {
        let result = if wanted {
            *token = secret();
            let link = token.as_ref().map(|token| link_to(self.address, token));
            write_private(&self.file, &format!("{}\n", link.unwrap_or_default()))
        } else {
            *token = None;
            match std::fs::remove_file(&self.file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
        };
        if let Err(error) = result {
            tracing::warn!(file = %self.file.display(), %error, "the link to the dashboard cannot be kept; name users under [[admin.user]] to sign in with a password");
        }
    }

    /// The link that opens it now, if any does.
    pub(super) fn link(&self) -> Option<String> {
        self.token().as_ref().map(|token| link_to(self.address, token))
    }

    /// Whether `offered` opens the door. It does so once: the next one to
    /// enter needs the link that is made now.
    pub(super) fn admits(&self, offered: &str) -> bool {
        // Of two that come at once, one has to find the next link's.
        let mut token = self.token();
        let fits = token.as_deref().is_some_and(|token| same(token, offered));
        if fits {
            self.change(&mut token, true);
        }
        fits
    }
}

fn link_to(address: SocketAddr, token: &str) -> String {
    format!("http://{address}/enter?token={token}")
}

/// Writes a file that nobody but its owner can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut fresh = OsString::from(path);
    fresh.push(".new");
    let _ = std::fs::remove_file(&fresh);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&fresh)?.write_all(text.as_bytes())?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_the_door_once_and_a_fresh_one_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = link_file(&directory.path().join("ledger.db"));
        let entrance = Entrance::new(file.clone(), "127.0.0.1:9180".parse().unwrap());
        assert!(!entrance.admits(""), "shut");
        entrance.open(true);
        let token = || {
            let link = std::fs::read_to_string(&file).unwrap();
            link.trim().strip_prefix("http://127.0.0.1:9180/enter?token=").unwrap().to_owned()
        };
        let first = token();
        entrance.open(true);
        assert_eq!(token(), first, "nothing that it depends on has changed");
        let (_, cut) = first.split_at(1);
        assert!(!entrance.admits("") && !entrance.admits(cut));
        assert!(entrance.admits(&first));
        assert!(!entrance.admits(&first));
        assert!(entrance.admits(&token()));
        entrance.open(false);
        assert!(!file.exists() && !entrance.admits(&first));
    }

    #[test]
    fn of_many_who_come_at_once_one_gets_in() {
        let directory = tempfile::tempdir().unwrap();
        let entrance =
            Entrance::new(directory.path().join("link"), "127.0.0.1:9180".parse().unwrap());
        for _ in 0..50 {
            entrance.open(true);
            let link = entrance.link().unwrap();
            let (_, token) = link.split_once("token=").unwrap();
            let barrier = std::sync::Barrier::new(4);
            let enters = || {
                barrier.wait();
                entrance.admits(token)
            };
            let admitted = std::thread::scope(|scope| {
                let all: Vec<_> = (0..4).map(|_| scope.spawn(enters)).collect();
                all.into_iter().map(|one| one.join().unwrap()).filter(|is_in| *is_in).count()
            });
            assert_eq!(admitted, 1);
        }
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_on_the_machine_can_read_the_link() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("link");
        std::fs::write(&file, "of somebody else").unwrap();
        Entrance::new(file.clone(), "127.0.0.1:9180".parse().unwrap()).open(true);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
