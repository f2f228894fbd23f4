//! Stores a batch in the shared database: all of it, once, or nothing.

use crate::ledger::engine::{Row, Value};
use crate::ledger::fleet::batch::{Batch, Cursors, Entry, Plain};
use crate::ledger::fleet::intern::{Ids, Interned, misread};
use crate::ledger::fleet::many::{Column, Holds, insert};
use crate::ledger::fleet::session::Session;
use crate::ledger::fleet::sums;
use crate::ledger::fleet::trouble::Trouble;
use crate::ledger::fleet::{erasures, schema};
use crate::ledger::now_ms;
use crate::ledger::receipt::{hash_of, hex};
use crate::ledger::rollup::remembered::Remembered;

use tokio_postgres::types::{ToSql, Type};

use std::collections::BTreeSet;

/// Which ledger a proxy has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// The name that its checkpoints have.
    pub(super) name: String,
    /// The key that signs them.
    pub(super) key: String,
    /// When it was begun: a key may outlive its ledger.
    pub(super) created_ms: i64,
}

/// The shared database as one node writes it.
pub(super) struct Store {
    session: Session,
    node: i64,
    interned: Interned,
    members: Remembered,
    months: BTreeSet<(i16, i8)>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is stored.
    All,
    /// Nothing of it: this is how far another process has got meanwhile.
    Elsewhere(Cursors),
}

/// A receipt of this node that was erased.
pub(super) struct Gone {
    /// Where that stands among all that was erased.
    pub(super) id: i64,
    /// The receipt's row in the node's own ledger.
    pub(super) receipt: i64,
    /// The hash of its number.
    pub(super) number_hash: Vec<u8>,
}

/// How many of them are asked for at once.
pub(super) const ERASURES: usize = 1_000;

const INT: Holds = Holds::Int;
const TEXT: Holds = Holds::Text;
const BYTES: Holds = Holds::Bytes;

impl Store {
    /// Makes the tables if they are not there, and the node known.
    pub(super) fn begin(session: Session, node: &Node) -> Result<Self, Trouble> {
        schema::prepare(&session)?;
        schema::begin(&session)?;
        let known = [Value::from(node.name.as_str()), node.created_ms.into()];
        let found =
            session.rows("SELECT id FROM node WHERE name = ?1 AND created_ms = ?2", &known)?;
        let rows = match found.is_empty() {
            false => found,
            true => session.rows(
                "INSERT INTO node (name, created_ms, key, first_ms) VALUES (?1, ?2, ?3, ?4)
                 RETURNING id",
                &[
                    node.name.as_str().into(),
                    node.created_ms.into(),
                    node.key.as_str().into(),
                    now_ms().cast_signed().into(),
                ],
            )?,
        };
        session.run("COMMIT")?;
        let node = one(&rows)?;
        Ok(Self {
            session,
            node,
            interned: Interned::default(),
            members: Remembered::default(),
            months: BTreeSet::new(),
        })
    }

    /// The connection.
    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    /// How far this node was shipped.
    pub(super) fn cursors(&self) -> Result<Cursors, Trouble> {
        let rows = self
            .session
            .rows("SELECT sort, last_id FROM shipped WHERE node = ?1", &[self.node.into()])?;
        let mut all = Cursors::start().all();
        for row in &rows {
            let sort = row.text(0).map_err(misread)?;
            for (cursor, known) in all.iter_mut().zip(Cursors::SORTS) {
                if sort == known {
                    *cursor = row.int(1).map_err(misread)?;
                }
            }
        }
        Ok(Cursors::of(all))
    }

    /// The last seal that was shipped, and its root.
    pub(super) fn last_seal(&self) -> Result<Option<(i64, Vec<u8>)>, Trouble> {
        let rows = self.session.rows(
            "SELECT id, root FROM seal WHERE node = ?1 ORDER BY id DESC LIMIT 1",
            &[self.node.into()],
        )?;
        let seal = |row: &Row| Ok((row.int(0)?, row.bytes(1)?.to_vec()));
        rows.first().map(seal).transpose().map_err(misread)
    }

