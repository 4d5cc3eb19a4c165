//! A locked message and the filters that it passes before it is sent.

use std::path::PathBuf;

use nix::errno::Errno;

use super::content_edit::CONTENT_EDIT;
use super::disk::Access;
use super::envelope::{AppendStyle, Envelope, MAX_ENVELOPE};
use super::error::{PeekError, Unsendable};
use super::id::{BUSY, CONTENT};
use super::lock::{LockedMessage, open_error};
use super::unix_time;

/// What filters have left of a locked message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// A message that can be sent.
    Whole,
    /// The envelope is gone: a filter has dealt with the message.
    Gone,
    /// It can never be sent, for this reason.
    Unsendable(String),
}

/// Bytes copied at a time.
const CHUNK: usize = 256 * 1024;

impl LockedMessage {
    /// Full path of the content file, for filters.
    #[must_use]
    pub fn content_path(&self) -> PathBuf {
        self.shared.path.join(self.id.file(CONTENT))
    }

    /// Full path of the envelope file, for filters.
    #[must_use]
    pub fn envelope_path(&self) -> PathBuf {
        self.shared.path.join(self.id.file(BUSY))
    }

    /// Makes sure that nobody else has the content under another name: a filter may change it in place, and messages that were
    /// split share theirs.
    ///
    /// # Errors
    /// It could not be copied; the content is as it was.
    pub fn unshare_content(&mut self) -> Result<(), Errno> {
        let disk = &self.shared.disk;
        let (name, copy) = (self.id.file(CONTENT), self.id.file(CONTENT_EDIT));
        let (content, facts) = disk.open(&name, Access::Read)?;
        if facts.links <= 1 {
            return Ok(());
        }
        let file = match disk.create(&copy) {
            // Left by a crash: while we hold the message nobody else uses the name.
            Err(Errno::EEXIST) => disk.unlink(&copy).and_then(|()| disk.create(&copy)),
            created => created,
        }?;
        let copied = self.copy(&content, &file, facts.size).and_then(|()| disk.sync_file(&file));
        let replaced = copied.and_then(|()| disk.replace(&copy, &name));
        if replaced.is_err() {
            let _ = disk.unlink(&copy);
        }
        self.forget_content();
        replaced
    }

    fn copy(&self, from: &std::fs::File, to: &std::fs::File, size: u64) -> Result<(), Errno> {
        use std::os::unix::fs::FileExt;

        let mut chunk = vec![0; CHUNK];
        let mut done = 0;
        while done < size {
            let count = from
                .read_at(&mut chunk, done)
                .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO)))?;
            let Some(bytes @ [_, ..]) = chunk.get(..count) else { break };
            self.shared.disk.write(to, bytes)?;
            done += count as u64;
        }
        Ok(())
    }

    /// Reads the envelope again after filters may have edited or replaced it, and drops what is known of the content. What is held
    /// from then on, and what a reason is added to, is the file that is there now.
    ///
    /// # Errors
    /// The system failed us, or somebody else has locked what is there now. What is held is what was read before.
    pub fn reload(&mut self) -> Result<Reloaded, PeekError> {
        // One that a filter of our own has put there, with its lock.
        if let Some(file) = self.shared.edited.take(&self.id) {
            self.busy = file;
        }
        let disk = &self.shared.disk;
        let (file, facts) = match disk.open(&self.id.file(BUSY), Access::Edit) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) => return Ok(Reloaded::Gone),
            Err(errno) => return Err(open_error(errno)),
        };
        let held = disk.facts(&self.busy).map_err(PeekError::Io)?;
        if !facts.same_file(&held) && !disk.try_lock(&file).map_err(PeekError::Io)? {
            return Err(PeekError::Io(Errno::EAGAIN));
        }
        let bytes = disk.read(&file, MAX_ENVELOPE + 1).map_err(PeekError::Io)?;
        if !facts.same_file(&held) {
            self.busy = file;
        }
        self.style = AppendStyle::of(&bytes);
        // Filters may have copied it.
        self.untouched = unix_time();
        self.forget_content();
        match Envelope::parse(&bytes) {
            Ok(envelope) => self.envelope = envelope,
            Err(error) => return Ok(Reloaded::Unsendable(error.to_string())),
        }
        if self.shared.disk.facts_at(&self.id.file(CONTENT)) == Err(Errno::ENOENT) {
            return Ok(Reloaded::Unsendable(Unsendable::Content.to_string()));
        }
        Ok(self.judge())
    }

    /// Addresses are checked as when the message was locked.
    fn judge(&self) -> Reloaded {
        match self.envelope.check_addresses() {
            Ok(()) => Reloaded::Whole,
            Err(fault) => Reloaded::Unsendable(Unsendable::Address(fault).to_string()),
        }
    }
}
