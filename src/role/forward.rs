//! The forwarding role: when runs are made.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};

use crate::forward::{Engine, Reason, RunReport};
use crate::log::{self, ForwardEvent};
use crate::os::clock::unix_now;
use crate::spool::Spool;

/// How often a lingering process looks for the request file. It has the path unit's place for that time, which would
/// notice within milliseconds; a look costs one system call.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often a long-lived process looks for messages that a dead one has left locked.
const RECOVER_EVERY: Duration = Duration::from_secs(60);

/// Longest time to a retry that is believed: an envelope may name any time.
const LONGEST_RETRY: u64 = 24 * 60 * 60;

/// Times in envelopes are whole seconds: so often a run asks whether one of them has come. The clock may be set meanwhile.
const SECOND: Duration = Duration::from_secs(1);

/// Runs of a poll with this period or a shorter one are only worth a line when they find something.
const QUIET_POLL: Duration = Duration::from_secs(60);

/// Requests that may wait. They carry no data, so a full queue means that a run is coming anyway.
pub const REQUESTS: usize = 16;

/// When a long-lived process forwards by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Triggers {
    /// Once at the start.
    pub at_start: bool,
    /// Every so often, the first time one period after the start.
    pub poll: Option<Duration>,
    /// When a message that had to wait is due.
    pub retry: bool,
    /// When an SMTP client has gone. The requests tell; this tells that there are any.
    pub on_disconnect: bool,
}

impl Triggers {
    /// Whether the process forwards by itself after its start.
    fn any(self) -> bool {
        self.poll.is_some() || self.on_disconnect
    }
}

/// Runs whenever a trigger or a request says so, until the engine is stopped.
pub async fn serve(
    engine: Arc<Engine>,
    triggers: Triggers,
    mut requests: mpsc::Receiver<Reason>,
    stop_timeout: Duration,
) {
    let mut poll = triggers.poll.map(every);
    let often = triggers.poll.is_some_and(|period| period <= QUIET_POLL);
    let mut recovery = every(RECOVER_EVERY);
    let mut faults = Faults::default();
    let mut retry_at: Option<Instant> = None;
    let mut next = triggers.at_start.then_some(Reason::Startup);
    loop {
        let reason = match next.take() {
            Some(reason) => reason,
            None => tokio::select! {
                () = engine.stopped() => break,
                // Without anybody who could ask, the timers are left.
                Some(reason) = requests.recv() => reason,
                () = tick(poll.as_mut()) => Reason::Poll { often },
                () = until(retry_at) => Reason::Retry,
                _ = recovery.tick() => {
                    if engine.recover().await == 0 || !triggers.any() {
                        continue;
                    }
                    Reason::Retry
                }
            },
        };
        let alarms = Alarms { poll: poll.as_mut(), often, retry: triggers.retry };
        let report = run_with_requests(&engine, reason, &mut requests, alarms, stop_timeout).await;
        retry_at = due(&report, triggers.retry);
        if engine.is_stopped() {
            break;
        }
        faults.report(&engine, &report);
    }
    engine.finish(stop_timeout).await;
}

/// The fault of the last runs, which is an error of the process once, and not at every run that meets it.
#[derive(Default)]
struct Faults(Option<String>);

impl Faults {
    fn report(&mut self, engine: &Engine, report: &RunReport) {
        if report.fault.is_some() && report.fault != self.0 {
            let reason = report.fault.clone().unwrap_or_default();
            log::emit(&engine.context(), &ForwardEvent::RunError { reason }.into());
        }
        // A run that has tried nothing has learnt nothing.
        if report.fault.is_some() || report.sent > 0 {
            self.0.clone_from(&report.fault);
        }
    }
}

/// The times at which a run that is under way looks at the spool again, although nobody has asked: one slow transfer is not to
/// keep everything else waiting.
#[derive(Default)]
struct Alarms<'a> {
    poll: Option<&'a mut Interval>,
    /// The polling period is short.
    often: bool,
    /// When a message that had to wait is due.
    retry: bool,
}