    /// The next of this node's receipts that were erased, wherever that was.
    pub(super) fn erased(&self, after: i64) -> Result<Vec<Gone>, Trouble> {
        let rows = self.session.rows(
            "SELECT id, receipt, number_hash FROM erased_receipt
             WHERE node = ?1 AND id > ?2 AND receipt IS NOT NULL ORDER BY id LIMIT ?3",
            &[self.node.into(), after.into(), (ERASURES as i64).into()],
        )?;
        let gone = |row: &Row| {
            Ok(Gone { id: row.int(0)?, receipt: row.int(1)?, number_hash: row.bytes(2)?.to_vec() })
        };
        rows.iter().map(|row| gone(row).map_err(misread)).collect()
    }

    /// Makes sure that there are partitions for these times, and for the months
    /// to come.
    pub(super) fn prepare_months(&mut self, batch: &Batch) -> Result<(), Trouble> {
        for entry in &batch.entries {
            self.prepare_month(entry.time_ms)?;
        }
        let now = now_ms().cast_signed();
        for time_ms in [now, now + 31 * DAY_MS, now + 62 * DAY_MS] {
            // There is time enough: a reader may be in the way just now.
            if let Err(trouble) = self.prepare_month(time_ms) {
                tracing::debug!(%trouble, "no partition was made ahead of need");
            }
        }
        Ok(())
    }

    fn prepare_month(&mut self, time_ms: i64) -> Result<(), Trouble> {
        let Some(month) = month(time_ms) else { return Ok(()) };
        if !self.months.contains(&month) {
            self.session.run("SET lock_timeout = '5s'")?;
            self.session.rows("SELECT make_partition(?1) IS NULL", &[time_ms.into()])?;
            self.months.insert(month);
        }
        Ok(())
    }

    /// Stores a batch, with how far the node is shipped then.
    pub(super) fn store(&mut self, batch: &Batch) -> Result<Stored, Trouble> {
        self.prepare_months(batch)?;
        schema::begin(&self.session)?;
        let cursors = self.cursors()?;
        if cursors != batch.from {
            self.session.run("ROLLBACK")?;
            return Ok(Stored::Elsewhere(cursors));
        }
        self.interned.store_sets(&self.session, self.node, batch)?;
        self.store_entries(batch)?;
        self.store_choices(batch)?;
        self.store_rest(batch)?;
        let ends = batch.until.all();
        let moved = Cursors::SORTS.iter().zip(ends).zip(batch.from.all());
        let rows: Vec<Plain> = moved
            .filter(|((_, end), before)| end != before)
            .map(|((sort, end), _)| vec![self.node.into(), (*sort).into(), end.into()])
            .collect();
        insert(
            &self.session,
            "shipped",
            &[("node", INT), ("sort", TEXT), ("last_id", INT)],
            &rows,
            "ON CONFLICT (node, sort) DO UPDATE SET last_id = excluded.last_id",
        )?;
        self.session.run("COMMIT")?;
        Ok(Stored::All)
    }

