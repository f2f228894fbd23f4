//! What every page and every answer is made from.

use crate::dashboard::change::Orders;
use crate::dashboard::entrance::{Entrance, link_file};
use crate::dashboard::session::{Session, Sessions};
use crate::dashboard::settings::Settings;
use crate::dashboard::strangers::Strangers;
use crate::dashboard::throttle::Throttle;
use crate::ledger::Ledger;
use crate::observe::Observe;
use crate::site::Sites;
use crate::watch::{Desk, SelfCheck};

use arc_swap::ArcSwap;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::Semaphore;

/// What the admin listener answers from.
#[derive(Debug)]
pub struct Admin {
    /// Counters.
    pub observe: Arc<Observe>,
    /// The ledger's state.
    pub ledger: Arc<Ledger>,
    /// The sites that are served now.
    pub sites: Arc<ArcSwap<Sites>>,
    /// Whether the proxy has been told to stop.
    pub draining: Arc<AtomicBool>,
    /// What a synthetic visitor sees from outside.
    pub self_check: Arc<SelfCheck>,
    /// What people are told.
    pub desk: Arc<Desk>,
    /// Who may enter.
    pub settings: Settings,
    /// Where changes go.
    pub orders: Orders,
}

/// Passwords that are checked at the same time: each takes 19 MB and a core.
const PASSWORDS_AT_ONCE: usize = 2;

/// Everything behind the admin listener.
#[derive(Debug)]
pub(super) struct Office {
    pub(super) observe: Arc<Observe>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) sites: Arc<ArcSwap<Sites>>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) self_check: Arc<SelfCheck>,
    pub(super) desk: Arc<Desk>,
    pub(super) settings: ArcSwap<Settings>,
    pub(super) orders: Orders,
    /// Where we listen.
    pub(super) address: SocketAddr,
    pub(super) sessions: Sessions,
    pub(super) throttle: Throttle,
    pub(super) entrance: Entrance,
    pub(super) passwords: Arc<Semaphore>,
    pub(super) strangers: Strangers,
}

impl Office {
    pub(super) fn new(admin: Admin, address: SocketAddr) -> Self {
        let Admin { observe, ledger, sites, draining, self_check, desk, settings, orders } = admin;
        let entrance = Entrance::new(link_file(ledger.path()), address);
        let office = Self {
            observe,
            ledger,
            sites,
            draining,
            self_check,
            desk,
            settings: ArcSwap::default(),
            orders,
            address,
            sessions: Sessions::default(),
            throttle: Throttle::default(),
            entrance,
            passwords: Arc::new(Semaphore::new(PASSWORDS_AT_ONCE)),
            strangers: Strangers::default(),
        };
        office.configure(settings);
        office
    }

    /// Goes by other settings from the next request on.
    pub(super) fn configure(&self, settings: Settings) {
        self.entrance.open(settings.users.is_empty() && self.is_local());
        self.settings.store(Arc::new(settings));
    }

    /// Whether only this machine can reach us.
    pub(super) fn is_local(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// Whether there is any way to enter.
    pub(super) fn has_door(&self) -> bool {
        self.is_local() || !self.settings.load().users.is_empty()
    }
}

/// Both ends of a connection to us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Who connected.
    pub(super) address: IpAddr,
    /// Which of this machine's addresses they connected to.
    pub(super) local: IpAddr,
}

/// What a page is made from: who asks, and what there is to show.
///
/// Written as an argument of a page's function, it is there: nobody who is not
/// signed in gets so far.
#[derive(Clone, Debug)]
pub struct Context {
    /// Who asks.
    pub session: Session,
    pub(super) office: Arc<Office>,
}

impl Context {
    /// Where the ledger is.
    #[must_use]
    pub fn ledger_file(&self) -> &Path {
        self.office.ledger.path()
    }

    /// What a synthetic visitor sees from outside.
    #[must_use]
    pub fn self_check(&self) -> &SelfCheck {
        &self.office.self_check
    }

    /// What people were told.
    #[must_use]
    pub fn desk(&self) -> &Desk {
        &self.office.desk
    }

    /// The ledger, to ask how it is and to write down what is changed.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.office.ledger
    }

    /// The sites that are served now.
    #[must_use]
    pub fn sites(&self) -> Arc<Sites> {
        self.office.sites.load_full()
    }

    /// Events and counters.
    #[must_use]
    pub fn observe(&self) -> &Observe {
        &self.office.observe
    }
}

impl FromRequestParts<Arc<Office>> for Context {
    type Rejection = StatusCode;

    async fn from_request_parts(
        parts: &mut Parts,
        office: &Arc<Office>,
    ) -> Result<Self, Self::Rejection> {
        // Only a route that anybody may ask has none: a page of the wrong kind.
        let session = parts.extensions.get::<Session>().ok_or(StatusCode::UNAUTHORIZED)?;
        Ok(Self { session: session.clone(), office: Arc::clone(office) })
    }
}
