//! The admin listener: the dashboard of the privacy officer, health and
//! metrics for the operator. It never listens where visitors do.
//!
//! Every page works without a script and asks no other host for anything.
//! What is shown comes from the ledger, and the ledger is full of text that
//! strangers made up: it is escaped where it is written (`maud`), and the
//! pages' policy lets no script run in case it is not.

mod api;
mod change;
mod chart;
mod desk;
mod entrance;
mod gate;
mod health;
pub mod layout;
mod office;
pub mod pages;
mod routes;
mod session;
mod settings;
mod sign_in;
mod strangers;
mod throttle;
mod users;

pub use change::{Change, NewException, NewVendor, Order, Orders, Owned, classified_file};
pub use entrance::link_file;
pub use office::{Admin, Context};
pub use routes::{Access, promised};
pub use session::{Session, Way};
pub use settings::Settings;
pub use users::{ApiToken, PasswordHash, Role, User};

use crate::proxy::{Listening, Sockets};
use office::{Office, Peer};

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Open connections; whoever opens more is told to come back.
const CONNECTIONS: usize = 256;

/// More connections, on which nothing is answered but health and metrics, and
/// only once: who fills the others must not make the proxy look dead.
const KEPT_FOR_HEALTH: usize = 64;

/// A running admin listener; it stops when dropped.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    office: Arc<Office>,
    task: tokio::task::JoinHandle<()>,
}

impl AdminServer {
    /// Starts listening.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn start(
        address: SocketAddr,
        listening: Listening,
        admin: Admin,
    ) -> io::Result<Self> {
        let Sockets { address, mut listeners, .. } = listening.open(address, 1)?;
        let listener = listeners.pop().ok_or(io::ErrorKind::NotConnected)?;
        let listener = TcpListener::from_std(listener)?;
        let office = Arc::new(Office::new(admin, address));
        let task = tokio::spawn(listen(listener, router(&office), CONNECTIONS));
        Ok(Self { address, office, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link that lets somebody in once, where there are no users.
    #[must_use]
    pub fn link(&self) -> Option<String> {
        self.office.entrance.link()
    }

    /// Leaves its address to another process that listens there, too.
    pub fn close(&self) {
        self.office.entrance.leave();
        self.task.abort();
    }

    /// Goes by other settings from the next request on.
    pub fn configure(&self, settings: Settings) {
        self.office.configure(settings);
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        // The link leads nowhere any more.
        self.close();
    }
}

fn router(office: &Arc<Office>) -> Router {
    routes::router(office)
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is no such page.") })
        .layer(from_fn_with_state(Arc::clone(office), gate::front))
        .merge(health::router())
        .with_state(Arc::clone(office))
}

/// Answers until it is aborted; what is under way then ends with it, for a
/// browser keeps its connection open as long as it can.
async fn listen(listener: TcpListener, router: Router, places: usize) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept(), if connections.len() < places + KEPT_FOR_HEALTH => accepted,
        };
        let Ok((socket, peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(local) = socket.local_addr() else { continue };
        let peer = Peer { address: peer.ip().to_canonical(), local: local.ip().to_canonical() };
        let is_full = connections.len() >= places;
        connections.spawn(serve(socket, peer, router.clone(), is_full));
    }
}

async fn serve(socket: TcpStream, peer: Peer, router: Router, is_full: bool) {
    let patience = Duration::from_secs(if is_full { 1 } else { 10 });
    let router = if is_full { router.layer(from_fn(only_health)) } else { router };
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request.map(Body::new))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .keep_alive(!is_full)
        .serve_connection(TokioIo::new(socket), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

/// Where all places are taken: what health and metrics say, and nothing else.
async fn only_health(request: axum::extract::Request, next: Next) -> Response {
    if health::PATHS.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let busy = "Too many connections are open. Try again in a moment.\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], busy).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn health_is_answered_however_many_hold_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let page = || async { "here" };
        let router = Router::new().route("/livez", get(page)).route("/", get(page));
        let task = tokio::spawn(listen(listener, router, 3));
        let asks = async |path: &str| {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert!(asks("/").await.starts_with("HTTP/1.1 200"));
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        for _ in 0..2 * KEPT_FOR_HEALTH {
            assert!(asks("/livez").await.starts_with("HTTP/1.1 200"));
        }
        let answer = asks("/").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"), "{answer}");
        task.abort();
    }
}
