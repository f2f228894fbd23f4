//! Asks for newer lists in the background, and puts them to use.
//!
//! It has a thread of its own: asking, checking and compiling take seconds,
//! and no visitor waits for any of it. A new copy is swapped in whole; one
//! that looks wrong never replaces a working one.

use crate::catalogue::Lists;
use crate::config::lists::download::{Answer, Downloader, Fresh, hex, sha256};
use crate::config::lists::{FilterLists, ListSource, Location, Record};
use crate::observe::{ListNotRefreshed, ListRefreshed, ListUsed, Observe};
use crate::site::Sites;

use arc_swap::ArcSwap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use url::Url;

/// How soon a list that did not come is asked for again; twice as long after
/// every further failure.
const RETRY: Duration = Duration::from_secs(300);

/// Keeps the lists of a running proxy fresh; stops when dropped.
#[derive(Debug)]
pub struct Refresher {
    asks: mpsc::UnboundedSender<Ask>,
    /// Whether what comes is still wanted.
    wanted: Arc<Mutex<bool>>,
}

impl Refresher {
    /// Begins. What was never seen is asked for at once, and so is what is
    /// due.
    #[must_use]
    pub fn start(lists: FilterLists, sites: Arc<ArcSwap<Sites>>, observe: Arc<Observe>) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let wanted = Arc::new(Mutex::new(true));
        let work = Work { lists, sites, observe, wanted: Arc::clone(&wanted) };
        work.tell_used();
        if work.lists.sources.iter().any(|source| matches!(source.location, Location::Web(_))) {
            let started =
                std::thread::Builder::new().name("lists".to_owned()).spawn(move || work.run(asked));
            if let Err(error) = started {
                tracing::error!(%error, "the lists' thread cannot start: they stay as they are");
            }
        }
        Self { asks, wanted }
    }

    /// Asks for all lists now.
    pub fn refresh_soon(&self) {
        let _ = self.asks.send(Ask { all: true, done: oneshot::channel().0 });
    }

    /// Asks for all lists now, and returns when that is done.
    pub async fn refresh(&self) {
        self.ask(true).await;
    }

    /// Returns when everything that is due was asked for.
    pub async fn settled(&self) {
        self.ask(false).await;
    }

    /// Where no list has an address there is nothing to wait for.
    async fn ask(&self, all: bool) {
        let (done, wait) = oneshot::channel();
        if self.asks.send(Ask { all, done }).is_ok() {
            let _ = wait.await;
        }
    }
}

/// Somebody wants lists to be asked for, and to know when that is done.
#[derive(Debug)]
struct Ask {
    /// Also for those that are not due.
    all: bool,
    done: oneshot::Sender<()>,
}

impl Drop for Refresher {
    fn drop(&mut self) {
        // Whoever is about to swap lists in has done so, or will not.
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

struct Work {
    lists: FilterLists,
    sites: Arc<ArcSwap<Sites>>,
    observe: Arc<Observe>,
    wanted: Arc<Mutex<bool>>,
}

/// What became of an attempt.
enum Outcome {
    Unchanged,
    Taken(String),
}

impl Work {
    fn run(mut self, mut asked: mpsc::UnboundedReceiver<Ask>) {
        let ready = Downloader::new(self.lists.ca_file.as_deref()).and_then(|downloader| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| (downloader, runtime)).map_err(|error| error.to_string())
        });
        let (downloader, runtime) = match ready {
            Ok(ready) => ready,
            Err(why) => {
                return tracing::error!(why, "lists cannot be asked for: they stay as they are");
            }
        };
        runtime.block_on(async {
            loop {
                let wait = tokio::time::sleep(self.until_next());
                let ask = tokio::select! {
                    ask = asked.recv() => match ask {
                        Some(ask) => Some(ask),
                        None => break,
                    },
                    () = wait => None,
                };
                let all = ask.as_ref().is_some_and(|ask| ask.all);
                if asked_to_stop(&asked, self.round(&downloader, all)).await {
                    break;
                }
                if let Some(Ask { done, .. }) = ask {
                    let _ = done.send(());
                }
            }
        });
    }

    /// How long until a list is due. What was never seen is due at once.
    fn until_next(&self) -> Duration {
        let now = now_s();
        let due = self.web().map(|(_, source, url, has)| {
            let (record, _) = self.record(url);
            if !has && record.tried_s == 0 { 0 } else { due_s(&record, source) }
        });
        Duration::from_secs(due.min().unwrap_or(u64::MAX).saturating_sub(now).min(86_400))
    }

