//! How much of a page's address browsers tell others, as `Referrer-Policy`
//! says it (W3C Referrer Policy).

/// What a visitor's browser tells other sites at most: the origin, and nothing
/// on the way to plain http. It is what browsers do unasked.
pub(crate) const TIGHT: &str = "strict-origin-when-cross-origin";

/// The policy to send instead of what the site says, if that tells others more
/// than the origin. Of several the last that is known counts, as in browsers.
pub(crate) fn tightened(said: &str) -> Option<&'static str> {
    let known = said.split(',').rev().find_map(|token| {
        Some(match token.trim().to_ascii_lowercase().as_str() {
            "no-referrer" | "same-origin" | "strict-origin" | TIGHT | "never" => None,
            "origin" => Some("strict-origin"),
            // The last three are the old words of `<meta name=referrer>`.
            "origin-when-cross-origin"
            | "unsafe-url"
            | "no-referrer-when-downgrade"
            | "default"
            | "always"
            | "origin-when-crossorigin" => Some(TIGHT),
            _ => return None,
        })
    });
    // What no browser knows is as if nothing were said.
    known.unwrap_or(Some(TIGHT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c8_a_stricter_policy_of_the_site_wins_and_a_looser_one_does_not() {
        for (said, expected) in [
            ("", Some(TIGHT)),
            ("no-referrer", None),
            ("same-origin", None),
            ("Strict-Origin", None),
            (TIGHT, None),
            ("origin", Some("strict-origin")),
            ("unsafe-url", Some(TIGHT)),
            ("no-referrer, unsafe-url", Some(TIGHT)),
            ("unsafe-url, no-referrer", None),
            ("unsafe-url, no-referrer, some-new-word", None),
            ("no-referrer-when-downgrade", Some(TIGHT)),
            ("some-new-word", Some(TIGHT)),
            ("always", Some(TIGHT)),
        ] {
            assert_eq!(tightened(said), expected, "{said}");
        }
    }
}
