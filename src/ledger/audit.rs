//! What people did with consentry, and what it did of its own accord: who,
//! when, what about. It is in the ledger, sealed like everything else, so that
//! nobody can take back unseen what they did.

use crate::ledger::read::{Reader, stored, unsigned};
use crate::ledger::schema;
use crate::ledger::{Error, Ledger};

use rusqlite::{Row, ToSql};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::sync::PoisonError;

/// What consentry puts on record before it prunes. Nobody else can say that.
pub const PRUNE: &str = "prune";

/// More than this nobody reads; whoever has more to say names where it is.
const MAX_BYTES: usize = 64 * 1024;

/// One thing that somebody did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The name of whoever did it; `consentry` for what it did on its own.
    pub who: String,
    /// In which role: `officer`, `operator`, `system`...
    pub role: String,
    /// What, in a word or two: `classify`, `own`, `sign-in`, `reload`, `prune`...
    pub act: String,
    /// To what: a vendor, a host, a site.
    pub about: String,
    /// More of it, such as before and after.
    pub detail: Value,
}

impl Audit {
    fn bytes(&self) -> usize {
        let texts = [&self.who, &self.role, &self.act, &self.about];
        texts.iter().map(|text| text.len()).sum::<usize>() + self.detail.to_string().len()
    }
}

/// One audit entry as it is on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// Its number: they count up as they were stored.
    pub id: i64,
    /// What was done.
    #[serde(flatten)]
    pub audit: Audit,
}

/// Which audit entries are asked for: those that fit everything that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Done at that time or later, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Done before that time.
    pub until_ms: Option<u64>,
    /// By whoever has that name.
    pub who: Option<String>,
    /// What was done, by its word.
    pub act: Option<String>,
    /// What it was done to, word for word.
    pub about: Option<String>,
    /// Stored after the one of that number.
    pub after_id: Option<i64>,
    /// Stored before the one of that number, to turn a page.
    pub before_id: Option<i64>,
}

impl Ledger {
    /// Puts on record what somebody did. When it returns, it is on disk, and
    /// outlives this process; seconds later it can be read.
    ///
    /// Any thread may call it, but none that answers visitors: it waits for the
    /// disk.
    ///
    /// # Errors
    /// When it is not on record. What it is about must not be done then.
    pub fn audit(&self, audit: &Audit) -> Result<(), Error> {
        let failed = |source| Error::Unrecorded { source };
        let refused = |why| Err(failed(io::Error::new(io::ErrorKind::InvalidInput, why)));
        if audit.bytes() > MAX_BYTES {
            return refused(format!("it is longer than {MAX_BYTES} bytes"));
        }
        if audit.act == PRUNE {
            return refused("only the ledger itself prunes".to_owned());
        }
        let mut spool = self.audits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = match spool.take() {
            Some(open) => open,
            None => self.spool(AUDITS).map_err(failed)?,
        };
        let written = open.audit(audit).map_err(failed);
        *spool = Some(open);
        written
    }
}

/// Stands where the names of other spool files have a worker's number.
const AUDITS: usize = 9999;

impl Reader {
    /// The newest `limit` audit entries that fit, the newest last.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn audits(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<Audited>, Error> {
        let read = || {
            let (conditions, values) = conditions(filter);
            let mut query = self.conn().prepare(&format!(
                "SELECT id, time_ms, who, role, act, about, detail FROM audit
                 WHERE {conditions} ORDER BY id DESC LIMIT {}",
                stored(limit as u64)
            ))?;
            let found = query.query_map(rusqlite::params_from_iter(&values), audited)?;
            let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?;
            found.reverse();
            Ok(found)
        };
        read().map_err(|source| schema::explain(self.path(), source))
    }

    /// Hands every audit entry that fits to `take`, the oldest first, until it
    /// says stop by giving `false`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn each_audit(
        &self,
        filter: &AuditFilter,
        mut take: impl FnMut(Audited) -> bool,
    ) -> Result<(), Error> {
        let mut read = || {
            let (conditions, values) = conditions(filter);
            let mut query = self.conn().prepare(&format!(
                "SELECT id, time_ms, who, role, act, about, detail FROM audit
                 WHERE {conditions} ORDER BY id"
            ))?;
            let mut rows = query.query(rusqlite::params_from_iter(&values))?;
            while let Some(row) = rows.next()? {
                if !take(audited(row)?) {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|source| schema::explain(self.path(), source))
    }
}

/// The filter in SQL, with its values apart.
fn conditions(filter: &AuditFilter) -> (String, Vec<Box<dyn ToSql>>) {
    let time = |time_ms: Option<u64>| time_ms.map(stored);
    let text = |text: &Option<String>| text.clone().map(|text| Box::new(text) as Box<dyn ToSql>);
    let number = |number: Option<i64>| number.map(|number| Box::new(number) as Box<dyn ToSql>);
    let mut all = vec!["1".to_owned()];
    let mut values = Vec::new();
    for (condition, value) in [
        ("time_ms >=", number(time(filter.since_ms))),
        ("time_ms <", number(time(filter.until_ms))),
        ("who =", text(&filter.who)),
        ("act =", text(&filter.act)),
        ("about =", text(&filter.about)),
        ("id >", number(filter.after_id)),
        ("id <", number(filter.before_id)),
    ] {
        if let Some(value) = value {
            values.push(value);
            all.push(format!("{condition} ?{}", values.len()));
        }
    }
    (all.join(" AND "), values)
}

fn audited(row: &Row<'_>) -> rusqlite::Result<Audited> {
    let detail: String = row.get(6)?;
    Ok(Audited {
        id: row.get(0)?,
        audit: Audit {
            time_ms: unsigned(row, 1)?,
            who: row.get(2)?,
            role: row.get(3)?,
            act: row.get(4)?,
            about: row.get(5)?,
            // What somebody made of it later is shown as it is.
            detail: serde_json::from_str(&detail).unwrap_or(Value::String(detail)),
        },
    })
}
