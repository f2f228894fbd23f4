//! Accepts connections: one runtime a worker, none shared.

use crate::declaration::Declarations;
use crate::ledger::{Ledger, Spool};
use crate::observe::{Observe, Outlets};
use crate::proxy::connection::{self, Slot};
use crate::proxy::leaving::Leaving;
use crate::proxy::limiter::Limiter;
use crate::proxy::memo::Memo;
use crate::proxy::recall::Recall;
use crate::proxy::revisit::Visits;
use crate::proxy::room::Room;
use crate::proxy::sockets::{Listening, admit_no_more, waiting};
use crate::proxy::synthetic::{Carriers, Synthetic};
use crate::proxy::tls::{Certificates, TlsError};
use crate::proxy::to_https::ToHttps;
use crate::proxy::upstream::{Upstream, UpstreamError, tls_config};
use crate::proxy::{Archive, Proxy, Settings, Workbench};
use crate::site::Sites;

use arc_swap::ArcSwap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

/// How long visitors who have just connected may take to be heard before
/// connections are closed.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How long handshakes that began here may take where a successor listens, too.
const LAST_HANDSHAKES: Duration = Duration::from_millis(500);

/// Why the proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {why}{}", hint(.why))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Connections to origins.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The ledger's spool cannot be written.
    #[error("the ledger's spool cannot be opened: {0}")]
    Spool(io::Error),
    /// The system gives no threads.
    #[error("no worker thread can be started: {0}")]
    Thread(io::Error),
}

fn hint(why: &io::Error) -> &'static str {
    match why.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: stop it, or choose another address with --listen"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege: use a higher port, or give the program CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    }
}

/// Everything a proxy is started with.
pub struct Setup {
    /// Listening, limits, waiting.
    pub settings: Settings,
    /// Where the sockets come from.
    pub listening: Listening,
    /// The same for visitors who come without TLS and are sent to it.
    pub redirecting: Listening,
    /// The sites; swapped whole on reload.
    pub sites: Arc<ArcSwap<Sites>>,
    /// Where decisions go.
    pub ledger: Arc<Ledger>,
    /// Where events go.
    pub observe: Arc<Observe>,
    /// Which notices are kept.
    pub archive: Arc<Archive>,
    /// Whom the sites were met with.
    pub declarations: Arc<Declarations>,
    /// Who wants to know of every exchange.
    pub outlets: Arc<Outlets>,
    /// Who may look at the sites without being counted, if anybody may.
    pub synthetic: Option<Synthetic>,
    /// Who builds the site. Only `cli::dev` has one, and nothing that an
    /// operator can write or set leads to it.
    pub(crate) workbench: Option<Arc<dyn Workbench>>,
}

