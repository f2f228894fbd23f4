//! Everything a browser sent that bears on consent, beside our own cookie and
//! Global Privacy Control: found, read, and put in the order of its weight.

mod vendors;

pub use vendors::refuse_as_tcf;

use crate::consent::reading::Reading;
use crate::consent::tools::{Asked, COOKIES, Ids, Tool};
use crate::consent::{Source, gpp, tcf, us_privacy};

use http::HeaderMap;
use http::header::COOKIE;
use std::collections::BTreeMap;

/// The longest value that is read. The largest TC string that was seen has
/// 1.7 kB.
const LONGEST: usize = 8 * 1024;

/// How many such cookies are read of one request.
const MOST_COOKIES: usize = 64;

/// How many different values of one cookie are read.
const MOST_VALUES: usize = 4;

/// Which signals of others a site listens to, and what its own ids mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signals {
    /// Those that are listened to.
    pub heard: Vec<Source>,
    /// What ids stand for that a tool leaves to the site.
    pub ids: BTreeMap<Tool, Ids>,
}

impl Signals {
    /// Those whose format is certain.
    pub fn certain() -> impl Iterator<Item = Source> {
        Self::all().filter(|source| match source {
            Source::Tool(tool) => tool.is_certain(),
            _ => true,
        })
    }

    /// All that can be listened to.
    pub fn all() -> impl Iterator<Item = Source> + Clone {
        let tools = Tool::ALL.into_iter().map(Source::Tool);
        tools.chain([Source::Tcf, Source::Gpp, Source::UsPrivacy])
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self { heard: Self::certain().collect(), ids: BTreeMap::new() }
    }
}

/// One signal, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Whose signal it is.
    pub source: Source,
    /// The cookie that it was found in; a name that ends with `*` stands for
    /// every name that begins so.
    pub cookie: &'static str,
    /// What it says.
    pub reading: Reading,
}

/// The signals of others in `headers`, the weightiest first.
#[must_use]
pub fn heard(headers: &HeaderMap, signals: &Signals, now_s: u64, lifetime_s: u64) -> Vec<Heard> {
    let jar = Jar::of(headers, signals);
    let mut all = Vec::new();
    // In the order of `Signals::all`, which is that of their weight.
    for source in Signals::all() {
        let Some(cookie) = jar.first(source) else { continue };
        let reading = jar.read(source, |cookies| {
            let text = |read: fn(&str, u64, u64) -> Reading| {
                let values = cookies.iter().map(|(_, value)| match std::str::from_utf8(value) {
                    Ok(text) => read(text.trim(), now_s, lifetime_s),
                    Err(_) => Reading::doubtful("it is no text"),
                });
                values.reduce(Reading::agreeing)
            };
            let read = match source {
                Source::Tool(tool) => Some(tool.read(&Asked {
                    cookies,
                    ids: signals.ids.get(&tool),
                    now_s,
                    lifetime_s,
                })),
                Source::Tcf => text(tcf::read),
                Source::Gpp => text(gpp::read),
                Source::UsPrivacy => text(|text, _, _| us_privacy_in(text)),
                Source::Choice | Source::Gpc | Source::Region | Source::Silence => None,
            };
            read.unwrap_or(Reading::unasked(""))
        });
        all.push(Heard { source, cookie, reading });
    }
    all
}

/// The string itself, or in the JSON that iubenda puts around it.
fn us_privacy_in(text: &str) -> Reading {
    let wrapped = text.starts_with(['{', '%']);
    let found = wrapped.then(|| crate::consent::tools::json(text.as_bytes())).flatten();
    match found.as_ref().map(|found| found.get("uspString").and_then(serde_json::Value::as_str)) {
        Some(Some(text)) => us_privacy::read(text),
        Some(None) => Reading::doubtful("it has no `uspString`"),
        None => us_privacy::read(text),
    }
}

