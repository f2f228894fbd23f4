//! Judges what was seen to happen: requests that a browser made, cookies that
//! were set, keys that were stored.

use crate::audit::{AuditedPage, Judge, State};
use crate::catalogue::{Kind, Subject};
use crate::consent::Consent;
use crate::policy::{Basis, Decision, Layer, Policy, Verdict};

use serde_json::Value;
use url::Url;

/// A request that a page made.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'s> {
    /// Where to.
    pub url: &'s Url,
    /// What for.
    pub kind: Kind,
    /// The script that asked for it, or `inline`; empty where nobody said.
    pub via: &'s str,
    /// The names of the cookies that the answer set.
    pub cookies: &'s [String],
}

impl Judge {
    /// Adds a request that the page at `path` made, with what the answer set.
    pub fn seen(&self, path: &str, seen: &Seen<'_>, page: &mut AuditedPage) {
        let rules = self.rules(path);
        let subject = Subject::Load { kind: seen.kind, url: seen.url };
        let decide = |consent: &Consent| rules.policy.decide(subject, &self.host, consent);
        let own = Verdict::Allow(Basis::FirstParty);
        let mut found = AuditedPage::default();
        self.each(&mut found, |state| {
            let ruling = decide(&state.consent);
            let decision = Decision::on_url(&ruling, Layer::Browser, seen.kind, seen.url);
            (ruling.verdict != own).then(|| decision.asked_by(seen.via))
        });
        for name in seen.cookies {
            self.each(&mut found, |state| {
                let ruling = decide(&state.consent);
                if ruling.verdict == own {
                    return Some(self.cookie(&rules.policy, name, state));
                }
                // It comes with the answer, so it is withheld where that is.
                let decision = Decision::on_name(&ruling, Layer::Browser, Kind::Cookie, name);
                Some(decision.asked_by(seen.url.host_str().unwrap_or_default()))
            });
        }
        page.observe(found);
    }

    /// Adds a cookie of the site's own that is there after the page at `path`.
    pub fn own_cookie(&self, path: &str, name: &str, page: &mut AuditedPage) {
        let rules = self.rules(path);
        let mut found = AuditedPage::default();
        self.each(&mut found, |state| Some(self.cookie(&rules.policy, name, state)));
        page.observe(found);
    }

    /// Adds a cookie of somebody else's that is there after the page at `path`:
    /// it came from there, so it is withheld where that is.
    pub fn foreign_cookie(&self, path: &str, name: &str, from: &Url, page: &mut AuditedPage) {
        let rules = self.rules(path);
        let subject = Subject::Load { kind: Kind::Connect, url: from };
        let mut found = AuditedPage::default();
        self.each(&mut found, |state| {
            let ruling = rules.policy.decide(subject, &self.host, &state.consent);
            let decision = Decision::on_name(&ruling, Layer::Browser, Kind::Cookie, name);
            Some(decision.asked_by(from.host_str().unwrap_or_default()))
        });
        page.observe(found);
    }

    /// Adds a key that is in the browser's storage after the page at `path`, if
    /// anybody claims it: a site's own keys are its own business.
    pub fn stored(&self, path: &str, key: &str, page: &mut AuditedPage) {
        let rules = self.rules(path);
        let mut found = AuditedPage::default();
        self.each(&mut found, |state| {
            let subject = Subject::Storage(key);
            let ruling = rules.policy.decide(subject, &self.host, &state.consent);
            let decision = Decision::on_name(&ruling, Layer::Browser, Kind::Storage, key);
            ruling.is_known().then_some(decision)
        });
        page.observe(found);
    }

    fn cookie(&self, policy: &Policy, name: &str, state: &State) -> Decision {
        let ruling = policy.decide(Subject::Cookie(name), &self.host, &state.consent);
        Decision::on_name(&ruling, Layer::Browser, Kind::Cookie, name)
    }
}

/// What a request was for, by what a browser's developer tools call it, by the
/// destination that it told the server, or else by what came back.
#[must_use]
pub fn kind_of(resource: Option<&str>, destination: Option<&str>, media_type: &str) -> Kind {
    let by_resource = resource.and_then(|resource| {
        Some(match resource.to_ascii_lowercase().as_str() {
            "document" | "iframe" => Kind::Frame,
            "stylesheet" => Kind::Style,
            "image" => Kind::Image,
            "media" | "texttrack" => Kind::Media,
            "font" => Kind::Font,
            "script" => Kind::Script,
            "xhr" | "fetch" | "eventsource" | "websocket" | "ping" | "beacon" | "preflight"
            | "cspviolationreport" | "signedexchange" => Kind::Connect,
            "prefetch" => Kind::Hint,
            _ => return None,
        })
    });
    let by_destination = destination.and_then(|destination| {
        Some(match destination {
            "script" | "worker" | "sharedworker" | "serviceworker" => Kind::Script,
            "style" => Kind::Style,
            "image" => Kind::Image,
            "font" => Kind::Font,
            "audio" | "video" | "track" => Kind::Media,
            "object" | "embed" => Kind::Object,
            "iframe" | "frame" | "document" => Kind::Frame,
            "empty" => Kind::Connect,
            _ => return None,
        })
    });
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    let by_type = match media_type.split('/').next().unwrap_or_default() {
        _ if media_type.ends_with("javascript") => Kind::Script,
        _ if media_type == "text/css" => Kind::Style,
        _ if media_type == "text/html" => Kind::Frame,
        "image" => Kind::Image,
        "font" => Kind::Font,
        "audio" | "video" => Kind::Media,
        _ => Kind::Connect,
    };
    by_resource.or(by_destination).unwrap_or(by_type)
}

/// The script that made a request, by what a browser's developer tools call
/// its initiator: `host/path`, `inline`, or nothing where it was no script.
#[must_use]
pub fn asked_by(initiator: &Value) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    if text(initiator.get("type")).is_none_or(|kind| kind != "script") {
        return String::new();
    }
    // The last caller comes first; scripts that were started by another are
    // asked for their own address.
    let mut stack = initiator.get("stack");
    let mut depth = 0;
    while let Some(frames) = stack {
        let calls = frames.get("callFrames").and_then(Value::as_array);
        let found = calls
            .into_iter()
            .flatten()
            .filter_map(|frame| text(frame.get("url")))
            .find(|address| !address.is_empty());
        if let Some(address) = found {
            return script_at(&address);
        }
        depth += 1;
        stack = frames.get("parent").filter(|_| depth < 8);
    }
    text(initiator.get("url")).map(|address| script_at(&address)).unwrap_or_default()
}

/// A script's address as the ledger has it.
fn script_at(address: &str) -> String {
    let Ok(url) = Url::parse(address) else { return "inline".to_owned() };
    match url.host_str() {
        Some(host) => format!("{host}{}", url.path()),
        None => "inline".to_owned(),
    }
}
