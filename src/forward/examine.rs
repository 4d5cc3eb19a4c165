//! One message and the client filters.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use crate::filter::{self, Chain, Facts, Failure as Refusal, Job, Outcome, Position, Verdict};
use crate::forward::engine::{Engine, lock};
use crate::forward::filtering::Passed;
use crate::forward::finish;
use crate::forward::outcome::{Disposition, Failure};
use crate::forward::take;
use crate::forward::ticket::Ticket;
use crate::log::{self, FilterEvent};
use crate::spool::{FailNote, LockError, LockedMessage, Reloaded};

/// Code that goes with the reason of a filter that gave none.
const CODE: u16 = 550;

/// Reason in the envelope of a message that a filter refused while it was to find the destination; its own is in the log.
const ROUTING_FAILED: &str = "routing filter failed";

/// Takes a message through the filters and hands it to the lane of its destination, or does whatever else the filters say.
pub(super) async fn pass(
    engine: &Arc<Engine>,
    chain: &Arc<Chain>,
    ticket: Ticket,
    place: OwnedSemaphorePermit,
) {
    let (worker, chains, id) = (Arc::clone(engine), Arc::clone(chain), ticket.id().clone());
    let taken = spawn_blocking(move || {
        let message = take(&worker, &chains, &ticket);
        (message, ticket)
    });
    // The runtime reports a panic; the message is unlocked by its guard.
    let Ok((taken, ticket)) = taken.await else { return engine.try_later(&id) };
    let Some(mut message) = taken else { return };
    let mut position = position(&message);
    loop {
        let outcome = chain.run(&job(engine, position, &message)).await;
        let worker = Arc::clone(engine);
        let decided = spawn_blocking(move || decide(&worker, position, message, outcome)).await;
        let Ok(decided) = decided else { return engine.try_later(&id) };
        let Some(passed) = decided else { return };
        message = passed;
        // A filter that took the routing text away has left the message for the client filters.
        if position == Position::Routing && message.envelope().forward_to.is_empty() {
            position = Position::Client;
            continue;
        }
        break;
    }
    send_on(engine, ticket, Passed { message, place }).await;
}

/// Which filters are next.
pub(super) fn position(message: &LockedMessage) -> Position {
    if message.envelope().forward_to.is_empty() { Position::Client } else { Position::Routing }
}

/// Locks a message. Blocking. None: it is not to be sent now, or not at all.
fn take(engine: &Engine, chain: &Chain, ticket: &Ticket) -> Option<LockedMessage> {
    let mut message = take::take(engine, ticket)?;
    if !unshare(engine, chain, &mut message) {
        engine.try_later(message.id());
        return None;
    }
    Some(message)
}

/// Sees to it that filters which change content change that of this message alone. Blocking. False: it could not be done.
pub(super) fn unshare(engine: &Engine, chain: &Chain, message: &mut LockedMessage) -> bool {
    if chain.edits_in_place()
        && let Err(errno) = message.unshare_content()
    {
        let reason = format!("cannot copy content file: {}", crate::os::reason(&errno.into()));
        exception(engine, message, chain.name(), reason);
        return false;
    }
    true
}

/// A message as filters get it.
pub(super) fn job(engine: &Engine, position: Position, message: &LockedMessage) -> Job {
    let envelope = message.envelope();
    // Filters get absolute paths whatever the spool directory was called.
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    Job {
        position,
        id: message.id().clone(),
        content: absolute(message.content_path()),
        envelope: absolute(message.envelope_path()),
        facts: Facts {
            client: envelope.client.clone(),
            authentication: envelope.authentication.clone(),
            sender: envelope.sender.clone(),
        },
        context: engine.context().with_message(&message.id().to_string()),
        stop: engine.cut.clone(),
    }
}

/// Does what the filters say. Blocking. The message comes back if it is to be sent.
fn decide(
    engine: &Engine,
    position: Position,
    message: LockedMessage,
    outcome: Outcome,
) -> Option<LockedMessage> {
    // Of several that were with a filter at the same time and end the run, the first is the last one to be sent.
    let late = outcome.flag && engine.stage.stop_taking();
    if engine.stop.is_cancelled() || (late && outcome.verdict == Verdict::Ok) {
        drop(outcome.prepared);
        put_back(engine, message);
        return None;
    }
    match judge(engine, message, outcome) {
        Judged::Passed(message) => return take::with_recipients(engine, message),
        Judged::Abandoned(message) => put_back(engine, message),
        Judged::Refused(message, failure) => refused(engine, position, message, failure),
        // The filter has dealt with it.
        Judged::Gone => {}
        Judged::Unsendable(message, reason) => {
            finish::fail(engine, message, &FailNote { code: Some(CODE), ..take::note(reason) });
        }
        Judged::Trouble(message, Some(error)) => {
            // Trouble of our own: another time.
            let id = message.id().clone();
            put_back(engine, message);
            engine.ignoring(&id, &error);
        }
        // It stays as it is, and is put back with this value.
        Judged::Trouble(message, None) => {
            engine.try_later(message.id());
            drop(message);
        }
    }
    None
}

