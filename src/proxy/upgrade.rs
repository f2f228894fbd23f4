//! Passes a WebSocket through once both ends agreed to speak it.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// Copies bytes both ways until one side ends.
pub(super) fn join(visitor: OnUpgrade, origin: OnUpgrade) {
    tokio::spawn(async move {
        let (visitor, origin) = match tokio::try_join!(visitor, origin) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "websocket not established");
                return;
            }
        };
        let copied =
            tokio::io::copy_bidirectional(&mut TokioIo::new(visitor), &mut TokioIo::new(origin))
                .await;
        if let Err(error) = copied {
            tracing::debug!(%error, "websocket ended");
        }
    });
}
