//! What becomes of a locked message: changed, sent, put back, or failed.

use std::fs::File;

use nix::errno::Errno;

use super::Durability;
use super::envelope::{
    AppendStyle, Envelope, FailNote, MAX_ENVELOPE, RetryNote, failure_lines, replace_retry_lines,
};
use super::error::{EditError, FinishError};
use super::id::{BAD, BUSY, CONTENT, EDIT, READY};
use super::lock::LockedMessage;

impl LockedMessage {
    /// Sets space aside for [`keep_remote`](Self::keep_remote), as much as the envelope has now. To be called before
    /// the data is sent when only some recipients may be served: after that an edit that fails for lack of space
    /// would send the message a second time to those who have it. File systems that cannot reserve space are taken
    /// as they are.
    ///
    /// # Errors
    /// There is no space; the message is better not sent now.
    pub fn reserve_edit(&mut self) -> Result<(), EditError> {
        if self.reserve.is_some() {
            return Ok(());
        }
        let failed = |errno| EditError::of(&self.id, errno);
        let size = self.envelope.to_bytes().len() as u64;
        let file = self.create_edit().map_err(failed)?;
        let reserved = self.shared.disk.preallocate(&file, size);
        let result = reserved.map_err(failed);
        self.reserve = Some(file);
        if result.is_err() {
            self.drop_reserve();
        }
        result
    }

    /// Rewrites the envelope so that it has only these remote recipients: those that the message still has to reach.
    /// Local ones stay.
    ///
    /// # Errors
    /// The envelope could not be changed, and still names recipients that have been served.
    pub fn keep_remote(&mut self, unserved: &[String]) -> Result<(), EditError> {
        self.edit(Envelope { remote: unserved.to_vec(), ..self.envelope.clone() })
    }

    /// The message was delivered: removes it, but for content that mailboxes refer to. The removal becomes durable a moment
    /// later; a power cut before that sends the message once more.
    ///
    /// # Errors
    /// A file could not be removed.
    pub fn sent(self) -> Result<(), FinishError> {
        self.remove()
    }

    /// The message belongs to somebody else again, who was told that it is not taken: removes it.
    ///
    /// # Errors
    /// A file could not be removed.
    pub fn remove(mut self) -> Result<(), FinishError> {
        self.drop_reserve();
        self.finished = true;
        let (envelope, content) = (self.id.file(BUSY), self.id.file(CONTENT));
        // ENOENT: a filter has removed the message.
        match self.shared.disk.unlink(&envelope) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(FinishError::Envelope { name: envelope, errno }),
        }
        let removed = match self.shared.is_needed(&self.id, self.untouched) {
            Ok(true) => Ok(()),
            Ok(false) => self.shared.disk.unlink(&content),
            Err(errno) => Err(errno),
        };
        self.shared.committer.directory_changed();
        match removed {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(FinishError::Content { name: content, errno }),
        }
    }

    /// The attempt failed but a later one may not: records why and when, and puts the message back. The record takes
    /// the place of that of the attempt before.
    ///
    /// # Errors
    /// [`FinishError::Edit`]: the record could not be written, but the message was put back.
    /// [`FinishError::Rename`]: it stays `.busy`.
    pub fn retry(mut self, note: &RetryNote) -> Result<(), FinishError> {
        let mut envelope = self.envelope.clone();
        replace_retry_lines(&mut envelope.trailer, note);
        let edited = self.edit(envelope);
        self.leave(READY)?;
        Ok(edited?)
    }

    /// The message can never be delivered: appends the reason and renames it to `.bad`.
    ///
    /// # Errors
    /// [`FinishError::Reason`]: the reason could not be recorded, but the message is `.bad`.
    /// [`FinishError::Rename`]: it stays `.busy`, perhaps because there is a `.bad` file of the same id, and will be
    /// recovered.
    pub fn fail(mut self, note: &FailNote) -> Result<(), FinishError> {
        let appended = self.append(&failure_lines(note));
        self.leave(BAD)?;
        appended.map_err(|errno| FinishError::Reason { name: self.id.file(BAD), errno })
    }

    /// Puts the message back as it is.
    ///
    /// # Errors
    /// It stays `.busy`, perhaps because a file has taken its name, and will be recovered.
    pub fn unlock(mut self) -> Result<(), FinishError> {
        self.leave(READY)
    }

    /// Writes the new text beside the envelope, makes it durable, and renames it over the envelope.
    pub(super) fn edit(&mut self, envelope: Envelope) -> Result<(), EditError> {
        let bytes = envelope.to_bytes();
        let written = match self.reserve.take() {
            Some(file) => Ok(file),
            None => self.create_edit(),
        }
        .and_then(|file| self.replace_envelope(file, &bytes));
        match written {
            Ok(file) => {
                (self.busy, self.envelope, self.style) = (file, envelope, AppendStyle::OURS);
                self.shared.committer.directory_changed();
                Ok(())
            }
            Err(errno) => {
                let _ = self.shared.disk.unlink(&self.id.file(EDIT));
                Err(EditError::of(&self.id, errno))
            }
        }
    }

    fn replace_envelope(&self, file: File, bytes: &[u8]) -> Result<File, Errno> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(Errno::EFBIG);
        }
        self.shared.disk.write(&file, bytes)?;
        // Before the rename: otherwise a power cut could leave the name on an empty file.
        if self.shared.durability == Durability::Full {
            self.shared.disk.sync_file(&file)?;
        }
        self.shared.disk.replace(&self.id.file(EDIT), &self.id.file(BUSY))?;
        Ok(file)
    }

    /// The new file is locked before it gets the `.busy` name, as the old one is.
    fn create_edit(&self) -> Result<File, Errno> {
        let disk = &self.shared.disk;
        let name = self.id.file(EDIT);
        let file = match disk.create(&name) {
            // Left by a crash: while we hold the message nobody else uses the name.
            Err(Errno::EEXIST) => disk.unlink(&name).and_then(|()| disk.create(&name)),
            created => created,
        }?;
        if disk.try_lock(&file)? { Ok(file) } else { Err(Errno::EAGAIN) }
    }
}
