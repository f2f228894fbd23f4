//! Adds entries up, without a database.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// What counts of an entry. Texts are the ids that its database has for them.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct Viewed {
    pub(in crate::ledger) time_ms: i64,
    pub(in crate::ledger) site: i64,
    pub(in crate::ledger) page: i64,
    pub(in crate::ledger) class: i64,
    pub(in crate::ledger) undecided: i64,
    pub(in crate::ledger) signal: i64,
    pub(in crate::ledger) mode: i64,
    /// Whether verdicts were carried out in that mode.
    pub(in crate::ledger) enforced: bool,
    pub(in crate::ledger) set: i64,
}

/// A decision of a set, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::ledger) struct Member {
    pub(in crate::ledger) blocked: bool,
    pub(in crate::ledger) reason: String,
    pub(in crate::ledger) kind: String,
    pub(in crate::ledger) what: String,
    pub(in crate::ledger) vendor_id: String,
    pub(in crate::ledger) vendor: String,
    pub(in crate::ledger) purpose: String,
    pub(in crate::ledger) via: String,
    /// Whether a browser reported it, which anybody can make up.
    pub(in crate::ledger) reported: bool,
}

/// A set's decisions.
pub(in crate::ledger) type Members = Arc<[Member]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ledger) struct Hour {
    pub(in crate::ledger) hour: i64,
    pub(in crate::ledger) site: i64,
    pub(in crate::ledger) class: i64,
    pub(in crate::ledger) undecided: i64,
    pub(in crate::ledger) signal: i64,
    pub(in crate::ledger) mode: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ledger) struct VendorDay {
    pub(in crate::ledger) day: i64,
    pub(in crate::ledger) site: i64,
    pub(in crate::ledger) vendor_id: String,
    pub(in crate::ledger) purpose: String,
    pub(in crate::ledger) verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ledger) struct KindDay {
    pub(in crate::ledger) vendor_id: String,
    pub(in crate::ledger) day: i64,
    pub(in crate::ledger) site: i64,
    pub(in crate::ledger) kind: String,
    pub(in crate::ledger) verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ledger) struct PurposeDay {
    pub(in crate::ledger) day: i64,
    pub(in crate::ledger) site: i64,
    pub(in crate::ledger) purpose: String,
    pub(in crate::ledger) verdict: &'static str,
}

/// How often something was decided, and how often about something that a
/// browser would fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Times {
    pub(in crate::ledger) times: i64,
    pub(in crate::ledger) requests: i64,
}

impl Times {
    const fn add(&mut self, views: i64, fetched: bool) {
        self.times += views;
        if fetched {
            self.requests += views;
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ledger) struct PageDay {
    pub(in crate::ledger) vendor_id: String,
    pub(in crate::ledger) day: i64,
    pub(in crate::ledger) site: i64,
    pub(in crate::ledger) page: i64,
    pub(in crate::ledger) purpose: String,
    pub(in crate::ledger) verdict: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ledger) struct Combination {
    pub(in crate::ledger) set: i64,
    pub(in crate::ledger) site: i64,
    pub(in crate::ledger) page: i64,
}

/// What can be new on a site.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ledger) struct Name {
    /// `vendor`, `host` or `cookie`.
    pub(in crate::ledger) sort: &'static str,
    pub(in crate::ledger) site: i64,
    pub(in crate::ledger) name: String,
}

/// How something was met first.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct Meeting {
    pub(in crate::ledger) first_ms: i64,
    pub(in crate::ledger) last_ms: i64,
    pub(in crate::ledger) views: i64,
    pub(in crate::ledger) page: i64,
    pub(in crate::ledger) verdict: &'static str,
    /// Whether nothing but reports of browsers say that it was there.
    pub(in crate::ledger) reported: bool,
    pub(in crate::ledger) member: Member,
}

/// Entries added up.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Sums {
    pub(in crate::ledger) hours: HashMap<Hour, i64>,
    pub(in crate::ledger) vendors: HashMap<VendorDay, (String, Times)>,
    pub(in crate::ledger) kinds: HashMap<KindDay, i64>,
    pub(in crate::ledger) purposes: HashMap<PurposeDay, Times>,
    pub(in crate::ledger) pages: HashMap<PageDay, i64>,
    /// Views, and the time of the last one.
    pub(in crate::ledger) combinations: HashMap<Combination, (i64, i64)>,
    pub(in crate::ledger) seen: HashMap<Name, Meeting>,
    alike: HashMap<Alike, Span>,
}

/// Entries that differ in nothing but the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Alike {
    day: i64,
    site: i64,
    page: i64,
    set: i64,
    enforced: bool,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    views: i64,
    first_ms: i64,
    last_ms: i64,
}

impl Sums {
    /// How much of it there is, to stop before memory is short.
    pub(in crate::ledger) fn size(&self) -> usize {
        self.seen.len() + self.pages.len() + self.combinations.len()
    }

    /// Adds an entry.
    pub(in crate::ledger) fn add(&mut self, viewed: &Viewed) {
        let Viewed { time_ms, site, page, class, undecided, signal, mode, enforced, set } = *viewed;
        let hour = time_ms.div_euclid(HOUR_MS);
        *self.hours.entry(Hour { hour, site, class, undecided, signal, mode }).or_default() += 1;
        let alike = Alike { day: hour.div_euclid(24), site, page, set, enforced };
        let span = self.alike.entry(alike).or_insert(Span {
            views: 0,
            first_ms: time_ms,
            last_ms: time_ms,
        });
        span.views += 1;
        span.first_ms = span.first_ms.min(time_ms);
        span.last_ms = span.last_ms.max(time_ms);
    }

