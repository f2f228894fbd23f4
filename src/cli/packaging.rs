//! `consentry completions` and `consentry man`: what a package of consentry
//! brings along for shells and for readers.

use crate::cli::{FINE, IO};

use clap::Command;
use std::io::Write;
use std::path::PathBuf;

/// Which shell is to know the commands.
#[derive(clap::Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Where the manual pages go.
#[derive(clap::Args, Debug)]
pub struct ManArgs {
    /// The directory, made if need be
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Prints what a shell reads to complete our commands.
pub fn run_completions(
    args: &CompletionsArgs,
    mut command: Command,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> i32 {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    written(out.write_all(&script).and_then(|()| out.flush()), "the script", err)
}

/// Writes a manual page for each command.
pub fn run_man(args: &ManArgs, command: Command, err: &mut dyn Write) -> i32 {
    let directory = &args.directory;
    let made = std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command, directory));
    written(made, &directory.display().to_string(), err)
}

fn written(result: std::io::Result<()>, what: &str, err: &mut dyn Write) -> i32 {
    match result {
        Ok(()) => FINE,
        Err(error) => {
            let _ = writeln!(err, "{what} cannot be written: {error}");
            IO
        }
    }
}
