//! A message between its end of data and its reply, when there are filters.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::SmtpRole;
use super::session::{OpenMessage, write_out};
use crate::filter::{self, Chain, Facts, Job, Outcome, Position, Prepared, Undo, Verdict};
use crate::log::{self, Context, FilterEvent, ServerEvent};
use crate::smtp::server::Refusal;
use crate::spool::{Committed, Envelope, Left, LockedMessage, MessageId, NewMessage, Ruling, StoreError};

/// Code of a refusal by a filter that gave none.
const CODE: u16 = 452;

/// Reply to a message whose files a filter has spoilt.
const SPOILT: (u16, &str) = (451, "rejected");

/// Text of the reply when a filter's own work could not be completed.
const FAILED: &str = "failed";

/// What became of a message.
pub(super) enum Done {
    /// It is in the spool.
    Stored(MessageId),
    /// It is in the spool, and ours to send on at once.
    Locked(Box<LockedMessage>),
    /// A filter has dealt with it.
    Taken,
    /// A filter has refused it, or spoilt it.
    Refused(Refusal),
    /// It could not be stored.
    Failed(StoreError),
}

/// A message that the filters are to see.
pub(super) struct Filtering {
    pub(super) role: Arc<SmtpRole>,
    pub(super) chain: Arc<Chain>,
    pub(super) context: Context,
    pub(super) message: OpenMessage,
    pub(super) envelope: Envelope,
    /// The client waits until the message is sent on.
    pub(super) at_once: bool,
}

/// Runs the filters, and stores or drops the message as they say. A task of its own, which does not end with its session: a client that
/// goes away loses nothing.
pub(super) fn start(work: Filtering) -> oneshot::Receiver<Done> {
    let (done, finished) = oneshot::channel();
    let sessions = work.role.gate.sessions.clone();
    sessions.spawn(async move {
        let result = work.run().await;
        // The session may have been cut off at the end of the stop timeout.
        let _ = done.send(result);
    });
    finished
}

impl Filtering {
    async fn run(self) -> Done {
        let Self { role, chain, context, message, envelope, at_once } = self;
        let facts = Facts {
            client: envelope.client.clone(),
            authentication: envelope.authentication.clone(),
            sender: envelope.sender.clone(),
        };
        let spool = Arc::clone(&role.spool);
        let written = spawn_blocking(move || write_out(&spool, message, &envelope)).await;
        // The runtime reports a panic.
        let message = match written.unwrap_or(Err(StoreError::Incomplete)) {
            Ok(message) => message,
            Err(error) => return Done::Failed(error),
        };
        message.hold();
        log::emit(&context, &ServerEvent::EnvelopeFile { id: message.id().to_string() }.into());
        let job = Job {
            position: Position::Server,
            id: message.id().clone(),
            content: absolute(message.content_path()),
            envelope: absolute(message.envelope_path()),
            facts,
            context: context.clone(),
            stop: role.gate.kill.clone(),
        };
        let outcome = chain.run(&job).await;
        if job.stop.is_cancelled() {
            // Nobody is left who could be told of the message.
            let _ = spawn_blocking(move || message.refuse()).await;
            return Done::Failed(StoreError::Closed);
        }
        let flag = outcome.flag;
        let done = decide(&role, &chain, &context, message, outcome, at_once).await;
        if flag {
            role.listeners.rescan();
        }
        done
    }
}

async fn decide(
    role: &Arc<SmtpRole>,
    chain: &Arc<Chain>,
    context: &Context,
    message: NewMessage,
    outcome: Outcome,
    at_once: bool,
) -> Done {
    let Outcome { verdict, prepared, .. } = outcome;
    let ruling = match verdict {
        Verdict::Ok => Ruling::Passed,
        Verdict::Abandon => Ruling::Abandoned,
        Verdict::Fail(failure) => {
            // What was prepared is undone on the same visit to the disk.
            let _ = spawn_blocking(move || {
                drop(prepared);
                message.refuse();
            })
            .await;
            let (reason, name) = (failure.reason, chain.name().to_owned());
            log::emit(context, &FilterEvent::Rejected { reason, name }.into());
            return Done::Refused(Refusal::new(failure.code.unwrap_or(CODE), failure.response));
        }
    };
    let (done, finished) = oneshot::channel();
    let (role, context, name) = (Arc::clone(role), context.clone(), chain.name().to_owned());
    // After a panic, which the runtime reports, there is no outcome.
    drop(spawn_blocking(move || {
        let work = Storing { role, context, name, ruling, prepared, at_once };
        work.store(message, done);
    }));
    finished.await.unwrap_or(Done::Failed(StoreError::Incomplete))
}

/// The last step, on a thread that may wait for the disk.
struct Storing {
    role: Arc<SmtpRole>,
    context: Context,
    name: String,
    ruling: Ruling,
    prepared: Vec<Box<dyn Prepared>>,
    at_once: bool,
}

impl Storing {
    fn store(self, message: NewMessage, done: oneshot::Sender<Done>) {
        let Self { role, context, name, ruling, prepared, at_once } = self;
        let (undo, applied) = filter::apply_all(prepared);
        if let Err(reason) = applied {
            log::emit(&context, &FilterEvent::Exception { reason, name }.into());
            undo.run();
            message.refuse();
            let _ = done.send(Done::Refused(Refusal::new(CODE, FAILED)));
            return;
        }
        let result = match message.reopen(ruling) {
            Ok(Left::Message(message)) => {
                // What a filter wants left alone is not sent on by us either.
                return commit(role, message, at_once && ruling == Ruling::Passed, undo, done);
            }
            Ok(Left::Taken) => Done::Taken,
            Ok(Left::Invalid(what)) => {
                log::emit(&context, &FilterEvent::InvalidFiles { name, what: what.to_string() }.into());
                match ruling {
                    Ruling::Passed => {
                        undo.run();
                        Done::Refused(Refusal::new(SPOILT.0, SPOILT.1))
                    }
                    Ruling::Abandoned => Done::Taken,
                }
            }
            Err(error) => {
                undo.run();
                Done::Failed(error)
            }
        };
        let _ = done.send(result);
    }
}

/// Makes a message durable, and tells what came of it; if it cannot be stored, what filters have done with it is taken back. Blocking.
/// Whoever waits may have been cut off at the end of the stop timeout; the message is stored all the same.
pub(super) fn commit(
    role: Arc<SmtpRole>,
    message: NewMessage,
    at_once: bool,
    undo: Undo,
    done: oneshot::Sender<Done>,
) {
    if at_once {
        return message.commit_locked(move |result| {
            let done = done.send(match result {
                Ok(Committed::Locked(message)) => {
                    role.count_stored();
                    Done::Locked(message)
                }
                Ok(Committed::Queued(id)) => {
                    role.message_stored();
                    Done::Stored(id)
                }
                Err(error) => {
                    undo.run();
                    Done::Failed(error)
                }
            });
            // Put back by its guard, for others to send.
            if let Err(Done::Locked(message)) = done {
                drop(message);
                role.message_left();
            }
        });
    }
    message.commit(move |result| {
        match &result {
            Ok(_) => role.message_stored(),
            Err(_) => undo.run(),
        }
        let _ = done.send(result.map_or_else(Done::Failed, Done::Stored));
    });
}

/// Filters get absolute paths whatever the spool directory was called.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
