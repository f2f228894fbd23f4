//! Figures that the ledger keeps, put where all others are before somebody
//! reads them.

use crate::ledger::Status;
use crate::observe::Metrics;

/// How the ledger is doing.
pub fn set(metrics: &Metrics, status: &Status) {
    let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.spooled_bytes.set(gauge(status.queued_bytes));
    metrics.entries_written.set(gauge(status.written_entries));
    metrics.entries_lost.set(gauge(status.lost_entries));
    metrics.ledger_bytes.set(gauge(status.database_bytes));
    if let Some(fleet) = &status.fleet {
        metrics.fleet_behind_entries.set(gauge(fleet.behind_entries));
        metrics.fleet_connected.set(i64::from(fleet.connected));
    }
}
