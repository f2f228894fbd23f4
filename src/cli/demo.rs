//! `consentry demo`: the main job with nothing but the binary.

use crate::catalogue::{Catalogue, SourceFile};
use crate::cli::serve::Running;
use crate::cli::{FINE, UNAVAILABLE};
use crate::config::{self, Compiled, KeyMode, Overrides};
use crate::demo::{StandIns, Storefront};
use crate::ledger::{self, Entry, plain};
use crate::policy::{Decision, Grounds, Policy, Unlisted, Verdict};
use crate::site::{Notice, Site, Sites};

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where the demo listens.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Where to open the shop; another port is taken when this one is in use
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where health and metrics are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9180")]
    pub admin: SocketAddr,
}

/// What the vendors' stand-ins are called: `*.localhost` is loopback in every
/// browser and in curl (RFC 6761, 6.3).
const STAND_IN_SUFFIX: &str = ".localhost";

/// How many vendors' tags stand on the shop's first page.
const VENDORS: usize = 17;

/// No column is padded further than this, and no vendor's name is longer: one
/// of them must not push the reason off every line.
const WIDEST: [usize; 6] = [5, 15, 28, 15, 44, 16];

/// Runs until interrupted; the exit code.
pub fn run(args: &DemoArgs, out: &mut (dyn Write + Send)) -> i32 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(out, "no runtime: {error}");
            return UNAVAILABLE;
        }
    };
    let (says, said) = mpsc::channel::<String>();
    std::thread::scope(|scope| {
        // Apart, so that a terminal that stands still does not stop the shop.
        scope.spawn(move || {
            for text in said {
                let _ = write!(out, "{text}").and_then(|()| out.flush());
            }
        });
        let code = match runtime.block_on(show(args, &says)) {
            Ok(()) => FINE,
            Err(message) => {
                say(&says, format!("{message}\n"));
                UNAVAILABLE
            }
        };
        // Then the other thread knows that there is no more to come.
        drop(says);
        code
    })
}

fn say(says: &Sender<String>, text: String) {
    // If nobody can hear it, the demo is still right.
    let _ = says.send(text);
}

async fn show(args: &DemoArgs, says: &Sender<String>) -> Result<(), String> {
    // Heard from here on, so that nothing is left behind whenever it comes.
    let mut stop = Stop::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let decisions = says.clone();
    let demo = Demo::open(args, move |entry| say(&decisions, describe(entry))).await?;
    say(says, format!("{}\n", demo.welcome()));
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let mut counted = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let total = demo.stand_ins.total();
                if total != counted {
                    let new = requests(total - counted);
                    say(says, format!("      stand-ins: {new} reached vendors, {total} in all\n"));
                    counted = total;
                }
            }
            () = stop.heard() => break,
        }
    }
    let hits = requests(demo.stand_ins.total());
    let closed = demo.close().await;
    say(says, format!("\nThe demo has ended; {hits} reached vendors.\n"));
    if let Err(error) = closed {
        say(says, format!("{error}\n"));
    }
    Ok(())
}

/// `1 request`, `7 requests`.
fn requests(count: u64) -> String {
    format!("{count} request{}", if count == 1 { "" } else { "s" })
}

/// Somebody wants us to end: Ctrl-C, or SIGTERM.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn heard(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A shop, its vendors' stand-ins, and consentry in front of it.
#[derive(Debug)]
pub struct Demo {
    /// Who counts what reaches vendors.
    pub stand_ins: StandIns,
    /// The shop as it is.
    pub shop: Storefront,
    /// The proxy.
    pub running: Running,
    directory: Directory,
}

impl Demo {
    /// Opens the demo; `tap` is shown every entry of its ledger.
    ///
    /// # Errors
    /// When a part of it cannot start; then nothing runs and nothing is left.
    pub async fn open(
        args: &DemoArgs,
        tap: impl Fn(&Entry) + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let stand_ins = StandIns::start()
            .await
            .map_err(|error| format!("the vendors' stand-ins cannot start: {error}"))?;
        let shop = Storefront::start(&stand_ins)
            .await
            .map_err(|error| format!("the shop cannot start: {error}"))?;
        let directory = Directory::make("demo")?;
        let compiled = compile(args, shop.address, &directory.0)?;
        let mut running =
            Running::start_with(compiled, Default::default(), |ledger| ledger.tap(Box::new(tap)))
                .await
                .map_err(|failure| failure.message)?;
        // There is no configuration to change, and tomorrow no ledger.
        running.refuse_changes();
        Ok(Self { stand_ins, shop, running, directory })
    }

    /// Ends it, and takes its directory away.
    ///
    /// # Errors
    /// When the ledger could not take everything in.
    pub async fn close(self) -> Result<(), ledger::Error> {
        let Self { running, directory, .. } = self;
        let stopped = running.stop().await;
        drop(directory);
        stopped
    }

