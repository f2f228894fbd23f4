//! What is wrong with what the synthetic visitor got.

use crate::catalogue::{EMBEDDED, Subject};
use crate::consent::Consent;
use crate::policy::{Basis, Policy, Ruling, Verdict};
use crate::watch::self_check::canary::{self, TAGS, Tag, What};
use crate::watch::self_check::loads::{self, Loads};
use crate::watch::self_check::stranger::Answer;

use serde::{Deserialize, Serialize};
use std::fmt;
use url::Url;

/// How many findings are kept of one page; more say nothing new.
const MOST: usize = 20;

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The page's path.
    pub page: String,
    /// What it is about: a tag, a cookie, a header, the notice.
    pub what: String,
    /// Whose it is, if it is anybody's.
    pub vendor: Option<String>,
    /// What is wrong with it.
    pub wrong: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { page, what, vendor, wrong } = self;
        match vendor {
            Some(vendor) => write!(f, "{page}: {what} ({vendor}) {wrong}"),
            None => write!(f, "{page}: {what} {wrong}"),
        }
    }
}

const PASSED: &str = "passed although nobody agreed to it";

/// What one page is judged by.
pub(super) struct Bench<'a> {
    /// What may pass on it.
    pub(super) policy: &'a Policy,
    /// The site's host.
    pub(super) host: &'a str,
    /// What the synthetic visitor has said.
    pub(super) consent: &'a Consent,
}

impl Bench<'_> {
    fn decide<'p>(&'p self, subject: Subject<'_>) -> Ruling<'p> {
        self.policy.decide(subject, self.host, self.consent)
    }

    /// What passed on a page of the site and must not have: what the policy
    /// withholds from this visitor is not to be found in what they got.
    ///
    /// Code in the page is not judged here: the site's own code may name a
    /// vendor and stay, and what it loads is withheld in the browser.
    pub(super) fn page(&self, answer: &Answer, loads: &Loads) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut judge = |subject: Subject<'_>, what: String| {
            let ruling = self.decide(subject);
            if ruling.verdict.blocks() && findings.len() < MOST {
                findings.push(finding(answer, what, &ruling, PASSED));
            }
        };
        for (kind, url) in &loads.addresses {
            judge(Subject::Load { kind: *kind, url }, name_of(kind.name(), url));
        }
        for cookie in answer.cookies() {
            judge(Subject::Cookie(&cookie), format!("cookie {cookie}"));
        }
        for name in answer.headers.keys() {
            judge(Subject::ResponseHeader(name.as_str()), format!("header {name}"));
        }
        findings
    }

    /// What is wrong on the canary page for somebody who agreed to nothing.
    pub(super) fn canary_withheld(&self, answer: &Answer) -> Vec<Finding> {
        self.canary(answer, |ruling, passed| {
            let must_not = ruling.verdict.blocks() || !is_decided_by_somebody(ruling);
            (passed && must_not).then_some(PASSED)
        })
    }

    /// The same for somebody who agreed to everything.
    pub(super) fn canary_granted(&self, answer: &Answer) -> Vec<Finding> {
        self.canary(answer, |ruling, passed| match (ruling.verdict, passed) {
            (Verdict::Allow(_), false) => Some("is withheld although everything was agreed to"),
            (Verdict::Block(_), true) => Some("passed although it is withheld from everybody"),
            (Verdict::Allow(_), true) | (Verdict::Block(_), false) => None,
        })
    }

    fn canary(
        &self,
        answer: &Answer,
        wrong: impl Fn(&Ruling<'_>, bool) -> Option<&'static str>,
    ) -> Vec<Finding> {
        let loads = loads::of(&answer.body, &answer.url);
        let set = answer.cookies();
        let received = answer.field(canary::RECEIVED);
        let reached = |name: &str| received.split(", ").any(|each| each == name);
        let mut findings = Vec::new();
        for tag in &TAGS {
            let name = tag.what.name();
            let passed = match tag.what {
                What::Load(kind, to) => {
                    loads.addresses.iter().any(|(other, url)| *other == kind && url.as_str() == to)
                }
                What::Inline(code) => loads.inline.iter().any(|other| other.contains(code)),
                What::Cookie(cookie) => reached(&name) || set.iter().any(|other| other == cookie),
                What::Parameter(_) => reached(&name),
            };
            let Some(ruling) = self.on_tag(tag) else { continue };
            if let Some(wrong) = wrong(&ruling, passed) {
                let vendor = Some(tag.vendor.to_owned());
                let (page, wrong) = (answer.url.path().to_owned(), wrong.to_owned());
                findings.push(Finding { page, what: name, vendor, wrong });
            }
        }
        findings
    }

    fn on_tag<'p>(&'p self, tag: &Tag) -> Option<Ruling<'p>> {
        Some(match tag.what {
            What::Load(kind, to) => self.decide(Subject::Load { kind, url: &Url::parse(to).ok()? }),
            What::Inline(code) => self.decide(Subject::Inline(code.as_bytes())),
            What::Cookie(name) => self.decide(Subject::Cookie(name)),
            What::Parameter(name) => self.decide(Subject::Parameter(name)),
        })
    }
}

/// Whether the operator decided about this very thing, in an exception that
/// names it or a catalogue file of their own. Nothing else lets a tag of the
/// canary pass: not a catalogue that does not know it, and no exception for
/// everything.
fn is_decided_by_somebody(ruling: &Ruling<'_>) -> bool {
    match ruling.verdict {
        Verdict::Allow(Basis::Exception) => ruling.exception.is_some_and(|exception| {
            let scope = &exception.scope;
            scope.host.is_some() || scope.vendor.is_some() || scope.cookie.is_some()
        }),
        Verdict::Allow(Basis::Observed(_)) => true,
        Verdict::Allow(_) => ruling.identity.as_ref().is_some_and(|identity| {
            EMBEDDED.iter().all(|(name, _)| *name != &*identity.place.file)
        }),
        Verdict::Block(_) => false,
    }
}

fn name_of(kind: &str, url: &Url) -> String {
    format!("{kind} {}{}", url.host_str().unwrap_or_default(), url.path())
}

fn finding(answer: &Answer, what: String, ruling: &Ruling<'_>, wrong: &str) -> Finding {
    let vendor = ruling.identity.as_ref().map(|identity| identity.vendor.name.clone());
    let what = what.chars().take(200).collect();
    Finding { page: answer.url.path().to_owned(), what, vendor, wrong: wrong.to_owned() }
}
