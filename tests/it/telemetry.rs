//! What an OpenTelemetry collector hears: traces and figures in the form that
//! it reads, and nothing that names a visitor.

use crate::harness::{Origin, Seen, consentry, origin, visitor};
use crate::program::Setup;
use crate::wire::Wire;

use http::Response;
use http_body_util::Full;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PAGE: &str = "<p>Hello</p><script src=//ads.acme.example/p.js></script>";

/// A collector that answers as it is told to, the first time and later.
async fn collector(first: u16, later: u16) -> Origin {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = move |_: Seen| {
        let status = if asked.fetch_add(1, Ordering::Relaxed) == 0 { first } else { later };
        Response::builder().status(status).body(Full::from("{}")).unwrap()
    };
    origin().answer("/v1/traces", answer.clone()).answer("/v1/metrics", answer).start().await
}

fn config(collector: &Origin, more: &str) -> String {
    format!("[otlp]\nendpoint = \"http://{}\"\n{more}\n", collector.address)
}

/// The bodies that came to a path.
fn heard(collector: &Origin, path: &str) -> Vec<Value> {
    let seen = collector.seen().into_iter().filter(|seen| seen.target == path);
    seen.map(|seen| {
        assert_eq!(
            (seen.method.as_str(), &seen.headers["content-type"]),
            ("POST", &"application/json".parse().unwrap())
        );
        serde_json::from_slice(&seen.body).unwrap()
    })
    .collect()
}

/// The attributes of something, each with its value in whatever type it has.
fn attributes(of: &Value) -> BTreeMap<String, String> {
    let each = of["attributes"].as_array().unwrap().iter().map(|attribute| {
        let value = attribute["value"].as_object().unwrap();
        let (kind, value) = value.iter().next().unwrap();
        // 64 bits do not fit into JSON's numbers.
        assert!(matches!(kind.as_str(), "stringValue" | "intValue"), "{attribute}");
        (attribute["key"].as_str().unwrap().to_owned(), value.as_str().unwrap().to_owned())
    });
    each.collect()
}

fn is_from_us(resource: &Value) {
    assert_eq!(attributes(resource)["service.name"], "consentry");
}

/// All spans that came so far, of which the form is checked.
fn spans(collector: &Origin) -> Vec<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let mut all = Vec::new();
    for body in heard(collector, "/v1/traces") {
        for resource in body["resourceSpans"].as_array().unwrap() {
            is_from_us(&resource["resource"]);
            for scope in resource["scopeSpans"].as_array().unwrap() {
                assert_eq!(scope["scope"]["name"], "consentry");
                all.extend(scope["spans"].as_array().unwrap().iter().cloned());
            }
        }
    }
    for span in &all {
        let is_id = |key: &str, digits: usize| {
            let id = span[key].as_str().unwrap();
            id.len() == digits
                && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
                && id.bytes().any(|byte| byte != b'0')
        };
        assert!(is_id("traceId", 32) && is_id("spanId", 16), "{span}");
        let nanos = |key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
        let (begun, ended) = (nanos("startTimeUnixNano"), nanos("endTimeUnixNano"));
        assert!(begun <= ended && ended <= now && now - begun < 120_000_000_000, "{span}");
        assert!(span["status"].is_object() && span["name"].is_string(), "{span}");
    }
    all
}

