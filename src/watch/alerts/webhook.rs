//! Posts alerts to the operator's receiver until it has taken them.
//!
//! The body is JSON, the same for every attempt but for what came meanwhile.
//! With a secret it is signed: `Consentry-Signature: t=<seconds>,v1=<hex>` is
//! the HMAC-SHA256 of `<seconds>.<body>`, so that a receiver knows who sent it
//! and when.

use crate::observe::chain;
use crate::proxy::outside;
use crate::watch::alerts::{Alert, Desk, Webhook};
use crate::watch::now_ms;

use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use sha2::Sha256;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// How many alerts one request brings.
const AT_ONCE: usize = 100;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long we wait before we try again: twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// The most of an answer that is read.
const ANSWER_BYTES: usize = 64 * 1024;

/// Brings what waits to its receiver, for ever.
pub(super) async fn deliver(desk: Arc<Desk>) {
    let mut pause = FIRST_PAUSE;
    let mut failed = false;
    loop {
        let settings = desk.settings.load_full();
        let waiting = desk.waiting(AT_ONCE);
        let Some(webhook) = settings.webhook.as_ref().filter(|_| !waiting.is_empty()) else {
            desk.news.notified().await;
            continue;
        };
        match post(webhook, &waiting).await {
            Ok(()) => {
                let (desk, taken, now_ms) = (Arc::clone(&desk), waiting, now_ms());
                let _ = tokio::task::spawn_blocking(move || desk.taken(&taken, now_ms)).await;
                pause = FIRST_PAUSE;
                failed = false;
            }
            Err(why) => {
                if !failed {
                    tracing::warn!(why, "alerts cannot be delivered; they wait");
                }
                failed = true;
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                    // Perhaps to another receiver.
                    () = desk.configured.notified() => pause = FIRST_PAUSE,
                }
            }
        }
    }
}

async fn post(webhook: &Webhook, alerts: &[Alert]) -> Result<(), String> {
    let client = outside(webhook.ca_file.as_deref(), PATIENCE, 0);
    let client = client.map_err(|error| error.to_string())?;
    let request = request(webhook, alerts, now_ms() / 1000)?;
    let asked = async {
        let answer = client.request(request).await.map_err(|error| chain(&error))?;
        let status = answer.status();
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        Ok::<StatusCode, String>(status)
    };
    let answered = tokio::time::timeout(PATIENCE, asked);
    let status = answered.await.map_err(|_| "the receiver takes too long".to_owned())??;
    if status.is_success() { Ok(()) } else { Err(format!("the receiver answers {status}")) }
}

fn request(
    webhook: &Webhook,
    alerts: &[Alert],
    now_s: u64,
) -> Result<Request<Full<Bytes>>, String> {
    let body = serde_json::json!({ "alerts": alerts }).to_string();
    let mut request = Request::post(webhook.url.as_str())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("consentry/", env!("CARGO_PKG_VERSION")));
    if let Some(secret) = &webhook.secret {
        request = request.header("consentry-signature", signature(secret, now_s, &body)?);
    }
    request.body(Full::from(body)).map_err(|error| error.to_string())
}

fn signature(secret: &[u8], now_s: u64, body: &str) -> Result<String, String> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|error| error.to_string())?;
    let mac = mac.chain_update(now_s.to_string()).chain_update(".").chain_update(body);
    let mut text = format!("t={now_s},v1=");
    for byte in mac.finalize().into_bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checked with `printf '1.{}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn g3_a_receiver_can_check_the_signature_with_openssl() {
        assert_eq!(
            signature(b"secret", 1, "{}").unwrap(),
            "t=1,v1=1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908"
        );
    }
}
