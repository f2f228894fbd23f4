//! What an operator lives through with the real program: starting, mistakes,
//! reloading, stopping, and what it tells.

use crate::harness::{consentry, origin, raw, raw_origin, visitor};
use crate::program::{PATIENCE, Program, Setup, consentry_command, runs};
use crate::wire::{End, Wire};

use http::Response;
use http_body_util::Full;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

async fn admin(address: SocketAddr, path: &str) -> (u16, String) {
    let mut wire = Wire::to(address).await;
    let got = wire.asks("GET", path, "").await;
    (got.status, got.text().to_owned())
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place_and_a_way_out() {
    let setup = Setup::new(NOWHERE, "");
    let file = setup.file("wrong.toml");
    let site = "[[site]]\norigin = 'http://127.0.0.1:3000'\n";
    for (text, expected) in [
        (format!("{site}unlistd = 'allow'\n"), &["wrong.toml:3:1", "unlistd", "`unlisted`"][..]),
        (
            "[[site]]\norigin = 'localhost:3000'\n".to_owned(),
            &["wrong.toml:2:10", "localhost:3000", "http://localhost:3000"],
        ),
        ("[[site]]\norigin = 'ftp://a'\n".to_owned(), &["wrong.toml:2:10", "ftp"]),
        (
            format!("{site}hosts = ['a.example']\n{site}hosts = ['A.example.']\n"),
            &["wrong.toml:6:10", "a.example"],
        ),
        (
            format!(
                "[listener]\ntls_cert_file = '/nowhere/cert.pem'\ntls_key_file = '/nowhere/key.pem'\n{site}"
            ),
            &["wrong.toml:2:17", "/nowhere/cert.pem"],
        ),
        (
            format!(
                "[listener]\ntls_cert_file = 'vendors.toml'\ntls_key_file = 'vendors.toml'\n{site}"
            ),
            &["wrong.toml:2:17", "vendors.toml", "certificate"],
        ),
        ("[[site]\n".to_owned(), &["wrong.toml:1:"]),
        (String::new(), &["origin"]),
    ] {
        std::fs::write(&file, &text).unwrap();
        for command in ["check", "serve"] {
            let words = [command, "--config", file.to_str().unwrap()];
            let output =
                consentry_command(&words).current_dir(setup.directory.path()).output().unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert_eq!(output.status.code(), Some(78), "{command} {text}: {said}");
            for part in expected {
                assert!(said.contains(part), "{command} {text}\nsays\n{said}\nwithout {part}");
            }
        }
    }
    let (code, said) = runs(&["check", "--config", "/nowhere/consentry.toml"]);
    assert!(code == 78 && said.contains("/nowhere/consentry.toml"), "{said}");
    assert!(
        !setup.file("consentry-data").exists(),
        "nothing is written before everything is right"
    );
    let (code, said) = runs(&["check", "--config", setup.file("consentry.toml").to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_busy_port_is_named() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let setup = Setup::new(NOWHERE, "");
    for flag in ["--listen", "--admin"] {
        let mut words = setup.words();
        let at = words.iter().position(|word| word == flag).unwrap();
        words[at + 1].clone_from(&address);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let (code, said) = runs(&words);
        assert_eq!(code, 69, "{said}");
        assert!(said.contains(&address) && said.contains(flag), "{flag}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_never_share_a_port_unnoticed() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let first = Setup::new(origin.address, "").start();
    let second = Setup::new(NOWHERE, "");
    let mut words = second.words();
    words[2] = first.address.to_string();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let (send, ended) = std::sync::mpsc::channel();
    let mut other = consentry_command(&words).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let id = other.id().to_string();
    std::thread::spawn(move || send.send(other.wait().unwrap().code()));
    let code = ended.recv_timeout(PATIENCE);
    let _ = std::process::Command::new("kill").args(["-s", "KILL", &id]).output();
    assert_eq!(code.ok().flatten(), Some(69), "half of the visitors would go to each");
    for _ in 0..5 {
        assert_eq!(Wire::to(first.address).await.asks("GET", "/", "").await.status, 200);
    }
}

#[test]
fn a_ledger_that_cannot_be_written_is_said_at_the_start() {
    let setup = Setup::new(NOWHERE, "");
    std::fs::write(setup.file("text.db"), "this is no database, but long enough to look at")
        .unwrap();
    std::fs::create_dir(setup.file("a-directory")).unwrap();
    rusqlite::Connection::open(setup.file("other.db"))
        .unwrap()
        .execute_batch("CREATE TABLE a (b)")
        .unwrap();
    let origin = format!("http://{NOWHERE}");
    let serve = |ledger: &std::path::Path| {
        let ledger = ledger.to_str().unwrap();
        runs(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--origin",
            &origin,
            "--ledger",
            ledger,
        ])
    };
    for (name, expected) in [
        ("text.db", "is not a consentry ledger"),
        ("other.db", "is not a consentry ledger"),
        ("a-directory", "is a directory"),
        ("text.db/below/ledger.db", "text.db"),
    ] {
        let path = setup.file(name);
        let (code, said) = serve(&path);
        assert_eq!(code, 74, "{name}: {said}");
        assert!(
            said.contains(expected) && said.contains(setup.directory.path().to_str().unwrap()),
            "{name}: {said}"
        );
    }
    assert_eq!(
        std::fs::read(setup.file("text.db")).unwrap().len(),
        47,
        "what is no ledger is left alone"
    );

    let closed = setup.file("closed");
    std::fs::create_dir(&closed).unwrap();
    let mut permissions = std::fs::metadata(&closed).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&closed, permissions).unwrap();
    if std::fs::write(closed.join("probe"), "").is_ok() {
        println!("not tried: this user may write into a read-only directory");
        return;
    }
    let (code, said) = serve(&closed.join("ledger.db"));
    assert!(
        code == 74 && said.contains("give the user consentry runs as write access"),
        "{code} {said}"
    );
}

/// An origin whose pages come in two parts: the second when it is told to.
async fn halting(go_on: &Arc<Notify>) -> crate::harness::Origin {
    let go_on = Arc::clone(go_on);
    raw_origin(move |mut socket, _| {
        let go_on = Arc::clone(&go_on);
        async move {
            let first =
                "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\n\r\n<p>first</p>";
            let _ = socket.write_all(first.as_bytes()).await;
            go_on.notified().await;
            let _ =
                socket.write_all(b"<script src=//ads.acme.example/p.js></script><p>last</p>").await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_finishes_what_is_under_way() {
    for signal in ["TERM", "INT"] {
        let go_on = Arc::new(Notify::new());
        let origin = halting(&go_on).await;
        let setup = Setup::new(origin.address, "");
        let mut program = setup.start();
        let mut idle = Wire::to(program.address).await;
        assert_eq!(idle.asks("GET", "/.consentry/choices", "").await.status, 200);
        let mut wire = Wire::to(program.address).await;
        wire.says("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        wire.hears("<p>first</p>").await;
        assert_eq!(admin(program.admin, "/readyz").await.0, 200);
        program.signal(signal);
        program.says("stopping");
        assert_eq!(idle.end().await, End::Closed);
        assert_eq!(
            admin(program.admin, "/readyz").await.0,
            503,
            "a balancer must see that it stops"
        );
        assert_eq!(admin(program.admin, "/livez").await.0, 200);
        assert!(tokio::net::TcpStream::connect(program.address).await.is_err());
        go_on.notify_one();
        let page = wire.answer("GET").await;
        assert!(page.complete && page.text().contains("<p>last</p>"), "{}", page.text());
        assert_eq!(program.ends().code(), Some(0), "{:?}", program.log());
        let reader = consentry::ledger::read::Reader::open(setup.ledger()).unwrap();
        let lines = reader.block_log(&consentry::ledger::read::Filter::default(), 10).unwrap();
        assert_eq!((lines.len(), lines[0].what.as_str()), (1, "ads.acme.example/p.js"), "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_wait_for_visitors_forever() {
    let go_on = Arc::new(Notify::new());
    let origin = halting(&go_on).await;
    for patient in [true, false] {
        let drain = if patient { "[timeouts]\ndrain_s = 1" } else { "" };
        let setup = Setup::new(origin.address, drain);
        let mut program = setup.start();
        let mut wire = Wire::to(program.address).await;
        wire.says("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        wire.hears("<p>first</p>").await;
        program.signal("TERM");
        program.says("stopping");
        if !patient {
            program.signal("TERM");
        }
        assert_eq!(program.ends().code(), Some(0), "{:?}", program.log());
        assert!(!wire.answer("GET").await.complete, "what is cut does not look whole");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k1_a_new_configuration_is_taken_without_a_pause_and_a_wrong_one_not_at_all() {
    let (one, two) = (
        origin().page("/", "<p>one</p>").start().await,
        origin().page("/", "<p>two</p>").start().await,
    );
    // Nobody but us has it read again, and each time is counted.
    let setup = Setup::new(one.address, "[reload]\nwatch = false");
    let mut program = setup.start();
    let mut wire = Wire::to(program.address).await;
    assert!(wire.asks("GET", "/", "").await.text().contains("one"));
    setup.configure(two.address, "[reload]\nwatch = false");
    program.reloads();
    // The same connection goes on.
    assert!(wire.asks("GET", "/", "").await.text().contains("two"));
    setup.configure(one.address, "[listner]\naddress = 'x'");
    let refused = program.refuses_to_reload();
    assert!(
        refused.contains("listner") && refused.contains("did you mean `listener`"),
        "{refused}"
    );
    assert!(wire.asks("GET", "/", "").await.text().contains("two"));
    let (_, metrics) = admin(program.admin, "/metrics").await;
    for result in ["done", "refused"] {
        assert!(
            metrics.contains(&format!("consentry_config_reloads_total{{result=\"{result}\"}} 1")),
            "{metrics}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_tells_how_it_is() {
    let origin = origin().page("/", "<script src=//ads.acme.example/p.js></script>").start().await;
    let proxy = consentry(&origin).start().await;
    for (path, expected) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/healthz", 200),
        ("/metrics", 200),
        // The dashboard is asked for by its own names alone.
        ("/", 421),
        ("/x", 421),
    ] {
        assert_eq!(admin(proxy.admin, path).await.0, expected, "{path}");
    }
    let said: serde_json::Value =
        serde_json::from_str(&admin(proxy.admin, "/healthz").await.1).unwrap();
    assert_eq!((&said["ready"], &said["ledger"]["ok"]), (&true.into(), &true.into()), "{said}");
    assert_eq!(
        Wire::to(proxy.admin).await.asks("POST", "/metrics", "content-length: 0\r\n").await.status,
        405
    );
    // Visitors find none of it.
    for path in ["/metrics", "/livez", "/readyz", "/healthz"] {
        assert_eq!(visitor(&proxy).opens(path).await.status, 404);
    }
    assert!(raw(proxy.admin, b"nonsense\r\n\r\n").await.starts_with(b"HTTP/1.1 400"));
    let (code, said) = runs(&["health", "--admin", &proxy.admin.to_string()]);
    assert!(code == 0 && said.contains("ready"), "{code} {said}");
    let address = proxy.admin.to_string();
    drop(proxy.stop().await);
    assert_eq!(runs(&["health", "--admin", &address]).0, 69);
}

#[tokio::test(flavor = "multi_thread")]
async fn g9_metrics_count_everything_and_name_nobody() {
    let html = "<script src=//ads.acme.example/secret-path/p.js?id=7></script><img src=//stats.acme.example/i.gif>";
    let origin = origin()
        .page("/private-page", html)
        .answer("/api", |_| {
            Response::builder()
                .header("content-type", "application/json")
                .body(Full::from("{}"))
                .unwrap()
        })
        .start()
        .await;
    let proxy = consentry(&origin).start().await;
    for number in 0..30 {
        let mut visitor = visitor(&proxy)
            .at_host(&format!("host-{number}.example"))
            .sending("user-agent", "Unusual/1.0")
            .sending("x-forwarded-for", &format!("203.0.113.{number}"));
        visitor.opens("/private-page?token=topsecret").await;
        visitor.opens(&format!("/api/{number}")).await;
        visitor.asks("BREW", "/api", &[], "").await;
    }
    let (_, metrics) = admin(proxy.admin, "/metrics").await;
    for expected in [
        "consentry_decisions_total{site=\"default\",verdict=\"block\",purpose=\"marketing\",kind=\"script\",layer=\"html\"} 30",
        "consentry_decisions_total{site=\"default\",verdict=\"block\",purpose=\"analytics\",kind=\"image\",layer=\"html\"} 30",
        "consentry_exchanges_total{site=\"default\",class=\"d\",status=\"200\"} 60",
        "consentry_exchanges_total{site=\"default\",class=\"d\",status=\"404\"} 30",
        "consentry_entries_lost 0",
        "http_server_request_duration_seconds_count 90",
    ] {
        assert!(metrics.contains(expected), "{expected} is not in {metrics}");
    }
    // Whose address the operator wrote is the operator's business.
    let is_of_visitors = |line: &&str| !line.starts_with("consentry_origin_");
    let metrics: Vec<_> = metrics.lines().filter(is_of_visitors).collect();
    let metrics = metrics.join("\n");
    for never in [
        "acme",
        "example",
        "private-page",
        "topsecret",
        "203.0.113",
        "Unusual",
        "BREW",
        "127.0.0.1",
        "/api",
    ] {
        assert!(!metrics.contains(never), "{never} is in {metrics}");
    }
    assert!(metrics.lines().count() < 120, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_json_where_nobody_sits_in_front_of_them() {
    let setup = Setup::new(NOWHERE, "[log]\nlevel = 'debug'");
    let mut program = setup.start();
    assert_eq!(Wire::to(program.address).await.asks("GET", "/", "").await.status, 502);
    let failed: serde_json::Value = serde_json::from_str(&program.says("exchange failed")).unwrap();
    assert_eq!(
        (&failed["level"], &failed["fault"], &failed["reason"]),
        (&"WARN".into(), &"origin".into(), &"unreachable".into()),
        "{failed}"
    );
    program.signal("TERM");
    program.ends();
    for line in program.log() {
        let line: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flag_is_enough_to_serve() {
    let origin = origin().page("/", "<p>Hello</p>").start().await;
    let directory = tempfile::tempdir().unwrap();
    let url = format!("http://{}", origin.address);
    let words = ["serve", "--origin", &url, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let program = Program::start(consentry_command(&words).current_dir(directory.path()));
    assert!(
        Wire::to(program.address)
            .await
            .asks("GET", "/", "")
            .await
            .text()
            .starts_with("<p>Hello</p>")
    );
    assert!(directory.path().join("consentry-data/ledger.db").exists());
    for line in program.log() {
        assert!(line.starts_with('{'), "{line}");
    }
}
