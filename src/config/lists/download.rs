//! Asks an address for a list: over https only, with limits, and only for what
//! is newer than what we have.

use crate::config::lists::Record;
use crate::observe::chain;
use crate::proxy::{Outside, outside};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION, USER_AGENT,
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use url::{Host, Url};

/// The largest list taken, unpacked. EasyList has 2 MB.
const MAX_BYTES: usize = 64 << 20;

/// How often an address may send us on.
const MAX_REDIRECTS: usize = 5;

/// How long a connection may take, and a whole download.
const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(120);

/// Why a list did not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it took longer than {} s", WHOLE.as_secs())]
    TooSlow,
    #[error("the server answers {0}")]
    Status(StatusCode),
    #[error("it is sent on to {0}, which is not https")]
    Insecure(String),
    #[error("it is sent on more than {MAX_REDIRECTS} times")]
    Redirects,
    #[error("it is sent on to nowhere")]
    Nowhere,
    #[error("it broke off or is larger than {} MB", MAX_BYTES >> 20)]
    Body,
    #[error("it is a web page, not a list")]
    Page,
    #[error(transparent)]
    Packed(#[from] Unpacking),
    #[error("its request cannot be made: {0}")]
    Request(#[from] http::Error),
}

/// Why bytes are no text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Unpacking {
    #[error("it cannot be unpacked: {0}")]
    Broken(String),
    #[error("unpacked, it is larger than {} MB", MAX_BYTES >> 20)]
    TooLarge,
    #[error("it is not UTF-8")]
    NotText,
}

/// What an address answers.
#[derive(Debug)]
pub(super) enum Answer {
    /// What we have is the newest.
    Unchanged,
    /// There is something newer.
    Fresh(Fresh),
}

/// A list as it came.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) text: String,
    pub(super) served_sha256: String,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

/// Asks addresses for lists.
#[derive(Clone, Debug)]
pub(super) struct Downloader(Outside);

impl Downloader {
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        outside(ca_file, CONNECT, 0).map(Self).map_err(|error| error.to_string())
    }

    /// Asks for what is newer than `known`.
    pub(super) async fn ask(&self, location: &Url, known: &Record) -> Result<Answer, Error> {
        tokio::time::timeout(WHOLE, self.follow(location, known))
            .await
            .map_err(|_| Error::TooSlow)?
    }

    async fn follow(&self, location: &Url, known: &Record) -> Result<Answer, Error> {
        let mut url = location.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self
                .0
                .request(request(&url, known)?)
                .await
                .map_err(|error| Error::Unreachable(chain(&error)))?;
            let (parts, body) = response.into_parts();
            match parts.status {
                StatusCode::OK => {
                    let body = Limited::new(body, MAX_BYTES).collect().await;
                    let body = body.map_err(|_| Error::Body)?.to_bytes();
                    return read(&parts.headers, body).map(Answer::Fresh);
                }
                StatusCode::NOT_MODIFIED => return Ok(Answer::Unchanged),
                status if status.is_redirection() => {
                    let to = text(&parts.headers, LOCATION).ok_or(Error::Nowhere)?;
                    url = url.join(&to).map_err(|_| Error::Nowhere)?;
                    if url.scheme() != "https" {
                        return Err(Error::Insecure(url.to_string()));
                    }
                }
                status => return Err(Error::Status(status)),
            }
        }
        Err(Error::Redirects)
    }
}

fn request(url: &Url, known: &Record) -> Result<Request<Full<Bytes>>, Error> {
    let mut request = Request::get(url.as_str())
        .header(USER_AGENT, concat!("consentry/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "text/plain, */*;q=0.5")
        .header(ACCEPT_ENCODING, "gzip");
    for (name, value) in [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    Ok(request.body(Full::default())?)
}

fn read(headers: &HeaderMap, body: Bytes) -> Result<Fresh, Error> {
    if text(headers, CONTENT_TYPE).is_some_and(|kind| kind.to_ascii_lowercase().contains("html")) {
        return Err(Error::Page);
    }
    let coded = text(headers, CONTENT_ENCODING)
        .is_some_and(|coding| coding.trim().eq_ignore_ascii_case("gzip"));
    let served = if coded { gunzip(&body)? } else { body.to_vec() };
    let served_sha256 = hex(&sha256(&served));
    let list = unpack(served)?;
    if list.trim_start().starts_with('<') {
        return Err(Error::Page);
    }
    Ok(Fresh {
        text: list,
        served_sha256,
        etag: text(headers, ETAG),
        last_modified: text(headers, LAST_MODIFIED),
    })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The text of a list, which may be packed with gzip.
pub(super) fn unpack(bytes: Vec<u8>) -> Result<String, Unpacking> {
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) { gunzip(&bytes)? } else { bytes };
    String::from_utf8(bytes).map_err(|_| Unpacking::NotText)
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, Unpacking> {
    let mut unpacked = Vec::new();
    // One byte more than may be, to know that there is more.
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut unpacked)
        .map_err(|error| Unpacking::Broken(error.to_string()))?;
    if unpacked.len() > MAX_BYTES { Err(Unpacking::TooLarge) } else { Ok(unpacked) }
}

/// Whether an address is on this machine, where nobody is on the way.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Write;

    #[test]
    fn packed_lists_are_unpacked_and_bombs_are_not() {
        let pack = |text: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(text).unwrap();
            packer.finish().unwrap()
        };
        assert_eq!(unpack(b"||a.example^".to_vec()).unwrap(), "||a.example^");
        assert_eq!(unpack(pack(b"||a.example^")).unwrap(), "||a.example^");
        assert_eq!(unpack(pack(&vec![b'x'; MAX_BYTES + 1])), Err(Unpacking::TooLarge));
        assert_eq!(unpack(vec![0xff, 0xfe]), Err(Unpacking::NotText));
        assert!(matches!(unpack(vec![0x1f, 0x8b, 0]), Err(Unpacking::Broken(_))));
    }

    #[test]
    fn a_web_page_is_no_list() {
        let page = Bytes::from_static(b"\n<!doctype html><p>Please log in");
        assert!(matches!(read(&HeaderMap::new(), page), Err(Error::Page)));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, "Text/HTML".parse().unwrap())]);
        assert!(matches!(read(&headers, Bytes::from_static(b"Moved")), Err(Error::Page)));
    }
}
