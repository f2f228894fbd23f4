//! `consentry check`: would this configuration start?

use crate::config::{self, KeyMode, Overrides};
use crate::ledger::engine::Engine;

use clap::Args;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Nothing is wrong.
const FINE: i32 = 0;
/// `EX_CONFIG` of sysexits.h.
const CONFIGURATION: i32 = 78;
/// `EX_UNAVAILABLE` of sysexits.h.
const UNAVAILABLE: i32 = 69;

/// What `consentry check` is told.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Also try to reach the ledger that many proxies share
    #[arg(long)]
    pub connect: bool,
    /// Also say what would change: against the file that a proxy with this ledger took last
    /// (`running`), or another file
    #[arg(long, value_name = "running|FILE")]
    pub against: Option<PathBuf>,
}

/// Checks file and environment without starting or writing anything, and says
/// everything that is wrong. Returns the exit code.
pub fn run(args: &CheckArgs, out: &mut dyn Write) -> i32 {
    // Somebody who has stopped listening still gets the exit code.
    check(args, out).unwrap_or(CONFIGURATION)
}

fn check(args: &CheckArgs, out: &mut dyn Write) -> io::Result<i32> {
    let file = args.config.as_deref();
    let compiled = match config::load(
        file,
        config::environment(),
        &Overrides::default(),
        KeyMode::CheckOnly,
    ) {
        Ok(compiled) => compiled,
        Err(mistakes) => {
            for mistake in mistakes {
                writeln!(out, "{mistake}")?;
            }
            return Ok(CONFIGURATION);
        }
    };
    for warning in &compiled.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    for note in &compiled.notes {
        writeln!(out, "note: {note}")?;
    }
    let name = file.map_or("the configuration".into(), |file| file.display().to_string());
    let sites = counted(compiled.sites.iter().count(), "site");
    let vendors = counted(compiled.catalogue.vendors().count(), "vendor");
    let rules = counted(compiled.catalogue.rule_count(), "rule");
    writeln!(out, "{name} is fine: {sites}, {vendors}, {rules}")?;
    for site in compiled.sites.iter() {
        writeln!(out, "{}: its notice has revision {}", site.name, site.consent.notice_revision)?;
    }
    if let Some(other) = &args.against {
        let (ledger, file) = (&compiled.ledger_file, args.config.as_deref());
        if !compare(other, file, ledger, out)? {
            return Ok(CONFIGURATION);
        }
    }
    match compiled.fleet.filter(|_| args.connect) {
        Some(place) => match Engine::connect(&place) {
            Ok(_) => writeln!(out, "the shared ledger {place} can be reached")?,
            Err(error) => {
                writeln!(out, "{error}")?;
                return Ok(UNAVAILABLE);
            }
        },
        None if args.connect => writeln!(out, "there is no shared ledger to reach")?,
        None => {}
    }
    Ok(FINE)
}

/// Says what a reload would change; whether there was something to compare with.
fn compare(
    other: &Path,
    file: Option<&Path>,
    ledger: &Path,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let newest = || config::kept_files(ledger).ok()?.into_iter().next();
    let (path, shown) = match other.to_str() {
        Some("running") => match newest() {
            Some(kept) => {
                let since = kept.since.strftime("%Y-%m-%d %H:%M:%S UTC");
                (kept.path, format!("what is served since {since}"))
            }
            None => {
                let place = ledger.display();
                writeln!(out, "no proxy has served with a file and the ledger {place} yet")?;
                return Ok(false);
            }
        },
        _ => (other.to_owned(), other.display().to_string()),
    };
    let read = |file| config::effective(file, config::environment(), &Overrides::default());
    let (before, after) = match (read(Some(&path)), read(file)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(mistakes), _) | (_, Err(mistakes)) => {
            mistakes.iter().try_for_each(|mistake| writeln!(out, "{mistake}"))?;
            return Ok(false);
        }
    };
    let differences = config::differences(&before, &after);
    if differences.is_empty() {
        writeln!(out, "compared with {shown}, nothing would change")?;
    } else {
        writeln!(out, "compared with {shown}:")?;
    }
    differences.iter().try_for_each(|difference| writeln!(out, "  {difference}"))?;
    Ok(true)
}

/// `1 site`, `3,211 rules`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let digits = count.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    let plural = if count == 1 { "" } else { "s" };
    format!("{shown} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> (i32, String) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("consentry.toml");
        std::fs::write(&file, text).unwrap();
        let mut out = Vec::new();
        let code = run(&CheckArgs { config: Some(file), connect: false, against: None }, &mut out);
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_good_file_is_said_to_be_fine() {
        let (code, said) = check("[[site]]\norigin = 'http://127.0.0.1:3000'\n");
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("consentry.toml is fine: 1 site, "), "{said}");
    }

    #[test]
    fn a_bad_file_is_refused_with_everything_that_is_wrong() {
        let (code, said) = check("[admin]\naddress = 'x'\n[[site]]\norigin = 'y'\n");
        assert_eq!(code, 78);
        assert!(
            said.contains("consentry.toml:2:11: ") && said.contains("consentry.toml:4:10: "),
            "{said}"
        );
    }

    #[test]
    fn numbers_can_be_read() {
        assert_eq!(counted(1, "site"), "1 site");
        assert_eq!(counted(480, "vendor"), "480 vendors");
        assert_eq!(counted(3211, "rule"), "3,211 rules");
        assert_eq!(counted(1_234_567, "rule"), "1,234,567 rules");
    }
}
