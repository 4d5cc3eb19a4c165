//! Taking a message for forwarding.
//!
//! The envelope is opened, locked with an open-file-description lock, and then renamed to `.busy`. The rename decides
//! between processes, E-MailRelay 2.6 included; the lock, which the kernel drops when its process dies, tells stale
//! `.busy` files from live ones. Because the lock comes first, no `.busy` file of ours is ever seen unlocked.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use super::disk::{self, Access, Disk, Facts};
use super::envelope::{AppendStyle, Envelope, MAX_ENVELOPE, RetryState, in_doubt_line, interrupted_line};
use super::error::{EditError, FinishError, LockError, PeekError, Stamp, Unsendable};
use super::id::{BUSY, CONTENT, EDIT, MessageId, READY};
use super::scan::SETTLED;
use super::{ContentError, Shared, Spool, unix_time};

/// A message that nobody else forwards while this value lives. Dropping it puts the message back.
pub struct LockedMessage {
    pub(super) shared: Arc<Shared>,
    pub(super) id: MessageId,
    /// The `.busy` file; holds the lock.
    pub(super) busy: File,
    pub(super) envelope: Envelope,
    pub(super) style: AppendStyle,
    /// Since when nobody else has made copies of it, since 1970.
    pub(super) untouched: Duration,
    /// Opened when the message was locked, until it is asked for.
    content: Option<(File, u64)>,
    /// Space for the next edit.
    pub(super) reserve: Option<File>,
    /// The `.busy` name is no longer ours to rename.
    pub(super) finished: bool,
}

/// What was read of a message that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeked {
    /// The envelope.
    pub envelope: Envelope,
    /// What earlier attempts left.
    pub retry: RetryState,
    /// As long as [`Spool::stamp`] gives this, the envelope has not changed. None: it was changed a moment ago, and may change
    /// again without another stamp.
    pub stamp: Option<Stamp>,
}

impl Spool {
    /// The state of a ready message's envelope; none if it is gone, or is no file. Opens nothing.
    #[must_use]
    pub fn stamp(&self, id: &MessageId) -> Option<Stamp> {
        let facts = self.shared.disk.facts_at(&id.file(READY)).ok()?;
        facts.regular.then(|| Stamp::of(&facts))
    }

    /// Reads a ready message without taking it; none if it is not there any more.
    ///
    /// # Errors
    /// The envelope cannot be read.
    pub fn peek(&self, id: &MessageId) -> Result<Option<Peeked>, PeekError> {
        let (file, facts) = match self.shared.disk.open(&id.file(READY), Access::Read) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(open_error(errno)),
        };
        let (envelope, _) = read_envelope(&self.shared, &file, &facts)?;
        let retry = RetryState::of(&envelope);
        let settled = unix_time().saturating_sub(facts.changed) >= SETTLED;
        Ok(Some(Peeked { envelope, retry, stamp: settled.then(|| Stamp::of(&facts)) }))
    }

    /// Takes a ready message. None: somebody else has it, or it is gone.
    ///
    /// # Errors
    /// See [`LockError`]; in the case of [`LockError::Unsendable`] the message is locked, otherwise it stays as it was.
    pub fn lock(&self, id: &MessageId) -> Result<Option<LockedMessage>, LockError> {
        let shared = &self.shared;
        let (busy, facts) = match shared.disk.open(&id.file(READY), Access::Edit) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(open_error(errno).into()),
        };
        let failed = |errno| LockError::Io { id: id.clone(), errno };
        if !shared.disk.try_lock(&busy).map_err(failed)? {
            return Ok(None);
        }
        // A file that cannot be read is not renamed, so that a damaged envelope costs no renames on every run.
        let (envelope, style) = read_envelope(shared, &busy, &facts)?;
        match shared.disk.rename(&id.file(READY), &id.file(BUSY)) {
            Ok(()) => {}
            // EEXIST: a message that was copied in under the id of one that is being sent.
            Err(Errno::ENOENT | Errno::EEXIST) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        }
        let mut message = LockedMessage {
            shared: Arc::clone(shared),
            id: id.clone(),
            busy,
            envelope,
            style,
            // It has been ready from then on.
            untouched: facts.changed,
            content: None,
            reserve: None,
            finished: false,
        };
        if !message.holds(&facts).map_err(failed)? {
            // Somebody replaced the file since we opened it: give theirs back unread.
            return Ok(None);
        }
        match message.examine() {
            Ok(None) => Ok(Some(message)),
            Ok(Some(fault)) => Err(LockError::Unsendable { message: Box::new(message), fault }),
            Err(errno) => Err(failed(errno)),
        }
    }
}

