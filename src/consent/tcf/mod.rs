//! TC strings of IAB's Transparency and Consent Framework, 2.2 and 2.3.
//!
//! The layout is that of the specification "Transparency and Consent String
//! with Global Vendor & CMP List Formats" (InteractiveAdvertisingBureau,
//! GDPR-Transparency-and-Consent-Framework). A string is taken whole or not at
//! all: one that is torn, that claims more than it holds, or that has bits
//! behind its end is no string.

mod vendors;

use crate::consent::bits::Bits;
use crate::consent::reading::Reading;
use crate::purpose::{Purpose, PurposeSet};
use vendors::{Marks, Vendors};

/// Strings made later need policy version 4, that of TCF 2.2: 2023-09-30,
/// in seconds since 1970.
const TCF_2_2_S: u64 = 1_696_032_000;

/// The newest policy version whose purposes we know, that of TCF 2.3.
const NEWEST_POLICY: u64 = 5;

/// A TC string, checked, still in its text.
#[derive(Clone, Copy, Debug)]
pub struct TcString<'t> {
    /// When it was first made, in seconds since 1970.
    pub created_s: u64,
    /// When it was last changed, in seconds since 1970.
    pub updated_s: u64,
    /// The revision of the framework's policies.
    pub policy_version: u64,
    /// Whether it is about this site alone.
    pub service_specific: bool,
    /// Whether purpose 1 was not asked for, as the law of the publisher's
    /// country allows.
    pub purpose_one_treatment: bool,
    /// The purposes the visitor agreed to, 1 in the highest of 24 bits.
    consents: u64,
    vendor_consents: Vendors<'t>,
    vendor_interests: Vendors<'t>,
    restrictions: Restrictions<'t>,
    disclosed: Option<Vendors<'t>>,
}

impl<'t> TcString<'t> {
    /// The string in `text`, if it is one.
    #[must_use]
    pub fn parse(text: &'t str) -> Option<Self> {
        let mut segments = text.split('.');
        let mut core = Self::core(segments.next()?)?;
        let mut seen = 0_u8;
        for segment in segments {
            let mut bits = Bits::new(segment)?;
            let kind = bits.number(3)?;
            if seen & 1 << kind != 0 {
                return None;
            }
            seen |= 1 << kind;
            match kind {
                1 => core.disclosed = Some(Vendors::read(&mut bits)?),
                // Vendors allowed out of band, of TCF 2.0.
                2 => Vendors::read(&mut bits).map(|_| ())?,
                3 => publisher(&mut bits)?,
                _ => return None,
            }
            if !bits.is_spent() {
                return None;
            }
        }
        Some(core)
    }

    fn core(text: &'t str) -> Option<Self> {
        let mut bits = Bits::new(text)?;
        if bits.number(6)? != 2 {
            return None;
        }
        let created_s = bits.number(36)? / 10;
        let updated_s = bits.number(36)? / 10;
        // The tool, its version, its screen, the language, the vendor list.
        bits.skip(12 + 12 + 6 + 12 + 12)?;
        let policy_version = bits.number(6)?;
        let service_specific = bits.flag()?;
        // Texts of one's own, and the special features.
        bits.skip(1 + 12)?;
        let consents = bits.number(24)?;
        // Legitimate interest: not allowed for purposes 3 to 6 since TCF 2.2,
        // and no agreement for any.
        bits.skip(24)?;
        let purpose_one_treatment = bits.flag()?;
        bits.skip(12)?;
        let vendor_consents = Vendors::read(&mut bits)?;
        let vendor_interests = Vendors::read(&mut bits)?;
        let restrictions = Restrictions::read(&mut bits)?;
        bits.is_spent().then_some(Self {
            created_s,
            updated_s,
            policy_version,
            service_specific,
            purpose_one_treatment,
            consents,
            vendor_consents,
            vendor_interests,
            restrictions,
            disclosed: None,
        })
    }

