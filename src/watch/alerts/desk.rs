//! Keeps what is to be told until somebody has taken it, and tells nothing
//! twice.
//!
//! What is kept stands in one small file beside the ledger, written whole and
//! then renamed. An alert is in it before the place up to which the ledger was
//! read, so one that was noticed is told, over restarts, at least once; its
//! number tells a receiver the second time.

use crate::observe::{AlertDropped, AlertTold, AlertsWaiting, Observe};
use crate::watch::alerts::newcomers::Counts;
use crate::watch::alerts::{Alert, Kind, Phase, Settings, number_of};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Alerts that wait for a receiver. Of more, the least gives way (`weight`),
/// and how many did is told as soon as somebody takes alerts again.
const MOST_WAITING: usize = 1000;

/// Numbers of alerts that are remembered.
const MOST_NUMBERS: usize = 10_000;

/// Alerts that are shown on the dashboard.
const MOST_RECENT: usize = 100;

/// Something that is so at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// What tells it from others; it stays the same as long as it is so.
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) site: Option<String>,
    pub(super) summary: String,
    pub(super) details: Vec<String>,
}

/// A condition that was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) since_ms: u64,
    kind: Kind,
    site: Option<String>,
    pub(super) summary: String,
}

/// A site, as far as it is known what is on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Learning {
    pub(super) until_ms: u64,
    pub(super) counts: Counts,
    pub(super) over: bool,
}

/// Everything that outlives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// How far the ledger's vendors, hosts and cookies were read.
    pub(super) seen: i64,
    /// How far its gaps were; nothing before the first look, when all are known.
    pub(super) gaps: Option<i64>,
    pub(super) sites: BTreeMap<String, Learning>,
    pub(super) open: BTreeMap<String, Open>,
    /// When each condition was told last.
    begun: BTreeMap<String, u64>,
    numbers: VecDeque<String>,
    waiting: VecDeque<Alert>,
    /// How many gave way since that was told last.
    dropped: u64,
    recent: VecDeque<Alert>,
}

/// What was told, for the dashboard.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// How many alerts wait for their receiver.
    pub waiting: usize,
    /// How many gave way because too many waited, and nobody knows yet.
    pub dropped: u64,
    /// The newest alerts, the newest first.
    pub recent: Vec<Alert>,
    /// What is so at the moment: since when in milliseconds since 1970, and
    /// what.
    pub open: Vec<(u64, String)>,
}

/// Where alerts go through.
#[derive(Debug)]
pub struct Desk {
    file: PathBuf,
    pub(super) settings: ArcSwap<Settings>,
    observe: Arc<Observe>,
    /// Never held while anything waits for a disk: pages of the dashboard ask.
    kept: Mutex<Kept>,
    /// What the file holds, as a hash; nothing where that is not known. Whoever
    /// changes what is kept holds this until it is written.
    written: Mutex<Option<[u8; 32]>>,
    pub(super) news: Notify,
    /// That there are other settings.
    pub(super) configured: Notify,
}

