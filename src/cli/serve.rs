//! `consentry serve`: the main job.

mod args;
mod baton;
mod file_watch;
mod handed;
mod last_good;
mod life;
mod outlets;
mod supervisor;

pub use args::ServeArgs;
pub use handed::Handed;
use last_good::First;

use crate::cli::{CONFIGURATION, IO, UNAVAILABLE, logging};
use crate::config::{self, AtStart, Compiled, KeyMode, Refresher, Stamps};
use crate::dashboard::{Admin, AdminServer, Change, Order, classified_file};
use crate::declaration::{self, Declarations};
use crate::ledger::{self, Audit, Ledger};
use crate::mistake::Mistake;
use crate::observe::{ConfigReloaded, ExceptionExpired, Observe, Outlets};
use crate::proxy::{
    Archive, Archiving, Listening, Looking, Server, Setup, StartError, TlsError, Workbench,
    look_at_origins, look_up_aliases,
};
use crate::site::Sites;
use crate::watch::{Desk, SelfCheck, Telemetry, alerts, self_check};

use arc_swap::ArcSwap;
use jiff::civil::Date;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::HashSet;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Why serving did not begin, with its exit code.
#[derive(Debug)]
pub struct Failure {
    /// One of the codes in `cli`.
    pub code: i32,
    /// What to tell the operator.
    pub message: String,
}

impl Failure {
    fn new(code: i32, message: impl ToString) -> Self {
        Self { code, message: message.to_string() }
    }
}

/// Everything that runs.
#[derive(Debug)]
pub struct Running {
    /// The public side.
    pub server: Server,
    /// The operator's side.
    pub admin: AdminServer,
    /// Decisions.
    pub ledger: Arc<Ledger>,
    /// Events.
    pub observe: Arc<Observe>,
    sites: Arc<ArcSwap<Sites>>,
    /// Who is told of every exchange.
    outlets: Arc<Outlets>,
    telemetry: Option<Telemetry>,
    archive: Arc<Archive>,
    /// The words that visitors are asked with, on their way into the archive.
    archiving: Option<Archiving>,
    /// Whom the sites were met with, as visitors are told.
    declarations: Arc<Declarations>,
    declaring: Option<declaration::Task>,
    /// Looking at origins.
    origins: Looking,
    /// Which name server is asked about aliases.
    name_server: Option<SocketAddr>,
    lists: Option<Refresher>,
    /// What is seen from outside.
    pub self_check: Arc<SelfCheck>,
    looking: Option<self_check::Task>,
    /// What people are told.
    pub desk: Arc<Desk>,
    rounds: Option<alerts::Task>,
    draining: Arc<AtomicBool>,
    drain_delay: Duration,
    /// Changes that people want on the dashboard.
    orders: mpsc::Receiver<Order>,
    /// Exceptions whose expiry was told.
    told: Mutex<HashSet<String>>,
    /// The operator's files that are in force.
    written: Vec<(String, u64)>,
    /// What stays as it is until the next start.
    at_start: AtStart,
}

/// Reads the configuration again, as if the dashboard's file said that.
type Load = dyn Fn(Option<&str>) -> Loaded + Send + Sync;

/// What came of it, and the files that were read.
type Loaded = (Result<Compiled, Vec<Mistake>>, Stamps);

/// How many days before the end a certificate is to be renewed at the latest.
const CERTIFICATE_DAYS: i64 = 14;

/// How long a first start waits for lists that were never seen: the first
/// visitors deserve them, too, and a network that is not there must not keep
/// the site from starting.
const FIRST_LISTS: Duration = Duration::from_secs(5);

/// Changes that wait for each other.
const ORDERS: usize = 16;

impl Running {
    /// Starts ledger, proxy and admin listener.
    ///
    /// # Errors
    /// When one of them cannot start; then none runs.
    pub async fn start(compiled: Compiled) -> Result<Self, Failure> {
        Self::start_with(compiled, Default::default(), |_| {}).await
    }

