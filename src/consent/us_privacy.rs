//! The US Privacy string, such as `1YNN`: version, whether notice was given,
//! whether the visitor opted out of sale, whether a framework covers it
//! (IAB's "CCPA Compliance Framework", the `usprivacy` string).
//!
//! It can only deny: that nobody opted out is no agreement.

use crate::consent::reading::Reading;
use crate::purpose::{Purpose, PurposeSet};

/// What the string says.
pub(super) fn read(text: &str) -> Reading {
    match text.as_bytes() {
        [b'1', b'Y' | b'N' | b'-', opted_out @ (b'Y' | b'N' | b'-'), b'Y' | b'N' | b'-'] => {
            if *opted_out == b'Y' {
                Reading::denying(PurposeSet::EMPTY.with(Purpose::Marketing))
            } else {
                Reading::unasked("it does not say that the visitor opted out")
            }
        }
        _ => Reading::doubtful("it is not a `1` and three characters of `Y`, `N` and `-` after it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d8_only_an_opt_out_of_sale_says_something() {
        for (text, denied, doubtful) in [
            ("1YYN", true, false),
            ("1-Y-", true, false),
            ("1YNN", false, false),
            ("1---", false, false),
            ("1YN-", false, false),
            ("", false, true),
            ("1YY", false, true),
            ("1YYNN", false, true),
            ("2YYN", false, true),
            ("1yyn", false, true),
            ("1Y\u{e9}N", false, true),
        ] {
            let reading = read(text);
            assert_eq!(reading.denied().contains(Purpose::Marketing), denied, "{text}");
            assert_eq!(reading.is_doubtful(), doubtful, "{text}");
            assert_eq!(reading.granted(), PurposeSet::EMPTY, "{text}");
        }
    }
}
