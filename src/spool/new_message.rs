//! A message on its way into the spool.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;

use super::commit::Pending;
use super::envelope::{Envelope, MAX_NEW_ENVELOPE};
use super::error::StoreError;
use super::id::{CONTENT, MessageId, NEW, READY, STATES};
use super::{Durability, Shared};

/// Content is collected to this size before it is written: a typical message costs one write.
const BUFFER: usize = 32 * 1024;
/// How many ids are tried before giving up.
const MAX_CLASHES: usize = 100_000;

/// A message that is being received: `ID.content`, and `ID.envelope.new` once it has an envelope. Nobody but us and our
/// filters sees it before [`commit`](Self::commit). Dropping it removes its files.
pub struct NewMessage {
    pub(super) shared: Arc<Shared>,
    pub(super) id: MessageId,
    /// None after a failure, when the files are removed already.
    content: Option<File>,
    envelope: Option<File>,
    buffer: Vec<u8>,
    size: u64,
    failure: Option<StoreError>,
    /// A filter has given the envelope its final name already.
    pub(super) queued: bool,
}

impl NewMessage {
    /// Creates the content file, under the next free id if the wanted one is taken.
    pub(super) fn create(shared: &Arc<Shared>, wanted: &MessageId) -> Result<Self, StoreError> {
        let mut id = wanted.clone();
        for _ in 0..MAX_CLASHES {
            match create_content(shared, &id) {
                Ok(Some(content)) => {
                    return Ok(Self {
                        shared: Arc::clone(shared),
                        id,
                        content: Some(content),
                        envelope: None,
                        buffer: Vec::new(),
                        size: 0,
                        failure: None,
                        queued: false,
                    });
                }
                Ok(None) => id = shared.ids.next(),
                Err(error) => {
                    shared.health.saw(&error);
                    return Err(error);
                }
            }
        }
        Err(StoreError::NoId)
    }

    /// The id, which is not the wanted one if that was taken.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// Bytes of content so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Full path of the content file, for filters.
    #[must_use]
    pub fn content_path(&self) -> PathBuf {
        self.shared.path.join(self.id.file(CONTENT))
    }

    /// Full path of the envelope file, for filters. There is one after [`write_envelope`](Self::write_envelope).
    #[must_use]
    pub fn envelope_path(&self) -> PathBuf {
        self.shared.path.join(self.id.file(NEW))
    }

    /// Adds to the content.
    ///
    /// # Errors
    /// The disk is full or fails. The message's files are removed at once, to make room, and every later call gives
    /// the same error.
    pub fn append(&mut self, data: &[u8]) -> Result<(), StoreError> {
        self.check_failure()?;
        self.size += data.len() as u64;
        if self.buffer.len() + data.len() <= BUFFER {
            self.buffer.extend_from_slice(data);
            return Ok(());
        }
        self.write_buffer()?;
        if data.len() >= BUFFER {
            return self.write_content(data);
        }
        self.buffer.extend_from_slice(data);
        Ok(())
    }

    /// Ends the content and writes the envelope file. A second call replaces the envelope.
    ///
    /// # Errors
    /// As [`append`](Self::append), and [`StoreError::EnvelopeTooLarge`].
    pub fn write_envelope(&mut self, envelope: &Envelope) -> Result<(), StoreError> {
        self.check_failure()?;
        let bytes = envelope.to_bytes();
        if bytes.len() > MAX_NEW_ENVELOPE {
            return Err(self.fail(StoreError::EnvelopeTooLarge));
        }
        self.write_buffer()?;
        self.buffer = Vec::new();
        let name = self.id.file(NEW);
        if self.envelope.take().is_some() {
            self.shared
                .disk
                .unlink(&name)
                .map_err(|errno| self.fail(StoreError::write(name.clone(), errno)))?;
        }
        let file = self.shared.disk.create(&name).map_err(|errno| self.fail(StoreError::create(errno)))?;
        let written = self.shared.disk.write(&file, &bytes);
        self.envelope = Some(file);
        written.map_err(|errno| self.fail(StoreError::write(name, errno)))
    }

    /// Makes the message durable and then visible, and calls `done` with the outcome: after `Ok` the message survives
    /// a power cut. On an error nothing of it is left. Blocks until both files are on the disk; the rest, `done` too, is
    /// done by the commit thread.
    pub fn commit(self, done: impl FnOnce(Result<MessageId, StoreError>) + Send + 'static) {
        self.commit_as(READY, move |outcome| done(outcome.map(|(id, _)| id)));
    }

