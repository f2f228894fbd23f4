//! Asks a site for its pages, one at a time, with limits.

use crate::enforce::codec::{Coding, Decoder};
use crate::proxy::{Outside, outside};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, LOCATION, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::path::Path;
use std::time::Duration;
use url::Url;

/// The largest page taken, with and without its content coding.
const MAX_BYTES: usize = 32 << 20;

/// How often a page may send us on.
const MAX_REDIRECTS: usize = 10;

/// Connections that are kept: pages are asked for one at a time.
const KEPT: usize = 1;

/// A piece of a compressed page: it may inflate a thousandfold.
const PIECE_BYTES: usize = 4096;

/// What a site answered.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Where it came from in the end.
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// What it says; nothing where it is neither a page nor a site map.
    pub(super) body: Option<Vec<u8>>,
    /// What was said on the way there.
    pub(super) hops: Vec<(Url, HeaderMap)>,
}

impl Fetched {
    pub(super) fn content_type(&self) -> Option<&str> {
        self.headers.get(CONTENT_TYPE)?.to_str().ok()
    }

    pub(super) fn is_page(&self) -> bool {
        kind(&self.headers) == Some(Wanted::Page)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Page,
    Map,
}

fn kind(headers: &HeaderMap) -> Option<Wanted> {
    let field = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(field) = field else { return Some(Wanted::Page) };
    let essence = field.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/html" | "application/xhtml+xml" => Some(Wanted::Page),
        "text/xml" | "application/xml" | "application/rss+xml" => Some(Wanted::Map),
        _ => None,
    }
}

/// Asks for pages.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: Outside,
    patience: Duration,
    /// What a visitor brings along, for the first host that is asked alone.
    cookies: Option<HeaderValue>,
}

impl Fetcher {
    pub(super) fn new(
        ca_file: Option<&Path>,
        patience: Duration,
        cookies: Option<HeaderValue>,
    ) -> anyhow::Result<Self> {
        let client = outside(ca_file, patience, KEPT)?;
        Ok(Self { client, patience, cookies })
    }

    /// Asks for a page, and goes where it sends us.
    pub(super) async fn get(&self, url: &Url) -> anyhow::Result<Fetched> {
        match tokio::time::timeout(self.patience, self.follow(url)).await {
            Ok(fetched) => fetched,
            Err(_) => bail!("it took longer than {} s", self.patience.as_secs()),
        }
    }

    async fn follow(&self, start: &Url) -> anyhow::Result<Fetched> {
        let mut url = start.clone();
        let mut hops = Vec::new();
        while hops.len() <= MAX_REDIRECTS {
            let request = self.request(&url, url.host_str() == start.host_str())?;
            let response = self.client.request(request).await.context("it cannot be reached")?;
            let (parts, body) = response.into_parts();
            let location = parts.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            if let Some(location) = location.filter(|_| parts.status.is_redirection()) {
                let next = url.join(location).context("it is sent on to nowhere")?;
                if !matches!(next.scheme(), "http" | "https") {
                    bail!("it is sent on to an address that is not of the web");
                }
                hops.push((std::mem::replace(&mut url, next), parts.headers));
                continue;
            }
            let body = match kind(&parts.headers) {
                Some(_) => Some(read(&parts.headers, body).await?),
                None => None,
            };
            let (status, headers) = (parts.status, parts.headers);
            return Ok(Fetched { url, status, headers, body, hops });
        }
        bail!("it is sent on more than {MAX_REDIRECTS} times")
    }

    fn request(&self, url: &Url, own: bool) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut address = url.clone();
        address.set_fragment(None);
        let mut request = Request::get(address.as_str())
            .header(USER_AGENT, concat!("consentry-audit/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.5")
            .header(ACCEPT_ENCODING, "gzip, br");
        if let Some(cookies) = self.cookies.as_ref().filter(|_| own) {
            request = request.header(COOKIE, cookies);
        }
        Ok(request.body(Full::default())?)
    }
}

async fn read(headers: &HeaderMap, mut body: Incoming) -> anyhow::Result<Vec<u8>> {
    let mut decoders = Vec::new();
    for field in headers.get_all(CONTENT_ENCODING) {
        for coding in Coding::parse_list(field.to_str().unwrap_or("?"))? {
            decoders.insert(0, Decoder::new(coding)?);
        }
    }
    let mut whole = Vec::new();
    let mut came = 0;
    let take = |bytes: Vec<u8>, whole: &mut Vec<u8>| {
        whole.extend(bytes);
        match whole.len() > MAX_BYTES {
            true => Err(anyhow::anyhow!("it is larger than {} MB", MAX_BYTES >> 20)),
            false => Ok(()),
        }
    };
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.context("it broke off")?.into_data() else { continue };
        came += piece.len();
        if came > MAX_BYTES {
            bail!("it is larger than {} MB", MAX_BYTES >> 20);
        }
        for piece in piece.chunks(PIECE_BYTES) {
            let mut decoded = piece.to_vec();
            for decoder in &mut decoders {
                decoded = decoder.write(&decoded).context("it cannot be unpacked")?;
            }
            take(decoded, &mut whole)?;
        }
    }
    let mut rest = Vec::new();
    for decoder in &mut decoders {
        let mut next = decoder.write(&rest).context("it cannot be unpacked")?;
        next.extend(decoder.finish().context("it cannot be unpacked")?);
        rest = next;
    }
    take(rest, &mut whole)?;
    Ok(whole)
}
