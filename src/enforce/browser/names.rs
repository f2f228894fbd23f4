//! Which names the browser is told: globals to stand in for, and cookies and
//! storage keys that scripts may not write.

use crate::catalogue::{Catalogue, Subject, Vendor};
use crate::consent::Consent;
use crate::policy::Policy;
use crate::purpose::{Purpose, PurposeSet};

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// More than that is not worth its place in a file that every page loads: what
/// is beyond is expired by the proxy with the next answer.
const MAX_NAMES: usize = 700;

/// Names of one kind from one vendor: the first it lists are the ones it sets
/// on other people's sites.
const MAX_OF_VENDOR: usize = 8;

/// Stand-ins for one page, at most.
const MAX_STUBS: usize = 100;

/// The globals to stand in for on a page: those of the vendors withheld on it,
/// and those that withheld inline code declares itself
/// ([`declared_globals`](super::declared_globals)).
///
/// Not among them are the settings that a site writes and a vendor reads:
/// somebody who finds a setting believes in it. Nor is anything that code kept
/// on the page defines; the caller knows that
/// ([`is_defined_in`](super::is_defined_in)) and says so in `is_kept`.
pub fn stub_names<'c>(
    catalogue: &'c Catalogue,
    withheld: &[&str],
    declared: &'c [String],
    is_kept: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut seen = HashSet::new();
    catalogue
        .globals_of(withheld)
        .filter(|name| !is_setting(name))
        .chain(declared.iter().map(String::as_str))
        .filter(|name| seen.insert(*name) && !is_kept(name))
        .take(MAX_STUBS)
        .map(str::to_owned)
        .collect()
}

/// Whether a vendor's global is something that the site writes.
fn is_setting(name: &str) -> bool {
    const ENDS: [&str; 28] = [
        "settings",
        "config",
        "conf",
        "options",
        "object",
        "namespace",
        "params",
        "_id",
        "_ids",
        "_crid",
        "_label",
        "_only",
        "_host",
        "_org",
        "_opts",
        "_key",
        "_data",
        "_shortname",
        "_vars",
        "_domain",
        "_url",
        "_loaded",
        "_account",
        "website",
        "domain",
        "_type",
        "_debug",
        "_custom",
    ];
    // As words of their own: `Algolia` ends in `ia`, `BugsnagId` in an id.
    const WORDS: [&str; 8] = ["Id", "ID", "Start", "Callback", "Cb", "Load", "Ready", "SDKObject"];
    let lower = name.to_ascii_lowercase();
    // Sites describe their page in it, and get an empty description.
    if name == "utag_data" {
        return false;
    }
    ENDS.iter().any(|end| lower.ends_with(end) && lower.len() > end.len())
        || WORDS.iter().any(|word| {
            name.strip_suffix(word)
                .is_some_and(|rest| *word == "Id" || rest.ends_with(|c: char| c.is_ascii_lowercase() || c == '_'))
        })
        // Functions that a vendor calls: `onYouTubeIframeAPIReady`, `fbAsyncInit`.
        || name
            .strip_prefix("on")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
        || name == "fbAsyncInit"
}

/// The table of the guard: per purpose letters, the patterns of cookies (`c`),
/// storage keys (`s`), databases (`d`), caches (`k`) and workers (`w`) that
/// need those purposes, as JSON.
///
/// What anybody calls necessary is not in it, nor is a pattern that would cover
/// such a name. Every file gives in turn, the best known vendors first.
#[must_use]
pub fn names_table(catalogue: &Catalogue) -> String {
    let mut vendors: Vec<(usize, &Arc<Vendor>)> = catalogue.ranked().collect();
    vendors.sort_by_key(|(rank, _)| *rank);
    let others = vendors
        .into_iter()
        .map(|(_, vendor)| &**vendor)
        .filter(|vendor| vendor.purpose != Purpose::Necessary);
    let mut table: BTreeMap<&str, BTreeMap<Place, Vec<&str>>> = BTreeMap::new();
    let mut left = MAX_NAMES;
    for vendor in others {
        let letters = vendor.purposes.without(Purpose::Necessary).class();
        for place in Place::ALL {
            let names = table.entry(letters).or_default().entry(place).or_default();
            for name in place.names(vendor).iter().take(MAX_OF_VENDOR) {
                if left > 0
                    && !names.iter().any(|known| covers(known, name))
                    && !is_needed(catalogue, place, name)
                {
                    names.push(name);
                    left -= 1;
                }
            }
        }
    }
    json(table)
}

