//! Starts an origin and a proxy on free ports of loopback, and visits them.
//!
//! ```text
//! let origin = origin().page("/", "<script src=//ads.acme.example/p.js></script>").start().await;
//! let proxy = consentry(&origin).start().await;
//! let page = visitor(&proxy).opens("/").await;
//! assert!(!page.body.contains("ads.acme.example"));
//! assert_eq!(proxy.ledger().await, ["block marketing Acme Ads script ads.acme.example/p.js"]);
//! ```

use bytes::Bytes;
use consentry::cli::serve::Running;
use consentry::config::{self, KeyMode, Overrides};
use consentry::ledger::read::{Filter, Line, Reader};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The vendors of the tests: one for each purpose, and one with an inline
/// snippet, on top of the embedded catalogue.
pub(crate) const CATALOGUE: &str = r#"
[[vendor]]
id = "acme-ads"
name = "Acme Ads"
owner = "Acme"
purposes = ["marketing"]
about = "Shows ads."
source = "https://acme.example"
hosts = ["ads.acme.example", "ads.acme.localhost"]
inline = ["acme('init'"]
script = ["acme.version= && acme._release"]
globals = ["acme"]
cookies = ["_acme", "_acme_*"]
request_headers = ["x-acme-id"]
response_headers = ["x-acme-segment"]
parameters = ["acmeid"]
own_paths = ["/acme/collect"]
storage = ["acme.*"]
databases = ["acme-ads"]
caches = ["acme-*"]
workers = ["acme-worker.js"]

[[vendor]]
id = "acme-stats"
name = "Acme Stats"
owner = "Acme"
purposes = ["analytics"]
about = "Counts visits."
source = "https://acme.example"
hosts = ["stats.acme.example", "stats.acme.localhost"]
cookies = ["_stats"]
storage = ["stats.*"]
databases = ["acme-stats"]

[[vendor]]
id = "acme-maps"
name = "Acme Maps"
owner = "Acme"
purposes = ["functional"]
about = "Shows maps."
source = "https://acme.example"
hosts = ["maps.acme.example", "maps.acme.localhost"]
"#;

/// A request as it reached the origin.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

type Answer =
    Arc<dyn Fn(Seen) -> Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>> + Send + Sync>;

/// Begins an origin.
pub(crate) fn origin() -> OriginBuilder {
    OriginBuilder::default()
}

#[derive(Default)]
pub(crate) struct OriginBuilder {
    answers: BTreeMap<String, Answer>,
}

impl OriginBuilder {
    /// An HTML page in UTF-8.
    pub(crate) fn page(self, path: &str, html: &str) -> Self {
        let html = html.to_owned();
        self.answer(path, move |_| {
            Response::builder()
                .header("content-type", "text/html; charset=utf-8")
                .header("etag", "\"v1\"")
                .body(Full::from(html.clone()))
                .unwrap()
        })
    }

    /// Whatever a closure makes of a request; paths are without query.
    pub(crate) fn answer(
        mut self,
        path: &str,
        answer: impl Fn(Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        self.answers.insert(
            path.to_owned(),
            Arc::new(move |seen| {
                let answer = Arc::clone(&answer);
                Box::pin(async move { answer(seen) })
            }),
        );
        self
    }

    pub(crate) async fn start(self) -> Origin {
        self.listen(bound("127.0.0.1:0".parse().unwrap()).await, None).await
    }

    /// The same on an address of its own, so that nobody else gets its port
    /// once it is gone.
    pub(crate) async fn start_apart(self) -> Origin {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let process = u8::try_from(std::process::id() % 200).unwrap() + 50;
        let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        self.start_at(SocketAddr::from(([127, process, high, low], 0))).await
    }

    /// The same over https.
    pub(crate) async fn start_tls(self, acceptor: TlsAcceptor) -> Origin {
        self.listen(bound("127.0.0.1:0".parse().unwrap()).await, Some(acceptor)).await
    }

    /// The same where another one was before.
    pub(crate) async fn start_at(self, address: SocketAddr) -> Origin {
        self.listen(bound(address).await, None).await
    }

    async fn listen(self, listener: TcpListener, tls: Option<TlsAcceptor>) -> Origin {
        let answers = Arc::new(self.answers);
        Origin::accepting(listener, move |socket, seen| {
            let (tls, answers) = (tls.clone(), Arc::clone(&answers));
            async move {
                match tls {
                    None => answer_all(socket, seen, answers).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(socket).await {
                            answer_all(stream, seen, answers).await;
                        }
                    }
                }
            }
        })
        .await
    }
}

