//! Finds the rule for a host and path.

use crate::catalogue::{Kind, KindSet, RuleIndex};

use rustc_hash::FxHashMap;

/// One way to recognise a vendor by address.
#[derive(Debug, Clone)]
pub(super) struct HostPattern {
    /// Lower case, no trailing dot.
    pub(super) host: String,
    /// Only this path and what begins with it; empty for all.
    pub(super) path: String,
    /// Not the subdomains.
    pub(super) exact: bool,
    /// Only for these kinds of load.
    pub(super) kinds: KindSet,
}

impl HostPattern {
    /// Reads it as it stands in a catalogue file.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (address, kinds) = match text.split_once(" as ") {
            None => (text, KindSet::ALL),
            Some((address, kinds)) => {
                let kinds = kinds
                    .split(',')
                    .map(|name| {
                        Kind::from_name(name.trim()).ok_or_else(|| format!("unknown kind `{name}`"))
                    })
                    .collect::<Result<KindSet, String>>()?;
                (address, kinds)
            }
        };
        let (exact, address) = match address.strip_prefix('=') {
            Some(address) => (true, address),
            None => (false, address),
        };
        let (host, path) = match address.find('/') {
            Some(at) => address.split_at_checked(at).unwrap_or((address, "")),
            None => (address, ""),
        };
        let valid = host.contains('.')
            && host.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_')
            })
            && !host.split('.').any(str::is_empty);
        if !valid {
            return Err(format!(
                "`{host}` is no host name: lower case, without scheme, port or `*`"
            ));
        }
        Ok(Self { host: host.to_owned(), path: path.to_owned(), exact, kinds })
    }
}

/// All host rules, found by walking up the labels of a host.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    by_host: FxHashMap<String, Vec<(HostPattern, bool, RuleIndex)>>,
}

impl Hosts {
    pub(super) fn insert(&mut self, pattern: HostPattern, necessary: bool, rule: RuleIndex) {
        let rules = self.by_host.entry(pattern.host.clone()).or_default();
        rules.push((pattern, necessary, rule));
        // The longest path first; what is necessary wins between equals.
        rules.sort_by_key(|(pattern, necessary, _)| {
            (std::cmp::Reverse(pattern.path.len()), !pattern.exact, !*necessary)
        });
    }

    /// Takes out what `earlier` files say of the same host and path, as far as
    /// the pattern says something else.
    pub(super) fn correct(&mut self, pattern: &HostPattern, earlier: impl Fn(RuleIndex) -> bool) {
        if let Some(rules) = self.by_host.get_mut(&pattern.host) {
            rules.retain(|(other, _, rule)| {
                let is_covered = other.path == pattern.path
                    && (other.exact || !pattern.exact)
                    && other.kinds.is_within(pattern.kinds);
                !is_covered || !earlier(*rule)
            });
        }
    }

    /// The most specific rule for an address: the longest host, then the
    /// longest path.
    pub(super) fn find(&self, host: &str, path: &str, kind: Kind) -> Option<RuleIndex> {
        self.walk(host, |pattern| path.starts_with(&pattern.path) && pattern.kinds.contains(kind))
    }

    /// The rule for a host named in code, `rest` being what follows it there.
    /// Rules that are limited to kinds do not count: code that names such a
    /// host may want its harmless side.
    pub(super) fn find_in_code(&self, host: &str, rest: &[u8]) -> Option<RuleIndex> {
        self.walk(host, |pattern| {
            pattern.kinds == KindSet::ALL && rest.starts_with(pattern.path.as_bytes())
        })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_host.keys().map(String::as_str)
    }

    /// The rules for paths of a host, with the kinds of load each is for.
    pub(super) fn paths_of(&self, host: &str) -> Vec<(&HostPattern, RuleIndex)> {
        let mut found = Vec::new();
        let mut suffix = host;
        loop {
            found.extend(
                self.by_host
                    .get(suffix)
                    .into_iter()
                    .flatten()
                    .filter(|(pattern, ..)| {
                        !pattern.path.is_empty() && (!pattern.exact || suffix.len() == host.len())
                    })
                    .map(|(pattern, _, rule)| (pattern, *rule)),
            );
            match suffix.split_once('.') {
                Some((_, parent)) => suffix = parent,
                None => return found,
            }
        }
    }

