//! Visitors who take their time, on purpose or not: those who only hold
//! something are let go, those who are merely slow are not, and nobody else
//! waits for them.

use crate::harness::{Origin, Proxy, consentry, origin, raw_origin};
use crate::program::{Program, Setup};
use crate::tls::Authority;
use crate::wire::{End, PATIENCE, Wire};

use http::Response;
use http_body_util::Full;
use rustix::process::{Pid, Resource, Rlimit};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const LARGE: usize = 5_000_000;
const TASTE: &str = "[timeouts]\nvisitor_stall_s = 0.7";

/// An origin with a large asset, a large page and a small answer.
async fn shop() -> Origin {
    let asset = |_| {
        let response = Response::builder().header("content-type", "application/octet-stream");
        response.body(Full::from("x".repeat(LARGE))).unwrap()
    };
    let small =
        |_| Response::builder().header("content-type", "text/plain").body(Full::from("fine"));
    let page = "<p>A paragraph of some length, and one more.</p>\n".repeat(LARGE / 50);
    origin()
        .answer("/asset", asset)
        .page("/page", &page)
        .answer("/", move |seen| small(seen).unwrap())
        .start()
        .await
}

/// A connection of somebody whose system takes little at once.
async fn small_window(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(address).await.unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n")
}

async fn answers_others(address: SocketAddr) {
    let begun = Instant::now();
    let got = Wire::to(address).await.asks("GET", "/", "").await;
    assert_eq!((got.status, got.text()), (200, "fine"));
    assert!(begun.elapsed() < PATIENCE, "others wait {:?}", begun.elapsed());
}

