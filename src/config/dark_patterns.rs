//! Refuses keys that would make a "yes" easier than a "no", and says which
//! rule forbids it.
//!
//! None of them exists: what they ask for cannot be done here. They are known
//! because other consent tools have them, and "unknown key" would leave an
//! operator looking for another spelling.

use toml::de::{DeTable, DeValue};

/// Something about such a key, at its place in the file.
pub(super) struct Refused {
    pub(super) offset: usize,
    pub(super) message: String,
    pub(super) advice: String,
}

/// Which values of a key say no more than what holds anyway.
#[derive(Clone, Copy)]
enum Harmless {
    /// Only this answer.
    Answer(bool),
    /// Nothing: no such list, no such number.
    Nothing,
    /// A click.
    Click,
    /// None.
    Never,
}

struct Rule {
    keys: &'static [&'static str],
    harmless: Harmless,
    forbidden: &'static str,
    source: &'static str,
}

const EDPB: &str = "EDPB Cookie Banner Taskforce, January 2023; CPPA v. Honda, March 2025";

const RULES: [Rule; 9] = [
    Rule {
        keys: &[
            "refuse_button",
            "reject_button",
            "decline_button",
            "refuse_all",
            "show_refuse",
            "refuse_on_first_layer",
        ],
        harmless: Harmless::Answer(true),
        forbidden: "\"Refuse all\" is a button beside \"Accept all\", of the same size and colour, on every notice",
        source: EDPB,
    },
    Rule {
        keys: &["accept_only", "hide_refuse", "refuse_as_link", "refuse_link", "refuse_hidden"],
        harmless: Harmless::Answer(false),
        forbidden: "a notice that offers \"yes\" offers \"no\" in the same place, as a button of the same weight",
        source: EDPB,
    },
    Rule {
        keys: &["preticked", "prechecked", "preselected", "default_on", "default_purposes"],
        harmless: Harmless::Nothing,
        forbidden: "no box is ticked before the visitor ticks it",
        source: "GDPR, recital 32; EDPB Cookie Banner Taskforce, January 2023",
    },
    Rule {
        keys: &["consent_by"],
        harmless: Harmless::Click,
        forbidden: "only a click on a button is consent; scrolling, waiting or going on is a \"no\"",
        source: "EDPB Guidelines 05/2020; CNIL",
    },
    Rule {
        keys: &[
            "consent_on_scroll",
            "consent_on_navigation",
            "consent_on_close",
            "implied_consent",
            "auto_accept",
            "auto_accept_s",
            "close_button",
        ],
        harmless: Harmless::Answer(false),
        forbidden: "scrolling, closing, waiting or going on to another page is no consent",
        source: "EDPB Guidelines 05/2020; CNIL",
    },
    Rule {
        keys: &["reask_after_refusal", "reask_refused", "reask_days", "refusal_lifetime_days"],
        harmless: Harmless::Answer(false),
        forbidden: "who refused is not asked again before an agreement would have to be renewed (`consent.lifetime_days`)",
        source: "CNIL: a refusal is kept like an agreement; EDPB Guidelines 05/2020",
    },
    Rule {
        keys: &[
            "wall",
            "cookie_wall",
            "block_page",
            "block_until_accepted",
            "force_choice",
            "modal",
        ],
        harmless: Harmless::Answer(false),
        forbidden: "the page behind the notice works whatever the visitor answers, also when they do not",
        source: "EDPB Guidelines 05/2020; CNIL",
    },
    Rule {
        keys: &["button_order", "accept_first", "highlight_accept", "primary_button"],
        harmless: Harmless::Answer(false),
        forbidden: "both answers have one style",
        source: EDPB,
    },
    Rule {
        keys: &["legitimate_interest", "legitimate_interests"],
        harmless: Harmless::Answer(false),
        forbidden: "what needs consent is not done on another ground until the visitor objects",
        source: "EDPB Cookie Banner Taskforce, January 2023",
    },
];

/// Keys that style one of the answers alone.
const FOR_ONE_ANSWER: Rule = Rule {
    keys: &[],
    harmless: Harmless::Never,
    forbidden: "both answers have one style, `light_button` and `dark_button`: size, colour and weight are no means to steer",
    source: EDPB,
};

/// Takes such keys out of the sections where an operator would write them, and
/// says why.
pub(super) fn take(file: &mut DeTable<'_>) -> Vec<Refused> {
    let mut refused = Vec::new();
    for section in ["notice", "consent"] {
        if let Some(DeValue::Table(keys)) = file.get_mut(section).map(toml::Spanned::get_mut) {
            take_from(keys, &mut refused);
        }
    }
    if let Some(DeValue::Array(sites)) = file.get_mut("site").map(toml::Spanned::get_mut) {
        for site in sites.iter_mut() {
            let DeValue::Table(keys) = site.get_mut() else { continue };
            take_from(keys, &mut refused);
            if let Some(DeValue::Table(keys)) = keys.get_mut("notice").map(toml::Spanned::get_mut) {
                take_from(keys, &mut refused);
            }
        }
    }
    refused
}

fn take_from(keys: &mut DeTable<'_>, refused: &mut Vec<Refused>) {
    let mut found = Vec::new();
    for (key, value) in keys.iter() {
        let name = key.get_ref().as_ref();
        let Some(rule) = rule(name) else { continue };
        found.push(name.to_owned());
        if !rule.harmless.says(value.get_ref()) {
            refused.push(Refused {
                offset: key.span().start,
                message: format!("`{name}` is refused: {}", rule.forbidden),
                advice: format!("{}; take the line out", rule.source),
            });
        }
    }
    for name in found {
        keys.remove(name.as_str());
    }
}

fn rule(name: &str) -> Option<&'static Rule> {
    let styled = [
        "color",
        "colour",
        "size",
        "text",
        "font",
        "background",
        "border",
        "style",
        "weight",
        "position",
    ];
    let one = ["accept_", "refuse_", "reject_", "decline_"]
        .iter()
        .find_map(|start| name.strip_prefix(start));
    let alone = one.is_some_and(|rest| styled.iter().any(|word| rest.contains(word)));
    RULES.iter().find(|rule| rule.keys.contains(&name)).or(alone.then_some(&FOR_ONE_ANSWER))
}

impl Harmless {
    fn says(self, value: &DeValue<'_>) -> bool {
        match (self, value) {
            (Self::Answer(answer), DeValue::Boolean(written)) => answer == *written,
            (Self::Nothing, DeValue::Array(list)) => list.is_empty(),
            (Self::Nothing, DeValue::Boolean(written)) => !written,
            (Self::Click, DeValue::String(written)) => written == "click",
            _ => false,
        }
    }
}
