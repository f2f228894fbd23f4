//! Checks what is set about the signals of others, and about regions.

use crate::config::findings::Findings;
use crate::config::written_site;
use crate::consent::{Ids, OPT_IN, OPT_OUT, Regions, Rule, Signals, Source, Tool, is_code};
use crate::mistake::closest;
use crate::purpose::{Purpose, PurposeSet};
use crate::site::Bridge;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toml::Spanned;

/// What silence means where a visitor is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[regions]`")]
pub struct WrittenRegions {
    /// The field with the country, or with country and region; empty where
    /// every visitor must opt in.
    pub country_header: Spanned<String>,
    /// The field with the region within the country; empty for none.
    pub region_header: Spanned<String>,
    /// Where visitors must opt in.
    pub opt_in: Vec<Spanned<String>>,
    /// Where they may opt out.
    pub opt_out: Vec<Spanned<String>>,
    /// Where nothing is asked.
    pub off: Vec<Spanned<String>>,
}

impl Default for WrittenRegions {
    fn default() -> Self {
        let built_in =
            |codes: &[&str]| codes.iter().map(|code| unwritten((*code).into())).collect();
        Self {
            country_header: unwritten(String::new()),
            region_header: unwritten(String::new()),
            opt_in: built_in(&OPT_IN),
            opt_out: built_in(&OPT_OUT),
            off: Vec::new(),
        }
    }
}

/// Everything for `[site.signal_ids]`: what a tool's ids stand for.
pub type WrittenIds = BTreeMap<String, Spanned<BTreeMap<String, Spanned<Vec<String>>>>>;

/// A value that nobody wrote, so it stands nowhere.
fn unwritten<T>(value: T) -> Spanned<T> {
    Spanned::new(usize::MAX..usize::MAX, value)
}

/// The signals that are listened to unless the operator says otherwise.
pub(super) fn default_signals() -> Vec<Spanned<String>> {
    vec![unwritten("auto".to_owned())]
}

pub(super) fn regions(written: &WrittenRegions, findings: &mut Findings<'_>) -> Regions {
    let country = field(&written.country_header, findings);
    let region = field(&written.region_header, findings);
    if region.is_some() && country.is_none() && written.country_header.get_ref().is_empty() {
        findings.wrong_with_advice(
            &written.region_header,
            "a region says nothing without its country",
            "set `country_header`, too",
        );
    }
    let mut rules: BTreeMap<String, Rule> = BTreeMap::new();
    let lists = [
        (Rule::OptIn, &written.opt_in),
        (Rule::OptOut, &written.opt_out),
        (Rule::Off, &written.off),
    ];
    for (rule, codes) in lists {
        for code in codes {
            let text = code.get_ref().to_ascii_uppercase();
            if !is_code(&text) || text.split('-').next().is_none_or(|country| country.len() != 2) {
                let advice = "write two letters for a country, such as `US`, and its region behind a hyphen: `US-CA`";
                findings.wrong_with_advice(
                    code,
                    format!("`{}` is no region", code.get_ref()),
                    advice,
                );
            } else if let Some(other) = rules.insert(text, rule).filter(|other| *other != rule) {
                findings.wrong_with_advice(
                    code,
                    format!("`{}` stands in `{}`, too", code.get_ref(), other.name()),
                    "leave it in one of the lists",
                );
            }
        }
    }
    Regions { country, region, rules }
}

fn field(written: &Spanned<String>, findings: &mut Findings<'_>) -> Option<HeaderName> {
    let text = written.get_ref();
    if text.is_empty() {
        return None;
    }
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        findings.wrong_with_advice(
            written,
            format!("`{text}` is not the name of a field"),
            "write it like `cf-ipcountry`",
        );
    }
    name
}

/// The signals that count on a site. Where one of `bridges` tells a tool what
/// was chosen here, that tool's cookie is our own word coming back, and no
/// other.
pub(super) fn signals(
    site: &written_site::Site,
    bridges: &[Bridge],
    findings: &mut Findings<'_>,
) -> Signals {
    let mut heard: Vec<Source> = Vec::new();
    for written in &site.signals {
        let text = written.get_ref().as_str();
        if text == "auto" {
            heard.extend(Signals::certain());
            continue;
        }
        let (name, wanted) = match text.strip_prefix('-') {
            Some(name) => (name, false),
            None => (text, true),
        };
        match Signals::all().find(|source| source.name() == name) {
            Some(source) if wanted => heard.push(source),
            Some(source) => heard.retain(|other| *other != source),
            None => {
                let advice = meant(name, Signals::all().map(Source::name).chain(["auto"]));
                findings.wrong_with_advice(
                    written,
                    format!("no signal is called `{name}`"),
                    advice,
                );
            }
        }
    }
    let told: Vec<Source> = bridges.iter().filter_map(|bridge| told(*bridge)).collect();
    heard.retain(|source| !told.contains(source));
    let mut ids: BTreeMap<Tool, Ids> = BTreeMap::new();
    for (name, written) in &site.signal_ids {
        let Some(tool) = Tool::ALL.into_iter().find(|tool| tool.name() == name) else {
            let advice = meant(name, Tool::ALL.into_iter().map(Tool::name));
            findings.wrong_with_advice(
                written,
                format!("no consent tool is called `{name}`"),
                advice,
            );
            continue;
        };
        for (id, names) in written.get_ref() {
            if let Some(purposes) = purposes(names, findings) {
                ids.entry(tool).or_default().insert(id.clone(), purposes);
            }
        }
    }
    Signals { heard, ids }
}

