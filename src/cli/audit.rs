//! `consentry audit`: what would be withheld or let through in each state of
//! consent, held against a policy, for a site that is not in front of anybody
//! yet.

mod args;
mod browser;
mod crawl;
mod fetch;
mod folder;

pub use args::AuditArgs;

use crate::audit::{
    Asked, AuditedPage, Baseline, Format, Gate, Har, Judge, Outcome, Paper, Report, State, Terms,
    states,
};
use crate::cli::check::counted;
use crate::cli::{FINDINGS, FINE, USAGE};
use crate::config::{self, Compiled, KeyMode, Overrides};
use crate::ledger::plain;
use crate::site::Site;
use args::{Target, pair};
use browser::{Browser, Visitor};
use crawl::{Bounds, Crawl};
use fetch::Fetcher;

use anyhow::{Context, bail};
use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The largest file that is read, in bytes. Sessions have hundreds of
/// megabytes when their bodies were saved, too.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Looks, and says what was found; the exit code: 0 when nothing is against the
/// policy, 1 when something is, 2 when it could not be done.
pub fn run(args: &AuditArgs, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    match audit(args, out, err) {
        Ok(true) => FINE,
        Ok(false) => FINDINGS,
        Err(error) => {
            let text = format!("{error:#}");
            let lines: Vec<_> = text.lines().map(plain::text).collect();
            let _ = writeln!(err, "consentry audit: {}", lines.join("\n"));
            USAGE
        }
    }
}

/// Whether it is clean.
fn audit(args: &AuditArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<bool> {
    let compiled = load(args)?;
    let catalogue = Arc::clone(&compiled.catalogue);
    let mut terms = match &args.policy {
        Some(path) => {
            let name = path.display().to_string();
            let text = read_text(path)?;
            Terms::read(&name, &text, &catalogue).map_err(|mistakes| all(&mistakes))?
        }
        None => Terms::default(),
    };
    if !args.fail_on.is_empty() {
        terms.fail_on.clone_from(&args.fail_on);
    }
    let baseline = match args.baseline.as_deref().filter(|_| !args.write_baseline) {
        Some(path) => Some(Baseline::read(&path.display().to_string(), &read_text(path)?)?),
        None => None,
    };
    let (judge, pages) = look(args, &compiled)?;
    if pages.is_empty() {
        bail!("there is no page to look at in {}", args.target);
    }
    if let [AuditedPage { trouble: Some(trouble), things, name, .. }] = pages.as_slice()
        && things.is_empty()
    {
        bail!("{name}: {trouble}");
    }
    let report = Report {
        target: args.target.clone(),
        observed_in: observed_in(args, &judge.states)?,
        states: judge.states.clone(),
        pages,
        revision: judge.rules("/").policy.revision().to_string(),
    };
    let gate = Gate { terms: &terms, baseline: baseline.as_ref(), site: &judge.site };
    if args.write_baseline {
        return write_baseline(args, &report, &gate, err);
    }
    let findings = gate.findings(&report);
    let gone = baseline.as_ref().map(|baseline| baseline.gone(&report).collect());
    let outcome = Outcome { report: &report, findings: &findings, gone };
    show(args, &outcome, out)?;
    if !io::stderr().is_terminal() {
        let pages = counted(report.pages.len(), "page");
        let findings = counted(findings.len(), "finding");
        let _ = writeln!(err, "consentry audit: {pages}, {findings}");
    }
    Ok(findings.is_empty())
}

fn load(args: &AuditArgs) -> anyhow::Result<Compiled> {
    let overrides = Overrides {
        catalogue: args.catalogue.clone(),
        lists: args.lists.clone(),
        // What is not in front of an origin can be looked at all the same.
        origin: args.config.is_none().then(|| "http://127.0.0.1:3000".to_owned()),
        ..Overrides::default()
    };
    let (file, variables) = (args.config.as_deref(), config::environment());
    config::load(file, variables, &overrides, KeyMode::CheckOnly).map_err(|found| all(&found))
}

fn all(mistakes: &[crate::mistake::Mistake]) -> anyhow::Error {
    let texts: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("\n{}", texts.join("\n"))
}

fn look(args: &AuditArgs, compiled: &Compiled) -> anyhow::Result<(Judge, Vec<AuditedPage>)> {
    let kind = args.kind()?;
    if args.browser && !matches!(kind, Target::Site(_)) {
        bail!("--browser opens the pages of a site: give its address, not {}", args.target);
    }
    match kind {
        Target::Site(url) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(look_at_site(args, compiled, &url))
        }
        Target::Folder(folder) => {
            let found = folder::pages_in(&folder)
                .with_context(|| format!("{} cannot be read", folder.display()))?;
            let judge = judge(args, compiled, None)?;
            let mut pages = Vec::new();
            for path in &found.pages {
                pages.push(look_at_file(path, &folder, &judge)?);
            }
            for path in &found.scripts {
                pages.extend(look_at_script(path, &folder, &judge)?);
            }
            Ok((judge, pages))
        }
        Target::Page(path) => {
            let judge = judge(args, compiled, None)?;
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            let page = look_at_file(&path, &folder, &judge)?;
            Ok((judge, vec![page]))
        }
        Target::Session(path) => {
            let har = Har::read(&read(&path)?).with_context(|| path.display().to_string())?;
            let judge = judge(args, compiled, har.host())?;
            let pages = har.pages(&judge);
            Ok((judge, pages))
        }
    }
}

