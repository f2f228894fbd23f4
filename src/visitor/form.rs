//! Reads the form of the notice and of the choices page.

use crate::ledger::Method;
use crate::purpose::{Purpose, PurposeSet};

use std::borrow::Cow;
use url::form_urlencoded;

/// What a form says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Yes to everything.
    All,
    /// No to everything.
    Nothing,
    /// About every purpose, and about these vendors.
    Some(PurposeSet, Vec<AboutVendor>),
    /// About one vendor; all else stays as it is.
    Vendor(AboutVendor),
}

/// What a form says about one vendor: `allow:<id>`, `refuse:<id>` or
/// `purposes:<id>` in a field `vendor`. An empty field says nothing about
/// anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AboutVendor {
    /// The id, as it was sent.
    pub(super) id: String,
    /// What it may do.
    pub(super) word: Word,
}

/// What a vendor may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Word {
    /// What its purposes allow.
    AsPurposes,
    /// What it does.
    Allow,
    /// Nothing. Of two words about one vendor, this one counts.
    Refuse,
}

/// What a form says; `None` when it does not say it clearly.
///
/// A form that says "all" and then lists some contradicts itself. One that
/// says "none" is clear whatever else it holds: a "no" needs no proof.
pub(super) fn read(body: &[u8]) -> Option<Said> {
    let mut choices = values(body, "choice");
    let (choice, None) = (choices.next()?, choices.next()) else { return None };
    if choice == "none" {
        return Some(Said::Nothing);
    }
    let purposes: PurposeSet =
        values(body, "purpose").map(|name| known(&name)).collect::<Option<_>>()?;
    let mut vendors: Vec<AboutVendor> = values(body, "vendor")
        .filter(|value| !value.is_empty())
        .map(|value| about_vendor(&value))
        .collect::<Option<_>>()?;
    match &*choice {
        "all" if purposes.is_empty() && vendors.is_empty() => Some(Said::All),
        "some" => {
            vendors.sort_by_key(|about| about.word);
            Some(Said::Some(purposes.with(Purpose::Necessary), vendors))
        }
        "vendor" if purposes.is_empty() && vendors.len() == 1 => vendors.pop().map(Said::Vendor),
        _ => None,
    }
}

fn about_vendor(value: &str) -> Option<AboutVendor> {
    let (word, id) = value.split_once(':')?;
    let word = match word {
        "allow" => Word::Allow,
        "refuse" => Word::Refuse,
        "purposes" => Word::AsPurposes,
        _ => return None,
    };
    Some(AboutVendor { id: id.to_owned(), word })
}

impl Said {
    /// Whether anything is agreed to.
    pub(super) fn agrees(&self) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Some(granted, about) => {
                !PurposeSet::NECESSARY.contains_all(*granted)
                    || about.iter().any(|about| about.word == Word::Allow)
            }
            Self::Vendor(about) => about.word != Word::Refuse,
        }
    }
}

/// Whether a form is about one vendor alone.
pub(super) fn is_about_one_vendor(body: &[u8]) -> bool {
    matches!(read(body), Some(Said::Vendor(_)))
}

/// The revision of the notice that stood on the page a form was sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskedOn {
    /// The form does not say: the operator made it, and answers for it.
    Unsaid,
    /// This one.
    Revision(u32),
    /// It says so in a way that cannot be read.
    Unclear,
}

/// What the hidden field `revision` says.
pub(super) fn asked_on(body: &[u8]) -> AskedOn {
    let mut said = values(body, "revision");
    match (said.next(), said.next()) {
        (None, _) => AskedOn::Unsaid,
        (Some(number), None) => number.parse().map_or(AskedOn::Unclear, AskedOn::Revision),
        (Some(_), Some(_)) => AskedOn::Unclear,
    }
}

/// Where the form stood, as far as it says so: the hidden field `by`.
pub(super) fn method(body: &[u8]) -> Method {
    let mut named = values(body, "by");
    match (named.next(), named.next()) {
        (Some(name), None) => Method::from_name(&name),
        _ => Method::Form,
    }
}

/// Whether a form clearly says that the visitor's record is to be deleted.
pub(super) fn deletes(body: &[u8]) -> bool {
    let mut said = values(body, "delete");
    matches!((said.next().as_deref(), said.next()), (Some("yes"), None))
}

fn values<'b>(body: &'b [u8], wanted: &'static str) -> impl Iterator<Item = Cow<'b, str>> {
    form_urlencoded::parse(body).filter(move |(name, _)| name == wanted).map(|(_, value)| value)
}

