//! Looks at every site from outside, again and again: a synthetic visitor who
//! is undecided, sends Global Privacy Control, refuses, accepts and takes it
//! back.
//!
//! A site whose protection has broken looks as it always did, to everybody who
//! does not read its source; it can stay so for weeks. This finds out within
//! one interval. The visitor comes over a connection like everybody's, loads
//! nothing that a page names, and is in no figure.

mod canary;
mod journey;
mod judge;
mod loads;
mod stranger;

pub use journey::State;
pub use judge::Finding;

use crate::observe::{Observe, SelfCheckEnded, StateChecked};
use crate::proxy::{Certificates, Synthetic, SyntheticKey};
use crate::site::{Site, Sites};
use crate::watch::now_ms;
use journey::{Found, Journey};
use stranger::Way;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a start has the machine to itself before the first look.
const PAUSE: Duration = Duration::from_secs(2);

/// What an operator can set about the self-check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often; zero for never.
    pub interval: Duration,
    /// Which page of each site.
    pub path: String,
    /// Under which host a site is looked at that answers to any.
    pub host: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(300), path: "/".to_owned(), host: None }
    }
}

/// What is known, for the dashboard, `/readyz` and alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Seconds between two looks; 0 when nobody looks.
    pub interval_s: u64,
    /// When the last look ended, in milliseconds since 1970.
    pub last_run_ms: Option<u64>,
    /// What was found on each site.
    pub sites: Vec<SiteStatus>,
}

impl Status {
    /// Whether everything that was looked at is as it must be; nothing as long
    /// as nobody has looked at any site.
    #[must_use]
    pub fn is_green(&self) -> Option<bool> {
        let mut states = self.sites.iter().flat_map(|site| &site.states).peekable();
        states.peek()?;
        Some(states.all(|state| state.ok))
    }

    /// The sites that nobody looks at, and why not.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sites.iter().filter_map(|site| Some((site.site.as_str(), site.skipped.as_deref()?)))
    }
}

/// What was found on one site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteStatus {
    /// Its name.
    pub site: String,
    /// Under which host it was looked at.
    pub host: Option<String>,
    /// Which of its pages.
    pub path: String,
    /// Why nobody looks at it, if nobody does.
    pub skipped: Option<String>,
    /// What was found in each state.
    pub states: Vec<StateStatus>,
}

impl SiteStatus {
    /// Whether it is among those that were looked at.
    fn is_among(&self, all: &[Self]) -> bool {
        all.iter().any(|other| other.site == self.site && !other.states.is_empty())
    }
}

/// What was found in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateStatus {
    /// What the synthetic visitor had said.
    pub state: State,
    /// Whether everything was as it must be.
    pub ok: bool,
    /// Since when that is so, in milliseconds since 1970.
    pub since_ms: u64,
    /// What was not.
    pub findings: Vec<Finding>,
    /// Why the site's own page could not be looked at, if so; what the canary
    /// page tells holds all the same.
    pub unseen: Option<String>,
}

/// The self-check of a running proxy.
#[derive(Debug)]
pub struct SelfCheck {
    settings: ArcSwap<Settings>,
    key: Option<SyntheticKey>,
    canary: Option<canary::Server>,
    status: Mutex<Status>,
    soon: Notify,
}

impl SelfCheck {
    /// Prepares it: after this the proxy can be started, and then it.
    pub async fn prepare(settings: Settings) -> Arc<Self> {
        let (mut key, mut canary) = (None, None);
        if !settings.interval.is_zero() {
            key = SyntheticKey::generate();
            match canary::Server::start().await {
                Ok(server) => canary = Some(server),
                Err(error) => tracing::error!(%error, "the self-check cannot start its canary"),
            }
        }
        let status =
            Mutex::new(Status { interval_s: settings.interval.as_secs(), ..Status::default() });
        Arc::new(Self {
            settings: ArcSwap::from_pointee(settings),
            key,
            canary,
            status,
            soon: Notify::new(),
        })
    }

