//! Which paths a rule is about.

use std::fmt;

/// A path as operators write it: `/checkout` is that path and everything under
/// it, `/*/print` has a `*` for any run of characters and must fit whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern(String);

impl PathPattern {
    /// Reads a pattern; `None` when it does not begin with `/` or `*`.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        text.starts_with(['/', '*']).then(|| Self(text.to_owned()))
    }

    /// Whether `path` is one of those meant.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        if self.0.contains('*') {
            return fits(&self.0, path);
        }
        // `/shop` is not `/shopping`.
        path.strip_prefix(self.0.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.0.ends_with('/'))
    }

    /// Whether every path is meant.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.bytes().all(|byte| matches!(byte, b'/' | b'*'))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any characters.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    // The leftmost place is as good as any, so nothing is tried twice.
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j3_a_path_covers_what_is_under_it_and_a_star_any_characters() {
        for (pattern, path, expected) in [
            ("/checkout", "/checkout", true),
            ("/checkout", "/checkout/pay", true),
            ("/checkout", "/checkouts", false),
            ("/checkout/", "/checkout", false),
            ("/checkout/", "/checkout/pay", true),
            ("/", "/anything", true),
            ("/*/print", "/a/b/print", true),
            ("/*/print", "/a/b/print/x", false),
            ("*.js", "/a/b.js", true),
            ("/a*b*b", "/ab", false),
            ("/a*b*b", "/abb", true),
            ("/a*", "/b/a", false),
        ] {
            let pattern = PathPattern::new(pattern).unwrap();
            assert_eq!(pattern.matches(path), expected, "{pattern} {path}");
        }
        assert_eq!(PathPattern::new("checkout"), None);
    }
}
