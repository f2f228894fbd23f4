//! The lines of a spool file: what a worker writes down before the answer's
//! last byte leaves, and what the writer thread reads.
//!
//! Every line is one JSON object with one key, which says what it is:
//!
//! - `{"set":{"h":hash,"x":dropped,"d":[decision, ...]}}`: the decisions of an
//!   exchange. The same page in the same class yields the same set, so a file
//!   holds it once, before the first entry that refers to it.
//! - `{"e":{...}}`: an entry. `t` time in milliseconds, `s` site, `p` page,
//!   `c` consent class in bits, `u` undecided, `g` signal, `r` policy
//!   revision, `m` mode, `d` the set's hash.
//! - `receipt`, `notice` and `erase`: see `choice`. `audit`: see `audit`.
//! - `{"gap":{"n":lost,"t":time,"s":since,"w":why}}`: so many entries are
//!   missing here.
//!
//! A decision is `v` verdict, `r` reason, `l` layer, `k` kind, `w` what, `i`
//! vendor id, `n` vendor name, `p` purpose, `u` rule, `a` the script that
//! asked; what is empty is left
//! out. Leftovers of an older version are read by a newer one, so keys are
//! only ever added.

mod audit;
mod choice;

pub(super) use audit::AuditLine;
pub(super) use choice::{EraseLine, NoticeLine, ReceiptLine};