/// What filters have made of a message.
#[derive(Debug)]
pub(super) enum Judged {
    /// It is to be sent, if it has recipients left.
    Passed(LockedMessage),
    /// It is to be left alone.
    Abandoned(LockedMessage),
    /// It is not to be sent.
    Refused(LockedMessage, Refusal),
    /// Its files have been taken away.
    Gone,
    /// It makes no sense any more: the reason.
    Unsendable(LockedMessage, String),
    /// We could not read it again, or not complete what a filter has prepared.
    Trouble(LockedMessage, Option<LockError>),
}

/// Completes what the filters have prepared, and reads again what they have left. Blocking.
pub(super) fn judge(engine: &Engine, mut message: LockedMessage, outcome: Outcome) -> Judged {
    let Outcome { verdict, prepared, .. } = outcome;
    if let Verdict::Fail(failure) = verdict {
        drop(prepared);
        return Judged::Refused(message, failure);
    }
    // The message stays, and knows what was done: nothing is taken back.
    let (_, applied) = filter::apply_all(prepared);
    if let Err(reason) = applied {
        exception(engine, &message, "", reason);
        return match verdict {
            Verdict::Abandon => Judged::Trouble(message, None),
            _ => Judged::Refused(message, Refusal::fault("failed", "failed")),
        };
    }
    if verdict == Verdict::Abandon {
        return Judged::Abandoned(message);
    }
    match message.reload() {
        Ok(Reloaded::Whole) => Judged::Passed(message),
        Ok(Reloaded::Gone) => Judged::Gone,
        Ok(Reloaded::Unsendable(reason)) => Judged::Unsendable(message, reason),
        Err(error) => Judged::Trouble(message, Some(error.into())),
    }
}

fn refused(engine: &Engine, position: Position, mut message: LockedMessage, failure: Refusal) {
    match message.reload() {
        Ok(Reloaded::Gone) => return,
        // What is recorded below goes to the file that is there now; that it cannot be read is no news for a message that fails.
        Ok(Reloaded::Whole | Reloaded::Unsendable(_)) | Err(_) => {}
    }
    let size = message.content().map_or(0, |(_, size)| size);
    match verdict(engine, position, failure) {
        Disposition::Temporary(failure) => finish::put_off(engine, message, size, &failure, ""),
        Disposition::Permanent(failure) => finish::give_up(engine, message, size, &failure, ""),
        // Filters decide nothing else.
        _ => finish::unlock(engine, message),
    }
}

/// What the refusal of a filter means for its message.
pub(super) fn verdict(engine: &Engine, position: Position, failure: Refusal) -> Disposition {
    let compat26 = engine.config().policy.compat26;
    if failure.is_fault && !compat26 {
        let (reason, code) = (failure.reason, failure.code);
        return Disposition::Temporary(Failure { reason, code, ..Failure::default() });
    }
    let (reason, code) = match position {
        Position::Routing if !failure.about_next_hop || compat26 => (ROUTING_FAILED.to_owned(), None),
        _ => (failure.reason, Some(failure.code.unwrap_or(CODE))),
    };
    Disposition::Permanent(Failure { reason, code, ..Failure::default() })
}

/// Puts a message back for the next run, unless the filters have taken it away.
fn put_back(engine: &Engine, mut message: LockedMessage) {
    if !matches!(message.reload(), Ok(Reloaded::Gone)) {
        lock(&engine.tally).left(message.id(), None);
        finish::unlock(engine, message);
    }
}

async fn send_on(engine: &Arc<Engine>, ticket: Ticket, passed: Passed) {
    match engine.destination(passed.message.envelope()) {
        Ok(destination) => engine.queue(ticket.with(passed), destination),
        Err(reason) => {
            let worker = Arc::clone(engine);
            let failed = spawn_blocking(move || {
                finish::fail(&worker, passed.message, &take::note(reason));
                drop(ticket);
            });
            // A panic has been reported by the runtime.
            let _ = failed.await;
        }
    }
}

fn exception(engine: &Engine, message: &LockedMessage, name: &str, reason: String) {
    let context = engine.context().with_message(&message.id().to_string());
    log::emit(&context, &FilterEvent::Exception { reason, name: name.to_owned() }.into());
}
