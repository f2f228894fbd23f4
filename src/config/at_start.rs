//! What counts from the next start on: sockets, limits and files that stay open
//! cannot become others under the exchanges that use them.

use crate::config::file::File;

use std::hash::{DefaultHasher, Hash, Hasher};
use toml::Table;

/// The sections of which everything counts from the next start on, but for the
/// keys named there.
const SECTIONS: [(&str, &[&str]); 8] = [
    ("access_log", &[]),
    ("otlp", &[]),
    ("acme", &[]),
    ("listener", &["tls_cert_file", "tls_key_file"]),
    ("ledger", &[]),
    ("limits", &[]),
    ("timeouts", &[]),
    ("log", &[]),
];

/// The same for single keys.
const KEYS: [(&str, &str); 6] = [
    ("admin", "address"),
    ("dns", "server"),
    ("origin", "ca_file"),
    ("origin", "name_server"),
    ("origin", "via"),
    ("self_check", "interval_s"),
];

/// The settings that hold until the next start.
///
/// Of their values there is only a number, for some of them are secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtStart(Vec<(String, u64)>);

impl AtStart {
    pub(super) fn of(file: &File) -> Self {
        let sections = [
            ("access_log", Table::try_from(&file.access_log)),
            ("otlp", Table::try_from(&file.otlp)),
            ("acme", Table::try_from(&file.acme)),
            ("admin", Table::try_from(&file.admin)),
            ("dns", Table::try_from(&file.dns)),
            ("ledger", Table::try_from(&file.ledger)),
            ("limits", Table::try_from(&file.limits)),
            ("listener", Table::try_from(&file.listener)),
            ("log", Table::try_from(file.log)),
            ("origin", Table::try_from(&file.origin)),
            ("self_check", Table::try_from(&file.self_check)),
            ("timeouts", Table::try_from(&file.timeouts)),
        ];
        let mut settings = Vec::new();
        for (section, keys) in sections {
            for (key, value) in keys.unwrap_or_default() {
                if holds_until_start(section, &key) {
                    let mut hasher = DefaultHasher::new();
                    value.to_string().hash(&mut hasher);
                    settings.push((format!("{section}.{key}"), hasher.finish()));
                }
            }
        }
        Self(settings)
    }

    /// The keys that say something else in `fresh`, as `section.key`.
    #[must_use]
    pub fn other_than<'f>(&self, fresh: &'f Self) -> Vec<&'f str> {
        let others = fresh.0.iter().filter(|setting| !self.0.contains(setting));
        others.map(|(key, _)| key.as_str()).collect()
    }
}

/// Whether what that key says counts from the next start on.
pub(super) fn holds_until_start(section: &str, key: &str) -> bool {
    KEYS.contains(&(section, key))
        || SECTIONS.iter().any(|(name, but)| *name == section && !but.contains(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_start(text: &str) -> AtStart {
        AtStart::of(&toml::from_str(text).unwrap())
    }

    #[test]
    fn k1_what_needs_a_restart_is_named() {
        let before = at_start("[limits]\nconnections = 100\n[lists]\npurpose = 'analytics'");
        for (text, expected) in [
            ("[limits]\nconnections = 100", &[][..]),
            ("[limits]\nconnections = 100\n[notice]\nlanguage = 'de'", &[]),
            ("[limits]\nconnections = 101", &["limits.connections"]),
            (
                "[admin]\naddress = '127.0.0.1:1'\n[listener]\naddress = '127.0.0.1:2'",
                &["admin.address", "limits.connections", "listener.address"],
            ),
            (
                "[ledger]\npostgres_url = 'postgres://a:secret@b/c'\n[limits]\nconnections = 100",
                &["ledger.postgres_url"],
            ),
        ] {
            let fresh = at_start(text);
            let mut found = before.other_than(&fresh);
            found.sort_unstable();
            assert_eq!(found, expected, "{text}");
        }
        let secret = at_start("[ledger]\npostgres_url = 'postgres://a:secret@b/c'");
        assert!(!format!("{secret:?}").contains("secret@"));
    }

    /// A key that is renamed would otherwise be forgotten here.
    #[test]
    fn k1_every_name_here_is_a_key() {
        let all = crate::config::defaults();
        let is_key = |section: &str, key: &str| all.get(section).and_then(|s| s.get(key)).is_some();
        for (section, but) in SECTIONS {
            assert!(all.contains_key(section), "{section}");
            assert!(but.iter().all(|key| is_key(section, key)), "{section} {but:?}");
        }
        assert!(KEYS.iter().all(|(section, key)| is_key(section, key)));
    }
}
