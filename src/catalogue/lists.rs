//! Filter lists in adblock syntax: what the operator adds to the catalogue.
//!
//! A list says *that* something tracks, not who gets the data nor what for.
//! So the catalogue is asked first, and what only a list knows belongs to the
//! list itself, with the purpose the operator gave it.

use crate::catalogue::{Kind, Place, SourceFile, Vendor};
use crate::purpose::{Purpose, PurposeSet};

use adblock::lists::{ParseOptions, RuleTypes};
use adblock::request::Request;
use adblock::{Engine, FilterSet};
use std::sync::Arc;
use url::Url;

/// All lists of one configuration, compiled into one engine.
pub struct Lists {
    engine: Engine,
    /// One a list, in the order they were added.
    sources: Vec<(Arc<str>, Arc<Vendor>)>,
}

/// What a list says about an address.
pub(super) struct Hit<'l> {
    pub(super) vendor: &'l Arc<Vendor>,
    pub(super) place: Place,
    pub(super) rule: String,
}

impl std::fmt::Debug for Lists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|(file, _)| file)).finish()
    }
}

impl Lists {
    /// Compiles lists. Rules that hide elements are left out: nothing here
    /// hides anything. What the engine does not understand it skips.
    #[must_use]
    pub fn compile(files: &[SourceFile], purpose: Purpose) -> Self {
        let mut set = FilterSet::new(true);
        let options =
            ParseOptions { rule_types: RuleTypes::NetworkOnly, ..ParseOptions::default() };
        let mut sources = Vec::new();
        for file in files {
            let added = set.add_filter_list(file.text.clone(), options);
            let short = file.name.rsplit('/').next().unwrap_or_default();
            let title = added.metadata.title.unwrap_or_else(|| short.to_owned());
            let vendor = Vendor {
                id: format!("list:{short}"),
                name: format!("{title} (filter list)"),
                owner: "unknown".to_owned(),
                purposes: PurposeSet::EMPTY.with(purpose),
                purpose,
                about: format!("The filter list {title} says that this tracks visitors."),
                source: added.metadata.homepage.unwrap_or_else(|| file.name.clone()),
                reason: String::new(),
                cookies: Vec::new(),
            };
            sources.push((Arc::from(file.name.as_str()), Arc::new(vendor)));
        }
        Self { engine: Engine::new_with_filter_set(set), sources }
    }

    /// What the lists say about an address that a page of `host` loads.
    pub(super) fn find(
        &self,
        kind: Kind,
        url: &Url,
        host: &str,
        third_party: bool,
    ) -> Option<Hit<'_>> {
        if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
            return None;
        }
        request_types(kind)
            .iter()
            .find_map(|request_type| self.check(request_type, url, host, third_party))
    }

    fn check(
        &self,
        request_type: &str,
        url: &Url,
        host: &str,
        third_party: bool,
    ) -> Option<Hit<'_>> {
        let request = Request::preparsed(
            url.as_str(),
            url.host_str()?,
            host,
            request_type,
            third_party,
            "get",
        );
        let result = self.engine.check_network_request(&request);
        if !result.should_block() {
            return None;
        }
        let info = result.filter?;
        let (list, line) = info
            .source_location
            .and_then(|location| location_of(&location.to_string()))
            .unwrap_or((0, 0));
        let (file, vendor) = self.sources.get(list).or_else(|| self.sources.first())?;
        let rule = info.raw_line.unwrap_or_else(|| "a rule of the list".to_owned());
        Some(Hit { vendor, place: Place { file: Arc::clone(file), line }, rule })
    }
}

/// The engine's own word for a place, `list:line`, both counted from 0; lines
/// here are counted from 1.
fn location_of(text: &str) -> Option<(usize, u32)> {
    let (list, line) = text.split_once(':')?;
    Some((list.parse().ok()?, line.parse::<u32>().ok()?.saturating_add(1)))
}

/// What lists call the kinds of load. A hint does not say what it is for, so
/// every kind counts that a rule may be limited to.
const fn request_types(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Script => &["script"],
        // Code may load in any of these ways.
        Kind::Inline => &["script", "image", "xmlhttprequest"],
        Kind::Frame => &["subdocument"],
        Kind::Image => &["image"],
        Kind::Style => &["stylesheet"],
        Kind::Font => &["font"],
        Kind::Media => &["media"],
        Kind::Object => &["object"],
        Kind::Hint => &["script", "other"],
        Kind::Connect => &["ping", "xmlhttprequest"],
        Kind::Refresh => &["document"],
        Kind::Cookie
        | Kind::RequestHeader
        | Kind::ResponseHeader
        | Kind::Parameter
        | Kind::OwnPath
        | Kind::Address => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "[Adblock Plus 2.0]\n! Title: Test list\n||beacon.example^$third-party\n/own-pixel.gif?\n\
                        @@||beacon.example/allowed.js\nshop.example##.banner\n||cdn.example/t.js$script,domain=shop.example\n";

    fn lists() -> Lists {
        let file = SourceFile { name: "/etc/lists/test.txt".into(), text: LIST.into() };
        Lists::compile(&[file], Purpose::Analytics)
    }

    fn rule(url: &str, kind: Kind, third_party: bool) -> Option<(String, u32)> {
        let lists = lists();
        let url = Url::parse(url).unwrap();
        lists.find(kind, &url, "shop.example", third_party).map(|hit| (hit.rule, hit.place.line))
    }

    #[test]
    fn a_list_names_its_rule_and_where_it_stands() {
        assert_eq!(
            rule("https://x.beacon.example/a.js", Kind::Script, true),
            Some(("||beacon.example^$third-party".to_owned(), 3))
        );
        assert_eq!(rule("https://beacon.example/allowed.js", Kind::Script, true), None);
        assert!(rule("https://shop.example/own-pixel.gif?x", Kind::Image, false).is_some());
        assert!(rule("https://cdn.example/t.js", Kind::Script, true).is_some());
        assert_eq!(rule("https://cdn.example/t.js", Kind::Image, true), None);
        assert_eq!(rule("data:,x", Kind::Image, true), None);
    }

    #[test]
    fn what_only_a_list_knows_belongs_to_the_list() {
        let lists = lists();
        let url = Url::parse("https://beacon.example/a.js").unwrap();
        let hit = lists.find(Kind::Script, &url, "shop.example", true).unwrap();
        assert_eq!(
            (hit.vendor.id.as_str(), hit.vendor.purpose),
            ("list:test.txt", Purpose::Analytics)
        );
        assert_eq!(hit.vendor.name, "Test list (filter list)");
        assert_eq!(hit.place.to_string(), "/etc/lists/test.txt:3");
    }
}
