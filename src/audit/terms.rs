//! What the operator takes for good enough: the policy file of an audit.

use crate::catalogue::{Catalogue, Vendor};
use crate::mistake::{self, Mistake};
use crate::purpose::{Purpose, PurposeSet};

use serde::Deserialize;
use std::fmt;
use toml::Spanned;

/// What makes a finding of a thing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The terms do not allow its vendor or purpose at all
    Forbidden,
    /// It happened although the visitor had not agreed to it
    Leak,
    /// Nobody in the catalogue or in a list claims it, or it cannot be judged
    Unknown,
    /// A cookie that nobody in the catalogue claims
    Cookie,
    /// Nobody answers for its vendor (`[[ownership]]` in the configuration)
    Unowned,
    /// The baseline does not have it
    New,
    /// A page that could not be looked at, or not to its end
    Unread,
}

impl Fault {
    /// All of them, the gravest first.
    pub const ALL: [Self; 7] = [
        Self::Forbidden,
        Self::Leak,
        Self::Unknown,
        Self::Cookie,
        Self::Unowned,
        Self::New,
        Self::Unread,
    ];

    /// The word in every format and in the policy file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Leak => "leak",
            Self::Unknown => "unknown",
            Self::Cookie => "cookie",
            Self::Unowned => "unowned",
            Self::New => "new",
            Self::Unread => "unread",
        }
    }

    /// What it means.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Forbidden => "The policy does not allow its vendor or purpose at all",
            Self::Leak => "It happened although the visitor had not agreed to it",
            Self::Unknown => "Nobody in the catalogue or in a list claims it",
            Self::Cookie => "A cookie that nobody in the catalogue claims",
            Self::Unowned => "Nobody answers for its vendor",
            Self::New => "The baseline does not have it",
            Self::Unread => "A page that could not be looked at, or not to its end",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Forbidden => {
                "take it off the page, or allow its vendor or purpose in the policy file"
            }
            Self::Leak => {
                "have it wait for the visitor's choice, or put consentry in front of the site"
            }
            Self::Unknown => {
                "describe it in a [[vendor]] of your own, or name its host under [tolerated] in the policy file"
            }
            Self::Cookie => {
                "describe it in a [[vendor]] of your own, or name it under [tolerated] in the policy file"
            }
            Self::Unowned => "say in an [[ownership]] of the configuration who answers for it",
            Self::New => "look at it, and take it in with --write-baseline",
            Self::Unread => "see why; what cannot be looked at cannot be called clean",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The policy file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    fail_on: Vec<Fault>,
    tolerated: Tolerated,
    allowed: Named,
    forbidden: Named,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            fail_on: vec![Fault::Forbidden, Fault::Unknown, Fault::New, Fault::Unread],
            tolerated: Tolerated::default(),
            allowed: Named::default(),
            forbidden: Named::default(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tolerated {
    hosts: Vec<String>,
    cookies: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Named {
    vendors: Vec<Spanned<String>>,
    purposes: Vec<Spanned<String>>,
}

/// What is good enough.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What counts as a finding.
    pub fail_on: Vec<Fault>,
    /// Hosts that nobody need claim; `*.` before those whose subdomains are meant, too.
    hosts: Vec<String>,
    /// Cookies that nobody need claim; `*` stands for anything.
    cookies: Vec<String>,
    /// Vendors and purposes beside which nothing is allowed; anything where
    /// both are empty.
    allowed: (Vec<String>, PurposeSet),
    forbidden: (Vec<String>, PurposeSet),
}

impl Default for Terms {
    fn default() -> Self {
        let Written { fail_on, .. } = Written::default();
        Self {
            fail_on,
            hosts: Vec::new(),
            cookies: Vec::new(),
            allowed: (Vec::new(), PurposeSet::EMPTY),
            forbidden: (Vec::new(), PurposeSet::EMPTY),
        }
    }
}

impl Terms {
    /// Reads a policy file.
    ///
    /// # Errors
    /// All mistakes in it, with their places: also vendors that nobody knows,
    /// since a misspelt one would forbid nothing.
    pub fn read(file: &str, text: &str, catalogue: &Catalogue) -> Result<Self, Vec<Mistake>> {
        let written: Written = mistake::parse(file, text).map_err(|mistake| vec![mistake])?;
        let mut mistakes = Vec::new();
        let mut resolve =
            |named: &Named| {
                let vendors = named.vendors.iter().map(|id| {
                    if catalogue.vendor(id.get_ref()).is_none() {
                        let message = format!("no vendor has the id `{}`", id.get_ref());
                        let mistake = Mistake::at(file, text, id.span().start, message);
                        let ids = catalogue.vendors().map(|vendor| vendor.id.as_str());
                        mistakes.push(match mistake::closest(id.get_ref(), ids) {
                            Some(meant) => mistake.advise(format!("did you mean `{meant}`?")),
                            None => mistake.advise("`consentry explain` names a vendor's id"),
                        });
                    }
                    id.get_ref().clone()
                });
                let vendors: Vec<_> = vendors.collect();
                let purposes = named.purposes.iter().fold(PurposeSet::EMPTY, |all, name| {
                    match Purpose::from_name(name.get_ref()) {
                        Some(purpose) => all.with(purpose),
                        None => {
                            let message = format!("no purpose is called `{}`", name.get_ref());
                            let mistake = Mistake::at(file, text, name.span().start, message);
                            mistakes.push(mistake.advise(
                            "the purposes are functional, analytics, personalization and marketing",
                        ));
                            all
                        }
                    }
                });
                (vendors, purposes)
            };
        let allowed = resolve(&written.allowed);
        let forbidden = resolve(&written.forbidden);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Self {
            fail_on: written.fail_on,
            hosts: lower(written.tolerated.hosts),
            cookies: written.tolerated.cookies,
            allowed,
            forbidden,
        })
    }

    /// Whether nobody need claim that host.
    pub(super) fn tolerates_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|known| match known.strip_prefix("*.") {
            Some(parent) => {
                host == parent || host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
            }
            None => host == known,
        })
    }

    /// Whether nobody need claim that cookie.
    pub(super) fn tolerates_cookie(&self, name: &str) -> bool {
        self.cookies.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == known,
        })
    }

    /// Why the terms forbid what belongs to such a vendor, if they do.
    pub(super) fn forbid(&self, vendor: &Vendor) -> Option<String> {
        let (vendors, purposes) = &self.forbidden;
        if vendors.contains(&vendor.id) {
            return Some(format!("{} is forbidden", vendor.name));
        }
        if let Some(purpose) = vendor.purposes.iter().find(|one| purposes.contains(*one)) {
            return Some(format!("{purpose} is forbidden, and {} is for it", vendor.name));
        }
        let (vendors, purposes) = &self.allowed;
        // What a site cannot work without needs nobody's leave.
        let anything = vendors.is_empty() && purposes.is_empty();
        if anything || vendor.purpose == Purpose::Necessary || vendors.contains(&vendor.id) {
            return None;
        }
        if purposes.is_empty() {
            return Some(format!("{} is not among the vendors that are allowed", vendor.name));
        }
        let left = vendor.purposes.minus(*purposes).without(Purpose::Necessary);
        let purpose = left.iter().next()?;
        Some(format!("{purpose} is not allowed, and {} is for it", vendor.name))
    }
}

fn lower(names: Vec<String>) -> Vec<String> {
    names.into_iter().map(|name| name.to_ascii_lowercase()).collect()
}
