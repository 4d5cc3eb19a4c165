//! The content of a message in the hands of a filter of our own: read, and replaced as a whole.

use std::fs::File;

use nix::errno::Errno;

use super::error::StoreError;
use super::id::{CONTENT, MessageId};
use super::{ContentError, Durability, Shared, Spool, lock};

/// Suffix of a text that is to take the place of the content.
pub(super) const CONTENT_EDIT: &str = ".content.tmp";

/// A new text for the content of a message that the caller owns. Dropped without [`replace`](Self::replace) it is removed.
pub struct ContentEdit {
    shared: std::sync::Arc<Shared>,
    name: String,
    target: String,
    /// None once it has its place.
    file: Option<File>,
}

impl Spool {
    /// The content of a message, open for reading at its start, and its length in bytes.
    ///
    /// # Errors
    /// It is gone or no regular file, or cannot be opened now.
    pub fn open_content(&self, id: &MessageId) -> Result<(File, u64), ContentError> {
        lock::open_content(&*self.shared.disk, id)
    }

    /// The path of the content of a message, to be shown.
    #[must_use]
    pub fn content_path(&self, id: &MessageId) -> std::path::PathBuf {
        self.shared.path.join(id.file(CONTENT))
    }

    /// Begins a new text for the content of a message that the caller owns.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn edit_content(&self, id: &MessageId) -> Result<ContentEdit, StoreError> {
        let disk = &self.shared.disk;
        let name = id.file(CONTENT_EDIT);
        let file = match disk.create(&name) {
            // Left by a crash: nobody but the owner of the message uses the name.
            Err(Errno::EEXIST) => disk.unlink(&name).and_then(|()| disk.create(&name)),
            created => created,
        };
        let file = file.map_err(StoreError::create)?;
        let shared = std::sync::Arc::clone(&self.shared);
        Ok(ContentEdit { shared, name, target: id.file(CONTENT), file: Some(file) })
    }
}

impl ContentEdit {
    /// Adds to the text.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Err(StoreError::Incomplete) };
        self.shared.disk.write(file, bytes).map_err(|errno| StoreError::write(self.name.clone(), errno))
    }

    /// Makes the text durable and puts it in the place of the content.
    ///
    /// # Errors
    /// The content is as it was.
    pub fn replace(mut self) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Err(StoreError::Incomplete) };
        // Before the rename: otherwise a power cut could leave the name on an empty file.
        if self.shared.durability == Durability::Full {
            let name = self.name.clone();
            self.shared.disk.sync_file(file).map_err(|errno| StoreError::Sync { name, errno })?;
        }
        let name = self.target.clone();
        let renamed = self.shared.disk.replace(&self.name, &self.target);
        renamed.map_err(|errno| StoreError::Rename { name, errno })?;
        self.file = None;
        self.shared.committer.directory_changed();
        Ok(())
    }
}

impl Drop for ContentEdit {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = self.shared.disk.unlink(&self.name);
        }
    }
}

impl std::fmt::Debug for ContentEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ContentEdit").field(&self.name).finish()
    }
}