impl Desk {
    /// Goes on where the process before stopped.
    #[must_use]
    pub fn open(ledger: &Path, settings: Settings, observe: Arc<Observe>) -> Self {
        let mut name = ledger.as_os_str().to_owned();
        name.push(".alerts");
        let file = PathBuf::from(name);
        let kept = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(file = %file.display(), %error, "what was told before cannot be read; everything on the sites counts as known now");
                Kept::default()
            }),
            Err(_) => Kept::default(),
        };
        let (kept, settings) = (Mutex::new(kept), ArcSwap::from_pointee(settings));
        let written = Mutex::new(None);
        Self {
            file,
            settings,
            observe,
            kept,
            written,
            news: Notify::new(),
            configured: Notify::new(),
        }
    }

    /// Goes by other settings from now on.
    pub fn configure(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
        self.configured.notify_one();
        self.news.notify_one();
    }

    /// What was told.
    #[must_use]
    pub fn told(&self) -> Told {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Told {
            waiting: kept.waiting.len(),
            dropped: kept.dropped,
            recent: kept.recent.iter().rev().cloned().collect(),
            open: kept.open.values().map(|open| (open.since_ms, open.summary.clone())).collect(),
        }
    }

    /// Looks at what is kept, for a moment.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at what is kept, changes it, and writes down what is different.
    /// What has to be read for that is read before.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Turn<'_>) -> T) -> T {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = self.settings.load_full();
        let mut turn =
            Turn { kept: &mut kept, settings: &settings, observe: &self.observe, told: false };
        let result = change(&mut turn);
        let told = turn.told;
        if settings.webhook.is_none() {
            // There is nobody any more to wait for.
            kept.waiting.clear();
            kept.dropped = 0;
        }
        self.observe.emit(&AlertsWaiting { count: kept.waiting.len() });
        let text = serde_json::to_vec(&*kept);
        drop(kept);
        if let Err(error) =
            text.map_err(io::Error::other).and_then(|text| self.write(&text, &mut written))
        {
            tracing::warn!(file = %self.file.display(), %error, "what was told cannot be kept: after a restart it is told again");
        }
        drop(written);
        if told {
            self.news.notify_one();
        }
        result
    }

    fn write(&self, text: &[u8], written: &mut Option<[u8; 32]>) -> io::Result<()> {
        let hash: [u8; 32] = Sha256::digest(text).into();
        if *written == Some(hash) {
            return Ok(());
        }
        *written = None;
        write_whole(&self.file, text)?;
        *written = Some(hash);
        Ok(())
    }

    /// The oldest alerts that wait.
    pub(super) fn waiting(&self, most: usize) -> Vec<Alert> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.waiting.iter().take(most).cloned().collect()
    }

    /// Somebody has taken them, and can be told now what they will never get.
    pub(super) fn taken(&self, alerts: &[Alert], now_ms: u64) {
        self.with(|turn| {
            turn.kept.waiting.retain(|waiting| alerts.iter().all(|taken| taken.id != waiting.id));
            let dropped = std::mem::take(&mut turn.kept.dropped);
            if dropped > 0 {
                let kind = Kind::AlertsDropped;
                let id = number_of(&[kind.name(), &now_ms.to_string(), &dropped.to_string()]);
                let summary = format!(
                    "{dropped} alerts were dropped while nobody took them; see the pages Alerts and New of the dashboard"
                );
                turn.tell(Alert::new(id, kind, Phase::Happened, now_ms, summary));
            }
        });
    }
}

/// What is kept, in the hands of one who may change it.
pub(super) struct Turn<'k> {
    pub(super) kept: &'k mut Kept,
    pub(super) settings: &'k Settings,
    observe: &'k Observe,
    told: bool,
}

