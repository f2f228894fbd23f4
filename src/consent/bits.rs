//! Reads numbers out of base64url text bit by bit, as the strings of IAB's
//! consent standards are written.
//!
//! Nothing is copied and nothing is allocated: the text itself is walked, so a
//! hostile string costs what its length costs. The text need not be a whole
//! number of bytes long: the official encoders pad to six bits, which decoders
//! for bytes refuse.

/// A place in a text of base64url digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits<'t> {
    digits: &'t [u8],
    /// The next bit, counted from the start of the text.
    at: usize,
}

impl<'t> Bits<'t> {
    /// The bits of `text`; `None` when it is empty or holds something else
    /// than the digits of base64url (RFC 4648, 5), padding included.
    pub(super) fn new(text: &'t str) -> Option<Self> {
        let digits = text.as_bytes();
        let valid = !digits.is_empty() && digits.iter().all(|digit| value(*digit).is_some());
        valid.then_some(Self { digits, at: 0 })
    }

    /// The next `width` bits, at most 36, as a number.
    pub(super) fn number(&mut self, width: usize) -> Option<u64> {
        let mut number = 0;
        let mut left = width;
        while left > 0 {
            let digit = value(*self.digits.get(self.at / 6)?)?;
            let offset = self.at % 6;
            let taken = left.min(6 - offset);
            let part = u64::from(digit) >> (6 - offset - taken) & ((1 << taken) - 1);
            number = number << taken | part;
            self.at += taken;
            left -= taken;
        }
        Some(number)
    }

    /// The next 16 bits: an id, or how large the largest is.
    pub(super) fn id(&mut self) -> Option<u16> {
        u16::try_from(self.number(16)?).ok()
    }

    /// The next bit.
    pub(super) fn flag(&mut self) -> Option<bool> {
        Some(self.number(1)? == 1)
    }

    /// Leaves out the next `width` bits, if there are so many.
    pub(super) fn skip(&mut self, width: usize) -> Option<()> {
        let next = self.at.checked_add(width)?;
        (next <= self.digits.len() * 6).then(|| self.at = next)
    }

    /// The same text, read from `further` bits behind this place.
    pub(super) const fn ahead(mut self, further: usize) -> Self {
        self.at += further;
        self
    }

    /// Whether only padding is left: bits that are all 0.
    pub(super) fn is_spent(mut self) -> bool {
        while !self.at.is_multiple_of(6) {
            if self.flag() != Some(false) {
                return false;
            }
        }
        self.digits.iter().skip(self.at / 6).all(|digit| *digit == b'A')
    }
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_across_digits() {
        // 000010 001111 110110 011101
        let mut bits = Bits::new("CP2d").unwrap();
        assert_eq!(bits.number(6), Some(2));
        assert_eq!(bits.number(1), Some(0));
        assert_eq!(bits.number(9), Some(0b0_1111_1101));
        assert_eq!(bits.flag(), Some(true));
        assert!(!bits.is_spent());
        assert_eq!(bits.number(8), None);
    }

    #[test]
    fn what_is_no_digit_is_no_text() {
        for text in ["", "A=", "A+B", "A/B", "A.B", "A ", "\u{e9}"] {
            assert!(Bits::new(text).is_none(), "{text}");
        }
        assert_eq!(Bits::new("-_").unwrap().number(12), Some(0b1111_1011_1111));
    }

    #[test]
    fn only_zeros_are_padding() {
        let mut bits = Bits::new("gAAA").unwrap();
        assert!(!bits.is_spent());
        assert_eq!(bits.flag(), Some(true));
        assert!(bits.is_spent());
        assert_eq!(bits.skip(23), Some(()));
        assert!(bits.is_spent());
        assert_eq!((bits.skip(1), bits.flag()), (None, None));
    }
}