async fn look_at_site(
    args: &AuditArgs,
    compiled: &Compiled,
    url: &Url,
) -> anyhow::Result<(Judge, Vec<AuditedPage>)> {
    let cookies = cookies(args)?;
    let patience = Duration::from_secs(args.timeout_s);
    let brought = crate::audit::cookie_field(&cookies);
    let fetcher = Fetcher::new(args.ca_file.as_deref(), patience, brought)?;
    let first = fetcher.get(url).await.with_context(|| url.to_string())?;
    if first.body.is_none() {
        let kind = first.content_type().unwrap_or_default().to_owned();
        bail!("{url} is neither a page nor a site map, but {kind}");
    }
    let judge = judge(args, compiled, first.url.host_str())?;
    let told = io::stderr().is_terminal();
    let progress = |count: usize, page: &str| {
        if told {
            let most = args.max_pages;
            let _ = writeln!(io::stderr(), "{count}/{most} {}", plain::text(page));
        }
    };
    let browser = match args.browser {
        true => Some(RefCell::new(Browser::find(args.browser_path.as_deref(), visitor(args)?)?)),
        false => None,
    };
    let watch = |url: &Url, page: &mut AuditedPage| {
        if let Some(browser) = &browser {
            browser.borrow_mut().look(url, &judge, page);
        }
    };
    let bounds = Bounds { pages: args.max_pages, depth: args.max_depth };
    let crawl =
        Crawl { fetcher: &fetcher, judge: &judge, bounds, progress: &progress, watch: &watch };
    let pages = crawl.run(first).await;
    Ok((judge, pages))
}

fn judge(args: &AuditArgs, compiled: &Compiled, asked: Option<&str>) -> anyhow::Result<Judge> {
    judge_of(compiled, args.host.as_deref(), asked, &cookies(args)?)
}

/// Who judges: by the site that was named, or the host that was asked.
pub(super) fn judge_of(
    compiled: &Compiled,
    named: Option<&str>,
    asked: Option<&str>,
    cookies: &[(String, String)],
) -> anyhow::Result<Judge> {
    let sites = &compiled.sites;
    let named = named.map(str::to_ascii_lowercase);
    let wanted = named.as_deref().or(asked);
    let found = wanted.and_then(|host| sites.find(host));
    let mut every = sites.iter();
    let (site, host) = match (found, every.next(), every.next()) {
        (Some(site), ..) => (site, wanted.map(str::to_owned)),
        // What is built for one site is looked at as that site, wherever it is.
        (None, Some(site), None) if named.is_none() => (site, site.hosts.first().cloned()),
        (None, ..) => bail!(
            "no site in the configuration answers to the host `{}`; say which it is with --host",
            wanted.unwrap_or("(none)")
        ),
    };
    let first = || site.hosts.first().cloned().unwrap_or_else(|| "site.invalid".to_owned());
    let host = host.unwrap_or_else(first);
    let now = jiff::Timestamp::now();
    let states = states(&Asked {
        site,
        host: &host,
        cookies,
        now_s: u64::try_from(now.as_second()).unwrap_or_default(),
    });
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    Ok(Judge { site: Arc::<Site>::clone(site), host, states, today })
}

