//! The connections of one worker that wait for their next request.
//!
//! Whoever takes one out has it alone, or, over HTTP/2, a stream of it. It
//! comes back when the answer's body has ended (`body.rs`), and is closed when
//! the answer was left unread: what is left in it would be the next one's.

use crate::proxy::Timeouts;
use crate::proxy::body::RequestBody;
use crate::proxy::upstream::connect::STREAMS;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// What a request is sent with.
pub(super) enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    /// With the number of streams that the origin allows, as far as was known
    /// when the last request was sent.
    Http2(http2::SendRequest<RequestBody>, Arc<AtomicUsize>),
}

/// A connection in use.
pub(super) struct Connection {
    sender: Sender,
    born: Instant,
    /// Whether it had answered before.
    pub(super) is_reused: bool,
    /// How long it may rest, as far as its origin said.
    keep: Option<Duration>,
    /// The streams of it that are in use, with this one.
    stream: Option<Stream>,
}

impl Connection {
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(..))
    }

    /// The origin closes it if it rests any longer.
    pub(super) const fn keep_for(&mut self, keep: Duration) {
        self.keep = Some(keep);
    }

    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender, _) => sender.try_send_request(request).await,
        }
    }
}

/// One stream of a connection that many share.
struct Stream(Arc<AtomicUsize>);

impl Stream {
    fn of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

struct Idle {
    sender: http1::SendRequest<RequestBody>,
    born: Instant,
    until: Instant,
}

struct Shared {
    sender: http2::SendRequest<RequestBody>,
    room: Arc<AtomicUsize>,
    born: Instant,
    streams: Arc<AtomicUsize>,
    used: Instant,
}

/// How much a retry costs, and how much of that every exchange pays: one
/// exchange in five may be repeated.
const RETRY_COST: u32 = 5;
const MOST_SAVED: u32 = 10 * RETRY_COST;

/// The connections to one origin.
pub(super) struct Slot {
    idle: Mutex<Vec<Idle>>,
    shared: Mutex<Vec<Shared>>,
    timeouts: Timeouts,
    /// Whether it chose HTTP/2 the last time: then one connection is enough,
    /// and whoever needs it waits while the first one makes it.
    pub(super) chose_http2: AtomicBool,
    pub(super) connecting: tokio::sync::Mutex<()>,
    savings: AtomicU32,
}

impl Slot {
    fn new(timeouts: Timeouts) -> Self {
        Self {
            idle: Mutex::default(),
            shared: Mutex::default(),
            timeouts,
            chose_http2: AtomicBool::new(false),
            connecting: tokio::sync::Mutex::default(),
            savings: AtomicU32::new(MOST_SAVED),
        }
    }

    /// A connection that is there already: the one that came back last, so
    /// that the others can be let go.
    pub(super) fn take(&self, http1: bool, http2: bool) -> Option<Connection> {
        let now = Instant::now();
        (http2.then(|| self.take_shared(now)).flatten())
            .or_else(|| http1.then(|| self.take_idle(now)).flatten())
    }

    fn take_idle(&self, now: Instant) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        let mut at = idle.len();
        while let Some(index) = at.checked_sub(1) {
            at = index;
            let found = idle.get(index)?;
            if found.sender.is_closed() || found.until <= now {
                idle.remove(index);
            } else if found.sender.is_ready() {
                let Idle { sender, born, .. } = idle.remove(index);
                let sender = Sender::Http1(sender);
                return Some(Connection {
                    sender,
                    born,
                    is_reused: true,
                    keep: None,
                    stream: None,
                });
            }
        }
        None
    }

    fn take_shared(&self, now: Instant) -> Option<Connection> {
        let mut shared = lock(&self.shared);
        if shared.is_empty() {
            return None;
        }
        shared.retain(|shared| !self.is_over(shared, now));
        let free = shared.iter_mut().find(|shared| {
            let most = shared.room.load(Relaxed).clamp(1, STREAMS);
            shared.streams.load(Relaxed) < most
        })?;
        free.used = now;
        Some(Connection {
            sender: Sender::Http2(free.sender.clone(), Arc::clone(&free.room)),
            born: free.born,
            is_reused: true,
            keep: None,
            stream: Some(Stream::of(&free.streams)),
        })
    }

    fn is_over(&self, shared: &Shared, now: Instant) -> bool {
        let rests = shared.streams.load(Relaxed) == 0
            && now.duration_since(shared.used) >= self.timeouts.origin_idle;
        shared.sender.is_closed()
            || rests
            || now.duration_since(shared.born) >= self.timeouts.origin_connection
    }

