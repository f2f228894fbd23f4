//! `consentry config`: what can be set, what is set and by whom, and the way
//! back to what worked.

use crate::cli::serve::ServeArgs;
use crate::cli::{CONFIGURATION, FINDINGS, FINE, IO};
use crate::config::{self, KeptFile, KeyMode, Overrides, Section};
use crate::mistake::Mistake;

use anyhow::Context;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

/// What to do with the configuration.
#[derive(clap::Args, Debug)]
pub struct ConfigArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand, Debug)]
enum Act {
    /// Print the JSON Schema of consentry.toml, for editors
    Schema,
    /// Show what holds, and where each key was set
    ///
    /// Takes the flags of `serve`, so that it can stand in its place. Secrets are not shown.
    Show(ShowArgs),
    /// List the configurations that worked, the newest first
    History(KeptArgs),
    /// Put a configuration back that worked; the one that is replaced is kept beside it
    Rollback(RollbackArgs),
}

#[derive(clap::Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    serve: Box<ServeArgs>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Whose configurations.
#[derive(clap::Args, Debug)]
struct KeptArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The ledger that they are kept beside; left out, the one of the file
    #[arg(long, value_name = "PATH", env = "CONSENTRY_LEDGER__FILE")]
    ledger: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct RollbackArgs {
    /// Which of `consentry config history`; left out, the newest that says something else
    #[arg(value_name = "NUMBER")]
    number: Option<usize>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The ledger that they are kept beside; left out, the one of the file
    #[arg(long, value_name = "PATH", env = "CONSENTRY_LEDGER__FILE")]
    ledger: Option<PathBuf>,
}

/// Runs it; gives the exit code.
pub fn run(args: &ConfigArgs, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let done = match &args.act {
        Act::Schema => schema(out),
        Act::Show(args) => show(args, out, err),
        Act::History(args) => history(args, out),
        Act::Rollback(args) => rollback(args, out, err),
    };
    done.unwrap_or_else(|error| {
        let _ = writeln!(err, "consentry: {error:#}");
        IO
    })
}

fn schema(out: &mut dyn Write) -> anyhow::Result<i32> {
    writeln!(out, "{}", config::schema_text())?;
    Ok(FINE)
}

