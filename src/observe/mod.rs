//! Tells the operator what happens: one named event per thing that happens.
//!
//! Where something happens, it is said once, as a value:
//! `observe.emit(&EntryLost { site })`. The event alone knows its log line and
//! its metric. Labels are small closed sets; never an address, a URL or a
//! cookie's value.

mod events;
mod metrics;

pub use events::{
    ChoiceMade, ConfigReloaded, ConnectionRefused, Event, ExchangeEnded, ExchangeFailed,
    HostLearned, PageCut, VisitorLimited,
};
pub use metrics::{Fault, Metrics};

use crate::policy::Decisions;

/// Where events go.
#[derive(Debug)]
pub struct Observe {
    metrics: Metrics,
}

impl Default for Observe {
    fn default() -> Self {
        Self { metrics: Metrics::new() }
    }
}

impl Observe {
    /// Says that something happened.
    pub fn emit(&self, event: &impl Event) {
        event.log();
        event.count(&self.metrics);
    }

    /// Counts the decisions of one exchange.
    pub fn count_decisions(&self, site: &str, decisions: &Decisions) {
        for decision in decisions.iter() {
            self.metrics.count_decision(site, decision);
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
