//! Speaks with a browser's developer tools over two pipes
//! (<https://chromedevtools.github.io/devtools-protocol/>): no port that
//! somebody else on this machine could connect to.

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::DirBuilder;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long an answer to a command may take. Nothing of the page's is waited
/// for in that.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a profile is tried to be taken away: what the browser started may
/// outlive it for a moment.
const TRIES: u32 = 50;

/// The browser reads on descriptor 3 and writes on 4.
const START: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;

const ARGUMENTS: [&str; 14] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--disable-breakpad",
    "--disable-sync",
    "--mute-audio",
    "--window-size=1280,900",
];

/// A browser, and what it says. It ends when this is dropped, with everything
/// that it started.
#[derive(Debug)]
pub(super) struct Pipe {
    child: Child,
    commands: Option<ChildStdin>,
    said: Receiver<Value>,
    /// What it said while an answer was waited for.
    events: VecDeque<Value>,
    last: u64,
    // Dropped last: it is the browser's as long as that runs.
    profile: Profile,
}

impl Pipe {
    /// Starts a browser with a fresh profile.
    pub(super) fn start(browser: &Path) -> anyhow::Result<Self> {
        let profile = Profile::make()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", START])
            .arg(browser)
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", profile.0.display()))
            // Whatever it leaves lying about goes with its profile.
            .env("HOME", &profile.0)
            .env("TMPDIR", &profile.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        if rustix::process::geteuid().is_root() {
            // It refuses to run as root otherwise: containers of CI are like that.
            command.arg("--no-sandbox");
        }
        let mut child = command.arg("about:blank").spawn().context("the browser cannot start")?;
        let (commands, answers) = (child.stdin.take(), child.stdout.take());
        let (says, said) = mpsc::channel();
        let answers = answers.context("the browser has no pipe")?;
        std::thread::spawn(move || {
            let mut answers = BufReader::new(answers);
            loop {
                let mut message = Vec::new();
                let ended = !matches!(answers.read_until(0, &mut message), Ok(1..));
                message.pop();
                let heard = serde_json::from_slice(&message)
                    .is_ok_and(|value: Value| says.send(value).is_ok());
                if ended || !heard {
                    return;
                }
            }
        });
        Ok(Self { child, commands, said, events: VecDeque::new(), last: 0, profile })
    }

    /// Gives a command and waits for its answer.
    pub(super) fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> anyhow::Result<Value> {
        let id = self.tell(session, method, params)?;
        let until = Instant::now() + PATIENCE;
        loop {
            let Some(mut message) = self.hear(until)? else {
                bail!("the browser does not answer to {method}");
            };
            if message.get("id").and_then(Value::as_u64) != Some(id) {
                self.events.push_back(message);
                continue;
            }
            if let Some(error) = message.get("error") {
                bail!("the browser refuses {method}: {error}");
            }
            return Ok(message.get_mut("result").map(Value::take).unwrap_or_default());
        }
    }

    /// Gives a command and does not wait; its answer is passed over.
    pub(super) fn tell(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> anyhow::Result<u64> {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let (Some(session), Some(message)) = (session, message.as_object_mut()) {
            message.insert("sessionId".to_owned(), session.into());
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        let commands = self.commands.as_mut().context("the browser has ended")?;
        commands.write_all(&bytes).and_then(|()| commands.flush()).context("the browser ended")?;
        Ok(self.last)
    }

    /// What happens next, if something does until then.
    pub(super) fn event(&mut self, until: Instant) -> anyhow::Result<Option<Value>> {
        match self.events.pop_front() {
            Some(event) => Ok(Some(event)),
            None => self.hear(until),
        }
    }

    fn hear(&mut self, until: Instant) -> anyhow::Result<Option<Value>> {
        match self.said.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the browser ended"),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Its own children are in its group.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.profile.remove();
    }
}

/// A directory of the browser's own.
#[derive(Debug)]
struct Profile(PathBuf);

impl Profile {
    fn make() -> anyhow::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random name: {error}"))?;
        let name = format!("consentry-audit-{:016x}", u64::from_be_bytes(random));
        let path = std::env::temp_dir().join(name);
        // Ours alone: in a directory for everybody, somebody else may be first.
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }

    fn remove(&self) {
        for _ in 0..TRIES {
            match std::fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Ok(()) | Err(_) => return,
            }
        }
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // Where the browser could not even start.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
