//! `consentry serve`: the main job.

use crate::cli::{CONFIGURATION, FINE, IO, UNAVAILABLE, logging};
use crate::config::{self, Compiled, KeyMode, Overrides, Refresher};
use crate::dashboard::{Admin, AdminServer, Change, Order, classified_file};
use crate::declaration::{self, Declarations};
use crate::ledger::{self, Audit, Ledger};
use crate::mistake::Mistake;
use crate::observe::{ConfigReloaded, ExceptionExpired, Observe};
use crate::policy::Mode;
use crate::proxy::{Archive, Archiving, Server, Setup, StartError, look_up_aliases};
use crate::site::Sites;
use crate::watch::{Desk, SelfCheck, alerts, self_check};

use arc_swap::ArcSwap;
use jiff::civil::Date;
use std::collections::HashSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What can be said on the command line; it wins over the environment, which
/// wins over the file.
#[derive(clap::Args, Debug, Default)]
pub struct ServeArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where visitors connect
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// The server behind: http://127.0.0.1:3000
    #[arg(long, value_name = "URL")]
    pub origin: Option<String>,
    /// Where health and metrics are served
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// The ledger's database file
    #[arg(long, value_name = "PATH")]
    pub ledger: Option<PathBuf>,
    /// A filter list in adblock syntax; may be given several times
    #[arg(long, value_name = "PATH|URL")]
    pub lists: Vec<PathBuf>,
    /// A catalogue file of your own; may be given several times
    #[arg(long, value_name = "PATH")]
    pub catalogue: Vec<PathBuf>,
    /// enforce: carry verdicts out; observe: only record them
    #[arg(long, value_name = "MODE", value_parser = read_mode)]
    pub mode: Option<Mode>,
    /// Certificate chain (PEM): serve https
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

fn read_mode(text: &str) -> Result<Mode, String> {
    [Mode::Enforce, Mode::Observe, Mode::Safe]
        .into_iter()
        .find(|mode| mode.name() == text)
        .ok_or_else(|| "the modes are `enforce`, `observe` and `safe`".to_owned())
}

impl ServeArgs {
    /// What these flags override.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen,
            admin: self.admin,
            origin: self.origin.clone(),
            ledger: self.ledger.clone(),
            lists: self.lists.clone(),
            catalogue: self.catalogue.clone(),
            mode: self.mode,
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
        }
    }
}

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
    archive: Arc<Archive>,
    /// The words that visitors are asked with, on their way into the archive.
    archiving: Option<Archiving>,
    /// Whom the sites were met with, as visitors are told.
    declarations: Arc<Declarations>,
    declaring: Option<declaration::Task>,
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
    /// Changes that people want on the dashboard.
    orders: mpsc::Receiver<Order>,
    /// Exceptions whose expiry was told.
    told: Mutex<HashSet<String>>,
    /// The operator's files that are in force.
    written: Vec<(String, u64)>,
}

