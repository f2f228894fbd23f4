//! An origin that believes nothing: it keeps every byte it gets, and reads them
//! as strictly as RFC 9112 allows.

use crate::wire::PATIENCE;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\
    connection: close\r\n\r\nfine";

/// One request, as strictly read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Strict {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Strict {
    fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.fields.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_slice())
    }
}

/// The running origin.
pub(crate) struct StrictOrigin {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    open: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl StrictOrigin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let open: Arc<AtomicUsize> = Arc::default();
        let (log, count) = (Arc::clone(&heard), Arc::clone(&open));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (log, count) = (Arc::clone(&log), Arc::clone(&count));
                tokio::spawn(async move {
                    listen(socket, log).await;
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, heard, open, task }
    }

    /// What came since it was last asked, one item a connection, once all of
    /// them have ended.
    pub(crate) async fn takes(&self) -> Vec<Vec<u8>> {
        let since = Instant::now();
        while self.open.load(Ordering::SeqCst) > 0 {
            assert!(since.elapsed() < PATIENCE, "a connection is left open");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

impl Drop for StrictOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps what comes, and answers what is complete.
async fn listen(mut socket: TcpStream, log: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut mine = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => mine.extend_from_slice(&buffer[..length]),
        }
        // What cannot be read is answered, too: the proxy must not be the one
        // who finds out by waiting.
        if !matches!(request(&mine), Ok(None)) {
            log.lock().unwrap().push(mine);
            let _ = socket.write_all(ANSWER).await;
            let _ = socket.shutdown().await;
            let mut late = Vec::new();
            let _ = socket.read_to_end(&mut late).await;
            if !late.is_empty() {
                log.lock().unwrap().push(late);
            }
            return;
        }
    }
    log.lock().unwrap().push(mine);
}

/// All requests in what came over one connection.
///
/// # Errors
/// What is wrong with them. That the last one is not complete is no mistake.
pub(crate) fn requests(mut bytes: &[u8]) -> Result<Vec<Strict>, String> {
    let mut all = Vec::new();
    while let Some((request, rest)) = request(bytes)? {
        all.push(request);
        bytes = rest;
    }
    Ok(all)
}

type Read<'b> = Option<(Strict, &'b [u8])>;
type Split<'b> = Option<(&'b [u8], &'b [u8])>;
type Chunks<'b> = Option<(Vec<u8>, &'b [u8])>;

/// The first request and what follows; `None` when it is not complete.
fn request(bytes: &[u8]) -> Result<Read<'_>, String> {
    let Some((line, mut rest)) = line(bytes)? else { return Ok(None) };
    let mut read = request_line(line)?;
    loop {
        let Some((line, after)) = self::line(rest)? else { return Ok(None) };
        rest = after;
        if line.is_empty() {
            break;
        }
        read.fields.push(field(line)?);
    }
    check_host(&read)?;
    let (lengths, codings) = (
        read.all("content-length").collect::<Vec<_>>(),
        read.all("transfer-encoding").collect::<Vec<_>>(),
    );
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => {}
        ([length], []) => {
            let length = number(length, 10)?;
            if rest.len() < length {
                return Ok(None);
            }
            read.body = rest[..length].to_vec();
            rest = &rest[length..];
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => {
            let Some((body, after)) = chunks(rest)? else { return Ok(None) };
            read.body = body;
            rest = after;
        }
        _ => return Err(format!("unclear framing: {:?}", read.fields)),
    }
    let websocket = read.all("upgrade").eq([b"websocket".as_slice()])
        && read.all("connection").eq([b"upgrade".as_slice()]);
    for name in ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"] {
        if read.all(name).next().is_some() && !websocket {
            return Err(format!("`{name}` belongs to one connection"));
        }
    }
    Ok(Some((read, rest)))
}

/// A line without its end; `None` when it has none yet.
fn line(bytes: &[u8]) -> Result<Split<'_>, String> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
    let Some(line) = line.strip_suffix(b"\r") else {
        return Err(format!("a line ends with LF alone: `{}`", line.escape_ascii()));
    };
    match line.iter().find(|byte| (**byte < b' ' && **byte != b'\t') || **byte == 0x7f) {
        Some(byte) => Err(format!("control byte {byte} in `{}`", line.escape_ascii())),
        None => Ok(Some((line, rest))),
    }
}

fn request_line(line: &[u8]) -> Result<Strict, String> {
    let shown = || format!("request line `{}`", line.escape_ascii());
    let text = std::str::from_utf8(line).map_err(|_| shown())?;
    let parts: Vec<_> = text.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts.as_slice() else { return Err(shown()) };
    let fits = target.starts_with('/') || (*target == "*" && *method == "OPTIONS");
    let path = target.split('?').next().unwrap_or_default();
    if !fits
        || !is_token(method.as_bytes())
        || !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
        || path.contains('\\')
    {
        return Err(shown());
    }
    Ok(Strict { method: (*method).to_owned(), target: (*target).to_owned(), ..Strict::default() })
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let shown = || format!("field `{}`", line.escape_ascii());
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(shown)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(shown());
    }
    let name = String::from_utf8(name.to_ascii_lowercase()).unwrap();
    if matches!(name.replace('_', "-").as_str(), "content-length" | "transfer-encoding" | "host")
        && name.contains('_')
    {
        return Err(shown());
    }
    Ok((name, value.trim_ascii().to_vec()))
}

fn is_token(bytes: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(fits)
}

fn check_host(read: &Strict) -> Result<(), String> {
    let hosts: Vec<_> = read.all("host").collect();
    let fits = |host: &[u8]| {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
        !host.is_empty() && host.iter().all(fits)
    };
    match hosts.as_slice() {
        [host] if fits(host) => Ok(()),
        _ => Err(format!("hosts {hosts:?}")),
    }
}

fn number(digits: &[u8], radix: u32) -> Result<usize, String> {
    let shown = || format!("number `{}`", digits.escape_ascii());
    let text = std::str::from_utf8(digits).map_err(|_| shown())?;
    if text.is_empty() || text.len() > 15 || !text.chars().all(|digit| digit.is_digit(radix)) {
        return Err(shown());
    }
    usize::from_str_radix(text, radix).map_err(|_| shown())
}

fn chunks(mut bytes: &[u8]) -> Result<Chunks<'_>, String> {
    let mut body = Vec::new();
    loop {
        let Some((line, rest)) = line(bytes)? else { return Ok(None) };
        let size = number(line, 16)?;
        if size == 0 {
            return match self::line(rest)? {
                None => Ok(None),
                Some((b"", rest)) => Ok(Some((body, rest))),
                Some((trailer, _)) => Err(format!("trailer `{}`", trailer.escape_ascii())),
            };
        }
        if rest.len() < size + 2 {
            return Ok(None);
        }
        if &rest[size..size + 2] != b"\r\n" {
            return Err("a chunk does not end where it should".to_owned());
        }
        body.extend_from_slice(&rest[..size]);
        bytes = &rest[size + 2..];
    }
}

#[test]
fn what_is_not_well_formed_is_noticed() {
    let fine = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(requests(fine).unwrap().len(), 1);
    assert_eq!(requests(&fine[..20]), Ok(Vec::new()));
    assert_eq!(requests(&[&fine[..], fine].concat()).unwrap().len(), 2);
    let body =
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(requests(body).unwrap()[0].body, b"abc");
    for wrong in [
        "GET / HTTP/1.1\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET /#x HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n x: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent_length: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\n\r\n",
    ] {
        assert!(requests(wrong.as_bytes()).is_err(), "{wrong:?}");
    }
}
