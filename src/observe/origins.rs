//! What happens with the servers behind a site.

use crate::observe::events::Event;
use crate::observe::metrics::{Metrics, OriginFailureLabels, OriginLabels, OriginRetryLabels};

/// A server did not answer as it should.
#[derive(Debug)]
pub struct OriginFailed<'a> {
    /// Whose.
    pub site: &'a str,
    /// The server.
    pub origin: &'a str,
    /// One of a few words.
    pub reason: &'static str,
}

impl Event for OriginFailed<'_> {
    // What came of it for the visitor is told there.
    fn log(&self) {}

    fn count(&self, metrics: &Metrics) {
        let labels = OriginFailureLabels {
            site: self.site.to_owned(),
            origin: self.origin.to_owned(),
            reason: self.reason,
        };
        metrics.origin_failures.get_or_create(&labels).inc();
    }
}

/// A request was sent once more, where that can do no harm.
#[derive(Debug)]
pub struct OriginRetried<'a> {
    /// Whose.
    pub site: &'a str,
    /// Why, one of a few words.
    pub reason: &'static str,
}

impl Event for OriginRetried<'_> {
    fn log(&self) {
        tracing::debug!(site = self.site, reason = self.reason, "request sent once more");
    }

    fn count(&self, metrics: &Metrics) {
        let labels = OriginRetryLabels { site: self.site.to_owned(), reason: self.reason };
        metrics.origin_retries.get_or_create(&labels).inc();
    }
}

/// A server is set aside, or asked again.
#[derive(Debug)]
pub struct OriginChanged<'a> {
    /// Whose.
    pub site: &'a str,
    /// The server.
    pub origin: &'a str,
    /// Whether it is asked again.
    pub is_up: bool,
    /// Why it is set aside.
    pub why: &'a str,
}

impl Event for OriginChanged<'_> {
    fn log(&self) {
        let Self { site, origin, why, .. } = self;
        if self.is_up {
            tracing::info!(site, origin, "origin is back");
        } else {
            tracing::warn!(site, origin, why, "origin set aside");
        }
    }

    fn count(&self, metrics: &Metrics) {
        let Self { site, origin, is_up, .. } = *self;
        OriginServed { site, origin, is_up }.count(metrics);
    }
}

/// A server stands in the configuration.
#[derive(Debug)]
pub struct OriginServed<'a> {
    /// Whose.
    pub site: &'a str,
    /// The server.
    pub origin: &'a str,
    /// Whether visitors are sent there.
    pub is_up: bool,
}

impl Event for OriginServed<'_> {
    fn log(&self) {}

    fn count(&self, metrics: &Metrics) {
        let labels = OriginLabels { site: self.site.to_owned(), origin: self.origin.to_owned() };
        metrics.origin_up.get_or_create(&labels).set(i64::from(self.is_up));
    }
}
