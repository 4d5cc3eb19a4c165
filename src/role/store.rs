//! A message that one of our own programs puts into a spool, and waits for.

use std::sync::mpsc;

use crate::spool::{Envelope, MessageId, NewMessage, Spool, StoreError};

/// Stores a message with this envelope and what `write` gives it, durably.
///
/// # Errors
/// Nothing of it is left.
pub(super) fn store<E: From<StoreError>>(
    spool: &Spool,
    envelope: &Envelope,
    write: impl FnOnce(&mut NewMessage) -> Result<(), E>,
) -> Result<MessageId, E> {
    let mut message = spool.create(&spool.next_id())?;
    write(&mut message)?;
    message.write_envelope(envelope)?;
    let (sender, outcome) = mpsc::channel();
    message.commit(move |result| {
        // The receiver waits below.
        let _ = sender.send(result);
    });
    Ok(outcome.recv().unwrap_or(Err(StoreError::Closed))?)
}
