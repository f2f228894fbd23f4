//! Strings of IAB's Global Privacy Platform: a header that names sections,
//! and the sections, joined by `~`.
//!
//! Section 2 is a TC string. Those of the United States can only deny: that
//! nobody opted out is no agreement. Section 5 (Canada) knows "implied
//! consent", which is none, and is not read. The layouts are those of the
//! specification (InteractiveAdvertisingBureau, Global-Privacy-Platform,
//! 2025-12).

use crate::consent::bits::Bits;
use crate::consent::reading::Reading;
use crate::consent::{tcf, us_privacy};
use crate::purpose::{Purpose, PurposeSet};

/// More sections than there are ids: a header that claims more is torn.
const MOST_SECTIONS: usize = 64;

/// What a string says at `now_s`, if a choice counts for `lifetime_s`.
pub(super) fn read(text: &str, now_s: u64, lifetime_s: u64) -> Reading {
    let mut parts = text.split('~');
    let Some(ids) = parts.next().and_then(section_ids) else {
        return Reading::doubtful("its header is no whole GPP header");
    };
    let mut said = Reading::unasked("none of its sections says something about a purpose");
    for id in ids {
        let Some(section) = parts.next() else {
            return torn(said, "a section that its header names is missing");
        };
        let read = match id {
            2 => tcf::read(section, now_s, lifetime_s),
            6 => us_privacy::read(section),
            7..=27 => match opt_outs(id, section) {
                Some(denied) if denied.is_empty() => continue,
                Some(denied) => Reading::denying(denied),
                None => return torn(said, "one of its sections is not whole"),
            },
            _ => continue,
        };
        if read.is_doubtful() && read.denied().is_empty() {
            return torn(said, read.note());
        }
        said = if read.decided().is_empty() && said.decided().is_empty() {
            read
        } else {
            said.joined(read)
        };
    }
    if parts.next().is_some() {
        return torn(said, "it has a section that its header does not name");
    }
    said
}

/// The TC string in one of IAB's platform, if there is one.
pub(super) fn tc_string(text: &str) -> Option<&str> {
    let mut parts = text.split('~');
    let place = section_ids(parts.next()?)?.iter().position(|id| *id == 2)?;
    parts.nth(place)
}

/// What was denied in sections that are whole stays denied.
const fn torn(said: Reading, why: &'static str) -> Reading {
    Reading::denying(said.denied()).without_grants(why)
}

/// The sections that a header names, in order.
#[must_use]
pub fn section_ids(header: &str) -> Option<Vec<u16>> {
    let mut bits = Bits::new(header)?;
    if bits.number(6)? != 3 || bits.number(6)? != 1 {
        return None;
    }
    let mut ids = Vec::new();
    let mut last = 0_u16;
    for _ in 0..bits.number(12)? {
        let several = bits.flag()?;
        let first = last.checked_add(fibonacci(&mut bits)?)?;
        last = if several { first.checked_add(fibonacci(&mut bits)?)? } else { first };
        if usize::from(last - first) + ids.len() >= MOST_SECTIONS {
            return None;
        }
        ids.extend(first..=last);
    }
    bits.is_spent().then_some(ids)
}

/// A number in Fibonacci coding: a bit for each number of the sequence 1, 2,
/// 3, 5, ... that it is the sum of, and one more behind the last.
fn fibonacci(bits: &mut Bits<'_>) -> Option<u16> {
    let (mut this, mut next) = (1_u16, 2_u16);
    let (mut sum, mut before) = (0_u16, false);
    loop {
        let bit = bits.flag()?;
        if bit && before {
            return Some(sum);
        }
        if bit {
            sum = sum.checked_add(this)?;
        }
        before = bit;
        (this, next) = (next, this.checked_add(next)?);
    }
}

/// How a section of the United States is laid out.
struct Layout {
    id: u16,
    version: u64,
    /// The first fields of two bits each: `s`ale, s`h`aring and `t`argeted
    /// advertising are opt-outs, `-` is something else.
    first: &'static str,
    /// How many more such fields there are.
    more: usize,
    /// Whether it has a sub-section for Global Privacy Control.
    gpc: bool,
}

const fn layout(id: u16, version: u64, first: &'static str, more: usize, gpc: bool) -> Layout {
    Layout { id, version, first, more, gpc }
}

/// usnat, usca, usva, usco, usut, usct, usfl, usmt, usor, ustx, usde, usia,
/// usne, usnh, usnj, ustn, usmn, usmd, usin, usky, usri.
const LAYOUTS: [Layout; 22] = [
    layout(7, 1, "------sht", 18, true),
    layout(7, 2, "------sht", 23, true),
    layout(8, 1, "---sh", 15, true),
    layout(9, 1, "---st", 12, false),
    layout(10, 1, "---st", 11, true),
    layout(11, 1, "----st", 12, false),
    layout(12, 1, "---st", 14, true),
    layout(13, 1, "---st", 15, false),
    layout(14, 1, "---st", 14, true),
    layout(15, 1, "---st", 18, true),
    layout(16, 1, "---st", 13, true),
    layout(17, 1, "---st", 18, true),
    layout(18, 1, "----st", 12, true),
    layout(19, 1, "---st", 13, true),
    layout(20, 1, "---st", 15, true),
    layout(21, 1, "---st", 19, true),
    layout(22, 1, "---st", 13, true),
    layout(23, 1, "---st", 13, true),
    layout(24, 1, "-----st", 1, true),
    layout(25, 1, "-----st", 2, false),
    layout(26, 1, "-----st", 2, false),
    layout(27, 1, "-----st", 2, false),
];

/// What a section of the United States opts out of; `None` when it is torn or
/// of a version that is not known here.
fn opt_outs(id: u16, section: &str) -> Option<PurposeSet> {
    const OPTED_OUT: u64 = 1;
    let mut segments = section.split('.');
    let mut bits = Bits::new(segments.next()?)?;
    let version = bits.number(6)?;
    let layout = LAYOUTS.iter().find(|layout| layout.id == id && layout.version == version)?;
    let mut denied = PurposeSet::EMPTY;
    for field in layout.first.bytes() {
        let value = bits.number(2)?;
        if field != b'-' && value == 3 {
            return None;
        }
        if field != b'-' && value == OPTED_OUT {
            denied = denied.with(Purpose::Marketing);
        }
    }
    bits.skip(2 * layout.more)?;
    if !bits.is_spent() {
        return None;
    }
    for segment in segments {
        let mut bits = Bits::new(segment)?;
        // Global Privacy Control, as the browser sent it when this was made.
        if layout.gpc && bits.number(2)? == 1 && bits.flag()? {
            denied = denied.with(Purpose::Marketing).with(Purpose::Personalization);
        }
    }
    Some(denied)
}

#[cfg(test)]
mod tests;
