//! A new message after filters have been at its files: they may have changed, replaced, renamed or removed them.

use nix::errno::Errno;

use super::disk::{self, Access};
use super::envelope::{Envelope, MAX_ENVELOPE};
use super::error::StoreError;
use super::id::{BAD, BUSY, CONTENT, NEW, READY};
use super::new_message::NewMessage;

/// What filters have left of a message that they did not refuse.
#[derive(Debug)]
pub enum Left {
    /// All of it: it can be committed.
    Message(NewMessage),
    /// A filter has taken the envelope away, or set the message aside as `.bad`. What is left is its business.
    Taken,
    /// It cannot be used any more. What is left was set aside as `.bad` if there is an envelope, and removed if not.
    Invalid(Spoilt),
}

/// What filters have said of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Go on with it: both files must be there.
    Passed,
    /// Leave it alone: a filter may have taken it away.
    Abandoned,
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Spoilt {
    /// There is no content, or it is no regular file.
    #[error("content file is missing")]
    Content,
    /// There is no envelope, or it is no regular file.
    #[error("envelope file is missing")]
    Envelope,
    /// The envelope makes no sense.
    #[error("{0}")]
    Text(String),
}

impl NewMessage {
    /// Marks both files as having an owner, who may be waiting for filters for long.
    pub fn hold(&self) {
        // Only the sweep asks, so it does not matter if this cannot be done.
        for file in self.files() {
            let _ = self.shared.disk.try_lock(file);
        }
    }

    /// Looks at the files after filters that did not refuse the message; the commit then makes durable what they have left.
    /// A message that a filter has queued by itself, by giving its envelope the final name, is taken as it is.
    ///
    /// # Errors
    /// The system failed us. Nothing of the message is left.
    pub fn reopen(mut self, ruling: Ruling) -> Result<Left, StoreError> {
        self.check_failure()?;
        let envelope = match self.open_left(NEW)? {
            Some(envelope) => Some(envelope),
            None => self.open_queued()?,
        };
        let Some(envelope) = envelope else { return Ok(self.taken(ruling)) };
        let Some(content) = self.open_left(CONTENT)? else { return Ok(self.set_aside(Spoilt::Content)) };
        if !self.queued {
            let bytes = self.shared.disk.read(&envelope, MAX_ENVELOPE + 1);
            let bytes =
                bytes.map_err(|errno| self.fail(StoreError::Write { name: self.id.file(NEW), errno }))?;
            if let Err(error) = Envelope::parse(&bytes) {
                return Ok(self.set_aside(Spoilt::Text(error.to_string())));
            }
        }
        self.replace_files(content, envelope);
        self.hold();
        Ok(Left::Message(self))
    }

    /// Removes a message that a filter refused, also if the filter has queued it by itself.
    pub fn refuse(mut self) {
        let disk = &self.shared.disk;
        if disk.unlink(&self.id.file(NEW)) == Err(Errno::ENOENT) {
            let _ = disk.unlink(&self.id.file(READY));
            if disk.facts_at(&self.id.file(BUSY)).is_ok() {
                // It is being sent; without content it would be sent empty.
                self.forget();
            }
        }
    }

    /// None: there is no regular file of that name.
    fn open_left(&mut self, suffix: &str) -> Result<Option<std::fs::File>, StoreError> {
        let name = self.id.file(suffix);
        match self.shared.disk.open(&name, Access::Edit) {
            Ok((file, _)) => Ok(Some(file)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) if disk::is_not_regular(errno) => Ok(None),
            Err(errno) => Err(self.fail(StoreError::Write { name, errno })),
        }
    }

    /// The envelope under the names that a filter, and then a forwarder, may have given it.
    fn open_queued(&mut self) -> Result<Option<std::fs::File>, StoreError> {
        for suffix in [READY, BUSY] {
            if let Some(file) = self.open_left(suffix)? {
                self.queued = true;
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn taken(mut self, ruling: Ruling) -> Left {
        let is_aside = self.shared.disk.facts_at(&self.id.file(BAD)).is_ok();
        if ruling == Ruling::Abandoned || is_aside {
            self.forget();
        }
        match ruling {
            Ruling::Abandoned => Left::Taken,
            // Without an envelope the content means nothing, and is removed with this value.
            Ruling::Passed => Left::Invalid(Spoilt::Envelope),
        }
    }

    fn set_aside(mut self, what: Spoilt) -> Left {
        if self.shared.disk.rename(&self.id.file(NEW), &self.id.file(BAD)).is_ok() {
            self.shared.committer.directory_changed();
            self.forget();
        }
        Left::Invalid(what)
    }
}
