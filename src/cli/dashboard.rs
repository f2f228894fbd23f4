//! `consentry dashboard` and `consentry hash-password`: the way into the
//! dashboard.

use crate::cli::{CONFIGURATION, FINE, IO, LEDGER, UNAVAILABLE};
use crate::config::{self, KeyMode, Overrides};
use crate::dashboard::{PasswordHash, link_file};

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

/// Prints the link that opens the dashboard of a running proxy, once.
#[derive(Clone, Debug, clap::Args)]
pub struct DashboardArgs {
    /// The ledger that the proxy writes; left out, the one of the
    /// configuration, or consentry-data/ledger.db
    #[arg(long, value_name = "PATH", env = "CONSENTRY_LEDGER__FILE")]
    pub ledger: Option<PathBuf>,
    /// The configuration file that names the ledger
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs `dashboard`; gives the exit code.
pub fn run(args: &DashboardArgs, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let overrides = Overrides { ledger: args.ledger.clone(), ..Overrides::default() };
    let ledger = match &args.config {
        None => args.ledger.clone().unwrap_or_else(|| LEDGER.into()),
        Some(file) => {
            let variables = config::environment();
            match config::load(Some(file), variables, &overrides, KeyMode::CheckOnly) {
                Ok(compiled) if compiled.dashboard.users.is_empty() => compiled.ledger_file,
                Ok(compiled) => {
                    let _ = writeln!(
                        out,
                        "http://{}/ asks for a name and a password: there are users in {}",
                        compiled.admin,
                        file.display()
                    );
                    return FINE;
                }
                Err(mistakes) => {
                    for mistake in mistakes {
                        let _ = writeln!(err, "{mistake}\n");
                    }
                    return CONFIGURATION;
                }
            }
        }
    };
    let file = link_file(&ledger);
    match std::fs::read_to_string(&file) {
        Ok(link) => match out.write_all(link.as_bytes()) {
            Ok(()) => FINE,
            Err(_) => IO,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let _ = writeln!(
                err,
                "consentry: there is no link for the ledger `{}`: no proxy runs with it, its admin listener can be reached from other machines, or there are users, who sign in with a password",
                ledger.display()
            );
            UNAVAILABLE
        }
        Err(error) => {
            let _ = writeln!(err, "consentry: `{}` cannot be read: {error}", file.display());
            IO
        }
    }
}

/// Fewer characters are guessed.
const PASSWORD_CHARACTERS: usize = 12;

/// Runs `hash-password`; gives the exit code.
///
/// Only the hash goes to standard output, so that it can be put in a file.
pub fn run_hash(out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let password = match read_password(err) {
        Ok(password) => password,
        Err(error) => {
            let _ = writeln!(err, "consentry: no password could be read: {error}");
            return IO;
        }
    };
    if password.chars().count() < PASSWORD_CHARACTERS {
        let _ = writeln!(
            err,
            "consentry: a password has at least {PASSWORD_CHARACTERS} characters; four random words make a good one"
        );
        return CONFIGURATION;
    }
    match PasswordHash::make(&password) {
        Ok(hash) => {
            let _ = writeln!(out, "{hash}");
            let _ = writeln!(
                err,
                "\nPut it into the configuration, and have it read again (SIGHUP):\n\n[[admin.user]]\nname = \"...\"\npassword_hash = \"{hash}\"\nrole = \"officer\"   # or \"operator\""
            );
            FINE
        }
        Err(error) => {
            let _ = writeln!(err, "consentry: {error}");
            UNAVAILABLE
        }
    }
}

/// From a terminal without showing it, and twice; from a pipe its first line.
fn read_password(err: &mut dyn Write) -> io::Result<String> {
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    loop {
        let password = rpassword::prompt_password("Password: ")?;
        if rpassword::prompt_password("Once more: ")? == password {
            return Ok(password);
        }
        let _ = writeln!(err, "These were not the same.");
    }
}
