//! The operator's file, read, checked and compiled.
//!
//! Nothing else reads it, and nothing reads it twice: what comes out is what
//! the proxy works with. A file with mistakes yields the mistakes, all of
//! them, and nothing else, so a bad one never replaces a working one.

mod acme;
mod admin;
mod at_start;
mod classified;
mod effective;
mod file;
mod last_good;
mod layers;
mod outside;
mod findings;
mod keys;
mod ledger;
mod listening;
mod lists;
mod schema;
mod scripts;
mod shape;
mod signals;
mod sites;
mod stamps;
mod exceptions;
mod notice;
mod origins;
mod ownership;
mod dark_patterns;
mod watching;
mod written_listener;
mod written_operation;
mod written_site;

pub use acme::WrittenAcme;
pub use admin::{Admin, AdminToken as WrittenToken, AdminUser as WrittenUser};
pub use at_start::AtStart;
pub use classified::{changed, classified_text, keep_classified};
pub use effective::{Difference, Section, SetBy, Setting, differences, effective, understood};
pub use file::{
    Catalogue as CatalogueFiles, Consent, Danger, Dns, File, ListSource as WrittenList, Lists, Log,
    LogFormat, LogLevel, Origin, defaults, list_defaults,
};
pub use last_good::{KeptFile, checksum, keep_good, kept_files, ledger_of};
pub use ledger::Ledger;
pub use lists::{Cache, FilterLists, ListSource, Location, Record, Refresher};
pub use notice::Notice as WrittenNotice;
pub use origins::WrittenHealth;
pub use outside::{Overrides, environment};
pub use ownership::WrittenOwnership;
pub use schema::{schema, schema_text};
pub use signals::{WrittenIds, WrittenRegions};
pub use stamps::Stamps;
pub use watching::{WrittenAlerts, WrittenSelfCheck};
pub use written_listener::{Limits, Listener, Timeouts, WrittenCertificate};
pub use written_operation::{Reload, WrittenAccessLog, WrittenOtlp};
pub use written_site::{Exception as WrittenException, Route as WrittenRoute, Site as WrittenSite};

use crate::catalogue::{Catalogue, EMBEDDED, SourceFile};
use crate::dashboard;
use crate::enforce::browser::GuardFiles;
use crate::ledger::Retention;
use crate::ledger::fleet::Place;
use crate::mistake::Mistake;
use crate::observe::access_log;
use crate::policy::Aliases;
use crate::proxy;
use crate::site::Sites;
use crate::watch::{alerts, otlp, self_check};
use classified::{Classified, Known};
use findings::Findings;
use layers::Sources;

use std::mem::take;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything an operator can set, ready to use.
#[derive(Debug)]
pub struct Compiled {
    /// For the listener and the origins.
    pub proxy: proxy::Settings,
    /// The sites in our care.
    pub sites: Sites,
    /// Where decisions are remembered.
    pub ledger_file: PathBuf,
    /// How long what of it is kept.
    pub retention: Retention,
    /// The ledger that many proxies share, to which they are sent.
    pub fleet: Option<Place>,
    /// Filter lists, and what we have of them.
    pub lists: FilterLists,
    /// Where the operator and the privacy officer connect.
    pub admin: SocketAddr,
    /// Who may enter the dashboard.
    pub dashboard: dashboard::Settings,
    /// How the sites are looked at from outside.
    pub self_check: self_check::Settings,
    /// Who is told what has to be known.
    pub alerts: alerts::Settings,
    /// What is said on the way.
    pub log: Log,
    /// Ours and the operator's, which all sites share.
    pub catalogue: Arc<Catalogue>,
    /// What works, but not as the operator may think.
    pub warnings: Vec<String>,
    /// The configuration and the operator's catalogue files, each with a
    /// number that is another one when something else stands in it.
    pub written: Vec<(String, u64)>,
    /// What is right, and good to know.
    pub notes: Vec<String>,
    /// Where a line for every exchange goes.
    pub access_log: Option<access_log::Settings>,
    /// The collector of traces and figures.
    pub otlp: Option<otlp::Settings>,
    /// When all of it is read again.
    pub reload: Reload,
    /// What holds until the next start.
    pub at_start: AtStart,
    /// What stands in the file; nothing where there is none.
    pub text: String,
}

/// Whether missing consent keys are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMode {
    /// They are, and stay for the next start.
    Create,
    /// Nothing is written anywhere: the keys die with the process.
    CheckOnly,
}

/// Reads, checks and compiles what the operator set: `flags` win over
/// `variables` (see [`environment`]), which win over `file`.
///
/// # Errors
/// All mistakes found, not only the first; only what keeps the file from being
/// read at all stands alone.
pub fn load(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    flags: &Overrides,
    key_mode: KeyMode,
) -> Result<Compiled, Vec<Mistake>> {
    load_classified(file, variables, flags, key_mode, None)
}

/// The same, as if `classified` stood in the file with what was decided on the
/// dashboard.
///
/// # Errors
/// As for [`load`].
pub fn load_classified(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    flags: &Overrides,
    key_mode: KeyMode,
    classified: Option<&str>,
) -> Result<Compiled, Vec<Mistake>> {
    load_stamped(file, variables, flags, key_mode, classified).0
}

