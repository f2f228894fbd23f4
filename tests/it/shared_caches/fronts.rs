//! nginx and Varnish, each in an empty directory and on a port of its own, set
//! up by the very files that the guide shows.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const NGINX: &str = include_str!("../../../config/caches/nginx.conf");
pub(crate) const VARNISH: &str = include_str!("../../../config/caches/default.vcl");

/// Longer than either takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server in front; it ends when dropped.
pub(crate) struct Front {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
    directory: TempDir,
}

impl Front {
    /// None where nginx is not here.
    pub(crate) fn nginx(proxy: SocketAddr) -> Option<Self> {
        let program = found("nginx")?;
        let (directory, address) = (TempDir::with_prefix("consentry-nginx-").unwrap(), free());
        let path = directory.path();
        let site = replaced(
            NGINX,
            &[
                ("server 127.0.0.1:8080;", &format!("server {proxy};")),
                ("listen 80;", &format!("listen {address};")),
                ("/var/cache/nginx/consentry", &path.join("cache").display().to_string()),
            ],
        );
        std::fs::write(path.join("site.conf"), site).unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("    {name}_temp_path {};\n", path.join(name).display()))
            .concat();
        // Whoever runs the test owns the directory; without rights nginx says no word about it.
        let user = if is_root() { "user root;\n" } else { "" };
        let main = format!(
            "{user}daemon off;\npid {0}/pid;\nerror_log {0}/log;\nworker_processes 1;\nevents {{ worker_connections 512; }}\n\
             http {{\n    access_log off;\n{temporary}    include {0}/site.conf;\n}}\n",
            path.display()
        );
        std::fs::write(path.join("nginx.conf"), main).unwrap();
        let mut command = Command::new(program);
        command.arg("-e").arg(path.join("log")).arg("-c").arg(path.join("nginx.conf"));
        Some(Self::started("nginx", command, address, directory))
    }

    /// None where Varnish is not here.
    pub(crate) fn varnish(proxy: SocketAddr) -> Option<Self> {
        let program = found("varnishd")?;
        let (directory, address) = (TempDir::with_prefix("consentry-varnish-").unwrap(), free());
        let vcl = replaced(
            VARNISH,
            &[
                (".host = \"127.0.0.1\";", &format!(".host = \"{}\";", proxy.ip())),
                (".port = \"8080\";", &format!(".port = \"{}\";", proxy.port())),
            ],
        );
        let file = directory.path().join("default.vcl");
        std::fs::write(&file, vcl).unwrap();
        let mut command = Command::new(program);
        command.args(["-F", "-j", "none", "-s", "malloc,64m", "-T", "none", "-a"]);
        command.arg(address.to_string()).arg("-f").arg(file);
        command.arg("-n").arg(directory.path().join("work"));
        Some(Self::started("Varnish", command, address, directory))
    }

    fn started(
        name: &'static str,
        mut command: Command,
        address: SocketAddr,
        directory: TempDir,
    ) -> Self {
        let said = std::fs::File::create(directory.path().join("said")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        Self { name, address, child, directory }
    }

    /// Waits until it takes connections.
    pub(crate) async fn is_up(&self) {
        let since = Instant::now();
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            assert!(since.elapsed() < PATIENCE, "{} does not start: {}", self.name, self.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn said(&self) -> String {
        ["said", "log"]
            .map(|name| {
                std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
            })
            .concat()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // Both have a parent that ends its children when it is asked to.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-s", "TERM", &id]).status();
        let since = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && since.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program; says so when it is not here, and fails where everything is
/// required.
fn found(name: &'static str) -> Option<std::path::PathBuf> {
    let folders = std::env::var("PATH").unwrap_or_default();
    let found = folders
        .split(':')
        .chain(["/usr/sbin"])
        .map(|folder| Path::new(folder).join(name))
        .find(|program| program.is_file());
    if found.is_none() {
        let required = std::env::var_os("CONSENTRY_REQUIRE").is_some_and(|what| what == "all");
        assert!(!required, "{name} is missing; apt-get install nginx varnish");
        println!("skipped: {name} not found; apt-get install nginx varnish");
    }
    found
}

/// The text with other values; each must have been in it.
fn replaced(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` is gone");
        text.replace(from, to)
    })
}

/// A port below those that connections go out from, and nobody else's.
fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 8_000).unwrap();
    let port = (0..8_000)
        .map(|_| 12_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 8_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    SocketAddr::from(([127, 0, 0, 1], port.unwrap()))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|said| said.stdout == b"0\n")
}
