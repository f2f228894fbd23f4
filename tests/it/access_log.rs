//! A line for every exchange, with what happened and nothing about to whom.

use crate::harness::{Origin, consentry, origin, raw_origin, visitor};
use crate::program::{Program, Setup, consentry_command};
use crate::wire::Wire;

use http::Response;
use http_body_util::Full;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

const PAGE: &str =
    "<p>Hello</p><script src=//ads.acme.example/p.js></script><img src=//stats.acme.example/i.gif>";

async fn shop() -> Origin {
    origin()
        .page("/", PAGE)
        .page("/product/4711471147114711", PAGE)
        .answer("/api", |_| {
            let answer = Response::builder().status(201).header("content-type", "text/plain");
            answer.body(Full::from("made")).unwrap()
        })
        .start()
        .await
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// What a line says, in few words.
fn words(line: &Value) -> String {
    let text = |key: &str| match &line[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    ["site", "method", "path", "status", "bytes", "class", "withheld", "protocol"]
        .map(text)
        .join(" ")
}

fn logged(file: &str, more: &str) -> String {
    format!("[access_log]\nfile = {file:?}\n{more}")
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_every_exchange_has_a_line_that_says_what_happened_and_not_to_whom() {
    let origin = shop().await;
    let builder = consentry(&origin);
    let file = builder.path("access.log");
    let proxy = builder.config(&logged(file.to_str().unwrap(), "")).start().await;
    let mut visitor = visitor(&proxy)
        .sending("user-agent", "Secretive/9.7")
        .sending("referer", "https://other.example/came-from-here")
        .sending("x-forwarded-for", "203.0.113.77")
        .sending("x-real-ip", "203.0.113.77")
        .holding("sid", "sessionvalue");
    let page = visitor.opens("/product/4711471147114711?email=jane.doe@mail.example").await;
    visitor.asks("POST", "/api?token=tokenvalue", &[], "a=b").await;
    visitor.asks("HEAD", "/", &[], "").await;
    let missing = visitor.asks("BREW", "/nothing", &[], "").await;
    let own = visitor.opens("/.consentry/choices").await;
    visitor.chooses("all", &[]).await;
    visitor.opens("/").await;
    let mut wire = Wire::to(proxy.address).await;
    wire.says("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await;
    let refused = wire.answer("GET").await;
    assert_eq!(refused.status, 400);
    drop(wire);
    // A page that was remembered is none less filtered.
    for _ in 0..2 {
        crate::harness::visitor(&proxy).opens("/").await;
    }
    let directory = proxy.stop().await;
    let lines = lines(&directory.path().join("access.log"));
    let said: Vec<_> = lines.iter().map(words).collect();
    let expected = [
        &*format!("default GET /product/:id 200 {} d 2 HTTP/1.1", page.bytes.len()),
        "default POST /api 201 4 d 0 HTTP/1.1",
        "default HEAD / 200 0 d 0 HTTP/1.1",
        &*format!("default _OTHER /nothing 404 {} d 0 HTTP/1.1", missing.bytes.len()),
        &*format!("default GET /.consentry/choices 200 {} d 0 HTTP/1.1", own.bytes.len()),
    ];
    assert_eq!(said[..5], expected);
    assert!(said[5].starts_with("default POST /.consentry/choices 303 "), "{said:?}");
    assert!(said[6].starts_with("default GET / 200 ") && said[6].ends_with("fapm 0 HTTP/1.1"));
    assert!(said[7].starts_with("null GET / 400 ") && said[7].ends_with("null 0 HTTP/1.1"));
    assert!(said[8..].iter().all(|line| line.contains(" 200 ") && line.contains(" d 2 ")));
    assert_eq!(lines.len(), 10, "{said:?}");
    let reference = lines[7]["reference"].as_str().unwrap();
    assert!(refused.text().contains(reference), "who reports the page's number is found");
    assert_eq!(lines[7]["failure"], "bad_request");
    for line in &lines {
        let took = line["duration_ms"].as_f64().unwrap();
        let asks_origin = line["origin_ms"].as_f64();
        assert!(
            (0.0..20_000.0).contains(&took) && asks_origin.is_none_or(|ms| ms <= took),
            "{line}"
        );
        let time = line["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.len() == 24, "{time}");
        for never in
            ["Secretive", "came-from", "203.0.113", "127.0.0.1", "session", "jane", "token", "4711"]
        {
            assert!(!line.to_string().contains(never), "{never} is in {line}");
        }
    }
    assert!(lines[0]["origin_ms"].is_number() && lines[4]["origin_ms"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_an_address_is_cut_to_its_network_and_only_where_it_is_wanted() {
    let origin = shop().await;
    let builder = consentry(&origin);
    let file = builder.path("access.log");
    let config = logged(file.to_str().unwrap(), "address = 'truncated'");
    let proxy = builder.config(&config).start().await;
    for address in ["203.0.113.77", "2001:db8:5ec:7e7::1", "nonsense"] {
        visitor(&proxy).sending("x-forwarded-for", address).opens("/").await;
    }
    let directory = proxy.stop().await;
    let lines = lines(&directory.path().join("access.log"));
    let found: Vec<_> = lines.iter().map(|line| line["address"].clone()).collect();
    assert_eq!(found, [Value::from("203.0.113.0"), "2001:db8:5ec::".into(), Value::Null]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_what_breaks_off_is_not_said_to_be_complete() {
    let origin = raw_origin(|mut socket, _| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nhalf";
        let _ = socket.write_all(head.as_bytes()).await;
    })
    .await;
    let builder = consentry(&origin);
    let file = builder.path("access.log");
    let proxy = builder.config(&logged(file.to_str().unwrap(), "")).start().await;
    let mut wire = Wire::to(proxy.address).await;
    assert!(wire.asks_while_it_lives("/").await.is_none());
    let directory = proxy.stop().await;
    let lines = lines(&directory.path().join("access.log"));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&line["status"], &line["bytes"]), (&200.into(), &4.into()), "{line}");
    assert_eq!(line["complete"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_the_synthetic_visitor_has_no_line() {
    let origin = shop().await;
    let builder = consentry(&origin);
    let file = builder.path("access.log");
    let checked = "[self_check]\ninterval_s = 1\nhost = 'shop.example'";
    let config = format!("{}\n{checked}", logged(file.to_str().unwrap(), ""));
    let proxy = builder.config(&config).start().await;
    let since = Instant::now();
    while proxy.running().self_check.status().last_run_ms.is_none() {
        assert!(since.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(origin.seen().len() > 3, "it has looked");
    visitor(&proxy).opens("/").await;
    let directory = proxy.stop().await;
    assert_eq!(lines(&directory.path().join("access.log")).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_no_line_is_lost_when_the_file_is_moved_away_and_a_new_one_begins() {
    let origin = shop().await;
    let setup = Setup::new(origin.address, "");
    let file = setup.file("access.log");
    setup.configure(origin.address, &logged(file.to_str().unwrap(), ""));
    let mut program = setup.start();
    let mut wire = Wire::to(program.address).await;
    let mut asked = 0;
    for round in 0..4 {
        for _ in 0..50 {
            assert_eq!(wire.asks("GET", "/api", "").await.status, 201);
            asked += 1;
        }
        std::fs::rename(&file, setup.file(&format!("access.log.{round}"))).unwrap();
        program.reloads();
        let since = Instant::now();
        while !file.exists() {
            assert!(since.elapsed() < Duration::from_secs(60), "no new file begins");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(wire.asks("GET", "/api", "").await.status, 201);
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));
    let old: usize = (0..4).map(|n| lines(&setup.file(&format!("access.log.{n}"))).len()).sum();
    assert_eq!((old, lines(&file).len()), (asked, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_lines_go_to_standard_output_and_the_log_does_not() {
    let origin = shop().await;
    let setup = Setup::new(origin.address, &logged("-", ""));
    let out = setup.file("out");
    let words = setup.words();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut command = consentry_command(&words);
    command.stdout(Stdio::from(std::fs::File::create(&out).unwrap()));
    let mut program = Program::start_with_output(&mut command);
    for _ in 0..3 {
        assert_eq!(Wire::to(program.address).await.asks("GET", "/api", "").await.status, 201);
    }
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0));
    let said: Vec<_> = lines(&out).iter().map(self::words).collect();
    assert_eq!(said, vec!["default GET /api 201 4 d 0 HTTP/1.1"; 3]);
}

#[test]
fn k4_a_log_that_cannot_be_opened_is_said_at_the_start() {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let setup = Setup::new(nowhere, &logged("/nowhere/access.log", ""));
    let words = setup.words();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let (code, said) = crate::program::runs(&words);
    assert!(code == 74 && said.contains("/nowhere/access.log"), "{code} {said}");
}