/// The same, with the files that were read on the way: they make the
/// configuration, or what is wrong with it.
pub fn load_stamped(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    flags: &Overrides,
    key_mode: KeyMode,
    classified: Option<&str>,
) -> (Result<Compiled, Vec<Mistake>>, Stamps) {
    let mut stamps = Stamps::default();
    let mut mistakes = Vec::new();
    let mut settings = outside::from_environment(variables, &mut stamps, &mut mistakes);
    settings.extend(flags.settings(&mut mistakes));
    if let Some(path) = file {
        stamps.look_at(path);
    }
    let name = file.map_or("configuration".to_owned(), |path| path.display().to_string());
    let text = match file.map(std::fs::read_to_string).transpose() {
        Ok(text) => text.unwrap_or_default(),
        Err(error) => {
            mistakes.push(Mistake::in_file(&name, format!("cannot be read: {error}")));
            return (Err(mistakes), stamps);
        }
    };
    let sources = Sources { file: &name, text: &text, settings: &settings };
    match sources.read() {
        Ok(file) => {
            let mut findings = Findings::new(&sources, mistakes);
            findings.stamps = stamps;
            let compiled = compile(file, &mut findings, key_mode, classified);
            (compiled.ok_or(findings.mistakes), findings.stamps)
        }
        Err(found) => {
            mistakes.extend(found);
            (Err(mistakes), stamps)
        }
    }
}

fn compile(
    mut file: File,
    findings: &mut Findings<'_>,
    key_mode: KeyMode,
    classified: Option<&str>,
) -> Option<Compiled> {
    let ledger_file = ledger::file(&file.ledger, findings);
    let mut sources = catalogue_files(&file, findings);
    let written = findings.written(sources.get(EMBEDDED.len()..).unwrap_or_default());
    let known = Known::new(&file.site, &sources);
    let classified = Classified::read(&ledger_file, classified, &known, findings);
    classified.put_over(&mut file.site, findings);
    let file = &file;
    let proxy = listening::proxy(file, &ledger_file, findings);
    let admin = listening::admin(file, &proxy, findings);
    let dashboard = admin::settings(&file.admin, &proxy.trusted_proxies, findings);
    let retention = ledger::retention(&file.ledger, findings);
    let self_check = watching::self_check(&file.self_check, findings);
    let fleet = ledger::fleet(&file.ledger, findings);
    let alerts = watching::alerts(&file.alerts, findings);
    let access_log = written_operation::access_log(&file.access_log, findings);
    let otlp = written_operation::otlp(&file.otlp, findings);
    let threads = match (key_mode, proxy.workers) {
        (KeyMode::CheckOnly, _) => 1,
        (KeyMode::Create, 0) => std::thread::available_parallelism().map_or(1, usize::from),
        (KeyMode::Create, workers) => workers,
    };
    let lists = lists::read(file, &ledger_file, threads, findings);
    let keys_file = keys::path(&file.consent, &ledger_file);
    let keys = keys::find(&file.consent, keys_file, findings);
    let consent = listening::consent(&file.consent, &file.regions, keys.keys(), findings);
    let asked = notice::for_all(&file.notice, findings);
    sources.extend(classified.catalogue());
    let catalogue = match Catalogue::compile(&sources).or_else(|found| {
        findings.mistakes.extend(found);
        // The sites are still to be checked, whatever their catalogue says.
        Catalogue::compile(&[])
    }) {
        Ok(catalogue) => Arc::new(match lists.compile() {
            Some(lists) => catalogue.with_lists(lists),
            None => catalogue,
        }),
        Err(_) => return None,
    };
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let mut exceptions =
        exceptions::compile(&file.exception, &file.site, &catalogue, today, findings);
    let mut ownerships = ownership::compile(&file.ownership, &file.site, &catalogue, findings);
    let more = (&mut exceptions, &mut ownerships);
    classified.add_to(more, &file.site, &catalogue, today, findings);
    let pass_unfilterable = file.danger.pass_unfilterable.iter();
    let pass_unfilterable =
        pass_unfilterable.filter_map(|path| exceptions::path(path, findings)).collect();
    let expected = sites::expected_aliases(&file.site, findings);
    let aliases = file.dns.aliases.then(|| Arc::new(Aliases::expecting(expected)));
    let sites = sites::compile(
        &file.site,
        &sites::Shared {
            catalogue: &catalogue,
            sources: &sources,
            consent,
            statement_key: keys::statement(&file.origin, findings),
            notice: &file.notice,
            asked,
            aliases,
            guard: Arc::new(GuardFiles::of(&catalogue)),
            exceptions: &exceptions,
            ownerships: &ownerships,
            pass_unfilterable,
            google_pings: file.danger.google_pings,
        },
        findings,
    );
    if findings.mistakes.is_empty() && key_mode == KeyMode::Create {
        keys.keep(findings);
    }
    if !findings.mistakes.is_empty() {
        return None;
    }
    let (warnings, notes) = (take(&mut findings.warnings), take(&mut findings.notes));
    Some(Compiled {
        proxy,
        sites,
        ledger_file,
        fleet,
        retention,
        lists,
        admin,
        dashboard,
        self_check,
        alerts,
        log: file.log,
        catalogue,
        warnings,
        written,
        notes,
        access_log,
        otlp,
        reload: file.reload,
        at_start: AtStart::of(file),
        text: findings.text().to_owned(),
    })
}

/// Ours first, so that the operator's can correct them.
fn catalogue_files(file: &File, findings: &mut Findings<'_>) -> Vec<SourceFile> {
    let mut sources = SourceFile::embedded();
    for path in &file.catalogue.files {
        match findings.read(path) {
            Ok(text) => sources.push(SourceFile { name: path.get_ref().clone(), text }),
            Err(error) => findings.unreadable(path, &error),
        }
    }
    sources
}

#[cfg(test)]
mod tests;
