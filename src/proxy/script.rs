//! Looks into the scripts that the own host serves, for vendors' among them.
//!
//! The first bytes wait until enough of them is there to tell; everything else
//! streams. What is recognised depends on consent from then on, so its
//! validator and its life in caches do, too, whether it was withheld or not.

use crate::catalogue::SCRIPT_LOOK_BYTES;
use crate::enforce::codec::{Coding, Decoder};
use crate::proxy::body::{self, Body, BoxError, PassedBody, Source};
use crate::proxy::error::Error;
use crate::proxy::variant::{Variant, mark_page, mark_variant};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How much larger a script is than its compressed form, about.
const COMPRESSED: u64 = 4;

/// Whether a response is a script as a whole.
pub(super) fn is_script(method: &Method, parts: &Parts) -> bool {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let is_javascript = ["javascript", "ecmascript"].iter().any(|name| {
        essence
            .get(essence.len().saturating_sub(10)..)
            .is_some_and(|e| e.eq_ignore_ascii_case(name))
    });
    *method == Method::GET && parts.status == StatusCode::OK && is_javascript
}

/// A script whose beginning has been read.
pub(super) struct Begun {
    /// Its text so far, decoded.
    pub(super) text: Vec<u8>,
    /// How large it is as a whole, if that can be told.
    pub(super) size: Option<u64>,
    frames: VecDeque<Frame<Bytes>>,
    source: Source,
    ended: bool,
}

impl Begun {
    /// Reads as much of a script as it takes to recognise it.
    ///
    /// # Errors
    /// When the origin breaks off or stops sending.
    pub(super) async fn read(
        parts: &Parts,
        mut source: Source,
        patience: Duration,
    ) -> Result<Self, Error> {
        let mut decoders = decoders(parts);
        let (mut text, mut frames) = (Vec::new(), VecDeque::new());
        let mut ended = false;
        while text.len() < SCRIPT_LOOK_BYTES && decoders.is_some() {
            let frame = tokio::time::timeout(patience, source.frame())
                .await
                .map_err(|_| Error::OriginBroken("it stopped sending".to_owned()))?;
            let Some(frame) = frame else {
                ended = true;
                break;
            };
            let frame = frame
                .map_err(|error| Error::OriginBroken(format!("its body broke off: {error}")))?;
            if let Some(bytes) = frame.data_ref()
                && let Some(layers) = &mut decoders
            {
                match decoded(layers, bytes) {
                    Some(more) => text.extend(more),
                    // Then no browser can read it either.
                    None => decoders = None,
                }
            }
            frames.push_back(frame);
        }
        let declared = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let compressed = parts.headers.contains_key(CONTENT_ENCODING);
        let size = if ended {
            u64::try_from(text.len()).ok()
        } else {
            let length = declared.and_then(|length| length.parse::<u64>().ok());
            length.map(|length| length.saturating_mul(if compressed { COMPRESSED } else { 1 }))
        };
        Ok(Self { text, size, frames, source, ended })
    }

    /// The script as it came.
    pub(super) fn pass(self, patience: Duration) -> Body {
        let rest = (!self.ended).then(|| PassedBody::new(self.source, patience).boxed_unsync());
        Resumed { frames: self.frames, rest }.boxed_unsync()
    }
}

/// Nothing in a script's place, so that `onload` is called and no console says
/// that something is missing.
pub(super) fn withheld(mut parts: Parts, variant: &Variant) -> Response<Body> {
    mark_page(&mut parts.headers, variant, true);
    parts.headers.remove(CONTENT_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    Response::from_parts(parts, body::empty())
}

/// A vendor's script that may pass: not after a withdrawal.
pub(super) fn mark_allowed(parts: &mut Parts, variant: &Variant) {
    mark_page(&mut parts.headers, variant, false);
    mark_variant(&mut parts.headers, variant);
}

/// `None` when a coding is unknown.
fn decoders(parts: &Parts) -> Option<Vec<Decoder>> {
    let fields = parts.headers.get_all(CONTENT_ENCODING).iter();
    let applied: Vec<&str> = fields.filter_map(|field| field.to_str().ok()).collect();
    let codings = Coding::parse_list(&applied.join(",")).ok()?;
    codings.into_iter().rev().map(|coding| Decoder::new(coding).ok()).collect()
}

fn decoded(layers: &mut [Decoder], bytes: &[u8]) -> Option<Vec<u8>> {
    layers.iter_mut().try_fold(bytes.to_vec(), |bytes, layer| layer.write(&bytes).ok())
}

/// What was read already, then the rest as it comes.
struct Resumed {
    frames: VecDeque<Frame<Bytes>>,
    rest: Option<Body>,
}

impl http_body::Body for Resumed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }
}
