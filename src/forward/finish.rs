//! What becomes of a message in the spool after an attempt.

use std::time::Duration;

use crate::forward::aside;
use crate::forward::backoff::MAX_INTERRUPTIONS;
use crate::forward::engine::{Engine, lock};
use crate::forward::outcome::{Disposition, Failure};
use crate::forward::proxy::Refused;
use crate::forward::ticket::Ticket;
use crate::log::{self, Context, Delivery, ForwardEvent, SpoolEvent};
use crate::message::report::status::TOO_OLD;
use crate::os::clock::unix_now;
use crate::spool::{Attempt, FailNote, FinishError, LockedMessage, MessageId, Rejected, RetryNote};

/// What comes next for a message that the next hop may have.
const OURS_NEXT: &str = "it will be sent again";

/// The same for one that was given back.
const CLIENT_NEXT: &str = "its client may send it again";

/// A message and what was decided about it.
pub(crate) struct Finish {
    message: LockedMessage,
    disposition: Disposition,
    relay: String,
    /// Size of the content, bytes.
    size: u64,
    /// The reply that took the message over, if one did.
    reply: String,
    ticket: Ticket,
}

impl Finish {
    pub(crate) fn new(
        message: LockedMessage,
        ticket: Ticket,
        disposition: Disposition,
        relay: &str,
        size: u64,
        reply: Option<String>,
    ) -> Self {
        Self { message, disposition, relay: relay.to_owned(), size, reply: reply.unwrap_or_default(), ticket }
    }

    /// Which message it is.
    pub(crate) fn id(&self) -> &MessageId {
        self.message.id()
    }

    /// Somebody else decides what becomes of the message.
    pub(crate) fn into_parts(self) -> (LockedMessage, Ticket) {
        (self.message, self.ticket)
    }

    /// The next hop has taken the message, for all recipients or for some.
    pub(crate) fn is_sent(&self) -> bool {
        matches!(self.disposition, Disposition::Sent | Disposition::SentSome { .. })
    }

    /// The message is not, or not wholly, dealt with: it waits in the spool for another attempt.
    pub(crate) fn leaves_message(&self) -> bool {
        match self.disposition {
            Disposition::Sent | Disposition::Permanent(_) => false,
            Disposition::SentSome { retry, .. } => retry,
            Disposition::Temporary(_) | Disposition::SessionFault { .. } => true,
        }
    }

    /// The message goes back as it was.
    pub(crate) fn is_untouched(&self) -> bool {
        matches!(self.disposition, Disposition::SessionFault { .. })
    }
}

/// Does what was decided. Blocking. The ticket comes back for a message that may be tried again in this run.
pub(crate) fn apply(engine: &Engine, finish: Finish) -> Ticket {
    let Finish { mut message, disposition, relay, size, reply, ticket } = finish;
    let context = engine.context().with_message(&message.id().to_string());
    match disposition {
        Disposition::Sent => sent(engine, &context, message, size, &relay, reply),
        Disposition::SentSome { remaining, retry, failure } => {
            // If the edit fails the others get the message twice, but nobody not at all.
            if let Err(error) = message.keep_remote(&remaining) {
                log::emit(&context, &SpoolEvent::StoreFailed { reason: error.to_string() }.into());
            }
            if retry {
                let failure = aside::set_aside(engine, &mut message, size, failure, &relay);
                put_off(engine, message, size, &failure, &relay);
            } else {
                give_up(engine, message, size, &failure, &relay);
            }
        }
        Disposition::Permanent(failure) => give_up(engine, message, size, &failure, &relay),
        Disposition::Temporary(failure) => {
            let failure = aside::set_aside(engine, &mut message, size, failure, &relay);
            put_off(engine, message, size, &failure, &relay);
        }
        Disposition::SessionFault { .. } => {
            let id = message.id().to_string();
            report(&context, &id, message.unlock());
        }
    }
    ticket
}

fn sent(engine: &Engine, context: &Context, message: LockedMessage, size: u64, relay: &str, reply: String) {
    let record = ForwardEvent::Forwarded(delivery(&message, size, relay, reply));
    let id = message.id().to_string();
    // First of all: whatever goes wrong from here on, it is not sent again.
    let removed = message.sent();
    lock(&engine.tally).sent();
    tell_removed(context, &id, removed);
    log::emit(context, &record.into());
}

