//! Checks what is set about looking whether everything holds.

use crate::config::file::default;
use crate::config::findings::Findings;
use crate::config::sites::read_host;
use crate::watch::self_check;

use serde::{Deserialize, Serialize};
use std::time::Duration;
use toml::Spanned;

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
