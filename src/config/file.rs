//! What an operator can write: the sections and keys of `consentry.toml`.
//!
//! Every key has a default, and `Default` is the only place that knows it. A
//! value whose meaning is checked later is `Spanned`, so that the check can
//! point at it. `config/consentry.toml` explains the keys to people.

use crate::config::admin::{Admin, AdminToken, AdminUser};
use crate::config::ledger::Ledger;
use crate::config::notice::Notice;
use crate::config::ownership::WrittenOwnership;
use crate::config::signals::{WrittenIds, WrittenRegions, default_signals};
use crate::config::watching::{WrittenAlerts, WrittenSelfCheck};
use crate::policy::{Mode, Unlisted};
use crate::proxy;

use serde::{Deserialize, Serialize};
use std::time::Duration;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Where visitors connect.
    pub listener: Listener,
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

/// Where visitors connect.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[listener]`")]
pub struct Listener {
    /// Address and port.
    pub address: Spanned<String>,
    /// Certificate chain, PEM; empty for plain http.
    pub tls_cert_file: Spanned<String>,
    /// Its private key, PEM.
    pub tls_key_file: Spanned<String>,
    /// Worker threads; 0 for one a core.
    pub workers: Spanned<usize>,
    /// Peers whose `X-Forwarded-*` fields are believed.
    pub trusted_proxies: Vec<Spanned<String>>,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: default("127.0.0.1:8080".into()),
            tls_cert_file: default(String::new()),
            tls_key_file: default(String::new()),
            workers: default(0),
            trusted_proxies: vec![default("127.0.0.0/8".into()), default("::1/128".into())],
        }
    }
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

/// How much of anything is taken; the keys are those of [`proxy::Limits`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[limits]`")]
#[expect(missing_docs, reason = "the same names are explained at `proxy::Limits`")]
pub struct Limits {
    pub head_bytes: Spanned<usize>,
    pub head_fields: Spanned<usize>,
    pub request_body_bytes: Spanned<u64>,
    pub page_memory_bytes: Spanned<usize>,
    pub page_inflation: Spanned<u64>,
    pub memo_bytes: Spanned<u64>,
    pub connections: Spanned<usize>,
    pub requests_per_second: Spanned<u32>,
    pub request_burst: Spanned<u32>,
    pub counted_visitors: Spanned<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        let ours = proxy::Limits::default();
        Self {
            head_bytes: default(ours.head_bytes),
            head_fields: default(ours.head_fields),
            request_body_bytes: default(ours.request_body_bytes),
            page_memory_bytes: default(ours.page_memory_bytes),
            page_inflation: default(ours.page_inflation),
            memo_bytes: default(ours.memo_bytes),
            connections: default(ours.connections),
            requests_per_second: default(ours.requests_per_second),
            request_burst: default(ours.request_burst),
            counted_visitors: default(ours.counted_visitors),
        }
    }
}

/// How long anything is waited for, in seconds; the keys are those of
/// [`proxy::Timeouts`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[timeouts]`")]
#[expect(missing_docs, reason = "the same names are explained at `proxy::Timeouts`")]
pub struct Timeouts {
    pub handshake_s: Spanned<f64>,
    pub request_head_s: Spanned<f64>,
    pub request_body_s: Spanned<f64>,
    pub connect_s: Spanned<f64>,
    pub response_head_s: Spanned<f64>,
    pub response_body_s: Spanned<f64>,
    pub origin_idle_s: Spanned<f64>,
    pub drain_s: Spanned<f64>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let ours = proxy::Timeouts::default();
        let seconds = |time: Duration| default(time.as_secs_f64());
        Self {
            handshake_s: seconds(ours.handshake),
            request_head_s: seconds(ours.request_head),
            request_body_s: seconds(ours.request_body),
            connect_s: seconds(ours.connect),
            response_head_s: seconds(ours.response_head),
            response_body_s: seconds(ours.response_body),
            origin_idle_s: seconds(ours.origin_idle),
            drain_s: seconds(ours.drain),
        }
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
    /// The secret that signs what origins are told; empty for no signature.
    pub statement_key_file: Spanned<String>,
    /// Whether origins are told that a proxy asks.
    pub via: bool,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            ca_file: default(String::new()),
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

/// A verdict that is not the policy's own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an exception, written `[[exception]]`")]
pub struct Exception {
    /// The name of the site it is for; empty for all.
    pub site: Spanned<String>,
    /// The host that is loaded from, and what is under it.
    pub host: Spanned<String>,
    /// The path of what is loaded.
    pub path: Spanned<String>,
    /// The vendor's id.
    pub vendor: Spanned<String>,
    /// A cookie's name.
    pub cookie: Spanned<String>,
    /// What kind of thing it is.
    pub kind: Spanned<String>,
    /// The path of the page.
    pub on_path: Spanned<String>,
    /// `allow` or `block`.
    pub verdict: Spanned<String>,
    /// Who answers for it.
    pub owner: Spanned<String>,
    /// Why it is there.
    pub reason: Spanned<String>,
    /// The last day on which it holds.
    pub expires: Spanned<toml::Value>,
}

impl Default for Exception {
    fn default() -> Self {
        let empty = || default(String::new());
        Self {
            site: empty(),
            host: empty(),
            path: empty(),
            vendor: empty(),
            cookie: empty(),
            kind: empty(),
            on_path: empty(),
            verdict: empty(),
            owner: empty(),
            reason: empty(),
            expires: default(toml::Value::String(String::new())),
        }
    }
}

/// Pages of a site for which something else holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a route, written `[[site.route]]`")]
pub struct Route {
    /// Their paths.
    pub path: Spanned<String>,
    /// Whether verdicts are carried out; empty for what holds for the site.
    pub mode: Spanned<String>,
    /// What happens to third parties that nobody claims; empty for what holds
    /// for the site.
    pub unlisted: Spanned<String>,
    /// For how many of a hundred visitors verdicts are carried out.
    pub enforce_share: Spanned<u8>,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            path: default(String::new()),
            mode: default(String::new()),
            unlisted: default(String::new()),
            enforce_share: default(100),
        }
    }
}