    /// The same with other sockets for visitors, for the operator and for who
    /// comes without TLS, and with a look at the ledger before anything is recorded.
    ///
    /// # Errors
    /// When something cannot start; then nothing runs.
    pub async fn start_with(
        compiled: Compiled,
        (public, private, redirect): (Listening, Listening, Listening),
        look: impl FnOnce(&Ledger),
    ) -> Result<Self, Failure> {
        Self::start_beside(compiled, (public, private, redirect), look, None).await
    }

    /// The same with somebody beside it who builds the site.
    pub(in crate::cli) async fn start_beside(
        compiled: Compiled,
        (public, private, redirect): (Listening, Listening, Listening),
        look: impl FnOnce(&Ledger),
        workbench: Option<Arc<dyn Workbench>>,
    ) -> Result<Self, Failure> {
        let path = &compiled.ledger_file;
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty())
        {
            std::fs::create_dir_all(directory)
                .map_err(|error| Failure::new(IO, format!("{}: cannot make the ledger's directory: {error}; choose another place with --ledger", directory.display())))?;
        }
        let settings = ledger::Settings {
            retention: compiled.retention,
            fleet: compiled.fleet.clone(),
            ..ledger::Settings::new(path)
        };
        let ledger = Ledger::open(settings).map_err(|error| Failure::new(IO, error))?;
        look(&ledger);
        let ledger = Arc::new(ledger);
        let observe = Arc::new(Observe::default());
        let sites = Arc::new(ArcSwap::from_pointee(compiled.sites));
        let any_missing = compiled.lists.any_missing();
        let lists = Refresher::start(compiled.lists, Arc::clone(&sites), Arc::clone(&observe));
        if any_missing {
            let _ = tokio::time::timeout(FIRST_LISTS, lists.settled()).await;
        }
        let archive = Arc::new(Archive::default());
        let declarations = Arc::new(Declarations::default());
        let self_check = SelfCheck::prepare(compiled.self_check).await;
        let desk = Arc::new(Desk::open(path, compiled.alerts, Arc::clone(&observe)));
        let (outlets, telemetry) =
            outlets::open(compiled.access_log, compiled.otlp, &ledger, &observe)?;
        let setup = Setup {
            settings: compiled.proxy,
            listening: public,
            redirecting: redirect,
            sites: Arc::clone(&sites),
            ledger: Arc::clone(&ledger),
            observe: Arc::clone(&observe),
            archive: Arc::clone(&archive),
            declarations: Arc::clone(&declarations),
            outlets: Arc::clone(&outlets),
            synthetic: self_check.synthetic(),
            workbench,
        };
        let name_server = setup.settings.name_server;
        let drain_delay = setup.settings.timeouts.drain_delay;
        let announced = setup.settings.proxy_protocol;
        let draining = Arc::new(AtomicBool::new(false));
        let (send, orders) = mpsc::channel(ORDERS);
        let admin = Admin {
            observe: Arc::clone(&observe),
            ledger: Arc::clone(&ledger),
            sites: Arc::clone(&sites),
            draining: Arc::clone(&draining),
            settings: compiled.dashboard,
            self_check: Arc::clone(&self_check),
            orders: send,
            desk: Arc::clone(&desk),
        };
        let admin = AdminServer::start(compiled.admin, private, admin).await.map_err(|error| {
            Failure::new(UNAVAILABLE, format!("cannot listen on {} for health and metrics: {error}; choose another address with --admin", compiled.admin))
        })?;
        let origins = look_at_origins(&setup).map_err(|why| Failure::new(CONFIGURATION, why))?;
        let server = Server::start(setup).map_err(|error| {
            let code = match &error {
                StartError::Listen { .. } | StartError::Thread(_) => UNAVAILABLE,
                StartError::Tls(_) | StartError::Upstream(_) => CONFIGURATION,
                StartError::Spool(_) => IO,
            };
            Failure::new(code, error)
        })?;
        if let Some(aliases) = sites.load().aliases() {
            look_up_aliases(aliases, name_server);
        }
        let looking = self_check.start(
            server.address(),
            server.certificates(),
            announced,
            Arc::clone(&sites),
            Arc::clone(&observe),
        );
        let rounds = alerts::Rounds::new(
            Arc::clone(&desk),
            Arc::clone(&ledger),
            Arc::clone(&sites),
            Arc::clone(&observe),
            Arc::clone(&self_check),
        );
        let rounds = Some(rounds.start());
        let declaring = Some(declarations.start(Arc::clone(&sites), Arc::clone(&ledger)));
        let told = Mutex::default();
        let archiving = Some(archive.keep_all(sites.load_full(), Arc::clone(&ledger)));
        let running = Self {
            server,
            admin,
            ledger,
            observe,
            sites,
            outlets,
            telemetry,
            archive,
            archiving,
            declarations,
            declaring,
            origins,
            name_server,
            lists: Some(lists),
            self_check,
            looking,
            desk,
            rounds,
            draining,
            drain_delay,
            orders,
            told,
            written: compiled.written,
            at_start: compiled.at_start,
        };
        running.tell_expired(today());
        Ok(running)
    }

    /// Serves what a new configuration says from the next exchange on, as far
    /// as that can change while running: the sites and the lists. Lists with
    /// an address are asked for at once.
    ///
    /// # Errors
    /// When the certificates cannot be read; then everything stays.
    pub fn reload(&mut self, fresh: Compiled) -> Result<(), TlsError> {
        self.renew_certificates(&fresh)?;
        let later = self.at_start.other_than(&fresh.at_start);
        if !later.is_empty() {
            tracing::warn!(keys = later.join(", "), "what these keys say needs a restart");
        }
        if let Some(log) = &self.outlets.log {
            log.reopen();
        }
        self.adopt(fresh);
        if let Some(lists) = &self.lists {
            lists.refresh_soon();
        }
        Ok(())
    }

    /// Shows visitors the certificates that a new configuration names. TLS
    /// itself comes and goes with a restart.
    fn renew_certificates(&self, fresh: &Compiled) -> Result<(), TlsError> {
        match (self.server.certificates(), fresh.proxy.all_tls()?.as_slice()) {
            (None, []) => {}
            (Some(certificates), files @ [_, ..]) => certificates.replace(files)?,
            (None, [_, ..]) | (Some(_), []) => {
                tracing::warn!("whether visitors come over https changes with a restart");
            }
        }
        Ok(())
    }

    /// The same, without asking for lists.
    fn adopt(&mut self, fresh: Compiled) {
        say(&fresh.warnings);
        // First, so that no list of before is swapped in afterwards.
        self.lists = None;
        self.archiving = None;
        self.self_check.configure(fresh.self_check);
        self.replace_sites(fresh.sites);
        self.desk.configure(fresh.alerts);
        self.observe.metrics().forget_lists();
        self.admin.configure(fresh.dashboard);
        let (sites, ledger) = (self.sites.load_full(), Arc::clone(&self.ledger));
        self.archiving = Some(self.archive.keep_all(sites, ledger));
        let (sites, observe) = (Arc::clone(&self.sites), Arc::clone(&self.observe));
        self.lists = Some(Refresher::start(fresh.lists, sites, observe));
        self.tell_expired(today());
        self.written = fresh.written;
    }

    /// Carries out what somebody wants changed. What waits for the disk or
    /// takes long is done elsewhere: the admin listener answers meanwhile.
    async fn change(
        &mut self,
        changes: Vec<Change>,
        mut audit: Audit,
        load: Arc<Load>,
    ) -> Result<(Stamps, bool), String> {
        let (ledger, written) = (Arc::clone(&self.ledger), self.written.clone());
        let kept = tokio::task::spawn_blocking(move || {
            keep(&ledger, &changes, &mut audit, &written, &*load)
        });
        let (fresh, stamps) = kept.await.map_err(|error| error.to_string())??;
        let watch = fresh.reload.watch;
        // The change is kept already, so it holds whatever is wrong with those.
        if let Err(error) = self.renew_certificates(&fresh) {
            tracing::warn!(%error, "the certificates stay as they were");
        }
        self.adopt(fresh);
        // What the operator changed meanwhile holds now, too.
        self.observe.emit(&ConfigReloaded { cause: "dashboard", failure: None });
        Ok((stamps, watch))
    }

    /// Nothing can be changed on the dashboard from now on.
    pub fn refuse_changes(&mut self) {
        self.orders.close();
    }

    /// Asks for newer lists now, and returns when that is done.
    pub async fn refresh_lists(&self) {
        if let Some(lists) = &self.lists {
            lists.refresh().await;
        }
    }

    /// Asks the ledger now whom visitors are told of, and returns when that is
    /// done.
    pub async fn renew_declarations(&self) {
        self.declarations.renew(self.sites.load_full(), Arc::clone(&self.ledger)).await;
    }

    /// Says which exceptions have expired by `today`, each once, and which
    /// certificates soon will, once a day.
    pub fn tell_expired(&self, today: Date) {
        let certificates = self.server.certificates().map(|all| all.expiries());
        let certificates = certificates.unwrap_or_default();
        self.observe.metrics().certificates_expire(&certificates);
        let now_s = jiff::Timestamp::now().as_second();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let sites = self.sites.load();
        for exception in sites.iter().flat_map(|site| site.policy.exceptions()) {
            let (exception, place) = match exception.holds_on(today) {
                false => (exception.to_string(), exception.place.to_string()),
                true => continue,
            };
            if told.insert(format!("{place} {exception}")) {
                let event = ExceptionExpired { exception: &exception, place: &place };
                self.observe.emit(&event);
            }
        }
        for (path, expiry) in certificates {
            let days = (i64::try_from(expiry).unwrap_or(i64::MAX) - now_s) / (24 * 60 * 60);
            if days < CERTIFICATE_DAYS && told.insert(format!("{} {today}", path.display())) {
                tracing::warn!(file = %path.display(), days, "a certificate has to be renewed");
            }
        }
    }

    /// The sites that are served now.
    #[must_use]
    pub fn sites(&self) -> Arc<Sites> {
        self.sites.load_full()
    }

    /// Serves other sites from the next exchange on. What is known of own
    /// names stays known.
    pub fn replace_sites(&self, sites: Sites) {
        if let Some(aliases) = sites.aliases() {
            if let Some(known) = self.sites.load().aliases() {
                aliases.adopt(known);
            }
            look_up_aliases(aliases, self.name_server);
        }
        sites.adopt_origins(&self.sites.load());
        self.sites.store(Arc::new(sites));
        self.origins.reloaded();
        self.self_check.soon();
        self.declarations.soon();
    }

    /// Says that no more visitors are wanted, to whoever asks and to those who
    /// come all the same; they are still served.
    pub fn leave(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.server.leave();
    }

    /// Stops: no more visitors, what is under way finishes, and everything on
    /// record is in the database.
    ///
    /// # Errors
    /// When the ledger could not take everything in time; it stays spooled.
    pub async fn stop(self) -> Result<(), ledger::Error> {
        self.leave();
        let Self { server, admin, ledger, archiving, declaring, looking, rounds, .. } = self;
        let Self { outlets, telemetry, origins, .. } = self;
        drop((looking, rounds, declaring, origins));
        let stopped = tokio::task::spawn_blocking(move || {
            server.stop();
            // The last lines are written.
            drop((archiving, outlets));
        })
        .await;
        if let Some(telemetry) = telemetry {
            telemetry.finish().await;
        }
        if let Err(error) = stopped {
            tracing::error!(%error, "a worker did not stop in order");
        }
        drop(admin);
        // Connections of the admin listener may hold the ledger a moment longer.
        for _ in 0..20 {
            if Arc::strong_count(&ledger) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::task::spawn_blocking(move || match Arc::try_unwrap(ledger) {
            Ok(ledger) => ledger.close(),
            Err(ledger) => ledger.flush(),
        })
        .await
        .unwrap_or(Ok(()))
    }
}

