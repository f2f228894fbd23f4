//! Notices when a file of the configuration changes.
//!
//! It looks instead of asking the kernel to tell: that works on every file
//! system, through links and for files that are not there yet, and a look every
//! second at a dozen files costs nothing.

use crate::config::Stamps;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long between two looks. What looks the same twice has settled: whoever
/// writes several files, or one in several pieces, is not interrupted.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks at the files of the configuration until it is dropped.
#[derive(Debug)]
pub(super) struct FileWatch {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    known: Mutex<Known>,
    changed: Notify,
}

#[derive(Debug)]
struct Known {
    stamps: Stamps,
    /// Whether the operator wants us to look.
    is_on: bool,
    /// Whether a change was told and nobody has read the files since.
    is_told: bool,
}

impl FileWatch {
    /// Begins with the files as they were when they were read.
    pub(super) fn start(stamps: Stamps, is_on: bool) -> Self {
        let known = Mutex::new(Known { stamps, is_on, is_told: false });
        let shared = Arc::new(Shared { known, changed: Notify::new() });
        let task = tokio::spawn(look(Arc::clone(&shared)));
        Self { shared, task }
    }

    /// Returns when something has changed, and has stopped changing.
    pub(super) async fn changed(&self) {
        loop {
            self.shared.changed.notified().await;
            // Somebody may have read the files since.
            if self.known().is_told {
                return;
            }
        }
    }

    /// The files were read, and what is in them holds.
    pub(super) fn took(&self, stamps: Stamps, is_on: bool) {
        *self.known() = Known { stamps, is_on, is_told: false };
    }

    /// The files were read, and refused.
    pub(super) fn refused(&self, stamps: Stamps) {
        let mut known = self.known();
        known.stamps.add_refused(stamps);
        known.is_told = false;
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(shared: Arc<Shared>) {
    let mut before = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let stamps = {
            let known = shared.known.lock().unwrap_or_else(PoisonError::into_inner);
            (known.is_on && !known.is_told).then(|| known.stamps.clone())
        };
        let Some(stamps) = stamps else { continue };
        // A file on a server that does not answer must not stop everything else.
        let seen = tokio::task::spawn_blocking(move || {
            let now = stamps.again();
            (now != stamps).then_some((now, stamps))
        });
        let Ok(seen) = seen.await else { continue };
        let has_settled = seen.is_some() && seen == before;
        before = seen;
        if has_settled {
            let mut known = shared.known.lock().unwrap_or_else(PoisonError::into_inner);
            // Unless somebody has read them meanwhile.
            if before.take().is_some_and(|(_, stamps)| stamps == known.stamps) {
                known.is_told = true;
                shared.changed.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeyMode, Overrides, load_stamped};

    #[tokio::test]
    async fn k1_a_change_is_told_once_and_only_when_it_has_settled() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("consentry.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let stamps = || {
            let none = std::iter::empty();
            let flags = Overrides::default();
            load_stamped(Some(&file), none, &flags, KeyMode::CheckOnly, None).1
        };
        let told = async |watch: &FileWatch, within: Duration| {
            tokio::time::timeout(within, watch.changed()).await.is_ok()
        };
        let (soon, quiet) = (Duration::from_secs(20), 4 * LOOK_EVERY);
        write("one");
        let watch = FileWatch::start(stamps(), true);
        assert!(!told(&watch, quiet).await, "nothing has changed");
        write("a second one");
        assert!(told(&watch, soon).await);
        assert!(!told(&watch, quiet).await, "it was told, and nobody has read it yet");
        watch.refused(stamps());
        assert!(!told(&watch, quiet).await, "what was refused is not read again");
        write("a third");
        assert!(told(&watch, soon).await);
        write("a fourth, for which there is a signal, too");
        tokio::time::sleep(quiet).await;
        watch.took(stamps(), true);
        assert!(!told(&watch, quiet).await, "it was read because of the signal");
        watch.took(stamps(), false);
        write("and a fifth");
        assert!(!told(&watch, quiet).await, "nobody wants to know");
    }
}
