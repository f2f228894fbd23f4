//! A broken configuration never replaces a working one, and there is a way back
//! to what worked.

use crate::harness::{Origin, origin};
use crate::program::{Program, Setup, consentry_command, runs};
use crate::wire::Wire;

use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

async fn saying(text: &str) -> Origin {
    origin().page("/", &format!("<p>{text}</p>")).start().await
}

async fn page(program: &Program) -> String {
    Wire::to(program.address).await.asks("GET", "/", "").await.text().to_owned()
}

fn on(words: &[&str], setup: &Setup) -> (i32, String) {
    let (config, ledger) = (setup.file("consentry.toml"), setup.ledger());
    let more = ["--config", config.to_str().unwrap(), "--ledger", ledger.to_str().unwrap()];
    runs(&[words, &more].concat())
}

fn history(setup: &Setup) -> Vec<String> {
    let (code, said) = on(&["config", "history"], setup);
    assert_eq!(code, 0, "{said}");
    said.lines().map(str::to_owned).collect()
}

fn started(setup: &Setup, more: &[&str]) -> Program {
    let words = setup.words();
    let words: Vec<_> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Program::start(consentry_command(&words).current_dir(setup.directory.path()))
}

/// Runs `serve` where it cannot begin.
fn refused(setup: &Setup) -> (i32, String) {
    let words = setup.words();
    runs(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_a_broken_file_does_not_start_and_the_one_that_worked_does_until_it_is_mended() {
    let (one, two) = (saying("one").await, saying("two").await);
    let setup = Setup::new(one.address, "");
    setup.configure(one.address, "[listner]\naddress = 'x'");
    let (code, said) = refused(&setup);
    assert!(code == 78 && !said.contains("--last-good"), "nothing worked yet: {said}");
    setup.configure(one.address, "");
    drop(started(&setup, &[]));
    setup.configure(two.address, "[listner]\naddress = 'x'");
    let (code, said) = refused(&setup);
    assert_eq!(code, 78, "{said}");
    for part in ["consentry.toml:3:2", "`--last-good`", "consentry config rollback --config"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let mut program = started(&setup, &["--last-good"]);
    assert!(page(&program).await.contains("one"), "{:?}", program.log());
    program.says("started with the one that worked last");
    setup.configure(two.address, "");
    let since = Instant::now();
    while !page(&program).await.contains("two") {
        assert!(since.elapsed() < PATIENCE, "the mended file is taken: {:?}", program.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_what_worked_is_listed_and_put_back_and_what_was_replaced_is_kept() {
    let origin = saying("page").await;
    let setup = Setup::new(origin.address, "# the first");
    let mut program = setup.start();
    let first = text(&setup.file("consentry.toml"));
    setup.configure(origin.address, "# the second");
    program.reloads();
    let second = text(&setup.file("consentry.toml"));
    setup.configure(origin.address, "[listner]\naddress = 'x'");
    program.signal("HUP");
    program.says("configuration not reloaded");
    let broken = text(&setup.file("consentry.toml"));
    // The newest is kept a moment after it was taken.
    let since = Instant::now();
    while history(&setup).len() < 2 {
        assert!(since.elapsed() < PATIENCE, "{:?}", history(&setup));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(history(&setup).len(), 2, "the broken one never worked: {:?}", history(&setup));
    let (code, said) = on(&["config", "rollback"], &setup);
    assert_eq!((code, text(&setup.file("consentry.toml"))), (0, second.clone()), "{said}");
    assert_eq!(text(&setup.file("consentry.toml.replaced-1")), broken, "{said}");
    assert!(said.contains("consentry.toml.replaced-1"), "{said}");
    assert!(history(&setup)[0].ends_with("as in the file"), "{:?}", history(&setup));
    let (code, said) = on(&["config", "rollback"], &setup);
    assert_eq!((code, text(&setup.file("consentry.toml"))), (0, first), "{said}");
    assert_eq!(text(&setup.file("consentry.toml.replaced-2")), second, "{said}");
    let (code, said) = on(&["config", "rollback", "9"], &setup);
    assert!(code == 1 && said.contains("`consentry config history` lists them"), "{code} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_what_would_not_start_any_more_is_not_put_back() {
    let origin = saying("page").await;
    let setup = Setup::new(origin.address, "# the first");
    drop(setup.start());
    setup.configure(origin.address, "# the second");
    drop(setup.start());
    std::fs::remove_file(setup.file("vendors.toml")).unwrap();
    let before = text(&setup.file("consentry.toml"));
    let (code, said) = on(&["config", "rollback"], &setup);
    assert!(code == 78 && said.contains("nothing was replaced"), "{code} {said}");
    assert_eq!(text(&setup.file("consentry.toml")), before);
    assert!(!setup.file("consentry.toml.replaced-1").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_a_check_says_what_a_reload_would_change_and_changes_nothing() {
    let origin = saying("page").await;
    let setup = Setup::new(origin.address, "[limits]\nconnections = 70");
    let check = |against: &str| {
        let (config, ledger) = (setup.file("consentry.toml"), setup.ledger());
        let mut command = consentry_command(&[
            "check",
            "--against",
            against,
            "--config",
            config.to_str().unwrap(),
        ]);
        let output = command.env("CONSENTRY_LEDGER__FILE", ledger).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), said)
    };
    let (code, said) = check("running");
    assert!(code == 78 && said.contains("no proxy has served with a file"), "{code} {said}");
    let program = setup.start();
    let (code, said) = check("running");
    assert!(code == 0 && said.contains("nothing would change"), "{code} {said}");
    let old = setup.file("old.toml");
    std::fs::copy(setup.file("consentry.toml"), &old).unwrap();
    let more = "[reload]\nwatch = false\n[limits]\nconnections = 77\n[notice]\nlanguage = 'de'";
    setup.configure(origin.address, more);
    for against in ["running", old.to_str().unwrap()] {
        let (code, said) = check(against);
        assert_eq!(code, 0, "{said}");
        for part in [
            "limits: connections is 70 and would be 77 (needs a restart)",
            "notice: language is \"en\" and would be \"de\"",
            "reload: watch is true and would be false",
        ] {
            assert_eq!(said.matches(part).count(), 1, "{part}: {said}");
        }
        assert_eq!(said.matches(" and would be ").count(), 3, "{said}");
        // It may have been taken meanwhile: then there is nothing to compare.
        if against == "running" && history(&setup).len() > 1 {
            break;
        }
    }
    drop(program);
}

#[test]
fn h9_what_holds_is_shown_with_who_set_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.toml");
    let text = "[ledger]\npostgres_url = 'postgres://me:s3cret@db.example/x'\n[[site]]\nname = 'shop'\norigin = 'http://127.0.0.1:1'\n";
    std::fs::write(&file, text).unwrap();
    let words = ["config", "show", "--config", file.to_str().unwrap(), "--admin", "127.0.0.1:9"];
    let said = |more: &[&str]| {
        let mut command = consentry_command(&[&words, more].concat());
        let output = command.env("CONSENTRY_LIMITS__CONNECTIONS", "9").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let shown = said(&[]);
    let squeezed: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let file = file.display();
    for line in [
        "address = \"127.0.0.1:9\" # --admin".to_owned(),
        "connections = 9 # CONSENTRY_LIMITS__CONNECTIONS".to_owned(),
        format!("name = \"shop\" # {file}:4"),
        "mode = \"enforce\" # default".to_owned(),
        format!("postgres_url = \"...\" # {file}:2"),
    ] {
        assert!(squeezed.contains(&line), "{line}\n{shown}");
    }
    assert!(!shown.contains("s3cret"), "{shown}");
    let table: toml::Table = shown.parse().unwrap();
    assert_eq!(table["site"][0]["origin"].as_str(), Some("http://127.0.0.1:1"), "it is TOML");
    let json: serde_json::Value = serde_json::from_str(&said(&["--json"])).unwrap();
    let sections = json["sections"].as_array().unwrap();
    let limits = sections.iter().find(|section| section["section"] == "[limits]").unwrap();
    let connections = limits["settings"].as_array().unwrap();
    let connections = connections.iter().find(|each| each["key"] == "connections").unwrap();
    assert_eq!(connections["value"], 9);
    assert_eq!(connections["by"], "CONSENTRY_LIMITS__CONNECTIONS");
}