use crate::ledger::Entry;
use crate::policy::{Basis, Decision, Decisions, Grounds, Verdict};
use crate::purpose::Purpose;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum SpoolLine<'a> {
    #[serde(rename = "e", borrow)]
    Entry(EntryLine<'a>),
    #[serde(rename = "set", borrow)]
    Set(SetLine<'a>),
    #[serde(rename = "gap", borrow)]
    Gap(GapLine<'a>),
    #[serde(rename = "receipt", borrow)]
    Receipt(ReceiptLine<'a>),
    #[serde(rename = "notice", borrow)]
    Notice(NoticeLine<'a>),
    #[serde(rename = "erase", borrow)]
    Erase(EraseLine<'a>),
    #[serde(rename = "audit", borrow)]
    Audit(AuditLine<'a>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EntryLine<'a> {
    #[serde(rename = "t")]
    pub(super) time_ms: u64,
    #[serde(rename = "s", borrow)]
    pub(super) site: Cow<'a, str>,
    #[serde(rename = "p", borrow)]
    pub(super) page: Cow<'a, str>,
    #[serde(rename = "c")]
    pub(super) class: u8,
    #[serde(rename = "u")]
    pub(super) undecided: u8,
    #[serde(rename = "g", borrow)]
    pub(super) signal: Cow<'a, str>,
    #[serde(rename = "r", borrow)]
    pub(super) policy: Cow<'a, str>,
    #[serde(rename = "m", borrow)]
    pub(super) mode: Cow<'a, str>,
    #[serde(rename = "d", borrow)]
    pub(super) set: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SetLine<'a> {
    #[serde(rename = "h", borrow)]
    pub(super) hash: Cow<'a, str>,
    #[serde(rename = "x")]
    pub(super) dropped: u32,
    #[serde(rename = "d", borrow)]
    pub(super) decisions: Vec<DecisionLine<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DecisionLine<'a> {
    #[serde(rename = "v", borrow)]
    pub(super) verdict: Cow<'a, str>,
    #[serde(rename = "r", borrow)]
    pub(super) reason: Cow<'a, str>,
    #[serde(rename = "l", borrow)]
    pub(super) layer: Cow<'a, str>,
    #[serde(rename = "k", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(rename = "w", borrow)]
    pub(super) what: Cow<'a, str>,
    #[serde(rename = "i", borrow, default, skip_serializing_if = "is_empty")]
    pub(super) vendor_id: Cow<'a, str>,
    #[serde(rename = "n", borrow, default, skip_serializing_if = "is_empty")]
    pub(super) vendor: Cow<'a, str>,
    #[serde(rename = "p", borrow, default, skip_serializing_if = "is_empty")]
    pub(super) purpose: Cow<'a, str>,
    #[serde(rename = "u", borrow, default, skip_serializing_if = "is_empty")]
    pub(super) rule: Cow<'a, str>,
    #[serde(rename = "a", borrow, default, skip_serializing_if = "is_empty")]
    pub(super) via: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GapLine<'a> {
    #[serde(rename = "n")]
    pub(super) lost: u64,
    #[serde(rename = "t")]
    pub(super) time_ms: u64,
    #[serde(rename = "s")]
    pub(super) since_ms: u64,
    #[serde(rename = "w", borrow)]
    pub(super) why: Cow<'a, str>,
}

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

/// Half of SHA-256: enough that nobody finds two sets with one hash.
pub(super) type SetHash = [u8; 16];

/// A set's hash as the lines write it.
pub(super) fn hash_text(hash: &SetHash) -> String {
    format!("{:032x}", u128::from_be_bytes(*hash))
}

/// A set of decisions in canonical form: in an order of its own, so that the
/// order in which a page's parts happened to be judged makes no second set.
pub(super) struct SetText {
    pub(super) hash: SetHash,
    members: Vec<String>,
    dropped: u32,
}

impl SetText {
    pub(super) fn of(decisions: &Decisions) -> serde_json::Result<Self> {
        let mut members = decisions
            .iter()
            .map(|decision| serde_json::to_string(&DecisionLine::of(decision)))
            .collect::<serde_json::Result<Vec<_>>>()?;
        members.sort_unstable();
        let mut digest = Sha256::new();
        for member in &members {
            digest.update(member);
            // JSON has no bare newline, so no two lists look the same.
            digest.update(b"\n");
        }
        digest.update(decisions.dropped().to_be_bytes());
        let mut hash = SetHash::default();
        hash.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
        Ok(Self { hash, members, dropped: decisions.dropped() })
    }

    #[cfg(test)]
    pub(super) fn hash_text(&self) -> String {
        hash_text(&self.hash)
    }

    /// The set's line, newline and all.
    pub(super) fn push_line(&self, hash: &str, to: &mut Vec<u8>) {
        to.extend_from_slice(
            format!("{{\"set\":{{\"h\":\"{hash}\",\"x\":{},\"d\":[", self.dropped).as_bytes(),
        );
        for (index, member) in self.members.iter().enumerate() {
            if index > 0 {
                to.push(b',');
            }
            to.extend_from_slice(member.as_bytes());
        }
        to.extend_from_slice(b"]}}\n");
    }
}

impl<'a> EntryLine<'a> {
    pub(super) fn of(entry: &'a Entry, set: &'a str) -> Self {
        Self {
            time_ms: entry.time_ms,
            site: Cow::Borrowed(&entry.site),
            page: Cow::Borrowed(&entry.page),
            class: entry.class.bits(),
            undecided: u8::from(entry.undecided),
            signal: Cow::Borrowed(entry.signal.name()),
            policy: Cow::Borrowed(&entry.policy_revision),
            mode: Cow::Borrowed(entry.mode.name()),
            set: Cow::Borrowed(set),
        }
    }
}

impl<'a> DecisionLine<'a> {
    fn of(decision: &'a Decision) -> Self {
        let vendor = decision.vendor.as_deref();
        Self {
            verdict: Cow::Borrowed(decision.verdict.word()),
            reason: match &decision.exception {
                // Whoever reads the record can ask somebody.
                Some(exception) => exception.to_string().into(),
                None => Cow::Borrowed(decision.verdict.reason()),
            },
            layer: Cow::Borrowed(decision.layer.name()),
            kind: Cow::Borrowed(decision.kind.name()),
            what: Cow::Borrowed(&decision.what),
            vendor_id: Cow::Borrowed(vendor.map_or("", |vendor| &vendor.id)),
            vendor: Cow::Borrowed(vendor.map_or("", |vendor| &vendor.name)),
            purpose: Cow::Borrowed(purpose(decision).map_or("", Purpose::name)),
            rule: decision.rule.as_ref().map_or(Cow::Borrowed(""), |rule| rule.to_string().into()),
            via: Cow::Borrowed(decision.via.as_deref().unwrap_or_default()),
        }
    }
}

/// The purpose the verdict turned on, otherwise the vendor's first.
fn purpose(decision: &Decision) -> Option<Purpose> {
    match decision.verdict {
        Verdict::Allow(Basis::Granted(purpose) | Basis::Observed(purpose))
        | Verdict::Block(Grounds::NotGranted(purpose) | Grounds::VendorRefused(purpose)) => {
            Some(purpose)
        }
        Verdict::Allow(
            Basis::Necessary
            | Basis::VendorAllowed
            | Basis::AskedFor
            | Basis::FirstParty
            | Basis::Unlisted
            | Basis::SafeMode
            | Basis::Unfiltered
            | Basis::Exception,
        )
        | Verdict::Block(Grounds::Unlisted | Grounds::Unreadable | Grounds::Exception) => {
            decision.vendor.as_ref().map(|vendor| vendor.purpose)
        }
    }
}

/// Appends a line in the form above.
pub(super) fn push_line(line: &SpoolLine<'_>, to: &mut Vec<u8>) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *to, line)?;
    to.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{block, entry, stranger};

    #[test]
    fn the_same_decisions_in_another_order_are_the_same_set() {
        let one = entry(1, "/", [block("a"), stranger("b")]);
        let other = entry(1, "/", [stranger("b"), block("a")]);
        let third = entry(1, "/", [block("a")]);
        let hash = |entry: &Entry| SetText::of(&entry.decisions).unwrap().hash_text();
        assert_eq!(hash(&one), hash(&other));
        assert_ne!(hash(&one), hash(&third));
    }

    #[test]
    fn g1_a_line_has_exactly_these_keys() {
        let entry = entry(1, "/", [block("a")]);
        let set = SetText::of(&entry.decisions).unwrap();
        let hash = set.hash_text();
        let mut text = Vec::new();
        set.push_line(&hash, &mut text);
        push_line(&SpoolLine::Entry(EntryLine::of(&entry, &hash)), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let keys = |value: &serde_json::Value| {
            value.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys(&lines[0]["set"]), "d h x");
        assert_eq!(keys(&lines[0]["set"]["d"][0]), "i k l n p r u v w");
        assert_eq!(keys(&lines[1]["e"]), "c d g m p r s t u");
        assert!(text.lines().nth(1).unwrap().len() < 160, "{text}");
    }

    #[test]
    fn lines_come_back() {
        let entry = entry(7, "/\"ü\"\n", [block("a\u{1}")]);
        let set = SetText::of(&entry.decisions).unwrap();
        let mut text = Vec::new();
        set.push_line(&set.hash_text(), &mut text);
        let line: SpoolLine<'_> = serde_json::from_slice(&text).unwrap();
        let SpoolLine::Set(read) = line else { panic!("{line:?}") };
        assert_eq!((read.hash.as_ref(), read.decisions.len()), (set.hash_text().as_str(), 1));
        assert_eq!(read.decisions[0].what, "a\u{1}");
        assert_eq!(read.decisions[0].purpose, "marketing");
        text.clear();
        push_line(&SpoolLine::Entry(EntryLine::of(&entry, "00")), &mut text).unwrap();
        let line: SpoolLine<'_> = serde_json::from_slice(&text).unwrap();
        let SpoolLine::Entry(read) = line else { panic!("{line:?}") };
        assert_eq!((read.time_ms, read.page.as_ref(), read.undecided), (7, "/\"ü\"\n", 1));
    }
}
