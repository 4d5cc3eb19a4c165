//! Where events come from: changes of the spool directory, whoever makes them, and what this process does.
//!
//! The two are told in the order in which they happened: a fact that follows from a change, such as the end of a run, is
//! told after the changes that the kernel has queued by then.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::admin::Notice;
use crate::log::{self, AdminEvent, Context};
use crate::net::ledger::Fact;
use crate::os::readiness::Readiness;
use crate::spool::{Change, MessageId, MessageState, Spool, Watch};

/// How soon a watch that could not be had is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// Gathers events and tells them.
pub(super) struct Hub {
    spool: Arc<Spool>,
    context: Context,
    teller: broadcast::Sender<Notice>,
    /// Forwarding is another process's work, of which only the request file tells.
    forwards_elsewhere: bool,
    watch: Option<(Watch, Readiness)>,
    next_try: Instant,
    reported: bool,
}

impl Hub {
    pub(super) fn new(
        spool: Arc<Spool>,
        context: Context,
        teller: broadcast::Sender<Notice>,
        forwards_elsewhere: bool,
    ) -> Self {
        let (watch, next_try) = (None, Instant::now());
        let mut hub = Self { spool, context, teller, forwards_elsewhere, watch, next_try, reported: false };
        hub.open();
        hub
    }

    /// Works until `stop` is cancelled.
    pub(super) async fn run(mut self, mut facts: mpsc::Receiver<Fact>, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(fact) = facts.recv() => {
                    if fact.after_changes {
                        self.tell_changes().await;
                    }
                    let _ = self.teller.send(fact.notice);
                }
                () = readable(self.watch.as_ref()) => self.tell_changes().await,
                () = sleep_until(self.next_try), if self.watch.is_none() => self.open(),
            }
        }
    }

    fn open(&mut self) {
        self.next_try = Instant::now() + TRY_AGAIN;
        let watch = self.spool.watch().map_err(|error| error.to_string()).and_then(|watch| {
            let readiness = Readiness::of(&watch).map_err(|error| crate::os::reason(&error))?;
            Ok((watch, readiness))
        });
        match watch {
            Ok(watch) => (self.watch, self.reported) = (Some(watch), false),
            Err(reason) if !std::mem::replace(&mut self.reported, true) => {
                log::emit(&self.context, &AdminEvent::Blind { reason }.into());
            }
            Err(_) => {}
        }
    }

    async fn tell_changes(&mut self) {
        let Some((watch, _)) = &mut self.watch else { return };
        let read = watch.read();
        if watch.is_over() || read.is_err() {
            self.watch = None;
            self.open();
        }
        for change in read.unwrap_or_default() {
            // Nobody wants to know why it failed.
            if self.teller.receiver_count() > 0 {
                for notice in self.notices(change).await {
                    let _ = self.teller.send(notice);
                }
            }
        }
    }

    async fn notices(&self, change: Change) -> Vec<Notice> {
        use MessageState::{Busy, Failed, Held, New, Ready};
        let (id, from, to) = match change {
            Change::Message { id, from, to } => (id, from, to),
            Change::RequestTaken if self.forwards_elsewhere => {
                return vec![Notice::classic(&["client", "forward", "start", "request"])];
            }
            Change::RequestTaken => return Vec::new(),
            Change::Smtp { enabled } => {
                return vec![Notice::extra(&["smtp", if enabled { "enabled" } else { "disabled" }])];
            }
            Change::Lost => return vec![Notice::extra(&["store", "lost"])],
        };
        let name = id.to_string();
        let store = |word| Notice::extra(&["store", word, &name]);
        match (from, to) {
            (_, Some(Busy)) => vec![Notice::classic(&["client", "sending", &name]), store("busy")],
            (Some(Busy), None) => vec![Notice::classic(&["client", "sent", &name]), store("deleted")],
            (from, Some(Failed)) => {
                let reason = self.reason(id).await;
                let sent = (from == Some(Busy)).then(|| Notice::classic(&["client", "sent", &name, &reason]));
                let store = Notice::extra(&["store", "failed", &name, &reason]);
                sent.into_iter().chain([store]).collect()
            }
            (_, Some(Ready)) => vec![store("ready")],
            (_, Some(New)) => vec![store("new")],
            (_, Some(Held)) => vec![store("held")],
            (_, None) => vec![store("deleted")],
        }
    }

    /// Why a message has failed.
    async fn reason(&self, id: MessageId) -> String {
        let spool = Arc::clone(&self.spool);
        let found = spawn_blocking(move || spool.inspect(&id)).await;
        found.ok().and_then(Result::ok).and_then(|found| found.retry.reason).unwrap_or_default()
    }
}

/// Resolves when there is something to read; never without a watch.
async fn readable(watch: Option<&(Watch, Readiness)>) {
    match watch {
        Some((_, readiness)) => readiness.wait().await,
        None => pending().await,
    }
}
