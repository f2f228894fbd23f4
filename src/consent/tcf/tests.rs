use super::*;
use crate::consent::chance;
use proptest::prelude::*;
use serde_json::Value;

const GOOD: &str = include_str!("../../../tests/consent/tcf.json");
const TORN: &str = include_str!("../../../tests/consent/tcf-malformed.json");

/// Numbers of so many bits each, as base64url digits.
fn made(bits: &[(u64, usize)]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut flags: Vec<bool> = Vec::new();
    for (number, width) in bits {
        flags.extend((0..*width).rev().map(|bit| number >> bit & 1 == 1));
    }
    while !flags.len().is_multiple_of(6) {
        flags.push(false);
    }
    let digit = |six: &[bool]| six.iter().fold(0, |number, bit| number << 1 | usize::from(*bit));
    flags.chunks(6).map(|six| char::from(DIGITS[digit(six)])).collect()
}

/// What a string is made of.
struct Written {
    version: u64,
    created_s: u64,
    updated_s: u64,
    policy: u64,
    service_specific: bool,
    purposes: &'static [u32],
    one_treatment: bool,
    disclosed: bool,
}

const NOW_S: u64 = 1_790_000_000;
const YEAR_S: u64 = 365 * 24 * 60 * 60;

const ALL: [u32; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

impl Written {
    const fn new(purposes: &'static [u32]) -> Self {
        Self {
            version: 2,
            created_s: NOW_S - 86_400,
            updated_s: NOW_S - 86_400,
            policy: 5,
            service_specific: true,
            purposes,
            one_treatment: false,
            disclosed: true,
        }
    }

    fn text(&self) -> String {
        let purposes = self.purposes.iter().fold(0, |all, purpose| all | 1 << (24 - purpose));
        let mut text = made(&[
            (self.version, 6),
            (self.created_s * 10, 36),
            (self.updated_s * 10, 36),
            (0, 54),
            (self.policy, 6),
            (self.service_specific.into(), 1),
            (0, 13),
            (purposes, 24),
            (0, 24),
            (self.one_treatment.into(), 1),
            (0, 12),
            (3, 16),
            (0, 1),
            (0b101, 3),
            (0, 17),
            (0, 12),
        ]);
        if self.disclosed {
            text.push('.');
            text.push_str(&made(&[(1, 3), (900, 16), (1, 1), (1, 12), (1, 1), (3, 16), (900, 16)]));
        }
        text
    }

    fn read(&self) -> Reading {
        read(&self.text(), NOW_S, YEAR_S)
    }
}

fn ids(ranges: &Value) -> Vec<u16> {
    let ranges = ranges.as_str().unwrap().split_whitespace();
    ranges
        .flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse::<u16>().unwrap()..=last.parse().unwrap()
        })
        .collect()
}

#[test]
fn d7_what_the_official_decoder_reads_is_read() {
    let vectors: Vec<Value> = serde_json::from_str(GOOD).unwrap();
    assert!(vectors.len() >= 20);
    for vector in vectors {
        let text = vector["tc"].as_str().unwrap();
        let string = TcString::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(string.service_specific, vector["service_specific"], "{text}");
        assert_eq!(string.policy_version, vector["policy"], "{text}");
        assert_eq!(string.created_s, vector["created_s"], "{text}");
        assert_eq!(string.updated_s, vector["updated_s"], "{text}");
        let purposes: Vec<_> = (1..=24).filter(|purpose| string.consents_to(*purpose)).collect();
        assert_eq!(serde_json::json!(purposes), vector["purposes"], "{text}");
        let all = 0..=5000;
        let found: Vec<_> = all.clone().filter(|id| string.consents_to_vendor(*id)).collect();
        assert_eq!(found, ids(&vector["vendors"]), "{text}");
        let found: Vec<_> = all.clone().filter(|id| string.vendor_claims_interest(*id)).collect();
        assert_eq!(found, ids(&vector["interests"]), "{text}");
        if string.discloses(1).is_some() {
            let found: Vec<_> = all.filter(|id| string.discloses(*id) == Some(true)).collect();
            assert_eq!(found, ids(&vector["disclosed"]), "{text}");
        }
        for restriction in vector["restrictions"].as_array().unwrap() {
            let kind = match restriction["type"].as_u64().unwrap() {
                0 => Restriction::NotAllowed,
                1 => Restriction::NeedsConsent,
                _ => Restriction::NeedsInterest,
            };
            let purpose = u8::try_from(restriction["purpose"].as_u64().unwrap()).unwrap();
            for vendor in ids(&restriction["vendors"]) {
                assert_eq!(string.restriction(purpose, vendor), Some(kind), "{text} {vendor}");
                assert_eq!(string.restriction(purpose + 1, vendor), None, "{text} {vendor}");
            }
        }
    }
}

