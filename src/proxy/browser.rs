//! The browser layer of one exchange: whether a page gets the guard and a
//! policy of its own, and what browsers report.

use crate::catalogue::Subject;
use crate::enforce::browser::{BrowserPolicy, Guard, Memory, read_reports};
use crate::enforce::html::PageContext;
use crate::observe::{HostLearned, Observe};
use crate::policy::{Basis, Decision, Grounds, Layer, Ruling, Verdict};
use crate::proxy::exchange::Exchange;
use crate::proxy::head::Head;
use crate::proxy::variant::Destination;
use crate::site::Site;

use http::header::CONTENT_SECURITY_POLICY;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;
use url::Url;

/// What goes along with a page so that it holds in the browser, too.
pub(super) struct Browser {
    /// The guard, for documents that a browser shows.
    pub(super) guard: Option<Guard>,
    /// Where reports go; without it there is no policy.
    pub(super) reports: Option<String>,
    /// What the site's pages have taught us.
    pub(super) memory: Arc<Memory>,
}

impl Browser {
    /// For a page that a request like this one gets.
    pub(super) fn of(site: &Site, request: &Parts, destination: Destination) -> Self {
        let accept =
            request.headers.get(http::header::ACCEPT).and_then(|field| field.to_str().ok());
        let takes_html = accept.is_some_and(|accept| accept.contains("text/html"));
        let shown = match destination {
            Destination::Page | Destination::Framed => true,
            Destination::Unknown => takes_html,
            Destination::Fetch | Destination::Asset => false,
        };
        let guard = shown.then(|| Guard {
            prefix: site.own_prefix.to_string(),
            files: Arc::clone(&site.guard),
            google: site.google_consent,
            google_pings: site.policy.google_pings(),
            choices_url: String::new(),
            nonce: None,
        });
        let reports = site.browser_policy.then(|| format!("{}/reports", site.own_prefix));
        Self { guard, reports, memory: Arc::clone(&site.memory) }
    }

    /// The page's policy, which stands beside the site's own.
    pub(super) fn field(&self, policy: &BrowserPolicy) -> Option<HeaderValue> {
        let field = self.reports.as_ref().and_then(|reports| policy.header(reports));
        field.and_then(|field| HeaderValue::from_str(&field).ok())
    }
}

/// Whether a request is for a script that will run in a worker. It has no
/// page, so the policy that holds in it is its own.
pub(super) fn is_worker(request: &Parts) -> bool {
    request.headers.get("sec-fetch-dest").is_some_and(|dest| {
        [&b"worker"[..], b"sharedworker", b"serviceworker"].contains(&dest.as_bytes())
    })
}

/// The nonce that a site's own policy asks of its scripts, so that the guard
/// is one of them.
pub(super) fn script_nonce(headers: &HeaderMap) -> Option<String> {
    headers.get_all(CONTENT_SECURITY_POLICY).iter().find_map(|field| {
        let policy = field.to_str().ok()?;
        let sources = directive(policy, "script-src-elem")
            .or_else(|| directive(policy, "script-src"))
            .or_else(|| directive(policy, "default-src"))?;
        sources
            .split_ascii_whitespace()
            .find_map(|source| source.strip_prefix("'nonce-")?.strip_suffix('\''))
            .map(str::to_owned)
    })
}

/// The directive of that name in a policy, its name included.
pub(super) fn directive<'p>(policy: &'p str, name: &str) -> Option<&'p str> {
    policy.split([';', ',']).map(str::trim).find(|text| {
        let found = text.split_ascii_whitespace().next();
        found.is_some_and(|found| found.eq_ignore_ascii_case(name))
    })
}

/// Puts on record what a browser did not load, and learns from it: what the
/// verdict allows and a policy refused is in the next page's policy.
///
/// A report is judged like any other subject, so a forged one can neither
/// make us loosen what is denied nor put anything else on record than that.
pub(super) fn take_reports(
    request: &Parts,
    body: &[u8],
    head: &Head,
    exchange: &mut Exchange,
    observe: &Observe,
) {
    let (site, consent) = (Arc::clone(&exchange.site), exchange.consent.clone());
    let policy = exchange.rules.policy.clone();
    if !is_from_our_page(request, head) {
        return;
    }
    for held in read_reports(body) {
        let subject = Subject::Load { kind: held.kind, url: &held.url };
        let ruling = policy.decide(subject, &head.host, &consent);
        let ruling = match ruling.verdict {
            Verdict::Block(_) => ruling,
            Verdict::Allow(Basis::FirstParty) => continue,
            Verdict::Allow(basis) => {
                if let Some(authority) = authority(&held.url)
                    && site.memory.learn(&head.host, &authority)
                {
                    observe.emit(&HostLearned { site: &site.name, host: &authority });
                }
                if basis != Basis::Unlisted {
                    continue;
                }
                Ruling { verdict: Verdict::Block(Grounds::Unlisted), ..ruling }
            }
        };
        let decision = Decision::on_url(&ruling, Layer::Browser, held.kind, &held.url);
        exchange.decisions.push(decision.asked_by(&held.via));
    }
    exchange.file();
}

/// The path of the page that a report is about.
pub(super) fn reported_page(request: &Parts, body: &[u8], head: &Head) -> String {
    let referer = request.headers.get(http::header::REFERER).and_then(|field| field.to_str().ok());
    let own = |url: &Url| url.host_str() == Some(head.host.as_str());
    read_reports(body)
        .into_iter()
        .find_map(|held| held.page.filter(own))
        .or_else(|| referer.and_then(|text| Url::parse(text).ok()).filter(own))
        .map_or_else(|| "/".to_owned(), |url| url.path().to_owned())
}

fn is_from_our_page(request: &Parts, head: &Head) -> bool {
    let field = |name: &str| request.headers.get(name).and_then(|field| field.to_str().ok());
    match (field("sec-fetch-site"), field("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            Url::parse(origin).is_ok_and(|url| url.host_str() == Some(head.host.as_str()))
        }
        (None, None) => false,
    }
}

fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// The policy for a script that runs in a worker.
pub(super) fn worker_policy(context: &PageContext, site: &Site) -> BrowserPolicy {
    BrowserPolicy::of_worker(context, &site.memory)
}