fn cookies(args: &AuditArgs) -> anyhow::Result<Vec<(String, String)>> {
    args.cookie.iter().map(|text| pair("--cookie", text)).collect()
}

/// Who comes to the site in the browser.
fn visitor(args: &AuditArgs) -> anyhow::Result<Visitor> {
    let stored = args.local_storage.iter().map(|text| pair("--local-storage", text));
    Ok(Visitor {
        cookies: cookies(args)?,
        local_storage: stored.collect::<anyhow::Result<_>>()?,
        quiet: Duration::from_secs(args.quiet_s),
        patience: Duration::from_secs(args.timeout_s),
    })
}

/// The state in which what is observed happens.
fn observed_in(args: &AuditArgs, states: &[State]) -> anyhow::Result<Option<usize>> {
    let silent = args.browser.then_some("undecided");
    let Some(name) = args.state.as_deref().or(silent) else { return Ok(None) };
    let found = states.iter().position(|state| state.name == name);
    let names: Vec<_> = states.iter().map(|state| state.name).collect();
    let names = names.join(", ");
    Ok(Some(found.with_context(|| format!("--as: no state is called `{name}`, but {names}"))?))
}

fn look_at_file(path: &Path, folder: &Path, judge: &Judge) -> anyhow::Result<AuditedPage> {
    let body = read(path)?;
    let url = address(path, folder, judge)?;
    let name = path.display().to_string();
    let mut page = AuditedPage { name, is_file: true, ..AuditedPage::default() };
    judge.document(&Paper { url: &url, content_type: None, body: &body }, &mut page);
    Ok(page)
}

/// A script of the site's own, where it turns out to be a vendor's.
fn look_at_script(
    path: &Path,
    folder: &Path,
    judge: &Judge,
) -> anyhow::Result<Option<AuditedPage>> {
    let code = read(path)?;
    let url = address(path, folder, judge)?;
    let name = path.display().to_string();
    let mut page = AuditedPage { name, is_file: true, ..AuditedPage::default() };
    judge.own_script(&url, &code, &mut page);
    Ok((!page.things.is_empty()).then_some(page))
}

/// Where visitors would find a file.
fn address(path: &Path, folder: &Path, judge: &Judge) -> anyhow::Result<Url> {
    let mut url = Url::parse(&format!("https://{}/", judge.host))?;
    let inside = path.strip_prefix(folder).unwrap_or(path);
    let parts = inside.components().map(|part| part.as_os_str().to_string_lossy());
    let parts: Vec<_> = parts.collect();
    url.set_path(&parts.join("/"));
    Ok(url)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("{} cannot be read", path.display());
    let size = std::fs::metadata(path).with_context(failed)?.len();
    if size > MAX_FILE_BYTES {
        bail!("{} is larger than {} MB", path.display(), MAX_FILE_BYTES >> 20);
    }
    std::fs::read(path).with_context(failed)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(read(path)?).with_context(|| format!("{} is not UTF-8", path.display()))
}

fn write_baseline(
    args: &AuditArgs,
    report: &Report,
    gate: &Gate<'_>,
    err: &mut dyn Write,
) -> anyhow::Result<bool> {
    let path = args.baseline.as_deref().context("--write-baseline needs --baseline FILE")?;
    let baseline = Baseline::taken_of(report, gate);
    let failed = || format!("{} cannot be written", path.display());
    std::fs::write(path, baseline.text()?).with_context(failed)?;
    let things = counted(baseline.len(), "thing");
    writeln!(err, "consentry audit: {things} written to {}", path.display())?;
    Ok(true)
}

fn show(args: &AuditArgs, outcome: &Outcome<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    let format = args.format.unwrap_or(Format::Text);
    match &args.output {
        Some(path) => {
            let failed = || format!("{} cannot be written", path.display());
            let mut file = io::BufWriter::new(std::fs::File::create(path).with_context(failed)?);
            outcome.write(format, &mut file).and_then(|()| file.flush()).with_context(failed)
        }
        None => match outcome.write(format, out).and_then(|()| out.flush()) {
            // Whoever stopped listening still gets the exit code.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("standard output cannot be written"),
        },
    }
}
