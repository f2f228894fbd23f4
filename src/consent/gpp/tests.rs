use super::*;
use crate::consent::chance;
use proptest::prelude::*;
use serde_json::Value;

const VECTORS: &str = include_str!("../../../tests/consent/gpp.json");
const OFFICIAL: &str = include_str!("../../../tests/consent/official.json");
const NOW_S: u64 = 1_790_000_000;

fn said(text: &str) -> Reading {
    read(text, NOW_S, 395 * 86_400)
}

#[test]
fn d8_headers_name_the_sections_that_the_specification_says() {
    for (header, ids) in [
        ("DBABM", Some(&[2][..])),
        ("DBABMA", Some(&[2])),
        ("DBACNY", Some(&[2, 6])),
        ("DBABjw", Some(&[5, 6])),
        ("DBABLA", Some(&[7])),
        ("", None),
        ("D", None),
        ("DBAB", None),
        ("CBABMA", None),
        ("DCABMA", None),
        ("DBABMB", None),
        ("DB//", None),
    ] {
        assert_eq!(section_ids(header).as_deref(), ids, "{header}");
    }
}

#[test]
fn d8_what_the_official_encoder_wrote_denies_what_it_says() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.len() >= 20);
    for vector in vectors {
        let text = vector["gpp"].as_str().unwrap();
        let header = text.split('~').next().unwrap();
        let ids = section_ids(header).unwrap_or_else(|| panic!("{header}"));
        assert_eq!(serde_json::json!(ids), vector["sections"], "{text}");
        let reading = said(text);
        let denied: Vec<_> = reading.denied().iter().map(Purpose::name).collect();
        let mut expected: Vec<_> =
            vector["denied"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        expected.sort_by_key(|name| *name != "personalization");
        let states_alone = !ids.contains(&2);
        if states_alone {
            assert!(reading.granted().is_empty(), "{text}");
            assert_eq!(denied, expected, "{text}");
            assert!(!reading.is_doubtful(), "{text} {reading:?}");
        } else {
            // A TC string beside it may grant, but not what a state denies.
            assert!(expected.iter().all(|name| denied.contains(name)), "{text}");
            assert!(reading.granted().and(reading.denied()).is_empty(), "{text}");
        }
    }
}

#[test]
fn d8_strings_of_the_official_tests_are_read_or_refused_as_they_say() {
    let vectors: Vec<Value> = serde_json::from_str(OFFICIAL).unwrap();
    for vector in vectors {
        let text = vector["string"].as_str().unwrap();
        let reading = said(text);
        assert!(reading.granted().is_empty(), "{text}");
        if !text.starts_with('D') {
            assert_eq!(tcf::TcString::parse(text).is_some(), vector["taken"] == true, "{text}");
        } else if vector["taken"] == true {
            assert_ne!(reading.note(), "one of its sections is not whole", "{text}");
            assert!(section_ids(text.split('~').next().unwrap()).is_some(), "{text}");
        }
    }
}

#[test]
fn d8_a_state_can_only_deny() {
    // Of the tests of iabgpp-rs: opted out everywhere, and with GPC.
    for (text, denied) in [
        ("DBABLA~BVVVVVVVVWA", &["marketing"][..]),
        ("DBABJg~BVVVVVg", &["marketing"]),
        ("DBABJg~BVVVVVg.YA", &["personalization", "marketing"]),
        ("DBABVg~BVVVVVVg", &["marketing"]),
        ("DBABBg~BVqqqqpY.YA", &["personalization", "marketing"]),
        ("DBABRg~BAAAABA", &[]),
        ("DBABTA~1YYN", &["marketing"]),
        ("DBABTA~1YNN", &[]),
    ] {
        let reading = said(text);
        let names: Vec<_> = reading.denied().iter().map(Purpose::name).collect();
        assert_eq!(names, denied, "{text}");
        assert!(reading.granted().is_empty(), "{text}");
    }
}

#[test]
fn d8_a_torn_or_unknown_section_makes_the_rest_doubtful_and_a_denial_stays() {
    for text in [
        "DBABJg",
        "DBABJg~",
        "DBABJg~BVVV",
        "DBABJg~BVVVVVgB",
        "DBABJg~CVVVVVg",
        "DBABJg~BVVVVVg~BVVVVVg",
        "DBABJg~BV VVVVg",
        "DBABTA~1Y",
        "DBABJg~B___VVVg",
        "~",
        "",
    ] {
        let reading = said(text);
        assert!(
            reading.is_doubtful() && reading.decided().is_empty() || text.contains("~BVVVVVg~"),
            "{text}"
        );
        assert!(reading.is_doubtful(), "{text}");
    }
    let denied = said("DBABJg~BVVVVVg~BVVVVVg").denied();
    assert!(denied.contains(Purpose::Marketing));
}

#[test]
fn d8_a_header_that_claims_thousands_of_sections_is_refused() {
    let claims = [
        // Twelve bits of ranges, all of them set.
        format!("DB__{}", "_".repeat(2200)),
        // One range from 1 to as far as numbers go.
        format!("DBAB{}", "gAAAAAAAAAAAAAAAAAAAC".repeat(100)),
        format!("DBAB{}", "V".repeat(2200)),
        format!("DBAB{}w", "A".repeat(2200)),
    ];
    for header in claims {
        assert_eq!(section_ids(&header), None);
        assert!(said(&header).is_doubtful());
    }
}

const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn d8_random_strings_grant_nothing(seed: u64) {
        let text = chance::of_signs(seed, SIGNS, 120);
        let any = chance::of_any(seed, 60);
        for text in [format!("DBABMA~{text}"), format!("DB{text}"), text, any] {
            prop_assert!(said(&text).granted().is_empty(), "{}", text);
        }
    }

    #[test]
    fn d8_a_cut_or_damaged_opt_out_never_grants(at in 0_usize..24, sign: char) {
        let whole = "DBACLMA~BVVVVVVVVWA.YA~1YYN";
        let cut = whole.get(..at.min(whole.len())).unwrap();
        prop_assert!(said(cut).granted().is_empty(), "{}", cut);
        let mut changed = whole.to_owned();
        changed.insert(at, sign);
        prop_assert!(said(&changed).granted().is_empty(), "{}", changed);
    }
}
