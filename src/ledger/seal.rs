//! Seals what is stored together, so that nobody can change it unseen.

use crate::ledger::line::ReceiptLine;
use crate::ledger::tree::{self, Hash, Tree};

use rusqlite::{Connection, OptionalExtension, Row, params};
use std::fmt;
use std::sync::Once;

/// How much of each leaf's hash a seal keeps, to find a change with.
pub(super) const MARK: usize = 4;

/// More rows of a sort are never stored together: a batch has not so many bytes
/// that they would find room in it.
const MOST_ROWS: i64 = 1_000_000;

/// What a seal is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Set,
    Entry,
    Receipt,
    Gap,
    Audit,
}

impl Sort {
    /// In the order of a seal's leaves.
    pub(super) const ALL: [Self; 5] =
        [Self::Set, Self::Entry, Self::Receipt, Self::Gap, Self::Audit];

    const fn word(self) -> &'static str {
        match self {
            Self::Set => "set of decisions",
            Self::Entry => "entry",
            Self::Receipt => "receipt in row",
            Self::Gap => "gap",
            Self::Audit => "audit entry",
        }
    }

    /// The column of a seal that says where these rows end.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Set => "sets",
            Self::Entry => "entries",
            Self::Receipt => "receipts",
            Self::Gap => "gaps",
            Self::Audit => "audits",
        }
    }

    /// Several of them, in words.
    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Set => "sets of decisions",
            Self::Entry => "entries",
            Self::Receipt => "receipts",
            Self::Gap => "gaps",
            Self::Audit => "audit entries",
        }
    }
}

/// One row under a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sort: Sort,
    pub(super) id: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sort.word(), self.id)
    }
}

/// The last row of each sort that is under a seal or one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    sets: i64,
    entries: i64,
    receipts: i64,
    gaps: i64,
    audits: i64,
}

impl Ends {
    /// The columns of a seal that `read` takes, in its order.
    const COLUMNS: &'static str = "sets, entries, receipts, gaps, audits";

    /// Where the tables end now.
    pub(super) fn now(conn: &Connection) -> rusqlite::Result<Self> {
        conn.prepare_cached(
            "SELECT (SELECT ifnull(max(id), 0) FROM decision_set),
                    (SELECT ifnull(max(id), 0) FROM entry),
                    (SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'receipt'),
                    (SELECT ifnull(max(id), 0) FROM gap),
                    (SELECT ifnull(max(id), 0) FROM audit)",
        )?
        .query_row([], |row| Self::read(row, 0))
    }

    fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            sets: row.get(at)?,
            entries: row.get(at + 1)?,
            receipts: row.get(at + 2)?,
            gaps: row.get(at + 3)?,
            audits: row.get(at + 4)?,
        })
    }

    pub(super) const fn of(&self, sort: Sort) -> i64 {
        match sort {
            Sort::Set => self.sets,
            Sort::Entry => self.entries,
            Sort::Receipt => self.receipts,
            Sort::Gap => self.gaps,
            Sort::Audit => self.audits,
        }
    }

    /// How many rows, or places of rows, are behind `before`.
    pub(super) fn count_since(self, before: Self) -> u64 {
        let rows = |sort| self.of(sort).saturating_sub(before.of(sort)).max(0).cast_unsigned();
        Sort::ALL.into_iter().map(rows).fold(0, u64::saturating_add)
    }

    /// A sort of which there are more rows behind `before` than are ever stored
    /// together: somebody else gave a row its number, or changed the seal.
    pub(super) fn leap_from(self, before: Self) -> Option<Sort> {
        Sort::ALL.into_iter().find(|sort| self.leaps(*sort, before))
    }

    const fn leaps(self, sort: Sort, before: Self) -> bool {
        self.of(sort).saturating_sub(before.of(sort)) > MOST_ROWS
    }

    /// The same, without the sorts that leap.
    fn without_leaps(self, before: Self) -> Self {
        let end = |sort| if self.leaps(sort, before) { before.of(sort) } else { self.of(sort) };
        Self {
            sets: end(Sort::Set),
            entries: end(Sort::Entry),
            receipts: end(Sort::Receipt),
            gaps: end(Sort::Gap),
            audits: end(Sort::Audit),
        }
    }

    /// The rows behind `before`, in the order of their leaves.
    pub(super) fn since(self, before: Self) -> impl Iterator<Item = Place> {
        Sort::ALL.into_iter().flat_map(move |sort| {
            (before.of(sort).saturating_add(1)..=self.of(sort)).map(move |id| Place { sort, id })
        })
    }
}

/// A seal.
#[derive(Clone, Debug)]
pub(super) struct Seal {
    pub(super) id: i64,
    pub(super) time_ms: i64,
    pub(super) ends: Ends,
    pub(super) root: Vec<u8>,
    /// The first bytes of the hashes of the leaves that are left.
    pub(super) marks: Vec<u8>,
    /// What stands for those that were pruned; empty when all were.
    pub(super) cover: Option<Vec<u8>>,
}