    /// Whether the visitor agreed to a purpose, counted from 1 as in the
    /// framework.
    #[must_use]
    pub const fn consents_to(&self, purpose: u8) -> bool {
        matches!(purpose, 1..=24) && self.consents >> (24 - purpose) & 1 == 1
    }

    /// Whether the vendor with that id in IAB's list may act on consent.
    #[must_use]
    pub fn consents_to_vendor(&self, id: u16) -> bool {
        self.vendor_consents.contains(id)
    }

    /// Whether the vendor claims legitimate interest, unopposed. It is no
    /// agreement, and no purpose of ours is granted by it.
    #[must_use]
    pub fn vendor_claims_interest(&self, id: u16) -> bool {
        self.vendor_interests.contains(id)
    }

    /// Whether the visitor was told of the vendor; `None` for a string that
    /// does not say whom it told of, as those before TCF 2.3 may.
    #[must_use]
    pub fn discloses(&self, id: u16) -> Option<bool> {
        self.disclosed.map(|vendors| vendors.contains(id))
    }

    /// What the publisher lays down for a vendor and a purpose.
    #[must_use]
    pub fn restriction(&self, purpose: u8, vendor: u16) -> Option<Restriction> {
        self.restrictions.find(purpose, vendor)
    }

    /// Which of `vendors`, in ascending order, may use data on consent for
    /// everything that `granted` rests on here: they and the framework's
    /// purposes behind it were agreed to, the visitor was told of them, and the
    /// publisher does not rule it out for one of those purposes.
    ///
    /// Each part of the string is walked once, however many vendors there are.
    #[must_use]
    pub fn allowed(&self, granted: PurposeSet, vendors: &[u16]) -> Vec<bool> {
        let agreed = granted.without(Purpose::Necessary);
        if !self.purposes().granted().contains_all(agreed) {
            return vec![false; vendors.len()];
        }
        let marks = |set: Option<&Vendors<'t>>| {
            let mut marks = Marks::new(vendors);
            if let Some(set) = set {
                set.mark(&mut marks);
            }
            marks
        };
        let consented = marks(Some(&self.vendor_consents));
        let disclosed = marks(self.disclosed.as_ref());
        let mut ruled_out = Marks::new(vendors);
        self.restrictions.mark(self.behind(agreed), &mut ruled_out);
        let told = consented.found().zip(disclosed.found());
        told.zip(ruled_out.found())
            .map(|((consented, disclosed), ruled_out)| consented && disclosed && !ruled_out)
            .collect()
    }

    /// The framework's purposes that were agreed to and stand for one of ours,
    /// in the bits of `consents`.
    fn behind(&self, granted: PurposeSet) -> u64 {
        let behind = [
            (Purpose::Analytics, &[1, 8, 9, 10][..]),
            (Purpose::Marketing, &[1, 2, 3, 4, 7]),
            (Purpose::Personalization, &[1, 5, 6]),
        ];
        let behind = behind.iter().filter(|(purpose, _)| granted.contains(*purpose));
        let bits = behind.flat_map(|(_, theirs)| *theirs).fold(0, |all, one| all | 1 << (24 - one));
        bits & self.consents
    }

    /// What it says about our purposes.
    fn purposes(&self) -> Reading {
        let yes = |purpose| self.consents_to(purpose);
        let analytics = yes(8) || yes(9) || yes(10);
        let marketing = yes(2) && (yes(3) || yes(4) || yes(7));
        let personalization = yes(5) || yes(6);
        // Purpose 1, to store and to read on the device, gates the others.
        let gated = [
            (Purpose::Analytics, analytics),
            (Purpose::Marketing, marketing),
            (Purpose::Personalization, personalization),
        ];
        let all = |wanted: bool| -> PurposeSet {
            gated.iter().filter(|(_, yes)| *yes == wanted).map(|(purpose, _)| *purpose).collect()
        };
        if yes(1) {
            return Reading::denying(all(false)).granting(all(true));
        }
        if self.purpose_one_treatment {
            // It was not asked for: that is neither.
            return Reading::denying(all(false)).without_grants("purpose 1 was not asked for");
        }
        Reading::denying(gated.iter().map(|(purpose, _)| *purpose).collect())
    }
}

