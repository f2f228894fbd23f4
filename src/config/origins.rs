//! Checks what is written about the servers behind a site.

use crate::config::file::default;
use crate::config::findings::Findings;
use crate::config::written_site;
use crate::site::{Health, Http2, MOST_ORIGINS, Origin, Origins};

use http::uri::{Authority, PathAndQuery, Scheme};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use url::Url;

/// When a server behind a site is set aside, and how it is looked at.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[site.health]`")]
pub struct WrittenHealth {
    /// The path that is asked for; empty for none.
    pub path: Spanned<String>,
    /// The time between two looks.
    pub interval_s: Spanned<f64>,
    /// How long an answer is waited for.
    pub timeout_s: Spanned<f64>,
    /// How many failures in a row set a server aside.
    pub failures: Spanned<u32>,
    /// For how long at first.
    pub aside_s: Spanned<f64>,
}

impl Default for WrittenHealth {
    fn default() -> Self {
        let ours = Health::default();
        Self {
            path: default(String::new()),
            interval_s: default(ours.interval.as_secs_f64()),
            timeout_s: default(ours.timeout.as_secs_f64()),
            failures: default(ours.failures),
            aside_s: default(ours.aside.as_secs_f64()),
        }
    }
}

/// `None` when there is none that could be asked.
pub(super) fn compile(
    entry: &Spanned<written_site::Site>,
    site: &Arc<str>,
    findings: &mut Findings<'_>,
) -> Option<Origins> {
    let written = entry.get_ref();
    let host = host(&written.origin_host, findings);
    let http2 = match written.origin_http2.get_ref().as_str() {
        "auto" => Http2::Auto,
        "never" => Http2::Never,
        "always" => Http2::Always,
        other => {
            let message = format!("`{other}`: origin_http2 is `auto`, `never` or `always`");
            findings.wrong(&written.origin_http2, message);
            Http2::Auto
        }
    };
    let health = health(&written.health, findings);
    let mut all: Vec<Origin> = Vec::new();
    for text in addresses(entry, findings) {
        match read_origin(text.get_ref()) {
            Ok((scheme, authority)) => {
                let origin = Origin::new(scheme, authority);
                if all.iter().any(|other| other.url == origin.url) {
                    findings.wrong(text, format!("`{}` is listed twice", origin.url));
                } else if all.len() >= MOST_ORIGINS {
                    findings.wrong(text, format!("a site can have {MOST_ORIGINS} origins"));
                } else {
                    all.push(origin);
                }
            }
            Err((message, advice)) => findings.wrong_with_advice(text, message, advice),
        }
    }
    if all.is_empty() {
        return None;
    }
    let mut origins = Origins::new(Arc::clone(site), all);
    origins.host = host;
    origins.http2 = http2;
    origins.health = health;
    Some(origins)
}

/// What is written where: `origin` for one server, `origins` for several.
fn addresses<'s>(
    entry: &'s Spanned<written_site::Site>,
    findings: &mut Findings<'_>,
) -> Vec<&'s Spanned<String>> {
    let written = entry.get_ref();
    let one = Some(&written.origin).filter(|origin| !origin.get_ref().is_empty());
    let (one, several) = match (one, written.origins.first()) {
        (None, None) => {
            none(Some(entry), findings);
            return Vec::new();
        }
        // Flags and the environment win over the file.
        (Some(one), Some(first)) => match (findings.is_in_file(one), findings.is_in_file(first)) {
            (true, false) => (None, true),
            (false, true) => (Some(one), false),
            _ => {
                findings.wrong_with_advice(
                    one,
                    "both `origin` and `origins` are set",
                    "list all servers in `origins`, or leave it out",
                );
                (Some(one), true)
            }
        },
        (one, several) => (one, several.is_some()),
    };
    one.into_iter().chain(written.origins.iter().filter(|_| several)).collect()
}

fn host(written: &Spanned<String>, findings: &mut Findings<'_>) -> Option<Authority> {
    match written.get_ref().as_str() {
        "" => None,
        text => match text.parse::<Authority>() {
            Ok(host) if !text.contains('@') => Some(host),
            Ok(_) | Err(_) => {
                findings.wrong_with_advice(
                    written,
                    format!("`{text}` is not a host"),
                    "write it like `shop.internal` or `shop.internal:3000`",
                );
                None
            }
        },
    }
}

fn health(written: &WrittenHealth, findings: &mut Findings<'_>) -> Health {
    const HOUR_S: f64 = 3600.0;
    let mut seconds = |value: &Spanned<f64>| {
        Duration::try_from_secs_f64(findings.number(value, 0.01..=HOUR_S)).unwrap_or_default()
    };
    let (interval, timeout) = (seconds(&written.interval_s), seconds(&written.timeout_s));
    let aside = seconds(&written.aside_s);
    let failures = findings.number(&written.failures, 1..=1000);
    let text = written.path.get_ref();
    let is_path = |text: &str| text.starts_with('/') && text.parse::<PathAndQuery>().is_ok();
    if !text.is_empty() && !is_path(text) {
        let message = format!("`{text}` is not a path");
        findings.wrong_with_advice(&written.path, message, "write it like `/healthz`");
    }
    let path = (!text.is_empty()).then(|| text.clone());
    Health { path, interval, timeout, failures, aside }
}

/// Says what to write, for somebody who has written nothing yet and for
/// somebody who forgot a line.
pub(super) fn none(site: Option<&Spanned<written_site::Site>>, findings: &mut Findings<'_>) {
    match site {
        Some(site) if findings.is_in_file(site) => findings.wrong_with_advice(
            site,
            "this site has no origin",
            "add the address of your server: origin = \"http://127.0.0.1:3000\"",
        ),
        Some(_) | None => findings.wrong_with_advice(
            &Spanned::new(usize::MAX..usize::MAX, ()),
            "no origin: which server is to be protected?",
            "run `consentry serve --origin http://localhost:3000`, or add to the file:\n\n        [[site]]\n        origin = \"http://localhost:3000\"",
        ),
    }
}

fn read_origin(text: &str) -> Result<(Scheme, Authority), (String, String)> {
    let example = "write it like `http://127.0.0.1:3000`";
    let scheme = match text.split_once("://") {
        None => {
            return Err((
                format!("`{text}` has no scheme"),
                format!("write `http://{text}` or `https://{text}`"),
            ));
        }
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => Scheme::HTTP,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => Scheme::HTTPS,
        Some((scheme, _)) => {
            return Err((
                format!("`{scheme}` is no scheme of an origin"),
                "it is `http` or `https`".into(),
            ));
        }
    };
    let url = Url::parse(text)
        .map_err(|error| (format!("`{text}` is not an address: {error}"), example.into()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(("an origin has no user and no password".into(), example.into()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(("an origin ends after its port".into(), example.into()));
    }
    if url.path() != "/" {
        let advice = format!(
            "leave out `{}`: a path is not supported; put it in the site itself",
            url.path()
        );
        return Err(("an origin has no path".into(), advice));
    }
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
    match authority.parse() {
        Ok(authority) => Ok((scheme, authority)),
        Err(_) => Err((format!("`{text}` is not an address"), example.into())),
    }
}
