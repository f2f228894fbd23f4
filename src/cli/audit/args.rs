//! What `consentry audit` is told.

use crate::audit::{Fault, Format};

use anyhow::{Context, bail};
use std::path::PathBuf;
use url::Url;

/// Says what would be withheld or let through in each state of consent.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing is against the policy, 1 something is, 2 it could not be done (a wrong flag, a \
                  file or site that cannot be read, a wrong configuration: unlike in the other commands, all of it \
                  is 2)."
)]
pub struct AuditArgs {
    /// What to look at: a site, a folder with pages, one page, or a recorded
    /// session (HAR 1.2)
    #[arg(value_name = "URL | FOLDER | PAGE.html | SESSION.har")]
    pub target: String,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A catalogue file of your own; may be given several times
    #[arg(long, value_name = "PATH")]
    pub catalogue: Vec<PathBuf>,
    /// A filter list; may be given several times
    #[arg(long, value_name = "PATH")]
    pub lists: Vec<PathBuf>,
    /// The site's host, to tell its own addresses from others; by default the
    /// one that was asked, or the first in the configuration
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// What is tolerated, allowed and forbidden (docs/audit.md)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// What counts as a finding, separated by commas, instead of what the
    /// policy file says
    #[arg(long, value_name = "FAULTS", value_delimiter = ',', value_enum)]
    pub fail_on: Vec<Fault>,
    /// What was there before does not count; what is not in it does
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write the baseline instead of asking it
    #[arg(long, requires = "baseline")]
    pub write_baseline: bool,
    /// What to write
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<Format>,
    /// The file to write; standard output otherwise
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How many pages of a site are looked at: those of its site map, and those
    /// that are linked to
    #[arg(long, value_name = "N", default_value = "20", value_parser = positive)]
    pub max_pages: usize,
    /// Over how many links a page may be away
    #[arg(long, value_name = "N", default_value = "3")]
    pub max_depth: usize,
    /// How long a page may take
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout_s: u64,
    /// Authorities that are trusted, too, PEM
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// A cookie that the visitor brings along, such as the one in which another
    /// consent tool keeps a choice; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub cookie: Vec<String>,
    /// Open each page in an installed Chromium, too, and see what its scripts
    /// ask for later, which cookies are set and what is stored
    #[arg(long)]
    pub browser: bool,
    /// The browser's program; by default the one that is found on the PATH
    #[arg(long, value_name = "FILE", requires = "browser")]
    pub browser_path: Option<PathBuf>,
    /// What the visitor has in localStorage, such as the choice that another
    /// consent tool keeps there; may be given several times
    #[arg(long, value_name = "KEY=VALUE", requires = "browser")]
    pub local_storage: Vec<String>,
    /// How long nothing must happen on a page before it counts as done
    #[arg(long, value_name = "SECONDS", default_value = "3", requires = "browser", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub quiet_s: u64,
    /// The state of the visitor whose session was recorded, or who is in the
    /// browser (there it is undecided unless this says otherwise): what
    /// happened although that state withholds it has leaked
    #[arg(long = "as", value_name = "STATE")]
    pub state: Option<String>,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("it is no number".to_owned()),
    }
}

/// What is looked at.
pub(super) enum Target {
    Site(Url),
    Folder(PathBuf),
    Page(PathBuf),
    Session(PathBuf),
}

impl AuditArgs {
    pub(super) fn kind(&self) -> anyhow::Result<Target> {
        let target = &self.target;
        if target.starts_with("http://") || target.starts_with("https://") {
            return Ok(Target::Site(Url::parse(target).with_context(|| target.clone())?));
        }
        let path = PathBuf::from(target);
        if path.is_dir() {
            return Ok(Target::Folder(path));
        }
        if !path.exists() {
            bail!("{target} is no file or folder; an address begins with http:// or https://");
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        Ok(match ending.to_ascii_lowercase().as_str() {
            "har" | "json" => Target::Session(path),
            _ => Target::Page(path),
        })
    }
}

/// `name=value`.
pub(super) fn pair(flag: &str, text: &str) -> anyhow::Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        Some(_) | None => bail!("{flag} {text}: write it as name=value"),
    }
}
