//! Answers on loopback until dropped.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// A server on a free port of 127.0.0.1; dropping it ends it and every
/// connection it has.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    task: AbortHandle,
}

impl Listening {
    /// Answers every request with `answer`, on the current runtime.
    pub(super) async fn start<A, F>(answer: A) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, answer)).abort_handle();
        Ok(Self { address, task })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    // Aborting this task drops the set, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((socket, _)) => {
                connections.spawn(serve(socket, answer.clone()));
            }
            // Out of descriptors: some connection has to end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve<A, F>(socket: TcpStream, answer: A)
where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Full<Bytes>>>,
{
    // Only a matter of speed.
    let _ = socket.set_nodelay(true);
    let answer = service_fn(move |request| {
        let response = answer(request);
        async { Ok::<_, Infallible>(response.await) }
    });
    // Whoever hangs up in the middle is nothing the demo could tell anybody.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
}