    fn web(&self) -> impl Iterator<Item = (usize, &ListSource, &Url, bool)> {
        self.lists.sources.iter().zip(&self.lists.texts).enumerate().filter_map(
            |(index, (source, text))| match &source.location {
                Location::Web(url) => Some((index, source, url, text.is_some())),
                Location::File(_) => None,
            },
        )
    }

    fn record(&self, url: &Url) -> (Record, Option<String>) {
        self.lists.cache.read(url)
    }

    /// Asks for what is due, or for all.
    async fn round(&mut self, downloader: &Downloader, all: bool) {
        let now = now_s();
        let due: Vec<_> = self
            .web()
            .filter(|(_, source, url, has)| {
                let (record, _) = self.record(url);
                all || due_s(&record, source) <= now || (!has && record.tried_s == 0)
            })
            .map(|(index, source, url, has)| (index, source.clone(), url.clone(), has))
            .collect();
        let before = self.lists.texts.clone();
        for (index, source, url, has) in due {
            let (mut record, _) = self.record(&url);
            let outcome = self.ask(downloader, &source, &url, has, &mut record).await;
            let list = source.name.as_str();
            let rules = record.rules;
            match outcome {
                Ok(Outcome::Unchanged) => {
                    self.observe.emit(&ListRefreshed { list, rules, changed: false });
                }
                Ok(Outcome::Taken(text)) => {
                    self.observe.emit(&ListRefreshed { list, rules, changed: true });
                    if let Some(slot) = self.lists.texts.get_mut(index) {
                        *slot = Some(text);
                    }
                }
                Err(why) => {
                    self.observe.emit(&ListNotRefreshed { list, why: &why, missing: !has });
                }
            }
        }
        if self.lists.texts != before {
            self.put_to_use();
        }
        self.tell_used();
    }

    /// Asks for one list, and keeps what comes and what became of it.
    async fn ask(
        &self,
        downloader: &Downloader,
        source: &ListSource,
        url: &Url,
        has: bool,
        record: &mut Record,
    ) -> Result<Outcome, String> {
        let known = if has { record.clone() } else { Record::default() };
        let answer = downloader.ask(url, &known).await.map_err(|error| error.to_string());
        let now = now_s();
        record.tried_s = now;
        let outcome = match answer {
            Ok(Answer::Unchanged) if has => Ok(Outcome::Unchanged),
            Ok(Answer::Unchanged) => Err("the server says that nothing changed since never".into()),
            Ok(Answer::Fresh(fresh)) => judge(source, &known, has, &fresh).map(|rules| {
                record.rules = rules;
                record.sha256 = hex(&sha256(fresh.text.as_bytes()));
                record.served_sha256 = fresh.served_sha256;
                record.etag = fresh.etag;
                record.last_modified = fresh.last_modified;
                record.taken_s = now;
                Outcome::Taken(fresh.text)
            }),
            Err(why) => Err(why),
        };
        record.location = url.to_string();
        match &outcome {
            Ok(_) => {
                record.checked_s = now;
                record.failures = 0;
                record.error = None;
                record.next_s = now.saturating_add(jittered(source.refresh));
            }
            Err(why) => {
                record.failures = record.failures.saturating_add(1);
                record.error = Some(why.clone());
                let again = RETRY.saturating_mul(1 << record.failures.min(12).saturating_sub(1));
                record.next_s = now.saturating_add(jittered(again.min(source.refresh)));
            }
        }
        let kept = match &outcome {
            Ok(Outcome::Taken(text)) => self.lists.cache.keep(url, record, text),
            Ok(Outcome::Unchanged) | Err(_) => self.lists.cache.note(url, record),
        };
        if let Err(error) = kept {
            tracing::warn!(list = source.name, %error, "a list cannot be kept: the next start will not have it");
        }
        outcome
    }

    /// Compiles what we have, and swaps it in whole.
    fn put_to_use(&self) {
        let Some(lists) = self.lists.compile() else { return };
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if !*wanted {
            return;
        }
        self.sites.rcu(|sites| sites.with_lists(&lists));
        drop(wanted);
    }

    fn tell_used(&self) {
        for (source, has) in
            self.lists.sources.iter().zip(self.lists.texts.iter().map(Option::is_some))
        {
            let checked_s = match &source.location {
                Location::Web(url) => self.record(url).0.checked_s,
                Location::File(_) => 0,
            };
            self.observe.emit(&ListUsed { list: &source.name, has, checked_s });
        }
    }
}

