//! Opens pages in an installed Chromium and sees what they really do: what
//! scripts ask for later, which cookies are set, what is stored.

mod pipe;
mod visit;

use crate::audit::{AuditedPage, Judge, Seen};
use crate::policy::is_first_party;
use pipe::Pipe;
use visit::Visit;

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// What browsers of this kind are called.
const NAMES: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/// What a visitor brings along, and how long a page is watched.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    pub(super) cookies: Vec<(String, String)>,
    pub(super) local_storage: Vec<(String, String)>,
    /// How long nothing must happen before the page counts as done.
    pub(super) quiet: Duration,
    /// How long it is waited for that at most.
    pub(super) patience: Duration,
}

/// A browser that is started when it is needed, and again when it ended.
#[derive(Debug)]
pub(super) struct Browser {
    program: PathBuf,
    visitor: Visitor,
    pipe: Option<Pipe>,
}

/// What a page did.
#[derive(Debug, Default)]
pub(super) struct Observed {
    requests: Vec<Requested>,
    /// Name and domain.
    cookies: Vec<(String, String)>,
    /// Keys in `localStorage` and `sessionStorage`.
    stored: Vec<String>,
}

#[derive(Debug)]
struct Requested {
    url: Url,
    kind: crate::catalogue::Kind,
    via: String,
}

impl Browser {
    /// The browser at that path, or the one that is installed.
    pub(super) fn find(path: Option<&Path>, visitor: Visitor) -> anyhow::Result<Self> {
        let program = match path {
            Some(path) if path.is_file() => path.to_owned(),
            Some(path) => bail!("there is no browser at {}", path.display()),
            None => installed().with_context(|| {
                format!(
                    "no Chromium is installed ({} on the PATH); say where it is with --browser-path",
                    NAMES.join(", ")
                )
            })?,
        };
        Ok(Self { program, visitor, pipe: None })
    }

    /// Opens a page as somebody who was never there before, and adds what it
    /// did.
    pub(super) fn look(&mut self, url: &Url, judge: &Judge, page: &mut AuditedPage) {
        match self.visit(url) {
            Ok(observed) => observed.judge(url, judge, page),
            Err(error) => {
                self.pipe = None;
                page.trouble.get_or_insert(format!("in the browser: {error:#}"));
            }
        }
    }

    fn visit(&mut self, url: &Url) -> anyhow::Result<Observed> {
        let pipe = match &mut self.pipe {
            Some(pipe) => pipe,
            none => none.insert(Pipe::start(&self.program)?),
        };
        Visit::begin(pipe, &self.visitor, url)?.watch()
    }
}

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let directories: Vec<_> = std::env::split_paths(&path).collect();
    NAMES
        .iter()
        .flat_map(|name| directories.iter().map(move |directory| directory.join(name)))
        .find(|program| program.is_file())
}

impl Observed {
    fn judge(self, at: &Url, judge: &Judge, page: &mut AuditedPage) {
        let path = at.path();
        for Requested { url, kind, via } in &self.requests {
            let mut url = url.clone();
            if url.host_str() == at.host_str() {
                // The site's own, wherever it is audited.
                let _ = url.set_host(Some(&judge.host));
            }
            judge.seen(path, &Seen { url: &url, kind: *kind, via, cookies: &[] }, page);
        }
        let host = at.host_str().unwrap_or_default();
        for (name, domain) in &self.cookies {
            let domain = domain.trim_start_matches('.');
            let Ok(from) = Url::parse(&format!("https://{domain}/")) else { continue };
            if is_first_party(&from, host) {
                judge.own_cookie(path, name, page);
            } else {
                judge.foreign_cookie(path, name, &from, page);
            }
        }
        for key in &self.stored {
            judge.stored(path, key, page);
        }
    }
}
