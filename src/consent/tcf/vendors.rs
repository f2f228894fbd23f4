//! A set of vendors as IAB's strings write it: a bit for each, or ranges.
//!
//! Ranges are never expanded: a string of a few hundred bytes may name all
//! 65 535 vendors a thousand times. Whether a vendor is in the set is found by
//! walking the set once, which costs what its text costs.

use crate::consent::bits::Bits;

/// A set of vendors, still in its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vendors<'t> {
    largest: u16,
    form: Form,
    /// Where the bits or the ranges begin.
    text: Bits<'t>,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Bits,
    Ranges(u64),
}

impl<'t> Vendors<'t> {
    /// Reads past a set, and checks that all of it is there.
    pub(super) fn read(bits: &mut Bits<'t>) -> Option<Self> {
        let largest = bits.id()?;
        let ranged = bits.flag()?;
        if ranged {
            return Self::read_ranges(bits, largest);
        }
        let text = *bits;
        bits.skip(usize::from(largest))?;
        Some(Self { largest, form: Form::Bits, text })
    }

    /// Reads past ranges whose number comes first.
    pub(super) fn read_ranges(bits: &mut Bits<'t>, largest: u16) -> Option<Self> {
        let count = bits.number(12)?;
        let text = *bits;
        for _ in 0..count {
            let (first, last) = range(bits)?;
            if first == 0 || last < first || last > largest {
                return None;
            }
        }
        Some(Self { largest, form: Form::Ranges(count), text })
    }

    /// Whether the vendor with that id is in the set.
    pub(super) fn contains(&self, id: u16) -> bool {
        if id == 0 || id > self.largest {
            return false;
        }
        let mut text = self.text;
        match self.form {
            Form::Bits => self.text.ahead(usize::from(id) - 1).flag() == Some(true),
            Form::Ranges(count) => (0..count)
                .map_while(|_| range(&mut text))
                .any(|(first, last)| (first..=last).contains(&id)),
        }
    }
}

fn range(bits: &mut Bits<'_>) -> Option<(u16, u16)> {
    let several = bits.flag()?;
    let first = bits.id()?;
    let last = if several { bits.id()? } else { first };
    Some((first, last))
}
