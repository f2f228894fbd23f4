//! The synthetic visitor's way in: exchanges that are carried like all others
//! and leave no trace.
//!
//! Somebody has to look at the site from outside, as a visitor does, to know
//! that what is promised holds. What that visitor sees must be what others
//! see, and no figure may count it. So it shows a key that only this process
//! knows; whoever shows it is served by the same code with the same sites,
//! but with no ledger, no counters and no limits behind it.

use crate::proxy::Proxy;
use crate::proxy::body::Body;
use crate::proxy::head::Peer;
use crate::proxy::leaving::Leaving;
use crate::proxy::room::Room;
use crate::site::{Origin, Origins, Site};

use hmac::{Hmac, KeyInit, Mac};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, Request, Response};
use hyper::body::Incoming;
use sha2::Sha256;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The field in which the key is shown. It never reaches an origin.
pub const SYNTHETIC_FIELD: HeaderName = HeaderName::from_static("consentry-self-check");

/// The page under a site's own prefix that only the synthetic visitor gets.
pub const CANARY_PAGE: &str = "/canary";

/// What shows that a request is the synthetic visitor's.
///
/// It is made at the start, stands nowhere, and dies with the process.
#[derive(Clone)]
pub struct SyntheticKey([u8; 32]);

impl fmt::Debug for SyntheticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyntheticKey")
    }
}

impl SyntheticKey {
    /// A new one; `None` when the system gives no random numbers.
    #[must_use]
    pub fn generate() -> Option<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).ok()?;
        Some(Self(key))
    }

    /// The field's value.
    #[must_use]
    pub fn shown(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether the fields show it. They show nothing afterwards, whoever sent
    /// them: it is nobody's business behind us.
    fn takes(&self, headers: &mut HeaderMap) -> bool {
        let shown = headers.get_all(SYNTHETIC_FIELD).iter().any(|field| self.is(field.as_bytes()));
        headers.remove(SYNTHETIC_FIELD);
        shown
    }

    /// Compared in a time that tells nothing about how much of it was right.
    fn is(&self, shown: &[u8]) -> bool {
        let mark = |text: &[u8]| {
            Hmac::<Sha256>::new_from_slice(&self.0).ok().map(|mac| mac.chain_update(text))
        };
        match (mark(shown), mark(self.shown().as_bytes())) {
            (Some(shown), Some(own)) => shown.verify(&own.finalize().into_bytes()).is_ok(),
            _ => false,
        }
    }
}

/// What the synthetic visitor needs of the proxy.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// What it shows.
    pub key: SyntheticKey,
    /// Who answers for the canary page.
    pub canary: SocketAddr,
}

impl Synthetic {
    /// The server behind the canary page.
    pub(super) fn origins(&self) -> Option<Arc<Origins>> {
        let authority: Authority = self.canary.to_string().parse().ok()?;
        let canary = Origin::new(Scheme::HTTP, authority);
        Some(Arc::new(Origins::new("self-check".into(), vec![canary])))
    }
}

/// Whether a path is that of the canary page.
pub(super) fn is_canary(site: &Site, path: &str) -> bool {
    path.strip_prefix(&*site.own_prefix) == Some(CANARY_PAGE)
}

/// Who carries the exchanges of a worker: one for all visitors, and one for
/// the synthetic one.
pub(super) struct Carriers {
    pub(super) visitors: Proxy,
    pub(super) synthetic: Option<(SyntheticKey, Proxy)>,
    /// Whether the end has begun.
    pub(super) leaving: Arc<Leaving>,
    /// Where connections that rest hear that they are to give way.
    pub(super) room: Arc<Room>,
}

impl Carriers {
    pub(super) async fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: Peer,
    ) -> Response<Body> {
        let version = request.version();
        let headers = request.headers_mut();
        let proxy = match &self.synthetic {
            Some((key, proxy)) if key.takes(headers) => proxy,
            Some(_) | None => {
                headers.remove(SYNTHETIC_FIELD);
                &self.visitors
            }
        };
        let mut response = proxy.answer(request, peer).await;
        self.leaving.tell(version, &mut response);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k5_only_the_key_itself_opens_and_the_field_is_gone_either_way() {
        let key = SyntheticKey::generate().unwrap();
        let other = SyntheticKey::generate().unwrap();
        for (shown, opens) in [
            (key.shown(), true),
            (other.shown(), false),
            (String::new(), false),
            (key.shown().to_uppercase(), key.shown() == key.shown().to_uppercase()),
            (key.shown().chars().skip(1).collect(), false),
            (format!("{}0", key.shown()), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(SYNTHETIC_FIELD, shown.parse().unwrap());
            assert_eq!(key.takes(&mut headers), opens, "{shown}");
            assert!(headers.is_empty());
        }
        assert_eq!(format!("{key:?}"), "SyntheticKey");
    }
}