#[test]
fn d7_a_torn_tc_string_is_undecided() {
    let vectors: Vec<Value> = serde_json::from_str(TORN).unwrap();
    assert!(vectors.len() >= 10);
    for vector in vectors {
        let text = vector["tc"].as_str().unwrap();
        let reading = read(text, NOW_S, u64::MAX);
        assert!(reading.is_doubtful() && reading.decided().is_empty(), "{vector}");
    }
}

#[test]
fn d7_purposes_are_those_of_the_framework_and_purpose_1_gates_all() {
    for (purposes, granted) in [
        (&ALL[..], "apm"),
        (&[], ""),
        (&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11], ""),
        (&[1], ""),
        (&[1, 8], "a"),
        (&[1, 9], "a"),
        (&[1, 10], "a"),
        (&[1, 11], ""),
        (&[1, 2], ""),
        (&[1, 3, 4, 7], ""),
        (&[1, 2, 3], "m"),
        (&[1, 2, 4], "m"),
        (&[1, 2, 7], "m"),
        (&[1, 5], "p"),
        (&[1, 6], "p"),
    ] {
        let reading = Written::new(purposes).read();
        let expected: PurposeSet =
            [('a', Purpose::Analytics), ('p', Purpose::Personalization), ('m', Purpose::Marketing)]
                .into_iter()
                .filter(|(letter, _)| granted.contains(*letter))
                .map(|(_, purpose)| purpose)
                .collect();
        assert_eq!(reading.granted(), expected, "{purposes:?}");
        // Functional is no purpose of the framework.
        let decided = PurposeSet::ALL.without(Purpose::Necessary).without(Purpose::Functional);
        assert_eq!(reading.decided(), decided, "{purposes:?}");
    }
}

#[test]
fn d7_an_invalid_or_outdated_string_grants_nothing() {
    let good = || Written::new(&ALL);
    assert!(!good().read().granted().is_empty());
    let day = 86_400;
    let old = 1_690_000_000;
    for (what, written, now_s) in [
        ("version 1", Written { version: 1, ..good() }, NOW_S),
        ("version 3", Written { version: 3, ..good() }, NOW_S),
        ("not for this site", Written { service_specific: false, ..good() }, NOW_S),
        ("policy 3 after TCF 2.2", Written { policy: 3, ..good() }, NOW_S),
        ("policy 2 after TCF 2.2", Written { policy: 2, ..good() }, NOW_S),
        ("a policy of tomorrow", Written { policy: 6, ..good() }, NOW_S),
        ("no disclosed vendors", Written { disclosed: false, ..good() }, NOW_S),
        (
            "made tomorrow",
            Written { created_s: NOW_S + day, updated_s: NOW_S + day, ..good() },
            NOW_S,
        ),
        ("changed tomorrow", Written { updated_s: NOW_S + day, ..good() }, NOW_S),
        ("changed before it was made", Written { updated_s: NOW_S - 3 * day, ..good() }, NOW_S),
        ("older than a year", good(), NOW_S + YEAR_S),
        (
            "purpose 1 not asked",
            Written { purposes: &[2, 3, 5, 8], one_treatment: true, ..good() },
            NOW_S,
        ),
    ] {
        let reading = read(&written.text(), now_s, YEAR_S);
        assert_eq!(reading.granted(), PurposeSet::EMPTY, "{what}");
        assert!(!reading.note().is_empty(), "{what}");
    }
    let before = Written { policy: 2, created_s: old, updated_s: old, ..good() };
    assert!(!read(&before.text(), old + day, YEAR_S).granted().is_empty());
}

#[test]
fn d7_a_refusal_needs_no_list_of_vendors() {
    let refused = Written { disclosed: false, ..Written::new(&[]) }.read();
    assert_eq!(refused.denied().iter().count(), 3);
}

