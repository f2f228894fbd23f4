//! What a collector is sent: OTLP in its JSON form, as
//! <https://opentelemetry.io/docs/specs/otlp/> has it. Numbers of 64 bits are
//! texts there, and ids are hexadecimal.

use super::exposition::{Family, Sample, read};
use crate::observe::{ExchangeRecord, TraceContext, hex};
use crate::policy::redact_path;

use serde_json::{Map, Value, json};
use std::time::Duration;

/// `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u8 = 2;

/// Exchanges as spans.
pub(super) fn spans(records: &[ExchangeRecord]) -> Value {
    let spans: Vec<_> = records
        .iter()
        .filter_map(|record| Some((record, record.trace?)))
        .flat_map(|(record, trace)| [Some(server(record, &trace)), client(record, &trace)])
        .flatten()
        .collect();
    let scope = json!({ "scope": scope(), "spans": spans });
    json!({ "resourceSpans": [{ "resource": resource(), "scopeSpans": [scope] }] })
}

/// The metrics in an exposition; they count since `begun_ms`.
pub(super) fn metrics(exposition: &str, begun_ms: u64, now_ms: u64) -> Value {
    let times =
        Times { begun: nanos(begun_ms, Duration::ZERO), now: nanos(now_ms, Duration::ZERO) };
    let families = read(exposition);
    let metrics: Vec<_> = families
        .iter()
        .filter(|family| !family.samples.is_empty())
        .map(|family| metric(family, &times))
        .collect();
    let scope = json!({ "scope": scope(), "metrics": metrics });
    json!({ "resourceMetrics": [{ "resource": resource(), "scopeMetrics": [scope] }] })
}

fn resource() -> Value {
    let attributes =
        [text("service.name", "consentry"), text("service.version", env!("CARGO_PKG_VERSION"))];
    json!({ "attributes": attributes })
}

fn scope() -> Value {
    json!({ "name": "consentry", "version": env!("CARGO_PKG_VERSION") })
}

/// Our own step: from the request's head to the answer's last byte.
fn server(record: &ExchangeRecord, trace: &TraceContext) -> Value {
    let mut attributes = vec![
        text("http.request.method", record.method),
        text("url.path", &redact_path(&record.path)),
        number("http.response.status_code", u64::from(record.status)),
        number("http.response.body.size", record.bytes),
        text("network.protocol.version", record.protocol.trim_start_matches("HTTP/")),
        number("consentry.withheld", u64::try_from(record.withheld).unwrap_or(u64::MAX)),
    ];
    attributes.extend(record.site.as_deref().map(|site| text("consentry.site", site)));
    attributes.extend(record.class.map(|class| text("consentry.class", class.class())));
    let failure = record.failure.as_ref().map(|(reason, _)| *reason);
    attributes.extend(failure.map(|reason| text("error.type", reason)));
    let mut span = span(trace, trace.server, SERVER, record, (Duration::ZERO, record.took));
    if let Some(parent) = trace.parent {
        span.insert("parentSpanId".to_owned(), hex(&parent).into());
    }
    span.insert("attributes".to_owned(), attributes.into());
    // What a visitor got wrong is no error of a server's.
    let is_error = record.status >= 500 || !record.is_complete && record.status != 101;
    span.insert("status".to_owned(), status(is_error, failure));
    span.into()
}

/// Our question to the origin: until the head of its answer.
fn client(record: &ExchangeRecord, trace: &TraceContext) -> Option<Value> {
    let (begun, took) = record.origin?;
    let mut span = span(trace, trace.client, CLIENT, record, (begun, begun + took));
    span.insert("parentSpanId".to_owned(), hex(&trace.server).into());
    span.insert("attributes".to_owned(), json!([text("http.request.method", record.method)]));
    let failure = record.failure.as_ref().map(|(reason, _)| *reason);
    span.insert("status".to_owned(), status(failure.is_some(), failure));
    Some(span.into())
}