/// Checks the whole configuration with changes in it, puts them on record, and
/// keeps them.
fn keep(
    ledger: &Ledger,
    changes: &[Change],
    audit: &mut Audit,
    written: &[(String, u64)],
    load: &Load,
) -> Result<(Compiled, Stamps), String> {
    let path = classified_file(ledger.path());
    let unreadable = |error| format!("{}: {error}", path.display());
    let before = config::classified_text(&path).map_err(unreadable)?;
    let text = config::changed(&before, changes)?;
    let name = path.display().to_string();
    let (fresh, mut stamps) = load(Some(&text));
    let fresh = fresh.map_err(|mistakes| {
        // What was just written there has no place that anybody could look at.
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            mistakes.into_iter().partition(|mistake| mistake.file == name);
        let here = here.iter().map(|mistake| match &mistake.advice {
            Some(advice) => format!("{}: {advice}.", mistake.message),
            None => format!("{}.", mistake.message),
        });
        here.chain(elsewhere.iter().map(ToString::to_string)).collect::<Vec<_>>().join("\n")
    })?;
    let along: Vec<_> = fresh
        .written
        .iter()
        .filter(|file| !written.contains(file))
        .map(|(name, _)| name.as_str())
        .collect();
    if let (Some(detail), false) = (audit.detail.as_object_mut(), along.is_empty()) {
        detail.insert("taken_along".to_owned(), along.into());
    }
    ledger.audit(audit).map_err(|error| error.to_string())?;
    config::keep_classified(&path, &text).map_err(|error| {
        let failed =
            Audit { detail: error.to_string().into(), act: "failed".to_owned(), ..audit.clone() };
        let _ = ledger.audit(&failed);
        unreadable(error)
    })?;
    stamps.wrote(&path);
    Ok((fresh, stamps))
}