/// The tool that a bridge tells of choices, and that writes them down.
const fn told(bridge: Bridge) -> Option<Source> {
    match bridge {
        Bridge::Shopify => Some(Source::Tool(Tool::Shopify)),
        Bridge::WordPress => Some(Source::Tool(Tool::WpConsentApi)),
        Bridge::Tcf | Bridge::Gpp | Bridge::Usercentrics => None,
    }
}

fn purposes(written: &Spanned<Vec<String>>, findings: &mut Findings<'_>) -> Option<PurposeSet> {
    let names = written.get_ref();
    let purposes: Option<PurposeSet> = names.iter().map(|name| Purpose::from_name(name)).collect();
    if names.is_empty() || purposes.is_none() {
        findings.wrong_with_advice(
            written,
            "an id stands for one or more purposes",
            "they are `necessary`, `functional`, `analytics`, `personalization` and `marketing`: [\"analytics\"]",
        );
        return None;
    }
    purposes
}

fn meant<'n>(name: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    match closest(name, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("it is one of {}", known.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{self, KeyMode, Overrides};
    use crate::consent::{Source, Tool};

    fn mistakes(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("consentry.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = config::load(
            Some(&file),
            std::iter::empty(),
            &Overrides::default(),
            KeyMode::CheckOnly,
        );
        loaded.unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn d9_a_tool_that_a_bridge_tells_is_not_heard() {
        for (keys, wp, shopify) in [
            ("", true, true),
            ("bridges = [\"tcf\", \"gpp\", \"usercentrics\"]", true, true),
            ("bridges = [\"wordpress\"]", false, true),
            ("bridges = [\"shopify\"]", true, false),
            (
                "bridges = [\"shopify\", \"wordpress\"]\nsignals = [\"wp-consent-api\", \"auto\", \"shopify\"]",
                false,
                false,
            ),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("consentry.toml");
            let ledger = directory.path().join("ledger.db");
            let text = format!(
                "[ledger]\nfile = {ledger:?}\n[[site]]\norigin = \"http://127.0.0.1:1\"\n{keys}\n"
            );
            std::fs::write(&file, text).unwrap();
            let loaded = config::load(
                Some(&file),
                std::iter::empty(),
                &Overrides::default(),
                KeyMode::CheckOnly,
            )
            .unwrap();
            let site = loaded.sites.iter().next().unwrap();
            let hears = |tool| site.consent.signals.heard.contains(&Source::Tool(tool));
            assert_eq!(hears(Tool::WpConsentApi), wp, "{keys}");
            assert_eq!(hears(Tool::Shopify), shopify, "{keys}");
            assert!(hears(Tool::OneTrust), "{keys}");
        }
    }

    #[test]
    fn a_mistake_in_signals_says_where_and_what_to_do() {
        for (text, line, parts) in [
            (
                "signals = [\"auto\", \"onetrus\"]",
                3,
                ["no signal is called `onetrus`", "`onetrust`"],
            ),
            ("signals = [\"gpc\"]", 3, ["no signal is called `gpc`", "gpp"]),
            (
                "[site.signal_ids.onetrst]\nBG71 = [\"marketing\"]",
                3,
                ["no consent tool", "`onetrust`"],
            ),
            (
                "[site.signal_ids.onetrust]\nBG71 = [\"ads\"]",
                4,
                ["an id stands for", "`marketing`"],
            ),
            ("[site.signal_ids.onetrust]\nBG71 = []", 4, ["an id stands for", "`marketing`"]),
            ("[regions]\ncountry_header = \"a b\"", 4, ["not the name of a field", "cf-ipcountry"]),
            (
                "[regions]\nregion_header = \"x-region\"",
                4,
                ["without its country", "country_header"],
            ),
            ("[regions]\nopt_out = [\"California\"]", 4, ["`California` is no region", "`US-CA`"]),
            ("[regions]\noff = [\"us-ca\"]", 4, ["stands in `opt_out`, too", "one of the lists"]),
        ] {
            let found = mistakes(&format!("[[site]]\norigin = \"http://127.0.0.1:1\"\n{text}\n"));
            assert!(found.contains(&format!("consentry.toml:{line}:")), "{text}: {found}");
            assert!(parts.iter().all(|part| found.contains(part)), "{text}: {found}");
        }
    }
}
