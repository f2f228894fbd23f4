//! The tests in `examples/` that sites start from: each is run where what runs
//! it is at hand.

use crate::dev::Dev;
use crate::harness::{Origin, origin};

use std::path::{Path, PathBuf};
use std::process::Command;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The shop of the examples.
async fn shop() -> Origin {
    let read = |name: &str| std::fs::read_to_string(examples().join("shop").join(name)).unwrap();
    let script = read("cart.js");
    let cart = move |_| {
        let answer = http::Response::builder().header("content-type", "text/javascript");
        answer.body(script.clone().into()).unwrap()
    };
    let pages = origin().page("/", &read("index.html")).page("/thanks.html", &read("thanks.html"));
    pages.answer("/cart.js", cart).start().await
}

/// Runs it to its end, elsewhere: it must end well.
async fn ends_well(mut command: Command) {
    let ended = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    assert!(ended.status.success(), "{said}");
}

/// Whether a program is there and can do that.
fn can(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).output().is_ok_and(|output| output.status.success())
}

/// Says that an example is left out, and why; fails where everything is required.
fn left_out(why: &str) {
    let required = std::env::var_os("CONSENTRY_REQUIRE").is_some_and(|what| what == "all");
    assert!(!required, "{why}");
    println!("skipped: {why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h7_the_example_with_curl_holds() {
    if !can("curl", &["--version"]) {
        return left_out("curl is not here; apt-get install curl");
    }
    let shop = shop().await;
    let dev = Dev::start(&shop.url(), &[]);
    let mut command = Command::new("sh");
    command.arg(examples().join("curl/check.sh")).arg(&dev.url);
    ends_well(command).await;
    // And it fails where something is not as it should be.
    let other = origin().page("/", "<p>No tags").page("/thanks.html", "<p>None").start().await;
    let dev = Dev::start(&other.url(), &[]);
    let mut command = Command::new("sh");
    command.arg(examples().join("curl/check.sh")).arg(&dev.url);
    let ended = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{:?}", String::from_utf8(ended.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn h7_the_example_with_pytest_holds() {
    // The system's has it where the first one in the path is somebody's own.
    let pythons = ["python3", "/usr/bin/python3"];
    let with_pytest = |python: &&&str| can(python, &["-m", "pytest", "--version"]);
    let Some(python) = pythons.iter().find(with_pytest) else {
        return left_out("pytest is not here; apt-get install python3-pytest");
    };
    let shop = shop().await;
    let dev = Dev::start(&shop.url(), &[]);
    let mut command = Command::new(python);
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).arg(examples().join("pytest"));
    command.env("SITE", &dev.url).env("PYTHONDONTWRITEBYTECODE", "1");
    ends_well(command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h7_the_example_with_playwright_holds() {
    let directory = examples().join("playwright");
    if !directory.join("node_modules/@playwright/test").exists() {
        return left_out("Playwright is not here; npm ci in examples/playwright");
    }
    if !crate::driver::is_here() {
        return;
    }
    let shop = shop().await;
    let dev = Dev::start(&shop.url(), &[]);
    let mut command = Command::new("npx");
    command.args(["playwright", "test"]).current_dir(directory);
    command.env("SITE", &dev.url).env("CHROMIUM", crate::driver::BROWSER);
    ends_well(command).await;
}