impl Seal {
    pub(super) const COLUMNS: &'static str =
        "id, time_ms, sets, entries, receipts, gaps, audits, root, marks, cover";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            time_ms: row.get(1)?,
            ends: Ends::read(row, 2)?,
            root: row.get(7)?,
            marks: row.get(8)?,
            cover: row.get(9)?,
        })
    }

    /// Whether nothing that it is over is left.
    pub(super) fn is_all_gone(&self) -> bool {
        self.cover.as_ref().is_some_and(Vec::is_empty)
    }

    /// The seal as a leaf of the ledger's tree. As long as there is no audit
    /// entry it is the same as in a ledger of format 4, which had none.
    pub(super) fn leaf(&self) -> Hash {
        let audits = self.ends.audits;
        let mut text = Text::new(if audits == 0 { "seal" } else { "seal with audits" });
        for number in [
            self.id,
            self.time_ms,
            self.ends.sets,
            self.ends.entries,
            self.ends.receipts,
            self.ends.gaps,
        ] {
            text.number(number);
        }
        if audits != 0 {
            text.number(audits);
        }
        text.part(&self.root);
        text.leaf()
    }
}

/// Seals everything that no seal is over yet; `false` when that is nothing.
pub(super) fn seal(conn: &Connection, now_ms: u64) -> rusqlite::Result<bool> {
    let (last, before) = conn
        .prepare_cached(&format!(
            "SELECT id, {} FROM seal ORDER BY id DESC LIMIT 1",
            Ends::COLUMNS
        ))?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, Ends::read(row, 1)?)))
        .optional()?
        .unwrap_or((0, Ends::default()));
    let found = Ends::now(conn)?;
    if let Some(sort) = found.leap_from(before) {
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            tracing::warn!(what = sort.plural(), "the ledger has rows with numbers that consentry never gave; from there on they are under no seal, see `consentry verify`");
        });
    }
    let ends = found.without_leaps(before);
    if ends == before {
        return Ok(false);
    }
    let mut inner = Tree::default();
    let mut marks = Vec::new();
    leaves(conn, before, ends, |place, hash| {
        let hash = hash.unwrap_or_else(|| none(place));
        inner.push(hash);
        marks.extend(hash.iter().take(MARK));
    })?;
    let seal = Seal {
        id: last + 1,
        time_ms: now_ms.cast_signed(),
        ends,
        root: inner.root().to_vec(),
        marks,
        cover: None,
    };
    let mut tree = tree(conn)?;
    tree.push(seal.leaf());
    conn.prepare_cached(
        "INSERT INTO seal (id, time_ms, sets, entries, receipts, gaps, audits, root, marks)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        seal.id,
        seal.time_ms,
        ends.sets,
        ends.entries,
        ends.receipts,
        ends.gaps,
        ends.audits,
        seal.root,
        seal.marks
    ])?;
    conn.prepare_cached("UPDATE tree SET size = ?1, peaks = ?2")?
        .execute(params![tree.size().cast_signed(), tree.peaks().concat()])?;
    Ok(true)
}

/// The last rows that are under a seal.
pub(super) fn sealed_ends(conn: &Connection) -> rusqlite::Result<Ends> {
    conn.query_row(
        &format!("SELECT {} FROM seal ORDER BY id DESC LIMIT 1", Ends::COLUMNS),
        [],
        |row| Ends::read(row, 0),
    )
}

/// The ledger's tree as it was written down.
pub(super) fn tree(conn: &Connection) -> rusqlite::Result<Tree> {
    let (size, peaks): (i64, Vec<u8>) = conn
        .prepare_cached("SELECT size, peaks FROM tree LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (peaks, _) = peaks.as_chunks::<32>();
    // What cannot be a tree is found by `verify`; a new one is begun here.
    Ok(Tree::of(size.cast_unsigned(), peaks.to_vec()).unwrap_or_default())
}

/// The leaf of a row that was not there when it was sealed.
pub(super) fn none(place: Place) -> Hash {
    let mut text = Text::new("none");
    text.part(place.sort.word().as_bytes());
    text.number(place.id);
    text.leaf()
}

/// Shows every row between two ends with its leaf's hash, in order, and every
/// one that is not there without.
pub(super) fn leaves(
    conn: &Connection,
    before: Ends,
    ends: Ends,
    mut show: impl FnMut(Place, Option<Hash>),
) -> rusqlite::Result<()> {
    for sort in Sort::ALL {
        let (first, last) = (before.of(sort) + 1, ends.of(sort));
        if first > last {
            continue;
        }
        let mut query = conn.prepare_cached(query(sort))?;
        let mut rows = query.query([first, last])?;
        let mut next = first;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            (next..id).for_each(|id| show(Place { sort, id }, None));
            let hash = match sort {
                Sort::Set => set(conn, id, row)?,
                Sort::Entry => entry(id, row)?,
                Sort::Receipt => receipt(id, row)?,
                Sort::Gap => gap(row)?,
                Sort::Audit => audit(row)?,
            };
            show(Place { sort, id }, Some(hash));
            next = id + 1;
        }
        (next..=last).for_each(|id| show(Place { sort, id }, None));
    }
    Ok(())
}