impl Turn<'_> {
    /// Whether it was told before.
    pub(super) fn was_told(&self, alert: &Alert) -> bool {
        self.kept.numbers.contains(&alert.id)
    }

    /// Tells it, unless it was told before.
    pub(super) fn tell(&mut self, alert: Alert) {
        if self.was_told(&alert) {
            return;
        }
        push(&mut self.kept.numbers, alert.id.clone(), MOST_NUMBERS);
        self.observe.emit(&AlertTold {
            kind: alert.kind.name(),
            site: alert.site.as_deref().unwrap_or_default(),
            summary: &alert.summary,
            is_over: alert.phase == Phase::Over,
            logged: self.settings.log,
        });
        push(&mut self.kept.recent, alert.clone(), MOST_RECENT);
        if self.settings.webhook.is_some() {
            self.kept.waiting.push_back(alert);
        }
        while self.kept.waiting.len() > MOST_WAITING {
            let least = self.kept.waiting.iter().enumerate().min_by_key(|(_, alert)| weight(alert));
            let Some((place, _)) = least else { break };
            self.kept.waiting.remove(place);
            self.kept.dropped += 1;
            self.observe.emit(&AlertDropped { is_first: self.kept.dropped == 1 });
        }
        self.told = true;
    }

    /// Tells what is so and was not, and what is not so any more.
    pub(super) fn compare(&mut self, conditions: &[Condition], now_ms: u64) {
        let repeat = u64::try_from(self.settings.repeat.as_millis()).unwrap_or(u64::MAX);
        for condition in conditions {
            let Condition { key, kind, site, summary, details } = condition;
            let told = self.kept.begun.get(key).copied();
            let too_soon = told.is_some_and(|told| now_ms < told.saturating_add(repeat));
            if self.kept.open.contains_key(key) || too_soon {
                continue;
            }
            let id = number_of(&[kind.name(), "begun", key, &now_ms.to_string()]);
            let mut alert = Alert::new(id, *kind, Phase::Begun, now_ms, summary.clone());
            alert.site.clone_from(site);
            alert.details.clone_from(details);
            self.tell(alert);
            let (site, summary) = (site.clone(), summary.clone());
            self.kept.begun.insert(key.clone(), now_ms);
            let open = Open { since_ms: now_ms, kind: *kind, site, summary };
            self.kept.open.insert(key.clone(), open);
        }
        let over: Vec<String> = self
            .kept
            .open
            .keys()
            .filter(|key| conditions.iter().all(|condition| condition.key != **key))
            .cloned()
            .collect();
        for key in over {
            let Some(open) = self.kept.open.remove(&key) else { continue };
            let id = number_of(&[open.kind.name(), "over", &key, &open.since_ms.to_string()]);
            let summary = format!("over: {}", open.summary);
            let mut alert = Alert::new(id, open.kind, Phase::Over, now_ms, summary);
            alert.site = open.site;
            self.tell(alert);
        }
        self.kept.begun.retain(|_, told| now_ms < told.saturating_add(repeat));
    }
}

/// How bad it would be if nobody heard of it. What is new on pages can be
/// looked up, and anybody can have more of it; what is wrong stays wrong.
const fn weight(alert: &Alert) -> u8 {
    match (alert.phase, alert.kind) {
        (Phase::Begun, _) => 2,
        (_, Kind::NewVendor | Kind::NewHost | Kind::NewCookie | Kind::FirstLook) => 0,
        _ => 1,
    }
}

fn push<T>(queue: &mut VecDeque<T>, value: T, most: usize) {
    while queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(value);
}

