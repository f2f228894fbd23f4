//! Room for connections: when there is too little, those that rest give way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// How many connections that rest are ended when there are no file descriptors.
const MADE: usize = 8;

/// The system's codes for "too many open files", of the whole system and of one
/// program: the same on Linux and the BSDs (`errno(3)`, `intro(2)`).
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// Where a worker's connections hear that there is little room. The one that
/// has rested longest is to go.
#[derive(Debug, Default)]
pub(super) struct Room(Notify);

impl Room {
    /// Asks one connection to give way: now, or as soon as one rests.
    pub(super) fn ask_one(&self) {
        self.0.notify_one();
    }

    /// Asks for as much as helps when nothing can be opened any more.
    pub(super) fn ask_some(&self) {
        for _ in 0..MADE {
            self.ask_one();
        }
    }

    /// Returns when the connection that waits for this is to give way. One that
    /// is asked and drops this instead leaves it to the next.
    pub(super) fn wanted(&self) -> Notified<'_> {
        self.0.notified()
    }

    /// The same for a connection that rests only now and then: it has its place
    /// among those who wait in `place`, and loses it when it does not rest.
    pub(super) fn poll_wanted<'a>(
        &'a self,
        cx: &mut Context<'_>,
        mut place: Pin<&mut Option<Notified<'a>>>,
        rests: bool,
    ) -> Poll<()> {
        if !rests {
            place.set(None);
            return Poll::Pending;
        }
        if place.is_none() {
            place.set(Some(self.wanted()));
        }
        let asked = place.as_mut().as_pin_mut().map(|asked| asked.poll(cx));
        if asked.is_some_and(|asked| asked.is_pending()) {
            return Poll::Pending;
        }
        place.set(None);
        Poll::Ready(())
    }
}

/// Whether something failed only because too many files are open.
pub(super) fn is_short_of_files(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::future::poll_fn;
    use std::pin::pin;

    #[test]
    fn too_many_open_files_is_told_from_the_rest() {
        let of = std::io::Error::from_raw_os_error;
        assert!(is_short_of_files(&of(EMFILE)) && is_short_of_files(&of(ENFILE)));
        assert!(of(EMFILE).to_string().contains("Too many open files"), "{}", of(EMFILE));
        for other in [of(2), of(111), std::io::Error::other("no address")] {
            assert!(!is_short_of_files(&other), "{other}");
        }
    }

    #[tokio::test]
    async fn who_is_asked_and_does_not_go_leaves_it_to_the_next() {
        let room = Room::default();
        let mut first = Box::pin(room.wanted());
        let mut second = Box::pin(room.wanted());
        assert!(!first.as_mut().enable() && !second.as_mut().enable());
        room.ask_one();
        drop(first);
        tokio::time::timeout(std::time::Duration::from_secs(30), second).await.unwrap();
        room.ask_one();
        tokio::time::timeout(std::time::Duration::from_secs(30), room.wanted()).await.unwrap();
    }

    #[tokio::test]
    async fn only_who_rests_is_asked() {
        let room = Room::default();
        let (mut busy, mut resting) = (pin!(None), pin!(None));
        poll_fn(|cx| {
            for rests in [true, false] {
                assert!(room.poll_wanted(cx, busy.as_mut(), rests).is_pending());
            }
            assert!(room.poll_wanted(cx, resting.as_mut(), true).is_pending());
            room.ask_one();
            assert!(room.poll_wanted(cx, busy.as_mut(), false).is_pending());
            assert!(room.poll_wanted(cx, resting.as_mut(), true).is_ready());
            assert!(room.poll_wanted(cx, resting.as_mut(), true).is_pending());
            Poll::Ready(())
        })
        .await;
    }
}
