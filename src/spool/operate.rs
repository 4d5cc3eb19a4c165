//! What an administrator does with messages: hold, release, try again, give up, delete.
//!
//! A message that nobody is at work on changes its state by one rename that replaces nothing, or goes by one removal. Of
//! all who act on it at the same time, a forwarder or E-MailRelay 2.6 among them, exactly one succeeds. A busy message, or
//! one that is still being received, belongs to its process and is never touched.

use std::collections::HashSet;
use std::time::Duration;

use nix::errno::Errno;

use super::disk::{Access, Disk, Facts};
use super::envelope::{FailNote, RetryState, make_due};
use super::error::{ActionError, LockError, SpoolError};
use super::id::{BAD, BUSY, CONTENT, HELD, MessageId, NEW, READY};
use super::needs::{above, has_envelope, is_needed_in};
use super::recover::is_older;
use super::{Peeked, Spool, StoreError, unix_time};

impl Spool {
    /// Keeps a ready or failed message back, durably: nobody sends it until it is released.
    ///
    /// # Errors
    /// See [`ActionError`]; it is where it was, unless it is [`ActionError::Sync`].
    pub fn hold(&self, id: &MessageId) -> Result<(), ActionError> {
        if self.shift(id, READY, HELD)? || self.shift(id, BAD, HELD)? {
            return self.settle();
        }
        // What is held already is what was wanted.
        if self.has(id, HELD) { Ok(()) } else { Err(self.absence(id)) }
    }

    /// Gives a held message free, durably. The time on hold does not count: it starts afresh.
    ///
    /// # Errors
    /// As for [`hold`](Self::hold).
    pub fn release(&self, id: &MessageId) -> Result<(), ActionError> {
        if self.bring_back(id, HELD)? {
            return self.settle();
        }
        match self.absence(id) {
            ActionError::NoSuchMessage if self.has(id, READY) || self.has(id, BAD) => {
                Err(ActionError::NotHeld)
            }
            error => Err(error),
        }
    }

    /// Lets a failed or held message be tried again from the beginning, and a ready one that waits for its next attempt be due now.
    ///
    /// # Errors
    /// As for [`hold`](Self::hold).
    pub fn requeue(&self, id: &MessageId) -> Result<(), ActionError> {
        let shifted = self.bring_back(id, BAD)? || self.bring_back(id, HELD)?;
        if !shifted && !self.has(id, READY) {
            return Err(self.absence(id));
        }
        // A forwarder may be quicker, which is what was wanted.
        let waits = |retry: &RetryState| retry.next_attempt.is_some_and(|next| next > 0);
        if let Ok(Some(Peeked { retry, .. })) = self.peek(id)
            && waits(&retry)
            && let Ok(Some(message)) = self.lock(id)
        {
            message.requeue().map_err(ActionError::Finish)?;
        }
        self.settle()
    }

    /// Lets all failed messages be tried again from the beginning, and tells how many there were. One whose name is taken stays.
    ///
    /// # Errors
    /// The directory cannot be read, or a file not be renamed; those before it are ready.
    pub fn requeue_failed(&self) -> Result<usize, ActionError> {
        let failed = self.failed().map_err(ActionError::Spool)?;
        let mut count = 0;
        for id in failed {
            match self.bring_back(&id, BAD) {
                Ok(true) => count += 1,
                Ok(false) | Err(ActionError::Exists) => {}
                Err(error) => return Err(error),
            }
        }
        self.settle().map(|()| count)
    }

    /// Gives a ready message up, durably: it is failed, for this reason.
    ///
    /// # Errors
    /// As for [`hold`](Self::hold). [`ActionError::NotReady`] if it is held or has failed already.
    pub fn give_up(&self, id: &MessageId, reason: &str) -> Result<(), ActionError> {
        let message = match self.lock(id) {
            Ok(Some(message)) => message,
            // It can never be sent, and is failed for this reason as well as for its own.
            Err(LockError::Unsendable { message, .. }) => *message,
            Ok(None) => {
                return Err(match self.absence(id) {
                    ActionError::NoSuchMessage if self.has(id, READY) => ActionError::Busy,
                    ActionError::NoSuchMessage if self.has(id, HELD) || self.has(id, BAD) => {
                        ActionError::NotReady
                    }
                    error => error,
                });
            }
            Err(error) => return Err(ActionError::Lock { id: id.clone(), reason: error.to_string() }),
        };
        let note = FailNote { reason: reason.to_owned(), ..FailNote::default() };
        message.fail(&note).map_err(ActionError::Finish)?;
        self.settle()
    }

    /// Removes all messages that failed so long ago or longer, durably, and tells which. One that somebody else is at work on
    /// stays.
    ///
    /// # Errors
    /// The directory cannot be read, or a file not be removed; those before it are gone, or without an envelope, so that the sweep
    /// will remove them.
    pub fn purge_failed(&self, older_than: Duration) -> Result<Vec<MessageId>, ActionError> {
        let disk = &self.shared.disk;
        let mut purged = Vec::new();
        for id in self.failed().map_err(ActionError::Spool)? {
            // The rename to this name is the last change.
            let old = disk.facts_at(&id.file(BAD)).is_ok_and(|facts| is_older(facts.changed, older_than));
            match if old { self.remove_envelope(&id, BAD) } else { Ok(false) } {
                Ok(true) => purged.push(id),
                Ok(false) | Err(ActionError::Busy) => {}
                Err(error) => return Err(error),
            }
        }
        let mut unneeded: HashSet<MessageId> = purged.iter().cloned().collect();
        unneeded.retain(|id| has_envelope(&**disk, id) == Ok(false));
        let read = self.shared.drop_needed(&mut unneeded);
        read.map_err(|errno| ActionError::Spool(SpoolError { action: "list mailboxes", errno }))?;
        for id in &unneeded {
            // What stays has no envelope, and the sweep will try again.
            let _ = disk.unlink(&id.file(CONTENT));
        }
        self.settle().map(|()| purged)
    }

