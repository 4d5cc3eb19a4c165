//! What every long-lived process does beside its roles: signals, the watchdog, the status line.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::log::{self, Context, LogHandle, ProcessEvent};
use crate::os::{notify, signals};

/// How often the status line of the service manager is brought up to date.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Exit code after SIGQUIT: 128 and the signal's number.
const QUIT_CODE: u8 = 128 + 3;

/// What the process can be asked for.
pub trait Process: Send + Sync {
    /// A line for `systemctl status`.
    fn status(&self) -> String;

    /// One status line of each instance for the log (SIGUSR2).
    fn log_status(&self);

    /// Reads configuration and secrets again. On any error the old ones stay.
    ///
    /// # Errors
    /// The reason, for the log.
    fn reload(&self, logs: &LogHandle) -> Result<(), String>;
}

/// How the supervision ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The work is done, or was stopped in good order.
    Orderly,
    /// The process is to end at once with this code.
    AtOnce(u8),
}

/// The signals of the process. From [`Signals::install`] on none of them ends it on the spot.
pub struct Signals {
    term: Heard,
    int: Heard,
    hup: Heard,
    quit: Heard,
    usr1: Heard,
    usr2: Heard,
}

/// A signal, unless it was ignored when the program was started: then that is what the starter wants (nohup).
struct Heard(Option<Signal>);

impl Heard {
    fn new(kind: SignalKind) -> std::io::Result<Self> {
        let ignored = signals::is_ignored(kind.as_raw_value());
        Ok(Self(if ignored { None } else { Some(signal(kind)?) }))
    }

    async fn recv(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => pending().await,
        }
    }
}

impl Signals {
    /// Installs the handlers: before anybody is told that the process is ready, for the next may be a request to stop.
    ///
    /// # Errors
    /// If they cannot be installed.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self {
            term: Heard::new(SignalKind::terminate())?,
            int: Heard::new(SignalKind::interrupt())?,
            hup: Heard::new(SignalKind::hangup())?,
            quit: Heard::new(SignalKind::quit())?,
            usr1: Heard::new(SignalKind::user_defined1())?,
            usr2: Heard::new(SignalKind::user_defined2())?,
        })
    }
}

/// Supervises until `work` is done. `stop` is cancelled by SIGTERM and the first SIGINT; a second one ends the process.
pub async fn run(
    process: Arc<dyn Process>,
    mut signals: Signals,
    context: &Context,
    logs: &LogHandle,
    stop: &CancellationToken,
    work: impl Future<Output = ()>,
) -> Ended {
    let mut status = interval(STATUS_EVERY);
    status.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last_status = process.status();
    notify::ready(&last_status);
    let watchdog = notify::watchdog_interval();
    let mut next_ping = Instant::now();
    tokio::pin!(work);
    loop {
        tokio::select! {
            // Signals that come together are taken in this order: SIGUSR1 then SIGUSR2 writes to the new log file.
            biased;
            () = &mut work => return Ended::Orderly,
            () = signals.term.recv() => stop_on("SIGTERM", context, stop),
            () = signals.int.recv() => {
                if stop.is_cancelled() {
                    return Ended::AtOnce(0);
                }
                stop_on("SIGINT", context, stop);
            }
            () = signals.quit.recv() => return Ended::AtOnce(QUIT_CODE),
            () = signals.hup.recv() => reload(&*process, context, logs),
            () = signals.usr1.recv() => {
                logs.reopen();
                log::emit(context, &ProcessEvent::LogReopened.into());
            }
            () = signals.usr2.recv() => process.log_status(),
            _ = status.tick() => {
                let now = process.status();
                if now != last_status && !stop.is_cancelled() {
                    notify::status(&now);
                    last_status = now;
                }
            }
            () = sleep_until(next_ping), if watchdog.is_some() => {
                // The ping is sent from a task of its own, so that it proves that tasks are still being run.
                let _ = tokio::spawn(async { notify::ping() }).await;
                next_ping = Instant::now() + watchdog.unwrap_or(STATUS_EVERY);
            }
        }
    }
}

fn stop_on(signal: &'static str, context: &Context, stop: &CancellationToken) {
    log::emit(context, &ProcessEvent::ShuttingDown { cause: signal.to_owned() }.into());
    notify::stopping("stopping");
    stop.cancel();
}

fn reload(process: &dyn Process, context: &Context, logs: &LogHandle) {
    notify::reloading("reloading");
    logs.reopen();
    match process.reload(logs) {
        Ok(()) => log::emit(context, &ProcessEvent::Reloaded.into()),
        Err(reason) => log::emit(context, &ProcessEvent::ReloadFailed { reason }.into()),
    }
    notify::ready(&process.status());
}
