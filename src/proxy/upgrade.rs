//! Passes a WebSocket through once both ends agreed to speak it.

use crate::proxy::upstream::OriginBody;
use crate::site::Chosen;

use bytes::Bytes;
use http::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

/// How long neither side may be heard before the visitor's system is asked
/// whether it is still there: a WebSocket may be silent for hours.
const SILENCE: Duration = Duration::from_secs(60);

/// How long such a question waits for its answer.
const QUESTION: Duration = Duration::from_secs(20);

/// The origin's side of a WebSocket, which counts as under way there as long as
/// this lives.
pub(super) struct OriginSide {
    upgrade: OnUpgrade,
    _load: Option<Chosen>,
}

/// How an exchange leaves the origin's side of a WebSocket to the connection
/// that it came in.
#[derive(Clone, Default)]
pub(super) struct Handover(Arc<Mutex<Option<OriginSide>>>);

impl Handover {
    /// The origin agreed.
    pub(super) fn give(&self, agreed: &mut Response<OriginBody>) {
        let load = agreed.body_mut().take_load();
        let origin = OriginSide { upgrade: hyper::upgrade::on(agreed), _load: load };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(origin);
    }

    /// The origin's side, if it agreed.
    pub(super) fn take(&self) -> Option<OriginSide> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Notices when a visitor has gone without a word.
pub(super) fn watch_over(visitor: &TcpStream) {
    let asking = TcpKeepalive::new().with_time(SILENCE).with_interval(QUESTION);
    let _ = SockRef::from(visitor).set_tcp_keepalive(&asking);
}

/// Copies bytes both ways until one side ends; `first` is what the visitor said
/// before the origin's answer was there.
pub(super) async fn pass<S>(mut visitor: S, first: Bytes, origin: OriginSide)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let OriginSide { upgrade, _load } = origin;
    let mut origin = match upgrade.await {
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
