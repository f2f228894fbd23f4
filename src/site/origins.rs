//! The operator's servers behind one site: which of them is asked, and which
//! of them are set aside because they fail.
//!
//! All workers share what is known of a server; everything here is a few
//! atomic numbers, and a site with one server that answers reads two of them.

use crate::enforce::StatementKey;

use http::uri::{Authority, Scheme};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// How many servers a site can have: as many as a set of them has bits.
pub const MOST_ORIGINS: usize = 64;

/// However often a server failed, it is tried again after this time.
const LONGEST_ASIDE: Duration = Duration::from_secs(60);

/// What times are counted from, in milliseconds.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Whether origins are asked over HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http2 {
    /// Over https, wherever the server offers it.
    #[default]
    Auto,
    /// No.
    Never,
    /// Nothing else is spoken, over plain http neither.
    Always,
}

/// When a server is set aside, and how it is looked at.
#[derive(Clone, Debug)]
pub struct Health {
    /// The path that is asked for; `None` to learn from visitors' exchanges
    /// alone.
    pub path: Option<String>,
    /// The time between two looks.
    pub interval: Duration,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// How many failures in a row set a server aside.
    pub failures: u32,
    /// For how long at first; twice as long each time after that.
    pub aside: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            failures: 3,
            aside: Duration::from_secs(1),
        }
    }
}

/// One of the operator's servers.
#[derive(Debug)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Where it listens.
    pub authority: Authority,
    /// Both, as they are written in logs and metrics.
    pub url: Arc<str>,
    standing: Standing,
}

/// What is known of a server.
#[derive(Debug, Default)]
struct Standing {
    under_way: AtomicUsize,
    /// In a row.
    failures: AtomicU32,
    /// Until when nobody is sent there; 0 for a server that is not aside.
    aside_until_ms: AtomicU64,
    /// How often in a row that has happened.
    times_aside: AtomicU32,
    /// Whether no connection could be made the last time.
    unreachable: AtomicBool,
    /// Whether somebody is trying it while it is aside.
    on_trial: AtomicBool,
    /// Whether looking at it said that it is down.
    down: AtomicBool,
    failed_looks: AtomicU32,
}

/// What went wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Its name has no address.
    Name,
    /// No connection could be made.
    Connect,
    /// Its answer did not begin in time.
    Silent,
    /// It answered nothing, or what is no HTTP.
    Broken,
}

impl Failure {
    /// The word in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "dns",
            Self::Connect => "connect",
            Self::Silent => "timeout",
            Self::Broken => "broken",
        }
    }
}

/// The servers behind one site.
#[derive(Debug)]
pub struct Origins {
    /// The site, as logs and metrics name it.
    pub site: Arc<str>,
    /// The `Host` they are sent, when it is not the visitor's.
    pub host: Option<Authority>,
    /// What our statements to them are signed with.
    pub statement_key: Option<StatementKey>,
    /// Whether they are asked over HTTP/2.
    pub http2: Http2,
    /// When one is set aside.
    pub health: Health,
    all: Vec<Origin>,
    /// Whose turn it is among those with the same load.
    turn: AtomicUsize,
}

impl Origin {
    /// A server nothing is known of.
    #[must_use]
    pub fn new(scheme: Scheme, authority: Authority) -> Self {
        let url = format!("{scheme}://{authority}").into();
        Self { scheme, authority, url, standing: Standing::default() }
    }

    /// Whether visitors are sent there.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.standing.aside_until_ms.load(Relaxed) == 0 && !self.standing.down.load(Relaxed)
    }

    /// Whether its time aside is over, so that somebody may try it.
    fn may_be_tried(&self) -> bool {
        let until = self.standing.aside_until_ms.load(Relaxed);
        until != 0 && until <= now_ms() && !self.standing.down.load(Relaxed)
    }

    /// Takes the trial, unless somebody else has it.
    fn begin_trial(&self) -> bool {
        self.standing.on_trial.compare_exchange(false, true, Relaxed, Relaxed).is_ok()
    }

    /// What is known of the same server from before a reload.
    fn adopt(&self, known: &Self) {
        let (new, old) = (&self.standing, &known.standing);
        for (new, old) in [
            (&new.failures, &old.failures),
            (&new.times_aside, &old.times_aside),
            (&new.failed_looks, &old.failed_looks),
        ] {
            new.store(old.load(Relaxed), Relaxed);
        }
        new.aside_until_ms.store(old.aside_until_ms.load(Relaxed), Relaxed);
        new.unreachable.store(old.unreachable.load(Relaxed), Relaxed);
        new.down.store(old.down.load(Relaxed), Relaxed);
    }
}

