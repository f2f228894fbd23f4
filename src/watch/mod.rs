//! Watches over what is promised, and speaks up when it does not hold.
//!
//! It looks at the sites from outside, as a visitor does, and at the figures
//! from inside. Nothing in here stands between a visitor and a site: whatever
//! goes wrong in this room, pages are served and filtered as before.

pub mod gauges;
pub mod alerts;
pub mod otlp;
pub mod self_check;

pub use alerts::Desk;
pub use otlp::Telemetry;
pub use self_check::SelfCheck;

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
