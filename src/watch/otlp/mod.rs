//! Tells an OpenTelemetry collector of exchanges and figures: OTLP over HTTP,
//! in JSON.
//!
//! Nobody waits for the collector. What it does not take waits in a queue of
//! fixed length, and beyond that is counted and gone. A trace names an exchange
//! and nobody: see `TraceContext`.

mod exposition;
mod shape;

use crate::ledger::Ledger;
use crate::observe::{ExchangeRecord, Observe, RecordLost, Traces, chain};
use crate::proxy::{Outside, outside};
use crate::watch::{gauges, now_ms};

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How many exchanges may wait for the collector.
const QUEUE: usize = 4096;
/// How many one request brings.
const AT_ONCE: usize = 256;
/// How long an exchange waits for others to be told with it.
const EVERY: Duration = Duration::from_secs(1);
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last exchanges may take when we end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long we wait before we try again: twice as long each time.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The most of an answer that is read.
const ANSWER_BYTES: usize = 64 * 1024;

/// What an operator can set about it.
#[derive(Clone)]
pub struct Settings {
    /// The collector; `/v1/traces` and `/v1/metrics` are added.
    pub endpoint: String,
    /// How many of all exchanges are told, from 0 to 1.
    pub traces_share: f64,
    /// How often figures are told; zero for never.
    pub metrics_interval: Duration,
    /// What else is sent: most often a key.
    pub headers: HeaderMap,
    /// More certificate authorities that the collector's may be signed by.
    pub ca_file: Option<PathBuf>,
}

/// The fields may hold a key.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Tells the collector until it is finished or dropped.
#[derive(Debug)]
pub struct Telemetry {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Telemetry {
    /// Begins to tell, and says where exchanges are taken for it.
    ///
    /// # Errors
    /// When no connection could ever be made, with the reason.
    pub fn start(
        settings: Settings,
        ledger: Arc<Ledger>,
        observe: Arc<Observe>,
    ) -> Result<(Self, Traces), String> {
        // Asked so seldom that a kept connection would be gone as often as not.
        let client = outside(settings.ca_file.as_deref(), PATIENCE, 0);
        let client = client.map_err(|error| error.to_string())?;
        let (queue, waiting) = sync_channel(QUEUE);
        let (stop, stopping) = watch::channel(false);
        let share = settings.traces_share;
        let traces = Traces { share, queue, observe: Arc::clone(&observe) };
        let teller = Teller {
            settings,
            client,
            waiting,
            batch: Vec::new(),
            is_failing: false,
            begun_ms: now_ms(),
            ledger,
            observe,
        };
        let task = tokio::spawn(teller.run(stopping));
        Ok((Self { stop, task }, traces))
    }

    /// Tells what waits, but not for long, and ends.
    pub async fn finish(mut self) {
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.task).await;
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Teller {
    settings: Settings,
    client: Outside,
    waiting: Receiver<ExchangeRecord>,
    /// What is told next, or again.
    batch: Vec<ExchangeRecord>,
    is_failing: bool,
    begun_ms: u64,
    ledger: Arc<Ledger>,
    observe: Arc<Observe>,
}

/// What became of a request.
enum Told {
    Taken,
    /// Perhaps later.
    Later(String),
    /// Never: asking again would be the same.
    Refused(String),
}

impl Teller {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let interval = self.settings.metrics_interval;
        let mut pause = EVERY;
        let mut next_figures = Instant::now() + interval;
        loop {
            let stops = tokio::select! {
                () = tokio::time::sleep(pause) => false,
                _ = stopping.wait_for(|stop| *stop) => true,
            };
            let is_due = !interval.is_zero() && (stops || Instant::now() >= next_figures);
            if is_due {
                self.tell_figures().await;
                next_figures = Instant::now() + interval;
            }
            pause = match self.tell_exchanges().await {
                true => EVERY,
                false => (pause * 2).min(LONGEST_PAUSE),
            };
            if stops {
                return;
            }
        }
    }

    /// Tells everything that waits; false when the collector does not take it.
    async fn tell_exchanges(&mut self) -> bool {
        loop {
            let room = AT_ONCE.saturating_sub(self.batch.len());
            self.batch.extend(self.waiting.try_iter().take(room));
            if self.batch.is_empty() {
                return true;
            }
            let told = self.post("/v1/traces", &shape::spans(&self.batch)).await;
            let is_refused = matches!(told, Told::Refused(_));
            if is_refused {
                for _ in &self.batch {
                    self.observe.emit(&RecordLost { outlet: "traces" });
                }
            }
            let is_taken = self.settle(told);
            if is_taken || is_refused {
                self.batch.clear();
            }
            if !is_taken {
                return false;
            }
        }
    }

