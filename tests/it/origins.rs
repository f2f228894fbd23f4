//! Several origins a site: who is asked, what happens when one fails, and what
//! is sent a second time.

use crate::harness::{
    Origin, OriginBuilder, Proxy, ProxyBuilder, consentry, origin, raw_origin, visitor,
};
use crate::name_server::name_server;
use crate::tls::Authority;
use crate::wire::{PATIENCE, Wire};

use consentry::config::{self, KeyMode, Overrides};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi";
const LAST_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";

fn before(origins: &[&Origin]) -> ProxyBuilder {
    let urls: Vec<_> = origins.iter().map(|origin| origin.url()).collect();
    consentry(origins[0]).origins(&urls)
}

fn hello() -> OriginBuilder {
    let hello = |_| http::Response::new(http_body_util::Full::from("hi"));
    origin().answer("/", hello).answer("/buy", hello)
}

async fn shop() -> Origin {
    hello().start().await
}

/// One that goes away, and to whose port nobody else comes.
async fn leaving() -> Origin {
    hello().start_apart().await
}

async fn status(proxy: &Proxy, method: &str, path: &str) -> u16 {
    let body = if method == "POST" { "x=1" } else { "" };
    visitor(proxy).asks(method, path, &[], body).await.status.as_u16()
}

/// Whether visitors are sent there, as the operator is told.
async fn is_up(proxy: &Proxy, origin: &str) -> bool {
    let name = format!("consentry_origin_up{{site=\"default\",origin=\"{origin}\"}}");
    proxy.metric(&name).await.unwrap() == 1.0
}

