//! What is known of one exchange when it is over, and who wants to know it.

use crate::observe::access_log::AccessLog;
use crate::observe::trace_context::TraceContext;
use crate::purpose::PurposeSet;

use http::{Method, Version};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// One exchange from its first byte to its last.
///
/// It is as it was: whoever writes it down takes out what is somebody's.
#[derive(Clone, Debug)]
pub struct ExchangeRecord {
    /// When the request's head was there, in milliseconds since 1970.
    pub begun_ms: u64,
    /// Until the head of the answer was ready.
    pub to_head: Duration,
    /// Until the last byte of it was handed on.
    pub took: Duration,
    /// When the origin was asked, after so long, and how long its answer's head
    /// took; nothing where it was not.
    pub origin: Option<(Duration, Duration)>,
    /// Whose; nobody's where the host is unknown.
    pub site: Option<Arc<str>>,
    /// The method, if it is one that many use.
    pub method: &'static str,
    /// The path as it was asked for.
    pub path: String,
    /// The version of HTTP that the visitor speaks.
    pub protocol: &'static str,
    /// The answer's status.
    pub status: u16,
    /// The bytes of its body that were handed on.
    pub bytes: u64,
    /// Whether these were all.
    pub is_complete: bool,
    /// What the visitor had granted, as far as they were asked for it.
    pub class: Option<PurposeSet>,
    /// How many things were withheld.
    pub withheld: usize,
    /// Whose fault it was that it failed, in a word, and the number on the error
    /// page.
    pub failure: Option<(&'static str, String)>,
    /// The visitor's address, as far as it is known.
    pub client: Option<IpAddr>,
    /// Where it stands in a trace.
    pub trace: Option<TraceContext>,
}

impl ExchangeRecord {
    /// The name of a method; those that a visitor made up are all one.
    #[must_use]
    pub fn method_name(method: &Method) -> &'static str {
        const COMMON: [&str; 9] =
            ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
        COMMON.into_iter().find(|name| *name == method.as_str()).unwrap_or("_OTHER")
    }

    /// The name of a version.
    #[must_use]
    pub const fn protocol_name(version: Version) -> &'static str {
        match version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        }
    }
}

/// Who wants to know of exchanges.
#[derive(Debug, Default)]
pub struct Outlets {
    /// Every one is written down.
    pub log: Option<AccessLog>,
    /// Some are told to a collector.
    pub traces: Option<Traces>,
}

/// Which exchanges are told to a collector, and how.
#[derive(Debug)]
pub struct Traces {
    /// How many of all, from 0 to 1.
    pub share: f64,
    /// Where they wait for whoever sends them.
    pub queue: SyncSender<ExchangeRecord>,
    /// Told of those that found it full.
    pub observe: Arc<crate::observe::Observe>,
}

impl Outlets {
    /// Whether nobody wants to know anything.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.log.is_none() && self.traces.is_none()
    }

    /// Tells whoever wants to know. Nobody waits for them: what finds no place
    /// is counted.
    pub fn take(&self, record: ExchangeRecord) {
        let is_traced = record.trace.as_ref().is_some_and(|trace| trace.is_sampled);
        match (&self.log, self.traces.as_ref().filter(|_| is_traced)) {
            (Some(log), Some(traces)) => {
                log.write(record.clone());
                traces.take(record);
            }
            (Some(log), None) => log.write(record),
            (None, Some(traces)) => traces.take(record),
            (None, None) => {}
        }
    }
}

impl Traces {
    fn take(&self, record: ExchangeRecord) {
        if self.queue.try_send(record).is_err() {
            self.observe.emit(&crate::observe::RecordLost { outlet: "traces" });
        }
    }
}