impl Origins {
    /// The servers of a site, of which nothing is known.
    #[must_use]
    pub fn new(site: Arc<str>, all: Vec<Origin>) -> Self {
        Self {
            site,
            host: None,
            statement_key: None,
            http2: Http2::default(),
            health: Health::default(),
            all,
            turn: AtomicUsize::new(0),
        }
    }

    /// Every server, in the operator's order.
    pub fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.all.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The server for one exchange: of those that are up the one with the
    /// fewest exchanges under way, and in turn among equals. `but` are those
    /// that failed it already. Only an exchange that can be repeated
    /// elsewhere, as `repeatable` says, is sent to one whose time aside is
    /// over.
    ///
    /// When all are aside, somebody has to find out that one is back: an
    /// exchange goes to one of them all the same, but no second one to a
    /// server that nobody could connect to, while the first still tries.
    /// `None` then.
    #[must_use]
    pub fn choose(self: &Arc<Self>, but: OriginSet, repeatable: bool) -> Option<Chosen> {
        if let [only] = self.all.as_slice()
            && only.is_up()
        {
            // What one server has to do is nobody's business.
            let fresh = !but.holds(0);
            return fresh.then(|| Chosen::new(self, 0, false, false));
        }
        let begin = self.turn.fetch_add(1, Relaxed);
        let untried = || self.in_turn(begin).filter(|(index, _)| !but.holds(*index));
        if repeatable {
            let due = untried().find(|(_, origin)| origin.may_be_tried() && origin.begin_trial());
            if let Some((index, _)) = due {
                return Some(Chosen::new(self, index, true, true));
            }
        }
        let load = |origin: &Origin| origin.standing.under_way.load(Relaxed);
        let up = untried().filter(|(_, origin)| origin.is_up());
        if let Some((index, _)) = up.min_by_key(|(_, origin)| load(origin)) {
            return Some(Chosen::new(self, index, false, true));
        }
        let reachable = untried().find(|(_, origin)| !origin.standing.unreachable.load(Relaxed));
        if let Some((index, _)) = reachable {
            return Some(Chosen::new(self, index, false, true));
        }
        let (index, _) = untried().find(|(_, origin)| origin.begin_trial())?;
        Some(Chosen::new(self, index, true, true))
    }

    fn in_turn(&self, begin: usize) -> impl Iterator<Item = (usize, &Origin)> {
        let count = self.all.len().max(1);
        let from = begin % count;
        self.all.iter().enumerate().cycle().skip(from).take(self.all.len())
    }

    /// Keeps what is known of the servers that were there before.
    pub fn adopt(&self, before: &Self) {
        for origin in &self.all {
            if let Some(known) = before.all.iter().find(|known| known.url == origin.url) {
                origin.adopt(known);
            }
        }
    }

    /// The look at a server found it well, or why not. Says whether it went
    /// or came back by that.
    pub fn looked(&self, origin: &Origin, well: bool) -> Option<Change> {
        let standing = &origin.standing;
        // Exchanges that set it aside have told so, and will tell when it is back.
        let in_use = standing.aside_until_ms.load(Relaxed) == 0;
        if well {
            standing.failed_looks.store(0, Relaxed);
            return (standing.down.swap(false, Relaxed) && in_use).then_some(Change::Back);
        }
        let failed = standing.failed_looks.fetch_add(1, Relaxed).saturating_add(1);
        let gone = failed >= self.health.failures && !standing.down.swap(true, Relaxed);
        (gone && in_use).then_some(Change::Gone)
    }
}

/// Whether a server went or came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is set aside from now on.
    Gone,
    /// It is asked again.
    Back,
}

/// Some of a site's servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct OriginSet(u64);

impl OriginSet {
    fn holds(self, index: usize) -> bool {
        self.0 & bit(index) != 0
    }

