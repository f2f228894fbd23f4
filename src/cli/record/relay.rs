//! Stands between the proxy and the origin, hands everything on as it is, and
//! keeps what the origin answers.

use crate::audit::{ARCHIVE_VERSION, Recorded, keeps_body, without_addresses};
use crate::enforce::codec::{Coding, Decoder};
use crate::proxy::{Outside, outside};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::convert::Infallible;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// How long a connection to the origin may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections that are kept: as many as a browser makes.
const KEPT: usize = 6;

/// The largest body that is kept, or sent on; a larger one breaks off.
const MAX_BYTES: usize = 32 << 20;

/// A piece of a compressed body: it may inflate a thousandfold.
const PIECE_BYTES: usize = 4096;

/// What ends with a connection and is not handed on.
const OF_CONNECTIONS: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type Sent = Either<Full<Bytes>, Incoming>;

/// The way to the origin.
pub(super) struct Relay {
    origin: Url,
    client: Outside,
    archive: Archive,
}

impl Relay {
    pub(super) fn new(origin: Url, ca_file: Option<&Path>, out: &Path) -> anyhow::Result<Self> {
        let client = outside(ca_file, PATIENCE, KEPT)?;
        Ok(Self { origin, client, archive: Archive::open(out)? })
    }

    /// Listens on loopback, on the current runtime, until that ends.
    pub(super) async fn start(self) -> anyhow::Result<(SocketAddr, Arc<Self>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let relay = Arc::new(self);
        let handed = Arc::clone(&relay);
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((socket, _)) => {
                        tokio::spawn(serve(socket, Arc::clone(&handed)));
                    }
                    // Out of descriptors: some connection has to end first.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        Ok((address, relay))
    }

    /// How many answers were kept.
    pub(super) fn kept(&self) -> usize {
        self.archive.lock().known.len()
    }

    async fn hand_on(&self, request: Request<Incoming>) -> anyhow::Result<Response<Sent>> {
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        // Joined, `//host/` would be somebody else's address.
        let mut address = self.origin.clone();
        address.set_path(parts.uri.path());
        address.set_query(parts.uri.query());
        parts.uri = address.as_str().parse()?;
        parts.version = http::Version::HTTP_11;
        drop_fields(&mut parts.headers);
        let body = Limited::new(body, MAX_BYTES).collect().await;
        let body = body.map_err(|error| {
            anyhow::anyhow!("what was sent ({MAX_BYTES} bytes at most are handed on): {error}")
        })?;
        let body = body.to_bytes();
        let response = self.client.request(Request::from_parts(parts, Full::new(body))).await?;
        let (mut parts, body) = response.into_parts();
        drop_fields(&mut parts.headers);
        let status = parts.status.as_u16();
        if !keeps_body(&parts.headers) {
            self.archive.keep(&Recorded::of(&target, status, &parts.headers, None))?;
            return Ok(Response::from_parts(parts, Either::Right(body)));
        }
        let body = Limited::new(body, MAX_BYTES).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        let text = without_addresses(&decoded(&parts.headers, &body)?);
        let name = self.archive.keep_body(&text)?;
        let mut headers = parts.headers.clone();
        headers.remove(CONTENT_ENCODING);
        self.archive.keep(&Recorded::of(&target, status, &headers, Some(name)))?;
        Ok(Response::from_parts(parts, Either::Left(Full::new(body))))
    }
}

async fn serve(socket: TcpStream, relay: Arc<Relay>) {
    let answer = service_fn(move |request| {
        let relay = Arc::clone(&relay);
        async move {
            let answered = relay.hand_on(request).await;
            Ok::<_, Infallible>(answered.unwrap_or_else(|error| refused(&error)))
        }
    });
    // Only the proxy is on the other side, which tells of what goes wrong.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
}

fn refused(error: &anyhow::Error) -> Response<Sent> {
    let mut response = Response::new(Either::Left(Full::from(format!("{error:#}\n"))));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

fn drop_fields(headers: &mut HeaderMap) {
    for name in OF_CONNECTIONS {
        headers.remove(HeaderName::from_static(name));
    }
}

fn decoded(headers: &HeaderMap, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut decoded = body.to_vec();
    let mut codings = Vec::new();
    for field in headers.get_all(CONTENT_ENCODING) {
        codings.extend(Coding::parse_list(field.to_str().unwrap_or("?"))?);
    }
    for coding in codings.into_iter().rev() {
        let mut decoder = Decoder::new(coding)?;
        let mut next = Vec::new();
        for piece in decoded.chunks(PIECE_BYTES) {
            next.extend(decoder.write(piece)?);
            if next.len() > MAX_BYTES {
                bail!("the answer is larger than {} MB", MAX_BYTES >> 20);
            }
        }
        next.extend(decoder.finish()?);
        decoded = next;
    }
    Ok(decoded)
}

/// The directory in which answers are kept.
struct Archive {
    bodies: PathBuf,
    lines: Mutex<Lines>,
}

struct Lines {
    file: File,
    /// What is there already: a page that is opened again says nothing new.
    known: HashSet<Recorded>,
}

impl Archive {
    fn open(directory: &Path) -> anyhow::Result<Self> {
        let failed = || format!("{} cannot be made", directory.display());
        let bodies = directory.join("bodies");
        // Pages may say who was signed in: they are for their owner alone.
        DirBuilder::new().recursive(true).mode(0o700).create(&bodies).with_context(failed)?;
        let version = format!("{{\"consentry_archive\": {ARCHIVE_VERSION}}}\n");
        std::fs::write(directory.join("archive.json"), version).with_context(failed)?;
        let path = directory.join("exchanges.jsonl");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let known = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let lines = Mutex::new(Lines { file: file.with_context(failed)?, known });
        Ok(Self { bodies, lines })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, recorded: &Recorded) -> anyhow::Result<()> {
        let mut lines = self.lock();
        if lines.known.insert(recorded.clone()) {
            let line = format!("{}\n", serde_json::to_string(recorded)?);
            lines.file.write_all(line.as_bytes()).context("the archive cannot be written")?;
        }
        Ok(())
    }

    fn keep_body(&self, text: &[u8]) -> anyhow::Result<String> {
        let hash = Sha256::digest(text);
        let name: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.bodies.join(&name);
        if !path.exists() {
            let open =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path);
            open.and_then(|mut file| file.write_all(text))
                .context("the archive cannot be written")?;
        }
        Ok(name)
    }
}