    fn welcome(&self) -> String {
        let public = self.running.server.address();
        format!(
            "A tea shop with the tags of {VENDORS} vendors is open, and consentry stands in front of it.\n\n\
             \x20 the shop, through consentry   http://{public}/\n\
             \x20 the shop as it is             http://{}/   (careful: here every tag runs)\n\
             \x20 your choices                  http://{public}/.consentry/choices\n\
             \x20 the dashboard, once           {}\n\
             \x20 the block log                 consentry log --ledger {}\n\n\
             The tags point at stand-ins on this machine (*.localhost:{}), which count what reaches them.\n\
             Open the shop; every decision appears here. Ctrl-C ends the demo.\n",
            self.shop.address,
            self.running.admin.link().unwrap_or_default(),
            self.directory.0.join("ledger.db").display(),
            self.stand_ins.address.port(),
        )
    }
}

/// A directory of our own that goes when we do.
#[derive(Debug)]
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn make(command: &str) -> Result<Self, String> {
        let fail = |error: &dyn std::fmt::Display| format!("no directory for the ledger: {error}");
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| fail(&error))?;
        let name = format!("consentry-{command}-{:016x}", u64::from_be_bytes(random));
        let path = std::env::temp_dir().join(name);
        // Ours alone: in a directory for everybody, somebody else may be first.
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| fail(&error))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The configuration of the demo: the embedded catalogue, which here also
/// knows the vendors by the names of their stand-ins.
fn compile(args: &DemoArgs, shop: SocketAddr, directory: &Path) -> Result<Compiled, String> {
    let flags = Overrides {
        listen: Some(free(args.listen)),
        admin: Some(free(args.admin)),
        origin: Some(format!("http://{shop}")),
        ledger: Some(directory.join("ledger.db")),
        ..Overrides::default()
    };
    let join = |mistakes: Vec<crate::mistake::Mistake>| {
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let mut compiled =
        config::load(None, std::iter::empty(), &flags, KeyMode::Create).map_err(join)?;
    let catalogue = Arc::new(
        Catalogue::with_stand_ins(&SourceFile::embedded(), STAND_IN_SUFFIX).map_err(join)?,
    );
    let mut sites = Sites::default();
    for site in compiled.sites.iter() {
        let policy = Policy::new(Arc::clone(&catalogue), Unlisted::Observe, &["demo"]);
        let notice = Notice { operator: "Kettle & Leaf".to_owned(), ..site.notice.clone() };
        sites
            .insert(Site { policy: policy.into(), notice, ..(**site).clone() })
            .map_err(|error| error.to_string())?;
    }
    compiled.sites = sites;
    Ok(compiled)
}

/// The address, or one with a free port where that one is taken.
pub(super) fn free(address: SocketAddr) -> SocketAddr {
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}

/// One exchange as the demo prints it: a line for the page, a line a decision,
/// in columns.
fn describe(entry: &Entry) -> String {
    let (page, class) = (plain::text(&entry.page), entry.class.class());
    let mut text = format!("{page}   visitor: {class} ({})\n", entry.signal);
    let rows: Vec<_> = entry.decisions.iter().map(row).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for ((width, cell), widest) in widths.iter_mut().zip(row).zip(WIDEST) {
            *width = (*width).max(cell.chars().count()).min(widest);
        }
    }
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(&format!("  {}\n", line.trim_end()));
    }
    text
}

fn row(decision: &Decision) -> [String; 6] {
    let vendor = decision.vendor.as_ref();
    let purpose = match decision.verdict {
        Verdict::Block(Grounds::NotGranted(purpose) | Grounds::VendorRefused(purpose)) => {
            purpose.name()
        }
        Verdict::Block(_) | Verdict::Allow(_) => vendor.map_or("-", |vendor| vendor.purpose.name()),
    };
    [
        decision.verdict.word().to_owned(),
        purpose.to_owned(),
        vendor.map_or_else(|| "-".to_owned(), |vendor| shortened(&vendor.name)),
        decision.kind.name().to_owned(),
        // Whom a tag means is what a reader wants to know.
        plain::text(&decision.what).replace(&format!("{STAND_IN_SUFFIX}/"), "/"),
        decision.verdict.reason().to_owned(),
    ]
}

fn shortened(name: &str) -> String {
    let [_, _, widest, ..] = WIDEST;
    match name.char_indices().nth(widest - 1) {
        Some((end, _)) if name.chars().count() > widest => {
            format!("{}…", name.get(..end).unwrap_or_default().trim_end())
        }
        Some(_) | None => name.to_owned(),
    }
}