    /// What the proxy has to know of the synthetic visitor.
    #[must_use]
    pub fn synthetic(&self) -> Option<Synthetic> {
        let (key, canary) = (self.key.clone()?, self.canary.as_ref()?.address);
        Some(Synthetic { key, canary })
    }

    /// What is known.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the sites as other settings say, from the next look on. How
    /// often stays as it was: with zero, nothing is there to look with.
    pub fn configure(&self, fresh: Settings) {
        let interval = self.settings.load().interval;
        self.settings.store(Arc::new(Settings { interval, ..fresh }));
    }

    /// Has it look again at once: something has changed.
    pub fn soon(&self) {
        self.soon.notify_one();
    }

    /// Looks at the sites at the interval, until the task is ended.
    pub fn start(
        self: &Arc<Self>,
        listen: SocketAddr,
        certificates: Option<&Arc<Certificates>>,
        announced: bool,
        sites: Arc<ArcSwap<Sites>>,
        observe: Arc<Observe>,
    ) -> Option<Task> {
        let interval = self.settings.load().interval;
        let key = self.key.clone().filter(|_| self.canary.is_some())?;
        let way = match Way::new(listen, certificates, announced, key) {
            Ok(way) => way,
            Err(error) => {
                tracing::error!(%error, "the self-check cannot connect to its own proxy");
                return None;
            }
        };
        let check = Arc::clone(self);
        Some(Task(tokio::spawn(async move {
            tokio::time::sleep(PAUSE.min(interval)).await;
            loop {
                check.look(&way, &sites.load_full(), &observe).await;
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = check.soon.notified() => {}
                }
            }
        })))
    }

    /// Looks at all sites once.
    async fn look(&self, way: &Way, sites: &Sites, observe: &Observe) {
        let settings = self.settings.load_full();
        let mut all = Vec::new();
        for site in sites.iter() {
            all.push(self.look_at(way, site, &settings, observe).await);
        }
        let now_ms = now_ms();
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in status.sites.iter().filter(|site| !site.is_among(&all)) {
            for state in &gone.states {
                observe.metrics().forget_self_check(&gone.site, state.state.name());
            }
        }
        status.sites = all;
        status.last_run_ms = Some(now_ms);
        drop(status);
        observe.emit(&SelfCheckEnded { time_s: now_ms / 1000 });
    }

    async fn look_at(
        &self,
        way: &Way,
        site: &Site,
        settings: &Settings,
        observe: &Observe,
    ) -> SiteStatus {
        let host = site.hosts.first().or(settings.host.as_ref()).cloned();
        let mut status = SiteStatus {
            site: site.name.to_string(),
            host: host.clone(),
            path: settings.path.clone(),
            skipped: None,
            states: Vec::new(),
        };
        let Some(host) = host else {
            let why = "it answers to any host; say under which with `host` in [self_check]";
            status.skipped = Some(why.to_owned());
            return status;
        };
        let (path, now_s) = (settings.path.as_str(), now_ms() / 1000);
        let journey = Journey { way, site, host: &host, path, now_s };
        if !journey.is_enforced() {
            status.skipped = Some("nothing is withheld there (`mode = \"observe\"`)".to_owned());
            return status;
        }
        let found = journey.visit().await;
        status.states = found.into_iter().map(|found| self.judged(site, found, observe)).collect();
        status
    }

    /// What was found, compared to the look before.
    fn judged(&self, site: &Site, found: Found, observe: &Observe) -> StateStatus {
        let Found { state, findings, unseen } = found;
        let ok = findings.is_empty();
        let before = self.before(&site.name, state).filter(|before| before.ok == ok);
        let since_ms = before.as_ref().map_or_else(now_ms, |before| before.since_ms);
        let told = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let site = &*site.name;
        let changed = before.is_none();
        observe.emit(&StateChecked { site, state: state.name(), ok, changed, findings: &told });
        StateStatus { state, ok, since_ms, findings, unseen }
    }

    fn before(&self, site: &str, state: State) -> Option<StateStatus> {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let known = status.sites.iter().find(|known| known.site == site)?;
        known.states.iter().find(|known| known.state == state).cloned()
    }
}

/// What runs in the background; it ends when dropped.
#[derive(Debug)]
pub struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
