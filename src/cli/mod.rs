//! What an operator types: one file a command.

pub mod audit;
pub mod check;
pub mod config;
pub mod dashboard;
pub mod demo;
pub mod dev;
pub mod explain;
pub mod export;
pub mod health;
pub mod lists;
pub mod log;
mod logging;
pub mod packaging;
mod part;
pub mod proof;
pub mod record;
pub mod replay;
pub mod report;
pub mod serve;
pub mod verify;

use std::path::PathBuf;

/// Exit code: everything is fine.
pub const FINE: i32 = 0;
/// Exit code: there is something to look at.
pub const FINDINGS: i32 = 1;
/// Exit code: what was typed does not go together.
pub const USAGE: i32 = 2;
/// Exit code: a service that is needed is not there (sysexits `EX_UNAVAILABLE`).
pub const UNAVAILABLE: i32 = 69;
/// Exit code: reading or writing failed (sysexits `EX_IOERR`).
pub const IO: i32 = 74;
/// Exit code: the configuration is wrong (sysexits `EX_CONFIG`).
pub const CONFIGURATION: i32 = 78;

/// Where the ledger is as long as nobody says otherwise.
const LEDGER: &str = "consentry-data/ledger.db";

/// The ledger that a command reads.
#[derive(Clone, Debug, clap::Args)]
pub struct LedgerFile {
    /// The ledger; a proxy may be writing it meanwhile
    #[arg(
        id = "ledger",
        long = "ledger",
        value_name = "PATH",
        env = "CONSENTRY_LEDGER__FILE",
        default_value = LEDGER
    )]
    pub path: PathBuf,
}