async fn answer_all(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    log: Log,
    answers: Arc<BTreeMap<String, Answer>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
        async move {
            let (parts, body) = request.into_parts();
            let seen = Seen {
                method: parts.method.to_string(),
                target: parts.uri.to_string(),
                headers: parts.headers,
                body: body.collect().await.map(|b| b.to_bytes()).unwrap_or_default(),
            };
            log.lock().unwrap().push(seen.clone());
            let response = match answers.get(parts.uri.path()) {
                Some(answer) => answer(seen).await,
                None => Response::builder().status(404).body(Full::from("not here")).unwrap(),
            };
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// A listener, at last: whoever had the address may still be leaving.
async fn bound(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// A running origin.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Log,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Origin {
    async fn accepting<F, R>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(TcpStream, Log) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let (seen, connections): (Log, Arc<AtomicUsize>) = Default::default();
        let (log, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(socket, Arc::clone(&log)));
            }
        });
        Self { address, seen, connections, task }
    }

    /// The requests that reached it.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Forgets them.
    pub(crate) fn forgets(&self) {
        self.seen.lock().unwrap().clear();
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The connections that were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An origin that speaks in raw bytes: for each connection it reads a request
/// head and then runs `script` on the socket, with everything read so far.
pub(crate) async fn raw_origin<F, R>(script: F) -> Origin
where
    F: Fn(TcpStream, String) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let script = Arc::new(script);
    let listener = bound("127.0.0.1:0".parse().unwrap()).await;
    Origin::accepting(listener, move |mut socket, log| {
        let script = Arc::clone(&script);
        async move {
            let mut head = Vec::new();
            let mut buffer = [0; 4096];
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                match socket.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(length) => head.extend_from_slice(&buffer[..length]),
                }
            }
            let head = String::from_utf8(head).unwrap();
            let mut line = head.split(' ').map(str::to_owned);
            log.lock().unwrap().push(Seen {
                method: line.next().unwrap_or_default(),
                target: line.next().unwrap_or_default(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
            });
            script(socket, head).await;
        }
    })
    .await
}

/// Begins a proxy in front of an origin.
pub(crate) fn consentry(origin: &Origin) -> ProxyBuilder {
    ProxyBuilder {
        origin: format!("http://{}", origin.address),
        site: String::new(),
        sections: String::new(),
        directory: TempDir::new().unwrap(),
    }
}

pub(crate) struct ProxyBuilder {
    origin: String,
    site: String,
    sections: String,
    directory: TempDir,
}

impl ProxyBuilder {
    /// Another origin, such as one over https.
    pub(crate) fn origin(mut self, url: &str) -> Self {
        self.origin = url.to_owned();
        self
    }

    /// Several of them.
    pub(crate) fn origins(mut self, urls: &[String]) -> Self {
        self.origin = String::new();
        self.site(&format!("origins = {urls:?}"))
    }

    /// Where another one was stopped.
    pub(crate) fn in_directory(mut self, directory: TempDir) -> Self {
        self.directory = directory;
        self
    }

    /// More lines for the one `[[site]]`.
    pub(crate) fn site(mut self, toml: &str) -> Self {
        self.site.push_str(toml);
        self.site.push('\n');
        self
    }

    /// More sections of the configuration file.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.sections.push_str(toml);
        self.sections.push('\n');
        self
    }

    /// Where a file beside its configuration would be.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) async fn start(self) -> Proxy {
        self.try_start().await.unwrap()
    }

    /// Starts it, or says why that does not work.
    pub(crate) async fn try_start(self) -> Result<Proxy, String> {
        let directory = self.directory.path();
        std::fs::write(directory.join("vendors.toml"), CATALOGUE).unwrap();
        let file = directory.join("consentry.toml");
        let text = format!(
            "[catalogue]\nfiles = [{:?}]\n{}\n[[site]]\norigin = {:?}\n{}",
            directory.join("vendors.toml"),
            self.sections,
            self.origin,
            self.site
        );
        std::fs::write(&file, text).unwrap();
        let ledger = directory.join("ledger.db");
        let flags = Overrides {
            listen: Some("127.0.0.1:0".parse().unwrap()),
            admin: Some("127.0.0.1:0".parse().unwrap()),
            ledger: Some(ledger.clone()),
            ..Overrides::default()
        };
        let compiled = config::load(Some(&file), std::iter::empty(), &flags, KeyMode::Create)
            .map_err(|mistakes| {
                mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            })?;
        let running = Running::start(compiled).await.map_err(|failure| failure.message)?;
        Ok(Proxy {
            address: running.server.address(),
            admin: running.admin.address(),
            ledger,
            running: Some(running),
            directory: self.directory,
        })
    }
}

