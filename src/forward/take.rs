//! Taking a message that is to be sent on: what has to be true of it, whoever takes it.

use crate::forward::engine::{Engine, lock};
use crate::forward::finish;
use crate::forward::ticket::Ticket;
use crate::log::{self, ForwardEvent};
use crate::spool::{FailNote, LockError, LockedMessage};

/// Why a message is not sent that nobody is to get.
const NO_RECIPIENTS: &str = "no remote recipients";

/// Locks a message of the run. Blocking. None: it is not to be sent now, or not at all, and whatever follows from that is done.
pub(crate) fn take(engine: &Engine, ticket: &Ticket) -> Option<LockedMessage> {
    let id = ticket.id();
    match engine.spool.lock(id) {
        Ok(Some(message)) => fit(engine, message),
        // Another forwarder was faster, or the message is gone.
        Ok(None) => None,
        Err(LockError::Unsendable { message, fault }) => {
            finish::fail(engine, *message, &note(fault.to_string()));
            None
        }
        Err(error) => {
            engine.ignoring(id, &error);
            None
        }
    }
}

/// A locked message that is due and can be sent. Blocking. None as for [`take`].
pub(crate) fn fit(engine: &Engine, message: LockedMessage) -> Option<LockedMessage> {
    // Another process may have tried it since it was listed.
    if let Some(next) = engine.waits_for(&message.retry_state()) {
        lock(&engine.tally).left(message.id(), Some(next));
        return None;
    }
    with_recipients(engine, finish::unless_deadly(engine, message)?)
}

/// A message without anybody to send it to is failed. Blocking.
pub(crate) fn with_recipients(engine: &Engine, message: LockedMessage) -> Option<LockedMessage> {
    if !message.envelope().remote.is_empty() {
        return Some(message);
    }
    let id = message.id().to_string();
    let context = engine.context().with_message(&id);
    log::emit(&context, &ForwardEvent::NoRecipients { id }.into());
    finish::fail(engine, message, &note(NO_RECIPIENTS.to_owned()));
    None
}

/// What is noted in the envelope of a message that fails without having been tried.
pub(crate) fn note(reason: String) -> FailNote {
    FailNote { reason, ..FailNote::default() }
}