/// Strings that were seen or that a specification shows, and what became of
/// them on the day of `NOW_S`.
#[test]
fn d7_strings_that_were_seen() {
    let example = "CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA";
    let string = TcString::parse(example).unwrap();
    assert_eq!(string.policy_version, 2);
    assert_eq!(string.created_s / 86_400, 20_242, "2025-06-03");
    assert!(read(example, 1_750_000_000, YEAR_S).granted().is_empty());

    let refused = "CQX48QAQX48QAAGABBENB3FgAAAAAAAAAAYgAAAAAAAA.YAAAAAAAAAAA";
    let string = TcString::parse(refused).unwrap();
    assert_eq!((string.policy_version, string.discloses(1)), (5, None));
    let reading = read(refused, 1_760_000_000, YEAR_S);
    assert!(reading.granted().is_empty() && reading.denied().contains(Purpose::Marketing));
}

/// Vendors of a set as ranges.
fn ranges(of: &[(u64, u64)]) -> Vec<(u64, usize)> {
    let each = of.iter().flat_map(|(first, last)| [(1, 1), (*first, 16), (*last, 16)]);
    [(of.len() as u64, 12)].into_iter().chain(each).collect()
}

/// A publisher's restriction: purpose, its kind, vendors.
type Restricted<'r> = (u64, u64, &'r [(u64, u64)]);

