//! Adds up what a batch brings, in the transaction that stores it.

use crate::ledger::engine::{Row, Value};
use crate::ledger::fleet::intern::misread;
use crate::ledger::fleet::many::{Column, Holds, insert, with};
use crate::ledger::fleet::session::Session;
use crate::ledger::fleet::store::Narrow;
use crate::ledger::fleet::trouble::Trouble;
use crate::ledger::rollup::remembered::Remembered;
use crate::ledger::rollup::sums::{Member, Sums, Viewed};
use crate::ledger::rollup::{BROWSER, ENOUGH, most_names};

use std::collections::{BTreeSet, HashMap};

const INT: Holds = Holds::Int;
const TEXT: Holds = Holds::Text;

/// With so many sets to look up, those are added up before there are more: each
/// may have a thousand decisions.
const SETS: usize = 500;

/// Adds entries up. `observe` is the mode in which verdicts are only recorded.
pub(super) fn add_entries(
    session: &Session,
    entries: &[Narrow],
    observe: Option<i64>,
    known: &mut Remembered,
) -> Result<(), Trouble> {
    let mut sums = Sums::default();
    let mut missing = BTreeSet::new();
    for entry in entries {
        let (mode, set) = (i64::from(entry.mode), i64::from(entry.set));
        sums.add(&Viewed {
            time_ms: entry.time_ms,
            site: entry.site.into(),
            page: entry.page.into(),
            class: entry.class.into(),
            undecided: entry.undecided.into(),
            signal: entry.signal.into(),
            mode,
            enforced: Some(mode) != observe,
            set,
        });
        if !known.has(set) {
            missing.insert(set);
        }
        if missing.len() >= SETS {
            spread(session, &mut sums, std::mem::take(&mut missing), known)?;
            if sums.size() >= ENOUGH {
                store(session, &std::mem::take(&mut sums))?;
            }
        }
    }
    spread(session, &mut sums, missing, known)?;
    store(session, &sums)
}

/// Looks up what is missing, and adds up what was waiting for it.
fn spread(
    session: &Session,
    sums: &mut Sums,
    missing: BTreeSet<i64>,
    known: &mut Remembered,
) -> Result<(), Trouble> {
    learn(session, missing, known)?;
    sums.spread(|set| Ok::<_, Trouble>(known.get(set).unwrap_or_default()))?;
    // Only now does nothing wait for a set that is known.
    known.make_room();
    Ok(())
}

/// Adds up the choices of these rows of a node.
pub(super) fn add_choices(
    session: &Session,
    node: i64,
    after: i64,
    until: i64,
) -> Result<(), Trouble> {
    let added_up = session.rows(
        "INSERT INTO daily_choice
         SELECT time_ms / 86400000, site, notice_revision, act, method, gpc, count(*)
         FROM receipt WHERE node = ?1 AND local_id > ?2 AND local_id <= ?3 GROUP BY 1, 2, 3, 4, 5, 6
         ON CONFLICT (day, site, notice_revision, act, method, gpc)
         DO UPDATE SET times = daily_choice.times + excluded.times",
        &[node.into(), after.into(), until.into()],
    );
    added_up.map(|_| ())
}

/// Reads what is in these sets.
fn learn(session: &Session, sets: BTreeSet<i64>, known: &mut Remembered) -> Result<(), Trouble> {
    let missing: Vec<Vec<Value>> = sets.iter().map(|set| vec![(*set).into()]).collect();
    let rows = with(
        session,
        "SELECT m.set_id, d.verdict, d.reason, d.kind, d.what, d.vendor_id, d.vendor, d.purpose,
             d.via, d.layer
         FROM set_member m JOIN decision d ON d.id = m.decision_id JOIN",
        &[("id", INT)],
        &missing,
        "ON n.id = m.set_id ORDER BY m.set_id, m.decision_id",
    )?;
    // One without decisions is known, too, from then on.
    let mut members: HashMap<i64, Vec<Member>> =
        sets.into_iter().map(|set| (set, Vec::new())).collect();
    for row in &rows {
        let (set, member) = member(row).map_err(misread)?;
        members.entry(set).or_default().push(member);
    }
    members.into_iter().for_each(|(set, members)| known.insert(set, members.into()));
    Ok(())
}

fn member(row: &Row) -> Result<(i64, Member), crate::ledger::Error> {
    let text = |column| row.text(column).map(str::to_owned);
    let member = Member {
        blocked: row.text(1)? == "block",
        reason: text(2)?,
        kind: text(3)?,
        what: text(4)?,
        vendor_id: text(5)?,
        vendor: text(6)?,
        purpose: text(7)?,
        via: text(8)?,
        reported: text(9)? == BROWSER,
    };
    Ok((row.int(0)?, member))
}

