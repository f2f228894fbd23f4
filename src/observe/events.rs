//! The things that happen.

use crate::observe::Fault;
use crate::observe::metrics::{
    AlertLabels, ChoiceLabels, ExchangeLabels, FailureLabels, ListLabels, ListResultLabels,
    ListState, Metrics, OutletLabels, ResultLabels, StateLabels, StatusLabels,
};
use crate::purpose::PurposeSet;

use std::time::Duration;

/// Something that happened. It knows its own log line and metric.
pub trait Event {
    /// Writes the log line, if it is worth one.
    fn log(&self);
    /// Counts it.
    fn count(&self, metrics: &Metrics);
}

/// The head of an answer left for the visitor.
#[derive(Debug)]
pub struct ExchangeEnded<'a> {
    /// Whose.
    pub site: &'a str,
    /// The path, without query and ids.
    pub path: &'a str,
    /// What the visitor had granted.
    pub class: PurposeSet,
    /// The answer's status code.
    pub status: u16,
    /// Since the request's head had arrived.
    pub took: Duration,
    /// How many things were withheld, as far as that is known now.
    pub withheld: usize,
}

impl Event for ExchangeEnded<'_> {
    fn log(&self) {
        tracing::debug!(
            site = self.site,
            path = self.path,
            class = self.class.class(),
            status = self.status,
            took_ms = self.took.as_secs_f64() * 1000.0,
            withheld = self.withheld,
            "exchange ended"
        );
    }

    fn count(&self, metrics: &Metrics) {
        metrics
            .exchanges
            .get_or_create(&ExchangeLabels {
                site: self.site.to_owned(),
                class: self.class.class(),
                status: self.status,
            })
            .inc();
        metrics.duration.observe(self.took.as_secs_f64());
    }
}

/// An exchange could not be carried out.
#[derive(Debug)]
pub struct ExchangeFailed<'a> {
    /// Whose fault it is.
    pub fault: Fault,
    /// One of a few words.
    pub reason: &'static str,
    /// The whole story, for the log.
    pub detail: &'a str,
    /// The number the error page shows, so that a visitor's report can be found.
    pub reference: &'a str,
}

impl Event for ExchangeFailed<'_> {
    fn log(&self) {
        match self.fault {
            Fault::Visitor => tracing::debug!(
                reason = self.reason,
                detail = self.detail,
                reference = self.reference,
                "request refused"
            ),
            Fault::Origin | Fault::Consentry => tracing::warn!(
                fault = self.fault.name(),
                reason = self.reason,
                detail = self.detail,
                reference = self.reference,
                "exchange failed"
            ),
        }
    }

    fn count(&self, metrics: &Metrics) {
        let labels = FailureLabels { fault: self.fault.name(), reason: self.reason };
        metrics.failures.get_or_create(&labels).inc();
    }
}

/// A page could not be rewritten to its end, and was cut rather than passed on
/// unfiltered.
#[derive(Debug)]
pub struct PageCut<'a> {
    /// Whose.
    pub site: &'a str,
    /// The path, without query and ids.
    pub path: &'a str,
    /// Why.
    pub detail: &'a str,
}

impl Event for PageCut<'_> {
    fn log(&self) {
        tracing::warn!(site = self.site, path = self.path, detail = self.detail, "page cut");
    }

    fn count(&self, metrics: &Metrics) {
        metrics.pages_cut.inc();
    }
}

/// A visitor chose.
#[derive(Debug)]
pub struct ChoiceMade<'a> {
    /// Where.
    pub site: &'a str,
    /// What they granted.
    pub granted: PurposeSet,
    /// Whether their browser sent Global Privacy Control.
    pub gpc: bool,
}

impl Event for ChoiceMade<'_> {
    fn log(&self) {
        tracing::info!(
            site = self.site,
            class = self.granted.class(),
            gpc = self.gpc,
            "choice made"
        );
    }

    fn count(&self, metrics: &Metrics) {
        let choice = match self.granted.class() {
            "d" => "none",
            "fapm" => "all",
            _ => "some",
        };
        let gpc = if self.gpc { "on" } else { "off" };
        metrics
            .choices
            .get_or_create(&ChoiceLabels { site: self.site.to_owned(), choice, gpc })
            .inc();
        metrics.count_choice(self.site, true);
    }
}

/// A visitor sent a choice that was not taken.
#[derive(Debug)]
pub struct ChoiceNotTaken<'a> {
    /// Where.
    pub site: &'a str,
    /// What they were answered.
    pub status: u16,
}

impl Event for ChoiceNotTaken<'_> {
    fn log(&self) {
        tracing::debug!(site = self.site, status = self.status, "choice not taken");
    }

    fn count(&self, metrics: &Metrics) {
        let labels = StatusLabels { site: self.site.to_owned(), status: self.status };
        metrics.choices_not_taken.get_or_create(&labels).inc();
        // Who answers an older notice is asked once more, as it should be.
        if self.status != 409 {
            metrics.count_choice(self.site, false);
        }
    }
}

