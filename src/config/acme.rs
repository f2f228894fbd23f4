//! Checks what is set about certificates that an authority makes.

use crate::config::file::default;
use crate::config::findings::Findings;
use crate::config::listening;
use crate::config::sites::read_host;
use crate::config::written_listener::Listener;
use crate::proxy::AcmeSettings;

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use toml::Spanned;
use url::Url;

/// Who makes certificates, and for which hosts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[acme]`")]
pub struct WrittenAcme {
    /// The hosts.
    pub hosts: Vec<Spanned<String>>,
    /// Whether the authority's terms are agreed to.
    pub terms_agreed: Spanned<bool>,
    /// A mail address; empty for none.
    pub contact: Spanned<String>,
    /// Where the authority says what it can do.
    pub directory_url: Spanned<String>,
    /// Where everything is kept; empty for beside the ledger.
    pub directory: Spanned<String>,
    /// More certificate authorities for the authority itself, PEM.
    pub ca_file: Spanned<String>,
}

impl Default for WrittenAcme {
    fn default() -> Self {
        let empty = || default(String::new());
        Self {
            hosts: Vec::new(),
            terms_agreed: default(false),
            contact: empty(),
            directory_url: default("https://acme-v02.api.letsencrypt.org/directory".into()),
            directory: empty(),
            ca_file: empty(),
        }
    }
}

/// `None` where no host is named.
pub(super) fn settings(
    written: &WrittenAcme,
    listener: &Listener,
    ledger_file: &Path,
    findings: &mut Findings<'_>,
) -> Option<AcmeSettings> {
    let first = written.hosts.first()?;
    let mut hosts = Vec::new();
    for host in &written.hosts {
        match read_host(host.get_ref()) {
            Ok(name) if name.parse::<IpAddr>().is_ok() || name.contains(['[', '*', ':']) => {
                findings.wrong_with_advice(
                    host,
                    format!("no certificate can be made for `{name}`"),
                    "write a host's name like `shop.example`",
                );
            }
            Ok(name) => hosts.push(name),
            Err((message, advice)) => findings.wrong_with_advice(host, message, advice),
        }
    }
    if !*written.terms_agreed.get_ref() {
        findings.wrong_with_advice(
            first,
            "an authority makes certificates for those who agree to its terms",
            "read them, and set `terms_agreed = true`",
        );
    }
    if listener.redirect_address.get_ref().is_empty() {
        findings.wrong_with_advice(
            first,
            "the authority asks over plain http, and nobody would answer",
            "set `redirect_address` of [listener], such as `0.0.0.0:80`",
        );
    }
    let url = Url::parse(written.directory_url.get_ref()).ok();
    let url = url.filter(|url| url.scheme() == "https");
    if url.is_none() {
        findings.wrong_with_advice(
            &written.directory_url,
            "the authority's address does not begin with `https://`",
            "write it like `https://acme-v02.api.letsencrypt.org/directory`",
        );
    }
    let contact = written.contact.get_ref();
    if !contact.is_empty() && !contact.contains('@') {
        findings.wrong_with_advice(
            &written.contact,
            format!("`{contact}` is no mail address"),
            "write it like `ops@shop.example`",
        );
    }
    let directory = match written.directory.get_ref().as_str() {
        "" => {
            let mut beside = ledger_file.as_os_str().to_owned();
            beside.push(".acme");
            PathBuf::from(beside)
        }
        directory => PathBuf::from(directory),
    };
    // What one authority made is nothing to another, such as one to try things out.
    let authority = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let directory = directory.join(authority);
    Some(AcmeSettings {
        hosts,
        directory_url: written.directory_url.get_ref().clone(),
        contact: Some(contact)
            .filter(|contact| !contact.is_empty())
            .map(|contact| format!("mailto:{contact}"))
            .into_iter()
            .collect(),
        directory,
        ca_file: (!written.ca_file.get_ref().is_empty())
            .then(|| listening::certificates(&written.ca_file, findings)),
    })
}