/// Serves until told to stop; the exit code.
pub fn run(args: &ServeArgs, out: &mut dyn Write) -> i32 {
    let handed = match Handed::take() {
        Ok(handed) => handed,
        Err(failure) => {
            let _ = writeln!(out, "{}", failure.message);
            return failure.code;
        }
    };
    let (file, flags) = (args.config.clone(), args.overrides());
    let load = move |classified: Option<&str>| {
        let variables = config::environment();
        config::load_stamped(file.as_deref(), variables, &flags, KeyMode::Create, classified)
    };
    let First { compiled, stamps, instead } = match last_good::first(args, &load, out) {
        Ok(first) => first,
        Err(code) => return code,
    };
    logging::start(compiled.log);
    if let Some(kept) = instead {
        let (file, since) = (kept.path.display(), kept.since);
        tracing::error!(%file, %since, "the configuration has mistakes; started with the one that worked last");
    }
    let files = raise_file_limit();
    say(&compiled.warnings);
    for note in &compiled.notes {
        tracing::info!("{note}");
    }
    let connections = compiled.proxy.limits.connections;
    if let Some(files) = files.filter(|files| files / 2 < connections as u64) {
        tracing::info!(
            files,
            connections,
            "fewer open files are allowed than two for each of `limits.connections`: visitors who rest will \
             be asked to go first; raise `ulimit -n` (LimitNOFILE), or lower `limits.connections`"
        );
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(out, "no runtime: {error}");
            return UNAVAILABLE;
        }
    };
    runtime.block_on(async {
        match life::serve(args, handed, (compiled, stamps), Arc::new(load)).await {
            Ok(code) => code,
            Err(failure) => {
                let _ = writeln!(out, "{}", failure.message);
                failure.code
            }
        }
    })
}

/// Takes as many open files as the system gives: each exchange needs two, and
/// what most systems begin with is one thousand. How many there are then.
fn raise_file_limit() -> Option<u64> {
    let limits = getrlimit(Resource::Nofile);
    // Where it is not allowed, it stays as it is.
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limits.maximum,
        Err(_) => limits.current,
    }
}

/// What works, but not as the operator may think.
fn say(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// The day it is in UTC.
fn today() -> Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}