fn tell_removed(context: &Context, id: &str, removed: Result<(), FinishError>) {
    log::emit(context, &ForwardEvent::EnvelopeDeleted { id: id.to_owned() }.into());
    log::emit(context, &ForwardEvent::ContentDeleted { id: id.to_owned() }.into());
    report(context, id, removed);
}

/// What came of giving a message back to its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandedBack {
    /// Nobody sends it on from here.
    Done,
    /// It could not be taken out of the queue, and will be sent: the client is not to have it too.
    StillOurs,
}

impl HandedBack {
    fn of(finished: &Result<(), FinishError>) -> Self {
        if finished.as_ref().is_err_and(FinishError::leaves_it_queued) { Self::StillOurs } else { Self::Done }
    }
}

/// Gives a message back to the client that waits for the outcome, and is told of this `reply`. Blocking. The message is removed, or set
/// aside as `.bad`.
pub(crate) fn hand_back(engine: &Engine, finish: Finish, reply: String, refused: Refused) -> HandedBack {
    let Finish { message, disposition, relay, size, .. } = finish;
    let context = engine.context().with_message(&message.id().to_string());
    let failure = match disposition {
        Disposition::Permanent(failure) | Disposition::Temporary(failure) => failure,
        Disposition::SessionFault { text } => Failure { reason: text, ..Failure::default() },
        Disposition::Sent | Disposition::SentSome { .. } => Failure::default(),
    };
    if failure.in_doubt {
        let (id, relay) = (message.id().to_string(), relay.clone());
        log::emit(&context, &ForwardEvent::InDoubt { id, relay, next: CLIENT_NEXT }.into());
    }
    let record = ForwardEvent::HandedBack(delivery(&message, size, &relay, reply));
    let handed_back = if refused == Refused::Kept {
        fail(engine, message, &fail_note(&failure, &relay))
    } else {
        let (id, removed) = (message.id().to_string(), message.remove());
        let handed_back = HandedBack::of(&removed);
        tell_removed(&context, &id, removed);
        handed_back
    };
    if handed_back == HandedBack::Done {
        log::emit(&context, &record.into());
    }
    handed_back
}

pub(crate) fn give_up(engine: &Engine, message: LockedMessage, size: u64, failure: &Failure, relay: &str) {
    let context = engine.context().with_message(&message.id().to_string());
    let record = ForwardEvent::Failed(delivery(&message, size, relay, reply_text(failure)));
    log::emit(&context, &record.into());
    fail(engine, message, &fail_note(failure, relay));
}

/// Sets a message aside with which in hand one process after the other has died. Blocking. Others come back.
pub(crate) fn unless_deadly(engine: &Engine, message: LockedMessage) -> Option<LockedMessage> {
    let deaths = message.retry_state().interrupted.map_or(0, |interrupted| interrupted.count);
    if deaths < MAX_INTERRUPTIONS {
        return Some(message);
    }
    let reason = format!("forwarding has died {deaths} times with this message in hand");
    give_up(engine, message, 0, &Failure { reason, ..Failure::default() }, "");
    None
}

/// Puts a message back as it is. Blocking.
pub(crate) fn unlock(engine: &Engine, message: LockedMessage) {
    let context = engine.context().with_message(&message.id().to_string());
    let id = message.id().to_string();
    report(&context, &id, message.unlock());
}

/// Sets a message aside as `.bad`. Blocking.
pub(crate) fn fail(engine: &Engine, message: LockedMessage, note: &FailNote) -> HandedBack {
    let context = engine.context().with_message(&message.id().to_string());
    let id = message.id().to_string();
    lock(&engine.tally).failed();
    log::emit(&context, &ForwardEvent::EnvelopeFailed { id: id.clone() }.into());
    let failed = message.fail(note);
    let handed_back = HandedBack::of(&failed);
    report(&context, &id, failed);
    handed_back
}

/// Sets a message aside whose envelope names a destination that is none. Blocking.
pub(crate) fn unroutable(engine: &Engine, ticket: &Ticket, reason: String) {
    let id = ticket.id();
    match engine.spool.lock(id) {
        Ok(Some(message)) => {
            fail(engine, message, &FailNote { reason, ..FailNote::default() });
        }
        Ok(None) => {}
        Err(error) => engine.ignoring(id, &error),
    }
}

