//! From the start to the end: what is done when something changes, somebody
//! asks, or a signal comes.

use super::baton::{self, Baton, Before};
use super::file_watch::FileWatch;
use super::last_good::keep;
use super::{Failure, Handed, Load, Running, ServeArgs, supervisor, today};
use crate::cli::{FINE, UNAVAILABLE};
use crate::config::{Compiled, Stamps};
use crate::dashboard::Order;
use crate::mistake::Mistake;
use crate::observe::ConfigReloaded;
use crate::proxy::Listening;

use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Interval;

/// How long a program that was followed by another serves beside it at most.
const LOOK_FOR_SUCCESSOR: Duration = Duration::from_millis(500);

/// The signals that are meant for us.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let to = |kind: SignalKind| {
            signal(kind).map_err(|error| {
                Failure::new(UNAVAILABLE, format!("cannot listen for signals: {error}"))
            })
        };
        Ok(Self {
            terminate: to(SignalKind::terminate())?,
            interrupt: to(SignalKind::interrupt())?,
            hangup: to(SignalKind::hangup())?,
        })
    }

    /// Returns when somebody wants the program to end.
    async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves until told to stop; the exit code.
pub(super) async fn serve(
    args: &ServeArgs,
    handed: Handed,
    (compiled, stamps): (Compiled, Stamps),
    load: Arc<Load>,
) -> Result<i32, Failure> {
    let mut signals = Signals::listen()?;
    let beside = args.pid_file.as_deref().map(Baton::before).transpose()?;
    let otherwise = match (&args.pid_file, beside) {
        (Some(path), Some(Before::Somebody)) if !args.take_over => return Err(baton::taken(path)),
        (_, Some(Before::Somebody)) => || Listening::Beside,
        _ => || Listening::Alone,
    };
    let files = FileWatch::start(stamps, compiled.reload.watch);
    let text = compiled.text.clone();
    let mut running = Running::start_with(compiled, handed.listening(otherwise), |_| {}).await?;
    keep(&running.ledger, &text);
    tracing::info!(listen = %running.server.address(), admin = %running.admin.address(), "serving");
    let baton = args.pid_file.as_deref().map(Baton::take).transpose()?;
    supervisor::ready();
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    let mut alive = supervisor::alive_every().map(tokio::time::interval);
    let mut look = tokio::time::interval(LOOK_FOR_SUCCESSOR);
    let mut has_successor = false;
    loop {
        tokio::select! {
            _ = tick(&mut alive) => supervisor::alive(),
            _ = look.tick(), if baton.is_some() => {
                has_successor = baton.as_ref().is_some_and(Baton::was_taken);
                if has_successor {
                    break;
                }
            }
            _ = minute.tick() => running.tell_expired(today()),
            Some(order) = running.orders.recv() => {
                carry_out(&mut running, order, &load, &files).await;
            }
            _ = signals.hangup.recv() => reload(&mut running, &load, &files, "SIGHUP").await,
            () = files.changed() => reload(&mut running, &load, &files, "file").await,
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
        }
    }
    drop(files);
    supervisor::stopping();
    stop(running, has_successor, &mut signals).await;
    Ok(FINE)
}

/// Returns at the next tick; never where nobody waits for one.
async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

/// Carries out what somebody wants changed on the dashboard.
async fn carry_out(running: &mut Running, order: Order, load: &Arc<Load>, files: &FileWatch) {
    let Order { changes, audit, answer } = order;
    let changed = running.change(changes, audit, Arc::clone(load)).await;
    let changed = changed.map(|(stamps, watch)| files.took(stamps, watch));
    // Whoever asked may have gone meanwhile; it holds all the same.
    let _ = answer.send(changed);
}

/// Reads the configuration again. With a mistake in it the old one stays.
async fn reload(running: &mut Running, load: &Arc<Load>, files: &FileWatch, cause: &'static str) {
    supervisor::reloading();
    let load = Arc::clone(load);
    let failure = match tokio::task::spawn_blocking(move || load(None)).await {
        Ok((Ok(fresh), stamps)) => {
            let (watch, text) = (fresh.reload.watch, fresh.text.clone());
            match running.reload(fresh) {
                Ok(()) => {
                    keep(&running.ledger, &text);
                    files.took(stamps, watch);
                    None
                }
                Err(error) => {
                    files.refused(stamps);
                    Some(error.to_string())
                }
            }
        }
        Ok((Err(mistakes), stamps)) => {
            files.refused(stamps);
            Some(in_words(&mistakes))
        }
        Err(error) => {
            files.refused(Stamps::default());
            Some(error.to_string())
        }
    };
    running.observe.emit(&ConfigReloaded { cause, failure: failure.as_deref() });
    supervisor::ready();
}

/// Ends in order, or at once when told a second time.
async fn stop(running: Running, has_successor: bool, signals: &mut Signals) {
    let in_order = async {
        running.leave();
        if has_successor {
            tracing::info!("another consentry serves now");
            running.admin.close();
            running.server.make_way();
        } else if !running.drain_delay.is_zero() {
            let delay_s = running.drain_delay.as_secs_f64();
            tracing::info!(delay_s, "leaving: visitors are still taken");
            tokio::time::sleep(running.drain_delay).await;
        }
        tracing::info!("stopping: what is under way finishes");
        running.stop().await
    };
    tokio::select! {
        stopped = in_order => match stopped {
            Ok(()) => tracing::info!("stopped"),
            Err(error) => tracing::warn!(%error, "stopped; the rest of the ledger is taken in at the next start"),
        },
        () = signals.told_to_stop() => tracing::warn!("told twice: stopped at once"),
    }
}

fn in_words(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
