//! Sets up the log: for people on a terminal, JSON everywhere else.

use crate::config::{Log, LogFormat};

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error. `CONSENTRY_LOG` takes filters such as
/// `consentry=debug,hyper=info` and wins over the configuration.
pub(super) fn start(log: Log) {
    let filter = EnvFilter::try_from_env("CONSENTRY_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,consentry={}", log.level.name())));
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    if started.is_err() {
        tracing::debug!("logging was set up before");
    }
}
