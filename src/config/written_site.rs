//! What an operator can write about one site: the site itself, its routes, and
//! exceptions.

use crate::config::file::default;
use crate::config::notice::Notice;
use crate::config::origins::WrittenHealth;
use crate::config::signals::{WrittenIds, default_signals};
use crate::policy::{Mode, Unlisted};

use serde::{Deserialize, Serialize};
use toml::Spanned;

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
    /// For how many of a hundred visitors verdicts are carried out; left out, what
    /// holds for the site.
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
    /// The servers behind it, where there are several.
    pub origins: Vec<Spanned<String>>,
    /// The `Host` that server is sent; empty for the visitor's.
    pub origin_host: Spanned<String>,
    /// Whether it is asked over HTTP/2.
    pub origin_http2: Spanned<String>,
    /// When a server is set aside.
    #[serde(skip_serializing)]
    pub health: WrittenHealth,
    /// Whether verdicts are carried out.
    #[serde(with = "ModeName")]
    pub mode: Mode,
    /// For how many of a hundred visitors who say nothing.
    pub enforce_share: Spanned<u8>,
    /// Vendors whose verdicts are only recorded, by id.
    pub observe_vendors: Vec<Spanned<String>>,
    /// The only vendors whose verdicts are carried out; none for all.
    pub enforce_vendors: Vec<Spanned<String>>,
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
            origins: Vec::new(),
            origin_host: default(String::new()),
            origin_http2: default("auto".into()),
            health: WrittenHealth::default(),
            mode: Mode::default(),
            enforce_share: default(100),
            observe_vendors: Vec::new(),
            enforce_vendors: Vec::new(),
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