/// Whether something comes to hold, however busy the machine is.
async fn until(mut holds: impl AsyncFnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if holds().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_equally_busy_origins_take_turns() {
    let (one, two) = (shop().await, shop().await);
    let proxy = before(&[&one, &two]).start().await;
    for _ in 0..10 {
        assert_eq!(status(&proxy, "GET", "/").await, 200);
    }
    assert_eq!((one.seen().len(), two.seen().len()), (5, 5));
}

/// An origin that answers `/slow` as soon as it may.
async fn waiting(go_on: &Arc<Notify>, head_first: bool) -> Origin {
    let go_on = Arc::clone(go_on);
    raw_origin(move |mut socket, head| {
        let go_on = Arc::clone(&go_on);
        async move {
            if head.contains("/slow") {
                if head_first {
                    let begun = LAST_ANSWER.strip_suffix(b"i").unwrap();
                    let _ = socket.write_all(begun).await;
                }
                go_on.notified().await;
                let rest: &[u8] = if head_first { b"i" } else { LAST_ANSWER };
                let _ = socket.write_all(rest).await;
            } else {
                let _ = socket.write_all(LAST_ANSWER).await;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_the_origin_with_the_fewest_exchanges_under_way_is_asked() {
    // An exchange is under way until its last byte, not only until its head.
    for head_first in [false, true] {
        let go_on = Arc::new(Notify::new());
        let (one, two) = (waiting(&go_on, head_first).await, waiting(&go_on, head_first).await);
        let proxy = before(&[&one, &two]).start().await;
        let mut slow = Wire::to(proxy.address).await;
        slow.says("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let begun = async || one.seen().len() + two.seen().len() == 1;
        assert!(until(begun).await);
        if head_first {
            slow.hears("h").await;
        }
        let (busy, free) = if one.seen().is_empty() { (&two, &one) } else { (&one, &two) };
        for _ in 0..6 {
            assert_eq!(status(&proxy, "GET", "/").await, 200);
        }
        assert_eq!((busy.seen().len(), free.seen().len()), (1, 6), "{head_first}");
        go_on.notify_one();
        assert_eq!(slow.answer("GET").await.text(), "hi");
        for _ in 0..6 {
            assert_eq!(status(&proxy, "GET", "/").await, 200);
        }
        assert_eq!(busy.seen().len(), 4, "{head_first}: it is as free as the other one again");
    }
}

/// An origin that agrees to speak WebSocket, and answers everything else.
async fn chatting() -> Origin {
    raw_origin(|mut socket, head| async move {
        if !head.contains("/chat") {
            let _ = socket.write_all(LAST_ANSWER).await;
            return;
        }
        let agreed = b"HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nhello";
        let _ = socket.write_all(agreed).await;
        let _ = socket.read_to_end(&mut Vec::new()).await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_a_websocket_is_under_way_until_it_ends() {
    let (one, two) = (chatting().await, chatting().await);
    let proxy = before(&[&one, &two])
        .config("[limits]\nconnections = 3\n[timeouts]\ndrain_s = 600")
        .start()
        .await;
    let mut chat = Wire::to(proxy.address).await;
    let fields = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: eA==\r\n";
    assert_eq!(chat.asks("GET", "/chat", fields).await.status, 101);
    assert_eq!(chat.takes(5).await, b"hello");
    let (busy, free) = if one.seen().is_empty() { (&two, &one) } else { (&one, &two) };
    let open = async || proxy.metric("consentry_connections ").await.unwrap();
    for _ in 0..6 {
        assert_eq!(status(&proxy, "GET", "/").await, 200);
        assert!(until(async || open().await == 1.0).await, "{}", open().await);
    }
    assert_eq!((busy.seen().len(), free.seen().len()), (1, 6));
    drop(chat);
    assert!(until(async || open().await == 0.0).await, "{}", open().await);
    for _ in 0..6 {
        assert_eq!(status(&proxy, "GET", "/").await, 200);
        assert!(until(async || open().await == 0.0).await, "{}", open().await);
    }
    assert_eq!(busy.seen().len(), 4, "it is as free as the other one again");

    // Nobody waits for one that may last for hours.
    let mut chat = Wire::to(proxy.address).await;
    assert_eq!(chat.asks("GET", "/chat", fields).await.status, 101);
    let begun = Instant::now();
    proxy.stop().await;
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    chat.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_an_origin_that_is_down_costs_no_visitor_an_answer() {
    const ASIDE: Duration = Duration::from_millis(300);
    let (gone, there) = (leaving().await, shop().await);
    let address = gone.address;
    let proxy = before(&[&gone, &there]).site("[site.health]\naside_s = 0.3").start().await;
    assert!(is_up(&proxy, &gone.url()).await && is_up(&proxy, &there.url()).await);
    let url = gone.url();
    drop(gone);
    let begun = Instant::now();
    for round in 0..10 {
        assert_eq!(status(&proxy, "GET", "/").await, 200, "{round}");
        // Nothing of it was sent, so it can go elsewhere, with its body.
        assert_eq!(status(&proxy, "POST", "/buy").await, 200, "{round}");
    }
    let rests = begun.elapsed().div_duration_f64(ASIDE);
    assert!(!is_up(&proxy, &url).await && is_up(&proxy, &there.url()).await);
    let bought: Vec<_> = there
        .seen()
        .into_iter()
        .filter(|seen| seen.method == "POST")
        .map(|seen| seen.body)
        .collect();
    assert_eq!(bought, ["x=1"; 10]);
    let retries =
        proxy.metric("consentry_origin_retries_total{site=\"default\",reason=\"connect\"}").await;
    let most = 3.0 + 1.0 + rests;
    assert!((3.0..=most).contains(&retries.unwrap()), "then it was set aside: {retries:?} {rests}");
    let failures = format!(
        "consentry_origin_failures_total{{site=\"default\",origin=\"{url}\",reason=\"connect\"}}"
    );
    assert!(proxy.metric(&failures).await.unwrap() >= 3.0);

    let back = origin().page("/", "<p>Back</p>").start_at(address).await;
    let returned = async || {
        assert_eq!(status(&proxy, "GET", "/").await, 200);
        is_up(&proxy, &url).await
    };
    assert!(until(returned).await);
    back.forgets();
    for _ in 0..4 {
        assert_eq!(status(&proxy, "GET", "/").await, 200);
    }
    assert!(back.seen().len() >= 2, "it has its share again");
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_when_all_origins_are_down_the_answer_says_so_at_once() {
    let (one, two) = (leaving().await, leaving().await);
    let proxy = before(&[&one, &two]).config("[timeouts]\nconnect_s = 120").start().await;
    let address = one.address;
    drop((one, two));
    for _ in 0..8 {
        let begun = Instant::now();
        let page = visitor(&proxy).opens("/").await;
        assert_eq!(page.status, 502);
        assert!(page.body.contains("fault: origin"), "{}", page.body);
        assert!(begun.elapsed() < PATIENCE, "nobody waits for `connect_s`");
    }
    let back = origin().page("/", "<p>Back</p>").start_at(address).await;
    assert_eq!(status(&proxy, "GET", "/").await, 200, "whoever comes first finds that out");
    drop(back);
}

/// An origin that takes connections and says nothing, whatever it hears.
struct Silent {
    address: String,
    /// How many it took so far.
    connections: Arc<AtomicUsize>,
    /// Those it keeps; without a place to keep them it closes each at once.
    kept: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Silent {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections: Arc<AtomicUsize> = Arc::default();
        let kept = Arc::new(Mutex::new(Some(Vec::new())));
        let (count, keep) = (Arc::clone(&connections), Arc::clone(&kept));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(kept) = keep.lock().unwrap().as_mut() {
                    kept.push(socket);
                }
            }
        });
        Self { address, connections, kept }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes what it has, and from now on what comes, or keeps that.
    fn closes(&self, closes: bool) {
        *self.kept.lock().unwrap() = (!closes).then(Vec::new);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_a_tls_handshake_is_part_of_connecting_and_a_silent_origin_is_tried_by_one() {
    let silent = Silent::start().await;
    let there = shop().await;
    let asking = |connect_s: &str| {
        consentry(&there)
            .origin(&format!("https://{}", silent.address))
            .config(&format!("[timeouts]\nconnect_s = {connect_s}"))
    };
    let impatient = asking("0.5").start().await;
    let begun = Instant::now();
    assert_eq!(status(&impatient, "GET", "/").await, 502);
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());

    let proxy = asking("120").start().await;
    silent.closes(true);
    for _ in 0..3 {
        assert_eq!(status(&proxy, "GET", "/").await, 502);
    }
    silent.closes(false);
    let before = silent.connections();
    let mut visits = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mut visitor = visitor(&proxy);
        visits.spawn(async move { visitor.opens("/").await.status.as_u16() });
    }
    for _ in 0..9 {
        assert_eq!(visits.join_next().await.unwrap().unwrap(), 502);
    }
    assert!(until(async || silent.connections() > before).await);
    assert!(visits.try_join_next().is_none(), "nobody else waits for what one finds out");
    assert_eq!(silent.connections(), before + 1);
    silent.closes(true);
    assert_eq!(visits.join_next().await.unwrap().unwrap(), 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_an_origin_that_does_not_answer_is_set_aside() {
    let silent = Silent::start().await;
    let there = shop().await;
    let hanging = format!("http://{}", silent.address);
    let proxy = consentry(&there)
        .origins(&[hanging.clone(), there.url()])
        .config("[timeouts]\nresponse_head_s = 2")
        .site("[site.health]\naside_s = 60")
        .start()
        .await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(status(&proxy, "GET", "/").await);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 504).count(), 3, "{statuses:?}");
    assert!(statuses.ends_with(&[200; 10]), "{statuses:?}");
    assert!(!is_up(&proxy, &hanging).await);
}

/// An origin that answers so many requests on a connection, reads the next one
/// and closes.
async fn closing_after(answers: usize) -> Origin {
    raw_origin(move |mut socket, _| async move {
        for _ in 0..answers {
            let _ = socket.write_all(ANSWER).await;
            if let Ok(0) | Err(_) = socket.read(&mut [0; 4096]).await {
                return;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_no_request_is_lost_on_an_idle_connection_that_closes() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let origin = closing_after(1).await;
        let proxy = consentry(&origin).config("[listener]\nworkers = 1").start().await;
        let mut wire = Wire::to(proxy.address).await;
        assert_eq!(wire.asks("GET", "/", "").await.status, 200);
        let again = wire.asks(method, "/x", "x-own: kept\r\n").await;
        assert_eq!(again.status, 200, "{method}: {}", again.text());
        assert_eq!(origin.connections(), 2, "{method}: once more, on a connection of its own");
        let seen = origin.seen();
        assert_eq!((seen[1].method.as_str(), seen[1].target.as_str()), (method, "/x"));
        let retries = "consentry_origin_retries_total{site=\"default\",reason=\"closed\"}";
        assert_eq!(proxy.metric(retries).await, Some(1.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_a_request_that_an_origin_does_not_survive_is_not_passed_around() {
    let (one, two) = (closing_after(0).await, closing_after(0).await);
    let proxy = before(&[&one, &two]).start().await;
    assert_eq!(status(&proxy, "GET", "/").await, 502);
    assert_eq!(one.seen().len() + two.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_retries_never_multiply_what_an_origin_has_to_do() {
    let origin = closing_after(1).await;
    let proxy = consentry(&origin).config("[listener]\nworkers = 1").start().await;
    let mut wire = Wire::to(proxy.address).await;
    let mut failed = 0;
    for _ in 0..200 {
        failed += usize::from(wire.asks("GET", "/", "").await.status == 502);
    }
    let retries = "consentry_origin_retries_total{site=\"default\",reason=\"closed\"}";
    let retries = proxy.metric(retries).await.unwrap();
    assert!((20.0..=51.0).contains(&retries), "one in five and ten at once: {retries}");
    assert!(failed > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_a_connection_that_never_rests_is_made_anew_all_the_same() {
    let origin = shop().await;
    let proxy = consentry(&origin)
        .config("[listener]\nworkers = 1\n[timeouts]\norigin_connection_s = 0.3")
        .start()
        .await;
    let begun = Instant::now();
    while origin.connections() < 4 {
        assert_eq!(status(&proxy, "GET", "/").await, 200);
        assert!(begun.elapsed() < PATIENCE, "only {} connections", origin.connections());
    }
    // Each of the three before the last one had its time.
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_a_connection_rests_no_longer_than_its_origin_says() {
    for (field, expected) in [("keep-alive: timeout=1\r\n", 4), ("keep-alive: timeout=90\r\n", 1)] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{field}content-type: text/plain\r\ncontent-length: 2\r\n\r\nhi"
        );
        let origin = raw_origin(move |mut socket, _| {
            let answer = answer.clone();
            async move {
                while socket.write_all(answer.as_bytes()).await.is_ok() {
                    if let Ok(0) | Err(_) = socket.read(&mut [0; 4096]).await {
                        return;
                    }
                }
            }
        })
        .await;
        let proxy = consentry(&origin).config("[listener]\nworkers = 1").start().await;
        let mut wire = Wire::to(proxy.address).await;
        for _ in 0..4 {
            let got = wire.asks("GET", "/", "").await;
            assert_eq!((got.status, got.field("keep-alive")), (200, None), "{field}");
        }
        assert_eq!(origin.connections(), expected, "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_resting_connections_are_closed_in_time() {
    let rested = Arc::new(Mutex::new(None));
    let told = Arc::clone(&rested);
    let origin = raw_origin(move |mut socket, _| {
        let told = Arc::clone(&told);
        async move {
            let begun = Instant::now();
            let _ = socket.write_all(ANSWER).await;
            let _ = socket.read(&mut [0; 4096]).await;
            *told.lock().unwrap() = Some(begun.elapsed());
        }
    })
    .await;
    let proxy = consentry(&origin).config("[timeouts]\norigin_idle_s = 0.7").start().await;
    assert_eq!(status(&proxy, "GET", "/").await, 200);
    assert!(until(async || rested.lock().unwrap().is_some()).await);
    let rested = rested.lock().unwrap().unwrap();
    assert!(rested >= Duration::from_millis(600), "it is kept for the next request: {rested:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_what_is_known_of_an_origin_outlives_a_reload() {
    let (gone, there) = (leaving().await, shop().await);
    let url = gone.url();
    let builder = before(&[&gone, &there]).site("[site.health]\naside_s = 60");
    drop(gone);
    let proxy = builder.start().await;
    for _ in 0..8 {
        assert_eq!(status(&proxy, "GET", "/").await, 200);
    }
    assert!(!is_up(&proxy, &url).await);
    let file = proxy.directory().join("consentry.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    let fresh = |text: String| {
        std::fs::write(&file, text).unwrap();
        let flags = Overrides::default();
        let loaded = config::load(Some(&file), std::iter::empty(), &flags, KeyMode::CheckOnly);
        proxy.running().replace_sites(loaded.unwrap().sites);
    };
    fresh(written.clone());
    assert!(!is_up(&proxy, &url).await);
    fresh(written.replace(&format!("{url:?}, "), ""));
    let name = format!("consentry_origin_up{{site=\"default\",origin=\"{url}\"}}");
    assert_eq!(proxy.metric(&name).await, None, "nobody speaks of it any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_origins_over_https_and_plain_serve_one_site() {
    let authority = Authority::signing("127.0.0.1");
    let plain = shop().await;
    let hello = |_| http::Response::new(http_body_util::Full::from("hi"));
    let secure = origin().answer("/", hello).start_tls(authority.acceptor()).await;
    let proxy = consentry(&plain)
        .origins(&[plain.url(), format!("https://{}", secure.address)])
        .config(&format!("[origin]\nca_file = {:?}", authority.file("ca.pem")))
        .start()
        .await;
    for _ in 0..4 {
        assert_eq!(status(&proxy, "GET", "/").await, 200);
    }
    assert_eq!((plain.seen().len(), secure.seen().len()), (2, 2));
}

/// An origin that is well as long as its number is 200.
async fn ailing(well: &Arc<AtomicUsize>) -> Origin {
    let well = Arc::clone(well);
    let hello = |_| http::Response::new(http_body_util::Full::from("hi"));
    let health = move |_| {
        let status = u16::try_from(well.load(Ordering::Relaxed)).unwrap();
        http::Response::builder().status(status).body(http_body_util::Full::from("")).unwrap()
    };
    origin().answer("/", hello).answer("/healthz", health).start().await
}

const LOOKS: &str =
    "[site.health]\npath = \"/healthz\"\ninterval_s = 0.1\ntimeout_s = 3\nfailures = 2";

#[tokio::test(flavor = "multi_thread")]
async fn k3_an_origin_that_looks_ill_gets_no_visitors_until_it_is_well() {
    let well = Arc::new(AtomicUsize::new(204));
    let (one, two) = (ailing(&well).await, shop().await);
    let proxy = before(&[&one, &two]).site("origin_host = \"shop.internal\"").site(LOOKS);
    let proxy = proxy.start().await;
    // The other one has no such path: 404 is not well.
    assert!(until(async || !is_up(&proxy, &two.url()).await).await);
    assert!(is_up(&proxy, &one.url()).await);
    let looks: Vec<_> = one.seen().into_iter().filter(|seen| seen.target == "/healthz").collect();
    let look = &looks[0];
    assert_eq!(
        (look.method.as_str(), &look.headers["host"], &look.headers["user-agent"]),
        ("GET", &"shop.internal".parse().unwrap(), &"consentry-health".parse().unwrap())
    );
    for _ in 0..4 {
        assert_eq!(status(&proxy, "GET", "/").await, 200);
    }
    assert!(two.seen().iter().all(|seen| seen.target == "/healthz"), "no visitor goes there");
    let failures = format!(
        "consentry_origin_failures_total{{site=\"default\",origin=\"{}\",reason=\"health\"}}",
        two.url()
    );
    assert!(proxy.metric(&failures).await.unwrap() >= 2.0);

    well.store(503, Ordering::Relaxed);
    assert!(until(async || !is_up(&proxy, &one.url()).await).await);
    assert_eq!(status(&proxy, "GET", "/").await, 200, "a bad one is better than none");
    well.store(302, Ordering::Relaxed);
    assert!(until(async || is_up(&proxy, &one.url()).await).await);
    let ready = crate::harness::raw(
        proxy.admin,
        b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    );
    assert!(ready.await.starts_with(b"HTTP/1.1 200"), "origins are not what it is about");
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_nobody_looks_at_origins_unless_a_path_is_given() {
    let origin = shop().await;
    let proxy = consentry(&origin).site("[site.health]\ninterval_s = 0.05").start().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(origin.seen().is_empty());
    assert!(is_up(&proxy, &origin.url()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_an_origin_that_moves_is_followed() {
    let names = name_server(&[]).await;
    names.address("shop.internal", [127, 0, 0, 11]);
    let hello = |text: &'static str| {
        move |_| {
            let response = http::Response::builder().header("content-type", "text/plain");
            response.body(http_body_util::Full::from(text)).unwrap()
        }
    };
    let first = origin().answer("/", hello("first")).start_at("127.0.0.11:0".parse().unwrap());
    let first = first.await;
    let port = first.address.port();
    let second = origin().answer("/", hello("second"));
    let second = second.start_at(format!("127.0.0.12:{port}").parse().unwrap()).await;
    let proxy = consentry(&first)
        .origin(&format!("http://shop.internal:{port}"))
        .config(&format!(
            "[listener]\nworkers = 1\n[origin]\nname_server = \"{}\"\n[timeouts]\norigin_connection_s = 0.5",
            names.address
        ))
        .start()
        .await;
    let begun = Instant::now();
    assert_eq!(visitor(&proxy).opens("/").await.body, "first");
    names.address("shop.internal", [127, 0, 0, 12]);
    // It never rests, and is followed all the same.
    while visitor(&proxy).opens("/").await.body != "second" {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert!(begun.elapsed() >= Duration::from_millis(500), "its connection was still there");
    drop(second);
    assert_eq!(names.asked().iter().filter(|name| *name != "shop.internal").count(), 0);

    names.address("shop.internal", [0, 0, 0, 0]);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let page = visitor(&proxy).opens("/").await;
    assert_eq!(page.status, 502);
    assert!(page.body.contains("fault: origin"), "{}", page.body);
    let failures = format!(
        "consentry_origin_failures_total{{site=\"default\",origin=\"http://shop.internal:{port}\",reason=\"dns\"}}"
    );
    assert_eq!(proxy.metric(&failures).await, Some(1.0));
}