/// What a string says at `now_s`, if a choice counts for `lifetime_s`.
pub(super) fn read(text: &str, now_s: u64, lifetime_s: u64) -> Reading {
    let Some(string) = TcString::parse(text) else {
        return Reading::doubtful("it is no whole TC string");
    };
    if !string.service_specific {
        return Reading::doubtful(
            "it is not for this site alone, as strings must be since TCF 2.1",
        );
    }
    let (created_s, updated_s) = (string.created_s, string.updated_s);
    if created_s > updated_s || updated_s > now_s.saturating_add(60) {
        return Reading::doubtful("its times cannot be");
    }
    if string.policy_version > NEWEST_POLICY {
        return Reading::doubtful("its policy version is not known here");
    }
    if string.policy_version < 4 && created_s >= TCF_2_2_S {
        return Reading::doubtful("its policy version is older than TCF 2.2, and it is not");
    }
    if now_s.saturating_sub(updated_s) > lifetime_s {
        return Reading::unasked("it is older than a choice may be");
    }
    if string.disclosed.is_none() {
        let why = "it does not say of which vendors the visitor was told, as TCF 2.3 requires";
        return string.purposes().without_grants(why);
    }
    string.purposes()
}

/// Purposes of the publisher's own: read past, since nothing here knows them.
fn publisher(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(24 + 24)?;
    let own = usize::try_from(bits.number(6)?).ok()?;
    bits.skip(2 * own)
}

/// What a publisher lays down for a vendor and a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// The vendor may not do it here.
    NotAllowed,
    /// Only on consent.
    NeedsConsent,
    /// Only on legitimate interest.
    NeedsInterest,
}

/// The publisher's restrictions, still in their text.
#[derive(Clone, Copy, Debug)]
struct Restrictions<'t> {
    count: u64,
    text: Bits<'t>,
}

impl<'t> Restrictions<'t> {
    fn read(bits: &mut Bits<'t>) -> Option<Self> {
        let count = bits.number(12)?;
        let all = Self { count, text: *bits };
        for _ in 0..count {
            Self::next(bits)?;
        }
        Some(all)
    }

    fn next(bits: &mut Bits<'t>) -> Option<(u64, Restriction, Vendors<'t>)> {
        let purpose = bits.number(6)?;
        let restriction = match bits.number(2)? {
            0 => Restriction::NotAllowed,
            1 => Restriction::NeedsConsent,
            2 => Restriction::NeedsInterest,
            _ => return None,
        };
        Some((purpose, restriction, Vendors::read_ranges(bits, u16::MAX)?))
    }

    /// Notes the vendors for which one of `purposes`, in the bits of a string's
    /// `consents`, may not be based on consent.
    fn mark(&self, purposes: u64, vendors: &mut Marks<'_>) {
        let mut text = self.text;
        for (purpose, restriction, of) in (0..self.count).map_while(|_| Self::next(&mut text)) {
            let bit = 24_u64.checked_sub(purpose).map_or(0, |place| 1 << place);
            if purposes & bit != 0 && restriction != Restriction::NeedsConsent {
                of.mark(vendors);
            }
        }
    }

    fn find(&self, purpose: u8, vendor: u16) -> Option<Restriction> {
        let mut text = self.text;
        (0..self.count)
            .map_while(|_| Self::next(&mut text))
            .find(|(of, _, vendors)| *of == u64::from(purpose) && vendors.contains(vendor))
            .map(|(_, restriction, _)| restriction)
    }
}

#[cfg(test)]
mod tests;