    /// Adds the one that was chosen.
    pub fn add(&mut self, chosen: &Chosen) {
        self.0 |= bit(chosen.index);
    }
}

fn bit(index: usize) -> u64 {
    u32::try_from(index).ok().and_then(|index| 1_u64.checked_shl(index)).unwrap_or(0)
}

/// The server that an exchange goes to. While this lives, the exchange counts
/// as under way there.
#[derive(Debug)]
pub struct Chosen {
    origins: Arc<Origins>,
    index: usize,
    on_trial: bool,
    counted: bool,
}

impl Chosen {
    fn new(origins: &Arc<Origins>, index: usize, on_trial: bool, counted: bool) -> Self {
        let chosen = Self { origins: Arc::clone(origins), index, on_trial, counted };
        if counted && let Some(origin) = chosen.origin() {
            origin.standing.under_way.fetch_add(1, Relaxed);
        }
        chosen
    }

    /// The server.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.origins.all.get(self.index)
    }

    /// A connection is there: when all servers are aside, others need not wait
    /// until this one has answered.
    pub fn connected(&self) {
        if let Some(origin) = self.origin()
            && origin.standing.unreachable.load(Relaxed)
        {
            origin.standing.unreachable.store(false, Relaxed);
        }
    }

    /// The server answered.
    #[must_use]
    pub fn answered(&self) -> Option<Change> {
        let standing = &self.origin()?.standing;
        if standing.failures.load(Relaxed) != 0 {
            standing.failures.store(0, Relaxed);
        }
        if standing.aside_until_ms.load(Relaxed) == 0 {
            return None;
        }
        standing.times_aside.store(0, Relaxed);
        let was_aside = standing.aside_until_ms.swap(0, Relaxed) != 0;
        (was_aside && !standing.down.load(Relaxed)).then_some(Change::Back)
    }

    /// The server failed.
    #[must_use]
    pub fn failed(&self, failure: Failure) -> Option<Change> {
        let standing = &self.origin()?.standing;
        let health = &self.origins.health;
        standing.unreachable.store(matches!(failure, Failure::Name | Failure::Connect), Relaxed);
        let failures = standing.failures.fetch_add(1, Relaxed).saturating_add(1);
        if failures < health.failures {
            return None;
        }
        let times = match standing.aside_until_ms.load(Relaxed) {
            // Others that were under way fail, too; that says nothing new.
            until if until > now_ms() => return None,
            _ => standing.times_aside.fetch_add(1, Relaxed),
        };
        let aside = health.aside.saturating_mul(1 << times.min(16)).min(LONGEST_ASIDE);
        let until = now_ms().saturating_add(in_ms(aside)).max(1);
        let was_up = standing.aside_until_ms.swap(until, Relaxed) == 0;
        (was_up && !standing.down.load(Relaxed)).then_some(Change::Gone)
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        let Some(origin) = self.origins.all.get(self.index) else { return };
        if self.counted {
            origin.standing.under_way.fetch_sub(1, Relaxed);
        }
        if self.on_trial {
            origin.standing.on_trial.store(false, Relaxed);
        }
    }
}

fn now_ms() -> u64 {
    // Not 0, which stands for a server that is not aside.
    in_ms(BEGINNING.elapsed()).saturating_add(1)
}

fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(count: usize) -> Arc<Origins> {
        let server = |index| {
            let authority = format!("10.0.0.{index}:80").parse().unwrap();
            Origin::new(Scheme::HTTP, authority)
        };
        let mut origins = Origins::new("shop".into(), (1..=count).map(server).collect());
        origins.health.aside = Duration::from_millis(20);
        Arc::new(origins)
    }

    fn chosen(origins: &Arc<Origins>) -> Chosen {
        origins.choose(OriginSet::default(), true).unwrap()
    }

    fn fails(origins: &Arc<Origins>, index: usize, failure: Failure) -> Option<Change> {
        Chosen::new(origins, index, false, true).failed(failure)
    }

    #[test]
    fn k3_the_fewest_exchanges_win_and_equals_take_turns() {
        let origins = servers(3);
        let under_way: Vec<Chosen> = (0..6).map(|_| chosen(&origins)).collect();
        for origin in origins.iter() {
            assert_eq!(origin.standing.under_way.load(Relaxed), 2);
        }
        let mut under_way = under_way.into_iter();
        let ended = under_way.next().unwrap();
        let index = ended.index;
        drop(ended);
        assert_eq!(chosen(&origins).index, index, "it has one less to do");
        drop(under_way);
        assert!(origins.iter().all(|origin| origin.standing.under_way.load(Relaxed) == 0));
    }

    #[test]
    fn k3_one_server_is_not_counted() {
        let origins = servers(1);
        let one = chosen(&origins);
        assert_eq!(one.origin().unwrap().standing.under_way.load(Relaxed), 0);
        let mut tried = OriginSet::default();
        tried.add(&one);
        assert!(origins.choose(tried, true).is_none());
    }

    #[test]
    fn k3_three_failures_in_a_row_set_a_server_aside_for_longer_each_time() {
        let origins = servers(2);
        assert_eq!(fails(&origins, 0, Failure::Broken), None);
        assert_eq!(fails(&origins, 0, Failure::Broken), None);
        assert_eq!(Chosen::new(&origins, 0, false, true).answered(), None);
        assert_eq!(fails(&origins, 0, Failure::Broken), None, "not in a row");
        assert_eq!(fails(&origins, 0, Failure::Silent), None);
        assert_eq!(fails(&origins, 0, Failure::Connect), Some(Change::Gone));
        assert_eq!(fails(&origins, 0, Failure::Connect), None, "once");
        for _ in 0..4 {
            assert_eq!(chosen(&origins).index, 1);
        }
        std::thread::sleep(Duration::from_millis(30));
        let other = origins.choose(OriginSet::default(), false).unwrap();
        assert_eq!(other.index, 1, "what cannot be repeated is no trial");
        let trial = (0..2).map(|_| chosen(&origins)).find(|chosen| chosen.on_trial).unwrap();
        assert_eq!(trial.index, 0);
        assert!((0..4).all(|_| chosen(&origins).index == 1), "one trial at a time");
        assert_eq!(trial.failed(Failure::Connect), None);
        drop(trial);
        std::thread::sleep(Duration::from_millis(25));
        assert!((0..4).all(|_| chosen(&origins).index == 1), "twice as long");
        std::thread::sleep(Duration::from_millis(30));
        let trial = (0..2).map(|_| chosen(&origins)).find(|chosen| chosen.on_trial).unwrap();
        assert_eq!(trial.answered(), Some(Change::Back));
        assert!(origins.iter().all(Origin::is_up));
    }

    #[test]
    fn k3_when_all_are_aside_one_at_a_time_tries_those_that_are_out_of_reach() {
        let origins = servers(2);
        for index in 0..2 {
            for _ in 0..3 {
                let _ = fails(&origins, index, Failure::Connect);
            }
        }
        let (first, second) = (chosen(&origins), chosen(&origins));
        assert!(origins.choose(OriginSet::default(), true).is_none(), "both are being tried");
        first.connected();
        assert_eq!(chosen(&origins).index, first.index, "it can be reached again");
        drop(second);
    }

    #[test]
    fn k3_servers_that_only_fail_are_better_than_none() {
        let origins = servers(2);
        for index in 0..2 {
            for _ in 0..3 {
                let _ = fails(&origins, index, Failure::Silent);
            }
        }
        let all: Vec<Chosen> = (0..8).map(|_| chosen(&origins)).collect();
        assert_eq!(all.len(), 8);
    }

    #[test]
    fn k3_a_look_takes_a_server_out_and_brings_it_back() {
        let origins = servers(2);
        let first = origins.iter().next().unwrap();
        let looks =
            [false, false, false, false, true, true].map(|well| origins.looked(first, well));
        let expected = [None, None, Some(Change::Gone), None, Some(Change::Back), None];
        assert_eq!(looks, expected);
    }

    #[test]
    fn k3_what_is_known_outlives_a_reload() {
        let before = servers(2);
        for _ in 0..3 {
            let _ = fails(&before, 1, Failure::Broken);
        }
        let after = servers(3);
        after.adopt(&before);
        let up: Vec<bool> = after.iter().map(Origin::is_up).collect();
        assert_eq!(up, [true, false, true]);
    }
}
