//! Finds the rule for a name that may hold a wildcard.

use crate::catalogue::RuleIndex;

use rustc_hash::FxHashMap;

/// Names, exact or with one `*` in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    exact: FxHashMap<String, RuleIndex>,
    /// Patterns by what stands before their `*`.
    by_head: Tree,
    /// Those that begin with it, by how they end, read backwards.
    by_tail: Tree,
    inserted: i64,
}

/// Patterns by one of their ends, byte by byte: looking a name up costs as many
/// steps as it shares with a pattern, however many there are.
#[derive(Clone, Debug)]
struct Tree {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Where it goes on from here, in no order: few have more than two.
    next: Vec<(u8, usize)>,
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    head: usize,
    tail: String,
    /// The largest wins: the most specific pattern, and among those of one
    /// length the earliest, after those that were to be first.
    rank: (usize, i64),
    rule: RuleIndex,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Tree {
    fn insert(&mut self, way: impl Iterator<Item = u8>, pattern: Pattern) {
        let mut at = 0;
        for byte in way {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            at = match node.next.iter().find(|(known, _)| *known == byte) {
                Some((_, next)) => *next,
                None => {
                    node.next.push((byte, fresh));
                    self.nodes.push(Node::default());
                    fresh
                }
            };
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.patterns.push(pattern);
        }
    }

    /// The patterns on the way through a name, from either end of it.
    fn along(&self, name: impl Iterator<Item = u8>) -> impl Iterator<Item = &Pattern> {
        let mut name = name;
        let mut at = self.nodes.first();
        std::iter::from_fn(move || {
            let node = at?;
            at = name.next().and_then(|byte| {
                let next = node.next.iter().find(|(known, _)| *known == byte);
                next.and_then(|(_, next)| self.nodes.get(*next))
            });
            Some(node)
        })
        .flat_map(|node| &node.patterns)
    }
}

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
                self.inserted += 1;
                let order = if first { self.inserted } else { -self.inserted };
                let rank = (head.len() + tail.len(), order);
                let pattern = Pattern { head: head.len(), tail: tail.to_owned(), rank, rule };
                if head.is_empty() {
                    self.by_tail.insert(tail.bytes().rev(), pattern);
                } else {
                    self.by_head.insert(head.bytes(), pattern);
                }
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<RuleIndex> {
        self.exact.get(name).copied().or_else(|| {
            let bytes = name.as_bytes();
            let by_head = self.by_head.along(bytes.iter().copied());
            let by_tail = self.by_tail.along(bytes.iter().rev().copied());
            by_head
                .chain(by_tail)
                .filter(|pattern| {
                    let rest = bytes.get(pattern.head..);
                    rest.is_some_and(|rest| rest.ends_with(pattern.tail.as_bytes()))
                })
                .max_by_key(|pattern| pattern.rank)
                .map(|pattern| pattern.rule)
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
    fn among_patterns_the_most_specific_wins_and_then_the_first() {
        let mut names = Names::default();
        names.insert("*/t.js", false, 1);
        names.insert("/cdn/*", false, 2);
        names.insert("/cdn/*.js", false, 3);
        names.insert("ab*", false, 4);
        names.insert("a*b", false, 5);
        names.insert("a*b", true, 6);
        names.insert("*", false, 7);
        for (name, rule) in [
            ("/cdn/t.js", 3),
            ("/x/t.js", 1),
            ("/cdn/", 2),
            ("/cdn/.js", 3),
            ("abb", 6),
            ("abc", 4),
            ("aß", 7),
            ("", 7),
        ] {
            assert_eq!(names.find(name), Some(rule), "{name}");
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