/// Waits for the end of a round, or for nobody to want it any more.
async fn asked_to_stop(
    asked: &mpsc::UnboundedReceiver<Ask>,
    round: impl Future<Output = ()>,
) -> bool {
    let mut round = std::pin::pin!(round);
    loop {
        tokio::select! {
            () = round.as_mut() => return false,
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                if asked.is_closed() && asked.is_empty() {
                    return true;
                }
            }
        }
    }
}

/// Whether a new copy may replace the old one; how many rules it has.
fn judge(source: &ListSource, known: &Record, has: bool, fresh: &Fresh) -> Result<usize, String> {
    let unpacked = hex(&sha256(fresh.text.as_bytes()));
    if !source.takes(&fresh.served_sha256, &unpacked) {
        return Err(format!(
            "it has another checksum than `sha256` asks for: {}",
            fresh.served_sha256
        ));
    }
    let list = source.list(&fresh.text);
    // A text that the engine falls over must not take this thread with it.
    let rules = catch_unwind(AssertUnwindSafe(|| {
        let compiled = Lists::compile(std::slice::from_ref(&list), 1);
        compiled.reports().next().map_or(0, |(_, report)| report.rules)
    }))
    .map_err(|_| "it cannot be compiled".to_owned())?;
    match rules {
        0 => Err("it holds no rule".to_owned()),
        rules if has && rules < known.rules.div_ceil(2) => {
            Err(format!("it holds {rules} rules, fewer than half of the {} before", known.rules))
        }
        rules => Ok(rules),
    }
}

/// When a list is due: what the record says, but never later than the
/// configuration asks for now.
fn due_s(record: &Record, source: &ListSource) -> u64 {
    let refresh = source.refresh.as_secs();
    record.next_s.min(record.tried_s.saturating_add(refresh.saturating_add(refresh / 10)))
}

/// A time between nine and eleven tenths of it, lest every proxy in the world
/// ask at the same moment.
fn jittered(time: Duration) -> u64 {
    let mut random = [0; 2];
    let _ = getrandom::fill(&mut random);
    let share = u64::from(u16::from_be_bytes(random));
    let tenth = time.as_secs() / 10;
    (time.as_secs() - tenth).saturating_add(share.saturating_mul(2 * tenth) / u64::from(u16::MAX))
}

pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purpose::Purpose;

    fn source(sha256: Option<&str>) -> ListSource {
        ListSource {
            name: "a.txt".into(),
            location: Location::Web(Url::parse("https://lists.example/a.txt").unwrap()),
            purpose: Purpose::Marketing,
            refresh: Duration::from_secs(3600),
            sha256: sha256.map(str::to_owned),
            is_named: false,
        }
    }

    #[test]
    fn a_new_copy_that_looks_wrong_is_refused() {
        let rules =
            |count: usize| (0..count).map(|n| format!("||a{n}.example^\n")).collect::<String>();
        for (text, before, pinned, expected) in [
            (rules(10), None, None, Ok(10)),
            (rules(10), Some(20), None, Ok(10)),
            (rules(9), Some(20), None, Err("fewer than half")),
            (rules(2), Some(5), None, Err("fewer than half")),
            (rules(2), None, None, Ok(2)),
            ("! nothing\n".into(), None, None, Err("no rule")),
            ("##.banner\n".into(), Some(1), None, Err("no rule")),
            (rules(1), None, Some("00"), Err("another checksum")),
        ] {
            let known = Record { rules: before.unwrap_or(0), ..Record::default() };
            let fresh =
                Fresh { served_sha256: String::new(), text, etag: None, last_modified: None };
            let judged = judge(&source(pinned), &known, before.is_some(), &fresh);
            match (judged, expected) {
                (Ok(rules), Ok(wanted)) => assert_eq!(rules, wanted),
                (Err(why), Err(wanted)) => assert!(why.contains(wanted), "{why}"),
                (judged, _) => panic!("{judged:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn lists_are_asked_for_at_times_that_differ() {
        let day = Duration::from_secs(86_400);
        let times: Vec<u64> = (0..50).map(|_| jittered(day)).collect();
        assert!(times.iter().all(|time| (77_760..=95_040).contains(time)), "{times:?}");
        assert!(times.iter().any(|time| *time != times[0]));
    }

    #[test]
    fn a_shorter_interval_counts_at_once() {
        let record = Record { tried_s: 1000, next_s: 1_000_000, ..Record::default() };
        assert_eq!(due_s(&record, &source(None)), 1000 + 3600 + 360);
    }
}
