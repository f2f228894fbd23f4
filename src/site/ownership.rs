//! Who answers for a vendor, and why it is used.

use crate::catalogue::Place;

use jiff::civil::Date;

/// Somebody who answers for a vendor on a site: whom to ask, and why the
/// vendor is there at all.
///
/// It changes nothing about what is withheld. A vendor that nobody answers for
/// is one that nobody would miss, and so is one whose reason nobody has looked
/// at again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ownership {
    /// The vendor's id.
    pub vendor: String,
    /// The name of the site; empty for all.
    pub site: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it is used.
    pub reason: String,
    /// The day on which somebody looks at it again.
    pub review: Date,
    /// Where it is written.
    pub place: Place,
}

impl Ownership {
    /// Whether somebody should have looked at it again by now.
    #[must_use]
    pub fn is_overdue_on(&self, today: Date) -> bool {
        self.review < today
    }
}

/// Who answers for a vendor: what is said for the one site counts before what
/// is said for all.
pub(super) fn find<'o>(ownerships: &'o [Ownership], vendor: &str) -> Option<&'o Ownership> {
    let of_vendor = || ownerships.iter().filter(|ownership| ownership.vendor == vendor);
    of_vendor().find(|ownership| !ownership.site.is_empty()).or_else(|| of_vendor().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_for_one_site_counts_first() {
        let said = |vendor: &str, site: &str, owner: &str| Ownership {
            vendor: vendor.into(),
            site: site.into(),
            owner: owner.into(),
            reason: "orders".into(),
            review: jiff::civil::date(2026, 5, 1),
            place: Place { file: "c.toml".into(), line: 1 },
        };
        let all =
            [said("ads", "", "everybody"), said("ads", "shop", "ana"), said("maps", "", "ben")];
        assert_eq!(find(&all, "ads").unwrap().owner, "ana");
        assert_eq!(find(&all, "maps").unwrap().owner, "ben");
        assert_eq!(find(&all, "chat"), None);
    }

    #[test]
    fn a_review_is_overdue_the_day_after() {
        let day = jiff::civil::date(2026, 5, 1);
        let ownership = Ownership {
            vendor: "ads".into(),
            site: String::new(),
            owner: "ana".into(),
            reason: "orders".into(),
            review: day,
            place: Place { file: "c.toml".into(), line: 1 },
        };
        assert!(!ownership.is_overdue_on(day));
        assert!(ownership.is_overdue_on(day.tomorrow().unwrap()));
    }
}