/// Reads the configuration again, as if the dashboard's file said that.
type Load = dyn Fn(Option<&str>) -> Result<Compiled, Vec<Mistake>> + Send + Sync;

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
        Self::start_with(compiled, |_| {}).await
    }

    /// The same, with a look at the ledger before anything is recorded.
    ///
    /// # Errors
    /// When something cannot start; then nothing runs.
    pub async fn start_with(
        compiled: Compiled,
        look: impl FnOnce(&Ledger),
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
        let tls = compiled.proxy.tls.clone();
        let setup = Setup {
            settings: compiled.proxy,
            sites: Arc::clone(&sites),
            ledger: Arc::clone(&ledger),
            observe: Arc::clone(&observe),
            archive: Arc::clone(&archive),
            declarations: Arc::clone(&declarations),
            synthetic: self_check.synthetic(),
        };
        let name_server = setup.settings.name_server;
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
        let admin = AdminServer::start(compiled.admin, admin).await.map_err(|error| {
            Failure::new(UNAVAILABLE, format!("cannot listen on {} for health and metrics: {error}; choose another address with --admin", compiled.admin))
        })?;
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
            tls.as_ref(),
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
            archive,
            archiving,
            declarations,
            declaring,
            name_server,
            lists: Some(lists),
            self_check,
            looking,
            desk,
            rounds,
            draining,
            orders,
            told,
            written: compiled.written,
        };
        running.tell_expired(today());
        Ok(running)
    }

    /// Serves what a new configuration says from the next exchange on, as far
    /// as that can change while running: the sites and the lists. Lists with
    /// an address are asked for at once.
    pub fn reload(&mut self, fresh: Compiled) {
        self.adopt(fresh);
        if let Some(lists) = &self.lists {
            lists.refresh_soon();
        }
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
    ) -> Result<(), String> {
        let (ledger, written) = (Arc::clone(&self.ledger), self.written.clone());
        let kept = tokio::task::spawn_blocking(move || {
            keep(&ledger, &changes, &mut audit, &written, &*load)
        });
        let fresh = kept.await.map_err(|error| error.to_string())??;
        self.adopt(fresh);
        // What the operator changed meanwhile holds now, too.
        self.observe.emit(&ConfigReloaded { failure: None });
        Ok(())
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

    /// Says which exceptions have expired by `today`, each once.
    pub fn tell_expired(&self, today: Date) {
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
        self.sites.store(Arc::new(sites));
        self.self_check.soon();
        self.declarations.soon();
    }

    /// Stops: no more visitors, what is under way finishes, and everything on
    /// record is in the database.
    ///
    /// # Errors
    /// When the ledger could not take everything in time; it stays spooled.
    pub async fn stop(self) -> Result<(), ledger::Error> {
        self.draining.store(true, Ordering::Relaxed);
        let Self { server, admin, ledger, archiving, declaring, looking, rounds, .. } = self;
        drop((looking, rounds, declaring));
        let stopped = tokio::task::spawn_blocking(move || {
            server.stop();
            drop(archiving);
        })
        .await;
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
) -> Result<Compiled, String> {
    let path = classified_file(ledger.path());
    let unreadable = |error| format!("{}: {error}", path.display());
    let before = config::classified_text(&path).map_err(unreadable)?;
    let text = config::changed(&before, changes)?;
    let name = path.display().to_string();
    let fresh = load(Some(&text)).map_err(|mistakes| {
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
    Ok(fresh)
}

/// Serves until told to stop; the exit code.
pub fn run(args: &ServeArgs, out: &mut dyn Write) -> i32 {
    let (file, flags) = (args.config.clone(), args.overrides());
    let load = move |classified: Option<&str>| {
        let variables = config::environment();
        config::load_classified(file.as_deref(), variables, &flags, KeyMode::Create, classified)
    };
    let compiled = match load(None) {
        Ok(compiled) => compiled,
        Err(mistakes) => {
            for mistake in mistakes {
                let _ = writeln!(out, "{mistake}\n");
            }
            return CONFIGURATION;
        }
    };
    logging::start(compiled.log);
    say(&compiled.warnings);
    for note in &compiled.notes {
        tracing::info!("{note}");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(out, "no runtime: {error}");
            return UNAVAILABLE;
        }
    };
    runtime.block_on(async {
        match serve(compiled, Arc::new(load)).await {
            Ok(code) => code,
            Err(failure) => {
                let _ = writeln!(out, "{}", failure.message);
                failure.code
            }
        }
    })
}

async fn serve(compiled: Compiled, load: Arc<Load>) -> Result<i32, Failure> {
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let mut hangup = listen_for(SignalKind::hangup())?;
    let mut running = Running::start(compiled).await?;
    tracing::info!(listen = %running.server.address(), admin = %running.admin.address(), "serving");
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    loop {
        tokio::select! {
            _ = minute.tick() => running.tell_expired(today()),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            Some(Order { changes, audit, answer }) = running.orders.recv() => {
                // Whoever asked may have gone meanwhile; it holds all the same.
                let _ = answer.send(running.change(changes, audit, Arc::clone(&load)).await);
            }
            _ = hangup.recv() => {
                let load = Arc::clone(&load);
                let fresh = tokio::task::spawn_blocking(move || load(None)).await;
                let why = match fresh {
                    Ok(Ok(fresh)) => {
                        running.reload(fresh);
                        None
                    }
                    Ok(Err(mistakes)) => Some(in_words(&mistakes)),
                    Err(error) => Some(error.to_string()),
                };
                running.observe.emit(&ConfigReloaded { failure: why.as_deref() });
            }
        }
    }
    tracing::info!("stopping: what is under way finishes");
    let stopping = running.stop();
    tokio::select! {
        stopped = stopping => match stopped {
            Ok(()) => tracing::info!("stopped"),
            Err(error) => tracing::warn!(%error, "stopped; the rest of the ledger is taken in at the next start"),
        },
        _ = terminate.recv() => tracing::warn!("told twice: stopped at once"),
        _ = interrupt.recv() => tracing::warn!("told twice: stopped at once"),
    }
    Ok(FINE)
}

/// What works, but not as the operator may think.
fn say(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

fn in_words(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The day it is in UTC.
fn today() -> Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn listen_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind)
        .map_err(|error| Failure::new(UNAVAILABLE, format!("cannot listen for signals: {error}")))
}
