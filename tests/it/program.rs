//! Runs the real program, as an operator would.

use crate::harness::CATALOGUE;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program with a few words behind it, and nothing set around it.
pub(crate) fn consentry_command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consentry"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CONSENTRY_") {
            command.env_remove(name);
        }
    }
    command.args(words).stdin(Stdio::null());
    command
}

/// Runs it to its end: the exit code, and everything it says.
pub(crate) fn runs(words: &[&str]) -> (i32, String) {
    let output = consentry_command(words).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(said).unwrap())
}

/// A directory with a configuration, for a program that is about to start.
pub(crate) struct Setup {
    pub(crate) directory: TempDir,
}

impl Setup {
    /// A file with more sections and the origin of its one site.
    pub(crate) fn new(origin: SocketAddr, sections: &str) -> Self {
        let setup = Self { directory: TempDir::new().unwrap() };
        std::fs::write(setup.file("vendors.toml"), CATALOGUE).unwrap();
        setup.configure(origin, sections);
        setup
    }

    pub(crate) fn configure(&self, origin: SocketAddr, sections: &str) {
        let catalogue = self.file("vendors.toml");
        let text = format!(
            "[catalogue]\nfiles = [{catalogue:?}]\n{sections}\n[[site]]\norigin = \"http://{origin}\"\n"
        );
        // In one step: whoever watches it must not find half of it.
        std::fs::write(self.file("consentry.fresh"), text).unwrap();
        std::fs::rename(self.file("consentry.fresh"), self.file("consentry.toml")).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.file("data/ledger.db")
    }

    /// The words that serve it on free ports.
    pub(crate) fn words(&self) -> Vec<String> {
        let (config, ledger) = (self.file("consentry.toml"), self.ledger());
        let words = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"];
        let mut words: Vec<_> = words.map(str::to_owned).into();
        words.push(config.to_str().unwrap().to_owned());
        words.extend(["--ledger".to_owned(), ledger.to_str().unwrap().to_owned()]);
        words
    }

    /// Starts it and waits until it serves.
    pub(crate) fn start(&self) -> Program {
        let words = self.words();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        Program::start(consentry_command(&words).current_dir(self.directory.path()))
    }
}

/// The program while it runs; killed when dropped.
pub(crate) struct Program {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with_output(command.stdout(Stdio::null()))
    }

    /// The same where its standard output is somebody's.
    pub(crate) fn start_with_output(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (lines, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut program = Self { child, log, address: nowhere, admin: nowhere };
        let serving = program.says("serving");
        let serving: serde_json::Value = serde_json::from_str(&serving).unwrap();
        program.address = serving["listen"].as_str().unwrap().parse().unwrap();
        program.admin = serving["admin"].as_str().unwrap().parse().unwrap();
        program
    }

    /// Waits until it says something, and gives the whole line back.
    pub(crate) fn says(&mut self, text: &str) -> String {
        let since = Instant::now();
        loop {
            let line = self.log().into_iter().find(|line| line.contains(text));
            if let Some(line) = line {
                return line;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && since.elapsed() < PATIENCE,
                "`{text}` is not said, but {:?} {ended:?}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has it read its configuration again, and waits until that is done.
    pub(crate) fn reloads(&mut self) {
        self.reads_again("configuration reloaded");
    }

    /// Has it read its configuration again, waits until that is refused, and
    /// gives the line back that says so.
    pub(crate) fn refuses_to_reload(&mut self) -> String {
        self.reads_again("configuration not reloaded")
    }

    fn reads_again(&mut self, outcome: &str) -> String {
        // Not one that came of a file that changed: that may have seen half of it.
        let told = |program: &Self| {
            let by_signal =
                |line: &String| line.contains(outcome) && line.contains(r#""cause":"SIGHUP""#);
            program.log().into_iter().filter(by_signal).collect::<Vec<_>>()
        };
        let before = told(self).len();
        self.signal("HUP");
        let since = Instant::now();
        loop {
            if let Some(line) = told(self).into_iter().nth(before) {
                return line;
            }
            assert!(since.elapsed() < PATIENCE, "no `{outcome}`, but {:?}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it has said something so many times.
    pub(crate) fn says_times(&self, text: &str, times: usize) {
        let since = Instant::now();
        while self.times(text) < times {
            assert!(since.elapsed() < PATIENCE, "not {times} times `{text}`: {:?}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How often it has said something.
    pub(crate) fn times(&self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }

    /// What it has said so far, line by line.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal: `TERM`, `HUP`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Its number among the processes.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < PATIENCE, "it does not end: {:?}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything in a directory, however deep: the files' paths and bytes.
pub(crate) fn files_under(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_under(&path)),
            false => files.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    files
}
