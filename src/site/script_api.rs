//! What a site's own scripts can ask and do about consent.

use crate::enforce::browser::{OwnScript, served};

/// Software on a page that is told what was chosen, or that tells us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bridge {
    /// Shopify's Customer Privacy API hears what was chosen.
    Shopify,
    /// The WP Consent API of WordPress hears what was chosen.
    WordPress,
    /// A tool of IAB Europe's framework (`__tcfapi`) tells what was chosen
    /// there; without one we answer in its place.
    Tcf,
    /// We answer in the place of a tool of the IAB's platform (`__gpp`).
    Gpp,
    /// Usercentrics tells what was chosen there.
    Usercentrics,
}

impl Bridge {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Shopify, Self::WordPress, Self::Tcf, Self::Gpp, Self::Usercentrics];

    /// The name that configuration uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shopify => "shopify",
            Self::WordPress => "wordpress",
            Self::Tcf => "tcf",
            Self::Gpp => "gpp",
            Self::Usercentrics => "usercentrics",
        }
    }

    /// The bridge of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bridge| bridge.name() == name)
    }
}

/// The script API of one site.
#[derive(Debug)]
pub struct ScriptApi {
    /// The script.
    pub script: OwnScript,
    /// Whether pages get it from us; else the site's own markup loads it.
    pub on_pages: bool,
}

impl ScriptApi {
    /// The API for a site with its own pages under `prefix`.
    #[must_use]
    pub fn new(prefix: &str, bridges: &[Bridge], on_pages: bool) -> Self {
        let names: Vec<_> = bridges.iter().map(|bridge| bridge.name()).collect();
        let text = served(include_str!("api.js"))
            .replace("/*BRIDGES*/[]", &serde_json::json!(names).to_string())
            .replace("/*HOME*/\"/.consentry\"", &serde_json::json!(prefix).to_string());
        Self { script: OwnScript::of("api", text), on_pages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d12_a_site_gets_its_bridges_and_no_others() {
        let api = ScriptApi::new("/privacy", &[Bridge::Tcf, Bridge::Shopify], true);
        let text = std::str::from_utf8(api.script.body()).unwrap();
        assert!(text.contains(r#"const BRIDGES = ["tcf","shopify"];"#));
        assert!(text.contains(r#"const HOME = "/privacy";"#));
        assert!(!text.contains("/*"));
        let none = ScriptApi::new("/privacy", &[], true);
        assert!(std::str::from_utf8(none.script.body()).unwrap().contains("const BRIDGES = [];"));
        assert_ne!(none.script.name(), api.script.name());
        for bridge in Bridge::ALL {
            assert_eq!(Bridge::from_name(bridge.name()), Some(bridge));
            assert!(include_str!("api.js").contains(&format!("    {}", bridge.name())));
        }
    }
}
