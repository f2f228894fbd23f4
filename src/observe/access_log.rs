//! Writes a line for every exchange, without anybody waiting for it: lines go
//! through a queue of fixed length to a thread of their own. What finds the queue
//! full, or the disk, is counted and gone.
//!
//! Nothing in a line says who the visitor is: ids are taken out of paths, and
//! there is no address unless the operator wants its network.

use crate::enforce::network;
use crate::observe::exchange_record::ExchangeRecord;
use crate::observe::trace_context::hex;
use crate::observe::{Observe, RecordLost};
use crate::policy::redact_path;

use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How many lines may wait: a second of a busy machine.
const QUEUE: usize = 8192;

/// How long a line may wait for others to be written with it.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// What an operator can set about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where lines go.
    pub place: Place,
    /// Whether they hold the network that a visitor comes from.
    pub has_network: bool,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Standard output.
    Output,
    /// A file, which is appended to.
    File(PathBuf),
}

/// The log, open for writing. What waits is written when it is dropped.
#[derive(Debug)]
pub struct AccessLog {
    queue: SyncSender<ExchangeRecord>,
    orders: Arc<Orders>,
    observe: Arc<Observe>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Orders {
    reopen: AtomicBool,
    stop: AtomicBool,
}

impl AccessLog {
    /// Opens it and starts the thread that writes.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(settings: Settings, observe: Arc<Observe>) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let orders = Arc::<Orders>::default();
        let sink = Sink::open(&settings.place)?;
        let (told, counted) = (Arc::clone(&orders), Arc::clone(&observe));
        let writer = Writer { settings, sink, orders: told, observe: counted, is_failing: false };
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run(&lines))?;
        Ok(Self { queue, orders, observe, thread: Some(thread) })
    }

    /// Writes one line, some time soon.
    pub fn write(&self, record: ExchangeRecord) {
        if self.queue.try_send(record).is_err() {
            self.observe.emit(&RecordLost { outlet: "access_log" });
        }
    }

    /// Opens the file again: somebody has moved it away.
    pub fn reopen(&self) {
        self.orders.reopen.store(true, Ordering::Relaxed);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.orders.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

enum Sink {
    Output(BufWriter<io::Stdout>),
    File(BufWriter<File>),
}

impl Sink {
    fn open(place: &Place) -> io::Result<Self> {
        Ok(match place {
            Place::Output => Self::Output(BufWriter::new(io::stdout())),
            Place::File(path) => Self::File(BufWriter::new(append_to(path)?)),
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Output(out) => out.write_all(line),
            Self::File(out) => out.write_all(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Output(out) => out.flush(),
            Self::File(out) => out.flush(),
        }
    }
}

/// The operator's group may read it, and nobody else.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// The thread's own.
struct Writer {
    settings: Settings,
    sink: Sink,
    orders: Arc<Orders>,
    observe: Arc<Observe>,
    is_failing: bool,
}

impl Writer {
    fn run(mut self, lines: &Receiver<ExchangeRecord>) {
        loop {
            if self.orders.reopen.swap(false, Ordering::Relaxed) {
                self.flush();
                self.reopen();
            }
            let stops = self.orders.stop.load(Ordering::Relaxed);
            match lines.try_recv() {
                Ok(record) => self.write(&record),
                Err(TryRecvError::Disconnected) => return self.flush(),
                Err(TryRecvError::Empty) => {
                    self.flush();
                    if stops {
                        return;
                    }
                    match lines.recv_timeout(FLUSH_EVERY) {
                        Ok(record) => self.write(&record),
                        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
                    }
                }
            }
        }
    }

    fn write(&mut self, record: &ExchangeRecord) {
        let mut line = line(record, self.settings.has_network);
        line.push(b'\n');
        let written = self.sink.write(&line);
        self.settle(written, true);
    }

    fn flush(&mut self) {
        let flushed = self.sink.flush();
        self.settle(flushed, false);
    }

    fn reopen(&mut self) {
        match Sink::open(&self.settings.place) {
            Ok(sink) => self.sink = sink,
            Err(error) => {
                tracing::warn!(%error, "the access log cannot be opened again; lines go on in the old file");
            }
        }
    }

    /// Says once that lines are lost, and once that they are not any more.
    fn settle(&mut self, done: io::Result<()>, is_line: bool) {
        match done {
            Ok(()) if self.is_failing && !is_line => {
                self.is_failing = false;
                tracing::info!("the access log can be written again");
            }
            Ok(()) => {}
            Err(error) => {
                if is_line {
                    self.observe.emit(&RecordLost { outlet: "access_log" });
                }
                if !self.is_failing {
                    tracing::warn!(%error, "the access log cannot be written; lines are lost");
                }
                self.is_failing = true;
            }
        }
    }
}

/// One line, in the order in which people read it.
#[derive(Serialize)]
struct Line<'r> {
    time: String,
    site: Option<&'r str>,
    method: &'r str,
    path: String,
    status: u16,
    bytes: u64,
    #[serde(skip_serializing_if = "is_true")]
    complete: bool,
    duration_ms: f64,
    origin_ms: Option<f64>,
    class: Option<&'r str>,
    withheld: usize,
    protocol: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_true(value: &bool) -> bool {
    *value
}

fn line(record: &ExchangeRecord, has_network: bool) -> Vec<u8> {
    let begun_ms = i64::try_from(record.begun_ms).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(begun_ms).unwrap_or_default();
    let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let failure = record.failure.as_ref();
    let line = Line {
        time: time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        site: record.site.as_deref(),
        method: record.method,
        path: redact_path(&record.path),
        status: record.status,
        bytes: record.bytes,
        complete: record.is_complete,
        duration_ms: ms(record.took),
        origin_ms: record.origin.map(|(_, took)| ms(took)),
        class: record.class.map(|class| class.class()),
        withheld: record.withheld,
        protocol: record.protocol,
        failure: failure.map(|(reason, _)| *reason),
        reference: failure.map(|(_, reference)| reference.as_str()),
        trace_id: record.trace.map(|trace| hex(&trace.trace)),
        address: record
            .client
            .filter(|_| has_network)
            .map(|client| network(client.to_canonical()).to_string()),
    };
    // What it holds can always be written as JSON.
    serde_json::to_vec(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purpose::PurposeSet;
    use std::time::Instant;

    fn record(path: &str) -> ExchangeRecord {
        ExchangeRecord {
            begun_ms: 1_700_000_000_123,
            to_head: Duration::from_micros(1500),
            took: Duration::from_micros(2500),
            origin: Some((Duration::from_micros(200), Duration::from_micros(1000))),
            site: Some("shop".into()),
            method: "GET",
            path: path.to_owned(),
            protocol: "HTTP/1.1",
            status: 200,
            bytes: 42,
            is_complete: true,
            class: Some(PurposeSet::default()),
            withheld: 3,
            failure: None,
            client: Some("203.0.113.77".parse().unwrap()),
            trace: None,
        }
    }

    fn json(record: &ExchangeRecord, has_network: bool) -> serde_json::Value {
        serde_json::from_slice(&line(record, has_network)).unwrap()
    }

    #[test]
    fn g1_a_line_says_what_happened_and_not_to_whom() {
        let expected = serde_json::json!({
            "time": "2023-11-14T22:13:20.123Z", "site": "shop", "method": "GET", "path": "/a/:id",
            "status": 200, "bytes": 42, "duration_ms": 2.5, "origin_ms": 1.0, "class": "d",
            "withheld": 3, "protocol": "HTTP/1.1",
        });
        let asked = record("/a/4711471147114711?q=secret");
        assert_eq!(json(&asked, false), expected);
        let with = json(&asked, true);
        assert_eq!(with["address"], "203.0.113.0");
        let six = ExchangeRecord { client: Some("2001:db8:5ec:7e7::1".parse().unwrap()), ..asked };
        assert_eq!(json(&six, true)["address"], "2001:db8:5ec::");
        let broken = ExchangeRecord {
            failure: Some(("unreachable", "01234567".to_owned())),
            is_complete: false,
            ..six
        };
        let broken = json(&broken, false);
        assert_eq!(
            (&broken["failure"], &broken["reference"], &broken["complete"]),
            (&"unreachable".into(), &"01234567".into(), &false.into())
        );
    }

    #[test]
    fn g1_nobody_can_forge_a_line() {
        for path in
            ["/a\n{\"status\":200}", "/\u{1b}[31mred", "/a\"b\\", "/\u{202e}cod.exe", "/\u{0}"]
        {
            let text = line(&record(path), false);
            assert!(text.iter().all(|byte| *byte >= 0x20), "{path:?}");
            let path = json(&record(path), false)["path"].as_str().unwrap().to_owned();
            assert!(!path.chars().any(char::is_control), "{path:?}");
        }
    }

    #[test]
    fn k4_lines_are_written_soon_and_all_of_them_and_go_on_in_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        let settings = Settings { place: Place::File(path.clone()), has_network: false };
        let log = AccessLog::open(settings, Arc::default()).unwrap();
        let lines = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
        for number in 0..100 {
            log.write(record(&format!("/{number}")));
        }
        let since = Instant::now();
        while lines(&path) < 100 {
            assert!(since.elapsed() < Duration::from_secs(60), "lines do not come");
            std::thread::sleep(Duration::from_millis(10));
        }
        let moved = directory.path().join("access.log.1");
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        let since = Instant::now();
        while !path.exists() {
            assert!(since.elapsed() < Duration::from_secs(60), "no new file comes");
            std::thread::sleep(Duration::from_millis(10));
        }
        for number in 0..50 {
            log.write(record(&format!("/{number}")));
        }
        drop(log);
        assert_eq!((lines(&moved), lines(&path)), (100, 50), "nothing is lost at the end");
    }

    #[test]
    fn k4_a_full_disk_is_said_and_counted_and_stops_nobody() {
        let Ok(_) = File::options().append(true).open("/dev/full") else { return };
        let observe = Arc::<Observe>::default();
        let settings =
            Settings { place: Place::File(PathBuf::from("/dev/full")), has_network: false };
        let log = AccessLog::open(settings, Arc::clone(&observe)).unwrap();
        let since = Instant::now();
        for _ in 0..20_000 {
            log.write(record("/"));
        }
        assert!(since.elapsed() < Duration::from_secs(30), "somebody waited");
        drop(log);
        let metrics = observe.exposition();
        let counted = metrics.lines().find(|line| line.starts_with("consentry_records_lost_total"));
        assert!(counted.is_some_and(|line| line.contains("outlet=\"access_log\"")), "{metrics}");
    }
}