    /// Looks the sets up, each once for all entries that are alike.
    ///
    /// # Errors
    /// Those of `members`.
    pub(in crate::ledger) fn spread<E>(
        &mut self,
        mut members: impl FnMut(i64) -> Result<Members, E>,
    ) -> Result<(), E> {
        for (alike, span) in std::mem::take(&mut self.alike) {
            let members = members(alike.set)?;
            self.spread_one(alike, span, &members);
        }
        Ok(())
    }

    fn spread_one(&mut self, alike: Alike, span: Span, members: &[Member]) {
        let Alike { day, site, page, set, enforced } = alike;
        let combination =
            self.combinations.entry(Combination { set, site, page }).or_insert((0, span.last_ms));
        combination.0 += span.views;
        combination.1 = combination.1.max(span.last_ms);
        let mut met: Vec<(&str, &str, &'static str)> = Vec::new();
        let mut named: HashSet<Name> = HashSet::new();
        for member in members {
            let verdict = verdict(member, enforced);
            for name in names(site, member) {
                if named.insert(name.clone()) {
                    self.meet(name, page, span, verdict, member);
                }
            }
            if member.reason == OWN {
                continue;
            }
            self.count(day, site, verdict, member, span.views);
            let met_one = (member.vendor_id.as_str(), member.purpose.as_str(), verdict);
            if !met.contains(&met_one) {
                met.push(met_one);
            }
        }
        let verdicts: HashSet<&'static str> = met.iter().map(|(.., verdict)| *verdict).collect();
        let anybody = verdicts.into_iter().map(|verdict| (ANYBODY, "", verdict));
        for (vendor_id, purpose, verdict) in met.into_iter().chain(anybody) {
            let key = PageDay {
                vendor_id: vendor_id.to_owned(),
                day,
                site,
                page,
                purpose: purpose.to_owned(),
                verdict,
            };
            *self.pages.entry(key).or_default() += span.views;
        }
    }

    fn count(&mut self, day: i64, site: i64, verdict: &'static str, member: &Member, views: i64) {
        let Member { vendor_id, vendor, purpose, kind, .. } = member;
        let fetched = is_fetched(kind);
        let (vendor_id, purpose, kind) = (vendor_id.clone(), purpose.clone(), kind.clone());
        let key = PurposeDay { day, site, purpose: purpose.clone(), verdict };
        self.purposes.entry(key).or_default().add(views, fetched);
        let key = KindDay { vendor_id: vendor_id.clone(), day, site, kind, verdict };
        *self.kinds.entry(key).or_default() += views;
        let key = VendorDay { day, site, vendor_id, purpose, verdict };
        let of = self.vendors.entry(key).or_insert_with(|| (vendor.clone(), Times::default()));
        of.1.add(views, fetched);
    }

    fn meet(&mut self, name: Name, page: i64, span: Span, verdict: &'static str, member: &Member) {
        let first = || Meeting {
            first_ms: span.first_ms,
            last_ms: span.last_ms,
            views: 0,
            page,
            verdict,
            reported: member.reported,
            member: member.clone(),
        };
        let meeting = self.seen.entry(name).or_insert_with(first);
        if span.first_ms < meeting.first_ms {
            let Meeting { last_ms, views, reported, .. } = *meeting;
            *meeting = Meeting { last_ms, views, reported, ..first() };
        }
        meeting.reported &= member.reported;
        meeting.last_ms = meeting.last_ms.max(span.last_ms);
        meeting.views += span.views;
    }
}

/// Stands for a vendor in the sums over all of them; no id has a star in it.
pub(in crate::ledger) const ANYBODY: &str = "*";

/// The reason of what passes because verdicts on its vendor are only recorded.
const OBSERVED: &str = "observed";

/// The reason of what belongs to the site itself.
const OWN: &str = "first party";

fn verdict(member: &Member, enforced: bool) -> &'static str {
    match (member.blocked, enforced) {
        // It passed because verdicts on its vendor are only recorded.
        (false, _) if member.reason == OBSERVED => "would block",
        (false, _) => "allow",
        (true, true) => "block",
        (true, false) => "would block",
    }
}

/// Whether a browser would fetch it.
fn is_fetched(kind: &str) -> bool {
    matches!(
        kind,
        "script"
            | "frame"
            | "image"
            | "style"
            | "font"
            | "media"
            | "object"
            | "hint"
            | "connect"
            | "refresh"
    )
}

/// What a decision is news of.
fn names(site: i64, member: &Member) -> impl Iterator<Item = Name> {
    let vendor = (!member.vendor_id.is_empty()).then_some(("vendor", member.vendor_id.as_str()));
    let thing = match member.kind.as_str() {
        "cookie" => Some(("cookie", member.what.as_str())),
        _ if member.reason == OWN => None,
        "script" | "frame" | "image" | "style" | "font" | "media" | "object" | "hint"
        | "connect" | "refresh" => {
            let host = member.what.split('/').next().unwrap_or_default();
            // An address without a host is recorded as its scheme: `data:`.
            (!host.is_empty() && !host.ends_with(':')).then_some(("host", host))
        }
        _ => None,
    };
    [vendor, thing].into_iter().flatten().map(move |(sort, name)| Name {
        sort,
        site,
        name: name.to_owned(),
    })
}
