//! Runs over the spool: when one begins, what it waits for, and when all is done.
//!
//! A run lists the spool and hands every message that is due to the lane of its destination (`scan`), whose workers lock, send and
//! finish it. A request that comes during a run makes it list the spool again, so new arrivals join the run. What is in memory of a
//! message is its id; only messages that have passed filters wait locked, with open files, and of these there are a few for each
//! connection.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::Notice;
use crate::forward::Reason;
use crate::forward::config::EngineConfig;
use crate::forward::destination::Destination;
use crate::forward::filtering::Stage;
use crate::forward::ignored::Ignored;
use crate::forward::known::Known;
use crate::forward::lane::Lane;
use crate::forward::memory::Memory;
use crate::forward::pace::Pace;
use crate::forward::permits::{Permit, Permits};
use crate::forward::tally::{RunReport, Tally};
use crate::log::{self, Context, ForwardEvent, SpoolEvent};
use crate::os::clock::unix_now;
use crate::spool::{LockError, MessageId, Spool};

/// The forwarding engine of one instance.
#[derive(Debug)]
pub struct Engine {
    pub(crate) spool: Arc<Spool>,
    config: RwLock<Arc<EngineConfig>>,
    pub(crate) tally: Mutex<Tally>,
    permits: Arc<Permits>,
    /// Cancelled when no further message may be taken.
    pub(crate) stop: CancellationToken,
    /// Cancelled when idle connections are not to be kept any longer.
    pub(crate) rest: CancellationToken,
    /// Cancelled when transfers that have not ended by then are broken off.
    pub(crate) cut: CancellationToken,
    pub(super) lanes: Mutex<HashMap<Destination, Arc<Lane>>>,
    pub(super) memory: Mutex<Memory>,
    /// Held while the notes on the disk are read and written. Blocking threads only.
    pub(super) noting: Mutex<()>,
    pub(crate) workers: TaskTracker,
    /// Messages on their way through the filters.
    pub(crate) stage: Stage,
    /// Messages handed to lanes and not yet finished.
    pub(super) in_run: Mutex<HashSet<MessageId>>,
    /// What is remembered of messages that wait, and when they were looked at.
    pub(super) known: Mutex<Known>,
    pub(super) pace: Mutex<Pace>,
    outstanding: AtomicUsize,
    /// Why the run is made, until its first message is told of: a run that finds none has not begun.
    unannounced: Mutex<Option<Reason>>,
    drained: Notify,
    requested: Notify,
    /// Why a run that is under way is to look at the spool again, if it is.
    asked: Mutex<Option<Reason>>,
    pub(super) ignored: Mutex<Ignored>,
}

impl Engine {
    /// An engine at rest.
    #[must_use]
    pub fn new(spool: Arc<Spool>, config: EngineConfig, stop: CancellationToken) -> Arc<Self> {
        Self::cut_by(spool, config, stop, CancellationToken::new())
    }

