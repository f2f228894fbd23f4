//! Accepts connections: one runtime a worker, none shared.

use crate::declaration::Declarations;
use crate::ledger::{Ledger, Spool};
use crate::observe::{ConnectionRefused, Observe};
use crate::proxy::head::Peer;
use crate::proxy::limiter::Limiter;
use crate::proxy::memo::Memo;
use crate::proxy::recall::Recall;
use crate::proxy::revisit::Visits;
use crate::proxy::synthetic::{Carriers, Synthetic};
use crate::proxy::tls::{TlsError, acceptor};
use crate::proxy::upstream::{Upstream, UpstreamError, tls_config};
use crate::proxy::{Archive, Proxy, Settings};
use crate::site::Sites;

use arc_swap::ArcSwap;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

const BACKLOG: i32 = 4096;

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
    /// Who may look at the sites without being counted, if anybody may.
    pub synthetic: Option<Synthetic>,
}

/// A running proxy.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
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
        let Setup { settings, sites, ledger, observe, archive, declarations, synthetic } = setup;
        let nobody = Arc::new(Observe::silent());
        let count = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let tls = settings.tls.as_ref().map(acceptor).transpose()?;
        let origin_tls = tls_config(settings.origin_ca_file.as_deref())?;
        let mut address = settings.listen;
        claim(address).map_err(|why| StartError::Listen { address, why })?;
        let mut listeners = Vec::new();
        for _ in 0..count {
            let listener = bind(address).map_err(|why| StartError::Listen { address, why })?;
            // Port 0 becomes a real one with the first listener.
            address = listener.local_addr().map_err(|why| StartError::Listen { address, why })?;
            listeners.push(listener);
        }
        let limiter = Arc::new(Limiter::new(&settings.limits));
        let open = Arc::new(AtomicUsize::new(0));
        let settings = Arc::new(settings);
        let (stop, stopping) = watch::channel(false);
        let recall = Arc::new(Recall::new(ledger.path().to_owned(), declarations));
        // Half for what became of pages, half for how they came.
        let memo = Arc::new(Memo::new(settings.limits.memo_bytes / 2));
        let visits = Arc::new(Visits::new(settings.limits.memo_bytes / 2));
        let mut workers = Vec::new();
        for (index, listener) in listeners.into_iter().enumerate() {
            let spool: Spool = ledger.spool(index).map_err(StartError::Spool)?;
            let visitors = Proxy {
                upstream: Upstream::new(&settings, &origin_tls),
                settings: Arc::clone(&settings),
                sites: Arc::clone(&sites),
                spool: Some(Arc::new(Mutex::new(spool))),
                observe: Arc::clone(&observe),
                limiter: Arc::clone(&limiter),
                archive: Arc::clone(&archive),
                recall: Arc::clone(&recall),
                memo: Arc::clone(&memo),
                visits: Arc::clone(&visits),
                canary: None,
            };
            let synthetic = synthetic.as_ref().map(|synthetic| {
                let canary = synthetic.origin();
                let observe = Arc::clone(&nobody);
                (synthetic.key.clone(), Proxy { spool: None, observe, canary, ..visitors.clone() })
            });
            let worker = Worker {
                carriers: Arc::new(Carriers { visitors, synthetic }),
                listener,
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
        Ok(Self { address, stop, workers })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, lets exchanges under way finish within the drain time,
    /// and returns when all workers have ended.
    pub fn stop(mut self) {
        let _ = self.stop.send(true);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// Makes sure that nobody listens there: our workers share their port, so the
/// system would let another consentry share it, too, and take half of the
/// visitors.
fn claim(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 { Ok(()) } else { socket(address)?.bind(&address.into()) }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

struct Worker {
    carriers: Arc<Carriers>,
    listener: StdListener,
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
        let Self { carriers, listener, tls, open, mut stopping } = self;
        let proxy = &carriers.visitors;
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "a worker cannot listen"),
        };
        // Every connection holds a sender; when the last is gone, all have ended.
        let (under_way, mut ended) = mpsc::channel::<()>(1);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = told_to_stop(&mut stopping) => break,
            };
            let (socket, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: existing
                    // connections go on, and accepting resumes when one ends.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Some(slot) = Slot::take(&open, proxy.settings.limits.connections, &proxy.observe)
            else {
                continue;
            };
            let (carriers, tls) = (Arc::clone(&carriers), tls.clone());
            let (stopping, under_way) = (stopping.clone(), under_way.clone());
            tokio::spawn(async move {
                connection(carriers, socket, address, tls, stopping).await;
                drop((slot, under_way));
            });
        }
        drop(listener);
        let drain = proxy.settings.timeouts.drain;
        drop(under_way);
        if tokio::time::timeout(drain, ended.recv()).await.is_err() {
            tracing::warn!(drain_s = drain.as_secs(), "exchanges were still under way and are cut");
        }
    }
}

/// One open connection, counted.
struct Slot(Arc<AtomicUsize>, Arc<Observe>);

impl Slot {
    fn take(open: &Arc<AtomicUsize>, limit: usize, observe: &Arc<Observe>) -> Option<Self> {
        if open.fetch_add(1, Ordering::Relaxed) >= limit {
            open.fetch_sub(1, Ordering::Relaxed);
            observe.emit(&ConnectionRefused);
            return None;
        }
        observe.metrics().connections.inc();
        Some(Self(Arc::clone(open), Arc::clone(observe)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.metrics().connections.dec();
    }
}

async fn connection(
    carriers: Arc<Carriers>,
    socket: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    stopping: watch::Receiver<bool>,
) {
    let _ = socket.set_nodelay(true);
    match tls {
        None => serve(carriers, socket, Peer { address, tls: false }, stopping).await,
        Some(acceptor) => {
            let handshake = tokio::time::timeout(
                carriers.visitors.settings.timeouts.handshake,
                acceptor.accept(socket),
            )
            .await;
            match handshake {
                Ok(Ok(stream)) => {
                    serve(carriers, stream, Peer { address, tls: true }, stopping).await
                }
                Ok(Err(error)) => tracing::debug!(%error, "no TLS handshake"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

async fn serve<S>(
    carriers: Arc<Carriers>,
    stream: S,
    peer: Peer,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Settings { limits, timeouts, .. } = &*carriers.visitors.settings;
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.request_head)
        .max_buf_size(limits.head_bytes.max(8192))
        // The buffer may have grown beyond when a head comes in one piece.
        .max_header_size(limits.head_bytes)
        .max_headers(limits.head_fields)
        .serve_connection(
            TokioIo::new(stream),
            service_fn({
                let carriers = Arc::clone(&carriers);
                move |request| {
                    let carriers = Arc::clone(&carriers);
                    async move {
                        Ok::<_, std::convert::Infallible>(carriers.answer(request, peer).await)
                    }
                }
            }),
        )
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = told_to_stop(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Returns when the proxy is told to stop, or nobody is left to tell it.
async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
