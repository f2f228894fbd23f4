//! Reads the form of the notice and of the choices page.

use crate::purpose::{Purpose, PurposeSet};

use std::borrow::Cow;
use url::form_urlencoded;

/// What a form grants; `None` when it does not say so clearly.
///
/// A form that says "all" and then lists some contradicts itself. One that
/// says "none" is clear whatever else it holds: a "no" needs no proof.
pub(super) fn granted(body: &[u8]) -> Option<PurposeSet> {
    let mut choices = values(body, "choice");
    let (choice, None) = (choices.next()?, choices.next()) else { return None };
    let purposes: PurposeSet =
        values(body, "purpose").map(|name| optional(&name)).collect::<Option<_>>()?;
    match &*choice {
        "none" => Some(PurposeSet::NECESSARY),
        "all" if purposes.is_empty() => Some(PurposeSet::ALL),
        "some" => Some(purposes.with(Purpose::Necessary)),
        _ => None,
    }
}

fn values<'b>(body: &'b [u8], wanted: &'static str) -> impl Iterator<Item = Cow<'b, str>> {
    form_urlencoded::parse(body).filter(move |(name, _)| name == wanted).map(|(_, value)| value)
}

fn optional(name: &str) -> Option<Purpose> {
    Purpose::OPTIONAL.into_iter().find(|purpose| purpose.name() == name)
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
            (
                "choice=some&purpose=functional&purpose=analytics&purpose=personalization&purpose=marketing",
                PurposeSet::ALL,
            ),
        ] {
            assert_eq!(granted(body.as_bytes()), Some(expected), "{body}");
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
            b"choice=some&purpose=necessary",
            b"choice=some&purpose=Marketing",
            b"choice=some&purpose=",
            b"choice=some&purpose=analytics,marketing",
            b"choice=some&purpose=everything",
            b"choice=none&purpose=everything",
            b"purpose=marketing",
            b"_method=POST",
            b"\xff\xfe=\xff",
            b"choice=\xff",
            b"{\"choice\":\"all\"}",
        ] {
            assert_eq!(granted(body), None, "{}", body.escape_ascii());
        }
    }
}
