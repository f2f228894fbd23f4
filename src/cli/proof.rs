//! `consentry proof`: what was chosen, and on which words.

mod show;
mod words;

use crate::cli::log::when::{since, until};
use crate::cli::{FINDINGS, FINE, IO, LedgerFile};
use crate::consent::ReceiptId;
use crate::ledger::consent_record::{Recorded, consent_record, time};
use crate::ledger::proof::Found;
use crate::ledger::read::Reader;
use crate::ledger::receipt::{Layer, read_number};
use crate::ledger::{self, Ledger, Notice, Receipt, Settings, plain};

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Shows what a visitor chose, when and how, and the notice of that day.
#[derive(Clone, Debug, clap::Args)]
pub struct ProofArgs {
    /// The receipt's number, 32 hexadecimal digits
    #[arg(value_name = "RECEIPT", value_parser = number, required_unless_present = "all")]
    pub receipt: Option<ReceiptId>,
    /// The ledger to read.
    #[command(flatten)]
    pub ledger: LedgerFile,
    /// As JSON
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// In another structure: 27560, for the JSON consent record of ISO/IEC TS 27560
    #[arg(long, value_name = "NAME", value_enum)]
    pub format: Option<Format>,
    /// Write the notice's first layer to a file as it is in the archive: its words and markup, on the site's first host, without the shadow tree that pages bring it in
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the page of choices to a file as it is in the archive: on the site's first host, for a visitor who has not chosen
    #[arg(long, value_name = "FILE")]
    pub choices_html: Option<PathBuf>,
    /// All receipts, one a line, instead of one
    #[arg(long, conflicts_with_all = ["receipt", "html", "choices_html", "erase"])]
    pub all: bool,
    /// With --all: from when on, a span back from now (30m, 24h, 7d), a date, or a time; UTC
    #[arg(long, value_name = "WHEN", value_parser = since, conflicts_with = "receipt")]
    pub from: Option<u64>,
    /// With --all: until when, in the same forms; a date is included
    #[arg(long, value_name = "WHEN", value_parser = until, conflicts_with = "receipt")]
    pub to: Option<u64>,
    /// Erase the receipt; a hash of its number stays, so that it can be told to be erased
    #[arg(long, requires = "receipt", conflicts_with_all = ["json", "format", "html", "choices_html"])]
    pub erase: bool,
    /// With --erase: yes, for good
    #[arg(long, requires = "erase")]
    pub yes: bool,
}

/// The structures a receipt can be shown in beside our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// ISO/IEC TS 27560:2023.
    #[value(name = "27560")]
    Iso27560,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error("cannot write {what}: {source}")]
    Output { what: String, source: io::Error },
    #[error(
        "there is no receipt {0} in this ledger; check the number, and whether `--ledger` names the one of that site"
    )]
    Unknown(ReceiptId),
    #[error("the receipt {number} was erased on {when}; only its place in the ledger is left")]
    Erased { number: ReceiptId, when: String },
    #[error("the receipt's notice is not in the archive, so there is nothing to write to a file")]
    NoNotice,
    #[error("erasing cannot be undone; say --yes as well to erase the receipt {0}")]
    NotMeant(ReceiptId),
    #[error("the erasure could not be written down: {0}")]
    NotErased(String),
}

impl Failure {
    const fn code(&self) -> i32 {
        match self {
            Self::Unknown(_) | Self::Erased { .. } | Self::NoNotice => FINDINGS,
            Self::NotMeant(_) => 2,
            Self::Ledger(_) | Self::Output { .. } | Self::NotErased(_) => IO,
        }
    }
}

