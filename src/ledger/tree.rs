//! The tree of hashes that holds a ledger together: RFC 6962, 2.1.
//!
//! Only the peaks are kept, the roots of the full trees that the leaves so far
//! make up. That is all it takes to add a leaf, and to compare two trees.

use sha2::{Digest, Sha256};

/// SHA-256.
pub(super) type Hash = [u8; 32];

/// The SHA-256 of a text.
pub(super) fn sha256(text: &[u8]) -> Hash {
    hashed(&[text])
}

/// The hash of a leaf (RFC 6962: a zero byte in front).
pub(super) fn leaf(text: &[u8]) -> Hash {
    hashed(&[&[0], text])
}

/// How many leaves a full tree of that level has.
pub(super) const fn leaves(level: u8) -> u64 {
    if level < 63 { 1 << level } else { 1 << 63 }
}

pub(super) fn node(left: &Hash, right: &Hash) -> Hash {
    hashed(&[&[1], left, right])
}

fn hashed(parts: &[&[u8]]) -> Hash {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().into()
}

/// A tree, as far as it takes to let it grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    size: u64,
    /// The largest first: one for each bit of the size.
    peaks: Vec<Hash>,
}

impl Tree {
    /// A tree that was written down; `None` when that cannot be one.
    pub(super) fn of(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (usize::try_from(size.count_ones()) == Ok(peaks.len())).then_some(Self { size, peaks })
    }

    /// How many leaves it has.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Its peaks, the largest first.
    pub(super) fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    pub(super) fn push(&mut self, leaf: Hash) {
        self.push_full(0, leaf);
    }

    /// Adds a full tree of 2^level leaves by its root; `false`, and nothing is
    /// added, when none can begin here.
    pub(super) fn push_full(&mut self, level: u8, root: Hash) -> bool {
        let before = self.size.checked_shr(level.into()).unwrap_or(0);
        let Some(size) = before.checked_add(1).and_then(|count| count.checked_mul(leaves(level)))
        else {
            return false;
        };
        if self.size != size - leaves(level) {
            return false;
        }
        let mut grown = root;
        // Two full trees of one size make a larger one.
        for _ in 0..before.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            grown = node(&left, &grown);
        }
        self.peaks.push(grown);
        self.size = size;
        true
    }

    pub(super) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return hashed(&[]) };
        peaks.fold(*last, |right, left| node(left, &right))
    }

    /// The first leaf of the first peak in which two trees of one size differ,
    /// counted from 0, and the leaf behind that peak.
    pub(super) fn differs_from(&self, other: &Self) -> Option<(u64, u64)> {
        let mut start = 0;
        let bits = (0..64).rev().filter(|bit| self.size >> bit & 1 == 1);
        for ((mine, theirs), bit) in self.peaks.iter().zip(&other.peaks).zip(bits) {
            let end = start + (1_u64 << bit);
            if mine != theirs {
                return Some((start, end));
            }
            start = end;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(hash: &Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn tree(leaves: &[&[u8]]) -> Tree {
        let mut tree = Tree::default();
        leaves.iter().for_each(|text| tree.push(leaf(text)));
        tree
    }

    /// The definition, word by word.
    fn by_definition(leaves: &[&[u8]]) -> Hash {
        match leaves {
            [] => hashed(&[]),
            [one] => leaf(one),
            more => {
                let k = more.len().next_power_of_two() / 2;
                node(&by_definition(&more[..k]), &by_definition(&more[k..]))
            }
        }
    }

    #[test]
    fn f3_the_tree_is_that_of_rfc_6962() {
        // The inputs and two roots that Certificate Transparency's tests use.
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        for size in 0..=8 {
            assert_eq!(tree(&inputs[..size]).root(), by_definition(&inputs[..size]), "{size}");
        }
        assert_eq!(
            hex(&tree(&inputs[..1]).root()),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            hex(&tree(&inputs).root()),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    #[test]
    fn a_difference_is_found_in_its_peak() {
        let one = tree(&[b"a", b"b", b"c", b"d", b"e", b"f", b"g"]);
        let other = tree(&[b"a", b"b", b"c", b"d", b"e", b"x", b"g"]);
        assert_eq!(one.differs_from(&other), Some((4, 6)));
        assert_eq!(one.differs_from(&one.clone()), None);
        let read = Tree::of(7, one.peaks().to_vec());
        assert_eq!(read, Some(one));
        assert_eq!(Tree::of(7, Vec::new()), None);
    }
}