/// A running proxy.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    leaving: Arc<Leaving>,
    /// Connections that are open, and workers that still accept some.
    open: Arc<AtomicUsize>,
    accepting: Arc<AtomicUsize>,
    close: watch::Sender<bool>,
    redirect_address: Option<SocketAddr>,
    certificates: Option<Arc<Certificates>>,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts listening and serving.
    ///
    /// # Errors
    /// When the address, a certificate or the spool cannot be had; then
    /// nothing was started.
    pub fn start(setup: Setup) -> Result<Self, StartError> {
        let Setup {
            settings,
            listening,
            redirecting,
            sites,
            ledger,
            observe,
            archive,
            declarations,
            outlets,
            synthetic,
            workbench,
        } = setup;
        let nobody = Arc::new(Observe::silent());
        let count = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let certificates = Certificates::read(&settings.all_tls()?)?;
        let tls = certificates.as_ref().map(|all| all.acceptor(settings.http2)).transpose()?;
        let origin_tls = tls_config(settings.origin_ca_file.as_deref())?;
        let redirect = settings.redirect.map(|address| {
            redirecting.open(address, 1).map_err(|why| StartError::Listen { address, why })
        });
        let redirect = redirect.transpose()?;
        let redirect_address = redirect.as_ref().map(|sockets| sockets.address);
        let sockets = listening
            .open(settings.listen, count)
            .map_err(|why| StartError::Listen { address: settings.listen, why })?;
        let leaving = Arc::new(Leaving::default());
        let accepting = Arc::new(AtomicUsize::new(count + usize::from(redirect.is_some())));
        let (close, closing) = watch::channel(false);
        let limiter = Arc::new(Limiter::new(&settings.limits));
        let open = Arc::new(AtomicUsize::new(0));
        let settings = Arc::new(settings);
        let (stop, stopping) = watch::channel(false);
        let recall = Arc::new(Recall::new(ledger.path().to_owned(), declarations));
        // Half for what became of pages, half for how they came.
        let memo = Arc::new(Memo::new(settings.limits.memo_bytes / 2));
        let visits = Arc::new(Visits::new(settings.limits.memo_bytes / 2));
        let held = Arc::default();
        let mut workers = Vec::new();
        for (index, listener) in sockets.listeners.into_iter().enumerate() {
            let spool: Spool = ledger.spool(index).map_err(StartError::Spool)?;
            let room = Arc::new(Room::default());
            let visitors = Proxy {
                upstream: Upstream::new(&settings, &origin_tls, &observe, &room),
                settings: Arc::clone(&settings),
                sites: Arc::clone(&sites),
                spool: Some(Arc::new(Mutex::new(spool))),
                observe: Arc::clone(&observe),
                outlets: (!outlets.is_empty()).then(|| Arc::clone(&outlets)),
                limiter: Arc::clone(&limiter),
                archive: Arc::clone(&archive),
                recall: Arc::clone(&recall),
                memo: Arc::clone(&memo),
                visits: Arc::clone(&visits),
                held: Arc::clone(&held),
                canary: None,
                workbench: workbench.clone(),
            };
            let synthetic = synthetic.as_ref().map(|synthetic| {
                let canary = synthetic.origins();
                let observe = Arc::clone(&nobody);
                (
                    synthetic.key.clone(),
                    Proxy {
                        spool: None,
                        outlets: None,
                        workbench: None,
                        observe,
                        canary,
                        ..visitors.clone()
                    },
                )
            });
            let worker = Worker {
                carriers: Arc::new(Carriers {
                    visitors,
                    synthetic,
                    leaving: Arc::clone(&leaving),
                    room,
                }),
                listener,
                is_ours: sockets.are_ours,
                accepting: Arc::clone(&accepting),
                closing: closing.clone(),
                tls: tls.clone(),
                open: Arc::clone(&open),
                stopping: stopping.clone(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || worker.run())
                .map_err(StartError::Thread)?;
            workers.push(thread);
        }
        let address = sockets.address;
        let redirect = redirect.map(|sockets| (sockets.are_ours, sockets.listeners));
        let (is_ours, listeners) = redirect.unwrap_or_default();
        for listener in listeners {
            let redirecting = ToHttps {
                sites: Arc::clone(&sites),
                settings: Arc::clone(&settings),
                observe: Arc::clone(&observe),
                port: address.port(),
                open: Arc::clone(&open),
                challenges: Arc::default(),
                certificates: certificates.clone(),
                closing: closing.clone(),
                stopping: stopping.clone(),
                accepting: Arc::clone(&accepting),
                leaving: Arc::clone(&leaving),
                is_ours,
            };
            let thread = std::thread::Builder::new()
                .name("to-https".to_owned())
                .spawn(move || redirecting.run(listener))
                .map_err(StartError::Thread)?;
            workers.push(thread);
        }
        Ok(Self {
            address,
            redirect_address,
            certificates,
            leaving,
            open,
            accepting,
            close,
            stop,
            workers,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells every visitor who asks from now on to connect anew for the next
    /// request, and goes on.
    pub fn leave(&self) {
        self.leaving.begin();
    }

    /// Another consentry listens where we do: those who connect from now on are
    /// its visitors.
    pub fn make_way(&self) {
        self.leaving.follow();
    }

    /// Where plain http is answered with the way to https, if anywhere.
    #[must_use]
    pub const fn redirect_address(&self) -> Option<SocketAddr> {
        self.redirect_address
    }

    /// The certificates that visitors are shown, where TLS ends here.
    #[must_use]
    pub const fn certificates(&self) -> Option<&Arc<Certificates>> {
        self.certificates.as_ref()
    }

    /// Stops accepting, lets exchanges under way finish within the drain time,
    /// and returns when all workers have ended.
    pub fn stop(mut self) {
        self.leave();
        let _ = self.close.send(true);
        let begun = Instant::now();
        let is_quiet = || {
            self.accepting.load(Ordering::Relaxed) == 0 && self.open.load(Ordering::Relaxed) == 0
        };
        let patience = match self.leaving.has_successor() {
            true => LAST_HANDSHAKES + LAST_WORDS,
            false => LAST_WORDS,
        };
        while begun.elapsed() < patience && !is_quiet() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.stop.send(true);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

struct Worker {
    carriers: Arc<Carriers>,
    listener: StdListener,
    /// Whether nobody listens there when we close it.
    is_ours: bool,
    accepting: Arc<AtomicUsize>,
    closing: watch::Receiver<bool>,
    tls: Option<TlsAcceptor>,
    open: Arc<AtomicUsize>,
    stopping: watch::Receiver<bool>,
}

impl Worker {
    fn run(self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "a worker has no runtime"),
        };
        runtime.block_on(self.serve());
    }

    async fn serve(self) {
        let Self { carriers, listener, is_ours, accepting, mut closing, tls, open, stopping } =
            self;
        let proxy = &carriers.visitors;
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "a worker cannot listen"),
        };
        // Every connection holds a sender; when the last is gone, all have ended.
        let (under_way, mut ended) = mpsc::channel::<()>(1);
        let admit = |socket: TcpStream, address: SocketAddr| {
            let limit = proxy.settings.limits.connections;
            if open.load(Ordering::Relaxed) >= limit - limit / 8 {
                carriers.room.ask_one();
            }
            let Some(slot) = Slot::take(&open, limit, &proxy.observe) else { return };
            let (carriers, tls) = (Arc::clone(&carriers), tls.clone());
            let (stopping, under_way) = (stopping.clone(), under_way.clone());
            tokio::spawn(async move {
                connection::carry(carriers, socket, address, tls, stopping).await;
                drop((slot, under_way));
            });
        };
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = told_to_stop(&mut closing) => break,
            };
            let (socket, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: existing
                    // connections go on, and accepting resumes when one ends.
                    tracing::warn!(%error, "cannot accept");
                    carriers.room.ask_some();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            admit(socket, address);
        }
        match listener.into_std() {
            // Who waits there now is somebody else's visitor.
            Ok(listener) if !is_ours => drop(listener),
            Ok(listener) => {
                admit_the_last(&listener, carriers.leaving.has_successor(), admit).await;
            }
            Err(error) => tracing::warn!(%error, "who waited to be accepted is refused"),
        }
        accepting.fetch_sub(1, Ordering::Relaxed);
        let drain = proxy.settings.timeouts.drain;
        drop(under_way);
        if tokio::time::timeout(drain, ended.recv()).await.is_err() {
            tracing::warn!(drain_s = drain.as_secs(), "exchanges were still under way and are cut");
        }
    }
}

/// Takes everybody who waits at a socket that is about to close: the system
/// would tell them that nobody is here.
pub(super) async fn admit_the_last(
    listener: &StdListener,
    has_successor: bool,
    admit: impl Fn(TcpStream, SocketAddr),
) {
    let begun = Instant::now();
    if has_successor && let Err(error) = admit_no_more(listener) {
        tracing::debug!(%error, "a visitor who connects in this moment may be refused");
    }
    loop {
        while let Some((socket, address)) = waiting(listener) {
            if let Ok(socket) = TcpStream::from_std(socket) {
                admit(socket, address);
            }
        }
        if !has_successor || begun.elapsed() >= LAST_HANDSHAKES {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns when the proxy is told to stop, or nobody is left to tell it.
pub(super) async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