    fn store_entries(&mut self, batch: &Batch) -> Result<(), Trouble> {
        let (Some(first), Some(last)) = (batch.entries.first(), batch.entries.last()) else {
            return Ok(());
        };
        let session = &self.session;
        let last_id = session
            .rows("SELECT coalesce(max(last_id), 0) FROM (SELECT last_id FROM shipment ORDER BY first_id DESC LIMIT 1) s", &[])?;
        let first_id = one(&last_id)? + 1;
        let ids = Numbers {
            entry: first_id - first.id,
            sites: self.interned.texts(session, "site", &batch.sites)?,
            pages: self.interned.texts(session, "page", &batch.pages)?,
            revisions: self.interned.texts(session, "revision", &batch.revisions)?,
            words: self.interned.texts(session, "word", &batch.words)?,
            sets: self.interned.sets(session, &batch.hashes)?,
        };
        let entries: Vec<Narrow> =
            batch.entries.iter().map(|entry| ids.narrow(entry)).collect::<Result<_, _>>()?;
        let copied = session.copy(
            "COPY entry (id, time_ms, site, page, policy, set_id, class, undecided, signal, mode)
             FROM STDIN (FORMAT binary)",
            &Narrow::TYPES,
            entries.iter().map(Narrow::values),
        )?;
        if copied != entries.len() as u64 {
            let why = format!("it took {copied} of {} entries", entries.len());
            return Err(Trouble::Odd { why });
        }
        let shipment: Plain = [first_id, first_id + last.id - first.id, self.node, first.id]
            .into_iter()
            .chain([now_ms().cast_signed()])
            .map(Value::Int)
            .collect();
        let columns = [
            ("first_id", INT),
            ("last_id", INT),
            ("node", INT),
            ("first_local", INT),
            ("time_ms", INT),
        ];
        insert(session, "shipment", &columns, &[shipment], "")?;
        let observe = batch.words.iter().find(|(_, word)| *word == "observe");
        let observe = observe.and_then(|(local, _)| ids.words.get(local)).copied();
        sums::add_entries(session, &entries, observe, &mut self.members)
    }

    fn store_choices(&self, batch: &Batch) -> Result<(), Trouble> {
        let mut hashes = Vec::new();
        let mut receipts = Vec::new();
        for receipt in &batch.receipts {
            let Some((local, rest)) = receipt.split_first() else { continue };
            let number = match rest.first() {
                Some(Value::Bytes(number)) => number.as_slice(),
                _ => &[],
            };
            let hash = hash_of(&hex(number)).to_vec();
            hashes.push(hash.clone());
            let mut row = vec![self.node.into(), local.clone(), hash.into()];
            row.extend_from_slice(rest);
            receipts.push(row);
        }
        insert(&self.session, "receipt", &RECEIPT, &receipts, "")?;
        let erased = self.of_node(&batch.erased);
        hashes.extend(batch.erased.iter().filter_map(|row| match row.first() {
            Some(Value::Bytes(hash)) => Some(hash.clone()),
            _ => None,
        }));
        erasures::settle(&self.session, &erased, hashes)?;
        if batch.from.receipts < batch.until.receipts {
            sums::add_choices(&self.session, self.node, batch.from.receipts, batch.until.receipts)?;
        }
        Ok(())
    }

    /// Rows with the node's number before them.
    fn of_node(&self, rows: &[Plain]) -> Vec<Plain> {
        rows.iter().map(|row| [&[Value::Int(self.node)], row.as_slice()].concat()).collect()
    }

    fn store_rest(&self, batch: &Batch) -> Result<(), Trouble> {
        let session = &self.session;
        insert(session, "gap", &GAP, &self.of_node(&batch.gaps), "")?;
        insert(session, "audit", &AUDIT, &self.of_node(&batch.audits), "")?;
        insert(session, "notice", &NOTICE, &batch.notices, "ON CONFLICT DO NOTHING")?;
        insert(session, "seal", &SEAL, &self.of_node(&batch.seals), "")?;
        insert(session, "checkpoint", &CHECKPOINT, &self.of_node(&batch.checkpoints), "")?;
        Ok(())
    }
}

const GAP: [Column; 6] = [
    ("node", INT),
    ("local_id", INT),
    ("time_ms", INT),
    ("since_ms", INT),
    ("lost", INT),
    ("why", TEXT),
];

const AUDIT: [Column; 8] = [
    ("node", INT),
    ("local_id", INT),
    ("time_ms", INT),
    ("who", TEXT),
    ("role", TEXT),
    ("act", TEXT),
    ("about", TEXT),
    ("detail", TEXT),
];

const RECEIPT: [Column; 19] = [
    ("node", INT),
    ("local_id", INT),
    ("number_hash", BYTES),
    ("number", BYTES),
    ("leaf", BYTES),
    ("time_ms", INT),
    ("site", TEXT),
    ("granted", INT),
    ("asked", INT),
    ("vendors_allowed", TEXT),
    ("vendors_refused", TEXT),
    ("act", TEXT),
    ("method", TEXT),
    ("gpc", INT),
    ("notice_revision", INT),
    ("notice", BYTES),
    ("choices", BYTES),
    ("language", TEXT),
    ("valid_s", INT),
];

