//! `consentry verify` and `consentry checkpoint`: whether the ledger still is
//! what was stored in it.

use crate::cli::{FINDINGS, FINE, IO, LedgerFile};
use crate::ledger::plain;
use crate::ledger::verify::{Verified, latest_checkpoint, verify};
use crate::ledger::{Checkpoint, PublicKey};

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Checks that nothing in the ledger was changed, deleted or added.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// The ledger to read.
    #[command(flatten)]
    pub ledger: LedgerFile,
    /// A checkpoint that you kept elsewhere: only against one can it be seen
    /// that the end was cut off, or that another ledger stands in its place; give
    /// several, and it can be told how far all is well
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Vec<PathBuf>,
    /// The key that checkpoints must be signed with, as `checkpoint` shows it
    #[arg(long, value_name = "BASE64", value_parser = key)]
    pub key: Option<PublicKey>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints the newest checkpoint of the ledger, to keep elsewhere.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckpointArgs {
    /// The ledger to read.
    #[command(flatten)]
    pub ledger: LedgerFile,
}

fn key(text: &str) -> Result<PublicKey, &'static str> {
    PublicKey::parse(text).ok_or("a key is 44 characters of base64, as a checkpoint shows it")
}

/// Runs `verify`; gives the exit code.
pub fn run(args: &VerifyArgs, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let kept: Result<Vec<Checkpoint>, String> =
        args.checkpoint.iter().map(|path| read_checkpoint(path)).collect();
    let kept = match kept {
        Ok(kept) => kept,
        Err(why) => {
            let _ = writeln!(err, "consentry: {why}");
            return IO;
        }
    };
    let shows_progress = io::stderr().is_terminal() && !args.json;
    let found = verify(&args.ledger.path, &kept, args.key.as_ref(), |done, all| {
        if shows_progress {
            let _ = write!(io::stderr(), "\r{done} of {all} seals checked ");
        }
    });
    if shows_progress {
        let _ = writeln!(io::stderr());
    }
    match found {
        Ok(found) => {
            let shown = if args.json { as_json(&found, out) } else { in_words(&found, args, out) };
            // What is found counts, even where nobody reads on.
            match shown {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    let _ = writeln!(err, "consentry: {error}");
                    IO
                }
                _ if found.faults.is_empty() => FINE,
                _ => FINDINGS,
            }
        }
        Err(error) => {
            let _ = writeln!(err, "consentry: {error}");
            IO
        }
    }
}

/// Runs `checkpoint`; gives the exit code.
pub fn run_checkpoint(args: &CheckpointArgs, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let why = match latest_checkpoint(&args.ledger.path) {
        Ok(Some(note)) => match out.write_all(note.as_bytes()) {
            Ok(()) => return FINE,
            Err(error) => error.to_string(),
        },
        Ok(None) => "no checkpoint was signed yet: a proxy signs one when it has stored something, every ten minutes, and when it stops".to_owned(),
        Err(error) => error.to_string(),
    };
    let _ = writeln!(err, "consentry: {why}");
    IO
}

fn read_checkpoint(path: &Path) -> Result<Checkpoint, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the checkpoint `{shown}` cannot be read: {error}"))?;
    Checkpoint::parse(&text).map_err(|why| format!("the checkpoint `{shown}`: {why}"))
}

fn in_words(found: &Verified, args: &VerifyArgs, out: &mut dyn Write) -> io::Result<()> {
    for fault in &found.faults {
        writeln!(out, "{:<11} {}", fault.kind, plain::text(&fault.words))?;
    }
    if !found.faults.is_empty() {
        writeln!(out)?;
    }
    writeln!(
        out,
        "{} under {} and {}: {}",
        counted(found.rows, "row"),
        counted(found.seals, "seal"),
        counted(found.checkpoints, "signed checkpoint"),
        if found.faults.is_empty() { "all as they were stored" } else { "not as they were stored" }
    )?;
    for pruned in &found.pruned {
        writeln!(out, "{}", pruned.words())?;
    }
    if found.erased > 0 {
        writeln!(out, "{} receipts were erased on request; their places are left", found.erased)?;
    }
    if found.unsealed_before > 0 {
        writeln!(
            out,
            "{} rows are from before this ledger had seals; nothing proves them",
            found.unsealed_before
        )?;
    }
    if args.checkpoint.is_empty() {
        writeln!(
            out,
            "Not checked: whether the end was cut off or the whole ledger replaced. Keep what `consentry checkpoint` prints on another machine, and give it with --checkpoint."
        )?;
    }
    Ok(())
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn as_json(found: &Verified, out: &mut dyn Write) -> io::Result<()> {
    let faults: Vec<_> = found
        .faults
        .iter()
        .map(|fault| serde_json::json!({ "kind": fault.kind, "words": fault.words }))
        .collect();
    let pruned: Vec<_> = found
        .pruned
        .iter()
        .map(|pruned| {
            serde_json::json!({
                "rows": pruned.rows, "count": pruned.count, "last": pruned.last,
                "since_ms": pruned.since_ms, "until_ms": pruned.until_ms,
            })
        })
        .collect();
    let whole = serde_json::json!({
        "verified": found.faults.is_empty(),
        "seals": found.seals,
        "rows": found.rows,
        "checkpoints": found.checkpoints,
        "erased_receipts": found.erased,
        "unsealed_rows": found.unsealed_before,
        "pruned": pruned,
        "faults": faults,
    });
    writeln!(out, "{whole}")
}
