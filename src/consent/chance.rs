//! Texts made by chance, for tests that make many thousands of them: one
//! number each, where a pattern would be read anew and kept sign by sign.

/// The numbers that follow from one (SplitMix64).
fn numbers(seed: u64) -> impl Iterator<Item = usize> {
    (1_u64..).map(move |turn| {
        let mixed = seed.wrapping_add(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) >> 1).unwrap()
    })
}

/// A text of up to `longest` of `signs`.
pub(super) fn of_signs(seed: u64, signs: &[u8], longest: usize) -> String {
    let mut numbers = numbers(seed);
    let length = numbers.next().unwrap() % (longest + 1);
    numbers.take(length).map(|number| char::from(signs[number % signs.len()])).collect()
}

/// A text of up to `longest` of any characters, every second of them ASCII.
pub(super) fn of_any(seed: u64, longest: usize) -> String {
    let mut numbers = numbers(seed);
    let length = numbers.next().unwrap() % (longest + 1);
    let sign = |number: usize| {
        let most = if number.is_multiple_of(2) { 0x80 } else { 0x11_0000 };
        char::from_u32(u32::try_from(number / 2 % most).unwrap()).unwrap_or('\u{fffd}')
    };
    numbers.take(length).map(sign).collect()
}

/// Up to `longest` bytes.
pub(super) fn of_bytes(seed: u64, longest: usize) -> Vec<u8> {
    let mut numbers = numbers(seed);
    let length = numbers.next().unwrap() % (longest + 1);
    numbers.take(length).map(|number| u8::try_from(number % 256).unwrap()).collect()
}

#[test]
fn chance_reaches_every_length_and_sign() {
    let texts: Vec<_> = (0..2000).map(|seed| of_signs(seed, b"abc", 4)).collect();
    assert!(["", "a", "cc", "abc", "bbbb"].iter().all(|text| texts.iter().any(|t| t == text)));
    assert!((0..2000).all(|seed| of_any(seed, 9).chars().count() <= 9));
    assert!((0..2000).any(|seed| of_any(seed, 9).contains('\u{7f}')));
    let bytes: std::collections::BTreeSet<u8> =
        (0..2000).flat_map(|seed| of_bytes(seed, 9)).collect();
    assert_eq!(bytes.len(), 256);
}
