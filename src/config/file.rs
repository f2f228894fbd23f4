//! What an operator can write: the sections and keys of `consentry.toml`.
//!
//! Every key has a default, and `Default` is the only place that knows it. A
//! value whose meaning is checked later is `Spanned`, so that the check can
//! point at it. `config/consentry.toml` explains the keys to people.

use crate::config::acme::WrittenAcme;
use crate::config::admin::{Admin, AdminToken, AdminUser};
use crate::config::ledger::Ledger;
use crate::config::notice::Notice;
use crate::config::origins::WrittenHealth;
use crate::config::ownership::WrittenOwnership;
use crate::config::signals::WrittenRegions;
use crate::config::watching::{WrittenAlerts, WrittenSelfCheck};
use crate::config::written_listener::{Limits, Listener, Timeouts, WrittenCertificate};
use crate::config::written_operation::{Reload, WrittenAccessLog, WrittenOtlp};
use crate::config::written_site::{Exception, Route, Site};

use serde::{Deserialize, Serialize};
use toml::Spanned;

/// The whole file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Where visitors connect.
    pub listener: Listener,
    /// Who makes certificates.
    pub acme: WrittenAcme,
    /// Where the operator and the privacy officer connect.
    pub admin: Admin,
    /// Where decisions are remembered.
    pub ledger: Ledger,
    /// What the operator knows of vendors.
    pub catalogue: Catalogue,
    /// Filter lists.
    pub lists: Lists,
    /// How consent is taken.
    pub consent: Consent,
    /// What silence means where a visitor is.
    pub regions: WrittenRegions,
    /// How visitors are asked.
    pub notice: Notice,
    /// How aliases of own names are found.
    pub dns: Dns,
    /// How much of anything is taken.
    pub limits: Limits,
    /// How long anything is waited for.
    pub timeouts: Timeouts,
    /// How the sites are looked at from outside.
    pub self_check: WrittenSelfCheck,
    /// Who is told what has to be known.
    pub alerts: WrittenAlerts,
    /// What is said on the way.
    pub log: Log,
    /// When the configuration is read again.
    pub reload: Reload,
    /// A line for every exchange.
    pub access_log: WrittenAccessLog,
    /// What a collector is told.
    pub otlp: WrittenOtlp,
    /// What holds for every origin.
    pub origin: Origin,
    /// What is dangerous to the visitor.
    pub danger: Danger,
    /// The sites in our care.
    pub site: Vec<Spanned<Site>>,
    /// Verdicts that are not the policy's own.
    #[serde(skip_serializing)]
    pub exception: Vec<Spanned<Exception>>,
    /// Who answers for vendors.
    #[serde(skip_serializing)]
    pub ownership: Vec<Spanned<WrittenOwnership>>,
}

/// What the operator knows of vendors.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[catalogue]`")]
pub struct Catalogue {
    /// Catalogue files; a later one corrects an earlier one, and all correct
    /// the built-in ones.
    pub files: Vec<Spanned<String>>,
}

/// Filter lists.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[lists]`")]
pub struct Lists {
    /// Files in adblock syntax, also gzipped, and https addresses of such.
    pub files: Vec<Spanned<String>>,
    /// What counts as the purpose of that which only a list knows.
    pub purpose: Spanned<String>,
    /// More certificate authorities for lists over https, PEM.
    pub ca_file: Spanned<String>,
    /// Lists with settings of their own.
    #[serde(skip_serializing)]
    pub source: Vec<Spanned<ListSource>>,
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            purpose: default("marketing".to_owned()),
            ca_file: default(String::new()),
            source: Vec::new(),
        }
    }
}

/// A filter list with settings of its own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a list, written `[[lists.source]]`")]
pub struct ListSource {
    /// A file, or an https address; the only key a list cannot do without.
    pub location: Spanned<String>,
    /// What it is called; empty for its file's name.
    pub name: Spanned<String>,
    /// The purpose of what only it knows; empty for that of all lists.
    pub purpose: Spanned<String>,
    /// How often an address is asked for a newer one.
    pub refresh_hours: Spanned<u64>,
    /// The only content that is taken; empty for any.
    pub sha256: Spanned<String>,
}

impl Default for ListSource {
    fn default() -> Self {
        Self {
            location: default(String::new()),
            name: default(String::new()),
            purpose: default(String::new()),
            refresh_hours: default(24),
            sha256: default(String::new()),
        }
    }
}