    /// All hosts and their rules.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&HostPattern, RuleIndex)> {
        self.by_host.values().flatten().map(|(pattern, _, rule)| (pattern, *rule))
    }

    fn walk(&self, host: &str, fits: impl Fn(&HostPattern) -> bool) -> Option<RuleIndex> {
        let mut suffix = host;
        loop {
            let found = self.by_host.get(suffix).and_then(|rules| {
                rules
                    .iter()
                    .find(|(pattern, ..)| {
                        (!pattern.exact || suffix.len() == host.len()) && fits(pattern)
                    })
                    .map(|(_, _, rule)| *rule)
            });
            if found.is_some() {
                return found;
            }
            suffix = suffix.split_once('.')?.1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, EMBEDDED, SourceFile, Subject};

    fn hosts() -> Hosts {
        let mut hosts = Hosts::default();
        let pattern = |host: &str, path: &str, exact, kinds| HostPattern {
            host: host.into(),
            path: path.into(),
            exact,
            kinds,
        };
        hosts.insert(pattern("ads.example", "", false, KindSet::ALL), false, 1);
        hosts.insert(pattern("ads.example", "/pay", false, KindSet::ALL), true, 2);
        hosts.insert(pattern("cdn.ads.example", "", true, KindSet::ALL), false, 3);
        hosts.insert(
            pattern("tube.example", "", false, KindSet::from_iter([Kind::Frame])),
            false,
            4,
        );
        hosts
    }

    #[test]
    fn the_most_specific_rule_wins() {
        let hosts = hosts();
        for (host, path, kind, rule) in [
            ("ads.example", "/x.js", Kind::Script, Some(1)),
            ("a.b.ads.example", "/x.js", Kind::Script, Some(1)),
            ("ads.example", "/pay/v3", Kind::Script, Some(2)),
            ("cdn.ads.example", "/pay/v3", Kind::Script, Some(3)),
            ("x.cdn.ads.example", "/", Kind::Script, Some(1)),
            ("badads.example", "/", Kind::Script, None),
            ("tube.example", "/", Kind::Frame, Some(4)),
            ("tube.example", "/", Kind::Image, None),
            ("example", "/", Kind::Image, None),
        ] {
            assert_eq!(hosts.find(host, path, kind), rule, "{host}{path}");
        }
    }

    const HEAD: &str = "[[vendor]]\nid = 'ID'\nname = 'Acme'\nowner = 'Acme'\nabout = 'Ads.'\nsource = 'https://acme.example'\n";

    #[test]
    fn a_later_file_says_whose_a_host_is() {
        let vendor = |id: &str, rest: &str| {
            format!("{}purposes = ['marketing']\n{rest}\n", HEAD.replace("ID", id))
        };
        let file = |name: &str, text: String| SourceFile { name: name.into(), text };
        let hosts = "hosts = ['a.example', '=b.example', 'c.example/pay', 'd.example']";
        let theirs = file("own", vendor("theirs", "hosts = ['d.example', '=a.example']"));
        let host = |name: &str| format!("[[host]]\nname = '{name}'\nvendor = 'said'\n");
        let said = ["b.example", "c.example", "d.example"].map(host).concat();
        let said = file("said", vendor("said", "hosts = []") + &said);
        let ours = file(EMBEDDED[0].0, vendor("ours", hosts));
        let catalogue = Catalogue::compile(&[ours, theirs, said]).unwrap();
        for (address, whose) in [
            ("https://a.example/", "theirs"),
            ("https://sub.a.example/", "ours"),
            ("https://b.example/", "said"),
            ("https://c.example/", "said"),
            ("https://c.example/pay", "ours"),
            ("https://d.example/", "said"),
        ] {
            let url = url::Url::parse(address).unwrap();
            let subject = Subject::Load { kind: Kind::Script, url: &url };
            assert_eq!(catalogue.identify(subject).unwrap().vendor.id, whose, "{address}");
        }
        let of = |id| catalogue.hosts_of(catalogue.vendor(id).unwrap()).collect::<Vec<_>>();
        assert_eq!(of("ours"), ["*.a.example", "a.example"]);
    }
}
