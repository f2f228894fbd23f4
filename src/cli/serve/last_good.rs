//! Starts with the configuration that worked last, where the file has mistakes.

use super::{Load, ServeArgs};
use crate::cli::CONFIGURATION;
use crate::config::{self, Compiled, KeptFile, KeyMode, Stamps};
use crate::ledger::Ledger;
use crate::mistake::Mistake;

use std::io::Write;

/// What to start with.
pub(super) struct First {
    pub(super) compiled: Compiled,
    /// The files that were asked for, whatever stands in them.
    pub(super) stamps: Stamps,
    /// What was taken in place of them.
    pub(super) instead: Option<KeptFile>,
}

/// Reads the configuration for the first time; the exit code where there is
/// none to start with.
pub(super) fn first(args: &ServeArgs, load: &Load, out: &mut dyn Write) -> Result<First, i32> {
    let (mistakes, stamps) = match load(None) {
        (Ok(compiled), stamps) => return Ok(First { compiled, stamps, instead: None }),
        (Err(mistakes), stamps) => (mistakes, stamps),
    };
    tell(&mistakes, out);
    let Some(kept) = newest(args) else {
        if args.last_good {
            let _ = writeln!(out, "no configuration that worked is kept beside the ledger yet");
        }
        return Err(CONFIGURATION);
    };
    if !args.last_good {
        let file = args.config.as_deref().map(|file| file.display().to_string());
        let _ = writeln!(
            out,
            "the configuration that worked last, since {}, is kept: start with it by `--last-good`, or put it back with `consentry config rollback --config {}`",
            shown(&kept),
            file.unwrap_or_default()
        );
        return Err(CONFIGURATION);
    }
    let (variables, flags) = (config::environment(), args.overrides());
    match config::load(Some(&kept.path), variables, &flags, KeyMode::Create) {
        Ok(compiled) => Ok(First { compiled, stamps, instead: Some(kept) }),
        Err(mistakes) => {
            let _ = writeln!(out, "nor does the one that worked last, since {}:\n", shown(&kept));
            tell(&mistakes, out);
            Err(CONFIGURATION)
        }
    }
}

fn tell(mistakes: &[Mistake], out: &mut dyn Write) {
    for mistake in mistakes {
        let _ = writeln!(out, "{mistake}\n");
    }
}

/// Only who starts with a file can start with an older one.
fn newest(args: &ServeArgs) -> Option<KeptFile> {
    let file = args.config.as_deref()?;
    let ledger = config::ledger_of(Some(file), config::environment(), &args.overrides());
    config::kept_files(&ledger).ok()?.into_iter().next()
}

fn shown(kept: &KeptFile) -> String {
    kept.since.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Keeps what is in force now; nothing where there is no file.
pub(super) fn keep(ledger: &Ledger, text: &str) {
    if text.is_empty() {
        return;
    }
    if let Err(error) = config::keep_good(ledger.path(), text, jiff::Timestamp::now()) {
        tracing::warn!(%error, "the configuration that is in force cannot be kept beside the ledger");
    }
}
