//! What is said about who answers for a vendor: `[[ownership]]`.

use crate::catalogue::Catalogue;
use crate::config::exceptions::{answered_for, day, known_site, no_such_vendor};
use crate::config::file::default;
use crate::config::findings::Findings;
use crate::config::written_site;
use crate::site::Ownership;

use serde::{Deserialize, Serialize};
use toml::Spanned;

/// Who answers for a vendor, and why it is used.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an ownership, written `[[ownership]]`")]
pub struct WrittenOwnership {
    /// The vendor's id.
    pub vendor: Spanned<String>,
    /// The name of the site; empty for all.
    pub site: Spanned<String>,
    /// Who answers for it.
    pub owner: Spanned<String>,
    /// Why it is used.
    pub reason: Spanned<String>,
    /// The day on which somebody looks at it again.
    pub review: Spanned<toml::Value>,
}

impl Default for WrittenOwnership {
    fn default() -> Self {
        let empty = || default(String::new());
        Self {
            vendor: empty(),
            site: empty(),
            owner: empty(),
            reason: empty(),
            review: default(toml::Value::String(String::new())),
        }
    }
}

/// Checks and compiles them.
pub(super) fn compile(
    written: &[Spanned<WrittenOwnership>],
    sites: &[Spanned<written_site::Site>],
    catalogue: &Catalogue,
    findings: &mut Findings<'_>,
) -> Vec<Ownership> {
    let mut compiled: Vec<Ownership> = Vec::new();
    for entry in written {
        let said = entry.get_ref();
        answered_for(entry, "an ownership", &said.owner, &said.reason, findings);
        known_site(&said.site, sites, findings);
        let advice = "write the day on which somebody looks at it again: review = 2027-01-31";
        let missing = ("an ownership without `review`", advice);
        let review = day(entry, &said.review, missing, findings);
        if catalogue.vendor(said.vendor.get_ref()).is_none() {
            no_such_vendor(&said.vendor, catalogue, findings);
        }
        let (vendor, site) = (said.vendor.get_ref(), said.site.get_ref());
        if let Some(first) =
            compiled.iter().find(|other| other.vendor == *vendor && other.site == *site)
        {
            let message = format!("who answers for `{vendor}` is said in {}, too", first.place);
            findings.wrong_with_advice(entry, message, "keep one of them");
        }
        compiled.extend(review.map(|review| Ownership {
            vendor: vendor.clone(),
            site: site.clone(),
            owner: said.owner.get_ref().trim().to_owned(),
            reason: said.reason.get_ref().trim().to_owned(),
            review,
            place: findings.place(entry),
        }));
    }
    compiled
}