async fn until<T>(what: impl Fn() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "it does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_an_exchange_is_a_span_and_the_origins_part_is_one_below_it() {
    let (shop, collector) =
        (origin().page("/product/4711471147114711", PAGE).start().await, collector(200, 200).await);
    let config = config(&collector, "traces_share = 1.0\nmetrics_interval_s = 0");
    let proxy = consentry(&shop).config(&config).start().await;
    let mut visitor = visitor(&proxy)
        .sending("user-agent", "Secretive/9.7")
        .sending("x-forwarded-for", "203.0.113.77")
        .holding("sid", "sessionvalue");
    visitor.opens("/product/4711471147114711?q=topsecret").await;
    visitor.opens("/.consentry/choices").await;
    let spans = until(|| Some(spans(&collector)).filter(|spans| spans.len() >= 3)).await;
    let [server, client, own] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&server["kind"], &client["kind"], &own["kind"]), (&2.into(), &3.into(), &2.into()));
    assert_eq!(
        (&client["traceId"], &client["parentSpanId"]),
        (&server["traceId"], &server["spanId"])
    );
    assert!(server.get("parentSpanId").is_none(), "nobody in front of us traces");
    assert_ne!(own["traceId"], server["traceId"], "each exchange is alone");
    let attributes = attributes(server);
    for (key, expected) in [
        ("http.request.method", "GET"),
        ("url.path", "/product/:id"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("consentry.site", "default"),
        ("consentry.class", "d"),
        ("consentry.withheld", "1"),
    ] {
        assert_eq!(attributes[key], expected, "{key}");
    }
    let told = shop.seen()[0].headers["traceparent"].to_str().unwrap().to_owned();
    let expected = format!(
        "00-{}-{}-01",
        server["traceId"].as_str().unwrap(),
        client["spanId"].as_str().unwrap()
    );
    assert_eq!(told, expected, "the origin goes on where we are");
    let all = format!("{:?}", heard(&collector, "/v1/traces"));
    for never in ["Secretive", "203.0.113", "127.0.0.1", "sessionvalue", "topsecret", "4711"] {
        assert!(!all.contains(never), "{never} is in {all}");
    }
}

