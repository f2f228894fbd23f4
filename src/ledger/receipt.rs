//! What is kept of a choice: enough to prove it, nothing about who made it.
//!
//! A receipt names no visitor, no address and no earlier receipt, so two
//! choices of one person cannot be told from those of two. What stands in it
//! comes from the server's own configuration, never from a form's text; only
//! whoever refuses on an older page is believed which notice was on it.

use crate::consent::{ReceiptId, Record};
use crate::ledger::tree::sha256;
use crate::purpose::{Purpose, PurposeSet};

use serde::Serialize;

/// SHA-256 of the HTML of a notice.
pub type TextHash = [u8; 32];

/// Stands where nobody knows which words a visitor had before them.
pub const UNSEEN: TextHash = [0; 32];

/// The hash of a notice's HTML, as `sha256sum` gives it for the same bytes.
#[must_use]
pub fn hash_of(html: &str) -> TextHash {
    sha256(html.as_bytes())
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// The receipt number that somebody typed or pasted: 32 hexadecimal digits,
/// in either case, whatever blanks and hyphens stand between them.
#[must_use]
pub fn read_number(text: &str) -> Option<ReceiptId> {
    let mut digits = text.chars().filter(|char| !char.is_whitespace() && *char != '-');
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        let high = digits.next()?.to_digit(16)?;
        let low = digits.next()?.to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    digits.next().is_none().then_some(ReceiptId::new(bytes))
}

/// What a visitor did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// They agreed to everything that was asked.
    Accept,
    /// They agreed to nothing of it.
    Refuse,
    /// They agreed to some of it.
    Partial,
    /// They took back something they had agreed to before.
    Withdraw,
    /// They decided about one vendor; the purposes stayed as they were.
    Vendor,
}

impl Act {
    const ALL: [Self; 5] =
        [Self::Accept, Self::Refuse, Self::Partial, Self::Withdraw, Self::Vendor];

    /// What a choice was; `takes_back` says that something is missing from it
    /// that was granted before.
    #[must_use]
    pub fn of(choice: &Record, takes_back: bool) -> Self {
        let asked = |purpose: &Purpose| choice.decided.contains(*purpose);
        let agreed = |purpose: Purpose| choice.granted.contains(purpose);
        let mut asked = Purpose::OPTIONAL.into_iter().filter(asked).peekable();
        if takes_back {
            Self::Withdraw
        } else if choice.vendors.allowed().is_empty() && !asked.clone().any(agreed) {
            Self::Refuse
        } else if choice.vendors.refused().is_empty() && asked.peek().is_some() && asked.all(agreed)
        {
            Self::Accept
        } else {
            Self::Partial
        }
    }

    /// The word in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Refuse => "refuse",
            Self::Partial => "partial",
            Self::Withdraw => "withdraw",
            Self::Vendor => "vendor",
        }
    }

    /// The act of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.name() == name)
    }
}

/// Where a visitor made a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// On the notice.
    Notice,
    /// On the page of choices.
    Choices,
    /// On the page about their own choice.
    Me,
    /// By a script of the site.
    Script,
    /// By another consent tool on the site.
    Bridge,
    /// On what stands where something was withheld.
    Placeholder,
    /// By a form that does not say where it stood.
    Form,
}

impl Method {
    const ALL: [Self; 7] = [
        Self::Notice,
        Self::Choices,
        Self::Me,
        Self::Script,
        Self::Bridge,
        Self::Placeholder,
        Self::Form,
    ];

    /// The word in forms and in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Choices => "choices",
            Self::Me => "me",
            Self::Script => "script",
            Self::Bridge => "bridge",
            Self::Placeholder => "placeholder",
            Self::Form => "form",
        }
    }

    /// The method of that name; what has no name of ours is a form like any.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|method| method.name() == name).unwrap_or(Self::Form)
    }
}