    /// The same under another suffix; the envelope file, and with it what locks it, lives on in the outcome.
    pub(super) fn commit_as(
        mut self,
        suffix: &'static str,
        done: impl FnOnce(Result<(MessageId, File), StoreError>) + Send + 'static,
    ) {
        // Recorded in `failure`, and the files are gone: the second arm below.
        let _ = self.sync_files();
        let shared = Arc::clone(&self.shared);
        match (self.content.take(), self.envelope.take()) {
            (Some(content), Some(envelope)) => {
                let (id, visible) = (self.id.clone(), self.queued);
                let pending = Pending { id, content, envelope, suffix, visible, done: Box::new(done) };
                if let Err(pending) = shared.committer.store(pending) {
                    let Pending { content, envelope, done, .. } = *pending;
                    (self.content, self.envelope) = (Some(content), Some(envelope));
                    drop(self);
                    done(Err(StoreError::Closed));
                }
            }
            (content, envelope) => {
                (self.content, self.envelope) = (content, envelope);
                let error = self.failure.take().unwrap_or(StoreError::Incomplete);
                drop(self);
                done(Err(error));
            }
        }
    }

    /// Leaves the files as they are: they have been dealt with, and are no longer ours to remove.
    pub fn leave(mut self) {
        (self.content, self.envelope) = (None, None);
    }

    /// Removes the message; the same as dropping it.
    pub fn discard(self) {}

    /// Both files are on their way before the first is waited for.
    fn sync_files(&mut self) -> Result<(), StoreError> {
        let (Some(content), Some(envelope)) = (&self.content, &self.envelope) else {
            return Err(StoreError::Incomplete);
        };
        if self.shared.durability == Durability::None {
            return Ok(());
        }
        let files = [(content, CONTENT), (envelope, NEW)];
        files.iter().for_each(|(file, _)| (self.shared.writeback)(file));
        let synced = files.iter().try_for_each(|(file, suffix)| {
            let synced = self.shared.disk.sync_file(file);
            synced.map_err(|errno| StoreError::Sync { name: self.id.file(suffix), errno })
        });
        synced.map_err(|error| self.fail(error))
    }

    fn write_buffer(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        self.write_content(&buffer)?;
        buffer.clear();
        self.buffer = buffer;
        Ok(())
    }

    fn write_content(&mut self, data: &[u8]) -> Result<(), StoreError> {
        let Some(content) = &self.content else { return Err(StoreError::Incomplete) };
        let written = self.shared.disk.write(content, data);
        written.map_err(|errno| self.fail(StoreError::write(self.id.file(CONTENT), errno)))
    }

    /// The envelope file, if there is one.
    pub(super) fn envelope_file(&self) -> Option<&File> {
        self.envelope.as_ref()
    }

    /// The files that there are.
    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.content.iter().chain(&self.envelope)
    }

    /// From now on the message is in these files. Those that it was in are closed first, for the locks that they hold.
    pub(super) fn replace_files(&mut self, content: File, envelope: File) {
        (self.content, self.envelope) = (None, None);
        (self.content, self.envelope) = (Some(content), Some(envelope));
    }

    /// Leaves the files to others.
    pub(super) fn forget(&mut self) {
        (self.content, self.envelope) = (None, None);
    }

    pub(super) fn check_failure(&self) -> Result<(), StoreError> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    pub(super) fn fail(&mut self, error: StoreError) -> StoreError {
        self.remove_files();
        self.buffer = Vec::new();
        self.shared.health.saw(&error);
        self.failure = Some(error.clone());
        error
    }

    /// Envelope first: without one a content file means nothing.
    fn remove_files(&mut self) {
        if self.envelope.take().is_some() {
            let _ = self.shared.disk.unlink(&self.id.file(NEW));
        }
        if self.content.take().is_some() {
            let _ = self.shared.disk.unlink(&self.id.file(CONTENT));
        }
    }
}

impl std::fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NewMessage").field(&self.id).finish()
    }
}

impl Drop for NewMessage {
    fn drop(&mut self) {
        self.remove_files();
    }
}

/// None if the id is taken: processes in different containers have the same pid in the same second.
fn create_content(shared: &Shared, id: &MessageId) -> Result<Option<File>, StoreError> {
    let name = id.file(CONTENT);
    let content = match shared.disk.create(&name) {
        Ok(content) => content,
        Err(Errno::EEXIST) => return Ok(None),
        Err(errno) => return Err(StoreError::create(errno)),
    };
    match own(shared, id, &content) {
        Ok(Some(true)) => Ok(Some(content)),
        Ok(None) => Ok(None),
        Ok(Some(false)) => {
            let _ = shared.disk.unlink(&name);
            Ok(None)
        }
        Err(errno) => {
            let _ = shared.disk.unlink(&name);
            Err(StoreError::create(errno))
        }
    }
}

/// Locks a new content file, which tells the sweep that it has an owner. `Some(true)`: the message is ours;
/// `Some(false)`: an envelope has the id; none: the sweep was quicker, and the name is not ours to remove.
fn own(shared: &Shared, id: &MessageId, content: &File) -> Result<Option<bool>, Errno> {
    if !shared.disk.try_lock(content)? || shared.disk.facts(content)?.links == 0 {
        return Ok(None);
    }
    let taken = STATES.iter().any(|suffix| shared.disk.facts_at(&id.file(suffix)).is_ok());
    Ok(Some(!taken))
}
