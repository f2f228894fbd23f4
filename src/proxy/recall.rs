//! Asks the ledger for what our own pages show.
//!
//! Only our own pages ever wait for it, and only for a moment: a ledger that
//! is busy, broken or slow is one that cannot say anything now.

use crate::declaration::{Declarations, Told};
use crate::ledger::Error;
use crate::ledger::proof::Found;
use crate::ledger::read::Reader;
use crate::ledger::receipt::Layer;
use crate::ledger::withheld::Chosen;
use crate::visitor::{Kept, OnRecord, Page, Visit, Withheld, page_asked_about};

use http::Method;
use http::request::Parts;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// How long a page waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many questions are asked at once.
const AT_ONCE: usize = 4;

/// How old the list of a site's vendors may be before it is asked for again.
const SEEN_FOR: Duration = Duration::from_secs(60);

/// How many lines a page shows; of the rest it says how many.
const MOST_LINES: usize = 200;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What asks the ledger.
#[derive(Debug)]
pub(super) struct Recall {
    path: PathBuf,
    asking: Arc<Semaphore>,
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    declarations: Arc<Declarations>,
}

/// The vendors of a site, as far as they are known, and when they were asked
/// for.
#[derive(Debug)]
struct Seen {
    vendors: Option<Arc<BTreeSet<String>>>,
    asked: Instant,
}

/// What the ledger said.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    seen: Option<Arc<BTreeSet<String>>>,
    declared: Option<Arc<Told>>,
    withheld: Option<Withheld>,
    receipt: Option<Kept>,
}

impl Recalled {
    /// The same for a page to show.
    pub(super) fn on_record(&self) -> OnRecord<'_> {
        OnRecord {
            seen: self.seen.as_deref(),
            declared: self.declared.as_deref(),
            withheld: self.withheld.as_ref(),
            receipt: self.receipt.as_ref(),
        }
    }
}

impl Recall {
    /// Asks the ledger at that path.
    pub(super) fn new(path: PathBuf, declarations: Arc<Declarations>) -> Self {
        let asking = Arc::new(Semaphore::new(AT_ONCE));
        Self { path, asking, seen: Arc::default(), declarations }
    }

