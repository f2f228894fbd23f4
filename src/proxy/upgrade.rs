//! Passes a WebSocket through once both ends agreed to speak it.

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};

/// How an exchange leaves the origin's side of a WebSocket to the connection
/// that it came in.
#[derive(Clone, Default)]
pub(super) struct Handover(Arc<Mutex<Option<OnUpgrade>>>);

impl Handover {
    /// The origin agreed.
    pub(super) fn give(&self, origin: OnUpgrade) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(origin);
    }

    /// The origin's side, if it agreed.
    pub(super) fn take(&self) -> Option<OnUpgrade> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Copies bytes both ways until one side ends, in the background; `first` is
/// what the visitor said before the origin's answer was there.
pub(super) fn join<S>(visitor: S, first: Bytes, origin: OnUpgrade)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(pass(visitor, first, origin));
}

/// The same, until it is over.
pub(super) async fn pass<S>(mut visitor: S, first: Bytes, origin: OnUpgrade)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut origin = match origin.await {
        Ok(origin) => TokioIo::new(origin),
        Err(error) => {
            tracing::debug!(%error, "websocket not established");
            return;
        }
    };
    let copied = async {
        origin.write_all(&first).await?;
        copy_bidirectional(&mut visitor, &mut origin).await
    };
    if let Err(error) = copied.await {
        tracing::debug!(%error, "websocket ended");
    }
}
