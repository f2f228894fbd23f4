//! Starting again, and ending: nobody who connects meanwhile is turned away,
//! and nothing is recorded twice or not at all.

use crate::harness::{Origin, origin};
use crate::program::{PATIENCE, Program, Setup, consentry_command, runs};
use crate::tls::Authority;
use crate::wire::{End, Wire};

use consentry::ledger::read::{Filter, Reader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

async fn shop() -> Origin {
    origin().page("/", "<p>Hello</p><script src=//ads.acme.example/p.js></script>").start().await
}

/// Visitors who ask without a pause until it is over: half of them connect for
/// every request, the others keep their connection as long as it is kept.
struct Crowd {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    visitors: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn at(address: SocketAddr) -> Self {
        let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let visitor = |number| {
            let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
            tokio::spawn(visit(address, number % 2 == 0, over, asked))
        };
        let visitors = (0..6).map(visitor).collect();
        Self { over, asked, visitors }
    }

    /// Waits until so many more were answered.
    async fn asks(&self, more: usize) {
        let (wanted, since) = (self.asked.load(Ordering::Relaxed) + more, Instant::now());
        while self.asked.load(Ordering::Relaxed) < wanted {
            assert!(since.elapsed() < Duration::from_secs(60), "nobody is answered any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many were answered; that all were is checked here.
    async fn goes(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        for visitor in self.visitors {
            visitor.await.unwrap();
        }
        self.asked.load(Ordering::Relaxed)
    }
}

async fn visit(address: SocketAddr, keeps: bool, over: Arc<AtomicBool>, asked: Arc<AtomicUsize>) {
    let mut kept: Option<Wire> = None;
    while !over.load(Ordering::Relaxed) {
        let mut wire = match kept.take() {
            Some(wire) => wire,
            None => Wire::to(address).await,
        };
        let page = wire.asks_while_it_lives("/").await.expect("a request was not answered");
        assert!(page.status == 200 && page.text().contains("Hello"), "{}", page.head);
        asked.fetch_add(1, Ordering::Relaxed);
        let is_last = page.field("connection").is_some_and(|field| field.contains("close"));
        kept = Some(wire).filter(|_| keeps && !is_last);
    }
}

/// The decisions on record.
fn recorded(setup: &Setup) -> usize {
    Reader::open(setup.ledger()).unwrap().block_log(&Filter::default(), 1_000_000).unwrap().len()
}

/// The program with sockets at its descriptors from 3 on, as systemd starts it.
fn with_sockets(setup: &Setup, names: &str, sockets: &[&TcpListener]) -> Command {
    let binary = env!("CARGO_BIN_EXE_consentry");
    let words = setup.words();
    // Where it is said to listen, nobody asks.
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "exec 3<&0 4<&1 0</dev/null 1>/dev/null; LISTEN_PID=$$ LISTEN_FDS={} exec '{binary}' {}",
        sockets.len(),
        words.join(" ")
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env("LISTEN_FDNAMES", names);
    let stdio = |socket: &TcpListener| Stdio::from(OwnedFd::from(socket.try_clone().unwrap()));
    command.stdin(sockets.first().map_or_else(Stdio::null, |socket| stdio(socket)));
    command.stdout(sockets.get(1).map_or_else(Stdio::null, |socket| stdio(socket)));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_no_connection_fails_over_three_restarts_by_socket_activation() {
    let origin = shop().await;
    let setup = Setup::new(origin.address, "[limits]\nrequests_per_second = 0");
    let public = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = || Program::start_with_output(&mut with_sockets(&setup, "http", &[&public]));
    let mut program = start();
    assert_eq!(program.address, public.local_addr().unwrap());
    let crowd = Crowd::at(program.address);
    for _ in 0..3 {
        crowd.asks(150).await;
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0), "{:?}", program.log());
        program = start();
    }
    crowd.asks(150).await;
    let asked = crowd.goes().await;
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{:?}", program.log());
    assert!(asked >= 600);
    assert_eq!(recorded(&setup), asked, "each page is on record once");
    println!("{asked} requests over three restarts, none failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_sockets_are_taken_by_name_or_in_order_and_strange_ones_refused() {
    let origin = shop().await;
    let bound = || TcpListener::bind("127.0.0.1:0").unwrap();
    for (names, public_first) in [("", true), ("x.socket:x.socket", true), ("admin:http", false)] {
        let setup = Setup::new(origin.address, "");
        let (one, other) = (bound(), bound());
        let mut command = with_sockets(&setup, names, &[&one, &other]);
        let program = Program::start_with_output(&mut command);
        let expected = [one.local_addr().unwrap(), other.local_addr().unwrap()];
        let mut found = [program.address, program.admin];
        if !public_first {
            found.reverse();
        }
        assert_eq!(found, expected, "{names}");
        assert_eq!(Wire::to(program.address).await.asks("GET", "/", "").await.status, 200);
        assert_eq!(Wire::to(program.admin).await.asks("GET", "/readyz", "").await.status, 200);
    }
    // The port for visitors who come without TLS may be one of them.
    let authority = Authority::signing("shop.example");
    let tls = format!("{}\nredirect_address = '127.0.0.1:9'", authority.listener());
    let setup = Setup::new(origin.address, &tls);
    let (public, redirect) = (bound(), bound());
    let mut command = with_sockets(&setup, "http:redirect", &[&public, &redirect]);
    let program = Program::start_with_output(&mut command);
    assert_eq!(program.address, public.local_addr().unwrap());
    let mut wire = Wire::to(redirect.local_addr().unwrap()).await;
    assert_eq!(wire.asks("GET", "/", "").await.status, 301);
    // The next one finds who came meanwhile.
    drop(program);
    let mut early = Wire::to(redirect.local_addr().unwrap()).await;
    early.says("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
    let mut command = with_sockets(&setup, "http:redirect", &[&public, &redirect]);
    let program = Program::start_with_output(&mut command);
    assert_eq!(early.answer("GET").await.status, 301);
    drop(program);
    let setup = Setup::new(origin.address, "");
    let (one, other) = (bound(), bound());
    let mut command = with_sockets(&setup, "http:metrics", &[&one, &other]);
    let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(78) && said.contains("`metrics`"), "{said}");
}

/// The same program once more, where the first one listens.
fn beside(setup: &Setup, first: &Program, more: &[&str]) -> Vec<String> {
    let mut words = setup.words();
    words[2] = first.address.to_string();
    words[4] = first.admin.to_string();
    words.extend(more.iter().map(|word| (*word).to_owned()));
    words
}

/// Waits until its number is in the file: it serves a moment before that.
async fn is_written(file: &Path, program: &Program) {
    let (number, since) = (format!("{}\n", program.id()), Instant::now());
    while std::fs::read_to_string(file).ok().as_ref() != Some(&number) {
        assert!(since.elapsed() < PATIENCE, "{number} is not in {}", file.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn start(words: &[String]) -> Program {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    Program::start(&mut consentry_command(&words))
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_no_connection_fails_when_one_program_takes_over_from_another() {
    let origin = shop().await;
    let setup = Setup::new(origin.address, "[limits]\nrequests_per_second = 0");
    let file = setup.file("consentry.pid");
    let pid_file = ["--pid-file", file.to_str().unwrap()];
    let mut words = setup.words();
    words.extend(pid_file.map(str::to_owned));
    let mut program = start(&words);
    is_written(&file, &program).await;

    let alone: Vec<_> = beside(&setup, &program, &pid_file);
    let alone: Vec<_> = alone.iter().map(String::as_str).collect();
    let (code, said) = runs(&alone);
    assert!(code == 69 && said.contains("--take-over"), "{code} {said}");

    let crowd = Crowd::at(program.address);
    for _ in 0..3 {
        crowd.asks(150).await;
        let [flag, path] = pid_file;
        let mut next = start(&beside(&setup, &program, &[flag, path, "--take-over"]));
        assert_eq!((next.address, next.admin), (program.address, program.admin));
        program.says("another consentry serves now");
        assert_eq!(program.ends().code(), Some(0), "{:?}", program.log());
        is_written(&file, &next).await;
        let link = setup.file("data/ledger.db.dashboard-link");
        assert!(link.exists(), "the way to the dashboard is the new one's");
        next.says("serving");
        program = next;
    }
    crowd.asks(150).await;
    let asked = crowd.goes().await;
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{:?}", program.log());
    assert!(!file.exists());
    assert!(asked >= 600);
    assert_eq!(recorded(&setup), asked, "each page is on record once");
    println!("{asked} requests over three programs that took over, none failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_a_balancer_has_time_to_notice_that_it_leaves() {
    let origin = shop().await;
    // One ends when the delay is over, the other would take far too long for this test.
    for (patient, delay_s) in [(true, 3), (false, 300)] {
        let setup = Setup::new(origin.address, &format!("[timeouts]\ndrain_delay_s = {delay_s}"));
        let mut program = setup.start();
        let mut kept = Wire::to(program.address).await;
        assert_eq!(kept.asks("GET", "/", "").await.field("connection"), None);
        let since = Instant::now();
        program.signal("TERM");
        program.says("leaving");
        if patient {
            assert_eq!(program.ends().code(), Some(0), "{:?}", program.log());
            assert!(since.elapsed() >= Duration::from_secs(delay_s), "{:?}", since.elapsed());
            assert_eq!(kept.end().await, End::Closed);
            continue;
        }
        assert_eq!(Wire::to(program.admin).await.asks("GET", "/readyz", "").await.status, 503);
        assert_eq!(Wire::to(program.admin).await.asks("GET", "/livez", "").await.status, 200);
        // Whoever comes all the same is served, and told to go elsewhere next.
        let mut late = Wire::to(program.address).await;
        for wire in [&mut kept, &mut late] {
            let page = wire.asks("GET", "/", "").await;
            assert_eq!((page.status, page.field("connection")), (200, Some("close".into())));
            assert_eq!(wire.end().await, End::Closed);
        }
        // Who is told a second time goes at once.
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0), "{:?}", program.log());
        assert!(tokio::net::TcpStream::connect(program.address).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k3_who_has_just_connected_is_still_answered() {
    let origin = shop().await;
    let setup = Setup::new(origin.address, "");
    // They have two seconds: on a machine that is too busy for that nothing is
    // found out, and it is tried again.
    for attempt in 0.. {
        let mut program = setup.start();
        let mut waiting = Vec::new();
        for _ in 0..20 {
            waiting.push(Wire::to(program.address).await);
        }
        let since = Instant::now();
        program.signal("TERM");
        program.says("stopping");
        for wire in &mut waiting {
            wire.says("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
        }
        if since.elapsed() > Duration::from_millis(1500) {
            assert!(attempt < 20, "nobody is ever quick enough");
            continue;
        }
        for wire in &mut waiting {
            let page = wire.answer("GET").await;
            assert_eq!((page.status, page.field("connection")), (200, Some("close".into())));
            assert!(page.complete, "an early visitor is not answered");
        }
        assert_eq!(program.ends().code(), Some(0));
        return;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_the_service_manager_hears_of_start_reload_and_end() {
    let origin = shop().await;
    let setup = Setup::new(origin.address, "");
    let at = setup.file("notify");
    let socket = UnixDatagram::bind(&at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hears = |wanted: &str| {
        let mut all = Vec::new();
        loop {
            let mut piece = [0; 512];
            let length = socket.recv(&mut piece).unwrap_or_else(|error| panic!("{error}: {all:?}"));
            let said = String::from_utf8(piece[..length].to_vec()).unwrap();
            if said.lines().any(|line| line == wanted) {
                return said;
            }
            all.push(said);
        }
    };
    let words = setup.words();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut command = consentry_command(&words);
    command.env("NOTIFY_SOCKET", &at).env("WATCHDOG_USEC", "600000");
    let mut program = Program::start(&mut command);
    hears("READY=1");
    hears("WATCHDOG=1");
    program.signal("HUP");
    assert!(hears("RELOADING=1").contains("MONOTONIC_USEC="));
    hears("READY=1");
    hears("WATCHDOG=1");
    program.signal("TERM");
    hears("STOPPING=1");
    assert_eq!(program.ends().code(), Some(0));
}