/// A running proxy; it stops when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    ledger: PathBuf,
    running: Option<Running>,
    directory: TempDir,
}

impl Proxy {
    /// The ledger's lines so far, in few words: verdict, purpose, vendor,
    /// kind, what.
    pub(crate) async fn ledger(&self) -> Vec<String> {
        self.lines()
            .await
            .into_iter()
            .map(|line| {
                format!(
                    "{} {} {} {} {}",
                    line.verdict,
                    line.purpose.as_deref().unwrap_or("-"),
                    line.vendor.as_deref().unwrap_or("-"),
                    line.kind,
                    line.what
                )
            })
            .collect()
    }

    /// The ledger's lines so far, whole.
    pub(crate) async fn lines(&self) -> Vec<Line> {
        // The ledger only ever waits a moment, but on one thread of its own.
        if let Some(running) = &self.running {
            running.ledger.flush().unwrap();
        }
        Reader::open(&self.ledger).unwrap().block_log(&Filter::default(), 10_000).unwrap()
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The running parts.
    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Stops it in order and gives its directory back.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.running.take().unwrap().stop().await.unwrap();
        std::mem::replace(&mut self.directory, TempDir::new().unwrap())
    }

    /// The value of a metric, by its name with labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let text = raw(
            self.admin,
            b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        )
        .await;
        let text = String::from_utf8(text).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Sends raw bytes and returns everything that comes back until the
    /// connection closes, or nothing more has come for a while.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        raw(self.address, bytes).await
    }
}

/// See [`Proxy::raw`].
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let ends = bytes.windows(17).any(|part| part.eq_ignore_ascii_case(b"connection: close"));
    let quiet = std::time::Duration::from_secs(if ends { 60 } else { 5 });
    while let Ok(Ok(length)) = tokio::time::timeout(quiet, socket.read(&mut buffer)).await {
        if length == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..length]);
    }
    all
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let Running { server, .. } = running;
            // Joining takes as long as the exchanges under way.
            std::thread::spawn(move || server.stop());
        }
    }
}

/// Begins a visit: somebody with a browser that keeps cookies.
pub(crate) fn visitor(proxy: &Proxy) -> Visitor {
    visitor_at(proxy.address)
}

/// The same at any address.
pub(crate) fn visitor_at(address: SocketAddr) -> Visitor {
    Visitor { address, host: address.to_string(), cookies: BTreeMap::new(), headers: Vec::new() }
}

/// Somebody with a browser that keeps cookies and follows no redirects.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    address: SocketAddr,
    host: String,
    pub(crate) cookies: BTreeMap<String, String>,
    headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    /// The body as text; empty when it is none.
    pub(crate) body: String,
}

impl Page {
    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// The value of a field, or nothing.
    pub(crate) fn field(&self, name: &str) -> String {
        self.all(name).join(", ")
    }
}

impl Visitor {
    /// Asks for another host.
    pub(crate) fn at_host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// Sends a field with every request.
    pub(crate) fn sending(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Holds a cookie.
    pub(crate) fn holding(mut self, name: &str, value: &str) -> Self {
        self.cookies.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Gets a page.
    pub(crate) async fn opens(&mut self, path: &str) -> Page {
        self.asks("GET", path, &[], "").await
    }

    /// Chooses: `all`, `none`, or `some` of the purposes.
    pub(crate) async fn chooses(&mut self, choice: &str, purposes: &[&str]) -> Page {
        let mut form = format!("choice={choice}&return_to=%2F");
        for purpose in purposes {
            form.push_str("&purpose=");
            form.push_str(purpose);
        }
        let origin = format!("http://{}", self.host);
        let fields =
            [("content-type", "application/x-www-form-urlencoded"), ("origin", origin.as_str())];
        self.asks("POST", "/.consentry/choices", &fields, &form).await
    }

    /// Makes any request.
    pub(crate) async fn asks(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Page {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
        let task = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", &self.host);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<_> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", pairs.join("; "));
        }
        let request = request.body(Full::<Bytes>::from(body.to_owned())).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        task.abort();
        self.keep_cookies(&parts.headers);
        let body = String::from_utf8(bytes.to_vec()).unwrap_or_default();
        Page { status: parts.status, headers: parts.headers, bytes, body }
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for field in headers.get_all("set-cookie") {
            let Ok(text) = field.to_str() else { continue };
            let pair = text.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            if text.to_ascii_lowercase().contains("max-age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
