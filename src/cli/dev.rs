//! `consentry dev`: the main job for who builds a site, on their own machine.
//!
//! Every decision is shown, and what was chosen is switched by an address or a
//! key. All of that hangs on one value, the workbench, that only this command
//! can make: `consentry serve` has neither a flag nor a key for it. It listens
//! on loopback alone, and nothing of a run is left when it ends.

mod answers;
mod authority;
mod bench;
mod journal;
mod lines;
mod pages;
mod switch;
mod tui;

use crate::cli::demo::{Directory, Stop, free};
use crate::cli::serve::Running;
use crate::cli::{CONFIGURATION, FINE, IO, UNAVAILABLE, USAGE, logging};
use crate::config::{self, Compiled, KeyMode, LogLevel, Overrides};
use crate::proxy::{TlsFiles, Workbench};
use crate::site::{Site, Sites};
use authority::Authority;
use bench::Bench;
use journal::Seen;

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// What can be said on the command line.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DevArgs {
    #[command(subcommand)]
    command: Option<DevCommand>,
    /// Where your site runs: http://localhost:3000, or a port alone
    #[arg(value_name = "ORIGIN")]
    site: Option<String>,
    /// The same, as `consentry serve` writes it
    #[arg(long, value_name = "URL", conflicts_with = "site")]
    origin: Option<String>,
    /// Where to open it; an address of this machine [default: 127.0.0.1:8080, or another port
    /// when that one is in use]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// A configuration to try; its sites answer to any host here
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A filter list in adblock syntax; may be given several times
    #[arg(long, value_name = "PATH|URL")]
    lists: Vec<PathBuf>,
    /// A catalogue file of your own; may be given several times
    #[arg(long, value_name = "PATH")]
    catalogue: Vec<PathBuf>,
    /// Serve https, with a certificate of this machine's own authority
    #[arg(long)]
    tls: bool,
    /// One more name of your own, for the certificate and for the panel, which is shown under
    /// localhost, *.test and names that you give; may be given several times
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Open it in a browser
    #[arg(long)]
    open: bool,
    /// A line of JSON for each exchange instead of the view in the terminal
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand, Debug)]
enum DevCommand {
    /// Say how to trust the certificates of `consentry dev --tls`
    Trust {
        /// Print the authority's certificate instead
        #[arg(long)]
        print: bool,
    },
}

/// A failure, and its exit code.
type Failed = (i32, String);

/// Where it listens as long as nobody says otherwise.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// How long an origin may take: on its first request it may build the page.
const BUILDING: Duration = Duration::from_secs(600);

/// So many exchanges wait for a reader that stands still; it misses the rest.
const UNREAD: usize = 1000;

/// How long such a reader is waited for at the end.
const READING: Duration = Duration::from_secs(1);

/// How long a stream of changes may be silent.
const SILENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs until told to stop; the exit code.
pub fn run(args: &DevArgs, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let result = match &args.command {
        Some(DevCommand::Trust { print }) => trust(*print, out),
        None => serve(args),
    };
    match result {
        Ok(()) => FINE,
        Err((code, message)) => {
            let _ = writeln!(err, "{message}");
            code
        }
    }
}

fn trust(print: bool, out: &mut dyn Write) -> Result<(), Failed> {
    let authority = Authority::of_user().map_err(|error| (IO, error.to_string()))?;
    let text = match print {
        true => std::fs::read_to_string(&authority.certificate)
            .map_err(|error| (IO, format!("{}: {error}", authority.certificate.display())))?,
        false => authority::instructions(&authority.certificate),
    };
    write!(out, "{text}").map_err(|error| (IO, error.to_string()))
}

fn serve(args: &DevArgs) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| (UNAVAILABLE, format!("no runtime: {error}")))?;
    let (tell, told) = mpsc::sync_channel(UNREAD);
    let in_terminal = !args.json && io::stdout().is_terminal() && io::stdin().is_terminal();
    let dev = runtime.block_on(Dev::open(args, (!in_terminal).then_some(tell), in_terminal))?;
    let note = if args.open { open_in_browser(&dev.url) } else { String::new() };
    if in_terminal {
        return show_in_terminal(dev, note, &runtime);
    }
    let welcome = match args.json {
        true => lines::welcome_json(&dev.url, &dev.origin),
        false => lines::welcome(&dev.url, &dev.origin, &note),
    };
    // Apart, so that a reader that stands still stops nothing, not even the end.
    let (as_json, (written, is_written)) = (args.json, mpsc::channel());
    std::thread::spawn(move || {
        lines::write(&welcome, told, as_json, &mut io::stdout());
        // Nobody may be waiting any more.
        let _ = written.send(());
    });
    let stopped = runtime.block_on(dev.until_stopped(std::future::pending()));
    let _ = is_written.recv_timeout(READING);
    stopped
}

