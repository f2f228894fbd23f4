//! `consentry export`: takes the ledger out into files for other programs.

use crate::cli::log::when::{since, until};
use crate::cli::part::Part;
use crate::cli::{FINE, IO, LedgerFile, USAGE};
use crate::ledger::audit::AuditFilter;
use crate::ledger::export::{
    AUDITS, Cell, DECISIONS, Export, Format, GAPS, RECEIPTS, Sum, Table, audit, decision, gap,
    receipt,
};
use crate::ledger::fleet::place;
use crate::ledger::read::{Filter, Reader, VerdictWord};
use crate::ledger::receipt::hex;
use crate::ledger::{self, Checkpoint};
use crate::purpose::Purpose;

use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(250);

/// Writes what the ledger holds as CSV, JSON lines or Parquet.
#[derive(Clone, Debug, clap::Args)]
pub struct ExportArgs {
    /// The ledger to read.
    #[command(flatten)]
    pub ledger: LedgerFile,
    /// What of it: decisions (what was withheld or let through, and why), receipts, audits (what people did with consentry) or gaps (what is missing)
    #[arg(long, value_name = "WHAT", value_enum, default_value = "decisions")]
    pub what: What,
    /// From when on: a span back from now (30m, 24h, 7d), a date, or a time (2026-05-01T12:00Z); UTC
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub from: Option<u64>,
    /// Until when, in the same forms; a date is included
    #[arg(long, value_name = "WHEN", value_parser = until)]
    pub to: Option<u64>,
    /// On the site of that name
    #[arg(long, value_name = "NAME")]
    pub site: Option<String>,
    /// Decisions about vendors whose name or id contains this, in whatever case
    #[arg(long, value_name = "TEXT")]
    pub vendor: Option<String>,
    /// Decisions about one purpose: necessary, functional, analytics, personalization or marketing
    #[arg(long, value_name = "PURPOSE", value_parser = crate::cli::log::purpose)]
    pub purpose: Option<Purpose>,
    /// Only what was let through, or only what was withheld
    #[arg(long, value_name = "VERDICT", value_enum)]
    pub verdict: Option<Verdict>,
    /// csv, jsonl or parquet; left out, what the file's name says, or csv
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<Shape>,
    /// The file to write, with a manifest beside it; standard output otherwise
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// The decisions of entries.
    Decisions,
    /// Choices of visitors.
    Receipts,
    /// What people did with consentry.
    Audits,
    /// What is missing.
    Gaps,
}

impl What {
    const fn table(self) -> Table {
        match self {
            Self::Decisions => DECISIONS,
            Self::Receipts => RECEIPTS,
            Self::Audits => AUDITS,
            Self::Gaps => GAPS,
        }
    }
}

/// A verdict, to choose by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Verdict {
    /// What was let through.
    Allow,
    /// What was withheld.
    Block,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// A table for spreadsheets.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// A compressed table for databases.
    Parquet,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error("cannot write {what}: {source}")]
    Output { what: String, source: io::Error },
}

impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Self {
        Self::Output { what: "the export".to_owned(), source }
    }
}

