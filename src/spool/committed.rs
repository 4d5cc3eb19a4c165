//! A new message that its owner sends on itself before anybody hears that it is stored.
//!
//! It gets the name `.envelope.busy` at once, locked, so that no other forwarder is quicker. From there on it is a locked message
//! like any other: what a crash leaves is taken back and sent.

use std::sync::Arc;

use super::envelope::{AppendStyle, Envelope, MAX_ENVELOPE};
use super::error::StoreError;
use super::id::{BUSY, MessageId};
use super::lock::LockedMessage;
use super::new_message::NewMessage;

/// A message that is durable.
#[derive(Debug)]
pub enum Committed {
    /// Nobody else forwards it.
    Locked(Box<LockedMessage>),
    /// It is like any other in the spool: a filter has queued it by itself, or left an envelope that cannot be sent, or somebody
    /// else has locked it.
    Queued(MessageId),
}

impl NewMessage {
    /// As [`commit`](Self::commit), but the message is locked for us when it is durable.
    pub fn commit_locked(self, done: impl FnOnce(Result<Committed, StoreError>) + Send + 'static) {
        let Some((envelope, style)) = self.lock_envelope() else {
            return self.commit(move |outcome| done(outcome.map(Committed::Queued)));
        };
        let shared = Arc::clone(&self.shared);
        self.commit_as(BUSY, move |outcome| {
            done(outcome.map(|(id, busy)| {
                Committed::Locked(Box::new(LockedMessage::fresh(shared, id, busy, envelope, style)))
            }));
        });
    }

    /// Takes the lock that a message on its way out has, and reads what is to be sent.
    fn lock_envelope(&self) -> Option<(Envelope, AppendStyle)> {
        let file = self.envelope_file().filter(|_| !self.queued)?;
        let disk = &self.shared.disk;
        if !disk.try_lock(file).unwrap_or(false) {
            return None;
        }
        let bytes = disk.read(file, MAX_ENVELOPE + 1).ok()?;
        let envelope = Envelope::parse(&bytes).ok()?;
        envelope.check_addresses().ok()?;
        Some((envelope, AppendStyle::of(&bytes)))
    }
}