    /// What the ledger says that `page` shows.
    pub(super) async fn about(&self, page: Page, request: &Parts, visit: &Visit<'_>) -> Recalled {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Recalled::default();
        }
        match page {
            Page::Choices => Recalled { seen: self.seen(&visit.site.name), ..Recalled::default() },
            Page::Declaration => {
                let declared = self.declarations.of(&visit.site.name);
                Recalled { declared, ..Recalled::default() }
            }
            Page::Me => {
                let withheld = self.withheld(request.uri.query(), visit).await;
                Recalled { withheld, ..Recalled::default() }
            }
            Page::Receipt => Recalled { receipt: self.receipt(visit).await, ..Recalled::default() },
            Page::State
            | Page::Reports
            | Page::Embed
            | Page::Guard
            | Page::Script
            | Page::Api
            | Page::Unknown => Recalled::default(),
        }
    }

    async fn withheld(&self, query: Option<&str>, visit: &Visit<'_>) -> Option<Withheld> {
        let page = page_asked_about(query, visit);
        let site = Arc::clone(&visit.site.name);
        let chosen = Chosen {
            class: visit.consent.granted(),
            vendors: visit.consent.vendors().cloned().unwrap_or_default(),
        };
        let since_ms = visit.now_s.saturating_mul(1000).saturating_sub(DAY_MS);
        self.ask(move |ledger| {
            let on_page = match &page {
                Some(page) => ledger.newest_on_page(&site, page, &chosen, MOST_LINES)?,
                None => None,
            };
            let (on_site, more_on_site) = ledger.held_back(&site, &chosen, since_ms, MOST_LINES)?;
            Ok(Withheld { page, on_page, on_site, more_on_site })
        })
        .await
    }

    async fn receipt(&self, visit: &Visit<'_>) -> Option<Kept> {
        let number = visit.consent.record()?.receipt()?;
        self.ask(move |ledger| {
            let Found::Receipt(receipt) = ledger.receipt(number)? else { return Ok(None) };
            let notice = ledger.notice(&receipt, Layer::First)?;
            Ok(Some(Kept { receipt, notice }))
        })
        .await
        .flatten()
    }

    /// The vendors seen on a site as far as they are known. Nobody waits for
    /// them: whoever asks first has the next one know them.
    fn seen(&self, site: &str) -> Option<Arc<BTreeSet<String>>> {
        let now = Instant::now();
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(site).and_then(|seen| seen.vendors.clone());
        let is_fresh = |seen: &Seen| now.saturating_duration_since(seen.asked) < SEEN_FOR;
        if !all.get(site).is_some_and(is_fresh)
            && let Ok(turn) = Arc::clone(&self.asking).try_acquire_owned()
        {
            all.insert(site.to_owned(), Seen { vendors: known.clone(), asked: now });
            let (path, all, site) = (self.path.clone(), Arc::clone(&self.seen), site.to_owned());
            tokio::task::spawn_blocking(move || {
                if let Ok(vendors) = Reader::open(path).and_then(|it| it.vendors_seen(&site)) {
                    let seen = Seen { vendors: Some(Arc::new(vendors)), asked: now };
                    all.lock().unwrap_or_else(PoisonError::into_inner).insert(site, seen);
                }
                drop(turn);
            });
        }
        known
    }

    /// The answer to a question, unless it takes too long.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, Error> + Send + 'static,
    ) -> Option<T> {
        let path = self.path.clone();
        let (tell, mut stopper) = oneshot::channel();
        let asked = async {
            let turn = Arc::clone(&self.asking).acquire_owned().await.ok()?;
            let answer = tokio::task::spawn_blocking(move || {
                let reader = Reader::open(path)?;
                // Nobody may be waiting any more.
                tell.send(reader.stopper()).ok();
                let answer = question(&reader);
                drop(turn);
                answer
            });
            match answer.await.ok()? {
                Ok(answer) => Some(answer),
                Err(error) => {
                    tracing::warn!(%error, "a visitor's page could not ask the ledger");
                    None
                }
            }
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => answer,
            Err(_) => {
                if let Ok(stop) = stopper.try_recv() {
                    stop();
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{block, entry};
    use crate::ledger::{Ledger, Settings};

    use tempfile::TempDir;

    #[tokio::test]
    async fn e6_nobody_waits_for_the_vendors_of_a_site() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("ledger.db");
        let ledger = Ledger::open(Settings::new(&path)).unwrap();
        let mut spool = ledger.spool(0).unwrap();
        spool.append(&entry(1, "/", [block("a.example/1.js")]));
        drop(spool);
        ledger.close().unwrap();
        let recall = Recall::new(path, Arc::default());
        assert_eq!(recall.seen("shop"), None, "the first one only asks");
        let known = loop {
            if let Some(known) = recall.seen("shop") {
                break known;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(known.iter().map(String::as_str).collect::<Vec<_>>(), ["acme-ads"]);
        let again = recall.seen("shop").unwrap();
        assert!(Arc::ptr_eq(&known, &again), "asked once a minute at most");
    }

    #[tokio::test]
    async fn e11_what_takes_too_long_is_broken_off() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("ledger.db");
        Ledger::open(Settings::new(&path)).unwrap().close().unwrap();
        let recall = Recall::new(path, Arc::default());
        let (ended, end) = std::sync::mpsc::channel();
        let answer: Option<()> = recall
            .ask(move |ledger| {
                let endless = ledger.endless();
                ended.send(()).unwrap();
                endless
            })
            .await;
        assert_eq!(answer, None);
        end.recv_timeout(Duration::from_secs(20)).expect("the question has ended");
    }
}
