//! The `consentry` command.

use consentry::cli::{
    self, audit, check, config, dashboard, demo, dev, explain, export, health, lists, log,
    packaging, proof, record, replay, report, serve, verify,
};

use clap::{CommandFactory, Parser, Subcommand};
use std::io::{self, Write};
use std::process::ExitCode;

/// Pages are made of many short-lived pieces; the system's allocator takes a
/// seventh of the time of an exchange. Without huge pages (`no_thp`): they made
/// an idle proxy twice as large and its start slower, and no exchange faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Withholds trackers, cookies and headers until the visitor agrees to them,
/// and keeps a record of everything it withheld.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stand in front of a site
    Serve(serve::ServeArgs),
    /// Try it on a built-in shop, with nothing but this program
    Demo(demo::DemoArgs),
    /// Build a site behind it: see every decision, switch what was chosen
    Dev(dev::DevArgs),
    /// Read the block log
    Log(log::LogArgs),
    /// Take the ledger out as CSV, JSON lines or Parquet
    Export(export::ExportArgs),
    /// Report on a period: what visitors chose, what was withheld, what changed, who owns what
    Report(report::ReportArgs),
    /// Prove a visitor's choice: what they chose, and on which words
    Proof(proof::ProofArgs),
    /// Check that nothing in the ledger was changed, deleted or added
    Verify(verify::VerifyArgs),
    /// Print the ledger's newest signed checkpoint, to keep elsewhere
    Checkpoint(verify::CheckpointArgs),
    /// Say what would happen to an address, cookie, header or piece of HTML, and why
    Explain(explain::ExplainArgs),
    /// Say what would be withheld from a site's pages in each state of consent, and fail on what is against a policy
    Audit(audit::AuditArgs),
    /// Serve as the proxy does, and keep what the origin answers
    Record(record::RecordArgs),
    /// Decide again about what was recorded, under another policy, and say what changes
    Replay(replay::ReplayArgs),
    /// Show the filter lists: how old they are, and what of them is used
    Lists(lists::ListsArgs),
    /// Check the configuration and the catalogue
    Check(check::CheckArgs),
    /// Show, explain and restore the configuration
    Config(config::ConfigArgs),
    /// Print the link that opens the dashboard, where there are no users
    Dashboard(dashboard::DashboardArgs),
    /// Hash a password for a user of the dashboard
    HashPassword,
    /// Ask a running proxy whether it is ready
    Health(health::HealthArgs),
    /// Print what a shell reads to complete these commands
    Completions(packaging::CompletionsArgs),
    /// Write a manual page for each command
    Man(packaging::ManArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = io::stdout();
    let mut err = io::stderr();
    let code = match &cli.command {
        Command::Serve(args) => serve::run(args, &mut err),
        Command::Demo(args) => demo::run(args, &mut out),
        Command::Dev(args) => dev::run(args, &mut out, &mut err),
        Command::Log(args) => written(log::run(args, &mut out), &mut err),
        Command::Export(args) => export::run(args, &mut out, &mut err),
        Command::Report(args) => report::run(args, &mut out, &mut err),
        Command::Proof(args) => proof::run(args, &mut out, &mut err),
        Command::Verify(args) => verify::run(args, &mut out, &mut err),
        Command::Checkpoint(args) => verify::run_checkpoint(args, &mut out, &mut err),
        Command::Explain(args) => written(explain::run(args, &mut out), &mut err),
        Command::Audit(args) => audit::run(args, &mut out, &mut err),
        Command::Record(args) => record::run(args, &mut out, &mut err),
        Command::Replay(args) => replay::run(args, &mut out, &mut err),
        Command::Lists(args) => written(lists::run(args, &mut out), &mut err),
        Command::Check(args) => check::run(args, &mut out),
        Command::Config(args) => config::run(args, &mut out, &mut err),
        Command::Dashboard(args) => dashboard::run(args, &mut out, &mut err),
        Command::HashPassword => dashboard::run_hash(&mut out, &mut err),
        Command::Health(args) => health::run(args, &mut out),
        Command::Completions(args) => {
            packaging::run_completions(args, Cli::command(), &mut out, &mut err)
        }
        Command::Man(args) => packaging::run_man(args, Cli::command(), &mut err),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// The exit code of a command that may fail to write.
fn written<E: std::fmt::Display>(result: Result<i32, E>, err: &mut dyn Write) -> i32 {
    result.unwrap_or_else(|error| {
        let _ = writeln!(err, "{error:#}");
        cli::IO
    })
}