/// Shows the view until somebody ends it there, or a signal comes.
fn show_in_terminal(dev: Dev, note: String, runtime: &Runtime) -> Result<(), Failed> {
    let (ended, bench, url) = (AtomicBool::new(false), Arc::clone(&dev.bench), dev.url.clone());
    let (over, is_over) = oneshot::channel();
    std::thread::scope(|scope| {
        let view = scope.spawn(|| {
            let shown = tui::run(bench, &url, note, &ended);
            // Whoever waits for it has ended already.
            let _ = over.send(());
            shown
        });
        let stopped = runtime.block_on(dev.until_stopped(async {
            let _ = is_over.await;
        }));
        ended.store(true, Ordering::Relaxed);
        let shown = view.join().unwrap_or_else(|_| Err(io::Error::other("it broke off")));
        shown.map_err(|error| {
            (IO, format!("the view in the terminal: {error}; --json needs none"))
        })?;
        stopped
    })
}

/// The running proxy, and who looks on.
struct Dev {
    bench: Arc<Bench>,
    running: Running,
    directory: Directory,
    stop: Stop,
    origin: String,
    url: String,
}

impl Dev {
    async fn open(
        args: &DevArgs,
        tell: Option<SyncSender<Seen>>,
        in_terminal: bool,
    ) -> Result<Self, Failed> {
        let listen = args.listen.unwrap_or_else(|| free(USUAL));
        check_loopback(listen)?;
        // Heard from here on, so that nothing is left behind whenever it comes.
        let stop = Stop::listen()
            .map_err(|error| (UNAVAILABLE, format!("cannot listen for signals: {error}")))?;
        let directory = Directory::make("dev").map_err(|message| (IO, message))?;
        let tls = args
            .tls
            .then(|| Authority::of_user()?.certify(&args.host, &directory.0))
            .transpose()
            .map_err(|error| (IO, error.to_string()))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let compiled = compile(args, listen, tls, &directory)?;
        let origin = written_origin(args).unwrap_or_else(|| first_origin(&compiled.sites));
        // What is said there would be drawn over the view.
        if !(in_terminal && io::stderr().is_terminal()) {
            logging::start(compiled.log);
        }
        for warning in &compiled.warnings {
            tracing::warn!("{warning}");
        }
        let bench = Arc::new(Bench::new(&origin, &args.host, tell));
        let beside = Arc::clone(&bench) as Arc<dyn Workbench>;
        let running = Running::start_beside(compiled, Default::default(), |_| {}, Some(beside));
        let mut running = running.await.map_err(|failure| (failure.code, failure.message))?;
        // Tomorrow there is no ledger that could keep a change.
        running.refuse_changes();
        let address = running.server.address();
        let host = match address.ip() {
            IpAddr::V4(Ipv4Addr::LOCALHOST) => "localhost".to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let url = format!("{scheme}://{host}:{}", address.port());
        Ok(Self { bench, running, directory, stop, origin, url })
    }

    /// Goes on until a signal comes, or `is_over` is.
    async fn until_stopped(self, is_over: impl Future<Output = ()>) -> Result<(), Failed> {
        let Self { bench, running, directory, mut stop, .. } = self;
        tokio::select! {
            () = stop.heard() => {}
            () = is_over => {}
        }
        bench.tell_no_more();
        let stopped = running.stop().await;
        drop(directory);
        stopped.map_err(|error| (IO, error.to_string()))
    }
}

/// Nobody but this machine: whoever reaches it can switch what was chosen and
/// read what was decided.
fn check_loopback(listen: SocketAddr) -> Result<(), Failed> {
    if listen.ip().is_loopback() {
        return Ok(());
    }
    Err((
        USAGE,
        format!(
            "--listen {listen}: `consentry dev` listens on loopback only (127.0.0.1, [::1]), since \
             whoever reaches it can switch what was chosen and read every decision; for others to \
             see the site, use `consentry serve`"
        ),
    ))
}

/// The origin as an address: a port alone is one of this machine.
fn written_origin(args: &DevArgs) -> Option<String> {
    let written = args.origin.as_ref().or(args.site.as_ref())?.trim();
    Some(match written {
        port if port.parse::<u16>().is_ok() => format!("http://localhost:{port}"),
        url if url.contains("://") => url.to_owned(),
        host => format!("http://{host}"),
    })
}

fn first_origin(sites: &Sites) -> String {
    let first = sites.iter().next().and_then(|site| site.origins.iter().next());
    first.map(|origin| origin.url.to_string()).unwrap_or_default()
}

/// The operator's configuration, or none, made fit for one person's machine:
/// nothing in it reaches others, and nothing is kept.
fn compile(
    args: &DevArgs,
    listen: SocketAddr,
    tls: Option<TlsFiles>,
    directory: &Directory,
) -> Result<Compiled, Failed> {
    let origin = written_origin(args);
    if origin.is_none() && args.config.is_none() {
        let message = "say where your site runs: `consentry dev http://localhost:3000`, or `consentry dev 3000`";
        return Err((USAGE, message.to_owned()));
    }
    let flags = Overrides {
        listen: Some(listen),
        admin: Some(SocketAddr::new(USUAL.ip(), 0)),
        origin,
        ledger: Some(directory.0.join("ledger.db")),
        lists: args.lists.clone(),
        catalogue: args.catalogue.clone(),
        ..Overrides::default()
    };
    let loaded =
        config::load(args.config.as_deref(), config::environment(), &flags, KeyMode::CheckOnly);
    let mut compiled = loaded.map_err(|mistakes| {
        let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        (CONFIGURATION, mistakes.join("\n"))
    })?;
    compiled.sites = answering_to_any_host(&compiled.sites)?;
    compiled.fleet = None;
    compiled.access_log = None;
    compiled.otlp = None;
    compiled.alerts.webhook = None;
    compiled.self_check.interval = Duration::ZERO;
    compiled.notes.clear();
    // What is decided is shown; the rest is of interest when it goes wrong.
    compiled.log.level = LogLevel::Warn;
    let proxy = &mut compiled.proxy;
    proxy.tls = tls.into_iter().collect();
    proxy.acme = None;
    proxy.redirect = None;
    proxy.hsts = None;
    proxy.proxy_protocol = false;
    proxy.workers = 1;
    // Every page is judged anew, so that every decision is seen.
    proxy.limits.memo_bytes = 0;
    proxy.timeouts.response_head = BUILDING;
    proxy.timeouts.response_body = SILENCE;
    proxy.timeouts.drain = Duration::from_secs(1);
    proxy.timeouts.drain_delay = Duration::ZERO;
    Ok(compiled)
}

/// The sites, of which the first answers to every host that none has.
fn answering_to_any_host(sites: &Sites) -> Result<Sites, Failed> {
    let mut open = Sites::default();
    let all: Vec<_> = sites.iter().collect();
    let has_any = all.iter().any(|site| site.hosts.is_empty());
    let first = all
        .first()
        .filter(|_| !has_any)
        .map(|first| Site { hosts: Vec::new(), ..(***first).clone() });
    for site in all.into_iter().map(|site| Site::clone(site)).chain(first) {
        open.insert(site).map_err(|error| (CONFIGURATION, error.to_string()))?;
    }
    Ok(open)
}

/// Opens an address in a browser; says so if that does not work.
fn open_in_browser(url: &str) -> String {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let opened = std::process::Command::new(program)
        .arg(url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    match opened {
        Ok(_) => String::new(),
        Err(error) => format!("No browser was opened: {program}: {error}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h3_only_loopback_is_listened_on() {
        for (listen, holds) in [
            ("127.0.0.1:8080", true),
            ("127.3.2.1:1", true),
            ("[::1]:8080", true),
            ("0.0.0.0:8080", false),
            ("[::]:8080", false),
            ("192.168.0.2:8080", false),
        ] {
            assert_eq!(check_loopback(listen.parse().unwrap()).is_ok(), holds, "{listen}");
        }
    }
}