/// The record of one choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its random number, which the visitor holds.
    pub number: ReceiptId,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The site's name.
    pub site: String,
    /// What was granted.
    pub granted: PurposeSet,
    /// What was asked.
    pub asked: PurposeSet,
    /// Ids of vendors agreed to one by one.
    pub vendors_allowed: Vec<String>,
    /// Ids of vendors refused one by one.
    pub vendors_refused: Vec<String>,
    /// What the visitor did.
    pub act: Act,
    /// Where they did it.
    pub method: Method,
    /// Whether their browser sent Global Privacy Control.
    pub gpc: bool,
    /// The notice's revision.
    pub notice_revision: u32,
    /// The notice's first layer, as an undecided visitor sees it; [`UNSEEN`]
    /// when they refused on a page with another revision than the server's.
    pub notice: TextHash,
    /// The page of choices, as an undecided visitor sees it.
    pub choices: TextHash,
    /// The language both were in.
    pub language: String,
    /// For how long the choice counts, in seconds.
    pub valid_s: u64,
}

/// What a notice is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// What asks on the site's own pages.
    First,
    /// The page of choices.
    Choices,
}

impl Layer {
    /// The word in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "notice",
            Self::Choices => "choices",
        }
    }

    /// The layer of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::First, Self::Choices].into_iter().find(|layer| layer.name() == name)
    }
}

/// One text that visitors are asked with, word for word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When it was first there, in milliseconds since 1970.
    pub time_ms: u64,
    /// The site's name.
    pub site: String,
    /// The notice's revision.
    pub revision: u32,
    /// Its language.
    pub language: String,
    /// Which part it is.
    pub layer: Layer,
    /// Whether it is for browsers that send Global Privacy Control.
    pub gpc: bool,
    /// The operator's name as it stood there.
    pub operator: String,
    /// The address of the privacy policy; empty for none.
    pub policy_url: String,
    /// Where visitors change their mind.
    pub choices_url: String,
    /// The HTML, byte for byte.
    pub html: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::VendorChoices;

    #[test]
    fn f6_a_number_is_found_however_it_was_copied() {
        let id = ReceiptId::new([0xab; 16]);
        let plain = "ab".repeat(16);
        for text in [
            plain.clone(),
            plain.to_uppercase(),
            format!("  {plain}\n"),
            plain.replace("abab", "abab-"),
            plain.replace("abab", "abab "),
        ] {
            assert_eq!(read_number(&text), Some(id), "{text}");
        }
        let longer = format!("{plain}a");
        let shorter = "ab".repeat(15);
        for text in ["", "ab", &shorter, &longer, "zz", "é", &plain.replacen('a', "g", 1)] {
            assert_eq!(read_number(text), None, "{text}");
        }
    }

    #[test]
    fn f1_every_act_has_its_name() {
        let (all, none) = (PurposeSet::ALL, PurposeSet::NECESSARY);
        let some = none.with(Purpose::Analytics);
        let quiet = VendorChoices::default;
        let (allowed, refused) =
            (quiet().with_allowed("maps"), quiet().with_refused("ads").unwrap());
        for (granted, decided, vendors, takes_back, act) in [
            (all, all, quiet(), false, Act::Accept),
            (all, all, refused.clone(), false, Act::Partial),
            (some, all, quiet(), false, Act::Partial),
            // Who agrees to all they were asked has agreed to everything.
            (some, some, quiet(), false, Act::Accept),
            (none, all, quiet(), false, Act::Refuse),
            (none, all, allowed.clone(), false, Act::Partial),
            (none, none, allowed, false, Act::Partial),
            (none, none, refused, false, Act::Refuse),
            (PurposeSet::EMPTY, all, quiet(), false, Act::Refuse),
            (none, all, quiet(), true, Act::Withdraw),
            (some, all, quiet(), true, Act::Withdraw),
        ] {
            let choice = Record {
                granted,
                decided,
                made_under_gpc: false,
                after_doubt: false,
                notice_revision: 1,
                time_s: 0,
                receipt: ReceiptId::new([0; 16]),
                vendors,
            };
            assert_eq!(Act::of(&choice, takes_back), act, "{choice:?}");
            assert_eq!(Act::from_name(act.name()), Some(act));
        }
        assert_eq!(Act::from_name("vendor"), Some(Act::Vendor));
        assert_eq!(Act::from_name("all"), None);
    }

    #[test]
    fn f2_a_method_is_one_of_ours() {
        for method in Method::ALL {
            assert_eq!(Method::from_name(method.name()), method);
        }
        for text in ["", "Notice", "<script>", "me "] {
            assert_eq!(Method::from_name(text), Method::Form, "{text}");
        }
    }
}
