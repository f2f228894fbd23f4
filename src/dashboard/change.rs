//! What somebody can change from the dashboard, and the way it goes: to the
//! one who runs the proxy, who checks the whole configuration with the change
//! in it, puts it on record, keeps it and serves what follows from it.

use crate::dashboard::office::Context;
use crate::ledger::Audit;
use crate::policy::Unlisted;
use crate::purpose::Purpose;

use jiff::civil::Date;
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};

/// One thing that is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A host is that of a vendor that is known.
    Host {
        /// The host.
        name: String,
        /// The vendor's id.
        vendor: String,
    },
    /// A host is that of a vendor that nobody knew.
    Vendor(NewVendor),
    /// It was wrong whose that host is.
    ForgetHost {
        /// The host.
        name: String,
    },
    /// Somebody answers for a vendor.
    Own(Owned),
    /// Nobody does any more.
    Disown {
        /// The vendor's id.
        vendor: String,
        /// The name of the site; empty for all.
        site: String,
    },
    /// An exception is made.
    Except(NewException),
    /// An exception is taken back.
    TakeBack {
        /// The line it begins on.
        line: u32,
        /// Who answers for it, so that no other one is meant.
        owner: String,
        /// Until when it would hold.
        expires: Date,
    },
    /// Something else happens to what nobody claims.
    Unlisted {
        /// The name of the site.
        site: String,
        /// What happens.
        unlisted: Unlisted,
    },
}

/// A vendor that stands in no catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVendor {
    /// A short unique name.
    pub id: String,
    /// The name people know it by.
    pub name: String,
    /// The company behind it.
    pub company: String,
    /// What the data is used for, the main purpose first.
    pub purposes: Vec<Purpose>,
    /// What it is for, in plain words.
    pub about: String,
    /// Where that can be checked.
    pub source: String,
    /// Why the site cannot work without it; empty unless it is necessary.
    pub reason: String,
    /// Its host.
    pub host: String,
}

/// Who answers for a vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The vendor's id.
    pub vendor: String,
    /// The name of the site; empty for all.
    pub site: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it is used.
    pub reason: String,
    /// When somebody looks at it again.
    pub review: Date,
}

/// A verdict that is not the policy's own; see the keys of `[[exception]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewException {
    /// Every key and its value; empty ones are left out.
    pub keys: Vec<(&'static str, String)>,
    /// The last day on which it holds.
    pub expires: Option<Date>,
}

/// Changes on their way, and what to put on record about them.
#[derive(Debug)]
pub struct Order {
    /// All of them, or none.
    pub changes: Vec<Change>,
    /// Who wants them.
    pub audit: Audit,
    /// Told when they hold, or why they do not, in words.
    pub answer: oneshot::Sender<Result<(), String>>,
}

/// Where changes go.
pub type Orders = mpsc::Sender<Order>;

/// The whole configuration is compiled meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

impl Context {
    /// Has something changed; returns when the next page view goes by it.
    ///
    /// # Errors
    /// Why nothing was changed, in words for whoever wanted it.
    pub async fn change(
        &self,
        changes: Vec<Change>,
        act: &str,
        about: &str,
        detail: Value,
    ) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let order = Order { changes, audit: self.audit(act, about, detail), answer };
        let nobody = || "Nothing can be changed here: nobody carries it out.".to_owned();
        self.office.orders.send(order).await.map_err(|_| nobody())?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(nobody()),
            Err(_) => Err("It takes too long. Look in a minute whether it was changed.".to_owned()),
        }
    }

    /// What stands on record about something that this person does now.
    pub(super) fn audit(&self, act: &str, about: &str, detail: Value) -> Audit {
        Audit {
            time_ms: now_ms(),
            who: self.session.name.clone(),
            role: self.session.role.name().to_owned(),
            act: act.to_owned(),
            about: about.to_owned(),
            detail,
        }
    }
}

/// The time in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Where is kept what was decided here, beside the ledger.
#[must_use]
pub fn classified_file(ledger: &Path) -> PathBuf {
    let mut name = OsString::from(ledger);
    name.push(".classified.toml");
    name.into()
}
