//! Makes alerts of vendors, hosts and cookies that were never met before.

use crate::ledger::figures::newcomers::Seen;
use crate::watch::alerts::{Alert, Kind, Phase, Thing, number_of};

use std::collections::{BTreeMap, BTreeSet};

/// How many things one alert names; of the rest it says how many.
const NAMED: usize = 50;

/// So many alerts of a kind are still told one by one. Anybody can make up
/// hosts, and nobody reads a thousand alerts.
const ONE_BY_ONE: usize = 50;

/// The alerts about what was found in one round: one for each vendor with its
/// hosts and cookies, and one for each host and cookie whose vendor is known
/// or that nobody claims. What is more of a kind than anybody would read is
/// one alert; of another kind it hides nothing.
pub(super) fn alerts(found: &[Seen], now_ms: u64, was_told: impl Fn(&Alert) -> bool) -> Vec<Alert> {
    let mut each: Vec<(Vec<&Seen>, Alert)> = in_groups(found)
        .into_iter()
        .filter_map(|group| alert(&group, now_ms).map(|alert| (group, alert)))
        .filter(|(_, alert)| !was_told(alert))
        .collect();
    let mut together = Vec::new();
    for kind in [Kind::NewVendor, Kind::NewHost, Kind::NewCookie] {
        if each.iter().filter(|(_, alert)| alert.kind == kind).count() > ONE_BY_ONE {
            let (all, others) = each.into_iter().partition(|(_, alert)| alert.kind == kind);
            each = others;
            together.extend(many(kind, &all, now_ms));
        }
    }
    each.into_iter().map(|(_, alert)| alert).chain(together).collect()
}

/// What belongs together.
fn in_groups(found: &[Seen]) -> Vec<Vec<&Seen>> {
    let new_vendors: BTreeSet<(&str, &str)> = found
        .iter()
        .filter(|seen| seen.sort == "vendor" && !seen.vendor_id.is_empty())
        .map(|seen| (seen.site.as_str(), seen.vendor_id.as_str()))
        .collect();
    let is_new_vendor = |seen: &Seen| new_vendors.contains(&(&*seen.site, &*seen.vendor_id));
    // In the order of discovery.
    let mut groups: BTreeMap<i64, Vec<&Seen>> = BTreeMap::new();
    let mut of_vendor: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for seen in found {
        let group = if is_new_vendor(seen) {
            *of_vendor.entry((&seen.site, &seen.vendor_id)).or_insert(seen.id)
        } else {
            seen.id
        };
        groups.entry(group).or_default().push(seen);
    }
    groups.into_values().collect()
}

/// One alert for many of a kind.
fn many(kind: Kind, all: &[(Vec<&Seen>, Alert)], now_ms: u64) -> Option<Alert> {
    let (first, _) = all.first()?;
    let first = lead(first)?;
    let leads: Vec<&Seen> = all.iter().filter_map(|(group, _)| lead(group)).collect();
    let sites: BTreeSet<&str> = leads.iter().map(|seen| seen.site.as_str()).collect();
    let place = match sites.len() {
        1 => first.site.clone(),
        count => format!("{count} sites"),
    };
    let what = match kind {
        Kind::NewVendor => "vendors",
        Kind::NewCookie => "cookies",
        _ => "hosts",
    };
    let summary = format!(
        "{place}: {} new {what} at once, the first {} on {}; see the page New of the dashboard. \
         If nobody changed the site, somebody may be making them up",
        leads.len(),
        name_of(first),
        first.page
    );
    let mut words = vec![kind.name(), "many"];
    words.extend(leads.iter().flat_map(|seen| [seen.site.as_str(), seen.name.as_str()]));
    let mut alert = Alert::new(number_of(&words), kind, Phase::Happened, now_ms, summary);
    alert.site = (sites.len() == 1).then(|| first.site.clone());
    name_things(&mut alert, &leads);
    Some(alert)
}

/// What a group is about.
fn lead<'s>(group: &[&'s Seen]) -> Option<&'s Seen> {
    group.iter().find(|seen| seen.sort == "vendor").or_else(|| group.first()).copied()
}

fn name_things(alert: &mut Alert, all: &[&Seen]) {
    alert.things = all.iter().take(NAMED).map(|seen| thing(seen)).collect();
    if all.len() > NAMED {
        alert.details.push(format!("and {} more", all.len() - NAMED));
    }
}

fn alert(group: &[&Seen], now_ms: u64) -> Option<Alert> {
    let lead = lead(group)?;
    let (kind, what) = match lead.sort.as_str() {
        "vendor" => (Kind::NewVendor, format!("new vendor {}", name_of(lead))),
        "host" => (Kind::NewHost, format!("new host {}{}", lead.name, whose(lead))),
        "cookie" => (Kind::NewCookie, format!("new cookie {}{}", lead.name, whose(lead))),
        _ => return None,
    };
    let by =
        if lead.via.is_empty() { String::new() } else { format!(", asked for by {}", lead.via) };
    let did = match lead.verdict.as_str() {
        "block" => "it is withheld until visitors agree",
        "would block" => "it would be withheld if this were enforced",
        _ if lead.vendor_id.is_empty() => "nobody in the catalogue claims it, and it passes",
        _ => "it passes",
    };
    let summary = format!("{}: {what}, first on {}{by}; {did}", lead.site, lead.page);
    let id = number_of(&[kind.name(), &lead.site, &lead.sort, &lead.name]);
    let mut alert = Alert::new(id, kind, Phase::Happened, now_ms, summary);
    alert.site = Some(lead.site.clone());
    name_things(&mut alert, group);
    Some(alert)
}

