//! What one page lacks: whose code was withheld on it, and which names went
//! with that code.

use crate::catalogue::Catalogue;
use crate::enforce::browser::{declared_globals, is_defined_in, stub_names};
use crate::policy::Ruling;

use bytes::Bytes;
use std::collections::BTreeSet;

/// How many inline scripts of one page are looked through.
const MAX_SCRIPTS: usize = 400;

/// Names from withheld code, over all of a page.
const MAX_DECLARED: usize = 100;

/// What a page was seen to lack, while it was rewritten.
#[derive(Debug, Default)]
pub(crate) struct Lacks {
    /// The ids of the vendors.
    vendors: BTreeSet<String>,
    declared: Vec<String>,
    /// Inline code that is left: parts of the page as it came, not copies.
    kept: Vec<Bytes>,
}

impl Lacks {
    /// Takes down that something is withheld.
    pub(crate) fn vendor(&mut self, ruling: &Ruling<'_>) {
        if let Some(identity) = &ruling.identity {
            self.vendors.insert(identity.vendor.id.clone());
        }
    }

    /// Takes down a classic inline script that is withheld.
    pub(crate) fn code(&mut self, code: &[u8]) {
        let room = MAX_DECLARED.saturating_sub(self.declared.len());
        self.declared.extend(declared_globals(code).into_iter().take(room));
    }

    /// Takes down an inline script that is left.
    pub(crate) fn keep(&mut self, code: &Bytes) {
        if self.kept.len() < MAX_SCRIPTS {
            self.kept.push(code.clone());
        }
    }

    /// Takes over what another part of the page was seen to lack.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.vendors.extend(other.vendors);
        self.declared.extend(other.declared);
        self.kept.extend(other.kept);
    }

    /// The globals to stand in for.
    pub(crate) fn names(&self, catalogue: &Catalogue) -> Vec<String> {
        let withheld: Vec<&str> = self.vendors.iter().map(String::as_str).collect();
        stub_names(catalogue, &withheld, &self.declared, |name| {
            self.kept.iter().any(|code| is_defined_in(code, name))
        })
    }
}
