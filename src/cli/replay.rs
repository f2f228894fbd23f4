//! `consentry replay`: what another policy, catalogue or list would have made
//! of what was recorded.

use crate::audit::{ARCHIVE_VERSION, AuditedPage, Judge, Recorded};
use crate::cli::audit::judge_of;
use crate::cli::check::counted;
use crate::cli::{FINDINGS, FINE, IO};
use crate::config::{self, Compiled, KeyMode, Overrides};
use crate::ledger::plain;

use anyhow::{Context, bail};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Decides again about what was recorded, under one policy and another.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 both decide the same, 1 they do not, 74 it could not be done."
)]
pub struct ReplayArgs {
    /// The archive that `consentry record` made
    #[arg(value_name = "DIR")]
    pub archive: PathBuf,
    /// The configuration as it is
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Catalogue files as they are, of your own
    #[arg(long, value_name = "PATH")]
    pub catalogue: Vec<PathBuf>,
    /// Filter lists as they are
    #[arg(long, value_name = "PATH")]
    pub lists: Vec<PathBuf>,
    /// The configuration to try; by default the one as it is
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Catalogue files to try, instead of those as they are
    #[arg(long, value_name = "PATH")]
    pub against_catalogue: Vec<PathBuf>,
    /// Filter lists to try, instead of those as they are
    #[arg(long, value_name = "PATH")]
    pub against_lists: Vec<PathBuf>,
    /// The site's host, where the configuration has several
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// The largest file of an archive that is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// One thing about which the two differ, in one direction.
#[derive(Debug, Serialize)]
struct Change {
    change: &'static str,
    kind: &'static str,
    what: String,
    vendor: Option<String>,
    /// The states in which they differ.
    states: Vec<&'static str>,
    /// Pages it is on, without ids.
    pages: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Difference {
    consentry_replay: u32,
    answers: usize,
    newly_blocked: usize,
    newly_allowed: usize,
    changes: Vec<Change>,
}

/// Replays; the exit code.
pub fn run(args: &ReplayArgs, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let done = replay(args).and_then(|difference| {
        let code = if difference.changes.is_empty() { FINE } else { FINDINGS };
        match show(&difference, args.json, out) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(code),
        }
    });
    done.unwrap_or_else(|error| {
        let text = format!("{error:#}");
        let lines: Vec<_> = text.lines().map(plain::text).collect();
        let _ = writeln!(err, "consentry replay: {}", lines.join("\n"));
        IO
    })
}

fn replay(args: &ReplayArgs) -> anyhow::Result<Difference> {
    let or =
        |new: &[PathBuf], old: &[PathBuf]| if new.is_empty() { old.to_vec() } else { new.to_vec() };
    let before = load(args.config.as_deref(), &args.catalogue, &args.lists)?;
    let after = load(
        args.against.as_deref().or(args.config.as_deref()),
        &or(&args.against_catalogue, &args.catalogue),
        &or(&args.against_lists, &args.lists),
    )?;
    let host = args.host.as_deref();
    let judges = [judge_of(&before, host, None, &[])?, judge_of(&after, host, None, &[])?];
    let recorded = read(&args.archive)?;
    if recorded.is_empty() {
        bail!("nothing was recorded in {}", args.archive.display());
    }
    let mut changes: BTreeMap<(&'static str, &'static str, String), Change> = BTreeMap::new();
    for (answer, body) in &recorded {
        let [before, after] = judges.each_ref().map(|judge| {
            let mut page = AuditedPage::default();
            answer.judge(body.as_deref(), judge, &mut page);
            page
        });
        differ(&judges, [&before, &after], &answer.target, &mut changes);
    }
    let changes: Vec<_> = changes.into_values().collect();
    let count = |name| changes.iter().filter(|change| change.change == name).count();
    Ok(Difference {
        consentry_replay: 1,
        answers: recorded.len(),
        newly_blocked: count("newly blocked"),
        newly_allowed: count("newly allowed"),
        changes,
    })
}

/// Notes in which states the one withholds what the other lets through. What
/// is not there at all is not withheld.
fn differ(
    judges: &[Judge; 2],
    pages: [&AuditedPage; 2],
    target: &str,
    changes: &mut BTreeMap<(&'static str, &'static str, String), Change>,
) {
    let mut seen: BTreeMap<(&'static str, &str), [Vec<bool>; 2]> = BTreeMap::new();
    let mut vendors: BTreeMap<(&'static str, &str), String> = BTreeMap::new();
    let [judge, _] = judges;
    for (side, page) in pages.into_iter().enumerate() {
        for thing in &page.things {
            let key = (thing.kind.name(), thing.what.as_str());
            let none = || [(); 2].map(|()| vec![false; judge.states.len()]);
            let withheld = seen.entry(key).or_insert_with(none);
            for (state, withheld) in withheld.get_mut(side).into_iter().flatten().enumerate() {
                *withheld |= thing.is_withheld(state);
            }
            if let Some(vendor) = &thing.vendor {
                vendors.insert(key, vendor.name.clone());
            }
        }
    }
    for ((kind, what), [before, after]) in seen {
        for (name, [without, with]) in
            [("newly blocked", [&before, &after]), ("newly allowed", [&after, &before])]
        {
            let both = without.iter().zip(with).zip(&judge.states);
            let states: Vec<_> = both
                .filter(|((without, with), _)| !**without && **with)
                .map(|(_, state)| state.name)
                .collect();
            if states.is_empty() {
                continue;
            }
            let change = changes.entry((name, kind, what.to_owned())).or_insert_with(|| Change {
                change: name,
                kind,
                what: what.to_owned(),
                vendor: vendors.get(&(kind, what)).cloned(),
                states: Vec::new(),
                pages: Vec::new(),
            });
            for state in states {
                if !change.states.contains(&state) {
                    change.states.push(state);
                }
            }
            if !change.pages.iter().any(|page| page == target) {
                change.pages.push(target.to_owned());
            }
        }
    }
}

fn load(file: Option<&Path>, catalogue: &[PathBuf], lists: &[PathBuf]) -> anyhow::Result<Compiled> {
    let flags = Overrides {
        catalogue: catalogue.to_vec(),
        lists: lists.to_vec(),
        // Nothing is asked of an origin here.
        origin: file.is_none().then(|| "http://127.0.0.1:3000".to_owned()),
        ..Overrides::default()
    };
    config::load(file, config::environment(), &flags, KeyMode::CheckOnly).map_err(|mistakes| {
        let texts: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("\n{}", texts.join("\n"))
    })
}

/// Everything in an archive, with the bodies that were kept.
fn read(archive: &Path) -> anyhow::Result<Vec<(Recorded, Option<Vec<u8>>)>> {
    let bytes = |path: &Path| {
        let failed = || format!("{} cannot be read", path.display());
        let size = std::fs::metadata(path).with_context(failed)?.len();
        if size > MAX_BYTES {
            bail!("{} is larger than {} MB", path.display(), MAX_BYTES >> 20);
        }
        std::fs::read(path).with_context(failed)
    };
    let head: serde_json::Value = serde_json::from_slice(&bytes(&archive.join("archive.json"))?)
        .with_context(|| format!("{} is no archive", archive.display()))?;
    if head.get("consentry_archive").and_then(serde_json::Value::as_u64)
        != Some(u64::from(ARCHIVE_VERSION))
    {
        bail!("{} is no archive of version {ARCHIVE_VERSION}", archive.display());
    }
    let path = archive.join("exchanges.jsonl");
    let text = String::from_utf8(bytes(&path)?)
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let recorded: Recorded = serde_json::from_str(line)
            .with_context(|| format!("{}:{}: it is no answer", path.display(), index + 1))?;
        let body = match &recorded.body {
            // Its name comes out of a file, and goes nowhere else.
            Some(name) if name.bytes().all(|byte| byte.is_ascii_hexdigit()) && !name.is_empty() => {
                Some(bytes(&archive.join("bodies").join(name))?)
            }
            Some(_) => bail!("{}:{}: it names no body", path.display(), index + 1),
            None => None,
        };
        all.push((recorded, body));
    }
    Ok(all)
}

fn show(difference: &Difference, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        let text = serde_json::to_string_pretty(difference)?;
        return text.lines().try_for_each(|line| writeln!(out, "{}", plain::json(line)));
    }
    for change in &difference.changes {
        let vendor = change.vendor.as_deref().unwrap_or("-");
        let what = format!("{}  {:10}  {}  {vendor}", change.change, change.kind, change.what);
        writeln!(out, "{}", plain::text(&what))?;
        writeln!(out, "    when {}", change.states.join(", "))?;
        let (shown, more) = change.pages.split_at(change.pages.len().min(3));
        let more =
            if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        writeln!(out, "    on {}{more}", plain::text(&shown.join(", ")))?;
    }
    let Difference { newly_blocked, newly_allowed, answers, .. } = difference;
    let answers = counted(*answers, "answer");
    writeln!(out, "{newly_blocked} newly blocked, {newly_allowed} newly allowed, in {answers}")
}
