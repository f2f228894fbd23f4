//! What data would be used for: the five purposes, and sets of them.

use std::fmt;

/// Why data would be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The site cannot do what the visitor asked for without it.
    Necessary,
    /// Conveniences: chat, maps, videos, remembered settings.
    Functional,
    /// Counting and studying visits.
    Analytics,
    /// Showing this visitor something else than the next one.
    Personalization,
    /// Advertising, and following people across sites.
    Marketing,
}

impl Purpose {
    /// Every purpose, in the order a visitor reads them.
    pub const ALL: [Self; 5] = [
        Self::Necessary,
        Self::Functional,
        Self::Analytics,
        Self::Personalization,
        Self::Marketing,
    ];

    /// The purposes a visitor can agree to or refuse.
    pub const OPTIONAL: [Self; 4] =
        [Self::Functional, Self::Analytics, Self::Personalization, Self::Marketing];

    /// The name used in configuration, forms, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Necessary => "necessary",
            Self::Functional => "functional",
            Self::Analytics => "analytics",
            Self::Personalization => "personalization",
            Self::Marketing => "marketing",
        }
    }

    /// The purpose of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    #[cfg(test)]
    const fn letter(self) -> char {
        match self {
            Self::Necessary => 'n',
            Self::Functional => 'f',
            Self::Analytics => 'a',
            Self::Personalization => 'p',
            Self::Marketing => 'm',
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Several purposes at once.
///
/// Two visitors with the same set get the same page, so the set is also the
/// *consent class* that caches and metrics use. It says nothing else about who
/// the visitor is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PurposeSet(u8);

impl PurposeSet {
    /// No purpose at all.
    pub const EMPTY: Self = Self(0);
    /// What a visitor who said nothing, or "no", has granted.
    pub const NECESSARY: Self = Self(Purpose::Necessary.bit());
    /// What a visitor who agreed to everything has granted.
    pub const ALL: Self = Self(0b1_1111);

    /// The set with `purpose` in it.
    #[must_use]
    pub const fn with(self, purpose: Purpose) -> Self {
        Self(self.0 | purpose.bit())
    }

    /// The set without `purpose`.
    #[must_use]
    pub const fn without(self, purpose: Purpose) -> Self {
        Self(self.0 & !purpose.bit())
    }

    /// Whether `purpose` is in the set.
    #[must_use]
    pub const fn contains(self, purpose: Purpose) -> bool {
        self.0 & purpose.bit() != 0
    }

    /// What is in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in the order a visitor reads them.
    pub fn iter(self) -> impl Iterator<Item = Purpose> {
        Purpose::ALL.into_iter().filter(move |purpose| self.contains(*purpose))
    }

    /// One bit a purpose, `necessary` lowest: the form stored in cookies and
    /// in the ledger.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set with those bits; unknown bits make it `None`, since a purpose
    /// this version does not know cannot have been explained to the visitor.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
    }

    /// The consent class as caches and metrics name it: `d` when nothing but
    /// the necessary is granted, otherwise the letters of what is (`f`unctional,
    /// `a`nalytics, `p`ersonalization, `m`arketing), such as `am`.
    #[must_use]
    pub const fn class(self) -> &'static str {
        const NAMES: [&str; 16] = [
            "d", "f", "a", "fa", "p", "fp", "ap", "fap", "m", "fm", "am", "fam", "pm", "fpm",
            "apm", "fapm",
        ];
        let index = (self.0 >> 1) as usize & 15;
        #[expect(clippy::indexing_slicing, reason = "the index has four bits, the table 16 rows")]
        NAMES[index]
    }
}

impl PurposeSet {
    /// The set that [`class`](Self::class) spells so, `necessary` included.
    #[must_use]
    pub fn from_class(class: &str) -> Option<Self> {
        (0..=Self::ALL.0)
            .map(Self)
            .find(|set| set.contains(Purpose::Necessary) && set.class() == class)
    }

    /// Whether all of `other` is in the set.
    #[must_use]
    pub const fn contains_all(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
}

impl FromIterator<Purpose> for PurposeSet {
    fn from_iter<I: IntoIterator<Item = Purpose>>(purposes: I) -> Self {
        purposes.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for PurposeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_spells_what_is_granted() {
        for bits in 0..=PurposeSet::ALL.bits() {
            let Some(set) = PurposeSet::from_bits(bits) else { continue };
            let letters: String = Purpose::OPTIONAL
                .into_iter()
                .filter(|p| set.contains(*p))
                .map(Purpose::letter)
                .collect();
            assert_eq!(set.class(), if letters.is_empty() { "d" } else { letters.as_str() });
            assert_eq!(PurposeSet::from_class(set.class()), Some(set.with(Purpose::Necessary)));
        }
    }

    #[test]
    fn a_class_is_spelled_in_one_way() {
        for class in ["", "D", "da", "af", "aa", "n", "fapmx", "fapm "] {
            assert_eq!(PurposeSet::from_class(class), None, "{class}");
        }
    }

    #[test]
    fn an_unknown_purpose_is_no_set() {
        assert_eq!(PurposeSet::from_bits(0b10_0000), None);
    }

    #[test]
    fn names_come_back() {
        for purpose in Purpose::ALL {
            assert_eq!(Purpose::from_name(purpose.name()), Some(purpose));
        }
        assert_eq!(Purpose::from_name("Marketing"), None);
    }
}