fn store(session: &Session, sums: &Sums) -> Result<(), Trouble> {
    let hours = sums.hours.iter().map(|(key, views)| {
        [key.hour, key.site, key.class, key.undecided, key.signal, key.mode, *views]
            .map(Value::Int)
            .to_vec()
    });
    insert(
        session,
        "hourly",
        &["hour", "site", "class", "undecided", "signal", "mode", "views"].map(|name| (name, INT)),
        &hours.collect::<Vec<_>>(),
        "ON CONFLICT (hour, site, class, undecided, signal, mode)
         DO UPDATE SET views = hourly.views + excluded.views",
    )?;
    store_vendors(session, sums)?;
    let pages = sums.pages.iter().map(|(key, views)| {
        vec![
            key.vendor_id.as_str().into(),
            key.day.into(),
            key.site.into(),
            key.page.into(),
            key.purpose.as_str().into(),
            key.verdict.into(),
            (*views).into(),
        ]
    });
    insert(
        session,
        "daily_page",
        &[
            ("vendor_id", TEXT),
            ("day", INT),
            ("site", INT),
            ("page", INT),
            ("purpose", TEXT),
            ("verdict", TEXT),
            ("views", INT),
        ],
        &pages.collect::<Vec<_>>(),
        "ON CONFLICT (vendor_id, day, site, page, purpose, verdict)
         DO UPDATE SET views = daily_page.views + excluded.views",
    )?;
    let combinations = sums.combinations.iter().map(|(key, (views, last_ms))| {
        [key.set, key.site, key.page, *views, *last_ms].map(Value::Int).to_vec()
    });
    insert(
        session,
        "combination",
        &["set_id", "site", "page", "views", "last_ms"].map(|name| (name, INT)),
        &combinations.collect::<Vec<_>>(),
        "ON CONFLICT (set_id, site, page) DO UPDATE SET
             views = combination.views + excluded.views,
             last_ms = greatest(combination.last_ms, excluded.last_ms)",
    )?;
    store_seen(session, sums)
}

fn store_vendors(session: &Session, sums: &Sums) -> Result<(), Trouble> {
    let vendors = sums.vendors.iter().map(|(key, (vendor, of))| {
        vec![
            key.day.into(),
            key.site.into(),
            key.vendor_id.as_str().into(),
            key.purpose.as_str().into(),
            key.verdict.into(),
            vendor.as_str().into(),
            of.times.into(),
            of.requests.into(),
        ]
    });
    insert(
        session,
        "daily_vendor",
        &[
            ("day", INT),
            ("site", INT),
            ("vendor_id", TEXT),
            ("purpose", TEXT),
            ("verdict", TEXT),
            ("vendor", TEXT),
            ("times", INT),
            ("requests", INT),
        ],
        &vendors.collect::<Vec<_>>(),
        "ON CONFLICT (day, site, vendor_id, purpose, verdict)
         DO UPDATE SET times = daily_vendor.times + excluded.times,
             requests = daily_vendor.requests + excluded.requests, vendor = excluded.vendor",
    )?;
    let purposes = sums.purposes.iter().map(|(key, of)| {
        vec![
            key.day.into(),
            key.site.into(),
            key.purpose.as_str().into(),
            key.verdict.into(),
            of.times.into(),
            of.requests.into(),
        ]
    });
    insert(
        session,
        "daily_purpose",
        &[
            ("day", INT),
            ("site", INT),
            ("purpose", TEXT),
            ("verdict", TEXT),
            ("times", INT),
            ("requests", INT),
        ],
        &purposes.collect::<Vec<_>>(),
        "ON CONFLICT (day, site, purpose, verdict)
         DO UPDATE SET times = daily_purpose.times + excluded.times,
             requests = daily_purpose.requests + excluded.requests",
    )?;
    let kinds = sums.kinds.iter().map(|(key, times)| {
        vec![
            key.vendor_id.as_str().into(),
            key.day.into(),
            key.site.into(),
            key.kind.as_str().into(),
            key.verdict.into(),
            (*times).into(),
        ]
    });
    insert(
        session,
        "daily_kind",
        &[
            ("vendor_id", TEXT),
            ("day", INT),
            ("site", INT),
            ("kind", TEXT),
            ("verdict", TEXT),
            ("times", INT),
        ],
        &kinds.collect::<Vec<_>>(),
        "ON CONFLICT (vendor_id, day, site, kind, verdict)
         DO UPDATE SET times = daily_kind.times + excluded.times",
    )?;
    Ok(())
}

