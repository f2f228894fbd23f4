//! Goes round: what is new, what has stopped, what is broken.

use crate::ledger::Ledger;
use crate::ledger::figures::Figures;
use crate::ledger::figures::newcomers::Seen;
use crate::ledger::figures::pulse::Hour;
use crate::ledger::read::{Gap, Reader};
use crate::observe::Observe;
use crate::site::{Sites, day_of};
use crate::watch::alerts::desk::{Condition, Desk, Learning, Open, Turn};
use crate::watch::alerts::drift::{BASELINE_HOURS, Baseline, Drift, drift};
use crate::watch::alerts::{Alert, Kind, Phase, newcomers, number_of, webhook};
use crate::watch::{SelfCheck, now_ms};

use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const HOUR_MS: u64 = 60 * 60 * 1000;

/// How many things are read in one round; more come in the next.
const AT_ONCE: u32 = 5000;

/// So many choices that are not taken are no chance.
const NOT_TAKEN: u64 = 20;

/// How many findings one alert names.
const NAMED: usize = 20;

/// Everything that is looked at.
pub struct Rounds {
    /// Where alerts go through.
    pub desk: Arc<Desk>,
    /// The record.
    pub ledger: Arc<Ledger>,
    /// The sites that are served now.
    pub sites: Arc<ArcSwap<Sites>>,
    /// The counters.
    pub observe: Arc<Observe>,
    /// What is seen from outside.
    pub self_check: Arc<SelfCheck>,
    /// What was found between two looks at the hours.
    memory: Mutex<Memory>,
}

/// How many choices were taken and how many not, by site.
type Answers = BTreeMap<String, (u64, u64)>;

#[derive(Default)]
struct Memory {
    /// The hour in which the hours were looked at last, and what was found.
    hour: Option<u64>,
    drifted: Vec<Condition>,
    /// Choices that were taken and not, by site, an hour ago and since.
    answers: Vec<(u64, Answers)>,
}

impl std::fmt::Debug for Rounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rounds").finish_non_exhaustive()
    }
}

/// What goes on in the background; it ends when dropped.
#[derive(Debug)]
pub struct Task([tokio::task::JoinHandle<()>; 2]);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Rounds {
    /// Prepares it.
    #[must_use]
    pub fn new(
        desk: Arc<Desk>,
        ledger: Arc<Ledger>,
        sites: Arc<ArcSwap<Sites>>,
        observe: Arc<Observe>,
        self_check: Arc<SelfCheck>,
    ) -> Self {
        Self { desk, ledger, sites, observe, self_check, memory: Mutex::default() }
    }

    /// Goes round at the interval, and delivers what is found.
    #[must_use]
    pub fn start(self) -> Task {
        let desk = Arc::clone(&self.desk);
        let rounds = Arc::new(self);
        let going = tokio::spawn(async move {
            loop {
                let (round, now_ms) = (Arc::clone(&rounds), now_ms());
                let done = tokio::task::spawn_blocking(move || round.go(now_ms)).await;
                if let Err(error) = done {
                    tracing::error!(%error, "a round of the alerts did not end in order");
                }
                let batch = rounds.desk.settings.load().batch;
                tokio::time::sleep(batch).await;
            }
        });
        Task([going, tokio::spawn(webhook::deliver(desk))])
    }

    /// Goes round once, at that time in milliseconds since 1970.
    pub fn go(&self, now_ms: u64) {
        let figures = Figures::open(self.ledger.path()).ok();
        let reader = Reader::open(self.ledger.path()).ok();
        let mut conditions = Vec::new();
        conditions.extend(self.self_check_red());
        conditions.extend(self.ledger_trouble());
        conditions.extend(self.lists(now_ms));
        conditions.extend(self.choices_not_taken(now_ms));
        // The ledger is asked with nothing locked; who looks at the desk
        // meanwhile does not wait for it.
        let (seen, gaps, open) = self.desk.look(|kept| (kept.seen, kept.gaps, kept.open.clone()));
        let newcomers = figures.as_ref().map(|figures| newcomers_after(figures, seen));
        let gaps = reader.as_ref().and_then(|reader| gaps_after(reader, gaps));
        if let Some(figures) = &figures {
            conditions.extend(self.drift(figures, &open, now_ms));
        }
        self.desk.with(|turn| {
            self.begin(turn, now_ms);
            if let Some(newcomers) = newcomers {
                newcomers_of(newcomers, turn, now_ms);
            }
            if let Some(gaps) = gaps {
                gaps_of(gaps, turn, now_ms);
            }
            self.expired(turn, now_ms);
            turn.compare(&conditions, now_ms);
        });
    }

