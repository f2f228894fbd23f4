//! Makes alerts of vendors, hosts and cookies that were never met before.

use crate::ledger::figures::newcomers::Seen;
use crate::watch::alerts::{Alert, Kind, Phase, Thing, number_of};

use std::collections::BTreeMap;

/// How many things one alert names; of the rest it says how many.
const NAMED: usize = 50;

/// The alerts about what was found in one round: one for each vendor with its
/// hosts and cookies, and one for each host and cookie whose vendor is known
/// or that nobody claims.
pub(super) fn alerts(found: &[Seen], now_ms: u64) -> Vec<Alert> {
    let is_new_vendor = |seen: &Seen| {
        !seen.vendor_id.is_empty()
            && found.iter().any(|other| {
                other.sort == "vendor"
                    && other.site == seen.site
                    && other.vendor_id == seen.vendor_id
            })
    };
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
    groups.into_values().filter_map(|group| alert(&group, now_ms)).collect()
}

fn alert(group: &[&Seen], now_ms: u64) -> Option<Alert> {
    let lead = group.iter().find(|seen| seen.sort == "vendor").or_else(|| group.first())?;
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
    alert.things = group.iter().take(NAMED).map(|seen| thing(seen)).collect();
    if group.len() > NAMED {
        alert.details.push(format!("and {} more", group.len() - NAMED));
    }
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
        let alerts = alerts(&found, 7);
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
        assert_eq!(alerts(&found, 1)[0].id, alerts(&other, 2)[0].id);
        let cookie = [seen(1, "cookie", "ads.example", "")];
        assert_ne!(alerts(&found, 1)[0].id, alerts(&cookie, 1)[0].id);
    }
}
