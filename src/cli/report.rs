//! `consentry report`: what happened in a period, for those who answer for it.
//!
//! The same ledger, period and configuration give the same bytes, whoever asks
//! and whenever: no clock is read and nothing is drawn by lot, so that a report
//! can be made again and compared by its hash.

mod gather;
mod page;
mod table;

use crate::cli::part::Part;
use crate::cli::{CONFIGURATION, FINE, IO, LEDGER, USAGE};
use crate::config::{self, KeyMode, Overrides};
use crate::ledger::figures::Period;
use crate::ledger::receipt::hex;
use crate::ledger::{self, plain};
use gather::{Asked, gather};

use jiff::ToSpan;
use jiff::civil::Date;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Reports what visitors chose, what was withheld, what changed and who owns
/// what.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportArgs {
    /// The ledger to read, which a proxy may be writing meanwhile; left out,
    /// the one of the configuration, or consentry-data/ledger.db
    #[arg(long, value_name = "PATH", env = "CONSENTRY_LEDGER__FILE")]
    pub ledger: Option<PathBuf>,
    /// The first day of the period (UTC): 2026-03-01
    #[arg(long, value_name = "DAY", required_unless_present = "month")]
    pub from: Option<Date>,
    /// The last day of the period, which is included
    #[arg(long, value_name = "DAY", required_unless_present = "month")]
    pub to: Option<Date>,
    /// Instead of both, a whole month: 2026-03
    #[arg(long, value_name = "MONTH", value_parser = month, conflicts_with_all = ["from", "to"])]
    pub month: Option<Date>,
    /// Only of the site of that name
    #[arg(long, value_name = "NAME")]
    pub site: Option<String>,
    /// The configuration file: it names the ledger, and says who owns what and
    /// which exceptions there are
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// html, json or csv; left out, what the file's name says, or html
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<Shape>,
    /// The file to write; standard output otherwise
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// A page to read and to print.
    Html,
    /// For other programs.
    Json,
    /// A table for spreadsheets.
    Csv,
}

fn month(text: &str) -> Result<Date, &'static str> {
    format!("{text}-01").parse().map_err(|_| "a month is written like 2026-03")
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the period ends before it begins: {first} is after {last}")]
    Backwards { first: Date, last: Date },
    #[error("{0}")]
    Configuration(String),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error("cannot write the report: {0}")]
    Output(#[from] io::Error),
    #[error("cannot write the report: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot write the report: {0}")]
    Csv(#[from] csv::Error),
}

/// Runs the command; gives the exit code.
pub fn run(args: &ReportArgs, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    match report(args, out, err) {
        Ok(()) => FINE,
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => FINE,
        Err(failure) => {
            // If nobody can hear it, the exit code still tells.
            let _ = writeln!(err, "consentry: {failure}");
            match failure {
                Failure::Backwards { .. } => USAGE,
                Failure::Configuration(_) => CONFIGURATION,
                Failure::Ledger(_) | Failure::Output(_) | Failure::Json(_) | Failure::Csv(_) => IO,
            }
        }
    }
}

fn report(args: &ReportArgs, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), Failure> {
    let period = period(args)?;
    let configured = args.config.as_deref().map(|file| {
        let flags = Overrides { ledger: args.ledger.clone(), ..Overrides::default() };
        config::load(Some(file), config::environment(), &flags, KeyMode::CheckOnly)
    });
    let configured = configured.transpose().map_err(|mistakes| {
        let told = mistakes.iter().map(ToString::to_string).collect::<Vec<_>>();
        Failure::Configuration(told.join("\n"))
    })?;
    let sites = configured.as_ref().map(|compiled| &compiled.sites);
    let ledger = match &configured {
        Some(compiled) => compiled.ledger_file.as_path(),
        None => args.ledger.as_deref().unwrap_or_else(|| Path::new(LEDGER)),
    };
    let report = gather(&Asked { ledger, period, site: args.site.as_deref(), sites })?;
    // Plain, so that it is harmless to show, and the same by value.
    let json = format!("{}\n", plain::json(&serde_json::to_string(&report)?));
    let figures = hex(&Sha256::digest(&json));
    let bytes = match shape(args) {
        Shape::Html => page::page(&report, &figures).into_bytes(),
        Shape::Json => json.into_bytes(),
        Shape::Csv => table::table(&report, &figures)?,
    };
    let hash = hex(&Sha256::digest(&bytes));
    match &args.output {
        Some(path) => {
            let mut part = Part::begin(path)?;
            (&mut part).write_all(&bytes)?;
            part.finish()?;
            writeln!(err, "{hash}  {}", path.display())?;
        }
        None => {
            out.write_all(&bytes)?;
            writeln!(err, "{hash}  -")?;
        }
    }
    if !report.rests_on.holds {
        writeln!(err, "consentry: the ledger does not verify; the report says so")?;
    }
    Ok(())
}

fn period(args: &ReportArgs) -> Result<Period, Failure> {
    let (first, last) = match (args.month, args.from, args.to) {
        (Some(first), _, _) => (first, first.last_of_month()),
        (None, Some(first), Some(last)) => (first, last),
        // Not reached: the command line asks for both.
        (None, _, _) => (Date::ZERO, Date::ZERO),
    };
    if last < first || last.checked_add(1.day()).is_err() {
        return Err(Failure::Backwards { first, last });
    }
    Ok(Period::days(first, last))
}

fn shape(args: &ReportArgs) -> Shape {
    let ending = args.output.as_ref().and_then(|path| path.extension()?.to_str());
    args.format.unwrap_or(match ending {
        Some("json") => Shape::Json,
        Some("csv") => Shape::Csv,
        _ => Shape::Html,
    })
}
