//! Finds the rule for a path on the site's own host.
//!
//! Vendors' scripts and endpoints move to the site's own host under any name
//! the operator likes, but what is asked of them stays: `/shop/t?id=GTM-ABC123`
//! is Google's container wherever it lives. So a rule is a path, and may add
//! what must stand in the query: `*?v=2&tid=G-#####*`. A `*` stands for
//! anything, in a value also for nothing; a `#` for one capital letter or
//! digit. Parameters may come in any order and with others between them.

use crate::catalogue::RuleIndex;
use crate::catalogue::names::Names;

use percent_encoding::percent_decode_str;
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// How many parameters of a query are looked at.
const MAX_PARAMETERS: usize = 200;

/// All rules about paths on the own host.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnPaths {
    paths: Names,
    /// By the name of the first parameter they need.
    queries: FxHashMap<String, Vec<Shape>>,
}

/// A path together with what its query must hold.
#[derive(Clone, Debug)]
struct Shape {
    /// What stands before and after the path's `*`; only before without one.
    path: (String, Option<String>),
    /// Names of parameters and what their values look like.
    parameters: Vec<(String, String)>,
    rule: RuleIndex,
}

impl OwnPaths {
    /// Adds a rule; `first` makes it win over one that is already there.
    ///
    /// # Errors
    /// With what a rule looks like, when this is none.
    pub(super) fn insert(
        &mut self,
        text: &str,
        first: bool,
        rule: RuleIndex,
    ) -> Result<(), &'static str> {
        let (path, query) = match text.split_once('?') {
            None => (text, None),
            Some((path, query)) => (path, Some(query)),
        };
        let is_path = path.starts_with('/') || path.starts_with("*/");
        if path.matches('*').count() > 1 || !(is_path || query.is_some() && path == "*") {
            return Err("a path begins with `/` or `*/` and holds one `*` at most");
        }
        let Some(query) = query else {
            self.paths.insert(path, first, rule);
            return Ok(());
        };
        let mut parameters = Vec::new();
        for pair in query.split('&') {
            let Some((name, value)) = pair.split_once('=') else {
                return Err("behind `?` stand parameters like `id=GTM-*`, with `&` in between");
            };
            if name.is_empty() || value.is_empty() || value.matches('*').count() > 1 {
                return Err("a parameter has a name and a value with one `*` at most");
            }
            parameters.push((name.to_owned(), value.to_owned()));
        }
        let path = match path.split_once('*') {
            None => (path.to_owned(), None),
            Some((head, tail)) => (head.to_owned(), Some(tail.to_owned())),
        };
        if let Some((name, _)) = parameters.first() {
            let shapes = self.queries.entry(name.clone()).or_default();
            let at = if first { 0 } else { shapes.len() };
            shapes.insert(at, Shape { path, parameters, rule });
        }
        Ok(())
    }

    /// The rule for a path with its query.
    pub(super) fn find(&self, target: &str) -> Option<RuleIndex> {
        // Without a slash it is no path but what a `data:` address carries.
        if !target.starts_with('/') {
            return None;
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let by_path = self.paths.find(path);
        if by_path.is_some() || query.is_empty() {
            return by_path;
        }
        let pairs: Vec<(Cow<'_, str>, &str)> = query
            .split('&')
            .take(MAX_PARAMETERS)
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter_map(|(name, value)| Some((decoded(name)?, value)))
            .collect();
        let has = |name: &str, shape: &str| {
            pairs.iter().any(|(known, value)| {
                known == name && decoded(value).is_some_and(|value| looks_like(&value, shape))
            })
        };
        let shapes = pairs.iter().filter_map(|(name, _)| self.queries.get(name.as_ref()));
        let found = shapes.flatten().find(|shape| {
            let (head, tail) = &shape.path;
            let on_path = match tail {
                None => path == head,
                Some(tail) => path.strip_prefix(head.as_str()).is_some_and(|p| p.ends_with(tail)),
            };
            on_path && shape.parameters.iter().all(|(name, value)| has(name, value))
        });
        found.map(|shape| shape.rule)
    }
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().ok()
}

fn looks_like(value: &str, shape: &str) -> bool {
    let Some((head, tail)) = shape.split_once('*') else {
        return value.len() == shape.len() && begins_like(value.bytes(), shape.bytes());
    };
    let rest = value.len().checked_sub(head.len());
    rest.is_some_and(|rest| rest >= tail.len())
        && begins_like(value.bytes(), head.bytes())
        && begins_like(value.bytes().rev(), tail.bytes().rev())
}

fn begins_like(mut value: impl Iterator<Item = u8>, mut shape: impl Iterator<Item = u8>) -> bool {
    shape.all(|expected| match (expected, value.next()) {
        (b'#', Some(byte)) => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        (expected, byte) => byte == Some(expected),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> OwnPaths {
        let mut rules = OwnPaths::default();
        for (rule, text) in [
            (1, "/collect"),
            (2, "*/gtm.js"),
            (3, "*?id=GTM-####*"),
            (4, "*?v=2&tid=G-####*"),
            (5, "/tr?id=*&ev=PageView"),
            (6, "*/b*/x?q=*"),
        ] {
            let inserted = rules.insert(text, false, rule);
            assert_eq!(inserted.is_ok(), rule != 6, "{text}");
        }
        rules
    }

    #[test]
    fn b13_a_disguise_is_known_by_what_is_asked_of_it() {
        let rules = rules();
        for (target, rule) in [
            ("/collect", Some(1)),
            ("/collect?x=1", Some(1)),
            ("/a/collect", None),
            ("/gtm.js", Some(2)),
            ("/metrics/gtm.js?id=1", Some(2)),
            ("/?id=GTM-AB12", Some(3)),
            ("/any/where?l=dataLayer&id=GTM-ABC123X", Some(3)),
            ("/x?id=GTM%2DABC123X", Some(3)),
            ("/x?i%64=GTM-ABC123X", Some(3)),
            ("/x?id=GTM-ABC", None),
            ("/x?id=GTM-abcd", None),
            ("/x?oid=GTM-ABC123X", None),
            ("/x?id=MY-GTM-ABC123X", None),
            ("/x?tid=G-ABC123&en=view&v=2", Some(4)),
            ("/x?tid=G-ABC123&v=20", None),
            ("/x?v=2", None),
            ("/tr?id=&ev=PageView", Some(5)),
            ("/tr?id=1&ev=PageViews", None),
            ("/tr/?id=1&ev=PageView", None),
            ("/x?id=1&id=GTM-ABC123X", Some(3)),
            ("/x?%ff=1&&=&id", None),
            ("text/plain,x?id=GTM-ABC123X", None),
            ("https://shop.example/gtm.js", None),
        ] {
            assert_eq!(rules.find(target), rule, "{target}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "*",
            "collect",
            "/a*b*c",
            "*x?id=1",
            "/a?",
            "/a?id",
            "/a?=x",
            "/a?id=",
            "/a?id=*x*",
        ] {
            assert!(OwnPaths::default().insert(text, false, 1).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_may_not_serve_both_ends_of_a_shape() {
        assert!(looks_like("ab", "a*b") && looks_like("axb", "a*b"));
        assert!(!looks_like("aba", "ab*ba") && !looks_like("G-", "G-#*"));
    }
}