    /// Takes in a new connection.
    pub(super) fn begin(&self, sender: Sender) -> Connection {
        let born = Instant::now();
        let mut stream = None;
        if let Sender::Http2(sender, room) = &sender {
            let streams = Arc::default();
            stream = Some(Stream::of(&streams));
            let (sender, room) = (sender.clone(), Arc::clone(room));
            lock(&self.shared).push(Shared { sender, room, born, streams, used: born });
        }
        Connection { sender, born, is_reused: false, keep: None, stream }
    }

    /// Takes a connection back whose answer has ended.
    fn end(&self, connection: Connection) {
        let Connection { sender, born, keep, .. } = connection;
        let Sender::Http1(sender) = sender else { return };
        let now = Instant::now();
        let rest = keep.unwrap_or(self.timeouts.origin_idle).min(self.timeouts.origin_idle);
        let until = now.checked_add(rest).unwrap_or(now);
        let until = born.checked_add(self.timeouts.origin_connection).unwrap_or(until).min(until);
        if until > now && !sender.is_closed() {
            lock(&self.idle).push(Idle { sender, born, until });
        }
    }

    /// Nothing new goes to a connection on which nothing came back.
    pub(super) fn give_up(&self, connection: &Connection) {
        if let Some(stream) = &connection.stream {
            lock(&self.shared).retain(|shared| !Arc::ptr_eq(&shared.streams, &stream.0));
        }
    }

    /// An exchange begins: it pays for the retries of others.
    pub(super) fn save(&self) {
        let saved = self.savings.load(Relaxed);
        if saved < MOST_SAVED {
            self.savings.store(saved.saturating_add(1), Relaxed);
        }
    }

    /// Whether one more retry is not too many.
    pub(super) fn pay_retry(&self) -> bool {
        let left = self.savings.load(Relaxed).checked_sub(RETRY_COST);
        if let Some(left) = left {
            self.savings.store(left, Relaxed);
        }
        left.is_some()
    }

    /// Closes what rested long enough; false when nothing is left.
    fn sweep(&self, now: Instant) -> bool {
        let mut idle = lock(&self.idle);
        idle.retain(|idle| idle.until > now && !idle.sender.is_closed());
        let mut shared = lock(&self.shared);
        shared.retain(|shared| !self.is_over(shared, now));
        !idle.is_empty() || !shared.is_empty()
    }
}

/// Holds a connection until its answer has ended.
pub(super) struct Lease {
    connection: Connection,
    slot: Arc<Slot>,
}

impl Lease {
    pub(super) const fn new(connection: Connection, slot: Arc<Slot>) -> Self {
        Self { connection, slot }
    }

    /// The answer has ended as it should.
    pub(super) fn end(self) {
        self.slot.end(self.connection);
    }
}

/// All connections of one worker.
pub(super) struct Pool {
    slots: Mutex<FxHashMap<Arc<str>, Arc<Slot>>>,
    timeouts: Timeouts,
    is_swept: AtomicBool,
}

impl Pool {
    pub(super) fn new(timeouts: Timeouts) -> Arc<Self> {
        Arc::new(Self { slots: Mutex::default(), timeouts, is_swept: AtomicBool::new(false) })
    }

    /// The connections to one origin.
    pub(super) fn slot(&self, url: &Arc<str>) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(url) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::new(self.timeouts));
        slots.insert(Arc::clone(url), Arc::clone(&slot));
        slot
    }

    /// Sees to it that connections nobody uses are closed, as long as there
    /// are any.
    pub(super) fn keep_swept(self: &Arc<Self>) {
        if self.is_swept.swap(true, Relaxed) {
            return;
        }
        let pool: Weak<Self> = Arc::downgrade(self);
        let pause = (self.timeouts.origin_idle / 2)
            .clamp(Duration::from_millis(50), Duration::from_secs(15));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(pool) = pool.upgrade() else { return };
                if !pool.sweep() {
                    pool.is_swept.store(false, Relaxed);
                    return;
                }
            }
        });
    }

    /// False when there is nothing to sweep.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        let mut slots = lock(&self.slots);
        slots.retain(|_, slot| slot.sweep(now) || Arc::strong_count(slot) > 1);
        !slots.is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k3_one_exchange_in_five_may_be_repeated() {
        let slot = Slot::new(Timeouts::default());
        let begun = (0..100).filter(|_| slot.pay_retry()).count();
        assert_eq!(begun, 10, "a few at once, for an origin that restarts");
        let mut repeated = 0;
        for _ in 0..1000 {
            slot.save();
            repeated += usize::from(slot.pay_retry());
        }
        assert_eq!(repeated, 200);
    }
}