fn known(name: &str) -> Option<Purpose> {
    Purpose::ALL.into_iter().find(|purpose| purpose.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_form_grants_what_it_says() {
        let analytics = PurposeSet::NECESSARY.with(Purpose::Analytics);
        for (body, expected) in [
            ("choice=all", PurposeSet::ALL),
            ("choice=none", PurposeSet::NECESSARY),
            ("choice=some", PurposeSet::NECESSARY),
            ("choice=some&purpose=analytics", analytics),
            ("purpose=analytics&choice=some&purpose=analytics", analytics),
            ("choice=some&purpose=anal%79tics&return_to=%2F", analytics),
            ("choice=none&purpose=marketing", PurposeSet::NECESSARY),
            ("choice=none&purpose=everything&vendor=x", PurposeSet::NECESSARY),
            ("choice=some&purpose=necessary", PurposeSet::NECESSARY),
            (
                "choice=some&purpose=functional&purpose=analytics&purpose=personalization&purpose=marketing",
                PurposeSet::ALL,
            ),
        ] {
            let said = match read(body.as_bytes()).unwrap() {
                Said::All => PurposeSet::ALL,
                Said::Nothing => PurposeSet::NECESSARY,
                Said::Some(purposes, vendors) if vendors.is_empty() => purposes,
                other => panic!("{body}: {other:?}"),
            };
            assert_eq!(said, expected, "{body}");
        }
    }

    #[test]
    fn e6_a_form_may_decide_about_single_vendors() {
        let about = |id: &str, word| AboutVendor { id: id.to_owned(), word };
        let body = b"choice=some&purpose=analytics&vendor=refuse%3Astats&vendor=&vendor=allow:tube";
        let analytics = PurposeSet::NECESSARY.with(Purpose::Analytics);
        let vendors = vec![about("tube", Word::Allow), about("stats", Word::Refuse)];
        assert_eq!(read(body), Some(Said::Some(analytics, vendors)));
        let one = read(b"choice=vendor&vendor=allow:tube&return_to=/");
        assert_eq!(one, Some(Said::Vendor(about("tube", Word::Allow))));
        let none = read(b"choice=none&vendor=allow:tube");
        assert_eq!(none, Some(Said::Nothing));
    }

    #[test]
    fn f1_a_form_says_where_it_stood_in_our_words_only() {
        for (body, expected) in [
            ("choice=all&by=notice", Method::Notice),
            ("by=choices", Method::Choices),
            ("choice=all", Method::Form),
            ("by=", Method::Form),
            ("by=somebody%40mail.example", Method::Form),
            ("by=notice&by=choices", Method::Form),
        ] {
            assert_eq!(method(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn f1_a_form_says_which_notice_it_stood_under() {
        for (body, expected) in [
            ("choice=all", AskedOn::Unsaid),
            ("choice=all&revision=7", AskedOn::Revision(7)),
            ("choice=all&revision=", AskedOn::Unclear),
            ("choice=all&revision=-1", AskedOn::Unclear),
            ("choice=all&revision=99999999999", AskedOn::Unclear),
            ("choice=all&revision=7&revision=7", AskedOn::Unclear),
        ] {
            assert_eq!(asked_on(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn d2_nonsense_grants_nothing() {
        for body in [
            &b""[..],
            b"choice",
            b"choice=",
            b"choice=ALL",
            b"choice=all%00",
            b"choice=all ",
            b"choice=yes",
            b"choice=1",
            b"Choice=all",
            b"choice[]=all",
            b"choice=all;purpose=marketing",
            b"choice=all&choice=all",
            b"choice=none&choice=all",
            b"choice=all&purpose=analytics",
            b"choice=some&purpose=Marketing",
            b"choice=some&purpose=",
            b"choice=some&purpose=analytics,marketing",
            b"choice=some&purpose=everything",
            b"purpose=marketing",
            b"_method=POST",
            b"\xff\xfe=\xff",
            b"choice=\xff",
            b"{\"choice\":\"all\"}",
            b"choice=all&vendor=refuse:tube",
            b"choice=some&vendor=tube",
            b"choice=some&vendor=perhaps:tube",
            b"choice=vendor",
            b"choice=vendor&vendor=",
            b"choice=vendor&vendor=allow:a&vendor=allow:b",
            b"choice=vendor&vendor=allow:a&purpose=marketing",
        ] {
            assert_eq!(read(body), None, "{}", body.escape_ascii());
        }
    }
}
