//! What a visitor decided about single vendors, apart from their purposes.

use sha2::{Digest, Sha256};

/// Bytes that a choice may spend on single vendors: the cookie that keeps it
/// must stay well below the 4096 that browsers take (RFC 6265, 6.1).
const MAX_BYTES: usize = 2048;

/// The longest vendor id.
const MAX_ID: usize = 64;

/// Vendors about which a visitor decided something else than about their
/// purposes, by id.
///
/// What does not fit into a cookie is left out, and never becomes a "yes" by
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VendorChoices {
    allowed: Vec<String>,
    refused: Vec<String>,
}

impl VendorChoices {
    /// Whether nothing was decided about any one vendor.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.allowed.is_empty() && self.refused.is_empty()
    }

    /// Whether the vendor may do what it does although its purposes are not
    /// granted.
    #[must_use]
    pub fn allows(&self, vendor: &str) -> bool {
        holds(&self.allowed, vendor)
    }

    /// Whether the vendor is withheld although its purposes are granted.
    #[must_use]
    pub fn refuses(&self, vendor: &str) -> bool {
        holds(&self.refused, vendor)
    }

    /// The ids of those allowed, in order.
    #[must_use]
    pub fn allowed(&self) -> &[String] {
        &self.allowed
    }

    /// The ids of those refused, in order.
    #[must_use]
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// The same with `vendor` allowed; without room for it, nothing changes.
    #[must_use]
    pub fn with_allowed(mut self, vendor: &str) -> Self {
        self = self.without(vendor);
        if self.has_room_for(vendor) {
            insert(&mut self.allowed, vendor);
        }
        self
    }

    /// The same with `vendor` refused. A refusal that does not fit takes the
    /// place of what is allowed; `None` when even that is not enough.
    #[must_use]
    pub fn with_refused(mut self, vendor: &str) -> Option<Self> {
        self = self.without(vendor);
        while !self.has_room_for(vendor) {
            self.allowed.pop()?;
        }
        insert(&mut self.refused, vendor);
        Some(self)
    }

    /// The same with nothing said about `vendor`.
    #[must_use]
    pub fn without(mut self, vendor: &str) -> Self {
        self.allowed.retain(|id| id != vendor);
        self.refused.retain(|id| id != vendor);
        self
    }

    /// Only the refusals: what is left when a later "no" outweighs what was
    /// allowed.
    #[must_use]
    pub fn only_refused(&self) -> Self {
        Self { allowed: Vec::new(), refused: self.refused.clone() }
    }

    /// Tells these choices from others, without naming anybody.
    #[must_use]
    pub fn mark(&self) -> String {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Writes both lists, each with its length in front.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for list in [&self.allowed, &self.refused] {
            out.extend(u16::try_from(list.len()).unwrap_or(0).to_be_bytes());
            for id in list {
                out.push(u8::try_from(id.len()).unwrap_or(0));
                out.extend(id.as_bytes());
            }
        }
    }

    /// Reads what `write` wrote, and nothing else.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (allowed, rest) = read_list(bytes)?;
        let (refused, rest) = read_list(rest)?;
        let read = Self { allowed, refused };
        (rest.is_empty() && read.bytes() <= MAX_BYTES).then_some(read)
    }

    fn has_room_for(&self, vendor: &str) -> bool {
        !vendor.is_empty() && vendor.len() <= MAX_ID && self.bytes() + vendor.len() < MAX_BYTES
    }

    fn bytes(&self) -> usize {
        self.allowed.iter().chain(&self.refused).map(|id| id.len() + 1).sum()
    }
}

fn holds(list: &[String], vendor: &str) -> bool {
    list.binary_search_by(|id| id.as_str().cmp(vendor)).is_ok()
}

fn insert(list: &mut Vec<String>, vendor: &str) {
    if let Err(at) = list.binary_search_by(|id| id.as_str().cmp(vendor)) {
        list.insert(at, vendor.to_owned());
    }
}

fn read_list(bytes: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let (count, mut rest) = bytes.split_first_chunk::<2>()?;
    let mut list: Vec<String> = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first()?;
        let (id, after) = after.split_at_checked(usize::from(*length))?;
        let id = std::str::from_utf8(id).ok()?;
        let in_order = list.last().is_none_or(|last| last.as_str() < id);
        if id.is_empty() || id.len() > MAX_ID || !in_order {
            return None;
        }
        list.push(id.to_owned());
        rest = after;
    }
    Some((list, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e6_the_last_word_about_a_vendor_counts() {
        let choices = VendorChoices::default().with_allowed("b").with_allowed("a");
        assert_eq!(choices.allowed(), ["a", "b"]);
        let choices = choices.with_refused("a").unwrap();
        assert!(choices.refuses("a") && !choices.allows("a") && choices.allows("b"));
        let choices = choices.with_allowed("a").without("b");
        assert!(choices.allows("a") && !choices.refuses("a") && !choices.allows("b"));
        assert!(choices.without("a").is_empty());
    }

    #[test]
    fn what_is_too_much_never_becomes_a_yes() {
        let mut choices = VendorChoices::default();
        for number in 0..1000 {
            choices = choices.with_allowed(&format!("vendor-{number}"));
        }
        assert!(choices.bytes() <= MAX_BYTES && choices.allowed().len() > 100);
        let mut refused = 0;
        while let Some(more) = choices.clone().with_refused(&format!("other-{refused}")) {
            (choices, refused) = (more, refused + 1);
        }
        assert!(refused > 100 && choices.allowed().is_empty());
        assert_eq!(choices.refused().len(), refused);
        assert_eq!(choices.clone().with_allowed("one-more"), choices);
        assert!(VendorChoices::default().with_allowed(&"x".repeat(65)).is_empty());
    }

    #[test]
    fn no_two_choices_have_one_mark() {
        let all = [
            VendorChoices::default(),
            VendorChoices::default().with_allowed("a+b"),
            VendorChoices::default().with_allowed("a").with_allowed("b"),
            VendorChoices::default().with_allowed("a").with_refused("b").unwrap(),
            VendorChoices::default().with_allowed("a-b"),
            VendorChoices::default().with_refused("a").unwrap(),
        ];
        let marks: std::collections::BTreeSet<String> =
            all.iter().map(VendorChoices::mark).collect();
        assert_eq!(marks.len(), all.len());
    }

    #[test]
    fn only_what_was_written_is_read() {
        let choices = VendorChoices::default().with_allowed("a").with_refused("bc").unwrap();
        let mut bytes = Vec::new();
        choices.write(&mut bytes);
        assert_eq!(VendorChoices::read(&bytes), Some(choices));
        for end in 0..bytes.len() {
            assert_eq!(VendorChoices::read(&bytes[..end]), None);
        }
        for wrong in [
            &b"\0\0\0\0x"[..],
            b"\0\x01\0\0\0",
            b"\0\x02\x01b\x01a\0\0",
            b"\0\x02\x01a\x01a\0\0",
            b"\0\x01\x01\xff\0\0",
            b"\xff\xff\x01a",
        ] {
            assert_eq!(VendorChoices::read(wrong), None, "{}", wrong.escape_ascii());
        }
    }
}
