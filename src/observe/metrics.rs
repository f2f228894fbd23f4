//! The counters behind the events.

use crate::policy::{Decision, Decisions, Grounds, Verdict};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Whose fault a failed exchange is: the first question on call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Fault {
    /// Ours.
    Consentry,
    /// The operator's server behind us.
    Origin,
    /// Whoever sent the request.
    Visitor,
}

impl Fault {
    /// The word on error pages and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consentry => "consentry",
            Self::Origin => "origin",
            Self::Visitor => "visitor",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DecisionLabels {
    pub(super) site: String,
    pub(super) verdict: &'static str,
    pub(super) purpose: &'static str,
    pub(super) kind: &'static str,
    pub(super) layer: &'static str,
}

/// What a decision is counted by, within one site.
#[derive(PartialEq, Eq)]
struct Sort {
    verdict: &'static str,
    purpose: &'static str,
    kind: &'static str,
    layer: &'static str,
}

impl Sort {
    fn of(decision: &Decision) -> Self {
        let purpose = match decision.verdict {
            Verdict::Block(Grounds::NotGranted(purpose) | Grounds::VendorRefused(purpose)) => {
                purpose.name()
            }
            Verdict::Block(_) | Verdict::Allow(_) => {
                decision.vendor.as_ref().map_or("unlisted", |vendor| vendor.purpose.name())
            }
        };
        Self {
            verdict: decision.verdict.word(),
            purpose,
            kind: decision.kind.name(),
            layer: decision.layer.name(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ExchangeLabels {
    pub(super) site: String,
    pub(super) class: &'static str,
    pub(super) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FailureLabels {
    pub(super) fault: &'static str,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ChoiceLabels {
    pub(super) site: String,
    pub(super) choice: &'static str,
    pub(super) gpc: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RecallLabels {
    site: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabels {
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileLabels {
    file: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ListLabels {
    pub(super) list: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ListResultLabels {
    pub(super) list: String,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StateLabels {
    pub(super) site: String,
    pub(super) state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StatusLabels {
    pub(super) site: String,
    pub(super) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OriginLabels {
    pub(super) site: String,
    pub(super) origin: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OriginFailureLabels {
    pub(super) site: String,
    pub(super) origin: String,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OriginRetryLabels {
    pub(super) site: String,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AlertLabels {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutletLabels {
    pub(super) outlet: &'static str,
}

/// What we have of a filter list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListState {
    /// Whether there is anything of it.
    pub has: bool,
    /// When its server last said that it is the newest, in seconds since
    /// 1970; 0 for a list that comes from a file.
    pub checked_s: u64,
}

/// All counters. Each is one atomic addition.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: Family<DecisionLabels, Counter>,
    recalls: Family<RecallLabels, Counter>,
    pub(super) exchanges: Family<ExchangeLabels, Counter>,
    pub(super) failures: Family<FailureLabels, Counter>,
    pub(super) choices: Family<ChoiceLabels, Counter>,
    pub(super) hosts_learned: Counter,
    pub(super) reloads: Family<ResultLabels, Counter>,
    pub(super) list_refreshes: Family<ListResultLabels, Counter>,
    pub(super) lists_missing: Family<ListLabels, Gauge>,
    pub(super) lists_checked: Family<ListLabels, Gauge>,
    pub(super) choices_not_taken: Family<StatusLabels, Counter>,
    pub(super) origin_up: Family<OriginLabels, Gauge>,
    pub(super) origin_failures: Family<OriginFailureLabels, Counter>,
    pub(super) origin_retries: Family<OriginRetryLabels, Counter>,
    pub(super) alerts: Family<AlertLabels, Counter>,
    pub(super) alerts_waiting: Gauge,
    pub(super) alerts_dropped: Counter,
    certificates: Family<FileLabels, Gauge>,
    lists: Mutex<BTreeMap<String, ListState>>,
    /// Choices that were taken and not, by site.
    choice_answers: Mutex<BTreeMap<String, (u64, u64)>>,
    pub(super) self_check_ok: Family<StateLabels, Gauge>,
    pub(super) self_check_run: Gauge,
    pub(super) pages_cut: Counter,
    pub(super) pages_unfiltered: Counter,
    pub(super) unlisted_hosts: Counter,
    pub(super) exceptions_expired: Counter,
    pub(super) visitors_limited: Counter,
    pub(super) connections_refused: Counter,
    pub(super) records_lost: Family<OutletLabels, Counter>,
    pub(super) duration: Histogram,
    /// Connections of visitors that are open.
    pub connections: Gauge,
    /// Ledger entries that could not be kept.
    pub entries_lost: Gauge,
    /// Bytes in spools that are not in the database yet.
    pub spooled_bytes: Gauge,
    /// Ledger entries in the database, written by this process.
    pub entries_written: Gauge,
    /// How large the ledger's database is.
    pub ledger_bytes: Gauge,
    /// Entries that the ledger that many proxies share does not have yet.
    pub fleet_behind_entries: Gauge,
    /// Whether entries are sent to that ledger: 1, or 0.
    pub fleet_connected: Gauge,
}

/// From half a millisecond up: our own share is well below a millisecond.
const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Metrics {
    pub(super) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            decisions: Family::default(),
            recalls: Family::default(),
            exchanges: Family::default(),
            failures: Family::default(),
            choices: Family::default(),
            hosts_learned: Counter::default(),
            reloads: Family::default(),
            list_refreshes: Family::default(),
            lists_missing: Family::default(),
            lists_checked: Family::default(),
            choices_not_taken: Family::default(),
            origin_up: Family::default(),
            origin_failures: Family::default(),
            origin_retries: Family::default(),
            alerts: Family::default(),
            alerts_waiting: Gauge::default(),
            alerts_dropped: Counter::default(),
            certificates: Family::default(),
            lists: Mutex::default(),
            choice_answers: Mutex::default(),
            self_check_ok: Family::default(),
            self_check_run: Gauge::default(),
            pages_cut: Counter::default(),
            pages_unfiltered: Counter::default(),
            unlisted_hosts: Counter::default(),
            exceptions_expired: Counter::default(),
            visitors_limited: Counter::default(),
            connections_refused: Counter::default(),
            records_lost: Family::default(),
            duration: Histogram::new(DURATION_BUCKETS),
            connections: Gauge::default(),
            entries_lost: Gauge::default(),
            spooled_bytes: Gauge::default(),
            fleet_behind_entries: Gauge::default(),
            fleet_connected: Gauge::default(),
            entries_written: Gauge::default(),
            ledger_bytes: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        let registry = &mut self.registry;
        registry.register("consentry_build", "What runs", version);
        registry.register("consentry_decisions", "Decisions taken", self.decisions.clone());
        registry.register("consentry_exchanges", "Exchanges answered", self.exchanges.clone());
        registry.register(
            "consentry_pages_remembered",
            "Pages that were looked for in memory, and whether what became of them was there",
            self.recalls.clone(),
        );
        registry.register(
            "consentry_exchange_failures",
            "Exchanges that failed, by whose fault it was",
            self.failures.clone(),
        );
        registry.register(
            "consentry_hosts_learned",
            "Hosts learned from browsers' reports",
            self.hosts_learned.clone(),
        );
        registry.register("consentry_choices", "Choices visitors made", self.choices.clone());
        registry.register(
            "consentry_config_reloads",
            "Attempts to reload the configuration",
            self.reloads.clone(),
        );
        registry.register(
            "consentry_list_refreshes",
            "Attempts to get a newer filter list",
            self.list_refreshes.clone(),
        );
        registry.register(
            "consentry_list_missing",
            "Whether there is no copy of a filter list",
            self.lists_missing.clone(),
        );
        registry.register(
            "consentry_list_checked_timestamp_seconds",
            "When a filter list was last known to be the newest",
            self.lists_checked.clone(),
        );
        registry.register(
            "consentry_certificate_expires_timestamp_seconds",
            "When a certificate that visitors are shown is no longer good",
            self.certificates.clone(),
        );
        registry.register(
            "consentry_pages_cut",
            "Pages that could not be rewritten to their end and were cut",
            self.pages_cut.clone(),
        );
        registry.register(
            "consentry_choices_not_taken",
            "Choices that were sent and not taken, by what was answered",
            self.choices_not_taken.clone(),
        );
        registry.register(
            "consentry_origin_up",
            "Whether visitors are sent to an origin",
            self.origin_up.clone(),
        );
        registry.register(
            "consentry_origin_failures",
            "Exchanges that an origin failed, and looks at it, by why",
            self.origin_failures.clone(),
        );
        registry.register(
            "consentry_origin_retries",
            "Requests that were sent once more, by why",
            self.origin_retries.clone(),
        );
        registry.register("consentry_alerts", "Alerts that were told", self.alerts.clone());
        registry.register(
            "consentry_alerts_waiting",
            "Alerts that wait for their receiver",
            self.alerts_waiting.clone(),
        );
        registry.register(
            "consentry_alerts_dropped",
            "Alerts that gave way because too many waited for their receiver",
            self.alerts_dropped.clone(),
        );
        registry.register(
            "consentry_self_check_ok",
            "Whether a synthetic visitor in that state found everything as it must be",
            self.self_check_ok.clone(),
        );
        registry.register(
            "consentry_self_check_last_run_seconds",
            "When the synthetic visitor last looked, in seconds since 1970",
            self.self_check_run.clone(),
        );
        registry.register(
            "consentry_pages_unfiltered",
            "Pages that could not be rewritten and were passed on as they are",
            self.pages_unfiltered.clone(),
        );
        registry.register(
            "consentry_unlisted_hosts",
            "Third parties seen since the start that nobody in the catalogue claims",
            self.unlisted_hosts.clone(),
        );
        registry.register(
            "consentry_exceptions_expired",
            "Exceptions that were found expired since the start",
            self.exceptions_expired.clone(),
        );
        registry.register(
            "consentry_visitors_limited",
            "Requests refused because one visitor made too many",
            self.visitors_limited.clone(),
        );
        registry.register(
            "consentry_records_lost",
            "Exchanges that did not get into the access log or to the collector of traces",
            self.records_lost.clone(),
        );
        registry.register(
            "consentry_connections_refused",
            "Connections refused because too many were open",
            self.connections_refused.clone(),
        );
        registry.register(
            "http_server_request_duration_seconds",
            "Time to the head of the answer",
            self.duration.clone(),
        );
        registry.register(
            "consentry_connections",
            "Connections of visitors that are open",
            self.connections.clone(),
        );
        registry.register(
            "consentry_entries_lost",
            "Ledger entries that could not be kept",
            self.entries_lost.clone(),
        );
        registry.register(
            "consentry_spooled_bytes",
            "Bytes waiting to enter the ledger's database",
            self.spooled_bytes.clone(),
        );
        registry.register(
            "consentry_entries_written",
            "Ledger entries in the database",
            self.entries_written.clone(),
        );
        registry.register(
            "consentry_ledger_bytes",
            "Bytes that the ledger's database takes",
            self.ledger_bytes.clone(),
        );
        registry.register(
            "consentry_ledger_fleet_behind_entries",
            "Ledger entries that the ledger that many proxies share does not have yet",
            self.fleet_behind_entries.clone(),
        );
        registry.register(
            "consentry_ledger_fleet_connected",
            "Whether entries are sent to the ledger that many proxies share",
            self.fleet_connected.clone(),
        );
    }

    pub(super) fn count_choice(&self, site: &str, taken: bool) {
        let mut all = self.choice_answers.lock().unwrap_or_else(PoisonError::into_inner);
        let of = all.entry(site.to_owned()).or_default();
        if taken {
            of.0 += 1;
        } else {
            of.1 += 1;
        }
    }

    /// Choices that were taken and not since the start, by site.
    #[must_use]
    pub fn choice_answers(&self) -> BTreeMap<String, (u64, u64)> {
        self.choice_answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn keep_list(&self, list: &str, state: ListState) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.insert(list.to_owned(), state);
    }

    /// What we have of each filter list.
    #[must_use]
    pub fn lists(&self) -> BTreeMap<String, ListState> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets when certificates are no longer good, in seconds since 1970; others
    /// are forgotten.
    pub fn certificates_expire(&self, all: &[(PathBuf, u64)]) {
        self.certificates.clear();
        for (path, expiry) in all {
            let labels = FileLabels { file: path.display().to_string() };
            let expiry = i64::try_from(*expiry).unwrap_or(i64::MAX);
            self.certificates.get_or_create(&labels).set(expiry);
        }
    }

    /// Other lists are used from now on.
    pub fn forget_lists(&self) {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn count_recall(&self, site: &str, found: bool) {
        let result = if found { "hit" } else { "miss" };
        self.recalls.get_or_create(&RecallLabels { site: site.to_owned(), result }).inc();
    }

    /// Other origins are asked from now on.
    pub fn forget_origins(&self) {
        self.origin_up.clear();
    }

    /// Nobody looks at that site in that state any more.
    pub fn forget_self_check(&self, site: &str, state: &'static str) {
        self.self_check_ok.remove(&StateLabels { site: site.to_owned(), state });
    }

    /// Most decisions of an exchange are of a few sorts: each is looked up once.
    pub(super) fn count_decisions(&self, site: &str, decisions: &Decisions) {
        let mut sorts: Vec<(Sort, u64)> = Vec::new();
        for decision in decisions.iter() {
            let sort = Sort::of(decision);
            match sorts.iter_mut().find(|(known, _)| *known == sort) {
                Some((_, times)) => *times += 1,
                None => sorts.push((sort, 1)),
            }
        }
        for (Sort { verdict, purpose, kind, layer }, times) in sorts {
            let site = site.to_owned();
            let labels = DecisionLabels { site, verdict, purpose, kind, layer };
            self.decisions.get_or_create(&labels).inc_by(times);
        }
    }

    pub(super) fn exposition(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
