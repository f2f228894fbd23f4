//! Opens what is told of every exchange: the access log, and the collector.

use super::Failure;
use crate::cli::{CONFIGURATION, IO};
use crate::ledger::Ledger;
use crate::observe::{AccessLog, Observe, Outlets, access_log};
use crate::watch::{Telemetry, otlp};

use std::sync::Arc;

/// Those that the operator wants.
pub(super) fn open(
    log: Option<access_log::Settings>,
    otlp: Option<otlp::Settings>,
    ledger: &Arc<Ledger>,
    observe: &Arc<Observe>,
) -> Result<(Arc<Outlets>, Option<Telemetry>), Failure> {
    let log = match log {
        None => None,
        Some(settings) => {
            let place = match &settings.place {
                access_log::Place::Output => "standard output".to_owned(),
                access_log::Place::File(path) => path.display().to_string(),
            };
            let failed = |error| {
                Failure::new(
                    IO,
                    format!(
                        "{place}: the access log cannot be opened: {error}; choose another place with `file` under [access_log]"
                    ),
                )
            };
            Some(AccessLog::open(settings, Arc::clone(observe)).map_err(failed)?)
        }
    };
    let told = otlp
        .map(|settings| Telemetry::start(settings, Arc::clone(ledger), Arc::clone(observe)))
        .transpose()
        .map_err(|why| Failure::new(CONFIGURATION, format!("[otlp]: {why}")))?;
    let (telemetry, traces) = told.unzip();
    Ok((Arc::new(Outlets { log, traces }), telemetry))
}