fn json(table: BTreeMap<&str, BTreeMap<Place, Vec<&str>>>) -> String {
    let groups: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = table
        .into_iter()
        .map(|(letters, group)| {
            let group = group.into_iter().map(|(place, mut names)| {
                // Neighbours that look alike compress well.
                names.sort_unstable();
                (place.key(), names)
            });
            (letters, group.filter(|(_, names)| !names.is_empty()).collect::<BTreeMap<_, _>>())
        })
        .filter(|(_, group)| !group.is_empty())
        .collect();
    serde_json::json!(groups).to_string()
}

/// The names of vendors for which their purposes are not all that counts, where
/// the guard is told that `denied` are: those to `keep` although one of them is,
/// and those to `drop` although none is, in the form of the table.
pub(crate) fn names_of_vendors(
    policy: &Policy,
    consent: &Consent,
    denied: PurposeSet,
) -> serde_json::Value {
    let catalogue = policy.catalogue();
    let mut lists: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for vendor in catalogue.vendors().filter(|vendor| vendor.purpose != Purpose::Necessary) {
        let is_denied = !vendor.purposes.and(denied).is_empty();
        let list = match (is_denied, policy.decide_vendor(vendor, consent).blocks()) {
            (true, false) => "keep",
            (false, true) => "drop",
            (true, true) | (false, false) => continue,
        };
        for place in Place::ALL {
            let names = place.names(vendor).iter().take(MAX_OF_VENDOR).map(String::as_str);
            for name in names.filter(|name| !is_needed(catalogue, place, name)) {
                lists.entry(list).or_default().entry(place.key()).or_default().push(name);
            }
        }
    }
    serde_json::json!(lists)
}

/// Where a vendor keeps something in the browser.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Cookies,
    Storage,
    Databases,
    Caches,
    Workers,
}

impl Place {
    const ALL: [Self; 5] =
        [Self::Cookies, Self::Storage, Self::Databases, Self::Caches, Self::Workers];

    fn names(self, vendor: &Vendor) -> &[String] {
        match self {
            Self::Cookies => &vendor.cookies,
            Self::Storage => &vendor.storage,
            Self::Databases => &vendor.databases,
            Self::Caches => &vendor.caches,
            Self::Workers => &vendor.workers,
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Cookies => "c",
            Self::Storage => "s",
            Self::Databases => "d",
            Self::Caches => "k",
            Self::Workers => "w",
        }
    }
}

/// Whether denying a name could take one that anybody calls necessary.
fn is_needed(catalogue: &Catalogue, place: Place, name: &str) -> bool {
    catalogue
        .vendors()
        .filter(|vendor| vendor.purpose == Purpose::Necessary)
        .flat_map(|vendor| place.names(vendor))
        .any(|needed| overlaps(name, needed))
        || (place == Place::Cookies && is_necessary_cookie(catalogue, name))
}

fn is_necessary_cookie(catalogue: &Catalogue, name: &str) -> bool {
    catalogue
        .identify(Subject::Cookie(name))
        .is_some_and(|identity| identity.vendor.purpose == Purpose::Necessary)
}

/// Whether denying `pattern` could take a name that `needed` covers. A longer
/// pattern inside a shorter needed one is the more specific claim, and counts.
fn overlaps(pattern: &str, needed: &str) -> bool {
    match (pattern.split_once('*'), needed.split_once('*')) {
        (None, None) => pattern == needed,
        (Some(_), None) => covers(pattern, needed),
        (None, Some(_)) => false,
        (Some((head, tail)), Some((needed_head, needed_tail))) => {
            needed_head.starts_with(head) && needed_tail.ends_with(tail)
        }
    }
}