/// Waits until somebody who asked for a path was heard, and nobody is connected
/// any more.
async fn lets_go(origin: &Origin, proxy: &Proxy, path: &str) {
    let begun = Instant::now();
    let asked = || origin.seen().iter().any(|seen| seen.target == path);
    let gone = || proxy.running().observe.exposition().contains("\nconsentry_connections 0\n");
    while !asked() || !gone() {
        assert!(begun.elapsed() < 2 * PATIENCE, "it is not let go");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks, takes nothing, and when he is let go all there is.
async fn stalls(mut wire: Wire, origin: &Origin, proxy: &Proxy, path: &str) {
    wire.says(get(path)).await;
    lets_go(origin, proxy, path).await;
    answers_others(proxy.address).await;
    wire.end().await;
    assert!(wire.heard().starts_with(b"HTTP/1.1 200 "), "{path}");
    assert!(wire.heard().len() < LARGE / 2, "{path}: {} bytes came", wire.heard().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_takes_nothing_is_let_go() {
    let origin = shop().await;
    let proxy = consentry(&origin).config(TASTE).start().await;
    for path in ["/asset", "/page"] {
        stalls(Wire::over(small_window(proxy.address).await), &origin, &proxy, path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_takes_nothing_over_tls_is_let_go() {
    let authority = Authority::signing("shop.example");
    let origin = shop().await;
    let config = format!("{TASTE}\n{}", authority.listener());
    let proxy = consentry(&origin).config(&config).start().await;
    let name = ServerName::try_from("shop.example").unwrap();
    let socket = small_window(proxy.address).await;
    let mut wire = Wire::over(authority.connector().connect(name, socket).await.unwrap());
    wire.says(get("/asset")).await;
    lets_go(&origin, &proxy, "/asset").await;
    wire.end().await;
    assert!(wire.heard().len() < LARGE / 2, "{} bytes came", wire.heard().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_asks_on_and_takes_nothing_is_let_go() {
    let origin = shop().await;
    let proxy = consentry(&origin).config(TASTE).start().await;
    let mut wire = Wire::over(small_window(proxy.address).await);
    wire.says(get("/").repeat(500) + &get("/asset").repeat(50)).await;
    lets_go(&origin, &proxy, "/asset").await;
    let asked = origin.seen().iter().filter(|seen| seen.target == "/asset").count();
    assert!(asked <= 3, "the origin was asked {asked} times");
    answers_others(proxy.address).await;
    wire.end().await;
    assert!(wire.heard().len() < LARGE / 2, "{} bytes came", wire.heard().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_takes_little_at_a_time_gets_all() {
    let origin = shop().await;
    const STALL: Duration = Duration::from_secs(4);
    let patient = "[timeouts]\nvisitor_stall_s = 4";
    let proxy = consentry(&origin).config(patient).start().await;
    let mut wire = Wire::over(small_window(proxy.address).await);
    wire.says("GET /asset HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < STALL + Duration::from_secs(2) {
        // Slower than the line, and quicker than nothing.
        wire.takes(30_000).await;
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let taken = 30_000 * rounds;
    assert_eq!(wire.end().await, End::Closed);
    assert!(taken + wire.heard().len() > LARGE, "cut after {}", taken + wire.heard().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_in_is_not_waited_for_forever() {
    let origin = shop().await;
    let proxy = consentry(&origin)
        .config("[timeouts]\nrequest_body_s = 1\n[limits]\nrequest_body_bytes_per_second = 1000")
        .start()
        .await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
    for (piece, waits_ms, path) in [("x", 50, "trickle"), ("xxxxxxxxxx", 100, "drip")] {
        let mut wire = Wire::to(proxy.address).await;
        wire.says(head).await;
        let begun = Instant::now();
        let trickles = async {
            while begun.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(waits_ms)).await;
                if tokio::time::timeout(Duration::from_millis(1), wire.more()).await.is_ok() {
                    break;
                }
                wire.says(piece).await;
            }
        };
        trickles.await;
        assert!(begun.elapsed() < PATIENCE, "{path}: {:?}", begun.elapsed());
        assert_eq!(wire.answer("POST").await.status, 408, "{path}");
    }
    answers_others(proxy.address).await;
    // Slow, but fast enough in the long run.
    let mut wire = Wire::to(proxy.address).await;
    wire.says("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 36000\r\n\r\n").await;
    // That is worth half a minute, however busy the machine is.
    wire.says("x".repeat(30_000)).await;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        wire.says("x".repeat(200)).await;
    }
    assert_eq!(wire.answer("POST").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_handshake_is_not_waited_for_forever() {
    let authority = Authority::signing("shop.example");
    let origin = shop().await;
    let config = format!("[timeouts]\nhandshake_s = 0.5\n{}", authority.listener());
    let proxy = consentry(&origin).config(&config).start().await;
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut wire = Wire::to(proxy.address).await;
        wire.says(begun).await;
        let since = Instant::now();
        wire.end().await;
        assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hoards_connections_makes_room_for_others() {
    let origin = shop().await;
    let proxy = consentry(&origin)
        .config("[limits]\nconnections = 32\n[listener]\nworkers = 1")
        .start()
        .await;
    let mut hoard = Vec::new();
    for _ in 0..120 {
        let mut wire = Wire::to(proxy.address).await;
        assert_eq!(wire.asks("GET", "/", "").await.status, 200);
        hoard.push(wire);
    }
    for _ in 0..5 {
        answers_others(proxy.address).await;
    }
}

/// How much memory it has, in KiB.
fn resident_kib(program: &Program) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_takes_nothing_costs_little_memory() {
    const MANY: usize = 200;
    const LIMIT_KIB: usize = 128;
    let origin = shop().await;
    let sections = "[listener]\nworkers = 1\n[limits]\nmemo_bytes = 0\n\
        [timeouts]\nvisitor_stall_s = 600\nvisitor_idle_s = 600";
    let setup = Setup::new(origin.address, sections);
    let program = setup.start();
    let mut too_much = Vec::new();
    for path in ["/asset", "/page"] {
        // What every first exchange needs stays.
        for _ in 0..3 {
            let mut wire = Wire::to(program.address).await;
            assert_eq!(wire.asks("GET", path, "").await.status, 200);
        }
        let before = resident_kib(&program);
        let mut stalled = Vec::new();
        for _ in 0..MANY {
            let mut wire = Wire::over(small_window(program.address).await);
            wire.says(get(path)).await;
            stalled.push(wire);
        }
        // What can be sent has been sent when others are answered at once again.
        let mut settled = 0;
        let since = Instant::now();
        while settled < 3 && since.elapsed() < Duration::from_secs(40) {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let begun = Instant::now();
            assert_eq!(Wire::to(program.address).await.asks("GET", "/", "").await.status, 200);
            settled = if begun.elapsed() < Duration::from_millis(500) { settled + 1 } else { 0 };
        }
        let each = resident_kib(&program).saturating_sub(before) / MANY;
        println!("{path}: {each} KiB for each of {MANY} who take nothing");
        if each > LIMIT_KIB {
            too_much.push(format!("{path}: {each} KiB for each who takes nothing"));
        }
    }
    assert!(too_much.is_empty(), "{too_much:?}");
}

/// Lets a program open only so many more files than it has open.
fn short_of_files(program: &Program, more: usize) {
    let pid = Pid::from_raw(i32::try_from(program.id()).unwrap()).unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", program.id())).unwrap().count();
    let limit = Some(u64::try_from(open + more).unwrap());
    rustix::process::prlimit(
        Some(pid),
        Resource::Nofile,
        Rlimit { current: limit, maximum: limit },
    )
    .unwrap();
}

/// An origin that answers when it may, and takes no second request on a
/// connection.
async fn guarded_shop() -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let origin = raw_origin(move |mut socket, _| {
        let gate = Arc::clone(&opened);
        async move {
            let _turn = gate.acquire().await.unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\
                content-length: 4\r\n\r\nfine";
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    (origin.await, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_file_descriptors_it_makes_room_and_goes_on() {
    let (origin, gate) = guarded_shop().await;
    gate.add_permits(1000);
    let mut program = Setup::new(origin.address, "[listener]\nworkers = 1").start();
    answers_others(program.address).await;
    short_of_files(&program, 12);
    let mut hoard = Vec::new();
    for number in 0..60 {
        let mut wire = Wire::to(program.address).await;
        let got = wire.asks("GET", "/", "").await;
        assert_eq!((got.status, got.text()), (200, "fine"), "visitor {number}");
        hoard.push(wire);
    }
    program.says("cannot accept");
    drop(hoard);
    answers_others(program.address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_file_in_use_it_does_not_blame_the_origin() {
    let (origin, gate) = guarded_shop().await;
    let sections = "[listener]\nworkers = 1\n[timeouts]\nconnect_s = 1\nrequest_head_s = 600";
    let mut program = Setup::new(origin.address, sections).start();
    short_of_files(&program, 12);
    let mut wires = Vec::new();
    for _ in 0..20 {
        wires.push(Wire::to(program.address).await);
    }
    // None of them rests before it has been answered once.
    program.says("cannot accept");
    let mut visits = JoinSet::new();
    for mut wire in wires {
        visits.spawn(async move { wire.asks("GET", "/", "").await });
    }
    // The origin answers nobody yet.
    let got = visits.join_next().await.unwrap().unwrap();
    assert_eq!((got.status, got.field("retry-after").as_deref()), (503, Some("1")));
    assert!(got.text().contains("fault: consentry"), "{}", got.text());
    gate.add_permits(1000);
    while let Some(got) = visits.join_next().await {
        let status = got.unwrap().status;
        assert!(matches!(status, 200 | 503), "{status}");
    }
    answers_others(program.address).await;
    assert_eq!(program.times("origin set aside"), 0, "{:?}", program.log());
}
