//! Looks at origins from time to time, where the operator gave a path for
//! that, and never while a visitor waits.

use crate::observe::{Observe, OriginChanged, OriginFailed, OriginServed};
use crate::proxy::Setup;
use crate::proxy::body::RequestBody;
use crate::proxy::upstream::address;
use crate::proxy::upstream::connect::{Connector, Offer};
use crate::proxy::upstream::pool::Sender;
use crate::proxy::upstream::{UpstreamError, chain, tls_config};
use crate::site::{Change, Origin, Site, Sites};

use arc_swap::ArcSwap;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// Looking at origins; it ends when this is dropped.
#[derive(Debug)]
pub struct Looking {
    task: JoinHandle<()>,
    reloaded: Arc<Notify>,
    sites: Arc<ArcSwap<Sites>>,
    observe: Arc<Observe>,
}

impl Looking {
    /// Other sites are served from now on.
    pub fn reloaded(&self) {
        self.tell();
        self.reloaded.notify_one();
    }

    /// Says which origins there are, and of no others.
    fn tell(&self) {
        self.observe.metrics().forget_origins();
        for site in self.sites.load().iter() {
            for origin in site.origins.iter() {
                let (site, is_up) = (&*site.name, origin.is_up());
                self.observe.emit(&OriginServed { site, origin: &origin.url, is_up });
            }
        }
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Looks at the origins of all sites that name a path for it. Needs a runtime
/// to run on.
///
/// # Errors
/// When the operator's certificate authorities cannot be read.
pub fn look_at_origins(setup: &Setup) -> Result<Looking, UpstreamError> {
    let settings = &setup.settings;
    let tls = tls_config(settings.origin_ca_file.as_deref())?;
    let reloaded = Arc::new(Notify::new());
    let (sites, observe) = (Arc::clone(&setup.sites), Arc::clone(&setup.observe));
    let connector = Arc::new(Connector::new(settings, &tls, &Arc::default()));
    let look = Look { connector, sites: Arc::clone(&sites), observe: Arc::clone(&observe) };
    let rounds = Rounds { look, reloaded: Arc::clone(&reloaded) };
    let looking = Looking { task: tokio::spawn(rounds.run()), reloaded, sites, observe };
    looking.tell();
    Ok(looking)
}

/// One origin of one site, by name and address.
type Key = (Arc<str>, Arc<str>);

struct Rounds {
    look: Look,
    reloaded: Arc<Notify>,
}

impl Rounds {
    async fn run(self) {
        let mut due: HashMap<Key, Instant> = HashMap::new();
        let mut under_way: JoinSet<()> = JoinSet::new();
        loop {
            while under_way.try_join_next().is_some() {}
            let now = Instant::now();
            let mut next: HashMap<Key, Instant> = HashMap::new();
            let sites = self.look.sites.load_full();
            for site in sites.iter().filter(|site| site.origins.health.path.is_some()) {
                let health = &site.origins.health;
                for (index, origin) in site.origins.iter().enumerate() {
                    let key = (Arc::clone(&site.name), Arc::clone(&origin.url));
                    let mut at = due.get(&key).copied().unwrap_or(now);
                    if at <= now {
                        let (look, site) = (self.look.clone(), Arc::clone(site));
                        under_way.spawn(async move { look.at(&site, index).await });
                        // One look at a time.
                        at = now + health.interval.max(health.timeout);
                    }
                    next.insert(key, at);
                }
            }
            due = next;
            match due.values().min() {
                Some(at) => {
                    tokio::select! {
                        () = sleep_until(*at) => {}
                        () = self.reloaded.notified() => {}
                    }
                }
                None => self.reloaded.notified().await,
            }
        }
    }
}

#[derive(Clone)]
struct Look {
    connector: Arc<Connector>,
    sites: Arc<ArcSwap<Sites>>,
    observe: Arc<Observe>,
}

impl Look {
    async fn at(&self, site: &Arc<Site>, index: usize) {
        let Some(origin) = site.origins.iter().nth(index) else { return };
        let limit = site.origins.health.timeout;
        let why = match timeout(limit, self.ask(site, origin)).await {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some(format!("no answer within `health.timeout_s` ({limit:?})")),
        };
        // What a reload took away is nobody's business any more.
        let is_served = |other: &Arc<Site>| Arc::ptr_eq(&other.origins, &site.origins);
        if !self.sites.load().iter().any(is_served) {
            return;
        }
        let (name, url) = (&*site.name, &*origin.url);
        if why.is_some() {
            let failed = OriginFailed { site: name, origin: url, reason: "health" };
            self.observe.emit(&failed);
        }
        if let Some(change) = site.origins.looked(origin, why.is_none()) {
            let is_up = change == Change::Back;
            let why = why.unwrap_or_default();
            self.observe.emit(&OriginChanged { site: name, origin: url, is_up, why: &why });
        }
    }

    /// Asks once, and says what is not well.
    async fn ask(&self, site: &Site, origin: &Origin) -> Result<(), String> {
        let origins = &site.origins;
        let offer = Offer::of(origins.http2, false);
        let sender = self.connector.connect(origin, offer).await;
        let mut sender = sender.map_err(|error| error.to_string())?;
        let path = origins.health.path.as_deref().unwrap_or("/");
        let mut request = Request::new(RequestBody::none());
        *request.uri_mut() = path.parse().map_err(|_| format!("`{path}` is no path"))?;
        let host = site.hosts.first().map_or(origin.authority.as_str(), String::as_str);
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(host) {
            headers.insert(HOST, host);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static("consentry-health"));
        let is_http2 = matches!(sender, Sender::Http2(..));
        if !is_http2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        address(&mut request, origins, origin, is_http2).map_err(|error| error.to_string())?;
        let response = match &mut sender {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender, _) => sender.send_request(request).await,
        };
        let status = response.map_err(|error| chain(&error))?.status();
        if status.is_success() || status.is_redirection() {
            return Ok(());
        }
        Err(format!("`{path}` answers {}", status.as_u16()))
    }
}