/// How consent is taken.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[consent]`")]
pub struct Consent {
    /// The secrets that sign choices; empty for the ledger's name and `.keys`.
    pub keys_file: Spanned<String>,
    /// How long a choice lasts.
    pub lifetime_days: Spanned<u64>,
    /// A choice made on an older notice is asked for again.
    pub notice_revision: Spanned<u32>,
    /// Earlier revisions that asked the same.
    pub same_as: Vec<u32>,
}

impl Default for Consent {
    fn default() -> Self {
        Self {
            keys_file: default(String::new()),
            lifetime_days: default(180),
            notice_revision: default(1),
            same_as: Vec::new(),
        }
    }
}

/// How aliases of own names are found.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[dns]`")]
pub struct Dns {
    /// Whether names of the own domain are looked up.
    pub aliases: bool,
    /// Which name server is asked; empty for the system's.
    pub server: Spanned<String>,
}

impl Default for Dns {
    fn default() -> Self {
        Self { aliases: true, server: default(String::new()) }
    }
}

/// What is said on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[log]`")]
pub struct Log {
    /// The least important thing that is said.
    pub level: LogLevel,
    /// For whose eyes.
    pub format: LogFormat,
}

/// How important a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Something is broken.
    Error,
    /// Something needs a look.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The name that log filters use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// For whose eyes the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// `Human` in a terminal, `Json` elsewhere.
    #[default]
    Auto,
    /// Lines to read.
    Human,
    /// One JSON object a line.
    Json,
}

/// What holds for every origin.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[origin]`")]
pub struct Origin {
    /// More certificate authorities for origins over https, PEM.
    pub ca_file: Spanned<String>,
    /// Which name server knows the names of origins; empty for the system's.
    pub name_server: Spanned<String>,
    /// The secret that signs what origins are told; empty for no signature.
    pub statement_key_file: Spanned<String>,
    /// Whether origins are told that a proxy asks.
    pub via: bool,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            ca_file: default(String::new()),
            name_server: default(String::new()),
            statement_key_file: default(String::new()),
            via: true,
        }
    }
}

/// What weakens the protection of visitors.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[danger]`")]
pub struct Danger {
    /// Paths of pages that are passed on unfiltered where they cannot be
    /// rewritten.
    pub pass_unfilterable: Vec<Spanned<String>>,
    /// Whether hits of Google's tags pass that say that everything is denied.
    pub google_pings: bool,
}

/// A value that nobody wrote, so it stands nowhere.
pub(super) fn default<T>(value: T) -> Spanned<T> {
    Spanned::new(usize::MAX..usize::MAX, value)
}

/// Whether somebody set it, wherever that was.
pub(super) fn is_set<T>(value: &Spanned<T>) -> bool {
    value.span().start != usize::MAX
}

/// Every section and key with its default; `site` is a table here, that of a
/// site whose keys are all left out.
///
/// The names come from the types above and nowhere else, so what is built on
/// this (the environment's keys, the test of the sample) cannot fall behind.
#[must_use]
pub fn defaults() -> toml::Table {
    let mut sections = toml::Table::try_from(File::default()).unwrap_or_default();
    let site = toml::Table::try_from(Site::default()).unwrap_or_default();
    let notice = toml::Table::try_from(Notice::shown()).unwrap_or_default();
    sections.insert("notice".to_owned(), toml::Value::Table(notice));
    sections.insert("site".to_owned(), toml::Value::Table(site));
    sections
}

/// The keys of what there may be several of, with their defaults.
#[must_use]
pub fn list_defaults() -> toml::Table {
    let exception = toml::Table::try_from(Exception::default()).unwrap_or_default();
    let route = toml::Table::try_from(Route::default()).unwrap_or_default();
    let source = toml::Table::try_from(ListSource::default()).unwrap_or_default();
    let health = toml::Table::try_from(WrittenHealth::default()).unwrap_or_default();
    let user = toml::Table::try_from(AdminUser::default()).unwrap_or_default();
    let token = toml::Table::try_from(AdminToken::default()).unwrap_or_default();
    let ownership = toml::Table::try_from(WrittenOwnership::default()).unwrap_or_default();
    let certificate = toml::Table::try_from(WrittenCertificate::default()).unwrap_or_default();
    let all = [("exception", exception), ("route", route), ("source", source)];
    all.into_iter()
        .chain([
            ("certificate", certificate),
            ("user", user),
            ("token", token),
            ("ownership", ownership),
            ("health", health),
        ])
        .map(|(name, keys)| (name.to_owned(), toml::Value::Table(keys)))
        .collect()
}