    /// Figures count from the start, so what is not taken is in the next ones.
    async fn tell_figures(&mut self) {
        gauges::set(self.observe.metrics(), &self.ledger.status());
        let figures = shape::metrics(&self.observe.exposition(), self.begun_ms, now_ms());
        let told = self.post("/v1/metrics", &figures).await;
        self.settle(told);
    }

    /// Says once that the collector takes nothing, and once that it does again.
    fn settle(&mut self, told: Told) -> bool {
        let endpoint = &self.settings.endpoint;
        let (is_taken, why) = match told {
            Told::Taken => (true, String::new()),
            Told::Later(why) | Told::Refused(why) => (false, why),
        };
        match (is_taken, self.is_failing) {
            (false, false) => {
                tracing::warn!(endpoint, why, "the collector takes nothing; traces are lost");
            }
            (true, true) => tracing::info!(endpoint, "the collector takes everything again"),
            (true, false) | (false, true) => {}
        }
        self.is_failing = !is_taken;
        is_taken
    }

    async fn post(&mut self, path: &str, body: &Value) -> Told {
        let endpoint = self.settings.endpoint.trim_end_matches('/');
        let mut request = Request::new(Full::from(body.to_string()));
        *request.method_mut() = http::Method::POST;
        match format!("{endpoint}{path}").parse() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => return Told::Refused("its address is none".to_owned()),
        }
        let headers = request.headers_mut();
        headers.extend(self.settings.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let us = concat!("consentry/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(us));
        let asked = async {
            let answer = self.client.request(request).await.map_err(|error| chain(&error))?;
            let status = answer.status();
            let _ = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
            Ok::<StatusCode, String>(status)
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(status)) if status.is_success() => Told::Taken,
            // As the protocol wants it.
            Ok(Ok(status)) if matches!(status.as_u16(), 429 | 502 | 503 | 504) => {
                Told::Later(format!("it answers {status}"))
            }
            Ok(Ok(status)) => Told::Refused(format!("it answers {status}")),
            Ok(Err(why)) => Told::Later(why),
            Err(_) => Told::Later("it takes too long".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Outlets, TraceContext};

    fn record() -> ExchangeRecord {
        ExchangeRecord {
            begun_ms: now_ms(),
            to_head: Duration::ZERO,
            took: Duration::ZERO,
            origin: None,
            site: None,
            method: "GET",
            path: "/".to_owned(),
            protocol: "HTTP/1.1",
            status: 200,
            bytes: 0,
            is_complete: true,
            class: None,
            withheld: 0,
            failure: None,
            client: None,
            trace: TraceContext::begin(1.0),
        }
    }

    #[tokio::test]
    async fn k4_what_a_collector_does_not_take_needs_no_more_memory_and_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.db");
        let ledger = Arc::new(Ledger::open(crate::ledger::Settings::new(path)).unwrap());
        let observe = Arc::<Observe>::default();
        let settings = Settings {
            endpoint: "http://127.0.0.1:9".to_owned(),
            traces_share: 1.0,
            metrics_interval: Duration::ZERO,
            headers: HeaderMap::new(),
            ca_file: None,
        };
        let (telemetry, traces) = Telemetry::start(settings, ledger, Arc::clone(&observe)).unwrap();
        let outlets = Outlets { log: None, traces: Some(traces) };
        let since = std::time::Instant::now();
        for _ in 0..3 * QUEUE {
            outlets.take(record());
        }
        assert!(since.elapsed() < Duration::from_secs(30), "somebody waited");
        let unsampled = TraceContext { is_sampled: false, ..TraceContext::begin(0.0).unwrap() };
        outlets.take(ExchangeRecord { trace: Some(unsampled), ..record() });
        let metrics = observe.exposition();
        let line = "consentry_records_lost_total{outlet=\"traces\"} ";
        let lost = metrics.lines().find_map(|found| found.strip_prefix(line)).unwrap();
        assert_eq!(lost.parse::<usize>().unwrap(), 2 * QUEUE);
        let since = std::time::Instant::now();
        telemetry.finish().await;
        assert!(since.elapsed() < LAST_WORDS + Duration::from_secs(30));
    }
}