/// One run, during which requests and alarms make it look at the spool again.
/// After a stop the messages in hand have `stop_timeout` to get through.
async fn run_with_requests(
    engine: &Arc<Engine>,
    reason: Reason,
    requests: &mut mpsc::Receiver<Reason>,
    mut alarms: Alarms<'_>,
    stop_timeout: Duration,
) -> RunReport {
    let mut seconds = every(SECOND);
    let often = alarms.often;
    let run = engine.run(reason);
    let too_long = async {
        engine.stopped().await;
        sleep(stop_timeout).await;
    };
    tokio::pin!(run, too_long);
    loop {
        tokio::select! {
            biased;
            report = &mut run => return report,
            () = &mut too_long => break,
            Some(reason) = requests.recv() => engine.request(reason),
            () = tick(alarms.poll.as_deref_mut()) => engine.request(Reason::Poll { often }),
            _ = seconds.tick(), if alarms.retry => engine.request_due(),
        }
    }
    engine.cut();
    run.await
}

/// One run that nobody can ask for more. After a stop the messages in hand have `stop_timeout` to get through.
pub async fn one(engine: &Arc<Engine>, reason: Reason, stop_timeout: Duration) -> RunReport {
    let (_ask, mut requests) = mpsc::channel(1);
    run_with_requests(engine, reason, &mut requests, Alarms::default(), stop_timeout).await
}

/// The one-shot program: a run, then `linger` with open connections for what follows closely. Returns the last report.
pub async fn once(
    engine: Arc<Engine>,
    spool: Arc<Spool>,
    reason: Reason,
    linger: Duration,
    stop_timeout: Duration,
) -> RunReport {
    let (ask, mut requests) = mpsc::channel(REQUESTS);
    let watcher = tokio::spawn(watch(Arc::clone(&spool), ask));
    // compat: 2.6 never tries again by itself.
    let retry = !engine.config().policy.compat26;
    let alarms = || Alarms { retry, ..Alarms::default() };
    let mut report = run_with_requests(&engine, reason, &mut requests, alarms(), stop_timeout).await;
    let mut end = Instant::now() + if is_worth_lingering(&report) { linger } else { Duration::ZERO };
    loop {
        let reason = tokio::select! {
            biased;
            () = engine.stopped() => break,
            () = sleep_until(end) => break,
            Some(reason) = requests.recv() => reason,
            () = until(due(&report, retry)) => Reason::Retry,
        };
        let before = report;
        report = run_with_requests(&engine, reason, &mut requests, alarms(), stop_timeout).await;
        report.add_counts(&before);
        if report.local_error.is_some() {
            // The request is still there, and would be found again and again.
            break;
        }
        // What fails again and again is no reason to stay.
        if report.taken > before.taken && reason != Reason::Retry {
            end = Instant::now() + linger;
        }
    }
    watcher.abort();
    engine.finish(stop_timeout).await;
    report
}

/// Whether more messages are better met by this process than by a new one: over the open connection, or because it knows
/// that the next hop is dead, at which a process for every message would knock.
fn is_worth_lingering(report: &RunReport) -> bool {
    report.taken > 0 || report.fault.is_some()
}

/// Turns the request file into requests.
async fn watch(spool: Arc<Spool>, ask: mpsc::Sender<Reason>) {
    loop {
        sleep(LOOK_EVERY).await;
        let spool = Arc::clone(&spool);
        if spawn_blocking(move || spool.forward_requested()).await.unwrap_or(false)
            && ask.send(Reason::Request).await.is_err()
        {
            return;
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut every = interval_at(Instant::now() + period, period);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    every
}

/// When the first message that waits is due, if it is to be tried then.
fn due(report: &RunReport, retry: bool) -> Option<Instant> {
    let due = report.next_due.filter(|_| retry)?;
    let seconds = due.saturating_sub(unix_now()).clamp(1, LONGEST_RETRY);
    Some(Instant::now() + Duration::from_secs(seconds))
}

async fn tick(poll: Option<&mut Interval>) {
    match poll {
        Some(poll) => {
            poll.tick().await;
        }
        None => pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
