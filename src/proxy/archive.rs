//! Keeps the words that visitors are asked with, and which of them a choice
//! was made on.

use crate::catalogue::Vendor;
use crate::consent::{Consent, Record};
use crate::ledger::read::Reader;
use crate::ledger::receipt::{TextHash, UNSEEN, hash_of};
use crate::ledger::{Act, Ledger, Method, Notice, Receipt, Spool};
use crate::proxy::exchange::now_ms;
use crate::site::{Site, Sites};
use crate::visitor::{self, Visit};

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a start has the machine to itself.
const PAUSE: Duration = Duration::from_secs(2);

/// The number of the archive's spool among those of the workers.
const ARCHIVIST: usize = 9999;

/// Which notices are in the archive, as far as this process put them there.
#[derive(Debug, Default)]
pub struct Archive {
    known: Mutex<HashMap<Shown, Hashes>>,
}

/// What a notice looks like depends on these, and on the site's settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shown {
    site: Arc<str>,
    language: String,
    gpc: bool,
}

#[derive(Clone, Debug)]
struct Hashes {
    /// The settings the two were made from.
    of: Weak<Site>,
    first: TextHash,
    choices: TextHash,
}

/// Archiving under way; it ends when this is dropped.
#[derive(Debug)]
pub struct Archiving {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Archiving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Archive {
    /// Sees to it that what `visit` is asked with is in the archive; `put` takes
    /// what is not there yet.
    fn hashes(
        &self,
        visit: &Visit<'_>,
        site: &Arc<Site>,
        gpc: bool,
        mut put: impl FnMut(&Notice),
    ) -> Hashes {
        let shown =
            Shown { site: Arc::clone(&site.name), language: visit.language().to_owned(), gpc };
        let known = |of: &HashMap<Shown, Hashes>| of.get(&shown).cloned();
        if let Some(hashes) = known(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
            .filter(|hashes| std::ptr::eq(hashes.of.as_ptr(), Arc::as_ptr(site)))
        {
            return hashes;
        }
        let [first, choices] = visitor::archived(visit, gpc);
        put(&first);
        put(&choices);
        let hashes = Hashes {
            of: Arc::downgrade(site),
            first: hash_of(&first.html),
            choices: hash_of(&choices.html),
        };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(shown, hashes.clone());
        hashes
    }

    /// Puts the notices of all `sites` into the archive, in every language they
    /// can be shown in, without anybody having to wait for it.
    #[must_use]
    pub fn keep_all(self: &Arc<Self>, sites: Arc<Sites>, ledger: Arc<Ledger>) -> Archiving {
        let (stop, stopped) = mpsc::channel();
        let archive = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("archive".to_owned())
            .spawn(move || archive.work(&sites, &ledger, &stopped))
            // A choice brings its own notice along.
            .inspect_err(|error| tracing::warn!(%error, "no thread to archive notices"));
        Archiving { stop: Some(stop), thread: thread.ok() }
    }

    fn work(&self, sites: &Sites, ledger: &Ledger, stopped: &Receiver<()>) {
        // A start has more pressing things to do.
        if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let mut spool = match ledger.spool(ARCHIVIST) {
            Ok(spool) => spool,
            Err(error) => return tracing::warn!(%error, "notices cannot be archived now"),
        };
        let silent = Consent::silent();
        for site in sites.iter() {
            let there = Reader::open(ledger.path()).and_then(|ledger| ledger.notices(&site.name));
            // Unread, they are archived once more; the ledger keeps them once.
            let there = there.unwrap_or_default();
            for visit in visitor::in_every_language(site, &silent, now_ms() / 1000) {
                for gpc in [false, true] {
                    if stopped.try_recv() != Err(TryRecvError::Empty) {
                        return;
                    }
                    self.hashes(&visit, site, gpc, |notice| {
                        if !there.contains(&hash_of(&notice.html)) {
                            spool.archive(notice);
                        }
                    });
                }
            }
        }
    }

    /// Puts a choice on record, and before it the words it was made on.
    pub(super) fn keep(
        &self,
        choice: &Choice<'_>,
        visit: &Visit<'_>,
        site: &Arc<Site>,
        spool: &Mutex<Spool>,
    ) {
        let mut spool = spool.lock().unwrap_or_else(PoisonError::into_inner);
        let gpc = choice.record.made_under_gpc;
        let hashes = self.hashes(visit, site, gpc, |notice| spool.archive(notice));
        spool.keep(&receipt(choice, visit, &hashes));
    }
}

/// A choice, and how it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<'a> {
    /// What counts from now on.
    pub(super) record: &'a Record,
    /// Where it was made.
    pub(super) method: Method,
    /// Whether it was about one vendor alone.
    pub(super) one_vendor: bool,
}

fn receipt(choice: &Choice<'_>, visit: &Visit<'_>, hashes: &Hashes) -> Receipt {
    let record = choice.record;
    let takes_back = visit.consent.record().is_some_and(|before| takes_back(before, record, visit));
    let act = match Act::of(record, takes_back) {
        act if act == Act::Withdraw || !choice.one_vendor => act,
        _ => Act::Vendor,
    };
    let settings = &visit.site.consent;
    let seen =
        |hash| if record.notice_revision == settings.notice_revision { hash } else { UNSEEN };
    Receipt {
        number: record.receipt,
        time_ms: visit.now_s.saturating_mul(1000),
        site: visit.site.name.to_string(),
        granted: record.granted,
        asked: record.decided,
        vendors_allowed: record.vendors.allowed().to_vec(),
        vendors_refused: record.vendors.refused().to_vec(),
        act,
        method: choice.method,
        gpc: record.made_under_gpc,
        notice_revision: record.notice_revision,
        notice: seen(hashes.first),
        choices: seen(hashes.choices),
        language: visit.language().to_owned(),
        valid_s: settings.lifetime_s.saturating_sub(visit.now_s.saturating_sub(record.time_s)),
    }
}

/// Whether something that was granted before is not any more: a purpose, or a
/// vendor about which one of the two choices says something of its own.
fn takes_back(before: &Record, now: &Record, visit: &Visit<'_>) -> bool {
    let may = |choice: &Record, vendor: &Vendor| {
        let by_purpose = || choice.granted.contains_all(vendor.purposes);
        !choice.vendors.refuses(&vendor.id) && (choice.vendors.allows(&vendor.id) || by_purpose())
    };
    before.granted.iter().any(|purpose| !now.granted.contains(purpose))
        || visit
            .site
            .policy
            .catalogue()
            .vendors()
            .filter(|vendor| before.vendors.allows(&vendor.id) || now.vendors.refuses(&vendor.id))
            .any(|vendor| may(before, vendor) && !may(now, vendor))
}
