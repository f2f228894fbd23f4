//! A PostgreSQL of our own, on a free port and an empty directory, for as long
//! as a test runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where Debian puts each version of it.
const VERSIONS: &str = "/usr/lib/postgresql";

/// A port that is free, and that nobody is given while the server is down: it
/// is below those that connections go out from.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16;
    (0..)
        .map(|_| 20_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// The newest version that is here.
fn newest() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(VERSIONS)
        .ok()?
        .filter_map(|version| {
            let version = version.ok()?;
            Some((version.file_name().to_str()?.parse().ok()?, version.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().map(|(_, bin)| bin)
}

/// Its programs; says so when there is none, and fails where everything is
/// required.
fn programs() -> Option<PathBuf> {
    let newest = newest();
    if newest.is_none() {
        let required = std::env::var_os("CONSENTRY_REQUIRE").is_some_and(|what| what == "all");
        assert!(!required, "PostgreSQL is missing; apt-get install postgresql");
        println!("skipped: PostgreSQL is not here; apt-get install postgresql");
    }
    newest
}

/// A server, which ends when it is dropped, and nothing of it remains.
pub(crate) struct Postgres {
    programs: PathBuf,
    directory: TempDir,
    port: u16,
}

impl Postgres {
    /// Starts one in which `consentry` may do everything, with a password;
    /// none where PostgreSQL is not here.
    pub(crate) fn start() -> Option<Self> {
        let programs = programs()?;
        let directory = TempDir::with_prefix("consentry-pg-").unwrap();
        let postgres = Self { programs, directory, port: port() };
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(postgres.path()).status();
            assert!(owned.unwrap().success());
        }
        let password = postgres.path().join("password");
        std::fs::write(&password, "s3cret-word").unwrap();
        let made = postgres
            .program("initdb")
            .args([
                "-U",
                "consentry",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .arg(format!("--pwfile={}", password.display()))
            .arg("-D")
            .arg(postgres.cluster())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        postgres.up();
        Some(postgres)
    }

    /// Starts it, again.
    pub(crate) fn up(&self) {
        let options = format!(
            "-p {} -c unix_socket_directories='' -c listen_addresses=127.0.0.1 -c fsync=off \
             -c full_page_writes=off",
            self.port
        );
        let up = self
            .control()
            .arg("-l")
            .arg(self.path().join("log"))
            .args(["-w", "-o", &options, "start"])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(up.success(), "{:?}", std::fs::read_to_string(self.path().join("log")));
    }

    /// Stops it: `fast` in order, `immediate` without another word.
    pub(crate) fn down(&self, mode: &str) {
        let down = self.control().args(["-m", mode, "-w", "stop"]).stdout(Stdio::null()).status();
        assert!(down.unwrap().success());
    }

    /// Kills everything of it at once.
    pub(crate) fn kill(&self) {
        for process in self.processes() {
            // Its children end by themselves, and may be gone already.
            Command::new("kill").args(["-s", "KILL", &process]).status().unwrap();
        }
        let since = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            assert!(since.elapsed() < Duration::from_secs(60), "it does not die");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::remove_file(self.cluster().join("postmaster.pid")).unwrap();
    }

    /// Sends a signal to the server and all its children: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        for process in self.processes() {
            Command::new("kill").args(["-s", name, &process]).status().unwrap();
        }
    }

    /// The numbers of its processes, the server's own first.
    fn processes(&self) -> Vec<String> {
        let file = std::fs::read_to_string(self.cluster().join("postmaster.pid")).unwrap();
        let server = file.lines().next().unwrap().to_owned();
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().map(str::to_owned);
        std::iter::once(server).chain(children).collect()
    }

    /// The address of its database.
    pub(crate) fn url(&self) -> String {
        self.url_of("consentry", "s3cret-word")
    }

    /// The same for somebody else.
    pub(crate) fn url_of(&self, user: &str, password: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/postgres", self.port)
    }

    /// Has it speak TLS with this certificate.
    pub(crate) fn secure(&self, certificate: &Path, key: &Path) {
        for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = self.cluster().join(to);
            std::fs::copy(from, &to).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&to, mode).unwrap();
            if is_root() {
                let owned = Command::new("chown").arg("postgres").arg(&to).status();
                assert!(owned.unwrap().success());
            }
        }
        self.sql("ALTER SYSTEM SET ssl = on");
        self.down("fast");
        self.up();
    }

    /// Whether somebody may do that.
    pub(crate) fn may(&self, user: &str, password: &str, sql: &str) -> bool {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url_of(user, password)]);
        psql.output().unwrap().status.success()
    }

    /// Runs statements; gives what they answer, a line a row.
    pub(crate) fn sql(&self, sql: &str) -> Vec<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url()]);
        let said = psql.output().unwrap();
        assert!(said.status.success(), "{sql}: {said:?}");
        String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// The number that a statement answers with.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.sql(sql)[0].parse().unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn cluster(&self) -> PathBuf {
        self.path().join("cluster")
    }

    fn control(&self) -> Command {
        let mut control = self.program("pg_ctl");
        control.arg("-D").arg(self.cluster());
        control
    }

    /// It refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.cluster().join("postmaster.pid").exists() {
            let _ = self.control().args(["-m", "immediate", "-w", "stop"]).output();
        }
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