fn write_whole(file: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    let mut writing = fs::File::create(&fresh)?;
    writing.write_all(text)?;
    writing.sync_data()?;
    fs::rename(&fresh, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    use tempfile::TempDir;

    fn desk(directory: &TempDir) -> Desk {
        let url = "http://127.0.0.1:1/".parse().unwrap();
        let webhook = Some(crate::watch::alerts::Webhook { url, secret: None, ca_file: None });
        let settings = Settings { webhook, ..Settings::default() };
        Desk::open(&directory.path().join("ledger.db"), settings, Arc::default())
    }

    fn red(key: &str) -> Condition {
        Condition {
            key: key.to_owned(),
            kind: Kind::SelfCheckRed,
            site: None,
            summary: format!("{key} is red"),
            details: Vec::new(),
        }
    }

    fn told(desk: &Desk) -> Vec<String> {
        desk.waiting(1000).into_iter().map(|alert| alert.summary).collect()
    }

    #[test]
    fn g3_a_condition_is_told_when_it_begins_and_when_it_is_over_also_after_a_restart() {
        let directory = TempDir::new().unwrap();
        let first = desk(&directory);
        first.with(|turn| turn.compare(&[red("a")], 1000));
        first.with(|turn| turn.compare(&[red("a"), red("b")], 2000));
        assert_eq!(told(&first), ["a is red", "b is red"]);
        first.taken(&first.waiting(1), 2500);
        let again = desk(&directory);
        assert_eq!(told(&again), ["b is red"], "nobody has taken it yet");
        again.with(|turn| turn.compare(&[red("b")], 3000));
        again.with(|turn| turn.compare(&[red("b")], 4000));
        assert_eq!(told(&again), ["b is red", "over: a is red"]);
    }

    #[test]
    fn g3_what_comes_and_goes_is_told_once_an_hour() {
        let directory = TempDir::new().unwrap();
        let desk = desk(&directory);
        for minute in 0..59 {
            let now = if minute % 2 == 0 { vec![red("a")] } else { Vec::new() };
            desk.with(|turn| turn.compare(&now, minute * 60_000));
        }
        assert_eq!(told(&desk), ["a is red", "over: a is red"]);
        desk.with(|turn| turn.compare(&[red("a")], 3_700_000));
        assert_eq!(told(&desk).len(), 3);
    }

    #[test]
    fn g3_a_flood_drives_out_nothing_that_is_wrong_and_what_it_drives_out_is_told() {
        let directory = TempDir::new().unwrap();
        let first = desk(&directory);
        first.with(|turn| {
            turn.compare(&[red("self-check"), red("ledger")], 1);
            turn.compare(&[red("self-check")], 2);
            for n in 0..3000 {
                let id = n.to_string();
                turn.tell(Alert::new(id, Kind::NewHost, Phase::Happened, n, n.to_string()));
            }
        });
        let again = desk(&directory);
        let waiting = told(&again);
        assert_eq!(waiting[..3], ["self-check is red", "ledger is red", "over: ledger is red"]);
        assert_eq!((waiting.len(), again.told().dropped), (MOST_WAITING, 2003));
        again.taken(&again.waiting(100), 9);
        assert_eq!(again.told().dropped, 0);
        assert_eq!(
            told(&again).last().unwrap(),
            "2003 alerts were dropped while nobody took them; see the pages Alerts and New of the dashboard"
        );
        again.taken(&again.waiting(100), 10);
        assert_eq!(told(&again).len(), 801, "it is told once");
        let counted = first.observe.exposition();
        assert!(counted.contains("consentry_alerts_dropped_total 2003\n"), "{counted}");
    }

    #[test]
    fn g3_nothing_waits_for_a_receiver_that_is_taken_out() {
        let directory = TempDir::new().unwrap();
        let desk = desk(&directory);
        desk.with(|turn| turn.compare(&[red("a")], 1));
        assert_eq!(desk.told().waiting, 1);
        desk.configure(Settings::default());
        desk.with(|turn| turn.compare(&[red("a")], 2));
        assert_eq!((desk.told().waiting, desk.told().recent.len()), (0, 1));
        assert!(desk.observe.exposition().contains("consentry_alerts_waiting 0\n"));
    }

    #[test]
    fn g3_a_round_that_finds_nothing_writes_nothing() {
        let directory = TempDir::new().unwrap();
        let (desk, file) = (desk(&directory), directory.path().join("ledger.db.alerts"));
        desk.with(|turn| turn.compare(&[red("a")], 1));
        fs::remove_file(&file).unwrap();
        desk.with(|turn| turn.compare(&[red("a")], 2));
        assert!(!file.exists(), "the same again");
        desk.with(|turn| turn.compare(&[], 3));
        assert!(file.exists(), "something else");
    }

    #[test]
    fn g3_pages_do_not_wait_for_the_disk() {
        let directory = TempDir::new().unwrap();
        let desk = desk(&directory);
        let writing = desk.written.lock().unwrap();
        std::thread::scope(|scope| {
            let change = scope.spawn(|| desk.with(|turn| turn.compare(&[red("a")], 1)));
            // Whoever changes waits for the one who writes, and keeps nobody
            // from looking meanwhile.
            assert!(desk.told().open.is_empty());
            assert_eq!(told(&desk), [""; 0]);
            drop(writing);
            change.join().unwrap();
        });
        assert_eq!(told(&desk), ["a is red"]);
    }

    #[test]
    fn g3_what_waits_is_bounded_and_a_broken_file_stops_nobody() {
        let directory = TempDir::new().unwrap();
        let first = desk(&directory);
        first.with(|turn| {
            for n in 0..2000 {
                let id = n.to_string();
                turn.tell(Alert::new(id, Kind::NewHost, Phase::Happened, n, n.to_string()));
            }
        });
        assert_eq!((told(&first).len(), told(&first)[0].as_str()), (MOST_WAITING, "1000"));
        assert_eq!(first.told().recent.len(), MOST_RECENT);
        fs::write(directory.path().join("ledger.db.alerts"), "{").unwrap();
        assert_eq!(told(&desk(&directory)), [""; 0]);
    }
}
