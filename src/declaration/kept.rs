//! What visitors are told, kept ready: no page waits for the ledger.

use crate::declaration::{DAYS, Declaration, Told};
use crate::ledger::Ledger;
use crate::ledger::figures::Period;
use crate::site::Sites;

use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long the first answer holds: a site that has just started has much to
/// tell soon.
const FIRST: Duration = Duration::from_secs(15);

/// How long an answer holds once nothing is new any more.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// What visitors of each site are told, as far as the ledger was asked.
#[derive(Debug, Default)]
pub struct Declarations {
    by_site: ArcSwap<HashMap<Arc<str>, Arc<Told>>>,
    again: Notify,
}

/// Asking under way; it ends when dropped.
#[derive(Debug)]
pub struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Declarations {
    /// What visitors of a site are told; nothing before the ledger was asked.
    #[must_use]
    pub fn of(&self, site: &str) -> Option<Arc<Told>> {
        self.by_site.load().get(site).cloned()
    }

    /// Asks the ledger now and again, away from the threads that serve.
    #[must_use]
    pub fn start(self: &Arc<Self>, sites: Arc<ArcSwap<Sites>>, ledger: Arc<Ledger>) -> Task {
        let declarations = Arc::clone(self);
        Task(tokio::spawn(async move {
            let mut pause = FIRST;
            loop {
                declarations.renew(sites.load_full(), Arc::clone(&ledger)).await;
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST),
                    () = declarations.again.notified() => pause = FIRST,
                }
            }
        }))
    }

    /// The sites are other ones now: asks the ledger soon.
    pub fn soon(&self) {
        self.again.notify_one();
    }

    /// Asks the ledger, and returns when that is done.
    pub async fn renew(self: &Arc<Self>, sites: Arc<Sites>, ledger: Arc<Ledger>) {
        let declarations = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            declarations.ask(&sites, &ledger, now_ms);
        });
        if let Err(error) = asked.await {
            tracing::error!(%error, "what visitors are told was not put together in order");
        }
    }

    /// What was told before is told on where the ledger cannot be read.
    fn ask(&self, sites: &Sites, ledger: &Ledger, now_ms: u64) {
        let period = Period::last(DAYS, now_ms);
        let told = ledger.ask(|figures| {
            let told = sites.iter().map(|site| {
                let catalogue = site.policy.catalogue();
                let name = Some(&*site.name);
                let found = Declaration::derive(figures, &[catalogue], period, name)?;
                let told = found.for_visitors(&site.notice.vendors);
                Ok((Arc::clone(&site.name), Arc::new(told)))
            });
            told.collect::<Result<HashMap<_, _>, _>>()
        });
        match told {
            Ok(told) => self.by_site.store(Arc::new(told)),
            Err(error) => {
                tracing::warn!(%error, "visitors are told what the ledger said before");
            }
        }
    }
}