/// Whose cookie that is, and the name it goes by here.
fn owner(name: &str) -> Option<(Source, &'static str)> {
    let begins = |begin: &str| name.starts_with(begin);
    if name.ends_with("euconsent-v2") {
        // Some tools put a few letters in front.
        return Some((Source::Tcf, "euconsent-v2"));
    }
    match name {
        "IABGPP_HDR_GppString" => return Some((Source::Gpp, "IABGPP_HDR_GppString")),
        "usprivacy" => return Some((Source::UsPrivacy, "usprivacy")),
        "__cmpccpausps" => return Some((Source::UsPrivacy, "__cmpccpausps")),
        _ if begins("__cmpconsent") => return Some((Source::Tcf, "__cmpconsent*")),
        _ => {}
    }
    // Further cookies of these tools that say something else.
    if name.ends_with("-granular") || name.ends_with("-uspr") {
        return None;
    }
    if begins("real_cookie_banner") && (name.ends_with("-tcf") || name.ends_with("-test")) {
        return None;
    }
    let known = COOKIES.iter().find(|(known, _)| match known.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => *known == name,
    });
    known.map(|(known, tool)| (Source::Tool(*tool), *known))
}

/// The cookies of a request that are somebody's signal.
struct Jar<'h> {
    cookies: Vec<(Source, &'static str, &'h [u8])>,
    /// Signals with a value that was left out.
    cut: Vec<Source>,
}

impl<'h> Jar<'h> {
    fn of(headers: &'h HeaderMap, signals: &Signals) -> Self {
        let mut jar = Self { cookies: Vec::new(), cut: Vec::new() };
        let fields = headers.get_all(COOKIE).iter();
        let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
        for pair in pairs {
            let pair = pair.trim_ascii();
            let Some(at) = pair.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = pair.split_at_checked(at).unwrap_or_default();
            let Ok(name) = std::str::from_utf8(name) else { continue };
            let Some((source, name)) = owner(name.trim_end()) else { continue };
            if signals.heard.contains(&source) {
                jar.put(source, name, unquoted(value.get(1..).unwrap_or_default()));
            }
        }
        jar
    }

    fn put(&mut self, source: Source, name: &'static str, value: &'h [u8]) {
        let same = self.cookies.iter().filter(|(_, other, _)| *other == name);
        if same.clone().any(|(_, _, other)| *other == value) {
            return;
        }
        if value.len() > LONGEST
            || self.cookies.len() >= MOST_COOKIES
            || same.count() >= MOST_VALUES
        {
            if !self.cut.contains(&source) {
                self.cut.push(source);
            }
            return;
        }
        self.cookies.push((source, name, value));
    }

    /// The name of the first cookie of a signal.
    fn first(&self, source: Source) -> Option<&'static str> {
        let found = self.cookies.iter().find(|(of, _, _)| *of == source).map(|(_, name, _)| *name);
        let cut = self.cut.contains(&source).then_some("its cookie");
        found.or(cut)
    }

    /// Reads a signal. Where a cookie has several values, as it may when one
    /// is set for the host and one for the domain, each is read, and only what
    /// they agree on counts.
    fn read(
        &self,
        source: Source,
        read: impl Fn(&[(&'static str, &'h [u8])]) -> Reading,
    ) -> Reading {
        let own = self.cookies.iter().filter(|(of, _, _)| *of == source);
        let mut by_name: Vec<(&'static str, Vec<&[u8]>)> = Vec::new();
        for (_, name, value) in own {
            match by_name.iter_mut().find(|(other, _)| other == name) {
                Some((_, values)) => values.push(value),
                None => by_name.push((name, vec![value])),
            }
        }
        let most = by_name.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        let readings = (0..most).map(|turn| {
            let cookies: Vec<_> = by_name
                .iter()
                .filter_map(|(name, values)| Some((*name, *values.get(turn).or(values.last())?)))
                .collect();
            read(&cookies)
        });
        let reading = readings.reduce(Reading::agreeing);
        let cut = self.cut.contains(&source);
        match reading {
            Some(reading) if cut => {
                reading.without_grants("a value of it is too long, or one too many")
            }
            Some(reading) => reading,
            None => Reading::doubtful("it is too long, or one too many"),
        }
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests;