/// A browser refused a host that the site's policy allows: from now on the
/// site's pages name it.
#[derive(Debug)]
pub struct HostLearned<'a> {
    /// Where.
    pub site: &'a str,
    /// The host.
    pub host: &'a str,
}

impl Event for HostLearned<'_> {
    fn log(&self) {
        tracing::info!(site = self.site, host = self.host, "host learned from a browser's report");
    }

    fn count(&self, metrics: &Metrics) {
        metrics.hosts_learned.inc();
    }
}

/// A page could not be rewritten and was passed on as it is, because the
/// operator wants that for its path.
#[derive(Debug)]
pub struct PagePassedUnfiltered<'a> {
    /// Whose.
    pub site: &'a str,
    /// The path, without query and ids.
    pub path: &'a str,
    /// Why.
    pub detail: &'a str,
}

impl Event for PagePassedUnfiltered<'_> {
    fn log(&self) {
        tracing::error!(
            site = self.site,
            path = self.path,
            detail = self.detail,
            "page passed on unfiltered, as danger.pass_unfilterable says: its trackers ran"
        );
    }

    fn count(&self, metrics: &Metrics) {
        metrics.pages_unfiltered.inc();
    }
}

/// A third party that nobody in the catalogue claims was seen for the first
/// time since the start.
#[derive(Debug)]
pub struct UnlistedSeen<'a> {
    /// Where.
    pub site: &'a str,
    /// Its host.
    pub host: &'a str,
    /// Whether it was withheld.
    pub withheld: bool,
}

impl Event for UnlistedSeen<'_> {
    fn log(&self) {
        tracing::warn!(
            site = self.site,
            host = self.host,
            withheld = self.withheld,
            "a third party that nobody in the catalogue claims; describe it in a [[vendor]]"
        );
    }

    fn count(&self, metrics: &Metrics) {
        metrics.unlisted_hosts.inc();
    }
}

/// An exception has expired: what it was about is decided by the policy again.
#[derive(Debug)]
pub struct ExceptionExpired<'a> {
    /// The exception: who answers for it, and until when it held.
    pub exception: &'a str,
    /// Where it is written.
    pub place: &'a str,
}

impl Event for ExceptionExpired<'_> {
    fn log(&self) {
        tracing::warn!(
            exception = self.exception,
            place = self.place,
            "an exception has expired and does not hold any more; renew it or take it out"
        );
    }

    fn count(&self, metrics: &Metrics) {
        metrics.exceptions_expired.inc();
    }
}

/// One visitor made too many requests.
#[derive(Debug)]
pub struct VisitorLimited;

impl Event for VisitorLimited {
    fn log(&self) {}

    fn count(&self, metrics: &Metrics) {
        metrics.visitors_limited.inc();
    }
}

/// Too many connections are open.
#[derive(Debug)]
pub struct ConnectionRefused;

impl Event for ConnectionRefused {
    fn log(&self) {}

    fn count(&self, metrics: &Metrics) {
        metrics.connections_refused.inc();
    }
}

/// What is known of an exchange did not get to whoever wanted to know.
#[derive(Debug)]
pub struct RecordLost {
    /// Where it did not get: `access_log` or `traces`.
    pub outlet: &'static str,
}

impl Event for RecordLost {
    // Whoever has trouble with it says so once.
    fn log(&self) {}

    fn count(&self, metrics: &Metrics) {
        metrics.records_lost.get_or_create(&OutletLabels { outlet: self.outlet }).inc();
    }
}

/// The configuration was read again.
#[derive(Debug)]
pub struct ConfigReloaded<'a> {
    /// What made us read it: a signal, a file that changed, the dashboard.
    pub cause: &'static str,
    /// Nothing, or why the old one stays.
    pub failure: Option<&'a str>,
}

impl Event for ConfigReloaded<'_> {
    fn log(&self) {
        match self.failure {
            None => tracing::info!(cause = self.cause, "configuration reloaded"),
            Some(why) => {
                tracing::error!(
                    why,
                    cause = self.cause,
                    "configuration not reloaded; the old one stays"
                );
            }
        }
    }

    fn count(&self, metrics: &Metrics) {
        let result = if self.failure.is_none() { "done" } else { "refused" };
        metrics.reloads.get_or_create(&ResultLabels { result }).inc();
    }
}

/// A filter list was asked for, and came or is the newest.
#[derive(Debug)]
pub struct ListRefreshed<'a> {
    /// Which.
    pub list: &'a str,
    /// How many of its rules are used.
    pub rules: usize,
    /// Whether it is another one than before.
    pub changed: bool,
}

impl Event for ListRefreshed<'_> {
    fn log(&self) {
        if self.changed {
            tracing::info!(list = self.list, rules = self.rules, "list refreshed");
        } else {
            tracing::debug!(list = self.list, "list is the newest");
        }
    }

    fn count(&self, metrics: &Metrics) {
        let result = if self.changed { "changed" } else { "unchanged" };
        metrics
            .list_refreshes
            .get_or_create(&ListResultLabels { list: self.list.to_owned(), result })
            .inc();
    }
}

