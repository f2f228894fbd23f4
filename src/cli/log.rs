//! `consentry log`: the block log in a terminal, as CSV or as JSON lines.

mod show;
pub(super) mod when;

use crate::ledger;
use crate::ledger::engine::Engine;
use crate::ledger::fleet::{self, Place};
use crate::ledger::read::{Filter, Gap, Line, Reader, VerdictWord};
use crate::purpose::Purpose;
use show::{Shape, Shown};
use when::{since, until};

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXIT_FINE: i32 = 0;
const EXIT_IO: i32 = 74;

const POLL: Duration = Duration::from_millis(500);

/// More than this in one look of `--follow` nobody reads.
const FOLLOW_LINES: usize = 10_000;

/// Shows what was withheld, when, where and why.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    /// The ledger to read; a proxy may be writing it meanwhile. The one that many
    /// proxies share has an address: postgres://officer@db.internal/consentry (the
    /// password may stand in PGPASSWORD)
    #[arg(
        long,
        value_name = "PATH|URL",
        env = "CONSENTRY_LEDGER__FILE",
        default_value = "consentry-data/ledger.db"
    )]
    pub ledger: PathBuf,
    /// From when on: a span back from now (30m, 24h, 7d), a date, or a time (2026-05-01T12:00Z); UTC
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<u64>,
    /// Until when, in the same forms; a date is included
    #[arg(long, value_name = "WHEN", value_parser = until)]
    pub until: Option<u64>,
    /// On the site of that name
    #[arg(long, value_name = "NAME")]
    pub site: Option<String>,
    /// About vendors whose name or id contains this, in whatever case
    #[arg(long, value_name = "TEXT")]
    pub vendor: Option<String>,
    /// About one purpose: necessary, functional, analytics, personalization or marketing
    #[arg(long, value_name = "PURPOSE", value_parser = purpose)]
    pub purpose: Option<Purpose>,
    /// On pages whose path contains this
    #[arg(long, value_name = "TEXT")]
    pub page: Option<String>,
    /// Also what was let through, and why
    #[arg(long)]
    pub all: bool,
    /// How many lines at most, the newest
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub limit: usize,
    /// As JSON, one object a line
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// As CSV
    #[arg(long)]
    pub csv: bool,
    /// Go on and show what comes, until interrupted
    #[arg(long)]
    pub follow: bool,
}

/// Why the log could not be shown.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error("the address of the shared ledger is wrong: {0}")]
    Address(String),
    #[error("cannot write the log: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command; gives the exit code.
///
/// # Errors
/// None at the moment: what goes wrong is told on standard error and is in
/// the exit code.
pub fn run(args: &LogArgs, out: &mut dyn Write) -> anyhow::Result<i32> {
    match show_log(args, out) {
        Ok(()) => Ok(EXIT_FINE),
        // Whoever reads has seen enough: `consentry log | head`.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(EXIT_FINE),
        Err(failure) => {
            tell(&failure.to_string());
            Ok(EXIT_IO)
        }
    }
}

fn show_log(args: &LogArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut log = Log::open(args)?;
    let (lines, gaps) = log.first(args.limit)?;
    if log.cut {
        tell(&format!("Only the newest {} lines are shown; --limit shows more.", args.limit));
    }
    let mut shown = Shown::new(shape(args), terminal_width());
    if lines.is_empty() && gaps.is_empty() && !args.follow {
        return nothing(args, &mut shown, out);
    }
    shown.add(&lines, &gaps, out)?;
    out.flush()?;
    if args.follow {
        follow(&mut log, &mut shown, out)?;
    }
    Ok(())
}

/// Shows what comes, until somebody stops us or nobody reads any more.
fn follow(log: &mut Log, shown: &mut Shown, out: &mut dyn Write) -> Result<(), Failure> {
    loop {
        std::thread::sleep(POLL);
        let (lines, gaps) = log.next()?;
        if log.cut {
            tell(&format!(
                "More than {FOLLOW_LINES} lines came at once; the older ones are left out."
            ));
        }
        shown.add(&lines, &gaps, out)?;
        out.flush()?;
    }
}

