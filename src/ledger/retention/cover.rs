//! What stands for rows that were pruned: the roots of the full trees that
//! their leaves made up. Nobody can tell from them what the rows said, and the
//! seal over the rows that are left can still be checked.

use crate::ledger::seal::{self, Ends, MARK, Place, Seal};
use crate::ledger::tree::{self, Hash, Tree};

use rusqlite::Connection;

/// How many bytes a node takes: its first leaf, its level, its hash.
const NODE: usize = 4 + 1 + 32;

/// The full tree over leaves that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Node {
    first: u64,
    pub(in crate::ledger) level: u8,
    pub(in crate::ledger) hash: Hash,
}

/// One leaf under a seal, as it is found today.
pub(in crate::ledger) enum Leaf {
    /// What the seal was made over: a row, or that there was none.
    Shown(Place, Hash),
    /// Nothing is to be there any more. The first of several has the node.
    Covered {
        place: Place,
        /// And still there is something.
        is_there: bool,
        node: Option<Node>,
    },
}

/// Shows every leaf under a seal, in order.
pub(in crate::ledger) fn leaves(
    conn: &Connection,
    before: Ends,
    seal: &Seal,
    mut show: impl FnMut(Leaf),
) -> rusqlite::Result<()> {
    let mut nodes = seal.cover.as_deref().map(read).unwrap_or_default().into_iter().peekable();
    let (mut at, mut covered_until) = (0, if seal.is_all_gone() { u64::MAX } else { 0 });
    seal::leaves(conn, before, seal.ends, |place, hash| {
        let node = nodes.next_if(|node| node.first == at && at >= covered_until);
        if let Some(node) = node {
            covered_until = at.saturating_add(tree::leaves(node.level));
        }
        if at < covered_until {
            show(Leaf::Covered { place, is_there: hash.is_some(), node });
        } else {
            show(Leaf::Shown(place, hash.unwrap_or_else(|| seal::none(place))));
        }
        at += 1;
    })
}

/// What a seal keeps when more of its rows are gone.
#[derive(Default)]
pub(in crate::ledger) struct Thinned {
    tree: Tree,
    nodes: Vec<Node>,
    marks: Vec<u8>,
    kept: u64,
    /// The rows to delete.
    pub(in crate::ledger) gone: Vec<Place>,
}

impl Thinned {
    /// Works out what `seal` keeps when the rows that `is_gone` names are
    /// gone, too; `None` when nothing changes, or when the rows are not those
    /// that were sealed: then they stay as they are, as evidence.
    pub(in crate::ledger) fn of(
        conn: &Connection,
        before: Ends,
        seal: &Seal,
        is_gone: impl Fn(Place) -> bool,
    ) -> rusqlite::Result<Option<Self>> {
        // Nobody ever stored so much together: the seal was changed.
        if seal.is_all_gone() || seal.ends.leap_from(before).is_some() {
            return Ok(None);
        }
        let mut thinned = Self::default();
        leaves(conn, before, seal, |leaf| match leaf {
            Leaf::Shown(place, hash) if is_gone(place) => {
                thinned.gone.push(place);
                thinned.cover(0, hash);
            }
            Leaf::Shown(_, hash) => {
                thinned.kept += 1;
                thinned.marks.extend(hash.iter().take(MARK));
                thinned.tree.push(hash);
            }
            Leaf::Covered { node: Some(node), .. } => thinned.cover(node.level, node.hash),
            Leaf::Covered { node: None, .. } => {}
        })?;
        if thinned.gone.is_empty() {
            return Ok(None);
        }
        if thinned.tree.root().as_slice() != seal.root {
            tracing::warn!(
                seal = seal.id,
                "rows of the ledger are not those that were sealed; they are kept, see `consentry verify`"
            );
            return Ok(None);
        }
        Ok(Some(thinned))
    }

    fn cover(&mut self, level: u8, hash: Hash) {
        let mut grown = Node { first: self.tree.size(), level, hash };
        if !self.tree.push_full(level, hash) {
            // What cannot be is left out; then the root is another one.
            return;
        }
        while let Some(left) = self.nodes.last().copied()
            && left.level == grown.level
            && left.first + tree::leaves(left.level) == grown.first
            && left.first.is_multiple_of(tree::leaves(left.level + 1))
        {
            self.nodes.pop();
            let hash = tree::node(&left.hash, &grown.hash);
            grown = Node { first: left.first, level: left.level + 1, hash };
        }
        self.nodes.push(grown);
    }

    /// The cover as it is written down. Nothing, where nothing is left: then
    /// the seal's root is enough.
    pub(in crate::ledger) fn cover_bytes(&self) -> Vec<u8> {
        if self.kept == 0 {
            return Vec::new();
        }
        let mut bytes = Vec::with_capacity(self.nodes.len() * NODE);
        for node in &self.nodes {
            bytes.extend(u32::try_from(node.first).unwrap_or(u32::MAX).to_be_bytes());
            bytes.push(node.level);
            bytes.extend(node.hash);
        }
        bytes
    }

    /// The first bytes of the hashes of what is left.
    pub(in crate::ledger) fn marks(&self) -> &[u8] {
        &self.marks
    }
}

fn read(bytes: &[u8]) -> Vec<Node> {
    let (nodes, _) = bytes.as_chunks::<NODE>();
    nodes
        .iter()
        .filter_map(|node| {
            let (first, rest) = node.split_first_chunk::<4>()?;
            let (level, hash) = rest.split_first()?;
            Some(Node {
                first: u32::from_be_bytes(*first).into(),
                level: *level,
                hash: hash.try_into().ok()?,
            })
        })
        .collect()
}
