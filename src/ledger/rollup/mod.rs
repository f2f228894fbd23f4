//! Adds up what was stored, so that a question about a year costs no more than
//! one about a day.
//!
//! The sums are made by the thread that stores, some seconds behind it; how far
//! they go is stored with them, so that nothing is counted twice.

pub(in crate::ledger) mod remembered;
pub(in crate::ledger) mod sums;

/// The layer of what browsers report.
pub(in crate::ledger) const BROWSER: &str = "browser";

use remembered::Remembered;
use sums::{KindDay, Member, Members, PurposeDay, Sums, VendorDay, Viewed};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

/// How many entries are added up in one transaction, at most.
const ENTRIES: i64 = 100_000;

/// How many of them are read at a time.
const PART: i64 = 5_000;

/// With sums of so many things, a transaction ends.
pub(in crate::ledger) const ENOUGH: usize = 200_000;

/// How many names of a sort are kept for a site.
const MAX_NAMES: i64 = 20_000;

/// How many of those that nothing but reports of browsers speak for: anybody
/// can make such up.
const MAX_REPORTED: i64 = 2_000;

/// What adding up remembers.
#[derive(Default)]
pub(super) struct Rollup {
    sets: Remembered,
}

impl Rollup {
    /// Adds the next entries and receipts up; says whether there are more.
    pub(super) fn step(&mut self, conn: &mut Connection) -> rusqlite::Result<bool> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (entries, receipts): (i64, i64) = tx
            .prepare_cached("SELECT entries, receipts FROM rolled")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let newest = newest(&tx)?;
        let mut sums = Sums::default();
        let mut until = entries;
        while until < newest.0.min(entries.saturating_add(ENTRIES)) && sums.size() < ENOUGH {
            // Numbers that are not there are passed over, however many.
            let part = newest.0.min(next(&tx, until)?.saturating_add(PART - 1));
            read(&tx, until, part, &mut sums)?;
            sums.spread(|set| self.members(&tx, set))?;
            until = part;
        }
        store(&tx, &sums)?;
        if receipts < newest.1 {
            add_choices(&tx, receipts, newest.1)?;
        }
        if (entries, receipts) != (until, newest.1) {
            tx.prepare_cached("UPDATE rolled SET entries = ?1, receipts = ?2")?
                .execute([until, newest.1])?;
        }
        tx.commit()?;
        Ok(until < newest.0)
    }

    fn members(&mut self, tx: &Transaction<'_>, set: i64) -> rusqlite::Result<Members> {
        if let Some(members) = self.sets.get(set) {
            return Ok(members);
        }
        let members: Members = tx
            .prepare_cached(
                "SELECT verdict, reason, kind, what, vendor_id, vendor, purpose, via, layer
                 FROM set_member JOIN decision ON decision.id = decision_id
                 WHERE set_id = ?1 ORDER BY decision_id",
            )?
            .query_map([set], |row| {
                Ok(Member {
                    blocked: row.get::<_, String>(0)? == "block",
                    reason: row.get(1)?,
                    kind: row.get(2)?,
                    what: row.get(3)?,
                    vendor_id: row.get(4)?,
                    vendor: row.get(5)?,
                    purpose: row.get(6)?,
                    via: row.get(7)?,
                    reported: row.get::<_, String>(8)? == BROWSER,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        self.sets.make_room();
        self.sets.insert(set, Members::clone(&members));
        Ok(members)
    }
}

/// Whether everything is added up.
pub(super) fn is_done(conn: &Connection) -> rusqlite::Result<bool> {
    let rolled: (i64, i64) = conn
        .prepare_cached("SELECT entries, receipts FROM rolled")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let newest = newest(conn)?;
    Ok(rolled.0 >= newest.0 && rolled.1 >= newest.1)
}

/// The first entry behind that one.
fn next(tx: &Transaction<'_>, after: i64) -> rusqlite::Result<i64> {
    tx.prepare_cached("SELECT ifnull(min(id), ?1) FROM entry WHERE id > ?1")?
        .query_row([after], |row| row.get(0))
}

/// The last entry, and the last receipt that there ever was: it may be erased.
fn newest(conn: &Connection) -> rusqlite::Result<(i64, i64)> {
    conn.prepare_cached(
        "SELECT (SELECT ifnull(max(id), 0) FROM entry),
                (SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'receipt')",
    )?
    .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn read(tx: &Transaction<'_>, after: i64, until: i64, sums: &mut Sums) -> rusqlite::Result<()> {
    let observe: i64 = tx
        .prepare_cached("SELECT ifnull((SELECT id FROM word WHERE text = 'observe'), 0)")?
        .query_row([], |row| row.get(0))?;
    let mut query = tx.prepare_cached(
        "SELECT time_ms, site, page, class, undecided, signal, mode, set_id FROM entry
         WHERE id > ?1 AND id <= ?2",
    )?;
    let mut rows = query.query([after, until])?;
    while let Some(row) = rows.next()? {
        let mode = row.get(6)?;
        sums.add(&Viewed {
            time_ms: row.get(0)?,
            site: row.get(1)?,
            page: row.get(2)?,
            class: row.get(3)?,
            undecided: row.get(4)?,
            signal: row.get(5)?,
            mode,
            enforced: mode != observe,
            set: row.get(7)?,
        });
    }
    Ok(())
}

fn store(tx: &Transaction<'_>, sums: &Sums) -> rusqlite::Result<()> {
    let mut add = tx.prepare_cached(
        "INSERT INTO hourly VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET views = views + excluded.views",
    )?;
    for (key, views) in &sums.hours {
        add.execute([key.hour, key.site, key.class, key.undecided, key.signal, key.mode, *views])?;
    }
    let mut add = tx.prepare_cached(
        "INSERT INTO daily_vendor VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET times = times + excluded.times,
             requests = requests + excluded.requests, vendor = excluded.vendor",
    )?;
    for (key, (vendor, of)) in &sums.vendors {
        let VendorDay { day, site, vendor_id, purpose, verdict } = key;
        add.execute(params![
            day,
            site,
            vendor_id,
            purpose,
            verdict,
            vendor,
            of.times,
            of.requests
        ])?;
    }
    let mut add = tx.prepare_cached(
        "INSERT INTO daily_kind VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET times = times + excluded.times",
    )?;
    for (key, times) in &sums.kinds {
        let KindDay { vendor_id, day, site, kind, verdict } = key;
        add.execute(params![vendor_id, day, site, kind, verdict, times])?;
    }
    let mut add = tx.prepare_cached(
        "INSERT INTO daily_purpose VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET times = times + excluded.times,
             requests = requests + excluded.requests",
    )?;
    for (key, of) in &sums.purposes {
        let PurposeDay { day, site, purpose, verdict } = key;
        add.execute(params![day, site, purpose, verdict, of.times, of.requests])?;
    }
    let mut add = tx.prepare_cached(
        "INSERT INTO daily_page VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET views = views + excluded.views",
    )?;
    for (key, views) in &sums.pages {
        add.execute(params![
            key.vendor_id,
            key.day,
            key.site,
            key.page,
            key.purpose,
            key.verdict,
            views
        ])?;
    }
    let mut add = tx.prepare_cached(
        "INSERT INTO combination VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET views = views + excluded.views,
             last_ms = max(last_ms, excluded.last_ms)",
    )?;
    for (key, (views, last_ms)) in &sums.combinations {
        add.execute([key.set, key.site, key.page, *views, *last_ms])?;
    }
    store_seen(tx, sums)
}

/// Names in the order in which they were met, so that their numbers tell what
/// came after what.
fn store_seen(tx: &Transaction<'_>, sums: &Sums) -> rusqlite::Result<()> {
    let mut seen: Vec<_> = sums.seen.iter().collect();
    seen.sort_unstable_by(|(one, met), (other, also)| {
        met.first_ms.cmp(&also.first_ms).then_with(|| one.cmp(other))
    });
    let mut again = tx.prepare_cached(
        "UPDATE seen SET views = views + ?4, last_ms = max(last_ms, ?5), vendor_id = ?6,
             vendor = ?7, purpose = ?8, verdict = ?9, reported = min(reported, ?10)
         WHERE sort = ?1 AND site = ?2 AND name = ?3",
    )?;
    let mut add = tx.prepare_cached(
        "INSERT INTO seen (sort, site, name, first_ms, last_ms, views, page, kind, what, via,
             vendor_id, vendor, purpose, verdict, reported)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15
         WHERE (SELECT count(*) FROM seen WHERE sort = ?1 AND site = ?2 AND reported = ?15) < ?16",
    )?;
    // What was reported once and never again makes room.
    let mut drop = tx.prepare_cached(
        "DELETE FROM seen WHERE id = (SELECT id FROM seen WHERE sort = ?1 AND site = ?2
             AND reported = 1 AND views = 1 ORDER BY last_ms, id LIMIT 1)",
    )?;
    for (key, met) in seen {
        let member = &met.member;
        let known = again.execute(params![
            key.sort,
            key.site,
            key.name,
            met.views,
            met.last_ms,
            member.vendor_id,
            member.vendor,
            member.purpose,
            met.verdict,
            met.reported
        ])?;
        if known > 0 {
            continue;
        }
        let values = params![
            key.sort,
            key.site,
            key.name,
            met.first_ms,
            met.last_ms,
            met.views,
            met.page,
            member.kind,
            member.what,
            member.via,
            member.vendor_id,
            member.vendor,
            member.purpose,
            met.verdict,
            met.reported,
            most_names(met.reported)
        ];
        let added = add.execute(values)?;
        if added == 0 && met.reported && drop.execute(params![key.sort, key.site])? > 0 {
            add.execute(values)?;
        }
    }
    Ok(())
}

/// How many names of a sort are kept for a site.
pub(super) const fn most_names(reported: bool) -> i64 {
    if reported { MAX_REPORTED } else { MAX_NAMES }
}

fn add_choices(tx: &Transaction<'_>, after: i64, until: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO daily_choice
         SELECT time_ms / 86400000, site, notice_revision, act, method, gpc, count(*)
         FROM receipt WHERE id > ?1 AND id <= ?2 GROUP BY 1, 2, 3, 4, 5, 6
         ON CONFLICT DO UPDATE SET times = times + excluded.times",
    )?
    .execute([after, until])?;
    Ok(())
}