fn span(
    trace: &TraceContext,
    id: [u8; 8],
    kind: u8,
    record: &ExchangeRecord,
    (from, to): (Duration, Duration),
) -> Map<String, Value> {
    let span = json!({
        "traceId": hex(&trace.trace),
        "spanId": hex(&id),
        "name": record.method,
        "kind": kind,
        "startTimeUnixNano": nanos(record.begun_ms, from),
        "endTimeUnixNano": nanos(record.begun_ms, to),
        "flags": 1,
    });
    match span {
        Value::Object(span) => span,
        _ => Map::new(),
    }
}

fn status(is_error: bool, failure: Option<&str>) -> Value {
    match (is_error, failure) {
        (false, _) => json!({}),
        (true, None) => json!({ "code": ERROR }),
        (true, Some(reason)) => json!({ "code": ERROR, "message": reason }),
    }
}

struct Times {
    begun: String,
    now: String,
}

fn metric(family: &Family<'_>, times: &Times) -> Value {
    let mut metric = json!({ "name": family.name, "description": family.help });
    let (key, value) = match family.kind {
        "counter" => {
            let points = points(family, times);
            let sum = json!({
                "dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": true,
            });
            ("sum", sum)
        }
        "histogram" => {
            let points = histogram(family, times);
            ("histogram", json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE }))
        }
        _ => ("gauge", json!({ "dataPoints": points(family, times) })),
    };
    if let Some(metric) = metric.as_object_mut() {
        metric.insert(key.to_owned(), value);
    }
    metric
}

fn points(family: &Family<'_>, times: &Times) -> Vec<Value> {
    let point = |sample: &Sample<'_>| {
        json!({
            "attributes": attributes(sample),
            "startTimeUnixNano": times.begun,
            "timeUnixNano": times.now,
            "asDouble": sample.value,
        })
    };
    family.samples.iter().map(point).collect()
}

/// One point for each set of labels: its buckets, which are cumulative with
/// Prometheus and are not here.
fn histogram(family: &Family<'_>, times: &Times) -> Vec<Value> {
    let mut points: Vec<(Vec<Value>, Vec<&Sample<'_>>)> = Vec::new();
    for sample in &family.samples {
        let own = attributes(sample);
        match points.iter_mut().find(|(attributes, _)| *attributes == own) {
            Some((_, samples)) => samples.push(sample),
            None => points.push((own, vec![sample])),
        }
    }
    let point = |(attributes, samples): (Vec<Value>, Vec<&Sample<'_>>)| {
        let (mut bounds, mut counts, mut before) = (Vec::new(), Vec::new(), 0.0);
        let (mut count, mut sum) = (0.0, 0.0);
        for sample in samples {
            match sample.suffix {
                "_sum" => sum = sample.value,
                "_count" => count = sample.value,
                "_bucket" => {
                    counts.push(whole(sample.value - before));
                    before = sample.value;
                    bounds.extend(bound(sample).filter(|bound| bound.is_finite()));
                }
                _ => {}
            }
        }
        json!({
            "attributes": attributes,
            "startTimeUnixNano": times.begun,
            "timeUnixNano": times.now,
            "count": whole(count),
            "sum": sum,
            "bucketCounts": counts,
            "explicitBounds": bounds,
        })
    };
    points.into_iter().map(point).collect()
}

fn bound(sample: &Sample<'_>) -> Option<f64> {
    sample.labels.iter().find(|(name, _)| *name == "le")?.1.parse().ok()
}

/// A count, as a text.
fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn attributes(sample: &Sample<'_>) -> Vec<Value> {
    let labels = sample.labels.iter().filter(|(name, _)| *name != "le");
    labels.map(|(name, value)| text(name, value)).collect()
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// So long after a time, in nanoseconds since 1970.
fn nanos(ms: u64, later: Duration) -> String {
    (u128::from(ms) * 1_000_000 + later.as_nanos()).to_string()
}