/// Runs the command; gives the exit code.
pub fn run(args: &ProofArgs, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let shown = match (args.receipt, args.erase) {
        (Some(number), true) => erase(number, args, out),
        (Some(number), false) => one(number, args, out),
        (None, _) => all(args, out),
    };
    match shown {
        Ok(()) => FINE,
        // Whoever reads has seen enough: `consentry proof --all | head`.
        Err(Failure::Output { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => FINE,
        Err(failure) => {
            // If nobody can hear it, the exit code still tells.
            writeln!(err, "{failure}").ok();
            failure.code()
        }
    }
}

fn one(number: ReceiptId, args: &ProofArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let reader = Reader::open(&args.ledger.path)?;
    let proof = Proof::read(find(&reader, number)?, &reader)?;
    write_html(args.html.as_deref(), proof.notice.as_ref())?;
    write_html(args.choices_html.as_deref(), proof.choices.as_ref())?;
    let shown = match (args.format, args.json) {
        (Some(Format::Iso27560), _) => pretty(&proof.record()),
        (None, true) => pretty(&show::json(&proof)),
        (None, false) => show::words(&proof),
    };
    writeln!(out, "{shown}").map_err(output)
}

fn all(args: &ProofArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let reader = Reader::open(&args.ledger.path)?;
    let mut failed = None;
    reader.receipts(args.from, args.to, |receipt| {
        let shown = Proof::read(receipt, &reader).and_then(|proof| {
            let shown = match args.format {
                Some(Format::Iso27560) => proof.record(),
                None => show::json(&proof),
            };
            writeln!(out, "{}", plain::json(&shown.to_string())).map_err(output)
        });
        failed = shown.err();
        failed.is_none()
    })?;
    failed.map_or(Ok(()), Err)
}

/// Erases a receipt through the spool, so that it does not matter whether a
/// proxy is writing the ledger at the moment.
fn erase(number: ReceiptId, args: &ProofArgs, out: &mut dyn Write) -> Result<(), Failure> {
    find(&Reader::open(&args.ledger.path)?, number)?;
    if !args.yes {
        return Err(Failure::NotMeant(number));
    }
    let ledger = Ledger::open(Settings::new(&args.ledger.path))?;
    let mut spool = ledger.spool(0).map_err(|error| Failure::NotErased(error.to_string()))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    spool.erase(number, u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    drop(spool);
    ledger.close()?;
    writeln!(out, "The receipt {number} is erased.").map_err(output)
}

fn find(reader: &Reader, number: ReceiptId) -> Result<Receipt, Failure> {
    match reader.receipt(number)? {
        Found::Receipt(receipt) => Ok(receipt),
        Found::Erased { time_ms } => Err(Failure::Erased { number, when: time(time_ms) }),
        Found::Nothing => Err(Failure::Unknown(number)),
    }
}

/// A receipt with the words it was given on.
struct Proof {
    receipt: Receipt,
    notice: Option<Notice>,
    choices: Option<Notice>,
}

impl Proof {
    fn read(receipt: Receipt, reader: &Reader) -> Result<Self, Failure> {
        let notice = reader.notice(&receipt, Layer::First)?;
        let choices = reader.notice(&receipt, Layer::Choices)?;
        Ok(Self { receipt, notice, choices })
    }

    fn record(&self) -> serde_json::Value {
        consent_record(&Recorded {
            receipt: &self.receipt,
            notice: self.notice.as_ref(),
            operator: "",
            is_on_record: true,
        })
    }
}

fn write_html(file: Option<&Path>, notice: Option<&Notice>) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let notice = notice.ok_or(Failure::NoNotice)?;
    std::fs::write(file, &notice.html)
        .map_err(|source| Failure::Output { what: file.display().to_string(), source })
}

fn pretty(value: &serde_json::Value) -> String {
    let text = format!("{value:#}");
    text.lines().map(plain::json).collect::<Vec<_>>().join("\n")
}

fn output(source: io::Error) -> Failure {
    Failure::Output { what: "the proof".to_owned(), source }
}

fn number(text: &str) -> Result<ReceiptId, String> {
    read_number(text).ok_or_else(|| "a receipt is a number of 32 hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests;