    /// Removes a message that nobody is at work on, durably. Its content stays if another envelope needs it.
    ///
    /// # Errors
    /// As for [`hold`](Self::hold). [`ActionError::Io`] for the content: it has no envelope, and the sweep will remove it.
    pub fn delete(&self, id: &MessageId) -> Result<(), ActionError> {
        for suffix in [READY, BAD, HELD] {
            if self.remove_envelope(id, suffix)? {
                self.remove_content(id)?;
                return self.settle();
            }
        }
        Err(self.absence(id))
    }

    /// Whether a process that lives holds a message which is neither being received nor sent: a forwarder that is about to take it,
    /// or who reports its failure. To be asked before a message is renamed under their hands, which they would bear.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn is_claimed(&self, id: &MessageId) -> Result<bool, ActionError> {
        let disk = &self.shared.disk;
        for suffix in [READY, BAD, HELD] {
            let claimed = match disk.open(&id.file(suffix), Access::Edit) {
                Ok((file, _)) => disk.try_lock(&file).map(|free| !free),
                Err(errno) => Err(errno),
            };
            match claimed {
                Ok(true) => return Ok(true),
                Ok(false) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(ActionError::Io { action: "lock", id: id.clone(), errno }),
            }
        }
        Ok(false)
    }

    /// False: there is no such file.
    fn remove_envelope(&self, id: &MessageId, suffix: &str) -> Result<bool, ActionError> {
        let disk = &self.shared.disk;
        let name = id.file(suffix);
        let failed = |errno| ActionError::Io { action: "delete", id: id.clone(), errno };
        let (file, facts) = match disk.open(&name, Access::Edit) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) => return Ok(false),
            Err(errno) => return Err(failed(errno)),
        };
        // A forwarder that has locked it is about to rename it; as long as we have it, none will.
        if !disk.try_lock(&file).map_err(failed)? {
            return Err(ActionError::Busy);
        }
        self.unlink_locked(id, suffix, &facts)
    }

    /// Removes an envelope that we have locked, if its name still is that of the file. False: it is not.
    pub(super) fn unlink_locked(
        &self,
        id: &MessageId,
        suffix: &str,
        facts: &Facts,
    ) -> Result<bool, ActionError> {
        let disk = &self.shared.disk;
        let name = id.file(suffix);
        let failed = |errno| ActionError::Io { action: "delete", id: id.clone(), errno };
        match disk.facts_at(&name) {
            Ok(now) if now.same_file(facts) => {}
            Ok(_) | Err(Errno::ENOENT) => return Ok(false),
            Err(errno) => return Err(failed(errno)),
        }
        match disk.unlink(&name) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Removes the content of a message that has lost an envelope, unless another one needs it.
    pub(super) fn remove_content(&self, id: &MessageId) -> Result<(), ActionError> {
        let failed = |errno| ActionError::Io { action: "delete the content of", id: id.clone(), errno };
        if self.shared.is_needed(id, unix_time()).map_err(failed)? {
            return Ok(());
        }
        match self.shared.disk.unlink(&id.file(CONTENT)) {
            Ok(()) => Ok(()),
            Err(Errno::ENOENT) => remove_shared(&*self.shared.disk, id).map_err(failed),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Renames an envelope. False: there is no such file.
    pub(super) fn shift(&self, id: &MessageId, from: &str, to: &str) -> Result<bool, ActionError> {
        match self.shared.disk.rename(&id.file(from), &id.file(to)) {
            Ok(()) => {
                self.shared.committer.directory_changed();
                Ok(true)
            }
            Err(Errno::ENOENT) => Ok(false),
            Err(Errno::EEXIST) => Err(ActionError::Exists),
            Err(errno) => Err(ActionError::Io { action: "rename", id: id.clone(), errno }),
        }
    }

    /// Why there is nothing to act on.
    fn absence(&self, id: &MessageId) -> ActionError {
        let at_work = [BUSY, NEW].iter().any(|suffix| self.has(id, suffix));
        if at_work { ActionError::Busy } else { ActionError::NoSuchMessage }
    }

    fn has(&self, id: &MessageId, suffix: &str) -> bool {
        self.shared.disk.facts_at(&id.file(suffix)).is_ok()
    }

    fn settle(&self) -> Result<(), ActionError> {
        self.flush().map_err(|error: StoreError| ActionError::Sync(error))
    }
}

/// In a mailbox that shares its content with others: the last one of them removes it from the spool directory above.
fn remove_shared(disk: &dyn Disk, id: &MessageId) -> Result<(), Errno> {
    let Some(above) = above(disk, id) else { return Ok(()) };
    if is_needed_in(&*above, id)? {
        return Ok(());
    }
    match above.unlink(&id.file(CONTENT)) {
        Ok(()) => above.sync_directory(),
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

impl super::LockedMessage {
    /// Makes the message due now, and puts it back.
    pub(super) fn requeue(mut self) -> Result<(), super::FinishError> {
        let mut envelope = self.envelope.clone();
        make_due(&mut envelope.trailer);
        let edited = self.edit(envelope);
        self.leave(READY)?;
        Ok(edited?)
    }
}