/// Whether a pattern with at most one `*` covers a name, or a narrower pattern.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| rest.ends_with(tail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::SourceFile;
    use crate::consent::VendorChoices;
    use crate::policy::{Observed, Unlisted};

    fn catalogue() -> Catalogue {
        let vendor = |id: &str, rest: &str| {
            format!(
                "[[vendor]]\nid = '{id}'\nname = '{id}'\nowner = 'x'\nabout = 'x'\nsource = 'x'\n{rest}\n"
            )
        };
        let text = [
            vendor("ads", "purposes = ['marketing', 'personalization']\nglobals = ['adq', 'ads_id', 'ads.go', 'adsSettings']\ncookies = ['_ads', '_ads_*', 'cart*', 'sid']\nstorage = ['adk', 'basket']\ndatabases = ['adDb']\ncaches = ['ad-cache']\nworkers = ['ad-sw.js']"),
            vendor("stats", "purposes = ['analytics']\nglobals = ['stats']\ncookies = ['_stats', '_ads']"),
            vendor("shop", "purposes = ['necessary']\nreason = 'x'\ncookies = ['cart_items', 'sid']\nstorage = ['bas*', 'basket']"),
        ]
        .concat();
        Catalogue::compile(&[SourceFile { name: "test".into(), text }]).unwrap()
    }

    #[test]
    fn j1_a_page_gets_stand_ins_for_whom_it_lacks() {
        let catalogue = catalogue();
        let declared = vec!["mine".to_owned(), "kept".to_owned(), "adq".to_owned()];
        let names = stub_names(&catalogue, &["ads"], &declared, |name| name == "kept");
        assert_eq!(names, ["adq", "ads.go", "mine"]);
        assert_eq!(stub_names(&catalogue, &[], &[], |_| false), [] as [String; 0]);
    }

    #[test]
    fn j1_what_a_site_writes_for_a_vendor_is_left_to_it() {
        for (name, setting) in [
            ("gtag", false),
            ("dataLayer", false),
            ("_satellite", false),
            ("utag", false),
            ("utag_data", false),
            ("Intercom", false),
            ("Tawk_API", false),
            ("google.ima", false),
            ("_hsq", false),
            ("Criteo", false),
            ("ldfdr", false),
            ("YT", false),
            ("intercomSettings", true),
            ("_linkedin_partner_id", true),
            ("_linkedin_data_partner_ids", true),
            ("google_conversion_id", true),
            ("onYouTubeIframeAPIReady", true),
            ("fbAsyncInit", true),
            ("piAId", true),
            ("ChatraID", true),
            ("addthis_config", true),
            ("GoogleAnalyticsObject", true),
            ("Tawk_LoadStart", true),
            ("s_account", true),
        ] {
            assert_eq!(is_setting(name), setting, "{name}");
        }
    }

    #[test]
    fn c9_the_table_names_nothing_necessary() {
        let table: serde_json::Value = serde_json::from_str(&names_table(&catalogue())).unwrap();
        assert_eq!(
            table,
            serde_json::json!({
                "pm": { "c": ["_ads", "_ads_*"], "s": ["adk"], "d": ["adDb"], "k": ["ad-cache"], "w": ["ad-sw.js"] },
                "a": { "c": ["_ads", "_stats"] },
            })
        );
    }

    #[test]
    fn e6_a_vendor_that_was_decided_about_brings_its_names() {
        let vendors = VendorChoices::default().with_allowed("stats").with_refused("ads").unwrap();
        let granted = PurposeSet::ALL.without(Purpose::Analytics);
        let consent = Consent::chosen(granted).with_vendors(vendors);
        let policy = Policy::new(Arc::new(catalogue()), Unlisted::Observe, &[]);
        let denied = PurposeSet::EMPTY.with(Purpose::Analytics);
        assert_eq!(
            names_of_vendors(&policy, &consent, denied),
            serde_json::json!({
                "keep": { "c": ["_stats", "_ads"] },
                "drop": { "c": ["_ads", "_ads_*"], "s": ["adk"], "d": ["adDb"], "k": ["ad-cache"], "w": ["ad-sw.js"] },
            })
        );
    }

    #[test]
    fn h6_an_observed_vendor_keeps_its_names_and_the_only_enforced_one_loses_them() {
        let silent = Consent::silent();
        let policy = Policy::new(Arc::new(catalogue()), Unlisted::Observe, &[]);
        let these = ["stats".to_owned()].into();
        let names = |observed: Observed, denied: PurposeSet| {
            names_of_vendors(&policy.clone().with_observed(observed), &silent, denied)
        };
        let all = PurposeSet::ALL.without(Purpose::Necessary);
        let expected = serde_json::json!({ "keep": { "c": ["_stats", "_ads"] } });
        assert_eq!(names(Observed::These(these), all), expected);
        let these = ["stats".to_owned()].into();
        let expected = serde_json::json!({ "drop": { "c": ["_stats", "_ads"] } });
        assert_eq!(names(Observed::AllBut(these), silent.denied()), expected);
    }

    #[test]
    fn the_table_has_the_names_that_matter_most() {
        let catalogue = Catalogue::compile(&SourceFile::embedded()).unwrap();
        let table: serde_json::Value = serde_json::from_str(&names_table(&catalogue)).unwrap();
        let all = table.to_string();
        for name in [
            "_ga", "_ga_*", "_gid", "_fbp", "_fbc", "_gcl_*", "_uetsid", "_pk_id*", "_hj*", "_clck",
        ] {
            assert!(all.contains(&format!("\"{name}\"")), "{name}: {all}");
        }
        let names = all.matches("\",\"").count();
        assert!(names > 300 && names < MAX_NAMES, "{names}");
        for name in ["sid", "PHPSESSID", "csrftoken", "OptanonConsent", "euconsent-v2", "consentry"]
        {
            let hit = table.as_object().unwrap().values().any(|group| {
                group["c"].as_array().is_some_and(|names| {
                    names.iter().any(|pattern| covers(pattern.as_str().unwrap(), name))
                })
            });
            assert!(!hit, "{name}");
        }
    }
}
