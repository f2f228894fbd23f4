//! `consentry record`: serves as the proxy does, and keeps what the origin
//! answers, so that another policy can be tried on it later.

mod relay;

use crate::cli::check::counted;
use crate::cli::demo::{Directory, Stop};
use crate::cli::serve::Running;
use crate::cli::{CONFIGURATION, FINE, IO, UNAVAILABLE};
use crate::config::{self, KeyMode, Overrides};
use relay::Relay;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use url::Url;

/// Keeps what an origin answers.
#[derive(Clone, Debug, clap::Args)]
pub struct RecordArgs {
    /// The origin
    #[arg(long, value_name = "URL")]
    pub origin: Url,
    /// Where to open the site
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The archive, a directory that is not there yet or holds one
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Authorities that are trusted, too, PEM
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Serves and records until it is interrupted; the exit code.
pub fn run(args: &RecordArgs, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(err, "no runtime: {error}");
            return UNAVAILABLE;
        }
    };
    match runtime.block_on(record(args, out)) {
        Ok(()) => FINE,
        Err((code, message)) => {
            let _ = writeln!(err, "consentry record: {message}");
            code
        }
    }
}

async fn record(args: &RecordArgs, out: &mut dyn Write) -> Result<(), (i32, String)> {
    let mut stop = Stop::listen().map_err(|error| (UNAVAILABLE, error.to_string()))?;
    let relay = Relay::new(args.origin.clone(), args.ca_file.as_deref(), &args.out);
    let relay = relay.map_err(|error| (IO, format!("{error:#}")))?;
    let started = relay.start().await;
    let (behind, relay) = started.map_err(|error| (UNAVAILABLE, format!("{error:#}")))?;
    // Its ledger is nobody's record, and goes with it.
    let ledger = Directory::make("record").map_err(|error| (IO, error))?;
    let flags = Overrides {
        listen: Some(args.listen),
        admin: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        origin: Some(format!("http://{behind}")),
        ledger: Some(ledger.0.join("ledger.db")),
        ..Overrides::default()
    };
    let file = args.config.as_deref();
    let compiled = config::load(file, config::environment(), &flags, KeyMode::Create);
    let compiled = compiled.map_err(|mistakes| {
        let texts: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        (CONFIGURATION, format!("\n{}", texts.join("\n")))
    })?;
    let running = Running::start(compiled).await;
    let running = running.map_err(|failure| (failure.code, failure.message))?;
    let public = running.server.address();
    let _ =
        writeln!(out, "http://{public}/ is {}, recorded in {}", args.origin, args.out.display());
    let _ = writeln!(out, "Ctrl-C ends it.").and_then(|()| out.flush());
    stop.heard().await;
    let stopped = running.stop().await;
    let _ = writeln!(out, "{} kept in {}", counted(relay.kept(), "answer"), args.out.display());
    drop(ledger);
    stopped.map_err(|error| (IO, error.to_string()))
}
