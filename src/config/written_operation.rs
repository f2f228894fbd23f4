//! What an operator can write about running consentry, and what it comes to.

use crate::config::file::default;
use crate::config::findings::Findings;
use crate::config::keys::warn_if_open;
use crate::config::listening;
use crate::mistake::Mistake;
use crate::observe::access_log;
use crate::watch::otlp;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use url::Url;

/// When the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[reload]`")]
pub struct Reload {
    /// Whether that happens by itself when a file changes.
    pub watch: bool,
}

impl Default for Reload {
    fn default() -> Self {
        Self { watch: true }
    }
}

/// A line for every exchange.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[access_log]`")]
pub struct WrittenAccessLog {
    /// The file; `-` for standard output, empty for none.
    pub file: Spanned<String>,
    /// What of a visitor's address is in it.
    pub address: Spanned<String>,
}

impl Default for WrittenAccessLog {
    fn default() -> Self {
        Self { file: default(String::new()), address: default("none".to_owned()) }
    }
}

/// What an OpenTelemetry collector is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[otlp]`")]
pub struct WrittenOtlp {
    /// The collector; empty for none.
    pub endpoint: Spanned<String>,
    /// How many of all exchanges it is told of.
    pub traces_share: Spanned<f64>,
    /// How often it is told figures.
    pub metrics_interval_s: Spanned<u64>,
    /// A file with fields that are sent along.
    pub headers_file: Spanned<String>,
    /// More certificate authorities for it, PEM.
    pub ca_file: Spanned<String>,
}

impl Default for WrittenOtlp {
    fn default() -> Self {
        let empty = || default(String::new());
        Self {
            endpoint: empty(),
            traces_share: default(0.01),
            metrics_interval_s: default(60),
            headers_file: empty(),
            ca_file: empty(),
        }
    }
}

/// Where lines go, if they are wanted.
pub(super) fn access_log(
    written: &WrittenAccessLog,
    findings: &mut Findings<'_>,
) -> Option<access_log::Settings> {
    let has_network = match written.address.get_ref().as_str() {
        "none" => false,
        "truncated" => true,
        other => {
            findings.wrong_with_advice(
                &written.address,
                format!("`{other}`: the log has no whole addresses"),
                "write `none`, or `truncated` for the network that a visitor comes from",
            );
            false
        }
    };
    let place = match written.file.get_ref().as_str() {
        "" => return None,
        "-" => access_log::Place::Output,
        file => access_log::Place::File(PathBuf::from(file)),
    };
    Some(access_log::Settings { place, has_network })
}

/// The collector, if there is one.
pub(super) fn otlp(written: &WrittenOtlp, findings: &mut Findings<'_>) -> Option<otlp::Settings> {
    let traces_share = findings.number(&written.traces_share, 0.0..=1.0);
    let interval_s = findings.number(&written.metrics_interval_s, 0..=86_400);
    let endpoint = written.endpoint.get_ref();
    if endpoint.is_empty() {
        return None;
    }
    let is_address = Url::parse(endpoint).is_ok_and(|url| {
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        matches!(url.scheme(), "http" | "https") && !has_credentials && url.query().is_none()
    });
    if !is_address {
        findings.wrong_with_advice(
            &written.endpoint,
            "this is no address of a collector",
            "write it like `http://collector.internal:4318`; a key belongs into `headers_file`",
        );
    }
    let ca_file = (!written.ca_file.get_ref().is_empty())
        .then(|| listening::certificates(&written.ca_file, findings));
    Some(otlp::Settings {
        endpoint: endpoint.clone(),
        traces_share,
        metrics_interval: Duration::from_secs(interval_s),
        headers: fields(&written.headers_file, findings),
        ca_file,
    })
}

/// The fields in a file, one a line, `name: value`.
fn fields(file: &Spanned<String>, findings: &mut Findings<'_>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    if file.get_ref().is_empty() {
        return fields;
    }
    let text = match findings.read(file) {
        Ok(text) => text,
        Err(error) => {
            findings.unreadable(file, &error);
            return fields;
        }
    };
    warn_if_open(Path::new(file.get_ref()), findings);
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let said = line.trim();
        if !said.is_empty() && !said.starts_with('#') {
            match field(said) {
                Some((name, value)) => drop(fields.append(name, value)),
                None => {
                    // The line may hold a key, and is not shown.
                    let before = text.get(..offset).unwrap_or_default();
                    let number = before.matches('\n').count() + 1;
                    let message = format!("line {number} is not a field");
                    let mistake = Mistake::in_file(file.get_ref(), message);
                    let advice = "write one a line, like `authorization: Bearer KEY`";
                    findings.mistakes.push(mistake.advise(advice));
                }
            }
        }
        offset += line.len();
    }
    fields
}

fn field(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
}

#[cfg(test)]
mod tests {
    use crate::config::{Compiled, KeyMode, Overrides, load};

    fn loaded(sections: &str, headers: &str) -> Result<Compiled, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        let keys = directory.path().join("headers");
        std::fs::write(&keys, headers).unwrap();
        let sections = sections.replace("HEADERS", keys.to_str().unwrap());
        std::fs::write(&file, format!("{sections}\n[[site]]\norigin = 'http://127.0.0.1:1'\n"))
            .unwrap();
        let ledger = Some(directory.path().join("ledger.db"));
        let flags = Overrides { ledger, ..Overrides::default() };
        load(Some(&file), std::iter::empty(), &flags, KeyMode::CheckOnly).map_err(|mistakes| {
            mistakes.iter().map(|mistake| format!("{mistake}\n")).collect::<String>()
        })
    }

    #[test]
    fn k4_what_cannot_be_meant_is_refused_with_its_place() {
        for (sections, headers, expected) in [
            ("[access_log]\naddress = 'full'", "", "c.toml:2:11"),
            ("[otlp]\nendpoint = 'collector:4318'", "", "c.toml:2:12"),
            ("[otlp]\nendpoint = 'http://a:b@c'", "", "headers_file"),
            ("[otlp]\ntraces_share = 1.5", "", "0 to 1"),
            ("[otlp]\nendpoint = 'http://c'\nheaders_file = 'HEADERS'", "a: b\nsecret", "line 2"),
            ("[otlp]\nendpoint = 'http://c'\nheaders_file = '/nowhere'", "", "c.toml:3:16"),
        ] {
            let said = loaded(sections, headers).unwrap_err();
            assert!(said.contains(expected) && !said.contains("secret"), "{sections}: {said}");
        }
        let on =
            "[access_log]\nfile = '-'\n[otlp]\nendpoint = 'http://c'\nheaders_file = 'HEADERS'";
        let compiled = loaded(on, "# key\n\nauthorization: Bearer secret\n").unwrap();
        let otlp = compiled.otlp.unwrap();
        assert_eq!(otlp.headers["authorization"], "Bearer secret");
        assert!(!format!("{otlp:?}").contains("secret"));
        assert!(compiled.access_log.is_some());
        let off = loaded("", "").unwrap();
        assert!(off.otlp.is_none() && off.access_log.is_none());
    }
}