    /// The same for one whose transfers are broken off when `cut` is cancelled.
    pub(crate) fn cut_by(
        spool: Arc<Spool>,
        config: EngineConfig,
        stop: CancellationToken,
        cut: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            spool,
            permits: Permits::new(config.total),
            config: RwLock::new(Arc::new(config)),
            tally: Mutex::default(),
            rest: stop.child_token(),
            stop,
            cut,
            lanes: Mutex::default(),
            memory: Mutex::default(),
            noting: Mutex::default(),
            workers: TaskTracker::new(),
            stage: Stage::default(),
            in_run: Mutex::default(),
            known: Mutex::default(),
            pace: Mutex::default(),
            outstanding: AtomicUsize::new(0),
            unannounced: Mutex::default(),
            drained: Notify::new(),
            requested: Notify::new(),
            asked: Mutex::default(),
            ignored: Mutex::default(),
        })
    }

    /// Makes a run that is under way look at the spool again, as a run with this reason does.
    pub fn request(&self, reason: Reason) {
        let mut asked = lock(&self.asked);
        if !asked.is_some_and(Reason::is_explicit) {
            *asked = Some(reason);
        }
        drop(asked);
        self.requested.notify_one();
    }

    /// The same if some message that had to wait is due by now.
    pub(crate) fn request_due(&self) {
        if lock(&self.tally).is_due(unix_now()) {
            self.request(Reason::Retry);
        }
    }

    /// Does one run and tells what came of it.
    ///
    /// Errors never end it early: they are in the report, and every message that could not be dealt with is where it was.
    pub async fn run(self: &Arc<Self>, reason: Reason) -> RunReport {
        lock(&self.tally).begin();
        self.stage.begin();
        if !reason.is_quiet() {
            let reason = reason.as_str().to_owned();
            log::emit(&self.context(), &ForwardEvent::RunStarted { reason }.into());
        }
        if reason.is_explicit() {
            self.forget_troubles().await;
        }
        self.recover().await;
        *lock(&self.unannounced) = Some(reason);
        let mut look = reason;
        loop {
            self.scan(look).await;
            let mut again = self.wait().await;
            self.compare_notes().await;
            if again.is_none() {
                self.flush().await;
                // Whoever has asked meanwhile was told that this run will see to it.
                again = self.take_request();
            }
            let Some(reason) = again else { break };
            // As if a run began, for messages that are not in this one.
            if reason.is_explicit() {
                self.stage.begin();
                self.forget_troubles().await;
            }
            look = reason;
        }
        self.forget_lanes();
        self.end(reason)
    }

    /// Closes the books of a run, and tells what came of it.
    fn end(&self, reason: Reason) -> RunReport {
        let report = lock(&self.tally).end();
        let begun = lock(&self.unannounced).take().is_none();
        self.tell_end(&report, begun);
        // A run that left everything where it was has said why, and must not call the spool empty.
        let done = match (report.taken, report.waiting) {
            (0, 0) if report.local_error.is_none() && !reason.is_quiet() => Some(ForwardEvent::RunEmpty),
            (0, _) => None,
            _ => Some(ForwardEvent::RunFinished),
        };
        if let Some(done) = done.filter(|_| !self.stop.is_cancelled()) {
            log::emit(&self.context(), &done.into());
        }
        report
    }

    /// Tells those who watch what a run does. The words are those of E-MailRelay 2.6.
    fn tell(&self, words: &[&str]) {
        if let Some(ledger) = &self.config().ledger {
            let begins = words.first() == Some(&"start");
            ledger.tell(Notice::classic(&[&["client", "forward"], words].concat()), !begins);
        }
    }

    fn tell_end(&self, report: &RunReport, begun: bool) {
        match report.local_error.as_ref().or(report.fault.as_ref()) {
            Some(error) => self.tell(&["end", error]),
            None if begun => self.tell(&["end"]),
            None => self.tell(&["end", "no messages"]),
        }
    }

    /// Lets every connection go: idle ones with QUIT, a transfer when it is through or after `limit`.
    pub async fn finish(&self, limit: Duration) {
        self.rest.cancel();
        self.workers.close();
        if timeout(limit, self.workers.wait()).await.is_err() {
            self.cut();
            self.workers.wait().await;
        }
        self.flush().await;
    }

    /// Breaks off the transfers in hand.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// Resolves when no further message may be taken.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Whether no further message may be taken.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Connections and messages from now on follow this; connections that exist stay, unless there are too many in all: then busy
    /// ones end after their message.
    pub fn reload(&self, config: EngineConfig) {
        self.permits.resize(config.total);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        // What was to wait may be due by the new times, or go elsewhere.
        lock(&self.known).forget();
    }

    /// One line for people.
    #[must_use]
    pub fn status(&self) -> String {
        let report = lock(&self.tally).report();
        let (sent, waiting) = (report.sent, report.waiting);
        let mut text =
            format!("{} outgoing connections, last run: {sent} sent, {waiting} waiting", self.workers.len());
        let unreadable = lock(&self.ignored).len();
        if unreadable > 0 {
            text.push_str(&format!(", {unreadable} unreadable"));
        }
        if let Some(fault) = report.fault {
            text.push_str(": ");
            text.push_str(&fault);
        }
        text
    }

    pub(crate) fn config(&self) -> Arc<EngineConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn context(&self) -> Context {
        self.config().context.clone()
    }

    async fn flush(&self) {
        let spool = Arc::clone(&self.spool);
        // A panic in the blocking task has been reported by the runtime.
        if let Ok(Err(error)) = spawn_blocking(move || spool.flush()).await {
            let path = self.spool.path().display().to_string();
            log::emit(&self.context(), &SpoolEvent::SyncFailed { path, reason: error.to_string() }.into());
        }
    }

    /// Takes back what dead processes have locked. Returns how many messages are free again.
    ///
    /// Not to be called during a run, which would pass over a message that is being looked at.
    pub(crate) async fn recover(&self) -> usize {
        let (spool, age) = (Arc::clone(&self.spool), self.config().busy_age);
        let Ok(recovered) = spawn_blocking(move || spool.recover(age)).await else { return 0 };
        match recovered {
            Ok(report) => {
                let count = report.unlocked.len();
                for id in report.unlocked {
                    log::emit(&self.context(), &SpoolEvent::Recovered { id: id.to_string() }.into());
                }
                for (id, errno) in report.failed {
                    let reason = format!("cannot unlock {id}: {}", errno.desc());
                    log::emit(&self.context(), &SpoolEvent::StoreFailed { reason }.into());
                }
                count
            }
            Err(error) => {
                self.local_error(&error.to_string());
                0
            }
        }
    }

    /// Leave to make a connection, as soon as there are few enough.
    pub(crate) async fn permit(&self, destination: &Destination) -> Permit {
        self.permits.take(destination).await
    }

    /// Resolves when somebody waits for a permit: an idle connection is then better given up.
    pub(crate) async fn crowded(&self) {
        self.permits.crowded().await;
    }

    /// Takes the request to look at the spool again, if there is one.
    fn take_request(&self) -> Option<Reason> {
        lock(&self.asked).take().filter(|_| !self.stop.is_cancelled())
    }

    /// Waits for the end of all work in hand, or for a request to look at the spool again.
    async fn wait(&self) -> Option<Reason> {
        loop {
            let drained = self.drained.notified();
            let asked = self.take_request();
            if asked.is_some() || self.outstanding.load(Ordering::Acquire) == 0 {
                return asked;
            }
            tokio::select! {
                () = drained => {}
                () = self.requested.notified() => {}
            }
        }
    }

    /// Forgets the lanes of destinations about which there is nothing to remember: routed mail has ever new ones.
    fn forget_lanes(&self) {
        lock(&self.lanes).retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_at_rest());
    }

    /// A message enters the run; false if it is in it. Only for [`Ticket`].
    pub(crate) fn enter(&self, id: &MessageId) -> bool {
        let entered = lock(&self.in_run).insert(id.clone());
        if entered {
            if let Some(reason) = lock(&self.unannounced).take() {
                self.tell(&["start", reason.as_str()]);
            }
            self.outstanding.fetch_add(1, Ordering::AcqRel);
        }
        entered
    }

    /// A message has left the run, whatever became of it. Only for [`Ticket`].
    pub(crate) fn done_with(&self, id: &MessageId) {
        lock(&self.in_run).remove(id);
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.drained.notify_waiters();
        }
    }

    /// There is trouble of our own with a message, which stays where it is: its time comes as if the next hop had put it off for
    /// the first time.
    pub(crate) fn try_later(&self, id: &MessageId) {
        let wait = self.config().schedule.first.as_secs().max(1);
        lock(&self.tally).left(id, Some(unix_now().saturating_add(wait)));
    }

    /// An envelope that cannot be read or locked stays where it is. It is reported once, and again when that has changed.
    pub(crate) fn ignoring(&self, id: &MessageId, error: &LockError) {
        if error.is_ours() {
            self.try_later(id);
        }
        let reason = error.to_string();
        if !lock(&self.ignored).is_news(id, error.stamp(), &reason) {
            return;
        }
        let path = self.spool.path().join(format!("{id}.envelope")).display().to_string();
        log::emit(&self.context(), &SpoolEvent::Ignored { id: id.to_string(), path, reason }.into());
    }

    pub(super) fn local_error(&self, reason: &str) {
        log::emit(&self.context(), &ForwardEvent::RunFailure { reason: reason.to_owned() }.into());
        lock(&self.tally).local_error(reason);
    }
}

/// Locks plain data, which stays whole whatever panics while it is held.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