/// Puts a message back for a later attempt, unless it has been tried for long enough.
pub(crate) fn put_off(
    engine: &Engine,
    mut message: LockedMessage,
    size: u64,
    failure: &Failure,
    relay: &str,
) {
    let context = engine.context().with_message(&message.id().to_string());
    let (now, state, id) = (unix_now(), message.retry_state(), message.id().to_string());
    if failure.in_doubt {
        log::emit(
            &context,
            &ForwardEvent::InDoubt { id: id.clone(), relay: relay.to_owned(), next: OURS_NEXT }.into(),
        );
        if let Err(error) = message.mark_in_doubt(now, relay) {
            log::emit(&context, &SpoolEvent::StoreFailed { reason: error.to_string() }.into());
        }
    }
    let first_try = state.first_try.unwrap_or(now);
    let attempts = state.attempts.saturating_add(1);
    let schedule = engine.config().schedule;
    let Some(next_attempt) = schedule.next_attempt(first_try, attempts, now, seed(message.id())) else {
        let reason = format!("{TOO_OLD}: {}", failure.reason);
        return give_up(engine, message, size, &Failure { reason, ..failure.clone() }, relay);
    };
    let next = Duration::from_secs(next_attempt.saturating_sub(now));
    let record =
        ForwardEvent::Deferred { delivery: delivery(&message, size, relay, reply_text(failure)), next };
    log::emit(&context, &record.into());
    let note = RetryNote {
        reason: failure.reason.clone(),
        code: failure.code,
        next_attempt,
        attempts,
        first_try,
        give_up: schedule.end(first_try),
        rejected: rejected(failure),
        attempt: attempt(relay),
    };
    let waiting = message.id().clone();
    report(&context, &id, message.retry(&note));
    lock(&engine.tally).left(&waiting, Some(next_attempt));
}

/// What an envelope says of a failure for good.
pub(super) fn fail_note(failure: &Failure, relay: &str) -> FailNote {
    FailNote {
        reason: failure.reason.clone(),
        code: failure.code,
        rejected: rejected(failure),
        attempt: attempt(relay),
    }
}

/// An attempt that ends now; none if no next hop was reached.
fn attempt(relay: &str) -> Option<Attempt> {
    (!relay.is_empty()).then(|| Attempt { at: unix_now(), relay: relay.to_owned() })
}

/// The record of an attempt.
pub(super) fn delivery(message: &LockedMessage, size: u64, relay: &str, reply: String) -> Delivery {
    let envelope = message.envelope();
    let since = message.id().seconds().unwrap_or_else(unix_now);
    Delivery {
        id: message.id().to_string(),
        from: envelope.sender.clone(),
        to: envelope.remote.clone(),
        size,
        relay: relay.to_owned(),
        reply,
        delay: Duration::from_secs(unix_now().saturating_sub(since)),
    }
}

pub(super) fn reply_text(failure: &Failure) -> String {
    match failure.code {
        Some(code) => format!("{code} {}", failure.reason),
        None => failure.reason.clone(),
    }
}

fn rejected(failure: &Failure) -> Vec<Rejected> {
    failure
        .rejected
        .iter()
        .map(|rejection| Rejected {
            address: rejection.address.clone(),
            code: rejection.reply.code,
            text: rejection.reply.text.clone(),
        })
        .collect()
}

fn report(context: &Context, id: &str, finished: Result<(), FinishError>) {
    let Err(error) = finished else { return };
    let event = match error {
        FinishError::Reason { name, errno } => {
            SpoolEvent::ReasonLost { id: id.to_owned(), file: name, error: errno.desc().to_owned() }
        }
        FinishError::Envelope { name, errno } => deletion(id, "envelope", name, errno.desc()),
        FinishError::Content { name, errno } => deletion(id, "content", name, errno.desc()),
        other => SpoolEvent::StoreFailed { reason: other.to_string() },
    };
    log::emit(context, &event.into());
}

fn deletion(id: &str, what: &'static str, file: String, error: &str) -> SpoolEvent {
    SpoolEvent::DeleteFailed { id: id.to_owned(), what, file, error: error.to_lowercase() }
}

/// The same message gets the same jitter, others another.
fn seed(id: &MessageId) -> u64 {
    id.to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
