//! What is set outside the file: `CONSENTRY_...` variables and flags.

use crate::config::file::defaults;
use crate::config::layers::Setting;
use crate::config::stamps::Stamps;
use crate::mistake::{Mistake, closest};
use crate::policy::Mode;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What the command line says; it wins over the environment, which wins over
/// the file. A list replaces the file's list.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Where visitors connect.
    pub listen: Option<SocketAddr>,
    /// Where the operator connects.
    pub admin: Option<SocketAddr>,
    /// The origin of the only site; makes one for any host if there is none.
    pub origin: Option<String>,
    /// The ledger's file.
    pub ledger: Option<PathBuf>,
    /// Filter lists.
    pub lists: Vec<PathBuf>,
    /// Catalogue files.
    pub catalogue: Vec<PathBuf>,
    /// Whether verdicts are carried out, for every site.
    pub mode: Option<Mode>,
    /// Certificate chain, PEM.
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub tls_key: Option<PathBuf>,
}

const PREFIX: &str = "CONSENTRY_";

/// Variables that are read elsewhere.
const RESERVED: [&str; 2] = ["CONSENTRY_REQUIRE", "CONSENTRY_LOG"];

/// The process's own `CONSENTRY_...` variables, for [`load`](super::load).
pub fn environment() -> impl Iterator<Item = (String, String)> {
    // `vars` would panic on a stranger's variable that is not UTF-8. One of
    // ours is kept with its bad bytes replaced, so that its check can refuse it.
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}

/// The settings that the environment holds, in the order of their names.
pub(super) fn from_environment(
    variables: impl Iterator<Item = (String, String)>,
    stamps: &mut Stamps,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let variables: BTreeMap<_, _> = variables.filter(|(name, _)| is_ours(name)).collect();
    for (name, text) in variables {
        match setting(name, text, stamps) {
            Ok(new) => match settings
                .iter()
                .find(|old| old.section == new.section && old.key == new.key)
            {
                Some(old) => mistakes.push(
                    Mistake::in_file(&new.source, format!("`{}` sets the same key", old.source))
                        .advise("keep one of them"),
                ),
                None => settings.push(new),
            },
            Err(mistake) => mistakes.push(mistake),
        }
    }
    settings
}

fn is_ours(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    // Kubernetes sets these in every container next to a service that is
    // called consentry: CONSENTRY_SERVICE_HOST, CONSENTRY_PORT_8080_TCP, ...
    let by_kubernetes = !rest.contains("__")
        && (rest.starts_with("SERVICE_") || rest == "PORT" || rest.starts_with("PORT_"));
    !by_kubernetes && !RESERVED.contains(&name)
}

fn setting(name: String, text: String, stamps: &mut Stamps) -> Result<Setting, Mistake> {
    let known = defaults();
    let written = name.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase();
    let parts = written.split_once("__");
    let find = |section: &str, key: &str| known.get(section)?.get(key);
    let (section, key, from_file) = match parts {
        Some((section, key)) if find(section, key).is_some() => (section, key, false),
        Some((section, key)) => match key.strip_suffix("_file") {
            Some(key) if find(section, key).is_some() => (section, key, true),
            Some(_) | None => return Err(unknown(&name, &known)),
        },
        None => return Err(unknown(&name, &known)),
    };
    let text = if from_file {
        stamps.look_at(Path::new(&text));
        let content = std::fs::read_to_string(&text).map_err(|error| {
            Mistake::in_file(&name, format!("`{text}` cannot be read: {error}"))
        })?;
        content.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        text
    };
    let values = match find(section, key) {
        Some(toml::Value::Array(_)) => text
            .split(',')
            .map(|member| member.trim().to_owned())
            .filter(|member| !member.is_empty())
            .collect(),
        Some(_) | None => vec![text],
    };
    Ok(Setting { section: section.to_owned(), key: key.to_owned(), source: name, values })
}

fn unknown(name: &str, known: &toml::Table) -> Mistake {
    let variables: Vec<String> = known
        .iter()
        .filter_map(|(section, keys)| Some((section, keys.as_table()?)))
        .flat_map(|(section, keys)| keys.keys().map(move |key| variable(section, key)))
        .collect();
    let mistake = Mistake::in_file(name, "no key has this name");
    match closest(name, variables.iter().map(String::as_str)) {
        Some(meant) => mistake.advise(format!("did you mean `{meant}`?")),
        None => mistake.advise(format!(
            "the name is made of section and key, such as `{}`",
            variable("listener", "address")
        )),
    }
}

fn variable(section: &str, key: &str) -> String {
    format!("{PREFIX}{}__{}", section.to_ascii_uppercase(), key.to_ascii_uppercase())
}

impl Overrides {
    /// The settings that the flags stand for.
    pub(super) fn settings(&self, mistakes: &mut Vec<Mistake>) -> Vec<Setting> {
        let mut settings = Vec::new();
        let mut set = |flag: &str, section: &str, key: &str, values: Vec<String>| {
            if !values.is_empty() {
                let (section, key) = (section.to_owned(), key.to_owned());
                settings.push(Setting { source: flag.to_owned(), section, key, values });
            }
        };
        let mut paths = |flag: &str, paths: &[PathBuf]| -> Vec<String> {
            let (good, bad): (Vec<_>, Vec<_>) =
                paths.iter().partition(|path| path.to_str().is_some());
            mistakes.extend(bad.iter().map(|path| {
                Mistake::in_file(flag, format!("`{}` is not a UTF-8 path", path.display()))
            }));
            good.into_iter().filter_map(|path| Some(path.to_str()?.to_owned())).collect()
        };
        let address =
            |address: Option<SocketAddr>| address.iter().map(ToString::to_string).collect();
        set("--listen", "listener", "address", address(self.listen));
        set(
            "--tls-cert",
            "listener",
            "tls_cert_file",
            paths("--tls-cert", self.tls_cert.as_slice()),
        );
        set("--tls-key", "listener", "tls_key_file", paths("--tls-key", self.tls_key.as_slice()));
        set("--admin", "admin", "address", address(self.admin));
        set("--ledger", "ledger", "file", paths("--ledger", self.ledger.as_slice()));
        set("--lists", "lists", "files", paths("--lists", &self.lists));
        set("--catalogue", "catalogue", "files", paths("--catalogue", &self.catalogue));
        set("--origin", "site", "origin", self.origin.iter().cloned().collect());
        set(
            "--mode",
            "site",
            "mode",
            self.mode.iter().map(|mode| mode.name().to_owned()).collect(),
        );
        settings
    }
}
