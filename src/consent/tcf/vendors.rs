//! A set of vendors as IAB's strings write it: a bit for each, or ranges.
//!
//! Ranges are never expanded: a string of a few hundred bytes may name all
//! 65 535 vendors a thousand times. Which of many vendors are in the set is
//! found by walking the set once, which costs what its text costs, whoever is
//! asked for.

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

    /// Notes which of the vendors asked for are in the set.
    pub(super) fn mark(&self, asked: &mut Marks<'_>) {
        let mut text = self.text;
        match self.form {
            Form::Bits => asked.mark_each(|id| self.contains(id)),
            Form::Ranges(count) => {
                for (first, last) in (0..count).map_while(|_| range(&mut text)) {
                    asked.mark_range(first, last);
                }
            }
        }
    }
}

/// Which of some vendors a set, or one of several, names.
///
/// A range is noted by where it begins and where it ends among those asked
/// for, so it costs the same however many of them it holds.
pub(super) struct Marks<'v> {
    /// The ids asked for, in ascending order.
    ids: &'v [u16],
    /// How many ranges begin at each place, less those that ended before it.
    steps: Vec<i32>,
}

impl<'v> Marks<'v> {
    /// Nothing is noted yet about `ids`, which are in ascending order.
    pub(super) fn new(ids: &'v [u16]) -> Self {
        Self { ids, steps: vec![0; ids.len() + 1] }
    }

    fn mark_range(&mut self, first: u16, last: u16) {
        let begins = self.ids.partition_point(|id| *id < first);
        let ends = self.ids.partition_point(|id| *id <= last);
        self.step(begins, 1);
        self.step(ends, -1);
    }

    fn mark_each(&mut self, is_in: impl Fn(u16) -> bool) {
        for (place, _) in self.ids.iter().enumerate().filter(|(_, id)| is_in(**id)) {
            self.step(place, 1);
            self.step(place + 1, -1);
        }
    }

    fn step(&mut self, place: usize, by: i32) {
        if let Some(step) = self.steps.get_mut(place) {
            *step += by;
        }
    }

    /// Whether each of those asked for was named.
    pub(super) fn found(&self) -> impl Iterator<Item = bool> {
        let named = |open: &mut i32, step: &i32| {
            *open += step;
            Some(*open > 0)
        };
        self.steps.iter().take(self.ids.len()).scan(0, named)
    }
}

fn range(bits: &mut Bits<'_>) -> Option<(u16, u16)> {
    #[cfg(test)]
    RANGES_READ.set(RANGES_READ.get() + 1);
    let several = bits.flag()?;
    let first = bits.id()?;
    let last = if several { bits.id()? } else { first };
    Some((first, last))
}

#[cfg(test)]
thread_local! {
    /// How many ranges this thread has read: what a string costs.
    pub(super) static RANGES_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