const THEIRS: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test(flavor = "multi_thread")]
async fn k4_a_trace_goes_on_only_from_a_trusted_proxy() {
    for (trusted, is_followed) in [("['127.0.0.0/8']", true), ("[]", false)] {
        let (shop, collector) = (origin().page("/", PAGE).start().await, collector(200, 200).await);
        let listener = format!("[listener]\ntrusted_proxies = {trusted}\n");
        let config = listener + &config(&collector, "traces_share = 1.0\nmetrics_interval_s = 0");
        let proxy = consentry(&shop).config(&config).start().await;
        let parent = format!("00-{THEIRS}-b7ad6b7169203331-01");
        let mut visitor = visitor(&proxy)
            .sending("traceparent", &parent)
            .sending("tracestate", "vendor=visitor-7");
        visitor.opens("/").await;
        let spans = until(|| Some(spans(&collector)).filter(|spans| spans.len() == 2)).await;
        assert_eq!(spans[0]["traceId"] == THEIRS, is_followed, "{trusted}");
        assert_eq!(spans[0].get("parentSpanId").is_some(), is_followed);
        let seen = &shop.seen()[0].headers;
        assert_eq!(seen["traceparent"].to_str().unwrap().contains(THEIRS), is_followed);
        assert!(!seen["traceparent"].to_str().unwrap().contains("b7ad6b7169203331"));
        assert_eq!(seen.contains_key("tracestate"), is_followed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_without_a_collector_nothing_is_traced_and_nothing_is_changed() {
    let shop = origin().page("/", PAGE).start().await;
    let proxy = consentry(&shop).start().await;
    let parent = format!("00-{THEIRS}-b7ad6b7169203331-01");
    visitor(&proxy).opens("/").await;
    visitor(&proxy).sending("traceparent", &parent).opens("/").await;
    let seen = shop.seen();
    assert!(!seen[0].headers.contains_key("traceparent"));
    assert_eq!(seen[1].headers["traceparent"], parent);
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_an_origin_that_fails_is_an_error_and_a_visitor_who_errs_is_none() {
    let collector = collector(200, 200).await;
    let config = config(&collector, "traces_share = 1.0\nmetrics_interval_s = 0");
    let nowhere = origin().start().await;
    let proxy = consentry(&nowhere).origin("http://127.0.0.1:9").config(&config).start().await;
    assert_eq!(visitor(&proxy).opens("/").await.status, 502);
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET / HTTP/1.1\r\nhost: a b\r\n\r\n").await;
    assert_eq!(wire.answer("GET").await.status, 400);
    let spans = until(|| Some(spans(&collector)).filter(|spans| spans.len() >= 3)).await;
    let find = |status: &str| {
        let is = |span: &&Value| {
            attributes(span).get("http.response.status_code").is_some_and(|code| code == status)
        };
        spans.iter().find(is).unwrap()
    };
    assert_eq!(find("502")["status"]["code"], 2);
    assert_eq!(attributes(find("502"))["error.type"], "unreachable");
    assert_eq!(find("400")["status"], serde_json::json!({}));
    let client = spans.iter().find(|span| span["kind"] == 3).unwrap();
    assert_eq!(client["status"]["code"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_figures_are_the_same_as_for_prometheus() {
    let (shop, collector) = (origin().page("/", PAGE).start().await, collector(200, 200).await);
    let config = config(&collector, "traces_share = 0\nmetrics_interval_s = 1");
    let proxy = consentry(&shop).config(&config).start().await;
    for _ in 0..5 {
        visitor(&proxy).opens("/").await;
    }
    let of = |name: &str| -> Option<Value> {
        let body = heard(&collector, "/v1/metrics").pop()?;
        let resource = &body["resourceMetrics"][0];
        is_from_us(&resource["resource"]);
        let scope = &resource["scopeMetrics"][0];
        assert_eq!(scope["scope"]["name"], "consentry");
        let all = scope["metrics"].as_array().unwrap();
        all.iter().find(|metric| metric["name"] == name).cloned()
    };
    let exchanges = until(|| {
        let metric = of("consentry_exchanges")?;
        (metric["sum"]["dataPoints"][0]["asDouble"] == 5.0).then_some(metric)
    })
    .await;
    let sum = &exchanges["sum"];
    assert_eq!((&sum["aggregationTemporality"], &sum["isMonotonic"]), (&2.into(), &true.into()));
    let point = &sum["dataPoints"][0];
    let expected = [("class", "d"), ("site", "default"), ("status", "200")];
    let found = attributes(point);
    assert_eq!(found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    let nanos = |key: &str| point[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(nanos("startTimeUnixNano") < nanos("timeUnixNano"));
    let histogram = until(|| of("http_server_request_duration_seconds")).await;
    let point = &histogram["histogram"]["dataPoints"][0];
    let counts = point["bucketCounts"].as_array().unwrap();
    let bounds = point["explicitBounds"].as_array().unwrap();
    assert_eq!(counts.len(), bounds.len() + 1);
    let whole = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(counts.iter().map(whole).sum::<u64>(), whole(&point["count"]));
    assert!(whole(&point["count"]) >= 5 && point["sum"].as_f64().unwrap() > 0.0);
    let connections = until(|| of("consentry_connections")).await;
    assert!(connections["gauge"]["dataPoints"][0]["asDouble"].is_number());
    assert!(heard(&collector, "/v1/traces").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_the_collectors_key_is_sent_and_what_it_could_not_take_comes_again() {
    let (shop, collector) = (origin().page("/", PAGE).start().await, collector(503, 200).await);
    let builder = consentry(&shop);
    let keys = builder.path("otlp-headers");
    std::fs::write(&keys, "authorization: Bearer topsecret\nx-scope: shop\n").unwrap();
    let config = config(
        &collector,
        &format!("traces_share = 1\nmetrics_interval_s = 0\nheaders_file = {keys:?}"),
    );
    let proxy = builder.config(&config).start().await;
    visitor(&proxy).opens("/").await;
    until(|| (heard(&collector, "/v1/traces").len() >= 2).then_some(())).await;
    let told = heard(&collector, "/v1/traces");
    assert_eq!(told[0], told[1], "the same once more");
    for seen in collector.seen() {
        assert_eq!(seen.headers["authorization"], "Bearer topsecret");
        assert_eq!(seen.headers["x-scope"], "shop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_a_collector_that_is_gone_is_told_of_once_and_delays_nobody() {
    let shop = origin().page("/", PAGE).start().await;
    let nowhere =
        "[otlp]\nendpoint = 'http://127.0.0.1:9'\ntraces_share = 1\nmetrics_interval_s = 1";
    let setup = Setup::new(shop.address, nowhere);
    let mut program = setup.start();
    let mut wire = Wire::to(program.address).await;
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(5) {
        assert_eq!(wire.asks("GET", "/", "").await.status, 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    program.says("the collector takes nothing");
    let told = program.log().iter().filter(|line| line.contains("collector")).count();
    assert_eq!(told, 1, "{:?}", program.log());
    let stopping = Instant::now();
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));
    assert!(stopping.elapsed() < Duration::from_secs(30), "nobody waits for it at the end");
}