fn name_of(seen: &Seen) -> &str {
    if seen.vendor.is_empty() { &seen.name } else { &seen.vendor }
}

fn whose(seen: &Seen) -> String {
    if seen.vendor.is_empty() { String::new() } else { format!(" of {}", seen.vendor) }
}

fn thing(seen: &Seen) -> Thing {
    Thing {
        sort: seen.sort.clone(),
        name: seen.name.clone(),
        vendor: seen.vendor.clone(),
        purpose: seen.purpose.clone(),
        verdict: seen.verdict.clone(),
        kind: seen.kind.clone(),
        what: seen.what.clone(),
        page: seen.page.clone(),
        script: seen.via.clone(),
    }
}

/// What there is on a site that nobody watched before: one alert for all of it.
pub(super) fn first_look(site: &str, counts: &Counts, now_ms: u64) -> Option<Alert> {
    let Counts { vendors, hosts, cookies } = *counts;
    if vendors + hosts + cookies == 0 {
        return None;
    }
    let summary = format!(
        "{site}: watched from now on; known so far: {vendors} vendors, {hosts} hosts, {cookies} cookies"
    );
    let id = number_of(&[Kind::FirstLook.name(), site, &now_ms.to_string()]);
    let mut alert = Alert::new(id, Kind::FirstLook, Phase::Happened, now_ms, summary);
    alert.site = Some(site.to_owned());
    Some(alert)
}

/// What was met while a site was new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Counts {
    pub(super) vendors: u64,
    pub(super) hosts: u64,
    pub(super) cookies: u64,
}

impl Counts {
    pub(super) fn add(&mut self, seen: &Seen) {
        match seen.sort.as_str() {
            "vendor" => self.vendors += 1,
            "host" => self.hosts += 1,
            "cookie" => self.cookies += 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(id: i64, sort: &str, name: &str, vendor: &str) -> Seen {
        Seen {
            id,
            sort: sort.to_owned(),
            site: "shop".to_owned(),
            name: name.to_owned(),
            page: "/shoes".to_owned(),
            via: "tags.example/gtm.js".to_owned(),
            vendor_id: vendor.to_owned(),
            vendor: vendor.to_uppercase(),
            verdict: "block".to_owned(),
            ..Seen::default()
        }
    }

    #[test]
    fn g3_one_thing_is_one_alert_however_much_comes_with_it() {
        let found = [
            seen(1, "host", "ads.example", "ads"),
            seen(2, "vendor", "ads", "ads"),
            seen(3, "cookie", "_ads", "ads"),
            seen(4, "host", "cdn.known.example", "known"),
            seen(5, "cookie", "_x", ""),
        ];
        let alerts = alerts(&found, 7, |_| false);
        let kinds: Vec<_> = alerts.iter().map(|alert| alert.kind).collect();
        assert_eq!(kinds, [Kind::NewVendor, Kind::NewHost, Kind::NewCookie]);
        assert_eq!(
            alerts[0].summary,
            "shop: new vendor ADS, first on /shoes, asked for by tags.example/gtm.js; it is withheld until visitors agree"
        );
        assert_eq!(alerts[0].things.len(), 3);
        assert_eq!(alerts[0].things[0].page, "/shoes");
        assert!(alerts[1].summary.contains("new host cdn.known.example of KNOWN"));
    }

    #[test]
    fn g3_the_same_thing_has_the_same_number_whenever_it_is_told() {
        let found = [seen(1, "host", "ads.example", "")];
        let other = [seen(9, "host", "ads.example", "")];
        let id = |found: &[Seen], now_ms| alerts(found, now_ms, |_| false)[0].id.clone();
        assert_eq!(id(&found, 1), id(&other, 2));
        let cookie = [seen(1, "cookie", "ads.example", "")];
        assert_ne!(id(&found, 1), id(&cookie, 1));
    }

    #[test]
    fn g3_a_flood_of_made_up_hosts_is_one_alert_and_hides_no_vendor() {
        let host = |n: i64| seen(n, "host", &format!("h{n}.example"), "");
        let mut found: Vec<Seen> = (1..=50).map(host).collect();
        assert_eq!(alerts(&found, 7, |_| false).len(), 50, "a large deploy is read one by one");
        found.extend((51..=5000).map(host));
        found.insert(2000, seen(9001, "vendor", "ads", "ads"));
        found.insert(3000, seen(9002, "cookie", "_x", ""));
        let told = alerts(&found, 7, |_| false);
        let kinds: Vec<_> = told.iter().map(|alert| alert.kind).collect();
        assert_eq!(kinds, [Kind::NewVendor, Kind::NewCookie, Kind::NewHost]);
        let many = &told[2];
        assert_eq!(
            many.summary,
            "shop: 5000 new hosts at once, the first h1.example on /shoes; see the page New of the \
             dashboard. If nobody changed the site, somebody may be making them up"
        );
        assert_eq!((many.things.len(), many.site.as_deref()), (NAMED, Some("shop")));
        assert_eq!(many.details, ["and 4950 more"]);
        assert_eq!(alerts(&found, 9, |_| false)[2].id, many.id);
        assert_eq!(
            alerts(&found, 9, |_| true),
            [],
            "what was told one by one is not told together"
        );
        found[0].site = "other".to_owned();
        let told = alerts(&found, 7, |_| false);
        assert!(told[2].summary.starts_with("2 sites: 5000 new hosts"), "{}", told[2].summary);
        assert_eq!(told[2].site, None);
    }
}