    /// Sites that are watched for the first time.
    fn begin(&self, turn: &mut Turn<'_>, now_ms: u64) {
        let learning = u64::try_from(turn.settings.learning.as_millis()).unwrap_or(u64::MAX);
        let until_ms = now_ms.saturating_add(learning);
        for site in self.sites.load().iter() {
            turn.kept
                .sites
                .entry(site.name.to_string())
                .or_insert_with(|| Learning { until_ms, ..Learning::default() });
        }
    }

    fn self_check_red(&self) -> Vec<Condition> {
        let status = self.self_check.status();
        let red = status.sites.iter().filter(|site| site.states.iter().any(|state| !state.ok));
        red.map(|site| {
            let red = || site.states.iter().filter(|state| !state.ok);
            let states = red().map(|state| state.state.name()).collect::<Vec<_>>().join(", ");
            let details = red()
                .flat_map(|state| {
                    let name = state.state.name();
                    state.findings.iter().map(move |finding| format!("{name}: {finding}"))
                })
                .take(NAMED)
                .collect();
            Condition {
                key: format!("self_check {}", site.site),
                kind: Kind::SelfCheckRed,
                site: Some(site.site.clone()),
                summary: format!(
                    "{}: the protection of visitors does not hold ({states})",
                    site.site
                ),
                details,
            }
        })
        .collect()
    }

    fn ledger_trouble(&self) -> Option<Condition> {
        let status = self.ledger.status();
        let error = status.last_error?;
        Some(Condition {
            key: "ledger".to_owned(),
            kind: Kind::LedgerTrouble,
            site: None,
            summary: format!("the ledger cannot be written: {error}"),
            details: vec![
                format!("{} bytes wait in the spool", status.queued_bytes),
                format!("{} entries are lost so far", status.lost_entries),
            ],
        })
    }

    fn lists(&self, now_ms: u64) -> Vec<Condition> {
        let age = self.desk.settings.load().list_age;
        let lists = self.observe.metrics().lists();
        let conditions = lists.into_iter().filter_map(|(list, state)| {
            let is_old = state.checked_s > 0
                && Duration::from_secs((now_ms / 1000).saturating_sub(state.checked_s)) > age;
            let (kind, summary) = if !state.has {
                (
                    Kind::ListMissing,
                    format!(
                        "there is no copy of the filter list {list}: what only it knows passes"
                    ),
                )
            } else if is_old {
                let days = (now_ms / 1000).saturating_sub(state.checked_s) / 86_400;
                (
                    Kind::ListStale,
                    format!("the filter list {list} could not be refreshed for {days} days"),
                )
            } else {
                return None;
            };
            let key = format!("{} {list}", kind.name());
            Some(Condition { key, kind, site: None, summary, details: Vec::new() })
        });
        conditions.collect()
    }

    /// Sites on which choices are sent and mostly not taken, within the hour.
    fn choices_not_taken(&self, now_ms: u64) -> Vec<Condition> {
        let now = self.observe.metrics().choice_answers();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.answers.is_empty() {
            memory.answers.push((now_ms, Answers::new()));
        }
        let oldest = now_ms.saturating_sub(HOUR_MS);
        // One from before the hour stays, to count from.
        while memory.answers.get(1).is_some_and(|(time, _)| *time <= oldest) {
            memory.answers.remove(0);
        }
        let before = memory.answers.first().map(|(_, before)| before.clone()).unwrap_or_default();
        memory.answers.push((now_ms, now.clone()));
        drop(memory);
        let conditions = now.into_iter().filter_map(|(site, (taken, refused))| {
            let (taken_before, refused_before) = before.get(&site).copied().unwrap_or_default();
            let taken = taken.saturating_sub(taken_before);
            let refused = refused.saturating_sub(refused_before);
            (refused >= NOT_TAKEN && refused > taken).then(|| Condition {
                key: format!("choices_not_taken {site}"),
                kind: Kind::ChoicesNotTaken,
                summary: format!(
                    "{site}: {refused} choices of visitors were not taken within the hour, and {taken} were"
                ),
                site: Some(site),
                details: Vec::new(),
            })
        });
        conditions.collect()
    }

