//! Holds what was found against the operator's terms and the baseline.

use crate::audit::{AuditedPage, Baseline, Fault, Report, Spot, Terms, Thing};
use crate::catalogue::{Kind, Vendor};
use crate::purpose::Purpose;
use crate::site::Site;

use std::sync::Arc;

/// Where a finding stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Where {
    /// The page's name.
    pub page: String,
    /// Whether that is a file.
    pub is_file: bool,
    /// Where in it, if it stands there and was not only seen to happen.
    pub spot: Option<Spot>,
}

/// Something that is not good enough.
#[derive(Clone, Debug)]
pub struct Finding {
    /// In which way.
    pub fault: Fault,
    /// What kind of thing it is about; none where it is about a page.
    pub kind: Option<Kind>,
    /// What it is about.
    pub what: String,
    /// Whose it is, if anybody knows.
    pub vendor: Option<Arc<Vendor>>,
    /// What is wrong, in a sentence.
    pub message: String,
    /// Everywhere it stands.
    pub places: Vec<Where>,
}

/// What everything has to pass.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'g> {
    /// What is good enough.
    pub terms: &'g Terms,
    /// What was known before, if that is asked about.
    pub baseline: Option<&'g Baseline>,
    /// Where it is written who answers for a vendor.
    pub site: &'g Site,
}

impl Gate<'_> {
    /// Everything that does not pass, the gravest first.
    #[must_use]
    pub fn findings(&self, report: &Report) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        for page in &report.pages {
            for thing in &page.things {
                let leaks = thing.observed
                    && report.observed_in.is_some_and(|state| thing.is_withheld(state));
                for (fault, message) in self.faults(thing, leaks) {
                    file(&mut findings, about(fault, message, page, thing));
                }
            }
            if let Some(trouble) = &page.trouble
                && self.counts(Fault::Unread)
            {
                file(&mut findings, unread(page, trouble));
            }
        }
        findings.sort_by(|a, b| (a.fault, &a.what).cmp(&(b.fault, &b.what)));
        findings
    }

    /// Everything that would be a finding of the thing, whatever is in the
    /// baseline, but for its being new.
    #[must_use]
    pub fn all_faults(&self, thing: &Thing, leaks: bool) -> Vec<(Fault, String)> {
        let mut found = Vec::new();
        if let Some(why) = thing.vendors().find_map(|vendor| self.terms.forbid(vendor)) {
            found.push((Fault::Forbidden, why));
        }
        if leaks {
            found.push((Fault::Leak, "it happened before the visitor agreed to it".to_owned()));
        }
        let tolerated = thing.host().is_some_and(|host| self.terms.tolerates_host(host));
        if thing.is_unknown() && !tolerated {
            let why = match thing.kind {
                Kind::Inline => "it cannot be judged, so it is not let through",
                _ => "nobody in the catalogue claims it",
            };
            found.push((Fault::Unknown, why.to_owned()));
        }
        let unclaimed = thing.kind == Kind::Cookie && thing.vendor.is_none();
        if unclaimed && !self.terms.tolerates_cookie(&thing.what) {
            found.push((Fault::Cookie, "nobody in the catalogue claims this cookie".to_owned()));
        }
        let unowned = |vendor: &&Arc<Vendor>| {
            vendor.purpose != Purpose::Necessary && self.site.ownership(&vendor.id).is_none()
        };
        if let Some(vendor) = thing.vendors().find(unowned) {
            found.push((Fault::Unowned, format!("nobody answers for {}", vendor.name)));
        }
        found.retain(|(fault, _)| self.counts(*fault));
        found
    }

    fn faults(&self, thing: &Thing, leaks: bool) -> Vec<(Fault, String)> {
        let mut found = self.all_faults(thing, leaks);
        let Some(baseline) = self.baseline else { return found };
        let known = baseline.find(thing.kind, &thing.what);
        found.retain(|(fault, _)| !known.is_some_and(|known| known.has(*fault)));
        if found.is_empty() && known.is_none() && self.counts(Fault::New) {
            found.push((Fault::New, "it is not in the baseline".to_owned()));
        }
        found
    }

    fn counts(&self, fault: Fault) -> bool {
        self.terms.fail_on.contains(&fault)
    }
}

fn about(fault: Fault, message: String, page: &AuditedPage, thing: &Thing) -> Finding {
    let place = |spot| Where { page: page.name.clone(), is_file: page.is_file, spot };
    let places = match thing.spots.as_slice() {
        [] => vec![place(None)],
        spots => spots.iter().map(|spot| place(Some(*spot))).collect(),
    };
    Finding {
        fault,
        kind: Some(thing.kind),
        what: thing.what.clone(),
        vendor: thing.vendor.clone(),
        message,
        places,
    }
}

fn unread(page: &AuditedPage, trouble: &str) -> Finding {
    let place = Where { page: page.name.clone(), is_file: page.is_file, spot: None };
    Finding {
        fault: Fault::Unread,
        kind: None,
        what: page.name.clone(),
        vendor: None,
        message: trouble.to_owned(),
        places: vec![place],
    }
}

/// Files a finding with the others that say the same of the same thing.
fn file(findings: &mut Vec<Finding>, new: Finding) {
    let same =
        |old: &&mut Finding| old.fault == new.fault && old.kind == new.kind && old.what == new.what;
    match findings.iter_mut().find(same) {
        Some(old) => {
            for place in new.places {
                if !old.places.contains(&place) {
                    old.places.push(place);
                }
            }
        }
        None => findings.push(new),
    }
}
