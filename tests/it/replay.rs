//! `consentry record` and `consentry replay`: another policy is tried on what
//! the origin really answers, before any visitor meets it.

use crate::harness::{CATALOGUE, Origin, origin, visitor_at};
use crate::program::{consentry_command, files_under};

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use tempfile::TempDir;

/// The program while it records.
struct Recorder {
    child: Child,
    address: SocketAddr,
}

impl Recorder {
    fn start(directory: &Path, origin: &Origin) -> Self {
        let url = format!("http://{}", origin.address);
        let archive = directory.join("archive");
        let words = [
            "record",
            "--origin",
            &url,
            "--listen",
            "127.0.0.1:0",
            "--out",
            archive.to_str().unwrap(),
        ];
        let mut command = consentry_command(&words);
        let mut child = command.current_dir(directory).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let address = line.split_once("http://").unwrap().1.split('/').next().unwrap();
        let address = address.parse().unwrap();
        std::thread::spawn(move || said.lines().map_while(Result::ok).for_each(drop));
        Self { child, address }
    }

    fn ends(mut self) -> i32 {
        let id = self.child.id().to_string();
        assert!(
            std::process::Command::new("kill")
                .args(["-s", "TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PAGE: &str = "<p>Hello Ana, ana@mail.example</p>\
    <script src=\"https://ads.acme.example/a.js\"></script>\
    <script src=\"https://one.newcomer.example/x.js\"></script>\
    <script src=\"https://two.newcomer.example/x.js\"></script>\
    <img src=\"https://three.newcomer.example/x.gif\">";

async fn recorded() -> TempDir {
    let origin = origin()
        .page("/", PAGE)
        .answer("/orders/8812345678", |_| {
            http::Response::builder()
                .header("content-type", "text/html")
                .header("set-cookie", "_stats=secret-of-a-visitor; Path=/")
                .header("x-user", "secret-name")
                .body("<p>An order</p>".into())
                .unwrap()
        })
        .start()
        .await;
    let directory = TempDir::new().unwrap();
    let recorder = Recorder::start(directory.path(), &origin);
    for target in ["/", "/", "/orders/8812345678?token=secret-token&page=2"] {
        let fields = [("authorization", "Bearer secret-key"), ("cookie", "sid=secret-sid")];
        let page = visitor_at(recorder.address).asks("GET", target, &fields, "").await;
        assert_eq!(page.status, 200, "{target}");
    }
    assert_eq!(tokio::task::spawn_blocking(|| recorder.ends()).await.unwrap(), 0);
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn h5_nobody_is_asked_but_the_origin_whatever_a_path_looks_like() {
    let (shop, other) = (origin().start().await, origin().page("/x", "<p>Other").start().await);
    let directory = TempDir::new().unwrap();
    let recorder = Recorder::start(directory.path(), &shop);
    let target = format!("//{}/x", other.address);
    let fields = [("cookie", "sid=secret-sid")];
    let page = visitor_at(recorder.address).asks("GET", &target, &fields, "").await;
    assert!(!page.body.contains("Other"), "{}", page.body);
    assert!(other.seen().is_empty());
}

fn replays(directory: &Path, words: &[&str]) -> (i32, String) {
    let words = [&["replay", "archive"], words].concat();
    let output = consentry_command(&words).current_dir(directory).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(said).unwrap())
}

const NEWCOMER: &str = "\n[[vendor]]\nid = 'newcomer'\nname = 'Newcomer'\nowner = 'Newcomer'\n\
    purposes = ['marketing']\nabout = 'Ads.'\nsource = 'x'\nhosts = ['one.newcomer.example', 'two.newcomer.example', 'three.newcomer.example']\n";

#[tokio::test(flavor = "multi_thread")]
async fn h5_a_change_of_rules_says_what_it_would_block_and_allow_before_it_is_live() {
    let directory = recorded().await;
    let here = directory.path();
    std::fs::write(here.join("before.toml"), CATALOGUE).unwrap();
    // Three things become somebody's, and one becomes necessary.
    let after = CATALOGUE.replacen(
        "purposes = [\"marketing\"]",
        "purposes = [\"necessary\"]\nreason = \"It pays for all this.\"",
        1,
    );
    std::fs::write(here.join("after.toml"), format!("{after}{NEWCOMER}")).unwrap();
    let same = replays(here, &["--catalogue", "before.toml"]);
    assert_eq!(same.0, 0, "{}", same.1);
    assert!(same.1.contains("0 newly blocked, 0 newly allowed, in 2 answers"), "{}", same.1);
    let words = ["--catalogue", "before.toml", "--against-catalogue", "after.toml"];
    let (code, said) = replays(here, &words);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("3 newly blocked, 1 newly allowed, in 2 answers"), "{said}");
    assert!(said.contains("newly allowed  script      ads.acme.example/a.js"), "{said}");
    let (_, json) = replays(here, &[&words[..], &["--json"]].concat());
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["newly_blocked"], 3);
    let change = &document["changes"][0];
    assert_eq!(
        (&change["change"], &change["what"]),
        (&"newly allowed".into(), &"ads.acme.example/a.js".into())
    );
    assert!(!change["states"].as_array().unwrap().contains(&"all".into()), "{change}");

    // The same for a list, which the operator only gets from elsewhere.
    std::fs::write(here.join("list.txt"), "||three.newcomer.example^\n").unwrap();
    let words = ["--catalogue", "before.toml", "--against-lists", "list.txt"];
    let (code, said) = replays(here, &words);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("1 newly blocked, 0 newly allowed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h5_an_archive_knows_nobody() {
    let directory = recorded().await;
    let files = files_under(&directory.path().join("archive"));
    let bodies =
        files.iter().filter(|(path, _)| path.parent().unwrap().ends_with("bodies")).count();
    assert_eq!(bodies, 2, "each page once, however often it came");
    for (path, bytes) in &files {
        let text = std::str::from_utf8(bytes).unwrap();
        for personal in ["secret", "ana@mail.example", "8812345678", "127.0.0.1"] {
            assert!(!text.contains(personal), "{personal} in {}: {text}", path.display());
        }
    }
    let lines = std::fs::read_to_string(directory.path().join("archive/exchanges.jsonl")).unwrap();
    assert!(
        lines.contains("_stats=-; Path=/") && lines.contains("/orders/:id?token=&page="),
        "{lines}"
    );
}

#[test]
fn h5_what_is_no_archive_is_said() {
    let directory = TempDir::new().unwrap();
    let here = directory.path();
    assert_eq!(replays(here, &[]).0, 74);
    std::fs::create_dir(here.join("archive")).unwrap();
    std::fs::write(here.join("archive/archive.json"), "{\"consentry_archive\": 1}").unwrap();
    let line =
        "{\"target\": \"/\", \"status\": 200, \"headers\": [], \"body\": \"../../secret\"}\n";
    for (lines, why) in [
        ("", "nothing was recorded"),
        ("{\n", "exchanges.jsonl:1: it is no answer"),
        (line, "exchanges.jsonl:1: it names no body"),
    ] {
        std::fs::write(here.join("archive/exchanges.jsonl"), lines).unwrap();
        let (code, said) = replays(here, &[]);
        assert_eq!(code, 74, "{said}");
        assert!(said.contains(why), "{said}");
    }
}