const NOTICE: [Column; 11] = [
    ("hash", BYTES),
    ("time_ms", INT),
    ("site", TEXT),
    ("revision", INT),
    ("language", TEXT),
    ("layer", TEXT),
    ("gpc", INT),
    ("operator", TEXT),
    ("policy_url", TEXT),
    ("choices_url", TEXT),
    ("html", BYTES),
];

const SEAL: [Column; 11] = [
    ("node", INT),
    ("id", INT),
    ("time_ms", INT),
    ("sets", INT),
    ("entries", INT),
    ("receipts", INT),
    ("gaps", INT),
    ("audits", INT),
    ("root", BYTES),
    ("marks", BYTES),
    ("cover", BYTES),
];

const CHECKPOINT: [Column; 4] = [("node", INT), ("size", INT), ("time_ms", INT), ("note", TEXT)];

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The month that a time is in, unless no clock should show it.
fn month(time_ms: i64) -> Option<(i16, i8)> {
    let time = jiff::Timestamp::from_millisecond(time_ms).ok()?;
    let day = time.to_zoned(jiff::tz::TimeZone::UTC).date();
    (2020..2100).contains(&day.year()).then(|| (day.year(), day.month()))
}

/// The number that the shared database has for what a node calls otherwise.
struct Numbers {
    /// What is added to an entry's own.
    entry: i64,
    sites: Ids,
    pages: Ids,
    revisions: Ids,
    words: Ids,
    sets: Ids,
}

/// An entry in the shared database's own numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Narrow {
    pub(super) id: i64,
    pub(super) time_ms: i64,
    pub(super) site: i32,
    pub(super) page: i32,
    pub(super) policy: i32,
    pub(super) set: i32,
    pub(super) class: i16,
    pub(super) undecided: i16,
    pub(super) signal: i16,
    pub(super) mode: i16,
}

impl Narrow {
    const TYPES: [Type; 10] = [
        Type::INT8,
        Type::INT8,
        Type::INT4,
        Type::INT4,
        Type::INT4,
        Type::INT4,
        Type::INT2,
        Type::INT2,
        Type::INT2,
        Type::INT2,
    ];

    fn values(&self) -> [&(dyn ToSql + Sync); 10] {
        [
            &self.id,
            &self.time_ms,
            &self.site,
            &self.page,
            &self.policy,
            &self.set,
            &self.class,
            &self.undecided,
            &self.signal,
            &self.mode,
        ]
    }
}

impl Numbers {
    fn narrow(&self, entry: &Entry) -> Result<Narrow, Trouble> {
        let of = |ids: &Ids, local: i64, what: &str| {
            let id = ids.get(&local).copied();
            id.ok_or_else(|| Trouble::Incomplete { what: format!("{what} of entry {}", entry.id) })
        };
        Ok(Narrow {
            id: entry.id + self.entry,
            time_ms: entry.time_ms,
            site: narrow(of(&self.sites, entry.site, "the site")?)?,
            page: narrow(of(&self.pages, entry.page, "the page")?)?,
            policy: narrow(of(&self.revisions, entry.policy, "the policy")?)?,
            set: narrow(of(&self.sets, entry.set, "the decisions")?)?,
            class: narrow(entry.class)?,
            undecided: narrow(entry.undecided)?,
            signal: narrow(of(&self.words, entry.signal, "the signal")?)?,
            mode: narrow(of(&self.words, entry.mode, "the mode")?)?,
        })
    }
}

fn narrow<T: TryFrom<i64>>(number: i64) -> Result<T, Trouble> {
    T::try_from(number)
        .map_err(|_| Trouble::Incomplete { what: format!("a column that holds {number}") })
}

/// The number in an answer of one row.
fn one(rows: &[Row]) -> Result<i64, Trouble> {
    let row = rows.first().ok_or_else(|| Trouble::Odd { why: "it answers nothing".to_owned() })?;
    row.int(0).map_err(misread)
}
