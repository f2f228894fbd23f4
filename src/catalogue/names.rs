//! Finds the rule for a name that may hold a wildcard.

use crate::catalogue::RuleIndex;

use std::collections::HashMap;

/// Names, exact or with one `*` in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    exact: HashMap<String, RuleIndex>,
    /// What stands before and after the `*`, by how it begins; the most
    /// specific first. Most names begin like no pattern at all.
    wild: HashMap<[u8; BEGINNING], Vec<(String, String, RuleIndex)>>,
    /// Those that begin with less than that.
    short: Vec<(String, String, RuleIndex)>,
}

/// How many bytes of a pattern choose where to look.
const BEGINNING: usize = 2;

impl Names {
    /// Adds a name; `first` makes it win over one that is already there.
    pub(super) fn insert(&mut self, pattern: &str, first: bool, rule: RuleIndex) {
        match pattern.split_once('*') {
            None if first => {
                self.exact.insert(pattern.to_owned(), rule);
            }
            None => {
                self.exact.entry(pattern.to_owned()).or_insert(rule);
            }
            Some((head, tail)) => {
                let length = head.len() + tail.len();
                let list = match head.as_bytes().first_chunk::<BEGINNING>() {
                    Some(beginning) => self.wild.entry(*beginning).or_default(),
                    None => &mut self.short,
                };
                let at = list
                    .iter()
                    .position(|(h, t, _)| {
                        let other = h.len() + t.len();
                        other < length || (first && other == length)
                    })
                    .unwrap_or(list.len());
                list.insert(at, (head.to_owned(), tail.to_owned(), rule));
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<RuleIndex> {
        self.exact.get(name).copied().or_else(|| {
            let beginning = name.as_bytes().first_chunk::<BEGINNING>();
            let wild = beginning.and_then(|beginning| self.wild.get(beginning));
            wild.into_iter()
                .flatten()
                .chain(&self.short)
                .find(|(head, tail, _)| {
                    name.strip_prefix(head.as_str())
                        .is_some_and(|rest| rest.ends_with(tail.as_str()))
                })
                .map(|(_, _, rule)| *rule)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names_only() {
        let mut names = Names::default();
        names.insert("_ga", false, 1);
        names.insert("_ga_*", false, 2);
        names.insert("*euconsent-v2", false, 3);
        names.insert("_gat*", false, 4);
        names.insert("_gat_gtag_*", false, 5);
        for (name, rule) in [
            ("_ga", Some(1)),
            ("_ga_ABC", Some(2)),
            ("my_ga", None),
            ("_gaexp", None),
            ("pl_euconsent-v2", Some(3)),
            ("euconsent-v2", Some(3)),
            ("_gat_gtag_UA", Some(5)),
            ("_gat_UA", Some(4)),
        ] {
            assert_eq!(names.find(name), rule, "{name}");
        }
    }

    #[test]
    fn what_is_necessary_wins() {
        let mut names = Names::default();
        names.insert("cart", false, 1);
        names.insert("cart", true, 2);
        names.insert("cart", false, 3);
        assert_eq!(names.find("cart"), Some(2));
    }
}