/// What is looked into.
enum Source {
    /// A proxy's own ledger.
    Own(Reader),
    /// The one that many proxies share.
    Shared(Engine),
}

impl Source {
    fn open(ledger: &Path) -> Result<Self, Failure> {
        let Some(address) = ledger.to_str().filter(|text| fleet::place::is_address(text)) else {
            return Ok(Self::Own(Reader::open(ledger)?));
        };
        let place = shared_place(address).map_err(Failure::Address)?;
        Ok(Self::Shared(Engine::connect(&place)?))
    }

    fn block_log(&self, filter: &Filter, limit: usize) -> Result<(Vec<Line>, i64), ledger::Error> {
        match self {
            Self::Own(reader) => reader.block_log_and_newest(filter, limit),
            Self::Shared(engine) => fleet::log::block_log(engine, filter, limit),
        }
    }

    fn gaps(&self, filter: &Filter) -> Result<Vec<Gap>, ledger::Error> {
        match self {
            Self::Own(reader) => reader.gaps(filter),
            Self::Shared(engine) => fleet::log::gaps(engine, filter),
        }
    }
}

/// The place of an address that stands on the command line, where a password
/// would be seen by everybody on the machine.
fn shared_place(address: &str) -> Result<Place, String> {
    let ca_file = std::env::var_os("CONSENTRY_LEDGER__POSTGRES_CA_FILE").map(PathBuf::from);
    let place = Place::parse(address, ca_file.as_deref())?;
    Ok(match std::env::var("PGPASSWORD") {
        Ok(password) => place.with_password(&password),
        Err(_) => place,
    })
}

/// Where a look into the log left off.
struct Log {
    source: Source,
    filter: Filter,
    gaps_seen: usize,
    cut: bool,
}

impl Log {
    fn open(args: &LogArgs) -> Result<Self, Failure> {
        let filter = Filter {
            since_ms: args.since,
            until_ms: args.until,
            site: args.site.clone(),
            vendor: args.vendor.clone(),
            purpose: args.purpose,
            page: args.page.clone(),
            verdict: (!args.all).then_some(VerdictWord::Block),
            after_id: None,
            entry: None,
        };
        Ok(Self { source: Source::open(&args.ledger)?, filter, gaps_seen: 0, cut: false })
    }

    fn next(&mut self) -> Result<(Vec<Line>, Vec<Gap>), ledger::Error> {
        self.first(FOLLOW_LINES)
    }

    fn first(&mut self, limit: usize) -> Result<(Vec<Line>, Vec<Gap>), ledger::Error> {
        // One more than is wanted tells whether there is more.
        let (mut lines, newest) = self.source.block_log(&self.filter, limit.saturating_add(1))?;
        self.filter.after_id = Some(newest);
        self.cut = lines.len() > limit;
        if self.cut {
            lines.remove(0);
        }
        let mut gaps = self.source.gaps(&self.filter)?;
        gaps.drain(..self.gaps_seen.min(gaps.len()));
        self.gaps_seen += gaps.len();
        Ok((lines, gaps))
    }
}

/// An empty answer is an answer, and says what it means.
fn nothing(args: &LogArgs, shown: &mut Shown, out: &mut dyn Write) -> Result<(), Failure> {
    let chosen = args.site.is_some()
        || args.vendor.is_some()
        || args.purpose.is_some()
        || args.page.is_some();
    let words = match (args.all, chosen) {
        (false, false) => "Nothing was withheld in that time.",
        (false, true) => "Nothing of that kind was withheld in that time.",
        (true, false) => "Nothing was decided in that time.",
        (true, true) => "Nothing of that kind was decided in that time.",
    };
    match shape(args) {
        Shape::Table => writeln!(out, "{words}")?,
        Shape::Csv | Shape::Json => {
            shown.add(&[], &[], out)?;
            tell(words);
        }
    }
    Ok(out.flush()?)
}