const SEEN: [Column; 15] = [
    ("sort", TEXT),
    ("site", INT),
    ("name", TEXT),
    ("first_ms", INT),
    ("last_ms", INT),
    ("views", INT),
    ("page", INT),
    ("kind", TEXT),
    ("what", TEXT),
    ("via", TEXT),
    ("vendor_id", TEXT),
    ("vendor", TEXT),
    ("purpose", TEXT),
    ("verdict", TEXT),
    ("reported", INT),
];

/// Names in the order in which they were met. A proxy that was cut off for a
/// while may have met one before all others did.
fn store_seen(session: &Session, sums: &Sums) -> Result<(), Trouble> {
    let mut seen: Vec<_> = sums.seen.iter().collect();
    seen.sort_unstable_by(|(one, met), (other, also)| {
        met.first_ms.cmp(&also.first_ms).then_with(|| one.cmp(other))
    });
    let rows: Vec<Vec<Value>> = seen
        .into_iter()
        .map(|(key, met)| {
            vec![
                key.sort.into(),
                key.site.into(),
                key.name.as_str().into(),
                met.first_ms.into(),
                met.last_ms.into(),
                met.views.into(),
                met.page.into(),
                met.member.kind.as_str().into(),
                met.member.what.as_str().into(),
                met.member.via.as_str().into(),
                met.member.vendor_id.as_str().into(),
                met.member.vendor.as_str().into(),
                met.member.purpose.as_str().into(),
                met.verdict.into(),
                i64::from(met.reported).into(),
            ]
        })
        .collect();
    let earlier = |column: &str| {
        format!("{column} = CASE WHEN n.first_ms < s.first_ms THEN n.{column} ELSE s.{column} END")
    };
    let later = |column: &str| {
        format!("{column} = CASE WHEN n.last_ms >= s.last_ms THEN n.{column} ELSE s.{column} END")
    };
    let changes: Vec<String> = ["page", "kind", "what", "via"]
        .map(earlier)
        .into_iter()
        .chain(["vendor_id", "vendor", "purpose", "verdict"].map(later))
        .collect();
    let update = format!(
        "UPDATE seen s SET views = s.views + n.views, first_ms = least(s.first_ms, n.first_ms),
             last_ms = greatest(s.last_ms, n.last_ms),
             reported = least(s.reported, n.reported), {} FROM",
        changes.join(", ")
    );
    let known = with(
        session,
        &update,
        &SEEN,
        &rows,
        "WHERE s.sort = n.sort AND s.site = n.site AND s.name = n.name
         RETURNING s.sort, s.site, s.name",
    )?;
    let known: BTreeSet<(&str, i64, &str)> = known
        .iter()
        .filter_map(|row| Some((row.text(0).ok()?, row.int(1).ok()?, row.text(2).ok()?)))
        .collect();
    let fresh: Vec<Vec<Value>> = rows
        .iter()
        .filter(|row| match row.as_slice() {
            [Value::Text(sort), Value::Int(site), Value::Text(name), ..] => {
                !known.contains(&(sort, *site, name))
            }
            _ => false,
        })
        .cloned()
        .collect();
    insert(session, "seen", &SEEN, &fresh, "")?;
    make_room(session, &fresh)
}

/// Where there are too many names now, the newest go again. Of what browsers
/// report, what was reported once and never again goes first, the oldest of it.
fn make_room(session: &Session, fresh: &[Vec<Value>]) -> Result<(), Trouble> {
    let grown: BTreeSet<(&str, i64, i64)> = fresh
        .iter()
        .filter_map(|row| match (row.first(), row.get(1), row.last()) {
            (Some(Value::Text(sort)), Some(Value::Int(site)), Some(Value::Int(reported))) => {
                Some((sort.as_str(), *site, *reported))
            }
            _ => None,
        })
        .collect();
    let grown: Vec<Vec<Value>> = grown
        .into_iter()
        .map(|(sort, site, reported)| vec![sort.into(), site.into(), reported.into()])
        .collect();
    with(
        session,
        "DELETE FROM seen WHERE id IN (SELECT id FROM (
             SELECT s.id, s.reported, row_number() OVER (
                 PARTITION BY s.sort, s.site, s.reported
                 ORDER BY s.reported = 1 AND s.views = 1,
                     CASE WHEN s.reported = 1 AND s.views = 1 THEN -s.last_ms ELSE s.id END, s.id
             ) AS place
             FROM seen s JOIN",
        &[("sort", TEXT), ("site", INT), ("reported", INT)],
        &grown,
        &format!(
            "ON s.sort = n.sort AND s.site = n.site AND s.reported = n.reported) placed
             WHERE place > CASE WHEN reported = 1 THEN {} ELSE {} END)",
            most_names(true),
            most_names(false)
        ),
    )?;
    Ok(())
}
