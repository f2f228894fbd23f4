//! One exchange: what is known of it so far, and its record.

use crate::catalogue::Kind;
use crate::consent::Consent;
use crate::ledger::{Entry, Spool};
use crate::observe::{Observe, PagePassedUnfiltered};
use crate::policy::{Basis, Decision, Decisions, Layer, Ruling, Unlisted, Verdict, redact_path};
use crate::proxy::told::Told;
use crate::proxy::workbench::Witness;
use crate::site::{Rules, Site};

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// One exchange under way. It is filed once: when its decisions are complete,
/// or when it is dropped, so a visitor who leaves halfway is still on record.
pub(super) struct Exchange {
    pub(super) site: Arc<Site>,
    pub(super) rules: Rules,
    pub(super) consent: Consent,
    pub(super) path: String,
    pub(super) decisions: Decisions,
    /// Nowhere for the synthetic visitor.
    spool: Option<Arc<Mutex<Spool>>>,
    observe: Arc<Observe>,
    told: Option<Told>,
    witness: Option<Witness>,
    filed: bool,
}

impl Exchange {
    /// Shows its decisions to who builds the site, if they are there.
    pub(super) fn witnessed_by(&mut self, witness: Option<&Witness>) {
        self.witness = witness.cloned();
    }

    pub(super) fn new(
        site: Arc<Site>,
        rules: Rules,
        consent: Consent,
        path: &str,
        spool: Option<Arc<Mutex<Spool>>>,
        observe: Arc<Observe>,
        told: Option<Told>,
    ) -> Self {
        Self {
            site,
            rules,
            consent,
            path: redact_path(path),
            decisions: Decisions::default(),
            spool,
            observe,
            told,
            witness: None,
            filed: false,
        }
    }

    /// Puts the exchange on record.
    pub(super) fn file(&mut self) {
        if self.filed {
            return;
        }
        self.filed = true;
        if let Some(told) = self.told.take() {
            told.withheld(self.withheld());
        }
        if let Some(witness) = self.witness.take() {
            witness.decided(self);
        }
        let Some(spool) = self.spool.take().filter(|_| !self.decisions.is_empty()) else { return };
        self.observe.count_decisions(&self.site.name, &self.decisions);
        if self.rules.policy.unlisted() != Unlisted::Allow {
            self.observe.tell_unlisted(&self.site.name, &self.decisions);
        }
        let entry = Entry {
            time_ms: now_ms(),
            site: Arc::clone(&self.site.name),
            page: std::mem::take(&mut self.path),
            class: self.consent.granted(),
            undecided: self.consent.is_undecided(),
            signal: self.consent.source(),
            policy_revision: Arc::clone(self.rules.policy.revision()),
            mode: self.rules.mode,
            decisions: std::mem::take(&mut self.decisions),
        };
        spool.lock().unwrap_or_else(PoisonError::into_inner).append(&entry);
    }

    /// The page could not be rewritten, and passes as it is.
    pub(super) fn passed_unfiltered(&mut self, why: &str) {
        let event = PagePassedUnfiltered { site: &self.site.name, path: &self.path, detail: why };
        self.observe.emit(&event);
        let ruling =
            Ruling { verdict: Verdict::Allow(Basis::Unfiltered), identity: None, exception: None };
        self.decisions.push(Decision::on_name(&ruling, Layer::Html, Kind::Inline, "page"));
    }

    /// Whether the page was remembered.
    pub(super) fn recalled(&self, found: bool) {
        self.observe.count_recall(&self.site.name, found);
    }

    /// How many things were withheld so far.
    pub(super) fn withheld(&self) -> usize {
        self.decisions.iter().filter(|decision| decision.verdict.blocks()).count()
    }

    pub(super) fn observe(&self) -> &Observe {
        &self.observe
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.file();
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