fn show(args: &ShowArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<i32> {
    let (file, flags) = (args.serve.config.as_deref(), args.serve.overrides());
    let sections = match config::effective(file, config::environment(), &flags) {
        Ok(sections) => sections,
        Err(mistakes) => return tell(&mistakes, err),
    };
    if args.json {
        let sections: Vec<_> = sections.iter().map(as_json).collect();
        writeln!(out, "{:#}", json!({ "sections": sections }))?;
    } else {
        let mut shown = sections.iter().map(in_lines).collect::<Vec<_>>().join("\n");
        shown.truncate(shown.trim_end().len());
        writeln!(out, "{shown}")?;
    }
    // Who looks for a mistake sees what is set all the same.
    match config::load(file, config::environment(), &flags, KeyMode::CheckOnly) {
        Ok(_) => Ok(FINE),
        Err(mistakes) => tell(&mistakes, err),
    }
}

fn tell(mistakes: &[Mistake], err: &mut dyn Write) -> anyhow::Result<i32> {
    for mistake in mistakes {
        writeln!(err, "{mistake}\n")?;
    }
    Ok(CONFIGURATION)
}

/// A section as it would be written, with who set what behind it.
fn in_lines(section: &Section) -> String {
    let lines: Vec<(String, String)> = section
        .settings
        .iter()
        .map(|setting| {
            (format!("{} = {}", setting.key, setting.shown(section)), setting.by.to_string())
        })
        .collect();
    // Longer ones stand out; the others line up.
    let width = lines.iter().map(|(line, _)| line.chars().count()).filter(|n| *n <= 48).max();
    let width = width.unwrap_or_default();
    let mut text = format!("{}\n", section.header);
    for (line, by) in lines {
        text.push_str(&format!("{line:width$}  # {by}\n"));
    }
    text
}

fn as_json(section: &Section) -> serde_json::Value {
    let settings: Vec<_> = section
        .settings
        .iter()
        .map(|setting| {
            let by = setting.by.to_string();
            json!({ "key": setting.key, "value": setting.shown(section), "by": by })
        })
        .collect();
    json!({ "section": section.header, "about": section.about, "settings": settings })
}

fn kept(
    config: Option<&Path>,
    ledger: Option<&PathBuf>,
) -> anyhow::Result<(PathBuf, Vec<KeptFile>)> {
    let flags = Overrides { ledger: ledger.cloned(), ..Overrides::default() };
    let ledger = config::ledger_of(config, config::environment(), &flags);
    let kept = config::kept_files(&ledger);
    let kept = kept.with_context(|| format!("beside the ledger {}", ledger.display()))?;
    Ok((ledger, kept))
}

fn history(args: &KeptArgs, out: &mut dyn Write) -> anyhow::Result<i32> {
    let (ledger, kept) = kept(args.config.as_deref(), args.ledger.as_ref())?;
    if kept.is_empty() {
        return none(&ledger, out);
    }
    let present = args.config.as_deref().and_then(|file| fs::read_to_string(file).ok());
    let present = present.map(|text| config::checksum(&text));
    for (number, kept) in kept.iter().enumerate() {
        let same = if present.as_deref() == Some(&kept.checksum) { "  as in the file" } else { "" };
        let since = kept.since.strftime("%Y-%m-%d %H:%M:%S UTC");
        let (number, path) = (number + 1, kept.path.display());
        writeln!(out, "{number:>2}  {since}  {}  {path}{same}", kept.checksum)?;
    }
    Ok(FINE)
}

fn none(ledger: &Path, out: &mut dyn Write) -> anyhow::Result<i32> {
    writeln!(
        out,
        "no configuration is kept beside the ledger {}: no proxy has served with a file and that ledger yet",
        ledger.display()
    )?;
    Ok(FINDINGS)
}

fn rollback(args: &RollbackArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<i32> {
    let (ledger, kept) = kept(Some(&args.config), args.ledger.as_ref())?;
    if kept.is_empty() {
        return none(&ledger, out);
    }
    let present = match fs::read(&args.config) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).context(args.config.display().to_string()),
    };
    let now = present.as_deref().map(config::checksum);
    let wanted = match args.number {
        Some(number) => number.checked_sub(1).and_then(|at| kept.get(at)),
        None => kept.iter().find(|kept| Some(&kept.checksum) != now.as_ref()),
    };
    let Some(wanted) = wanted else {
        writeln!(out, "there is no such configuration: `consentry config history` lists them")?;
        return Ok(FINDINGS);
    };
    let flags = Overrides { ledger: args.ledger.clone(), ..Overrides::default() };
    let loaded =
        config::load(Some(&wanted.path), config::environment(), &flags, KeyMode::CheckOnly);
    if let Err(mistakes) = loaded {
        writeln!(err, "it would not start any more, so nothing was replaced:\n")?;
        return tell(&mistakes, err);
    }
    let replaced = put_back(&args.config, &wanted.path)?;
    let since = wanted.since.strftime("%Y-%m-%d %H:%M:%S UTC");
    let (file, config) = (args.config.display(), &wanted.checksum);
    writeln!(out, "{file} is again what worked since {since} ({config})")?;
    if let Some(replaced) = replaced {
        writeln!(out, "what stood in it is kept as {}", replaced.display())?;
    }
    writeln!(out, "a running proxy takes it by itself, or by SIGHUP where `reload.watch` is off")?;
    Ok(FINE)
}

/// Puts a kept file in the place of another, which is kept under a name of its
/// own.
fn put_back(file: &Path, kept: &Path) -> anyhow::Result<Option<PathBuf>> {
    // Where it is a link, what it leads to is replaced, and the link stays.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let text = fs::read(kept).with_context(|| kept.display().to_string())?;
    let replaced = file.exists().then(|| free_name(&file));
    if let Some(replaced) = &replaced {
        fs::copy(&file, replaced).with_context(|| replaced.display().to_string())?;
    }
    let fresh = with_ending(&file, ".new");
    let written = write_like(&fresh, &text, &file).and_then(|()| fs::rename(&fresh, &file));
    if written.is_err() {
        // It holds what may be secret.
        let _ = fs::remove_file(&fresh);
    }
    written.with_context(|| file.display().to_string())?;
    Ok(replaced)
}

/// Writes a file that those can read who can read `like`, and nobody else
/// meanwhile.
fn write_like(fresh: &Path, text: &[u8], like: &Path) -> std::io::Result<()> {
    let _ = fs::remove_file(fresh);
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
    out.write_all(text)?;
    if let Ok(about) = fs::metadata(like) {
        let ours = out.metadata()?;
        if (ours.uid(), ours.gid()) != (about.uid(), about.gid()) {
            chown(fresh, Some(about.uid()), Some(about.gid()))?;
        }
        out.set_permissions(about.permissions())?;
    }
    out.sync_all()
}

fn free_name(file: &Path) -> PathBuf {
    let names = (1..).map(|number| with_ending(file, &format!(".replaced-{number}")));
    names.into_iter().find(|name| !name.exists()).unwrap_or_default()
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