impl LockedMessage {
    /// A message whose `.busy` file was made by us, and is locked.
    pub(super) fn fresh(
        shared: Arc<Shared>,
        id: MessageId,
        busy: File,
        envelope: Envelope,
        style: AppendStyle,
    ) -> Self {
        Self {
            shared,
            id,
            busy,
            envelope,
            style,
            // Filters may have copied it a moment ago.
            untouched: unix_time(),
            content: None,
            reserve: None,
            finished: false,
        }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// The envelope as it was read or last changed.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// What earlier attempts left.
    #[must_use]
    pub fn retry_state(&self) -> RetryState {
        RetryState::of(&self.envelope)
    }

    /// The content, open for reading at its start, and its length in bytes.
    ///
    /// # Errors
    /// It is gone or no regular file, so that the message can never be sent ([`Unsendable::Content`]); or there is trouble of our own,
    /// such as too many open files, which says nothing about the message.
    pub fn content(&mut self) -> Result<(File, u64), ContentError> {
        match self.content.take() {
            Some(content) => Ok(content),
            None => open_content(&*self.shared.disk, &self.id),
        }
    }

    /// Records that the peer at `address` may have taken the message at `at`, seconds since 1970: everything was sent
    /// and no reply came. The line is appended in place and not synced.
    ///
    /// # Errors
    /// The line could not be written.
    pub fn mark_in_doubt(&mut self, at: u64, address: &str) -> Result<(), FinishError> {
        let line = in_doubt_line(at, address);
        self.append(std::slice::from_ref(&line))
            .map_err(|errno| FinishError::Reason { name: self.id.file(BUSY), errno })?;
        self.envelope.trailer.push(line);
        Ok(())
    }

    /// Drops what is known of the content.
    pub(super) fn forget_content(&mut self) {
        self.content = None;
    }

    /// Appends lines to the envelope file in its own style.
    pub(super) fn append(&mut self, lines: &[Vec<u8>]) -> Result<(), Errno> {
        let bytes = self.style.append(lines);
        let size = self.shared.disk.facts(&self.busy)?.size;
        if size + bytes.len() as u64 > MAX_ENVELOPE as u64 {
            return Err(Errno::EFBIG);
        }
        let written = self.shared.disk.write(&self.busy, &bytes);
        // A failed write may have left half a line.
        self.style = self.style.after_append(written.is_ok());
        written
    }

    /// Renames the `.busy` file, which ends our hold on it.
    pub(super) fn leave(&mut self, suffix: &str) -> Result<(), FinishError> {
        self.drop_reserve();
        self.finished = true;
        let (from, to) = (self.id.file(BUSY), self.id.file(suffix));
        match self.shared.disk.rename(&from, &to) {
            Ok(()) => {
                self.shared.committer.directory_changed();
                Ok(())
            }
            Err(errno) => Err(FinishError::Rename { from, to, errno }),
        }
    }

    /// Before the lock goes, since the next owner uses the same name.
    pub(super) fn drop_reserve(&mut self) {
        if self.reserve.take().is_some() {
            let _ = self.shared.disk.unlink(&self.id.file(EDIT));
        }
    }

    fn holds(&self, facts: &Facts) -> Result<bool, Errno> {
        match self.shared.disk.facts_at(&self.id.file(BUSY)) {
            Ok(now) => Ok(now.same_file(facts)),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Opens the content and looks for reasons why the message can never be sent. Trouble of our own, such as too
    /// many open files, is an error instead.
    fn examine(&mut self) -> Result<Option<Unsendable>, Errno> {
        match open_content(&*self.shared.disk, &self.id) {
            Ok(content) => self.content = Some(content),
            Err(ContentError::Gone) => return Ok(Some(Unsendable::Content)),
            Err(ContentError::Io(errno)) => return Err(errno),
        }
        Ok(self.envelope.check_addresses().err().map(Unsendable::Address))
    }
}

/// The content of a message, open for reading, and its length.
pub(super) fn open_content(disk: &dyn Disk, id: &MessageId) -> Result<(File, u64), ContentError> {
    let opened = disk.open(&id.file(CONTENT), Access::Read);
    opened.map(|(file, facts)| (file, facts.size)).map_err(ContentError::of)
}

impl Drop for LockedMessage {
    fn drop(&mut self) {
        if !self.finished {
            if std::thread::panicking() {
                // A bug that this message meets counts like the end of a process: see `recover`.
                let line = interrupted_line(&self.envelope, unix_time().as_secs());
                let _ = self.append(std::slice::from_ref(&line));
            }
            let _ = self.leave(READY);
        }
    }
}

impl std::fmt::Debug for LockedMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LockedMessage").field(&self.id).finish()
    }
}

fn read_envelope(shared: &Shared, file: &File, facts: &Facts) -> Result<(Envelope, AppendStyle), PeekError> {
    let bytes = shared.disk.read(file, MAX_ENVELOPE + 1).map_err(PeekError::Io)?;
    Ok((parse_envelope(&bytes, facts)?, AppendStyle::of(&bytes)))
}

pub(super) fn parse_envelope(bytes: &[u8], facts: &Facts) -> Result<Envelope, PeekError> {
    Envelope::parse(bytes).map_err(|error| PeekError::Envelope { error, stamp: Stamp::of(facts) })
}

pub(super) fn open_error(errno: Errno) -> PeekError {
    if disk::is_not_regular(errno) { PeekError::NotRegular } else { PeekError::Io(errno) }
}

impl EditError {
    pub(super) fn of(id: &MessageId, errno: Errno) -> Self {
        Self { name: id.file(EDIT), errno }
    }
}