    fn drift(
        &self,
        figures: &Figures,
        open: &BTreeMap<String, Open>,
        now_ms: u64,
    ) -> Vec<Condition> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = now_ms / HOUR_MS;
        if memory.hour == Some(hour) {
            return memory.drifted.clone();
        }
        let hours = BASELINE_HOURS.cast_unsigned() + 168;
        let from_ms = hour.saturating_sub(hours).saturating_mul(HOUR_MS);
        let Ok(pulse) = figures.pulse(from_ms.cast_signed(), (hour * HOUR_MS).cast_signed()) else {
            return memory.drifted.clone();
        };
        let sites = self.sites.load();
        let served =
            pulse.iter().filter(|(name, _)| sites.iter().any(|site| *site.name == ***name));
        memory.drifted =
            served.flat_map(|(site, hours)| drifted(site, hours, open, hour)).collect();
        memory.hour = Some(hour);
        memory.drifted.clone()
    }

    fn expired(&self, turn: &mut Turn<'_>, now_ms: u64) {
        let today = day_of(now_ms / 1000);
        for exception in self.sites.load().iter().flat_map(|site| site.policy.exceptions()) {
            if exception.holds_on(today) {
                continue;
            }
            let (name, place) = (exception.to_string(), exception.place.to_string());
            let summary = format!(
                "the {name} ({place}) has expired: what it was about is decided by the policy again"
            );
            let id = number_of(&[Kind::ExceptionExpired.name(), &place, &name]);
            let mut alert =
                Alert::new(id, Kind::ExceptionExpired, Phase::Happened, now_ms, summary);
            alert.details.push(format!("its reason: {}", exception.reason));
            turn.tell(alert);
        }
        for site in self.sites.load().iter() {
            for owned in site.ownerships.iter().filter(|owned| owned.is_overdue_on(today)) {
                let (vendor, review) = (&owned.vendor, owned.review.to_string());
                let summary = format!(
                    "{} answers for {vendor}, and was to look at it again by {review} ({})",
                    owned.owner, owned.place
                );
                let kind = Kind::OwnershipDue;
                // Said for all sites, it is one thing to look at.
                let id = number_of(&[kind.name(), &owned.site, vendor, &review]);
                let mut alert = Alert::new(id, kind, Phase::Happened, now_ms, summary);
                alert.site = (!owned.site.is_empty()).then(|| owned.site.clone());
                alert.details.push(format!("its reason: {}", owned.reason));
                turn.tell(alert);
            }
        }
    }
}

/// What stopped on a site, and what had stopped and has not begun again.
fn drifted(site: &str, hours: &[Hour], open: &BTreeMap<String, Open>, hour: u64) -> Vec<Condition> {
    let found = drift(hours, hour.cast_signed());
    let conditions = Baseline::ALL.into_iter().filter_map(|of| {
        let (kind, name) = match of {
            Baseline::Choices => (Kind::NoChoices, "choices"),
            Baseline::Refusals => (Kind::NoRefusals, "refusals"),
            Baseline::Gpc => (Kind::NoGpc, "page views with Global Privacy Control"),
        };
        let key = format!("{} {site}", kind.name());
        let site = Some(site.to_owned());
        if let Some(drift) = found.iter().find(|drift| drift.of == of) {
            let (summary, details) = words(site.as_deref().unwrap_or_default(), name, drift);
            return Some(Condition { key, kind, site, summary, details });
        }
        let open = open.get(&key)?;
        let since = (open.since_ms / HOUR_MS).cast_signed();
        let begun_again = hours.iter().any(|hour| {
            hour.hour >= since
                && match of {
                    Baseline::Choices => hour.choices > 0,
                    Baseline::Refusals => hour.refusals > 0,
                    Baseline::Gpc => hour.gpc > 0,
                }
        });
        let summary = open.summary.clone();
        (!begun_again).then_some(Condition { key, kind, site, summary, details: Vec::new() })
    });
    conditions.collect()
}