const fn query(sort: Sort) -> &'static str {
    match sort {
        Sort::Set => {
            "SELECT id, hash, dropped FROM decision_set WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
        }
        Sort::Entry => {
            "SELECT entry.id, entry.time_ms, entry.class, entry.undecided, entry.set_id,
                    site.text, page.text, signal.text, revision.text, mode.text
             FROM entry LEFT JOIN site ON site.id = entry.site LEFT JOIN page ON page.id = entry.page
             LEFT JOIN word AS signal ON signal.id = entry.signal
             LEFT JOIN revision ON revision.id = entry.policy
             LEFT JOIN word AS mode ON mode.id = entry.mode
             WHERE entry.id BETWEEN ?1 AND ?2 ORDER BY entry.id"
        }
        Sort::Receipt => {
            "SELECT id, NULL, lower(hex(number)), time_ms, site, granted, asked, vendors_allowed,
                    vendors_refused, act, method, gpc, notice_revision, lower(hex(notice)),
                    lower(hex(choices)), language, valid_s
             FROM receipt WHERE id BETWEEN ?1 AND ?2
             UNION ALL
             SELECT receipt, leaf, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                    NULL, NULL, NULL, NULL
             FROM erased_receipt WHERE receipt BETWEEN ?1 AND ?2
             ORDER BY 1"
        }
        Sort::Gap => {
            "SELECT id, time_ms, since_ms, lost, why FROM gap WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
        }
        Sort::Audit => {
            "SELECT id, time_ms, who, role, act, about, detail FROM audit
             WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
        }
    }
}

fn set(conn: &Connection, id: i64, row: &Row<'_>) -> rusqlite::Result<Hash> {
    let mut text = Text::new("set");
    text.number(id);
    text.part(&row.get::<_, Vec<u8>>(1)?);
    text.number(row.get(2)?);
    let mut members = conn.prepare_cached(
        "SELECT verdict, reason, layer, kind, what, vendor_id, vendor, purpose, rule, via
         FROM set_member LEFT JOIN decision ON decision.id = set_member.decision_id
         WHERE set_id = ?1 ORDER BY decision_id",
    )?;
    let mut rows = members.query([id])?;
    while let Some(row) = rows.next()? {
        for column in 0..10 {
            text.part(row.get::<_, Option<String>>(column)?.unwrap_or_default().as_bytes());
        }
    }
    Ok(text.leaf())
}

fn entry(id: i64, row: &Row<'_>) -> rusqlite::Result<Hash> {
    let mut text = Text::new("entry");
    text.number(id);
    for column in 1..5 {
        text.number(row.get(column)?);
    }
    for column in 5..10 {
        text.part(row.get::<_, Option<String>>(column)?.unwrap_or_default().as_bytes());
    }
    Ok(text.leaf())
}

fn receipt(id: i64, row: &Row<'_>) -> rusqlite::Result<Hash> {
    let text_of = |column| row.get::<_, String>(column).map(Into::into);
    // The hash of what was recorded, which stays when the rest is erased.
    let known: Option<Vec<u8>> = row.get(1)?;
    let leaf = match known {
        Some(leaf) => leaf,
        None => ReceiptLine {
            number: text_of(2)?,
            time_ms: row.get::<_, i64>(3)?.cast_unsigned(),
            site: text_of(4)?,
            granted: row.get(5)?,
            asked: row.get(6)?,
            vendors_allowed: text_of(7)?,
            vendors_refused: text_of(8)?,
            act: text_of(9)?,
            method: text_of(10)?,
            gpc: row.get(11)?,
            notice_revision: row.get(12)?,
            notice: text_of(13)?,
            choices: text_of(14)?,
            language: text_of(15)?,
            valid_s: row.get::<_, i64>(16)?.cast_unsigned(),
        }
        .leaf()
        .map(|leaf| leaf.to_vec())
        .unwrap_or_default(),
    };
    let mut text = Text::new("receipt");
    text.number(id);
    text.part(&leaf);
    Ok(text.leaf())
}

fn gap(row: &Row<'_>) -> rusqlite::Result<Hash> {
    let mut text = Text::new("gap");
    for column in 0..4 {
        text.number(row.get(column)?);
    }
    text.part(row.get::<_, String>(4)?.as_bytes());
    Ok(text.leaf())
}

fn audit(row: &Row<'_>) -> rusqlite::Result<Hash> {
    let mut text = Text::new("audit");
    text.number(row.get(0)?);
    text.number(row.get(1)?);
    for column in 2..7 {
        text.part(row.get::<_, String>(column)?.as_bytes());
    }
    Ok(text.leaf())
}

/// What a leaf says, in a form that only one row has: numbers in eight bytes,
/// texts with their length in front.
struct Text(Vec<u8>);

impl Text {
    fn new(sort: &str) -> Self {
        let mut text = Self(Vec::with_capacity(160));
        text.part(sort.as_bytes());
        text
    }

    fn number(&mut self, number: i64) {
        self.0.extend(number.to_be_bytes());
    }

    fn part(&mut self, part: &[u8]) {
        self.0.extend((part.len() as u64).to_be_bytes());
        self.0.extend(part);
    }

    fn leaf(&self) -> Hash {
        tree::leaf(&self.0)
    }
}
