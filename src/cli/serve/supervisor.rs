//! What the service manager is told, where one wants to know: `sd_notify`, as
//! systemd's `Type=notify-reload` expects it. Elsewhere nothing happens.

use sd_notify::NotifyState;
use std::time::Duration;

/// Visitors are served.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read; what follows is [`ready`].
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        // Since version 253 the one is nothing without the other.
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no clock to tell the service manager"),
    }
}

/// We leave.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// We are not stuck.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often the service manager wants to hear that, with time to spare.
pub(super) fn alive_every() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|within| within / 3).filter(|every| !every.is_zero())
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
