//! Checks what is set about looking whether everything holds.

use crate::config::file::default;
use crate::config::findings::Findings;
use crate::config::listening;
use crate::config::sites::read_host;
use crate::watch::{alerts, self_check};

use serde::{Deserialize, Serialize};
use std::time::Duration;
use toml::Spanned;
use url::Url;

/// How the sites are looked at from outside.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[self_check]`")]
pub struct WrittenSelfCheck {
    /// Seconds between two looks; 0 for never.
    pub interval_s: Spanned<u64>,
    /// The page that is opened, on every site.
    pub path: Spanned<String>,
    /// The host under which a site is opened that answers to any.
    pub host: Spanned<String>,
}

impl Default for WrittenSelfCheck {
    fn default() -> Self {
        Self {
            interval_s: default(300),
            path: default("/".to_owned()),
            host: default(String::new()),
        }
    }
}

/// Who is told what has to be known.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[alerts]`")]
pub struct WrittenAlerts {
    /// Where alerts are posted; empty for nowhere.
    pub webhook_url: Spanned<String>,
    /// What they are signed with; empty for no signature.
    pub webhook_secret_file: Spanned<String>,
    /// More certificate authorities for the receiver, PEM.
    pub webhook_ca_file: Spanned<String>,
    /// Whether they are in the log.
    pub log: bool,
    /// What is found within this time is told at once.
    pub batch_s: Spanned<u64>,
    /// What comes and goes is told once in this time at most.
    pub repeat_s: Spanned<u64>,
    /// How long everything on a site counts as known at first.
    pub learning_s: Spanned<u64>,
    /// How old a filter list may be.
    pub list_age_days: Spanned<u64>,
}

impl Default for WrittenAlerts {
    fn default() -> Self {
        let empty = || default(String::new());
        Self {
            webhook_url: empty(),
            webhook_secret_file: empty(),
            webhook_ca_file: empty(),
            log: true,
            batch_s: default(60),
            repeat_s: default(3600),
            learning_s: default(3600),
            list_age_days: default(7),
        }
    }
}

/// Whoever knows where alerts are posted may post there, too.
impl std::fmt::Debug for WrittenAlerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrittenAlerts").field("log", &self.log).finish_non_exhaustive()
    }
}

pub(super) fn alerts(written: &WrittenAlerts, findings: &mut Findings<'_>) -> alerts::Settings {
    const DAY_S: u64 = 86_400;
    let mut seconds = |value: &Spanned<u64>, least: u64, most: u64| {
        Duration::from_secs(findings.number(value, least..=most))
    };
    let batch = seconds(&written.batch_s, 1, 3600);
    let repeat = seconds(&written.repeat_s, 0, 30 * DAY_S);
    let learning = seconds(&written.learning_s, 0, 30 * DAY_S);
    let days = findings.number(&written.list_age_days, 1..=365);
    let webhook = webhook(written, findings);
    let list_age = Duration::from_secs(days.saturating_mul(DAY_S));
    alerts::Settings { webhook, log: written.log, batch, repeat, learning, list_age }
}

fn webhook(written: &WrittenAlerts, findings: &mut Findings<'_>) -> Option<alerts::Webhook> {
    let text = written.webhook_url.get_ref();
    if text.is_empty() {
        return None;
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    if url.is_none() {
        let advice = "write it like `https://alerts.example/consentry`";
        // It stands in no message: see `Debug` above.
        let wrong = match text.split_once("://") {
            Some(("http" | "https", _)) => "`webhook_url` cannot be read as an address",
            Some(_) => "`webhook_url` begins with neither `http://` nor `https://`",
            None => "`webhook_url` is no address",
        };
        findings.wrong_with_advice(&written.webhook_url, wrong, advice);
    }
    let ca_file = (!written.webhook_ca_file.get_ref().is_empty())
        .then(|| listening::certificates(&written.webhook_ca_file, findings));
    let secret = secret(&written.webhook_secret_file, findings);
    Some(alerts::Webhook { url: url?, secret, ca_file })
}

fn secret(file: &Spanned<String>, findings: &mut Findings<'_>) -> Option<Vec<u8>> {
    if file.get_ref().is_empty() {
        return None;
    }
    match findings.read(file) {
        Ok(text) if text.trim().len() >= 16 => Some(text.trim().as_bytes().to_vec()),
        Ok(_) => {
            let advice = "make one with `openssl rand -hex 32`";
            findings.wrong_with_advice(file, "a secret has at least 16 characters", advice);
            None
        }
        Err(error) => {
            findings.unreadable(file, &error);
            None
        }
    }
}

pub(super) fn self_check(
    written: &WrittenSelfCheck,
    findings: &mut Findings<'_>,
) -> self_check::Settings {
    let interval_s = findings.number(&written.interval_s, 0..=86_400);
    let path = written.path.get_ref();
    if !path.starts_with('/') || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let advice = "write it like `/` or `/products/shoes`";
        findings.wrong_with_advice(&written.path, format!("`{path}` is not a path"), advice);
    }
    let host = match written.host.get_ref().as_str() {
        "" => None,
        text => match read_host(text) {
            Ok(host) => Some(host),
            Err((wrong, advice)) => {
                findings.wrong_with_advice(&written.host, wrong, advice);
                None
            }
        },
    };
    self_check::Settings { interval: Duration::from_secs(interval_s), path: path.clone(), host }
}