/// A filter list did not come, or what came was refused.
#[derive(Debug)]
pub struct ListNotRefreshed<'a> {
    /// Which.
    pub list: &'a str,
    /// Why.
    pub why: &'a str,
    /// Whether there is no copy of it at all, so that what only it knows
    /// passes.
    pub missing: bool,
}

impl Event for ListNotRefreshed<'_> {
    fn log(&self) {
        if self.missing {
            tracing::error!(
                list = self.list,
                why = self.why,
                "list missing: what only it knows passes"
            );
        } else {
            tracing::warn!(
                list = self.list,
                why = self.why,
                "list not refreshed; the old one stays"
            );
        }
    }

    fn count(&self, metrics: &Metrics) {
        metrics
            .list_refreshes
            .get_or_create(&ListResultLabels { list: self.list.to_owned(), result: "failed" })
            .inc();
    }
}

/// What is used of a filter list now.
#[derive(Debug)]
pub struct ListUsed<'a> {
    /// Which.
    pub list: &'a str,
    /// Whether there is anything of it.
    pub has: bool,
    /// When its server last said that it is the newest, in seconds since
    /// 1970; 0 for a list that comes from a file.
    pub checked_s: u64,
}

impl Event for ListUsed<'_> {
    fn log(&self) {}

    fn count(&self, metrics: &Metrics) {
        let labels = ListLabels { list: self.list.to_owned() };
        metrics.lists_missing.get_or_create(&labels).set(i64::from(!self.has));
        let checked = i64::try_from(self.checked_s).unwrap_or(i64::MAX);
        metrics.lists_checked.get_or_create(&labels).set(checked);
        metrics.keep_list(self.list, ListState { has: self.has, checked_s: self.checked_s });
    }
}

/// The synthetic visitor has looked at a site.
#[derive(Debug)]
pub struct StateChecked<'a> {
    /// Where.
    pub site: &'a str,
    /// What the visitor had said.
    pub state: &'static str,
    /// Whether everything was as it must be.
    pub ok: bool,
    /// Whether that was different the last time, or there was none.
    pub changed: bool,
    /// What was not.
    pub findings: &'a str,
}

impl Event for StateChecked<'_> {
    fn log(&self) {
        let Self { site, state, .. } = self;
        match (self.ok, self.changed) {
            (false, _) => {
                tracing::error!(
                    site,
                    state,
                    findings = self.findings,
                    "self-check red: the protection of visitors does not hold"
                );
            }
            (true, true) => tracing::info!(site, state, "self-check green"),
            (true, false) => tracing::debug!(site, state, "self-check green"),
        }
    }

    fn count(&self, metrics: &Metrics) {
        let labels = StateLabels { site: self.site.to_owned(), state: self.state };
        metrics.self_check_ok.get_or_create(&labels).set(i64::from(self.ok));
    }
}

/// The synthetic visitor has looked at all sites.
#[derive(Debug)]
pub struct SelfCheckEnded {
    /// When, in seconds since 1970.
    pub time_s: u64,
}

impl Event for SelfCheckEnded {
    fn log(&self) {}

    fn count(&self, metrics: &Metrics) {
        metrics.self_check_run.set(i64::try_from(self.time_s).unwrap_or(i64::MAX));
    }
}

/// Somebody has to know something.
#[derive(Debug)]
pub struct AlertTold<'a> {
    /// What it is about.
    pub kind: &'static str,
    /// On which site; empty where it is about none.
    pub site: &'a str,
    /// One sentence.
    pub summary: &'a str,
    /// Whether it is good news.
    pub is_over: bool,
    /// Whether the operator wants it in the log.
    pub logged: bool,
}

impl Event for AlertTold<'_> {
    fn log(&self) {
        let Self { kind, site, summary, .. } = self;
        match (self.logged, self.is_over) {
            (false, _) => {}
            (true, false) => tracing::warn!(kind, site, summary, "alert"),
            (true, true) => tracing::info!(kind, site, summary, "alert over"),
        }
    }

    fn count(&self, metrics: &Metrics) {
        metrics.alerts.get_or_create(&AlertLabels { kind: self.kind }).inc();
    }
}

/// How many alerts wait for their receiver.
#[derive(Debug)]
pub struct AlertsWaiting {
    /// So many.
    pub count: usize,
}

impl Event for AlertsWaiting {
    fn log(&self) {}

    fn count(&self, metrics: &Metrics) {
        metrics.alerts_waiting.set(i64::try_from(self.count).unwrap_or(i64::MAX));
    }
}

/// An alert waited with too many others, and gave way.
#[derive(Debug)]
pub struct AlertDropped {
    /// Whether it is the first since that was told.
    pub is_first: bool,
}

impl Event for AlertDropped {
    fn log(&self) {
        if self.is_first {
            tracing::warn!(
                "too many alerts wait for their receiver; those about what is new give way first"
            );
        }
    }

    fn count(&self, metrics: &Metrics) {
        metrics.alerts_dropped.inc();
    }
}