fn words(site: &str, name: &str, drift: &Drift) -> (String, Vec<String>) {
    let Drift { of, hours, whole, expected, share } = drift;
    let out_of = match of {
        Baseline::Choices => "page views of undecided visitors",
        Baseline::Refusals => "choices",
        Baseline::Gpc => "page views",
    };
    let summary = format!(
        "{site}: no {name} for {hours} hours, where about {expected:.0} were to be expected"
    );
    let mut details = vec![format!("0 of {whole} {out_of}")];
    match share {
        Some(share) => details.push(format!("before: {:.1} of 100", share * 100.0)),
        None => details.push("compared with what is usual: this site has no history".to_owned()),
    }
    details.push(match of {
        Baseline::Choices => "open the site in a private window: is the notice there, in front, and do its buttons work?".to_owned(),
        Baseline::Refusals => "open the site in a private window: can the notice be refused, in every language?".to_owned(),
        Baseline::Gpc => "does something in front of consentry take the Sec-GPC field off requests?".to_owned(),
    });
    (summary, details)
}

/// What was found since the round before, which read as far as `mark`.
fn newcomers_after(figures: &Figures, mark: i64) -> (i64, Vec<Seen>) {
    // Numbers that are gone belong to another ledger.
    let is_gone = || figures.seen_after(mark - 1, 1).is_ok_and(|found| found.is_empty());
    let mark = if mark > 0 && is_gone() { 0 } else { mark };
    (mark, figures.seen_after(mark, AT_ONCE).unwrap_or_default())
}

fn newcomers_of((mark, found): (i64, Vec<Seen>), turn: &mut Turn<'_>, now_ms: u64) {
    turn.kept.seen = mark;
    let mut fresh = Vec::new();
    for seen in found {
        turn.kept.seen = seen.id;
        let learning = turn
            .kept
            .sites
            .entry(seen.site.clone())
            .or_insert_with(|| Learning { until_ms: now_ms, ..Learning::default() });
        if u64::try_from(seen.first_ms).unwrap_or(0) < learning.until_ms {
            learning.counts.add(&seen);
        } else {
            fresh.push(seen);
        }
    }
    for alert in newcomers::alerts(&fresh, now_ms, |alert| turn.was_told(alert)) {
        turn.tell(alert);
    }
    let due: Vec<_> = turn
        .kept
        .sites
        .iter_mut()
        .filter(|(_, learning)| !learning.over && now_ms >= learning.until_ms)
        .filter_map(|(site, learning)| {
            learning.over = true;
            newcomers::first_look(site, &learning.counts, now_ms)
        })
        .collect();
    due.into_iter().for_each(|alert| turn.tell(alert));
}

/// From which number on entries are missing that nobody was told of, and which.
fn gaps_after(reader: &Reader, mark: Option<i64>) -> Option<(i64, Vec<(i64, Gap)>)> {
    let last = reader.newest_gap().ok()?;
    let mark = match mark {
        None => last,
        // Numbers that are gone belong to another ledger.
        Some(mark) if mark > last => 0,
        Some(mark) => mark,
    };
    Some((mark, reader.gaps_after(mark, AT_ONCE).unwrap_or_default()))
}

fn gaps_of((mark, found): (i64, Vec<(i64, Gap)>), turn: &mut Turn<'_>, now_ms: u64) {
    turn.kept.gaps = Some(mark);
    let Some(newest) = found.last().map(|(id, _)| *id) else { return };
    turn.kept.gaps = Some(newest);
    let gaps: Vec<_> = found.into_iter().map(|(_, gap)| gap).collect();
    let latest_ms = gaps.iter().map(|gap| gap.time_ms).max().unwrap_or_default();
    let lost = gaps.iter().map(|gap| gap.lost).fold(0, u64::saturating_add);
    let whys: std::collections::BTreeSet<_> = gaps.iter().map(|gap| gap.why.as_str()).collect();
    let words = [newest.cast_unsigned(), latest_ms, lost].map(|number| number.to_string());
    let [newest, latest, count] = &words;
    let id = number_of(&[Kind::EntriesLost.name(), newest, latest, count]);
    let summary = format!("{lost} entries of the ledger are lost; the log says so itself");
    let mut alert = Alert::new(id, Kind::EntriesLost, Phase::Happened, now_ms, summary);
    alert.details = whys.into_iter().take(NAMED).map(ToOwned::to_owned).collect();
    turn.tell(alert);
}