/// Agrees to `purposes`, to vendors 1 to 900, and told of them all.
fn restricted(purposes: &[u32], restrictions: &[Restricted<'_>]) -> String {
    let purposes = purposes.iter().fold(0, |all, purpose| all | 1 << (24 - purpose));
    let mut core = vec![
        (2, 6),
        (NOW_S * 10, 36),
        (NOW_S * 10, 36),
        (0, 54),
        (5, 6),
        (1, 1),
        (0, 13),
        (purposes, 24),
        (0, 24 + 1 + 12),
    ];
    core.extend([(900, 16), (1, 1)]);
    core.extend(ranges(&[(1, 900)]));
    core.extend([(0, 17), (restrictions.len() as u64, 12)]);
    for (purpose, kind, vendors) in restrictions {
        core.extend([(*purpose, 6), (*kind, 2)]);
        core.extend(ranges(vendors));
    }
    let mut disclosed = vec![(1, 3), (900, 16), (1, 1)];
    disclosed.extend(ranges(&[(1, 900)]));
    format!("{}.{}", made(&core), made(&disclosed))
}

const MARKETING: PurposeSet = PurposeSet::EMPTY.with(Purpose::Marketing);
const ANALYTICS: PurposeSet = PurposeSet::EMPTY.with(Purpose::Analytics);

#[test]
fn d7_a_vendor_needs_its_bit_its_disclosure_and_no_restriction() {
    let written = Written::new(&ALL).text();
    let string = TcString::parse(&written).unwrap();
    // Vendors 1 and 3 have the bit, 3 to 900 were disclosed.
    let everybody: Vec<u16> = (0..=u16::MAX).collect();
    let allowed = string.allowed(MARKETING, &everybody);
    let allowed: Vec<_> =
        everybody.iter().zip(allowed).filter(|(_, allowed)| *allowed).map(|(id, _)| *id).collect();
    assert_eq!(allowed, [3]);
    assert_eq!(string.allowed(PurposeSet::EMPTY.with(Purpose::Functional), &[3]), [false]);
    for purposes in [&[2, 3][..], &[1], &[1, 8]] {
        let without = Written { purposes: Vec::leak(purposes.to_vec()), ..Written::new(&[]) };
        let text = without.text();
        assert_eq!(TcString::parse(&text).unwrap().allowed(MARKETING, &[3]), [false]);
    }
}

#[test]
fn d7_a_restriction_on_any_purpose_that_a_grant_rests_on_rules_a_vendor_out() {
    const SIX: &[(u64, u64)] = &[(6, 6)];
    for (purposes, restrictions, granted, allowed) in [
        (&ALL[..], &[][..], MARKETING, true),
        (&ALL, &[(1, 0, SIX)], MARKETING, false),
        (&ALL, &[(2, 0, SIX)], MARKETING, false),
        (&ALL, &[(2, 2, SIX)], MARKETING, false),
        (&ALL, &[(2, 1, SIX)], MARKETING, true),
        (&ALL, &[(4, 0, &[(1, 5), (6, 900)])], MARKETING, false),
        (&ALL, &[(7, 0, &[(1, 5), (7, 900)])], MARKETING, true),
        (&ALL, &[(8, 0, SIX)], MARKETING, true),
        (&ALL, &[(8, 0, SIX)], ANALYTICS, false),
        (&ALL, &[(8, 0, SIX)], MARKETING.or(ANALYTICS), false),
        // What was not agreed to is no ground of the grant.
        (&[1, 2, 3], &[(4, 0, SIX)], MARKETING, true),
        (&[1, 2, 3], &[(3, 0, SIX)], MARKETING, false),
        // Of two that contradict each other the stricter one counts.
        (&ALL, &[(3, 1, SIX), (3, 0, SIX)], MARKETING, false),
        (&ALL, &[(0, 0, SIX), (63, 0, SIX), (24, 0, SIX)], MARKETING, true),
    ] {
        let restrictions: &[Restricted<'_>] = restrictions;
        let text = restricted(purposes, restrictions);
        let string = TcString::parse(&text).unwrap();
        let found = string.allowed(granted, &[5, 6]);
        assert_eq!(found.last(), Some(&allowed), "{purposes:?} {restrictions:?} {granted:?}");
    }
}

#[test]
fn d7_what_a_string_costs_does_not_grow_with_the_vendors_asked_for() {
    let several: Vec<(u64, u64)> = (1..=100).map(|first| (first, 900)).collect();
    let restrictions: Vec<_> =
        (0..16).map(|turn| (turn % 11 + 1, 1 - turn % 2, several.as_slice())).collect();
    let text = restricted(&ALL, &restrictions);
    assert!(text.len() > 7000, "{}", text.len());
    let string = TcString::parse(&text).unwrap();
    let costs = |vendors: &[u16]| {
        vendors::RANGES_READ.set(0);
        let _ = string.allowed(MARKETING.or(ANALYTICS), vendors);
        vendors::RANGES_READ.get()
    };
    let everybody: Vec<u16> = (1..=u16::MAX).collect();
    assert_eq!(costs(&everybody), costs(&[7]));
    // Each range is read when its place is sought, and when it is noted.
    assert!(costs(&everybody) <= 2 * (16 * 100 + 2), "{}", costs(&everybody));
}

#[test]
fn d7_ranges_that_name_everybody_a_thousand_times_are_not_expanded() {
    let mut core = vec![
        (2, 6),
        (NOW_S * 10, 36),
        (NOW_S * 10, 36),
        (0, 54),
        (5, 6),
        (1, 1),
        (0, 13),
        (0x00ff_ffff, 24),
        (0, 24 + 1 + 12),
        (65_535, 16),
        (1, 1),
        (4000, 12),
    ];
    core.extend((0..4000).flat_map(|_| [(1, 1), (1, 16), (65_535, 16)]));
    core.extend([(0, 17), (0, 12)]);
    let text = made(&core);
    let string = TcString::parse(&text).unwrap();
    assert!(string.consents_to_vendor(65_535));
    // All that is kept of it are places in its text.
    assert!(size_of::<TcString<'_>>() < 256);
    // One entry more than there are: torn.
    core[11] = (4001, 12);
    assert!(TcString::parse(&made(&core)).is_none());
}

const DIGITS_AND_DOT: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn d7_random_strings_grant_nothing(seed: u64) {
        let text = chance::of_signs(seed, DIGITS_AND_DOT, 120);
        let any = chance::of_any(seed, 60);
        for text in [format!("C{text}"), text, any] {
            // A string made of chance alone has no valid time and policy.
            prop_assert!(read(&text, NOW_S, YEAR_S).granted().is_empty(), "{}", text);
            let _ = TcString::parse(&text).map(|string| (string.allowed(MARKETING, &[7]), string.discloses(9)));
        }
    }

    #[test]
    fn d7_a_cut_string_grants_no_more_than_the_whole(purposes in 0_u32..2048, cut in 0_usize..90) {
        let purposes: Vec<u32> = ALL.into_iter().filter(|purpose| purposes >> (purpose - 1) & 1 == 1).collect();
        let whole = Written { purposes: Vec::leak(purposes), ..Written::new(&[]) };
        let text = whole.text();
        let cut = cut.min(text.len() - 1);
        let reading = read(text.get(..cut).unwrap(), NOW_S, YEAR_S);
        // All that may be missing are digits that say nothing.
        prop_assert!(reading.granted().is_empty() || reading == whole.read(), "{} of {}", cut, text);
        prop_assert!(cut >= text.len() - 2 || reading.granted().is_empty(), "{} of {}", cut, text);
    }

    #[test]
    fn d7_a_sign_that_is_no_digit_spoils_a_string(at in 0_usize..90, sign: char) {
        let sign = if sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_') { '.' } else { sign };
        let mut text = Written::new(&ALL).text();
        let at = at.min(text.len());
        text.insert(at, sign);
        prop_assert!(read(&text, NOW_S, YEAR_S).granted().is_empty(), "{}", text);
    }
}