/// A site in our care.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a site, written `[[site]]`")]
pub struct Site {
    /// The name in ledger, log and metrics; empty for its first host.
    pub name: Spanned<String>,
    /// The hosts it answers to; none for any.
    pub hosts: Vec<Spanned<String>>,
    /// Whether those hosts share a visitor's choice.
    pub share_choice: bool,
    /// Sites with the same group share it, too; empty for no other site.
    pub choice_group: Spanned<String>,
    /// Names of the own domain to look up at the start.
    pub aliases: Vec<Spanned<String>>,
    /// The server behind it; the only key a site cannot do without.
    pub origin: Spanned<String>,
    /// The `Host` that server is sent; empty for the visitor's.
    pub origin_host: Spanned<String>,
    /// Whether verdicts are carried out.
    #[serde(with = "ModeName")]
    pub mode: Mode,
    /// What happens to third parties that nobody in the catalogue claims.
    #[serde(with = "UnlistedName")]
    pub unlisted: Unlisted,
    /// Where our own pages live.
    pub own_prefix: Spanned<String>,
    /// Whether the origin sees only the first part of a visitor's address
    /// until they agree to personalization.
    pub address_truncated: bool,
    /// Whether pages carry a Content-Security-Policy of ours.
    pub browser_policy: bool,
    /// Whether what became of a page is remembered.
    pub remember_pages: bool,
    /// The operator's name as visitors know it; empty for the host's.
    pub operator: String,
    /// The privacy policy; empty for no link.
    pub policy_url: Spanned<String>,
    /// Which pages tell Google's tags what the visitor agreed to.
    pub google_consent: Spanned<String>,
    /// Whether pages get the script with which the site's code asks and
    /// chooses.
    pub script_api: bool,
    /// Software on the pages that is told of choices, or tells of them.
    pub bridges: Vec<Spanned<String>>,
    /// Whether markup that waits for another consent tool is made live here.
    pub cmp_markup: bool,
    /// What our notice does on pages with another consent tool.
    pub other_cmp: Spanned<String>,
    /// The vendors that it uses, by id; none where nobody listed them.
    pub vendors: Vec<Spanned<String>>,
    /// How its visitors are asked, where that differs.
    #[serde(skip_serializing)]
    pub notice: Notice,
    /// The signals of others that count.
    pub signals: Vec<Spanned<String>>,
    /// What ids of other consent tools stand for.
    #[serde(skip_serializing)]
    pub signal_ids: WrittenIds,
    /// Pages for which something else holds; the first that fits counts.
    #[serde(skip_serializing)]
    pub route: Vec<Spanned<Route>>,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            name: default(String::new()),
            hosts: Vec::new(),
            share_choice: true,
            choice_group: default(String::new()),
            aliases: Vec::new(),
            origin: default(String::new()),
            origin_host: default(String::new()),
            mode: Mode::default(),
            unlisted: Unlisted::default(),
            own_prefix: default("/.consentry".into()),
            address_truncated: true,
            browser_policy: true,
            remember_pages: true,
            operator: String::new(),
            policy_url: default(String::new()),
            google_consent: default("auto".into()),
            script_api: false,
            bridges: Vec::new(),
            cmp_markup: false,
            other_cmp: default("auto".into()),
            vendors: Vec::new(),
            notice: Notice::default(),
            signals: default_signals(),
            signal_ids: WrittenIds::new(),
            route: Vec::new(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Mode", rename_all = "snake_case")]
enum ModeName {
    Enforce,
    Observe,
    Safe,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Unlisted", rename_all = "snake_case")]
enum UnlistedName {
    Allow,
    Observe,
    Block,
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
    let user = toml::Table::try_from(AdminUser::default()).unwrap_or_default();
    let token = toml::Table::try_from(AdminToken::default()).unwrap_or_default();
    let ownership = toml::Table::try_from(WrittenOwnership::default()).unwrap_or_default();
    let all = [("exception", exception), ("route", route), ("source", source)];
    all.into_iter()
        .chain([("user", user), ("token", token), ("ownership", ownership)])
        .map(|(name, keys)| (name.to_owned(), toml::Value::Table(keys)))
        .collect()
}
