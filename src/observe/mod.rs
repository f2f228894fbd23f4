//! Tells the operator what happens: one named event per thing that happens.
//!
//! Where something happens, it is said once, as a value:
//! `observe.emit(&EntryLost { site })`. The event alone knows its log line and
//! its metric. Labels are small closed sets; never an address, a URL or a
//! cookie's value.

mod causes;
mod events;
mod metrics;
mod origins;
mod trace_context;
mod exchange_record;
pub mod access_log;

pub use access_log::AccessLog;
pub use causes::chain;
pub use events::{
    AlertDropped, AlertTold, AlertsWaiting, ChoiceMade, ChoiceNotTaken, ConfigReloaded,
    ConnectionRefused, Event, ExceptionExpired, ExchangeEnded, ExchangeFailed, HostLearned,
    ListNotRefreshed, ListRefreshed, ListUsed, PageCut, PagePassedUnfiltered, RecordLost,
    SelfCheckEnded, StateChecked, UnlistedSeen, VisitorLimited,
};
pub use exchange_record::{ExchangeRecord, Outlets, Traces};
pub use metrics::{Fault, ListState, Metrics};
pub use origins::{OriginChanged, OriginFailed, OriginRetried, OriginServed};
pub use trace_context::{TraceContext, hex};

use crate::policy::{Basis, Decisions, Grounds, Verdict};

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// Where events go.
#[derive(Debug)]
pub struct Observe {
    metrics: Metrics,
    /// Whether nobody is told anything.
    silent: bool,
    /// Sites and hosts that nobody claims, as far as they were told.
    unlisted: RwLock<HashSet<String>>,
}

/// How many unlisted hosts are told; a page can make up any number.
const MAX_UNLISTED: usize = 10_000;

impl Default for Observe {
    fn default() -> Self {
        Self { metrics: Metrics::new(), silent: false, unlisted: RwLock::default() }
    }
}

impl Observe {
    /// One that tells nobody: for what only a test visitor does.
    #[must_use]
    pub fn silent() -> Self {
        Self { silent: true, ..Self::default() }
    }

    /// Says that something happened.
    pub fn emit(&self, event: &impl Event) {
        if !self.silent {
            event.log();
            event.count(&self.metrics);
        }
    }

    /// Counts a page that was remembered, or was not.
    pub fn count_recall(&self, site: &str, found: bool) {
        self.metrics.count_recall(site, found);
    }

    /// Counts the decisions of one exchange.
    pub fn count_decisions(&self, site: &str, decisions: &Decisions) {
        self.metrics.count_decisions(site, decisions);
    }

    /// Raises third parties that nobody in the catalogue claims, each once.
    pub fn tell_unlisted(&self, site: &str, decisions: &Decisions) {
        for decision in decisions.iter() {
            let withheld = match decision.verdict {
                Verdict::Allow(Basis::Unlisted) => false,
                Verdict::Block(Grounds::Unlisted) => true,
                Verdict::Allow(_) | Verdict::Block(_) => continue,
            };
            let host = decision.what.split('/').next().unwrap_or_default();
            let name = format!("{site} {host}");
            let known = |told: &HashSet<String>| told.contains(&name) || told.len() >= MAX_UNLISTED;
            if known(&self.unlisted.read().unwrap_or_else(PoisonError::into_inner)) {
                continue;
            }
            if self.unlisted.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
                self.emit(&UnlistedSeen { site, host, withheld });
            }
        }
    }

    /// Everything counted so far, in the OpenMetrics text format.
    #[must_use]
    pub fn exposition(&self) -> String {
        self.metrics.exposition()
    }

    /// The counters themselves, for gauges that are kept elsewhere.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