/// Runs the command; gives the exit code.
pub fn run(args: &ExportArgs, out: &mut (dyn Write + Send), err: &mut dyn Write) -> i32 {
    match export(args, out, err) {
        Ok(()) => FINE,
        // Whoever reads has seen enough: `consentry export | head`.
        Err(Failure::Output { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => FINE,
        Err(failure) => {
            // If nobody can hear it, the exit code still tells.
            writeln!(err, "consentry: {failure}").ok();
            if matches!(failure, Failure::Usage(_)) { USAGE } else { IO }
        }
    }
}

fn export(
    args: &ExportArgs,
    out: &mut (dyn Write + Send),
    err: &mut dyn Write,
) -> Result<(), Failure> {
    let format = format(args);
    check(args, format)?;
    if args.ledger.path.to_str().is_some_and(place::is_address) {
        return Err(Failure::Usage(
            "export reads the file of one proxy's ledger; run it for each proxy".to_owned(),
        ));
    }
    let reader = Reader::open(&args.ledger.path)?;
    reader.one_moment(|reader| match &args.output {
        Some(path) => {
            let failed = |source| Failure::Output { what: format!("`{}`", path.display()), source };
            let mut part = Part::begin(path).map_err(failed)?;
            let sum = write(args, reader, format, &mut part)?;
            let manifest = manifest(args, reader, format, &sum)?;
            part.finish_with(&manifest).map_err(failed)?;
            told(err, &sum, Some(path));
            Ok(())
        }
        None => {
            let sum = write(args, reader, format, out)?;
            told(err, &sum, None);
            Ok(())
        }
    })
}

fn format(args: &ExportArgs) -> Format {
    let named = || {
        let name = args.output.as_ref()?.extension()?.to_str()?.to_ascii_lowercase();
        match name.as_str() {
            "jsonl" | "ndjson" | "json" => Some(Shape::Jsonl),
            "parquet" => Some(Shape::Parquet),
            _ => None,
        }
    };
    match args.format.or_else(named) {
        Some(Shape::Jsonl) => Format::Jsonl,
        Some(Shape::Parquet) => Format::Parquet,
        Some(Shape::Csv) | None => Format::Csv,
    }
}

/// What does not go together.
fn check(args: &ExportArgs, format: Format) -> Result<(), Failure> {
    let refused = |why: &str| Err(Failure::Usage(why.to_owned()));
    if format == Format::Parquet && args.output.is_none() {
        return refused("parquet is no text; name a file with --output");
    }
    let about_decisions = args.vendor.is_some() || args.purpose.is_some() || args.verdict.is_some();
    if about_decisions && args.what != What::Decisions {
        return refused(
            "--vendor, --purpose and --verdict choose among decisions; leave them out, or leave --what out",
        );
    }
    if args.site.is_some() && matches!(args.what, What::Audits | What::Gaps) {
        return refused("audits and gaps belong to no site; leave --site out");
    }
    Ok(())
}

/// Writes the rows; gives back what they come to.
fn write<W: Write + Send>(
    args: &ExportArgs,
    reader: &Reader,
    format: Format,
    out: W,
) -> Result<Sum, Failure> {
    let mut export = Export::begin(format, args.what.table(), io::BufWriter::new(out))?;
    let mut progress = Progress::new(reader)?;
    let mut failed = None;
    let mut put = |cells: &[Cell<'_>], entry: Option<i64>| {
        progress.row(entry);
        failed = export.row(cells).err();
        failed.is_none()
    };
    match args.what {
        What::Decisions => reader.each_line(&filter(args), |line| {
            decision(&line, |cells| put(cells, Some(line.entry)))
        })?,
        What::Receipts => reader.receipts(args.from, args.to, |each| {
            let is_wanted = args.site.as_ref().is_none_or(|site| *site == each.site);
            !is_wanted || receipt(&each, |cells| put(cells, None))
        })?,
        What::Audits => {
            let wanted =
                AuditFilter { since_ms: args.from, until_ms: args.to, ..AuditFilter::default() };
            reader.each_audit(&wanted, |each| audit(&each, |cells| put(cells, None)))?;
        }
        What::Gaps => {
            reader.each_gap(&filter(args), |each| gap(&each, |cells| put(cells, None)))?;
        }
    }
    progress.end();
    if let Some(error) = failed {
        return Err(error.into());
    }
    Ok(export.finish()?.0)
}

fn filter(args: &ExportArgs) -> Filter {
    Filter {
        since_ms: args.from,
        until_ms: args.to,
        site: args.site.clone(),
        vendor: args.vendor.clone(),
        purpose: args.purpose,
        verdict: args.verdict.map(|verdict| match verdict {
            Verdict::Allow => VerdictWord::Allow,
            Verdict::Block => VerdictWord::Block,
        }),
        ..Filter::default()
    }
}

/// What was written, from what, and what proves it.
fn manifest(
    args: &ExportArgs,
    reader: &Reader,
    format: Format,
    sum: &Sum,
) -> Result<Value, Failure> {
    let note = reader.checkpoint()?;
    let checkpoint = note.as_deref().and_then(|note| Checkpoint::parse(note).ok());
    let lost: u64 = {
        let mut lost = 0;
        reader.each_gap(&filter(args), |gap| {
            lost += gap.lost;
            true
        })?;
        lost
    };
    let verdict = args.verdict.map(|verdict| match verdict {
        Verdict::Allow => "allow",
        Verdict::Block => "block",
    });
    let table = args.what.table();
    Ok(json!({
        "written_by": concat!("consentry ", env!("CARGO_PKG_VERSION")),
        "what": table.name,
        "format": match format {
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
            Format::Parquet => "parquet",
        },
        "columns": table.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        "filter": {
            "from_ms": args.from,
            "before_ms": args.to,
            "site": args.site,
            "vendor": args.vendor,
            "purpose": args.purpose.map(Purpose::name),
            "verdict": verdict,
        },
        "rows": sum.rows,
        "bytes": sum.bytes,
        "sha256": hex(&sum.sha256),
        "entries_lost_in_that_time": lost,
        "newest_entry": reader.entries()?.map(|(_, newest)| newest),
        "checkpoint": {
            "covers_entries_up_to": checkpoint.map(|checkpoint| checkpoint.entries),
            "note": note,
        },
    }))
}

/// Says what was done, to a person who looks on.
fn told(err: &mut dyn Write, sum: &Sum, path: Option<&Path>) {
    let rows = format!("{} row{}", sum.rows, if sum.rows == 1 { "" } else { "s" });
    let whither = path.map_or_else(String::new, |path| format!(" in `{}`", path.display()));
    // If nobody can hear it, the export is still right.
    writeln!(err, "{rows}{whither}, SHA-256 {}", hex(&sum.sha256)).ok();
}

/// Shows how far it is, where somebody sees it.
struct Progress {
    rows: u64,
    first: i64,
    all: i64,
    shown: Option<Instant>,
}

impl Progress {
    fn new(reader: &Reader) -> Result<Self, Failure> {
        let (first, last) = reader.entries()?.unwrap_or((0, 0));
        let shown = io::stderr().is_terminal().then(Instant::now);
        Ok(Self { rows: 0, first, all: last - first + 1, shown })
    }

    fn row(&mut self, entry: Option<i64>) {
        self.rows += 1;
        // The clock is asked now and then only.
        if !self.rows.is_multiple_of(1024) || self.shown.is_none_or(|at| at.elapsed() < SHOWN_EVERY)
        {
            return;
        }
        self.shown = Some(Instant::now());
        let share = entry.map_or_else(String::new, |entry| {
            format!(", entry {} of {}", entry - self.first + 1, self.all)
        });
        write!(io::stderr(), "\r{} rows{share} ", self.rows).ok();
    }

    fn end(&self) {
        if self.shown.is_some() && self.rows >= 1024 {
            writeln!(io::stderr()).ok();
        }
    }
}