fn shape(args: &LogArgs) -> Shape {
    match (args.json, args.csv) {
        (true, _) => Shape::Json,
        (_, true) => Shape::Csv,
        _ => Shape::Table,
    }
}

fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0)
}

/// Words for the person, apart from the log itself. If nobody can hear them,
/// the log is still right.
fn tell(words: &str) {
    writeln!(io::stderr(), "{words}").ok();
}

pub(super) fn purpose(name: &str) -> Result<Purpose, String> {
    Purpose::from_name(name)
        .ok_or_else(|| format!("expected one of {}", Purpose::ALL.map(Purpose::name).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{block, entry, stranger};
    use crate::ledger::{Entry, Ledger, Settings};
    use crate::policy::Mode;

    use clap::Parser;
    use tempfile::TempDir;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: LogArgs,
    }

    /// 2026-09-21T14:13:20Z.
    const TIME_MS: u64 = 1_790_000_000_000;

    fn args(dir: &TempDir, words: &[&str]) -> LogArgs {
        let path = dir.path().join("ledger.db");
        let start = ["log", "--ledger", path.to_str().unwrap()];
        Command::try_parse_from(start.iter().chain(words)).unwrap().args
    }

    fn shown(dir: &TempDir, words: &[&str]) -> String {
        let mut out = Vec::new();
        assert_eq!(run(&args(dir, words), &mut out).unwrap(), EXIT_FINE);
        String::from_utf8(out).unwrap()
    }

    fn ledger(entries: &[Entry]) -> TempDir {
        let dir = TempDir::new().unwrap();
        let ledger = Ledger::open(Settings::new(dir.path().join("ledger.db"))).unwrap();
        let mut spool = ledger.spool(0).unwrap();
        entries.iter().for_each(|entry| spool.append(entry));
        drop(spool);
        ledger.close().unwrap();
        dir
    }

    #[test]
    fn g1_the_table_says_what_was_withheld_and_why() {
        let observed = Entry {
            mode: Mode::Observe,
            ..entry(TIME_MS + 1500, "/cart", [block("a.example/2.js")])
        };
        let dir = ledger(&[
            entry(TIME_MS, "/", [block("a.example/1.js"), stranger("b.example/x")]),
            observed,
        ]);
        assert_eq!(
            shown(&dir, &[]),
            "time                  site  page   verdict      purpose    vendor    kind    what            reason\n\
             2026-09-21T14:13:20Z  shop  /      block        marketing  Acme Ads  script  a.example/1.js  not granted\n\
             2026-09-21T14:13:21Z  shop  /cart  would block  marketing  Acme Ads  script  a.example/2.js  not granted\n"
        );
        let all = shown(&dir, &["--all", "--page", "/", "--until", "2026-09-21T14:13:21Z"]);
        assert!(
            all.contains("/     allow    -          -         image   b.example/x     unlisted"),
            "{all}"
        );
        assert_eq!(shown(&dir, &["--limit", "1"]).lines().count(), 2);
        assert!(
            shown(&dir, &["--since", "2026-09-22"])
                .starts_with("Nothing was withheld in that time.")
        );
        assert!(
            shown(&dir, &["--vendor", "nobody"]).starts_with("Nothing of that kind was withheld")
        );
        assert_eq!(shown(&dir, &["--json", "--vendor", "nobody"]), "");
    }

    #[test]
    fn hostile_text_is_harmless_in_every_shape() {
        let names = ["=cmd()", "\u{1b}[31mred", "a\u{202e}cod.js", "x\",\"y"];
        let dir = ledger(&[entry(TIME_MS, "/", names.map(block))]);
        let table = shown(&dir, &[]);
        assert_eq!(table.lines().count(), 5);
        let csv = shown(&dir, &["--csv"]);
        let json = shown(&dir, &["--json"]);
        for text in [&table, &csv, &json] {
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        }
        assert!(table.contains("\\u{1b}[31mred"), "{table}");
        assert!(csv.starts_with("time,site,page,verdict,"), "{csv}");
        assert!(csv.contains(",'=cmd(),") && csv.contains(",\"x\"\",\"\"y\","), "{csv}");
        let mut whats: Vec<String> = json
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["what"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        whats.sort_unstable();
        assert_eq!(whats, ["\u{1b}[31mred", "=cmd()", "a\u{202e}cod.js", "x\",\"y"]);
        assert!(json.starts_with("{\"time\":\"2026-09-21T14:13:20Z\",\"entry\":1,"), "{json}");
    }

    #[test]
    fn following_shows_each_line_once() {
        let dir = ledger(&[entry(TIME_MS, "/", [block("one")])]);
        let mut log = Log::open(&args(&dir, &["--follow"])).unwrap();
        let whats = |(lines, _): (Vec<Line>, Vec<Gap>)| {
            lines.into_iter().map(|line| line.what).collect::<Vec<_>>()
        };
        assert_eq!(whats(log.first(10).unwrap()), ["one"]);
        assert_eq!(whats(log.next().unwrap()), [] as [String; 0]);
        let ledger = Ledger::open(Settings::new(dir.path().join("ledger.db"))).unwrap();
        let mut spool = ledger.spool(0).unwrap();
        // Written later, though it happened earlier.
        spool.append(&entry(TIME_MS - 1, "/", [block("two")]));
        ledger.flush().unwrap();
        assert_eq!(whats(log.next().unwrap()), ["two"]);
        assert_eq!(whats(log.next().unwrap()), [] as [String; 0]);
    }

    #[test]
    fn a_terminal_gets_lines_that_fit() {
        let dir = ledger(&[entry(TIME_MS, "/", [block("a.example/1.js")])]);
        let (lines, gaps) = Log::open(&args(&dir, &[])).unwrap().first(10).unwrap();
        let mut out = Vec::new();
        Shown::new(Shape::Table, Some(30)).add(&lines, &gaps, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.ends_with("\n2026-09-21T14:13:20Z  shop  /…\n"), "{out}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let gap =
            |lost| Gap { time_ms: TIME_MS, since_ms: TIME_MS - 1000, lost, why: "full\n".into() };
        let mut out = Vec::new();
        Shown::new(Shape::Table, None).add(&[], &[gap(3)], &mut out).unwrap();
        Shown::new(Shape::Json, None).add(&[], &[gap(1)], &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "3 entries are missing between 2026-09-21T14:13:19Z and 2026-09-21T14:13:20Z: full\\u{a}\n\
             {\"gap\":{\"time_ms\":1790000000000,\"since_ms\":1789999999000,\"lost\":1,\"why\":\"full\\n\"}}\n"
        );
    }

    #[test]
    fn mistakes_are_told_with_the_right_exit_code() {
        let dir = TempDir::new().unwrap();
        assert_eq!(run(&args(&dir, &[]), &mut Vec::new()).unwrap(), 74);
        for (words, told) in [
            (["--since", "yesterday"], "a span back from now (30m, 24h, 7d), a date"),
            (["--purpose", "Marketing"], "expected one of necessary, functional"),
            (["--json", "--csv"], "cannot be used with"),
        ] {
            let error = Command::try_parse_from(["log"].iter().chain(&words)).err().unwrap();
            assert!(error.to_string().contains(told), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let dir = ledger(&[entry(TIME_MS, "/", [block("a")])]);
        for words in [&[][..], &["--csv"], &["--json"]] {
            assert_eq!(run(&args(&dir, words), &mut Closed).unwrap(), 0);
        }
    }
}
