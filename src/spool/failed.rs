//! Messages that have failed for good, in the hands of whoever tells their senders, and the notes that this leaves.
//!
//! A failed message is locked where it is, under its own name: a second reporter passes it over, while an administrator
//! may still bring it back, by the one rename that everybody else uses. It is removed, or marked, only after the report is
//! durable. A crash in between reports once more, never not at all.

use std::fs::File;

use super::disk::{Access, Facts};
use super::envelope::{
    AppendStyle, Envelope, MAX_ENVELOPE, Notice, RetryState, delayed_line, failures, notice, notified_line,
};
use super::error::{ActionError, FinishError, PeekError};
use super::id::{BAD, MessageId, READY};
use super::lock::{LockedMessage, open_error, parse_envelope};
use super::{Durability, Spool, StoreError};

/// A failed message that no other reporter touches while this value lives. Dropping it leaves it as it is.
#[derive(Debug)]
pub struct FailedMessage<'a> {
    spool: &'a Spool,
    id: MessageId,
    /// The `.bad` file; holds the lock.
    file: File,
    facts: Facts,
    envelope: Envelope,
    style: AppendStyle,
}

impl Spool {
    /// Takes a failed message. None: another reporter has it, or it has gone.
    ///
    /// # Errors
    /// The envelope cannot be read.
    pub fn take_failed(&self, id: &MessageId) -> Result<Option<FailedMessage<'_>>, PeekError> {
        let disk = &self.shared.disk;
        let name = id.file(BAD);
        let (file, facts) = match disk.open(&name, Access::Edit) {
            Ok(opened) => opened,
            Err(nix::errno::Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(open_error(errno)),
        };
        if !disk.try_lock(&file).map_err(PeekError::Io)? {
            return Ok(None);
        }
        // Its last owner may have marked or removed it between our open and our lock.
        match disk.facts_at(&name) {
            Ok(now) if now.same_file(&facts) => {}
            _ => return Ok(None),
        }
        let bytes = disk.read(&file, MAX_ENVELOPE + 1).map_err(PeekError::Io)?;
        let envelope = parse_envelope(&bytes, &facts)?;
        let style = AppendStyle::of(&bytes);
        Ok(Some(FailedMessage { spool: self, id: id.clone(), file, facts, envelope, style }))
    }
}

impl FailedMessage<'_> {
    /// The id.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// The envelope.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The last reason, and what else attempts have left.
    #[must_use]
    pub fn retry_state(&self) -> RetryState {
        RetryState::of(&self.envelope)
    }

    /// When it failed, in seconds since 1970: the time of the last change of its envelope.
    #[must_use]
    pub fn failed_at(&self) -> u64 {
        self.facts.modified.as_secs()
    }

    /// How often it has failed for good: once more each time that it was brought back.
    #[must_use]
    pub fn failures(&self) -> usize {
        failures(&self.envelope.trailer)
    }

    /// Who was told of its last failure; none if that is still to be done.
    #[must_use]
    pub fn notice(&self) -> Option<Notice> {
        notice(&self.envelope.trailer)
    }

    /// There is room to mark it: an envelope cannot grow without end.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let line = self.style.append(&[notified_line(u64::MAX, Notice::Nobody)]);
        self.facts.size + line.len() as u64 <= MAX_ENVELOPE as u64
    }

    /// Notes, durably, that its failure has been reported, or needs no report, at this time.
    ///
    /// # Errors
    /// The note could not be written.
    pub fn mark_notified(self, at: u64, said: Notice) -> Result<(), FinishError> {
        let Self { spool, id, file, style, .. } = self;
        let disk = &spool.shared.disk;
        let written = disk.write(&file, &style.append(&[notified_line(at, said)]));
        let synced = written.and_then(|()| match spool.shared.durability {
            Durability::Full => disk.sync_file(&file),
            Durability::None => Ok(()),
        });
        synced.map_err(|errno| FinishError::Reason { name: id.file(BAD), errno })
    }

    /// Removes it, durably. Its content stays if another envelope needs it, and all of it if somebody has brought it back.
    ///
    /// # Errors
    /// See [`ActionError`].
    pub fn remove(self) -> Result<(), ActionError> {
        if self.spool.unlink_locked(&self.id, BAD, &self.facts)? {
            self.spool.remove_content(&self.id)?;
        }
        self.spool.flush().map_err(|error: StoreError| ActionError::Sync(error))
    }
}

impl LockedMessage {
    /// When its sender was told that it is late, in seconds since 1970, if that has happened.
    #[must_use]
    pub fn delay_noted(&self) -> Option<u64> {
        super::envelope::delay_noted(&self.envelope.trailer)
    }

    /// Notes, durably, that the sender knows that the message is late, and puts it back.
    ///
    /// # Errors
    /// [`FinishError::Reason`]: there is no note, but the message is back. [`FinishError::Rename`]: it stays `.busy`, to be
    /// recovered.
    pub fn note_delay(mut self, at: u64) -> Result<(), FinishError> {
        let name = self.id.file(READY);
        let written = self.append(&[delayed_line(at)]);
        let synced = written.and_then(|()| match self.shared.durability {
            Durability::Full => self.shared.disk.sync_file(&self.busy),
            Durability::None => Ok(()),
        });
        self.leave(READY)?;
        synced.map_err(|errno| FinishError::Reason { name, errno })
    }
}
